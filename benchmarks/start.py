"""How heavy it is: T15, from the start of the process to the first page, memory when idle, packages, installed size.

Two baselines: a Python that does nothing, and one that imports FastAPI and uvicorn, which every server of this kind
does. Warm means that the bytecode is there, as after any first start; all sides keep it in a folder of their own, so
that it does not matter how the packages were installed. Sizes are of the files that the installed packages list.
"""

import asyncio
import subprocess
import sys
import time
import tomllib
from functools import partial
from importlib import metadata
from pathlib import Path

from benchmarks.processes import cpu_seconds, resident_bytes
from benchmarks.report import ROOT, Figure, Goal
from benchmarks.rounds import Bench, Figures, Sample, Side, folder, main, parser
from benchmarks.web import HttpClient
from packaging.requirements import Requirement
from tests.support.server import ServerProcess, clean_environment

SERVE, NOTHING, IMPORTS = "palaver serve", "python, nothing", "python, import fastapi and uvicorn"
PROGRAMS = {NOTHING: "pass", IMPORTS: "import fastapi, uvicorn, uvloop, httptools, websockets"}
TELL = """
import resource
used = resource.getrusage(resource.RUSAGE_SELF)
print(used.ru_maxrss, used.ru_utime + used.ru_stime)
"""
MIB = 1024 * 1024
IDLE_SECONDS = 0.5


async def first_page(data: Path, environment: dict[str, str]) -> Sample:
    """Starts a server on a database that exists, and asks for the page."""
    server = ServerProcess(data, environment=environment)
    began = time.perf_counter()
    server.launch()
    await server.ready()
    ready = time.perf_counter()
    client = await HttpClient.connected(server.url)
    status, page = await client.raw("GET", "/")
    seen = time.perf_counter()
    assert status == 200, page[:300]
    await asyncio.sleep(IDLE_SECONDS)
    resident, spent = resident_bytes(server.pid) / MIB, cpu_seconds(server.pid)
    await client.close()
    await server.kill()
    return {
        "ready_s": ready - began,
        "page_s": seen - began,
        "resident_mib": resident,
        "cpu_s": spent,
    }


async def program(code: str, environment: dict[str, str]) -> Sample:
    """Runs a Python program, which prints its own memory and CPU at its end."""
    began = time.perf_counter()
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", code + TELL],
        env=clean_environment(environment),
        capture_output=True,
        check=True,
    )
    took = time.perf_counter() - began
    kib, spent = map(float, done.stdout.split())
    return {"ready_s": took, "page_s": took, "resident_mib": kib / 1024, "cpu_s": spent}


def packages() -> dict[str, metadata.Distribution]:
    """Packages that Palaver needs on this machine, by name."""
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


def installed_bytes(found: dict[str, metadata.Distribution]) -> int:
    """Size without bytecode; Palaver itself is counted where its source lies."""
    paths = list((ROOT / "src" / "palaver").rglob("*"))
    for distribution in found.values():
        paths += [Path(str(distribution.locate_file(one))) for one in distribution.files or []]
    return sum(
        path.stat().st_size for path in set(paths) if path.is_file() and path.suffix != ".pyc"
    )


async def measure(bench: Bench) -> None:
    """T15."""
    with folder() as path:
        data = path / "data"
        environment = {"PYTHONPYCACHEPREFIX": str(path / "bytecode"), "PYTHONDONTWRITEBYTECODE": ""}
        sides: dict[str, Side] = {
            SERVE: partial(first_page, data, environment),
            **{name: partial(program, code, environment) for name, code in PROGRAMS.items()},
        }
        for side in sides.values():
            await side()  # cold: writes the bytecode and makes the database
        figures = await bench.compared("start", sides)
    for what, key, unit, goals in (
        ("process to ready, warm", "ready_s", "s", []),
        ("process to first page, warm", "page_s", "s", [Goal(at_most=1.8, against=IMPORTS)]),
        ("CPU to the first page and idle", "cpu_s", "s", []),
        ("memory when idle", "resident_mib", "MiB", [Goal(at_most=1.7, against=IMPORTS)]),
    ):
        bench.add(figures, SERVE, key, what, unit, target="T15", beside=PROGRAMS, goals=goals)
    found = packages()
    count, size = Figure((len(found) + 1.0,)), Figure((installed_bytes(found) / 1e6,))
    weights: Figures = {SERVE: {"packages": count, "size": size}}
    for what, key, unit, goal in (
        ("packages, with Palaver itself", "packages", "", Goal(at_most=45)),
        ("installed size", "size", "MB", Goal(at_most=85)),
    ):
        bench.add(weights, SERVE, key, what, unit, target="T15", goals=[goal])


if __name__ == "__main__":
    main(measure, parser("start", "How heavy it is.").parse_args())
