"""Processes and writers that share a PostgreSQL database: the order of their locks, and of what they tell."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from itertools import permutations
from typing import Any

import asyncpg  # pyright: ignore[reportMissingTypeStubs]
import pytest
from sqlalchemy import Connection
from tests.store.read.test_exchanges import HELLO, HI, answering, asking
from tests.store.world import World, opened
from tests.support.postgres import PostgresServer

from palaver.model import ActorId, MessageId, Room, RoomId, Status, TitleSource, TurnId
from palaver.store.write.actors import RenameActor
from palaver.store.write.messages import SetMessageDeleted
from palaver.store.write.rooms import RenameRoom
from palaver.store.write.turns import FinishTurn, OpenTurn, RetryTurn

pytestmark = pytest.mark.postgres
TITLES = 40


class Other:
    """A connection of another process: it locks rooms, and sees who waits for them."""

    def __init__(self, locking: Any, watching: Any) -> None:
        self._locking = locking
        self._watching = watching

    async def lock(self, room: Room) -> None:
        await self._locking.execute(
            "SELECT key FROM rooms WHERE id = $1 FOR UPDATE", bytes.fromhex(room.id[2:])
        )

    async def release(self) -> None:
        await self._locking.execute("ROLLBACK")

    async def waited_for(self, count: int = 1) -> None:
        """Returns once so many connections wait for a lock."""
        query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        async with asyncio.timeout(10):
            while await self._watching.fetchval(query) < count:
                pass

    async def round_trips(self, count: int) -> None:
        for _ in range(count):
            await self._watching.execute("SELECT 1")


@asynccontextmanager
async def another_process(url: str) -> AsyncGenerator[Other]:
    driver: Any = asyncpg
    locking, watching = [await driver.connect(url) for _ in range(2)]
    await locking.execute("SET deadlock_timeout = '1min'")  # so that it is never the one that loses
    await locking.execute("BEGIN")
    try:
        yield Other(locking, watching)
    finally:
        for connection in (locking, watching):
            await connection.close()


def renaming(room: Room, by: ActorId, title: str) -> RenameRoom:
    return RenameRoom(room=room.id, by=by, title=title, source=TitleSource.USER)


async def test_three_processes_that_write_to_crossing_pairs_of_rooms_do_not_wait_in_a_circle(
    postgres_url: str, postgres_server: PostgresServer
) -> None:
    async with (
        opened(postgres_url) as one,
        opened(postgres_url) as two,
        opened(postgres_url) as six,
    ):
        worlds = (one, two, six)
        ada = await one.person()
        places = [await one.room(ada) for _ in range(3)]

        async def talk(world: World, pair: tuple[Room, Room]) -> None:
            for number in range(TITLES):
                first, second = pair
                await asyncio.gather(
                    world.store.write(renaming(first, ada.id, f"{number}")),
                    world.say(second, ada),
                    world.store.write(renaming(second, ada.id, f"{-number}")),
                )

        pairs = list(permutations(places, 2))
        await asyncio.gather(
            *(talk(world, pair) for at, world in enumerate(worlds) for pair in pairs[at::3])
        )
        for room in places:
            log = await one.log(room)
            assert len([event for event in log if event.message]) == TITLES * 2
        for world in worlds:
            assert not world.store.counters.failed
    database = postgres_url.rpartition("/")[2]
    counted = f"SELECT deadlocks FROM pg_stat_database WHERE datname = '{database}'"
    assert postgres_server.execute(counted) == "0"


async def test_a_deadlock_is_tried_again_and_is_not_taken_for_a_database_that_is_away(
    postgres_url: str,
) -> None:
    async with opened(postgres_url) as world, another_process(postgres_url) as other:
        ada = await world.person()
        first, second = [await world.room(ada) for _ in range(2)]
        await other.lock(second)
        async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
            named = tasks.create_task(world.store.write(renaming(first, ada.id, "first")))
            said = tasks.create_task(world.say(second, ada, "hi"))
            await other.waited_for()
            await other.lock(first)  # what has it gives it up
            await other.release()
            assert await named
            assert (await said).message.seq == 2
        assert not world.store.counters.failed
        assert world.store.counters.commits == len(world.told) + 1


def written_by(world: World, monkeypatch: pytest.MonkeyPatch) -> dict[RoomId, set[int]]:
    """Which writers have written to each room."""
    found: dict[RoomId, set[int]] = defaultdict(set)
    database = world.store._database
    writing: Any = database.writing

    async def noted(writer: int, work: Callable[[Connection], Any]) -> Any:
        results, events = await writing(writer, work)
        for event in events:
            found[event.room].add(writer)
        return results, events

    monkeypatch.setattr(database, "writing", noted)
    return found


def told_in_order(world: World) -> bool:
    seqs: dict[RoomId, list[int]] = defaultdict(list)
    for batch in world.told:
        for event in batch:
            seqs[event.room].append(event.seq)
    return all(found == list(range(1, len(found) + 1)) for found in seqs.values())


async def test_a_rooms_commands_go_to_one_writer_also_those_that_do_not_name_it(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(postgres_url, writer_connections=2) as world:
        writers = written_by(world, monkeypatch)
        ada, bot = await world.person(), await world.agent()

        async def live() -> None:
            door = await world.room(ada, bot, door="openai")
            turn = await world.store.write(
                OpenTurn(
                    turn=TurnId(f"t_{world.clock.new_id()}"),
                    message=MessageId(f"m_{world.clock.new_id()}"),
                    room=door.id,
                    agent=bot.id,
                )
            )
            ending = FinishTurn(turn=turn.id, fence=1, status=Status.DONE, entries=(HELLO,))
            finished = await world.store.write(ending)
            assert finished is not None
            (answer,) = finished.messages
            await world.store.write(renaming(door, ada.id, "x"))
            again = await world.store.write(RetryTurn(message=answer.id, by=ada.id))
            await world.store.write(SetMessageDeleted(message=answer.id, by=ada.id, deleted=False))
            command = asking(world, ada, bot, (HI,), room=door.id, whole=False)
            asked = await world.store.write(command)
            ended = await world.store.write(answering(asked, HELLO))
            assert ended is not None
            assert ended.exchange is not None
            more = asking(world, ada, bot, (HI,), previous=ended.exchange.id, whole=False)
            assert (await world.store.write(more)).exchange.room == door.id
            assert again.room == asked.exchange.room == door.id

        await asyncio.gather(*(live() for _ in range(8)))
        assert {len(one) for one in writers.values()} == {1}
        assert {number for one in writers.values() for number in one} == {0, 1}
        assert told_in_order(world)


async def test_what_may_write_to_any_room_waits_until_no_other_writer_is_at_work(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        opened(postgres_url, writer_connections=2) as world,
        another_process(postgres_url) as other,
    ):
        writers = written_by(world, monkeypatch)
        ada, eve = await world.person(), await world.person()
        mine = await world.room(ada)
        theirs = [await world.room(eve) for _ in range(8)]
        busy = next(room for room in theirs if writers[room.id] != writers[mine.id])
        await world.store.write(
            RenameActor(actor=ada.id, name="Ada L.")
        )  # all connections are open
        await other.lock(busy)
        async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
            said = tasks.create_task(world.say(busy, eve))
            await other.waited_for()
            await world.say(mine, ada)  # this room's own writer is free
            renamed = tasks.create_task(world.store.write(RenameActor(actor=ada.id, name="A")))
            await other.round_trips(500)
            assert not renamed.done()
            await other.release()
            await said
            await renamed
        assert told_in_order(world)
