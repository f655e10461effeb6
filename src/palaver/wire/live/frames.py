"""The frames of `palaver.v1`: what the server sends, as shapes, and how the fields of a client's frame are read."""

from collections.abc import Callable
from inspect import signature
from typing import Any, Literal, NotRequired, get_args, get_origin

from typing_extensions import TypedDict

from palaver.core.answers.bots import Asked, Over
from palaver.core.live import items
from palaver.errors import PalaverError, Refused
from palaver.strict_json import (
    Json,
    dump,
    text_of,
    text_or_none_of,
    texts_or_none_of,
    whole_of,
    whole_or_none_of,
)
from palaver.wire import answer_shapes, shapes
from palaver.wire.shapes import moment

# what is pushed


class Happened(shapes.RoomEvent):
    """Something happened in a room that the client follows."""

    t: Literal["ev"]


class StreamOpened(TypedDict):
    """An answer begins."""

    t: Literal["s.open"]
    room: str
    msg: str
    turn: str
    by: str
    name: str
    after: int
    model: NotRequired[str]
    choice: NotRequired[int]
    waits: NotRequired[bool]
    branch: NotRequired[int]


class StreamDelta(TypedDict):
    """More of an answer: `x` is text, `r` reasoning."""

    t: Literal["s.d"]
    room: str
    msg: str
    n: int
    x: NotRequired[str]
    r: NotRequired[str]


class StreamEnded(TypedDict):
    """An answer ended without a message."""

    t: Literal["s.end"]
    room: str
    msg: str


class Typing(TypedDict):
    """Somebody is typing."""

    t: Literal["typing"]
    room: str
    by: str
    name: str


class HereNotice(shapes.Here):
    """Who reads a room now, when that has changed."""

    t: Literal["here"]
    room: str


class RoomNotice(TypedDict):
    """Something changed in one of a person's rooms: `new` messages of others, and kinds of events."""

    t: Literal["room"]
    room: str
    seq: int
    at: str
    new: int
    k: list[str]


class ReadMark(TypedDict):
    """The same person has read so far, on another connection."""

    t: Literal["read"]
    room: str
    seq: int


class OwnNotice(TypedDict):
    """What is the same person's alone has changed in a room: a star at `seq`; or how they have it."""

    t: Literal["own"]
    room: str
    seq: NotRequired[int]
    starred: NotRequired[bool]


class Look(TypedDict):
    """The same person looks at this branch from now on, by another connection or by a message that began it."""

    t: Literal["look"]
    room: str
    branch: int


class Draft(TypedDict):
    """A message that the server keeps while its database is away."""

    msg: str
    by: str
    name: str
    text: str
    cid: str
    at: str


class Drafted(Draft):
    """A message was accepted."""

    t: Literal["draft"]
    room: str


class Ack(TypedDict):
    """The reply to `send`; or a push, with `room`, about a message that was accepted earlier."""

    t: Literal["ack"]
    cid: str
    state: Literal["stored", "accepted", "rejected"]
    msg: str
    seq: int | None
    dup: NotRequired[bool]
    branch: NotRequired[int]
    room: NotRequired[str]
    code: NotRequired[str]
    detail: NotRequired[str | None]


class Unsubscribed(TypedDict):
    """The server ends a subscription."""

    t: Literal["unsub"]
    room: str
    code: str
    detail: str


class DatabaseState(TypedDict):
    """The database went away or came back."""

    t: Literal["db"]
    state: Literal["up", "down"]


class TurnAsked(answer_shapes.ToAnswer):
    """An agent is asked, whose program this is."""

    t: Literal["turn"]


class TurnStopped(TypedDict):
    """What the agent was asked is over without its program: somebody stopped it, or it took too long."""

    t: Literal["turn.stop"]
    room: str
    turn: str


class Bye(TypedDict):
    """The server closes the connection soon."""

    t: Literal["bye"]
    retry_ms: int


class Ping(TypedDict):
    """A sign of life is asked for."""

    t: Literal["ping"]


# what is replied


class Limits(TypedDict):
    """The bounds of a connection."""

    frame: int
    text: int
    inflight: int
    rooms: int


class Welcome(TypedDict):
    """The reply to `hello`."""

    t: Literal["welcome"]
    v: int
    epoch: str
    me: shapes.Me
    ping: float
    limits: Limits
    db: Literal["up", "down"]


class SubResume(TypedDict):
    """The reply to `sub`: what was missed."""

    t: Literal["sub"]
    room: str
    mode: Literal["resume"]
    seq: int
    events: list[shapes.RoomEvent]
    streams: list[answer_shapes.StreamState]


class SubReset(TypedDict):
    """The reply to `sub`: the newest messages, in the place of what the client had."""

    t: Literal["sub"]
    room: str
    mode: Literal["reset"]
    reason: Literal["new", "gap", "epoch"]
    seq: int
    messages: list[shapes.Message]
    before: int | None
    branch: int
    streams: list[answer_shapes.StreamState]


class Ok(TypedDict):
    """The reply to what has no other. `turn`: of `retry`, `regenerate`; `branch`: of the latter; `turns`: of `ask`."""

    t: Literal["ok"]
    turn: NotRequired[str]
    branch: NotRequired[int]
    turns: NotRequired[list[str]]


class Pong(TypedDict):
    """A sign of life."""

    t: Literal["pong"]


class ErrorFrame(TypedDict):
    """Why a frame was not carried out."""

    t: Literal["err"]
    code: str
    detail: str
    temporary: bool
    retry_ms: NotRequired[int]
    room: NotRequired[str]
    turn: NotRequired[str]


class TurnEnded(TypedDict):
    """The reply to `turn.end`: the answer is stored. `dup`: it was before."""

    t: Literal["ack"]
    msg: str
    seq: int
    dup: bool


SubReply = SubResume | SubReset
Reply = SubReply | Ack | Welcome | Ok | TurnEnded
_Told = HereNotice | Unsubscribed | DatabaseState | Bye | Pong | Ping | Ack | RoomNotice
_Streamed = StreamOpened | StreamDelta | StreamEnded | TurnAsked | TurnStopped
_Own = ReadMark | OwnNotice | Look
Push = Happened | SubReply | _Streamed | Drafted | Typing | _Own | _Told | ErrorFrame


def encode(item: items.Item) -> bytes:
    """Encodes what a live reader is pushed: once for each item, for all its readers."""
    return dump(pushed(item))


def pushed(item: items.Item) -> Push:  # noqa: C901, PLR0911, PLR0912  one arm for each kind of item
    """Builds the frame of an item."""
    match item:
        case items.Happened():
            return {"t": "ev", **shapes.event(item.event)}
        case items.Delta():
            delta: StreamDelta = {"t": "s.d", "room": item.room, "msg": item.message, "n": item.n}
            if item.text:
                delta["x"] = item.text
            if item.reasoning:
                delta["r"] = item.reasoning
            return delta
        case items.Opened(stream=view):
            return {
                "t": "s.open",
                "room": view.room,
                "msg": view.message,
                "turn": view.turn,
                "by": view.agent,
                "name": view.agent_name,
                "after": view.after,
                **answer_shapes.asked(view),
            }
        case items.Ended():
            return {"t": "s.end", "room": item.room, "msg": item.message}
        case items.Typing():
            return {"t": "typing", "room": item.room, "by": item.actor, "name": item.name}
        case items.Here():
            return {"t": "here", "room": item.room, **shapes.here(item)}
        case items.RoomChanged(room=room, seq=seq, new=new):
            at, kinds = moment(item.at_ms), list[str](item.types)
            return RoomNotice(t="room", room=room, seq=seq, at=at, new=new, k=kinds)
        case items.ReadMark():
            return {"t": "read", "room": item.room, "seq": item.seq}
        case items.OwnChanged(seq=seq):
            own = OwnNotice(t="own", room=item.room)
            return own if seq is None else {**own, "seq": seq, "starred": item.starred}
        case items.Look():
            return {"t": "look", "room": item.room, "branch": item.branch}
        case items.Drafted():
            return _draft(item)
        case items.Settled():
            return _settled(item)
        case items.Unsubscribed():
            return {"t": "unsub", "room": item.room, "code": item.code, "detail": item.detail}
        case items.SignedOut():
            return error(Refused(item.code, item.detail))
        case items.DatabaseState():
            return {"t": "db", "state": "up" if item.up else "down"}
        case items.Closing():
            return {"t": "bye", "retry_ms": item.retry_ms}


def told(item: Asked | Over) -> TurnAsked | TurnStopped:
    """Builds the frame by which an agent's program hears what is asked of it, or is over."""
    if isinstance(item, Over):
        return {"t": "turn.stop", "room": item.room, "turn": item.turn}
    return {"t": "turn", **answer_shapes.to_answer(item)}


def _draft(item: items.Drafted) -> Drafted:
    return {
        "t": "draft",
        "room": item.room,
        "msg": item.message,
        "by": item.actor,
        "name": item.name,
        "text": item.text,
        "cid": item.cid,
        "at": moment(item.accepted_ms),
    }


def _settled(item: items.Settled) -> Ack:
    state = "stored" if item.code is None else "rejected"
    ack = Ack(t="ack", room=item.room, cid=item.cid, msg=item.message, state=state, seq=item.seq)
    return ack if item.code is None else {**ack, "code": item.code, "detail": item.detail}


def joined(value: items.Joined) -> SubReply:
    """Builds the reply to `sub`, without `id`."""
    streams = [answer_shapes.stream(view) for view in value.streams]
    if value.reason is None:
        events = [shapes.event(one) for one in value.events]
        return SubResume(
            t="sub", room=value.room, mode="resume", seq=value.seq, events=events, streams=streams
        )
    return {
        "t": "sub",
        "room": value.room,
        "mode": "reset",
        "reason": value.reason,
        "seq": value.seq,
        "messages": [shapes.message(one) for one in value.messages],
        "before": value.before,
        "branch": value.branch,
        "streams": streams,
    }


def error(problem: PalaverError) -> ErrorFrame:
    """Builds `err`, without `id`."""
    code, detail, temporary = problem.code, problem.detail, problem.temporary
    frame = ErrorFrame(t="err", code=code, detail=detail, temporary=temporary)
    return frame if problem.retry_ms is None else {**frame, "retry_ms": problem.retry_ms}


# what a client sends

Read = Callable[[Json, str], Any]

_READ: dict[tuple[type, bool], Read] = {
    (str, False): text_of,
    (str, True): text_or_none_of,
    (int, False): whole_of,
    (int, True): whole_or_none_of,
    (list, True): texts_or_none_of,
}


def fields_of(function: Callable[..., Any]) -> dict[str, Read]:
    """Finds the fields of a frame, and how each is read: they are the parameters of the method that carries it out."""
    return {
        one.name: _READ[plain_type(one.annotation)]
        for one in signature(function).parameters.values()
        if one.name != "self"
    }


def plain_type(annotation: Any) -> tuple[type, bool]:
    """What JSON has for a parameter's type, and whether it may be missing."""
    kinds = [getattr(one, "__supertype__", one) for one in get_args(annotation) or (annotation,)]
    return get_origin(kinds[0]) or kinds[0], len(kinds) > 1
