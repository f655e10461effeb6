"""What is only passed on, over a model server with other addresses than chat completions."""

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import openai
import pytest
from tests.support.upstream import (
    CUT,
    Head,
    Script,
    ScriptedUpstream,
    Step,
    refuse,
    scripted_upstream,
    whole,
)
from tests.wire.door import Door, open_door
from tests.wire.openai.client import bare_client, client_of

from palaver.model import Scope
from palaver.wire.control import asked
from palaver.wire.openai.passthrough import ACCOUNT, OURS, TALKING


@pytest.fixture(scope="module")
async def anything() -> AsyncIterator[ScriptedUpstream]:
    """A model server that answers everywhere with the next script."""
    async with scripted_upstream(everywhere=True) as upstream:
        yield upstream


@pytest.fixture(scope="module")
async def passing(
    tmp_path_factory: pytest.TempPathFactory, anything: ScriptedUpstream
) -> AsyncIterator[Door]:
    folder = tmp_path_factory.mktemp("passing") / "data"
    async with open_door(
        folder, openai_base_url=anything.base_url, openai_body_bytes_max=3_000_000
    ) as opened:
        yield opened


def binary(*parts: Step) -> Script:
    return (Head(headers={"content-type": "audio/mpeg", "x-request-id": "r5"}), *parts)


async def test_embeddings_go_there_and_back(passing: Door, anything: ScriptedUpstream) -> None:
    embedding = {"object": "embedding", "index": 0, "embedding": [0.5, 1.0]}
    usage = {"prompt_tokens": 1, "total_tokens": 1}
    anything.will(whole({"object": "list", "model": "e", "data": [embedding], "usage": usage}))
    got = await client_of(passing).embeddings.create(model="e", input="hi", encoding_format="float")
    assert got.data[0].embedding == [0.5, 1.0]
    assert anything.requests[-1].path == "/v1/embeddings"
    assert anything.requests[-1].json == {"model": "e", "input": "hi", "encoding_format": "float"}


async def test_bytes_come_as_they_are_and_at_once(
    passing: Door, anything: ScriptedUpstream
) -> None:
    gate = asyncio.Event()
    anything.will(binary(b"\x00\xff\n\n", gate, b"\x01"))
    async with bare_client(passing).stream("POST", "/v1/audio/speech", json={}) as got:
        assert got.headers["content-type"] == "audio/mpeg"
        assert got.headers["x-request-id"] == "r5"
        parts = got.aiter_raw()
        assert await anext(parts) == b"\x00\xff\n\n"
        gate.set()
        assert [part async for part in parts] == [b"\x01"]


async def test_a_large_body_goes_through_and_a_larger_one_does_not(
    passing: Door, anything: ScriptedUpstream
) -> None:
    client = bare_client(passing)
    anything.will(whole({"ok": 1}))
    upload = b"\x00\x01" * 1_000_000
    headers = {"content-type": "multipart/form-data; boundary=x"}
    got = await client.post("/v1/files", content=upload, headers=headers)
    assert got.json() == {"ok": 1}
    assert anything.requests[-1].body == upload
    assert anything.requests[-1].headers["content-type"] == headers["content-type"]
    refused = await client.post("/v1/files", content=upload * 2, headers=headers)
    assert refused.status_code == 413
    assert refused.json()["error"]["code"] == "payload_too_large"


async def test_path_and_query_go_on_as_they_are(passing: Door, anything: ScriptedUpstream) -> None:
    anything.will(whole({}))
    await bare_client(passing).get("/v1/files/a%20b/content?x=1&y=%2F")
    assert (anything.requests[-1].method, anything.requests[-1].path) == (
        "GET",
        "/v1/files/a%20b/content?x=1&y=%2F",
    )


@pytest.mark.parametrize(
    "path",
    [
        "/v1/responses/x/y",
        "/v1/chat/x",
        "/v1/organization/users",
        "/v1/a/%2e%2e/b",
        "/v1/a//b",
        "/v1/",
        "/v1/Organization/users",
        "/v1/v1/chat/completions",
        "/v1/files/",
        "/v1/files/..;/chat/completions",
        "/v1/files/..%2Fchat",
        "/v1/files/..%5Cchat",
        "/v1/files/%252e%252e/chat",
        "/v1/files/%C0%AE%C0%AE/chat",
        "/v1/files/\uff0e\uff0e/chat",
        "/v1/files/a%0D%0Ab",
        "/v1/files/a%3Fb",
        "/v1/files/a%23b",
        "/v1/chat;x/completions",
        "/v1/chat%20/completions",
        "/v1/ch%00at/completions",
    ],
)
async def test_what_is_ours_and_what_is_no_path_is_not_passed_on(
    passing: Door, anything: ScriptedUpstream, path: str
) -> None:
    count = len(anything.requests)
    got = await bare_client(passing).get(path)
    assert got.status_code == 404
    assert got.json()["error"]["type"] == "invalid_request_error"
    assert len(anything.requests) == count


async def status_of(door: Door, target: str, key: str) -> int:
    """The status for a target that no library has put in order."""
    lines = (f"POST {target} HTTP/1.1", f"Host: {door.host}", f"Authorization: Bearer {key}")
    head = "\r\n".join((*lines, "Content-Length: 2", "Connection: close", "", "{}"))
    return int((await door.raw(head.encode())).split(b" ", 2)[1])


def misspelt(word: str, chance: random.Random) -> str:
    """The same, as far as some server may think so."""
    return "".join(
        chance.choice((one, one, one.upper(), f"%{ord(one):02x}", f"%25{ord(one):02x}"))
        for one in word
    )


@pytest.mark.parametrize("seed", range(3))
async def test_no_spelling_leads_a_key_of_embeddings_to_more(
    passing: Door, anything: ScriptedUpstream, seed: int
) -> None:
    chance = random.Random(seed)
    anything.default = whole({})
    wanted = {"do": "key.create", "name": None, "scopes": [Scope.EMBEDDINGS], "as": None}
    key = (await asked(passing.settings, wanted))["token"]
    closed = sorted(OURS | ACCOUNT | TALKING)
    between = ("", ".", "..", "%2e%2e", "%2E.", "..;", ";a=b", "%2f", "%5c", "x", "v1", "files")
    before = len(anything.requests)
    for _ in range(120):
        word = misspelt(chance.choice(closed), chance) + chance.choice(
            ("", "%20", ";x", "%3b", ".")
        )
        parts = (misspelt("v1", chance), *chance.choices(between, k=chance.randrange(3)), word, "x")
        assert await status_of(passing, "/" + "/".join(parts), key) in {400, 403, 404, 405}, parts
    assert [one.path for one in anything.requests[before:]] == []
    for address in ("embeddings", "%65mbeddings", "images/generations", "audio/speech"):
        assert await status_of(passing, f"/%761/{address}", key) == 200
    paths = [one.path for one in anything.requests[before:]]
    assert paths[:2] == ["/v1/embeddings"] * 2, "what was judged is what is asked"


async def test_headers_that_change_what_is_asked_stay_here(
    passing: Door, anything: ScriptedUpstream
) -> None:
    anything.will(whole({}))
    odd = {"x-http-method-override": "DELETE", "x-original-url": "/v1/chat", "x-rewrite-url": "/"}
    kept = {"x-mine": "1", "idempotency-key": "2"}
    headers = httpx2.Headers(odd | kept | {"x-odd": "\xe9"}, encoding="latin-1")
    assert (await bare_client(passing).get("/v1/files", headers=headers)).is_success
    sent = anything.requests[-1].headers
    assert kept.items() <= sent.items()
    assert not {*odd, "x-odd", "transfer-encoding"} & sent.keys()


async def test_a_refusal_comes_with_its_status(passing: Door, anything: ScriptedUpstream) -> None:
    anything.will(refuse(400, {"error": {"message": "no", "type": "t", "param": "p", "code": "c"}}))
    with pytest.raises(openai.BadRequestError) as refused:
        await client_of(passing).embeddings.create(model="e", input="hi")
    assert refused.value.code == "c"
    anything.will(refuse(302, "", location="http://elsewhere.invalid/"))
    got = await bare_client(passing).get("/v1/files")
    assert got.status_code == 502
    assert "location" not in got.headers


async def test_a_body_that_breaks_has_no_clean_end(
    passing: Door, anything: ScriptedUpstream
) -> None:
    anything.will(binary(b"abc", CUT))
    with pytest.raises(httpx2.RemoteProtocolError):
        await bare_client(passing).post("/v1/audio/speech", json={})


async def test_a_client_that_goes_ends_its_call(passing: Door, anything: ScriptedUpstream) -> None:
    anything.hung_up.clear()
    anything.will(binary(b"abc", asyncio.Event()))
    async with bare_client(passing).stream("POST", "/v1/audio/speech", json={}) as got:
        await anext(got.aiter_raw())
    async with asyncio.timeout(90):
        await anything.hung_up.wait()


async def test_without_a_model_server_there_is_nothing_to_pass_to(tmp_path: Path) -> None:
    async with open_door(tmp_path / "data") as door:
        with pytest.raises(openai.NotFoundError) as missing:
            await client_of(door).embeddings.create(model="e", input="hi")
    assert missing.value.code == "not_found"
