"""Thousands of seeded lives of a whole Palaver: people, an agent, readers, lost replies, crashes and restarts.

Each life runs the real core and the real store on virtual time. What must hold, in every one: what was acknowledged as
stored is there, once, whatever was sent again; each room's seq has no hole; every reader's log is the database's; every
question has exactly one answer; what a reader saw of an answer is what is stored.
"""

import asyncio
import random
import shutil
import sqlite3
import tempfile
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import pytest
from tests.support.simulation import SimulatedClock, SimulatedLoop, simulate

from palaver.agents.base import Done, Model, Piece, Request, TextPiece
from palaver.core.live import Delta, Happened, Item, Opened
from palaver.core.start import Core, started
from palaver.errors import Code, ProviderError, Unavailable
from palaver.model import Actor, Event, EventType, MessageId, RoomId, Status
from palaver.settings import Settings
from palaver.store.engine.lanes import InlineLanes, Lane

LIVES = 300
Resource = TypeVar("Resource")
T = TypeVar("T")


class DeadError(Exception):
    """The process was killed here."""


class MortalLanes:
    """Blocking work that takes a while, and none of it once the process is dead."""

    shared = True

    def __init__(self, chance: random.Random) -> None:
        self.inner = InlineLanes()
        self.chance = chance
        self.dead = False

    def die(self) -> None:
        """As `kill -9`: nothing that comes later has any effect."""
        self.dead = True
        raise DeadError

    def lane(
        self,
        name: str,
        threads: int,
        opened: Callable[[], Resource],
        closed: Callable[[Resource], None],
    ) -> Lane[Resource]:
        return MortalLane(self, self.inner.lane(name, threads, opened, closed))


class MortalLane(Lane[Resource]):
    """One lane of them."""

    def __init__(self, lanes: MortalLanes, lane: Lane[Resource]) -> None:
        self.lanes = lanes
        self.inner = lane

    async def run(self, work: Callable[[Resource], T]) -> T:
        await asyncio.sleep(self.lanes.chance.choice([0, 0, 0.001, 0.02]))
        if self.lanes.dead:
            raise Unavailable(Code.DATABASE_UNAVAILABLE, "dead")
        result = await self.inner.run(work)
        await asyncio.sleep(self.lanes.chance.choice([0, 0, 0.001]))
        if self.lanes.dead:  # it happened, and nobody hears of it
            raise Unavailable(Code.DATABASE_UNAVAILABLE, "dead")
        return result

    async def close(self) -> None:
        await self.inner.close()


class Oracle:
    """A model that answers each question with the question's own text, word by word, and fails now and then."""

    name = "oracle"
    real = False

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance

    async def models(self) -> tuple[Model, ...]:
        return (Model(id="oracle", provider="oracle", default=True),)

    async def answer(self, request: Request) -> AsyncGenerator[Piece, None]:
        question = request.history[-1].text
        for word in question.split():
            await asyncio.sleep(self.chance.choice([0, 0.01, 0.3]))
            if self.chance.random() < 0.02:
                raise ProviderError(Code.PROVIDER_ERROR, "no more")
            yield TextPiece(word + " ")
        yield Done(model="oracle", finish="stop")

    async def close(self) -> None:
        return


@dataclass
class Person:
    """Someone who talks, keeps an outbox and reads along."""

    token: str
    rooms: list[RoomId] = field(default_factory=list[RoomId])
    outbox: dict[str, tuple[RoomId, str]] = field(default_factory=dict[str, tuple[RoomId, str]])
    stored: dict[str, tuple[RoomId, str, MessageId]] = field(
        default_factory=dict[str, tuple[RoomId, str, MessageId]]
    )
    logs: dict[RoomId, list[Event]] = field(default_factory=dict[RoomId, list[Event]])
    seen: dict[MessageId, str] = field(default_factory=dict[MessageId, str])


class Life:
    """One Palaver with its people, from its first start to its last."""

    def __init__(self, chance: random.Random, clock: SimulatedClock, directory: Path) -> None:
        self.chance = chance
        self.clock = clock
        self.settings = Settings(
            data_dir=directory, detect=False, turns_running_max=chance.choice([1, 4, 100])
        )
        self.people = [Person(clock.secret()) for _ in range(chance.randrange(1, 4))]
        self.said = 0

    async def lived(self) -> None:
        for _ in range(self.chance.randrange(1, 4)):
            lanes = MortalLanes(self.chance)
            try:
                async with started(
                    self.settings, clock=self.clock, provider=Oracle(self.chance), lanes=lanes
                ) as core:
                    await self.time_passes(core)
                    if self.chance.random() < 0.6:
                        lanes.die()
            except DeadError:
                pass
        async with started(
            self.settings,
            clock=self.clock,
            provider=Oracle(self.chance),
            lanes=MortalLanes(self.chance),
        ) as core:
            for person in self.people:
                actor = await self.who(core, person)
                for cid in list(person.outbox):
                    await self.post(core, actor, person, cid)
            await core.turns.idle()
            for person in self.people:
                await self.check(core, person)

    async def who(self, core: Core, person: Person) -> Actor:
        _, actor = await core.access.new_guest(token=person.token)
        return actor

    async def time_passes(self, core: Core) -> None:
        async with asyncio.TaskGroup() as tasks:
            for person in self.people:
                actor = await self.who(core, person)
                if not person.rooms:
                    room = await core.rooms.create(actor)
                    person.rooms = [core.lobby, room.id]
                reading = tasks.create_task(self.read(core, actor, person))
                talking = tasks.create_task(self.talk(core, actor, person))
                talking.add_done_callback(lambda _, reading=reading: reading.cancel())

    async def talk(self, core: Core, actor: Actor, person: Person) -> None:
        for _ in range(self.chance.randrange(1, 6)):
            self.said += 1
            cid = f"cid-{self.said}"
            words = " ".join(f"w{self.said}.{n}" for n in range(self.chance.randrange(1, 6)))
            person.outbox[cid] = (self.chance.choice(person.rooms), words)
            await self.post(core, actor, person, cid)
            if self.chance.random() < 0.3:
                await self.post(core, actor, person, cid)  # the reply was lost: sent again
            if self.chance.random() < 0.2:
                await self.stop_one(core, actor, person)
            await asyncio.sleep(self.chance.choice([0, 0.05, 1]))

    async def post(self, core: Core, actor: Actor, person: Person, cid: str) -> None:
        room, text = person.outbox.get(cid) or person.stored[cid][:2]
        sent = await core.chat.send(actor, room, text=text, cid=cid)
        if cid in person.stored:
            assert sent.dup
            assert sent.id == person.stored[cid][2]
        if self.chance.random() < 0.8:  # else the acknowledgement was lost on its way
            person.stored[cid] = (room, text, sent.id)
            person.outbox.pop(cid, None)

    async def stop_one(self, core: Core, actor: Actor, person: Person) -> None:
        with core.chat.reader(actor) as reader:
            joined = await reader.subscribe(self.chance.choice(person.rooms))
        for stream in joined.streams[:1]:
            await core.turns.stop(actor, stream.turn)

    async def read(self, core: Core, actor: Actor, person: Person) -> None:
        while True:
            with core.chat.reader(actor) as reader:
                for room in person.rooms:
                    log = person.logs.setdefault(room, [])
                    joined = await reader.subscribe(room, len(log), epoch=core.epoch)
                    assert joined.mode == "resume"
                    log.extend(joined.events)
                    for view in joined.streams:
                        person.seen[view.message] = view.text
                    reader.start(room)
                for _ in range(self.chance.randrange(1, 30)):
                    await asyncio.sleep(self.chance.choice([0, 0.01, 0.5]))
                    for item in await reader.next():
                        self.take(person, item)

    def take(self, person: Person, item: Item) -> None:
        match item:
            case Happened(event=event):
                log = person.logs[event.room]
                assert event.seq == len(log) + 1
                log.append(event)
            case Opened(stream=view):
                person.seen[view.message] = ""
            case Delta():
                person.seen[item.message] = person.seen.get(item.message, "") + item.text
            case _:
                pass

    async def check(self, core: Core, person: Person) -> None:
        actor = await self.who(core, person)
        assert not set(person.outbox) & set(person.stored)
        for room in person.rooms:
            events, seq = await core.chat.events(actor, room, after=0)
            assert [event.seq for event in events] == list(range(1, seq + 1))
            said = [event.message for event in events if event.message is not None]
            mine = [message for message in said if message.author == actor.id]
            cids = [message.cid for message in mine]
            assert len(cids) == len(set(cids)), "a repeated send is stored once"
            for cid, (where, text, message) in person.stored.items():
                if where == room:
                    [found] = [one for one in mine if one.cid == cid]
                    assert (found.text, found.id) == (text, message)
            log = person.logs.get(room, [])
            told = [(event.seq, event.type, event.message) for event in log]
            assert told == [(one.seq, one.type, one.message) for one in events[: len(log)]]
            self.check_answers(room, events, person)

    def check_answers(self, room: RoomId, events: tuple[Event, ...], person: Person) -> None:
        answers = {
            event.message.id: event.message
            for event in events
            if event.message is not None and event.message.author.startswith("a_")
        }
        questions = [
            event.message
            for event in events
            if event.type is EventType.MESSAGE_CREATED
            and event.message is not None
            and event.message.author.startswith("u_")
        ]
        assert len(answers) == len(questions), f"one answer for each question in {room}"
        whole = {" ".join([*question.text.split(), ""]) for question in questions}
        for answer in answers.values():
            if answer.status is Status.DONE:
                assert answer.text in whole
            else:
                assert any(text.startswith(answer.text) for text in whole)
        for message, seen in person.seen.items():
            if message in answers:
                assert answers[message].text.startswith(seen), "what was seen is kept"


@contextmanager
def directory_of(template: Path) -> Generator[Path, None, None]:
    with tempfile.TemporaryDirectory() as name:
        shutil.copy(template, Path(name) / "palaver.db")
        yield Path(name)


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty database, migrated once for all lives."""
    directory = tmp_path_factory.mktemp("template")

    async def make(chance: random.Random, clock: SimulatedClock) -> None:
        async with started(
            Settings(data_dir=directory, detect=False),
            clock=clock,
            provider=Oracle(chance),
            lanes=InlineLanes(),
        ):
            pass

    simulate(-1, make)
    with sqlite3.connect(directory / "palaver.db") as database:
        database.execute("PRAGMA journal_mode=DELETE")
    database.close()
    return directory / "palaver.db"


def run(seed: int, template: Path) -> SimulatedLoop | None:
    async def life(chance: random.Random, clock: SimulatedClock) -> None:
        with directory_of(template) as directory:
            await Life(chance, clock, directory).lived()

    simulate(seed, life)
    return None


@pytest.mark.timeout(300)
def test_nothing_is_lost_doubled_or_reordered_in_any_life(template: Path, effort: float) -> None:
    for seed in range(int(LIVES * effort)):
        run(seed, template)
