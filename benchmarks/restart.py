"""What comes after a `kill -9`: T12, until every answer that was streaming can be read again; and a storm of readers.

The database has a long history. So many answers stream from a model server in this process when the server is killed;
the time runs from the start of the next process until the text of each of them, as far as it was seen, was fetched from
it. Beside it: the same start with nothing to recover. Then thousands of readers lose their server at once, and come
back at once, each with the last seq that it knows; beside it, as many plain connections to a uvicorn that stores
nothing. Every side pays for this process's clients, too.
"""

import asyncio
import json
import time
from collections.abc import Awaitable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import dataset
from benchmarks.live import FLOOR, Place, clients_of, close_all, floor
from benchmarks.processes import cpu_seconds
from benchmarks.report import Goal
from benchmarks.rounds import Bench, Sample, Side, folder, main, parser
from benchmarks.sockets import Socket
from benchmarks.streams import Upstream, ask, environment_of, piece, upstream
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
    """Reader of one room, with the text of the answer so far."""

    room: str
    text: str = ""
    enough: asyncio.Event = field(default_factory=asyncio.Event)

    def take(self, frame: bytes) -> None:
        """Takes a frame of the room."""
        if frame.startswith(b'{"t":"s.d"'):
            self.text += json.loads(frame).get("x", "")
            if self.text.count(" ") >= PIECES:
                self.enough.set()


async def answering(place: Place, model: Upstream) -> tuple[list[Socket], list[Seen]]:
    """Asks in every room; returns when each has seen `PIECES` pieces, and more could come."""
    sockets = await clients_of(place, len(place.rooms))
    everyone = [Seen(room) for room in place.rooms]
    for number, (socket, seen) in enumerate(zip(sockets, everyone, strict=True)):
        await ask(socket, seen.room, number, seen.take)
    await model.gathered(len(everyone))
    streams, model.waiting = model.waiting, []
    for number in range(PIECES):
        for stream in streams:
            stream.write(piece(f" w{number:03d}"))
        await asyncio.sleep(0)
    for seen in everyone:
        await seen.enough.wait()
    return sockets, everyone


async def recovered(server: ServerProcess, place: Place, model: Upstream) -> Sample:
    """Kills the server in the middle of all answers, starts it, and reads them."""
    sockets, everyone = await answering(replace(place, url=server.url), model)
    await server.kill()
    for socket in sockets:
        await socket.lost()
    sample, answers = await restarted(server, place)
    for seen, answer in zip(everyone, answers, strict=True):
        assert answer["status"] == "interrupted", answer
        assert answer["text"].startswith(seen.text), (answer["text"], seen.text)
    return sample


async def clean(server: ServerProcess, place: Place) -> Sample:
    """Stops the server in peace, starts it, and reads as many messages."""
    await server.term()
    sample, _ = await restarted(server, place)
    return sample


async def restarted(server: ServerProcess, place: Place) -> tuple[Sample, list[dict[str, Any]]]:
    """Starts the server, and reads the newest message of each room."""
    began = time.perf_counter()
    server.launch()
    await server.ready()
    ready = time.perf_counter()
    client = await HttpClient.connected(server.url, place.tokens[0])
    newest = [
        (await client.request("GET", f"/api/rooms/{room}/messages?limit=1"))["messages"][-1]
        for room in place.rooms
    ]
    done = time.perf_counter()
    await client.close()
    return {"ready_s": ready - began, "read_s": done - began}, newest


async def storm(server: ServerProcess, place: Place, count: int) -> Sample:
    """Kills the server of many readers of one room, who miss a message and all come back."""
    token, room = place.tokens[0], place.rooms[0]
    sockets = await clients_of(replace(place, url=server.url, tokens=(token,)), count, room)
    await server.kill()
    for socket in sockets:
        await socket.lost()
    await server.start()
    epoch, seq = await said(server, token, room)
    last = {"epoch": epoch, "rooms": {room: seq - 1}}
    places = asyncio.Semaphore(AT_ONCE)

    async def come_back() -> Socket:
        async with places:
            socket = await Socket.connected(server.url)
            answer = await socket.resume(token, last)
            assert (answer["mode"], answer["seq"]) == ("resume", seq), answer
            return socket

    return await timed(server.pid, count, asyncio.gather(*(come_back() for _ in range(count))))


async def said(server: ServerProcess, token: str, room: str) -> tuple[str, int]:
    """Says something; gives the epoch and the message's seq."""
    client = await HttpClient.connected(server.url, token)
    say = {"cid": str(time.perf_counter_ns()), "text": "Back again."}
    sent = await client.request("POST", f"/api/rooms/{room}/messages", say)
    known = await client.request("GET", f"/api/rooms/{room}/events?after={sent['seq']}")
    await client.close()
    return known["epoch"], sent["seq"]


async def plain(place: Place, count: int) -> Sample:
    """Connects as many clients to a server that does nothing else."""
    return await timed(place.pid, count, clients_of(place, count, place.rooms[0]))


async def timed(pid: int, count: int, coming: Awaitable[list[Socket]]) -> Sample:
    """Times how long `count` sockets take to come; drops them."""
    cpu, began = cpu_seconds(pid), time.perf_counter()
    sockets = await coming
    wall = time.perf_counter() - began
    spent = cpu_seconds(pid) - cpu
    await close_all(sockets)
    return {"wall_s": wall, "cpu_ms": spent / count * 1000}


async def prepared(path: Path, messages: int, answers: int) -> Place:
    """Makes a long history, rooms in which the agent answers, and a quiet room for the storm."""
    settings = settings_from(data_dir=path / "data", detect=False)
    made = await dataset.make(settings, messages)
    async with started(settings) as core:
        rooms = [
            (await core.rooms.create(made.owner.actor, title=f"Question {number}")).id
            for number in range(answers)
        ]
    return Place("server", "", 0, (made.owner.token,), (made.quiet[0], *rooms))


async def measure(bench: Bench) -> None:
    """T12, and the storm."""
    messages = bench.sized(1_000_000, 100_000, 2_000)
    answers, readers = bench.sized((500, 5_000), (100, 1_000), (4, 20))
    bench.report.parameters |= {"messages": messages, "answers": answers, "readers": readers}
    allow_files(readers)
    async with AsyncExitStack() as stack:
        path = stack.enter_context(folder())
        model = await stack.enter_async_context(upstream())
        known = await prepared(path, messages, answers)
        asking = replace(known, rooms=known.rooms[1:])
        environment = environment_of(model) | {"PALAVER_LOG_LEVEL": "error"}
        server = ServerProcess(path / "data", environment=environment)
        await server.start()
        stack.push_async_callback(server.kill)
        sides: dict[str, Side] = {
            RECOVERED: partial(recovered, server, asking, model),
            CLEAN: partial(clean, server, asking),
        }
        figures = await bench.compared(f"{answers} answers", sides)
        sides = {
            STORM: partial(storm, server, known, readers),
            FLOOR: partial(plain, stack.enter_context(floor()), readers),
        }
        storms = await bench.compared(f"{readers} readers", sides)
    what = f"{messages:,} messages, {answers} answers: start to"
    goals = [Goal(at_most=1.5, against=CLEAN)]
    bench.add(figures, RECOVERED, "ready_s", f"{what} ready", "s", beside=[CLEAN])
    what = f"{what} every text was read"
    bench.add(figures, RECOVERED, "read_s", what, "s", target="T12", goals=goals)
    what = f"{readers:,} readers come back at once"
    bench.add(storms, STORM, "wall_s", what, "s until the last one is back", beside=[FLOOR])
    bench.add(storms, STORM, "cpu_ms", what, "ms of server CPU for each", beside=[FLOOR])


if __name__ == "__main__":
    main(measure, parser("restart", "What comes after a kill.").parse_args())
