"""The chain is the same for the same history, on both engines, and says everything that was said."""

from typing import cast

import pytest
from msgspec.structs import replace
from sqlalchemy import Connection, func, select
from tests.store.world import World

from palaver.model import (
    ActorId,
    Event,
    EventType,
    Message,
    MessageId,
    Meta,
    Role,
    Room,
    RoomId,
    Status,
)
from palaver.store import hash_chain
from palaver.store.columns import id_bytes
from palaver.store.schema import (
    events as event_rows,
    messages as message_rows,
    rooms as room_rows,
)

MESSAGE = Message(
    id=MessageId("m_" + "1" * 32),
    room=RoomId("r_" + "2" * 32),
    seq=3,
    author=ActorId("u_" + "4" * 32),
    name="Ada",
    role=Role.USER,
    status=Status.DONE,
    text="Grüße \0 \uf8ff \U0001f600",
    created_ms=1_700_000_000_000,
    cid="a cid",
    meta=cast("Meta", {"b": 0.1, "a": [1, None, "x"]}),
)
EVENT = Event(
    room=MESSAGE.room,
    seq=3,
    type=EventType.MESSAGE_CREATED,
    actor=MESSAGE.author,
    at_ms=MESSAGE.created_ms,
)
SALT = bytes(range(8))


def test_the_digests_are_for_ever() -> None:
    """Databases hold them: another value here means that every one of them would look damaged."""
    said = hash_chain.digest_of_message(MESSAGE, 2, b"")
    assert said.hex() == "6c233710afe00ac31dd4253510da923e"
    assert (
        hash_chain.digest_of_message(MESSAGE, 2, SALT).hex() == "94b84fe6604d0aff923ed6dcaed2e53a"
    )
    assert hash_chain.linked(bytes(16), EVENT, 3, said).hex() == "ac67f78084396fb4eba9c254a3323399"
    assert (
        hash_chain.digest_of_data({"title": "x"}, b"").hex() == "777e8e51fa5c93746104825a167974c8"
    )
    assert (
        hash_chain.digest_of_data({"title": "x"}, SALT).hex() == "20fb3181653b52eb0fe5c16140d07bdc"
    )
    assert hash_chain.digest_of_data({}, SALT) == b""


@pytest.mark.parametrize(
    "changed",
    [
        {"text": "other"},
        {"role": Role.ASSISTANT},
        {"status": Status.STOPPED},
        {"cid": None},
        {"branch": 1},
        {"kind": "x"},
        {"id": MessageId("m_" + "0" * 32)},
        {"meta": {"b": 0.1, "a": [1, None, "y"]}},
    ],
)
def test_whatever_a_message_says_is_in_its_digest(changed: dict[str, object]) -> None:
    assert hash_chain.digest_of_message(
        replace(MESSAGE, **changed), 2, SALT
    ) != hash_chain.digest_of_message(MESSAGE, 2, SALT)


def kept(
    conn: Connection, room: RoomId
) -> tuple[bytes, list[tuple[int | None, bytes, bytes | None]]]:
    """The room's chain; and the subject, the chain and the salt of each of its events, or of its message."""
    key, newest = conn.execute(
        select(room_rows.c.key, room_rows.c.chain).where(room_rows.c.id == room)
    ).one()
    salt = func.coalesce(event_rows.c.salt, message_rows.c.salt)
    said = (message_rows.c.room_key == event_rows.c.room_key) & (
        message_rows.c.seq == event_rows.c.seq
    )
    of_room = (
        select(event_rows.c.message_seq, event_rows.c.chain, salt)
        .select_from(event_rows)
        .outerjoin(message_rows, said)
        .where(event_rows.c.room_key == key)
    )
    return newest, [tuple(row) for row in conn.execute(of_room.order_by(event_rows.c.seq))]


async def expect_chained(world: World, room: Room) -> None:
    newest, links = await world.store.read(kept, room.id)
    before = id_bytes(room.id)
    log = await world.log(room)
    seqs = {event.message.id: event.seq for event in log if event.message}
    salts = [salt for _, _, salt in links if salt is not None]
    assert len({*salts}) == len(salts) == len([one for one in log if one.message or one.data])
    for event, (message_seq, link, salt) in zip(log, links, strict=True):
        said = hash_chain.digest_of_data(event.data, salt or b"")
        if event.message is not None:
            assert salt is not None
            reply_to = event.message.reply_to
            reply_to_seq = None if reply_to is None else seqs[reply_to]
            said = hash_chain.digest_of_message(event.message, reply_to_seq, salt)
        before = hash_chain.linked(before, event, message_seq, said)
        assert link == before
    assert newest == before


async def test_every_event_is_chained_to_the_one_before(world: World) -> None:
    ada, bot = await world.person(), await world.agent()
    room = await world.room(ada, bot, title="A \0 room")
    first = await world.say(room, ada, "from \0 a model \uf8ff", meta={"n": 1.5, "z": {"y": "\0"}})
    await world.say(room, ada, "a reply", reply_to=first.message.id, cid=None)
    await world.say(room, ada, "a question", answers=True)
    for number in range(20):
        await world.say(room, ada, f"{number}")
    await expect_chained(world, room)
