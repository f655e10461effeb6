"""T4: the calls of a chat page over HTTP, against a real server whose database holds a long history.

One client asks one call after the other, of the server with the long history and of one with a short history on the
same engine, side by side: the goal is an absolute tail, and the ratio says whether cost grows with history.
"""

import argparse
import time
from collections.abc import Awaitable, Callable
from functools import partial
from itertools import count
from pathlib import Path

from benchmarks import dataset
from benchmarks.dataset import Dataset
from benchmarks.report import Goal, Report, Row
from benchmarks.rounds import Sample, Side, interleaved, of_latencies, rounds_of, sized
from benchmarks.web import HttpClient
from tests.support.server import serving

from palaver.clock import SystemClock
from palaver.settings import Settings, settings_from

SHORT = 2_000
GOALS_MS = {"create a message": 10, "load the last 50": 20, "create a room": 5, "load a page": 30}

Calls = dict[str, Callable[[int], Awaitable[object]]]


def calls_of(client: HttpClient, made: Dataset) -> Calls:
    """What is asked, by its name; the number makes each call another one."""
    new_id = SystemClock().new_id
    newest = f"/api/rooms/{made.big}/messages?limit=50"

    async def say(number: int) -> object:
        room = made.quiet[number % len(made.quiet)]
        body = {"cid": new_id(), "text": dataset.TEXT}
        return await client.request("POST", f"/api/rooms/{room}/messages", body)

    async def load(_: int) -> object:
        return await client.request("GET", newest)

    async def create(number: int) -> object:
        return await client.request("POST", "/api/rooms", {"title": f"Room {number}"})

    async def page(number: int) -> object:
        before = 60 + number * 7919 % (made.big_seq - 59)
        return await client.request("GET", f"{newest}&before={before}")

    return {
        "create a message": say,
        "load the last 50": load,
        "create a room": create,
        "load a page": page,
    }


async def repeat(
    asked: int, call: Callable[[int], Awaitable[object]], numbers: "count[int]"
) -> Sample:
    """Latency of one call after the other."""
    taken: list[float] = []
    began = time.perf_counter()
    for _ in range(asked):
        start = time.perf_counter()
        await call(next(numbers))
        taken.append(time.perf_counter() - start)
    return of_latencies(taken, time.perf_counter() - began)


async def measure(
    name: str,
    settings: Settings,
    made: Dataset,
    report: Report,
    options: argparse.Namespace,
    *,
    small_url: str | None = None,
) -> None:
    """The four calls, as rows of the report."""
    asked: int = sized(options, 400, 150, 5)
    long, short = f"{made.messages:,} messages", f"{min(SHORT, made.messages):,} messages"
    data = Path(settings.data_dir)
    small = settings_from(
        data_dir=data.with_name(f"{name}-small"), database_url=small_url, detect=False
    )
    made_small = await dataset.make(small, min(SHORT, made.messages))
    async with serving(data.parent) as serve:
        servers = [
            await serve(name=Path(one.data_dir).name, database_url=one.database_url)
            for one in (settings, small)
        ]
        clients = [
            await HttpClient.connected(server.url, one.owner.token)
            for server, one in zip(servers, (made, made_small), strict=True)
        ]
        both = [
            calls_of(client, one) for client, one in zip(clients, (made, made_small), strict=True)
        ]
        for call, goal_ms in GOALS_MS.items():
            sides: dict[str, Side] = {
                side: partial(repeat, asked, calls[call], count())
                for side, calls in zip((long, short), both, strict=True)
            }
            for side in sides.values():
                await side()
            figures = await interleaved(f"{name}, {call} over HTTP", sides, rounds_of(options))
            for key, unit in (("p50_ms", "ms p50"), ("p99_ms", "ms p99")):
                tail = key == "p99_ms"
                report.add(
                    Row(
                        target="T4" if tail else "",
                        what=f"{name}: {call} over HTTP, {long}",
                        unit=unit,
                        figure=figures[long][key],
                        baselines={short: figures[short][key]},
                        goal=Goal(at_most=goal_ms) if tail else None,
                    )
                )
        for client in clients:
            await client.close()
