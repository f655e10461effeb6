"""`palaver usage` and `palaver budget …`, without a server."""

from pathlib import Path

import pytest
from tests.support.command import palaver

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
