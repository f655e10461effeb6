"""What is only passed on, over a model server with other addresses than chat completions."""

import asyncio
import random
from base64 import b64encode
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import openai
import pytest
from tests.support.upstream import (
    CUT,
    Endless,
    Head,
    Script,
    ScriptedUpstream,
    Step,
    event,
    refuse,
    scripted_upstream,
    stream,
    whole,
)
from tests.wire.door import Door, open_door
from tests.wire.openai.client import CHAT, HI, bare_client, client_of

from palaver.model import Scope
from palaver.wire.openai.proxy import ACCOUNT, OURS, TALKING
from palaver.wire.server.control import asked


@pytest.fixture(scope="module")
async def anything() -> AsyncIterator[ScriptedUpstream]:
    """A model server that answers everywhere with the next script."""
    async with scripted_upstream(everywhere=True) as upstream:
        yield upstream


KEY = "sk-the-operators-0123456789"


@pytest.fixture(scope="module")
async def passing(
    tmp_path_factory: pytest.TempPathFactory, anything: ScriptedUpstream
) -> AsyncIterator[Door]:
    folder = tmp_path_factory.mktemp("passing") / "data"
    async with open_door(
        folder,
        openai_base_url=anything.base_url,
        openai_api_key=KEY,
        openai_body_bytes_max=3_000_000,
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


OTHERS: list[tuple[str, str, dict[str, object] | None]] = [
    ("POST", "moderations", {"input": "hi"}),
    ("POST", "images/generations", {"prompt": "a hat"}),
    ("POST", "audio/transcriptions", {"file": "…"}),
    ("POST", "uploads", {"purpose": "assistants"}),
    ("GET", "files?limit=2", None),
    ("GET", "files/file-1/content", None),
    ("DELETE", "files/file-1", None),
    ("DELETE", "models/ft:small:us::1", None),
    ("DELETE", "models/us/tuned", None),
]


@pytest.mark.parametrize(("method", "path", "body"), OTHERS)
async def test_what_only_the_model_server_does_goes_there_and_back(
    passing: Door,
    anything: ScriptedUpstream,
    method: str,
    path: str,
    body: dict[str, object] | None,
) -> None:
    anything.will(whole({"of": "theirs"}))
    got = await bare_client(passing).request(method, f"/v1/{path}", json=body)
    assert (got.status_code, got.json()) == (200, {"of": "theirs"})
    sent = anything.requests[-1]
    assert (sent.method, sent.path) == (method, f"/v1/{path}")
    assert body is None or sent.json == body


async def test_no_agent_and_no_account_is_deleted_as_a_model(
    passing: Door, anything: ScriptedUpstream
) -> None:
    there = len(anything.requests)
    client = bare_client(passing)
    for name, status in (("assistant", 403), ("us/keys", 404), ("a%2Fb", 404)):
        got = await client.delete(f"/v1/models/{name}")
        assert (name, got.status_code) == (name, status)
    assert [one.method for one in anything.requests[there:]].count("DELETE") == 0


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
        "/v1/team/new",
        "/v1/api/delete",
        "/v1/load_lora_adapter",
        "/v1/fine_tuning/checkpoints/x/permissions",
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


async def new_key(door: Door) -> str:
    """A key that is good for what is only passed on."""
    wanted = {"do": "key.create", "name": None, "scopes": [Scope.EMBEDDINGS], "as": None}
    return (await asked(door.settings, wanted))["token"]


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
    key = await new_key(passing)
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
    client = bare_client(passing, await new_key(passing))  # what a proxy may have made needs one
    assert (await client.get("/v1/files", headers=headers)).is_success
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


def echoes() -> list[tuple[str, dict[str, object] | None, Script]]:
    """Addresses, bodies, and what a model server answers there that holds its own key."""
    error = {"error": {"message": f"Incorrect API key: {KEY}", "code": "invalid_api_key"}}
    packed = b64encode(f"Bearer {KEY}".encode()).decode()
    chat: dict[str, object] = {"model": "m", "messages": HI, "store": False}
    asks: dict[str, object] = {"model": "m", "input": "hi", "stream": True}
    return [
        ("/v1/embeddings", {}, refuse(401, error, x_echo=f"Bearer {KEY}", x_request_id="r")),
        ("/v1/embeddings", {}, refuse(500, f"no: authorization=Bearer%20{KEY} {packed}")),
        ("/v1/embeddings", {}, whole(error)),
        ("/v1/audio/speech", {}, stream(event({"type": "error"} | error))),
        ("/v1/models", None, refuse(403, error)),
        (CHAT, chat, refuse(400, error)),
        (CHAT, chat, whole(error)),
        (CHAT, chat | {"stream": True}, stream("a", event(error))),
        (CHAT, chat | {"stream": True}, stream("a", f"event: error\ndata: {KEY}\n\n".encode())),
        ("/v1/responses", asks, refuse(400, error)),
        ("/v1/responses", asks, stream(event({"type": "error"} | error))),
    ]


@pytest.mark.parametrize("case", range(len(echoes())))
async def test_the_model_servers_key_reaches_nobody_who_is_told_of_an_error(
    passing: Door, anything: ScriptedUpstream, case: int, capfd: pytest.CaptureFixture[str]
) -> None:
    path, body, script = echoes()[case]
    anything.default = anything.models_script = script
    client = bare_client(passing)
    told = b""
    try:
        async with client.stream("GET" if body is None else "POST", path, json=body) as got:
            told = repr(got.headers).encode()
            async for part in got.aiter_raw():
                told += part
    except httpx2.RemoteProtocolError:
        pass  # the stream broke, as it should
    anything.models_script = None
    assert told
    hidden = b64encode(f"Bearer {KEY}".encode())[:30]
    assert KEY.encode() not in told
    assert hidden not in told
    for file in passing.settings.data_dir.rglob("*"):
        assert not file.is_file() or KEY.encode() not in file.read_bytes(), file
    printed = capfd.readouterr()
    assert KEY not in printed.out + printed.err


@pytest.mark.parametrize("status", [600, 999])
async def test_a_status_that_is_none_is_a_bad_gateway(
    passing: Door, anything: ScriptedUpstream, status: int
) -> None:
    anything.default = refuse(status, "odd")
    for path in ("/v1/embeddings", "/v1/audio/speech"):
        got = await bare_client(passing).post(path, json={})
        assert (got.status_code, got.json()["error"]["code"]) == (502, "provider_bad_reply")


async def test_a_list_of_models_without_end_is_not_read(
    passing: Door, anything: ScriptedUpstream
) -> None:
    head = Head(headers={"content-type": "application/json"})
    anything.models_script = (head, Endless(b" " * 65_536))
    got = await bare_client(passing).get("/v1/models")
    anything.models_script = None
    assert (got.status_code, got.json()["error"]["code"]) == (502, "provider_bad_reply")


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
