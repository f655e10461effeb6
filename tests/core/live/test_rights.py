"""Taken away is taken away at once: nothing later reaches who had a right, on both engines, here and elsewhere."""

import asyncio
import contextlib
import random
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

import pytest
from msgspec.structs import replace
from tests.core.conftest import Running, processes
from tests.core.live.test_reader import EPOCH, ROOMS, Past, World
from tests.support.simulation import SimulatedClock, simulate

from palaver.core.live import feed
from palaver.core.live.items import (
    Delta,
    Drafted,
    Happened,
    Item,
    Opened,
    RoomChanged,
    Typing,
    Unsubscribed,
)
from palaver.core.live.reader import Reader
from palaver.core.runtime import Core
from palaver.errors import Code, Refused, Unavailable
from palaver.model import (
    AccessChange,
    Actor,
    ActorId,
    Event,
    EventType,
    MemberRole,
    MessageId,
    OpenTo,
    RoomId,
    Turn,
    TurnId,
    TurnState,
    Visibility,
)
from palaver.policy import room_not_found
from palaver.store.write.rooms import RemoveMember

LIVES = 1_500
SECONDS_MAX = 60
ROUNDS = 10
LATER = "later"
SETTLED_SECONDS = 1.5
"""A process asks the log once a second what no notice told it."""


@dataclass(frozen=True, slots=True)
class Town:
    """A room of Ada's that Bo reads. What is taken is taken in the process `here`, and Bo is in `there`."""

    here: Core
    there: Core
    ada: Actor
    bo: Actor
    room: RoomId

    async def take(self, way: str) -> None:
        if way == "deleted":
            await self.here.rooms.delete(self.ada, self.room)
        elif way == "closed":
            await self.here.rooms.open_to(self.ada, self.room, None)
        else:
            gone = RemoveMember(room=self.room, by=self.ada.id, actor=self.bo.id)
            assert await self.here.chat._store.write(gone)

    async def say(self, text: str, room: RoomId | None = None) -> None:
        await self.here.chat.send(self.ada, room or self.room, text=text, cid=None, answers=False)

    def turn(self) -> Turn:
        return Turn(
            id=TurnId("t_" + "1" * 32),
            room=self.room,
            agent=self.here.assistant,
            agent_name="Assistant",
            trigger_seq=1,
            message=MessageId("m_" + "1" * 32),
            state=TurnState.OPEN,
            attempt=1,
            fence=1,
        )

    def draft(self) -> Drafted:
        message = MessageId("m_" + "2" * 32)
        return Drafted(self.room, message, self.ada.id, "Ada", LATER, 1, "c-2")


@pytest.fixture(
    params=[
        "sqlite",
        pytest.param("postgres", marks=pytest.mark.postgres),
        pytest.param("two processes", marks=pytest.mark.postgres),
    ]
)
async def town(running: Running, request: pytest.FixtureRequest) -> AsyncGenerator[Town, None]:
    both = processes(running, request, settled_seconds=SETTLED_SECONDS)
    async with both as (here, there):
        _, ada = await here.identity.new_guest("Ada")
        _, bo = await here.identity.new_guest("Bo")
        room = (await here.rooms.create(ada, title="Room", agent=False)).id
        await here.rooms.join(ada, room, bo)
        yield Town(here, there, ada, bo, room)


@asynccontextmanager
async def reading(town: Town) -> AsyncGenerator[Reader, None]:
    with town.there.chat.reader(town.bo) as reader:
        await reader.watch()
        for room in (town.room, town.here.lobby):
            await reader.subscribe(room)
            reader.start(room)
        yield reader


async def until(reader: Reader, wanted: Callable[[Item], bool]) -> list[Item]:
    """All that comes, up to what is wanted."""
    items: list[Item] = []
    async with asyncio.timeout(SECONDS_MAX):
        while not any(map(wanted, items)):
            items += await reader.next()
    return items


def room_of(item: Item) -> RoomId | None:
    match item:
        case Happened():
            return item.event.room
        case Opened():
            return item.stream.room
        case _:
            return getattr(item, "room", None)


def says(text: str) -> Callable[[Item], bool]:
    def wanted(item: Item) -> bool:
        if isinstance(item, Happened):
            return item.event.message is not None and text in item.event.message.text
        return isinstance(item, Delta) and text in item.text

    return wanted


@pytest.mark.parametrize("way", ["removed", "deleted"])
async def test_a_reader_is_let_go_with_the_reason_and_given_nothing_later(
    town: Town, way: str
) -> None:
    stream = town.here.hub.open_stream(town.turn())
    async with reading(town) as reader:
        await town.say("before")
        await until(reader, says("before"))
        town.here.hub.add(stream, "seen")
        await until(reader, says("seen"))
        await town.take(way)
        town.here.hub.add(stream, LATER)
        town.here.hub.draft(town.draft())
        town.here.hub.typing(Typing(town.room, town.ada.id, LATER))
        if way == "removed":
            await town.say(LATER)
            await town.here.chat.typing(town.ada, town.room)
        items = await until(reader, lambda item: isinstance(item, Unsubscribed))
        await asyncio.sleep(SETTLED_SECONDS)
        town.here.hub.add(stream, LATER)
        await town.say("and elsewhere", town.here.lobby)
        items += await until(reader, says("and elsewhere"))
        assert not reader.follows(town.room)
    (lost,) = [item for item in items if isinstance(item, Unsubscribed)]
    assert (lost.room, lost.code) == (town.room, Code.ROOM_NOT_FOUND)
    assert lost.detail
    of_room = [item for item in items if room_of(item) == town.room]
    assert not any(isinstance(item, Delta | Opened | Drafted | Typing) for item in of_room)
    happened = [item.event.type for item in of_room if isinstance(item, Happened)]
    assert all(type_.access is AccessChange.TAKEN for type_ in happened)
    changes = [type_ for item in of_room if isinstance(item, RoomChanged) for type_ in item.types]
    assert all(type_.access is AccessChange.TAKEN for type_ in changes), "nor in the list of rooms"


@pytest.mark.postgres
async def test_no_word_of_an_answer_in_a_third_process_comes_after_a_removal(
    running: Running, postgres_url: str
) -> None:
    """One process removes, another writes the answer, and in a third somebody reads it."""
    shared = {"database_url": postgres_url}
    async with running(**shared) as here, running(**shared) as third, running(**shared) as there:
        await asyncio.sleep(SETTLED_SECONDS)  # until they have heard of each other
        (_, ada), (_, bo) = await here.identity.new_guest(), await here.identity.new_guest()
        for number in range(ROUNDS):
            room = (await here.rooms.create(ada, title="Room", agent=False)).id
            await here.rooms.join(ada, room, bo)
            town = Town(here, there, ada, bo, room)
            ids = TurnId(f"t_{number:032}"), MessageId(f"m_{number:032}")
            stream = third.hub.open_stream(replace(town.turn(), id=ids[0], message=ids[1]))
            async with reading(town) as reader, asyncio.TaskGroup() as tasks:
                words = ["before"]

                async def answer(stream: feed.Stream, words: list[str]) -> None:
                    while words:
                        third.hub.add(stream, words[-1])
                        await asyncio.sleep(0.001)

                tasks.create_task(answer(stream, words))
                await until(reader, says("before"))
                await town.take("removed")
                words.append(LATER)
                items = await until(reader, lambda item: isinstance(item, Unsubscribed))
                words.clear()
            assert not any(map(says(LATER), items))


async def test_the_list_of_rooms_tells_nothing_of_an_open_room_to_who_was_removed(
    town: Town,
) -> None:
    """Whether they were there then or came later; who is added again is told again."""
    core = town.there
    room = await core.rooms.create(
        town.ada, title="Open", visibility=Visibility.OPEN, door="openai", agent=False
    )
    with core.chat.reader(town.bo) as there_then:
        await there_then.watch()
        await town.say("before", room.id)
        await until(there_then, lambda item: room_of(item) == room.id)
        gone = RemoveMember(room=room.id, by=town.ada.id, actor=town.bo.id)
        await town.here.chat._store.write(gone)
        with core.chat.reader(town.bo) as later:
            await later.watch()
            for _ in range(2):
                await town.say(LATER, room.id)
                await town.say("and elsewhere", core.lobby)
                for reader in (there_then, later):
                    items = await until(reader, lambda item: room_of(item) == core.lobby)
                    told = [item for item in items if room_of(item) == room.id]
                    types = {type_ for one in told for type_ in getattr(one, "types", ())}
                    assert types <= {EventType.MEMBER_REMOVED}, "which is told to who was there"
            await town.here.rooms.join(town.ada, room.id, town.bo)
            await town.say("welcome", room.id)
            for reader in (there_then, later):
                await until(reader, lambda item: room_of(item) == room.id)


async def test_who_is_no_member_is_let_go_when_an_open_room_is_made_private(town: Town) -> None:
    open_to = partial(town.here.rooms.open_to, town.ada, town.room, OpenTo.EVERYONE)
    await open_to(role=MemberRole.MEMBER)
    _, cy = await town.here.identity.new_guest("Cy")
    by_cy = Town(town.here, town.there, town.ada, cy, town.room)
    stream = town.here.hub.open_stream(town.turn())
    with town.there.chat.reader(town.bo) as his:
        await his.subscribe(town.room)
        his.start(town.room)
        for whom in ("closed", "to people"):
            async with reading(by_cy) as reader:
                await town.say("seen")
                await until(reader, says("seen"))
                await town.there.chat.send(cy, town.room, text="hi", cid=None)
                if whom == "closed":
                    await town.take("closed")
                else:
                    await town.here.rooms.open_to(town.ada, town.room, OpenTo.PEOPLE)
                await town.say(LATER)
                town.here.hub.add(stream, LATER)
                town.here.hub.draft(town.draft())
                items = await until(reader, lambda item: isinstance(item, Unsubscribed))
                assert not any(map(says(LATER), items))
                assert not any(isinstance(item, Drafted) for item in items)
            assert not town.there.access.may_write_as_known(cy, town.room)
            calls = town.there.chat.history(cy, town.room), reader.subscribe(town.room)
            assert [await code_of(call) for call in calls] == [Code.ROOM_NOT_FOUND] * 2
            town.here.hub.drop_stream(stream)
            town.here.hub.undraft(town.room, town.draft().message)
            await open_to(role=MemberRole.MEMBER)
        items = await until(his, says(LATER))
    assert not any(isinstance(item, Unsubscribed) for item in items), "who is a member reads on"


async def test_others_read_on_where_one_is_removed(town: Town) -> None:
    with town.there.chat.reader(town.ada) as hers:
        await hers.subscribe(town.room)
        hers.start(town.room)
        async with reading(town) as his:
            await town.take("removed")
            await until(his, lambda item: isinstance(item, Unsubscribed))
        await town.say("among us")
        items = await until(hers, says("among us"))
    assert EventType.MEMBER_REMOVED in {
        item.event.type for item in items if isinstance(item, Happened)
    }


async def test_a_reader_who_is_far_behind_is_let_go(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "RING_BYTES_MAX", 1)
    async with reading(town) as reader:
        for number in range(20):
            await town.say(f"number {number}")
        await town.take("removed")
        for number in range(20):
            await town.say(f"{LATER} {number}")
        items = await until(reader, lambda item: isinstance(item, Unsubscribed))
    assert not any(map(says(LATER), items))


async def code_of(call: Awaitable[object]) -> Code:
    with pytest.raises(Refused) as refused:
        await call
    return refused.value.code


async def test_who_lost_a_room_finds_nothing_of_it_by_asking(town: Town) -> None:
    chat, bo, room = town.there.chat, town.bo, town.room
    async with reading(town) as reader, asyncio.TaskGroup() as tasks:
        seq = (await town.there.rooms.get(bo, room)).seq
        polled = chat.events(bo, room, after=seq, wait_seconds=30)
        waiting = tasks.create_task(code_of(polled))
        await asyncio.sleep(0.2)
        await town.take("removed")
        await town.say(LATER)
        calls: list[Awaitable[object]] = [
            waiting,
            code_of(chat.history(bo, room)),
            code_of(chat.spoken(bo, room, limit=10, offset=0)),
            code_of(chat.events(bo, room)),
            code_of(reader.subscribe(room, seq)),
        ]
        assert [await call for call in calls] == [Code.ROOM_NOT_FOUND] * len(calls)
        listed, _ = await town.there.rooms.listing(bo)
        assert room not in [one.id for one in listed]


async def test_who_is_let_in_again_reads_all_of_it(town: Town) -> None:
    async with reading(town) as reader:
        await town.take("removed")
        await until(reader, lambda item: isinstance(item, Unsubscribed))
        await town.say("meanwhile")
        await town.here.rooms.join(town.ada, town.room, town.bo)
        joined = await reader.subscribe(town.room)
        reader.start(town.room)
        if "meanwhile" not in [message.text for message in joined.messages]:
            await until(reader, says("meanwhile"))  # this process was told of it only then
        await town.say("again")
        await until(reader, says("again"))


async def test_a_room_that_is_restored_is_in_the_list_again(town: Town) -> None:
    with town.there.chat.reader(town.bo) as reader:
        await reader.watch()
        await town.take("deleted")

        def is_told(type_: EventType) -> Callable[[Item], bool]:
            return lambda item: isinstance(item, RoomChanged) and type_ in item.types

        await until(reader, is_told(EventType.ROOM_DELETED))
        await town.here.rooms.restore(town.ada, town.room)
        await until(reader, is_told(EventType.ROOM_RESTORED))


async def test_who_was_removed_is_not_known_as_one_who_may_write_there(town: Town) -> None:
    access, bo, room = town.there.access, town.bo, town.room
    await access.may_write(bo, room)
    assert access.may_write_as_known(bo, room)
    await town.take("removed")
    async with asyncio.timeout(SECONDS_MAX):
        while access.may_write_as_known(bo, room):  # noqa: ASYNC110  it wakes nobody
            await asyncio.sleep(0.01)


def test_every_type_of_event_declares_what_it_does_to_access() -> None:
    taken = {type_ for type_ in EventType if type_.access is AccessChange.TAKEN}
    members = {EventType.MEMBER_LEFT, EventType.MEMBER_REMOVED, EventType.MEMBER_ROLE}
    rooms = {EventType.ROOM_DELETED, EventType.ROOM_VISIBILITY}
    profiles = {EventType.PROFILE_SAVED, EventType.PROFILE_DELETED}
    assert taken == {*rooms, EventType.ACCOUNT_STATUS, *members, *profiles}
    assert all(isinstance(type_.access, AccessChange) for type_ in EventType)
    assert EventType("room.deleted") is EventType.ROOM_DELETED


# thousands of lives


class Rights(World):
    """A world in which somebody is removed and let in again, while others write and an answer runs.

    `published`: how many removals this process was told of. Pieces of the answer name the one that they follow.
    """

    actor = ActorId("u_1")

    def __init__(self, chance: random.Random) -> None:
        super().__init__(chance)
        self.published = 0

    def changes(self, room: RoomId) -> list[Event]:
        return [event for event in self.logs[room] if event.message is None]

    def removed_at(self, room: RoomId) -> int | None:
        """The seq at which the actor was removed; None while they may read."""
        changes = self.changes(room)
        if not changes or changes[-1].type is EventType.MEMBER_JOINED:
            return None
        return changes[-1].seq

    async def change(self) -> None:
        while self.writing:
            await asyncio.sleep(self.chance.choice([0.01, 0.1, 0.5]))
            room = self.chance.choice(ROOMS)
            out = self.removed_at(room) is not None
            event = Event(
                room=room,
                seq=len(self.logs[room]) + 1,
                type=EventType.MEMBER_JOINED if out else EventType.MEMBER_REMOVED,
                actor=ActorId("u_2"),
                at_ms=0,
                data={"actor": self.actor, "name": "U"},
            )
            self.logs[room].append(event)
            self.told.put_nowait(event)

    async def answer(self) -> None:
        """An answer that runs on, whoever comes and goes."""
        stream = self.hub.open_stream(self.turn(ROOMS[0], MessageId("m_long"), 999))
        while self.writing:
            self.hub.add(stream, f"<{self.published}>")
            await self.pause()
        self.hub.drop_stream(stream)

    async def tell(self) -> None:
        while True:
            event = await self.told.get()
            await self.pause()
            self.hub.publish((event,))
            if (event.room, event.type) == (ROOMS[0], EventType.MEMBER_REMOVED):
                self.published += 1


class Asked(Past):
    """The past, which is closed to who was removed."""

    def __init__(self, world: Rights) -> None:
        super().__init__(world)
        self.rights = world

    async def allowed(self, room: RoomId) -> int:
        await self.world.pause()
        if self.rights.removed_at(room) is not None:
            raise room_not_found()
        seq = len(self.world.logs[room])
        await self.world.pause()
        return seq


class Removed:
    """Who is removed now and then, comes back as soon as they may, and must never be told anything later."""

    def __init__(self, world: Rights) -> None:
        self.world = world

    async def live(self) -> None:
        world = self.world
        while world.writing:
            await world.pause()
            reader = Reader(
                actor=world.actor, hub=world.hub, past=Asked(world), epoch=EPOCH, rooms_max=8
            )
            with reader, contextlib.suppress(TimeoutError, Unavailable):
                async with asyncio.timeout(world.chance.choice([0.05, 1, 30])):
                    await self.connected(reader)

    async def connected(self, reader: Reader) -> None:
        for room in ROOMS:
            try:
                joined = await reader.subscribe(room)
            except Refused:
                continue
            for message in joined.messages:
                self.knows(room, message.seq)
            for view in joined.streams:
                self.hears(room, view.text)
            reader.start(room)
        while self.world.writing:
            await self.world.pause()
            for item in await reader.next():
                match item:
                    case Happened(event=event):
                        self.knows(event.room, event.seq)
                    case Delta():
                        self.hears(item.room, item.text)
                    case _:
                        pass

    def knows(self, room: RoomId, seq: int) -> None:
        removed = self.world.removed_at(room)
        assert removed is None or seq <= removed, "nothing later reaches who was removed"

    def hears(self, room: RoomId, text: str) -> None:
        if self.world.removed_at(room) is not None:
            kinds = [event.type for event in self.world.changes(room)]
            last = kinds.count(EventType.MEMBER_REMOVED)
            assert f"<{last}>" not in text, "nor a word of an answer"


async def life(chance: random.Random, clock: SimulatedClock) -> None:  # noqa: ARG001  simulate's shape
    world = Rights(chance)
    async with asyncio.timeout(3_000), asyncio.TaskGroup() as tasks:
        removed = [Removed(world).live() for _ in range(chance.randrange(1, 4))]
        lives = [world.tell(), world.change(), world.answer(), *removed]
        running = [tasks.create_task(one) for one in lives]
        await world.write()
        for one in running:
            one.cancel()


@pytest.mark.seeded
@pytest.mark.timeout(1_200)
def test_nothing_later_reaches_who_was_removed_in_thousands_of_lives(effort: float) -> None:
    for seed in range(int(LIVES * effort)):
        simulate(seed, life)
