"""A damaged write-ahead log or journal: what comes back is the beginning of what there was; what is missing is told.

A server is killed with messages stored and accepted; then its files are cut, flipped and torn at random places.
"""

import asyncio
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.faults.client import Json, living
from tests.faults.test_disk import new_bad_world, talkers_of
from tests.faults.test_power import all_events
from tests.faults.world import World
from tests.support.command import palaver
from tests.support.server import Serve
from tests.support.shim import Op, Shim

from palaver.core.runtime import started
from palaver.settings import Settings
from palaver.store.journal import set_aside

pytestmark = [pytest.mark.fault, pytest.mark.slow, pytest.mark.timeout(300)]

MARKS_OF_TORTURE = (pytest.mark.torture, pytest.mark.timeout(3_600))
SEEN_CHARS = 100
IMAGES = pytest.mark.parametrize("images", [8, pytest.param(200, marks=MARKS_OF_TORTURE)])
SECTOR = 512

Damage = Callable[[bytearray, random.Random], None]


def cut(content: bytearray, chance: random.Random) -> None:
    del content[chance.randrange(len(content)) :]


def flip(content: bytearray, chance: random.Random) -> None:
    content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)


def tear(content: bytearray, chance: random.Random) -> None:
    at = chance.randrange(len(content)) // SECTOR * SECTOR
    content[at : at + SECTOR] = bytes(len(content[at : at + SECTOR]))


def scribble(content: bytearray, chance: random.Random) -> None:
    at = chance.randrange(len(content))
    content[at : at + 40] = chance.randbytes(len(content[at : at + 40]))


@dataclass(frozen=True, slots=True)
class Left:
    """What a start found: (seq, cid) of each message, whether it says that something is missing, and its epoch."""

    said: list[tuple[int, str | None]]
    history: str
    epoch: str


async def found_in(world: World, image: Path) -> Left:
    async with started(Settings(data_dir=image, detect=False)) as core:
        while core.drafts.depth:  # noqa: ASYNC110  nothing tells that the last one is stored
            await asyncio.sleep(0.01)
        history, epoch = core.history, core.epoch
        events = await all_events(core, world)
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    said = [(event.seq, event.message.cid) for event in events if event.message is not None]
    return Left(said, history, epoch)


async def killed(serve: Serve, folder: Path, library: Path) -> tuple[World, set[str], int]:
    """A server that was killed; what it had accepted, and what it had noted as stored."""
    world, shim = await new_bad_world(serve, folder, library)
    talkers = talkers_of(world)
    async with living(*talkers):
        await asyncio.gather(*(talker.told(30) for talker in talkers))
        await asyncio.gather(*(talker.end() for talker in talkers))
        marked = (await world.log())[-1]["seq"]
        await noted(world, marked)
        shim.fail(Op.WRITE, "palaver.db")
        await asyncio.gather(*(talker.begin() for talker in talkers))
        await asyncio.gather(*(talker.told(6) for talker in talkers))
        accepted = {cid for talker in talkers for cid in talker.accepted}
        await world.server.kill()
    shim.heal()
    return world, accepted, marked


async def noted(world: World, seq: int) -> None:
    """Waits until the server has noted down that the room is so far."""
    mark = world.server.data / "mark.json"
    async with asyncio.timeout(60):
        while f'"{world.room}", {seq}, ' not in mark.read_text():  # noqa: ASYNC110  a file wakes nobody
            await asyncio.sleep(0.01)


async def spoken(world: World) -> dict[str, Json]:
    """What was said, by its cid or else its id."""
    said = [event["d"] for event in await world.log() if event["k"] == "message.created"]
    return {one["cid"] or one["id"]: one for one in said}


def copied(world: World, image: Path) -> None:
    ignored = shutil.ignore_patterns("*-shm", "*.lock", "*.sock", "server.json")
    shutil.copytree(world.server.data, image, ignore=ignored)


def damaged(world: World, image: Path, chance: random.Random) -> str:
    """A copy of the server's folder with one damaged file; which one."""
    copied(world, image)
    files = [image / "palaver.db-wal", *sorted(image.rglob("*.journal"))]
    file = chance.choice(files)
    content = bytearray(file.read_bytes())
    used = len(content.rstrip(b"\0"))
    tail = content[used:]
    del content[used:]
    chance.choice([cut, flip, tear, scribble])(content, chance)
    file.write_bytes(content + tail)
    return file.name


@IMAGES
async def test_damaged_files_give_the_beginning_of_what_there_was_and_say_what_is_missing(
    serve: Serve, tmp_path: Path, shim_library: Path, images: int
) -> None:
    world, accepted, marked = await killed(serve, tmp_path, shim_library)
    copied(world, tmp_path / "whole")
    whole = await found_in(world, tmp_path / "whole")
    assert whole.history == "whole"
    journaled = {cid for seq, cid in whole.said if seq > marked}
    assert accepted <= journaled
    told = 0
    for seed in range(images):
        image = tmp_path / "image"
        name = damaged(world, image, random.Random(seed))
        left = await found_in(world, image)
        same = [one for one, before in zip(left.said, whole.said, strict=False) if one == before]
        stored = [seq for seq, _ in left.said[: len(same)] if seq <= marked]
        rest = [cid for _, cid in left.said[len(same) :]]
        assert left.said[: len(same)] == same, "a beginning"
        assert [cid for _, cid in whole.said if cid in rest] == rest, "in their order"
        assert set(rest) <= journaled, "only what was in the journal comes after it"
        missing = max(stored, default=0) < marked
        assert (left.history == "behind") is missing, f"{name} with seed {seed}"
        assert (left.epoch != whole.epoch) is missing
        assert not missing or name == "palaver.db-wal"
        assert not (missing and rest), "what was accepted waits for the history that it belongs to"
        told += missing
        shutil.rmtree(image)
    assert told
    await starts_and_tells(world)


async def starts_and_tells(world: World) -> None:
    """The server itself, with all of its files cut."""
    chance = random.Random(1)
    for file in (world.server.data / "palaver.db-wal", *world.server.data.rglob("*.journal")):
        content = bytearray(file.read_bytes())
        cut(content, chance)
        file.write_bytes(content)
    await world.server.start()
    async with world.http() as http, asyncio.timeout(60):
        health = (await http.get("/health")).json()
        assert (await http.get(f"/api/rooms/{world.room}/messages")).status_code == 200
        sent = {"cid": "after", "text": "after"}
        while (answer := await http.post(f"/api/rooms/{world.room}/messages", json=sent)).is_error:
            assert answer.json()["temporary"], "what was accepted is stored first"
    assert health["history"] == "behind"
    assert "Traceback" not in world.server.tail()
    assert "history.behind" in world.server.tail()


@dataclass(frozen=True, slots=True)
class Cut:
    """An answer that a kill cut: what was seen of it, what was accepted meanwhile, where its turn is in the log."""

    turn: str
    message: str
    seen: str
    accepted: set[str]
    at: int


async def answering_cut(world: World, shim: Shim) -> Cut:
    """Somebody asks, reads along, and says more while the database is away; then the server is killed."""
    [talker, *_] = talkers_of(world)
    talker.quiet = True
    async with living(talker):
        await talker.welcomed(1)
        at = (world.server.data / "palaver.db-wal").stat().st_size + SECTOR
        async with world.http() as http:
            asked = {"cid": "question", "text": "/long 5000"}
            answer = (await http.post(f"/api/rooms/{world.room}/messages", json=asked)).json()
        async with asyncio.timeout(60), talker.changed:
            await talker.changed.wait_for(
                lambda: any(len(text) >= SEEN_CHARS for text in talker.texts.values())
            )
        await noted(world, answer["seq"])
        shim.fail(Op.WRITE, "palaver.db")
        await talker.begin()
        await talker.told(3)
        talker.quiet = True
        await world.server.kill()
        await talker.lost()
    shim.heal()
    [(message, seen)] = talker.texts.items()
    return Cut(answer["turns"][0], message, seen, set(talker.accepted), at)


async def test_an_answer_whose_turn_is_lost_is_there_again_with_the_right_file(
    serve: Serve, tmp_path: Path, shim_library: Path
) -> None:
    """One bit of the write-ahead log flips, so that the turn's row goes. Then the right file is copied back."""
    world, shim = await new_bad_world(serve, tmp_path, shim_library, agent=True)
    cut = await answering_cut(world, shim)
    assert cut.accepted
    server, right = world.server, tmp_path / "right"
    copied(world, right)
    content = bytearray((right / "palaver.db-wal").read_bytes())
    content[cut.at] ^= 1
    (server.data / "palaver.db-wal").write_bytes(content)
    await server.start()
    async with world.http() as http:
        assert (await http.get("/health")).json()["history"] == "behind"
    assert not (await spoken(world)).keys() & {"question", cut.message, *cut.accepted}
    doctor = palaver(tmp_path, "doctor", "--data-dir", str(server.data), "--json").json["checks"]
    assert ("set aside", "warn") in {(check["name"], check["state"]) for check in doctor}
    await server.kill()
    for name in ("palaver.db", "palaver.db-wal"):
        shutil.copy(right / name, server.data / name)
    await server.start()
    async with world.http() as http, asyncio.timeout(60):
        assert (await http.get("/health")).json()["history"] == "whole"
        while not (said := await spoken(world)).keys() >= {cut.message, *cut.accepted}:  # noqa: ASYNC110  nobody is told
            await asyncio.sleep(0.05)
    assert said[cut.message]["status"] == "interrupted"
    assert said[cut.message]["text"].startswith(cut.seen)
    answers = [one["meta"]["turn"] for one in said.values() if one["role"] == "assistant"]
    assert answers.count(cut.turn) == 1
    assert not set_aside(server.data / "journal" / "streams")
