"""Who is here: who reads a room now is told to who else does, but for who hides or was taken out."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import ExitStack

import pytest
from tests.core.conftest import Running, processes
from tests.core.live.test_rights import SETTLED_SECONDS, Town, says, until

from palaver.core.live.hub import Hub
from palaver.core.live.items import Here, Item, Unsubscribed, not_encoded
from palaver.core.live.presence import FORGET_TICKS, NAMED_MAX, SPREAD_TICKS, STAY_TICKS
from palaver.core.live.reader import Reader
from palaver.core.runtime import Core
from palaver.model import Actor, ActorId, MemberRole, Page, RoomId

SECONDS_MAX = 20
ROOM = RoomId("r_1")


class Past:
    """A past in which everyone may read, and nothing was said."""

    async def allowed(self, room: RoomId) -> int:  # noqa: ARG002
        return 0

    async def since(self, room: RoomId, seq: int, count: int) -> tuple[()]:  # noqa: ARG002
        return ()

    async def newest(self, room: RoomId, count: int) -> Page:  # noqa: ARG002
        return Page(messages=(), before=None, after=None)

    async def rooms(self) -> tuple[()]:
        return ()

    async def kept_out(self) -> tuple[()]:
        return ()


class Crowd:
    """A hub whose seconds the test makes, and all that one of its readers, Ada, is given."""

    def __init__(self, leaving: ExitStack) -> None:
        async def seq_of(_room: RoomId) -> int:
            return 0

        self.hub, self._leaving = Hub(not_encoded, seq_of), leaving
        self.told: list[Here] = []

    async def come(self, name: str, *, shown: bool | None = True) -> Reader:
        actor = ActorId(f"u_{name}")
        reader = Reader(actor=actor, hub=self.hub, past=Past(), epoch="e", rooms_max=1, shown=shown)
        self._leaving.enter_context(reader)
        await reader.subscribe(ROOM)
        reader.start(ROOM)
        return reader

    async def pass_seconds(self, seconds: int) -> None:
        for _ in range(seconds):
            await self.hub.presence.tick()
            for _ in range(5):  # until Ada has taken what there is
                await asyncio.sleep(0)

    async def listen(self, reader: Reader) -> None:
        while True:
            self.told += heres(await reader.next())

    @property
    def people(self) -> tuple[str, ...] | None:
        return self.told[-1].people if self.told else ()


def heres(items: list[Item]) -> list[Here]:
    return [item for item in items if isinstance(item, Here)]


@pytest.fixture
async def crowd() -> AsyncGenerator[Crowd, None]:
    """A room that Ada reads."""
    with ExitStack() as leaving:
        crowd = Crowd(leaving)
        async with asyncio.TaskGroup() as tasks:
            listening = tasks.create_task(crowd.listen(await crowd.come("ada")))
            yield crowd
            listening.cancel()


async def test_who_reads_along_is_told_of_and_nothing_is_told_to_who_is_alone(
    crowd: Crowd,
) -> None:
    await crowd.pass_seconds(3)
    assert crowd.told == [], "only she is here"
    bo = await crowd.come("bo")
    again = await crowd.come("bo")
    await crowd.pass_seconds(3)
    assert [(one.count, one.people) for one in crowd.told] == [(2, ("u_ada", "u_bo"))]
    bo.close()
    await crowd.pass_seconds(STAY_TICKS + 1)
    assert len(crowd.told) == 1, "he is here by another connection"
    again.close()
    await crowd.pass_seconds(3)
    back = await crowd.come("bo")
    await crowd.pass_seconds(STAY_TICKS)
    assert len(crowd.told) == 1, "a page that comes back has not been away"
    back.close()
    await crowd.pass_seconds(STAY_TICKS + 1)
    assert [one.people for one in crowd.told[1:]] == [("u_ada",)]


async def test_a_thousand_who_come_and_go_are_told_in_a_few_items_and_by_number(
    crowd: Crowd,
) -> None:
    await crowd.pass_seconds(1)
    others: list[Reader] = []
    for number in range(1_000):
        others.append(await crowd.come(str(number)))
        if number % 50 == 0:
            await crowd.pass_seconds(1)
    await crowd.pass_seconds(12)
    assert crowd.told[-1].count == 1_001
    assert crowd.people is None, "so many are a number"
    assert len(crowd.told) <= 12, "thirty seconds, of which each hundred makes the next item later"
    newest = await others[-1].next()
    assert [item.count for item in heres(newest)] == [1_001], "who comes is told the newest only"
    told = len(crowd.told)
    for number, other in enumerate(others):
        other.close()
        if number % 50 == 0:
            await crowd.pass_seconds(1)
    await crowd.pass_seconds(20)
    assert crowd.people == ("u_ada",)
    assert len(crowd.told) - told <= 12


async def test_as_many_as_can_be_named_are_and_one_more_is_not(crowd: Crowd) -> None:
    others = [await crowd.come(str(number)) for number in range(NAMED_MAX)]
    others.pop().close()
    await crowd.pass_seconds(STAY_TICKS + 1)
    assert crowd.people is not None
    assert len(crowd.people) == NAMED_MAX
    await crowd.come("one more")
    await crowd.pass_seconds(2)
    assert (crowd.told[-1].count, crowd.people) == (NAMED_MAX + 1, None)


async def test_who_hides_is_gone_at_once_and_programs_are_never_here(crowd: Crowd) -> None:
    await crowd.come("bo")
    await crowd.come("program", shown=None)
    await crowd.pass_seconds(1)
    assert crowd.people == ("u_ada", "u_bo")
    crowd.hub.show(ActorId("u_bo"), shown=False)
    crowd.hub.show(ActorId("u_program"), shown=True)
    await crowd.pass_seconds(1)
    assert crowd.people == ("u_ada",)
    crowd.hub.show(ActorId("u_bo"), shown=True)
    await crowd.pass_seconds(1)
    assert crowd.people == ("u_ada", "u_bo")


async def test_another_process_is_forgotten_when_it_says_nothing_more(crowd: Crowd) -> None:
    presence = crowd.hub.presence
    presence.heard("p2", ROOM, [ActorId("u_bo")])
    presence.heard("p3", ROOM, 200)
    await crowd.pass_seconds(FORGET_TICKS - 1)
    assert [(one.count, one.people) for one in crowd.told] == [(202, None)]
    presence.heard("p2", ROOM, [ActorId("u_bo")])
    await crowd.pass_seconds(2)
    assert crowd.people == ("u_ada", "u_bo"), "the third one said nothing more"
    presence.heard("p2", ROOM, [])
    await crowd.pass_seconds(1)
    assert crowd.people == ("u_ada",)


# in a running Palaver, of one process or two


@pytest.fixture(params=["sqlite", pytest.param("two processes", marks=pytest.mark.postgres)])
async def town(running: Running, request: pytest.FixtureRequest) -> AsyncGenerator[Town, None]:
    both = processes(running, request, settled_seconds=SETTLED_SECONDS)
    async with both as (here, there):
        _, ada = await here.identity.new_guest("Ada")
        _, bo = await here.identity.new_guest("Bo")
        room = (await here.rooms.create(ada, title="Room", agent=False)).id
        await here.rooms.join(ada, room, bo)
        yield Town(here, there, ada, bo, room)


async def joined(core: Core, actor: Actor, room: RoomId, leaving: ExitStack) -> Reader:
    reader = leaving.enter_context(core.chat.reader(actor))
    await reader.subscribe(room)
    reader.start(room)
    return reader


async def sees(reader: Reader, *people: Actor) -> None:
    """Waits until the reader is told that just these are here."""
    async with asyncio.timeout(SECONDS_MAX):
        while True:
            for item in heres(await reader.next()):
                if item.people is not None and set(item.people) == {one.id for one in people}:
                    return


async def test_people_see_each_other_across_processes_until_one_is_taken_out(town: Town) -> None:
    here, there, ada, bo, room = town.here, town.there, town.ada, town.bo, town.room
    with ExitStack() as leaving:
        hers = await joined(here, ada, room, leaving)
        his = await joined(there, bo, room, leaving)
        await sees(hers, ada, bo)
        await sees(his, ada, bo)
        assert set((await here.members.here(ada, room)).people or ()) == {ada.id, bo.id}
        await there.profiles.change(bo, preferences={"here": False})
        await sees(hers, ada)
        await there.profiles.change(bo, preferences={"here": True})
        await sees(his, ada, bo)
        for _ in range(SPREAD_TICKS):  # ten seconds of the other process
            await there.hub.presence.tick()
        await sees(hers, ada, bo)
        await here.members.set_role(ada, room, bo.id, MemberRole.READER)
        await town.say("He may still read.")
        await until(his, says("He may still read."))
        await there.hub.presence.tick()
        assert bo.id in ((await there.members.here(ada, room)).people or ())
        await town.take("removed")
        await here.hub.presence.tick()
        assert (await here.members.here(ada, room)).people == (ada.id,), "at once"
        last = await until(his, lambda item: isinstance(item, Unsubscribed))
        assert not [one for one in heres(last) if one.people == (ada.id,)], "he hears no more"
