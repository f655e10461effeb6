"""The calls of the doors: each declares its address, its act and its bound where it is written.

`act` is what `policy` is asked about the room that the call names, or what is wanted of the server: a call without one
cannot be declared. `scope` is what an API key must be good for; without one any key will do at `/v1`, and at our own
doors the act says it (`policy.check_key`). `wire/listing` collects the declarations of all doors.
"""

from collections.abc import Callable, Iterator
from dataclasses import KW_ONLY, dataclass
from typing import Any, TypeVar

from fastapi import Depends, Request
from starlette.requests import HTTPConnection
from starlette.routing import Route

from palaver.model import Scope
from palaver.policy import Act, Action, ServerAct
from palaver.wire.edge.rates import Use, take

F = TypeVar("F", bound=Callable[..., Any])

ScopeOf = Callable[[HTTPConnection], Scope]

_DECLARED = "declared_call"
_ACTS = frozenset[Act]([*Action, *ServerAct])


@dataclass(frozen=True, slots=True)
class Call:
    """The declaration of a call, as a decorator of the method that answers it; one method may answer several.

    `method` is HTTP's, `WS`, or `frame`; `others`: statuses that it may have beside `status`.
    """

    method: str
    path: str
    act: Act
    _: KW_ONLY
    scope: Scope | ScopeOf | None = None
    """A function where the address decides."""
    use: Use | None = None
    """What is counted of the caller's address."""
    status: int = 200
    others: tuple[int, ...] = ()
    media: str | None = None
    """Of which other media type an answer may be."""
    door: str = ""
    """Which door has it, see `wire.listing`."""

    def __post_init__(self) -> None:
        if self.act not in _ACTS:
            raise TypeError(f"{self.method} {self.path} names no act")

    @property
    def own_scope(self) -> Scope | None:
        """The scope at our own doors, where it is not the act's."""
        return None if callable(self.scope) else self.scope

    def __call__(self, function: F) -> F:
        """Declares a method of a door's class as this call."""
        setattr(function, _DECLARED, (self, *getattr(function, _DECLARED, ())))
        return function


call = Call


def calls_of(part: type) -> Iterator[tuple[Call, str]]:
    """Yields the calls of a class in the order in which they are written, with the names of their methods."""
    for name, member in vars(part).items():
        declared: tuple[Call, ...] = getattr(member, _DECLARED, ())
        yield from ((one, name) for one in declared)


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
