"""Every benchmark, one after the other, each in a process of its own; one JSON object with all of their reports."""

import argparse
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from typing import Any

from benchmarks.report import ROOT, tell, word_of

NAMES = (
    "start",
    "size",
    "journal",
    "store",
    "read",
    "live",
    "streams",
    "restart",
    "outage",
    "proxy",
    "agent",
    "people",
    "oversight",
    "speaking",
    "search",
    "branches",
)


def run(name: str, arguments: Sequence[str]) -> dict[str, Any] | None:
    """Runs one benchmark; gives its report, or None when it failed, which its output explains."""
    tell(f"\n== {name}")
    command = [sys.executable, "-m", f"benchmarks.{name}", *arguments]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=False)
    return None if done.returncode else json.loads(done.stdout)


def verdicts(reports: dict[str, dict[str, Any] | None]) -> list[tuple[str, bool | None]]:
    """Lines of the table, one a goal in the order of the targets, with whether the goal is met."""
    rows = [row for report in reports.values() if report for row in report["rows"] if row["goals"]]
    rows.sort(key=lambda row: int(row["target"][1:]))
    return [(line_of(row, one), one["met"]) for row in rows for one in row["goals"]]


def line_of(row: dict[str, Any], one: dict[str, Any]) -> str:
    """Line for one goal of a row."""
    reached = "-" if one["reached"] is None else one["reached"]
    verdict = f"{word_of(one['met']):10} {row['target']:4} {row['what']:66}"
    return f"{verdict} {reached:>8}  {one['goal']}"


def main(arguments: Sequence[str]) -> int:
    """Runs the benchmarks; gives 1 when one of them failed. A missed goal is reported, and is no failure."""
    options = argparse.ArgumentParser(prog="python -m benchmarks.all", description=__doc__)
    options.add_argument("--quick", action="store_true", help="small sizes, for a first look")
    options.add_argument("--tiny", action="store_true", help="smallest sizes: does it run at all?")
    options.add_argument("only", nargs="*", metavar="name", help=f"some of {', '.join(NAMES)}")
    given = options.parse_args(arguments)
    unknown = sorted(set(given.only) - set(NAMES))
    if unknown:
        options.error(f"there is no benchmark named {', '.join(unknown)}")
    flags = [flag for flag in ("--quick", "--tiny") if getattr(given, flag[2:])]
    reports = {name: run(name, flags) for name in given.only or NAMES}
    print(json.dumps(reports, indent=1, ensure_ascii=False))
    judged = verdicts(reports)
    tell("")
    for line, _ in judged:
        tell(line)
    words = Counter(word_of(met) for _, met in judged)
    tell(", ".join(f"{count} goals {word}" for word, count in words.items()))
    failed = [name for name, report in reports.items() if report is None]
    if failed:
        tell(f"failed: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
