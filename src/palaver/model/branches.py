"""Branches: other paths through a room's messages than the first."""

from msgspec import Struct

from palaver.model import ActorId


class Branch(Struct, frozen=True, kw_only=True):
    """A path: its own messages, behind its `parent`'s up to the seq `after`, and so on. The first, 0, has no parent.

    `last`: the seq of its newest message; None where an answer that it was made for has not come. `name`: that somebody
    gave it; `by`: who made it.
    """

    branch: int
    parent: int | None
    after: int
    name: str | None
    by: ActorId | None
    created_ms: int | None
    last: int | None
    deleted_ms: int | None
