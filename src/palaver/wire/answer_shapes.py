"""The shapes of answers that are being made: as readers see them, and as the program is told that gives one."""

from typing import NotRequired

from typing_extensions import TypedDict

from palaver.core.answers import bots
from palaver.core.live import items
from palaver.wire.shapes import Message, explained, message


class StreamState(TypedDict):
    """An answer that is being written, with all of it so far."""

    msg: str
    turn: str
    by: str
    name: str
    after: int
    n: int
    text: str
    reasoning: str
    model: NotRequired[str]
    choice: NotRequired[int]
    waits: NotRequired[bool]
    branch: NotRequired[int]


class Asked(TypedDict, total=False):
    """Which of several models gives an answer, and that model; whether it `waits` for a program to take it up.

    `branch`: to which it belongs, where that is not the first.
    """

    model: str
    choice: int
    waits: bool
    branch: int


def asked(view: items.StreamView) -> Asked:
    """Builds that of a running answer, as far as there is something to say."""
    told: Asked = {} if view.model is None else {"model": view.model}
    if view.choice is not None:
        told["choice"] = view.choice
    if view.waits:
        told["waits"] = True
    if view.branch:
        told["branch"] = view.branch
    return told


@explained
class ToAnswer(TypedDict):
    """What an agent is asked, as the program that answers for it is told."""

    turn: str
    room: str
    msg: str
    """The id that the answer's message will have."""
    attempt: int
    trigger: Message | None
    """The message that is to be answered."""
    n: int
    """So many pieces of the answer came so far."""
    text: str
    """They, joined."""


def to_answer(value: bots.Asked) -> ToAnswer:
    """Builds the shape of what an agent is asked."""
    turn, trigger = value.turn, value.trigger
    return {
        "turn": turn.id,
        "room": turn.room,
        "msg": turn.message,
        "attempt": turn.attempt,
        "trigger": None if trigger is None else message(trigger),
        "n": value.n,
        "text": value.text,
    }


def stream(view: items.StreamView) -> StreamState:
    """Builds the shape of a running answer."""
    return {
        **asked(view),
        "msg": view.message,
        "turn": view.turn,
        "by": view.agent,
        "name": view.agent_name,
        "after": view.after,
        "n": view.n,
        "text": view.text,
        "reasoning": view.reasoning,
    }
