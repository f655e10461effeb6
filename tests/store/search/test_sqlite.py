"""Nothing in a token means anything to MATCH."""

from palaver.store.search.index import Wanted
from palaver.store.search.sqlite import match_of


def test_tokens_are_quoted() -> None:
    wanted = Wanted(words=[('a"b', False), ("tr", True)], among=[["x", "y"]])
    assert match_of(wanted) == '"a""b" AND "tr"* AND ("x" OR "y")'
