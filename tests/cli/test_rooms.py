"""`palaver room list` and `palaver events`, beside a server and without one."""

from pathlib import Path

import pytest
from tests.cli.test_audit import palaver
from tests.wire.door import new_cid, new_room, open_door

from palaver.errors import Code, Refused
from palaver.wire.server.control import asked


async def test_beside_a_server_all_rooms_and_events_are_told_and_nothing_that_was_said(
    tmp_path: Path,
) -> None:
    async with open_door(tmp_path) as door:
        http = door.http()
        await http.post("/api/guests", json={"name": "Ada"})
        room = await new_room(http)
        said = {"cid": new_cid(), "text": "planted words"}
        assert (await http.post(f"/api/rooms/{room}/messages", json=said)).is_success
        await http.patch(f"/api/rooms/{room}", json={"title": "Launch"})
        listed = (await asked(door.settings, {"do": "room.list"}))["rooms"]
        assert [one["title"] for one in listed] == ["Launch", "Lobby"]
        behind = await asked(door.settings, {"do": "room.list", "after": room})
        assert [one["title"] for one in behind["rooms"]] == ["Lobby"]
        untitled = await new_room(http, "")
        assert (await http.delete(f"/api/rooms/{untitled}")).is_success
        gone = await asked(door.settings, {"do": "events", "type": "room.deleted"})
        assert [(it["room"], it["k"]) for it in gone["events"]] == [(untitled, "room.deleted")]
        told = await asked(door.settings, {"do": "events"})
        assert "planted" not in str(told)
        one = await asked(door.settings, {"do": "events", "room": room, "type": "room.renamed"})
        assert [(it["room"], it["k"]) for it in one["events"]] == [(room, "room.renamed")] * 2
        for wrong in ({"room": "r_7"}, {"type": "nothing"}):
            with pytest.raises(Refused) as refused:
                await asked(door.settings, {"do": "events", **wrong})
            assert refused.value.code in {Code.ROOM_NOT_FOUND, Code.BAD_REQUEST}


def test_without_a_server_the_database_is_asked(tmp_path: Path) -> None:
    palaver(tmp_path, "user", "create", "ada")
    assert palaver(tmp_path, "room", "list") == "There are none.\n"
    assert palaver(tmp_path, "events") == "Nothing has happened.\n"
    palaver(tmp_path, "demo")
    rooms = palaver(tmp_path, "room", "list").splitlines()
    assert len(rooms) == 6
    assert all(" events  20" in one for one in rooms)
    events = palaver(tmp_path, "events", "--type", "room.created").splitlines()
    assert len(events) == 6
