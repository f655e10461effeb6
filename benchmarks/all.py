"""Every benchmark, one after the other, each in a process of its own; one JSON object with all of their reports."""

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from benchmarks.report import ROOT, tell

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
)


def run(name: str, arguments: Sequence[str]) -> dict[str, Any] | None:
    """One benchmark's report; None when it failed, which its output explains."""
    tell(f"\n== {name}")
    command = [sys.executable, "-m", f"benchmarks.{name}", *arguments]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=False)
    return None if done.returncode else json.loads(done.stdout)


def verdicts(reports: dict[str, dict[str, Any] | None]) -> tuple[int, list[str]]:
    """How many goals are met, and the ones that are not."""
    rows = [row for report in reports.values() if report for row in report["rows"]]
    missed = [
        f"{row['target']} {row['what']}: {row['goal']}" for row in rows if row["met"] is False
    ]
    return sum(row["met"] is True for row in rows), missed


def main(arguments: Sequence[str]) -> int:
    """Runs them; 1 when one of them failed. A goal that is missed is told, and is no failure."""
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
    met, missed = verdicts(reports)
    tell(f"\n{met} goals met, {len(missed)} missed")
    for one in missed:
        tell(f"missed: {one}")
    failed = [name for name, report in reports.items() if report is None]
    if failed:
        tell(f"failed: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
