"""The benchmarks run, in their smallest size, and say what they promise to say. No figure is judged here."""

import json
import random
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from benchmarks import all as every
from benchmarks.report import Figure, Goal, Row, percentile
from benchmarks.rounds import Sample, interleaved
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
}
OF_THE_DAY = random.Random(int(time.time()) // 86_400).sample(every.NAMES, 4)
"""`./test` runs so many of them, others each day; `./test torture` runs all."""
MEASURED = {"median", "min", "max", "rounds"}


def test_every_benchmark_is_run_by_all() -> None:
    assert set(every.NAMES) == set(TARGETS)
    for name in every.NAMES:
        assert callable(import_module(f"benchmarks.{name}").measure)


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
    assert (row["goal"] is None) == (row["target"] == "")
    if row["goal"] is None:
        assert row["met"] is None


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
    assert met(Goal(at_most=10)) is True
    assert met(Goal(at_most=9)) is False
    assert met(Goal(at_least=2, against="raw")) is True
    assert met(Goal(at_least=3, against="raw")) is False


def test_nothing_is_judged_without_a_goal_or_its_baseline() -> None:
    assert met(None) is None
    assert met(Goal(at_least=3, against="something that is not installed")) is None


def met(goal: Goal | None) -> bool | None:
    """Whether 10 ms, beside 5 of the baseline, meet it."""
    row = Row(
        target="T0",
        what="a thing",
        unit="ms",
        figure=Figure((10.0,)),
        baselines={"raw": Figure((5.0,))},
        goal=goal,
    )
    assert row.plain()["met"] is row.met
    return row.met


def test_all_counts_what_is_met_and_names_what_is_not() -> None:
    rows = [
        {"target": "T1", "what": "a", "goal": ">= 5", "met": True},
        {"target": "T2", "what": "b", "goal": ">= 4", "met": False},
        {"target": "", "what": "c", "goal": None, "met": None},
    ]
    assert every.verdicts({"store": {"rows": rows}, "read": None}) == (1, ["T2 b: >= 4"])


def test_a_percentile_is_a_value_that_was_measured() -> None:
    values = [float(number) for number in range(1, 101)]
    assert percentile(values, 50) == 51.0
    assert percentile(values, 99) == 100.0
    assert percentile([3.0], 99) == 3.0
