"""Applies a batch of commands in their order; each is applied or refused, and none hurts the others.

Every process locks the rooms of a batch in the order of their keys, before its first command, so that none waits in a
circle. Only a room that a command finds on its way is locked later.
"""

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from palaver.store.engine.base import POSTGRESQL
from palaver.store.engine.statement import LIST_MAX
from palaver.store.write.command import Command
from palaver.store.write.transaction import Transaction


def apply_batch(tx: Transaction, batch: Sequence[Command[Any]]) -> list[Any]:
    """The results in the order of the commands; a `Refused` in its place for a refused one."""
    ordered = len(batch) <= LIST_MAX and all(
        kind.locks_in_order for kind in {type(one) for one in batch}
    )
    if tx.conn.dialect.name == POSTGRESQL and len(batch) > 1 and not ordered:
        tx.lock([room for command in batch for room in command.rooms_in(tx)])
    results: list[Any] = []
    for _, run in groupby(batch, type):
        commands = list(run)
        results += commands[0].apply_run(tx, commands)
    return results
