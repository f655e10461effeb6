"""The search index in SQLite: a contentless FTS5 table, and which docid means which message.

The tokens are made by us, so FTS5 only has to part them at the blanks; it keeps no positions and no sizes, which makes
it half as large, and knows AND, OR and prefixes. Its text is quoted: nothing in a token means anything to MATCH.
"""

from collections.abc import Collection, Sequence
from typing import Any

import orjson
from sqlalchemy import Connection

from palaver.store.search.index import (
    PLACES,
    Progress,
    Proposal,
    Row,
    Wanted,
    progress_of,
    said_of,
)

_CREATE = """
DROP TABLE IF EXISTS words;
DROP TABLE IF EXISTS docs;
DROP TABLE IF EXISTS progress;
CREATE VIRTUAL TABLE words USING fts5
(tokens, content='', detail=none, columnsize=0, tokenize='ascii', prefix='2 3');
CREATE TABLE docs (docid INTEGER PRIMARY KEY, room_key INTEGER NOT NULL, seq INTEGER NOT NULL);
CREATE TABLE progress (said TEXT NOT NULL)
"""
_IS_THERE = "SELECT 1 FROM sqlite_master WHERE name = 'progress'"
_RETIRE = "UPDATE docs SET seq = -seq WHERE docid BETWEEN ? AND ? AND room_key = ? AND seq = ?"
_LASTS = f"""
SELECT value AS second, coalesce(
  (SELECT max(docid) FROM docs WHERE docid >= value AND docid < value + {PLACES}), value - 1
) AS last FROM json_each(?)
"""  # noqa: S608  our own number
_PROPOSE = """
SELECT docs.docid, docs.room_key, docs.seq FROM words JOIN docs ON docs.docid = words.rowid
WHERE words MATCH ? AND words.rowid >= ? AND words.rowid < ? ORDER BY words.rowid DESC LIMIT ?
"""
_ANY = "SELECT docid, room_key, seq FROM docs WHERE docid >= ? AND docid < ? ORDER BY docid DESC LIMIT ?"


class SqliteEngine:
    """See `index.Engine`. One process has the file, so claims are always granted."""

    steady = True

    def lock(self, conn: Connection) -> None:
        """As `Engine.lock`: nobody else writes."""

    def create(self, conn: Connection) -> None:
        """As `Engine.create`."""
        for text in _CREATE.split(";"):
            conn.exec_driver_sql(text)

    def load(self, conn: Connection) -> Progress | None:
        """As `Engine.load`."""
        if conn.exec_driver_sql(_IS_THERE).first() is None:
            return None
        row = conn.exec_driver_sql("SELECT said FROM progress").first()
        return None if row is None else progress_of(row.said)

    def claim(self, conn: Connection, owner: str) -> bool:  # noqa: ARG002  as of `Engine`
        """As `Engine.claim`."""
        return True

    def save(self, conn: Connection, progress: Progress) -> None:
        """As `Engine.save`."""
        conn.exec_driver_sql("DELETE FROM progress")
        conn.exec_driver_sql("INSERT INTO progress VALUES (?)", (said_of(progress),))

    def insert(self, conn: Connection, rows: Sequence[Row]) -> None:
        """As `Engine.insert`."""
        if rows:
            conn.exec_driver_sql("INSERT INTO docs VALUES (?, ?, ?)", [row[:3] for row in rows])
            said = [(docid, " ".join(words)) for docid, _, _, words in rows]
            conn.exec_driver_sql("INSERT INTO words (rowid, tokens) VALUES (?, ?)", said)

    def retire(self, conn: Connection, low: int, high: int, room_key: int, seq: int) -> None:
        """As `Engine.retire`. The words stay: they can only be taken out by who knows them all, as they were."""
        conn.exec_driver_sql(_RETIRE, (low, high, room_key, seq))

    def lasts(self, conn: Connection, seconds: Collection[int]) -> dict[int, int]:
        """As `Engine.lasts`."""
        asked = orjson.dumps([*seconds]).decode()
        return {row.second: row.last for row in conn.exec_driver_sql(_LASTS, (asked,))}

    def propose(self, conn: Connection, wanted: Wanted, limit: int) -> tuple[list[Proposal], int]:
        """As `Engine.propose`."""
        match = match_of(wanted)
        bounds = (wanted.low, wanted.high, limit)
        if match:
            rows: Any = conn.exec_driver_sql(_PROPOSE, (match, *bounds))
        else:
            rows = conn.exec_driver_sql(_ANY, bounds)
        found = [*map(Proposal._make, rows.all())]
        return found, found[-1].docid if len(found) == limit else wanted.low


def match_of(wanted: Wanted) -> str:
    """The query for MATCH."""
    words = [f"{_quoted(text)}*" if prefix else _quoted(text) for text, prefix in wanted.words]
    words += ["(" + " OR ".join(map(_quoted, texts)) + ")" for texts in wanted.among]
    return " AND ".join(words)


def _quoted(token: str) -> str:
    return '"' + token.replace('"', '""') + '"'
