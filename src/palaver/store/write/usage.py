"""Adds up what answers used, by day, who set them off, agent, provider and model: once, in their own transaction.

What an answer used stands in the meta of its messages, and is added when they are stored; so is how long its first word
took, rounded up to one of eight steps between a power of two and the next. A transaction's sums are written at its end,
in one order, so that no two processes wait for each other in a circle.
"""

from collections.abc import Iterable, Mapping, Sequence
from operator import add
from typing import Any

from sqlalchemy import Table, bindparam, column, func
from sqlalchemy.dialects import postgresql, sqlite

from palaver.model import NO_DATA, Entry
from palaver.store.engine.statement import Statement, database_now
from palaver.store.schema import usage, waits
from palaver.store.write.transaction import Transaction

DAY_MS = 86_400_000
COUNT_MAX = 1_000_000_000
"""More tokens than that count as so many: no answer has them, and no sum may overflow."""
NAME_CHARS_MAX = 200

_TOKENS = ("input", "output", "cached", "reasoning")
_KEYS = ("asker_key", "agent_key", "profile", "model")
_SUMS = ("answers", *_TOKENS, "cost_micros", "unpriced", "estimated", "failed")
_STEPS_BITS = 4


def _adding(table: Table, keys: Sequence[str], sums: Sequence[str]) -> Statement:
    """Adds to the sums of today, in the row of these keys."""

    def upsert(engine: Any) -> Any:
        added = engine.insert(table).values(
            day=database_now // DAY_MS, **{name: bindparam(name) for name in (*keys, *sums)}
        )
        before = {name: func.coalesce(table.c[name], 0) for name in sums}
        grown = {
            name: one + column(f"excluded.{name}", is_literal=True) for name, one in before.items()
        }
        return added.on_conflict_do_update(index_elements=["day", *keys], set_=grown)

    return Statement(upsert(postgresql), "now_ms", *keys, *sums, sqlite=upsert(sqlite))


_ADD = _adding(usage, _KEYS, _SUMS)
_ADD_WAIT = _adding(waits, ("profile", "model", "within_ms"), ("answers",))


def note(
    tx: Transaction,
    asker_key: int | None,
    agent_key: int,
    entries: Iterable[Entry],
    *,
    failed: bool = False,
) -> None:
    """Notes what the answer of these messages used, and whether it failed; nothing else of one that asked no model."""
    names = ("", "")
    for entry in entries:
        meta = entry.meta
        known = (meta.get("provider") or names[0], meta.get("model") or names[1])
        names = (known[0][:NAME_CHARS_MAX], known[1][:NAME_CHARS_MAX])
        if (used := meta.get("usage")) or failed:
            counts = (*(_counts(used) if used else (0,) * (len(_SUMS) - 1)), failed)
            key = (asker_key or 0, agent_key, *names)
            before = tx.used_up.get(key, (0,) * len(_SUMS))
            tx.used_up[key] = tuple(map(add, before, counts))
        if used and (first := meta.get("ms", NO_DATA).get("first")) is not None:
            tx.waits[*names, _step(_number(first) or 1)] += 1
        failed = False


def settle(tx: Transaction) -> None:
    """Adds what was noted. Nothing else is locked behind it."""
    for key in sorted(tx.used_up):
        _ADD.run(tx.conn, tx.now_ms, *key, *tx.used_up[key])
    for key in sorted(tx.waits):
        _ADD_WAIT.run(tx.conn, tx.now_ms, *key, tx.waits[key])


def _step(ms: int) -> int:
    """The next time, of those that are counted, within which an answer began: at most an eighth more."""
    lower = max(0, ms.bit_length() - _STEPS_BITS)
    return -(-ms >> lower) << lower


def _counts(used: Mapping[str, Any]) -> tuple[int, ...]:
    """What is added of one answer that used something, as `_SUMS` names it, up to whether it failed."""
    cost = used.get("cost_micros")
    tokens = [_number(used.get(name)) for name in _TOKENS]
    return (1, *tokens, _number(cost), cost is None, bool(used.get("estimated")))


def _number(count: object) -> int:
    return min(count, COUNT_MAX) if type(count) is int and count > 0 else 0
