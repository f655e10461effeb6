"""Whatever the order of things: a live reader sees every event once, in order, or is told to start anew."""

import asyncio
import contextlib
import random

import pytest
from tests.support.simulation import SimulatedClock, simulate

from palaver.core.live.hub import Hub
from palaver.core.live.items import Delta, Ended, Happened, Item, Opened, not_encoded
from palaver.core.live.reader import Reader
from palaver.errors import Code, Unavailable
from palaver.model import (
    ActorId,
    Event,
    EventType,
    Message,
    MessageId,
    Page,
    Role,
    RoomId,
    Status,
    Turn,
    TurnId,
    TurnState,
)

LIVES = 1_900
ROOMS = [RoomId("r_a"), RoomId("r_b")]
EPOCH = "e_1"


class World:
    """A small log with the store's promises: committed first, told later and in the order of the commits."""

    def __init__(self, chance: random.Random, number: int = 0) -> None:
        self.chance = chance
        self.number = number
        self.logs: dict[RoomId, list[Event]] = {room: [] for room in ROOMS}
        self.told: asyncio.Queue[Event] = asyncio.Queue()
        self.hub = Hub(not_encoded, self.seq_of, ring_max=chance.choice([1, 3, 512]))
        self.writing = True
        self.answers: dict[MessageId, str] = {}

    async def pause(self) -> None:
        await asyncio.sleep(self.chance.choice([0, 0, 0.001, 0.01, 0.2]))

    async def seq_of(self, room: RoomId) -> int:
        await self.pause()
        seq = len(self.logs[room])
        await self.pause()
        return seq

    def commit(self, room: RoomId, message: MessageId, text: str) -> None:
        seq = len(self.logs[room]) + 1
        said = Message(
            id=message,
            room=room,
            seq=seq,
            author=ActorId("a_1"),
            name="A",
            role=Role.ASSISTANT,
            status=Status.DONE,
            text=text,
            created_ms=0,
        )
        event = Event(
            room=room,
            seq=seq,
            type=EventType.MESSAGE_CREATED,
            actor=said.author,
            at_ms=0,
            message=said,
        )
        self.logs[room].append(event)
        self.told.put_nowait(event)

    async def tell(self) -> None:
        while True:
            event = await self.told.get()
            await self.pause()
            lost = self.chance.random() < 0.02  # as if another process had written it
            if not lost or not self.writing:
                self.hub.publish((event,))

    def turn(self, room: RoomId, message: MessageId, number: int) -> Turn:
        return Turn(
            id=TurnId(f"t_{self.number}.{number}"),
            room=room,
            agent=ActorId("a_1"),
            agent_name="A",
            trigger_seq=0,
            message=message,
            state=TurnState.OPEN,
            attempt=1,
            fence=1,
        )

    async def write(self) -> None:
        for number in range(self.chance.randrange(5, 40)):
            room = self.chance.choice(ROOMS)
            message = MessageId(f"m_{self.number}.{number}")
            if self.chance.random() < 0.3:
                stream = self.hub.open_stream(self.turn(room, message, number))
                for _ in range(self.chance.randrange(6)):
                    self.hub.add(stream, self.chance.choice("abc"))
                    await self.pause()
                self.answers[message] = stream.text()
                if self.chance.random() < 0.2:
                    self.hub.drop_stream(stream)
                else:
                    self.commit(room, message, stream.text())
            else:
                self.commit(room, message, "said")
            await self.pause()
        self.writing = False
        for room in ROOMS:  # the last word of each room is told for certain
            self.commit(room, MessageId(f"m_{self.number}.last.{room}"), "bye")


class Past:
    """What the store would answer: what is committed, now and then not at all."""

    def __init__(self, world: World) -> None:
        self.world = world

    async def allowed(self, room: RoomId) -> int:  # everyone may read here
        await self.world.pause()
        return len(self.world.logs[room])

    async def since(self, room: RoomId, seq: int, count: int) -> tuple[Event, ...]:
        await self.world.pause()
        if self.world.chance.random() < 0.1:
            raise Unavailable(Code.DATABASE_UNAVAILABLE, "away")
        found = tuple(self.world.logs[room][seq : seq + count])
        await self.world.pause()
        return found

    async def newest(self, room: RoomId, count: int) -> Page:
        await self.world.pause()
        said = [event.message for event in self.world.logs[room] if event.message is not None]
        await self.world.pause()
        return Page(messages=tuple(said[-count:]), before=None, after=None)

    async def rooms(self) -> tuple[RoomId, ...]:
        return tuple(ROOMS)

    async def kept_out(self) -> tuple[RoomId, ...]:
        return ()


class Client:
    """Someone who reads along, loses the connection and comes back; checks every single item."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.seq: dict[RoomId, int | None] = dict.fromkeys(ROOMS)
        self.streams: dict[MessageId, tuple[int, str]] = {}

    async def live(self) -> None:
        while self.writing() or any(
            seq != len(self.world.logs[room]) for room, seq in self.seq.items()
        ):
            await self.connect()

    def writing(self) -> bool:
        return self.world.writing

    async def connect(self) -> None:
        self.streams.clear()
        reader = Reader(
            actor=ActorId("u_1"),
            hub=self.world.hub,
            past=Past(self.world),
            epoch=EPOCH,
            rooms_max=8,
        )
        with reader, contextlib.suppress(TimeoutError, Unavailable):
            async with asyncio.timeout(self.world.chance.choice([0.05, 1, 30])):
                await self.connected(reader)

    async def connected(self, reader: Reader) -> None:
        for room in ROOMS:
            joined = await reader.subscribe(room, self.seq[room], epoch=EPOCH)
            if joined.mode == "resume":
                for event in joined.events:
                    self.apply(event)
                assert self.seq[room] == joined.seq
            else:
                assert joined.reason == "new", "nobody here is ever ahead or far behind"
                self.seq[room] = joined.seq
                assert all(message.seq <= joined.seq for message in joined.messages)
            for view in joined.streams:
                self.streams[view.message] = (view.n, view.text)
            reader.start(room)
        pull = self.world.chance.choice([reader.next, reader.next_patiently])
        while True:
            await self.world.pause()
            for item in await pull():
                self.take(item)

    def take(self, item: Item) -> None:
        match item:
            case Happened(event=event):
                self.apply(event)
            case Opened(stream=view):
                self.streams[view.message] = (0, "")
            case Delta():
                known, text = self.streams[item.message]
                assert item.n > known, "a delta never comes twice"
                self.streams[item.message] = (item.n, text + item.text)
            case Ended():
                del self.streams[item.message]
            case _:
                raise AssertionError(item)

    def apply(self, event: Event) -> None:
        assert event.seq == (self.seq[event.room] or 0) + 1, "no hole, nothing twice"
        self.seq[event.room] = event.seq
        if event.message is not None and event.message.id in self.streams:
            _, text = self.streams.pop(event.message.id)
            assert event.message.text.startswith(text), "what was seen is what is stored"


async def life(chance: random.Random, clock: SimulatedClock) -> None:  # noqa: ARG001  simulate's shape
    world = World(chance)
    async with asyncio.timeout(3_000), asyncio.TaskGroup() as tasks:
        teller = tasks.create_task(world.tell())
        clients = [Client(world) for _ in range(chance.randrange(1, 4))]
        lives = [tasks.create_task(client.live()) for client in clients]
        await world.write()
        for lived in lives:
            await lived
        teller.cancel()
    for client in clients:
        assert client.seq == {room: len(log) for room, log in world.logs.items()}


@pytest.mark.seeded
@pytest.mark.timeout(1_200)
def test_every_reader_sees_every_event_once_and_in_order_in_thousands_of_lives(
    effort: float,
) -> None:
    for seed in range(int(LIVES * effort)):
        simulate(seed, life)


def test_the_same_seed_is_the_same_life() -> None:
    def record(seed: int) -> list[float]:
        steps: list[float] = []

        async def traced(chance: random.Random, clock: SimulatedClock) -> None:
            await life(chance, clock)
            steps.extend([clock.monotonic(), chance.random()])

        simulate(seed, traced)
        return steps

    assert record(7) == record(7)
    assert record(7) != record(8)
