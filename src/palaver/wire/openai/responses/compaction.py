"""Compactions as the Responses API has them: an item whose `encrypted_content` stands for all that was said before it.

A stored one is an item of a response, kept as a message of the room; its content is that message's id, good for who
asked for it and nobody else. Where nothing is kept (`store: false`), or what it keeps is not in one room, the content
is the summary and the items themselves, packed. A model server's own is passed on to it as it is.

`prepared` reads what an input says of them, `resolved` says what a model is told from the newest one on. What is stored
of the request stays as the client sent it.
"""

import zlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import aclosing, suppress
from typing import Any, NamedTuple, cast

import orjson
from msgspec import Struct

from palaver.core.answers import compaction
from palaver.core.answers.compaction import Compaction, Spoken
from palaver.core.answers.pieces import ItemPiece
from palaver.core.answers.source import ModelServer
from palaver.core.answers.tape import Call, CallResult, Chunk
from palaver.core.runtime import Core
from palaver.errors import Code, ProviderError, Refused
from palaver.model import Actor, Entry, ExchangeId, Kind, Message, MessageId, Role, RoomId, Spans
from palaver.model.exchanges import Exchange
from palaver.redact import Redaction
from palaver.strict_json import Json, as_list, as_object, parsed
from palaver.wire.openai import items
from palaver.wire.openai.fields import Invalid, whole
from palaver.wire.openai.responses import relay

TYPE, TRIGGER = "compaction", "compaction_trigger"
PREFIX, PACKED = "cmp_", "cmpz_"
PACKED_BYTES_MAX = 16 * 1024 * 1024
"""What a packed one may unpack to."""
NOT_FOR_OTHERS = "internal_chat_message_metadata_passthrough"
"""What Codex tells its own maker's server beside an item."""
_OF_ITEM = ("type", "id", "encrypted_content")
_SHOWN_CHARS = 8
_THEIRS = (
    *("model", "instructions", "prompt_cache_key", "prompt_cache_options"),
    *("prompt_cache_retention", "service_tier"),
)


class Read(NamedTuple):
    """What an input says: nothing but a compaction is asked for; the room of the one that it begins with."""

    compacts: bool = False
    room: RoomId | None = None


async def prepared(core: Core, me: Actor, body: Json, *, unstored: bool) -> Read:
    """Reads what the input says of compactions. Where nothing is kept, the newest is replaced by what it stands for.

    Refused: one of ours that is not there, or not this caller's.
    """
    given = as_list(body.get("input"))
    if not given or not all(isinstance(one, dict) for one in given):
        return Read()
    given = [_without(as_object(one)) for one in given]
    compacts = given[-1].get("type") == TRIGGER
    if compacts:
        del given[-1]
    body["input"] = given
    at = _newest(given)
    if at is None or not _is_ours(given[at]):
        return Read(compacts)
    item = given[at] = {name: given[at][name] for name in _OF_ITEM if name in given[at]}
    token, room = item["encrypted_content"], None
    kept = await _kept(core, me, token)
    if not token.startswith(PACKED):
        room = (await _stored(core, me, token)).room
    if unstored:
        entries = items.entries_of(given)
        raw = {id(entry): one for entry, one in zip(entries, given, strict=True)}
        told = compaction.told(entries[:at], kept, entries[at + 1 :])
        body["input"] = [
            one
            for said in told
            for one in ([raw[id(said)]] if id(said) in raw else relay.input_of([said]))
        ]
    return Read(compacts, room)


async def resolved(core: Core, me: Actor, said: Sequence[Spoken]) -> Sequence[Spoken]:
    """What a model is told: the newest compaction's summary and messages in the place of what stood before it.

    One of somebody else's that does not name its messages is passed by: nobody can say whose words are in it, and the
    room holds what it stands for.
    """
    said = [one for one in said if not await _is_anothers(core, me, one)]
    at = _newest([as_object(one.meta.get("item")) for one in said])
    if at is None:
        return said
    one = said[at]
    item = as_object(one.meta.get("item"))
    if isinstance(one, Message) and "keeps" in one.meta:
        kept = await core.exchanges.kept(me.id, one)
    elif _is_ours(item):
        kept = await _kept(core, me, item["encrypted_content"])
    else:
        kept = Compaction(behind=[one])
    return compaction.told(said[:at], kept, said[at + 1 :])


def asked(body: Json) -> Json:
    """Reads a request for a compaction: it may have no input, and is answered whole."""
    return {**body, "input": body.get("input") or [], "stream": False, "background": False}


def concerns(raw: bytes) -> bool:
    """Whether a request's bytes hold something that is for us, or for nobody but the maker of its client."""
    return b'"compaction' in raw or NOT_FOR_OTHERS.encode() in raw


async def checked(core: Core, me: Actor, entries: Iterable[Entry]) -> None:
    """Checks what is put into a conversation. Refused: a compaction of ours that is not this caller's."""
    for entry in entries:
        item = as_object(entry.meta.get("item"))
        if item.get("type") == TYPE and _is_ours(item):
            await _kept(core, me, item["encrypted_content"])


def ours_only(said: Iterable[Spoken]) -> None:
    """Checks that no compaction is another server's. Refused: one that is."""
    found = [item for one in said if (item := as_object(one.meta.get("item")))]
    at = _newest(found)
    if at is not None and not _is_ours(found[at]):
        raise _unknown(found[at].get("encrypted_content"))


def threshold_of(request: Mapping[str, Any]) -> int | None:
    """Reads at how many tokens a request wants to be compacted. Refused: what is no number."""
    for rule in map(as_object, as_list(request.get("context_management"))):
        limit: object = rule.get("compact_threshold")
        if rule.get("type") == TYPE and limit is not None:
            whole(1).check("context_management[0].compact_threshold", limit)
            return cast("int", limit)
    return None


# one of our own


class Wish(Struct, frozen=True):
    """What is to be compacted, by which model, and where its message will stand, if it is stored."""

    said: Sequence[Spoken]
    model: str
    room: RoomId | None
    message: MessageId
    tokens_max: int = compaction.USERS_TOKENS_MAX


class Made:
    """A call whose answer is there: `pieces`. See `providers.call.Call`. `users`: what persons said, as items."""

    status = 200
    headers = ()
    streams = True

    def __init__(self, pieces: Sequence[ItemPiece], usage: Json, users: Sequence[Json]) -> None:
        envelope = {"usage": usage}
        self.pieces, self.users = tuple(pieces), users
        self.outcome = CallResult(whole=True, envelope=envelope, kept=envelope, finish="stop")
        self.outcome.used(usage.get("prompt_tokens"), usage.get("completion_tokens"))

    async def told(self) -> AsyncGenerator[Chunk, None]:
        """Yields all of it, once it is stored."""
        yield Chunk(b"", self.pieces, last=True)

    async def close(self) -> None:
        """There is nothing to end."""


async def made(core: Core, there: ModelServer, wish: Wish) -> tuple[Made, Compaction]:
    """Makes a compaction of our own. Raises `ProviderError`."""
    said = wish.said
    done = await compaction.compacted(there, said, wish.model, wish.tokens_max)
    sides = (done.before, done.behind)
    inside = wish.room is not None and all(
        isinstance(one, Message) and one.room == wish.room for side in sides for one in side
    )
    meta: Json = {"prefix": PREFIX}
    if counts := done.usage.counts():
        meta["usage"] = counts  # its own: how long the conversation is tells the answer behind it
    if inside:
        token = items.item_id(wish.message, Kind.ITEM, PREFIX)
        meta["keeps"] = [_spans(cast("Sequence[Message]", side)) for side in sides]
    else:
        token = _packed(done, core.redaction)
    piece = ItemPiece({"type": TYPE, "encrypted_content": token}, done.summary, meta)
    users = _users(core, (*done.before, *done.behind))
    return Made([piece], _usage(done, said), users), done


class Preceded:
    """An answer in front of which a compaction was made. See `providers.call.Call`."""

    def __init__(self, call: Call, compaction: Made) -> None:
        self._call, self._pieces = call, compaction.pieces
        self.status, self.headers = call.status, call.headers
        self.streams, self.outcome, self.close = call.streams, call.outcome, call.close

    async def told(self) -> AsyncGenerator[Chunk, None]:
        """Yields the compaction, then the answer."""
        yield Chunk(b"", self._pieces)
        async with aclosing(self._call.told()) as telling:
            async for told in telling:
                yield told


def shaped(told: Json, users: Sequence[Json]) -> Json:
    """Writes a response that is a compaction as one: what persons said, and the item."""
    names = ("id", "created_at", "usage")
    output = [*users, *told["output"]]
    return {
        "object": "response.compaction",
        **{name: told[name] for name in names},
        "output": output,
    }


async def users_of(core: Core, exchange: Exchange) -> list[Json]:
    """What persons said, of a stored compaction: what it keeps of that, or all where a model server made it."""
    answers = await core.exchanges.messages(exchange, answers=True)
    ours = next((one for one in answers if "keeps" in one.meta), None)
    if ours is None:
        return _users(core, await core.exchanges.messages(exchange, answers=False))
    kept = await core.exchanges.kept(exchange.actor, ours)
    return _users(core, (*kept.before, *kept.behind))


# a model server's own


def request_of(request: Mapping[str, Any], said: Sequence[Spoken]) -> bytes:
    """Asks a model server for a compaction."""
    asked = {name: request[name] for name in _THEIRS if request.get(name) is not None}
    return orjson.dumps({**asked, "input": relay.input_of(said)})


def theirs(body: bytes) -> Made:
    """Reads the compaction that a model server made. Raises `ProviderError`."""
    found = as_object(parsed(body))
    output = [as_object(one) for one in as_list(found.get("output"))]
    if _newest(output) is None:
        raise ProviderError(Code.PROVIDER_BAD_REPLY, "The model server made no compaction.")
    users = [one for one in output if one.get("role") == Role.USER.value]
    kept = [items.opaque(one).meta for one in output if one.get("role") != Role.USER.value]
    pieces = [
        ItemPiece(one["item"], "", {name: one[name] for name in ("prefix",) if name in one})
        for one in kept
    ]
    usage = as_object(found.get("usage"))
    counts = {
        "prompt_tokens": usage.get("input_tokens"),
        "completion_tokens": usage.get("output_tokens"),
        "total_tokens": usage.get("total_tokens"),
        "prompt_tokens_details": usage.get("input_tokens_details"),
        "completion_tokens_details": usage.get("output_tokens_details"),
    }
    return Made(pieces, counts, users)


# inside


def _users(core: Core, said: Iterable[Spoken]) -> list[Json]:
    """What persons said, as items; an id is new where nothing is stored."""
    new = core.clock.new_id
    return [
        items.item_of(
            one if isinstance(one, Message) else items.stand_in(one, MessageId(f"m_{new()}"))
        )
        for one in said
        if one.role is Role.USER and one.kind == Kind.TEXT and not compaction.is_summary(one)
    ]


async def _is_anothers(core: Core, me: Actor, one: Spoken) -> bool:
    """Whether it is a compaction that somebody else brought or asked for, and that tells words and no messages."""
    if as_object(one.meta.get("item")).get("type") != TYPE or "keeps" in one.meta:
        return False
    if not isinstance(one, Message) or me.id in {one.author, one.became}:
        return False
    try:
        await core.exchanges.get(me, ExchangeId(one.meta.get("exchange", "")))
    except Refused:
        return True
    return False


def _newest(given: Sequence[Json]) -> int | None:
    places = [place for place, one in enumerate(given) if one.get("type") == TYPE]
    return places[-1] if places else None


def _is_ours(item: Json) -> bool:
    token = item.get("encrypted_content")
    return isinstance(token, str) and token.startswith((PREFIX, PACKED))


def _without(item: Json) -> Json:
    return {name: one for name, one in item.items() if name != NOT_FOR_OTHERS}


async def _stored(core: Core, me: Actor, token: str) -> Message:
    message = items.message_id(token)
    with suppress(Refused):
        if message is not None:
            return await core.exchanges.compaction(me, message)
    raise _unknown(token)


async def _kept(core: Core, me: Actor, token: str) -> Compaction:
    """What a compaction of ours stands for. Refused: one that is not there, or not this caller's."""
    if token.startswith(PACKED):
        return _unpacked(token)
    return await core.exchanges.kept(me.id, await _stored(core, me, token))


def _unknown(token: object) -> Invalid:
    text = str(token)
    shown = (
        f"{text[:_SHOWN_CHARS]}...{text[-_SHOWN_CHARS:]}" if len(text) > 2 * _SHOWN_CHARS else text
    )
    words = f"The encrypted content {shown} could not be verified."
    words += " Reason: Encrypted content could not be decrypted or parsed."
    return Invalid(words, None, "invalid_encrypted_content")


def _packed(done: Compaction, redaction: Redaction | None) -> str:
    told: Json = {
        "summary": done.summary,
        "before": relay.input_of(done.before),
        "behind": relay.input_of(done.behind),
    }
    told = told if redaction is None else redaction.said(told)
    return PACKED + urlsafe_b64encode(zlib.compress(orjson.dumps(told))).decode()


def _unpacked(token: str) -> Compaction:
    try:
        unpacking = zlib.decompressobj()
        data = urlsafe_b64decode(token.removeprefix(PACKED))
        told = as_object(orjson.loads(unpacking.decompress(data, PACKED_BYTES_MAX)))
        before, behind = (items.entries_of(told[name]) for name in ("before", "behind"))
        return Compaction(summary=str(told["summary"]), before=before, behind=behind)
    except (ValueError, KeyError, zlib.error, Invalid):
        raise _unknown(token) from None


def _spans(said: Iterable[Message]) -> Spans:
    """The seqs of messages as ranges; those of what stands beside the room are one each."""
    spans: list[tuple[int, int]] = []
    for one in said:
        if spans and 0 < spans[-1][1] == one.seq - 1:
            spans[-1] = (spans[-1][0], one.seq)
        else:
            spans.append((one.seq, one.seq))
    return tuple(spans)


def _usage(done: Compaction, said: Sequence[Spoken]) -> dict[str, Any]:
    """The tokens of a compaction, as a chat completion tells them; estimated where nobody told them."""
    asked, answered = done.usage.input, done.usage.output
    if asked is None or answered is None:
        asked, answered = compaction.tokens_in(said), len(done.summary) // compaction.CHARS_A_TOKEN
    return {"prompt_tokens": asked, "completion_tokens": answered, "total_tokens": asked + answered}
