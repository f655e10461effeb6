"""A disk that fails, fills up or locks the database: nothing acknowledged is lost, and what heals needs no restart.

Where the journal still works, messages are accepted and stored later; where neither works, they are refused for the
time being, and no sync that failed is ever followed by an acknowledgement that rests on it. Reads work or say so.
"""

import asyncio
import errno
import random
import resource
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Generator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from tests.faults.client import REPEATS_MAX, Json, living
from tests.faults.talker import Talker
from tests.faults.world import World, everything_is_right, new_world
from tests.support.server import PALAVER, Serve
from tests.support.shim import FOR_EVER, Op, Shim

pytestmark = [pytest.mark.fault, pytest.mark.slow, pytest.mark.timeout(300)]

# Long enough for a slow disk that works, and short enough to wait for a locked database.
FAST = {"PALAVER_DATABASE_SECONDS": "3", "PALAVER_STOP_SECONDS": "1"}
ANSWERS = 4
TORTURE_ROUNDS = 2
TEMPORARY = {"database_unavailable", "database_full"}
DISK_MIB = 12
DATABASE, JOURNALS, ALL = "palaver.db", "/journal/", "/data/"
ACCEPTED, REFUSED, ANY = "accepted", "refused", "any"


@dataclass(frozen=True, slots=True)
class Bad:
    """Which calls on which files fail, and how."""

    what: Op
    part: str
    error: int = errno.EIO
    times: int = FOR_EVER
    shorten: int = -1


NOT_WRITTEN = Bad(Op.WRITE, DATABASE)
FAULTS: dict[str, tuple[str, tuple[Bad, ...]]] = {
    "the database cannot be written": (ACCEPTED, (NOT_WRITTEN,)),
    "the database is not synced": (ACCEPTED, (Bad(Op.SYNC, DATABASE),)),
    "nothing is synced": (REFUSED, (Bad(Op.SYNC, ALL),)),
    "nothing can be written": (REFUSED, (Bad(Op.WRITE, ALL),)),
    "the journal takes a part of each record": (
        REFUSED,
        (NOT_WRITTEN, Bad(Op.WRITE, JOURNALS, 0, shorten=40)),
    ),
    "the database cannot be read": (ANY, (Bad(Op.READ, DATABASE),)),
}
MORE_FAULTS: dict[str, tuple[str, tuple[Bad, ...]]] = {
    "one write fails": (ANY, (Bad(Op.WRITE, DATABASE, times=1),)),
    "one sync fails": (ANY, (Bad(Op.SYNC, DATABASE, times=1),)),
    "some syncs fail": (ANY, (Bad(Op.SYNC, ALL, times=5),)),
    "the database takes some bytes a time": (ANY, (Bad(Op.WRITE, DATABASE, 0, shorten=99),)),
    "the database's disk is full": (ACCEPTED, (Bad(Op.WRITE, DATABASE, errno.ENOSPC),)),
    "the disk is full": (REFUSED, (Bad(Op.WRITE | Op.ALLOCATE, ALL, errno.ENOSPC),)),
    "the disk became read-only": (REFUSED, (Bad(Op.WRITE | Op.OPEN, ALL, errno.EROFS),)),
    "the journal is not synced": (ANY, (Bad(Op.SYNC, JOURNALS),)),
    "nothing can be cut": (ANY, (Bad(Op.TRUNCATE, ALL),)),
}


def talkers_of(world: World) -> list[Talker]:
    return [
        Talker(world.network, name=f"talker{number}", token=token, room=world.room)
        for number, token in enumerate(world.tokens)
    ]


@contextmanager
def failing(shim: Shim, *bad: Bad) -> Generator[None]:
    for one in bad:
        shim.fail(one.what, one.part, error=one.error, times=one.times, shorten=one.shorten)
    try:
        yield
    finally:
        shim.heal()


@contextmanager
def locked(world: World) -> Generator[None]:
    """Another program holds the database, as a backup script gone wrong would."""
    other = sqlite3.connect(world.server.data / "palaver.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    try:
        yield
    finally:
        other.execute("ROLLBACK")
        other.close()


@contextmanager
def limited(world: World) -> Generator[None]:
    """No file may grow beyond a few bytes, as under `ulimit -f`."""
    _, hard = resource.prlimit(world.server.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(world.server.pid, resource.RLIMIT_FSIZE, (100, hard))
    try:
        yield
    finally:
        resource.prlimit(world.server.pid, resource.RLIMIT_FSIZE, (hard, hard))


@contextmanager
def filled(world: World, disk: Path) -> Generator[None]:
    """No byte is left on the disk that the server sees at this place."""
    ballast = Path(f"/proc/{world.server.pid}/root{disk}/ballast")
    with suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    try:
        yield
    finally:
        ballast.unlink()


async def lived_through(
    world: World, talkers: Sequence[Talker], bad: AbstractContextManager[None], said: str
) -> None:
    """Everyone talks before, meanwhile and until it is healed; then all of it gets stored."""
    for talker in talkers:
        await talker.begin()
    with bad:
        await asyncio.gather(*(talker.told(ANSWERS) for talker in talkers))
        async with world.http() as http:
            read = await http.get(f"/api/rooms/{world.room}/messages")
        assert read.status_code == 200 or read.json()["code"] == "database_unavailable"
        if said == ACCEPTED:
            assert all(talker.accepted and not talker.refusals for talker in talkers)
        if said == REFUSED:
            assert all(talker.refusals and not talker.accepted for talker in talkers)
        assert all(set(talker.refusals) <= TEMPORARY for talker in talkers)
    await asyncio.gather(*(talker.end() for talker in talkers))


async def nothing_is_lost(world: World, talkers: Sequence[Talker]) -> list[Json]:
    """What the clients were told is what there is (the log), and the server said nothing surprising."""
    assert "Traceback" not in world.server.tail()
    return await everything_is_right(world, talkers)


async def new_bad_world(
    serve: Serve, folder: Path, library: Path, *, agent: bool = False
) -> tuple[World, Shim]:
    shim = Shim(library, folder)
    environment = {**FAST, **shim.environment}
    world = await new_world(serve, folder, people=3, agent=agent, environment=environment)
    return world, shim


async def test_a_disk_that_fails_loses_nothing_and_heals(
    serve: Serve, tmp_path: Path, shim_library: Path
) -> None:
    world, shim = await new_bad_world(serve, tmp_path, shim_library)
    talkers = talkers_of(world)
    async with living(*talkers):
        for name, (said, bad) in FAULTS.items():
            sys.stdout.write(f"{name}\n")
            await lived_through(world, talkers, failing(shim, *bad), said)
        await lived_through(world, talkers, locked(world), ACCEPTED)
        await lived_through(world, talkers, limited(world), REFUSED)
        await nothing_is_lost(world, talkers)


async def test_a_server_that_is_killed_while_its_disk_fails_loses_nothing(
    serve: Serve, tmp_path: Path, shim_library: Path
) -> None:
    world, shim = await new_bad_world(serve, tmp_path, shim_library)
    talkers = talkers_of(world)
    async with living(*talkers):
        await asyncio.gather(*(talker.told(5) for talker in talkers))
        with failing(shim, Bad(Op.SYNC, DATABASE)):
            await asyncio.gather(*(talker.told(20) for talker in talkers))
            world.network.up.clear()
            await world.server.kill()
        await world.server.start()
        world.network.up.set()
        await asyncio.gather(*(talker.told(5) for talker in talkers))
        await asyncio.gather(*(talker.end() for talker in talkers))
        await nothing_is_lost(world, talkers)
        # after a reconnect, what is repeated is told again
        assert all(len(talker.acks) >= 5 + 20 + 5 - REPEATS_MAX for talker in talkers)


async def test_a_server_starts_on_a_read_only_file_and_writes_when_it_may(
    serve: Serve, tmp_path: Path, shim_library: Path
) -> None:
    world, shim = await new_bad_world(serve, tmp_path, shim_library)
    talkers = talkers_of(world)
    async with living(*talkers):
        await asyncio.gather(*(talker.told(5) for talker in talkers))
        await asyncio.gather(*(talker.end() for talker in talkers))
        shim.fail(Op.OPEN, f"{DATABASE}$", error=errno.EACCES)
        await world.stop()
        await asyncio.gather(*(talker.welcomed(2) for talker in talkers))
        await lived_through(world, talkers, failing(shim), ACCEPTED)
        await nothing_is_lost(world, talkers)


def private_mounts(folder: Path) -> None:
    """Skips the test where a process may not have mounts of its own."""
    unshare = shutil.which("unshare")
    mount = f"mount -t tmpfs probe {folder} && mount --bind {folder} {folder}"
    attempt = [unshare or "false", "-m", "sh", "-c", mount]
    if unshare is None or subprocess.run(attempt, check=False, capture_output=True).returncode:
        pytest.skip("needs the right to mount in a namespace of its own (root, unshare and mount)")


async def test_a_full_file_system_refuses_and_takes_messages_again_when_there_is_room(
    serve: Serve, tmp_path: Path
) -> None:
    """A real one, in memory, that only the server sees."""
    private_mounts(tmp_path)
    data = tmp_path / "data"
    disk, seed, journal = data / "disk", data / "seed", data / "journal"
    script = (
        f"cp -a {disk} {seed} && mount -t tmpfs -o size={DISK_MIB}m disk {disk}"
        f" && cp -a {seed}/. {disk} && mkdir {disk}/journal && mount --bind {disk}/journal {journal}"
        ' && exec "$@"'
    )
    program = ("unshare", "-m", "sh", "-c", script, "sh", *PALAVER)
    world = await new_world(
        partial(serve, program=program),
        tmp_path,
        people=3,
        database_url=f"sqlite:///{disk / 'palaver.db'}",
        environment=FAST,
    )
    talkers = talkers_of(world)
    async with living(*talkers):
        await lived_through(world, talkers, filled(world, disk), REFUSED)
        await nothing_is_lost(world, talkers)


@pytest.mark.torture
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("seed", range(3))
async def test_a_disk_that_fails_again_and_again(
    serve: Serve, tmp_path: Path, shim_library: Path, effort: float, seed: int
) -> None:
    world, shim = await new_bad_world(serve, tmp_path, shim_library)
    talkers = talkers_of(world)
    chance = random.Random(seed)
    every = list((FAULTS | MORE_FAULTS).values())
    async with living(*talkers):
        for _ in range(max(1, round(TORTURE_ROUNDS * effort))):
            said, bad = chance.choice(every)
            await lived_through(world, talkers, failing(shim, *bad), said)
            if chance.random() < 0.3:
                await world.die()
        await nothing_is_lost(world, talkers)
