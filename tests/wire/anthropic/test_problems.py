"""Errors in this API's shape, wherever they are noticed."""

from pathlib import Path
from typing import Any

import pytest
from tests.support.upstream import refuse, scripted_upstream
from tests.wire.anthropic.client import MESSAGES, asked, bare_client, user
from tests.wire.door import open_door

from palaver.errors import Code, PalaverError, ProviderError, Refused, Unavailable
from palaver.wire.anthropic import problems


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (Refused(Code.BAD_REQUEST, "x"), 400, "invalid_request_error"),
        (Refused(Code.UNAUTHENTICATED, "x"), 401, "authentication_error"),
        (Refused(Code.FORBIDDEN, "x"), 403, "permission_error"),
        (Refused(Code.ROOM_NOT_FOUND, "x"), 404, "not_found_error"),
        (Refused(Code.PAYLOAD_TOO_LARGE, "x"), 413, "request_too_large"),
        (Unavailable(Code.RATE_LIMITED, "x"), 429, "rate_limit_error"),
        (Unavailable(Code.INTERNAL, "x"), 500, "api_error"),
        (Unavailable(Code.DATABASE_UNAVAILABLE, "x"), 529, "overloaded_error"),
        (Unavailable(Code.DATABASE_FULL, "x"), 529, "overloaded_error"),
        (Unavailable(Code.TOO_BUSY, "x"), 529, "overloaded_error"),
        (ProviderError(Code.PROVIDER_TIMEOUT, "x"), 504, "timeout_error"),
        (ProviderError(Code.PROVIDER_UNREACHABLE, "x"), 502, "api_error"),
        (problems.untellable("A block"), 400, "invalid_request_error"),
    ],
)
def test_each_error_has_the_status_and_type_that_clients_know(
    error: PalaverError, status: int, kind: str
) -> None:
    assert problems.status_of(error) == status
    assert problems.told(status, "x")["error"] == {"type": kind, "message": "x"}


async def test_keys_are_asked_for_and_told_apart(tmp_path: Path) -> None:
    async with open_door(tmp_path, openai_keys="required") as door:
        client = door.http()
        for headers in ({}, {"x-api-key": "sk-other"}, {"x-api-key": "plv_none"}):
            got = await client.post(MESSAGES, json=asked(user("Hi.")), headers=headers)
            body = got.json()
            assert (got.status_code, body["error"]["type"]) == (401, "authentication_error")
            assert body["request_id"] == got.headers["request-id"]


async def test_what_the_edge_refuses_has_this_shape_too(tmp_path: Path) -> None:
    async with open_door(tmp_path, openai_body_bytes_max=1_024) as door:
        client = bare_client(door)
        big = await client.post(MESSAGES, json=asked(user("x" * 2_000)))
        torn = await client.post(MESSAGES, content=b"{")
        there = await client.post("/v1/chat/completions", content=b"{")
    told = [(got.status_code, got.json()["error"]["type"]) for got in (big, torn)]
    assert told == [
        (413, "request_too_large"),
        (400, "invalid_request_error"),
    ]
    assert there.json()["error"].keys() == {"message", "type", "param", "code"}


async def test_a_key_of_ours_speaks_for_its_person_as_x_api_key(tmp_path: Path) -> None:
    async with open_door(tmp_path, openai_keys="required") as door:
        _, person = await door.guest()
        made = await person.post("/api/keys", json={"name": "A program", "scopes": ["chat"]})
        token: str = made.json()["token"]
        got = await door.http().post(
            MESSAGES, json=asked(user("Hi."), model="default"), headers={"x-api-key": token}
        )
        assert got.status_code == 200, got.text
        assert got.json()["content"][0]["type"] == "text"
        room = got.headers["x-palaver-room"]
        assert (await person.get(f"/api/rooms/{room}")).status_code == 200
        assert (await door.http().get(f"/api/rooms/{room}")).status_code in {401, 404}


SHAPE = {"type", "error", "request_id"}


async def test_whatever_is_refused_at_its_addresses_has_this_shape(tmp_path: Path) -> None:
    """Also what the model server refuses of a request that is passed on, and a model's name."""
    claude = {"anthropic-version": "2023-06-01"}
    async with (
        scripted_upstream(everywhere=True) as models,
        open_door(tmp_path, openai_base_url=models.base_url) as door,
    ):
        client = bare_client(door)

        async def told(method: str, path: str, **more: Any) -> tuple[int, str]:
            got = await client.request(method, path, **more)
            body = got.json()
            assert body.keys() == SHAPE, (path, got.text)
            assert body["request_id"] == got.headers["request-id"]
            assert body["error"].keys() == {"type", "message"}
            return got.status_code, body["error"]["type"]

        missing = (404, "not_found_error")
        for script in (
            refuse(404, "404 page not found"),
            refuse(404, "<html>nothing</html>"),
            refuse(404, {"error": {"message": "no", "type": "x", "param": None, "code": None}}),
        ):
            models.default = models.models_script = script
            assert await told("GET", "/v1/messages/batches") == missing
            assert await told("POST", "/v1/messages/batches", json={"requests": []}) == missing
            assert await told("GET", "/v1/messages/batches/b_1/results") == missing
            assert await told("DELETE", "/v1/messages/batches/b_1") == missing
        models.default = models.models_script = refuse(405, "no")
        assert await told("GET", "/v1/messages") == (405, "invalid_request_error")
        assert await told("PUT", "/v1/messages/count_tokens") == (405, "invalid_request_error")
        models.default = models.models_script = refuse(429, {"message": "slow down"})
        assert await told("GET", "/v1/messages/batches") == (429, "rate_limit_error")
        assert await told("GET", "/v1/models", headers=claude) == (429, "rate_limit_error")
        models.default = models.models_script = refuse(
            302, "", location="http://elsewhere.example/"
        )
        assert await told("GET", "/v1/models/m", headers=claude) == (502, "api_error")
        assert await told("PROPFIND", "/v1/messages/batches") == (405, "invalid_request_error")
        models.models_script = None
        assert await told("GET", "/v1/models/other", headers=claude) == missing
        assert await told("GET", "/v1/messages/a;b") == missing
        theirs = {"type": "error", "error": {"type": "not_found_error", "message": "theirs"}}
        models.default = models.models_script = refuse(404, theirs)
        assert (await client.get("/v1/messages/batches")).json() == theirs
        models.default = models.models_script = refuse(404, "404 page not found")
        there = await client.get("/v1/batches")
        assert there.json()["error"].keys() == {"message", "type", "param", "code"}
