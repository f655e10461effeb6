"""Who writes and who indexes is killed again and again: all that was stored is found afterwards, each message once."""

import asyncio
import random
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.server import clean_environment

import palaver

pytestmark = [pytest.mark.fault]

LIVES = 4
SECONDS_MAX = 60
WRITE = """
import asyncio, sys
import palaver

async def main(url: str, life: int) -> None:
    async with palaver.open(url) as chat:
        ada = await chat.person("ada")
        room = await chat.room("long")
        for number in range(100_000):
            await room.say(ada, f"word life{life} number{number}")
            print(number, flush=True)

asyncio.run(main(sys.argv[1], int(sys.argv[2])))
"""


async def found_in(url: str) -> dict[int, list[int]]:
    """The numbers of each life that a search finds once the index is whole, page by page."""
    async with palaver.open(url) as chat:
        async with asyncio.timeout(SECONDS_MAX):
            while not (await chat.search("word", limit=1)).complete:  # noqa: ASYNC110  nothing tells it
                await asyncio.sleep(0.05)
        seen: dict[int, list[int]] = {}
        cursor: str | None = None
        while True:
            page = await chat.search("word", limit=100, cursor=cursor)
            assert page.complete
            for hit in page.hits:
                _, life, number = hit.message.text.split()
                seen.setdefault(int(life[4:]), []).append(int(number[6:]))
            if (cursor := page.cursor) is None:
                return seen


def lived(url: str, life: int, messages: int) -> int:
    """Writes until so many messages are stored, and dies; how many were acknowledged."""
    command = [sys.executable, "-P", "-c", WRITE, url, str(life)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, env=clean_environment({}), text=True
    ) as process:
        assert process.stdout is not None
        acknowledged = 0
        for line in process.stdout:
            acknowledged = int(line) + 1
            if acknowledged >= messages:
                break
        process.kill()
        rest = [int(line) + 1 for line in process.stdout if line.strip().isdecimal()]
    return max([acknowledged, *rest])


def test_all_that_was_stored_is_found_whoever_was_killed(database_url: str, tmp_path: Path) -> None:
    chance = random.Random(7)
    acknowledged = {
        life: lived(database_url, life, chance.randrange(20, 250)) for life in range(LIVES)
    }
    for _ in range(2):
        seen = asyncio.run(found_in(database_url))
        for life, count in acknowledged.items():
            assert len(seen[life]) == len(set(seen[life])), "each once"
            assert set(range(count)) <= set(seen[life])
        for file in tmp_path.rglob("*-search.db*"):
            file.unlink()  # and once more, of nothing
