"""By what a history that is sent again is recognised."""

import pytest

from palaver.model import Entry, Kind, Role
from palaver.store.fingerprints import alone, beginnings, fills, is_prompt, likeness, pair

DEEP = "[" * 300 + "]" * 300
HI = Entry(role=Role.USER, text="hi")


def call(arguments: str) -> Entry:
    return Entry(role=Role.ASSISTANT, kind=Kind.TOOL_CALL, text=arguments, meta={"tool": "f"})


def answer(text: str) -> Entry:
    return Entry(role=Role.ASSISTANT, text=text)


def picture(**image: str) -> Entry:
    part = {"type": "image_url", "image_url": image}
    return Entry(role=Role.USER, text="hi", meta={"parts": [part]})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (HI, Entry(role=Role.USER, text=" hi\n")),
        (HI, Entry(role=Role.USER, text="hi", meta={"more": {"x": 1}})),
        (HI, Entry(role=Role.USER, text="hi", meta={"parts": [{"type": "text", "text": "hi"}]})),
        (call('{"a": 1, "b": [2.0]}'), call('{"b":[2.0],"a":1}')),
        (call('{"a": [15.0, -0.0, 1e3]}'), call('{"a":[15,0,1000]}')),
        (call('{"a": 12345678901234567890}'), call('{"a":12345678901234567000}')),
        (call("null"), call("{}")),
        (call("{}"), call("")),
        (call("not JSON"), call("not JSON\n")),
        (call(DEEP), call(f"{DEEP}\n")),
        (Entry(role=Role.SYSTEM, text="a"), Entry(role=Role.DEVELOPER, text="a")),
        (Entry(role=Role.USER, text="a\nb"), Entry(role=Role.USER, text="a\r\nb\r")),
        (answer("Hello"), answer("<think>\nHm.</think>\n\nHello")),
        (answer("Hello"), answer("Hm.</thinking>Hello")),
        (answer(""), answer("[THINK]Hm.")),
        (picture(url="data:,x", detail="low"), picture(url="data:,x")),
    ],
)
def test_what_clients_change_does_not_count(one: Entry, other: Entry) -> None:
    assert likeness(one) == likeness(other)


@pytest.mark.parametrize("other", ['{"a": 2}', '{"a": 1.5}', '{"a": true}', '{"a": "1"}', DEEP])
def test_other_arguments_are_another_call(other: str) -> None:
    assert likeness(call('{"a": 1}')) != likeness(call(other))


def test_arguments_of_any_depth_are_compared() -> None:
    for depth in (64, 65, 255, 500, 1_000, 100_000):
        some, others = (call('{"a":' * depth + end + "}" * depth) for end in ("1", "2"))
        assert likeness(some) != likeness(others)
        assert fills(some, some)
        assert not fills(some, others)


@pytest.mark.parametrize(
    "other",
    [
        Entry(role=Role.USER, text="Hi"),
        Entry(role=Role.ASSISTANT, text="hi"),
        Entry(role=Role.USER, text="hi", meta={"name": "ada"}),
        Entry(role=Role.USER, text="hi", meta={"parts": [{"type": "image_url"}]}),
        Entry(role=Role.USER, kind=Kind.TOOL_CALL, text="hi", meta={"tool": "f"}),
        picture(url="data:,x"),
        Entry(role=Role.USER, text="<think>no</think>hi"),
    ],
)
def test_who_spoke_the_words_and_the_tools_count(other: Entry) -> None:
    assert likeness(HI) != likeness(other)


def test_thoughts_change_no_history() -> None:
    thought = likeness(Entry(role=Role.ASSISTANT, kind=Kind.REASONING, text="Hm."))
    assert beginnings([likeness(HI), thought])[1] == beginnings([likeness(HI)])[0]


def test_the_order_counts() -> None:
    one, other = likeness(HI), likeness(Entry(role=Role.USER, text="ho"))
    assert beginnings([other, one])[-1] != beginnings([one, other])[-1]


def test_a_history_an_answer_and_one_with_its_question_are_never_the_same() -> None:
    (like,) = likes = [likeness(HI)]
    digests = [beginnings(likes)[0], pair(like, likes), alone(likes), alone([like, like])]
    assert len({*digests}) == 4


def test_prompts_are_told_from_what_was_said() -> None:
    assert [is_prompt(Entry(role=role)) for role in Role] == [
        role in {Role.SYSTEM, Role.DEVELOPER} for role in Role
    ]
