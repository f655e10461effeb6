"""Applies a batch of commands in their order; each is applied or refused, and none hurts the others."""

from collections.abc import Sequence
from itertools import groupby
from typing import Any, assert_never, cast

from palaver.errors import Refused
from palaver.store import migrate
from palaver.store.apply import actors, entries, exchanges, keys, rooms, turns
from palaver.store.apply.adding import add_messages
from palaver.store.apply.transaction import Transaction
from palaver.store.commands import (
    AddActor,
    AddEntries,
    AddKey,
    AddMember,
    AddMessage,
    AddMessages,
    ChangeExchange,
    ChangeSettings,
    ClaimTurns,
    Command,
    CreateRoom,
    FinishExchange,
    FinishTurn,
    KeepParts,
    KeysUsed,
    MarkRead,
    OpenExchange,
    OpenTurn,
    RenameActor,
    RenameRoom,
    RenewEpoch,
    RenewLeases,
    RetryTurn,
    RevokeKey,
    SaveAgent,
    SetMessageDeleted,
    SetRoomDeleted,
)

AnyCommand = (
    AddMessage
    | AddMessages
    | FinishTurn
    | RetryTurn
    | ClaimTurns
    | RenewEpoch
    | RenewLeases
    | CreateRoom
    | RenameRoom
    | SetRoomDeleted
    | MarkRead
    | AddMember
    | AddActor
    | RenameActor
    | SaveAgent
    | AddKey
    | RevokeKey
    | KeysUsed
    | ChangeSettings
    | SetMessageDeleted
    | AddEntries
    | OpenExchange
    | FinishExchange
    | ChangeExchange
    | OpenTurn
    | KeepParts
)
"""Every command there is."""


def apply_batch(tx: Transaction, commands: Sequence[Command[Any]]) -> list[Any]:
    """The results in the order of the commands; a `Refused` in its place for a refused one."""
    results: list[Any] = []
    for adding, run in groupby(commands, lambda command: isinstance(command, AddMessage)):
        if adding:
            results += add_messages(tx, cast("list[AddMessage]", list(run)))
        else:
            results += [_one(tx, cast("AnyCommand", command)) for command in run]
    return results


def _one(tx: Transaction, command: AnyCommand) -> Any:
    try:
        return _applied(tx, command)
    except Refused as refused:
        return refused


def _applied(tx: Transaction, command: AnyCommand) -> Any:  # noqa: C901, PLR0911, PLR0912  one line each
    match command:
        case AddMessage():
            (added,) = add_messages(tx, [command])
            return added
        case AddMessages():
            return tuple(add_messages(tx, command.commands))
        case FinishTurn():
            return turns.finish(tx, command)
        case RetryTurn():
            return turns.retry(tx, command)
        case ClaimTurns():
            return turns.claim(tx, command)
        case RenewLeases():
            return turns.renew(tx, command)
        case RenewEpoch():
            return migrate.renew_epoch(tx.conn, f"e_{tx.clock.new_id()}", known=command.known)
        case CreateRoom():
            return rooms.create(tx, command)
        case RenameRoom():
            return rooms.rename(tx, command)
        case SetRoomDeleted():
            return rooms.set_deleted(tx, command)
        case MarkRead():
            return rooms.mark_read(tx, command)
        case AddMember():
            return rooms.add_member(tx, command)
        case AddActor():
            return actors.add(tx, command)
        case RenameActor():
            return actors.rename(tx, command)
        case SaveAgent():
            return actors.save_agent(tx, command)
        case AddKey():
            return keys.add(tx, command)
        case RevokeKey():
            return keys.revoke(tx, command)
        case KeysUsed():
            return keys.used(tx, command)
        case ChangeSettings():
            return rooms.change_settings(tx, command)
        case AddEntries():
            return entries.add(tx, command)
        case SetMessageDeleted():
            return entries.set_deleted(tx, command)
        case OpenExchange():
            return exchanges.opened(tx, command)
        case FinishExchange():
            return exchanges.finished(tx, command)
        case ChangeExchange():
            return exchanges.changed(tx, command)
        case OpenTurn():
            return turns.open_external(tx, command)
        case KeepParts():
            return turns.keep_parts(tx, command)
        case _:
            assert_never(command)
