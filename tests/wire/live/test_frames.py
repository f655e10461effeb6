"""What is written has the protocol's shapes."""

import json
from typing import Any

import pytest
from pydantic import TypeAdapter

from palaver.core.live import items
from palaver.errors import Code, Refused, Unavailable
from palaver.model import (
    ActorId,
    Event,
    EventType,
    Message,
    MessageId,
    Role,
    RoomId,
    Status,
    TurnId,
)
from palaver.wire import shapes
from palaver.wire.live import frames

ROOM = RoomId("r_1")
MESSAGE = Message(
    id=MessageId("m_1"),
    room=ROOM,
    seq=2,
    author=ActorId("u_1"),
    name="Ada",
    role=Role.USER,
    status=Status.DONE,
    text="hi",
    created_ms=1_795_205_700_007,
)
VIEW = items.StreamView(
    room=ROOM,
    message=MessageId("m_9"),
    turn=TurnId("t_5"),
    agent=ActorId("a_1"),
    agent_name="Assistant",
    after=2,
    n=3,
    text="abc",
    reasoning="",
)


@pytest.mark.parametrize(
    ("item", "frame"),
    [
        (
            items.Opened(VIEW),
            {"t": "s.open", "room": "r_1", "msg": "m_9", "turn": "t_5", "by": "a_1"}
            | {"name": "Assistant", "after": 2},
        ),
        (
            items.Delta(ROOM, MessageId("m_9"), 4, "x", ""),
            {"t": "s.d", "room": "r_1", "msg": "m_9", "n": 4, "x": "x"},
        ),
        (
            items.Delta(ROOM, MessageId("m_9"), 4, "", "hm"),
            {"t": "s.d", "room": "r_1", "msg": "m_9", "n": 4, "r": "hm"},
        ),
        (items.Ended(ROOM, MessageId("m_9")), {"t": "s.end", "room": "r_1", "msg": "m_9"}),
        (
            items.Typing(ROOM, ActorId("u_2"), "Bo"),
            {"t": "typing", "room": "r_1", "by": "u_2", "name": "Bo"},
        ),
        (
            items.RoomChanged(ROOM, 3, 0, 1, (EventType.MESSAGE_CREATED,)),
            {"t": "room", "room": "r_1", "seq": 3, "at": "1970-01-01T00:00:00.000Z", "new": 1}
            | {"k": ["message.created"]},
        ),
        (items.ReadMark(ROOM, 3), {"t": "read", "room": "r_1", "seq": 3}),
        (
            items.Drafted(ROOM, MessageId("m_8"), ActorId("u_1"), "Ada", "hi", 0, "c"),
            {"t": "draft", "room": "r_1", "msg": "m_8", "by": "u_1", "name": "Ada", "text": "hi"}
            | {"cid": "c", "at": "1970-01-01T00:00:00.000Z"},
        ),
        (
            items.Settled(ROOM, "c", MessageId("m_8"), 5, None, None),
            {"t": "ack", "room": "r_1", "cid": "c", "msg": "m_8", "state": "stored", "seq": 5},
        ),
        (
            items.Settled(ROOM, "c", MessageId("m_8"), None, Code.CID_REUSED, "No."),
            {"t": "ack", "room": "r_1", "cid": "c", "msg": "m_8", "state": "rejected"}
            | {"seq": None, "code": "cid_reused", "detail": "No."},
        ),
        (items.DatabaseState(up=False), {"t": "db", "state": "down"}),
        (items.Closing(1500), {"t": "bye", "retry_ms": 1500}),
    ],
)
def test_each_item_has_its_frame(item: items.Item, frame: dict[str, Any]) -> None:
    told = frames.encode(item)
    assert json.loads(told) == frame
    TypeAdapter(frames.Push).validate_json(told, strict=True)


def test_an_event_carries_its_message_as_it_is_now() -> None:
    event = Event(
        room=ROOM,
        seq=2,
        type=EventType.MESSAGE_CREATED,
        actor=ActorId("u_1"),
        at_ms=0,
        message=MESSAGE,
    )
    frame = json.loads(frames.encode(items.Happened(event)))
    assert (frame["t"], frame["k"], frame["seq"]) == ("ev", "message.created", 2)
    assert frame["d"] == shapes.message(MESSAGE)
    assert frame["d"]["deleted_at"] is None


def test_other_events_carry_their_data() -> None:
    event = Event(
        room=ROOM,
        seq=3,
        type=EventType.ROOM_RENAMED,
        actor=None,
        at_ms=0,
        data={"title": "x", "source": "model"},
    )
    assert shapes.event(event) == {
        "room": "r_1",
        "seq": 3,
        "k": "room.renamed",
        "at": "1970-01-01T00:00:00.000Z",
        "by": None,
        "d": {"title": "x", "source": "model"},
    }


def test_a_subscription_is_answered_by_what_was_missed_or_by_the_newest() -> None:
    resumed = frames.joined(items.Joined(room=ROOM, mode="resume", reason=None, seq=5))
    assert resumed == {"t": "sub", "room": "r_1", "mode": "resume", "seq": 5} | {
        "events": [],
        "streams": [],
    }
    reset = frames.joined(
        items.Joined(
            room=ROOM,
            mode="reset",
            reason="gap",
            seq=5,
            messages=(MESSAGE,),
            before=2,
            streams=(VIEW,),
        )
    )
    assert reset["mode"] == "reset"
    assert (reset["reason"], reset["before"], len(reset["messages"])) == ("gap", 2, 1)
    assert reset["streams"][0]["text"] == "abc"


def test_an_error_says_whether_and_when_to_try_again() -> None:
    assert frames.error(Refused(Code.EMPTY_MESSAGE, "Empty.")) == {
        "t": "err",
        "code": "empty_message",
        "detail": "Empty.",
        "temporary": False,
    }
    later = frames.error(Unavailable(Code.TOO_BUSY, "Busy.", retry_ms=5))
    assert (later["temporary"], later.get("retry_ms")) == (True, 5)


def test_the_fields_of_a_frame_are_the_parameters_of_what_carries_it_out() -> None:
    def carries_out(self: object, room: RoomId, seq: int, msg: MessageId | None = None) -> None:
        raise AssertionError((self, room, seq, msg))

    fields = frames.fields_of(carries_out)
    frame = {"room": "r_1", "seq": 3, "more": True}
    assert {name: read(frame, name) for name, read in fields.items()} == {
        "room": "r_1",
        "seq": 3,
        "msg": None,
    }
    for name, wrong in (("room", 1), ("room", None), ("seq", "3"), ("seq", None), ("msg", 1)):
        with pytest.raises(Refused):
            fields[name]({**frame, name: wrong}, name)
