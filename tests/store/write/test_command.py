"""Every command is a value that can be applied."""

import importlib
import pkgutil
from inspect import isabstract
from typing import Any, cast, get_args, get_type_hints

import pytest

from palaver.store import write
from palaver.store.store import RenewEpoch
from palaver.store.write.agents import AgentCommand
from palaver.store.write.command import Command, RoomCommand
from palaver.store.write.messages import MessageCommand
from palaver.store.write.profiles import OfProfile
from palaver.store.write.turns import ClaimTurns

BASES = {RoomCommand, MessageCommand, AgentCommand, OfProfile}


def all_commands() -> list[type[Command[Any]]]:
    for module in pkgutil.walk_packages(write.__path__, f"{write.__name__}."):
        importlib.import_module(module.name)
    commands = concrete(Command)
    assert RenewEpoch in commands, "it stands beside the store"
    return commands


def concrete(base: type) -> list[type[Command[Any]]]:
    found: list[type[Command[Any]]] = []
    for one in base.__subclasses__():
        found += concrete(one) if one in BASES else [one]
    return found


def test_every_command_can_be_applied() -> None:
    commands = all_commands()
    assert len(commands) > 20
    for command in commands:
        assert not isabstract(command), command
        (base,) = cast("Any", command).__orig_bases__
        result = get_type_hints(command.apply)["return"]
        assert (result,) == get_args(base) or result is type(None), command


def test_a_command_is_a_value() -> None:
    command = ClaimTurns(count=3)
    assert command == ClaimTurns(count=3)
    with pytest.raises(AttributeError):
        command.count = 4  # type: ignore[misc]
