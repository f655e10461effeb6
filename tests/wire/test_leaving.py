"""Leaving for good at a running server: after it no file of the data directory knows who that was.

Also where the server is killed in the middle of it; the next start goes on.
"""

from pathlib import Path

import httpx2
import pytest
from tests.core.identity.test_profiles import PNG
from tests.store.dying import lived
from tests.support.command import palaver
from tests.support.secrets import bytes_below
from tests.support.server import Serve

pytestmark = pytest.mark.slow  # servers

PASSWORD = "correct horse battery"
ADDRESS = "203.0.113.77"
PLANTED = (
    *("plantedhandle", "Planted Name", "Planted Before", "planted@example.org", "Planted/7.7"),
    *(ADDRESS, "planted key", "planted prompt", "planted preference", "planted picture"),
)
ENVIRONMENT = {"PALAVER_SIGN_UP": "open", "PALAVER_TRUSTED_PROXIES": "127.0.0.0/8"}
"""So that an address can be planted."""


def known_in(folder: Path) -> set[str]:
    """What of all that was planted is in any file, as text or as JSON."""
    found = bytes_below(folder)
    return {word for word in PLANTED if word.encode() in found}


async def planted(http: httpx2.AsyncClient) -> None:
    """Makes a person of whom all is known that can be, who has said something."""
    http.headers |= {"user-agent": "Planted/7.7", "x-forwarded-for": ADDRESS}
    steps = (
        ("POST", "/api/sign-up", {"handle": "plantedhandle", "password": PASSWORD}),
        ("PATCH", "/api/me", {"name": "Planted Before"}),
        ("PATCH", "/api/me", {"name": "Planted Name", "email": "planted@example.org"}),
        ("PATCH", "/api/me", {"preferences": {"theme": "planted preference"}}),
        ("POST", "/api/keys", {"name": "planted key"}),
        ("POST", "/api/prompts", {"name": "planted prompt", "text": "planted prompt"}),
    )
    for method, path, body in steps:
        answer = await http.request(method, path, json=body)
        assert answer.status_code in {200, 201}, answer.text
    room = (await http.post("/api/rooms", json={"title": "A room"})).json()["id"]
    picture = await http.put("/api/me/avatar", content=PNG + b"planted picture")
    assert picture.status_code == 200, picture.text
    said = await http.post(
        f"/api/rooms/{room}/messages", json={"text": "a word that stays", "cid": "c-1"}
    )
    assert said.status_code == 201, said.text


async def test_no_file_knows_who_has_left(serve: Serve, tmp_path: Path) -> None:
    server = await serve(environment=ENVIRONMENT)
    async with httpx2.AsyncClient(base_url=server.url, trust_env=False, timeout=90) as http:
        await planted(http)
        before = set(PLANTED) - known_in(server.data)
        assert before <= {ADDRESS, "Planted/7.7"}, "these are noted a minute later"
        assert (await http.request("DELETE", "/api/me", json={"password": "x"})).status_code == 401
        left = await http.request("DELETE", "/api/me", json={"password": PASSWORD})
        assert left.status_code == 204, left.text
    assert known_in(server.data) == set()
    assert b"a word that stays" in bytes_below(server.data)
    copy = tmp_path / "copies" / "copy.db"
    copy.parent.mkdir()
    where = ("--data-dir", str(server.data))
    made = palaver(tmp_path, "backup", str(copy), *where)
    assert made.code == 0, made.err
    await server.term()  # which writes what was noted of sessions
    assert known_in(server.data) == set()
    assert known_in(copy.parent) == set()
    whole = palaver(tmp_path, "verify", *where)
    assert whole.code == 0, whole.out + whole.err
    assert not any(word in server.tail() for word in PLANTED if word != ADDRESS)


@pytest.mark.fault
async def test_who_was_leaving_when_the_process_was_killed_has_left_after_the_next_start(
    serve: Serve, tmp_path: Path
) -> None:
    server = await serve(environment=ENVIRONMENT)
    async with httpx2.AsyncClient(base_url=server.url, trust_env=False, timeout=90) as http:
        await planted(http)
        rooms = [(await http.post("/api/rooms", json={})).json()["id"] for _ in range(101)]
        await server.term()
        where = ("--data-dir", str(server.data), "--yes")
        assert not lived("leave", 2, "user", "delete", "plantedhandle", *where)
        assert known_in(server.data), "the write-ahead log has it"
        await server.start()
        assert known_in(server.data) == set()
        async with httpx2.AsyncClient(base_url=server.url, trust_env=False) as again:
            again.cookies = http.cookies
            ended = await again.get("/api/me")
            assert (ended.status_code, ended.json()["code"]) == (401, "session_ended")
    asked = ("--data-dir", str(server.data), "--json")
    audited = palaver(tmp_path, "audit", *asked)
    assert audited.out.count('"deleted"') == 1, "it was one change"
    await server.term()
    whole = palaver(tmp_path, "verify", *asked[:2])
    assert whole.code == 0, whole.out + whole.err
    assert len(rooms) == 101
