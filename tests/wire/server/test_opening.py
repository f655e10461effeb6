"""Servers that start before their database does."""

import asyncio
import json
import os
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import httpx2
import pytest
from tests.support.postgres import PostgresServer
from tests.support.server import ServerProcess, launched, workers_of
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

pytestmark = [pytest.mark.fault, pytest.mark.slow]

ANSWER_SECONDS_MAX = 90
LOOK_SECONDS = 0.02
NOBODY = "postgresql://ada@127.0.0.1:1/chat"
"""A database server that is away: nobody listens there."""


async def first_answer(server: ServerProcess, path: str) -> httpx2.Response:
    """What is answered as soon as anything is."""
    async with asyncio.timeout(ANSWER_SECONDS_MAX), httpx2.AsyncClient(trust_env=False) as http:
        while True:
            try:
                return await http.get(f"{server.url}{path}", timeout=ANSWER_SECONDS_MAX)
            except httpx2.ConnectError:
                assert server.alive, server.tail()
                await asyncio.sleep(LOOK_SECONDS)  # a port of another process is looked at


async def test_servers_that_start_before_their_database_say_so_at_once_and_wait(
    tmp_path: Path, postgres_server: PostgresServer, postgres_url: str
) -> None:
    """Also after the death of a worker."""
    await asyncio.to_thread(postgres_server.stop)
    async with launched(tmp_path, postgres_url, "--workers", "2") as server:
        try:
            health = await first_answer(server, "/health")
            told = health.json()
            assert (told["status"], told["service"], told["db"]) == ("degraded", "palaver", "down")
            await killed_when_it_comes(server, set())
            refused = await first_answer(server, "/api/rooms")
            assert (health.status_code, refused.status_code) == (503, 503)
            assert refused.json()["code"] == "database_unavailable"
            at_openai = await first_answer(server, "/v1/models")
            assert at_openai.json()["error"]["code"] == "database_unavailable"
            assert int(refused.headers["retry-after"]) > 0
            with pytest.raises(InvalidStatus) as closed:
                await connect(f"{server.ws_url}/ws", proxy=None, open_timeout=ANSWER_SECONDS_MAX)
            assert closed.value.response.status_code == 503
        finally:
            await asyncio.to_thread(postgres_server.start)
        await server.ready()
        assert (await first_answer(server, "/health")).json()["db"] == "up"
        assert len(workers_of(server)) == 2
        assert await server.term() == 0
    reasons = [json.loads(line)["why"] for line in server.log if "database.awaited" in line]
    assert 0 < len(reasons) <= 2 * len(set(reasons)), "a line for each reason, however often"
    assert "Traceback" not in server.tail()


async def killed_when_it_comes(server: ServerProcess, known: set[int]) -> None:
    """Kills the next worker, whatever it is doing."""
    new: set[int] = set()
    async with asyncio.timeout(ANSWER_SECONDS_MAX):
        while not new:
            new = set(workers_of(server)) - known
            await asyncio.sleep(LOOK_SECONDS)  # processes of another process are looked for
    known |= new
    for pid in new:
        os.kill(pid, signal.SIGKILL)


async def test_a_server_that_waits_for_its_database_can_be_told_to_stop(tmp_path: Path) -> None:
    async with launched(tmp_path, NOBODY) as server:
        assert (await first_answer(server, "/health")).status_code == 503
        assert await server.term() == 0
    assert "Traceback" not in server.tail()


async def test_a_file_that_another_program_keeps_is_not_waited_for(tmp_path: Path) -> None:
    file = tmp_path / "chat.db"
    with closing(sqlite3.connect(file)) as other:
        other.execute("BEGIN EXCLUSIVE")
        url = f"sqlite:///{file}"
        async with launched(tmp_path, url, PALAVER_DATABASE_SECONDS="1") as server:
            assert await server.ended() == 4
    assert "[database_unavailable]" in server.tail()
