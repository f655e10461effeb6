"""What a model server tells bit by bit is put together as it was."""

from typing import Any

from palaver.providers.fields import grow


def test_texts_and_lists_grow_and_of_anything_else_the_last_word_counts() -> None:
    known: dict[str, Any] = {}
    for told in ({"a": "x", "list": [1], "n": 1}, {"a": "y", "list": [2], "n": 2, "none": None}):
        grow(known, told)
    assert known == {"a": "xy", "list": [1, 2], "n": 2}


def test_what_names_something_is_not_told_in_parts() -> None:
    known: dict[str, Any] = {"id": "a", "type": "text"}
    grow(known, {"id": "b", "type": "text", "left": "out"}, frozenset({"left"}))
    assert known == {"id": "b", "type": "text"}


def test_what_has_an_index_grows_at_its_place_unless_its_id_is_another() -> None:
    known: dict[str, Any] = {"parts": [{"index": 0, "text": "a"}, {"index": 1, "id": "p"}]}
    grow(known, {"parts": [{"index": 0, "text": "b"}, {"index": 1, "id": "q"}]})
    assert known["parts"] == [{"index": 0, "text": "ab"}, *({"index": 1, "id": i} for i in "pq")]
