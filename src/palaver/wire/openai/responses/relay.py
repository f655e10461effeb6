"""A response that the model server told in the Responses API itself, on its way to our client.

`relayed` takes a call's answer if its events are those of this API: the first is `response.created` and is numbered.
Some servers tell events without numbers and places, which no client can follow; those are better asked for a chat
completion, and get None here.

Rules: the events between the first and the last go on as they came, but for the items' ids, which become those of the
messages that will be stored (their prefix stays), so that they can be asked for everywhere. How the response begins and
ends is told by us, with our id and what was asked of us; it ends only once it is stored. Each item of the output is one
message. What has texts is shown live, and journaled, as any other answer; a server that dies leaves those.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing, suppress
from typing import Any

import orjson
from msgspec import Struct, field
from msgspec.structs import replace

from palaver.core.answers.outcome import too_long
from palaver.core.answers.pieces import Piece, ReasoningPiece, RefusalPiece, TextPiece, ToolPiece
from palaver.core.answers.tape import Call, CallResult, Chunk, NativeAnswer
from palaver.errors import Code, ProviderError
from palaver.model import Entry, Kind, Message, MessageId, Role, Status, answer_id
from palaver.redact import Redaction
from palaver.strict_json import Json, as_list, as_object, dump, lenient
from palaver.wire.openai import items
from palaver.wire.openai.items import Invalid
from palaver.wire.openai.responses import prompts, requests
from palaver.wire.openai.responses.packing import packed

EVENTS_BYTES_MAX = 64 * 1024 * 1024
"""An answer whose events are larger is cut."""
WORDS_CHARS_MAX = 200
"""So much of a model server's own words on its failure is told."""
DRAIN_SECONDS = 0.2
"""How long the end of the body may take after the last event."""

OURS = frozenset(
    {
        *("background", "conversation", "created_at", "id", "input", "instructions", "metadata"),
        *("object", "previous_response_id", "store", "stream", "tools"),
    }
)
"""What a response says of the request that was made to us, or of itself as it is here."""

_NOT_THEIRS = ("background", "conversation", "previous_response_id")
_NOBODYS = MessageId("m_")
_NUMBERS = frozenset({"sequence_number", "response_id"})
_BEGIN = frozenset({"response.created", "response.queued", "response.in_progress"})
_LAST = frozenset(
    {"response.completed", "response.incomplete", "response.failed", "response.cancelled"}
)
_GROWS = {
    "response.output_text.delta": ("content", "text", TextPiece),
    "response.refusal.delta": ("content", "refusal", RefusalPiece),
    "response.reasoning_text.delta": ("content", "text", ReasoningPiece),
    "response.reasoning.delta": ("content", "text", ReasoningPiece),
    "response.reasoning_summary_text.delta": ("summary", "text", ReasoningPiece),
    "response.function_call_arguments.delta": ("", "arguments", None),
    "response.custom_tool_call_input.delta": ("", "input", None),
}
"""Which text of an item an event adds to (the list of parts, if it is in one, and the field), and as what."""
_OF_RUN = ("type", "item_id", "output_index", "content_index", "summary_index")
"""What the events of one growing text have in common."""
_CALLS = {"function_call": "arguments", "custom_tool_call": "input"}


def request_of(body: Mapping[str, Any], given: Sequence[Json]) -> bytes:
    """Builds the request for a model server: it keeps nothing, and is told all that was said."""
    asked = {key: value for key, value in body.items() if key not in _NOT_THEIRS}
    if prompts.ours(asked) is not None:
        del asked["prompt"]  # its words are in the request
    return orjson.dumps({**asked, "input": given, "store": False, "stream": True})


def input_of(said: Iterable[Message | Entry], origin: str | None = None) -> list[Json]:
    """Writes what was said as items, without ids where it is not stored.

    An encrypted thought is told to whom it is from (`origin`) and nobody else.

    There is nothing to tell of a thought that only its own server could look up, or that led to nothing.
    """
    given: list[Json] = []
    for one in requests.spoken(said):
        message = one if isinstance(one, Message) else items.stand_in(one, _NOBODYS)
        item = items.item_of(message)
        if message.kind == Kind.REASONING:
            if not item["content"]:
                del item["content"]
            if as_object(message.meta.get("beside")).get("origin") not in {None, origin}:
                item["encrypted_content"] = None
            led = "content" in item or item["encrypted_content"] is not None
            if not led or message.status is not Status.DONE:
                continue
            del item["status"]
        elif message.role is not Role.ASSISTANT or not message.seq:
            del item["id"]
            item.pop("status", None)
        given.append(item)
    return given


async def relayed(call: Call) -> "Relayed | None":
    """A call whose answer is one of this API; None, and the call is closed, for any other. Raises `ProviderError`."""
    telling, first = call.told(), None
    speaks = False
    try:
        if call.streams:
            async for told in telling:
                first = _event_in(told.raw)
                if first is not None:
                    break
        speaks = first is not None and _begins(first)
        if call.outcome.error is not None:
            raise call.outcome.error
    finally:
        if not speaks:
            await telling.aclose()
            await call.close()
    return Relayed(call, telling) if speaks else None


def _begins(event: Json) -> bool:
    """Whether an event is the first of an answer in this API. Raises `ProviderError` where it is an error."""
    if event["type"] == "error":
        raise _failure(as_object(event.get("error")) or event)
    numbered = isinstance(event.get("sequence_number"), int)
    return event["type"] in _BEGIN and numbered and bool(as_object(event.get("response")))


class Relayed:
    """See `providers.call.Call`.

    `first` is the id that the answer's first message will have, `origin` names the server; both are set before it is
    told, as is the `redaction` of what is kept.
    """

    status = 200
    streams = True

    def __init__(self, call: Call, telling: AsyncGenerator[Chunk, None]) -> None:
        self._call = call
        self._telling = telling
        self.first = MessageId("")
        self.origin: str | None = None
        self.redaction: Redaction | None = None
        self.headers = call.headers
        asked = call.outcome
        self.outcome = CallResult(own=NativeAnswer(), provider=asked.provider, model=asked.model)

    async def told(self) -> AsyncGenerator[Chunk, None]:
        """Yields the events but the first and the last, each as JSON."""
        answer, read = _Answer(self.first), 0
        try:
            async with aclosing(self._telling) as telling:
                async for told in telling:
                    read += len(told.raw)
                    event = _event_in(told.raw)
                    taken = None if event is None else answer.take(event)
                    if taken is not None:
                        yield Chunk(dump(taken[0]), taken[1])
                    if answer.last is not None:
                        await _drained(telling)
                        break
                    if read > EVENTS_BYTES_MAX:
                        self.outcome.error = too_long()
                        break
        finally:
            self._settle(answer)

    async def close(self) -> None:
        """See `Call`."""
        await self._telling.aclose()
        await self._call.close()

    def _settle(self, answer: "_Answer") -> None:
        """Fills in the outcome, once nothing more comes."""
        outcome = self.outcome
        outcome.error = outcome.error or answer.error or self._call.outcome.error
        outcome.whole = answer.last in {"response.completed", "response.incomplete"}
        if answer.last is None and outcome.error is None:
            outcome.error = ProviderError(
                Code.PROVIDER_CUT, "The model server ended in the middle of the answer. Try again."
            )
        response = answer.response
        outcome.finish = _finish(answer.last, response)
        entries = tuple(_of(self.origin, entry) for entry in answer.entries())
        outcome.own = NativeAnswer(entries=entries, told=response)
        events, kept = answer.events, response
        if self.redaction is not None:
            entries, kept = self.redaction.said((entries, response))
            events = _redacted(events, self.redaction)
        outcome.envelope = {"told": packed(events, kept, entries)}
        outcome.kept = outcome.envelope
        if usage := as_object(response.get("usage")):
            used, made = usage.get("input_tokens"), usage.get("output_tokens")
            outcome.envelope["usage"] = {"prompt_tokens": used, "completion_tokens": made}
            cached = as_object(usage.get("input_tokens_details")).get("cached_tokens")
            thought = as_object(usage.get("output_tokens_details")).get("reasoning_tokens")
            outcome.used(used, made, cached, thought)


async def _drained(telling: AsyncGenerator[Chunk, None]) -> None:
    """Reads the body to its end, so that the connection can be used again."""
    with suppress(TimeoutError):
        async with asyncio.timeout(DRAIN_SECONDS):
            async for _ in telling:
                pass


def _redacted(events: Sequence[Json], redaction: Redaction) -> list[Json]:
    """Events without secrets, in as many pieces."""
    running: dict[tuple[object, ...], list[Json]] = {}
    found = [{**event} for event in events]
    for event in found:
        if isinstance(event.get("delta"), str):
            running.setdefault(tuple([event.get(name) for name in _OF_RUN]), []).append(event)
    for run in running.values():
        deltas = redaction.pieces([event.pop("delta") for event in run])
        for event, delta in zip(run, deltas, strict=True):
            event["delta"] = delta
    return redaction.said(found)


class _Item(Struct):
    """An item as far as it came: `texts` by the list of its parts, the place in it, and the field."""

    item: Json
    done: bool = False
    texts: dict[tuple[str, int, str], list[str]] = field(default_factory=dict[Any, list[str]])

    def grown(self) -> Json:
        """Builds the item with the texts that came of it."""
        if self.done:
            return self.item
        grown = {**self.item, **({"status": "incomplete"} if "status" in self.item else {})}
        for (name, index, key), texts in self.texts.items():
            parts = [dict(part) for part in _objects(grown.get(name))] if name else [grown]
            if index < len(parts):
                parts[index][key] = str(parts[index].get(key) or "") + "".join(texts)
            if name:
                grown[name] = parts
        return grown


class _Answer:
    """An answer as far as it came. `last` is the type of its last event."""

    def __init__(self, first: MessageId) -> None:
        self._first = first
        self._output: list[_Item] = []
        self._places: dict[str, int] = {}
        self._response: Json = {}
        self.events: list[Json] = []
        self.last: str | None = None
        self.error: ProviderError | None = None

    @property
    def response(self) -> Json:
        """The response: all of it, or what there is of its output."""
        output = self._response.get("output") or [item.grown() for item in self._output]
        return {**self._response, "output": output}

    def entries(self) -> tuple[Entry, ...]:
        """Reads the items as entries, in the order in which they began."""
        last = {item["id"]: item for item in self.response["output"]}
        grown = (item.grown() for item in self._output)
        return tuple(_entry_of(last.get(item["id"], item)) for item in grown)

    def take(self, event: Json) -> tuple[Json, tuple[Piece, ...]] | None:
        """Takes an event: returns it as it goes on, with its pieces; None for one that we tell ourselves."""
        kind = str(event.get("type"))
        if kind in _BEGIN:
            return None
        if kind in _LAST:
            self._end(kind, event)
            return None
        told = {key: value for key, value in event.items() if key not in _NUMBERS}
        place = self._place(told)
        pieces = tuple(self._grow(kind, told, place)) if place is not None else ()
        if kind == "error":
            self.error = _failure(as_object(told.get("error")) or told)
        self.events.append(told)
        return told, pieces

    def _end(self, kind: str, event: Json) -> None:
        self.last = kind
        given = as_object(event.get("response"))
        response = {key: value for key, value in given.items() if key not in OURS}
        output = enumerate(_objects(response.get("output")))
        response["output"] = [self._named(item, f"#{index}")[1] for index, item in output]
        self._response = response
        if kind == "response.failed":
            self.error = _failure(as_object(response.get("error")))
        elif kind == "response.cancelled":
            self.error = ProviderError(Code.PROVIDER_CUT, "The model server stopped the answer.")

    def _place(self, told: Json) -> int | None:
        """Finds the item that an event is about, and puts our ids into the event."""
        spare = f"#{told.get('output_index')}"
        if isinstance(told.get("item"), dict):
            new = told["type"] == "response.output_item.added"
            place, told["item"] = self._named(told["item"], spare, new=new)
            return place
        place = self._places.get(str(told.get("item_id")), self._places.get(spare))
        if place is not None and "item_id" in told:
            told["item_id"] = self._output[place].item["id"]
        return place

    def _named(self, item: Json, spare: str, *, new: bool = False) -> tuple[int, Json]:
        """An item's place among all, and the item with the id of its message."""
        theirs = item.get("id")
        key = theirs if isinstance(theirs, str) and theirs else spare
        place = self._places.get(key)
        if place is None and not new:  # some servers give an item another id when it is whole
            place = self._places.get(spare)
            if place is not None and self._output[place].item.get("type") != item.get("type"):
                place = None
        if place is None:
            place = self._places[key] = self._places[spare] = len(self._output)
            message = answer_id(self._first, place)
            ours = {"id": items.id_like(theirs, item.get("type"), message)}
            self._output.append(_Item({**item, **ours}))
        return place, {**item, "id": self._output[place].item["id"]}

    def _grow(self, kind: str, told: Json, place: int) -> Iterator[Piece]:
        """Adds to an item before it is whole."""
        growing, whole = self._output[place], as_object(told.get("item"))
        match kind:
            case "response.output_item.added" if whole.get("type") in _CALLS:
                names = ("call_id", "name", _CALLS[whole["type"]])
                id_, name, text = (str(whole.get(name) or "") for name in names)
                more = {"type": items.CUSTOM} if "input" in names else {}
                yield ToolPiece(place, id_, name, text, more=more)
            case "response.output_item.done" if whole:
                growing.item, growing.done = whole, True
                text = items.text_of(_objects(whole.get("content")))
                if whole.get("type") == "message" and text and not growing.texts:
                    yield TextPiece(text)
            case "response.content_part.added" | "response.reasoning_summary_part.added":
                name = "summary" if "summary" in kind else "content"
                parts = [*_objects(growing.item.get(name)), as_object(told.get("part"))]
                growing.item = {**growing.item, name: parts}
            case _ if kind in _GROWS and isinstance(told.get("delta"), str):
                name, key, words = _GROWS[kind]
                index = told.get("summary_index" if name == "summary" else "content_index")
                part = index if name and isinstance(index, int) and index >= 0 else 0
                delta = told["delta"]
                growing.texts.setdefault((name, part, key), []).append(delta)
                yield words(delta) if words else ToolPiece(place, "", "", delta)
            case _:
                pass


def _event_in(raw: bytes) -> Json | None:
    """Reads the JSON of an event; None for a comment, the end of the stream, and what is no event of this API."""
    lines = [line[5:].strip() for line in raw.splitlines() if line.startswith(b"data:")]
    event = lenient(b"\n".join(lines)) if lines else {}
    return event if isinstance(event.get("type"), str) else None


def _entry_of(item: Json) -> Entry:
    """Reads an item as an entry; keeps one whole that has not the shape of its type."""
    try:
        return items.entries_of([item])[0]
    except Invalid:
        return items.opaque(item)


def _of(origin: str | None, entry: Entry) -> Entry:
    """Notes of an encrypted thought from where it is."""
    if origin is None or "encrypted" not in entry.meta:
        return entry
    return replace(entry, meta={**entry.meta, "beside": {"origin": origin}})


def _failure(error: Json) -> ProviderError:
    code = str(error.get("code") or error.get("type") or "")
    limited = code.startswith("rate_limit")
    words = " ".join(str(error.get("message") or "").split())[:WORDS_CHARS_MAX]
    return ProviderError(
        Code.PROVIDER_RATE_LIMITED if limited else Code.PROVIDER_ERROR,
        words or "The model server failed in the middle of the answer. Try again.",
    )


def _finish(last: str | None, response: Json) -> str | None:
    """Says why it ended, in the words of a chat completion."""
    match last:
        case "response.completed":
            return "stop"
        case "response.incomplete":
            reason = as_object(response.get("incomplete_details")).get("reason")
            return "content_filter" if reason == "content_filter" else "length"
        case _:
            return None


def _objects(value: object) -> list[Json]:
    return [as_object(one) for one in as_list(value)]
