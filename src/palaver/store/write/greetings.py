"""Lets an agent greet when it comes into a room, by the transaction that makes it a member: once, whatever dies."""

from sqlalchemy import and_, bindparam, exists, func, select

from palaver.cards.characters import greeting_of
from palaver.model import Message, MessageId, Role, RoomSettings, Status
from palaver.store.engine.statement import Statement, updating
from palaver.store.read import agents
from palaver.store.schema import member_is_in, members, messages
from palaver.store.write.transaction import KnownActor, LockedRoom, Transaction

_here = (
    select(members.c.actor_key)
    .where(member_is_in, members.c.room_key == bindparam("room_key"))
    .limit(3)
)
_HERE = Statement(select(func.count()).select_from(_here.subquery()), "room_key")
_NEAR = 200
_said_since = (
    select(messages.c.author_key)
    .where(messages.c.room_key == members.c.room_key, messages.c.seq > members.c.read_seq)
    .limit(_NEAR)
    .correlate(members)
    .subquery()
)
_has_read_all = and_(
    members.c.read_seq >= bindparam("new_read_seq") - _NEAR,
    ~exists().where(_said_since.c.author_key != members.c.actor_key),
)
_READ_ALL = updating((members.c.room_key, members.c.actor_key), "read_seq", where=_has_read_all)
"""What somebody has read, who has read all that others said."""


def greet(
    tx: Transaction,
    room: LockedRoom,
    agent: KnownActor,
    by: KnownActor | None,
    settings: RoomSettings,
) -> None:
    """Says what a new member's card has for it to whoever brought it, unless the room wants no greetings.

    It is nothing new to them, who made it be said, unless they have not read what stands before it.
    """
    card = agents.get(tx.conn, agent.id) if settings.get("greets", True) else None
    if card is None or card.archived_ms is not None:
        return
    several = room.is_open or _HERE.value(tx.conn, room.key) > 2  # noqa: PLR2004  as the card says
    text = greeting_of(card, "" if by is None else by.name, several=several)
    if not text:
        return
    room.seq += 1
    message = Message(
        id=MessageId(f"m_{tx.clock.new_id()}"),
        room=room.id,
        seq=room.seq,
        author=agent.id,
        name=agent.name,
        role=Role.ASSISTANT,
        status=Status.DONE,
        text=text,
        created_ms=tx.now_ms,
        branch=room.main,
        meta={"card": card.version, "greeting": True},
    )
    if by is not None:
        _READ_ALL.run(tx.conn, room.seq, room.key, by.key)
    tx.append([(room, agent.key, message, None)])
