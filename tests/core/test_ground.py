"""What is shown of an answer is on the disk a second later: in seeded lives of a journal and a slow disk."""

import asyncio
import random
from functools import partial
from pathlib import Path

from tests.support.simulated import QUICK, Lanes
from tests.support.simulation import SimulatedClock, simulate

from palaver.core.ground import sync_journal
from palaver.core.part import Every
from palaver.core.runtime import SYNC_SECONDS
from palaver.model import TurnId
from palaver.store import journal

SYNC_SECONDS_MAX = 1 + 4 * max(QUICK)
"""A second, and what the simulated lane takes for the sync before and for this one."""


def test_what_is_shown_of_an_answer_is_on_the_disk_a_second_later(tmp_path: Path) -> None:
    async def life(chance: random.Random, clock: SimulatedClock) -> None:
        shown = journal.Journal(tmp_path / str(clock.chance()), "owner")
        lane = Lanes(chance).lane("journal", 1, lambda: None, lambda _: None)
        syncing = clock.loop.create_task(
            Every(SYNC_SECONDS, partial(sync_journal, shown, lane)).run()
        )
        written = [(0.0, 0)]
        while clock.monotonic() < 20:
            await asyncio.sleep(chance.choice([0.001, 0.05, 0.2]))
            safe = [size for when, size in written if when < clock.monotonic() - SYNC_SECONDS_MAX]
            assert shown.synced_bytes >= max(safe, default=0)
            shown.piece(TurnId("t_" + "1" * 32), "words ")
            written.append((clock.monotonic(), shown.bytes))
        syncing.cancel()
        shown.close()

    for seed in range(20):
        simulate(seed, life)
