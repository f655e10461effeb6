"""What several calls of the API read of a request, its page of a list among it, and the JSON with which they answer.

A `limit` beyond the bounds is the nearest one within: clients send 1000. Parameters that are not known are passed by.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from palaver.model import RoomId
from palaver.strict_json import Json, as_object, dump, load
from palaver.wire.openai.items import Invalid, room_id

LIMIT_MAX = 100
LIMIT_DEFAULT = 20
METADATA_MAX = 16
METADATA_KEY_CHARS_MAX = 64
METADATA_VALUE_CHARS_MAX = 512

_RETRIES = "x-stainless-retry-count"
"""What the official libraries count in when they send a request again by themselves."""


def is_repeated(headers: Mapping[str, str]) -> bool:
    """Whether a client's library sends a request again by itself, not knowing what became of it."""
    return headers.get(_RETRIES, "0") != "0"


async def body_of(request: Request) -> Json:
    """Reads the request's JSON object; an empty one where there is none."""
    body = await request.body()
    return load(body) if body.strip() else {}


async def new_metadata(request: Request) -> dict[str, str]:
    """Reads the metadata of a request that replaces it. Refused: none at all."""
    body = await body_of(request)
    if "metadata" not in body:
        raise Invalid("Missing required parameter.", "metadata", "missing_required_parameter")
    return metadata_of(body["metadata"])


def metadata_of(given: object) -> dict[str, str]:
    """Reads metadata: up to 16 short texts by name. Refused: anything else."""
    pairs = as_object(given)
    shaped = given is None or isinstance(given, dict)
    if not shaped or not all(isinstance(value, str) for value in pairs.values()):
        raise Invalid("Must be an object of texts.", "metadata")
    if len(pairs) > METADATA_MAX:
        raise Invalid(f"Holds more than {METADATA_MAX} pairs.", "metadata")
    key_max, value_max = METADATA_KEY_CHARS_MAX, METADATA_VALUE_CHARS_MAX
    if any(len(key) > key_max or len(value) > value_max for key, value in pairs.items()):
        words = f"Keys have at most {key_max} characters, values {value_max}."
        raise Invalid(words, "metadata")
    return pairs


def room_of(body: Json) -> RoomId | None:
    """Reads the room that `conversation` names, as an id or `{"id": …}`. Refused: what is no id."""
    given = body.get("conversation")
    if isinstance(given, dict):
        given = as_object(body["conversation"]).get("id")
    return None if given is None else room_named(given, "conversation")


def room_named(given: object, param: str | None) -> RoomId:
    """Reads the id of a room. Refused: what is no id."""
    found = room_id(given) if isinstance(given, str) else None
    if found is None:
        raise Invalid("Must be the id of a conversation: 'conv_' and 32 digits.", param)
    return found


def answer(value: Json) -> Response:
    """Answers with JSON."""
    return Response(dump(value), media_type="application/json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Paging:
    """Which page is asked for. `after` is the id of the last item that the client has."""

    after: str | None
    limit: int
    newest_first: bool


def paging_of(request: Request, *, newest_first: bool) -> Paging:
    """Reads which page is asked for; `newest_first` is the default order. Refused: what is no number, or no order."""
    query = request.query_params
    order = query.get("order") or ("desc" if newest_first else "asc")
    if order not in {"asc", "desc"}:
        raise Invalid("Must be 'asc' or 'desc'.", "order")
    limit = limit_of(request, LIMIT_MAX)
    return Paging(after=query.get("after") or None, limit=limit, newest_first=order == "desc")


def limit_of(request: Request, most: int) -> int:
    """Reads how many items a page may have. Refused: what is no number."""
    try:
        given = int((request.query_params.get("limit") or str(LIMIT_DEFAULT))[:20])
    except ValueError:
        raise Invalid("Must be a whole number.", "limit") from None
    return max(1, min(given, most))


def page_of(rows: Sequence[Json], paging: Paging) -> Json:
    """Cuts a page out of a whole list, oldest first. Refused: an `after` that is not in it."""
    rows = rows[::-1] if paging.newest_first else rows
    if paging.after is not None:
        ids = [row["id"] for row in rows]
        if paging.after not in ids:
            raise Invalid(f"There is no item with id '{paging.after}' here.", "after")
        rows = rows[ids.index(paging.after) + 1 :]
    return listed(rows[: paging.limit], has_more=len(rows) > paging.limit)


def listed(data: Sequence[Json], *, has_more: bool) -> Json:
    """Builds a list object."""
    return {
        "object": "list",
        "data": data,
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
        "has_more": has_more,
    }
