"""Adds messages: a whole run of them, to many rooms, with a handful of statements.

Theory of operation. One select locks the rooms and finds the authors and their roles; one finds the cids that are
known; and, where there are any, one each the ids of messages without a cid (those may come again as well), replied
messages and answering agents. Then the commands are decided one by one in their order, in memory: refused, a duplicate
(of a stored one or of one before it in the run), or the room's next seq. What was decided is written by one
executemany per table. A room's row is updated once per run.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, NamedTuple

from sqlalchemy import (
    ClauseElement,
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
    NO_DATA,
    ActorId,
    ActorKind,
    MemberRole,
    Message,
    MessageId,
    Role,
    RoomId,
    Status,
    Turn,
)
from palaver.policy import Action, check, role_in, room_not_found
from palaver.store.engine.statement import ListStatement, Row, Statement, among
from palaver.store.hash_chain import digest_of_message
from palaver.store.read.actors import PREFIX, id_of
from palaver.store.read.messages import message_of, selected
from palaver.store.read.turns import selected as selected_turns, turn_of
from palaver.store.schema import (
    actors,
    members,
    message_has_cid,
    messages,
    rooms,
    turn_is_open,
    turns as turns_table,
)
from palaver.store.values import new_message
from palaver.store.write.actors import nobody
from palaver.store.write.command import RoomCommand
from palaver.store.write.new_turns import OpenedTurn, new_turn, open_turns
from palaver.store.write.transaction import (
    ROOM_COLUMNS,
    KnownActor,
    LockedRoom,
    Said,
    Transaction,
    distinct,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Added:
    """The stored message. `dup`: it was there already, and nothing was written."""

    message: Message
    dup: bool
    turns: tuple[Turn, ...]
    untitled: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AddMessage(RoomCommand[Added]):
    """Appends a message to a room. Refused: `room_not_found`, `message_not_found` (reply_to), `cid_reused`.

    `cid` is unique per author for ever: the same one with the same room, text and reply_to is a duplicate, with another
    one is refused. Without a `cid` the same holds of the `id`. With `answers`, each agent member with `auto_respond`
    gets a turn in the same transaction; a duplicate opens none, and gives those of this process that are still open.
    `created_ms` and `seq` are the store's. Any actor may write to an open room.
    """

    id: MessageId
    room: RoomId
    author: ActorId
    text: str
    cid: str | None = None
    reply_to: MessageId | None = None
    role: Role = Role.USER
    status: Status = Status.DONE
    meta: Mapping[str, Any] = field(default_factory=lambda: NO_DATA)
    answers: bool = False
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
        results: list[Added | Refused] = []
        for command in run:
            try:
                results.append(_decide(tx, found, command))
            except Refused as refused:
                results.append(refused)
        tx.append(found.said)
        open_turns(tx, found.turns)
        return results


@dataclass(frozen=True, slots=True)
class AddMessages(RoomCommand[tuple[Added | Refused, ...]]):
    """Appends messages to one room in this order, all in one commit; one that is refused hurts none of the others."""

    room: RoomId
    commands: tuple[AddMessage, ...]

    def apply(self, tx: Transaction) -> tuple[Added | Refused, ...]:
        return tuple(AddMessage.apply_run(tx, self.commands))


def _lock(names: Sequence[tuple[str, ...]]) -> ClauseElement:
    """Rooms with authors, numbered, so that what is found need not be compared with what was asked for."""
    number = column("number", Integer)
    room, author = column("room", LargeBinary), column("author", LargeBinary)
    rows: list[tuple[Any, ...]] = [
        (literal_column(str(index)), *[bindparam(name, type_=rooms.c.id.type) for name in pair])
        for index, pair in enumerate(names)
    ]
    asked = values(number, room, author, name="asked").data(rows).cte("asked")
    return (
        select(
            asked.c.number,
            *ROOM_COLUMNS,
            actors.c.key,
            actors.c.unused,
            actors.c.kind,
            actors.c.name,
            members.c.role,
        )
        .select_from(asked)
        .join(rooms, rooms.c.id == asked.c.room)
        .join(actors, actors.c.id == asked.c.author)
        .outerjoin(
            members, and_(members.c.room_key == rooms.c.key, members.c.actor_key == actors.c.key)
        )
        .order_by(rooms.c.key)  # every process locks in one order, so that none waits in a circle
        .with_for_update(key_share=True, of=rooms)
    )


_LOCK = ListStatement(_lock, width=2)
_stored = selected(messages.c.digest, messages.c.author_key, rooms.c.id.label("room")).join(
    rooms, rooms.c.key == messages.c.room_key
)
_KNOWN = among(_stored.where(message_has_cid), messages.c.cid)
_KNOWN_BY_ID = among(_stored, messages.c.id)
_REPLIED = among(select(messages.c.id, messages.c.room_key, messages.c.seq), messages.c.id)
_ANSWERING = among(
    select(members.c.room_key, actors.c.key, actors.c.id, actors.c.name)
    .join(actors, actors.c.key == members.c.actor_key)
    .where(members.c.auto_respond.is_(True))
    .order_by(members.c.room_key, members.c.joined_ms, actors.c.key),
    members.c.room_key,
)
_OPEN = Statement(
    selected_turns.where(
        turns_table.c.room_key == bindparam("room_key"),
        turns_table.c.trigger_seq == bindparam("seq"),
        turns_table.c.owner == bindparam("owner_id"),
        turn_is_open,
    ),
    "room_key",
    "seq",
    "owner_id",
)


@dataclass(slots=True)
class _Place:
    """An author in a room."""

    room: LockedRoom
    key: int
    name: str
    role: MemberRole | None


class _Known(NamedTuple):
    """A message that is there. `text`: also where it is deleted; `digest`: where it does not say what was sent."""

    message: Message
    text: str
    digest: bytes | None


@dataclass(slots=True)
class _Run:
    """What the run found, and what it decided to write."""

    places: dict[tuple[RoomId, ActorId], _Place] = field(
        default_factory=dict[tuple[RoomId, ActorId], _Place]
    )
    # by author and cid, or by the message's id where there is no cid
    known: dict[tuple[int, str], _Known] = field(default_factory=dict[tuple[int, str], _Known])
    replied: dict[MessageId, tuple[int, int]] = field(
        default_factory=dict[MessageId, tuple[int, int]]
    )
    answering: dict[int, list[KnownActor]] = field(default_factory=dict[int, list[KnownActor]])
    said: list[Said] = field(default_factory=list[Said])
    turns: list[OpenedTurn] = field(default_factory=list[OpenedTurn])


def _found(tx: Transaction, commands: Sequence[AddMessage]) -> _Run:
    run = _Run()
    pairs = list(dict.fromkeys([(command.room, command.author) for command in commands]))
    found: dict[RoomId, LockedRoom] = {}
    for number, *locked, key, unused, kind, name, role in _LOCK.all(tx.conn, pairs):
        if number >= len(pairs):
            continue  # the list was made longer
        room, author = pairs[int(number)]
        if room[:2] != "r_" or author[:2] != PREFIX[kind]:
            continue
        if unused:
            tx.unused.add(key)
        known_room = found.setdefault(room, LockedRoom(room, *locked))
        run.places[room, author] = _Place(known_room, key, name, role)
    cids = [command.cid for command in commands if command.cid is not None]
    for row in _KNOWN.all(tx.conn, distinct(cids)):
        run.known[row.author_key, row.cid] = _known(row)
    without = [command.id for command in commands if command.cid is None]
    for row in _KNOWN_BY_ID.all(tx.conn, distinct(without)):
        run.known[row.author_key, row.id] = _known(row)
    replied = [command.reply_to for command in commands if command.reply_to is not None]
    for id_, room_key, seq in _REPLIED.all(tx.conn, distinct(replied)):
        run.replied[id_] = (room_key, seq)
    asking = [
        place.room.key
        for command in commands
        if command.answers and (place := run.places.get((command.room, command.author)))
    ]
    for room_key, key, digits, name in _ANSWERING.all(tx.conn, distinct(asking)):
        agent = KnownActor(key, id_of(ActorKind.AGENT, digits), name)
        run.answering.setdefault(room_key, []).append(agent)
    return run


def _known(row: Row) -> _Known:
    return _Known(message_of(row.room, row), row.text, row.digest)


def _decide(tx: Transaction, run: _Run, command: AddMessage) -> Added:
    author = run.places.get((command.room, command.author))
    if author is None or author.room.deleted_ms is not None:
        if author is None and tx.actor(command.author) is None:
            raise nobody()
        raise room_not_found()
    room = author.room
    check(Action.WRITE, role_in(room.visibility, author.role))
    repeatable = (author.key, command.cid or command.id)
    known = run.known.get(repeatable)
    if known is not None:
        if not _says_the_same(run, command, room, known):
            raise Refused(Code.CID_REUSED, "this cid has been used for another message")
        turns = _still_open(tx, run, room, known.message)
        return Added(message=known.message, dup=True, turns=turns, untitled=room.untitled)
    reply_to_seq = _reply_to_seq(run, command, room)
    room.seq += 1
    message = new_message(
        command.id,
        command.room,
        room.seq,
        command.author,
        author.name,
        command.role,
        command.status,
        command.text,
        tx.now_ms,
        command.cid,
        command.reply_to,
        0,  # the branch
        "text",
        None,
        None,
        command.meta,
    )
    run.said.append((room, author.key, message, reply_to_seq))
    run.replied[message.id] = (room.key, room.seq)
    run.known[repeatable] = _Known(message, command.text, None)
    opened: list[Turn] = []
    if command.answers:
        for agent in run.answering.get(room.key, ()):
            opened.append(new_turn(tx, room, agent, room.seq))
            run.turns.append((room.key, agent.key, opened[-1]))
    return Added(message=message, dup=False, turns=tuple(opened), untitled=room.untitled)


def _says_the_same(run: _Run, command: AddMessage, room: LockedRoom, known: _Known) -> bool:
    """Whether a command is what was sent at first: a message that was changed since has the digest of that."""
    message = known.message
    if known.digest is None or message.room != command.room:
        said = (message.room, known.text, message.reply_to)
        return said == (command.room, command.text, command.reply_to)
    there, seq = (room.key, None)
    if command.reply_to is not None:
        there, seq = run.replied.get(command.reply_to, (None, None))
    sent = replace(
        message, role=command.role, status=command.status, text=command.text, meta=command.meta
    )
    return there == room.key and digest_of_message(sent, seq) == known.digest


def _still_open(tx: Transaction, run: _Run, room: LockedRoom, message: Message) -> tuple[Turn, ...]:
    """This process's open turns of a message: whoever stored it may not have heard of them."""
    stored = [turn_of(row) for row in _OPEN.all(tx.conn, room.key, message.seq, tx.owner)]
    new = [turn for key, _, turn in run.turns if (key, turn.trigger_seq) == (room.key, message.seq)]
    return (*stored, *new)


def _reply_to_seq(run: _Run, command: AddMessage, room: LockedRoom) -> int | None:
    if command.reply_to is None:
        return None
    room_key, seq = run.replied.get(command.reply_to, (None, None))
    if room_key != room.key:
        raise Refused(Code.MESSAGE_NOT_FOUND, "the message that this one replies to is not there")
    return seq
