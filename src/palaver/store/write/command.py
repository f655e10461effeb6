"""What a command is: one value that can be written, and all of it happens or nothing of it.

A command is applied inside the writer's transaction, together with others (group commit). It checks there, under
the room's lock, what it relies on (that the room is there, that its actor may write), so that no await lies between
a check and its act. A command that is refused writes nothing and does not hurt the others in its batch.

A new one is one class, in the file of its noun, beside its SQL.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Generic, TypeVar

from sqlalchemy import Connection

from palaver.errors import Refused
from palaver.model import RoomId
from palaver.store.write.transaction import Transaction

T_co = TypeVar("T_co", covariant=True)


class Command(ABC, Generic[T_co]):
    """Something to write whose result is a `T_co`."""

    __slots__ = ()
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


class RoomCommand(Command[T_co]):
    """A command that names its one room."""

    __slots__ = ()
    room: RoomId

    def rooms(self, conn: Connection) -> Sequence[RoomId]:  # noqa: ARG002  as `Command.rooms`
        return (self.room,)
