"""What several calls of the API read of a request, and the JSON with which they answer.

The tables say which fields are looked at; all else in a request is between its client and the model server.

A `limit` beyond the bounds is the nearest one within: clients send 1000. Parameters that are not known are passed by.
"""

import re
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import blake2b

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from palaver.errors import Code, Refused
from palaver.model import Message, RoomId
from palaver.strict_json import Json, as_object, dump, load, read
from palaver.wire.openai.fields import (
    ARRAY,
    FLAG,
    OBJECT,
    TEXT,
    Field,
    Invalid,
    decimal,
    missing,
    shortened,
    whole,
    wrong_id,
    wrong_type,
    wrong_value,
)
from palaver.wire.openai.items import conversation_id, item_of, message_id, room_id

LIMIT_MAX = 100
LIMIT_DEFAULT = 20
METADATA_MAX = 16
METADATA_KEY_CHARS_MAX = 64
METADATA_VALUE_CHARS_MAX = 512

CHAT = {"stream": FLAG, "store": FLAG, "model": TEXT}
"""A chat completion: all else is judged by the model server, to which its bytes are passed on."""
INCLUDABLE = (
    *("file_search_call.results", "web_search_call.results", "web_search_call.action.sources"),
    *("message.input_image.image_url", "computer_call_output.output.image_url"),
    *("code_interpreter_call.outputs", "reasoning.encrypted_content"),
    "message.output_text.logprobs",
)
RESPONSE = {
    "model": TEXT,
    "context_management": ARRAY,
    "include": Field((list,), "an array of strings", known=INCLUDABLE),
    "instructions": Field((str, list), "a string"),
    "max_output_tokens": whole(16),
    "max_tool_calls": whole(0),
    "parallel_tool_calls": FLAG,
    "prompt": OBJECT,
    "reasoning": OBJECT,
    "service_tier": TEXT,
    "store": FLAG,
    "stream": FLAG,
    "background": FLAG,
    "stream_options": OBJECT,
    "temperature": decimal(0, 2),
    "text": OBJECT,
    "tool_choice": Field((str, dict), "one of a string or an object"),
    "tools": Field((list,), "an array of tools"),
    "top_logprobs": whole(0, 20),
    "top_p": decimal(0, 1),
    "presence_penalty": decimal(-2, 2),
    "frequency_penalty": decimal(-2, 2),
    "truncation": Field((str,), "one of 'auto' or 'disabled'", known=("auto", "disabled")),
    "previous_response_id": TEXT,
}

_METADATA = Field((dict,), "a metadata object")
_RETRIES = "x-stainless-retry-count"
"""What the official libraries count in when they send a request again by themselves."""
_STREAM = re.compile(rb'"stream"\s*:\s*(?:true|false)')


def is_repeated(headers: Mapping[str, str]) -> bool:
    """Whether a client's library sends a request again by itself, not knowing what became of it."""
    return headers.get(_RETRIES, "0") != "0"


def digest_of(raw: bytes) -> bytes:
    """The digest of a body, by which it is known when it comes again; whether it streams or not."""
    found = _STREAM.search(raw)
    if found is None:
        return blake2b(raw, digest_size=32).digest()
    head, tail = raw[: found.start()].rstrip(), raw[found.end() :].lstrip()
    if head.endswith(b","):
        head = head[:-1]
    else:
        tail = tail.removeprefix(b",").lstrip()
    return blake2b(head + tail, digest_size=32).digest()


async def body_of(request: Request) -> Json:
    """Reads the request's JSON object; an empty one where there is none."""
    body = await request.body()
    return load(body) if body.strip() else {}


async def passed_body(request: Request) -> tuple[bytes, Json]:
    """Reads a JSON object whose bytes are passed on, and judges nothing else of it. Refused: a packed one."""
    if request.headers.get("content-encoding", "identity") != "identity":
        raise Refused(Code.UNSUPPORTED_MEDIA_TYPE, "Send the body unpacked.")
    raw = await request.body()
    return raw, read(raw)


async def new_metadata(request: Request) -> dict[str, str]:
    """Reads the metadata of a request that replaces it. Refused: none at all."""
    body = await body_of(request)
    if "metadata" not in body:
        raise missing("metadata")
    return metadata_of(body["metadata"])


def metadata_of(given: object) -> dict[str, str]:
    """Reads metadata: up to 16 short texts by name. Refused: anything else."""
    if given is not None:
        _METADATA.check("metadata", given)
    pairs = as_object(given)
    if len(pairs) > METADATA_MAX:
        words = f"Expected an object with at most {METADATA_MAX} properties,"
        words += f" but got an object with {len(pairs)} properties instead."
        words = f"Invalid 'metadata': too many properties. {words}"
        raise Invalid(words, "metadata", "object_above_max_properties")
    for key, value in pairs.items():
        param = f"metadata.{shortened(key)}"
        if len(key) > METADATA_KEY_CHARS_MAX:
            words = f"Invalid property name in 'metadata': '{shortened(key)}' is too long."
            raise too_long(words, param, "property_name", METADATA_KEY_CHARS_MAX, key)
        if not isinstance(value, str):
            raise wrong_type(param, "a string", value)
        if len(value) > METADATA_VALUE_CHARS_MAX:
            words = f"Invalid '{param}': string too long."
            raise too_long(words, param, "string", METADATA_VALUE_CHARS_MAX, value)
    return pairs


def too_long(words: str, param: str, noun: str, most: int, value: str) -> Invalid:
    """Builds the refusal of a text that is too long. `words` begin what is said of it."""
    words += f" Expected a string with maximum length {most}, but got a string with length {len(value)} instead."
    return Invalid(words, param, f"{noun}_above_max_length")


def room_of(body: Json) -> RoomId | None:
    """Reads the room that `conversation` names, as an id or `{"id": …}`. Refused: what is no id, `room_not_found`."""
    given = body.get("conversation")
    if isinstance(given, dict):
        given = as_object(body["conversation"]).get("id")
    return None if given is None else room_named(given, "conversation")


def room_named(given: object, param: str) -> RoomId:
    """Reads a conversation's id. Refused: one of something else (400); `room_not_found`, one that cannot be there."""
    if not isinstance(given, str):
        raise wrong_type(param, "one of a string or object", given)
    room = room_id(given)
    if room is None:
        raise no_room(given) if given.startswith("conv_") else wrong_id(param, given, "conv")
    return room


@contextmanager
def finding(room: RoomId | None) -> Generator[None]:
    """Says of a conversation that is not there, or not the caller's to see, which it is."""
    try:
        yield
    except Refused as refused:
        if room is None or refused.code is not Code.ROOM_NOT_FOUND:
            raise
        raise no_room(conversation_id(room)) from None


def no_room(given: str) -> Refused:
    """Builds the refusal where a conversation is not there."""
    words = f"Conversation with id '{shortened(given)}' not found."
    return Refused(Code.ROOM_NOT_FOUND, words)


def answer(value: Json) -> Response:
    """Answers with JSON."""
    return Response(dump(value), media_type="application/json")


class Paging(Struct, frozen=True, kw_only=True):
    """Which page is asked for. `after` is the id of the last item that the client has."""

    after: str | None
    limit: int
    newest_first: bool


def paging_of(request: Request, *, newest_first: bool) -> Paging:
    """Reads which page is asked for; `newest_first` is the default order. Refused: what is no number, or no order."""
    query = request.query_params
    order = query.get("order") or ("desc" if newest_first else "asc")
    if order not in {"asc", "desc"}:
        raise wrong_value("order", order, ("asc", "desc"))
    limit = limit_of(request, LIMIT_MAX)
    return Paging(after=query.get("after") or None, limit=limit, newest_first=order == "desc")


def limit_of(request: Request, most: int) -> int:
    """Reads how many items a page may have. Refused: what is no number."""
    return max(1, min(whole_of(request, "limit", LIMIT_DEFAULT), most))


def whole_of(request: Request, name: str, default: int) -> int:
    """Reads a whole number of an address. Refused: what is none."""
    given = request.query_params.get(name) or str(default)
    try:
        return int(given[:18])
    except ValueError:
        raise wrong_type(name, "an integer", given) from None


def page_of(rows: Sequence[Json], paging: Paging) -> Json:
    """Cuts a page out of a whole list, oldest first. Refused: an `after` that is not in it."""
    rows = rows[::-1] if paging.newest_first else rows
    if paging.after is not None:
        ids = [row["id"] for row in rows]
        if paging.after not in ids:
            raise no_item(paging.after)
        rows = rows[ids.index(paging.after) + 1 :]
    return listed(rows[: paging.limit], has_more=len(rows) > paging.limit)


async def items_page(
    paging: Paging, said: Callable[..., Awaitable[Sequence[Message] | None]], missing: Refused
) -> Response:
    """Answers with a page of items: with what `said` gives behind one. Refused: `missing`, where that is not there."""
    after = None if paging.after is None else message_id(paging.after)
    found = None
    if after is not None or paging.after is None:
        found = await said(after=after, limit=paging.limit + 1, newest_first=paging.newest_first)
    if found is None:
        raise missing
    data = [item_of(message) for message in found[: paging.limit]]
    return answer(listed(data, has_more=len(found) > paging.limit))


def no_item(after: str | None) -> Invalid:
    """Builds the refusal of a page behind an item that is not in the list."""
    return Invalid(f"There is no item with id '{shortened(after)}' here.", "after")


def listed(data: Sequence[Json], *, has_more: bool) -> Json:
    """Builds a list object."""
    return {
        "object": "list",
        "data": data,
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
        "has_more": has_more,
    }
