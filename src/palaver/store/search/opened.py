"""Opens the search index that belongs to a database."""

import structlog

from palaver.clock import Clock
from palaver.settings import Settings
from palaver.store import files
from palaver.store.engine.base import POSTGRESQL, file_of, parsed
from palaver.store.engine.connect import connect
from palaver.store.engine.executors import Lanes, ThreadLanes
from palaver.store.search.index import SearchIndex

READERS = 2


def opened(settings: Settings, clock: Clock, lanes: Lanes | None, owner: str) -> SearchIndex:
    """The index, made or not, whose `close` is to be called. It takes connections of its own."""
    url = parsed(settings.url)
    few = settings.model_copy(update={"reader_threads": READERS, "writer_connections": 1})
    path = None
    if url.drivername.startswith(POSTGRESQL):
        from palaver.store.search.postgresql import (  # noqa: PLC0415  SQLite's start does without
            PostgresqlEngine as Engine,
        )
    else:
        from palaver.store.search.sqlite import SqliteEngine as Engine  # noqa: PLC0415  likewise

        if (database := file_of(url)) is not None:
            path = database.with_name(f"{database.name}{files.SEARCH}")
            url = url.set(database=str(path))
            if path.is_dir():
                told = "a folder is where the search index belongs: until it is gone, searches read only what is new"
                structlog.get_logger("palaver.store").error(
                    "search.unusable", path=str(path), detail=told
                )

    def remove() -> None:
        structlog.get_logger("palaver.store").warning("search.damaged", made_anew=True)
        if path is not None:
            files.removed(path)

    return SearchIndex(
        Engine(), owner, lambda: connect(url, few, clock, lanes or ThreadLanes()), remove
    )
