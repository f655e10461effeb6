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
    if len(batch) > 1 and tx.conn.dialect.name == POSTGRESQL and not _locks_in_order(batch):
        tx.lock([room for command in batch for room in command.rooms_in(tx)])
    results: list[Any] = []
    for _, run in groupby(batch, type):
        commands = list(run)
        results += commands[0].apply_run(tx, commands)
    return results


def _locks_in_order(batch: Sequence[Command[Any]]) -> bool:
    """Whether it is one run of commands that does so by itself, with one statement."""
    kinds = {type(command) for command in batch}
    return len(kinds) == 1 and batch[0].locks_in_order and len(batch) <= LIST_MAX
