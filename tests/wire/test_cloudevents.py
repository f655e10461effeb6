"""What each event says as a CloudEvent, and that every type has declared data."""

from palaver.model import AUDITED, ActorId, Event, EventType, MessageId, RoomId
from palaver.wire.cloudevents import DATA, cloud_event

ROOM, MESSAGE = RoomId("r_" + "1" * 32), MessageId("m_" + "2" * 32)


def event(type_: EventType, by: ActorId | None, **data: object) -> Event:
    return Event(ROOM, 7, type_, by, 1_000, None, data, None)


def test_every_type_that_is_no_matter_of_the_audit_room_has_declared_data() -> None:
    assert set(DATA) == set(EventType) - set(AUDITED)


def test_an_event_names_its_room_its_seq_and_what_it_is_about() -> None:
    by = ActorId("u_" + "3" * 32)
    told = cloud_event(event(EventType.MESSAGE_DELETED, by, msg=MESSAGE, seq=3))
    assert told == {
        "specversion": "1.0",
        "id": f"{ROOM}:7",
        "source": f"/rooms/{ROOM}",
        "type": "chat.palaver.message.deleted",
        "subject": MESSAGE,
        "time": "1970-01-01T00:00:01.000Z",
        "datacontenttype": "application/json",
        "data": {"msg": MESSAGE, "seq": 3},
        "sequence": "7",
        "partitionkey": ROOM,
        "actor": by,
    }


def test_what_nobody_did_and_what_is_about_no_message_says_neither() -> None:
    told = cloud_event(event(EventType.ROOM_ARCHIVED, None))
    assert told.keys().isdisjoint({"subject", "actor"})
    assert all(value is not None for value in told.values()), "null is no value of an attribute"
