"""Every block of Python and shell in the README and the documentation runs, or says why it does not.

A block is preceded by a comment that readers do not see:

- `<!-- test -->`: it is a complete script; it runs in an empty directory and must end well.
- `<!-- test: server -->`: likewise, beside a server; http://127.0.0.1:8000 in it means that one.
- `<!-- no test: why -->`: it is not run, for this reason.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import anyio
import pytest
from tests.support.server import Serve, clean_environment

ROOT = Path(__file__).resolve().parents[1]
BLOCK = re.compile(
    r"(?:<!--\s*(?P<mark>(?:no )?test[^>]*?)\s*-->\n+)?"
    r"^```(?P<language>python|bash|sh)[^\n]*\n(?P<script>.*?)^```",
    re.MULTILINE | re.DOTALL,
)
SECONDS_MAX = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    place: str
    mark: str
    language: str
    script: str


def blocks() -> Iterator[Block]:
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    for path in sorted(pages):
        text = path.read_text(encoding="utf-8")
        for found in BLOCK.finditer(text):
            line = text.count("\n", 0, found.start("script"))
            yield Block(
                place=f"{path.relative_to(ROOT).as_posix()}:{line}",
                mark=found["mark"] or "",
                language=found["language"],
                script=found["script"],
            )


def marked(mark: str) -> list[Block]:
    return [block for block in blocks() if block.mark == mark]


def test_every_block_runs_or_says_why_not() -> None:
    assert [
        block.place
        for block in blocks()
        if block.mark not in ("test", "test: server")
        and not re.fullmatch(r"no test: \S.+", block.mark)
    ] == []


async def run(block: Block, folder: Path, script: str) -> None:
    command = (
        [sys.executable, "-c", script]
        if block.language == "python"
        else ["bash", "-euo", "pipefail", "-c", script]
    )
    environment = clean_environment({})
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    with anyio.fail_after(SECONDS_MAX):
        done = await anyio.run_process(
            command, cwd=folder, env=environment, check=False, stderr=subprocess.STDOUT
        )
    assert done.returncode == 0, f"{block.place}:\n{done.stdout.decode(errors='replace')}"


@pytest.mark.slow
@pytest.mark.parametrize("block", [pytest.param(one, id=one.place) for one in marked("test")])
async def test_a_documented_script_runs(block: Block, tmp_path: Path) -> None:
    await run(block, tmp_path, block.script)


@pytest.mark.slow
@pytest.mark.parametrize(
    "block", [pytest.param(one, id=one.place) for one in marked("test: server")]
)
async def test_a_documented_script_runs_beside_a_server(
    block: Block, tmp_path: Path, serve: Serve
) -> None:
    server = await serve()
    address = server.url.removeprefix("http://")
    folder = tmp_path / "here"
    folder.mkdir()
    await run(block, folder, block.script.replace("127.0.0.1:8000", address))
