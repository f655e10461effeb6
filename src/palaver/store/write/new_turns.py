"""Opens turns, and says until when this process holds them."""

from collections.abc import Sequence
from operator import attrgetter

from sqlalchemy import func, select

from palaver.model import MessageId, Turn, TurnId, TurnState
from palaver.store.engine.statement import DatabaseNow, inserting, matching
from palaver.store.schema import turns
from palaver.store.write.transaction import KnownActor, LockedRoom, Transaction

LEASE_MS = 30_000


OpenedTurn = tuple[int, int, Turn]
"""A new turn behind the keys of its room and its agent."""

_TURN = ("id", "trigger_seq", "attempt", "state", "fence")
"""The columns that are named as the fields of a turn whose values they have."""
_turn = attrgetter(*_TURN)
_INSERT = inserting(
    turns,
    *("room_key", "agent_key", "message_id", "owner", "created_ms", "external", *_TURN),
    lease_until_ms=DatabaseNow() + LEASE_MS,
)
_ATTEMPTS = matching(
    select(func.max(turns.c.attempt)), turns.c.room_key, turns.c.trigger_seq, turns.c.agent_key
)


def new_turn(
    tx: Transaction,
    room: LockedRoom,
    agent: KnownActor,
    trigger_seq: int,
    *,
    attempt: int = 1,
    external: tuple[TurnId, MessageId] | None = None,
) -> OpenedTurn:
    """A turn, with the id of the message that will come of it. Both are given where the answer comes from outside."""
    id_, message = external or (
        TurnId(f"t_{tx.clock.new_id()}"),
        MessageId(f"m_{tx.clock.new_id()}"),
    )
    turn = Turn(
        id=id_,
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
    return room.key, agent.key, turn


def open_turns(tx: Transaction, opened: Sequence[OpenedTurn]) -> None:
    """Stores new turns as this process' own."""
    own = (tx.owner, tx.now_ms)
    _INSERT.many(
        tx.conn,
        [
            (room_key, agent_key, turn.message, *own, turn.external or None, *_turn(turn))
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
    opened = new_turn(tx, room, agent, trigger_seq, attempt=attempts + 1, external=external)
    open_turns(tx, [opened])
    return opened[2]
