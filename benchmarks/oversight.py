"""T27: what the operator's pages ask, over HTTP, of a server whose database holds a long history.

Each round asks a server that has just started, so that what it counts once is counted in each round, of all messages on
one day. `--messages` sets the size; a tenth of them lie in one room, and there are a tenth as many rooms.
"""

import time
from contextlib import ExitStack
from functools import partial
from itertools import count
from pathlib import Path

from benchmarks import dataset
from benchmarks.dataset import Dataset
from benchmarks.report import Goal
from benchmarks.rounds import Bench, Sample, folder, main, parser, repeat
from benchmarks.web import HttpClient
from tests.support.postgres import running_postgres
from tests.support.server import ServerProcess

from palaver.core.runtime import started
from palaver.model import EventType, ServerRole
from palaver.settings import settings_from

ASKED_MS_MAX = 300.0
PAGES = {
    "chats": "/api/admin/rooms?limit=50",
    "chats by a title": "/api/admin/rooms?limit=50&search=number {number}",
    "usage": "/api/usage?by=model",
    "use of a year": "/api/usage?by=day&from={year}",
    "events": "/api/admin/events?limit=100",
    "events of a type": f"/api/admin/events?limit=100&type={EventType.ROOM_CREATED}",
    "events of a chat": "/api/admin/events?limit=100&room={room}",
}


async def filled(path: Path, url: str | None, messages: int) -> Dataset:
    """Makes the history, whose owner is the server's, too."""
    made = await dataset.make(
        settings_from(data_dir=path, database_url=url, detect=False), messages
    )
    async with started(made.settings) as core:
        await core.register.create("ada", None, made.owner.actor, role=ServerRole.OWNER)
    return made


async def asked(made: Dataset, page: str, times: int) -> Sample:
    """Latency of one call after the other, of which the first one counts."""
    server = ServerProcess(made.settings.data_dir, database_url=made.settings.database_url)
    await server.start()
    client = await HttpClient.connected(server.url, made.owner.token)
    await client.request("GET", "/api/me")
    year = time.strftime("%Y-%m-%d", time.gmtime(time.time() - 364 * 86_400))
    numbers = count(1_000)

    async def ask() -> object:
        filling = {"number": str(next(numbers)), "room": made.big, "year": year}
        path = PAGES[page].format(**filling).replace(" ", "%20")
        return await client.request("GET", path)

    try:
        return await repeat(times, ask)
    finally:
        await client.close()
        await server.kill()


async def measure(bench: Bench) -> None:
    """T27."""
    messages: int = bench.options.messages or bench.sized(1_000_000, 100_000, 2_000)
    times = bench.sized(50, 20, 3)
    bench.report.parameters["messages"] = messages
    with folder() as path, ExitStack() as stack:
        for engine in ("sqlite", "postgresql"):
            if bench.options.engine not in {"both", engine}:
                continue
            url = None
            if engine == "postgresql":
                server = stack.enter_context(running_postgres())
                url = server.url(server.create_database())
            made = await filled(path / engine, url, messages)
            sides = {page: partial(asked, made, page, times) for page in PAGES}
            figures = await bench.compared(f"{engine}, the operator's pages", sides)
            for page in PAGES:
                what = f"{engine}: {page}, {messages:,} messages"
                goals = [Goal(at_most=ASKED_MS_MAX)]
                bench.add(figures, page, "p99_ms", what, "ms p99", target="T27", goals=goals)
                bench.add(figures, page, "p50_ms", what, "ms p50")


if __name__ == "__main__":
    OPTIONS = parser("oversight", "How fast the operator's pages are.")
    OPTIONS.add_argument("--engine", choices=["both", "sqlite", "postgresql"], default="both")
    OPTIONS.add_argument("--messages", type=int, help="default 1,000,000, with --quick 100,000")
    main(measure, OPTIONS.parse_args())
