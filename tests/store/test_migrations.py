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
from palaver.model import (
    Actor,
    ActorId,
    ActorKind,
    ApiKey,
    EventType,
    KeyId,
    RoomId,
    RoomSettings,
    Scope,
    ServerRole,
)
from palaver.store import migrate
from palaver.store.admin.verify import verify
from palaver.store.read import actors, agents, api_keys
from palaver.store.schema import metadata
from palaver.store.write.actors import AddActor
from palaver.store.write.agents import SaveAgent
from palaver.store.write.command import RoomCommand
from palaver.store.write.people.accounts import AddAccount
from palaver.store.write.people.credentials import AddKey
from palaver.store.write.transaction import Transaction


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


UNDO = {
    "0044": (
        "DROP INDEX messages_branches",
        "DROP TABLE branches",
        "CREATE TABLE branches (room_key BIGINT)",
        "ALTER TABLE members DROP COLUMN branch",
        "ALTER TABLE turns DROP COLUMN branch",
        *(
            f"ALTER TABLE rooms DROP COLUMN {name}"
            for name in ("main_branch", "last_branch", "forked_key", "forked_seq")
        ),
    ),
    "0043": (
        *("DROP TABLE pins", "DROP TABLE stars", "DROP INDEX members_pinned"),
        "ALTER TABLE members DROP COLUMN pinned",
    ),
    "0042": (
        "DROP INDEX messages_deleted",
        *(f"ALTER TABLE rooms DROP COLUMN {name}" for name in ("cleared_seq", "cleared_upto")),
    ),
    "0041": ("DROP TABLE reactions",),
    "0040": tuple(f"ALTER TABLE deliveries DROP COLUMN {name}" for name in ("hurried", "problem")),
    "0039": tuple(f"DROP TABLE {name}" for name in ("deliveries", "webhooks")),
    "0038": ("ALTER TABLE asides DROP COLUMN author_key",),
    "0037": ("DROP INDEX events_later",),
    "0036": tuple(f"DROP TABLE {name}" for name in ("feed", "unfed", "consumers")),
    "0035": ("DROP TABLE reserves",),
    "0034": (
        "ALTER TABLE members DROP COLUMN settings_seq",
        *(f"ALTER TABLE turns DROP COLUMN {name}" for name in ("settings_seq", "model", "choice")),
    ),
    "0033": ("DROP TABLE waits", "ALTER TABLE usage DROP COLUMN failed"),
    "0032": tuple(
        f"ALTER TABLE {table} ADD COLUMN {name} BIGINT"
        for table, name in (("turns", "payer_key"), ("agents", "profile_key"))
    ),
    "0031": ("DROP TABLE profiles",),
    "0030": (
        *(f"DROP INDEX {name}" for name in ("members_agents", "turns_waiting", "turns_of_agents")),
        "ALTER TABLE members ADD COLUMN auto_respond BOOLEAN",
        "UPDATE members SET auto_respond = (speaks <> 'never') WHERE speaks IS NOT NULL",
        "CREATE INDEX members_agents ON members (room_key) WHERE auto_respond IS NOT NULL",
        "ALTER TABLE members DROP COLUMN speaks",
        *(
            f"ALTER TABLE turns DROP COLUMN {name}"
            for name in ("depth", "root_seq", "asker_key", "waits_for", "context_seq")
        ),
    ),
    "0029": ("ALTER TABLE turns DROP COLUMN tokens_max",),
    "0028": (
        "DROP TABLE budgets",
        "DROP INDEX usage_agent",
        *(
            f"ALTER TABLE turns DROP COLUMN {name}"
            for name in ("payer_key", "reserved_tokens", "reserved_micros")
        ),
    ),
    "0027": tuple(
        f"ALTER TABLE turns DROP COLUMN {name}"
        for name in ("card_version", "prompt_digest", "headed")
    ),
    "0026": ("DROP TABLE usage",),
    "0025": (
        *(f"DROP TABLE {name}" for name in ("agent_people", "agents")),
        """CREATE TABLE agents (actor_key BIGINT PRIMARY KEY REFERENCES actors, model TEXT,
        system_prompt TEXT NOT NULL, settings TEXT)""",
        "INSERT INTO agents (actor_key, system_prompt) SELECT actor_key, '' FROM agent_versions WHERE version = 1",
        "DROP TABLE agent_versions",
        "UPDATE actors SET public_handle = NULL, skeleton = NULL WHERE kind = 'agent'",
    ),
    "0024": (
        *(f"DROP INDEX {name}" for name in ("rooms_open", "rooms_opened")),
        *(f"ALTER TABLE rooms DROP COLUMN {name}" for name in ("open_to", "open_role")),
        """CREATE INDEX rooms_open ON rooms (active_ms, key)
        WHERE visibility = 'open' AND deleted_ms IS NULL""",
    ),
    "0023": (
        *(f"DROP INDEX {name}" for name in ("tickets_server", "tickets_actor")),
        "CREATE INDEX tickets_actor ON tickets (actor_key)",
        *(f"ALTER TABLE tickets DROP COLUMN {name}" for name in ("server_role", "rooms")),
    ),
    "0022": (
        *(
            f"DROP INDEX {name}"
            for name in ("tickets_expires", "actors_email", "sessions_elsewhere")
        ),
        "ALTER TABLE tickets DROP COLUMN by_key",
    ),
    "0021": (),  # what was taken out is gone
    "0020": tuple(f"ALTER TABLE keys DROP COLUMN {name}" for name in ("expires_ms", "rooms")),
    "0019": (
        "DROP TABLE blobs",
        *(f"ALTER TABLE actors DROP COLUMN {name}" for name in ("preferences", "email", "avatar")),
    ),
    "0018": ("DROP INDEX actors_became", "ALTER TABLE actors DROP COLUMN became_key"),
    "0017": ("DELETE FROM meta WHERE name = 'guests_before'",),
    "0016": (
        "DROP TABLE identities",
        "DROP TABLE once",
        "ALTER TABLE sessions DROP COLUMN elsewhere",
    ),
    "0015": ("DROP INDEX accounts_owners",),
    "0014": ("ALTER TABLE accounts DROP COLUMN role",),
    "0013": (
        "DROP TABLE accounts",
        "DROP INDEX actors_skeleton",
        *(f"ALTER TABLE actors DROP COLUMN {name}" for name in ("public_handle", "skeleton")),
        "ALTER TABLE sessions DROP COLUMN replaced",
    ),
    "0012": (
        "ALTER TABLE rooms DROP COLUMN archived_ms",
        *(f"ALTER TABLE members DROP COLUMN {name}" for name in ("muted", "hidden_seq")),
    ),
    "0011": (
        *(f"DROP INDEX {name}" for name in ("members_roles", "tickets_room")),
        "ALTER TABLE members DROP COLUMN kept_out",
        *(f"ALTER TABLE tickets DROP COLUMN {name}" for name in ("room_key", "role", "uses_left")),
    ),
    "0010": tuple(f"ALTER TABLE {table} DROP COLUMN salt" for table in ("messages", "events")),
    "0009": tuple(
        f"ALTER TABLE sessions DROP COLUMN {name}"
        for name in ("used_ms", "expires_ms", "agent", "address")
    ),
    "0008": ("DROP TABLE prompts",),
    "0007": (
        """UPDATE rooms SET settings = '{"door":"' || door || '"' || coalesce(',' || substr(settings, 2), '}')
        WHERE door IS NOT NULL""",
        "DROP INDEX rooms_parent",
        *(f"ALTER TABLE rooms DROP COLUMN {name}" for name in ("door", "parent_key")),
    ),
    "0006": (
        "DROP INDEX rooms_open",
        "DROP INDEX rooms_deleted",
        "CREATE INDEX rooms_open ON rooms (key) WHERE visibility = 'open'",
    ),
    "0005": (
        "DROP TABLE tickets",
        "DROP INDEX sessions_ended",
        *(f"ALTER TABLE sessions DROP COLUMN {name}" for name in ("name", "ended_ms")),
    ),
    "0004": tuple(f"DROP TABLE {name}" for name in ("asides", "client_rooms")),
    "0003": (
        *(f"DROP INDEX {name}" for name in ("sessions_actor", "keys_actor", "exchanges_actor")),
        *(f"DROP INDEX {name}" for name in ("turns_agent", "actors_unused")),
        "ALTER TABLE actors DROP COLUMN unused",
    ),
    "0002": (
        *(f"DROP TABLE {name}" for name in ("keys", "prefixes", "exchanges", "partials")),
        "ALTER TABLE turns DROP COLUMN external",
    ),
}
"""What takes each revision back, the newest first."""
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


def undo_to(url: str, revision: str) -> None:
    """Makes a database of the newest revision one of an older one."""
    if revision < "0010":
        unsalted(url)
    undoing = [step for newer, steps in UNDO.items() if newer > revision for step in steps]
    execute(url, *undoing, f"UPDATE alembic_version SET version_num = '{revision}'")


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
    undo_to(database_url, "0001")
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
    undo_to(sqlite_url, "0002")
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
    undo_to(database_url, "0006")
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
    undo_to(database_url, "0008")
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
    undo_to(database_url, "0009")
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
    undo_to(database_url, "0009")
    execute(database_url, damage.format(first=OF_FIRST))
    migrate.upgrade(database_url, lambda _: None)
    faults = [one for one in verify(database_url, untold).faults if one.room is not None]
    assert [(one.room, one.seq) for one in faults] == [(there.first.id, seq)]


def test_a_text_that_is_none_stops_no_upgrade(sqlite_url: str, tmp_path: Path) -> None:
    there = filled(sqlite_url, tmp_path)
    undo_to(sqlite_url, "0009")
    broken = f"UPDATE messages SET text = CAST(X'ff' AS TEXT) WHERE seq = 6 AND {OF_FIRST}"
    execute(sqlite_url, broken)
    migrate.upgrade(sqlite_url, lambda _: None)
    (fault,) = verify(sqlite_url, untold).faults
    assert (fault.room, fault.seq) == (there.first.id, 6)


@pytest.mark.slow
@pytest.mark.fault
def test_a_kill_while_chains_are_made_anew_changes_nothing(sqlite_url: str, tmp_path: Path) -> None:
    filled(sqlite_url, tmp_path)
    undo_to(sqlite_url, "0009")
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


def test_accounts_from_before_server_roles_are_persons(database_url: str, tmp_path: Path) -> None:
    ada = Actor(id=ActorId("u_" + "a" * 32), kind=ActorKind.PERSON, name="Ada")
    adding = AddAccount(
        actor=ada, handle="ada", skeleton="ada", made_as="ada", role=ServerRole.OWNER
    )

    async def prepare() -> None:
        async with opened(database_url, data_dir=tmp_path) as world:
            await world.store.write(adding)

    asyncio.run(prepare())
    undo_to(database_url, "0013")
    migrate.upgrade(database_url, lambda _: None)
    assert migrate.check(database_url) == []
    assert asked(database_url, "SELECT role FROM accounts") == [("person",)]


class Renamed(RoomCommand[None], frozen=True, kw_only=True):
    """An event as older versions wrote it, with a name in it."""

    by: ActorId

    def apply(self, tx: Transaction) -> None:
        data = {"actor": self.by, "name": "Planted"}
        tx.log(tx.room(self.room), EventType.MEMBER_RENAMED, tx.actor(self.by), data=data)


def test_the_names_in_old_events_go_and_every_chain_holds(
    database_url: str, tmp_path: Path
) -> None:
    async def prepare() -> RoomId:
        async with opened(database_url, data_dir=tmp_path) as world:
            ada = await world.person()
            room = (await world.room(ada)).id
            for _ in range(2):
                await world.store.write(Renamed(room=room, by=ada.id))
            return room

    room = asyncio.run(prepare())
    before = asked(database_url, CHAINS)
    execute(database_url, "UPDATE events SET data = '{' WHERE seq = 3")
    undo_to(database_url, "0020")
    migrate.upgrade(database_url, lambda _: None)
    assert asked(database_url, CHAINS) == before
    [(data, salt)] = asked(database_url, "SELECT data, salt FROM events WHERE seq = 2")
    assert "Planted" not in data
    assert salt is None, "which would tell whether a guess is right"
    fault = verify(database_url, untold).faults[0]
    assert (fault.room, fault.seq) == (room, 3), "what was damaged before"


@pytest.mark.parametrize("written", [False, True], ids=["who only looked", "who wrote"])
def test_guests_from_before_there_were_owners_are_noted(
    database_url: str, tmp_path: Path, *, written: bool
) -> None:
    bo = Actor(id=ActorId("u_" + "b" * 32), kind=ActorKind.PERSON, name="Bo", guest=True)

    async def prepare() -> None:
        async with opened(database_url, data_dir=tmp_path) as world:
            await world.store.write(AddActor(actor=bo, handle="guest-b", unused=not written))

    asyncio.run(prepare())
    noted = "SELECT count(*) FROM meta WHERE name = 'guests_before'"
    assert asked(database_url, noted) == [(0,)], "a new database has none"
    undo_to(database_url, "0016")
    migrate.upgrade(database_url, lambda _: None)
    assert asked(database_url, noted) == [(int(written),)]


def test_keys_from_before_end_by_themselves_never_and_are_good_everywhere(
    database_url: str, tmp_path: Path
) -> None:
    async def prepare() -> None:
        async with opened(database_url, data_dir=tmp_path) as world:
            id_ = world.clock.new_id()
            ada = Actor(id=ActorId(f"u_{id_}"), kind=ActorKind.PERSON, name="Ada")
            scopes = frozenset({Scope.CHAT})
            key = ApiKey(id=KeyId(f"k_{id_}"), name="Old", actor=ada, scopes=scopes, created_ms=0)
            await world.store.write(AddKey(key=key, handle="ada", token_sha256=b"k" * 32))

    asyncio.run(prepare())
    undo_to(database_url, "0019")
    migrate.upgrade(database_url, lambda _: None)
    assert migrate.check(database_url) == []

    async def look() -> None:
        async with opened(database_url, data_dir=tmp_path) as world:
            found = await world.store.read(api_keys.by_token, b"k" * 32)
            assert found is not None
            assert (found.name, found.scopes) == ("Old", {Scope.CHAT})
            assert (found.expires_ms, found.rooms) == (None, None)

    asyncio.run(look())


def test_what_made_an_agent_before_becomes_the_first_version_of_its_card(
    database_url: str, tmp_path: Path
) -> None:
    async def prepare() -> None:
        async with opened(database_url, data_dir=tmp_path) as world:
            for subject in ("clerk", "Der Rat", "ada"):
                id_ = ActorId(f"a_{world.clock.new_id()}")
                await world.store.write(SaveAgent(id=id_, subject=subject, changes={}))
            ada = Actor(id=ActorId("u_" + "a" * 32), kind=ActorKind.PERSON, name="Ada")
            adding = AddAccount(actor=ada, handle="bob", skeleton="ada", made_as="u")
            await world.store.write(adding)

    asyncio.run(prepare())
    undo_to(database_url, "0024")
    settings = (
        """UPDATE agents SET model = 'm', system_prompt = 'Be kind.', settings = '{"top_p": 1}'"""
    )
    execute(database_url, settings)
    migrate.upgrade(database_url, lambda _: None)
    assert migrate.check(database_url) == []

    async def look() -> None:
        async with opened(database_url, data_dir=tmp_path) as world:
            for subject, handle in (("clerk", "clerk"), ("Der Rat", None), ("ada", None)):
                card = await world.store.read(agents.by_subject, subject)
                assert card is not None
                assert (card.version, card.name, card.handle) == (1, subject, handle)
                told = (card.model, card.persona, card.parameters)
                assert told == ("m", "Be kind.", {"top_p": 1})

    asyncio.run(look())
