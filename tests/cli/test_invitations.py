"""`palaver invite …`, beside a server and without one."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.cli.test_audit import palaver
from tests.wire.api.test_accounts import sign_up
from tests.wire.door import new_room, open_door

from palaver.errors import Code, Refused
from palaver.wire.server.control import asked


def told(data: Path, *words: str) -> Any:
    return json.loads(palaver(data, *words, "--json"))


def code_of(data: Path, *words: str) -> Code:
    with pytest.raises(Refused) as refused:
        palaver(data, *words)
    return refused.value.code


def test_without_a_server_links_are_made_listed_and_revoked(tmp_path: Path) -> None:
    assert code_of(tmp_path, "invite", "create") is Code.DATABASE_MISSING
    palaver(tmp_path, "user", "create", "bo")
    assert code_of(tmp_path, "invite", "create") is Code.NOT_FOUND, "there is no owner yet"
    palaver(tmp_path, "user", "create", "ada", "--owner")
    assert code_of(tmp_path, "invite", "create", "--as", "bo") is Code.FORBIDDEN
    assert code_of(tmp_path, "invite", "create", "--days", "0") is Code.BAD_REQUEST
    assert code_of(tmp_path, "invite", "create", "--room", f"r_{'0' * 32}") is Code.ROOM_NOT_FOUND
    assert "There are none." in palaver(tmp_path, "invite", "list")
    url, _, line = palaver(tmp_path, "invite", "create", "--uses", "2").splitlines()
    assert "/invite#" in url
    assert "for person  uses left 2  until" in line
    assert line.endswith("by ada")
    made = told(tmp_path, "invite", "create", "--admin", "--as", "ada")["invitation"]
    assert (made["server_role"], made["uses_left"]) == ("admin", None)
    listed = told(tmp_path, "invite", "list")["invitations"]
    assert listed[0]["id"] == made["id"]
    assert len(listed) == 2
    assert url.partition("#")[2] not in palaver(tmp_path, "invite", "list")
    palaver(tmp_path, "invite", "revoke", made["id"])
    assert len(told(tmp_path, "invite", "list")["invitations"]) == 1
    assert code_of(tmp_path, "invite", "revoke", "i_1") is Code.INVITE_NOT_FOUND
    events = told(tmp_path, "audit")["events"]
    assert [one["k"] for one in events if one["by"] is None][-3:] == [
        "invite.created",
        "invite.created",
        "invite.revoked",
    ]


async def test_beside_a_server_a_link_lets_somebody_in(tmp_path: Path) -> None:
    async with open_door(tmp_path) as door:
        _, ada = await door.guest()
        room = await new_room(ada, "Launch")
        creating = {"do": "invite.create", "room": room, "role": "reader"}
        made = await asked(door.settings, creating)
        assert made["invitation"]["rooms"] == [{"id": room, "title": "Launch"}]
        _, bo = await door.guest()
        token = made["url"].partition("#")[2]
        joined = await bo.post("/api/invitations/join", json={"token": token})
        assert joined.json()["room"]["role"] == "reader"
        listing = {"do": "invite.list", "room": room}
        assert len((await asked(door.settings, listing))["invitations"]) == 1
        ending = {"do": "invite.revoke", "room": room, "invitation": made["invitation"]["id"]}
        await asked(door.settings, ending)
        assert (await asked(door.settings, listing))["invitations"] == []

        await asked(door.settings, {"do": "user.create", "handle": "cy", "role": "owner"})
        made = await asked(door.settings, {"do": "invite.create", "uses": 1})
        token = made["url"].partition("#")[2]
        assert (await sign_up(door.http(), "dee", invitation=token)).status_code == 201
        found = await asked(door.settings, {"do": "invite.list"})
        assert found == {"invitations": []}, "it is used up"
