"""What a benchmark hands over: rows of figures with their baselines, as JSON for machines and a table for people.

A figure is the median of several rounds with its minimum and maximum. Every ratio is taken within one round, in which
the sides ran one after the other on the same machine in the same minute, and the median of those ratios is what a goal
is held against: the machine may be slow or busy, the ratio stays. Absolute figures are orientation.

JSON goes to standard output, everything else to standard error.
"""

import json
import os
import platform
import sqlite3
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = (
    "palaver",
    "sqlalchemy",
    "asyncpg",
    "aiosqlite",
    "uvicorn",
    "uvloop",
    "websockets",
    "orjson",
)

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Figure:
    """Measured quantity, a value a round."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """Median of the rounds."""
        return statistics.median(self.values)

    def over(self, other: "Figure") -> "Figure":
        """Ratios to `other`, round by round."""
        pairs = zip(self.values, other.values, strict=True)
        return Figure(tuple(mine / theirs for mine, theirs in pairs))

    def minus(self, other: "Figure") -> "Figure":
        """Differences to `other`, round by round."""
        pairs = zip(self.values, other.values, strict=True)
        return Figure(tuple(mine - theirs for mine, theirs in pairs))

    def plain(self) -> Json:
        """For JSON."""
        return {
            "median": rounded(self.median),
            "min": rounded(min(self.values)),
            "max": rounded(max(self.values)),
            "rounds": len(self.values),
        }

    def __str__(self) -> str:
        low, high = shown(min(self.values)), shown(max(self.values))
        return shown(self.median) if low == high else f"{shown(self.median)} ({low}-{high})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """Bound for a figure, or for its ratio to the baseline named `against`."""

    at_least: float | None = None
    at_most: float | None = None
    against: str | None = None

    def met(self, reached: float) -> bool:
        """Whether `reached` keeps the bound."""
        return (self.at_least is None or reached >= self.at_least) and (
            self.at_most is None or reached <= self.at_most
        )

    def __str__(self) -> str:
        sign, bound = (">=", self.at_least) if self.at_least is not None else ("<=", self.at_most)
        assert bound is not None, "a goal has a bound"
        return f"{sign} {bound:g}" + (f" x {self.against}" if self.against else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Figure beside its baselines. `target`: its number in docs/benchmarks.md, "" for orientation."""

    target: str
    what: str
    unit: str
    figure: Figure
    baselines: Mapping[str, Figure] = field(default_factory=dict[str, Figure])
    goals: tuple[Goal, ...] = ()
    note: str = ""

    @property
    def ratios(self) -> dict[str, Figure]:
        """Ratios of the figure to each baseline."""
        return {name: self.figure.over(other) for name, other in self.baselines.items()}

    def reached(self, goal: Goal) -> float | None:
        """Figure or ratio that a goal asks for; None where its baseline is missing."""
        if goal.against is None:
            return self.figure.median
        ratio = self.ratios.get(goal.against)
        return None if ratio is None else ratio.median

    @property
    def verdicts(self) -> list[Json]:
        """Verdict on each goal; `met` is None where its baseline is missing."""
        found = [(goal, self.reached(goal)) for goal in self.goals]
        return [
            {
                "goal": str(goal),
                "reached": None if reached is None else rounded(reached),
                "met": None if reached is None else goal.met(reached),
            }
            for goal, reached in found
        ]

    def plain(self) -> Json:
        """For JSON."""
        return {
            "target": self.target,
            "what": self.what,
            "unit": self.unit,
            "figure": self.figure.plain(),
            "baselines": {name: other.plain() for name, other in self.baselines.items()},
            "ratios": {name: ratio.plain() for name, ratio in self.ratios.items()},
            "goals": self.verdicts,
            "note": self.note,
        }

    def __str__(self) -> str:
        parts = [f"{self.target or '-':4} {self.what:58} {self.figure!s:>26} {self.unit}"]
        parts += [f"{ratio.median:.2f} x {name}" for name, ratio in self.ratios.items()]
        parts += [f"goal {one['goal']}: {word_of(one['met'])}" for one in self.verdicts]
        return " | ".join(parts)


@dataclass(slots=True)
class Report:
    """Rows of one benchmark."""

    benchmark: str
    parameters: Json
    rows: list[Row] = field(default_factory=list[Row])
    missing: list[str] = field(default_factory=list[str])

    def lacks(self, why: str) -> None:
        """Notes that something could not be measured."""
        self.missing.append(why)
        tell(f"not measured: {why}")

    def plain(self) -> Json:
        """For JSON."""
        return {
            "benchmark": self.benchmark,
            "machine": machine(),
            "commit": commit(),
            "versions": versions(),
            "parameters": self.parameters,
            "rows": [row.plain() for row in self.rows],
            "missing": self.missing,
        }


def hand_over(report: Report) -> None:
    """Prints the table and the JSON."""
    tell(f"\n{report.benchmark}")
    for row in report.rows:
        tell(str(row))
    for why in report.missing:
        tell(f"not measured: {why}")
    print(json.dumps(report.plain(), indent=1, ensure_ascii=False))


def word_of(met: bool | None) -> str:  # noqa: FBT001  a verdict
    """Word for a verdict."""
    return {True: "met", False: "MISSED", None: "not judged"}[met]


def tell(line: str) -> None:
    """Prints a line for whoever waits."""
    print(line, file=sys.stderr, flush=True)


def shown(number: float) -> str:
    """Formats a number with three digits."""
    if abs(number) >= 100:
        return f"{number:,.0f}"
    return f"{number:.1f}" if abs(number) >= 10 else f"{number:.3g}"


def rounded(number: float) -> float:
    """Rounds to four digits: more is noise."""
    return float(f"{number:.4g}") if abs(number) < 10_000 else round(number)


def percentile(values: Sequence[float], percent: float) -> float:
    """Value that `percent` of them do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def machine() -> Json:
    """Machine, with its load now."""
    return {
        "system": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_mib": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20,
        "load": [round(one, 2) for one in os.getloadavg()],
    }


def commit() -> Json:
    """Commit of this checkout."""
    return {
        "id": _git("rev-parse", "HEAD"),
        "changed": bool(_git("status", "--porcelain", "--", "src", "benchmarks")),
    }


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that take part."""
    found = {"python": platform.python_version(), "sqlite": sqlite3.sqlite_version}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def _git(*arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return done.stdout.strip()


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
