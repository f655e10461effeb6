"""The benchmarks run, in their smallest size, and say what they promise to say. No figure is judged here."""

import json
import random
import re
import subprocess
import sys
import time
from argparse import Namespace
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from benchmarks import all as every
from benchmarks.report import Figure, Goal, Report, Row, percentile
from benchmarks.rounds import Bench, Sample, interleaved
from tests.support.server import clean_environment

ROOT = Path(__file__).resolve().parents[1]
TARGETS = {
    "store": {"T1", "T2", "T3"},
    "read": {"T4", "T5", "T6"},
    "live": {"T7", "T8", "T9", "T10"},
    "streams": {"T14"},
    "start": {"T15"},
    "size": {"T18"},
    "journal": {"T11"},
    "restart": {"T12"},
    "outage": set[str](),
    "proxy": {"T13"},
    "agent": {"T22"},
    "people": {"T23", "T24", "T25", "T26"},
    "oversight": {"T27"},
    "speaking": {"T28"},
    "search": {"T17"},
    "branches": set[str](),
}
OF_THE_DAY = random.Random(int(time.time()) // 86_400).sample(every.NAMES, 2)
"""`./test` runs so many of them, others each day; `./test torture` runs all."""
MEASURED = {"median", "min", "max", "rounds"}


def test_every_benchmark_is_run_by_all() -> None:
    assert set(every.NAMES) == set(TARGETS)
    for name in every.NAMES:
        assert callable(import_module(f"benchmarks.{name}").measure)


def test_every_goal_has_its_row_on_the_page() -> None:
    page = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (T\d+) \| `benchmarks\.(\w+)`", page, re.MULTILINE)
    assert sorted(rows) == sorted((target, name) for name in TARGETS for target in TARGETS[name])


@pytest.fixture(scope="module")
def bytecode(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """They start a dozen servers; where Python keeps no bytecode, these would compile everything each time."""
    folder = tmp_path_factory.mktemp("bytecode")
    return {"PYTHONPYCACHEPREFIX": str(folder), "PYTHONDONTWRITEBYTECODE": ""}


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name in OF_THE_DAY else pytest.mark.torture)
        for name in every.NAMES
    ],
)
def test_a_benchmark_hands_over_its_figures(name: str, bytecode: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{name}", "--tiny"],
        cwd=ROOT,
        env=clean_environment(bytecode),
        capture_output=True,
        check=False,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-4_000:]
    report = json.loads(done.stdout)
    assert report["benchmark"] == name
    assert {"system", "processor", "cores", "memory_mib", "load"} == set(report["machine"])
    assert {"python", "sqlite", "palaver"} < set(report["versions"])
    assert set(report["commit"]) == {"id", "changed"}
    assert report["parameters"]
    assert {row["target"] for row in report["rows"]} - {""} == TARGETS[name]
    for row in report["rows"]:
        check(row)


def check(row: dict[str, Any]) -> None:
    assert row["what"]
    assert set(row["baselines"]) == set(row["ratios"])
    for figure in (row["figure"], *row["baselines"].values(), *row["ratios"].values()):
        assert set(figure) == MEASURED
        assert figure["min"] <= figure["median"] <= figure["max"]
    assert (row["goals"] == []) == (row["target"] == "")
    for one in row["goals"]:
        assert set(one) == {"goal", "reached", "met"}
        assert (one["reached"] is None) == (one["met"] is None)


async def test_sides_take_turns_in_going_first() -> None:
    went: list[str] = []

    async def side(name: str, value: float) -> Sample:
        went.append(name)
        return {"ms": value}

    sides = {"ours": lambda: side("ours", 2.0), "theirs": lambda: side("theirs", 1.0)}
    figures = await interleaved("a test", sides, 2)
    assert went == ["ours", "theirs", "theirs", "ours"]
    assert figures["ours"]["ms"] == Figure((2.0, 2.0))


def test_a_ratio_is_taken_within_each_round() -> None:
    ours, theirs = Figure((10.0, 100.0, 30.0)), Figure((5.0, 25.0, 10.0))
    assert ours.over(theirs).values == (2.0, 4.0, 3.0)
    assert ours.over(theirs).median == 3.0


def test_a_goal_is_judged_by_the_figure_or_by_its_ratio() -> None:
    assert verdicts(Goal(at_most=10)) == [(10.0, True)]
    assert verdicts(Goal(at_most=9)) == [(10.0, False)]
    assert verdicts(Goal(at_least=2, against="raw")) == [(2.0, True)]
    assert verdicts(Goal(at_least=3, against="raw")) == [(2.0, False)]


def test_a_figure_may_have_several_goals_each_judged_by_itself() -> None:
    assert verdicts(Goal(at_most=1.5, against="raw"), Goal(at_most=20)) == [
        (2.0, False),
        (10.0, True),
    ]


def test_nothing_is_judged_without_a_goal_or_its_baseline() -> None:
    assert verdicts() == []
    missing = Goal(at_least=3, against="something that is not installed")
    assert verdicts(missing) == [(None, None)]


def verdicts(*goals: Goal) -> list[tuple[float | None, bool | None]]:
    """What of them is reached, and whether it is met, by 10 ms beside 5 of the baseline."""
    row = Row(
        target="T0",
        what="a thing",
        unit="ms",
        figure=Figure((10.0,)),
        baselines={"raw": Figure((5.0,))},
        goals=goals,
    )
    assert row.plain()["goals"] == row.verdicts
    assert [one["goal"] for one in row.verdicts] == [str(goal) for goal in goals]
    return [(one["reached"], one["met"]) for one in row.verdicts]


def test_a_row_stands_beside_the_baselines_of_its_goals() -> None:
    bench = Bench(Namespace(rounds=1), Report("a test", {}))
    figures = {"ours": {"ms": Figure((4.0,))}, "raw": {"ms": Figure((2.0,))}}
    goals = [Goal(at_most=3, against="raw"), Goal(at_most=1, against="missing")]
    bench.add(figures, "ours", "ms", "a thing", "ms", target="T0", goals=goals)
    bench.add(figures, "ours", "ms", "the same, for orientation", "ms", target="T0")
    judged, plain = (row.plain() for row in bench.report.rows)
    assert set(judged["ratios"]) == {"raw"}
    assert [one["met"] for one in judged["goals"]] == [True, None]
    assert (plain["target"], plain["ratios"], plain["goals"]) == ("", {}, [])


def test_nothing_is_judged_by_a_baseline_that_is_not_above_zero() -> None:
    bench = Bench(Namespace(rounds=2), Report("a test", {}))
    figures = {"ours": {"ms": Figure((4.0, 4.0))}, "relay": {"ms": Figure((2.0, -1.0))}}
    goal = Goal(at_most=3, against="relay")
    bench.add(figures, "ours", "ms", "added", "ms", target="T0", goals=[goal])
    assert bench.report.rows[0].ratios == {}
    assert [one["met"] for one in bench.report.rows[0].verdicts] == [None]


def test_all_tells_of_each_goal_whether_it_is_met() -> None:
    rows = [
        told("T13", "a", {"goal": "<= 3 x b", "reached": None, "met": None}),
        told("T2", "b", {"goal": ">= 3", "reached": 2.5, "met": False}),
        told("T1", "c", {"goal": ">= 5", "reached": 5.5, "met": True}),
        told("", "d"),
    ]
    lines = every.verdicts({"store": {"rows": rows}, "read": None})
    assert [(line.split(), met) for line, met in lines] == [
        (["met", "T1", "c", "5.5", ">=", "5"], True),
        (["MISSED", "T2", "b", "2.5", ">=", "3"], False),
        (["not", "judged", "T13", "a", "-", "<=", "3", "x", "b"], None),
    ]


def told(target: str, what: str, *goals: dict[str, Any]) -> dict[str, Any]:
    """A row of a report, as far as `all` reads it."""
    return {"target": target, "what": what, "goals": list(goals)}


def test_a_percentile_is_a_value_that_was_measured() -> None:
    values = [float(number) for number in range(1, 101)]
    assert percentile(values, 50) == 51.0
    assert percentile(values, 99) == 100.0
    assert percentile([3.0], 99) == 3.0
