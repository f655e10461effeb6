"""Clearing a history and taking it back agree with a plain model, through any life of messages and deletions."""

import asyncio

import pytest
from hypothesis import HealthCheck, given, settings as effort, strategies as st
from sqlalchemy import Connection
from tests.store.world import World, opened

from palaver.errors import Code, Refused
from palaver.model import Actor, EventType, MemberRole, Message, Room
from palaver.store.admin.verify import verified
from palaver.store.engine.executors import InlineLanes
from palaver.store.read import messages, past, rooms
from palaver.store.write import clearing
from palaver.store.write.clearing import Cleared, ClearRoom, UnclearRoom
from palaver.store.write.messages import SetMessageDeleted
from palaver.store.write.rooms import AddMember

STEPS = st.lists(
    st.tuples(
        st.sampled_from(["say", "say", "delete", "restore", "clear", "back"]), st.integers(0, 9)
    ),
    max_size=14,
)


def faults(conn: Connection) -> list[object]:
    def progress(what: str, done: int, of: int) -> None:
        """Tells nobody."""

    return list(verified(progress, conn).faults)


async def clear(world: World, room: Room, by: Actor) -> Cleared | None:
    first = done = await world.store.write(ClearRoom(room=room.id, by=by.id))
    while done is not None and done.more:
        done = await world.store.write(ClearRoom(room=room.id, by=by.id, going_on=done))
    return first


async def back(world: World, room: Room, by: Actor, seq: int) -> None:
    while await world.store.write(UnclearRoom(room=room.id, by=by.id, seq=seq)):
        pass


class Life:
    """A room of two, and what a plain model knows of it."""

    def __init__(self, world: World, room: Room, ada: Actor, bo: Actor) -> None:
        self.world, self.room, self.ada, self.bo = world, room, ada, bo
        self.said: list[Message] = []
        self.deleted: set[int] = set()  # by themselves
        self.clearings: list[tuple[int, int]] = []  # the event of each, and up to where it goes
        self.then: dict[int, list[str]] = {}

    @property
    def upto(self) -> int:
        return self.clearings[-1][1] if self.clearings else 0

    @property
    def there(self) -> list[tuple[int, str]]:
        left = [one for one in self.said if one.seq > self.upto and one.seq not in self.deleted]
        return [(one.seq, one.text) for one in left]

    async def do(self, step: str, which: int) -> None:
        if step == "say":
            text = f"text {len(self.said)}"
            self.said.append((await self.world.say(self.room, self.ada, text)).message)
        elif step in {"delete", "restore"} and self.said:
            await self.set_deleted(self.said[which % len(self.said)], deleted=step == "delete")
        elif step == "clear":
            anything, at = bool(self.there), len(await self.world.log(self.room))
            done = await clear(self.world, self.room, self.ada)
            assert (done is not None) is anything
            self.clearings += [] if done is None else [(done.seq, at)]
        elif step == "back" and self.clearings:
            seq = self.clearings[which % len(self.clearings)][0]
            await back(self.world, self.room, self.ada, seq)
            self.clearings = [one for one in self.clearings if one[0] < seq]

    async def set_deleted(self, message: Message, *, deleted: bool) -> None:
        setting = SetMessageDeleted(message=message.id, by=self.ada.id, deleted=deleted)
        if not deleted and message.seq <= self.upto:
            with pytest.raises(Refused) as refused:
                await self.world.store.write(setting)
            assert refused.value.code is Code.MESSAGE_NOT_FOUND
            return
        await self.world.store.write(setting)
        if message.seq > self.upto:
            (self.deleted.add if deleted else self.deleted.discard)(message.seq)

    async def check(self) -> None:
        """Everyone is told what is there."""
        read, id_ = self.world.store.read, self.room.id
        page = await self.world.said(self.room)
        assert all(one.seq > self.upto for one in page)
        for found in (
            [one for one in page if one.deleted_ms is None],
            await read(messages.context, id_, upto_seq=999, limit=99),
            await read(messages.spoken, id_, limit=99, offset=0),
        ):
            assert [(one.seq, one.text) for one in found] == self.there
        seen = await read(rooms.get, id_, self.bo.id)
        assert seen is not None
        assert seen.unread == len(self.there)
        self.then[len(await self.world.log(self.room))] = [text for _, text in self.there]


async def lived(world: World, steps: list[tuple[str, int]]) -> None:
    ada, bo = await world.person("Ada"), await world.person("Bo")
    life = Life(world, await world.room(ada), ada, bo)
    member = AddMember(room=life.room.id, actor=bo.id, by=ada.id, role=MemberRole.MEMBER)
    await world.store.write(member)
    for step, which in steps:
        await life.do(step, which)
        await life.check()
    for seq, texts in life.then.items():
        found = await world.store.read(past.page, life.room.id, seq, before=None, limit=99)
        assert [one.text for one in found.messages if one.deleted_ms is None] == texts
    assert await world.store.read(faults) == []


@pytest.fixture(autouse=True)
def few_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clearing, "CLEARED_MAX", 2)


@effort(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(STEPS)
def test_any_life_with_clearings_agrees_with_a_model(steps: list[tuple[str, int]]) -> None:
    async def life() -> None:
        async with opened("sqlite://", lanes=InlineLanes()) as world:
            await lived(world, steps)

    asyncio.run(life())


@effort(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_on_both_engines(database_url: str, steps: list[tuple[str, int]]) -> None:
    async def life() -> None:
        async with opened(database_url) as world:
            await lived(world, steps)

    asyncio.run(life())


async def test_what_is_said_while_a_long_history_is_cleared_stays(world: World) -> None:
    ada = await world.person()
    room = await world.room(ada)
    said = [(await world.say(room, ada, f"text {number}")).message for number in range(6)]
    gone = SetMessageDeleted(message=said[0].id, by=ada.id, deleted=True)
    await world.store.write(gone)
    first = await world.store.write(ClearRoom(room=room.id, by=ada.id))
    assert first is not None
    assert first.more
    assert [one.text for one in await world.said(room)] == ["text 3", "text 4", "text 5"]
    await world.say(room, ada, "meanwhile")
    done: Cleared | None = first
    while done is not None and done.more:
        done = await world.store.write(ClearRoom(room=room.id, by=ada.id, going_on=done))
    assert [one.text for one in await world.said(room)] == ["meanwhile"]
    told = [one.data for one in await world.log(room) if one.type is EventType.ROOM_CLEARED]
    assert [one.get("of") for one in told] == [None, first.seq, first.seq]
    await back(world, room, ada, first.seq)
    there = [one.text for one in await world.said(room) if one.deleted_ms is None]
    assert there == [*[f"text {number}" for number in range(1, 6)], "meanwhile"]
    assert await world.store.read(faults) == []
