"""Seeded lives in which rights are taken and given back while everything runs, in two processes and a bus that loses.

Ada owns a room; Bo reads it, writes to it and asks its agent in both processes, by one session after the other. He is
removed, added again, made a reader and a member, and his session ends, while the database comes and goes. What must
hold: nothing that happened after he was out is told to him, nor a second after his session has ended; nothing of his
is stored where he might not write, or by a session that had ended; and no answer of his goes on for long.
"""

import asyncio
import random
import tempfile
from collections.abc import Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import pytest
from tests.core.test_runtime import SHM, Life, Machine, Served, key_of, server
from tests.support.simulated import Air, Server
from tests.support.simulation import SimulatedClock, simulate

from palaver.core.identity.actors import session_of
from palaver.core.live.items import Happened, Item, SignedOut, Unsubscribed
from palaver.core.runtime import Core
from palaver.errors import Refused, Unavailable
from palaver.model import CredentialId, Event, EventType, MemberRole, Status
from palaver.store import journal

LIVES = 20
POLL_MS = 1_000
SLACK_MS = 500
"""What reading, stopping and storing may take beside that."""
STEPS = ("remove", "add", "reader", "member", "session", "session", "away")
WRITERS = {MemberRole.OWNER, MemberRole.MODERATOR, MemberRole.MEMBER}
T = TypeVar("T")
__all__ = ["server"]


class Rights(Life):
    """A life of Ada and Bo."""

    def __init__(
        self, chance: random.Random, clock: SimulatedClock, server: Server, directory: Path
    ) -> None:
        super().__init__(chance, clock, server, directory)
        self.people.clear()
        self.air = Air(chance, loss=chance.choice([0, 0.5, 1]))
        self.machines = [Machine(self, directory / f"r{number}") for number in range(2)]
        self.ended_ms: dict[CredentialId, tuple[int, Served]] = {}
        self.sent_by: dict[str, CredentialId] = {}
        self.was_away = False

    async def at(self, served: Served, work: Coroutine[Any, Any, T]) -> T:
        return await served.process.start(work)

    async def lived(self) -> None:
        here, there = [machine.start() for machine in self.machines]
        while not (here.core and there.core):  # noqa: ASYNC110  virtual time
            await asyncio.sleep(0.1)
        core = here.core
        self.first, self.bo = await self.at(here, core.identity.new_guest("Bo"))
        _, self.ada = await self.at(here, core.identity.new_guest("Ada"))
        self.room = (await self.at(here, core.rooms.create(self.ada))).id
        await self.at(here, core.members.add(self.ada, self.room, self.bo.id))
        self.phone = await self.at(here, self.another(core))
        async with asyncio.timeout(300), asyncio.TaskGroup() as tasks:
            living = [
                tasks.create_task(self.at(served, work(served, served.core)))
                for served in (here, there)
                if served.core
                for work in (self.listen, self.talk)
            ]
            for _ in range(self.chance.randrange(2, 8)):
                await asyncio.sleep(self.chance.choice([0.05, 0.5, 2]))
                one = self.chance.choice([here, there])
                assert one.core is not None
                await self.at(one, self.step(one, one.core))
            await asyncio.sleep(3)
            self.ended = True
            await asyncio.gather(*living)
            while core.turns.running or there.core.turns.running:  # noqa: ASYNC110
                await asyncio.sleep(0.5)
        events, _ = await self.at(here, self.all_events(core))
        await self.close()
        self.check_log(events)

    async def all_events(self, core: Core) -> tuple[list[Event], int]:
        found: list[Event] = []
        while True:
            more, seq = await core.chat.events(self.ada, self.room, after=len(found), limit=200)
            found += more
            if len(found) == seq:
                return found, seq

    async def another(self, core: Core) -> str:
        """A further session of Bo's."""
        link, _ = await core.devices.invite(self.bo)
        return (await core.devices.redeem(link, "Phone", me=None, replace=False))[0]

    async def step(self, served: Served, core: Core) -> None:
        step = self.chance.choice(STEPS)
        members, place = core.members, (self.ada, self.room, self.bo.id)
        with suppress(Refused, Unavailable):
            match step:
                case "remove":
                    await members.remove(*place)
                case "add":
                    await members.add(*place)
                case "reader" | "member":
                    await members.set_role(*place, MemberRole(step))
                case "session":
                    ending, self.phone = self.phone, await self.another(core)
                    by = session_of(ending)
                    assert by is not None
                    await core.devices.end(self.bo, by, self.first)
                    self.ended_ms[by] = self.clock.now_ms(), served
                case _:
                    self.was_away = True
                    self.server.go_away()
                    await asyncio.sleep(self.chance.choice([0.1, 2]))
                    self.server.come_back()

    async def listen(self, served: Served, core: Core) -> None:
        while not self.ended:
            by = session_of(self.phone)
            with suppress(Refused, Unavailable), core.chat.reader(self.bo, by) as reader:
                await reader.subscribe(self.room)
                reader.start(self.room)
                over = False
                while not over and not self.ended:
                    with suppress(TimeoutError):
                        async with asyncio.timeout(1):
                            items = await reader.next()
                            over = any(isinstance(one, SignedOut | Unsubscribed) for one in items)
                            self.told(items, served, by)
            await asyncio.sleep(0.2)

    def told(self, items: list[Item], served: Served, by: CredentialId | None) -> None:
        out = self.out_since()
        for event in [one.event for one in items if isinstance(one, Happened)]:
            assert out is None or event.seq <= out, "told of what came after he was out"
            if by is not None and by in self.ended_ms:
                at_ms, where = self.ended_ms[by]
                late = 0 if where is served else POLL_MS + SLACK_MS
                assert self.was_away or event.at_ms <= at_ms + late, "told after his session ended"

    def out_since(self) -> int | None:
        """The seq of the event by which Bo is out now."""
        found = self.server.raw.execute(
            "SELECT e.seq, e.type FROM events e JOIN rooms ON rooms.key = e.room_key WHERE"
            " rooms.id = ? AND e.type IN ('member.joined', 'member.removed') AND e.data LIKE ?"
            " ORDER BY e.seq DESC LIMIT 1",
            [key_of(self.room), f"%{self.bo.id}%"],
        )
        seq, type_ = found.fetchone()
        return seq if type_ == EventType.MEMBER_REMOVED else None

    async def talk(self, served: Served, core: Core) -> None:
        number = 0
        while not self.ended:
            number += 1
            by, cid = session_of(self.phone), f"{served.process.name}-{number}"
            assert by is not None
            self.sent_by[cid] = by
            words = " ".join(f"w{n}" for n in range(self.chance.randrange(1, 9)))
            with suppress(Refused, Unavailable), core.chat.reader(self.bo, by) as reader:
                await reader.subscribe(self.room)
                await asyncio.sleep(
                    self.chance.choice([0, 0, 0.1])
                )  # what he may is taken meanwhile
                await core.chat.send(self.bo, self.room, text=words, cid=cid, reader=reader)
            with suppress(Refused, Unavailable):
                await core.chat.send(self.ada, self.room, text="hers", cid=None, answers=False)
            await asyncio.sleep(self.chance.choice([0.05, 0.3, 1]))

    def check_log(self, events: list[Event]) -> None:
        """What Bo was where each event stands, and what he has said and been answered."""
        role: MemberRole | None = None
        lost_ms, asked = 0, dict[str, str]()
        for event in events:
            mine = event.data.get("actor") == self.bo.id
            match event.type:
                case EventType.MEMBER_REMOVED if mine:
                    role, lost_ms = None, event.at_ms
                case EventType.MEMBER_JOINED | EventType.MEMBER_ROLE if mine:
                    role = MemberRole(event.data["role"])
                    lost_ms = event.at_ms if role is MemberRole.READER else lost_ms
                case EventType.MESSAGE_CREATED if event.actor == self.bo.id and event.message:
                    assert role in WRITERS, "stored where he might not write"
                    by = self.sent_by[event.message.cid or ""]
                    ended, _ = self.ended_ms.get(by, (event.at_ms, None))
                    assert event.at_ms <= ended, "stored by a session that had ended"
                    asked[event.message.text] = event.message.id
                case EventType.MESSAGE_CREATED if event.message and event.actor != self.ada.id:
                    late = role not in WRITERS and event.at_ms > lost_ms + POLL_MS + SLACK_MS
                    done = event.message.status is Status.DONE
                    assert self.was_away or not (late and done), "an answer of his went on"
                case _:
                    pass


def run(seed: int, server: Server) -> None:
    where = SHM if SHM.is_dir() else None

    async def life(chance: random.Random, clock: SimulatedClock) -> None:
        server.begin(clock)
        with tempfile.TemporaryDirectory(dir=where) as name, pytest.MonkeyPatch.context() as patch:
            one = Rights(chance, clock, server, Path(name))
            patch.setattr(journal, "os", one.disk)
            await one.lived()

    simulate(seed, life)


@pytest.mark.seeded
@pytest.mark.timeout(3_600)
def test_nothing_later_is_told_to_or_stored_of_who_is_out_in_any_life(
    server: Server, effort: float
) -> None:
    for seed in range(int(LIVES * effort)):
        run(seed, server)
