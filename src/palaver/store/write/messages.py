"""Adds messages and deletes them: of `AddMessage` a whole run, to many rooms, with a handful of statements.

Theory of operation. One select locks the rooms of a run and finds the authors and their roles; one finds the cids that
are known; and, where there are any, one each the ids of messages without a cid (those may come again as well), replied
messages and answering agents. Then the commands are decided one by one in their order, in memory: refused, a duplicate
(of a stored one or of one before it in the run), or the room's next seq. What was decided is written by one
executemany per table. A room's row is updated once per run.
"""

from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import Any, ClassVar, NamedTuple, cast

from msgspec import Struct, field
from msgspec.structs import replace
from sqlalchemy import (
    ClauseElement,
    Connection,
    Integer,
    LargeBinary,
    and_,
    bindparam,
    column,
    literal_column,
    select,
    values,
)

from palaver.errors import Code, Refused
from palaver.model import (
    AccountStatus,
    ActorId,
    ActorKind,
    CredentialId,
    Entry,
    EventType,
    MemberRole,
    Message,
    MessageId,
    Meta,
    Role,
    RoomId,
    Status,
    Turn,
    TurnRefusal,
)
from palaver.model.usage import Budget
from palaver.policy import Action, check, role_in, room_not_found, signed_out
from palaver.speaking import CHAIN_MOST, Words
from palaver.store.engine.statement import ListStatement, Row, Statement, among, matching, updating
from palaver.store.hash_chain import digest_of_message
from palaver.store.read.actors import PREFIX, became_key, id_of, its, refuse_disabled
from palaver.store.read.branches import check as check_branch
from palaver.store.read.devices import standing
from palaver.store.read.edits import first_text
from palaver.store.read.messages import message_of, page, selected
from palaver.store.read.turns import asker, selected as selected_turns, turn_of
from palaver.store.schema import (
    accounts,
    actors,
    member_is_agent,
    member_is_in,
    members,
    message_has_cid,
    messages,
    rooms,
    turn_is_open,
    turns,
)
from palaver.store.write.actors import nobody
from palaver.store.write.branches import following
from palaver.store.write.command import Command, RoomCommand, T_co, each
from palaver.store.write.rooms import conversation
from palaver.store.write.speakers import NOBODY, Hearing, hearing, lately, owner_key, refuse
from palaver.store.write.transaction import (
    ROOM_COLUMNS,
    Chain,
    KnownActor,
    LockedRoom,
    OpenedTurn,
    Said,
    Transaction,
    distinct,
)

REPEATED_MS = 3_600_000
"""How long a client's library may take to send a request again by itself."""
REPEATED_AMONG = 100
"""So many messages may have come after the first time."""


def _lock(names: Sequence[tuple[str, ...]]) -> ClauseElement:
    """Rooms with authors, numbered, so that what is found need not be compared with what was asked for."""
    number = column("number", Integer)
    room, author = column("room", LargeBinary), column("author", LargeBinary)
    rows: list[tuple[Any, ...]] = [
        (
            literal_column(str(index)),
            *[
                bindparam(name, type_=one.c.id.type)
                for name, one in zip(pair, (rooms, actors), strict=True)
            ],
        )
        for index, pair in enumerate(names)
    ]
    asked = values(number, room, author, name="asked").data(rows).cte("asked")
    return (
        select(
            asked.c.number,
            *ROOM_COLUMNS,
            *actors.c["key", "unused", "kind", "name"],
            *members.c["role", "kept_out"],
            accounts.c.status,
        )
        .select_from(asked)
        .join(rooms, rooms.c.id == asked.c.room)
        .join(actors, actors.c.id == asked.c.author)
        .outerjoin(
            members, and_(members.c.room_key == rooms.c.key, members.c.actor_key == actors.c.key)
        )
        .outerjoin(accounts, accounts.c.actor_key == actors.c.key)
        .order_by(rooms.c.key)  # every process locks in one order, so that none waits in a circle
        .with_for_update(key_share=True, of=rooms)
    )


_LOCK = ListStatement(_lock, width=2)
_stored = selected(
    *messages.c["salt", "digest", "author_key"], actors.c.became_key, rooms.c.id.label("room")
).join(rooms, rooms.c.key == messages.c.room_key)
_KNOWN = among(_stored.where(message_has_cid), messages.c.cid)
_KNOWN_BY_ID = among(_stored, messages.c.id)
_REPLIED = among(
    select(*messages.c["id", "room_key", "seq"], actors.c.kind, actors.c.id.label("author")).join(
        actors, actors.c.key == messages.c.author_key
    ),
    messages.c.id,
)
_OPEN = matching(
    selected_turns.where(turn_is_open), turns.c.room_key, turns.c.trigger_seq, turns.c.owner
)
_ROOM = matching(
    select(rooms.c.id).join(messages, messages.c.room_key == rooms.c.key), messages.c.id
)
_MESSAGE = matching(
    select(
        *messages.c["id", "seq", "deleted_ms", "branch"],
        became_key.label("author_key"),
        turns.c.id.label("turn"),
        *turns.c["trigger_seq", "agent_key", "depth", "root_seq", "choice", "model"],
        actors.c.id.label("agent"),
        actors.c.name.label("agent_name"),
        rooms.c.cleared_upto,
    )
    .select_from(messages)
    .join(rooms, rooms.c.key == messages.c.room_key)
    .outerjoin(its, its.c.key == messages.c.author_key)
    .outerjoin(turns, turns.c.message_id == messages.c.id)
    .outerjoin(actors, actors.c.key == turns.c.agent_key),
    messages.c.id,
)
_LATEST = matching(
    select(actors.c.kind)
    .select_from(messages)
    .join(actors, actors.c.key == messages.c.author_key)
    .order_by(messages.c.seq.desc())
    .limit(CHAIN_MOST + 1),
    messages.c.room_key,
)
_SET_DELETED = updating(messages.c.id, "deleted_ms")
_OTHERS = Statement(
    select(members.c.actor_key)
    .where(member_is_in, ~member_is_agent, members.c.room_key == bindparam("room_key"))
    .where(members.c.actor_key != bindparam("author_key"))
    .limit(1),
    *("room_key", "author_key"),
)
"""Somebody who is in a room beside an author."""


class Added(Struct, frozen=True, kw_only=True):
    """The stored message. `dup`: it was there already, and nothing was written."""

    message: Message
    dup: bool
    turns: tuple[Turn, ...]
    untitled: bool


class AddMessage(RoomCommand[Added], frozen=True, kw_only=True):
    """Appends a message to a room.

    It stands at the end of the room's main branch, or of `branch`, or follows the message at the seq `after`: behind
    the newest one of a branch, which goes on so, or behind any other (0: none), where a branch begins. Refused:
    `room_not_found`, `forbidden`, `room_archived`, `message_not_found` (reply_to, after), `branch_not_found`,
    `cid_reused`. `cid` is unique per author for ever: the same one with the same room, text and reply_to is a
    duplicate, with another one is refused. Without a `cid` the same holds of the `id`. With `answers`, the agents that
    answer (`speaking`) get their turns in the same transaction, one for each of `models`; with `asks`, all that do not
    speak `never`. A duplicate opens none, and gives those of this process that are still open. Whom the text mentions
    is kept in the meta, and no part of what is sent. `created_ms` and `seq` are the store's. Any actor may write to an
    open room. `by`: the session or key of who sends it, which may have ended since (`session_ended`,
    `unauthenticated`), as their account may be (`account_disabled`).
    """

    id: MessageId
    author: ActorId
    text: str
    cid: str | None = None
    reply_to: MessageId | None = None
    role: Role = Role.USER
    status: Status = Status.DONE
    meta: Meta = field(default_factory=Meta)
    answers: bool = False
    asks: bool = False
    models: tuple[str, ...] = ()
    by: CredentialId | None = None
    after: int | None = None
    branch: int | None = None
    locks_in_order: ClassVar[bool] = True

    def apply(self, tx: Transaction) -> Added:
        (result,) = self.apply_run(tx, [self])
        if isinstance(result, Refused):
            raise result
        return result

    @classmethod
    def apply_run(cls, tx: Transaction, run: Sequence[Any]) -> list[Any]:
        """Applies the run; the results stand in the order of the commands."""
        found = _found(tx, run)
        results = each(run, lambda command: _decide(tx, found, command))
        tx.append(found.said)
        tx.open_turns(found.turns)
        for room, agent, why in found.refused:
            refuse(tx, room, None, agent, why)
        return results


class AddMessages(RoomCommand[tuple[Added | Refused, ...]], frozen=True, kw_only=True):
    """Appends messages to one room in this order, all in one commit; one that is refused hurts none of the others."""

    commands: tuple[AddMessage, ...]

    def apply(self, tx: Transaction) -> tuple[Added | Refused, ...]:
        return tuple(AddMessage.apply_run(tx, self.commands))


class AddEntries(RoomCommand[tuple[Message, ...]], frozen=True, kw_only=True):
    """Appends entries to a room, all by one author but the assistant's, which are `agent`'s as `by_role` says.

    Once: entries of `ids` that are there already are given as they are; with `repeated` also the same entries, if they
    were added a short while ago. Refused: `room_not_found`, `forbidden`.
    """

    author: ActorId
    agent: ActorId
    entries: tuple[Entry, ...]
    ids: tuple[MessageId, ...]
    repeated: bool = False

    def apply(self, tx: Transaction) -> tuple[Message, ...]:
        room = conversation(tx, self.room, self.author)
        author, agent = tx.actor(self.author), tx.actor(self.agent)
        assert author is not None, "who may write is somebody"
        refuse_disabled(author.status)
        assert agent is not None, "the server's agents are never removed"
        known = _by_seq(tx, self.ids)
        if not known and self.repeated:
            known = _added_before(tx, self)
        if known:
            return tuple([message_of(row.room, row) for row in known])
        said = by_role(tx, room, self.ids, self.entries, (author, agent))
        return tuple(append(tx, room, said, room.main))


class MessageCommand(Command[T_co], frozen=True, kw_only=True):
    """A command about a message that its actor may take back: its author, who asked for it, or the room's owner.

    Refused: `message_not_found`, `room_not_found`, `forbidden`.
    """

    message: MessageId
    by: ActorId

    def rooms(self, conn: Connection) -> Sequence[RoomId]:
        return _ROOM.column(conn, self.message)

    def writable(self, tx: Transaction) -> tuple[LockedRoom, KnownActor, Row]:
        """Locks the room for the actor; with the message, the turn and the agent of which it is the answer."""
        found = self.room_in(tx)
        if found is None:
            raise Refused(Code.MESSAGE_NOT_FOUND, "There is no such message.")
        return *tx.writable(found, self.by), _MESSAGE.one(tx.conn, self.message)


class SetMessageDeleted(MessageCommand[bool], frozen=True, kw_only=True):
    """Deletes (undoably) or restores a message; False: it was so already.

    Refused as well: `message_not_found`, to restore what was cleared with its room's history.
    """

    deleted: bool

    def apply(self, tx: Transaction) -> bool:
        room, by, there = self.writable(tx)
        own = by.key in (there.author_key, asker(tx.conn, there.turn))
        tx.check(Action.TAKE_BACK, room, by, own=own)
        if not self.deleted and there.seq <= (there.cleared_upto or 0):
            cleared = "The chat's history was cleared, and this with it: restore that first."
            raise Refused(Code.MESSAGE_NOT_FOUND, cleared)
        if self.deleted is (there.deleted_ms is not None):
            return False
        mark(tx, room, by, there, deleted=self.deleted)
        return True


def append(
    tx: Transaction,
    room: LockedRoom,
    entries: Iterable[tuple[MessageId, KnownActor, Entry, Status]],
    branch: int,
    reply_to: tuple[MessageId | None, int | None] = (None, None),
) -> list[Message]:
    """Stores entries, with their ids, authors and statuses, as a branch's next messages, which reply to one."""
    said: list[Said] = []
    for id_, author, entry, status in entries:
        room.seq += 1
        message = Message(
            id=id_,
            room=room.id,
            seq=room.seq,
            author=author.id,
            name=author.name,
            role=entry.role,
            status=status,
            text=entry.text,
            created_ms=tx.now_ms,
            kind=str(entry.kind),
            meta=cast("Meta", entry.meta),
            reply_to=reply_to[0],
            branch=branch,
        )
        said.append((room, author.key, message, reply_to[1]))
    tx.append(said)
    return [message for _, _, message, _ in said]


def naming(meta: Meta, mentions: Sequence[str]) -> Meta:
    """What stands beside a message that mentions these members."""
    return {**meta, "mentions": list(mentions)} if mentions else meta


def by_role(
    tx: Transaction,
    room: LockedRoom,
    ids: Sequence[MessageId],
    entries: Sequence[Entry],
    authors: tuple[KnownActor, KnownActor],
) -> list[tuple[MessageId, KnownActor, Entry, Status]]:
    """The entries with their authors: the assistant's are the agent's where the author is alone in the room.

    Where others are or may come, they are the author's own words: nobody speaks for somebody else.
    """
    author, agent = authors
    said_so = any(entry.role is Role.ASSISTANT for entry in entries)
    if said_so and (room.is_open or _OTHERS.first(tx.conn, room.key, author.key) is not None):
        agent = author
    return [
        (id_, agent if entry.role is Role.ASSISTANT else author, entry, Status.DONE)
        for id_, entry in zip(ids, entries, strict=True)
    ]


def mark(tx: Transaction, room: LockedRoom, by: KnownActor, message: Row, *, deleted: bool) -> None:
    """Deletes or restores the message of a `MessageCommand`."""
    id_, seq = message.id, message.seq
    _SET_DELETED.run(tx.conn, tx.now_ms if deleted else None, id_)
    type_ = EventType.MESSAGE_DELETED if deleted else EventType.MESSAGE_RESTORED
    tx.log(room, type_, by, message_seq=seq, data={"msg": id_, "seq": seq})


def _by_seq(tx: Transaction, ids: Sequence[MessageId]) -> list[Row]:
    return sorted(_KNOWN_BY_ID.all(tx.conn, distinct(ids)), key=attrgetter("seq"))


def _added_before(tx: Transaction, command: AddEntries) -> list[Row]:
    """The messages that the same entries became a short while ago, one behind the other; none if they did not."""
    count = len(command.entries)
    newest = page(tx.conn, command.room, limit=count + REPEATED_AMONG).messages
    there = _by_seq(tx, [message.id for message in newest])
    for start in range(len(there) - count, -1, -1):
        run = there[start : start + count]
        if run[-1].seq - run[0].seq == count - 1 and all(
            row.created_ms > tx.now_ms - REPEATED_MS and _became(command, entry, row)
            for entry, row in zip(command.entries, run, strict=True)
        ):
            return run
    return []


def _became(command: AddEntries, entry: Entry, row: Row) -> bool:
    """Whether a message was sent as this entry, whatever it says by now."""
    message = replace(message_of(row.room, row), text=row.text, meta=row.meta)
    authors = {command.author, command.agent if entry.role is Role.ASSISTANT else command.author}
    same = replace(
        message, role=entry.role, status=Status.DONE, text=entry.text, meta=cast("Meta", entry.meta)
    )
    salt = row.salt or b""
    sent = digest_of_message(replace(same, kind=str(entry.kind)), None, salt)
    digest = row.digest or digest_of_message(message, None, salt)
    return message.author in authors and (message.reply_to, digest) == (None, sent)


class _Place(NamedTuple):
    """An author in a room."""

    room: LockedRoom
    author: KnownActor
    role: MemberRole | None  # None: it may not see the room
    status: AccountStatus | None


class _Known(NamedTuple):
    """A message that is there. `text`: also where it is deleted."""

    message: Message
    text: str


class _Run:
    """What the run found, and what it decided to write."""

    def __init__(self) -> None:
        self.places: dict[tuple[RoomId, ActorId], _Place] = {}
        # by author and cid, or by the message's id where there is no cid
        self.known: dict[tuple[int, str], _Known] = {}
        # of which room, at which seq, by whom
        self.replied: dict[MessageId, tuple[int, int, ActorId]] = {}
        self.hearing: dict[int, Hearing] = {}
        self.standing: set[str] = set()
        self.said: list[Said] = []
        self.turns: list[OpenedTurn] = []
        self.refused: list[tuple[LockedRoom, ActorId, TurnRefusal | Budget]] = []


def _found(tx: Transaction, commands: Sequence[AddMessage]) -> _Run:
    run = _Run()
    pairs = list(dict.fromkeys([(command.room, command.author) for command in commands]))
    found: dict[RoomId, LockedRoom] = {}
    for number, *locked, key, unused, kind, name, role, out, status in _LOCK.all(tx.conn, pairs):
        if number >= len(pairs):
            continue  # the list was made longer
        room, author = pairs[int(number)]
        if room[:2] != "r_" or author[:2] != PREFIX[kind]:
            continue
        if unused:
            tx.unused.add(key)
        there = found.setdefault(room, LockedRoom(room, *locked))
        known = KnownActor(key, author, name)
        seen = role_in(there, role, kept_out=bool(out), status=status, agent=known.is_agent)
        run.places[room, author] = _Place(there, known, seen, status)
    sent_by = {
        (place.author.key, command.by)
        for command in commands
        if command.by is not None and (place := run.places.get((command.room, command.author)))
    }
    run.standing = standing(tx.conn, sent_by, tx.now_ms)
    cids = [command.cid for command in commands if command.cid is not None]
    for row in _KNOWN.all(tx.conn, distinct(cids)):
        run.known[row.author_key, row.cid] = _known(row)
        if row.became_key is not None:  # what a guest sent, their account may send again
            run.known.setdefault((row.became_key, row.cid), _known(row))
    without = [command.id for command in commands if command.cid is None]
    for row in _KNOWN_BY_ID.all(tx.conn, distinct(without)):
        run.known[row.author_key, row.id] = _known(row)
    replied = [command.reply_to for command in commands if command.reply_to is not None]
    for id_, room_key, seq, kind, author in _REPLIED.all(tx.conn, distinct(replied)):
        run.replied[id_] = (room_key, seq, id_of(kind, author))
    heard = [
        (place.room.key, command.text)
        for command in commands
        if (command.answers or "@" in command.text)
        and (place := run.places.get((command.room, command.author)))
    ]
    run.hearing = hearing(tx, [key for key, _ in heard], heard)
    return run


def _known(row: Row) -> _Known:
    return _Known(message_of(row.room, row), row.text)


def _decide(tx: Transaction, run: _Run, command: AddMessage) -> Added:
    place = run.places.get((command.room, command.author))
    if place is None or place.room.deleted_ms is not None:
        if place is None and tx.actor(command.author) is None:
            raise nobody()
        raise room_not_found()
    room, author, role, status = place
    check(Action.WRITE, role)
    repeatable = (author.key, command.cid or command.id)
    known = run.known.get(repeatable)
    if known is not None:
        if not _says_the_same(tx, command, known):
            raise Refused(Code.CID_REUSED, "This cid has been used for another message.")
        turns = _still_open(tx, run, room, known.message)
        return Added(message=known.message, dup=True, turns=turns, untitled=room.untitled)
    refuse_disabled(status)
    if command.by is not None and command.by not in run.standing:
        raise signed_out(command.by)
    check(Action.WRITE, role, archived=room.archived_ms is not None)
    reply_to_seq, replied = _replied(run, command, room)
    there = run.hearing.get(room.key, NOBODY)
    mentions, branch = there.mentions(command.text), _branch(tx, run, command, (room, author))
    room.seq += 1
    message = Message(
        id=command.id,
        room=command.room,
        seq=room.seq,
        author=command.author,
        name=author.name,
        role=command.role,
        status=command.status,
        text=command.text,
        created_ms=tx.now_ms,
        cid=command.cid,
        reply_to=command.reply_to,
        branch=branch,
        meta=naming(command.meta, mentions),
    )
    run.said.append((room, author.key, message, reply_to_seq))
    run.replied[message.id] = (room.key, room.seq, author.id)
    run.known[repeatable] = _Known(message, command.text)
    opened: list[OpenedTurn] = []
    if command.answers:
        asks, text = command.asks, command.text
        words = Words(text=text, mentions=mentions, replied=replied, asks=asks)
        chain = Chain(asker_key=author.key)
        if author.is_agent:
            tx.append(run.said)  # its own words count
            run.said.clear()
            chain = _chain(tx, room, author, message.seq)
            so_far = lately(tx, room) + sum(one[0] == room.key for one in run.turns)
            words = replace(words, agent=author.id, depth=chain.depth - 1, lately=so_far)
        opened, refused = there.opened(
            tx, room, words, message.seq, chain, branch=branch, models=command.models
        )
        run.refused += [(room, *one) for one in refused]
    run.turns += opened
    begun = tuple([turn for *_, turn in opened])
    return Added(message=message, dup=False, turns=begun, untitled=room.untitled)


def _branch(
    tx: Transaction, run: _Run, command: AddMessage, where: tuple[LockedRoom, KnownActor]
) -> int:
    """The branch in which a message is to stand, which may begin with it."""
    room, author = where
    if command.branch is not None:
        return check_branch(tx.conn, room.id, command.branch)
    if command.after is None:
        return room.main
    tx.append(run.said)  # what is decided may be what it follows
    run.said.clear()
    return following(tx, room, author, command.after)


def _chain(tx: Transaction, room: LockedRoom, agent: KnownActor, seq: int) -> Chain:
    """What an agent's own words set off, for its owner: as many turns behind a person's as agents have spoken since."""
    latest = _LATEST.column(tx.conn, room.key)
    depth = 1 + next((n for n, kind in enumerate(latest) if kind is ActorKind.PERSON), len(latest))
    return Chain(depth, seq, owner_key(tx, agent))


def _says_the_same(tx: Transaction, command: AddMessage, known: _Known) -> bool:
    """Whether a command is what was sent at first."""
    message = known.message
    text = known.text if message.edited_ms is None else first_text(tx.conn, message)
    said = (message.room, text, message.reply_to)
    return said == (command.room, command.text, command.reply_to)


def _still_open(tx: Transaction, run: _Run, room: LockedRoom, message: Message) -> tuple[Turn, ...]:
    """This process's open turns of a message: whoever stored it may not have heard of them."""
    there = [turn_of(row) for row in _OPEN.all(tx.conn, room.key, message.seq, tx.owner)]
    new = [
        turn for key, *_, turn in run.turns if (key, turn.trigger_seq) == (room.key, message.seq)
    ]
    return (*there, *new)


def _replied(run: _Run, command: AddMessage, room: LockedRoom) -> tuple[int | None, ActorId | None]:
    """The seq and the author of the message that is replied to."""
    if command.reply_to is None:
        return None, None
    room_key, seq, author = run.replied.get(command.reply_to, (None, None, None))
    if room_key != room.key:
        raise Refused(Code.MESSAGE_NOT_FOUND, "The message that this one replies to is not there.")
    return seq, author
