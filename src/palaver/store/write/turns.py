"""Ends, repeats, takes over and holds turns.

A turn gives one message, whatever happens: its `fence` rises with each claim, and only the holder of the last one may
finish it, in the transaction that stores the message. Locks are taken in the order room, turn; taking over touches
turns alone and passes by those that are locked.
"""

from collections.abc import Sequence
from operator import attrgetter
from typing import cast

from msgspec import Struct
from msgspec.structs import astuple, replace
from sqlalchemy import Connection, bindparam, delete, literal, null, select, update

from palaver.errors import Code, Refused
from palaver.model import (
    NO_DATA,
    ActorId,
    ActorKind,
    Entry,
    Kind,
    Message,
    MessageId,
    Meta,
    Role,
    RoomId,
    Status,
    Turn,
    TurnId,
    TurnRefusal,
    TurnState,
    answer_id,
)
from palaver.model.agents import Told
from palaver.model.exchanges import Exchange
from palaver.model.usage import Budget
from palaver.policy import Action, agent_not_found, allows
from palaver.speaking import Words, handles_in
from palaver.store.engine.base import POSTGRESQL
from palaver.store.engine.statement import (
    DatabaseNow,
    Statement,
    among,
    inserting,
    matching,
    updating,
)
from palaver.store.read.actors import id_of
from palaver.store.read.agents import get as agent_get
from palaver.store.read.exchanges import get as exchange_get
from palaver.store.read.messages import get as message_get
from palaver.store.read.turns import asker, get, open_of, selected, turn_of
from palaver.store.schema import actors, messages, partials, rooms, turn_is_open, turns
from palaver.store.write import unkept
from palaver.store.write.branches import beside
from palaver.store.write.budgets import reached
from palaver.store.write.command import Command, RoomCommand
from palaver.store.write.exchanges import ExchangeEnd, end_exchange, not_found
from palaver.store.write.messages import MessageCommand, append, mark, naming
from palaver.store.write.speakers import (
    Hearing,
    asked_of,
    hearing,
    lately,
    owner_key,
    refusal,
    refuse,
    refuse_waiting,
)
from palaver.store.write.transaction import (
    LEASE_MS,
    Chain,
    KnownActor,
    LockedRoom,
    OpenedTurn,
    Transaction,
    distinct,
)
from palaver.store.write.usage import note

APART = 1 << 20
"""The messages of an answer that is asked again are so far, times the turn's fence, from where the answer's are."""

_ROOM = matching(select(rooms.c.id).join(turns, turns.c.room_key == rooms.c.key), turns.c.id)
_LOCK = matching(
    select(
        *turns.c["fence", "state", "message_id", "agent_key", "trigger_seq"],
        *turns.c["depth", "root_seq", "asker_key", "choice", "branch"],
        *actors.c["kind", "id", "name"],
    )
    .join(actors, actors.c.key == turns.c.agent_key)
    .with_for_update(of=turns),
    turns.c.id,
)
_BEHIND = Statement(
    select(messages.c.id, messages.c.seq)
    .where(messages.c.room_key == bindparam("room_key"), messages.c.seq >= bindparam("seq"))
    .where(messages.c.branch == bindparam("branch"))
    .order_by(messages.c.seq)
    .limit(2),
    *("room_key", "seq", "branch"),
)
_TOLD = ("prompt_digest", "headed", "card_version", "tokens_max", "settings_seq")
_END = updating(turns.c.id, "state", "ended_ms", "error", *_TOLD)
_SAID_AT = matching(
    select(*messages.c["seq", "branch"]).where(messages.c.deleted_ms.is_(None)),
    messages.c.room_key,
    messages.c.id,
)
_NEWEST = matching(
    select(*messages.c["seq", "branch"])
    .where(messages.c.deleted_ms.is_(None), messages.c.kind == Kind.TEXT.value)
    .order_by(messages.c.seq.desc())
    .limit(1),
    messages.c.room_key,
    messages.c.branch,
)
_OPEN_IN = matching(selected.where(turn_is_open), turns.c.room_key)
_OPEN_AT = matching(
    selected.where(turn_is_open, turns.c.external.is_(None)),
    *(turns.c.room_key, turns.c.trigger_seq),
)
_WAITING = matching(
    selected.where(turn_is_open, turns.c.waits_for.is_not(None)).with_for_update(of=turns),
    turns.c.waits_for,
)
_BEGIN = updating(
    turns.c.id, "context_seq", "owner", waits_for=null(), lease_until_ms=DatabaseNow() + LEASE_MS
)
_SET_OFF = matching(
    select(*turns.c["depth", "root_seq", "asker_key"], *messages.c["author_key", "role"])
    .select_from(messages)
    .outerjoin(turns, turns.c.message_id == messages.c.id),
    messages.c.room_key,
    messages.c.seq,
)
_FORGET = matching(delete(partials), partials.c.turn_id)
_OPEN = among(select(turns.c.id).where(turn_is_open).with_for_update(key_share=True), turns.c.id)
_REPLACED = matching(delete(partials), partials.c.turn_id, partials.c.place)
_KEEP = inserting(partials, "turn_id", "place", "text", "reasoning")
_lease = DatabaseNow() + literal(LEASE_MS)
_abandoned = selected.where(turn_is_open, turns.c.owner != bindparam("owner_id"))
_FREE = {
    "sqlite": _abandoned,
    "postgresql": _abandoned.where(turns.c.lease_until_ms < DatabaseNow()),
}
_CLAIMABLE = {
    engine: Statement(
        free.order_by(turns.c.created_ms, turns.c.id)
        .limit(bindparam("count"))
        .with_for_update(of=turns, skip_locked=True),
        *("owner_id", "count"),
    )
    for engine, free in _FREE.items()
}
_OTHERS = Statement(
    selected.where(turn_is_open, turns.c.external.is_(None), turns.c.waits_for.is_(None))
    .where(turns.c.id == bindparam("turn"), turns.c.owner != bindparam("owner_id"))
    .with_for_update(of=turns),
    *("turn", "owner_id"),
)
_CLAIM = updating(turns.c.id, "owner", "fence", lease_until_ms=_lease)
_EXPIRE, _RENEW = (
    matching(update(turns).where(turn_is_open).values(lease_until_ms=until), turns.c.owner)
    for until in (0, _lease)
)


class Finished(Struct, frozen=True, kw_only=True):
    """The messages of an answer as they were stored, and its exchange, if a client asked for it.

    `turns` are to begin now, in this process: of agents whom it mentions, and that which waited for it.
    """

    messages: tuple[Message, ...]
    exchange: Exchange | None
    turns: tuple[Turn, ...] = ()


class FinishTurn(Command[Finished | None], frozen=True, kw_only=True):
    """Stores an answer's messages and ends its turn, and its exchange if it has one; None if they are not its own.

    They are while the turn is open and `fence` still matches; repeated, it gives what it stored. The messages get the
    turn's id of its first, and those behind it (`answer_id`). They reply to their question where something else was
    said meanwhile. `apart`: the turn goes on, because it is asked again, and what came of it stays as messages of
    their own. `unasked`: the budget that was too small for its model, which is told in place of a message. A whole
    answer in a room is heard by the agents there (`speaking`), and whoever waited for it begins.

    Refused: `exchange_not_found`.
    """

    turn: TurnId
    fence: int
    status: Status
    entries: tuple[Entry, ...]
    exchange: ExchangeEnd | None = None
    apart: bool = False
    unasked: Budget | None = None
    told: Told | None = None

    @property
    def id(self) -> str:
        """By what it is known while it waits for the database."""
        return self.turn if self.exchange is None else self.exchange.id

    @property
    def failure(self) -> str | None:
        """The code of what went wrong, where something did."""
        return (self.entries[0].meta.get("error") or NO_DATA).get("code")

    def rooms(self, conn: Connection) -> Sequence[RoomId]:
        return _ROOM.column(conn, self.turn)

    def apply(self, tx: Transaction) -> Finished | None:
        """A room that was deleted meanwhile still gets its messages: it may be restored."""
        room_id = self.room_in(tx)
        if room_id is None:
            if self.exchange is not None:
                raise not_found()  # the history has lost it
            return None
        room = tx.room(room_id, deleted_too=True)
        held = _hold(tx, self.turn, self.fence)
        if held is None:
            return self._stored(tx)
        first, agent, trigger_seq, chain, choice, branch = held
        reply_to = _left_behind(tx, room, trigger_seq, choice, branch)
        begin = APART * self.fence if self.apart else 0
        heard = self._heard(tx, room)
        said = enumerate([_naming(entry, heard) for entry in _chosen(self.entries, choice)], begin)
        rows = [(answer_id(first, place), agent, entry, self.status) for place, entry in said]
        if self.apart and message_get(tx.conn, rows[0][0]) is not None:
            return None
        if self.unasked:
            refuse(tx, room, None, agent.id, self.unasked)
        messages = [] if self.unasked else append(tx, room, rows, branch, reply_to)
        failed = self.status is Status.FAILED and not self.unasked
        if failed or any("usage" in entry.meta for entry in self.entries):
            note(tx, asker(tx.conn, self.turn), agent.key, self.entries, failed=failed)
        if self.apart:
            return None
        told = (None,) * len(_TOLD) if self.told is None else astuple(self.told)
        _END.run(tx.conn, TurnState.ENDED, tx.now_ms, self.failure, *told, self.turn)
        if tx.conn.dialect.name == POSTGRESQL:
            _FORGET.run(tx.conn, self.turn)
        exchange = self.exchange and end_exchange(tx, self.exchange, messages, self.entries)
        begun = [] if self.exchange else release(tx, room, self.turn)
        if heard is not None:
            begun += _answered(tx, room, (agent, chain), messages, heard)
        return Finished(messages=tuple(messages), exchange=exchange, turns=tuple(begun))

    def _heard(self, tx: Transaction, room: LockedRoom) -> Hearing | None:
        """Who hears what it says; None where nobody is mentioned, or nobody is to hear it."""
        if self.exchange is not None or self.apart or self.status is not Status.DONE:
            return None
        said = [(room.key, entry.text) for entry in self.entries if _is_said(entry)]
        return (
            hearing(tx, [room.key], said)[room.key]
            if any(handles_in(text) for _, text in said)
            else None
        )

    def _stored(self, tx: Transaction) -> Finished | None:
        """What this command stored already: its commit was not heard of, or a journal had it as well."""
        fence, state, first, *_ = _LOCK.one(tx.conn, self.turn)
        if self.apart or state is TurnState.OPEN or fence != self.fence:
            return None
        ids = [answer_id(first, place) for place in range(len(self.entries))]
        there = [message_get(tx.conn, id_) for id_ in ids]
        messages = [one for one in there if one is not None and one.status is self.status]
        if len(messages) < len(ids):
            return None
        exchange = self.exchange and exchange_get(tx.conn, self.exchange.id)
        return Finished(messages=tuple(messages), exchange=exchange)


class RetryTurn(MessageCommand[Turn], frozen=True, kw_only=True):
    """Deletes an answer that was not whole (or was) and opens the next attempt at it, owned by this process.

    With `goes_on` the answer stays, and the turn is one that answers it: its agent says what comes next. With `beside`
    it stays as well, and the turn's is another one in its place, of a branch of its own, which whoever asks pays for;
    `models` names at most one, by which it is asked. Refused:
    `turn_not_retryable` (not an answer of a turn, already deleted), `forbidden` also to who wrote it, `agent_not_found`
    (it is archived, or not for who asked), `budget_reached`.
    """

    goes_on: bool = False
    beside: bool = False
    models: tuple[str, ...] = ()

    def apply(self, tx: Transaction) -> Turn:
        room, by, there = self.writable(tx)
        if there.trigger_seq is None or there.deleted_ms is not None:
            why = "only an answer that is still there can be asked for again"
            raise Refused(Code.TURN_NOT_RETRYABLE, why)
        if self.beside:
            for_whom = by.key
        else:
            for_whom = asker(tx.conn, there.turn)
            tx.check(Action.TAKE_BACK, room, by, own=for_whom == by.key)
        chain = Chain(there.depth, there.root_seq, for_whom)
        agent_id = id_of(ActorKind.AGENT, there.agent)
        why = refusal(tx, there.agent_key, for_whom)
        if isinstance(why, Budget):
            raise reached(why, tx.now_ms)
        card = agent_get(tx.conn, agent_id)
        if why is not None or card is None or card.archived_ms is not None:
            raise agent_not_found()
        agent = KnownActor(there.agent_key, agent_id, there.agent_name)
        branch = there.branch
        if self.beside:
            tx.used(by.key)
            branch = beside(tx, room, by, branch, there.seq)
        elif not self.goes_on:
            mark(tx, room, by, there, deleted=True)
        seq = there.seq if self.goes_on else there.trigger_seq
        choice = None if self.goes_on or self.beside else there.choice
        asks = [(choice, next(iter(self.models), there.model))]
        heard = hearing(tx, [room.key], ())[room.key]
        opened = heard.turns(tx, room, agent, seq, chain, branch=branch, asks=asks, again=True)
        tx.open_turns(opened)
        return opened[-1][-1]


class AskAgents(RoomCommand[tuple[Turn, ...]], frozen=True, kw_only=True):
    """Asks agents of a room (None: all of them) for an answer to a message (None: the newest), however they speak.

    By each of `models`, where some are named. Who answers it so right now is not asked twice: its turn is given. The
    room is told who may not answer.
    Refused: `room_not_found`, `forbidden`, `room_archived`, `not_found` (no agent of the room), `message_not_found`.
    """

    by: ActorId
    agents: tuple[ActorId, ...] | None = None
    message: MessageId | None = None
    models: tuple[str, ...] = ()

    def apply(self, tx: Transaction) -> tuple[Turn, ...]:
        room, by = tx.writable(self.room, self.by)
        there = hearing(tx, [room.key], ())[room.key]
        asked = tuple(there.agents) if self.agents is None else tuple(dict.fromkeys(self.agents))
        if not asked or not there.agents.keys() >= set(asked):
            raise Refused(Code.NOT_FOUND, "There is no such agent in this room.")
        if self.message is None:
            said = _NEWEST.first(tx.conn, room.key, room.main)
        else:
            said = _SAID_AT.first(tx.conn, room.key, self.message)
        if said is None:
            raise Refused(Code.MESSAGE_NOT_FOUND, "There is no such message in this room.")
        seq, branch = said
        tx.used(by.key)
        running = [turn_of(row) for row in _OPEN_AT.all(tx.conn, room.key, seq)]
        answering = {(turn.agent, turn.model): turn for turn in running}
        asks, chain, opened = asked_of(self.models), Chain(asker_key=by.key), list[OpenedTurn]()
        for one in asked:
            wanted = [ask for ask in asks if (one, ask[1]) not in answering]
            if wanted and (why := there.refusal(tx, one, chain)) is not None:
                refuse(tx, room, by, one, why)
            elif wanted:
                agent = there.agents[one]
                opened += there.turns(
                    tx, room, agent, seq, chain, branch=branch, asks=wanted, again=True
                )
        tx.open_turns(opened)
        answering |= {(turn.agent, turn.model): turn for *_, turn in opened}
        both = [(one, model) for one in asked for _, model in asks]
        return tuple([answering[one] for one in both if one in answering])


class StopRoom(RoomCommand[tuple[TurnId, ...]], frozen=True, kw_only=True):
    """Ends the turns that wait in a room, which is told, and says which run: all that this actor may stop.

    Refused: `room_not_found`, `forbidden`, `room_archived`.
    """

    by: ActorId

    def apply(self, tx: Transaction) -> tuple[TurnId, ...]:
        room, by = tx.writable(self.room, self.by)
        role = tx.seen_as(room, by)
        running: list[TurnId] = []
        for turn in sorted(map(turn_of, _OPEN_IN.all(tx.conn, room.key)), key=attrgetter("id")):
            if not allows(Action.TAKE_BACK, role, own=asker(tx.conn, turn.id) == by.key):
                continue
            if turn.waits_for is None:
                running.append(turn.id)
            else:
                refuse_waiting(tx, room, by, turn.id, TurnRefusal.STOPPED)
        return tuple(running)


class OpenTurn(RoomCommand[Turn], frozen=True, kw_only=True):
    """Opens a turn for an answer that a program writes itself. Refused: `room_not_found`, `forbidden`."""

    turn: TurnId
    message: MessageId
    agent: ActorId

    def apply(self, tx: Transaction) -> Turn:
        known = get(tx.conn, self.turn)
        if known is not None:
            return known
        room, agent = tx.writable(self.room, self.agent)
        before = _SET_OFF.first(tx.conn, room.key, room.seq)
        chain = Chain(asker_key=owner_key(tx, agent))
        if before is not None and before.depth is not None:
            chain = Chain(before.depth + 1, before.root_seq, before.asker_key)
        elif before is not None and before.role is not Role.ASSISTANT:
            chain = Chain(asker_key=before.author_key)
        ids = (self.turn, self.message)
        return tx.open_turn(room, agent, room.seq, chain=chain, branch=room.main, external=ids)


class Part(Struct, frozen=True):
    """What came of a running answer since the part before it; `place` counts them."""

    turn: TurnId
    place: int
    text: str
    reasoning: str


class KeepParts(Command[None], frozen=True, kw_only=True):
    """Copies what came of running answers, so that another host can take them over. A turn's end deletes them."""

    parts: tuple[Part, ...]

    def apply(self, tx: Transaction) -> None:
        """Of a turn that has ended meanwhile nothing is kept."""
        asked = distinct([part.turn for part in self.parts])
        open_ones = {turn for (turn,) in _OPEN.all(tx.conn, asked)}
        kept = [astuple(part) for part in self.parts if part.turn in open_ones]
        # by a commit whose end was unclear
        _REPLACED.many(tx.conn, [part[:2] for part in kept])
        _KEEP.many(tx.conn, kept)


class ClaimTurns(Command[tuple[Turn, ...]], frozen=True, kw_only=True):
    """Takes over at most `count` open turns that no living process works on; their fence rises by one.

    What such a process had reserved for answers that nobody keeps is freed.

    On SQLite every turn of another owner is free, because one process owns the file; on PostgreSQL one whose lease
    has run out on the database's clock, or whose owner is known to be `dead`.
    """

    count: int = 100
    dead: tuple[str, ...] = ()

    def apply(self, tx: Transaction) -> tuple[Turn, ...]:
        for owner in self.dead:
            _EXPIRE.run(tx.conn, owner)
            unkept.expire(tx, owner)
        unkept.free_abandoned(tx)
        rows = _CLAIMABLE[tx.conn.dialect.name].all(tx.conn, tx.owner, self.count)
        claimed = [turn_of(row) for row in rows]
        claimed = [replace(turn, fence=turn.fence + 1) for turn in claimed]
        _CLAIM.many(tx.conn, [(tx.owner, turn.fence, turn.id) for turn in claimed])
        return tuple(claimed)


class TakeTurn(Command[Turn | None], frozen=True, kw_only=True):
    """Takes over an open turn of another process; None where it is none, is this process's, or is a program's own.

    Its fence rises, so that the other one gives up. `agent`: whose turn it must be.
    """

    turn: TurnId
    agent: ActorId

    def apply(self, tx: Transaction) -> Turn | None:
        row = _OTHERS.first(tx.conn, self.turn, tx.owner)
        if row is None or (turn := turn_of(row)).agent != self.agent:
            return None
        turn = replace(turn, fence=turn.fence + 1)
        _CLAIM.run(tx.conn, tx.owner, turn.fence, turn.id)
        return turn


class LeaveTurns(Command[None], frozen=True):
    """Gives up the leases of all open turns of this process, which ends: others take them over at once."""

    def apply(self, tx: Transaction) -> None:
        _EXPIRE.run(tx.conn, tx.owner)
        unkept.expire(tx, tx.owner)


class RenewLeases(Command[frozenset[TurnId]], frozen=True, kw_only=True):
    """Prolongs the lease (`LEASE_SECONDS`) of all open turns of this process; which they are."""

    def apply(self, tx: Transaction) -> frozenset[TurnId]:
        _RENEW.run(tx.conn, tx.owner)
        unkept.renew(tx)
        return frozenset([turn.id for turn in open_of(tx.conn, tx.owner)])


def release(tx: Transaction, room: LockedRoom, turn: TurnId) -> list[Turn]:
    """Lets this process begin the turn that waited for one, which is told all that was said until now."""
    found = [turn_of(row) for row in _WAITING.all(tx.conn, turn)]
    _BEGIN.many(tx.conn, [(room.seq, tx.owner, one.id) for one in found])
    return [replace(one, waits_for=None, context_seq=room.seq) for one in found]


def _answered(
    tx: Transaction,
    room: LockedRoom,
    by: tuple[KnownActor, Chain],
    said: Sequence[Message],
    heard: Hearing,
) -> list[Turn]:
    """The turns of the agents whom an answer mentions. `by`: its agent, and what set that off."""
    agent, chain = by
    if room.deleted_ms is not None:
        return []
    may = room.archived_ms is None and tx.role(room, agent) is not None
    opened: list[OpenedTurn] = []
    after = chain._replace(depth=chain.depth + 1)
    so_far = lately(tx, room)
    for message in said:
        words = Words(
            text=message.text,
            mentions=message.meta.get("mentions", ()),
            agent=agent.id,
            depth=chain.depth,
            may=may,
            lately=so_far + len(opened),
        )
        more, refused = heard.opened(tx, room, words, message.seq, after, branch=message.branch)
        opened += more
        for one in refused:
            refuse(tx, room, agent, *one)
    tx.open_turns(opened)
    return [turn for *_, turn in opened if turn.waits_for is None]


def _naming(entry: Entry, heard: Hearing | None) -> Entry:
    """The entry with whom it mentions."""
    if heard is None or not _is_said(entry):
        return entry
    return replace(entry, meta=naming(cast("Meta", entry.meta), heard.mentions(entry.text)))


def _chosen(entries: Sequence[Entry], choice: int | None) -> Sequence[Entry]:
    """The entries of an answer with which of several it is."""
    if choice is None:
        return entries
    first, *others = entries
    return [replace(first, meta={**first.meta, "choice": choice}), *others]


def _is_said(entry: Entry) -> bool:
    return entry.kind is Kind.TEXT and entry.role is Role.ASSISTANT and "@" in entry.text


def _left_behind(
    tx: Transaction, room: LockedRoom, seq: int, choice: int | None, branch: int
) -> tuple[MessageId | None, int | None]:
    """The question at this seq, if something else was said since, or several answer it."""
    several = choice is not None
    found = _BEHIND.all(tx.conn, room.key, seq, branch) if several or seq < room.seq else []
    behind = found and found[0].seq == seq and (several or len(found) > 1)
    return (found[0].id, seq) if behind else (None, None)


def _hold(
    tx: Transaction, turn: TurnId, fence: int
) -> tuple[MessageId, KnownActor, int, Chain, int | None, int] | None:
    """Locks a turn that is open and has this fence: its message's id, its agent, what it answers and what set it off.

    The last two are which of several it is, and its branch. Its room is locked already.
    """
    row = _LOCK.one(tx.conn, turn)
    if row.state is not TurnState.OPEN or row.fence != fence:
        return None
    agent = KnownActor(row.agent_key, id_of(row.kind, row.id), row.name)
    chain = Chain(row.depth, row.root_seq, row.asker_key)
    return row.message_id, agent, row.trigger_seq, chain, row.choice, row.branch or 0
