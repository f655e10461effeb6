"""The control socket of a running server."""

import asyncio
import json
import sqlite3
import stat
from base64 import b64decode, b64encode
from contextlib import closing
from pathlib import Path

import pytest
from tests.cards.test_characters import V3
from tests.cards.test_png import card, chunk, picture
from tests.support.upstream import scripted_upstream
from tests.wire.door import Door, Json, open_door, serving, settings_for

from palaver.core.profiles import Given
from palaver.errors import Code, Refused
from palaver.settings import settings_from
from palaver.wire.server.control import LINE_BYTES_MAX, asked
from palaver.wire.server.note import socket_of

CREATE: Json = {"do": "key.create", "name": "Laptop", "scopes": [], "as": None}
LIST: Json = {"do": "key.list", "after": None}


async def told(door: Door, line: bytes) -> Json:
    """What the socket itself answers."""
    path = socket_of(door.settings)
    assert path is not None
    reader, writer = await asyncio.open_unix_connection(path)
    try:
        writer.write(line)
        return json.loads(await reader.readline())
    finally:
        writer.close()


async def test_a_key_is_made_and_ended_through_the_server(door: Door) -> None:
    made = await asked(door.settings, CREATE)
    assert made["token"].startswith("plv_")
    listed = (await asked(door.settings, LIST))["keys"]
    assert made["key"] in listed
    assert made["token"] not in json.dumps(listed)
    request = {"do": "key.revoke", "key": made["key"]["id"]}
    assert (await asked(door.settings, request))["key"]["revoked_at"]


async def test_prompts_are_kept_and_shown_through_the_server(door: Door) -> None:
    owner: Json = {"as": (await asked(door.settings, CREATE))["key"]["actor"]["id"]}
    text = "😀" * 99_990 + "{{who}}"
    given = {"do": "prompt.add", "name": "Long", "text": text, **owner}
    made = (await asked(door.settings, given))["prompt"]
    shown = await asked(door.settings, {"do": "prompt.show", "prompt": made["id"], **owner})
    assert shown["prompt"] == {**made, "text": text}
    del made["text"]
    listed = await asked(door.settings, {"do": "prompt.list", **owner})
    assert listed["prompts"] == [made], "a list tells no texts"
    await asked(door.settings, {"do": "prompt.rm", "prompt": made["id"], **owner})
    assert (await asked(door.settings, {"do": "prompt.list", **owner}))["prompts"] == []
    other = {"as": (await asked(door.settings, CREATE))["key"]["actor"]["id"]}
    with pytest.raises(Refused, match="no such prompt"):
        await asked(door.settings, {"do": "prompt.show", "prompt": made["id"], **other})


async def test_an_agent_is_made_and_given_as_a_file_through_the_server(door: Door) -> None:
    drawn = picture(card(b"ccv3", json.dumps(V3).encode()), chunk(b"eXIf", bytes(9_000_000)))
    given = {"do": "agent.import", "file": b64encode(drawn).decode()}
    made = await asked(door.settings, given)
    assert made["handle"] == "maya"
    listed = await asked(door.settings, {"do": "agent.list"})
    assert {one["handle"] for one in listed["agents"]} == {"assistant", "maya"}
    shown = await asked(door.settings, {"do": "agent.show", "agent": made["id"]})
    assert shown == made
    giving = {"do": "agent.export", "agent": "maya", "format": "json"}
    told = await asked(door.settings, giving)
    assert json.loads(b64decode(told["file"])) == V3
    for request, code in (
        ({**given, "file": "?"}, Code.BAD_REQUEST),
        ({**given, "file": "e30="}, Code.CARD_INVALID),
        ({**giving, "format": "pdf"}, Code.BAD_REQUEST),
        ({**giving, "agent": "nobody"}, Code.AGENT_NOT_FOUND),
    ):
        with pytest.raises(Refused) as refused:
            await asked(door.settings, request)
        assert refused.value.code is code


async def test_the_secret_is_changed_through_the_server(door: Door) -> None:
    for _ in range(2):
        assert await asked(door.settings, {"do": "secret.rotate"}) == {"sealed": 0}


async def test_the_models_of_a_stored_connection_are_told_with_and_without_the_server(
    tmp_path: Path,
) -> None:
    async with scripted_upstream() as upstream:
        settings = settings_for(tmp_path)
        async with serving(settings, asyncio.Event()) as (_, core):
            assert (await asked(settings, {"do": "doctor"}))["hint"]
            await core.model_profiles.keep(None, Given(base_url=upstream.base_url), own=False)
            told = await asked(settings, {"do": "doctor"})
        assert (told["hint"], bool(told["models"])) == (None, True)
        assert await asked(settings, {"do": "doctor"}) == told


async def test_the_server_refuses_as_the_database_would(door: Door) -> None:
    for request, code in (
        ({**CREATE, "scopes": ["fly"]}, Code.BAD_REQUEST),
        ({"do": "key.revoke", "key": "k_1"}, Code.NOT_FOUND),
        ({"do": "fly"}, Code.BAD_REQUEST),
    ):
        with pytest.raises(Refused) as refused:
            await asked(door.settings, request)
        assert refused.value.code is code


async def test_nobody_else_can_open_it(door: Door) -> None:
    path = socket_of(door.settings)
    assert path is not None
    mode = path.stat().st_mode
    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o600


async def test_what_is_no_request_is_told_so(door: Door) -> None:
    for line in (b"nonsense\n", b"[]\n", b'"\\ud800"\n'):
        assert "code" in (await told(door, line))["error"]
    another = json.dumps({**LIST, "database": "/somewhere/else.db"}).encode()
    assert (await told(door, another + b"\n"))["error"]["code"] == "database_locked"


async def test_a_line_without_an_end_is_cut(door: Door) -> None:
    path = socket_of(door.settings)
    assert path is not None
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(b"x" * (LINE_BYTES_MAX + 1) + b"\n")
    try:
        assert await reader.read() == b""
    except ConnectionError:
        return
    finally:
        writer.close()


async def test_a_long_path_gets_a_short_socket_which_goes_with_the_server(tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 30)
    async with open_door(folder) as door:
        path = socket_of(door.settings)
        assert path is not None
        assert folder not in path.parents
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert (await asked(door.settings, LIST))["keys"] == []
    assert not path.parent.exists()


async def test_a_server_goes_without_it_where_it_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "control.sock").mkdir()
    async with open_door(tmp_path) as door:
        assert (await door.http().get("/health")).status_code == 200
        with pytest.raises(Refused) as refused:
            await asked(door.settings, LIST)
    assert refused.value.code is Code.DATABASE_LOCKED


async def test_nothing_is_left_when_the_server_stops(tmp_path: Path) -> None:
    async with open_door(tmp_path) as door:
        path = socket_of(door.settings)
        assert path is not None
        assert path.exists()
    assert not path.exists()


async def test_without_a_server_the_database_itself_is_asked(tmp_path: Path) -> None:
    settings = settings_for(tmp_path)
    made = await asked(settings, CREATE)
    assert [key["id"] for key in (await asked(settings, LIST))["keys"]] == [made["key"]["id"]]


async def test_a_server_that_cannot_be_asked_has_the_database_locked(
    door: Door, tmp_path: Path
) -> None:
    elsewhere = settings_for(tmp_path, database_url=door.settings.url)
    with pytest.raises(Refused) as refused:
        await asked(elsewhere, LIST)
    assert refused.value.code is Code.DATABASE_LOCKED


async def test_a_server_that_does_not_start_leaves_the_running_ones_note(door: Door) -> None:
    note = door.settings.data_dir / "server.json"
    before = note.read_text()
    with pytest.raises(Refused):
        async with open_door(door.settings.data_dir):
            pass
    assert note.read_text() == before
    assert (await asked(door.settings, LIST))["keys"] is not None


async def test_only_a_new_key_makes_a_database_and_none_upgrades_one(tmp_path: Path) -> None:
    settings = settings_from(data_dir=tmp_path, detect=False)
    with pytest.raises(Refused) as refused:
        await asked(settings, LIST)
    assert refused.value.code is Code.DATABASE_MISSING
    await asked(settings, CREATE)
    with closing(sqlite3.connect(tmp_path / "palaver.db")) as db:
        db.execute("UPDATE alembic_version SET version_num = '0001'")
        db.commit()
    for request in (CREATE, LIST):
        with pytest.raises(Refused) as refused:
            await asked(settings, request)
        assert refused.value.code is Code.DATABASE_OLDER
