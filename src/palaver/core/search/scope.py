"""Where a query looks: which rooms and whose words it names, to the actor who asks."""

from collections.abc import Sequence
from typing import Self

from msgspec import Struct

from palaver.core import validation
from palaver.core.access import Access
from palaver.core.search.query import Query, Trait
from palaver.model import Actor, ActorId, Message, RoomId
from palaver.store.columns import id_bytes
from palaver.store.read import actors, marks, rooms, search
from palaver.store.store import Store
from palaver.store.tokens import fold

ROOMS_FEW = 100
ROOMS_AT_ONCE = 500
ROOMS_CALLED_MAX = 5_000
"""So many rooms of one title are looked into, those that were last active."""
ME = "me"


class Scope(Struct, frozen=True, kw_only=True):
    """`rooms`: the keys of the only rooms that count; None: all. `authors`: ids; `called`: how names begin, folded.

    `whole`: whether all rooms of the titles that are named are among them.
    """

    actor: ActorId
    rooms: frozenset[int] | None
    authors: frozenset[ActorId]
    called: tuple[str, ...]
    whole: bool = True

    @classmethod
    async def of(
        cls, store: Store, access: Access, actor: Actor, query: Query, room: RoomId | None
    ) -> Self:
        """The scope of a query. Refused: `room_not_found`, for a `room` that the actor may not read."""
        only: set[RoomId] | None = None
        whole = True
        if actor.key is not None and actor.key.rooms is not None:
            only = set(actor.key.rooms)
        if room is not None:
            await access.room(actor, room)
            only = {room}
        if query.rooms:
            named: set[RoomId] = set()
            for name in query.rooms:
                found, all_ = await _rooms_called(store, actor, name)
                named.update(found)
                whole = whole and all_
            only = named if only is None else only & named
        if Trait.STARRED in query.traits:
            starred = await store.read(marks.rooms_starred, actor.id)
            only = starred if only is None else only & starred
        keys = None if only is None else await store.read(search.keys_of, sorted(only))
        authors: set[ActorId] = set()
        called: list[str] = []
        for name in query.authors:
            author, beginning = await _whose(store, actor, name)
            authors |= {author} if author else set()
            called += [beginning] if beginning else []
        return cls(
            actor=actor.id,
            rooms=None if keys is None else frozenset(keys),
            authors=frozenset(authors),
            called=tuple(called),
            whole=whole,
        )

    def has(self, room_key: int) -> bool:
        """Whether a room is one of those that count."""
        return self.rooms is None or room_key in self.rooms

    def names(self, message: Message) -> bool:
        """Whether a message is one of those whose words are looked for."""
        if not self.authors and not self.called:
            return True
        if {message.author, message.became} & self.authors:
            return True
        name = _folded(message.name)
        return any(name.startswith(one) for one in self.called)


async def _rooms_called(store: Store, actor: Actor, name: str) -> tuple[Sequence[RoomId], bool]:
    """A room by its id, or those whose title holds the words, and whether these are all."""
    if id_bytes(name):
        return [RoomId(name)], True
    words = name[: validation.SEARCH_CHARS_MAX]
    ids: list[RoomId] = []
    cursor: str | None = None
    while len(ids) < ROOMS_CALLED_MAX:
        found, cursor = await store.read(
            rooms.listing, actor.id, limit=ROOMS_AT_ONCE, search=words, cursor=cursor
        )
        ids += [one.id for one in found]
        if cursor is None:
            return ids, True
    return ids, False


async def _whose(store: Store, actor: Actor, name: str) -> tuple[ActorId | None, str | None]:
    """Whose handle this is, and how names begin that it means; none behind the `@` of somebody's handle."""
    small = name.removeprefix("@").casefold()
    if small == ME:
        return actor.id, None
    found = await store.read(actors.of_skeleton, validation.skeleton(small))
    if found is None or found.handle != small:
        return None, _folded(name)
    return found.id, None if name.startswith("@") else _folded(name)


def _folded(name: str) -> str:
    return fold(name).casefold()
