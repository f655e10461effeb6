"""Opens turns, and says until when this process holds them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BigInteger, bindparam, func, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.expression import FunctionElement

from palaver.clock import Clock
from palaver.model import ActorId, MessageId, RoomId, Turn, TurnId, TurnState
from palaver.store.apply.transaction import LockedRoom, Transaction
from palaver.store.engine.statement import Statement, inserting
from palaver.store.schema import turns

LEASE_MS = 30_000


class DatabaseNow(FunctionElement[int]):
    """The database's clock in milliseconds, which all processes share. None on SQLite, where there are no leases."""

    type = BigInteger()
    inherit_cache = True


@compiles(DatabaseNow)
def _postgresql_now(element: DatabaseNow, compiler: Any, **keywords: Any) -> str:  # noqa: ARG001  SQLAlchemy's shape
    return "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)"


@compiles(DatabaseNow, "sqlite")
def _sqlite_now(element: DatabaseNow, compiler: Any, **keywords: Any) -> str:  # noqa: ARG001  SQLAlchemy's shape
    return "NULL"


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


@dataclass(frozen=True, slots=True)
class Agent:
    """An agent that answers in a room."""

    key: int
    id: ActorId
    name: str

    def turn(self, clock: Clock, room: RoomId, trigger_seq: int, attempt: int = 1) -> Turn:
        """A new turn of this agent, with the id of the message that will come of it."""
        return Turn(
            id=TurnId(f"t_{clock.new_id()}"),
            room=room,
            agent=self.id,
            agent_name=self.name,
            trigger_seq=trigger_seq,
            message=MessageId(f"m_{clock.new_id()}"),
            state=TurnState.OPEN,
            attempt=attempt,
            fence=1,
        )


def open_turns(tx: Transaction, opened: Sequence[tuple[int, int, Turn]]) -> None:
    """Stores new turns, given with the keys of their room and agent, as this process' own."""
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


def next_attempt(tx: Transaction, room: LockedRoom, trigger_seq: int, agent_key: int) -> int:
    """The number of an agent's next turn that answers the message at `trigger_seq`, from 1."""
    row = _ATTEMPTS.first(tx.conn, room.key, trigger_seq, agent_key)
    assert row is not None
    return int(row[0] or 0) + 1
