"""Programs that others wrote against OpenAI's own API, or Anthropic's, run as their users run them: as processes.

JavaScript libraries and programs come from npm (tests/clients/*/package-lock.json), Python ones from the index
(requirements-clients.lock, requirements-aider.lock), both checked by hash, into build/clients: none of them is part of
the environment of the tests. Where they cannot be had, `Missing` says why.

A program does one thing after the other, as tests/clients/js/lines.js has it: a line of JSON in, lines out.
"""

import asyncio
import fcntl
import hashlib
import json
import os
import shutil
import sys
from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hatch_build
import playwright
from tests.support.server import clean_environment

ROOT = Path(__file__).resolve().parents[2]
CLIENTS = ROOT / "tests" / "clients"
BUILD = ROOT / "build" / "clients"
FETCH_SECONDS_MAX = 600
ANSWER_SECONDS_MAX = 60
LINE_BYTES_MAX = 2**20
NODE_MAJOR_MIN = 22
"""What the current libraries ask for."""

Json = dict[str, Any]


class Missing(Exception):
    """A client cannot be had here, for this reason."""


class Program:
    """A client that runs. `words` are those of the last thing that it was asked to do."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.words: list[str] = []

    async def do(self, thing: str, text: str = "") -> Json:
        """Asks for one thing, and gives what came of it."""
        await self.begin(thing, text)
        return await self.end()

    async def begin(self, thing: str, text: str = "") -> None:
        """Asks for one thing."""
        assert self._process.stdin is not None
        self.words.clear()
        self._process.stdin.write(json.dumps({"do": thing, "text": text}).encode() + b"\n")
        await self._process.stdin.drain()

    async def heard(self, words: str) -> None:
        """Waits until the client has told its user so much."""
        while "".join(self.words) != words:
            line = await self._line()
            assert "word" in line, f"it ended: {line}"
            self.words.append(line["word"])

    async def end(self) -> Json:
        """What came of it; `failed` is in it where that was an error."""
        while "end" not in (line := await self._line()):
            self.words.append(line["word"])
        return line["end"]

    async def _line(self) -> Json:
        assert self._process.stdout is not None
        async with asyncio.timeout(ANSWER_SECONDS_MAX):
            line = await self._process.stdout.readline()
        assert line, f"the client ended with {await self._process.wait()}"
        return json.loads(line)


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """The clients in one language: what runs them, where they are, and what they need."""

    program: Path
    folder: Path
    environment: Mapping[str, str]

    @asynccontextmanager
    async def running(
        self, name: str, mode: str, url: str, *, key: str = "any"
    ) -> AsyncGenerator[Program]:
        """A client that is told by the usual variables where the API is."""
        process = await asyncio.create_subprocess_exec(
            *(str(self.program), str(self.folder / name), mode),
            env={**self.environment, "OPENAI_BASE_URL": f"{url}/v1", "OPENAI_API_KEY": key},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=LINE_BYTES_MAX,
        )
        assert process.stdin is not None
        try:
            yield Program(process)
            process.stdin.close()
            async with asyncio.timeout(ANSWER_SECONDS_MAX):
                assert await process.wait() == 0
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()


def javascript() -> Installed:
    """The clients in tests/clients/js. Raises `Missing`."""
    return _for_node("js")


def codex() -> Installed:
    """Codex, a program that npm has. Raises `Missing`."""
    return _for_node("codex")


def claude_code() -> Path:
    """Claude Code, a program by itself. Raises `Missing`."""
    folder = _packages("claude", "@anthropic-ai/claude-code/install.cjs")
    return folder / "node_modules" / ".bin" / "claude"


def opencode() -> tuple[str, ...]:
    """How opencode is started: of what npm has of it, the one for every Linux on x64. Raises `Missing`."""
    folder = _packages("opencode") / "node_modules" / "opencode-linux-x64-baseline"
    return (str(folder / "bin" / "opencode"),)


def cline() -> tuple[str, ...]:
    """How Cline is started, by itself, of what npm has of it the one for Linux on x64. Raises `Missing`."""
    folder = _packages("cline") / "node_modules" / "@cline" / "cli-linux-x64"
    return (str(folder / "bin" / "cline"),)


def continue_cli() -> tuple[str, ...]:
    """How Continue is started without an editor. Raises `Missing`."""
    folder = _packages("continue") / "node_modules" / "@continuedev" / "cli"
    return (str(_node()), str(folder / "dist" / "cn.js"))


def openid_provider() -> tuple[str, ...]:
    """How the certified OpenID provider of tests/oidc is started. Raises `Missing`."""
    folder = _packages("oidc", source=CLIENTS.parent / "oidc")
    return (str(_node()), str(folder / "provider.mjs"))


def axe() -> str:
    """The script that looks for barriers on a page. Raises `Missing`."""
    return (_packages("axe") / "node_modules" / "axe-core" / "axe.min.js").read_text("utf-8")


def aider() -> tuple[str, ...]:
    """How aider is started. Raises `Missing`."""
    if sys.version_info >= (3, 13):
        raise Missing("aider needs a Python below 3.13")
    target = _wheels("aider", ROOT / "requirements-aider.lock")
    return ("env", f"PYTHONPATH={target}", sys.executable, "-m", "aider")


def _for_node(name: str) -> Installed:
    program = _node()
    environment = clean_environment({"NO_COLOR": "1"})
    return Installed(program=program, folder=_packages(name), environment=environment)


def _packages(name: str, setup: str | None = None, source: Path | None = None) -> Path:
    """The folder with the packages of tests/clients/<name>. `setup` is a script of theirs that they need."""
    source, target = source or CLIENTS / name, BUILD / name
    with _once(target, [source / "package.json", source / "package-lock.json"]) as installs:
        shutil.copytree(source, target, dirs_exist_ok=True)
        if installs:
            try:
                node = hatch_build.find_node(ROOT) or hatch_build.fetch_node(ROOT)
                path = f"{node.program.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
                hatch_build.install_packages(target, node, {**os.environ, "PATH": path})
            except hatch_build.FetchError as error:
                raise Missing(f"the clients in {name} could not be had: {error}") from None
            if setup is not None:
                command = [str(node.program), str(target / "node_modules" / setup)]
                code, text = hatch_build.run(command, cwd=target, seconds_max=FETCH_SECONDS_MAX)
                if code != 0:
                    raise Missing(f"the clients in {name} could not be set up: {text}")
    return target


def python() -> Installed:
    """The clients in tests/clients/python. Raises `Missing`."""
    target = _wheels("python", ROOT / "requirements-clients.lock")
    environment = clean_environment({"PYTHONPATH": str(target), "NO_COLOR": "1"})
    return Installed(
        program=Path(sys.executable), folder=CLIENTS / "python", environment=environment
    )


def _wheels(name: str, lock: Path) -> Path:
    """The folder with the Python packages of a lock."""
    target = BUILD / name
    with _once(target, [lock]) as installs:
        if installs:
            shutil.rmtree(target, ignore_errors=True)
            uv = shutil.which("uv")
            installer = [sys.executable, "-m", "pip", "install"]
            if uv is not None:
                installer = [uv, "pip", "install", "--python", sys.executable]
            command = [*installer, "--quiet", "--require-hashes", "--target", str(target)]
            command += ["--requirement", str(lock)]
            code, text = hatch_build.run(command, cwd=ROOT, seconds_max=FETCH_SECONDS_MAX)
            if code != 0:
                raise Missing(f"the Python clients in {name} could not be had: {text}")
    return target


def _node() -> Path:
    """The system's node, where it is new enough, else the one that came with Playwright."""
    bundled = Path(playwright.__file__).parent / "driver" / "node"
    for path in (shutil.which("node"), bundled):
        if path is not None and Path(path).is_file():
            command = [str(path), "--version"]
            _, text = hatch_build.run(command, cwd=ROOT, seconds_max=30)
            major = text.strip().removeprefix("v").partition(".")[0]
            if major.isdecimal() and int(major) >= NODE_MAJOR_MIN:
                return Path(path)
    raise Missing(f"there is no node {NODE_MAJOR_MIN} or later")


@contextmanager
def _once(target: Path, locks: Sequence[Path]) -> Generator[bool]:
    """Whether something has to be installed, for one test run at a time. It is, unless the block raises."""
    digest = hashlib.sha256(b"\0".join(lock.read_bytes() for lock in locks)).hexdigest()
    target.parent.mkdir(parents=True, exist_ok=True)
    stamp = target.with_suffix(".stamp")
    with target.with_suffix(".lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        installs = not stamp.is_file() or stamp.read_text(encoding="utf-8") != digest
        yield installs
        stamp.write_text(digest, encoding="utf-8")
