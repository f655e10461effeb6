"""Several processes, a bus that drops, doubles and reorders: every reader still sees every event once and in order."""

import asyncio
import random
from collections.abc import Sequence

import pytest
from msgspec.structs import replace
from tests.core.live.test_reader import ROOMS, Client, World
from tests.support.simulated import Air, Bus
from tests.support.simulation import Process as Running, SimulatedClock, simulate

from palaver.core.live.cluster import PeerSync
from palaver.core.live.hub import Hub
from palaver.core.live.items import not_encoded
from palaver.core.live.outbox import Outbox
from palaver.model import ActorId, Event, MessageId, RoomId

LIVES = 250


class Process(World):
    """One process: a hub of its own, a relay, and the log that all share."""

    def __init__(self, clock: SimulatedClock, first: World | None, air: Air, number: int) -> None:
        chance = air.chance
        super().__init__(chance, number)
        if first is not None:
            self.logs = first.logs
        bus = Bus(air, Running(clock.loop, f"p{number}"))
        outbox = Outbox(bus, f"p{number}")
        self.hub = Hub(not_encoded, self.seq_of, outbox, ring_max=chance.choice([1, 3, 512]))
        self.peers = PeerSync(
            *(bus, self.hub, outbox),
            stop=lambda _: None,
            taken=self.forget,
            since=self.since,
            seqs=self.seqs,
        )

    async def tell(self) -> None:
        while True:
            event = await self.told.get()
            await self.pause()
            self.hub.publish((event,))
            self.peers.committed((event,))

    def forget(self, room: RoomId, who: ActorId | None) -> None:
        """Nobody loses a room here."""

    async def since(self, room: RoomId, after: int, count: int) -> Sequence[Event]:
        await self.pause()
        return tuple(self.logs[room][after : after + count])

    async def seqs(self, wanted: Sequence[RoomId], /) -> dict[RoomId, int]:
        await self.pause()
        return {room: len(self.logs[room]) for room in wanted}


class Wanderer(Client):
    """A client that is let in by another process each time it comes back."""

    def __init__(self, processes: list[Process]) -> None:
        super().__init__(processes[0])
        self.processes = processes

    async def connect(self) -> None:
        self.world = self.processes[0].chance.choice(self.processes)
        await super().connect()

    def writing(self) -> bool:
        return any(process.writing for process in self.processes)


async def life(chance: random.Random, clock: SimulatedClock) -> None:
    async with asyncio.timeout(3_000), asyncio.TaskGroup() as tasks:
        air = Air(chance, loss=chance.choice([0, 0.1, 0.5]))
        processes: list[Process] = []
        for number in range(chance.randrange(2, 4)):
            processes.append(Process(clock, processes[0] if processes else None, air, number))
        running = [tasks.create_task(process.peers.run()) for process in processes]
        running += [tasks.create_task(process.tell()) for process in processes]
        clients = [Wanderer(processes) for _ in range(chance.randrange(1, 4))]
        living = [tasks.create_task(client.live()) for client in clients]
        writing = [tasks.create_task(process.write()) for process in processes]
        for done in (*writing, *living):
            await done
        await asyncio.sleep(5)  # what no notice told, a question a second does
        for process in processes:
            for room, seq in process.hub.tails().items():
                assert seq == len(process.logs[room])
        for task in running:
            task.cancel()
    for client in clients:
        assert client.seq == {room: len(processes[0].logs[room]) for room in ROOMS}


@pytest.mark.seeded
@pytest.mark.timeout(1_200)
def test_a_bus_that_loses_and_doubles_costs_no_reader_an_event(effort: float) -> None:
    for seed in range(int(LIVES * effort)):
        simulate(seed, life)


def test_another_process_knows_whether_an_answer_was_taken_up_and_of_which_model_it_is() -> None:
    async def lived(chance: random.Random, clock: SimulatedClock) -> None:
        async with asyncio.TaskGroup() as tasks:
            air = Air(chance, loss=0)
            one = Process(clock, None, air, 1)
            two, three = [Process(clock, one, air, number) for number in (2, 3)]
            running = [tasks.create_task(process.peers.run()) for process in (one, two)]
            turn = replace(one.turn(ROOMS[0], MessageId("m_1"), 1), model="m", choice=1)
            stream = one.hub.open_stream(turn)
            await asyncio.sleep(5)
            one.hub.awaits(stream)
            await asyncio.sleep(5)
            running.append(tasks.create_task(three.peers.run()))  # it comes later
            await asyncio.sleep(5)
            for waits in (True, False):
                for process in (one, two, three):
                    view = process.hub.streams(ROOMS[0])[turn.message].view()
                    assert (view.waits, view.model, view.choice) == (waits, "m", 1)
                if waits:
                    one.hub.add(stream, "")
                await asyncio.sleep(5)
            for task in running:
                task.cancel()

    simulate(1, lived)


def test_a_late_reader_in_another_process_gets_the_whole_text_of_a_running_answer() -> None:
    async def lived(chance: random.Random, clock: SimulatedClock) -> None:
        async with asyncio.TaskGroup() as tasks:
            air = Air(chance, loss=0.3)
            one = Process(clock, None, air, 1)
            two = Process(clock, one, air, 2)
            running = [tasks.create_task(process.peers.run()) for process in (one, two)]
            stream = one.hub.open_stream(one.turn(ROOMS[0], MessageId("m_1"), 1))
            written = ""
            for number in range(200):
                one.hub.add(stream, f"w{number} ", "thought" if number == 7 else "")
                written += f"w{number} "
                await asyncio.sleep(chance.choice([0, 0.01]))
            one.hub.add(stream, "x" * 5_000)
            while stream.turn.message not in two.hub.streams(ROOMS[0]) or (
                two.hub.streams(ROOMS[0])[stream.turn.message].text() != written + "x" * 5_000
            ):
                await asyncio.sleep(1)
                one.hub.add(stream, "")  # an answer that goes on repairs what was lost
            assert two.hub.streams(ROOMS[0])[stream.turn.message].reasoning() == "thought"
            one.hub.drop_stream(stream)
            for task in running:
                task.cancel()

    for seed in range(20):
        simulate(seed, lived)
