"""Several server processes on one PostgreSQL: one may die in the middle of an answer, and nobody misses a word."""

import asyncio
import json
import os
import random
import signal
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.faults.client import living
from tests.faults.outage import new_town
from tests.faults.world import acknowledged, everything_is_right
from tests.support.postgres import PostgresServer
from tests.support.server import Serve, ServerProcess, workers_of
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from palaver.core.runtime import started
from palaver.settings import settings_from
from palaver.store.write.rooms import RemoveMember

ACKS = 40
WORKERS = 3
REPLACED_SECONDS_MAX = 90
ANSWER_SECONDS_MAX = 90
LOBBY = "r_00000000000070008000006c6f626279"
Frame = dict[str, Any]


class Client:
    """Someone on one connection, in the Lobby."""

    def __init__(self, socket: ClientConnection, token: str) -> None:
        self.socket = socket
        self.token = token
        self.seen = ""
        self.history: list[Frame] = []
        self.events: list[Frame] = []

    async def ask(self, frame: Frame) -> Frame:
        await self.socket.send(json.dumps(frame))
        while True:
            reply = await self.next()
            if reply.get("id") == frame["id"]:
                return reply

    async def next(self) -> Frame:
        frame: Frame = json.loads(await self.socket.recv())
        if frame["t"] == "ping":
            await self.socket.send('{"t":"pong"}')
        elif frame["t"] == "s.d":
            self.seen += frame.get("x", "")
        elif frame["t"] == "ev":
            self.events.append(frame)
        return frame

    async def until(self, happened: Callable[[Frame], bool]) -> Frame:
        for event in self.events:
            if happened(event):
                return event
        while True:
            frame = await self.next()
            if happened(frame):
                return frame


def answered(frame: Frame) -> bool:
    return frame["t"] == "ev" and frame["d"].get("role") == "assistant"


@asynccontextmanager
async def client(server: ServerProcess, token: str = "") -> AsyncGenerator[Client, None]:
    async with httpx2.AsyncClient(
        base_url=server.url, timeout=ANSWER_SECONDS_MAX, trust_env=False
    ) as http:
        token = token or (await http.post("/api/guests", json={})).json()["token"]
    async with connect(
        f"{server.ws_url}/ws",
        proxy=None,
        max_size=None,
        open_timeout=ANSWER_SECONDS_MAX,
        ping_interval=None,
    ) as socket:
        one = Client(socket, token)
        await one.ask({"t": "hello", "id": 1, "v": 1, "token": token})
        one.history = (await one.ask({"t": "sub", "id": 2, "room": LOBBY}))["messages"]
        yield one


def files_of(pid: int) -> int:
    """How many files and sockets a process has open."""
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


@pytest.mark.timeout(400)
async def test_every_process_streams_the_same_and_any_may_stop_it(
    serve: Serve, postgres_url: str
) -> None:
    one = await serve(name="one", database_url=postgres_url)
    two = await serve(name="two", database_url=postgres_url)
    async with client(one) as ada, client(two) as bo:
        await ada.ask(
            {"t": "send", "id": 3, "room": LOBBY, "cid": "c-1", "text": "@assistant /long 40"}
        )
        final = [await each.until(answered) for each in (ada, bo)]
        assert final[0]["d"] == final[1]["d"]
        assert final[0]["d"]["text"].startswith(bo.seen)
        await ada.ask(
            {"t": "send", "id": 4, "room": LOBBY, "cid": "c-2", "text": "@assistant /long 50000"}
        )
        opened = await bo.until(lambda frame: frame["t"] == "s.open")
        bo.events.clear()
        bo.seen = ""
        await bo.until(lambda _: len(bo.seen) > 20)  # the other process streams as well
        stop = {"t": "stop", "id": 5, "turn": opened["turn"]}
        assert (await bo.ask(stop))["code"] == "forbidden"  # it is not his answer
        async with client(two, ada.token) as elsewhere:
            assert (await elsewhere.ask(stop))["t"] == "ok"
        stopped = await bo.until(answered)
        assert stopped["d"]["status"] == "stopped"


@pytest.mark.timeout(400)
async def test_who_is_removed_in_one_process_is_let_go_in_another(
    serve: Serve, postgres_url: str, tmp_path: Path
) -> None:
    one = await serve(name="one", database_url=postgres_url)
    two = await serve(name="two", database_url=postgres_url)
    own = settings_from(data_dir=tmp_path / "third", database_url=postgres_url, detect=False)
    async with started(own) as third, client(one) as ada, client(two) as bo:
        people = [await third.identity.actor(each.token) for each in (ada, bo)]
        owner, member = [actor for actor in people if actor is not None]
        room = (await third.rooms.create(owner, title="Storm")).id
        await third.rooms.join(owner, room, member)
        for each in (ada, bo):
            await each.ask({"t": "sub", "id": 3, "room": room})
        asked = {"t": "send", "id": 4, "room": room, "cid": "c-1", "text": "@assistant /long 50000"}
        await ada.ask(asked)
        opened = await bo.until(lambda frame: frame["t"] == "s.open")
        await bo.until(lambda _: len(bo.seen) > 20)
        gone = RemoveMember(room=room, by=owner.id, actor=member.id)
        assert await third.chat._store.write(gone)
        lost = await bo.until(lambda frame: frame["t"] == "unsub")
        assert (lost["room"], lost["code"]) == (room, "room_not_found")
        grown = len(ada.seen)
        await ada.until(lambda _: len(ada.seen) > grown + 200)  # for her it goes on
        await ada.ask({"t": "stop", "id": 5, "turn": opened["turn"]})
        await ada.until(answered)
        bo.events.clear()
        await ada.ask({"t": "send", "id": 6, "room": room, "cid": "c-2", "text": "among us"})
        await ada.ask({"t": "send", "id": 7, "room": LOBBY, "cid": "c-3", "text": "to all"})
        frames: list[Frame] = []
        while not frames or frames[-1].get("d", {}).get("text") != "to all":
            frames.append(await bo.next())
        assert not [frame for frame in frames if frame.get("room") == room], "nothing later"


@pytest.mark.timeout(400)
async def test_a_worker_that_is_killed_in_mid_answer_loses_nothing_that_was_seen(
    serve: Serve, postgres_url: str
) -> None:
    server = await serve(database_url=postgres_url, arguments=("--workers", "3"))
    for round_ in range(3):
        async with asyncio.TaskGroup() as tasks:
            ready = asyncio.Semaphore(0)
            watching = [tasks.create_task(watch(server, ready)) for _ in range(6)]
            for _ in watching:
                await ready.acquire()
            async with client(server) as asker:
                frame = {"t": "send", "id": 3, "room": LOBBY, "cid": f"c-{round_}"}
                await asker.ask(frame | {"text": "@assistant /long 500"})
                while len(asker.seen) < 100:
                    await asker.next()
            for pid in workers_of(server)[:2]:
                os.kill(pid, signal.SIGKILL)
        for task in watching:
            seen, stored = task.result()
            assert stored["text"].startswith(seen)
            assert stored["status"] in {"interrupted", "done"}


async def watch(server: ServerProcess, ready: asyncio.Semaphore) -> tuple[str, Frame]:
    """What was seen of the answer, and how it was stored; comes back when its process dies."""
    async with client(server) as one:
        before = len(one.history)
        ready.release()
        try:
            return one.seen, (await one.until(answered))["d"]
        except ConnectionClosed:
            pass
    async with client(server) as again:
        new = [one for one in again.history[before:] if one["role"] == "assistant"]
        stored = new[0] if new else (await again.until(answered))["d"]
        return one.seen, stored


async def struck_workers(
    serve: Serve, folder: Path, postgres: PostgresServer, url: str, strokes: Sequence[str]
) -> None:
    """Workers sleep or die while everyone talks, also while the database is away."""
    arguments = ("--workers", str(WORKERS))
    town = await new_town(serve, folder, [url], people=6, arguments=arguments)
    [world] = town.worlds
    patients = town.patients(window=3)
    async with living(*patients):
        for stroke in strokes:
            await acknowledged(patients, ACKS)
            async with asyncio.timeout(REPLACED_SECONDS_MAX):
                while len(crew := workers_of(world.server)) < WORKERS:
                    await acknowledged(patients, 1)
            _, sleepy, busy = sorted(crew, key=files_of)
            if stroke == "sleep":
                os.kill(sleepy, signal.SIGSTOP)
                await acknowledged(patients, ACKS)
                os.kill(sleepy, signal.SIGCONT)
            elif stroke == "die":
                os.kill(busy, signal.SIGKILL)
            else:  # what the dead one had accepted is stored by the one that replaces it
                await asyncio.to_thread(postgres.kill)
                for patient in patients:
                    await patient.until(lambda one=patient: one.everything_is_accepted)
                os.kill(busy, signal.SIGKILL)
                await asyncio.to_thread(postgres.start)
        await acknowledged(patients, ACKS)
        await everything_is_right(world, patients)
    assert any(patient.connections > 1 for patient in patients), "somebody was on a killed one"


@pytest.mark.timeout(400)
async def test_workers_that_sleep_or_die_lose_and_double_nothing(
    serve: Serve, tmp_path: Path, postgres_server: PostgresServer, postgres_url: str
) -> None:
    await struck_workers(serve, tmp_path, postgres_server, postgres_url, ["sleep", "die"])


@pytest.mark.torture
@pytest.mark.timeout(3_600)
async def test_workers_that_are_struck_for_long(
    serve: Serve, tmp_path: Path, postgres_server: PostgresServer, postgres_url: str, effort: float
) -> None:
    strokes = ["sleep", "die", "away"] * max(1, round(effort))
    random.Random(2).shuffle(strokes)
    await struck_workers(serve, tmp_path, postgres_server, postgres_url, strokes)
