"""Appends to the audit room: what happened to sessions, keys and invitations, in the transaction in which it happens.

It is a room as any other: its events have a gapless seq and a hash chain, and every process reads them. It has no owner
and no members, so nobody finds or reads it at any door, and only commands write to it. Its events hold ids: no token,
no name, no address, nothing that anybody said.

A command that calls `audit` names `AUDIT` among its `rooms`: who locks several rooms does so in one order.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection

from palaver.errors import Refused
from palaver.model import AUDIT, EventType, RoomId, TitleSource, Visibility
from palaver.store.write.command import Command
from palaver.store.write.rooms import CreateRoom, make
from palaver.store.write.transaction import KnownActor, LockedRoom, Transaction

_ROOM = CreateRoom(
    id=AUDIT,
    title="Audit",
    title_source=TitleSource.USER,
    visibility=Visibility.PRIVATE,
    owner=None,
)


class OpenAudit(Command[int], frozen=True):
    """Makes the audit room if need be; its seq."""

    def rooms(self, conn: Connection) -> Sequence[RoomId]:  # noqa: ARG002  as `Command.rooms`
        return (AUDIT,)

    def apply(self, tx: Transaction) -> int:
        return _room(tx).seq


def audit(tx: Transaction, type_: EventType, by: KnownActor | None, **data: Any) -> None:
    """Appends what happened. `by`: who did it; None is the operator at the command line."""
    tx.log(_room(tx), type_, by, data=data)


def _room(tx: Transaction) -> LockedRoom:
    try:
        return tx.room(AUDIT)
    except Refused:
        return make(tx, _ROOM)
