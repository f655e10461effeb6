"""Chooses the engine of a URL."""

from sqlalchemy import URL

from palaver.clock import Clock
from palaver.settings import Settings
from palaver.store.engine.base import SQLITE, Database, file_of
from palaver.store.engine.executors import Lanes
from palaver.store.engine.sqlite import SqliteDatabase


def connect(url: URL, settings: Settings, clock: Clock, lanes: Lanes) -> Database:
    """The database of this URL (as `base.parsed` gives it). Connects when it is first used."""
    if url.drivername == SQLITE:
        return SqliteDatabase(file_of(url), settings, clock, lanes)
    from palaver.store.engine.postgresql import PostgresqlDatabase  # noqa: PLC0415  SQLite's start pays for no asyncpg

    return PostgresqlDatabase(url, settings, clock)
