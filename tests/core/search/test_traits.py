"""What a message has beside its words is told from its kind, its text and its meta."""

from typing import Any

import pytest

from palaver.core.search.query import Trait
from palaver.core.search.traits import lasting, traits_of
from palaver.model import ActorId, Kind, Message, MessageId, Role, RoomId, Status

CASES: list[tuple[Kind, str, dict[str, Any], set[Trait]]] = [
    (Kind.TEXT, "plain", {}, set()),
    (Kind.TEXT, "see HTTPS://example.org", {}, {Trait.LINK}),
    (Kind.TEXT, "https:// alone", {}, set()),
    (Kind.TEXT, "use `x`", {}, {Trait.CODE}),
    (Kind.TEXT, "```\nx\n```", {}, {Trait.CODE}),
    (Kind.TEXT, "a ` alone", {}, set()),
    (Kind.TEXT, "", {"parts": [{"type": "input_image"}]}, {Trait.FILE}),
    (Kind.TEXT, "", {"parts": [{"type": "text", "text": "x"}]}, set()),
    (Kind.TOOL_CALL, "{}", {}, {Trait.TOOL}),
    (Kind.TOOL_RESULT, "4", {}, {Trait.TOOL}),
    (Kind.REASONING, "hm", {}, {Trait.THOUGHT}),
    (Kind.TEXT, "yes", {"reasoning": "hm"}, {Trait.THOUGHT}),
]


@pytest.mark.parametrize(("kind", "text", "meta", "wanted"), CASES)
def test_lasting_traits(kind: Kind, text: str, meta: dict[str, Any], wanted: set[Trait]) -> None:
    assert lasting(kind, text, meta) == wanted


def test_what_may_change_is_told_of_the_message_as_it_is() -> None:
    ids = (MessageId("m_1"), RoomId("r_1"), 1, ActorId("a_1"), "Bot")
    message = Message(*ids, Role.ASSISTANT, Status.FAILED, "`x`", 0, edited_ms=1)
    assert traits_of(message) == {Trait.CODE, Trait.FAILED, Trait.EDITED}
