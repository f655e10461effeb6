"""Killed processes and servers that go away: what was acknowledged is there, and nothing has a hole."""

import asyncio
import os
import signal
import subprocess
import sys
from typing import Any

import pytest
from sqlalchemy import Connection, text
from tests.store.world import World, opened
from tests.support.postgres import PostgresServer, running_postgres

from palaver.errors import Unavailable
from palaver.model import RoomId
from palaver.store.engine.postgresql import CLOSE_SECONDS
from palaver.store.read import messages, rooms, turns
from palaver.store.write.messages import AddMessage

WRITING = """
import asyncio, os, sys
from palaver.store.write.messages import AddMessage
from tests.store.world import opened

async def main():
    async with opened(sys.argv[1]) as world:
        ada = await world.person()
        places = [await world.room(ada) for _ in range(3)]

        async def talk(number):
            while True:
                added = await world.say(places[number % 3], ada, "x" * 200)
                message = added.message
                os.write(1, f"{message.room} {message.seq} {message.id}\\n".encode())

        await asyncio.gather(*(talk(number) for number in range(16)))

asyncio.run(main())
"""


@pytest.mark.fault
@pytest.mark.parametrize("kill", range(3))
async def test_what_was_acknowledged_survives_kill_9(sqlite_url: str, kill: int) -> None:
    process = subprocess.Popen(  # noqa: ASYNC220  nothing else runs in this loop
        [sys.executable, "-c", WRITING, sqlite_url],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    begun = [process.stdout.readline() for _ in range(210 + 300 * kill)]
    process.send_signal(signal.SIGKILL)
    rest = process.stdout.readlines()
    process.wait()
    process.stdout.close()
    told = [line.decode().split() for line in begun + rest if line.endswith(b"\n")]
    lines = [line for line in told if line[0].startswith("r_")]
    assert len(lines) >= 200
    async with opened(sqlite_url) as world:
        for room in {RoomId(line[0]) for line in lines}:
            seqs: list[int] = []
            ids: dict[int, str] = {}
            after = 0
            while page := (
                await world.store.read(messages.page, room, after=after, limit=500)
            ).messages:
                after = page[-1].seq
                seqs += [message.seq for message in page]
                ids |= {message.seq: message.id for message in page}
            assert seqs == list(range(2, 2 + len(seqs)))
            assert (await world.store.read(rooms.seqs, [room]))[room] == seqs[-1]
            for _, seq, message in (line for line in lines if line[0] == room):
                assert ids[int(seq)] == message


async def until_stored(world: World, draft: AddMessage) -> int:
    """How often the same message had to be sent until it was stored."""
    for attempt in range(1, 200):
        try:
            await world.store.write(draft)
        except Unavailable:
            continue
        else:
            return attempt
    raise AssertionError("never stored")


@pytest.mark.fault
@pytest.mark.postgres
async def test_a_postgresql_server_that_is_killed_and_comes_back_keeps_all() -> None:
    with running_postgres() as server:
        async with opened(server.url(server.create_database()), database_seconds=5) as world:
            ada = await world.person()
            room = await world.room(ada)
            await world.say(room, ada, "before")
            server.kill()
            draft = world.draft(room, ada, "during")
            with pytest.raises(Unavailable):
                await world.store.write(draft)
            with pytest.raises(Unavailable):
                await world.said(room)
            server.start()
            await until_stored(world, draft)
            said = [message.text for message in await world.said(room)]
            assert said == ["before", "during"]
            await world.log(room)


@pytest.mark.fault
@pytest.mark.postgres
async def test_connections_that_died_while_idle_are_noticed_by_nobody(
    postgres_url: str, postgres_server: PostgresServer
) -> None:
    async with opened(postgres_url) as world:
        ada = await world.person()
        room = await world.room(ada)
        await world.say(room, ada, "before")
        await world.said(room)
        postgres_server.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()",
            postgres_url.rpartition("/")[2],
        )
        await world.say(room, ada, "after")
        assert [message.text for message in await world.said(room)] == ["before", "after"]


@pytest.mark.fault
@pytest.mark.postgres
async def test_a_frozen_postgresql_server_is_given_up_at_the_deadline() -> None:
    with running_postgres() as server:
        async with opened(server.url(server.create_database())) as world:
            ada = await world.person()
            room = await world.room(ada)
            draft = world.draft(room, ada, "frozen")
            database: Any = world.store._database
            usual, database._seconds = database._seconds, 1
            server.pause()
            try:
                with pytest.raises(Unavailable):
                    await world.store.write(draft)
                with pytest.raises(Unavailable):
                    await world.said(room)
            finally:
                server.resume()
            database._seconds = usual
            await until_stored(world, draft)
            assert [message.text for message in await world.said(room)] == ["frozen"]


@pytest.mark.postgres
async def test_columns_that_get_another_type_are_noticed_by_nobody(
    postgres_url: str, postgres_server: PostgresServer
) -> None:
    async with opened(postgres_url) as world:
        ada = await world.person()
        room = await world.room(ada)
        for word in ("one", "two"):
            await world.say(room, ada, word)
            await world.said(room)
        for column in ("rooms ALTER visibility", "messages ALTER status", "actors ALTER name"):
            changed = f"ALTER TABLE {column} TYPE varchar(100)"
            postgres_server.execute(changed, postgres_url.rpartition("/")[2])
        await world.say(room, ada, "three")
        assert [message.text for message in await world.said(room)] == ["one", "two", "three"]


@pytest.mark.postgres
async def test_no_read_meets_the_connection_that_died_under_the_one_before(
    postgres_url: str,
) -> None:
    async with opened(postgres_url) as world:
        tries: list[int] = []

        def dies(conn: Connection) -> None:
            driver: Any = conn.connection.driver_connection
            driver.terminate()
            raise ValueError

        def counted(conn: Connection) -> int:
            tries.append(1)
            return turns.running(conn)

        with pytest.raises(Unavailable):
            await world.store.read(dies)
        assert await world.store.read(counted) == 0
        assert len(tries) == 1


@pytest.mark.fault
@pytest.mark.postgres
async def test_a_frozen_postgresql_server_holds_up_a_stop_for_one_connection_not_for_each() -> None:
    with running_postgres() as server:
        async with opened(server.url(server.create_database())) as world:
            pause = text("SELECT pg_sleep(0.2)")
            reads = [world.store.read(lambda conn: conn.execute(pause).all()) for _ in range(4)]
            await asyncio.gather(*reads)
            await world.person()
            server.pause()
            began = asyncio.get_running_loop().time()
        assert asyncio.get_running_loop().time() - began < 2 * CLOSE_SECONDS
        server.resume()


@pytest.mark.postgres
async def test_two_processes_on_one_database_leave_no_hole(postgres_url: str) -> None:
    async with opened(postgres_url) as one, opened(postgres_url) as two:
        assert one.store.epoch == two.store.epoch
        assert one.store.shared
        ada = await one.person()
        places = [await one.room(ada) for _ in range(5)]

        async def talk(world: World, number: int) -> None:
            for turn in range(20):
                await world.say(places[(number + turn) % 5], ada)

        await asyncio.gather(*(talk(world, n) for world in (one, two) for n in range(8)))
        for room in places:
            await one.log(room)
            told = [
                event.seq
                for world in (one, two)
                for batch in world.told
                for event in batch
                if event.room == room.id
            ]
            assert sorted(told) == list(range(1, len(told) + 1))
        same = one.draft(places[0], ada, "once")
        both = await asyncio.gather(one.store.write(same), two.store.write(same))
        assert sorted(added.dup for added in both) == [False, True]
