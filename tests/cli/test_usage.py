"""`palaver usage` and `palaver budget …`, without a server."""

from pathlib import Path
from typing import Any

import pytest
from tests.support.command import palaver

from palaver.cli.usage import told as told_of

pytestmark = pytest.mark.slow  # each test starts processes


def test_budgets_are_set_listed_and_taken_away(tmp_path: Path) -> None:
    assert palaver(tmp_path, "user", "create", "ada").code == 0
    made = palaver(
        *(tmp_path, "budget", "set", "person", "--of", "ada", "--period", "day"),
        *("--tokens", "200000", "--dollars", "1.5"),
    )
    assert made.out.startswith("person ada  a day  0 of 200,000 tokens, $0.00 of $1.50  until 20")
    (told,) = palaver(tmp_path, "budget", "list", "--json").json["budgets"]
    assert (told["tokens"], told["cost_micros"]) == (200_000, 1_500_000)
    wrong = palaver(tmp_path, "budget", "set", "room", "--tokens", "1")
    assert "[bad_request]" in wrong.err
    gone = palaver(tmp_path, "budget", "set", "person", "--of", "ada", "--period", "day")
    assert gone.out.startswith("There are no budgets.")
    used = palaver(tmp_path, "usage", "--by", "person")
    assert used.out.splitlines()[-2] == "in all  0 answers  0 in  0 out  $0.00"


@pytest.mark.parametrize(
    ("first", "most", "told"),
    [
        (15, 999, "15 ms (half of them), 999 ms (95"),
        (1_000, 2_340, "1.0 s (half of them), 2.3 s (95"),
    ],
)
def test_short_times_are_told_in_milliseconds(first: int, most: int, told: str) -> None:
    row = {"answers": 1, "input": 1, "output": 2, "failed": 0, "cost_micros": None, "unpriced": 1}
    report: dict[str, Any] = {
        "first_day": "2026-01-01",
        "last_day": "2026-01-30",
        "rows": [],
        "total": {**row, "first_p50_ms": first, "first_p95_ms": most},
        "messages": {"2026-01-30": 1},
        "database_bytes": 2_000_000,
    }
    _, total, began, size = told_of(report)
    assert total.startswith("in all  1 answer  1 in")
    assert told in began
    assert size.startswith("1 message  ")
