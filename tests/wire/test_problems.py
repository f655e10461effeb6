"""Errors over HTTP: one shape, a stable code, and nothing from inside."""

import asyncio
import json

import pytest
from starlette.types import Message, Receive, Scope, Send
from tests.wire.door import Door, shaped

from palaver.errors import Code, Refused, Unavailable
from palaver.wire import problems


async def test_what_is_not_there_and_what_is_not_done_are_problems(door: Door) -> None:
    http = door.http()
    for method, path, status, code in (
        ("GET", "/nowhere", 404, "not_found"),
        ("GET", "/api", 404, "not_found"),
        ("GET", "/api/nowhere/", 404, "not_found"),
        ("GET", "/r", 404, "not_found"),
        ("PUT", "/api/rooms", 405, "method_not_allowed"),
        ("POST", "/health", 405, "method_not_allowed"),
        ("DELETE", "/", 405, "method_not_allowed"),
    ):
        got = await http.request(method, path)
        assert (got.status_code, got.headers["content-type"]) == (status, problems.MEDIA_TYPE)
        problem = shaped(problems.Problem, got.json())
        assert (problem["code"], problem["status"], problem["temporary"]) == (code, status, False)
        if status == 405:
            assert got.headers["allow"]


def test_an_error_becomes_a_document() -> None:
    later = problems.response(Unavailable(Code.TOO_BUSY, "Busy.", retry_ms=1_200))
    assert (later.status_code, later.headers["retry-after"]) == (503, "2")
    assert json.loads(bytes(later.body)) == {
        "type": "about:blank",
        "title": "Service unavailable",
        "status": 503,
        "detail": "Busy.",
        "code": "too_busy",
        "temporary": True,
    }
    assert "www-authenticate" in problems.response(Refused(Code.UNAUTHENTICATED, "Who?")).headers


@pytest.mark.parametrize("error", [ValueError("SELECT secret"), Refused(Code.FORBIDDEN, "No.")])
async def test_what_nobody_caught_is_an_answer_too(error: Exception) -> None:
    async def broken(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001  ASGI's
        raise error

    sent: list[Message] = []

    async def receive() -> Message:
        return await asyncio.Future[Message]()

    async def send(message: Message) -> None:
        sent.append(message)

    await problems.Caught(broken)({"type": "http", "path": "/x"}, receive, send)
    start, body = sent
    assert start["status"] == (403 if isinstance(error, Refused) else 500)
    assert b"SELECT" not in body["body"]
    assert json.loads(body["body"])["code"] in {"internal", "forbidden"}
