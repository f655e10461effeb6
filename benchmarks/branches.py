"""How fast a room with many branches is read: its first one, and the last of a hundred that grew out of each other.

Half of the messages lie in the first branch, the others in turns in all of the others, so that each page of one lies
among those of all. Beside them stands a room of the same length without branches.
"""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path

from benchmarks.read import PAGE, Call, warmed
from benchmarks.report import Goal
from benchmarks.rounds import Bench, folder, main, parser
from benchmarks.store import TEXT
from tests.store.world import World, opened
from tests.support.postgres import running_postgres

from palaver.model import Actor, Room
from palaver.store.read import reactions

LINEAR, TRUNK, NESTED = (
    "without branches",
    "the first branch",
    "the hundredth, each out of the last",
)
AT_ONCE = 500


async def filled(world: World, ada: Actor, count: int, branches: int) -> Room:
    """A room with so many messages, and so many branches."""
    room = await world.room(ada)
    for first in range(0, count // 2 if branches else count, AT_ONCE):
        many = min(AT_ONCE, count - first)
        await asyncio.gather(*[world.say(room, ada, TEXT) for _ in range(many)])
    after = count // 4
    for _ in range(branches):
        after = (await world.say(room, ada, TEXT, after=after)).message.seq
        await world.say(room, ada, TEXT, after=after)
    left = count // 2 - 2 * branches if branches else 0
    for first in range(0, left, AT_ONCE):
        turns = [1 + number % branches for number in range(first, min(left, first + AT_ONCE))]
        await asyncio.gather(*[world.say(room, ada, TEXT, branch=one) for one in turns])
    return room


async def pages(bench: Bench, engine: str, path: Path, url: str | None) -> None:
    """The newest page, and one from the middle, as a person reads them."""
    count, branches = bench.sized((100_000, 100), (20_000, 100), (400, 10))
    async with AsyncExitStack() as stack:
        world = await stack.enter_async_context(opened(url or f"sqlite:///{path}.db"))
        ada = await world.person()
        linear = await filled(world, ada, count, 0)
        parted = await filled(world, ada, count, branches)
        places = {LINEAR: (linear, 0), TRUNK: (parted, 0), NESTED: (parted, branches)}

        def page(room: Room, branch: int, before: int | None) -> Call:
            place = {"branch": branch, "before": before}
            return lambda: world.store.read(reactions.page, room.id, ada.id, limit=PAGE, **place)

        wheres: dict[str, Callable[[], int | None]] = {
            "the newest 50": lambda: None,
            "50 before the middle": lambda: count // 2,
        }
        for where, before in wheres.items():
            asked = {name: page(*place, before()) for name, place in places.items()}
            sides = await warmed(asked, bench.sized(300, 100, 10))
            figures = await bench.compared(f"{engine}, {where}", sides)
            for name in (TRUNK, NESTED):
                what = f"{engine}: {where} of {count:,}, {name}"
                goals = [Goal(at_most=1.2, against=LINEAR)]
                bench.add(figures, name, "p50_ms", what, "ms p50", beside=[LINEAR], goals=goals)
                bench.add(figures, name, "p99_ms", what, "ms p99", beside=[LINEAR])


async def measure(bench: Bench) -> None:
    """Pages of rooms with branches and without."""
    with folder() as path, ExitStack() as stack:
        await pages(bench, "sqlite", path / "sqlite", None)
        server = stack.enter_context(running_postgres())
        await pages(bench, "postgresql", path / "postgresql", server.url(server.create_database()))


if __name__ == "__main__":
    main(measure, parser("branches", "How fast a room with branches is read.").parse_args())
