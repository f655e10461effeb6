"""Pages of a list, as the OpenAI API has them: `after`, `limit`, `order`, and the list object.

A `limit` beyond the bounds is the nearest one within: clients send 1000. Parameters that are not known are passed by.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from starlette.requests import Request

from palaver.wire.openai.items import Invalid, Json

LIMIT_MAX = 100
LIMIT_DEFAULT = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Paging:
    """Which page is asked for. `after` is the id of the last item that the client has."""

    after: str | None
    limit: int
    newest_first: bool


def paging_of(request: Request, *, newest_first: bool) -> Paging:
    """What a request asks for; `newest_first` where it does not say. Refused: what is no number, or no order."""
    query = request.query_params
    order = query.get("order") or ("desc" if newest_first else "asc")
    if order not in {"asc", "desc"}:
        raise Invalid("Must be 'asc' or 'desc'.", "order")
    given = query.get("limit") or str(LIMIT_DEFAULT)
    try:
        limit = int(given[:20])
    except ValueError:
        raise Invalid("Must be a whole number.", "limit") from None
    return Paging(
        after=query.get("after") or None,
        limit=max(1, min(limit, LIMIT_MAX)),
        newest_first=order == "desc",
    )


def page_of(rows: Sequence[Json], paging: Paging) -> Json:
    """A page of a list that is there as a whole, oldest first. Refused: an `after` that is not in it."""
    rows = rows[::-1] if paging.newest_first else rows
    if paging.after is not None:
        ids = [row["id"] for row in rows]
        if paging.after not in ids:
            raise Invalid(f"There is no item with id '{paging.after}' here.", "after")
        rows = rows[ids.index(paging.after) + 1 :]
    return listed(rows[: paging.limit], has_more=len(rows) > paging.limit)


def listed(data: Sequence[Json], *, has_more: bool) -> Json:
    """A list object."""
    return {
        "object": "list",
        "data": data,
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
        "has_more": has_more,
    }
