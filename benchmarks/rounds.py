"""Measuring side by side: every side runs once in each round, and the order turns from round to round.

A side gives a `Sample`: a number for each thing that it measured. What comes out are figures by side and by name.
"""

import argparse
import asyncio
import gc
import sys
import tempfile
from collections.abc import Awaitable, Callable, Generator, Iterable, Mapping
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import TypeVar

from benchmarks.report import Figure, Report, hand_over, percentile, tell

Sample = dict[str, float]
Side = Callable[[], Awaitable[Sample]]
Figures = dict[str, dict[str, Figure]]
T = TypeVar("T")

ROUNDS = 5
ROUNDS_QUICK = 3


async def interleaved(what: str, sides: Mapping[str, Side], rounds: int) -> Figures:
    """The figures of each side: `figures[side][name]`."""
    samples: dict[str, list[Sample]] = {name: [] for name in sides}
    names = list(sides)
    for number in range(rounds):
        tell(f"  {what}: round {number + 1} of {rounds}")
        for name in names[number % len(names) :] + names[: number % len(names)]:
            gc.collect()
            samples[name].append(await sides[name]())
    return {
        name: {key: Figure(tuple(one[key] for one in taken)) for key in taken[0]}
        for name, taken in samples.items()
    }


def of_key(figures: Figures, key: str, names: Iterable[str]) -> dict[str, Figure]:
    """One quantity of several sides."""
    return {name: figures[name][key] for name in names}


def of_latencies(seconds: list[float], wall: float) -> Sample:
    """Rate and latency of calls that took so long, all of them within `wall` seconds."""
    return {
        "rate": len(seconds) / wall,
        "p50_ms": percentile(seconds, 50) * 1000,
        "p99_ms": percentile(seconds, 99) * 1000,
    }


def parser(name: str, about: str) -> argparse.ArgumentParser:
    """The options that all benchmarks share."""
    options = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}", description=about)
    options.add_argument("--rounds", type=int, default=None, help="default 5, with --quick 3")
    options.add_argument("--quick", action="store_true", help="small sizes, for a first look")
    options.add_argument("--tiny", action="store_true", help="smallest sizes: does it run at all?")
    return options


def rounds_of(options: argparse.Namespace) -> int:
    """How many rounds."""
    if options.rounds is not None:
        return int(options.rounds)
    return 1 if options.tiny else ROUNDS_QUICK if options.quick else ROUNDS


def sized(options: argparse.Namespace, full: T, quick: T, tiny: T) -> T:
    """One of three sizes, by the options."""
    return tiny if options.tiny else quick if options.quick else full


@contextmanager
def folder() -> Generator[Path]:
    """A folder for the databases, on a real disk where the system's temporary folder is one."""
    with tempfile.TemporaryDirectory(prefix="palaver-bench-") as path:
        yield Path(path)


def main(
    measure: Callable[[argparse.Namespace], Awaitable[Report]], options: argparse.Namespace
) -> None:
    """Runs a benchmark on uvloop, as the server does, and hands over what it found."""

    async def run() -> Report:
        with redirect_stdout(sys.stderr):  # logs of the library go where the progress goes
            return await measure(options)

    loop = None
    if sys.platform != "win32":
        import uvloop  # noqa: PLC0415  not there on Windows

        loop = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=loop) as runner:
        hand_over(runner.run(run()))
