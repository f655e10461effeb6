"""What a model server says below `/v1` is data for programs, and never a page of this server."""

from collections.abc import AsyncIterator

import pytest
from tests.support.upstream import Head, ScriptedUpstream, refuse, scripted_upstream
from tests.wire.door import Door, open_door
from tests.wire.openai.client import CHAT, HI, bare_client

from palaver.wire.server.control import asked

SANDBOX = "sandbox; default-src 'none'"


@pytest.fixture(scope="module")
async def hostile() -> AsyncIterator[ScriptedUpstream]:
    """A model server that answers everywhere with the next script."""
    async with scripted_upstream(everywhere=True) as upstream:
        yield upstream


@pytest.fixture(scope="module")
async def guarding(
    tmp_path_factory: pytest.TempPathFactory, hostile: ScriptedUpstream
) -> AsyncIterator[Door]:
    folder = tmp_path_factory.mktemp("guarding") / "data"
    async with open_door(folder, openai_base_url=hostile.base_url) as opened:
        yield opened


@pytest.mark.parametrize(
    ("headers", "disposition"),
    [
        ({"content-type": "text/html"}, "attachment"),
        ({"content-type": "text/html", "content-disposition": "inline"}, "attachment"),
        (
            {"content-type": "text/plain", "content-disposition": "attachment; filename=a"},
            "attachment; filename=a",
        ),
        ({"content-type": "image/svg+xml"}, "attachment"),
        ({"content-type": "IMAGE/SVG+XML"}, "attachment"),
        ({"content-type": "application/xhtml+xml"}, "attachment"),
        ({"content-type": "text/javascript"}, "attachment"),
        ({"content-type": "application/json, text/html"}, "attachment"),
        ({"content-type": "application/json;a=b, text/html"}, "attachment"),
        ({}, "attachment"),
        ({"content-type": "application/json; charset=utf-8"}, None),
        ({"content-type": "text/event-stream"}, None),
        ({"content-type": "audio/mpeg"}, None),
        ({"content-type": "image/png"}, None),
    ],
)
async def test_only_data_sound_and_pictures_are_more_than_a_file(
    guarding: Door, hostile: ScriptedUpstream, headers: dict[str, str], disposition: str | None
) -> None:
    hostile.will((Head(headers=headers), b"<script>run()</script>"))
    got = await bare_client(guarding).get("/v1/files/x/content")
    assert got.status_code == 200
    assert got.headers.get("content-disposition") == disposition
    assert got.headers["content-security-policy"] == SANDBOX
    assert got.headers["x-content-type-options"] == "nosniff"


async def test_everything_below_v1_is_guarded(guarding: Door, hostile: ScriptedUpstream) -> None:
    client = bare_client(guarding)
    hostile.will(refuse(500, "<script>run()</script>"))
    found = [await client.post("/v1/embeddings", json={})]
    found += [await client.get("/v1/models"), await client.get("/v1/conversations/no")]
    found += [await client.post(CHAT, json={"model": "m", "messages": HI, "stream": True})]
    found += [await client.get("/v1/models", headers={"host": "evil.example"})]
    found += [await client.post(CHAT, content=b"{}", headers={"origin": "https://evil.example"})]
    for got in found:
        assert got.headers.get_list("content-security-policy") == [SANDBOX], got.request.url
        assert got.headers["content-type"].startswith(("application/json", "text/event-stream"))
    page = await client.get("/health")
    assert page.headers["content-security-policy"] != SANDBOX


async def test_what_a_model_server_sets_for_browsers_and_proxies_is_kept_back(
    guarding: Door, hostile: ScriptedUpstream
) -> None:
    told = {
        "content-type": "image/png",
        "x-request-id": "r1",
        "x-ratelimit-remaining-tokens": "5",
        "etag": '"e"',
    }
    kept_back = {
        "x-palaver-room": "r_evil",
        "set-cookie": "palaver=evil",
        "access-control-allow-origin": "*",
        "access-control-allow-credentials": "true",
        "strict-transport-security": "max-age=1",
        "clear-site-data": '"*"',
        "refresh": "0; url=https://evil.example",
        "link": "</evil.css>; rel=stylesheet",
        "location": "https://evil.example",
        "alt-svc": 'h2="evil.example:443"',
        "report-to": "{}",
        "nel": "{}",
        "service-worker-allowed": "/",
        "sourcemap": "https://evil.example",
        "x-accel-redirect": "/etc/passwd",
        "x-sendfile": "/etc/passwd",
        "x-frame-options": "ALLOWALL",
        "speculation-rules": '"/evil"',
        "x-odd": "\xe9",
    }
    own = {"content-security-policy": "script-src *", "cache-control": "public, max-age=9"}
    hostile.will((Head(headers=told | kept_back | own), b"x"))
    got = await bare_client(guarding).get("/v1/images/x")
    assert told.items() <= dict(got.headers).items()
    assert not kept_back.keys() & got.headers.keys()
    assert got.headers["content-security-policy"] == SANDBOX
    assert got.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "headers",
    [
        *(
            {"sec-fetch-dest": dest}
            for dest in (
                *("document", "iframe", "frame", "script", "style", "object", "embed", "worker"),
                *("sharedworker", "serviceworker", "manifest", "xslt", "json", "font", "report"),
            )
        ),
        {"sec-fetch-dest": "empty", "sec-fetch-mode": "navigate"},
        {"service-worker": "script"},
        {"sec-fetch-dest": "image", "sec-fetch-mode": "no-cors", "sec-fetch-site": "cross-site"},
        {"sec-fetch-dest": "empty", "sec-fetch-mode": "no-cors", "sec-fetch-site": "same-site"},
    ],
)
async def test_a_browser_cannot_open_or_run_what_is_there(
    guarding: Door, hostile: ScriptedUpstream, headers: dict[str, str]
) -> None:
    count = len(hostile.requests)
    for path in ("/v1/files/x", "/v1/models"):
        got = await bare_client(guarding).get(path, headers=headers)
        assert (got.status_code, got.json()["error"]["code"]) == (403, "forbidden")
    assert len(hostile.requests) == count, "nobody was asked"


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-dest": "empty", "sec-fetch-mode": "cors", "sec-fetch-site": "cross-site"},
        {"sec-fetch-dest": "image", "sec-fetch-mode": "no-cors", "sec-fetch-site": "same-origin"},
        {"sec-fetch-dest": "audio"},
    ],
)
async def test_programs_in_pages_may_ask(guarding: Door, headers: dict[str, str]) -> None:
    wanted = {"do": "key.create", "name": None, "scopes": ["all"], "as": None}
    key = (await asked(guarding.settings, wanted))["token"]
    assert (await bare_client(guarding, key).get("/v1/models", headers=headers)).is_success
