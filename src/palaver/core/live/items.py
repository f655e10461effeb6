"""What a live reader is given: the values between the hub and the doors.

An item that many readers share carries `frame`, the bytes that a wire made of it once; other wires translate the
item itself.
"""

from collections.abc import Callable
from typing import Literal, TypeVar

from msgspec import Struct

from palaver.errors import Code
from palaver.model import ActorId, Event, EventType, Message, MessageId, RoomId, TurnId


class StreamView(Struct, frozen=True, kw_only=True):
    """A running answer: `text` and `reasoning` so far, after `n` deltas. `after`: the seq that it answers.

    `model`, `choice` and `branch` as its turn has them. `waits`: no program of its agent has taken it up, see `bots`.
    """

    room: RoomId
    message: MessageId
    turn: TurnId
    agent: ActorId
    agent_name: str
    after: int
    n: int
    text: str
    reasoning: str
    model: str | None = None
    choice: int | None = None
    waits: bool = False
    branch: int = 0


class Joined(Struct, frozen=True, kw_only=True):
    """The answer to a subscription: `events` after `since` (resume), or the newest `messages` (reset).

    `seq` is the seq up to which the reader now knows the room; `before` the cursor to older messages; `branch` the one
    on whose path the messages lie.
    """

    room: RoomId
    mode: Literal["resume", "reset"]
    reason: Literal["new", "gap", "epoch"] | None
    seq: int
    events: tuple[Event, ...] = ()
    messages: tuple[Message, ...] = ()
    before: int | None = None
    branch: int = 0
    streams: tuple[StreamView, ...] = ()


class _Shared(Struct, kw_only=True, eq=False):
    frame: bytes = b""


class Happened(_Shared, eq=False):
    """An event of a subscribed room, exactly once and in the order of `seq`. `bytes`: what it takes while kept."""

    event: Event
    bytes: int = 0


class Opened(_Shared, eq=False):
    """An answer began to stream, anew if it was there. A late joiner gets the text so far as the next `Delta`.

    One that `waits` does so until its first `Delta`, which may have no words.
    """

    stream: StreamView


class Delta(_Shared, eq=False):
    """A piece of a running answer; `n` counts deltas, and several may have become one."""

    room: RoomId
    message: MessageId
    n: int
    text: str
    reasoning: str


class Ended(_Shared, eq=False):
    """A stream ended without a message, or a draft was not stored under its id."""

    room: RoomId
    message: MessageId


class Typing(_Shared, eq=False):
    """Somebody is typing."""

    room: RoomId
    actor: ActorId
    name: str


class Here(_Shared, eq=False):
    """Who reads a room now: how many, and which people; None where they are too many to be told."""

    room: RoomId
    count: int
    people: tuple[ActorId, ...] | None


class RoomChanged(_Shared, eq=False):
    """Something happened in a watched room: `new` messages of others, and what kinds of events."""

    room: RoomId
    seq: int
    at_ms: int
    new: int
    types: tuple[EventType, ...]


class ReadMark(_Shared, eq=False):
    """The same person has read a room up to `seq`, on another connection."""

    room: RoomId
    seq: int


class OwnChanged(_Shared, eq=False):
    """What is the same person's alone has changed in a room: its message at `seq` is `starred`, or not; None: else."""

    room: RoomId
    seq: int | None = None
    starred: bool = False


class Look(_Shared, eq=False):
    """The same person looks at a branch of a room, by another connection."""

    room: RoomId
    branch: int


class Drafted(_Shared, eq=False):
    """A message was accepted while the database is away; the event with the same message id replaces it."""

    room: RoomId
    message: MessageId
    actor: ActorId
    name: str
    text: str
    accepted_ms: int
    cid: str


class Settled(_Shared, eq=False):
    """What became of a message of one's own that was accepted: stored at `seq`, or rejected with a code."""

    room: RoomId
    cid: str
    message: MessageId
    seq: int | None
    code: Code | None
    detail: str | None


class Unsubscribed(_Shared, eq=False):
    """A room was taken away from the reader, with the reason; nothing of it comes any more, and other rooms go on."""

    room: RoomId
    code: Code
    detail: str


class SignedOut(_Shared, eq=False):
    """The session or key by which the reader was here has ended: nothing comes any more."""

    code: Code
    detail: str


class DatabaseState(_Shared, eq=False):
    """The database went away or came back."""

    up: bool


class Closing(_Shared, eq=False):
    """The server stops; come back after about `retry_ms`."""

    retry_ms: int


Item = (
    Happened
    | Opened
    | Delta
    | Ended
    | Typing
    | Here
    | RoomChanged
    | ReadMark
    | OwnChanged
    | Look
    | Drafted
    | Settled
    | Unsubscribed
    | SignedOut
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
