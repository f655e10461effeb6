"""The revisions themselves: from nothing to the newest, in one transaction; and how a large database gets there.

The way of a large database is proven with a revision that only these tests have.
"""

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import create_engine
from tests.store.archives import asked, execute, filled, unsalted, untold
from tests.store.world import opened

from palaver.errors import Code, Refused
from palaver.model import Actor, ActorId, ActorKind, RoomSettings
from palaver.store import migrate
from palaver.store.admin.verify import verify
from palaver.store.read import actors
from palaver.store.schema import metadata
from palaver.store.write.actors import AddActor


def test_the_revisions_make_every_table_in_the_transaction_they_are_given() -> None:
    engine = create_engine("sqlite://")
    lines: list[str] = []
    with engine.connect() as conn, conn.begin():
        migrate._migrate(conn, lines.append)
        assert conn.in_transaction()
        assert migrate.revision(conn) == migrate.head()
        names = set(conn.dialect.get_table_names(conn))
        assert names == {*metadata.tables, "alembic_version"}
    engine.dispose()


UNDO_0013 = (
    "DROP TABLE accounts",
    "DROP INDEX actors_skeleton",
    *(f"ALTER TABLE actors DROP COLUMN {name}" for name in ("public_handle", "skeleton")),
    "ALTER TABLE sessions DROP COLUMN replaced",
    "UPDATE alembic_version SET version_num = '0012'",
)
UNDO_0012 = (
    "ALTER TABLE rooms DROP COLUMN archived_ms",
    *(f"ALTER TABLE members DROP COLUMN {name}" for name in ("muted", "hidden_seq")),
    "UPDATE alembic_version SET version_num = '0011'",
)
UNDO_0011 = (
    *(f"DROP INDEX {name}" for name in ("members_roles", "tickets_room")),
    "ALTER TABLE members DROP COLUMN kept_out",
    *(f"ALTER TABLE tickets DROP COLUMN {name}" for name in ("room_key", "role", "uses_left")),
    "UPDATE alembic_version SET version_num = '0010'",
)
UNDO_0010 = (
    *(f"ALTER TABLE {table} DROP COLUMN salt" for table in ("messages", "events")),
    "UPDATE alembic_version SET version_num = '0009'",
)
UNDO_0009 = (
    *(
        f"ALTER TABLE sessions DROP COLUMN {name}"
        for name in ("used_ms", "expires_ms", "agent", "address")
    ),
    "UPDATE alembic_version SET version_num = '0008'",
)
UNDO_0008 = ("DROP TABLE prompts", "UPDATE alembic_version SET version_num = '0007'")
UNDO_0007 = (
    """UPDATE rooms SET settings = '{"door":"' || door || '"' || coalesce(',' || substr(settings, 2), '}')
    WHERE door IS NOT NULL""",
    "DROP INDEX rooms_parent",
    *(f"ALTER TABLE rooms DROP COLUMN {name}" for name in ("door", "parent_key")),
    "UPDATE alembic_version SET version_num = '0006'",
)
UNDO_0006 = (
    "DROP INDEX rooms_open",
    "DROP INDEX rooms_deleted",
    "CREATE INDEX rooms_open ON rooms (key) WHERE visibility = 'open'",
    "UPDATE alembic_version SET version_num = '0005'",
)
UNDO_0005 = (
    "DROP TABLE tickets",
    "DROP INDEX sessions_ended",
    *(f"ALTER TABLE sessions DROP COLUMN {name}" for name in ("name", "ended_ms")),
)
UNDO_0004 = (
    *(f"DROP TABLE {name}" for name in ("asides", "client_rooms")),
    "UPDATE alembic_version SET version_num = '0003'",
)
UNDO_0003 = (
    *(f"DROP INDEX {name}" for name in ("sessions_actor", "keys_actor", "exchanges_actor")),
    *(f"DROP INDEX {name}" for name in ("turns_agent", "actors_unused")),
    "ALTER TABLE actors DROP COLUMN unused",
    "UPDATE alembic_version SET version_num = '0002'",
)
TO_0002 = (
    *UNDO_0013,
    *UNDO_0012,
    *UNDO_0011,
    *UNDO_0010,
    *UNDO_0009,
    *UNDO_0008,
    *UNDO_0007,
    *UNDO_0006,
    *UNDO_0005,
    *UNDO_0004,
    *UNDO_0003,
)
UNDO_0002 = (
    *(f"DROP TABLE {name}" for name in ("keys", "prefixes", "exchanges", "partials")),
    "ALTER TABLE turns DROP COLUMN external",
    "UPDATE alembic_version SET version_num = '0001'",
)
CHAINS = "SELECT chain FROM events UNION ALL SELECT chain FROM rooms ORDER BY chain"
EPOCH = "SELECT value FROM meta WHERE name = 'epoch'"
OF_FIRST = "room_key = (SELECT key FROM rooms WHERE title = 'first')"
NEXT = Path(__file__).parent / "revisions"
UPGRADE = """
import os, signal, sys
from pathlib import Path
from palaver.store import migrate

def told(line):
    print(line, flush=True)
    if line == sys.argv[3]:
        os.kill(os.getpid(), signal.SIGKILL)

migrate.VERSIONS = (*migrate.VERSIONS, Path(sys.argv[1]))
migrate.upgrade(sys.argv[2], told)
# not getrusage: what it calls the most is that of the process that started this one, too
[most] = [line for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line]
print(most.split()[1])
"""
MORE = """
INSERT INTO messages (room_key, seq, id, author_key, role, status, kind, text, created_ms, branch)
SELECT r.key, 1000 + n, {id}, 1, 'user', 'done', 'text', {text}, 0, 0 FROM rooms r, numbers
"""
SQLITE = (
    "WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {count}) "
    + MORE.format(id="randomblob(16)", text="hex(zeroblob(100))")
)


def go_back(url: str, *steps: str) -> None:
    """Makes a database of this revision one of an older one, by the steps that undo the newer ones."""
    unsalted(url)
    for step in steps:
        execute(url, step)


def upgraded(url: str, *, dies_at: str = "") -> "subprocess.CompletedProcess[str]":
    """A process that upgrades it; it kills itself when it is told of that step."""
    command = [sys.executable, "-c", UPGRADE, str(NEXT), url, dies_at]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)


def insert_many(url: str, count: int) -> int:
    """Puts so many messages into each of ten rooms, which no server would do; how many there are."""

    async def prepare() -> None:
        async with opened(url) as world:
            ada = await world.person()
            for _ in range(10):
                await world.say(await world.room(ada), ada)

    asyncio.run(prepare())
    execute(url, SQLITE.replace("{count}", str(count)))
    return (count + 1) * 10


def expect_migrated(url: str, count: int, size_max: int) -> None:
    done = upgraded(url)
    assert done.returncode == 0
    *lines, rss = done.stdout.splitlines()
    assert lines[0].startswith("copied to ")
    assert "room 5 of 10" in lines
    assert lines[-1] == "now at revision 9999"
    assert int(rss) * 1024 < size_max
    assert asked(url, "SELECT count(*) FROM messages WHERE chars = length(text)") == [(count,)]


def test_a_full_database_is_upgraded(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(database_url, tmp_path)
    monkeypatch.setattr(migrate, "VERSIONS", (*migrate.VERSIONS, NEXT))
    lines: list[str] = []
    migrate.upgrade(database_url, lines.append)
    assert lines[-2:] == ["room 2 of 2", "now at revision 9999"]
    assert migrate.current(database_url) == "9999"
    assert asked(database_url, "SELECT count(*) FROM messages WHERE chars > 0") == [(12,)]
    monkeypatch.undo()
    with pytest.raises(Refused) as caught:
        migrate.upgrade(database_url, lines.append)
    assert caught.value.code is Code.DATABASE_NEWER


def test_a_database_of_the_first_revision_is_upgraded_with_all_that_it_holds(
    database_url: str, tmp_path: Path
) -> None:
    filled(database_url, tmp_path)
    before = asked(database_url, "SELECT id, text, meta FROM messages ORDER BY id")
    go_back(database_url, *TO_0002, *UNDO_0002)
    execute(database_url, "UPDATE rooms SET title = 'Café', title_folded = 'café'")
    migrate.upgrade(database_url, lambda _: None)
    assert asked(database_url, "SELECT DISTINCT title_folded FROM rooms") == [("cafe",)]
    assert migrate.current(database_url) == migrate.head()
    assert migrate.check(database_url) == []
    assert asked(database_url, "SELECT id, text, meta FROM messages ORDER BY id") == before
    assert verify(database_url, untold).faults == []


def test_the_titles_of_many_rooms_are_folded_anew(sqlite_url: str, tmp_path: Path) -> None:
    async def prepare() -> None:
        async with opened(sqlite_url, data_dir=tmp_path) as world:
            ada = await world.person()
            titles = (f"Été {number}" for number in range(1_001))
            await asyncio.gather(*(world.room(ada, title=title) for title in titles))

    asyncio.run(prepare())
    go_back(sqlite_url, *TO_0002)
    execute(sqlite_url, "UPDATE rooms SET title_folded = 'été' WHERE key % 2 = 1")
    migrate.upgrade(sqlite_url, lambda _: None)
    found = asked(sqlite_url, "SELECT count(*) FROM rooms WHERE title_folded LIKE 'ete %'")
    assert found == [(1_001,)]


def test_the_door_of_a_room_is_taken_out_of_its_settings(database_url: str, tmp_path: Path) -> None:
    """Of more rooms than are moved at once; a client's own words are no door."""
    none: RoomSettings = {}
    about: RoomSettings = {"made": "x", "metadata": {"door": "mine", "n": "\0 é"}}

    async def prepare() -> None:
        async with opened(database_url, data_dir=tmp_path, database_seconds=60) as world:
            ada = await world.person()
            made = [
                (door, its)
                for door, count in ((None, 1), ("openai", 300))
                for its in (none, about)
                for _ in range(count)
            ]
            await asyncio.gather(*(world.room(ada, door=door, settings=its) for door, its in made))

    asyncio.run(prepare())
    held = "SELECT id, door, settings FROM rooms ORDER BY key"
    before = asked(database_url, held)
    go_back(
        database_url,
        *UNDO_0013,
        *UNDO_0012,
        *UNDO_0011,
        *UNDO_0010,
        *UNDO_0009,
        *UNDO_0008,
        *UNDO_0007,
    )
    inside = """SELECT count(*) FROM rooms WHERE settings LIKE '{"door":"openai"%'"""
    assert asked(database_url, inside) == [(600,)]
    migrate.upgrade(database_url, lambda _: None)
    assert asked(database_url, held) == before
    assert asked(database_url, inside) == [(0,)]
    assert migrate.check(database_url) == []
    assert verify(database_url, untold).faults == []


def test_sessions_that_never_ended_get_their_dates_and_go_on(
    database_url: str, tmp_path: Path
) -> None:
    token, year_ms = b"t" * 32, 365 * 24 * 3_600_000

    async def prepare() -> None:
        async with opened(database_url, data_dir=tmp_path) as world:
            ada = Actor(id=ActorId(f"u_{world.clock.new_id()}"), kind=ActorKind.PERSON, name="Ada")
            await world.store.write(AddActor(actor=ada, handle="ada", token_sha256=token))

    asyncio.run(prepare())
    execute(database_url, "UPDATE sessions SET created_ms = 1")
    go_back(database_url, *UNDO_0013, *UNDO_0012, *UNDO_0011, *UNDO_0010, *UNDO_0009)
    migrate.upgrade(database_url, lambda _: None)
    assert migrate.check(database_url) == []
    [(created_ms, used_ms, expires_ms)] = asked(
        database_url, "SELECT created_ms, used_ms, expires_ms FROM sessions"
    )
    assert (created_ms, expires_ms) == (1, used_ms + year_ms)

    async def look() -> None:
        async with opened(database_url, data_dir=tmp_path) as world:
            now_ms = world.clock.now_ms()
            assert now_ms - used_ms in range(3_600_000)
            ada = await world.store.read(actors.by_token, token, now_ms, 3_600_000)
            assert ada is not None
            assert ada.name == "Ada"

    asyncio.run(look())


def test_every_chain_is_made_anew_with_salts(database_url: str, tmp_path: Path) -> None:
    filled(database_url, tmp_path)
    go_back(database_url, *UNDO_0013, *UNDO_0012, *UNDO_0011, *UNDO_0010)
    before, epoch = asked(database_url, CHAINS), asked(database_url, EPOCH)
    migrate.upgrade(database_url, lambda _: None)
    after = asked(database_url, CHAINS)
    assert not {*before} & {*after}
    assert len(before) == len(after) == 16
    assert epoch != asked(database_url, EPOCH)
    assert migrate.check(database_url) == []
    assert verify(database_url, untold).faults == []


@pytest.mark.parametrize(
    ("damage", "seq"),
    [
        ("UPDATE messages SET text = 'other' WHERE seq = 5 AND {first}", 5),
        ("UPDATE messages SET meta = '{{' WHERE seq = 5 AND {first}", 5),
        ("UPDATE events SET at_ms = 0 WHERE seq = 1 AND {first}", 1),
        ("DELETE FROM events WHERE seq = 5 AND {first}", 5),
        ("DELETE FROM events WHERE seq > 9 AND {first}", 10),
        ("DELETE FROM messages WHERE seq = 5 AND {first}", 5),
        ("UPDATE rooms SET chain = id WHERE title = 'first'", 12),
    ],
)
def test_what_was_damaged_before_stays_damaged(
    database_url: str, tmp_path: Path, damage: str, seq: int
) -> None:
    there = filled(database_url, tmp_path)
    go_back(database_url, *UNDO_0013, *UNDO_0012, *UNDO_0011, *UNDO_0010)
    execute(database_url, damage.format(first=OF_FIRST))
    migrate.upgrade(database_url, lambda _: None)
    faults = [one for one in verify(database_url, untold).faults if one.room is not None]
    assert [(one.room, one.seq) for one in faults] == [(there.first.id, seq)]


def test_a_text_that_is_none_stops_no_upgrade(sqlite_url: str, tmp_path: Path) -> None:
    there = filled(sqlite_url, tmp_path)
    go_back(sqlite_url, *UNDO_0013, *UNDO_0012, *UNDO_0011, *UNDO_0010)
    broken = f"UPDATE messages SET text = CAST(X'ff' AS TEXT) WHERE seq = 6 AND {OF_FIRST}"
    execute(sqlite_url, broken)
    migrate.upgrade(sqlite_url, lambda _: None)
    (fault,) = verify(sqlite_url, untold).faults
    assert (fault.room, fault.seq) == (there.first.id, 6)


@pytest.mark.slow
@pytest.mark.fault
def test_a_kill_while_chains_are_made_anew_changes_nothing(sqlite_url: str, tmp_path: Path) -> None:
    filled(sqlite_url, tmp_path)
    go_back(sqlite_url, *UNDO_0013, *UNDO_0012, *UNDO_0011, *UNDO_0010)
    before = asked(sqlite_url, CHAINS)
    assert upgraded(sqlite_url, dies_at="chaining room 1 of 2").returncode == -signal.SIGKILL
    assert migrate.current(sqlite_url) == "0009"
    assert asked(sqlite_url, CHAINS) == before
    migrate.upgrade(sqlite_url, lambda _: None)
    assert verify(sqlite_url, untold).faults == []


@pytest.mark.slow
@pytest.mark.fault
def test_an_upgrade_that_is_killed_leaves_the_database_as_it_was(
    sqlite_url: str, tmp_path: Path
) -> None:
    count = insert_many(sqlite_url, 2_000)
    assert upgraded(sqlite_url, dies_at="room 5 of 10").returncode == -signal.SIGKILL
    assert migrate.current(sqlite_url) == migrate.head()
    assert migrate.check(sqlite_url) == []
    assert asked(sqlite_url, "SELECT count(*) FROM messages") == [(count,)]
    copied = f"sqlite:///{tmp_path}/palaver.db.{migrate.head()}.bak"
    assert asked(copied, "SELECT count(*) FROM messages") == [(count,)]
    expect_migrated(sqlite_url, count, 300 << 20)


@pytest.mark.torture
@pytest.mark.timeout(600)
def test_a_million_messages_are_upgraded_in_bounded_memory(sqlite_url: str) -> None:
    expect_migrated(sqlite_url, insert_many(sqlite_url, 100_000), 200 << 20)
