"""What `./test` runs, in which order, and how it is counted.

Every static check counts as one, every test of Python and of the page as itself; the sum is the
last line. A check that cannot run has failed: nothing is passed over in silence, and what pytest
skips, or tries again, is named above the sum.
"""

import hashlib
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import hatch_build  # noqa: E402 - found by the line above

ARTIFACTS = ROOT / "artifacts"
PROGRAMS = Path(sys.executable).parent
DURATIONS = ARTIFACTS / "durations.txt"
"""How long each test of the whole suite took, the last time that it ran."""
SEEN_BY_PYRIGHT = ARTIFACTS / "pyright.json"
CHECKED = ("src", "tests", "examples", "benchmarks", "scripts")
QUICK = "not (browser or fault or package or postgres or slow or torture)"
NOT_QUICK = (
    *(
        "cli/test_data",
        "core/live/test_cluster",
        "store/admin/test_high_water",
        "wire/test_bad_inputs",
    ),
    *("wire/test_classic", "wire/edge/test_protocols", "wire/live/test_connection"),
)
"""Files whose tests each take little, and all together half a minute."""
TITLE_CHARS_MAX = 160
QUICK_EFFORT = 0.05
TORTURE_EFFORT = 20
WORKERS = ("-n", "4", "--dist", "loadfile", "--no-loadscope-reorder")
"""More than cores: many tests wait for processes that they stop, kill or cut off. The order is tests/conftest.py's."""


@dataclass(slots=True)
class Tally:
    """What passed and what failed, so far."""

    passed: int = 0
    failed: int = 0
    failures: list[str] = field(default_factory=list[str])
    skipped: list[str] = field(default_factory=list[str])
    again: list[str] = field(default_factory=list[str])
    seconds: dict[str, float] = field(default_factory=dict[str, float])

    def check(self, name: str, code: int) -> None:
        """Count one check by the exit code of its program."""
        if code == 0:
            self.passed += 1
        else:
            self.failed += 1
            self.failures.append(name)

    def report(self, name: str, code: int, report: Path) -> None:
        """Count the tests in a JUnit report; a run that left none has failed as one."""
        failed = 0
        tries = Counter(map(title_of, cases_in(report)))
        for case in cases_in(report):
            title = title_of(case)
            tries[title] -= 1
            if (
                name == "pytest" and tries[title] and not len(case)
            ):  # it says no more of a first try
                self.again.append(title)
                continue
            self.seconds[title] = float(case.get("time", 0))
            if case.find("failure") is not None or case.find("error") is not None:
                failed += 1
                self.failures.append(title)
            elif case.find("skipped") is not None:
                self.skipped.append(title)
            else:
                self.passed += 1
        if code != 0 and failed == 0:
            failed = 1
            self.failures.append(f"{name} (exit code {code})")
        self.failed += failed

    def durations(self) -> str:
        """Return a line for each test, the longest first: its seconds and its name."""
        slowest_first = sorted(self.seconds.items(), key=itemgetter(1), reverse=True)
        return "".join(
            f"{seconds:9.3f}  {title[:TITLE_CHARS_MAX]}\n" for title, seconds in slowest_first
        )


def main(arguments: Sequence[str]) -> int:
    """Run what is asked for, and return the exit code."""
    ARTIFACTS.mkdir(exist_ok=True)
    tally = Tally()
    match list(arguments):
        case []:
            everything(tally)
        case ["quick"]:
            quick(tally)
        case ["torture", *rest]:
            pytest(tally, ["-m", "torture or seeded", *rest], effort=TORTURE_EFFORT)
        case rest:
            pytest(tally, rest)
    told = {"skipped": tally.skipped, "tried again": tally.again, "FAILED": tally.failures}
    for what, titles in told.items():
        for title in titles:
            say(f"{what}: {title[:TITLE_CHARS_MAX]}")
    say(f"{tally.passed} passed, {tally.failed} failed")
    return 1 if tally.failed or not tally.passed else 0


def everything(tally: Tally) -> None:
    """Check the whole of the project, the quick answers first."""
    ruff(tally)
    tally.check("lint-imports", run("import contracts", program("lint-imports")))
    tally.check("pyright", run("types", program("pyright")))
    page(tally)
    get_browser(tally)
    pytest(tally, [*WORKERS, "-m", "not torture"])
    DURATIONS.write_text(tally.durations(), encoding="utf-8")


def quick(tally: Tally) -> None:
    """Check what can be checked in half a minute; types of the changed files, beside the tests."""
    ruff(tally)
    tally.check("lint-imports", run("import contracts", program("lint-imports")))
    now = digests()
    changed = changed_since_checked(now)
    types = subprocess.Popen(
        [str(PROGRAMS / "pyright"), "--outputjson", *(changed or ["hatch_build.py"])],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    slowest = ("--durations=10", "--durations-min=1")  # those should be marked slow
    passed_by = [f"--ignore=tests/{name}.py" for name in NOT_QUICK]
    pytest(tally, [*WORKERS, "-q", *slowest, "-m", QUICK, *passed_by], effort=QUICK_EFFORT)
    said, _ = types.communicate()
    wrong = type_errors(said)
    say(f"== types of {len(changed)} changed files")
    for error in wrong:
        say(f"{error['file']}:{error['range']['start']['line'] + 1}: {error['message']}")
    tally.check("pyright", types.returncode)
    unseen = {Path(error["file"]).relative_to(ROOT).as_posix() for error in wrong}
    if types.returncode == 0 or unseen:
        seen = {name: digest for name, digest in now.items() if name not in unseen}
        SEEN_BY_PYRIGHT.write_text(json.dumps(seen), encoding="utf-8")


def type_errors(report: str) -> list[dict[str, Any]]:
    """Return what pyright found, from what it printed."""
    try:
        found: list[dict[str, Any]] = json.loads(report)["generalDiagnostics"]
    except (json.JSONDecodeError, KeyError):
        say(report)
        return []
    return [one for one in found if one["severity"] == "error"]


def ruff(tally: Tally) -> None:
    """Check style and format."""
    tally.check("ruff check", run("lint", [*program("ruff"), "check"]))
    tally.check("ruff format", run("format", [*program("ruff"), "format", "--check", "--quiet"]))


def page(tally: Tally) -> None:
    """Check the page's types and run its unit tests."""
    ui, report = ROOT / "ui", ARTIFACTS / "vitest.xml"
    if not (ui / "package.json").is_file():
        say("== there is no page to check: no ui/package.json")
        return
    report.unlink(missing_ok=True)
    try:
        node = hatch_build.find_node(ROOT) or hatch_build.fetch_node(ROOT)
        path = f"{node.program.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
        environment = {**os.environ, "PATH": path, "CI": "1", "NO_UPDATE_NOTIFIER": "1"}
        hatch_build.install_packages(ui, node, environment)
    except hatch_build.FetchError as error:
        say(str(error))
        tally.check("page", 1)
        return
    npm = [*node.npm, "run", "--silent"]
    checked = run("types of the page", [*npm, "check"], cwd=ui, environment=environment)
    tally.check("page types", checked)
    reporters = ["--reporter=default", "--reporter=junit", f"--outputFile.junit={report}"]
    tested = run("page", [*npm, "test", "--", *reporters], cwd=ui, environment=environment)
    tally.report("page tests", tested, report)


def get_browser(tally: Tally) -> None:
    """Have the browser before the tests, whose time it would take; say so when there is none."""
    say("== browser")
    from tests.support.browser import find_chromium  # noqa: PLC0415 - only where it is needed

    try:
        say(str(find_chromium().path))
    except AssertionError as error:
        say(str(error))
        tally.check("browser", 1)


def pytest(tally: Tally, arguments: Sequence[str], *, effort: float = 1) -> None:
    """Run pytest and count its tests; seeded ones live `effort` times their usual number of lives."""
    report = ARTIFACTS / "pytest.xml"
    report.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", f"--junit-xml={report}", *arguments]
    environment = {"PALAVER_TEST_EFFORT": str(effort), **os.environ}
    tally.report("pytest", run("tests", command, environment=environment), report)


def run(
    name: str,
    command: Sequence[str],
    *,
    cwd: Path = ROOT,
    environment: dict[str, str] | None = None,
) -> int:
    """Run one program where it can be watched, and return its exit code."""
    say(f"== {name}")
    try:
        done = subprocess.run(
            command, cwd=cwd, env=environment, stdin=subprocess.DEVNULL, check=False
        )
    except OSError as error:
        say(str(error))
        return 1
    return done.returncode


def program(name: str) -> list[str]:
    """Return the command of a program of this environment."""
    return [str(PROGRAMS / name)]


def title_of(case: ET.Element) -> str:
    """Return the name of a test and of where it stands."""
    return f"{case.get('classname', '')}::{case.get('name', '')}"


def cases_in(report: Path) -> list[ET.Element]:
    """Return the test cases of a JUnit report of our own making."""
    if not report.is_file():
        return []
    return list(ET.parse(report).iter("testcase"))


def digests() -> dict[str, str]:
    """Return a digest of each Python file, and of what decides how it is checked."""
    files = [ROOT / "pyproject.toml", ROOT / "requirements-dev.lock", ROOT / "hatch_build.py"]
    for folder in CHECKED:
        files += sorted((ROOT / folder).rglob("*.py"))
    return {
        path.relative_to(ROOT).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


def changed_since_checked(now: dict[str, str]) -> list[str]:
    """Return the Python files that the type checker has not passed as they are."""
    try:
        seen: dict[str, str] = json.loads(SEEN_BY_PYRIGHT.read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        seen = {}
    settings = ("pyproject.toml", "requirements-dev.lock")
    if any(seen.get(name) != now[name] for name in settings):
        seen = {}
    return [name for name in now if name.endswith(".py") and seen.get(name) != now[name]]


def say(text: str) -> None:
    """Print at once, in order with what the programs print."""
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
