"""What all commands of one transaction share, the log that they append to, and the turns that they open.

A room is locked before anything about it is checked; the lock is held until the commit, so that the order of the locks,
of the commits and of `seq` is one and the same.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from operator import attrgetter
from typing import Any, NamedTuple

from msgspec import Struct, field
from msgspec.structs import fields
from sqlalchemy import ARRAY, BigInteger, Column, Connection, Table, any_, bindparam, func, select

from palaver.clock import Clock
from palaver.model import (
    AUDIT,
    NO_DATA,
    AccountStatus,
    ActorId,
    ActorKind,
    Event,
    EventType,
    MemberRole,
    Message,
    MessageId,
    OpenTo,
    RoomId,
    ServerRole,
    TitleSource,
    Turn,
    TurnId,
    TurnState,
    Visibility,
)
from palaver.policy import OVERSEEN, Action, check, oversees, role_in, room_not_found
from palaver.settings import Settings
from palaver.store.engine.base import POSTGRESQL
from palaver.store.engine.statement import (
    DatabaseNow,
    Statement,
    Together,
    inserting,
    matching,
    updating,
)
from palaver.store.hash_chain import digest_of_data, digest_of_message, linked
from palaver.store.histories import Recent
from palaver.store.read.actors import PREFIX, id_of, refuse_disabled
from palaver.store.schema import accounts, actors, events, members, messages, rooms, turns, unfed

LEASE_MS = 30_000
"""So long a turn is its process' own, unless the lease is renewed."""


class LockedRoom(Struct):
    """A room as it is in this transaction."""

    id: RoomId
    key: int
    seq: int
    chain: bytes
    visibility: Visibility
    title_source: TitleSource
    deleted_ms: int | None
    archived_ms: int | None = None
    open_to: OpenTo | None = None
    open_role: MemberRole | None = None
    main_branch: int | None = None
    last_branch: int | None = None

    @property
    def main(self) -> int:
        """The branch in which is said what names none."""
        return self.main_branch or 0

    @property
    def is_open(self) -> bool:
        """Whether others than its members see it."""
        return self.visibility is Visibility.OPEN

    @property
    def untitled(self) -> bool:
        """Whether nobody has named it yet."""
        return self.title_source is TitleSource.NONE


ROOM_COLUMNS = [rooms.c[one.name] for one in fields(LockedRoom)[1:]]
"""What a `LockedRoom` has behind its id."""
_LOCK = matching(select(*ROOM_COLUMNS).with_for_update(key_share=True, of=rooms), rooms.c.id)
_LOCK_IN_ORDER = Statement(
    select(rooms.c.key)
    .where(rooms.c.id == any_(bindparam("rooms", type_=ARRAY(rooms.c.id.type))))
    .order_by(rooms.c.key)
    .with_for_update(key_share=True),
    "rooms",
)
_ACTOR = matching(
    select(
        *actors.c["key", "kind", "id", "name", "unused"], *accounts.c["status", "role"]
    ).outerjoin(accounts, accounts.c.actor_key == actors.c.key),
    actors.c.id,
)
_USED = updating(actors.c.key, unused=None)
_ROLE = matching(select(*members.c["role", "kept_out"]), members.c.room_key, members.c.actor_key)
_ADVANCE = updating(rooms.c.key, "seq", "chain", "active_ms")
_ADVANCE_QUIETLY = updating(rooms.c.key, "seq", "chain")
_INSERT_EVENT = inserting(
    events, "room_key", "seq", "type", "actor_key", "at_ms", "message_seq", "data", "chain", "salt"
)
_insertion = cache(inserting)
_SAID = ("seq", "id", "role", "status", "kind", "text", "created_ms", "cid", "branch", "meta")
"""The columns that are named as the fields of a message whose values they have."""
_said = attrgetter(*_SAID)
_INSERT_MESSAGE = inserting(messages, "room_key", "author_key", "reply_to_seq", "salt", *_SAID)
_UNFED = inserting(unfed, "room_key", "first_seq", "last_seq")
_APPEND = Together(_ADVANCE, _INSERT_MESSAGE, _INSERT_EVENT)
_APPEND_UNFED = Together(_ADVANCE, _INSERT_MESSAGE, _INSERT_EVENT, _UNFED)
_LOG_UNFED = Together(_ADVANCE_QUIETLY, _INSERT_EVENT, _UNFED)
_OPENED = (
    *("id", "trigger_seq", "attempt", "state", "fence"),
    *("depth", "root_seq", "waits_for", "context_seq", "model", "choice", "branch"),
)
"""The columns that are named as the fields of a turn whose values they have."""
_opened = attrgetter(*_OPENED)
_INSERT_TURN = inserting(
    turns,
    *("room_key", "agent_key", "asker_key", "message_id", "owner", "now_ms", "external", *_OPENED),
    lease_until_ms=DatabaseNow() + LEASE_MS,
    created_ms=func.coalesce(DatabaseNow(), bindparam("now_ms", type_=BigInteger)),
)
_ATTEMPTS = matching(
    select(func.max(turns.c.attempt)), turns.c.room_key, turns.c.trigger_seq, turns.c.agent_key
)


class KnownActor(NamedTuple):
    """An actor with its key. `status` and `server_role`: of the account of who writes, where it has one."""

    key: int
    id: ActorId
    name: str
    status: AccountStatus | None = None
    server_role: ServerRole | None = None

    @property
    def is_agent(self) -> bool:
        """Whether it answers."""
        return self.id.startswith(PREFIX[ActorKind.AGENT])


class Overtaken(Exception):
    """Another process has changed what this transaction relies on; it is begun again."""


Said = tuple[LockedRoom, int, Message, int | None]
"""A message whose seq is its room's next, with its author's key and the seq of the one that it replies to."""

OpenedTurn = tuple[int, int, int | None, Turn]
"""A new turn behind the keys of its room, its agent and who asked for it."""


Asks = tuple[int | None, str | None]
"""Which of several models a turn asks, and that model; None: what its agent does."""


class Chain(NamedTuple):
    """What set a turn off: how many turns it is since somebody said what is at `root_seq`, and their key."""

    depth: int = 1
    root_seq: int | None = None
    asker_key: int | None = None


class Transaction(Struct):
    """One transaction: `events` collects what is told after the commit, `actors` are those met so far.

    `unused` are the keys of those met of whom nothing is kept yet; `located` holds commands with their rooms; `recent`
    outlives the transaction. `used_up` is what its answers used, `waits` how soon they began: see `write.usage`. `fed`
    are the spans of seqs by the keys of their rooms: see `write.feed`.
    """

    conn: Connection
    clock: Clock
    owner: str
    now_ms: int
    recent: Recent
    settings: Settings
    events: list[Event] = field(default_factory=list[Event])
    actors: dict[ActorId, KnownActor] = field(default_factory=dict[ActorId, KnownActor])
    unused: set[int] = field(default_factory=set[int])
    located: dict[int, tuple[object, Sequence[RoomId]]] = field(
        default_factory=dict[int, tuple[object, Sequence[RoomId]]]
    )
    used_up: dict[tuple[int, int, str, str], tuple[int, ...]] = field(
        default_factory=dict[tuple[int, int, str, str], tuple[int, ...]]
    )
    waits: Counter[tuple[str, str, int]] = field(default_factory=Counter[tuple[str, str, int]])
    fed: dict[int, tuple[int, int]] = field(default_factory=dict[int, tuple[int, int]])

    def lock(self, rooms: Sequence[RoomId]) -> None:
        """Locks rooms in the order of their keys. On SQLite the transaction has locked them all."""
        if rooms and self.conn.dialect.name == POSTGRESQL:
            _LOCK_IN_ORDER.all(self.conn, list(dict.fromkeys(rooms)))

    def room(self, room: RoomId, *, deleted_too: bool = False) -> LockedRoom:
        """Locks the room. Refused: `room_not_found`."""
        locked = self.room_or_none(room, deleted_too=deleted_too)
        if locked is None:
            raise room_not_found()
        return locked

    def room_or_none(self, room: RoomId, *, deleted_too: bool = False) -> LockedRoom | None:
        """Locks the room, if it is there."""
        for row in _LOCK.all(self.conn, room):
            locked = LockedRoom(room, *row)
            if locked.deleted_ms is None or deleted_too:
                return locked
        return None

    def actor(self, actor: ActorId | None) -> KnownActor | None:
        """The actor of this id; None when there is none."""
        known = None if actor is None else self.actors.get(actor)
        if known is None and actor is not None:
            for key, kind, digits, name, unused, *account in _ACTOR.all(self.conn, actor):
                if id_of(kind, digits) == actor:
                    known = self.actors[actor] = KnownActor(key, actor, name, *account)
                    if unused:
                        self.unused.add(key)
        return known

    def insert(self, table: Table, *, returning: Column[Any] | None = None, **values: Any) -> Any:
        """Inserts a row, whose values have the names of their columns; the value of the column `returning` in it."""
        statement = _insertion(table, *values, returning=returning)
        if returning is None:
            return statement.run(self.conn, *values.values())
        return statement.value(self.conn, *values.values())

    def used(self, *keys: int) -> None:
        """Something of these actors is kept from now on. One who is deleted meanwhile is no more: `Overtaken`."""
        for key in self.unused.intersection(keys):
            if not _USED.run(self.conn, key):
                raise Overtaken
            self.unused.discard(key)

    def role(self, room: LockedRoom, actor: KnownActor) -> MemberRole | None:
        """The actor's role in the room; None when it is no member."""
        role, kept_out = self.membership(room, actor)
        return None if kept_out else role

    def membership(self, room: LockedRoom, actor: KnownActor) -> tuple[MemberRole | None, bool]:
        """The role that an actor has in the room or had when it was removed, and whether it is kept out since."""
        role, kept_out = _ROLE.first(self.conn, room.key, actor.key) or (None, None)
        return role, bool(kept_out)

    def seen_as(self, room: LockedRoom, actor: KnownActor | None) -> MemberRole | None:
        """As whom an actor sees the room; None for who may not see it."""
        if actor is None:
            return None
        role, kept_out = self.membership(room, actor)
        status, agent = actor.status, actor.is_agent
        return role_in(room, role, kept_out=kept_out, status=status, agent=agent)

    def writable(self, room: RoomId, actor: ActorId) -> tuple[LockedRoom, KnownActor]:
        """Locks the room for an actor who may write to it. Refused: `room_not_found`, `forbidden`, `room_archived`."""
        locked = self.room(room)
        found = self.actor(actor)
        if found is None:
            raise room_not_found()
        self.check(Action.WRITE, locked, found)
        return locked, found

    def check(
        self,
        action: Action,
        room: LockedRoom,
        by: KnownActor | None,
        *,
        own: bool = False,
        of: MemberRole | None = None,
        everyones: bool = False,
        as_admin: bool = True,
    ) -> None:
        """That an actor may do this in the room. Refused: as `policy.refusal` says, `account_disabled`.

        `as_admin`: whether what they ask by is good for what their server role lets them do.
        """
        role, archived = self.seen_as(room, by), room.archived_ms is not None
        asks = by if as_admin and action in OVERSEEN and room.id != AUDIT else None
        check(
            action,
            role,
            own=own,
            of=of,
            everyones=everyones,
            archived=archived,
            oversees=asks is not None and oversees(asks.server_role),
        )
        refuse_disabled(None if by is None else by.status)

    def log(
        self,
        room: LockedRoom,
        type_: EventType,
        actor: KnownActor | None,
        *,
        message_seq: int | None = None,
        data: Mapping[str, Any] = NO_DATA,
        name: str | None = None,
        said: Message | None = None,
    ) -> None:
        """Appends an event that creates no message. `name`, and `said` (its message): as in `Event`, told, not kept."""
        seq = room.seq = room.seq + 1
        event = Event(room.id, seq, type_, actor and actor.id, self.now_ms, said, data, name)
        salt = self.clock.salt() if data else None
        room.chain = linked(room.chain, event, message_seq, digest_of_data(data, salt or b""))
        key = actor and actor.key
        if key is not None:
            self.used(key)
        row = (room.key, seq, type_, key, self.now_ms, message_seq, data, room.chain, salt)
        advanced = (seq, room.chain, room.key)
        if self.conn.dialect.name == POSTGRESQL:
            _LOG_UNFED.many(self.conn, [advanced], [row], [(room.key, seq, seq)])
        else:
            _ADVANCE_QUIETLY.run(self.conn, *advanced)
            _INSERT_EVENT.run(self.conn, *row)
            self._feed(room.key, seq, seq)
        self.events.append(event)

    def append(self, said: Sequence[Said]) -> None:
        """Stores messages with their events."""
        created = EventType.MESSAGE_CREATED
        changed: dict[int, LockedRoom] = {}
        spans: dict[int, tuple[int, int]] = {}
        message_rows: list[tuple[Any, ...]] = []
        event_rows: list[tuple[Any, ...]] = []
        for room, author_key, message, reply_to_seq in said:
            seq, at_ms = message.seq, message.created_ms
            event = Event(room.id, seq, created, message.author, at_ms, message)
            salt = self.clock.salt()
            digest = digest_of_message(message, reply_to_seq, salt)
            room.chain = linked(room.chain, event, seq, digest)
            changed[room.key] = room
            spans[room.key] = (spans[room.key][0] if room.key in spans else seq, seq)
            message_rows.append((room.key, author_key, reply_to_seq, salt, *_said(message)))
            happened = (room.key, seq, created, author_key, at_ms, seq, None, room.chain, None)
            event_rows.append(happened)
            self.events.append(event)
        self.used(*[author_key for _, author_key, _, _ in said])
        advanced = [(room.seq, room.chain, self.now_ms, room.key) for room in changed.values()]
        if self.conn.dialect.name == POSTGRESQL:
            unfed_rows = [(key, *span) for key, span in spans.items()]
            _APPEND_UNFED.many(self.conn, advanced, message_rows, event_rows, unfed_rows)
        else:
            _APPEND.many(self.conn, advanced, message_rows, event_rows)
            for key, span in spans.items():
                self._feed(key, *span)

    def _feed(self, room_key: int, first: int, last: int) -> None:
        """Adds seqs of a room, which follow those before, to what the transaction puts into the feed at its end."""
        self.fed[room_key] = (self.fed[room_key][0] if room_key in self.fed else first, last)

    def new_turn(
        self,
        room: LockedRoom,
        agent: KnownActor,
        trigger_seq: int,
        *,
        chain: Chain,
        branch: int,
        attempt: int = 1,
        waits_for: TurnId | None = None,
        external: tuple[TurnId, MessageId] | None = None,
        asks: Asks = (None, None),
    ) -> OpenedTurn:
        """A turn, with the id of the message that will come of it. Both ids are given if the answer is from outside."""
        id_, message = external or (
            TurnId(f"t_{self.clock.new_id()}"),
            MessageId(f"m_{self.clock.new_id()}"),
        )
        turn = Turn(
            id=id_,
            room=room.id,
            agent=agent.id,
            agent_name=agent.name,
            trigger_seq=trigger_seq,
            message=message,
            state=TurnState.OPEN,
            attempt=attempt,
            fence=1,
            external=external is not None,
            depth=chain.depth,
            root_seq=trigger_seq if chain.root_seq is None else chain.root_seq,
            waits_for=waits_for,
            context_seq=trigger_seq,
            model=asks[1],
            choice=asks[0],
            branch=branch,
        )
        return room.key, agent.key, chain.asker_key, turn

    def attempts(self, room: LockedRoom, agent: KnownActor, trigger_seq: int) -> int:
        """How often an agent was asked for an answer to the message at `trigger_seq`."""
        return _ATTEMPTS.value(self.conn, room.key, trigger_seq, agent.key) or 0

    def open_turns(self, opened: Sequence[OpenedTurn]) -> None:
        """Stores new turns as this process' own."""
        own = (self.owner, self.now_ms)
        _INSERT_TURN.many(
            self.conn,
            [
                (*keys, turn.message, *own, turn.external or None, *_opened(turn))
                for *keys, turn in opened
            ],
        )

    def open_turn(
        self,
        room: LockedRoom,
        agent: KnownActor,
        trigger_seq: int,
        *,
        chain: Chain,
        branch: int,
        first: bool = False,
        external: tuple[TurnId, MessageId] | None = None,
    ) -> Turn:
        """Stores the turn of an agent's next attempt at the message at `trigger_seq`; `first`: surely the first one."""
        attempts = 0 if first else self.attempts(room, agent, trigger_seq)
        opened = self.new_turn(
            *(room, agent, trigger_seq),
            chain=chain,
            branch=branch,
            attempt=attempts + 1,
            external=external,
        )
        self.open_turns([opened])
        return opened[-1]


def distinct(values: Sequence[Any]) -> list[tuple[Any]]:
    """Each value once, in order, as the elements of a `ListStatement`."""
    return [(value,) for value in dict.fromkeys(values)]
