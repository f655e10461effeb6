"""What a method declares is found again, in the order in which it is written."""

from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import Response

from palaver.policy import Action, ServerAct
from palaver.wire.calls import call, calls_of, routes_of


class Part:
    @call("GET", "/things", ServerAct.ROOMS)
    async def listing(self, _request: Request) -> Response:
        raise AssertionError("nobody calls it")

    @call("POST PATCH", "/things/{thing}", Action.WRITE)
    async def change(self, _request: Request) -> Response:
        raise AssertionError("nobody calls it")

    async def helper(self) -> None:
        raise AssertionError("nobody calls it")


def test_the_declared_methods_are_the_calls() -> None:
    found = [(one.method, one.path, one.act, name) for one, name in calls_of(Part)]
    assert found == [
        ("GET", "/things", ServerAct.ROOMS, "listing"),
        ("POST PATCH", "/things/{thing}", Action.WRITE, "change"),
    ]


def test_a_call_without_an_act_cannot_be_declared() -> None:
    nothing: Any = None
    with pytest.raises(TypeError, match="GET /things names no act"):
        call("GET", "/things", nothing)


def test_each_call_has_its_route() -> None:
    part = Part()
    listing, change = routes_of(part)
    assert (listing.path, listing.endpoint) == ("/things", part.listing)
    assert {"POST", "PATCH"} <= (change.methods or set())
