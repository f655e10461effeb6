"""Finds the room in which a request of an API client goes on, and what of the request it holds already.

Theory of operation. Most clients send all that was said with every request, each in a way of its own: with another
prompt, without the oldest messages, with a summary in their place, with context around the last question only. What
tells a conversation from all others is what this server answered this caller. So each exchange leaves digests: of the
whole history that was asked, and with its answer; of the answer with the last words before it; of the answer alone.

A request belongs to the exchange to which its longest known history leads, if no other came after it in its room. Else
its newest answer with its question decides: what stands before may be missing from the front, or replaced at the front
by something shorter. Else its newest answer alone, if it is the last of exactly one room, and its question stands in
the one that was asked. Else the longest known history that ends with an answer, from where the room has gone on
otherwise: there it parts (`branch_of`). Anything else is a new room: what is stored is never rewritten. At most 65
digests are looked up, and as much of a room is read as the request is long.

In a room that is named, whatever is there already is not stored again: its newest messages are looked at and, for a
history that was rewritten, all that its newest exchange was asked. What people said on the page meanwhile is passed by
where the client repeats it, and stays unseen where it does not.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import orjson
from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy import ClauseElement, bindparam, func, select, union_all

from palaver.model import ActorId, Entry, ExchangeId, Kind, Message, Role, RoomId, Spans, Status
from palaver.model.exchanges import ExchangeState, Seqs
from palaver.policy import Action, allows
from palaver.store.engine.statement import ListStatement, Row, Statement, inserting, matching
from palaver.store.fingerprints import (
    START,
    alone,
    aloud,
    by_id,
    fills,
    is_prompt,
    likeness,
    longer,
    pair,
    words_of,
)
from palaver.store.histories import Request
from palaver.store.read import branches, messages, rooms as stored_rooms
from palaver.store.read.exchanges import spoken
from palaver.store.schema import (
    asides,
    exchanges,
    messages as messages_table,
    prefixes,
    rooms,
    turn_is_open,
    turns,
)
from palaver.store.write.branches import begin
from palaver.store.write.transaction import KnownActor, LockedRoom, Transaction

CANDIDATES_MAX = 32
SPARE = 50
LATER_MAX = 400
ASIDE_BYTES_MIN = 1_024
"""A value of a request, as JSON, that is at least so long is kept once in its room."""
FIRST_MESSAGES = 8
"""Among so many of a room's first messages are the prompts that it was begun with."""

UNANSWERED = frozenset({ExchangeState.FAILED, ExchangeState.CANCELLED})


def _latest(names: Sequence[tuple[str, ...]]) -> ClauseElement:
    """The newest exchanges of each digest: as many of one that thousands have left as of any other."""
    each_one = [
        select(
            select(*prefixes.c["exchange_id", "digest", "answered"])
            .where(
                prefixes.c.actor_key == bindparam("actor_key"),
                prefixes.c.digest == bindparam(name, type_=prefixes.c.digest.type),
            )
            .order_by(prefixes.c.exchange_id.desc())
            .limit(CANDIDATES_MAX)
            .subquery()
        )
        for (name,) in names
    ]
    cut = union_all(*each_one).subquery("cut")
    return (
        select(
            *cut.c["digest", "answered"],
            *exchanges.c["id", "state", "seqs"],
            rooms.c.key.label("room_key"),
            rooms.c.id.label("room"),
        )
        .select_from(cut)
        .join(exchanges, exchanges.c.id == cut.c.exchange_id)
        .join(rooms, rooms.c.key == exchanges.c.room_key)
        .order_by(cut.c.exchange_id.desc())
    )


_MET = ListStatement(_latest, "actor_key")
_NEWEST = matching(
    select(exchanges.c.id, exchanges.c.state)
    .join(rooms, rooms.c.key == exchanges.c.room_key)
    .order_by(exchanges.c.id.desc())
    .limit(CANDIDATES_MAX),
    rooms.c.id,
)
_SEQS = matching(select(exchanges.c.seqs), exchanges.c.id)
_GIVEN = (Status.DONE, Status.STOPPED)
_behind = (
    select(*messages_table.c["seq", "status", "meta"])
    .where(
        messages_table.c.room_key == bindparam("room_key"),
        messages_table.c.branch == bindparam("branch"),
        messages_table.c.seq > bindparam("seq"),
        messages_table.c.deleted_ms.is_(None),
    )
    .order_by(messages_table.c.seq)
    .limit(LATER_MAX)
)
_SAID_BEHIND = Statement(_behind, "room_key", "branch", "seq")
_BEHIND = Statement(
    _behind.where(messages_table.c.role == Role.ASSISTANT), *("room_key", "branch", "seq")
)
_ASKED_LATELY = matching(
    select(exchanges.c.seqs).order_by(exchanges.c.id.desc()).limit(CANDIDATES_MAX),
    exchanges.c.room_key,
)
_RUNNING = matching(
    select(func.coalesce(turns.c.branch, 0).label("branch"), exchanges.c.seqs)
    .join(exchanges, exchanges.c.turn_id == turns.c.id)
    .where(turn_is_open),
    turns.c.room_key,
)
_ASIDE = matching(select(asides.c.number), asides.c.room_key, asides.c.digest)
_LEAST = matching(select(func.min(asides.c.number)), asides.c.room_key)
_INSERT_ASIDE = inserting(asides, "room_key", "number", "digest", "said", "author_key")

Refs = list[int]
"""Seqs of messages; a negative number is an aside."""
_Whose = tuple[int, KnownActor]
"""The key of the room in which an aside is kept, and its author."""


class Place(Struct, frozen=True, kw_only=True):
    """A room, what it holds of a request (`refs`), and how many of the request's entries that is.

    `end` is the seq of the last message of these, also of one that the client told in its own way. `before` is what was
    said before, where the request does not bring it; `failed` is the exchange that was asked all of it, and nothing
    else, and got no answer.
    """

    room: LockedRoom
    refs: Sequence[int] = ()
    taken: int = 0
    end: int = 0
    before: Spans = ()
    failed: ExchangeId | None = None


def found(tx: Transaction, said: Request, actor: KnownActor) -> Place | None:
    """Where a request goes on that names no room."""
    place = _continued(tx, said, actor, None)
    if place is not None or not said.ends:
        return place or _continued(tx, said, actor, None, parts=True)
    first, last = said.newest()
    answer = said.likes[first:last]
    words = longer(START, said.likes[first - 1]) if first else b""
    calls = [by_id(said.entries[at]) for at in said.places[first:last]]
    digests = {pair(words, answer), pair(words, calls)} if first else ()
    for met in _met(tx, digests, actor):
        if _goes_on(tx, met, actor.id):
            followed = _followed(tx, said, actor, met, last)
            if followed is not None:
                return _placed(tx, said, actor, met, last, followed)
    heads = {
        met.room: met for met in _met(tx, [alone(answer)], actor) if _goes_on(tx, met, actor.id)
    }
    if len(heads) == 1:
        (met,) = heads.values()
        followed = _followed(tx, said, actor, met, last, question=first - 1)
        if followed is not None:
            return _placed(tx, said, actor, met, last, followed)
    return _continued(tx, said, actor, None, parts=True)


def held(tx: Transaction, said: Request, actor: KnownActor, room: LockedRoom) -> Place | None:
    """What a room that was named holds of a request; None where it holds nothing at all."""
    place = _continued(tx, said, actor, room)
    if place is not None:
        return place
    count = len(said.likes)
    newest = messages.page(tx.conn, room.id, limit=2 * count + SPARE).messages
    if not newest:
        return None
    there = _counted(newest)
    known = {likeness(message) for message in there}
    likes = _as_stored(said, there)
    last = next((end for end in said.ends if likes[end - 1] in known), None)
    likes = likes[: max(count - 1, 0) if last is None else last]
    places = _aligned(likes, there)
    if (
        None in places and newest[0].seq > 1
    ):  # a history that was rewritten begins with what is older
        there = [*_counted(_asked_before(tx, room.id, newest[0].seq)), *there]
        places = _aligned(likes, there)
    if last is None:  # the last words are new, whatever words the room may hold already
        mapped = [index for index, place_ in enumerate(places) if place_ is not None]
        last = mapped[-1] + 1 if mapped else 0
    refs, end = _refs(tx, said, places[:last], there, (room.key, actor))
    return Place(room=room, refs=refs, taken=said.upto(last), end=end)


def _asked_before(tx: Transaction, room: RoomId, seq: int) -> Sequence[Message]:
    """What the newest exchange of a room was asked that stands before a message."""
    newest = _NEWEST.first(tx.conn, room)
    if newest is None:
        return ()
    view = [ref for ref in each(_SEQS.value(tx.conn, newest.id)["view"]) if 0 < ref < seq]
    return spoken(tx.conn, room, spans_of(view))


def branch_of(tx: Transaction, place: Place, actor: KnownActor) -> int:
    """The branch in which a request goes on at its place, which is begun where the conversation has gone on from there.

    It has, where an answer was given to another request after what this one brings, or one is being given. Words of the
    page, and what got no answer, are no hindrance.
    """
    room, end = place.room, max((place.end, *[last for _, last in place.before]))
    if end <= 0:
        return room.main
    branch = branches.at(tx.conn, room.id, end)
    answered = any(
        "exchange" in row.meta and row.status in _GIVEN
        for row in _BEHIND.all(tx.conn, room.key, branch, end)
    )
    asked = any(
        row.branch == branch and row.seqs.get("own", 0) > end
        for row in _RUNNING.all(tx.conn, room.key)
    )
    return begin(tx, room, actor, branch, end, looks=False) if answered or asked else branch


def meanwhile(tx: Transaction, room: LockedRoom, branch: int, end: int) -> Refs:
    """What was said in a branch behind a seq by no request: on the page, and what agents answered there."""
    asked: list[Sequence[int]] = []
    for seqs in _ASKED_LATELY.column(tx.conn, room.key):
        asked += [*seqs["view"], *[(seq, seq) for seq in seqs["answers"]]]
    rows = _SAID_BEHIND.all(tx.conn, room.key, branch, end)
    said = [row.seq for row in rows]
    return [seq for seq in said if not any(first <= seq <= last for first, last in asked)]


def prompts(tx: Transaction, room: LockedRoom, said: Sequence[Entry], author: KnownActor) -> Refs:
    """What stands for prompts in a room that is not new: those it was begun with, and others each kept once."""
    if not said:
        return []
    first = _first_prompts(tx, room.id)
    known = {likeness(one): one.seq for one in first if one.deleted_ms is None}
    return [known.get(likeness(entry)) or aside(tx, (room.key, author), entry) for entry in said]


def aside(tx: Transaction, whose: _Whose, entry: Entry) -> int:
    """The number of what a request said and its room does not, kept once of each author."""
    said = {"role": entry.role, "kind": entry.kind, "text": entry.text, "meta": dict(entry.meta)}
    return _kept_once(tx, whose, likeness(entry), said)


def asides_of(
    tx: Transaction, room: LockedRoom, request: Mapping[str, Any], author: KnownActor
) -> tuple[Mapping[str, Any], Mapping[str, int]]:
    """A request without its long values, such as the definitions of tools, and the asides that these are.

    Clients repeat them with every request, so each is kept once of an author in a room.
    """
    written = {name: orjson.dumps(value) for name, value in request.items()}
    beside = {
        name: _kept_once(tx, (room.key, author), value, {"value": request[name]})
        for name, value in written.items()
        if len(value) >= ASIDE_BYTES_MIN
    }
    return ({**request, **dict.fromkeys(beside)} if beside else request), beside


def each(spans: Sequence[Sequence[int]]) -> Iterator[int]:
    """The numbers in spans."""
    for first, last in spans:
        yield from range(first, last + 1)


def spans_of(refs: Iterable[int], before: Spans = ()) -> Spans:
    """Spans with more numbers behind them; each aside is one of its own."""
    spans = [*before]
    for ref in refs:
        if spans and 0 < spans[-1][1] == ref - 1:
            spans[-1] = (spans[-1][0], ref)
        else:
            spans.append((ref, ref))
    return tuple(spans)


def _kept_once(tx: Transaction, whose: _Whose, like: bytes, said: Mapping[str, Any]) -> int:
    """The number of an aside. Its digest begins with its author: nobody's words become somebody else's."""
    room_key, author = whose
    digest = longer(longer(START, author.id.encode()), like)
    known = _ASIDE.value(tx.conn, room_key, digest)
    if known is not None:
        return known
    number = (_LEAST.value(tx.conn, room_key) or 0) - 1
    _INSERT_ASIDE.run(tx.conn, room_key, number, digest, said, author.key)
    return number


def _met(tx: Transaction, digests: Iterable[bytes], actor: KnownActor) -> list[Row]:
    """The newest exchanges to which digests lead, the newest first, as the rows of `_latest`."""
    return _MET.all(tx.conn, [(digest,) for digest in digests], actor.key)


def _refs_of(met: Row, prompts: Iterable[int]) -> Refs:
    """What was said in an exchange, without prompts; its answer included, where the digest is of that, too."""
    seqs: Seqs = met.seqs
    left_out = set(prompts)
    view = [ref for ref in each(seqs["view"]) if ref not in left_out]
    return [*view, *seqs["answers"]] if met.answered else view


def _continued(
    tx: Transaction,
    said: Request,
    actor: KnownActor,
    room: LockedRoom | None,
    *,
    parts: bool = False,
) -> Place | None:
    """Where the longest known history leads, if it may go on there; with `parts` also where it has gone on otherwise.

    There it leaves the way that was taken, in a branch (`branch_of`). That needs an answer to begin with.
    """
    counts = said.known()
    for met in sorted(_met(tx, counts, actor), key=lambda met: -counts[met.digest]):
        count = counts[met.digest]
        if not met.answered and (count < len(said.likes) or met.state not in UNANSWERED):
            continue  # the same question again is another conversation
        if (
            met.room == room.id
            if room
            else _goes_on(tx, met, actor.id)
            or (parts and met.answered and _is_open_to(tx, met.room, actor.id))
        ):
            seqs: Seqs = met.seqs
            prompts_then = seqs.get("prompts")
            if prompts_then is None:  # an exchange of an older version
                prompts_then = [one.seq for one in _first_prompts(tx, met.room)]
            refs = _refs_of(met, prompts_then)
            known = refs, max((*_refs_of(met, ()), 0))
            place = _placed(tx, said, actor, met, count, known, room)
            return place if met.answered else replace(place, failed=met.id)
    return None


def _first_prompts(tx: Transaction, room: RoomId) -> list[Message]:
    first = messages.page(tx.conn, room, after=0, limit=FIRST_MESSAGES).messages
    return [one for one in first if is_prompt(one)]


def _goes_on(tx: Transaction, met: Row, actor: ActorId) -> bool:
    """Whether no other exchange of its room came after, but such as got no answer; and who asked may be there."""
    for id_, state in _NEWEST.all(tx.conn, met.room):
        if id_ == met.id:
            return _is_open_to(tx, met.room, actor)
        if state not in UNANSWERED:
            break
    return False


def _is_open_to(tx: Transaction, room: RoomId, actor: ActorId) -> bool:
    """Whether a room is there, and who asks may write to it."""
    seen = stored_rooms.get(tx.conn, room, actor)
    return seen is not None and seen.deleted_ms is None and allows(Action.WRITE, seen.role)


def _placed(  # noqa: PLR0917  all that is known
    tx: Transaction,
    said: Request,
    actor: KnownActor,
    met: Row,
    count: int,
    known: tuple[Refs, int],
    room: LockedRoom | None = None,
) -> Place:
    """The place behind so many entries that count, and what of the page stands there and is repeated."""
    refs, end = known
    at = max(refs, default=0)
    branch = branches.at(tx.conn, met.room, end)
    for message in spoken(tx.conn, met.room, ((at + 1, at + LATER_MAX),)):
        if message.branch != branch:
            continue
        if count + 1 >= len(said.likes):
            break
        entry, like = said.entries[said.places[count]], said.likes[count]
        if likeness(message) == like:
            refs, count, end = [*refs, message.seq], count + 1, message.seq
        elif by_id(message) == by_id(entry) and fills(entry, message):
            beside = aside(tx, (met.room_key, actor), entry)
            refs, count, end = [*refs, beside], count + 1, message.seq
    locked = room or tx.writable(met.room, actor.id)[0]
    return Place(room=locked, refs=refs, taken=said.upto(count), end=end)


def _followed(
    tx: Transaction,
    said: Request,
    actor: KnownActor,
    met: Row,
    count: int,
    *,
    question: int = -1,
) -> tuple[Refs, int] | None:
    """What the room holds of so many entries, up to an exchange's answer, and where; None where they were edited.

    At the place of a `question` nothing else may stand than it was, but for the context around it.
    """
    refs = _refs_of(met, met.seqs.get("prompts", ()))
    view = refs[-2 * count - SPARE :]
    oldest = next((ref for ref in view if ref > 0), 1)
    path = branches.of(tx.conn, met.room, branches.at(tx.conn, met.room, oldest))
    before = messages.page(tx.conn, met.room, path, before=oldest, limit=2 * count)
    there = _counted([*before.messages, *spoken(tx.conn, met.room, spans_of(view))])
    likes = _as_stored(said, there)[:count]
    places = _aligned(likes, there)
    begun = places[0] != 0 and likes == [likeness(one) for one in there[:count]]
    if begun and "exchange" not in there[said.newest()[0]].meta:
        return None  # these are examples that the room was begun with, and no answer of ours
    lost = [index for index in range(count) if not _is_there(said, index, places, there)]
    if question in lost:
        return None
    if lost:  # at the front, in the place of more than that
        kept = next((place for place in places[lost[-1] + 1 :] if place is not None), 0)
        if not kept or (kept <= lost[-1] + 1 and before.before is None):
            return None
    return _refs(tx, said, places, there, (met.room_key, actor))


def _is_there(
    said: Request, index: int, places: Sequence[int | None], there: Sequence[Message]
) -> bool:
    """Whether an entry is among messages, or is the one before a known one, cut or without the context around it.

    It may be what was thought before a call.
    """
    follows = next(iter(places[index + 1 :]), None)
    if places[index] is not None or not follows:
        return places[index] is not None
    bare, asked = said.entries[said.places[index]], there[follows - 1]
    known = there[follows]
    thinks = known.kind == Kind.TOOL_CALL and "reasoning" in known.meta
    if (thinks and aloud(known) == said.likes[index]) or _is_cut(bare, asked):
        return True
    words, around = (" ".join(words_of(one).split()) for one in (bare, asked))
    whole = re.search(rf"(?<!\w){re.escape(words)}(?!\w)", around)
    return bool(words) and bare.role == asked.role and whole is not None


def _is_cut(said: Entry, stored: Message) -> bool:
    """Whether an entry is a message that its program cut: a shorter result of the call, or a user's first line."""
    if said.role != stored.role or len(said.text) >= len(stored.text):
        return False
    if said.kind == Kind.TOOL_RESULT:
        return said.meta.get("call_id") == stored.meta.get("call_id")
    line, more, _ = stored.text.partition("\n")
    return said.role is Role.USER and bool(more) and said.text.startswith(f"{line}\n")


def _counted(said: Sequence[Message]) -> list[Message]:
    return [one for one in said if one.deleted_ms is None and not is_prompt(one) and likeness(one)]


def _as_stored(said: Request, there: Sequence[Message]) -> list[bytes]:
    """The likenesses of entries; the stored one's of an answer with its thoughts as words, and of a call filled up.

    Of a call only where no other has its id.
    """
    thought = {
        aloud(one): likeness(one)
        for one in there
        if one.kind == Kind.TEXT and one.meta.get("reasoning")
    }
    stored: dict[bytes, list[Message]] = {}
    for one in there:
        if one.kind == Kind.TOOL_CALL:
            stored.setdefault(by_id(one), []).append(one)
    likes = [*said.likes]
    for index, at in enumerate(said.places):
        entry = said.entries[at]
        likes[index] = thought.get(likes[index], likes[index])
        if entry.kind == Kind.TOOL_CALL:
            match stored.pop(by_id(entry), ()):
                case [one] if fills(entry, one):
                    likes[index] = likeness(one)
                case _:
                    pass
    return likes


def _aligned(likes: Sequence[bytes], there: Sequence[Message]) -> list[int | None]:
    """Where among messages each entry is, the last as far behind as can be; None for one that is not."""
    known: dict[bytes, list[int]] = {}
    for place, message in enumerate(there):
        known.setdefault(likeness(message), []).append(place)
    at = len(there)
    found: list[int | None] = []
    for like in reversed(likes):
        places = known.get(like, [])
        while places and places[-1] >= at:
            places.pop()
        found.append(places[-1] if places else None)
        at = found[-1] if found[-1] is not None else at
    return found[::-1]


def _refs(
    tx: Transaction,
    said: Request,
    places: Sequence[int | None],
    there: Sequence[Message],
    whose: _Whose,
) -> tuple[Refs, int]:
    end = max((there[place].seq for place in places if place is not None), default=0)
    return [
        there[place].seq
        if place is not None and likeness(there[place]) == said.likes[index]
        else aside(tx, whose, said.entries[said.places[index]])
        for index, place in enumerate(places)
    ], end
