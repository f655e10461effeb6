"""What comes after a `kill -9`: T12, until every answer that was streaming can be read again; and a storm of readers.

The database has a long history. So many answers stream from a model server in this process when the server is killed;
the time runs from the start of the next process until the text of each of them, as far as it was seen, was fetched from
it. Beside it: the same start with nothing to recover. Then thousands of readers lose their server at once, and come
back at once, each with the last seq that it knows; beside it, as many plain connections to a uvicorn that stores
nothing. Every side pays for this process's clients, too.
"""

import argparse
import asyncio
import json
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import dataset
from benchmarks.live import FLOOR, Place, clients_of, close_all, floor
from benchmarks.processes import cpu_seconds
from benchmarks.report import Goal, Report, Row
from benchmarks.rounds import (
    Sample,
    Side,
    folder,
    interleaved,
    main,
    of_key,
    parser,
    rounds_of,
    sized,
)
from benchmarks.sockets import Socket
from benchmarks.streams import Upstream, chunk, upstream
from benchmarks.web import HttpClient
from tests.support.server import ServerProcess

from palaver.core.runtime import started
from palaver.settings import settings_from
from palaver.wire.edge.protocols import allow_files

RECOVERED, CLEAN = "after kill -9, answers recovered", "nothing to recover"
STORM = "readers come back to palaver"
PIECES = 20
AT_ONCE = 500


@dataclass(slots=True)
class Seen:
    """What the reader of one room was shown of its answer."""

    room: str
    text: str = ""
    enough: asyncio.Event = field(default_factory=asyncio.Event)

    def take(self, frame: bytes) -> None:
        """A frame of the room."""
        if frame.startswith(b'{"t":"s.d"'):
            self.text += json.loads(frame).get("x", "")
            if self.text.count(" ") >= PIECES:
                self.enough.set()


async def answering(place: Place, model: Upstream) -> tuple[list[Socket], list[Seen]]:
    """Everybody asks; returns when everybody has seen so many pieces, and more could come."""
    sockets = await clients_of(place, len(place.rooms))
    everyone = [Seen(room) for room in place.rooms]
    for number, (socket, seen) in enumerate(zip(sockets, everyone, strict=True)):
        await socket.subscribe(seen.room)
        socket.on_frame = seen.take
        frame = '{"t":"send","id":7,"room":"%s","cid":"%s","text":"Tell me something."}'
        socket.send((frame % (seen.room, f"{number}-{time.perf_counter_ns()}")).encode())
    await model.gathered(len(everyone))
    streams, model.waiting = model.waiting, []
    for number in range(PIECES):
        for stream in streams:
            stream.write(chunk(f'{{"content":" w{number:03d}"}}', "null"))
        await asyncio.sleep(0)
    for seen in everyone:
        await seen.enough.wait()
    return sockets, everyone


async def recovered(server: ServerProcess, place: Place, model: Upstream) -> Sample:
    """Kills the server in the middle of all answers, starts it, and reads them."""
    sockets, everyone = await answering(place, model)
    await server.kill()
    for socket in sockets:
        await socket.lost()
    began = time.perf_counter()
    server.launch()
    await server.ready()
    ready = time.perf_counter()
    client = await HttpClient.connected(server.url, place.tokens[0])
    for seen in everyone:
        page = await client.request("GET", f"/api/rooms/{seen.room}/messages?limit=1")
        answer = page["messages"][-1]
        assert answer["status"] == "interrupted", answer
        assert answer["text"].startswith(seen.text), (answer["text"], seen.text)
    done = time.perf_counter()
    await client.close()
    return {"ready_s": ready - began, "read_s": done - began}


async def clean(server: ServerProcess, place: Place) -> Sample:
    """Stops the server in peace, starts it, and reads as many messages."""
    await server.term()
    began = time.perf_counter()
    server.launch()
    await server.ready()
    ready = time.perf_counter()
    client = await HttpClient.connected(server.url, place.tokens[0])
    for room in place.rooms:
        await client.request("GET", f"/api/rooms/{room}/messages?limit=1")
    done = time.perf_counter()
    await client.close()
    return {"ready_s": ready - began, "read_s": done - began}


async def storm(server: ServerProcess, place: Place, count: int) -> Sample:
    """Readers of one room lose their server, miss a message, and all come back."""
    token, room = place.tokens[0], place.rooms[0]
    sockets = await clients_of(place_of(server, place), count, room)
    await server.kill()
    for socket in sockets:
        await socket.lost()
    await server.start()
    epoch, seq = await said(server, token, room)
    last = {"epoch": epoch, "rooms": {room: seq - 1}}
    cpu, began = cpu_seconds(server.pid), time.perf_counter()
    places = asyncio.Semaphore(AT_ONCE)
    back: list[Socket] = []

    async def come_back() -> None:
        async with places:
            socket = await Socket.connected(server.url)
            back.append(socket)
            answer = await socket.resume(token, last)
            assert (answer["mode"], answer["seq"]) == ("resume", seq), answer

    async with asyncio.TaskGroup() as tasks:
        for _ in range(count):
            tasks.create_task(come_back())
    wall = time.perf_counter() - began
    sample = {
        "wall_s": wall,
        "cpu_ms": (cpu_seconds(server.pid) - cpu) / count * 1000,
    }
    await close_all(back)
    return sample


async def said(server: ServerProcess, token: str, room: str) -> tuple[str, int]:
    """Says something; the epoch and the seq that it got."""
    client = await HttpClient.connected(server.url, token)
    say = {"cid": str(time.perf_counter_ns()), "text": "Back again."}
    sent = await client.request("POST", f"/api/rooms/{room}/messages", say)
    known = await client.request("GET", f"/api/rooms/{room}/events?after={sent['seq']}")
    await client.close()
    return known["epoch"], sent["seq"]


async def plain(place: Place, count: int) -> Sample:
    """As many connections to a server that does nothing else."""
    cpu, began = cpu_seconds(place.pid), time.perf_counter()
    sockets = await clients_of(place, count, place.rooms[0])
    wall = time.perf_counter() - began
    sample = {
        "wall_s": wall,
        "cpu_ms": (cpu_seconds(place.pid) - cpu) / count * 1000,
    }
    await close_all(sockets)
    return sample


def place_of(server: ServerProcess, place: Place) -> Place:
    """The same place, where the server is now."""
    return Place(place.name, server.url, server.pid, place.tokens, place.rooms)


async def prepared(path: Path, messages: int, answers: int) -> Place:
    """A long history, and rooms in which the agent answers; one quiet room for the storm."""
    settings = settings_from(data_dir=path / "data", detect=False)
    made = await dataset.make(settings, messages)
    async with started(settings) as core:
        rooms = [
            (await core.rooms.create(made.owner.actor, title=f"Question {number}")).id
            for number in range(answers)
        ]
    return Place("server", "", 0, (made.owner.token,), (made.quiet[0], *rooms))


async def measure(options: argparse.Namespace) -> Report:
    """T12, and the storm."""
    messages: int = sized(options, 1_000_000, 100_000, 2_000)
    answers: int = sized(options, 500, 100, 4)
    readers: int = sized(options, 5_000, 1_000, 20)
    rounds = rounds_of(options)
    report = Report(
        "restart",
        {"messages": messages, "answers": answers, "readers": readers, "rounds": rounds},
    )
    allow_files(readers)
    async with AsyncExitStack() as stack:
        path = stack.enter_context(folder())
        model = await stack.enter_async_context(upstream())
        known = await prepared(path, messages, answers)
        environment: dict[str, str] = {
            "OPENAI_BASE_URL": f"{model.url}/v1",
            "PALAVER_MODEL": "scripted",
            "PALAVER_LOG_LEVEL": "error",
        }
        server = ServerProcess(path / "data", environment=environment)
        await server.start()
        stack.push_async_callback(server.kill)

        async def kill() -> Sample:
            asking = Place("", server.url, server.pid, known.tokens, known.rooms[1:])
            return await recovered(server, asking, model)

        sides: dict[str, Side] = {RECOVERED: kill, CLEAN: partial(clean, server, known)}
        figures = await interleaved(f"{answers} answers", sides, rounds)
        _recovery(report, figures, messages, answers)
        beside = stack.enter_context(floor())
        storms: dict[str, Side] = {
            STORM: partial(storm, server, known, readers),
            FLOOR: partial(plain, beside, readers),
        }
        figures = await interleaved(f"{readers} readers", storms, rounds)
        _storm(report, figures, readers)
    return report


def _recovery(report: Report, figures: Any, messages: int, answers: int) -> None:
    what = f"{messages:,} messages, {answers} answers"
    for target, key, until, goal in (
        ("", "ready_s", "ready", None),
        ("T12", "read_s", "every text was read", Goal(at_most=5)),
    ):
        report.add(
            Row(
                target=target,
                what=f"{what}: start to {until}",
                unit="s",
                figure=figures[RECOVERED][key],
                baselines=of_key(figures, key, [CLEAN]),
                goal=goal,
            )
        )


def _storm(report: Report, figures: Any, readers: int) -> None:
    for key, unit in (
        ("wall_s", "s until the last one is back"),
        ("cpu_ms", "ms of server CPU for each"),
    ):
        report.add(
            Row(
                target="",
                what=f"{readers:,} readers come back at once",
                unit=unit,
                figure=figures[STORM][key],
                baselines=of_key(figures, key, [FLOOR]),
            )
        )


if __name__ == "__main__":
    main(measure, parser("restart", "What comes after a kill.").parse_args())
