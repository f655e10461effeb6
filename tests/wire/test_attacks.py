"""Attacks that go through every door: pages of other sites, secrets that are told on, and sign-ups without end.

The others stand beside what they attack: fixation in tests/wire/api/test_accounts.py, unknown handles in
tests/core/identity/test_accounts.py, forged headers in tests/wire/test_sign_in_by_proxy.py, ids of others in
tests/wire/test_permissions.py, redirects in tests/wire/api/test_elsewhere.py, two setups at once in
tests/wire/test_setup.py.
"""

import asyncio
from pathlib import Path

import pytest
from tests.store.archives import untold
from tests.support.secrets import bytes_below
from tests.wire.door import SETUP, Door, new_owner, new_room, open_door

from palaver.core import maintenance
from palaver.wire.edge.proxies import SAFE_METHODS
from palaver.wire.listing import listing

PASSWORD = "planted correct horse"
FOREIGN = ({"origin": "https://evil.example"}, {"sec-fetch-site": "cross-site"})


async def test_no_unsafe_call_is_taken_from_a_page_of_another_site(door: Door) -> None:
    calls = [
        one
        for one in listing()
        if one.door in {"rest", "classic", "openai", "service"}
        and one.method not in SAFE_METHODS | {"WS", "frame"}
    ]
    assert len(calls) > 50
    http = door.http()
    for one in calls:
        path = one.path.replace("{path:path}", "x").replace("{model:path}", "x")
        for headers in FOREIGN:
            got = await http.request(one.method, path, json={}, headers=headers)
            assert got.status_code == 403, (one.method, one.path, headers, got.text)
            assert "origin_refused" in got.text or "/v1/" in path or one.door == "classic"
            assert "set-cookie" not in got.headers, one.path


async def test_mass_sign_ups_of_one_address_are_bounded_on_every_door(tmp_path: Path) -> None:
    async with open_door(tmp_path, sign_up="open", guests_per_hour=2) as door:
        paths = ("/api/sign-up", "/api/auth/register")
        for number, path in enumerate(paths):
            given = {"handle": f"ada{number}", "email": f"ada{number}", "password": PASSWORD}
            assert (await door.http().post(path, json=given)).is_success, path
        for path in paths:
            given = {"handle": "more", "email": "more", "password": PASSWORD}
            got = await door.http().post(path, json=given)
            assert (got.status_code, "set-cookie" in got.headers) == (429, False), path


async def test_no_secret_stands_in_a_log_an_audit_a_figure_a_list_or_a_backup(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, kept = tmp_path / "data", tmp_path / "kept.db"
    async with open_door(data, setup=SETUP, sign_up="open") as door:
        ada = await new_owner(door)
        guest_token, guest = await door.guest()
        made = await guest.post(
            "/api/sign-up", json={"handle": "bo", "password": PASSWORD, "program": True}
        )
        token = made.json()["token"]
        bo = door.http(headers={"authorization": f"Bearer {token}"})
        room = await new_room(bo)
        who = made.json()["me"]["id"]
        asked = {
            "/api/keys": {"name": "Key"},
            "/api/devices": {},
            f"/api/rooms/{room}/invitations": {},
        }
        told = [(await bo.post(path, json=body)).json() for path, body in asked.items()]
        told.append((await ada.post(f"/api/people/{who}/reset")).json())
        classic = door.http()
        given = {"email": "bo@example.org", "password": PASSWORD}
        entered = (await classic.post("/api/auth/login", json=given)).json()
        wrong = {"handle": "bo", "password": f"{PASSWORD} wrong"}
        assert (await door.http().post("/api/sign-in", json=wrong)).status_code == 401
        links = [one["url"].partition("#")[2] for one in told[1:]]
        secrets = {SETUP, guest_token, token, told[0]["token"], entered["access_token"], *links}
        secrets |= {PASSWORD, ada.cookies["palaver_session"]}
        assert len(secrets) == 10
        assert all(len(secret) > len("secret") for secret in secrets)
        paths = ("/metrics", "/api/audit", "/api/people", "/api/me", "/openapi.json")
        shown = [(await ada.get(path)).text for path in paths]
        shown += [(await bo.get(path)).text for path in ("/api/keys", "/api/me/sessions")]
        await asyncio.to_thread(maintenance.backup, door.settings.url, kept, untold)
        out = "".join([*capsys.readouterr(), *shown])
        assert "/api/sign-in" in out
        assert kept.exists()
        held = bytes_below(tmp_path)
        for secret in secrets:
            assert secret not in out
            assert secret.encode() not in held
