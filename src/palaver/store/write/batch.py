"""Applies a batch of commands in their order; each is applied or refused, and none hurts the others."""

from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import Any, cast

from palaver.errors import Refused
from palaver.store import migrate
from palaver.store.write import (
    actors,
    api_keys,
    command as commands,
    devices,
    entries,
    exchanges,
    rooms,
    turns,
)
from palaver.store.write.command import AddMessage, Command
from palaver.store.write.messages import add_messages
from palaver.store.write.transaction import Transaction


def apply_batch(tx: Transaction, batch: Sequence[Command[Any]]) -> list[Any]:
    """The results in the order of the commands; a `Refused` in its place for a refused one."""
    results: list[Any] = []
    for adding, run in groupby(batch, lambda command: isinstance(command, AddMessage)):
        if adding:
            results += add_messages(tx, cast("list[AddMessage]", list(run)))
        else:
            results += [_one(tx, command) for command in run]
    return results


def _one(tx: Transaction, command: Command[Any]) -> Any:
    try:
        return APPLIED[type(command)](tx, command)
    except Refused as refused:
        return refused


def _add_messages(tx: Transaction, command: commands.AddMessages) -> Any:
    return tuple(add_messages(tx, command.commands))


def _renew_epoch(tx: Transaction, command: commands.RenewEpoch) -> str:
    return migrate.renew_epoch(tx.conn, f"e_{tx.clock.new_id()}", known=command.known)


def _keep_secret(tx: Transaction, command: commands.KeepSecret) -> str:
    row = migrate.META.first(tx.conn, "visitors")
    if row is None:
        migrate.INSERT_META.run(tx.conn, "visitors", command.value)
    return command.value if row is None else str(row[0])


APPLIED: Mapping[type[Command[Any]], Callable[[Transaction, Any], Any]] = {
    commands.AddMessages: _add_messages,
    commands.FinishTurn: turns.finish,
    commands.RetryTurn: turns.retry,
    commands.OpenTurn: turns.open_external,
    commands.KeepParts: turns.keep_parts,
    commands.ClaimTurns: turns.claim,
    commands.RenewLeases: turns.renew,
    commands.CreateRoom: rooms.create,
    commands.RenameRoom: rooms.rename,
    commands.SetRoomDeleted: rooms.set_deleted,
    commands.ChangeSettings: rooms.change_settings,
    commands.AddMember: rooms.add_member,
    commands.MarkRead: rooms.mark_read,
    commands.AddEntries: entries.add,
    commands.SetMessageDeleted: entries.set_deleted,
    commands.OpenExchange: exchanges.opened,
    commands.FinishExchange: exchanges.finished,
    commands.ChangeExchange: exchanges.changed,
    commands.AddActor: actors.add,
    commands.RenameActor: actors.rename,
    commands.SweepGuests: actors.sweep,
    commands.SaveAgent: actors.save_agent,
    commands.AddKey: api_keys.add,
    commands.RevokeKey: api_keys.revoke,
    commands.KeysUsed: api_keys.used,
    commands.AddTicket: devices.add,
    commands.UseTicket: devices.use,
    commands.EndDevice: devices.end,
    commands.KeepSecret: _keep_secret,
    commands.RenewEpoch: _renew_epoch,
}
"""How each command but `AddMessage`, which goes in runs, is applied."""
