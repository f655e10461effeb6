"""What is built is what the OpenAPI document and the page's types say."""

from collections.abc import Mapping

from pydantic import TypeAdapter

from palaver.model import (
    Actor,
    ActorId,
    ActorKind,
    ApiKey,
    Event,
    EventType,
    KeyId,
    MemberRole,
    Message,
    MessageId,
    Page,
    Role,
    Room,
    RoomId,
    Scope,
    Status,
    TitleSource,
    Visibility,
)
from palaver.strict_json import dump
from palaver.wire import shapes

ACTOR = Actor(id=ActorId("u_1"), kind=ActorKind.PERSON, name="Ada", guest=True)
KEY = ApiKey(
    id=KeyId("k_1"), name="laptop", actor=ACTOR, scopes=frozenset({Scope.ALL}), created_ms=0
)
ROOM = Room(
    id=RoomId("r_1"),
    title="",
    title_source=TitleSource.NONE,
    visibility=Visibility.PRIVATE,
    seq=1,
    created_ms=0,
    active_ms=0,
    deleted_ms=None,
    role=MemberRole.OWNER,
    read_seq=0,
    unread=0,
    agents=(ACTOR,),
)
MESSAGE = Message(
    id=MessageId("m_1"),
    room=ROOM.id,
    seq=2,
    author=ACTOR.id,
    name="Ada",
    role=Role.USER,
    status=Status.DONE,
    text="hi",
    created_ms=0,
)
SELDOM = {"became", "reactions", "pinned", "starred", "then"}
"""What few messages and pages have."""


def test_what_is_built_is_what_is_described() -> None:
    page = Page(messages=(MESSAGE,), before=None, after=None)
    event = Event(
        room=ROOM.id, seq=2, type=EventType.MESSAGE_CREATED, actor=None, at_ms=0, message=MESSAGE
    )
    built: tuple[tuple[Mapping[str, object], type], ...] = (
        (shapes.me(ACTOR), shapes.Me),
        (shapes.key(KEY), shapes.Key),
        (shapes.room(ROOM), shapes.Room),
        (shapes.message(MESSAGE), shapes.Message),
        (shapes.page(page), shapes.Page),
        (shapes.event(event), shapes.RoomEvent),
    )
    for value, shape in built:
        TypeAdapter(shape).validate_json(dump(value), strict=True)
        assert value.keys() | SELDOM == shape.__annotations__.keys() | SELDOM


def test_times_are_utc_with_milliseconds() -> None:
    assert shapes.moment(1_795_205_700_007) == "2026-11-20T20:15:00.007Z"
    assert shapes.moment(0) == "1970-01-01T00:00:00.000Z"
    assert shapes.moment(-1) == "1969-12-31T23:59:59.999Z"
