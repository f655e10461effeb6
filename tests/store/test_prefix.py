"""By what a history that is sent again is recognised."""

import pytest

from palaver.model import Entry, Kind, Role
from palaver.store.prefix import START, beginnings, likeness, longer

HI = Entry(role=Role.USER, text="hi")


def call(arguments: str) -> Entry:
    return Entry(role=Role.ASSISTANT, kind=Kind.TOOL_CALL, text=arguments, meta={"tool": "f"})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (HI, Entry(role=Role.USER, text=" hi\n")),
        (HI, Entry(role=Role.USER, text="hi", meta={"more": {"x": 1}})),
        (HI, Entry(role=Role.USER, text="hi", meta={"parts": [{"type": "text", "text": "hi"}]})),
        (call('{"a": 1, "b": [2.0]}'), call('{"b":[2.0],"a":1}')),
        (call("not JSON"), call("not JSON\n")),
        (Entry(role=Role.SYSTEM, text="a"), Entry(role=Role.DEVELOPER, text="a")),
    ],
)
def test_what_clients_change_does_not_count(one: Entry, other: Entry) -> None:
    assert likeness(one) == likeness(other)


def test_other_arguments_are_another_call() -> None:
    assert likeness(call('{"a": 1}')) != likeness(call('{"a": 2}'))


@pytest.mark.parametrize(
    "other",
    [
        Entry(role=Role.USER, text="Hi"),
        Entry(role=Role.ASSISTANT, text="hi"),
        Entry(role=Role.USER, text="hi", meta={"name": "ada"}),
        Entry(role=Role.USER, text="hi", meta={"parts": [{"type": "image_url"}]}),
        Entry(role=Role.USER, kind=Kind.TOOL_CALL, text="hi", meta={"tool": "f"}),
    ],
)
def test_who_spoke_the_words_and_the_tools_count(other: Entry) -> None:
    assert likeness(HI) != likeness(other)


def test_thoughts_change_no_history() -> None:
    thought = Entry(role=Role.ASSISTANT, kind=Kind.REASONING, text="Hm.")
    assert beginnings([HI, thought])[1] == beginnings([HI])[0] == longer(START, HI)


def test_the_order_counts() -> None:
    other = Entry(role=Role.USER, text="ho")
    assert beginnings([HI, other])[-1] != beginnings([other, HI])[-1]
