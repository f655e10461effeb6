"""`palaver search`: what a person finds."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

import typer

from palaver.cli.options import Ask, asking

Owner = Annotated[str, typer.Option("--as", help="Who searches: a handle, or an id (u_…).")]


@asking
def search(
    ask: Ask,
    query: Annotated[
        str, typer.Argument(help="What to look for; docs/search.md lists what it may say.")
    ],
    *,
    owner: Owner,
    room: Annotated[
        str | None, typer.Option(help="In this room alone.", show_default="all of theirs")
    ] = None,
    limit: Annotated[int, typer.Option(help="Hits at the most.", min=1, max=100)] = 20,
    cursor: Annotated[
        str | None, typer.Option(help="Go on where a page ended.", show_default="the beginning")
    ] = None,
    best: Annotated[
        bool, typer.Option("--best", help="The best hits first, not the newest.")
    ] = False,
) -> None:
    """Find messages that a person may read, the newest first."""
    ask.tell(
        _found,
        "search",
        **{"as": owner, "query": query, "room": room},
        limit=limit,
        cursor=cursor,
        relevance=best,
    )


def _found(told: Mapping[str, Any]) -> Iterable[str]:
    for hit in told["hits"]:
        message = hit["message"]
        where = f"{message['room']}/{message['seq']}"
        text = " ".join(hit["snippet"]["text"].split())
        yield f"{message['at']}  {where}  {hit['title'] or 'New chat'}  {message['name']}: {text}"
    if not told["hits"]:
        yield "Nothing was found."
    if not told["complete"]:
        yield f"Not complete: {_why(told['indexed_until'])}."
    if told["cursor"]:
        yield f"Go on with --cursor {told['cursor']}"


def _why(until: str | None) -> str:
    if until is None:
        return "the search took too long"
    return "the index is made anew" if until.startswith("1970") else f"indexed to {until}"
