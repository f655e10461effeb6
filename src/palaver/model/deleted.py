"""What somebody may restore."""

from collections.abc import Sequence

from msgspec import Struct

from palaver.model import Message, RoomId


class DeletedMessage(Struct, frozen=True):
    """A deleted message with its text, and what its room is called."""

    message: Message
    title: str


class History(Struct, frozen=True):
    """A room whose history was cleared at `at_ms`, by the event at `seq`."""

    room: RoomId
    title: str
    seq: int
    at_ms: int


class Deleted(Struct, frozen=True):
    """A page of messages, the last deleted first; the histories that were cleared are all on the first one."""

    messages: Sequence[DeletedMessage]
    histories: Sequence[History]
    cursor: str | None
