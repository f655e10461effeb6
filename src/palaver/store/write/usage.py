"""Adds up what answers used, by day, who set them off, agent, provider and model: once, in their own transaction.

What an answer used stands in the meta of its messages, and is added when they are stored. A transaction's sums are
written at its end, in one order, so that no two processes wait for each other in a circle.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import bindparam, column
from sqlalchemy.dialects import postgresql, sqlite

from palaver.model import Entry
from palaver.store.engine.statement import Statement, database_now
from palaver.store.schema import usage
from palaver.store.write.transaction import Transaction

DAY_MS = 86_400_000
COUNT_MAX = 1_000_000_000
"""More tokens than that count as so many: no answer has them, and no sum may overflow."""
NAME_CHARS_MAX = 200

_TOKENS = ("input", "output", "cached", "reasoning")
_KEYS = ("asker_key", "agent_key", "profile", "model")
_SUMS = ("answers", *_TOKENS, "cost_micros", "unpriced", "estimated")


def _adding(engine: Any) -> Any:
    added = engine.insert(usage).values(
        day=database_now // DAY_MS, **{name: bindparam(name) for name in (*_KEYS, *_SUMS)}
    )
    sums = {name: usage.c[name] + column(f"excluded.{name}", is_literal=True) for name in _SUMS}
    return added.on_conflict_do_update(index_elements=["day", *_KEYS], set_=sums)


_ADD = Statement(_adding(postgresql), "now_ms", *_KEYS, *_SUMS, sqlite=_adding(sqlite))


def note(tx: Transaction, asker_key: int | None, agent_key: int, entries: Iterable[Entry]) -> None:
    """Notes what the answer of these messages used; nothing of one that asked no model."""
    model, provider = "", ""
    for entry in entries:
        meta = entry.meta
        model, provider = meta.get("model") or model, meta.get("provider") or provider
        if used := meta.get("usage"):
            names = (provider[:NAME_CHARS_MAX], model[:NAME_CHARS_MAX])
            sums = tx.used_up.setdefault((asker_key or 0, agent_key, *names), [0] * len(_SUMS))
            for place, count in enumerate(_counts(used)):
                sums[place] += count


def settle(tx: Transaction) -> None:
    """Adds what was noted. Nothing else is locked behind it."""
    for key in sorted(tx.used_up):
        _ADD.run(tx.conn, tx.now_ms, *key, *tx.used_up[key])


def _counts(used: Mapping[str, Any]) -> tuple[int, ...]:
    """What is added of one answer, as `_SUMS` names it."""
    cost = used.get("cost_micros")
    tokens = [_number(used.get(name)) for name in _TOKENS]
    return (1, *tokens, _number(cost), cost is None, bool(used.get("estimated")))


def _number(count: object) -> int:
    return min(count, COUNT_MAX) if type(count) is int and count > 0 else 0
