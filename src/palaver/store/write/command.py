"""A command: one value that can be written, and all of it happens or nothing of it.

A command is applied inside the writer's transaction, together with others (group commit). It checks there, under
the room's lock, what it relies on (that the room is there, that its actor may write), so that no await lies between
a check and its act. A command that is refused writes nothing and does not hurt the others in its batch.

A new one is one class, in the file of its noun, beside its SQL.
"""

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any, ClassVar, Generic, TypeVar

from msgspec import Struct
from sqlalchemy import Connection

from palaver.errors import Refused
from palaver.model import RoomId
from palaver.store.engine.base import POSTGRESQL
from palaver.store.engine.statement import LIST_MAX
from palaver.store.write import feed, usage
from palaver.store.write.transaction import Transaction

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Command(Struct, Generic[T_co], frozen=True):
    """Something to write whose result is a `T_co`."""

    locks_in_order: ClassVar[bool] = False
    """Whether a run of them locks its rooms in the order of their keys by itself."""

    @property
    def anywhere(self) -> bool:
        """Whether it may write to other rooms than `rooms` gives."""
        return False

    def rooms(self, conn: Connection) -> Sequence[RoomId]:  # noqa: ARG002  for those who must look
        """The rooms that it writes to, as far as they are known before; looked up without a lock."""
        return ()

    def rooms_in(self, tx: Transaction) -> Sequence[RoomId]:
        """Its `rooms`, looked up once a transaction."""
        found = tx.located.get(id(self))
        if found is None:
            found = tx.located[id(self)] = (self, self.rooms(tx.conn))
        return found[1]

    def room_in(self, tx: Transaction) -> RoomId | None:
        """The room of the one thing that it names; None when that is not there."""
        return next(iter(self.rooms_in(tx)), None)

    def apply(self, tx: Transaction) -> T_co:  # noqa: ARG002  each command says how
        """Writes it, or raises `Refused` before anything of it is written."""
        raise TypeError(type(self).__name__)

    @classmethod
    def apply_run(cls, tx: Transaction, run: Sequence[Any]) -> list[Any]:
        """Applies commands of one kind in their order; a `Refused` is the result of a refused one."""
        return each(run, lambda command: command.apply(tx))


class RoomCommand(Command[T_co], frozen=True, kw_only=True):
    """A command that names its one room."""

    room: RoomId

    def rooms(self, conn: Connection) -> Sequence[RoomId]:  # noqa: ARG002  as `Command.rooms`
        return (self.room,)


def each(run: Sequence[Any], apply: Callable[[Any], T]) -> list[T | Refused]:
    """The results of commands in their order; a `Refused` in its place for a refused one."""
    results: list[T | Refused] = []
    for command in run:
        try:
            results.append(apply(command))
        except Refused as refused:
            results.append(refused)
    return results


def apply_batch(tx: Transaction, batch: Sequence[Command[Any]]) -> list[Any]:
    """Applies commands in their order, none of which hurts the others; as `each`.

    Every process locks the rooms of a batch in the order of their keys, before its first command, so that none waits in
    a circle. Only a room that a command finds on its way is locked later.
    """
    if len(batch) > 1 and tx.conn.dialect.name == POSTGRESQL and not _locks_in_order(batch):
        tx.lock([room for command in batch for room in command.rooms_in(tx)])
    results: list[Any] = []
    for _, run in groupby(batch, type):
        commands = list(run)
        results += commands[0].apply_run(tx, commands)
    usage.settle(tx)
    feed.settle(tx)
    return results


def _locks_in_order(batch: Sequence[Command[Any]]) -> bool:
    """Whether the batch is one run of commands that lock their rooms in order by themselves, with one statement."""
    kinds = {type(command) for command in batch}
    return len(kinds) == 1 and batch[0].locks_in_order and len(batch) <= LIST_MAX
