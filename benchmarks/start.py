"""How heavy it is: T15, from the start of the process to the first page, memory when idle, packages, installed size.

Two baselines: a Python that does nothing, and one that imports FastAPI and uvicorn, which every server of this kind
does. Sizes are of the files that the installed packages list, without and with compiled bytecode.
"""

import argparse
import asyncio
import subprocess
import sys
import time
import tomllib
from importlib import metadata
from importlib.util import cache_from_source
from pathlib import Path

from benchmarks.processes import resident_bytes
from benchmarks.report import ROOT, Figure, Goal, Report, Row
from benchmarks.rounds import Sample, Side, folder, interleaved, main, of_key, parser, rounds_of
from benchmarks.web import HttpClient
from packaging.requirements import Requirement
from tests.support.server import ServerProcess

SERVE, NOTHING, IMPORTS = "palaver serve", "python, nothing", "python, import fastapi and uvicorn"
PROGRAMS = {NOTHING: "pass", IMPORTS: "import fastapi, uvicorn, uvloop, httptools, websockets"}
MIB = 1024 * 1024
IDLE_SECONDS = 0.5


async def first_page(data: Path) -> Sample:
    """Starts a server on a database that exists, and asks for the page."""
    server = ServerProcess(data)
    began = time.perf_counter()
    server.launch()
    await server.ready()
    ready = time.perf_counter()
    client = await HttpClient.connected(server.url)
    status, page = await client.raw("GET", "/")
    seen = time.perf_counter()
    assert status == 200, page[:300]
    await asyncio.sleep(IDLE_SECONDS)
    resident = resident_bytes(server.pid) / MIB
    await client.close()
    await server.kill()
    return {"ready_s": ready - began, "page_s": seen - began, "resident_mib": resident}


async def program(code: str) -> Sample:
    """Runs a Python; its memory is told by itself at its end."""
    tail = "; import resource; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    began = time.perf_counter()
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", code + tail], capture_output=True, check=True
    )
    took = time.perf_counter() - began
    return {"ready_s": took, "page_s": took, "resident_mib": int(done.stdout) / 1024}


def packages() -> dict[str, metadata.Distribution]:
    """What Palaver brings along on this machine, by name."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found: dict[str, metadata.Distribution] = {}
    wanted = [(line, frozenset[str]()) for line in project["dependencies"]]
    seen: set[tuple[str, frozenset[str]]] = set()
    while wanted:
        one = wanted.pop()
        if one in seen:
            continue
        seen.add(one)
        line, extras = one
        requirement = Requirement(line)
        marker = requirement.marker
        if marker and not any(marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            continue
        name = requirement.name.lower().replace("_", "-")
        found[name] = metadata.distribution(name)
        asked = frozenset(requirement.extras)
        wanted += [(needed, asked) for needed in found[name].requires or []]
    return found


def installed_bytes(found: dict[str, metadata.Distribution]) -> tuple[int, int]:
    """Without and with bytecode; Palaver itself is counted where its source lies."""
    paths = list((ROOT / "src" / "palaver").rglob("*"))
    for distribution in found.values():
        paths += [Path(str(distribution.locate_file(one))) for one in distribution.files or []]
    plain = compiled = 0
    for path in {path for path in paths if path.is_file() and path.suffix != ".pyc"}:
        plain += path.stat().st_size
        if path.suffix == ".py":
            cached = Path(cache_from_source(path))
            compiled += cached.stat().st_size if cached.exists() else 0
    return plain, plain + compiled


async def measure(options: argparse.Namespace) -> Report:
    """T15."""
    rounds = rounds_of(options)
    report = Report("start", {"rounds": rounds})
    with folder() as path:
        data = path / "data"
        await first_page(data)  # cold: makes the database

        async def serve() -> Sample:
            return await first_page(data)

        async def nothing() -> Sample:
            return await program(PROGRAMS[NOTHING])

        async def imports() -> Sample:
            return await program(PROGRAMS[IMPORTS])

        sides: dict[str, Side] = {SERVE: serve, NOTHING: nothing, IMPORTS: imports}
        figures = await interleaved("start", sides, rounds)
    for target, what, key, unit, goal in (
        ("", "process to ready, warm", "ready_s", "s", None),
        ("T15", "process to first page, warm", "page_s", "s", Goal(at_most=1)),
        ("T15", "memory when idle", "resident_mib", "MiB", Goal(at_most=80_000_000 / MIB)),
    ):
        report.add(
            Row(
                target=target,
                what=what,
                unit=unit,
                figure=figures[SERVE][key],
                baselines=of_key(figures, key, PROGRAMS),
                goal=goal,
            )
        )
    found = packages()
    plain, compiled = installed_bytes(found)
    for target, what, unit, value, goal in (
        ("T15", "packages, with Palaver itself", "", float(len(found) + 1), Goal(at_most=45)),
        ("T15", "installed size", "MB", plain / 1e6, Goal(at_most=80)),
        ("", "installed size with bytecode", "MB", compiled / 1e6, None),
    ):
        figure = Figure((value,))
        report.add(Row(target=target, what=what, unit=unit, figure=figure, goal=goal))
    return report


if __name__ == "__main__":
    main(measure, parser("start", "How heavy it is.").parse_args())
