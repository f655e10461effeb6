"""Damage is found, on both engines, and the first bad event of a room is named."""

import asyncio
from pathlib import Path

import pytest
from tests.store.archives import asked, execute, filled, untold
from tests.store.world import opened

from palaver.errors import Code, Refused
from palaver.model import ActorId, Message, MessageId, Role, RoomId, Status
from palaver.store.admin.verify import verify
from palaver.store.columns import cid_out
from palaver.store.hash_chain import digest_of_message

OF_FIRST = "room_key = (SELECT min(key) FROM rooms)"


def test_a_whole_database_is_whole(database_url: str, tmp_path: Path) -> None:
    filled(database_url, tmp_path)
    verdict = verify(database_url, untold)
    assert verdict.faults == []
    assert (verdict.rooms, verdict.events, verdict.messages) == (2, 14, 12)


@pytest.mark.parametrize(
    ("damage", "seq", "told"),
    [
        (f"UPDATE messages SET text = 'other' WHERE seq = 5 AND {OF_FIRST}", 5, "changed"),
        (f"UPDATE messages SET status = 'stopped' WHERE seq = 5 AND {OF_FIRST}", 5, "changed"),
        (f"UPDATE messages SET meta = '{{}}' WHERE seq = 2 AND {OF_FIRST}", 2, "changed"),
        (f"UPDATE messages SET salt = NULL WHERE seq = 2 AND {OF_FIRST}", 2, "changed"),
        (f"UPDATE events SET salt = chain WHERE seq = 1 AND {OF_FIRST}", 1, "changed"),
        (f"UPDATE messages SET reply_to_seq = NULL WHERE seq = 3 AND {OF_FIRST}", 3, "changed"),
        (f"UPDATE messages SET created_ms = 0 WHERE seq = 5 AND {OF_FIRST}", 5, "another"),
        (f"UPDATE events SET at_ms = 0 WHERE seq = 1 AND {OF_FIRST}", 1, "changed"),
        (f"UPDATE events SET type = 'nonsense' WHERE seq = 7 AND {OF_FIRST}", 7, "cannot be read"),
        (f"UPDATE events SET data = '{{' WHERE seq = 1 AND {OF_FIRST}", 1, "cannot be read"),
        ("UPDATE members SET read_seq = 3", None, ""),
        (f"DELETE FROM events WHERE seq = 5 AND {OF_FIRST}", 5, "missing"),
        (f"DELETE FROM events WHERE seq > 9 AND {OF_FIRST}", 10, "end earlier"),
        (f"DELETE FROM messages WHERE seq = 5 AND {OF_FIRST}", 5, "missing"),
        ("UPDATE rooms SET seq = seq - 1 WHERE title = 'first'", 11, "newest event"),
    ],
)
def test_the_first_bad_event_of_a_room_is_named(
    database_url: str, tmp_path: Path, damage: str, seq: int | None, told: str
) -> None:
    there = filled(database_url, tmp_path)
    execute(database_url, damage)
    verdict = verify(database_url, untold)
    found = [one for one in verdict.faults if one.room is not None]
    assert [(one.room, one.seq) for one in found] == ([(there.first.id, seq)] if seq else [])
    assert all(told in one.what for one in found)


def test_a_text_that_is_no_text_is_named(sqlite_url: str, tmp_path: Path) -> None:
    there = filled(sqlite_url, tmp_path)
    execute(
        sqlite_url, f"UPDATE messages SET text = CAST(X'ff' AS TEXT) WHERE seq = 6 AND {OF_FIRST}"
    )
    (fault,) = verify(sqlite_url, untold).faults
    assert (fault.room, fault.seq) == (there.first.id, 6)


def test_a_content_that_was_purged_leaves_its_digest(sqlite_url: str, tmp_path: Path) -> None:
    filled(sqlite_url, tmp_path)
    ((text, id_, cid, salt),) = asked(
        sqlite_url, f"SELECT text, id, cid, salt FROM messages WHERE seq = 6 AND {OF_FIRST}"
    )
    said = digest_of_message(
        Message(
            id=MessageId(f"m_{id_.hex()}"),
            room=RoomId(""),
            seq=6,
            author=ActorId(""),
            name="",
            role=Role.USER,
            status=Status.DONE,
            text=text,
            created_ms=0,
            cid=cid_out(cid),
        ),
        None,
        salt,
    )
    gone = f"text = '', salt = NULL, digest = X'{said.hex()}'"
    execute(sqlite_url, f"UPDATE messages SET {gone} WHERE seq = 6 AND {OF_FIRST}")
    assert verify(sqlite_url, untold).faults == []
    execute(sqlite_url, f"UPDATE messages SET digest = NULL WHERE seq = 6 AND {OF_FIRST}")
    assert [one.seq for one in verify(sqlite_url, untold).faults] == [6]


def test_pages_that_are_damaged_are_told(sqlite_url: str, tmp_path: Path) -> None:
    filled(sqlite_url, tmp_path)
    path = tmp_path / "palaver.db"
    content = bytearray(path.read_bytes())
    root = int(asked(sqlite_url, "SELECT rootpage FROM sqlite_master WHERE name = 'events'")[0][0])
    content[(root - 1) * 4096 : (root - 1) * 4096 + 64] = b"\xff" * 64
    path.write_bytes(content)
    assert verify(sqlite_url, untold).faults
    path.write_bytes(content[:4096] + b"\xff" * (len(content) - 4096))
    with pytest.raises(Refused) as caught:
        verify(sqlite_url, untold)
    assert caught.value.code is Code.DATABASE_DAMAGED


@pytest.mark.parametrize("content", [b"hello", b""])
def test_what_is_no_database_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.db"
    path.write_bytes(content)
    with pytest.raises(Refused) as caught:
        verify(f"sqlite:///{path}", untold)
    assert caught.value.code in {Code.DATABASE_DAMAGED, Code.DATABASE_OLDER}
    with pytest.raises(Refused) as caught:
        verify(f"sqlite:///{tmp_path / 'none.db'}", untold)
    assert caught.value.code is Code.DATABASE_MISSING


async def test_a_parent_that_is_not_there_or_a_circle_is_told(
    database_url: str, tmp_path: Path
) -> None:
    async with opened(database_url, data_dir=tmp_path) as world:
        ada = await world.person()
        above = await world.room(ada)
        below = await world.room(ada, parent=above)
    assert (await asyncio.to_thread(verify, database_url, untold)).faults == []
    for broken, key in ((above, "(SELECT max(key) FROM rooms r)"), (below, "999")):
        change = f"UPDATE rooms SET parent_key = {key} WHERE id = "
        id_ = f"X'{broken.id[2:]}'"
        if database_url.startswith("postgres"):
            id_ = f"decode('{broken.id[2:]}', 'hex')"
        await asyncio.to_thread(execute, database_url, change + id_)
        faults = (await asyncio.to_thread(verify, database_url, untold)).faults
        assert broken.id in [fault.room for fault in faults]


async def test_a_database_in_use_is_whole_at_any_moment(database_url: str, tmp_path: Path) -> None:
    async with opened(database_url, data_dir=tmp_path) as world:
        ada = await world.person()
        rooms = [await world.room(ada) for _ in range(5)]
        examining = asyncio.gather(
            *(asyncio.to_thread(verify, database_url, untold) for _ in range(3))
        )
        while not examining.done():
            await asyncio.gather(*(world.say(room, ada) for room in rooms * 5))
        for verdict in await examining:
            assert verdict.faults == []
