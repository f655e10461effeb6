"""Thousands of seeded lives of a whole Palaver: people, agents, readers, several processes, and everything fails.

Each life runs real cores and the real store on virtual time. Processes are killed, stopped for longer than a lease and
started again; machines lose their power; disks fail; the database goes away, hangs, and commits what nobody hears of;
the bus loses, doubles and reorders; people repeat, lose connections, come back with old and foreign epochs, stop, ask
again and let an answer go on. What must hold, in every life: what was acknowledged is there, once, whatever was sent
again; each room's seq has no hole; every reader's log is the database's; every turn has exactly one message; what a
reader saw of an answer is in what is stored; what is counted of all answers is what stands on each; and everything
comes to its end.
"""

import asyncio
import random
import tempfile
from collections.abc import AsyncGenerator, Generator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import structlog
from tests.core.company import NAMES, Company, check_turns
from tests.support.simulated import Air, Bus, Disk, Lanes, Server, Session, leases
from tests.support.simulation import Process, SimulatedClock, current, simulate

from palaver.core.live.items import Delta, Ended, Happened, Item, Opened, Settled
from palaver.core.live.reader import Reader
from palaver.core.runtime import Core, started
from palaver.errors import Code, ProviderError, Refused, Unavailable
from palaver.model import Actor, ActorId, Event, MessageId, RoomId
from palaver.providers.base import Done, Model, Piece, Request, TextPiece
from palaver.settings import Settings
from palaver.store import journal

LIVES = 240
SHM = Path("/dev/shm")
MISFORTUNES = ("kill", "stop", "power", "machines", "disk", "database", "restore")


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
            if word.startswith("@") and self.chance.random() < 0.6:
                continue  # else its own answer mentions them, too
            await asyncio.sleep(self.chance.choice([0, 0.01, 0.3]))
            if self.chance.random() < 0.02:
                raise ProviderError(Code.PROVIDER_ERROR, "no more")
            yield TextPiece(word + " ")
        used = len(question) // 4
        yield Done(model="oracle", finish="stop", input_tokens=used, output_tokens=used + 1)

    async def close(self) -> None:
        return


@dataclass
class View:
    """What a client has of a room: the events after `base`, up to `seq`."""

    base: int = 0
    seq: int | None = None
    events: list[Event] = field(default_factory=list[Event])


class Machine:
    """A computer with a disk, on which processes run."""

    def __init__(self, life: "Life", directory: Path) -> None:
        self.life = life
        self.directory = directory
        directory.mkdir()
        self.settings = life.settings.model_copy(update={"data_dir": directory})

    def start(self) -> "Served":
        life = self.life
        served = Served(self, Process(life.clock.loop, f"p{len(life.all_served)}"))
        life.all_served.append(served)
        served.task = served.process.start(served.run())
        return served


class Served:
    """One process of `palaver serve`."""

    task: asyncio.Task[None]

    def __init__(self, machine: Machine, process: Process) -> None:
        self.machine = machine
        self.process = process
        self.core: Core | None = None
        self.leave = asyncio.Event()
        self.sessions: list[asyncio.Task[Any]] = []
        self.asked: list[asyncio.Task[Any]] = []  # goes on when its connection is cut

    @property
    def over(self) -> bool:
        return self.process.dead or self.task.done()

    async def run(self) -> None:
        life = self.machine.life
        with suppress(Unavailable, OSError):  # a start that fails; somebody starts it again
            async with started(
                self.machine.settings,
                clock=life.clock,
                provider=Oracle(life.chance),
                lanes=Lanes(life.chance),
                database=Session(life.server, self.process, life.chance),
                bus=Bus(life.air, self.process),
            ) as core:
                self.core = core
                await self.leave.wait()
                self.core = None
                for session in self.sessions:
                    session.cancel()
                await asyncio.gather(*self.sessions, *self.asked, return_exceptions=True)

    def kill(self) -> None:
        self.process.kill()
        self.machine.life.disk.killed(self.process)


class Person:
    """Someone who talks, keeps an outbox and reads along, at whichever process is there."""

    def __init__(self, life: "Life", number: int) -> None:
        self.life = life
        self.chance = life.chance
        self.number = number
        self.user = UUID(life.clock.secret()[:32])
        self.rooms: list[RoomId] = []
        self.outbox: dict[str, tuple[RoomId, str]] = {}
        self.kept: dict[str, tuple[RoomId, str, MessageId | None]] = {}
        self.views: dict[RoomId, View] = {}
        self.seen: dict[MessageId, str] = {}
        self.text: dict[MessageId, str] = {}
        self.epoch: str | None = None
        self.left_to_say = self.chance.randrange(1, 6)
        self.said = 0
        self.company = Company(self.chance)
        self.gathered = False

    async def live(self) -> None:
        while not self.content():
            there = [one for one in self.life.all_served if one.core is not None and not one.over]
            if there:
                try:
                    await self.connected(self.chance.choice(there))
                except* Unavailable:
                    pass
            await asyncio.sleep(self.chance.choice([0.01, 0.5, 2]))

    def content(self) -> bool:
        """At the end, when everything is read."""
        return self.life.ended and all(
            view.seq == self.life.seq_of(room) for room, view in self.views.items()
        )

    async def connected(self, served: Served) -> None:
        """A connection, until it is cut: by the client, or because the process is gone or silent."""
        core = served.core
        assert core is not None
        session = served.process.start(self.session(served, core))
        served.sessions.append(session)
        try:
            seconds = self.chance.choice([0.2, 3, 20])
            await asyncio.wait(
                (session, served.process.gone),
                timeout=seconds,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if session.done() and not session.cancelled():
                session.result()
        finally:
            session.cancel()

    async def session(self, served: Served, core: Core) -> None:
        actor = await core.identity.claimed(self.user)
        if not self.rooms:
            room = await core.rooms.create(actor)
            self.rooms = [core.lobby, room.id]
            self.views = {room: View() for room in self.rooms}
        if not self.gathered:
            await self.company.gather(core, actor, self.rooms[1])
            self.gathered = True
        self.text.clear()
        with core.chat.reader(actor) as reader:
            for room in self.rooms:
                await self.join(core, reader, room)
            async with asyncio.TaskGroup() as tasks:
                talking = tasks.create_task(self.talk(served, core, actor, reader))
                while not self.content():
                    await asyncio.sleep(self.chance.choice([0, 0.01, 0.5]))
                    with suppress(TimeoutError):
                        async with asyncio.timeout(1):
                            for item in await reader.next():
                                self.take(item)
                talking.cancel()

    async def join(self, core: Core, reader: Reader, room: RoomId) -> None:
        view = self.views[room]
        since, epoch, expected = view.seq, self.epoch, {"resume"}
        whim = self.chance.random()
        if since is None or whim < 0.05:
            since, expected = None, {"new"}
        elif epoch != core.epoch:
            expected = {"epoch"}
        elif whim < 0.1:
            epoch, expected = "e_foreign", {"epoch"}
        elif whim < 0.15:
            since, expected = since + 1_000, {"gap"}
        joined = await reader.subscribe(room, since, epoch=epoch)
        assert (joined.reason or joined.mode) in expected
        if joined.mode == "resume":
            for event in joined.events:
                self.happened(event)
            assert view.seq == joined.seq
        else:
            self.epoch = core.epoch
            self.views[room] = View(base=joined.seq, seq=joined.seq)
        for stream in joined.streams:
            self.text[stream.message] = stream.text
            self.saw(stream.message)
        reader.start(room)

    def take(self, item: Item) -> None:
        match item:
            case Happened(event=event):
                self.happened(event)
            case Opened(stream=stream):
                self.text[stream.message] = ""
            case Delta():
                self.text[item.message] += item.text
                self.saw(item.message)
            case Ended():
                self.text.pop(item.message, None)
            case Settled(code=code, cid=cid):
                assert code is None, f"{cid} was accepted and then refused"
            case _:
                pass

    def happened(self, event: Event) -> None:
        view = self.views[event.room]
        assert view.seq is not None
        assert event.seq == view.seq + 1, "no hole, and nothing twice"
        view.seq += 1
        view.events.append(event)

    def saw(self, message: MessageId) -> None:
        if len(self.text[message]) > len(self.seen.get(message, "")):
            self.seen[message] = self.text[message]

    async def talk(self, served: Served, core: Core, actor: Actor, reader: Reader) -> None:
        while True:
            for cid in list(self.outbox):
                await self.post(core, actor, reader, cid)
            await asyncio.sleep(self.chance.choice([0, 0.05, 1, 3]))
            if not self.left_to_say:
                continue
            self.left_to_say -= 1
            self.said += 1
            cid = f"cid-{self.said}"
            name = f"w{self.number}.{self.said}"
            words = " ".join(f"{name}.{n}" for n in range(self.chance.randrange(1, 6)))
            words = f"{words} {self.company.mention()}".strip()
            self.outbox[cid] = (self.chance.choice(self.rooms), words)
            await self.post(core, actor, reader, cid)
            if self.chance.random() < 0.3:
                await self.post(core, actor, reader, cid)  # the reply was lost: sent again
            # an unclear end of a retry leaves a turn that only a restart takes up
            if not self.life.server.unclear and self.chance.random() < 0.3:
                served.asked.append(served.process.start(self.meddle(core, actor)))

    async def post(self, core: Core, actor: Actor, reader: Reader, cid: str) -> None:
        room, text = self.outbox.get(cid) or self.kept[cid][:2]
        sent = await core.chat.send(actor, room, text=text, cid=cid, reader=reader)
        if cid in self.kept and sent.state == "stored":
            assert sent.dup
        if self.chance.random() < 0.8:  # else the acknowledgement was lost on its way
            # what was accepted may have been stored by a commit whose end was unclear, under another id
            self.kept[cid] = (room, text, sent.id if sent.state == "stored" else None)
            self.outbox.pop(cid, None)

    async def meddle(self, core: Core, actor: Actor) -> None:
        """Stops an answer, asks for another one, or lets it go on."""
        events = [event for view in self.views.values() for event in view.events]
        answers = [
            one.message.id for one in events if one.message and one.actor and is_agent(one.actor)
        ]
        if self.chance.random() < 0.5:
            said = [one.message.id for one in self.views[self.rooms[1]].events if one.message]
            await self.company.meddle(core, actor, self.rooms[1], said)
            return
        for stream in list(core.hub.streams(self.rooms[1]).values())[:1]:
            with suppress(Refused, Unavailable):
                await core.turns.stop(actor, stream.turn.id)
            return
        if answers:
            with suppress(Refused, Unavailable):  # it was asked for again before
                goes_on, answer = self.chance.random() < 0.3, self.chance.choice(answers)
                self.company.retried(answer, goes_on=goes_on)
                await core.turns.retry(actor, answer, goes_on=goes_on)


class Life:
    """One Palaver with its people, from its first start to its last."""

    def __init__(
        self, chance: random.Random, clock: SimulatedClock, server: Server, directory: Path
    ) -> None:
        self.chance = chance
        self.clock = clock
        self.server = server
        self.directory = directory
        self.disk = Disk(chance)
        self.ended = False
        self.bad = {one for one in MISFORTUNES if chance.random() < 0.3}
        self.shown_may_be_lost = "machines" in self.bad
        self.air = Air(chance, loss=chance.choice([0, 0.1, 0.5]))
        self.settings = SETTINGS.model_copy(
            update={"turns_running_max": chance.choice([1, 4, 100])}
        )
        self.all_served: list[Served] = []
        count = 2 if "machines" in self.bad else 1
        self.machines = [Machine(self, directory / f"m{number}") for number in range(count)]
        self.people = [Person(self, number) for number in range(chance.randrange(1, 4))]

    def seq_of(self, room: RoomId) -> int:
        found = self.server.raw.execute("SELECT seq FROM rooms WHERE id = ?", [key_of(room)])
        return int(found.fetchone()[0])

    async def lived(self) -> None:
        for _ in range(self.chance.choice([1, 1, 2, 3])):
            self.chance.choice(self.machines).start()
        async with asyncio.timeout(300), asyncio.TaskGroup() as tasks:
            living = [tasks.create_task(person.live()) for person in self.people]
            for _ in range(self.chance.randrange(1, 5)):
                await asyncio.sleep(self.chance.choice([0.01, 0.2, 1, 5]))
                await self.misfortune()
            self.server.come_back()
            self.server.unclear = self.disk.failing = 0
            self.wake_up()
            while not self.quiet():
                await asyncio.sleep(1)
                self.wake_up()
            self.ended = True
            for one in living:
                await one
        await self.close()
        self.check()

    async def misfortune(self) -> None:
        for person in self.people:
            person.left_to_say += self.chance.randrange(3)
        bad = sorted(self.bad)
        served = [one for one in self.all_served if not one.over]
        one = self.chance.choice(served) if served else None
        match self.chance.choice(bad) if bad else None:
            case "kill" if one is not None:
                one.kill()
            case "power" if one is not None:
                self.cut_power(one.machine)
            case "stop" if one is not None:
                self.shown_may_be_lost = True
                one.process.stop()
                await asyncio.sleep(self.chance.choice([1, 10, 60]))
                one.process.go_on()
            case "disk":
                self.disk.failing = self.chance.choice([0.1, 1])
                await asyncio.sleep(self.chance.choice([1, 5]))
                self.disk.failing = 0
            case "database":
                self.server.unclear = self.chance.choice([0, 0.3])
                self.server.go_away()
                if one is not None and self.chance.random() < 0.4:
                    await asyncio.sleep(self.chance.choice([0.1, 1]))
                    self.chance.choice([one.kill, lambda: self.cut_power(one.machine)])()
                await asyncio.sleep(self.chance.choice([0.1, 3, 10]))
                self.server.come_back()
            case "restore":
                await self.restore()
            case _:
                pass
        if self.chance.random() < 0.7:
            self.wake_up()

    def cut_power(self, machine: Machine) -> None:
        self.shown_may_be_lost = True
        for one in self.all_served:
            if one.machine is machine and not one.over:
                one.kill()
        self.disk.power_cut(machine.directory)

    async def restore(self) -> None:
        """Somebody restores the newest backup: all is there, and the epoch is another one."""
        for one in self.all_served:
            one.leave.set()
        await asyncio.wait(
            [one.task for one in self.all_served if not one.process.dead] or [self.now()]
        )
        self.server.raw.execute(
            "UPDATE meta SET value = ? WHERE name = 'epoch'", [f"e_{self.clock.new_id()}"]
        )
        self.wake_up()

    def now(self) -> asyncio.Future[None]:
        future: asyncio.Future[None] = self.clock.loop.create_future()
        future.set_result(None)
        return future

    def wake_up(self) -> None:
        """Each machine has a process."""
        for machine in self.machines:
            if not any(one.machine is machine and not one.over for one in self.all_served):
                machine.start()

    def quiet(self) -> bool:
        """Everything is said, and nothing is left to do in any process."""
        if any(one.left_to_say or one.outbox or not one.rooms for one in self.people):
            return False
        served = [one for one in self.all_served if not one.over]
        if not all(asked.done() for one in served for asked in one.asked) or self.left_behind():
            return False
        running = [one.core for one in served]
        return (
            all(
                core is not None and core.drafts.depth == 0 and core.turns.running == 0
                for core in running
            )
            and self.server.rows("SELECT 1 FROM turns WHERE ended_ms IS NULL") == []
        )

    def left_behind(self) -> bool:
        """Whether a process died with messages that it had accepted, and another will take over."""
        for machine in self.machines:
            left = list(journal.orphans(machine.directory / "journal" / "drafts"))
            for orphan in left:
                orphan.release()
            if journal.merged(left):
                return True
        return False

    async def close(self) -> None:
        for one in self.all_served:
            one.leave.set()
        for one in self.all_served:
            if one.process.dead:
                await one.process.bury(one.task, *one.sessions, *one.asked)
            else:
                await one.task
                await asyncio.gather(*one.sessions, *one.asked, return_exceptions=True)

    def check(self) -> None:
        """The oracles, on what is in the database."""
        rows = self.server.rows(
            "SELECT rooms.id, e.seq, m.id, m.text, m.cid, m.deleted_ms, m.status FROM events e"
            " JOIN rooms ON rooms.key = e.room_key LEFT JOIN messages m"
            " ON m.room_key = e.room_key AND m.seq = e.seq ORDER BY rooms.key, e.seq"
        )
        logs: dict[bytes, list[Any]] = {}
        for room, *event in rows:
            logs.setdefault(room, []).append(event)
        for log in logs.values():
            assert [seq for seq, *_ in log] == list(range(1, len(log) + 1)), "gapless"
        said = {f"m_{one[1].hex()}": one for log in logs.values() for one in log if one[1]}
        keys = {id_: key for key, id_ in self.server.rows("SELECT key, id FROM rooms")}
        own = {keys[key_of(one.rooms[1])]: one.company for one in self.people}
        unsaid = check_turns(self.server.rows, own)
        turned = self.server.rows("SELECT message_id FROM turns")
        spent = (
            "sum(json_extract(meta, '$.usage.output')), sum(json_extract(meta, '$.usage.input'))"
        )
        (told,) = self.server.rows(
            f"SELECT count(*), {spent} FROM messages WHERE meta LIKE '%usage%'"
        )
        (kept,) = self.server.rows("SELECT sum(answers), sum(output), sum(input) FROM usage")
        assert [one or 0 for one in kept] == [one or 0 for one in told], "counted once"
        answers = [one for one in said.values() if one[3] is None]
        assert len(answers) == len(turned) - unsaid, "one message a turn, or none that began"
        for person in self.people:
            assert not person.outbox
            self.check_person(person, logs, said)

    def check_person(
        self, person: Person, logs: dict[bytes, list[Any]], said: dict[str, Any]
    ) -> None:
        for cid, (room, text, message) in person.kept.items():
            there = [one for one in logs[key_of(room)] if one[2:4] == [text, cid.encode()]]
            assert len(there) == 1, f"{cid} is stored once"
            assert message in {None, f"m_{there[0][1].hex()}"}
        for room, view in person.views.items():
            log = logs[key_of(room)]
            assert view.seq == len(log)
            for event, (seq, id_, *_) in zip(view.events, log[view.base :], strict=True):
                assert event.seq == seq
                assert (event.message and event.message.id) == (id_ and f"m_{id_.hex()}")
        if self.shown_may_be_lost:
            return  # the last moments of what a process showed may be on a disk that nobody reads
        for message, seen in person.seen.items():
            _, _, text, _, deleted, _ = said[message]
            assert deleted or text.startswith(seen), "what was seen is kept"


SETTINGS = Settings(data_dir=SHM, database_url="sqlite:///:memory:", detect=False)


def is_agent(actor: ActorId) -> bool:
    return actor.startswith("a_")


def key_of(room: RoomId) -> bytes:
    return bytes.fromhex(room[2:])


@pytest.fixture(scope="module")
def server() -> Generator[Server, None, None]:
    """An empty database with its lobby, which each life begins with."""
    server = Server()

    async def make(chance: random.Random, clock: SimulatedClock) -> None:
        server.clock = clock
        process = Process(clock.loop, "first")
        with tempfile.TemporaryDirectory() as name:
            async with started(
                SETTINGS.model_copy(update={"data_dir": Path(name)}),
                clock=clock,
                provider=Oracle(chance),
                lanes=Lanes(chance),
                database=Session(server, process, chance),
            ) as core:
                for one in NAMES:
                    await core.agents.ensured(one, one.title())

    unexpected: list[Any] = []

    def noted(_logger: object, method: str, event: Any) -> Any:
        process = current()
        if method in {"error", "exception", "critical"} and not (process and process.dead):
            unexpected.append(event)
        raise structlog.DropEvent

    structlog.configure(processors=[noted])
    with leases():
        simulate(-1, make)
        server.keep()
        yield server
    structlog.reset_defaults()
    assert not unexpected, unexpected[:3]


def run(seed: int, server: Server) -> tuple[float, float]:
    """Lives one life; its end, and what chance would say next."""
    ends: list[float] = []

    where = SHM if SHM.is_dir() else None

    async def life(chance: random.Random, clock: SimulatedClock) -> None:
        server.begin(clock)
        with tempfile.TemporaryDirectory(dir=where) as name, pytest.MonkeyPatch.context() as patch:
            one = Life(chance, clock, server, Path(name))
            patch.setattr(journal, "os", one.disk)
            await one.lived()
        ends.extend([clock.monotonic(), chance.random()])

    simulate(seed, life)
    return ends[0], ends[1]


@pytest.mark.seeded
@pytest.mark.timeout(3_600)
def test_nothing_is_lost_doubled_or_reordered_in_any_life(server: Server, effort: float) -> None:
    for seed in range(int(LIVES * effort)):
        run(seed, server)


def test_the_same_seed_is_the_same_whole_life(server: Server) -> None:
    for seed in range(5):
        assert run(seed, server) == run(seed, server)
