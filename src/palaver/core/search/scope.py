"""Where a query looks: which rooms and whose words it names, to the actor who asks."""

from collections.abc import Sequence
from typing import Self

from msgspec import Struct

from palaver.core import validation
from palaver.core.access import Access
from palaver.core.search.query import Query
from palaver.model import Actor, ActorId, Message, RoomId
from palaver.store.columns import id_bytes
from palaver.store.read import actors, rooms, search
from palaver.store.store import Store
from palaver.store.tokens import fold

ROOMS_FEW = 100
ME = "me"


class Scope(Struct, frozen=True, kw_only=True):
    """`rooms`: the keys of the only rooms that count; None: all. `authors`: ids, or else `called`: names, folded."""

    actor: ActorId
    rooms: frozenset[int] | None
    authors: frozenset[ActorId]
    called: tuple[str, ...]

    @classmethod
    async def of(
        cls, store: Store, access: Access, actor: Actor, query: Query, room: RoomId | None
    ) -> Self:
        """The scope of a query. Refused: `room_not_found`, for a `room` that the actor may not read."""
        only: set[RoomId] | None = None
        if actor.key is not None and actor.key.rooms is not None:
            only = set(actor.key.rooms)
        if room is not None:
            await access.room(actor, room)
            only = {room}
        if query.rooms:
            named = {one for name in query.rooms for one in await _rooms_called(store, actor, name)}
            only = named if only is None else only & named
        keys = None if only is None else await store.read(search.keys_of, sorted(only))
        authors: set[ActorId] = set()
        called: list[str] = []
        for name in query.authors:
            found = await _author(store, actor, name)
            if found is None:
                called.append(_folded(name))
            else:
                authors.add(found)
        return cls(
            actor=actor.id,
            rooms=None if keys is None else frozenset(keys),
            authors=frozenset(authors),
            called=tuple(called),
        )

    def names(self, message: Message) -> bool:
        """Whether a message is one of those whose words are looked for."""
        if not self.authors and not self.called:
            return True
        if {message.author, message.became} & self.authors:
            return True
        name = _folded(message.name)
        return any(name.startswith(one) for one in self.called)


async def few_rooms(store: Store, actor: ActorId) -> Sequence[int] | None:
    """The keys of all rooms that an actor may read; None where they are many."""
    ids: list[RoomId] = []
    for opened in (False, True):
        found, more = await store.read(rooms.listing, actor, limit=ROOMS_FEW, opened=opened)
        if more is not None:
            return None
        ids += [one.id for one in found]
    return await store.read(search.keys_of, ids) if len(ids) <= ROOMS_FEW else None


async def _rooms_called(store: Store, actor: Actor, name: str) -> Sequence[RoomId]:
    """A room by its id, or those whose title holds the words."""
    if id_bytes(name):
        return [RoomId(name)]
    words = name[: validation.SEARCH_CHARS_MAX]
    found, _ = await store.read(rooms.listing, actor.id, limit=ROOMS_FEW, search=words)
    return [one.id for one in found]


async def _author(store: Store, actor: Actor, name: str) -> ActorId | None:
    """Whom a handle means, with or without `@`; None: nobody's, so it is the beginning of a name."""
    small = name.removeprefix("@").casefold()
    if small == ME:
        return actor.id
    found = await store.read(actors.of_skeleton, validation.skeleton(small))
    return found.id if found is not None and found.handle == small else None


def _folded(name: str) -> str:
    return fold(name).casefold()
