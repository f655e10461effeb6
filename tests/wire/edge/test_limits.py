"""The edge: names, origins, bodies, and the headers of every answer."""

import json
from pathlib import Path

import pytest
from tests.wire.door import Door, open_door
from tests.wire.edge.test_protocols import code_of, request, status_of
from websockets.exceptions import InvalidStatus

from palaver.wire.edge.proxies import host_name


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("127.0.0.1:8000", "127.0.0.1"),
        ("LOCALHOST", "localhost"),
        ("[::1]:8000", "::1"),
        ("[::1", ""),
        ("a:b:c", ""),
        ("", ""),
    ],
)
def test_the_name_in_a_host_header(host: str, name: str) -> None:
    assert host_name(host) == name


async def test_only_the_servers_own_names_are_answered(door: Door) -> None:
    http = door.http()
    port = door.host.rpartition(":")[2]
    for host in (f"localhost:{port}", f"[::1]:{port}", "127.0.0.1", "LocalHost"):
        assert (await http.get("/health", headers={"host": host})).status_code == 200, host
    for host in (
        "evil.example",
        f"evil.example:{port}",
        "127.0.0.1.evil.example",
        "192.168.0.9",
        "",
    ):
        got = await http.get("/health", headers={"host": host})
        assert (got.status_code, got.json()["code"]) == (400, "host_refused"), host
    with pytest.raises(InvalidStatus):
        async with door.socket(additional_headers={"host": "evil.example"}):
            pass


async def test_names_and_origins_can_be_allowed(tmp_path: Path) -> None:
    allowed = {"allowed_hosts": "chat.example.org", "allowed_origins": "https://app.example.org"}
    async with open_door(tmp_path, guests="open", **allowed) as door:
        http = door.http()
        got = await http.get("/health", headers={"host": "chat.example.org"})
        assert got.status_code == 200
        headers = {"host": "chat.example.org", "origin": "https://chat.example.org"}
        assert (await http.post("/api/rooms", json={}, headers=headers)).status_code == 201
        headers = {"origin": "https://app.example.org"}
        got = await http.post("/api/guests", json={}, headers=headers)
        assert got.headers["access-control-allow-origin"] == "https://app.example.org"
        headers |= {
            "access-control-request-method": "POST",
            "access-control-request-headers": "authorization,content-type",
        }
        assert (await http.options("/api/rooms", headers=headers)).status_code == 200
        async with door.socket(additional_headers={"origin": "https://app.example.org"}):
            pass


async def test_addresses_are_answered_when_all_of_them_are_listened_on(tmp_path: Path) -> None:
    async with open_door(tmp_path, host="0.0.0.0") as door:
        http = door.http()
        assert (await http.get("/health", headers={"host": "192.168.0.9:1"})).status_code == 200
        assert (await http.get("/health", headers={"host": "evil.example"})).status_code == 400


@pytest.mark.parametrize("method", ["POST", "PATCH", "DELETE", "PUT"])
async def test_a_page_of_another_site_can_change_nothing(door: Door, method: str) -> None:
    http = door.http()
    for origin in ("https://evil.example", "null", "http://127.0.0.1:1", "file://"):
        got = await http.request(method, "/api/rooms", json={}, headers={"origin": origin})
        assert (got.status_code, got.json()["code"]) == (403, "origin_refused"), origin
        assert "set-cookie" not in got.headers
    own = {"origin": door.url}
    assert (await http.post("/api/rooms", json={}, headers=own)).status_code == 201


async def test_a_body_beyond_the_limit_is_refused_however_it_is_sent(tmp_path: Path) -> None:
    async with open_door(tmp_path, text_chars_max=10) as door:
        http = door.http()
        got = await http.post("/api/rooms", json={"title": "x" * 20_000})
        assert (got.status_code, got.json()["code"]) == (413, "payload_too_large")
        head = request(
            door,
            "POST /api/rooms HTTP/1.1",
            "content-type: application/json",
            "transfer-encoding: chunked",
        )
        answer = await door.raw(head + b"4e20\r\n" + b"x" * 20_000 + b"\r\n")
        assert (status_of(answer), code_of(answer)) == (413, "payload_too_large")
        assert (await http.post("/api/rooms", json={"title": "x"})).status_code == 201


async def test_a_body_that_does_not_come_is_not_waited_for(tmp_path: Path) -> None:
    async with open_door(tmp_path, body_seconds=0.3) as door:
        head = request(
            door,
            "POST /api/rooms HTTP/1.1",
            "content-type: application/json",
            "content-length: 1000",
        )
        answer = await door.raw(head + b"{")
        assert (status_of(answer), code_of(answer)) == (408, "request_timeout")


async def test_every_answer_tells_a_browser_to_be_careful(door: Door) -> None:
    http = door.http()
    for path in ("/", "/health", "/api/me", "/nowhere", "/docs"):
        headers = (await http.get(path)).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cross-origin-opener-policy"] == "same-origin"
        assert "server" not in headers
    assert (await http.get("/api/me")).headers["cache-control"] == "no-store"


async def test_what_a_proxy_says_is_not_believed(tmp_path: Path) -> None:
    forged = {"x-forwarded-proto": "https", "x-forwarded-for": "1.2.3.4", "x-user-id": "1"}
    async with open_door(tmp_path, guests="open") as door:
        got = await door.http().get("/api/me", headers=forged)
        assert "Secure" not in got.headers["set-cookie"]


async def test_a_refused_handshake_says_why(door: Door) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with door.socket(additional_headers={"origin": "https://evil.example"}):
            pass
    problem = json.loads(refused.value.response.body or b"")
    assert problem["code"] == "origin_refused"


async def test_a_person_is_told_of_a_refused_address_on_a_page(door: Door) -> None:
    headers = {"host": "evil.example", "sec-fetch-mode": "navigate"}
    got = await door.http().get("/", headers=headers)
    assert got.status_code == 400
    assert "The server does not accept this address. Its log names the setting." in got.text
    assert got.headers["content-type"].startswith("text/html")


async def test_the_log_names_once_what_was_refused_and_the_setting(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with open_door(tmp_path) as door:
        for _ in range(3):
            await door.http().get("/", headers={"host": "chat.example.org"})
            await door.http().post("/api/rooms", headers={"origin": "https://app.example.org"})
    lines = capsys.readouterr().out.splitlines()
    (host,) = [line for line in lines if "chat.example.org" in line]
    (origin,) = [line for line in lines if "https://app.example.org" in line]
    assert "PALAVER_ALLOWED_HOSTS" in host
    assert "PALAVER_ALLOWED_ORIGINS" in origin
    assert "PALAVER_PUBLIC_URL" in host
    assert "PALAVER_PUBLIC_URL" in origin


async def test_a_page_of_another_site_changes_nothing_without_an_origin_either(door: Door) -> None:
    headers = {"sec-fetch-site": "cross-site"}
    got = await door.http().post("/api/rooms", json={}, headers=headers)
    assert (got.status_code, got.json()["code"]) == (403, "origin_refused")
