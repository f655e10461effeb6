"""T4: the calls of a chat page over HTTP, against a real server whose database holds a long history.

One client asks one call after the other: of the server with the long history, of one on the same engine whose database
is as good as empty (it holds just enough for the same answers), and of a uvicorn that answers everything with nothing.
"""

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from itertools import count

from benchmarks import dataset
from benchmarks.dataset import Dataset
from benchmarks.live import floor
from benchmarks.report import Goal
from benchmarks.rounds import Bench, Sample, Side, repeat
from benchmarks.web import HttpClient
from tests.support.server import ServerProcess

from palaver.clock import SystemClock

LONG, SHORT, NOTHING = "a long history", "an almost empty database", "uvicorn, an empty answer"
CALLS = ("create a message", "load the last 50", "create a room", "load a page")

Call = Callable[[], Awaitable[object]]


def call_of(name: str, client: HttpClient, made: Dataset, numbers: "count[int]") -> Call:
    """Call of this name; it asks something else each time."""
    new_id = SystemClock().new_id
    newest = f"/api/rooms/{made.big}/messages?limit=50"

    async def ask() -> object:
        number = next(numbers)
        match name:
            case "create a message":
                room = made.quiet[number % len(made.quiet)]
                body = {"cid": new_id(), "text": dataset.TEXT}
                return await client.request("POST", f"/api/rooms/{room}/messages", body)
            case "load the last 50":
                return await client.request("GET", newest)
            case "create a room":
                return await client.request("POST", "/api/rooms", {"title": f"Room {number}"})
            case _:
                before = 60 + number * 7919 % (made.big_seq - 59)
                return await client.request("GET", f"{newest}&before={before}")

    return ask


async def asked(url: str, made: Dataset, name: str, times: int, numbers: "count[int]") -> Sample:
    """Latency of one call after the other, on one connection."""
    client = await HttpClient.connected(url, made.owner.token)
    call = call_of(name, client, made, numbers)
    await call()
    sample = await repeat(times, call)
    await client.close()
    return sample


async def measure(bench: Bench, engine: str, long: Dataset, short: Dataset) -> None:
    """Measures the four calls. Nobody else may have the databases open."""
    times = bench.sized(400, 150, 5)
    async with AsyncExitStack() as stack:
        sides = {NOTHING: (stack.enter_context(floor()).url, short)}
        for side, made in ((LONG, long), (SHORT, short)):
            settings = made.settings
            server = ServerProcess(settings.data_dir, database_url=settings.database_url)
            await server.start()
            stack.push_async_callback(server.kill)
            sides[side] = (server.url, made)
        goals = [Goal(at_most=1.1, against=SHORT), Goal(at_most=4, against=NOTHING)]
        for name in CALLS:
            calls: dict[str, Side] = {
                side: partial(asked, url, made, name, times, count())
                for side, (url, made) in sides.items()
            }
            figures = await bench.compared(f"{engine}, {name} over HTTP", calls)
            what = f"{engine}: {name} over HTTP, {long.messages:,} messages"
            bench.add(figures, LONG, "p50_ms", what, "ms p50", target="T4", goals=goals)
            bench.add(figures, LONG, "p99_ms", what, "ms p99", beside=[SHORT, NOTHING])
