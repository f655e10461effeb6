"""The power fails under a server: what was acknowledged is there, and of an answer all but what was not synced yet.

The server runs for real and what it does to its files is recorded (tests/support/shim.c); afterwards the power is cut
at any place of the recording, and Palaver starts on what a disk would hold then. To show that this can fail, the same
recording is replayed on a disk that only says that it syncs. How often answers are synced is tested on virtual time,
in tests/core/test_runtime.py: what a second is must not depend on this machine's.
"""

import asyncio
import errno
import random
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.faults.client import Json, Network, living
from tests.faults.talker import Talker
from tests.faults.world import World, new_world
from tests.support.power import Disk
from tests.support.server import Serve, ServerProcess
from tests.support.shim import Done, Op, Shim, operations

from palaver.core.runtime import Core, started
from palaver.model import ActorKind, Event, Message, RoomId
from palaver.settings import Settings

pytestmark = [pytest.mark.fault, pytest.mark.slow, pytest.mark.timeout(300)]

MARKS_OF_TORTURE = (pytest.mark.torture, pytest.mark.timeout(3_600))
CUTS = pytest.mark.parametrize("cuts", [4, pytest.param(150, marks=MARKS_OF_TORTURE)])
MESSAGES = 40
SYNCS = 3
STREAMS = "/streams/"
FAST = {"PALAVER_DATABASE_SECONDS": "3"}


@dataclass(frozen=True, slots=True)
class Told:
    """What a client was told of its message, when so much had been recorded."""

    at: int
    cid: str
    seq: int | None


@dataclass(frozen=True, slots=True)
class Saw:
    """So much of an answer was seen, when so much had been recorded."""

    at: int
    message: str
    text: str


class Witness(Talker):
    """A talker that notes how far the recording was when it was told something."""

    def __init__(self, network: Network, recording: Path, **about: str) -> None:
        super().__init__(network, name=about["name"], token=about["token"], room=about["room"])
        self._recording = recording
        self.told_of: list[Told] = []
        self.saw: list[Saw] = []

    def _acknowledged(self, frame: Json) -> None:
        super()._acknowledged(frame)
        self.told_of.append(Told(self._recorded(), frame["cid"], frame.get("seq")))

    async def _take(self, socket: Any, frame: Json) -> None:
        await super()._take(socket, frame)
        if frame["t"] == "s.d":
            text = self.texts[frame["msg"]]
            self.saw.append(Saw(self._recorded(), frame["msg"], text))

    def _recorded(self) -> int:
        return self._recording.stat().st_size


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """A server's life under the recorder."""

    world: World
    shim: Shim
    base: Path
    witnesses: Sequence[Witness]

    def recorded(self) -> list[Done]:
        return list(operations(self.shim.recording))

    def streams_synced(self) -> list[int]:
        """Where in the recording the answers were put on the disk."""
        return [one.end for one in self.recorded() if _syncs_streams(one)]


def _syncs_streams(done: Done) -> bool:
    return done.op is Op.SYNC and done.offset >= 0 and STREAMS in done.path


async def new_life(serve: Serve, folder: Path, library: Path, *, agent: bool) -> Life:
    data, base = folder / "data", folder / "base"
    shim = Shim(library, folder, record=data)

    async def serve_recorded(**given: Any) -> ServerProcess:
        shutil.copytree(data, base)
        return await serve(**given)

    environment = {**FAST, **shim.environment}
    world = await new_world(serve_recorded, folder, people=2, agent=agent, environment=environment)
    witnesses = [
        Witness(world.network, shim.recording, name=f"witness{n}", token=token, room=world.room)
        for n, token in enumerate(world.tokens)
    ]
    return Life(world=world, shim=shim, base=base, witnesses=witnesses)


async def lost_by(
    life: Life, folder: Path, *, seed: int, cuts: int, lies: Callable[[str], bool] | None = None
) -> list[str]:
    """Cuts the power at random places, most right after somebody was told something; what is not as it was told."""
    done = life.recorded()
    chance = random.Random(seed)
    told = [one.at for witness in life.witnesses for one in (*witness.told_of, *witness.saw)]
    places = sorted(
        chance.choice(told) if chance.random() < 0.7 else chance.choice(done).end
        for _ in range(cuts - 1)
    )
    disk = Disk(life.base, life.world.server.data, lies=lies or (lambda _: False))
    complaints: list[str] = []
    waiting = iter(done)
    for number, place in enumerate([*places, done[-1].end]):
        for one in waiting:
            disk.do(one)
            if one.end >= place:
                break
        image = folder / f"image{seed}-{number}"
        disk.cut(image, chance)
        synced = max(
            (one.end for one in done if _syncs_streams(one) and one.end <= place), default=0
        )
        found = await looked_at(life, image, place, synced)
        complaints += [f"{image.name}: {said}" for said in found]
        shutil.rmtree(image)
    return complaints


async def looked_at(life: Life, image: Path, place: int, synced: int) -> list[str]:
    """Starts Palaver on what is left, and holds it against what was told before the cut, or before the last sync."""
    settings = Settings(data_dir=image, detect=False)
    async with started(settings) as core:  # at its end, what was left of answers is stored
        while core.drafts.depth:  # noqa: ASYNC110  nothing tells that the last one is stored
            await asyncio.sleep(0.01)
    async with started(settings) as core:
        events = await all_events(core, life.world)
    complaints: list[str] = []
    if [event.seq for event in events] != list(range(1, len(events) + 1)):
        complaints.append("the room has holes")
    said = [event.message for event in events if event.message is not None]
    spoken = [message for message in said if message.cid is not None]
    by_cid = {message.cid: message.seq for message in spoken}
    if len(by_cid) != len(spoken):
        complaints.append("a message is there twice")
    for witness in life.witnesses:
        order = [by_cid[cid] for cid in witness.order if cid in by_cid]
        if order != sorted(order):
            complaints.append("the order is another one")
        for told in witness.told_of:
            there = by_cid.get(told.cid)
            if told.at <= place and (there is None or told.seq not in {None, there}):
                complaints.append(f"{told.cid} was at {told.seq} and is at {there}")
    return complaints + answers_lost(life, said, synced)


def answers_lost(life: Life, said: Sequence[Message], synced: int) -> list[str]:
    """Of each answer, what was seen before the last sync is there."""
    texts = {message.id: message.text for message in said if message.author.startswith("a_")}
    complaints: list[str] = []
    for witness in life.witnesses:
        safe = {saw.message: saw.text for saw in witness.saw if saw.at <= synced}
        for message, text in safe.items():
            there = next((found for id_, found in texts.items() if id_ == message), "")
            if not there.startswith(text):
                complaints.append(
                    f"{message}: {len(text)} characters were safe, {len(there)} are there"
                )
    return complaints


async def all_events(core: Core, world: World) -> list[Event]:
    actor = await core.identity.actor(world.tokens[0])
    assert actor is not None, "whoever talks is known"
    assert actor.kind is ActorKind.PERSON
    events: list[Event] = []
    while True:
        after = events[-1].seq if events else 0
        more, _ = await core.chat.events(actor, RoomId(world.room), after=after)
        if not more:
            return events
        events += more


async def talked(life: Life, count: int) -> None:
    await asyncio.gather(*(witness.told(count) for witness in life.witnesses))


@CUTS
async def test_a_power_cut_takes_nothing_that_was_acknowledged(
    serve: Serve, tmp_path: Path, shim_library: Path, cuts: int
) -> None:
    life = await new_life(serve, tmp_path, shim_library, agent=False)
    async with living(*life.witnesses):
        await talked(life, MESSAGES)
        life.shim.fail(Op.WRITE, "palaver.db")
        await talked(life, MESSAGES)
        await life.world.server.kill()
    assert any(told.seq is None for told in life.witnesses[0].told_of)
    assert await lost_by(life, tmp_path, seed=1, cuts=cuts) == []
    assert await lost_by(life, tmp_path, seed=2, cuts=2, lies=lambda name: "-wal" in name)
    assert await lost_by(life, tmp_path, seed=3, cuts=2, lies=lambda name: "/drafts/" in name)


@CUTS
async def test_a_power_cut_takes_nothing_although_syncs_failed_before_it(
    serve: Serve, tmp_path: Path, shim_library: Path, cuts: int
) -> None:
    """Also not what a killed server had left in the memory of the system only."""
    life = await new_life(serve, tmp_path, shim_library, agent=False)
    async with living(*life.witnesses):
        await talked(life, 5)
        for failures in (2, 0):
            life.shim.fail(Op.SYNC, "palaver.db-wal", error=errno.EIO)
            journal = life.shim.fail(Op.SYNC, "/drafts/", skip=3, times=failures)
            await talked(life, 30)
            assert life.shim.hits(journal) == failures
            life.world.network.up.clear()
            await life.world.server.kill()
            life.shim.heal()
            await life.world.server.start()
            life.world.network.up.set()
            await talked(life, 5)
        await life.world.server.kill()
    assert await lost_by(life, tmp_path, seed=4, cuts=cuts) == []


@CUTS
async def test_a_power_cut_takes_the_last_second_of_an_answer_at_the_most(
    serve: Serve, tmp_path: Path, shim_library: Path, cuts: int
) -> None:
    life = await new_life(serve, tmp_path, shim_library, agent=True)
    for witness in life.witnesses:
        witness.quiet = True
    async with living(*life.witnesses):
        await life.witnesses[0].welcomed(1)
        async with life.world.http() as http:
            for number in range(3):
                question = {"cid": f"question{number}", "text": "/long 1000"}
                await http.post(f"/api/rooms/{life.world.room}/messages", json=question)
        first = life.witnesses[0]
        async with asyncio.timeout(90), first.changed:
            while sum(place > first.saw[0].at for place in life.streams_synced()) < SYNCS:
                more = len(first.saw) + 50
                await first.changed.wait_for(lambda more=more: len(first.saw) >= more)
        await life.world.server.kill()
    assert await lost_by(life, tmp_path, seed=5, cuts=cuts) == []
    assert await lost_by(life, tmp_path, seed=6, cuts=2, lies=lambda name: "/streams/" in name)
