"""What a model is given: the newest that fits, the question last and once."""

from palaver.core.context import within
from palaver.model import ActorId, Message, MessageId, Role, RoomId, Status

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
