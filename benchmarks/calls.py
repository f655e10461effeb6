"""T4: the calls of a chat page over HTTP, against a real server whose database holds a long history.

One client asks one call after the other, of the server with the long history and of one with a short history on the
same engine, side by side: the goal is an absolute tail, and the ratio says whether cost grows with history.
"""

import argparse
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from itertools import count
from pathlib import Path

from benchmarks import dataset
from benchmarks.dataset import Dataset
from benchmarks.report import Goal, Report, Row
from benchmarks.rounds import Sample, Side, interleaved, of_latencies, rounds_of, sized
from benchmarks.web import HttpClient
from tests.support.server import ServerProcess

from palaver.clock import SystemClock
from palaver.settings import Settings, settings_from

SHORT = 2_000
LONG, BESIDE = "a long history", "a short history"
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


async def ask(url: str, made: Dataset, call: str, asked: int, numbers: "count[int]") -> Sample:
    """Latency of one call after the other, on one connection."""
    client = await HttpClient.connected(url, made.owner.token)
    asking = calls_of(client, made)[call]
    await asking(next(numbers))
    taken: list[float] = []
    began = time.perf_counter()
    for _ in range(asked):
        start = time.perf_counter()
        await asking(next(numbers))
        taken.append(time.perf_counter() - start)
    sample = of_latencies(taken, time.perf_counter() - began)
    await client.close()
    return sample


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
    data = Path(settings.data_dir)
    small = settings_from(
        data_dir=data.with_name(f"{name}-small"), database_url=small_url, detect=False
    )
    made_small = await dataset.make(small, min(SHORT, made.messages))
    sides = {LONG: (settings, made), BESIDE: (small, made_small)}
    async with AsyncExitStack() as stack:
        urls: dict[str, str] = {}
        for side, (one, _) in sides.items():
            server = ServerProcess(one.data_dir, database_url=one.database_url)
            await server.start()
            stack.push_async_callback(server.kill)
            urls[side] = server.url
        for call, goal_ms in GOALS_MS.items():
            asked: int = sized(options, 400, 150, 5)
            calls: dict[str, Side] = {
                side: partial(ask, urls[side], of, call, asked, count())
                for side, (_, of) in sides.items()
            }
            figures = await interleaved(f"{name}, {call} over HTTP", calls, rounds_of(options))
            for key in ("p50_ms", "p99_ms"):
                tail = key == "p99_ms"
                report.add(
                    Row(
                        target="T4" if tail else "",
                        what=f"{name}: {call} over HTTP, {made.messages:,} messages",
                        unit=f"ms {key.removesuffix('_ms')}",
                        figure=figures[LONG][key],
                        baselines={BESIDE: figures[BESIDE][key]},
                        goal=Goal(at_most=goal_ms) if tail else None,
                    )
                )
