"""What a live reader is given: the values between the hub and the doors.

An item that many readers share carries `frame`, the bytes that a wire made of it once; other wires translate the
item itself.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from palaver.errors import Code
from palaver.model import ActorId, Event, EventType, Message, MessageId, RoomId, TurnId


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamView:
    """A running answer: `text` and `reasoning` so far, after `n` deltas. `after`: the seq that it answers."""

    room: RoomId
    message: MessageId
    turn: TurnId
    agent: ActorId
    agent_name: str
    after: int
    n: int
    text: str
    reasoning: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    """The answer to a subscription: `events` after `since` (resume), or the newest `messages` (reset).

    `seq` is the seq up to which the reader now knows the room; `before` the cursor to older messages.
    """

    room: RoomId
    mode: Literal["resume", "reset"]
    reason: Literal["new", "gap", "epoch"] | None
    seq: int
    events: tuple[Event, ...] = ()
    messages: tuple[Message, ...] = ()
    before: int | None = None
    streams: tuple[StreamView, ...] = ()


@dataclass(slots=True, eq=False)
class _Shared:
    frame: bytes = field(default=b"", kw_only=True)


@dataclass(slots=True, eq=False)
class Happened(_Shared):
    """An event of a subscribed room, exactly once and in the order of `seq`. `bytes`: what it takes while kept."""

    event: Event
    bytes: int = 0


@dataclass(slots=True, eq=False)
class Opened(_Shared):
    """An answer began to stream. A late joiner gets the text so far as the next `Delta`."""

    stream: StreamView


@dataclass(slots=True, eq=False)
class Delta(_Shared):
    """A piece of a running answer; `n` counts deltas, and several may have become one."""

    room: RoomId
    message: MessageId
    n: int
    text: str
    reasoning: str


@dataclass(slots=True, eq=False)
class Ended(_Shared):
    """A stream ended without a message, or a draft was not stored under its id."""

    room: RoomId
    message: MessageId


@dataclass(slots=True, eq=False)
class Typing(_Shared):
    """Somebody is typing."""

    room: RoomId
    actor: ActorId
    name: str


@dataclass(slots=True, eq=False)
class RoomChanged(_Shared):
    """Something happened in a watched room: `new` messages of others, and what kinds of events."""

    room: RoomId
    seq: int
    at_ms: int
    new: int
    types: tuple[EventType, ...]


@dataclass(slots=True, eq=False)
class ReadMark(_Shared):
    """The same person has read a room up to `seq`, on another connection."""

    room: RoomId
    seq: int


@dataclass(slots=True, eq=False)
class Drafted(_Shared):
    """A message was accepted while the database is away; the event with the same message id replaces it."""

    room: RoomId
    message: MessageId
    actor: ActorId
    name: str
    text: str
    accepted_ms: int
    cid: str


@dataclass(slots=True, eq=False)
class Settled(_Shared):
    """What became of a message of one's own that was accepted: stored at `seq`, or rejected with a code."""

    room: RoomId
    cid: str
    message: MessageId
    seq: int | None
    code: Code | None
    detail: str | None


@dataclass(slots=True, eq=False)
class Unsubscribed(_Shared):
    """A room was taken away from the reader, with the reason; nothing of it comes any more, and other rooms go on."""

    room: RoomId
    code: Code
    detail: str


@dataclass(slots=True, eq=False)
class DatabaseState(_Shared):
    """The database went away or came back."""

    up: bool


@dataclass(slots=True, eq=False)
class Closing(_Shared):
    """The server stops; come back after about `retry_ms`."""

    retry_ms: int


Item = (
    Happened
    | Opened
    | Delta
    | Ended
    | Typing
    | RoomChanged
    | ReadMark
    | Drafted
    | Settled
    | Unsubscribed
    | DatabaseState
    | Closing
)

Encode = Callable[[Item], bytes]
T = TypeVar("T", bound=Item)


def encoded(item: T, encode: Encode) -> T:
    """The item, with the bytes that a wire makes of it."""
    item.frame = encode(item)
    return item


def not_encoded(item: Item) -> bytes:  # noqa: ARG001  the signature is `Encode`'s
    """For doors that translate the items themselves."""
    return b""
