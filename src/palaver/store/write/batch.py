"""Applies a batch of commands in their order; each is applied or refused, and none hurts the others."""

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from palaver.store.write.command import Command
from palaver.store.write.transaction import Transaction


def apply_batch(tx: Transaction, batch: Sequence[Command[Any]]) -> list[Any]:
    """The results in the order of the commands; a `Refused` in its place for a refused one."""
    results: list[Any] = []
    for _, run in groupby(batch, type):
        commands = list(run)
        results += commands[0].apply_run(tx, commands)
    return results
