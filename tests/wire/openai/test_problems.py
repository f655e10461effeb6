import asyncio
import json
from contextlib import suppress
from typing import Any

import httpx2
import pytest
from tests.support.server import Serve
from tests.support.upstream import ScriptedUpstream, stream
from tests.wire.openai.client import HI

from palaver.core.answers.tape import RESTARTING
from palaver.errors import Code, PalaverError, ProviderError, Refused, Unavailable
from palaver.wire.openai.fields import Invalid
from palaver.wire.openai.problems import document, response, wrapped

FOUR = {"message", "type", "param", "code"}


@pytest.mark.parametrize(
    ("error", "status", "kind", "code"),
    [
        (Invalid("No.", "model", "reason"), 400, "invalid_request_error", "reason"),
        (Refused(Code.ROOM_NOT_FOUND, "No."), 404, "invalid_request_error", "room_not_found"),
        (Refused(Code.UNAUTHENTICATED, "No."), 401, "authentication_error", "invalid_api_key"),
        (Refused(Code.FORBIDDEN, "No."), 403, "permission_error", "forbidden"),
        (Unavailable(Code.RATE_LIMITED, "No."), 429, "rate_limit_error", "rate_limited"),
        (
            Unavailable(Code.DATABASE_UNAVAILABLE, "No."),
            503,
            "server_error",
            "database_unavailable",
        ),
        (ProviderError(Code.PROVIDER_CUT, "No."), 502, "server_error", "provider_cut"),
        (ProviderError(Code.PROVIDER_TIMEOUT, "No."), 504, "server_error", "provider_timeout"),
    ],
)
def test_every_error_has_the_apis_shape_and_a_fitting_status(
    error: PalaverError, status: int, kind: str, code: str
) -> None:
    answer = response(error)
    told = json.loads(bytes(answer.body))["error"]
    assert told.keys() == FOUR
    assert (answer.status_code, told["type"], told["code"]) == (status, kind, code)
    assert told == document(error)["error"]


def test_when_to_ask_again_and_whether_stands_in_the_headers() -> None:
    busy = response(Unavailable(Code.TOO_BUSY, "No.", retry_ms=1_500)).headers
    assert (busy["retry-after"], busy["retry-after-ms"]) == ("2", "1500")
    lasting = response(ProviderError(Code.PROVIDER_AUTH, "No.", temporary=False)).headers
    assert lasting["x-should-retry"] == "false"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"it burns", "it burns"),
        (b"<html>", "The model server answered with status 500."),
        (b"", "The model server answered with status 500."),
        (b'{"detail": "x"}', '{"detail": "x"}'),
        (b"\xff", "\ufffd"),
    ],
)
def test_what_has_another_shape_is_put_into_it(body: bytes, message: str) -> None:
    told: Any = json.loads(wrapped(500, body))["error"]
    assert told.keys() == FOUR
    assert told["message"] == message


def test_what_has_the_shape_stays_as_it_is() -> None:
    body = b'{ "error":  "x" }'
    assert wrapped(500, body) == body


async def test_a_stop_of_the_server_in_mid_answer_says_so(
    serve: Serve, models: ScriptedUpstream
) -> None:
    environment = {"OPENAI_BASE_URL": models.base_url, "PALAVER_STOP_SECONDS": "2"}
    server = await serve(environment=environment)
    began = len(models.asked)
    models.will(*[stream("one ", asyncio.Event())] * 5)
    chat = {"model": "m", "messages": HI}
    asked: list[tuple[str, dict[str, Any]]] = [
        ("chat/completions", {**chat, "stream": True}),
        ("chat/completions", chat),
        ("responses", {"model": "m", "input": "hi", "stream": True}),
        ("responses", {"model": "m", "input": "hi"}),
        ("responses", {"model": "m", "input": "hi", "store": False}),
    ]
    async with httpx2.AsyncClient(base_url=f"{server.url}/v1/", timeout=30) as client:
        got: list[httpx2.Response] = []

        async def ask(path: str, body: dict[str, Any]) -> bytes:
            told = b""
            with suppress(httpx2.RemoteProtocolError):  # a stream without an end
                async with client.stream("POST", path, json=body) as answer:
                    got.append(answer)
                    async for part in answer.aiter_bytes():
                        told += part
            return told

        async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
            asking = [tasks.create_task(ask(path, body)) for path, body in asked]
            await models.arrived(began + len(asked))
            await server.term()
    said = [one.result().decode() for one in asking]
    for words in said:
        assert RESTARTING in words
        assert "model server" not in words
        assert "127.0.0.1" not in words
    assert b"data: [DONE]" not in said[0].encode()
    assert '"code":"shutting_down"' in said[0]
    failed = json.loads(said[2].rsplit("event: response.failed\ndata: ")[1].splitlines()[0])
    assert failed["response"]["error"] == {"code": "server_error", "message": RESTARTING}
    refused = [one for one in got if one.status_code != 200]
    assert [one.status_code for one in refused] == [503] * 3
    assert all(int(one.headers["retry-after"]) >= 1 for one in refused)
