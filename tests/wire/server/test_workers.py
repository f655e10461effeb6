"""Several workers need a database for several processes. More with PostgreSQL: tests/faults/test_processes.py."""

from pathlib import Path

import pytest
from tests.support.postgres import PostgresServer
from tests.support.server import launched
from tests.wire.server.test_opening import NOBODY, killed_when_it_comes

from palaver.core.runtime import started
from palaver.errors import Code, Refused
from palaver.settings import Settings, settings_from
from palaver.wire.server.workers import EARLY_DEATHS_MAX, serve_with_workers


def test_workers_on_sqlite_are_refused_before_anything_is_opened(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data", database_url=None)
    with pytest.raises(Refused) as refused:
        serve_with_workers(settings, 2, print)
    assert refused.value.code is Code.SETTINGS_INVALID
    assert "PostgreSQL" in refused.value.detail
    assert not (tmp_path / "data" / "palaver.db").exists()


@pytest.mark.slow
@pytest.mark.fault
async def test_workers_that_only_die_end_the_server_with_a_line_and_a_code(tmp_path: Path) -> None:
    known: set[int] = set()
    async with launched(tmp_path, NOBODY, "--workers", "2") as server:
        for _ in range(EARLY_DEATHS_MAX):
            await killed_when_it_comes(server, known)
        assert await server.ended() == 4
    assert f"{EARLY_DEATHS_MAX} workers in a row died" in server.tail()
    assert "Traceback" not in server.tail()


async def test_what_a_worker_is_refused_ends_the_server_as_it_ends_a_single_one(
    tmp_path: Path, postgres_server: PostgresServer, postgres_url: str
) -> None:
    async with started(settings_from(data_dir=tmp_path, database_url=postgres_url, detect=False)):
        pass
    database = postgres_url.rpartition("/")[2]
    postgres_server.execute("UPDATE alembic_version SET version_num = 'of tomorrow'", database)
    async with launched(tmp_path, postgres_url, "--workers", "2") as server:
        assert await server.ended() == 3
    assert "[database_newer]" in server.tail()
    assert "Traceback" not in server.tail()
