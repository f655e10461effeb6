"""What a message said, and says since an edit."""

from msgspec import Struct

from palaver.model import ActorId, Message


class Version(Struct, frozen=True):
    """What a message said since `seq`, when it was sent or edited, and who said so."""

    seq: int
    at_ms: int
    by: ActorId | None
    text: str


class Edited(Struct, frozen=True, kw_only=True):
    """A message as it is now, and its version: the seq of its last edit, or its own."""

    message: Message
    version: int
