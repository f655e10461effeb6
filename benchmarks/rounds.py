"""Measuring side by side: every side runs once in each round, and the order turns from round to round.

A side gives a `Sample`: a number for each thing that it measured. What comes out are figures by side and by name.
"""

import argparse
import asyncio
import gc
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Generator, Iterable, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from benchmarks.report import Figure, Goal, Report, Row, hand_over, percentile, tell

Sample = dict[str, float]
Side = Callable[[], Awaitable[Sample]]
Figures = dict[str, dict[str, Figure]]
T = TypeVar("T")

ROUNDS = 5
ROUNDS_QUICK = 3


@dataclass(frozen=True, slots=True)
class Bench:
    """Benchmark under way: its options, and the report to fill."""

    options: argparse.Namespace
    report: Report

    @property
    def rounds(self) -> int:
        """Number of rounds."""
        if self.options.rounds is not None:
            return int(self.options.rounds)
        return self.sized(ROUNDS, ROUNDS_QUICK, 1)

    def sized(self, full: T, quick: T, tiny: T) -> T:
        """Picks one of three sizes, by the options."""
        return tiny if self.options.tiny else quick if self.options.quick else full

    async def compared(self, what: str, sides: Mapping[str, Side]) -> Figures:
        """Measures the sides in turns."""
        return await interleaved(what, sides, self.rounds)

    def add(
        self,
        figures: Figures,
        side: str,
        key: str,
        what: str,
        unit: str,
        *,
        target: str = "",
        beside: Iterable[str] = (),
        goals: Iterable[Goal] = (),
    ) -> None:
        """Adds a row: one quantity of a side, beside the same of others and of the baselines of its goals.

        A baseline that was not above zero in every round is left out: no ratio to it means anything.
        """
        judged = tuple(goals)
        against = [goal.against for goal in judged if goal.against is not None]
        names = dict.fromkeys([*beside, *against])
        found = {name: figures[name][key] for name in names if name in figures}
        row = Row(
            target=target if judged else "",
            what=what,
            unit=unit,
            figure=figures[side][key],
            baselines={name: one for name, one in found.items() if min(one.values) > 0},
            goals=judged,
        )
        self.report.rows.append(row)


async def interleaved(what: str, sides: Mapping[str, Side], rounds: int) -> Figures:
    """Measures the sides in turns; gives `figures[side][name]`."""
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


def blocking(measure: Callable[..., Sample], *given: object, **named: object) -> Side:
    """Side of a function that holds up the event loop while it measures."""

    async def side() -> Sample:
        return measure(*given, **named)

    return side


def of_latencies(seconds: list[float], wall: float) -> Sample:
    """Rate and latency of calls that took `seconds` each, all within `wall` seconds."""
    return {
        "rate": len(seconds) / wall,
        "p50_ms": percentile(seconds, 50) * 1000,
        "p99_ms": percentile(seconds, 99) * 1000,
    }


async def repeat(count: int, call: Callable[[], Awaitable[object]]) -> Sample:
    """Makes one call after the other; gives rate and latency."""
    taken: list[float] = []
    began = time.perf_counter()
    for _ in range(count):
        start = time.perf_counter()
        await call()
        taken.append(time.perf_counter() - start)
    return of_latencies(taken, time.perf_counter() - began)


def parser(name: str, about: str) -> argparse.ArgumentParser:
    """Parser of the options that all benchmarks share."""
    options = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}", description=about)
    options.set_defaults(benchmark=name)
    options.add_argument("--rounds", type=int, default=None, help="default 5, with --quick 3")
    options.add_argument("--quick", action="store_true", help="small sizes, for a first look")
    options.add_argument("--tiny", action="store_true", help="smallest sizes: does it run at all?")
    return options


@contextmanager
def folder() -> Generator[Path]:
    """Makes a folder for the databases, in the system's temporary one (best on a real disk)."""
    with tempfile.TemporaryDirectory(prefix="palaver-bench-") as path:
        yield Path(path)


def main(measure: Callable[[Bench], Awaitable[None]], options: argparse.Namespace) -> None:
    """Runs a benchmark on uvloop, as the server does, and prints its report."""
    bench = Bench(options, Report(options.benchmark, {}))
    bench.report.parameters["rounds"] = bench.rounds

    async def run() -> None:
        with redirect_stdout(sys.stderr):  # logs of the library go where the progress goes
            await measure(bench)

    loop = None
    if sys.platform != "win32":
        import uvloop  # noqa: PLC0415  not there on Windows

        loop = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(run())
    hand_over(bench.report)
