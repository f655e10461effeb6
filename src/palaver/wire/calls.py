"""The calls of the doors: each declares its address, its act and its bound where it is written.

`act` is what `policy` is asked about the room that the call names; None where it names no room of somebody's. `scope`
is what an API key must be good for; None where any key will do, and at the doors that know no keys. `wire/listing`
collects the declarations of all doors.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from fastapi import Depends, Request
from starlette.routing import Route

from palaver.model import Scope
from palaver.policy import Action
from palaver.wire.edge.rates import Use, take

F = TypeVar("F", bound=Callable[..., Any])

ScopeOf = Callable[[Request], Scope]

_DECLARED = "declared_call"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A call's declaration. `method` is HTTP's, or `frame`; `others`: statuses that it may have beside `status`."""

    method: str
    path: str
    act: Action | None
    scope: Scope | ScopeOf | None
    """A function where the address decides."""
    use: Use | None
    status: int
    others: tuple[int, ...]
    media: str | None
    """Of which other media type an answer may be."""


def call(
    method: str,
    path: str,
    act: Action | None,
    *,
    scope: Scope | ScopeOf | None = None,
    use: Use | None = None,
    status: int = 200,
    others: tuple[int, ...] = (),
    media: str | None = None,
) -> Callable[[F], F]:
    """Declares a method of a door's class as a call. `use`: what is counted of the caller's address."""
    declared = Call(
        method=method,
        path=path,
        act=act,
        scope=scope,
        use=use,
        status=status,
        others=others,
        media=media,
    )

    def decorated(function: F) -> F:
        setattr(function, _DECLARED, declared)
        return function

    return decorated


def calls_of(part: type) -> Iterator[tuple[Call, str]]:
    """Yields the calls of a class in the order in which they are written, with the names of their methods."""
    for name, member in vars(part).items():
        declared: Call | None = getattr(member, _DECLARED, None)
        if declared is not None:
            yield declared, name


def routes_of(part: object) -> list[Route]:
    """Starlette's routes for the calls of a door's part."""
    return [
        Route(declared.path, getattr(part, name), methods=declared.method.split())
        for declared, name in calls_of(type(part))
    ]


def counting(use: Use | None) -> list[Any]:
    """FastAPI's dependencies that count a use before the call. Unavailable: `rate_limited`."""
    if use is None:
        return []

    async def taken(request: Request) -> None:
        take(request.scope, use)

    return [Depends(taken)]
