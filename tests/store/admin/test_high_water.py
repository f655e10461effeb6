"""A database that lost what it held is told by its mark: to the operator, and to every client by a new epoch."""

import asyncio
import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
from tests.store.archives import execute, untold
from tests.support.command import palaver

from palaver.core import rollback
from palaver.core.live.items import Closing
from palaver.core.runtime import Core, started
from palaver.model import RoomId
from palaver.settings import Settings
from palaver.store.admin import high_water
from palaver.store.admin.verify import verify_marked

Damage = Callable[[Path], None]


def running(data: Path, url: str | None = None) -> AbstractAsyncContextManager[Core]:
    return started(Settings(data_dir=data, database_url=url, detect=False))


async def say(core: Core, count: int) -> RoomId:
    _, actor = await core.identity.new_guest()
    room = await core.rooms.create(actor, agent=False)
    for number in range(count):
        await core.chat.send(actor, room.id, text=f"{number} {'x' * 500}", cid=None)
    return room.id


def flip_a_byte(folder: Path) -> None:
    path = folder / "palaver.db-wal"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut(folder: Path) -> None:
    path = folder / "palaver.db-wal"
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])


def lose(folder: Path) -> None:
    (folder / "palaver.db-wal").unlink()


def begin_anew(folder: Path) -> None:
    (folder / "palaver.db-wal").unlink()
    (folder / "palaver.db").unlink()


def leave(folder: Path) -> None:
    assert folder.exists()


@pytest.mark.parametrize("damage", [flip_a_byte, cut, lose, begin_anew, leave])
async def test_lost_commits_are_told_and_not_served_silently(
    tmp_path: Path, damage: Damage
) -> None:
    data, killed = tmp_path / "data", tmp_path / "killed"
    async with running(data) as core:
        epoch = core.epoch
        room = await say(core, 20)
        await core.drain(0)
        shutil.copytree(data, killed, ignore=shutil.ignore_patterns("*.lock", "journal"))
    shutil.copy(data / "mark.json", killed)  # what the last second brought
    damage(killed)
    lost = damage is not leave
    if damage is not begin_anew:
        found = await asyncio.to_thread(high_water.marked, Settings(data_dir=killed))
        assert (found.state == "behind") is bool(found.missing) is lost
        verdict = await asyncio.to_thread(verify_marked, Settings(data_dir=killed), untold)
        assert verdict.mark == found.state
        assert any(fault.room == room for fault in verdict.faults) is lost
    for _ in range(2):
        async with running(killed) as core:
            assert (core.history, core.epoch != epoch) == (
                ("behind", True) if lost else ("whole", False)
            )
            renewed = core.epoch
        epoch = renewed if lost else epoch
        if lost:
            break
    done = await asyncio.to_thread(palaver, tmp_path, "doctor", "--data-dir", "killed", "--json")
    (history,) = [one for one in done.json["checks"] if one["name"] == "history"]
    assert history["state"] == ("fail" if lost else "ok")
    assert (room in history["found"]) is lost
    if lost:
        (killed / "mark.json").unlink()
        async with running(killed) as core:
            assert (core.history, core.epoch) == ("whole", epoch)


async def test_an_older_copy_of_the_file_is_told(tmp_path: Path) -> None:
    async with running(tmp_path) as core:
        epoch = core.epoch
    shutil.copy(tmp_path / "palaver.db", tmp_path / "older.db")
    async with running(tmp_path) as core:
        assert core.history == "whole"
        room = await say(core, 3)
    shutil.copy(tmp_path / "older.db", tmp_path / "palaver.db")
    async with running(tmp_path) as core:
        assert core.history == "behind"
        assert core.epoch != epoch
    found = await asyncio.to_thread(high_water.marked, Settings(data_dir=tmp_path))
    assert found.missing[0] == high_water.Behind(room, 5, 0)


async def test_another_database_is_none_of_its_business(tmp_path: Path) -> None:
    async with running(tmp_path) as core:
        await say(core, 3)
    async with running(tmp_path, f"sqlite:///{tmp_path / 'other.db'}") as core:
        assert core.history == "whole"


@pytest.mark.parametrize("content", ["", "{", "[]", '{"database": "palaver.db"}'])
async def test_a_mark_that_cannot_be_read_stops_nobody(tmp_path: Path, content: str) -> None:
    (tmp_path / "mark.json").write_text(content)
    async with running(tmp_path) as core:
        assert core.history == "whole"


async def test_verify_and_doctor_tell_how_much_is_gone(tmp_path: Path) -> None:
    async with running(tmp_path / "data") as core:
        room = await say(core, 20)
    data = tmp_path / "data"
    shutil.copy(data / "palaver.db", tmp_path / "whole.db")
    for table in ("messages", "events"):
        await asyncio.to_thread(
            execute, f"sqlite:///{data / 'palaver.db'}", f"DELETE FROM {table} WHERE seq > 15"
        )
    events = "UPDATE rooms SET seq = 15, chain = (SELECT chain FROM events WHERE room_key = key AND seq = 15) "
    where = "WHERE key = (SELECT max(key) FROM rooms)"
    await asyncio.to_thread(execute, f"sqlite:///{data / 'palaver.db'}", events + where)
    lost = "7 events are missing: 16 to 22"
    for arguments in (("verify",), ("verify", "data/palaver.db", "--data-dir", "elsewhere")):
        done = await asyncio.to_thread(palaver, tmp_path, *arguments, "--json")
        assert (done.code, done.json["mark"]) == (1, "behind")
        assert done.json["faults"] == [{"what": lost, "room": room, "seq": 16}]
    done = await asyncio.to_thread(palaver, tmp_path, "doctor", "--deep", "--json")
    told = {one["name"]: one for one in done.json["checks"]}
    assert lost in told["history"]["found"]
    assert lost in told["content"]["found"]
    done = await asyncio.to_thread(palaver, tmp_path, "verify", "whole.db")
    assert done.code == 0
    assert "No mark.json goes with it" in done.out


def test_a_changed_mark_is_told_and_not_believed(tmp_path: Path) -> None:
    async def serve() -> None:
        async with running(tmp_path) as core:
            await say(core, 2)

    asyncio.run(serve())
    file, settings = tmp_path / "mark.json", Settings(data_dir=tmp_path)
    kept = file.read_bytes()
    assert high_water.marked(settings).state == "whole"
    for place in range(len(kept)):
        file.write_bytes(kept[:place] + bytes([kept[place] ^ 1]) + kept[place + 1 :])
        assert high_water.marked(settings) == high_water.Marked("damaged"), place
    done = palaver(tmp_path, "doctor", "--data-dir", ".", "--json")
    (history,) = [one for one in done.json["checks"] if one["name"] == "history"]
    assert history["state"] == "warn"
    file.write_text("[" * 100_000)
    assert high_water.marked(settings) == high_water.Marked("damaged"), "deeper than anything reads"
    older = {name: value for name, value in json.loads(kept).items() if name != high_water.SUM}
    file.write_text(json.dumps(older))
    assert high_water.marked(settings).state == "whole", "of a Palaver that wrote no checksum"
    file.write_text(json.dumps({**older, "places": [["r_x", "7", "zz"]]}))
    assert high_water.marked(settings) == high_water.Marked("damaged")


def test_of_a_mark_from_before_the_salts_the_seqs_count(tmp_path: Path) -> None:
    async def serve() -> RoomId:
        async with running(tmp_path) as core:
            return await say(core, 2)

    room = asyncio.run(serve())
    file, settings = tmp_path / "mark.json", Settings(data_dir=tmp_path)
    kept = json.loads(file.read_bytes())
    del kept[high_water.SUM]
    seqs = {its: seq for its, seq, _ in kept["places"]}

    def expect(seq: int, chain: str, state: str) -> None:
        file.write_text(json.dumps({**kept, "places": [[room, seq, chain]]}))
        assert high_water.marked(settings).state == state

    expect(seqs[room], "00" * 16, "behind")
    del kept[high_water.SALTED]
    expect(seqs[room], "00" * 16, "whole")
    expect(seqs[room] + 1, "00" * 16, "behind")


async def test_what_is_lost_while_serving_sends_everyone_away(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a PostgreSQL that failed over to a server which was behind."""
    monkeypatch.setattr(rollback, "MARK_SECONDS", 0.05)
    async with running(tmp_path, database_url) as core, asyncio.timeout(90):
        room = await say(core, 5)
        _, actor = await core.identity.new_guest()
        epoch = core.epoch
        while not (tmp_path / "mark.json").exists() or room not in (  # noqa: ASYNC110  a file wakes nobody
            (tmp_path / "mark.json").read_text()
        ):
            await asyncio.sleep(0.01)
        with core.chat.reader(actor) as reader:
            await reader.subscribe(core.lobby)
            reader.start(core.lobby)
            newest = "room_key = (SELECT max(key) FROM rooms) AND seq > 4"
            await asyncio.to_thread(execute, database_url, f"DELETE FROM messages WHERE {newest}")
            await asyncio.to_thread(execute, database_url, f"DELETE FROM events WHERE {newest}")
            while not any(isinstance(item, Closing) for item in await reader.next()):
                pass
        assert core.epoch != epoch
        assert core.history == "behind"
        with core.chat.reader(actor) as reader:
            joined = await reader.subscribe(core.lobby, 1, epoch=epoch)
            assert (joined.mode, joined.reason) == ("reset", "epoch")


def test_the_mark_names_what_is_stored(tmp_path: Path) -> None:
    async def serve() -> None:
        async with running(tmp_path) as core:
            await say(core, 2)

    asyncio.run(serve())
    kept = (tmp_path / "mark.json").read_text()
    with sqlite3.connect(tmp_path / "palaver.db") as connection:
        rows = connection.execute("SELECT lower(hex(id)), seq, lower(hex(chain)) FROM rooms")
        for id_, seq, chain in rows:
            assert f'["r_{id_}", {seq}, "{chain}"]' in kept
    connection.close()
