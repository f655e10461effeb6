"""What the other tests stand on: the PostgreSQL launcher, copies of databases, warm processes and the browser."""

import os
import signal
import socket
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import pytest
from tests.support.browser import SCREENSHOTS, Browser
from tests.support.command import palaver
from tests.support.databases import copied
from tests.support.postgres import PostgresServer, running_postgres
from tests.support.server import Serve

SSL_REQUEST = bytes.fromhex("00000008 04d2162f")  # the first thing a client may ask


@pytest.mark.postgres
def test_postgres_gives_each_test_an_empty_database(postgres_server: PostgresServer) -> None:
    first, second = postgres_server.create_database(), postgres_server.create_database()
    postgres_server.execute("CREATE TABLE kept (n int)", first)
    assert postgres_server.execute("SELECT to_regclass('kept') IS NULL", second) == "t"
    postgres_server.drop_database(first)
    postgres_server.drop_database(second)


@pytest.mark.postgres
def test_a_database_url_reaches_the_server(
    postgres_server: PostgresServer, postgres_url: str
) -> None:
    name = postgres_url.rpartition("/")[2]
    assert postgres_server.execute("SELECT current_database()", name) == name


@pytest.mark.postgres
@pytest.mark.fault
def test_postgres_keeps_what_was_committed_when_it_is_killed() -> None:
    with running_postgres() as server:
        server.execute("CREATE TABLE kept (n int); INSERT INTO kept VALUES (7)")
        server.kill()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", server.port), timeout=5)
        server.start()
        assert server.execute("SELECT n FROM kept") == "7"


@pytest.mark.postgres
@pytest.mark.fault
def test_a_paused_postgres_answers_nothing_until_it_is_resumed() -> None:
    with running_postgres() as server:
        server.pause()
        with socket.create_connection(("127.0.0.1", server.port), timeout=0.3) as connection:
            connection.sendall(SSL_REQUEST)
            with pytest.raises(TimeoutError):
                connection.recv(1)
            server.resume()
            connection.settimeout(90)
            assert connection.recv(1) == b"N"


@pytest.mark.browser
async def test_a_page_opens_in_a_real_browser_and_its_errors_are_noted(browser: Browser) -> None:
    html = "<title>hello</title><h1>Hello</h1><script>console.error('seen')</script>"
    page = await browser.open(f"data:text/html,{quote(html)}")
    assert await page.title() == "hello"
    assert browser.problems == ["seen"]
    picture = await browser.screenshot(page, "support")
    assert picture.parent == SCREENSHOTS
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_each_database_that_is_copied_has_an_epoch_of_its_own(tmp_path: Path) -> None:
    epochs: set[str] = set()
    for name in ("one", "two"):
        with closing(sqlite3.connect(copied(tmp_path / name))) as conn:
            (epoch,) = conn.execute("SELECT value FROM meta WHERE name = 'epoch'").fetchone()
            assert conn.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        epochs.add(epoch)
    assert len(epochs) == len(("one", "two"))


def test_a_warm_command_has_its_own_folder_environment_streams_and_exit_code(
    tmp_path: Path,
) -> None:
    told = palaver(tmp_path, "config", "show", environment={"PALAVER_MODEL": "of-this-one"})
    assert "of-this-one" in told.out
    assert "of-this-one" not in palaver(tmp_path, "config", "show").out
    failed = palaver(tmp_path, "verify", "nothing.db")
    assert (failed.code, failed.out) == (3, "")
    assert "nothing.db" in failed.err


async def test_a_warm_server_is_a_process_that_can_be_killed(serve: Serve) -> None:
    server = await serve()
    assert os.getsid(server.pid) == server.pid != os.getsid(0)
    await server.kill()
    assert server.exit_code == -signal.SIGKILL
