"""What the other tests stand on: the PostgreSQL launcher and the browser."""

import socket
from urllib.parse import quote

import pytest
from tests.support.browser import SCREENSHOTS, Browser
from tests.support.postgres import PostgresServer, running_postgres

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
