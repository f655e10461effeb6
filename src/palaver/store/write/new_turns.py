"""Opens turns, and says until when this process holds them."""

from collections.abc import Sequence

from sqlalchemy import bindparam, func, select

from palaver.model import MessageId, Turn, TurnId, TurnState
from palaver.store.engine.statement import DatabaseNow, Statement, inserting
from palaver.store.schema import turns
from palaver.store.write.transaction import KnownActor, LockedRoom, Transaction

LEASE_MS = 30_000


_INSERT = inserting(
    turns,
    "id",
    "room_key",
    "agent_key",
    "trigger_seq",
    "attempt",
    "message_id",
    "state",
    "owner",
    "fence",
    "created_ms",
    "external",
    lease_until_ms=DatabaseNow() + LEASE_MS,
)
_ATTEMPTS = Statement(
    select(func.max(turns.c.attempt)).where(
        turns.c.room_key == bindparam("room_key"),
        turns.c.trigger_seq == bindparam("trigger_seq"),
        turns.c.agent_key == bindparam("agent_key"),
    ),
    "room_key",
    "trigger_seq",
    "agent_key",
)


OpenedTurn = tuple[int, int, Turn]
"""A new turn behind the keys of its room and its agent."""


def new_turn(
    tx: Transaction,
    room: LockedRoom,
    agent: KnownActor,
    trigger_seq: int,
    *,
    attempt: int = 1,
    external: tuple[TurnId, MessageId] | None = None,
) -> Turn:
    """A turn, with the id of the message that will come of it. Both are given where the answer comes from outside."""
    turn, message = external or (
        TurnId(f"t_{tx.clock.new_id()}"),
        MessageId(f"m_{tx.clock.new_id()}"),
    )
    return Turn(
        id=turn,
        room=room.id,
        agent=agent.id,
        agent_name=agent.name,
        trigger_seq=trigger_seq,
        message=message,
        state=TurnState.OPEN,
        attempt=attempt,
        fence=1,
        external=external is not None,
    )


def open_turns(tx: Transaction, opened: Sequence[OpenedTurn]) -> None:
    """Stores new turns as this process' own."""
    _INSERT.many(
        tx.conn,
        [
            (
                turn.id,
                room_key,
                agent_key,
                turn.trigger_seq,
                turn.attempt,
                turn.message,
                turn.state,
                tx.owner,
                turn.fence,
                tx.now_ms,
                turn.external or None,
            )
            for room_key, agent_key, turn in opened
        ],
    )


def open_turn(
    tx: Transaction,
    room: LockedRoom,
    agent: KnownActor,
    trigger_seq: int,
    *,
    first: bool = False,
    external: tuple[TurnId, MessageId] | None = None,
) -> Turn:
    """Stores the turn of an agent's next attempt at the message at `trigger_seq`; `first`: it is known to be one."""
    attempts = 0 if first else _ATTEMPTS.value(tx.conn, room.key, trigger_seq, agent.key) or 0
    turn = new_turn(tx, room, agent, trigger_seq, attempt=attempts + 1, external=external)
    open_turns(tx, [(room.key, agent.key, turn)])
    return turn
