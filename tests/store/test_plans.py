"""How both engines answer each statement of a request, a batch or a piece, on tables with a million rows.

No statement reads a whole table or sorts more than a page. The rows are not there: statistics say so. On SQLite they
are written by hand; a database without any, as every one of ours is, is asked as well. On PostgreSQL small tables are
filled and analyzed, and its catalogue then says that they are large.
"""

import asyncio
import importlib
import pkgutil
import re
import sqlite3
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import pytest
from sqlalchemy import (
    ARRAY,
    Boolean,
    Column,
    Connection,
    Insert,
    Table,
    TypeDecorator,
    Update,
    bindparam,
    select,
    text,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.types import NullType, TypeEngine
from tests.store.world import opened

from palaver.store import read, write
from palaver.store.columns import Choice, Cid, Id, Json
from palaver.store.engine.statement import ListStatement, Statement
from palaver.store.read import exchanges, rooms
from palaver.store.schema import messages, metadata

ROWS = 1_000_000
BOUNDED = {
    "agents": 1_000,
    "meta": 10,
    "usage": 1_000,
    "budgets": 100,
    "reserves": 100,
    "consumers": 100,
    "webhooks": 200,
    "path": 100,  # no table: branches that grew out of each other
}
"""Tables that what operators do keeps small, what runs now, and what is added up, of which some days are asked."""
FEW = 1_000
"""So many rows a statement may look at beyond those that it gives: a page, a list, an actor's few memberships."""
SHARED = {
    "members.room_key": 3,
    "members.actor_key": 50,
    "messages.room_key": 5_000,
    "messages.author_key": 1_000,
    "events.room_key": 5_000,
    "turns.room_key": 20,
    "turns.agent_key": 100_000,
    "exchanges.room_key": 20,
    "exchanges.actor_key": 500,
    "exchanges.name": 2,
    "exchanges.body_digest": 2,
    "prefixes.actor_key": 500,
    "prefixes.digest": 5,
    "client_rooms.actor_key": 50,
    "asides.room_key": 20,
    "partials.turn_id": 3,
    "reactions.room_key": 500,
    "reactions.actor_key": 500,
    "reactions.emoji": 100_000,
    "pins.room_key": 100,
    "stars.actor_key": 500,
    "stars.room_key": 500,
    "sessions.actor_key": 2,
    "tickets.actor_key": 2,
    "tickets.room_key": 20,
    "keys.actor_key": 2,
    "prompts.actor_key": 20,
    "prompts.id": 3,
    "branches.room_key": 2,
    "agent_versions.actor_key": 10,
    "agent_people.agent_key": 3,
}
"""How many rows have the same value, where it is more than one."""
USUAL = {"rooms.visibility": "private", "turns.state": "ended"}
"""What most rows say; of other words the last of the enumeration."""
ASKED = {"limit": 51, "count": 51, "reach": 21, "offset": 0, "active_ms": 2**62, "memberships": 51}
FILLED, SELDOM = 2_000, 1_000
"""So many rows are there, and one of so many is unusual."""


def statements() -> dict[str, Statement]:
    """Every statement of the modules that read and write, by its name there."""
    found: dict[str, Statement] = {}
    for module in modules():
        for name, value in vars(module).items():
            for more, statement in parts(value):
                found[f"{module.__name__.removeprefix('palaver.store.')}.{name}{more}"] = statement
    for few in (True, False):
        for wanted in (
            rooms._Wanted(),
            rooms._Wanted(own=True),
            rooms._Wanted(hidden=False),
            rooms._Wanted(hidden=True),
            rooms._Wanted(deleted=True),
            rooms._Wanted(archived=True),
            rooms._Wanted(hidden=False, archived=False),
            rooms._Wanted(brief=True),
            rooms._Wanted(searched=True),
            rooms._Wanted(every=True),
            rooms._Wanted(opened=True),
            rooms._Wanted(pinned=True, archived=False),
        ):
            alone = wanted.every or wanted.opened
            if (few or not (wanted.searched or wanted.pinned)) and not (few and alone):
                found[f"read.rooms._list_of {wanted} {few}"] = rooms._list_of(wanted, few=few)
    for pairs, few in product((0, 1), (False, True)):
        kept = exchanges._kept(newest_first=not pairs, of_model=bool(pairs), pairs=pairs, few=few)
        found[f"read.exchanges._kept {pairs} {few}"] = kept
    return found


def modules() -> Iterator[ModuleType]:
    for package in (read, write):
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            yield importlib.import_module(found.name)


def parts(value: object) -> Iterator[tuple[str, Statement]]:
    if isinstance(value, Statement):
        yield "", value
    elif isinstance(value, ListStatement):
        for size in (1, 64):
            yield f" of {size}", value.of(size)
    elif isinstance(value, dict):
        for key, one in cast("dict[object, object]", value).items():
            if isinstance(one, Statement | ListStatement):
                yield from ((f"[{key}]{more}", found) for more, found in parts(one))


def given(name: str, kind: TypeEngine[Any]) -> Any:
    if isinstance(kind, ARRAY):
        return [value_of(name, cast("Any", kind).item_type)] * 2
    return value_of(name, kind)


def value_of(name: str, kind: TypeEngine[Any]) -> Any:
    """Something that a parameter can be."""
    if isinstance(kind, Choice):
        return next(iter(kind.words))
    if isinstance(kind, Id):
        return "x_" + "0" * 31 + "7"
    if isinstance(kind, Json):
        return {}
    plain = plain_of(kind)
    if isinstance(kind, Cid) or plain is str:
        return "7"
    if plain is bytes:
        return b"7" * 16
    return ASKED.get(name.rstrip("_0123456789"), 7) if plain is not bool else True


def plain_of(kind: TypeEngine[Any]) -> type:
    """The type of what the driver takes."""
    return (kind.impl_instance if isinstance(kind, TypeDecorator) else kind).python_type


def values_of(statement: Statement, dialect: Any) -> list[Any]:
    construct = statement._sqlite if dialect.name == "sqlite" else statement._construct
    binds = cast(SQLCompiler, construct.compile(dialect=dialect)).binds
    return [given(one, binds[one].type) if one in binds else 7 for one in statement._names]


BAD = (
    Statement(select(messages.c.seq).where(messages.c.text == bindparam("text")), "text"),
    Statement(
        select(messages.c.seq)
        .where(messages.c.room_key == bindparam("room"))
        .order_by(messages.c.created_ms),
        "room",
    ),
    Statement(select(messages.c.seq).order_by(messages.c.room_key, messages.c.seq)),
)
"""Reads all, sorts what is long, walks a whole index."""


def takes_an_array(statement: Statement) -> bool:
    """Whether it is asked on PostgreSQL only."""
    found = statement._construct.compile(dialect=postgresql.dialect())
    return any(isinstance(one.type, ARRAY) for one in cast(SQLCompiler, found).binds.values())


def told_of(faults: dict[str, list[str]]) -> str:
    return "\n".join([f"{name}: {fault}" for name, found in faults.items() for fault in found])


# SQLite

SORTS = {
    "read.api_keys._OF_ACTOR": "an actor's keys",
    "read.devices._DEVICES": "an actor's devices",
    "read.events._GLIMPSES": "the last of a page's rooms, cut by an index before",
    "read.events._SINCE": "a page, cut by an index before",
    "read.exchanges._BY_NAME": "what has one name",
    "read.messages._SPOKEN": "a page, cut by an index before",
    "read.past._PAGE": "a page, cut by an index before",
    "read.deleted._WALK": "a page, cut by an index before",
    "read.deleted._HISTORIES": "an owner's first thousand rooms",
    "read.marks._PINNED": "the pins of a room",
    "read.marks._STARS": "a page, cut by an index before",
    "read.reactions._SHOWN": "the reactions to a page's messages, each of which has so many",
    "read.usage.LOCKED": "budgets that bound one answer",
    "read.usage._REPORTS": "what is added up",
    "read.usage._WAITS": "what is added up",
    "write.budgets.LOCKED": "budgets that bound one answer",
    "read.rooms._AGENTS": "the agents of a page's rooms",
    "read.rooms._list_of": "a page, cut by an index before, or an actor's few memberships",
    "write.actors._SHARED": "an actor's rooms, of which the first thousand are kept",
    "write.exchanges._REPEATED": "requests with the same words",
    "write.speakers._LISTENERS": "the agents of a batch's rooms",
    "write.messages._LOCK": "what a batch asks for",
    "write.recognition._MET": "the histories that begin with the same messages",
    "read.webhooks._HEADS": "the rooms of what waits, of which there are at most 1,000",
    "write.turns._CLAIMABLE": "open turns that nobody holds",
}
"""What may sort, and why it is little."""
SCANNED = {
    *("cut", "own", "opened", "walked", "said", "mine", "asked", "counted", "told"),
    *("pragma_page_count", "pragma_page_size"),
}
"""Subqueries that have been cut to a page, that give their rows one by one, or that list what is asked for; and what is
one number."""
PARTIAL = {
    "turns_open": "the answers that are under way",
    "accounts_owners": "the owners of the server",
    "profiles_servers": "its connections to model servers, of which there are few",
}
"""Indexes that are read whole."""


def sqlite_faults(name: str, lines: list[str]) -> list[str]:
    faults: list[str] = []
    for line in lines:
        scanned = re.match(r"SCAN (\S+)(?:.* INDEX (\S+))?", line)
        if scanned is not None:
            source, index = scanned.groups()
            inner = source.startswith(("anon_", "(subquery-"))
            known = source in SCANNED or inner or " CONSTANT ROW" in line
            if not (known or source in BOUNDED or index in PARTIAL):
                faults.append(line)
        if "TEMP B-TREE FOR ORDER BY" in line and not any(map(name.startswith, SORTS)):
            faults.append(line)
        if "AUTOMATIC" in line:
            faults.append(line)
    return faults


def write_statistics(file: sqlite3.Connection) -> None:
    """As ANALYZE would find them."""
    file.execute("ANALYZE")
    file.execute("DELETE FROM sqlite_stat1")
    tables = [row[0] for row in file.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    for table in set(tables) & set(metadata.tables):
        rows = BOUNDED.get(table, ROWS)
        for _, index, unique, _, partial in file.execute(f"PRAGMA index_list({table})").fetchall():
            columns = [row[2] for row in file.execute(f"PRAGMA index_info({index})")]
            same = SHARED.get(f"{table}.{columns[0]}", 1)
            counts = [same, *[min(same, 2)] * (len(columns) - 1)]
            if unique:
                counts[-1] = 1
            held = rows // 1_000 if partial else rows
            stat = " ".join(map(str, [held, *counts]))
            file.execute("INSERT INTO sqlite_stat1 VALUES (?, ?, ?)", (table, index, stat))
        file.execute("INSERT INTO sqlite_stat1 VALUES (?, NULL, ?)", (table, str(rows)))


@pytest.mark.parametrize("analyzed", [True, False])
def test_sqlite_reads_no_whole_table_and_sorts_no_more_than_a_page(
    sqlite_url: str, tmp_path: Path, *, analyzed: bool
) -> None:
    asyncio.run(made(sqlite_url))
    dialect = sqlite.dialect(paramstyle="qmark")
    if analyzed:
        with sqlite3.connect(tmp_path / "palaver.db") as file:
            write_statistics(file)
        file.close()
    file = sqlite3.connect(tmp_path / "palaver.db")

    def plan(statement: Statement) -> list[str]:
        form = statement._form(dialect)
        values = form.parameters(tuple(values_of(statement, dialect)))
        return [row[3] for row in file.execute(f"EXPLAIN QUERY PLAN {form.text}", values)]

    asked = {name: one for name, one in statements().items() if not takes_an_array(one)}
    plans = {name: plan(statement) for name, statement in asked.items()}
    faults = {name: found for name, lines in plans.items() if (found := sqlite_faults(name, lines))}
    assert faults == {}, told_of(faults)
    assert len(plans) > 100
    assert all(sqlite_faults("", plan(bad)) for bad in BAD)
    file.close()


async def made(url: str) -> None:
    async with opened(url):
        pass


# PostgreSQL

STOPPING = {"Sort", "Aggregate", "Hash", "CTE Scan", "Unique", "Materialize", "SetOp"}
"""Nodes that read all that is below them, whatever is asked of them."""


def postgres_faults(node: dict[str, Any], *, lazily: bool = False) -> list[str]:
    """What a node and those below it do too much. `lazily`: it is asked for no more than a page."""
    kind, rows = node["Node Type"], node["Plan Rows"]
    told = f"{kind} on {node.get('Relation Name')} by {node.get('Index Name')}: {rows} rows"
    faults: list[str] = []
    if kind == "Seq Scan" and node["Relation Name"] not in BOUNDED:
        faults.append(told)
    led = "Index Cond" in node or "Recheck Cond" in node or node.get("Index Name") in PARTIAL
    if kind in {"Index Scan", "Index Only Scan"} and not led and "Filter" in node:
        faults.append(told)
    if kind.endswith("Scan") and "Relation Name" in node and rows > FEW and not lazily:
        faults.append(told)
    if kind in {"Sort", "Incremental Sort"} and node["Plans"][0]["Plan Rows"] > FEW:
        faults.append(told)
    below = kind == "Limit" or (lazily and kind not in STOPPING and kind != "Hash Join")
    for child in node.get("Plans", ()):
        faults += postgres_faults(child, lazily=below and child.get("Parent Relationship") != "CTE")
    return faults


def filled(table: Table) -> str:
    """An INSERT of a few hundred rows, whose columns have as many values as the statistics will tell."""
    columns = ", ".join(f'"{column.name}"' for column in table.columns)
    values = ", ".join(map(filling, table.columns))
    return (
        f"INSERT INTO {table.name} ({columns}) OVERRIDING SYSTEM VALUE"
        f" SELECT {values} FROM generate_series(1, {FILLED}) AS n"
    )


def filling(column: Column[Any]) -> str:
    kind = column.type
    if isinstance(kind, Choice):
        words = list(kind.words)
        usual = USUAL.get(f"{column.table.name}.{column.name}", words[-1])
        other = next(word for word in words if word != usual) if len(words) > 1 else usual
        value = f"CASE WHEN n % {SELDOM} = 0 THEN '{other}' ELSE '{usual}' END"
    elif isinstance(kind, Boolean):
        value = "n % 2 = 0"
    elif isinstance(kind, Json):
        value = "'{}'"
    elif plain_of(kind) is str:
        value = "n::text"
    elif plain_of(kind) is bytes:
        value = "decode(lpad(to_hex(n), 32, '0'), 'hex')"
    else:
        value = "n"
    often = not column.nullable or column.name in {"cid", "actor_key", "room_key"}
    return value if often else f"CASE WHEN n % {SELDOM} = 0 THEN {value} END"


def forge(conn: Connection) -> None:
    """Makes the database believe that its tables are large."""
    conn.execute(text("SET session_replication_role = replica"))  # references are not looked at
    for table in metadata.sorted_tables:
        conn.execute(text(f"DELETE FROM {table.name}"))
        conn.execute(text(f"ALTER TABLE {table.name} SET (autovacuum_enabled = off)"))
        conn.execute(text(filled(table).replace(":", r"\:")))
    for place, same in SHARED.items():
        table, column = place.split(".")
        told = f"ALTER TABLE {table} ALTER {column} SET (n_distinct = {-1 / same})"
        conn.execute(text(told))
    conn.execute(text("RESET session_replication_role"))
    conn.execute(text("ANALYZE"))
    large = (
        "UPDATE pg_class c SET reltuples = :rows FROM pg_class t, pg_index i"
        " WHERE t.relname = :table AND i.indrelid = t.oid AND"
        " (c.oid = t.oid OR c.oid = i.indexrelid AND i.indpred IS NULL)"
    )
    for table in metadata.tables:
        conn.execute(text(large), {"rows": BOUNDED.get(table, ROWS), "table": table})


@pytest.mark.postgres
async def test_postgresql_reads_no_whole_table_and_sorts_no_more_than_a_page(
    postgres_url: str,
) -> None:
    def plan(conn: Connection, statement: Statement) -> dict[str, Any]:
        form = statement._form(conn.dialect)
        values = form.parameters(tuple(values_of(statement, conn.dialect)))
        return explained(conn, form.text, values)

    def plan_of_many(conn: Connection, statement: Statement) -> dict[str, Any] | None:
        construct = statement._construct
        if not isinstance(construct, Insert | Update) or not statement._names:
            return None
        binds = construct.compile(dialect=conn.dialect).binds
        if any(isinstance(one.type, NullType) for one in binds.values()):
            return None  # it is only run for one row
        form = statement._form(conn.dialect)
        rows = [tuple(values_of(statement, conn.dialect))] * 64
        return explained(conn, statement.over_arrays(conn.dialect), tuple(form.columns_of(rows)))

    async with opened(postgres_url) as world:
        await world.store.read(forge)
        faults: dict[str, list[str]] = {}
        for name, statement in statements().items():
            found = [await world.store.read(plan, statement)]
            if (many := await world.store.read(plan_of_many, statement)) is not None:
                found.append(many)
            if told := [fault for one in found for fault in postgres_faults(one)]:
                faults[name] = told
        assert faults == {}, told_of(faults)
        for bad in BAD:
            assert postgres_faults(await world.store.read(plan, bad))


def explained(conn: Connection, sql: str, values: tuple[Any, ...]) -> dict[str, Any]:
    (found,) = conn.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {sql}", values).one()
    return found[0]["Plan"]
