"""`palaver session …`, beside a server and without one."""

from pathlib import Path

import pytest
from tests.cli.test_audit import palaver
from tests.wire.api.test_accounts import PASSWORD, sign_up
from tests.wire.door import open_door

from palaver.errors import Code, Refused
from palaver.wire.server.control import asked


async def test_beside_a_server_sessions_are_listed_and_end_at_once(tmp_path: Path) -> None:
    async with open_door(tmp_path, sign_up="open") as door:
        home, away = door.http(), door.http()
        assert (await sign_up(home, "ada")).status_code == 201
        signing = {"handle": "ada", "password": PASSWORD}
        assert (await away.post("/api/sign-in", json=signing)).status_code == 200
        listing = {"do": "session.list", "handle": "Ada"}
        first, second = (await asked(door.settings, listing))["sessions"]
        assert first["address"] == "127.0.0.1"
        ending = {"do": "session.end", "handle": "ada"}
        ended = await asked(door.settings, {**ending, "session": second["id"]})
        assert ended == {"ended": [second["id"]]}
        assert (await away.get("/api/me")).json()["code"] == "session_ended"
        assert (await home.get("/api/me")).json()["handle"] == "ada"
        with pytest.raises(Refused) as refused:
            await asked(door.settings, {**ending, "session": second["id"]})
        assert refused.value.code is Code.NOT_FOUND
        assert await asked(door.settings, ending) == {"ended": [first["id"]]}
        assert (await home.get("/api/me")).json()["code"] == "session_ended"
        told = (await asked(door.settings, {"do": "audit"}))["events"]
        ends = [one for one in told if one["k"] == "session.ended" and one["by"] is None]
        assert [one["d"]["session"] for one in ends] == [second["id"], first["id"]]


def test_without_a_server_the_database_is_asked(tmp_path: Path) -> None:
    palaver(tmp_path, "user", "create", "ada")
    assert palaver(tmp_path, "session", "list", "ada") == "There are none.\n"
    assert palaver(tmp_path, "session", "end", "ada", "--all") == "There are none.\n"
    for wrong in (("ada",), ("ada", "d_1", "--all")):
        with pytest.raises(SystemExit):
            palaver(tmp_path, "session", "end", *wrong)
    for words in (("list", "bo"), ("end", "bo", "--all"), ("end", "ada", "d_1")):
        with pytest.raises(Refused) as refused:
            palaver(tmp_path, "session", *words)
        assert refused.value.code is Code.NOT_FOUND
