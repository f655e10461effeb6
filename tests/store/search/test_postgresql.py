"""Nothing in a token means anything to a tsquery."""

from palaver.store.search.index import Wanted
from palaver.store.search.postgresql import query_of


def test_tokens_are_quoted() -> None:
    wanted = Wanted(words=[("a'b\\c", False), ("tr", True)], among=[["x", "y"]])
    assert query_of(wanted) == "'a''b\\\\c' & 'tr':* & ('x' | 'y')"
