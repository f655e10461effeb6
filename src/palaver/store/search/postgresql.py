"""The search index in PostgreSQL: a table of tokens with a GIN index, and one row that says how far it is.

Tokens are made by us, so a row's vector has them as they are, without a language, positions or weights. The planner
cannot know that the newest of many hits are wanted: left alone it walks all rows by docid for a word that is common but
old, or sorts a million hits for one that is common. So its own estimate decides: few hits are fetched by their words
and sorted; many are found by walking from the newest on, in steps.
"""

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Connection

from palaver.store.search.index import (
    LEASE_MS,
    PLACES,
    Progress,
    Proposal,
    Row,
    Wanted,
    progress_of,
    said_of,
)

FEW = 20_000
"""So many hits are fetched and sorted."""
STEP = 5_000
"""So many rows a step looks at."""

TABLES = ("search_index", "search_progress")
_LOCK = "SELECT pg_advisory_xact_lock(7308332046010253927)"
_CREATE = """
CREATE TABLE IF NOT EXISTS search_index
(docid BIGINT PRIMARY KEY, room_key BIGINT NOT NULL, seq BIGINT NOT NULL, words TSVECTOR NOT NULL);
CREATE INDEX IF NOT EXISTS search_index_words ON search_index USING gin (words) WITH (fastupdate = off);
CREATE TABLE IF NOT EXISTS search_progress
(said TEXT NOT NULL, owner TEXT NOT NULL, lease_until_ms BIGINT NOT NULL);
TRUNCATE search_index, search_progress;
INSERT INTO search_progress VALUES ('', '', 0)
"""
"""Tables that are there stay, so that whoever searches meanwhile finds them."""
_IS_THERE = "SELECT to_regclass('search_progress')"
_NOW = "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)"
_CLAIM = f"""
UPDATE search_progress SET owner = $1, lease_until_ms = {_NOW} + {LEASE_MS}
WHERE owner = $1 OR lease_until_ms < {_NOW} RETURNING owner
"""  # noqa: S608  our own words
_INSERT = """
INSERT INTO search_index SELECT docid, room_key, seq, array_to_tsvector(string_to_array(words, ' '))
FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::text[]) AS given (docid, room_key, seq, words)
"""
_RETIRE = "DELETE FROM search_index WHERE docid BETWEEN $1 AND $2 AND room_key = $3 AND seq = $4"
_LASTS = f"""
SELECT second, coalesce(
  (SELECT max(docid) FROM search_index WHERE docid >= second AND docid < second + {PLACES}), second - 1
) AS last FROM unnest($1::bigint[]) AS second
"""  # noqa: S608  our own number
_WHERE = "FROM search_index WHERE words @@ CAST($1::text AS tsquery) AND docid >= $2 AND docid < $3"
_ESTIMATE = f"EXPLAIN (FORMAT JSON) SELECT docid {_WHERE}"
_BY_WORDS = f"""
WITH found AS MATERIALIZED (SELECT docid, room_key, seq {_WHERE})
SELECT docid, room_key, seq FROM found ORDER BY docid DESC LIMIT $4
"""  # noqa: S608  likewise
_WALK = """
WITH here AS MATERIALIZED (
  SELECT * FROM search_index WHERE docid >= $2 AND docid < $3 ORDER BY docid DESC LIMIT $4
)
SELECT docid, room_key, seq, words @@ CAST($1::text AS tsquery) AS found FROM here ORDER BY docid DESC
"""
"""All rows of a step, and which of them are found."""
_ANY = """
SELECT docid, room_key, seq FROM search_index WHERE docid >= $1 AND docid < $2 ORDER BY docid DESC LIMIT $3
"""


class PostgresqlEngine:
    """See `index.Engine`."""

    steady = False

    def lock(self, conn: Connection) -> None:
        """As `Engine.lock`."""
        conn.exec_driver_sql(_LOCK)

    def create(self, conn: Connection) -> None:
        """As `Engine.create`."""
        for text in _CREATE.split(";"):
            conn.exec_driver_sql(text)

    def load(self, conn: Connection) -> Progress | None:
        """As `Engine.load`."""
        if conn.exec_driver_sql(_IS_THERE).scalar() is None:
            return None
        said = conn.exec_driver_sql("SELECT said FROM search_progress").scalar()
        return None if said is None else progress_of(said)

    def claim(self, conn: Connection, owner: str) -> bool:
        """As `Engine.claim`. Where there is no index, whoever comes may make it."""
        if conn.exec_driver_sql(_IS_THERE).scalar() is None:
            return True
        return conn.exec_driver_sql(_CLAIM, (owner,)).first() is not None

    def save(self, conn: Connection, progress: Progress) -> None:
        """As `Engine.save`."""
        conn.exec_driver_sql("UPDATE search_progress SET said = $1", (said_of(progress),))

    def insert(self, conn: Connection, rows: Sequence[Row]) -> None:
        """As `Engine.insert`."""
        if rows:
            docids, rooms, seqs, words = zip(*rows, strict=True)
            said = [" ".join(one) for one in words]
            conn.exec_driver_sql(_INSERT, (list(docids), list(rooms), list(seqs), said))

    def retire(self, conn: Connection, low: int, high: int, room_key: int, seq: int) -> None:
        """As `Engine.retire`."""
        conn.exec_driver_sql(_RETIRE, (low, high, room_key, seq))

    def lasts(self, conn: Connection, seconds: Collection[int]) -> dict[int, int]:
        """As `Engine.lasts`."""
        return {row.second: row.last for row in conn.exec_driver_sql(_LASTS, ([*seconds],))}

    def propose(self, conn: Connection, wanted: Wanted, limit: int) -> tuple[list[Proposal], int]:
        """As `Engine.propose`."""
        query, bounds = query_of(wanted), (wanted.low, wanted.high)
        if not query:
            rows: Any = conn.exec_driver_sql(_ANY, (*bounds, limit))
        elif self._estimated(conn, query, bounds) <= FEW:
            rows = conn.exec_driver_sql(_BY_WORDS, (query, *bounds, limit))
        else:
            step = conn.exec_driver_sql(_WALK, (query, *bounds, STEP)).all()
            found = [Proposal(*row[:3]) for row in step if row.found][:limit]
            if len(found) == limit:
                return found, found[-1].docid
            return found, step[-1].docid if len(step) == STEP else wanted.low
        found = [Proposal(*row) for row in rows.all()]
        return found, found[-1].docid if len(found) == limit else wanted.low

    @staticmethod
    def _estimated(conn: Connection, query: str, bounds: tuple[int, int]) -> float:
        plan = conn.exec_driver_sql(_ESTIMATE, (query, *bounds)).scalar_one()
        return float(plan[0]["Plan"]["Plan Rows"])


def query_of(wanted: Wanted) -> str:
    """The text of a tsquery."""
    words = [f"{_quoted(text)}:*" if prefix else _quoted(text) for text, prefix in wanted.words]
    words += ["(" + " | ".join(map(_quoted, texts)) + ")" for texts in wanted.among]
    return " & ".join(words)


def _quoted(token: str) -> str:
    return "'" + token.replace("\\", "\\\\").replace("'", "''") + "'"
