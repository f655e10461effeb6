import json
from typing import Any

import pytest

from palaver.providers.anthropic.models import FALLBACK, models_of, page_of


def page(**fields: Any) -> bytes:
    return json.dumps({"data": [{"id": "a"}, {"id": 7}, None, {"id": "b"}], **fields}).encode()


def test_a_page_leads_to_the_next_one() -> None:
    assert page_of(page(has_more=False, last_id="b")) == (["a", "b"], None)
    next_page = "/v1/models?limit=1000&after_id=b%26c"
    assert page_of(page(has_more=True, last_id="b&c")) == (["a", "b"], next_page)
    assert page_of(page(has_more=True)) == (["a", "b"], None)


@pytest.mark.parametrize("body", [b"", b"[]", b'{"data": {}}', b"<html>", b"[" * 100_000])
def test_what_is_no_list_is_none(body: bytes) -> None:
    assert page_of(body) is None


def test_the_default_is_the_wanted_one_else_one_of_the_middle_size() -> None:
    ids = ["claude-opus-9", "claude-sonnet-9", "claude-opus-9"]
    assert [one.id for one in models_of(ids, provider="p", wanted=None)] == [
        "claude-sonnet-9",
        "claude-opus-9",
    ]
    wanted = models_of(ids, provider="p", wanted="mine")
    assert [(one.id, one.default) for one in wanted] == [
        ("mine", True),
        ("claude-opus-9", False),
        ("claude-sonnet-9", False),
    ]
    assert [one.id for one in models_of([], provider="p", wanted=None)] == list(FALLBACK)
    assert models_of(["x"], provider="p", wanted=None)[0].id == "x"
