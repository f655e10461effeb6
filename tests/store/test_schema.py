"""The migrations make exactly the declared tables, and the hot queries use their indexes."""

import asyncio
import re
import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.schema import CreateIndex, CreateTable
from tests.store.world import World, opened

from palaver.model import RoomId
from palaver.store import migrate
from palaver.store.columns import INTEGER_MAX
from palaver.store.engine.statement import Statement
from palaver.store.read import events, messages, rooms
from palaver.store.schema import metadata
from palaver.store.write import messages as adding, recognition


async def test_the_migrated_schema_is_the_declared_one(world: World) -> None:
    assert await world.store.read(migrate.differences) == []


def normal(sql: str) -> str:
    return re.sub(r"\s+", " ", sql.replace('"', "")).replace(" )", ")").strip().lower()


async def test_sqlite_holds_the_declared_statements(sqlite_url: str, tmp_path: Path) -> None:
    """Alembic's comparison knows no checks and no partial indexes; SQLite keeps each statement's text."""
    async with opened(sqlite_url):
        pass
    engine = create_engine("sqlite://")
    wanted: set[str] = set()
    for table in metadata.tables.values():
        wanted.add(normal(str(CreateTable(table).compile(engine))))
        wanted |= {normal(str(CreateIndex(index).compile(engine))) for index in table.indexes}
    with sqlite3.connect(tmp_path / "palaver.db") as connection:
        query = "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name <> 'alembic_version'"
        found = {normal(sql) for (sql,) in connection.execute(query)}
    connection.close()
    assert sorted(map(parts, found)) == sorted(map(parts, wanted))


def parts(sql: str) -> list[str]:
    """The statement's pieces in one order: two texts may list the same constraints differently."""
    head, _, body = sql.partition("(")
    return [head.strip(), *sorted(piece.strip() for piece in body.removesuffix(")").split(","))]


@pytest.mark.postgres
async def test_postgresql_has_the_declared_indexes(postgres_url: str) -> None:
    def indexes(conn: Connection) -> dict[str, str]:
        query = "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'"
        return {name: normal(sql) for name, sql in conn.execute(text(query))}

    async with opened(postgres_url) as world:
        found = await world.store.read(indexes)
    partial = {
        "rooms_active": "where (deleted_ms is null)",
        "rooms_open": "where ((visibility = 'open'::text) and (open_role is null) and (deleted_ms is null))",
        "rooms_parent": "where (parent_key is not null)",
        "members_agents": "where (speaks is not null)",
        "messages_cid": "where (cid is not null)",
        "turns_open": "where (state = 'open'::text)",
    }
    for name, condition in partial.items():
        assert found[name].endswith(condition)
    declared = {index.name for table in metadata.tables.values() for index in table.indexes}
    assert declared <= found.keys()


def plan(conn: Connection, statement: Statement, values: tuple[object, ...]) -> str:
    form = statement._form(conn.dialect)
    driver = conn.connection.dbapi_connection
    assert driver is not None
    cursor = driver.cursor()
    cursor.execute("EXPLAIN QUERY PLAN " + form.text, form.parameters(values))
    return "\n".join(row[3] for row in cursor.fetchall())


LISTED_BY_MEMBERSHIPS = rooms._list_of(rooms._Wanted(), few=True)
PAGED = (RoomId("r_" + "0" * 32), 0, 5, 50)


@pytest.mark.parametrize(
    ("statement", "values", "used"),
    [
        (messages._UNTIL, PAGED, "messages USING INDEX messages_branches"),
        (messages._FROM, (*PAGED[:3], 99, 50), "messages USING INDEX messages_branches"),
        (messages._CONTEXT, PAGED, "messages USING INDEX messages_branches"),
        (events._SINCE, PAGED, "events USING INDEX sqlite_autoindex_events"),
        (adding._KNOWN.of(4), ("a", "b", "c", "d"), "messages USING INDEX messages_cid"),
        (
            LISTED_BY_MEMBERSHIPS,
            (1, INTEGER_MAX, INTEGER_MAX, 21, 21, 0),
            "members USING INDEX members_actor",
        ),
        (
            rooms._list_of(rooms._Wanted(), few=False),
            (1, INTEGER_MAX, INTEGER_MAX, 21, 21, 0),
            "rooms USING COVERING INDEX rooms_active|rooms USING INDEX rooms_active",
        ),
        (
            recognition._MET.of(64),
            (*[b"d"] * 64, 1),
            "prefixes USING INDEX sqlite_autoindex_prefixes",
        ),
        (recognition._NEWEST, ("r_",), "exchanges USING INDEX exchanges_room"),
        (recognition._ASIDE, (1, b"d"), "asides USING INDEX sqlite_autoindex_asides"),
        (rooms._BY_ID, ("r_", "u_"), "messages USING INDEX sqlite_autoindex_messages"),
    ],
)
async def test_the_hot_queries_use_their_index(
    sqlite_world: World, statement: Statement, values: tuple[object, ...], used: str
) -> None:
    found = await sqlite_world.store.read(plan, statement, values)
    assert any(f"SEARCH {one}" in found or f"SCAN {one}" in found for one in used.split("|")), found
    if statement is LISTED_BY_MEMBERSHIPS:
        assert found.index("members_actor") < found.index("SEARCH rooms"), found
    scanned = re.findall(r"SCAN (messages|events|members|actors)", found)
    assert scanned == [], found
    # few rooms are sorted, and so are the rows of a page that has been cut by the index before
    cutting = found.partition("SCAN cut")[0]
    assert "TEMP B-TREE" not in cutting or "members_actor" in used, found


@pytest.mark.postgres
@pytest.mark.slow
async def test_postgresql_uses_the_indexes_of_a_filled_database(postgres_url: str) -> None:
    async with opened(postgres_url) as world:
        ada = await world.person()
        places = [await world.room(ada) for _ in range(20)]
        await asyncio.gather(*(world.say(places[n % 20], ada) for n in range(3_000)))

        def analyze(conn: Connection) -> None:
            conn.execute(text("ANALYZE"))

        def explained(conn: Connection, sql: str) -> str:
            return "\n".join(row[0] for row in conn.execute(text("EXPLAIN " + sql)))

        await world.store.read(analyze)
        wanted = {
            "SELECT * FROM messages WHERE room_key = 3 AND seq <= 90 "
            "ORDER BY seq DESC LIMIT 10": "messages_pk",
            "SELECT * FROM events WHERE room_key = 3 AND seq > 90 ORDER BY seq LIMIT 10": "events_pk",
            "SELECT * FROM messages WHERE cid IS NOT NULL AND cid IN ('a', 'b')": "messages_cid",
        }
        for sql, index in wanted.items():
            assert index in await world.store.read(explained, sql)
