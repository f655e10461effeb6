"""The baselines: the drivers alone, doing the same work as plainly as they can.

Each append is one transaction with one commit: the room's seq rises, a message and its event are inserted, with the
same columns and unique indexes as Palaver's tables. SQLite: one connection, WAL, `synchronous=FULL`, threads that take
turns by a lock. PostgreSQL: asyncpg, a connection for each writer, one statement, so one round trip.
Nothing checks who may write, no answer is prepared, nobody is told.
"""

import sqlite3
import threading
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks.rounds import Sample, of_latencies

from palaver.clock import SystemClock

TABLES = """
CREATE TABLE rooms (key INTEGER PRIMARY KEY, id {blob} NOT NULL UNIQUE, seq BIGINT NOT NULL, active_ms BIGINT NOT NULL);
CREATE INDEX rooms_active ON rooms (active_ms, key);
CREATE TABLE messages (
  room_key INTEGER NOT NULL, seq BIGINT NOT NULL, id {blob} NOT NULL UNIQUE, author_key INTEGER NOT NULL,
  role TEXT NOT NULL, status TEXT NOT NULL, kind TEXT NOT NULL, text TEXT NOT NULL, created_ms BIGINT NOT NULL,
  cid {blob}, branch INTEGER NOT NULL, PRIMARY KEY (room_key, seq));
CREATE UNIQUE INDEX messages_cid ON messages (cid, author_key);
CREATE TABLE events (
  room_key INTEGER NOT NULL, seq BIGINT NOT NULL, type TEXT NOT NULL, actor_key INTEGER, at_ms BIGINT NOT NULL,
  message_seq BIGINT, PRIMARY KEY (room_key, seq));
"""
ADVANCE = "UPDATE rooms SET seq = seq + 1, active_ms = ? WHERE key = ? RETURNING seq"
MESSAGE = "INSERT INTO messages VALUES (?, ?, ?, ?, 'user', 'done', 'text', ?, ?, ?, 0)"
EVENT = "INSERT INTO events VALUES (?, ?, 'message.created', ?, ?, ?)"
ALL_IN_ONE = """
WITH room AS (UPDATE rooms SET seq = seq + 1, active_ms = $1 WHERE key = $2 RETURNING seq),
message AS (
  INSERT INTO messages SELECT $2, seq, $3, $4, 'user', 'done', 'text', $5, $1, $6, 0 FROM room RETURNING seq)
INSERT INTO events SELECT $2, seq, 'message.created', $4, $1, seq FROM message
"""
POSTGRES_CONNECTIONS_MAX = 64

clock_id = SystemClock().new_id


class RawSqlite:
    """sqlite3, one commit for each message."""

    def __init__(self, path: Path, rooms: int) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.execute("PRAGMA wal_autocheckpoint = 4000")
        self._connection.executescript(TABLES.format(blob="BLOB"))
        self._connection.executemany(
            "INSERT INTO rooms VALUES (?, ?, 0, 0)",
            [(key + 1, bytes.fromhex(clock_id())) for key in range(rooms)],
        )
        self._lock = threading.Lock()

    def append(self, writer: int, text: str) -> None:
        """Appends one message."""
        room = writer + 1
        now = time.time_ns() // 1_000_000
        identity, cid = bytes.fromhex(clock_id()), bytes.fromhex(clock_id())
        with self._lock:
            run = self._connection.execute
            run("BEGIN IMMEDIATE")
            (seq,) = run(ADVANCE, (now, room)).fetchone()
            run(MESSAGE, (room, seq, identity, room, text, now, cid))
            run(EVENT, (room, seq, room, now, seq))
            run("COMMIT")

    def hammer(self, writers: int, seconds: float, text: str) -> Sample:
        """Appends from so many threads for so long. A single writer is this thread."""
        return hammer_threads(writers, seconds, lambda writer: self.append(writer, text))

    def close(self) -> None:
        """Closes the file."""
        self._connection.close()


class RawPostgres:
    """asyncpg, one commit for each message."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool

    @classmethod
    async def opened(cls, url: str, rooms: int, writers: int) -> "RawPostgres":
        """Makes the tables, and a connection for each writer, up to 64."""
        connections = min(writers, POSTGRES_CONNECTIONS_MAX)
        asyncpg: Any = import_module("asyncpg")  # it brings no types
        pool = await asyncpg.create_pool(url, min_size=connections, max_size=connections)
        await pool.execute(TABLES.format(blob="BYTEA"))
        await pool.executemany(
            "INSERT INTO rooms VALUES ($1, $2, 0, 0)",
            [(key + 1, bytes.fromhex(clock_id())) for key in range(rooms)],
        )
        return cls(pool)

    async def append(self, writer: int, text: str) -> None:
        """One message."""
        room = writer + 1
        now = time.time_ns() // 1_000_000
        identity, cid = bytes.fromhex(clock_id()), bytes.fromhex(clock_id())
        await self._pool.execute(ALL_IN_ONE, now, room, identity, room, text, cid)

    async def close(self) -> None:
        """Closes the connections."""
        await self._pool.close()


def hammer_threads(writers: int, seconds: float, append: Callable[[int], None]) -> Sample:
    """Rate and latency of so many threads that append as fast as they can."""
    taken: list[list[float]] = [[] for _ in range(writers)]
    began = time.perf_counter()
    until = began + seconds

    def write(writer: int) -> None:
        mine = taken[writer]
        start = time.perf_counter()
        while start < until:
            append(writer)
            end = time.perf_counter()
            mine.append(end - start)
            start = end

    if writers == 1:
        write(0)
    else:
        threads = [threading.Thread(target=write, args=(one,)) for one in range(writers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    wall = time.perf_counter() - began
    return of_latencies([one for mine in taken for one in mine], wall)
