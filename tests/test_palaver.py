import subprocess
import sys
from collections.abc import Iterator
from types import FunctionType
from typing import Any, get_args, get_type_hints

import pytest

import palaver


def test_every_name_of_the_package_is_there() -> None:
    for name in dir(palaver):
        assert getattr(palaver, name) is not None
    assert {"open", "Chat", "Room", "Refused", "Unavailable", "__version__"} <= set(dir(palaver))


def classes(hint: Any) -> Iterator[type]:
    """The classes that an annotation names."""
    if isinstance(hint, type):
        yield hint
    for one in get_args(hint):
        yield from classes(one)


def test_what_its_calls_take_and_give_has_a_name_there() -> None:
    known = {getattr(palaver, name) for name in dir(palaver) if name[0].isupper()}
    for one in (
        palaver.Chat,
        palaver.Room,
        palaver.Answer,
        palaver.People,
        palaver.Agents,
        palaver.Speakers,
        palaver.Branches,
    ):
        for call in vars(one).values():
            if isinstance(call, FunctionType) and not call.__name__.startswith("_"):
                for hint in get_type_hints(call).values():
                    assert {
                        each for each in classes(hint) if each.__module__[:7] == "palaver"
                    } <= known


def test_another_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nothing_like_it"):
        _ = getattr(palaver, "nothing_like_it")  # noqa: B009  the name is the point


def test_importing_it_loads_no_database_and_no_web_server() -> None:
    script = "import sys, palaver; print(*sorted(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert not {"sqlalchemy", "fastapi", "pydantic", "rich"} & set(done.stdout.split())
