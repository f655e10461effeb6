"""Opens and finishes exchanges: where a request belongs, what of it is new, and what came of it.

Where a request goes on is `recognition`'s to say. What of it is new is stored as messages; prompts that changed, and
what a client put in the place of what was said, are kept once beside them, so that each request can be shown as it was.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy import Connection, bindparam, delete, select

from palaver.errors import Code, Refused
from palaver.model import (
    ActorId,
    CredentialId,
    Entry,
    ExchangeId,
    Message,
    MessageId,
    Room,
    RoomId,
    Spans,
    Turn,
    TurnId,
)
from palaver.model.exchanges import Exchange, ExchangeKind, ExchangeState, Seqs
from palaver.policy import Action, allows, owns, role_of_caller, signed_out
from palaver.store.engine.statement import Statement, inserting, matching, updating
from palaver.store.fingerprints import is_prompt
from palaver.store.histories import Request, answered
from palaver.store.read import rooms as stored_rooms
from palaver.store.read.actors import refuse_disabled
from palaver.store.read.devices import standing as standing_of
from palaver.store.read.exchanges import exchange_of, get, selected_exchanges, spoken, standing
from palaver.store.read.turns import get as turn_get
from palaver.store.schema import actors, client_rooms, exchanges, prefixes, rooms as rooms_table
from palaver.store.write import rooms
from palaver.store.write.command import Command
from palaver.store.write.messages import REPEATED_MS, append, by_role, mark
from palaver.store.write.recognition import (
    UNANSWERED,
    Place,
    asides_of,
    branch_of,
    found,
    held,
    meanwhile,
    prompts,
    spans_of,
)
from palaver.store.write.rooms import CreateRoom
from palaver.store.write.transaction import Chain, KnownActor, LockedRoom, Transaction, distinct

_ANY = matching(selected_exchanges, exchanges.c.id)
_SEQS = matching(select(exchanges.c.seqs), exchanges.c.id)
_ROOM = matching(
    select(rooms_table.c.id).join(exchanges, exchanges.c.room_key == rooms_table.c.key),
    exchanges.c.id,
)
_CLIENT_ROOM = matching(
    select(rooms_table.c.id)
    .join(client_rooms, client_rooms.c.room_key == rooms_table.c.key)
    .join(actors, actors.c.key == client_rooms.c.actor_key),
    *(actors.c.id, client_rooms.c.digest),
)
_FORGET_ROOM = matching(delete(client_rooms), client_rooms.c.actor_key, client_rooms.c.digest)
_REPEATED = Statement(
    selected_exchanges.where(
        exchanges.c.body_digest == bindparam("digest"),
        exchanges.c.body_digest.is_not(None),
        exchanges.c.actor_key == bindparam("actor_key"),
        exchanges.c.created_ms > bindparam("since_ms"),
    )
    .order_by(exchanges.c.id.desc())
    .limit(1),
    *("digest", "actor_key", "since_ms"),
)
_BEGUN = ("id", "kind", "state", "model", "created_ms", "kept", "metadata")
"""The columns that are named as the fields of an exchange whose values they have at first."""
_INSERT_PREFIX = inserting(prefixes, "actor_key", "digest", "exchange_id", "answered")
_FINISH = updating(exchanges.c.id, "state", "name", "ended_ms", "seqs", "response")
_SET_METADATA = updating(exchanges.c.id, "metadata")
_FORGET = updating(exchanges.c.id, "deleted_ms", kept=False)
_UNLIST = updating(exchanges.c.id, kept=False)


class Opened(Struct, frozen=True, kw_only=True):
    """The exchange and its turn. `dup`: it was there already. `untitled`: its room has no title yet."""

    exchange: Exchange
    turn: Turn | None
    dup: bool
    untitled: bool


class OpenExchange(Command[Opened], frozen=True, kw_only=True):
    """Stores what is new of a request, and opens the turn of its answer; an exchange of this id is given as it is.

    The room is the given one, or that of the `previous` exchange, or the one that an id of the client's own means
    (`client`: its digest), or the one that the entries go on in, else `new_room`, which comes out of the one that
    `parent` means. With `whole` the entries are all that was said, and what the room holds of them is not stored again.
    `lasting` as in `Exchange`.

    An exchange of the same actor and body is given as it is: with `repeated`, and with `client` while it runs or where
    it is asked for in the other form. With `client` the answer of one that failed, and was asked the same, prompts
    aside, is deleted (undoably), for this takes its place.

    `by`: the key that asks, which may have been revoked since.

    Refused: `room_not_found`, `forbidden`, `exchange_not_found` (previous), `unauthenticated`, `account_disabled`.
    """

    id: ExchangeId
    kind: ExchangeKind
    actor: ActorId
    agent: ActorId
    turn: TurnId
    message: MessageId
    entries: tuple[Entry, ...]
    ids: tuple[MessageId, ...]
    model: str
    request: Mapping[str, Any]
    metadata: Mapping[str, str]
    kept: bool
    body_digest: bytes
    new_room: CreateRoom
    room: RoomId | None = None
    previous: ExchangeId | None = None
    client: bytes = b""
    parent: bytes = b""
    whole: bool = False
    repeated: bool = False
    lasting: bool = False
    by: CredentialId | None = None

    def begun(self, room: RoomId, now_ms: int, view: Spans = ()) -> Exchange:
        """The exchange, as it is until its end."""
        return Exchange(
            id=self.id,
            kind=self.kind,
            room=room,
            actor=self.actor,
            model=self.model,
            created_ms=now_ms,
            view=view,
            previous=self.previous,
            kept=self.kept,
            request=self.request,
            metadata=self.metadata,
            turn=self.turn,
            message=self.message,
            lasting=self.lasting,
        )

    @property
    def anywhere(self) -> bool:
        return self.room is None and self.previous is None

    def rooms(self, conn: Connection) -> Sequence[RoomId]:
        if self.room is not None:
            return (self.room,)
        if self.previous is not None:
            return _ROOM.column(conn, self.previous)
        ids = filter(None, (self.client, self.parent))
        there = [room for id_ in ids for room in _CLIENT_ROOM.column(conn, self.actor, id_)]
        return [*self.new_room.rooms(conn), *there]

    def apply(self, tx: Transaction) -> Opened:
        actor = tx.actor(self.actor)
        agent = tx.actor(self.agent)
        if actor is None or agent is None:
            raise not_found()  # the history has lost them
        known, failed = _known(tx, self, actor)
        if known is not None:
            return Opened(
                exchange=known, turn=turn_get(tx.conn, known.turn), dup=True, untitled=False
            )
        said = tx.recent.request(self.actor, self.entries)
        _check_standing(tx, self.by, actor)
        place, begins = _place(tx, self, said, actor)
        room = place.room
        if failed is None and place.failed is not None:
            failed = get(tx.conn, place.failed)
        if failed is not None and self.client and failed.room == room.id:
            _take_back(tx, room, failed, actor)
        place, branch = _parted(tx, self, place, actor)
        new, view, told = _stored(tx, self, (actor, agent), place, branch, begins=begins)
        trigger_seq = max((last for _, last in view if last > 0), default=room.seq)
        ids = (self.turn, self.message)
        chain = Chain(asker_key=actor.key)
        turn = tx.open_turn(
            *(room, agent, trigger_seq),
            chain=chain,
            branch=branch,
            first=bool(new),
            external=ids,
        )
        seqs: Seqs = {"view": view, "answers": (), "prompts": told}
        if new:
            seqs["own"] = new[0]
        if self.lasting:
            seqs["lasting"], seqs["by"] = True, self.by
        if self.whole and said.digests:
            seqs["asked"] = said.asked()
        request, beside = asides_of(tx, room, self.request, actor)
        if beside:
            seqs["request"] = beside
        exchange = self.begun(room.id, tx.now_ms, view)
        tx.insert(
            exchanges,
            room_key=room.key,
            actor_key=actor.key,
            turn_id=self.turn,
            previous_id=self.previous,
            body_digest=self.body_digest,
            seqs=seqs,
            request=request,
            **{name: getattr(exchange, name) for name in _BEGUN},
        )
        if "asked" in seqs:
            _INSERT_PREFIX.run(tx.conn, actor.key, said.digests[-1], self.id, False)  # noqa: FBT003  a value to store
        return Opened(exchange=exchange, turn=turn, dup=False, untitled=room.untitled)


class ExchangeEnd(Struct, frozen=True):
    """How an exchange ended, besides its messages. `name` is the id that its upstream gave the answer."""

    id: ExchangeId
    state: ExchangeState
    name: str | None
    response: Mapping[str, Any]

    def of(self, exchange: Exchange, now_ms: int) -> Exchange:
        """The exchange, as it will be once this is stored."""
        ended = replace(exchange, name=self.name, state=self.state, ended_ms=now_ms)
        return replace(ended, response=self.response)


class ChangeExchange(Command[Exchange], frozen=True, kw_only=True):
    """Sets a kept exchange's metadata (None: leaves it), or forgets it. Refused: `exchange_not_found`."""

    id: ExchangeId
    by: ActorId
    metadata: Mapping[str, str] | None = None
    forget: bool = False

    def apply(self, tx: Transaction) -> Exchange:
        _own(tx, self.id, self.by)
        if self.metadata is not None:
            _SET_METADATA.run(tx.conn, self.metadata, self.id)
        if self.forget:
            _FORGET.run(tx.conn, tx.now_ms, self.id)
        return exchange_of(tx.conn, _ANY.one(tx.conn, self.id))


def end_exchange(
    tx: Transaction, end: ExchangeEnd, answers: Sequence[Message], entries: Sequence[Entry]
) -> Exchange:
    """Stores how an exchange ended, whose answers are stored."""
    seqs: Seqs = _SEQS.value(tx.conn, end.id)
    seqs["answers"] = [message.seq for message in answers]
    for name in ("own", "lasting", "by"):
        seqs.pop(name, None)
    _FINISH.run(tx.conn, end.state, end.name, tx.now_ms, seqs, end.response, end.id)
    if end.state is ExchangeState.FAILED and not any(entry.text for entry in entries):
        _UNLIST.run(tx.conn, end.id)  # what was refused is no completion
    exchange = exchange_of(tx.conn, _ANY.one(tx.conn, end.id))
    actor = tx.actor(exchange.actor)
    assert actor is not None, "it asked"
    if asked := seqs.get("asked"):
        digests = distinct(answered(asked, entries))
        _INSERT_PREFIX.many(tx.conn, [(actor.key, *one, end.id, True) for one in digests])
    return exchange


def not_found() -> Refused:
    """The exchange is not there, or not this actor's."""
    return Refused(Code.EXCHANGE_NOT_FOUND, "There is no such completion or response.")


def _own(tx: Transaction, exchange: ExchangeId, actor: ActorId) -> Exchange:
    """The actor's exchange of this id. Refused: `exchange_not_found`."""
    found = get(tx.conn, exchange)
    if found is None or not owns(actor, found.actor):
        raise not_found()
    return found


def _check_standing(tx: Transaction, by: CredentialId | None, actor: KnownActor) -> None:
    """Refused: `unauthenticated` (the key was revoked), `account_disabled`."""
    refuse_disabled(actor.status)
    if by is not None and by not in standing_of(tx.conn, [(actor.key, by)], tx.now_ms):
        raise signed_out(by)


def _known(
    tx: Transaction, command: OpenExchange, actor: KnownActor
) -> tuple[Exchange | None, Exchange | None]:
    """The exchange that this request already is; or the one that failed, in whose place it is asked again."""
    row = _ANY.first(tx.conn, command.id)
    if row is not None:
        return exchange_of(tx.conn, row), None
    if command.repeated or command.client:
        since = tx.now_ms - REPEATED_MS
        row = _REPEATED.first(tx.conn, command.body_digest, actor.key, since)
    if row is None:
        return None, None
    known = exchange_of(tx.conn, row)
    if known.state in UNANSWERED and (command.client or known.state is ExchangeState.FAILED):
        return None, known
    streams, streamed = (bool(one.get("stream")) for one in (command.request, known.request))
    again = command.repeated or known.state is ExchangeState.RUNNING or streams != streamed
    return known if again else None, None


def _take_back(tx: Transaction, room: LockedRoom, failed: Exchange, actor: KnownActor) -> None:
    """Deletes what came of an answer that is asked for again (undoably)."""
    tx.check(Action.TAKE_BACK, room, actor, own=True)
    for message in spoken(tx.conn, room.id, spans_of(failed.answers)):
        if message.deleted_ms is None:
            mark(tx, room, actor, message, deleted=True)


def _place(
    tx: Transaction, command: OpenExchange, said: Request, actor: KnownActor
) -> tuple[Place, bool]:
    """Where a request goes on, and whether it is the first that is said there."""
    if command.previous is not None:
        before = _own(tx, command.previous, command.actor)
        room, _ = tx.writable(before.room, command.actor)
        return Place(room=room, before=spans_of(before.answers, before.view)), False
    if command.room is not None:
        room = rooms.conversation(tx, command.room, command.actor)
    elif command.client:
        room = _of_client(tx, command, actor)
    else:
        place = found(tx, said, actor)
        return place or Place(room=rooms.make(tx, command.new_room)), place is None
    if not command.whole:  # what is new goes on from all that was said
        return Place(room=room, before=standing(tx.conn, room.id, room.seq)), False
    place = held(tx, said, actor, room)
    return place or Place(room=room), place is None


def _parted(
    tx: Transaction, command: OpenExchange, place: Place, actor: KnownActor
) -> tuple[Place, int]:
    """The branch in which a request goes on; behind a response, with what was said there since on the page."""
    if command.previous is None:
        return place, branch_of(tx, place, actor) if command.whole else place.room.main
    branch = branch_of(tx, place, actor)
    words = meanwhile(tx, place.room, branch, max(last for _, last in place.before))
    return replace(place, before=spans_of(words, place.before)), branch


def _of_client(tx: Transaction, command: OpenExchange, actor: KnownActor) -> LockedRoom:
    """The room that an id of the client's means. It is made at first, and again after it was deleted or lost."""
    seen = _seen(tx, command, command.client)
    if seen is not None and allows(Action.WRITE, role_of_caller(seen)):
        return rooms.conversation(tx, seen.id, command.actor)
    parent = _seen(tx, command, command.parent) if command.parent else None
    made = replace(command.new_room, parent=parent and parent.id)
    room = rooms.make(tx, made)
    _FORGET_ROOM.run(tx.conn, actor.key, command.client)
    tx.insert(client_rooms, actor_key=actor.key, digest=command.client, room_key=room.key)
    return room


def _seen(tx: Transaction, command: OpenExchange, id_: bytes) -> Room | None:
    """The room that an id of the client's means, if it is there and the actor may read it."""
    known = _CLIENT_ROOM.value(tx.conn, command.actor, id_)
    seen = None if known is None else stored_rooms.get(tx.conn, known, command.actor)
    if seen is None or seen.deleted_ms is not None:
        return None
    return seen if allows(Action.READ, role_of_caller(seen)) else None


def _stored(
    tx: Transaction,
    command: OpenExchange,
    authors: tuple[KnownActor, KnownActor],
    place: Place,
    branch: int,
    *,
    begins: bool,
) -> tuple[Sequence[int], Spans, Sequence[int]]:
    """Appends what is new of a request; where that is, all that was said with it, and which of that are prompts.

    Prompts are messages where they begin a room, and where they are given as something to be added to one.
    """
    beside: dict[int, int] = {}
    if command.whole and not begins:
        places = [at for at, entry in enumerate(command.entries) if is_prompt(entry)]
        said = [command.entries[at] for at in places]
        beside = dict(zip(places, prompts(tx, place.room, said, authors[0]), strict=True))
    kept = [at for at in range(place.taken, len(command.entries)) if at not in beside]
    ids, entries = [command.ids[at] for at in kept], [command.entries[at] for at in kept]
    new = [
        one.seq
        for one in append(tx, place.room, by_role(tx, place.room, ids, entries, authors), branch)
    ]
    view, known = [*place.refs, *new], len(place.refs)
    for index, (at, ref) in reversed([*enumerate(beside.items())]):
        known_before = min(at - index, known)
        view.insert(known_before if at < place.taken else known + bisect_left(kept, at), ref)
    own = [seq for seq, entry in zip(new, entries, strict=True) if is_prompt(entry)]
    return new, spans_of(view, place.before), [*own, *beside.values()]
