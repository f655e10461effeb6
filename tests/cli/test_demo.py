"""`palaver demo`, without a server and beside one."""

import json
from pathlib import Path

import pytest
from tests.cli.test_audit import palaver
from tests.wire.door import open_door

from palaver.errors import Code, Refused
from palaver.wire.server.control import asked


def test_it_makes_the_database_too_and_is_taken_away_again(tmp_path: Path) -> None:
    first, _ = palaver(tmp_path, "demo").splitlines()
    assert first.startswith("There are 3 people, 4 agents, 6 chats.")
    assert json.loads(palaver(tmp_path, "demo", "--remove", "--json")) == {"demo": {"rooms": 6}}
    palaver(tmp_path, "demo")
    assert palaver(tmp_path, "demo", "--remove") == "Deleted 6 chats.\n"
    assert palaver(tmp_path, "demo", "--remove") == "There is no demonstration.\n"


def test_without_a_database_nothing_is_removed(tmp_path: Path) -> None:
    with pytest.raises(Refused) as refused:
        palaver(tmp_path / "none", "demo", "--remove")
    assert refused.value.code is Code.DATABASE_MISSING


async def test_a_running_server_makes_it_for_who_is_there(tmp_path: Path) -> None:
    async with open_door(tmp_path) as door:
        _, http = await door.guest()
        assert (await asked(door.settings, {"do": "demo"}))["demo"]["rooms"] == 6
        listed = (await http.get("/api/rooms?open=true&limit=50")).json()["rooms"]
        assert "Weekend in Ghent" in {room["title"] for room in listed}
