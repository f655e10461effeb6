"""What a command is: one value that can be written, and all of it happens or nothing of it.

A command is applied inside the writer's transaction, together with others (group commit). It checks there, under
the room's lock, what it relies on (that the room is there, that its actor may write), so that no await lies between
a check and its act. A command that is refused writes nothing and does not hurt the others in its batch.

A new one is one class, in the file of its noun, beside its SQL.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Generic, TypeVar

from palaver.errors import Refused
from palaver.store.write.transaction import Transaction

T_co = TypeVar("T_co", covariant=True)


class Command(ABC, Generic[T_co]):
    """Something to write whose result is a `T_co`."""

    __slots__ = ()

    @abstractmethod
    def apply(self, tx: Transaction) -> T_co:
        """Writes it, or raises `Refused` before anything of it is written."""

    @classmethod
    def apply_run(cls, tx: Transaction, run: Sequence[Any]) -> list[Any]:
        """Applies commands of one kind in their order; a `Refused` is the result of a refused one."""
        results: list[Any] = []
        for command in run:
            try:
                results.append(command.apply(tx))
            except Refused as refused:
                results.append(refused)
        return results
