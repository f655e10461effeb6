"""Bounds of a real server: thousands of idle sockets, readers that stop, floods, long rooms, hours of work.

Memory is the kernel's word for the server's process; a bound is far above the noise of an allocator, and far below what
one queue without an end would take.
"""

import asyncio
import json
import re
import resource
import sys
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from itertools import count, takewhile
from pathlib import Path
from typing import Any

import httpx2
import pytest
from benchmarks import dataset
from benchmarks.live import Place, clients_of, close_all, idle
from benchmarks.processes import resident_bytes
from benchmarks.sockets import Socket
from tests.faults.client import Client, living
from tests.faults.world import World, new_world
from tests.support.server import Serve
from tests.wire.door import Live
from websockets.asyncio.client import connect

from palaver.core.live.items import Typing
from palaver.core.live.reader import NOTICES_MAX
from palaver.core.runtime import started
from palaver.settings import settings_from
from palaver.wire.edge.protocols import allow_files

pytestmark = [pytest.mark.fault, pytest.mark.slow, pytest.mark.timeout(240)]

MIB = 1024 * 1024
# Caches of 128 MiB that fill slowly look like a leak, and would hide one.
SMALL_CACHES = """
import sys
from palaver.cli.main import run
from palaver.store.engine import sqlite

sqlite.WRITER_CACHE_KIB = sqlite.READER_CACHE_KIB = 1_024
sys.argv[0] = "palaver"
run()
"""
# Who was cut off may find out why a little later than it would have to.
LINGERS = """
import sys
from palaver.cli.main import run
from palaver.wire.edge import protocols

protocols.LINGER_SECONDS = 5
sys.argv[0] = "palaver"
run()
"""
TEXT = "x" * 10_000
TALKS, QUESTIONS = 8, 3

Figures = dict[str, float]


async def figures(http: httpx2.AsyncClient) -> Figures:
    text = (await http.get("/metrics")).text
    return {name: float(value) for name, value in re.findall(r"^(\w+) (\S+)$", text, re.MULTILINE)}


async def until(
    http: httpx2.AsyncClient, true: Callable[[Figures], bool], seconds: float = 90
) -> Figures:
    """The figures as soon as that is true of them; they tell nobody when they change, so one has to look."""
    async with asyncio.timeout(seconds):
        while not true(found := await figures(http)):  # noqa: ASYNC110  as the docstring says
            await asyncio.sleep(0.05)
    return found


def place_of(world: World) -> Place:
    return Place("server", world.server.url, world.server.pid, world.tokens, (world.room,))


@asynccontextmanager
async def reading(world: World, token: str, **options: Any) -> AsyncGenerator[Live]:
    """A live connection that follows the room."""
    async with connect(
        world.network.url, proxy=None, compression=None, ping_interval=None, **options
    ) as socket:
        live = Live(socket)
        await live.ask(t="hello", v=1, token=token)
        await live.ask(t="sub", room=world.room)
        yield live


@pytest.mark.parametrize("count", [1_000, pytest.param(10_000, marks=pytest.mark.torture)])
async def test_idle_sockets_cost_little_and_leave_nothing(
    serve: Serve, tmp_path: Path, count: int
) -> None:
    allow_files(count + 500)
    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] < count + 500:
        pytest.skip(f"needs {count + 500} open files in a process (ulimit -n)")
    world = await new_world(serve, tmp_path, people=1)
    place = place_of(world)
    async with world.http() as http:
        before = await figures(http)
        assert await idle(place, count) <= 30
        await until(
            http,
            lambda now: (
                now["palaver_tasks"] <= before["palaver_tasks"]
                and (now["palaver_readers"], now["palaver_connections"]) == (0, 1)
                and now["process_open_fds"] <= before["process_open_fds"] + 5
            ),
        )
        # what the first ones left is used again
        full = resident_bytes(place.pid)
        sockets = await clients_of(place, count, world.room)
        assert resident_bytes(place.pid) - full <= 0.25 * 30 * 1024 * count
        await close_all(sockets)


@pytest.mark.parametrize(
    ("seconds", "messages"), [(4, 800), pytest.param(30, 10_000, marks=pytest.mark.torture)]
)
async def test_a_reader_that_stops_costs_little_and_hurts_nobody(
    serve: Serve, tmp_path: Path, seconds: int, messages: int
) -> None:
    patient = partial(serve, program=(sys.executable, "-P", "-c", LINGERS))
    world = await new_world(
        patient, tmp_path, people=2, environment={"PALAVER_SLOW_READER_SECONDS": str(seconds)}
    )
    speaker, *others = world.clients(window=32, text=TEXT)
    for other in others:
        other.quiet = True
    async with world.http() as http, living(speaker, *others):
        await asyncio.gather(*(client.welcomed(1) for client in (speaker, *others)))
        await said(speaker, 600)  # more than the ring holds
        usual = await grown(world, speaker, messages)  # SQLite's cache grows with what is written
        async with (
            reading(world, world.tokens[0], max_queue=1, close_timeout=1) as slow,
            asyncio.TaskGroup() as tasks,
        ):
            cut = tasks.create_task(cut_off(http, slow))
            with_slow = await grown(world, speaker, messages)
            assert with_slow - usual <= messages * len(TEXT) / 2, "it was not all kept for one"
            assert await cut == (4003, "too slow, resume")
        speaker.quiet = True
        await speaker.settled()
        await asyncio.gather(*(client.settled(speaker.seq) for client in others))
        assert [client.complaints for client in (speaker, *others)] == [[], []]
        assert {client.connections for client in (speaker, *others)} == {1}
        async with reading(world, world.tokens[0]) as again:
            missed = await again.ask(t="sub", room=world.room, since=speaker.seq - 10)
            assert missed["mode"] == "resume"


async def cut_off(http: httpx2.AsyncClient, slow: Live) -> tuple[int, str | None]:
    """Why the server ends a connection that nobody reads; it waits a few seconds for who then reads on."""
    await until(http, lambda now: now["palaver_connections_slow_closed_total"] == 1, 90)
    return await slow.closed(), slow.socket.close_reason


async def grown(world: World, speaker: Client, messages: int) -> int:
    """By how much the server grows while so much is said."""
    before = resident_bytes(world.server.pid)
    await said(speaker, messages)
    return resident_bytes(world.server.pid) - before


async def said(client: Client, more: int) -> None:
    wanted = len(client.acks) + more
    async with asyncio.timeout(90), client.changed:
        await client.changed.wait_for(lambda: len(client.acks) >= wanted)


@pytest.mark.parametrize(
    "count", [60_000, pytest.param(1_000_000, marks=pytest.mark.torture, id="a million")]
)
async def test_fifty_tabs_of_a_long_room_cost_little(
    serve: Serve, tmp_path: Path, count: int
) -> None:
    made = await dataset.make(settings_from(data_dir=tmp_path / "data", detect=False), count)
    server = await serve(environment={"PALAVER_LOG_LEVEL": "warning"})
    place = Place("server", server.url, server.pid, (made.owner.token,), (made.big,))
    await replayed(place, made, 10)  # SQLite's caches are full now
    before = resident_bytes(server.pid)
    await replayed(place, made, 50)
    assert resident_bytes(server.pid) - before <= 32 * MIB


async def replayed(place: Place, made: dataset.Dataset, tabs: int) -> None:
    """Tabs that come at once: half of them far behind, half near enough for a replay."""
    sockets = await clients_of(place, tabs)
    seen = [0] * tabs
    everything = asyncio.get_running_loop().create_future()

    def counted(number: int) -> Callable[[bytes], None]:
        def count(frame: bytes) -> None:
            seen[number] += frame.startswith(b'{"t":"ev"')
            if sum(seen) == tabs // 2 * 3_500:  # the first 500 came with the answer
                everything.set_result(None)

        return count

    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        for number, socket in enumerate(sockets):
            socket.on_frame = counted(number)
            since = made.big_seq - 4_000 if number % 2 else 1
            frame = {"t": "sub", "id": 2, "room": made.big, "since": since}
            tasks.create_task(socket.ask(frame))
        await everything
    assert seen[::2] == [0] * (tabs // 2), "too far behind: they were told to reset"
    assert seen[1::2] == [3_500] * (tabs // 2)
    await close_all(sockets)


async def test_a_flood_of_frames_costs_no_memory(serve: Serve, tmp_path: Path) -> None:
    world = await new_world(serve, tmp_path, people=2)
    async with reading(world, world.tokens[1]):
        before = resident_bytes(world.server.pid)
        (flood,) = await clients_of(place_of(world), 1, world.room)
        frame = json.dumps({"t": "typing", "room": world.room, "pad": "x" * 1_000}).encode()
        for _ in range(30_000):
            flood.send(frame)
        async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
            answered = tasks.create_task(flood.ask({"t": "ping", "id": 1}))  # behind all of it
            most = before
            while not answered.done():
                await asyncio.wait({answered}, timeout=0.05)
                most = max(most, resident_bytes(world.server.pid))
        assert answered.result()["t"] == "pong"
        assert most - before <= 16 * MIB
        await flood.close()


async def test_a_busy_reader_keeps_the_newest_passing_items(tmp_path: Path) -> None:
    async with started(settings_from(data_dir=tmp_path, detect=False)) as core:
        _, guest = await core.identity.new_guest("Guest")
        items = [Typing(core.lobby, guest.id, str(number)) for number in range(10 * NOTICES_MAX)]
        with core.chat.reader(guest) as reader:
            for item in items:
                reader.notice(item)
            assert await reader.next() == items[-NOTICES_MAX:]


@pytest.mark.parametrize(
    "seconds",
    [
        0,
        pytest.param(60, marks=pytest.mark.torture),
        pytest.param(3_600, marks=[pytest.mark.torture, pytest.mark.timeout(4_200)]),
    ],
)
async def test_hours_of_work_leave_nothing_behind(
    serve: Serve, tmp_path: Path, seconds: int
) -> None:
    """People who talk, ask, come and go; what the server holds after it was warm stays as it was."""
    small = partial(serve, program=(sys.executable, "-P", "-c", SMALL_CACHES))
    world = await new_world(small, tmp_path, people=4, agent=True)
    async with world.http() as http:
        await worked(world, http, seconds=min(60, seconds // 2))
        warm = await rested(world, http)
        await worked(world, http, seconds=seconds)
        after = await rested(world, http)
    assert after["process_open_fds"] <= warm["process_open_fds"] + 5
    assert after["palaver_tasks"] <= warm["palaver_tasks"]
    assert after["segments"] <= warm["segments"]
    assert after["palaver_journal_records_total"] > warm["palaver_journal_records_total"]
    grown = after["process_resident_memory_bytes"] - warm["process_resident_memory_bytes"]
    assert grown <= 16 * MIB, f"{grown / MIB:.1f} MiB more"


async def worked(world: World, http: httpx2.AsyncClient, *, seconds: float) -> None:
    """Connections that come, talk and go, and one that asks the agent: so long, and so often at the least."""
    until = time.monotonic() + seconds

    def rounds(least: int) -> Iterator[int]:
        return takewhile(lambda done: done < least or time.monotonic() < until, count())

    async def talk(token: str) -> None:
        for _ in rounds(TALKS):
            (socket,) = await clients_of(Place("", world.server.url, 0, (token,), ()), 1)
            await socket.subscribe(world.room)
            for number in range(20):
                await settled(socket, world.room, f"{token[-6:]}-{time.monotonic_ns()}-{number}")
            await socket.close()

    async def ask() -> None:
        for _ in rounds(QUESTIONS):
            said = {"cid": f"ask-{time.monotonic_ns()}", "text": "/long 40"}
            sent = await http.post(f"/api/rooms/{world.room}/messages", json=said)
            assert sent.status_code == 201
            seq = sent.json()["seq"]
            for path in ("messages", f"events?after={seq}&wait=1"):
                assert (await http.get(f"/api/rooms/{world.room}/{path}")).status_code == 200

    async with asyncio.TaskGroup() as tasks:
        for token in world.tokens[1:]:
            tasks.create_task(talk(token))
        tasks.create_task(ask())


async def settled(socket: Socket, room: str, cid: str) -> None:
    """Says something, and waits until it is stored."""
    stored: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def look(frame: bytes) -> None:
        if frame.startswith(b'{"t":"ack"') and not stored.done():
            assert b'"state":"stored"' in frame, frame
            stored.set_result(None)

    socket.on_frame = look
    say = {"t": "send", "id": 7, "room": room, "cid": cid, "text": "Good morning."}
    socket.send(json.dumps(say).encode())
    async with asyncio.timeout(30):
        await stored


async def rested(world: World, http: httpx2.AsyncClient) -> Figures:
    """The figures when everybody is gone and every answer has ended."""
    found = await until(
        http,
        lambda now: (
            now["palaver_turns_running"] == now["palaver_readers"] == 0
            and now["palaver_connections"] <= 1
        ),
        120,
    )
    journal = world.server.data / "journal"
    return found | {"segments": float(len(list(journal.rglob("*.journal"))))}
