"""The commands and their appliers belong together."""

from dataclasses import FrozenInstanceError
from typing import cast, get_type_hints

import pytest

from palaver.store.write.batch import APPLIED
from palaver.store.write.command import AddMessage, ClaimTurns, Command


def test_every_command_can_be_applied() -> None:
    subclasses = cast("list[type]", Command.__subclasses__())
    names = {command.__name__ for command in subclasses}
    assert names == {command.__name__ for command in (AddMessage, *APPLIED)}
    for command, apply in APPLIED.items():
        assert get_type_hints(apply)["command"] is command


def test_a_command_is_a_value() -> None:
    command = ClaimTurns(count=3)
    assert command == ClaimTurns(count=3)
    with pytest.raises(FrozenInstanceError):
        command.count = 4  # type: ignore[misc]
