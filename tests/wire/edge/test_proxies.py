"""Behind a reverse proxy: whom a request comes from, under which address, and what nobody may claim."""

import json
import re
from http.cookies import SimpleCookie
from pathlib import Path

import pytest
from tests.wire.door import Door, open_door
from tests.wire.edge.test_protocols import request, status_of

from palaver.errors import Code, Refused
from palaver.settings import settings_from
from palaver.wire.edge.proxies import client_of

PUBLIC = "https://chat.example.org"
HERE = "127.0.0.0/8"


def cookie_of(set_cookie: str) -> tuple[str, str, bool]:
    """A cookie's name, path, and whether it travels by TLS only."""
    ((name, one),) = SimpleCookie(set_cookie).items()
    return name, one["path"], bool(one["secure"])


async def client_seen(
    door: Door, headers: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> str:
    """The address that the access log notes."""
    capsys.readouterr()
    await door.http().get("/health", headers=headers)
    found = re.search(r"client=(\S+)", capsys.readouterr().out)
    assert found is not None
    return found[1]


@pytest.mark.parametrize(
    ("headers", "client"),
    [
        ({"x-forwarded-for": "203.0.113.9"}, "203.0.113.9"),
        ({"x-forwarded-for": "198.51.100.1, 203.0.113.9, 10.0.0.7"}, "203.0.113.9"),
        ({"x-forwarded-for": "203.0.113.9:4711"}, "203.0.113.9"),
        ({"x-forwarded-for": "[2001:db8::9]:4711"}, "2001:db8::9"),
        ({"x-forwarded-for": "2001:db8::9"}, "2001:db8::9"),
        ({"x-forwarded-for": "198.51.100.1, nonsense"}, "127.0.0.1"),
        ({"x-forwarded-for": "10.0.0.7"}, "10.0.0.7"),
        ({"forwarded": 'for=198.51.100.1, for="[2001:db8::9]:1";proto=https'}, "2001:db8::9"),
        ({"forwarded": "for=unknown"}, "127.0.0.1"),
        ({"forwarded": "for=198.51.100.1", "x-forwarded-for": "203.0.113.9"}, "203.0.113.9"),
        ({"via": "1.1 proxy"}, "127.0.0.1"),
    ],
)
async def test_the_client_is_the_right_most_address_that_is_no_trusted_proxys(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], headers: dict[str, str], client: str
) -> None:
    async with open_door(tmp_path, trusted_proxies=f"{HERE}, 10.0.0.0/8", guests="open") as door:
        assert await client_seen(door, headers, capsys) == client


async def test_nobody_else_is_believed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    forged = {"x-forwarded-for": "203.0.113.9", "x-forwarded-host": "evil.example"}
    forged |= {"x-forwarded-proto": "https", "forwarded": "for=203.0.113.9;host=evil.example"}
    for settings in ({"guests": "open"}, {"guests": "open", "trusted_proxies": "10.0.0.7"}):
        async with open_door(tmp_path / str(len(settings)), **settings) as door:
            assert await client_seen(door, forged, capsys) == "127.0.0.1"
            got = await door.http().get("/api/me", headers=forged)
            assert cookie_of(got.headers["set-cookie"]) == ("palaver_session", "/", False)


async def test_a_trusted_proxy_says_scheme_and_host(tmp_path: Path) -> None:
    async with open_door(
        tmp_path, trusted_proxies=HERE, allowed_hosts="chat.example.org", guests="open"
    ) as door:
        passed = {"x-forwarded-host": "chat.example.org", "x-forwarded-proto": "https"}
        got = await door.http().get("/api/me", headers=passed)
        assert cookie_of(got.headers["set-cookie"]) == ("__Host-palaver_session", "/", True)
        told = {"forwarded": 'host="chat.example.org";proto=https'}
        for headers in (passed, told):
            for origin, status in ((PUBLIC, 201), ("http://chat.example.org", 403)):
                sent = headers | {"origin": origin}
                got = await door.http().post("/api/rooms", json={}, headers=sent)
                assert got.status_code == status, (headers, origin)
        got = await door.http().get("/health", headers={"x-forwarded-host": "evil.example"})
        assert got.json()["code"] == "host_refused"


async def test_the_public_url_decides_what_a_proxy_does_not_say(tmp_path: Path) -> None:
    async with open_door(tmp_path, public_url=f"{PUBLIC}/", guests="open") as door:
        for headers in ({"host": "chat.example.org"}, {"via": "1.1 proxy"}):
            got = await door.http().get("/api/me", headers=headers)
            cookie = cookie_of(got.headers["set-cookie"])
            assert cookie == ("__Host-palaver_session", "/", True), headers
            for origin, status in ((PUBLIC, 201), ("http://chat.example.org", 403)):
                sent = headers | {"origin": origin}
                got = await door.http().post("/api/rooms", json={}, headers=sent)
                assert got.status_code == status, (headers, origin)
        got = await door.http().get("/api/me")
        assert cookie_of(got.headers["set-cookie"]) == ("palaver_session", "/", False)


@pytest.mark.parametrize("stripped", [True, False], ids=["stripped", "whole"])
async def test_the_path_of_the_public_url_is_taken_off_unless_the_proxy_did(
    tmp_path: Path, *, stripped: bool
) -> None:
    path = "" if stripped else "/chat"
    async with open_door(tmp_path, public_url=f"{PUBLIC}/chat", guests="open") as door:
        http = door.http(headers={"host": "chat.example.org"})
        got = await http.get(f"{path}/api/me")
        cookie = cookie_of(got.headers["set-cookie"])
        assert cookie == ("__Secure-palaver_session", "/chat/", True)
        token, _ = await door.guest()
        async with door.socket(f"{path}/ws") as socket:
            await socket.send(json.dumps({"t": "hello", "v": 1, "token": token}))
            assert '"welcome"' in str(await socket.recv())
        assert (await http.get(f"{path}/v1/models")).status_code == 401
        assert (await http.get(f"{path}/docs")).status_code == 200
        assert (await door.http().get("/api/me")).status_code == 200, "and without it, from here"


async def test_the_older_names_of_the_cookie_are_read_and_the_stronger_one_wins(
    tmp_path: Path,
) -> None:
    async with open_door(tmp_path, public_url=PUBLIC, guests="open") as door:
        (one, first), (other, second) = await door.guest(), await door.guest()
        ids = [(await http.get("/api/me")).json()["id"] for http in (first, second)]
        for cookie, id_ in (
            (f"palaver_session={one}", ids[0]),
            (f"palaver_session={one}; __Host-palaver_session={other}", ids[1]),
            (f"__Host-palaver_session={other}; palaver_session={one}", ids[1]),
            (f"palaver_session={one}; __Secure-palaver_session={other}", ids[1]),
        ):
            got = await door.http().get("/api/me", headers={"cookie": cookie})
            assert got.json()["id"] == id_, cookie


@pytest.mark.parametrize(
    "trace",
    [
        "Via: 1.1 proxy",
        "Forwarded: for=127.0.0.1",
        "X-Forwarded-For: 127.0.0.1",
        "X-Forwarded-Proto: http",
        "X-Forwarded-Host: 127.0.0.1",
        "X-Real-IP: 127.0.0.1",
        "CF-Connecting-IP: 127.0.0.1",
        "CF-Ray: 1",
        "CDN-Loop: cloudflare",
        "True-Client-IP: 127.0.0.1",
        "Fly-Client-IP: 127.0.0.1",
        "X-Amzn-Trace-Id: 1",
        "X-Varnish: 32770",
        "Surrogate-Capability: key=ESI/1.0",
        "WL-Proxy-Client-IP: 127.0.0.1",
        "Sec-Fetch-Site: cross-site",
    ],
)
async def test_what_any_proxy_passed_on_is_not_from_this_machine(door: Door, trace: str) -> None:
    name, _, value = trace.partition(": ")
    http = door.http()
    assert (await http.get("/v1/models")).status_code == 200
    assert (await http.get("/v1/models", headers={name: value})).status_code == 401


async def test_http_1_0_is_what_proxies_speak(door: Door) -> None:
    answer = await door.raw(f"GET /v1/models HTTP/1.0\r\nhost: {door.host}\r\n\r\n".encode())
    assert status_of(answer) == 401


async def test_behind_a_public_url_nobody_is_local(tmp_path: Path) -> None:
    async with open_door(tmp_path, public_url=PUBLIC, guests="open") as door:
        assert (await door.http().get("/v1/models")).status_code == 401


@pytest.mark.parametrize("name", ["Authorization", "Content-Type", "Sec-Fetch-Site"])
async def test_two_headers_that_decide_something_are_refused(door: Door, name: str) -> None:
    for path in ("/api/me", "/v1/models"):
        twice = (f"{name}: Bearer a", f"{name}: Bearer b", "Connection: close")
        head = request(door, f"GET {path} HTTP/1.1", *twice)
        assert status_of(await door.raw(head)) == 400, path


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1:evil", "127.0.0.1:99999", "127.0.0.1:", "127.0.0.1:80:80", "a@127.0.0.1", "[::1"],
)
async def test_what_cannot_be_a_host_is_refused(door: Door, host: str) -> None:
    got = await door.http().get("/health", headers={"host": host})
    assert (got.status_code, got.json()["code"]) == (400, "host_refused")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("public_url", "chat.example.org"),
        ("public_url", "https://chat.example.org?x"),
        ("public_url", "https://ada@chat.example.org"),
        ("public_url", "https://chat.example.org/api"),
        ("public_url", "https://chat.example.org/a b"),
        ("public_url", "https://chat.example.org/a/.."),
        ("public_url", "https://chat.example.org:99999"),
        ("trusted_proxies", "proxy.example.org"),
    ],
)
def test_an_address_that_cannot_be_one_is_refused_at_the_start(name: str, value: str) -> None:
    with pytest.raises(Refused) as refused:
        settings_from(**{name: value})
    assert refused.value.code is Code.SETTINGS_INVALID
    assert name.upper() in refused.value.detail


def test_a_household_is_one_client() -> None:
    assert client_of("2001:db8::1") == client_of("2001:db8::ffff") == "2001:db8::/64"
    assert client_of("::ffff:203.0.113.9") == client_of("203.0.113.9")
    assert client_of("203.0.113.9") != client_of("203.0.113.8")
