"""Answers of which nothing is kept: of a try, and of a request that says so. What they used is counted, and bounded.

What is reserved for one is a row of its own until that is counted, in the same transaction. It belongs to the process
that answers, and is freed as that process's turns are: with the lease, or, on SQLite, when another one has the file.
"""

from sqlalchemy import bindparam, delete, literal, select, update

from palaver.model import Entry
from palaver.model.usage import Unkept
from palaver.store.engine.statement import DatabaseNow, Statement, inserting, matching
from palaver.store.schema import reserves
from palaver.store.write.command import Command
from palaver.store.write.transaction import LEASE_MS, Transaction
from palaver.store.write.usage import note

_lease = DatabaseNow() + literal(LEASE_MS)
_HOLD = inserting(
    *(reserves, "id", "owner", "asker_key", "agent_key", "tokens", "micros"), lease_until_ms=_lease
)
_FREE = matching(delete(reserves), reserves.c.id)
_EXPIRE, _RENEW = (
    matching(update(reserves).values(lease_until_ms=until), reserves.c.owner)
    for until in (0, _lease)
)
_others = select(reserves.c.id).where(reserves.c.owner != bindparam("owner_id"))
_abandoned = {
    "sqlite": _others,
    "postgresql": _others.where(reserves.c.lease_until_ms < DatabaseNow()),
}
_ANY_ABANDONED = {
    engine: Statement(found.limit(1), "owner_id") for engine, found in _abandoned.items()
}
_ABANDONED = {
    engine: Statement(
        delete(reserves).where(reserves.c.id.in_(found.with_for_update(skip_locked=True))),
        "owner_id",
    )
    for engine, found in _abandoned.items()
}


class CountUnkept(Command[None], frozen=True, kw_only=True):
    """Adds what an answer used (None: nothing) in the place of what was reserved for it."""

    answer: Unkept
    entry: Entry | None

    def apply(self, tx: Transaction) -> None:
        _FREE.run(tx.conn, self.answer.id)
        if self.entry is not None:
            note(tx, *keys_of(tx, self.answer), (self.entry,))


def keys_of(tx: Transaction, answer: Unkept) -> tuple[int, int]:
    """The keys of who pays for an answer and of its agent, 0 for nobody."""
    by, agent = [
        0 if (known := tx.actor(one)) is None else known.key for one in (answer.by, answer.agent)
    ]
    return by, agent


def hold(tx: Transaction, answer: Unkept, tokens: int, micros: int) -> None:
    """Reserves so much for an answer, in the place of what was."""
    _FREE.run(tx.conn, answer.id)
    _HOLD.run(tx.conn, answer.id, tx.owner, *keys_of(tx, answer), tokens, micros)


def renew(tx: Transaction) -> None:
    """Prolongs the leases of this process."""
    _RENEW.run(tx.conn, tx.owner)


def expire(tx: Transaction, owner: str) -> None:
    """Ends the leases of a process."""
    _EXPIRE.run(tx.conn, owner)


def free_abandoned(tx: Transaction) -> None:
    """Frees what no living process holds, as `ClaimTurns` says of turns. Where there is nothing, it writes nothing.

    For so a server starts on a file that takes no writes.
    """
    engine = tx.conn.dialect.name
    if _ANY_ABANDONED[engine].first(tx.conn, tx.owner) is not None:
        _ABANDONED[engine].run(tx.conn, tx.owner)
