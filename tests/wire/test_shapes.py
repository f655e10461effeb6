"""The shapes of REST and what `frames` makes are one thing."""

import pytest
from pydantic import ValidationError

from palaver.model import (
    Actor,
    ActorId,
    ActorKind,
    ApiKey,
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
from palaver.wire.live import frames

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


def test_every_field_that_is_written_is_described_and_the_other_way_round() -> None:
    page = Page(messages=(MESSAGE,), before=None, after=None)
    for written, shape in (
        (frames.me(ACTOR), shapes.Me),
        (frames.key(KEY), shapes.Key),
        (frames.room(ROOM), shapes.Room),
        (frames.message(MESSAGE), shapes.Message),
        (frames.page(page), shapes.Messages),
    ):
        shape.model_validate_json(dump(written), strict=True)
        assert written.keys() == shape.model_fields.keys()


def test_a_body_is_taken_as_it_is() -> None:
    wrong: tuple[object, ...] = (1, 1.5, True, None, [], {}, ["a"])
    for text in wrong:
        with pytest.raises(ValidationError):
            shapes.NewMessage.model_validate({"cid": "1", "text": text}, strict=True)
    taken = shapes.NewMessage.model_validate({"cid": "1", "text": "x", "role": "system", "seq": 1})
    assert taken.model_dump() == {"cid": "1", "text": "x", "reply_to": None}
