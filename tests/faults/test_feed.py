"""Processes write to the same rooms, move and follow, are stopped, hear nothing of each other, and see all once."""

import asyncio
import json
import os
import random
import signal
import sys
from asyncio.subprocess import PIPE, Process
from itertools import groupby
from operator import itemgetter

import pytest
from tests.store.world import opened
from tests.support.server import clean_environment

from palaver.store.read import search

PROCESSES = 8
MESSAGES = 150
ROOMS = 5
SECONDS_MAX = 120
LIVE = """
import asyncio, json, random, sys
from palaver.clock import SystemClock
from palaver.core.consumers import Consumers
from palaver.settings import settings_from
from palaver.store.read import feed
from palaver.store.store import Store
from palaver.store.write.messages import AddMessage

url, seed, messages, rooms, ada = json.loads(sys.argv[1])
chance = random.Random(seed)

class Follows:
    name = f"follows{seed}"
    position, wanted = 0, None

    def __init__(self):
        self.seen, self.whole = [], asyncio.Event()

    async def work(self):
        rows = await store.read(feed.after, self.position, chance.randint(1, 20))
        for row in rows:
            self.seen += [(key, seq) for key, first, last in row.spans for seq in range(first, last + 1)]
            self.position = row.position
        if self.wanted is not None and len(self.seen) >= self.wanted:
            self.whole.set()
        return bool(rows)

def told(events):
    if chance.random() < 0.3:  # the others are lost
        consumers.committed(events)

async def main():
    global store, consumers
    settings = settings_from(database_url=url)
    async with Store.opened(settings, SystemClock(), committed=told) as store:
        follows = Follows()
        consumers = Consumers(store, SystemClock(), [follows], days=30)
        running = asyncio.create_task(consumers.run())
        clock = SystemClock()
        for number in range(messages):
            some = chance.sample(rooms, chance.randint(1, len(rooms)))
            new = [AddMessage(id=f"m_{clock.new_id()}", room=room, author=ada, text="word") for room in some]
            await asyncio.gather(*[store.write(one) for one in new])
        print("written", flush=True)
        follows.wanted = json.loads(await asyncio.to_thread(sys.stdin.readline))
        await follows.whole.wait()
        running.cancel()
        print(json.dumps(follows.seen), flush=True)

asyncio.run(main())
"""


async def sleep_and_wake(processes: list[Process], chance: random.Random) -> None:
    """Stops one process after the other for a moment, also in the middle of a commit or a move."""
    while True:
        pid = chance.choice(processes).pid
        os.kill(pid, signal.SIGSTOP)
        try:
            await asyncio.sleep(chance.random() / 5)  # as long as it is stopped
        finally:
            os.kill(pid, signal.SIGCONT)
        await asyncio.sleep(chance.random() / 5)


async def said_by(process: Process) -> bytes:
    assert process.stdout is not None
    line = await process.stdout.readline()
    assert line, "it has ended"
    return line


@pytest.mark.fault
@pytest.mark.torture
@pytest.mark.timeout(SECONDS_MAX + 60)
async def test_every_consumer_sees_every_event_once_in_each_rooms_order(postgres_url: str) -> None:
    async with opened(postgres_url) as world, asyncio.timeout(SECONDS_MAX):
        ada = await world.person()
        rooms = [await world.room(ada) for _ in range(ROOMS)]
        ids = [room.id for room in rooms]
        processes: list[Process] = []
        try:
            for seed in range(PROCESSES):
                given = json.dumps([postgres_url, seed, MESSAGES, ids, ada.id])
                processes.append(
                    await asyncio.create_subprocess_exec(
                        *(sys.executable, "-P", "-c", LIVE, given),
                        stdin=PIPE,
                        stdout=PIPE,
                        env=clean_environment({"PALAVER_SLOW_QUERY_MS": "100000"}),
                        limit=2**24,
                    )
                )
            disturbing = asyncio.create_task(  # noqa: TID251  it is ended below
                sleep_and_wake(processes, random.Random(3))
            )
            for process in processes:
                said = await said_by(process)
                assert said == b"written\n", said
            disturbing.cancel()
            logs: dict[int, list[int]] = {}
            for room in rooms:
                (key,) = await world.store.read(search.keys_of, [room.id])
                logs[key] = [event.seq for event in await world.log(room)]
            for process in processes:
                assert process.stdin is not None
                process.stdin.write(b"%d\n" % sum(map(len, logs.values())))
            for process in processes:
                seen = json.loads(await said_by(process))
                by_room = groupby(sorted(seen, key=itemgetter(0)), key=itemgetter(0))
                assert {key: [seq for _, seq in its] for key, its in by_room} == logs
                assert await process.wait() == 0
        finally:
            for process in processes:
                if process.returncode is None:
                    process.kill()
