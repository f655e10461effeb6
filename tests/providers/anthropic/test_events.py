"""The reader of events by itself; through the provider it is tried in test_client."""

from collections.abc import Iterable
from typing import Any

import orjson
from tests.support.anthropic import events, redacted, text, thinking, tool

from palaver.providers.anthropic.events import MessageReader
from palaver.providers.base import BesidePiece, Piece, TextPiece, ToolPiece
from palaver.providers.errors import CallInfo

ASKED = CallInfo(label="Anthropic", name="anthropic", model="m")


def read(told: Iterable[bytes]) -> tuple[MessageReader, list[Piece]]:
    reader = MessageReader(ASKED, "them m")
    pieces: list[Piece] = []
    for one in told:
        value: dict[str, Any] = orjson.loads(one.partition(b"data: ")[2])
        pieces += reader.take(value)
    return reader, pieces


def test_calls_come_in_pieces_with_their_ids_first() -> None:
    reader, pieces = read(
        events(
            text("I look."),
            tool("t1", "look", '{"at"', ": 1}"),
            tool("t2", "wait"),
            stop="tool_use",
        )
    )
    assert pieces == [
        TextPiece("I look."),
        ToolPiece(0, "t1", "look", ""),
        ToolPiece(0, "", "", '{"at"'),
        ToolPiece(0, "", "", ": 1}"),
        ToolPiece(1, "t2", "wait", ""),
        ToolPiece(1, "", "", "{}"),
    ]
    assert reader.done("m").finish == "tool_calls"


def test_what_is_read_can_be_sent_back_as_it_came() -> None:
    reader, _ = read(
        events(
            thinking("Hm", "."),
            redacted("x"),
            text("a", "b"),
            {"type": "server_tool_use", "id": "s", "name": "web", "input": {"q": 1}},
            tool("t", "look", '{"at": 1}'),
        )
    )
    assert [one["type"] for one in reader.content()] == [
        "thinking",
        "redacted_thinking",
        "text",
        "server_tool_use",
        "tool_use",
    ]
    made = {one["type"]: one for one in reader.content()}
    assert made["thinking"]["thinking"] == "Hm."
    assert made["text"]["text"] == "ab"
    assert made["tool_use"]["input"] == {"at": 1}
    assert made["server_tool_use"]["input"] == {"q": 1}


def test_a_call_counts_for_the_thoughts_behind_it() -> None:
    _, pieces = read(events(text("abc"), tool("t", "look"), thinking("Hm")))
    (beside,) = (one for one in pieces if isinstance(one, BesidePiece))
    (block,) = beside.fields["thinking_blocks"]
    assert (block["words"], block["calls"], block["chars"]) == (3, 1, 2)


def test_a_thought_without_a_signature_is_not_kept_for_its_server() -> None:
    told = [one for one in events(thinking("Hm")) if b"signature_delta" not in one]
    _, pieces = read(told)
    assert not [one for one in pieces if isinstance(one, BesidePiece)]
