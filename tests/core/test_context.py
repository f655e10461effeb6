"""What a model is given: the newest that fits, the question last and once."""

from dataclasses import replace

from palaver.agents.base import Said, ToolCall
from palaver.core.context import within
from palaver.model import ActorId, Kind, Message, MessageId, Role, RoomId, Status

AGENT = ActorId("a_1")


def said(seq: int, author: str, text: str, status: Status = Status.DONE) -> Message:
    return Message(
        id=MessageId(f"m_{seq}"),
        room=RoomId("r_1"),
        seq=seq,
        author=ActorId(author),
        name=author.upper(),
        role=Role.ASSISTANT if author.startswith("a") else Role.USER,
        status=status,
        text=text,
        created_ms=0,
    )


def test_oldest_first_with_the_roles_of_this_agent() -> None:
    history = within(
        [said(1, "u_1", "hi"), said(2, AGENT, "hello"), said(3, "u_1", "more")], AGENT, 100
    )
    assert [(one.role, one.text, one.name) for one in history] == [
        (Role.USER, "hi", None),
        (Role.ASSISTANT, "hello", None),
        (Role.USER, "more", None),
    ]


def test_several_people_are_told_apart_and_other_agents_are_people() -> None:
    history = within(
        [said(1, "u_1", "hi"), said(2, "a_2", "I too"), said(3, AGENT, "x")], AGENT, 100
    )
    assert [(one.role, one.name) for one in history] == [
        (Role.USER, "U_1"),
        (Role.USER, "A_2"),
        (Role.ASSISTANT, None),
    ]


def test_the_budget_cuts_the_oldest_and_never_the_question() -> None:
    talk = [said(seq, "u_1", "x" * 400) for seq in range(1, 11)]
    assert [one.text for one in within(talk, AGENT, 330)] == ["x" * 400] * 3
    assert len(within(talk, AGENT, 1)) == 1


def test_an_answer_that_failed_without_a_word_is_left_out() -> None:
    talk = [said(1, "u_1", "hi"), said(2, AGENT, "", Status.FAILED), said(3, "u_1", "again")]
    assert [one.text for one in within(talk, AGENT, 100)] == ["hi", "again"]


def called(seq: int, call_id: str) -> Message:
    meta = {"call_id": call_id, "tool": "clock"}
    return replace(said(seq, AGENT, "{}"), kind=str(Kind.TOOL_CALL), meta=meta)


def result(seq: int, call_id: str) -> Message:
    found = replace(said(seq, "u_1", "12:00"), kind=str(Kind.TOOL_RESULT), role=Role.TOOL)
    return replace(found, meta={"call_id": call_id})


def test_a_tools_call_goes_with_its_result_or_not_at_all() -> None:
    talk = [said(1, "u_1", "time?"), said(2, AGENT, "I look."), called(3, "a"), called(4, "b")]
    history = within([*talk, result(5, "a"), said(6, "u_1", "so?")], AGENT, 1_000)
    call = ToolCall(id="a", name="clock", arguments="{}")
    assert history == (
        Said(role=Role.USER, text="time?"),
        Said(role=Role.ASSISTANT, text="I look.", calls=(call,)),
        Said(role=Role.TOOL, text="12:00", call_id="a"),
        Said(role=Role.USER, text="so?"),
    )
    assert [one.role for one in within([result(5, "a"), said(6, "u_1", "so?")], AGENT, 9)] == [
        Role.USER
    ]


def test_another_answer_than_the_first_is_left_out() -> None:
    other = replace(said(3, AGENT, "or so"), meta={"choice": 1})
    history = within([said(1, "u_1", "hi"), said(2, AGENT, "so"), other], AGENT, 100)
    assert [one.text for one in history] == ["hi", "so"]


def test_system_prompts_and_pictures_are_given_as_what_they_are() -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
    prompt = replace(said(1, "u_1", "Be brief."), role=Role.DEVELOPER)
    shown = replace(said(2, "u_1", ""), meta={"parts": [picture], "name": "ada"})
    history = within([prompt, shown], AGENT, 100)
    assert [(one.role, one.parts, one.name) for one in history] == [
        (Role.SYSTEM, (), None),
        (Role.USER, (picture,), "ada"),
    ]
