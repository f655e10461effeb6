"""Lets an agent greet when it comes into a room, by the transaction that makes it a member: once, whatever dies."""

from sqlalchemy import bindparam, func, select

from palaver.cards.characters import greeting_of
from palaver.model import Message, MessageId, Role, RoomSettings, Status
from palaver.store.engine.statement import Statement
from palaver.store.read import agents
from palaver.store.schema import member_is_in, members
from palaver.store.write.transaction import KnownActor, LockedRoom, Transaction

_here = (
    select(members.c.actor_key)
    .where(member_is_in, members.c.room_key == bindparam("room_key"))
    .limit(3)
)
_HERE = Statement(select(func.count()).select_from(_here.subquery()), "room_key")


def greet(
    tx: Transaction,
    room: LockedRoom,
    agent: KnownActor,
    by: KnownActor | None,
    settings: RoomSettings,
) -> None:
    """Says what a new member's card has for it to whoever brought it, unless the room wants no greetings."""
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
        meta={"card": card.version, "greeting": True},
    )
    tx.append([(room, agent.key, message, None)])
