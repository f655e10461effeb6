"""Tells who looks after the server of all its rooms: which there are, how large, and what happened in them, and when.

Nothing that was said is told. `by` None is the operator. What happened last is looked for in the rooms where something
was said last: the events of all rooms have no order of their own.
"""

from msgspec import Struct

from palaver.core import validation
from palaver.core.access import Access, veiled
from palaver.model import Actor, ActorId, EventType, Room, RoomId
from palaver.policy import ServerAct, check_server, room_not_found
from palaver.settings import Settings
from palaver.store.columns import INTEGER_MAX
from palaver.store.read import events, rooms
from palaver.store.store import Store

NOBODY = ActorId("")
GLIMPSES_MAX = 100
"""So many rooms are looked at, and so many events of each are told."""
WALKED_MAX = 1_000
"""So many events of a room are looked at for those of one type."""


class Overseen(Struct, frozen=True, kw_only=True):
    """A room, how many are in it, at most a thousand, and its owner's name, if it has one."""

    room: Room
    members: int
    owner: str | None


class Glimpse(Struct, frozen=True):
    """What may be seen of an event where one may not read it."""

    room: Room
    seq: int
    type: EventType
    at_ms: int


class Oversight:
    """What may be seen of all rooms of a database."""

    def __init__(self, store: Store, access: Access, settings: Settings) -> None:
        self._store, self._access, self._settings = store, access, settings

    async def rooms(
        self,
        by: Actor | None,
        *,
        limit: int,
        cursor: str | None = None,
        after: RoomId | None = None,
        search: str | None = None,
        deleted: bool = False,
    ) -> tuple[list[Overseen], str | None]:
        """All rooms, the last active first, and the cursor to go on with; `deleted`: those that are.

        `after`: those behind this room, instead of a cursor. `search`: in titles that one may see. Refused:
        `forbidden`, `limit_invalid`, `cursor_invalid`.
        """
        limit = self._checked(by, limit)
        if search is not None:
            search = validation.search_words(search).strip() or None
        if after is not None:
            cursor = await self._store.read(rooms.cursor_of, after)
        found, following = await self._listing(by, limit, cursor, search, deleted=deleted)
        members = await self._store.read(rooms.members_of, [one.id for one in found])
        told = [(one, *members.get(one.id, (0, None))) for one in found]
        return [Overseen(room=one, members=count, owner=by) for one, count, by in told], following

    async def events(
        self,
        by: Actor | None,
        *,
        limit: int,
        room: RoomId | None = None,
        kind: EventType | None = None,
        before: int | None = None,
    ) -> tuple[list[Glimpse], int | None]:
        """What happened last, the newest first, in all rooms or in one; there before a seq, and where to go on.

        Refused: `forbidden`, `limit_invalid`, `room_not_found`.
        """
        limit = min(self._checked(by, limit), GLIMPSES_MAX)
        if room is None:
            seen: dict[RoomId, Room] = {}
            for deleted in (False, True):
                some, _ = await self._listing(by, GLIMPSES_MAX, None, None, deleted=deleted)
                seen |= {one.id: one for one in some}
            before, depth = None, limit * (10 if kind else 1)
        else:
            seen = {room: await self._room(by, room)}
            depth = WALKED_MAX if kind else limit
        ids, top = list(seen), INTEGER_MAX if before is None else max(0, min(before, INTEGER_MAX))
        rows = await self._store.read(events.glimpses, ids, top, depth, kind)
        found = [Glimpse(seen[id_], seq, type_, at_ms) for id_, seq, type_, at_ms in rows]
        if room is not None:
            found.sort(key=lambda one: -one.seq)
            top = min(top, seen[room].seq + 1)
            lowest = found[limit - 1].seq if len(found) > limit else top - depth
            before = lowest if lowest > 1 else None
        return found[:limit], before

    def _checked(self, by: Actor | None, limit: int) -> int:
        if by is not None:
            check_server(ServerAct.OVERSEE, by.server_role)
        return validation.page_size(limit, self._settings.page_max)

    async def _listing(
        self, by: Actor | None, limit: int, cursor: str | None, search: str | None, *, deleted: bool
    ) -> tuple[tuple[Room, ...], str | None]:
        found, following = await self._store.read(
            rooms.listing,
            NOBODY if by is None else by.id,
            limit=limit,
            cursor=cursor,
            search=search,
            deleted=deleted,
            every=True,
        )
        return found if by is None else tuple(map(veiled, found)), following

    async def _room(self, by: Actor | None, room: RoomId) -> Room:
        if by is not None:
            return await self._access.overseen(by, room)
        found = await self._store.read(rooms.get, room, NOBODY)
        if found is None:
            raise room_not_found()
        return found
