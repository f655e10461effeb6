"""A room as it was at each of its seqs is what a naive replay of its life says, and costs the same in every room."""

import asyncio
from collections.abc import Sequence
from copy import deepcopy
from random import Random

from hypothesis import given, settings, strategies as st
from msgspec import Struct, field
from tests.store.world import World, opened

from palaver.clock import SystemClock
from palaver.errors import PalaverError
from palaver.model import (
    Actor,
    ActorId,
    Event,
    MemberRole,
    MessageId,
    Room,
    RoomId,
    TitleSource,
    Visibility,
)
from palaver.store.engine.executors import InlineLanes
from palaver.store.read import past
from palaver.store.write.command import Command
from palaver.store.write.members import LeaveRoom, SetRole, TransferRoom
from palaver.store.write.messages import SetMessageDeleted
from palaver.store.write.rooms import AddMember, MarkRead, RemoveMember, RenameRoom

KINDS = 10


class SetClock(SystemClock):
    """A clock whose hand a test moves."""

    def __init__(self) -> None:
        self.later_ms = super().now_ms()

    def now_ms(self) -> int:
        return self.later_ms


class Then(Struct):
    """What a room is to the replay: the texts by seq, null once deleted, the title, and the roles."""

    title: str
    members: dict[ActorId, MemberRole]
    texts: dict[int, str | None] = field(default_factory=dict[int, "str | None"])


class Life:
    """A room, what it was after each of its seqs, and those who come and go."""

    def __init__(self, world: World, room: Room, here: Sequence[Actor], bots: list[Actor]) -> None:
        self.world, self.room = world, room
        self.ada, self.bo, self.cy, self.bot, self.late = here
        self.said: list[tuple[int, MessageId, str]] = []
        members = dict.fromkeys((one.id for one in bots), MemberRole.MEMBER)
        self.now = Then("first", members | {self.ada.id: MemberRole.OWNER})
        self.then: dict[int, Then] = {1: deepcopy(self.now)}

    async def does(self, kind: int, which: int) -> None:
        """One thing, of which the log has one event, or none where it is refused or so already."""
        who = (self.ada, self.bo, self.cy, self.bot, self.late)[which % 5]
        if kind < 2 or (kind < 4 and not self.said):
            text = f"text {len(self.said)}"
            added = await self.world.say(self.room, self.ada, text)
            self.said.append((added.message.seq, added.message.id, text))
            self.now.texts[added.message.seq] = text
        elif kind < 4:
            seq, id_, text = self.said[which % len(self.said)]
            deleted = kind == 2
            await self._writes(SetMessageDeleted(message=id_, by=self.ada.id, deleted=deleted))
            self.now.texts[seq] = None if deleted else text
        else:
            await self._changes(kind, who, f"title{which * 111}")
        seq = len(await self.world.log(self.room))
        self.then.setdefault(seq, deepcopy(self.now))

    async def _changes(self, kind: int, who: Actor, title: str) -> None:
        room, members = self.room.id, self.now.members
        by = next(one for one, role in members.items() if role is MemberRole.OWNER)
        role = list(MemberRole)[1 + len(title) % 3]
        source = TitleSource.USER
        command, title_after, members_after = {
            4: (RenameRoom(room=room, by=by, title=title, source=source), title, {}),
            5: (AddMember(room=room, by=by, actor=who.id, role=role), None, {who.id: role}),
            6: (RemoveMember(room=room, by=by, actor=who.id), None, {who.id: None}),
            7: (LeaveRoom(room=room, by=who.id), None, {who.id: None}),
            8: (SetRole(room=room, by=by, actor=who.id, role=role), None, {who.id: role}),
            9: (
                TransferRoom(room=room, by=by, actor=who.id),
                None,
                {by: MemberRole.MODERATOR, who.id: MemberRole.OWNER},
            ),
        }[kind]
        if await self._writes(command):
            self.now.title = title_after or self.now.title
            changed = {**members, **members_after}
            self.now.members = {one: role for one, role in changed.items() if role is not None}

    async def _writes(self, command: Command[bool]) -> bool:
        try:
            return await self.world.store.write(command)
        except PalaverError:
            return False


async def lived(world: World, steps: list[tuple[int, int]]) -> None:
    """A life of these steps, whose every moment is then asked for."""
    people = [await world.person(name) for name in ("Ada", "Bo", "Cy")]
    bot, late = await world.agent("Bot"), await world.agent("Late")
    room = await world.room(people[0], bot, title="first")
    life = Life(world, room, [*people, bot, late], [bot])
    for kind, which in steps:
        await life.does(kind, which)
    log = await world.log(room)
    assert sorted(life.then) == [event.seq for event in log]
    for event in log:
        await expect(world, room.id, event, life.then[event.seq])


async def expect(world: World, room: RoomId, event: Event, wanted: Then) -> None:
    found = await world.store.read(past.then, room, event.seq)
    assert {who.id: role for who, role in found.members} == wanted.members, event
    assert (found.title, found.more, found.event.seq) == (wanted.title, False, event.seq)
    assert (found.by and found.by.id, found.event.message) == (event.actor, None)
    texts: dict[int, str | None] = {}
    before: int | None = None
    while True:
        page = await world.store.read(past.page, room, event.seq, before=before, limit=2)
        assert [one.seq for one in page.messages] == sorted(one.seq for one in page.messages)
        assert all(one.text == "" for one in page.messages if one.deleted_ms is not None)
        texts |= {one.seq: one.text if one.deleted_ms is None else None for one in page.messages}
        if page.before is None:
            break
        before = page.before
    assert texts == wanted.texts, event


@settings(max_examples=25)
@given(st.lists(st.tuples(st.integers(0, KINDS - 1), st.integers(0, 9)), max_size=25))
def test_a_room_was_what_the_replay_of_any_life_says(steps: list[tuple[int, int]]) -> None:
    async def life() -> None:
        async with opened("sqlite://", lanes=InlineLanes()) as world:
            await lived(world, steps)

    asyncio.run(life())


async def test_both_engines_say_of_a_long_life_what_the_replay_says(world: World) -> None:
    chance = Random(14)
    await lived(world, [(chance.randrange(KINDS), chance.randrange(10)) for _ in range(60)])


async def test_a_message_is_told_as_deleted_at_the_time_of_its_deletion(world: World) -> None:
    ada = await world.person()
    room = await world.room(ada)
    message = (await world.say(room, ada, "secret", meta={"mentions": []})).message
    for deleted in (True, False, True):
        await world.store.write(SetMessageDeleted(message=message.id, by=ada.id, deleted=deleted))
    times = [event.at_ms for event in await world.log(room)]
    for at, deleted_ms in ((2, None), (3, times[2]), (4, None), (5, times[4])):
        page = await world.store.read(past.page, room.id, at, before=None, limit=5)
        (there,) = page.messages
        assert (there.deleted_ms, there.text) == (deleted_ms, "" if deleted_ms else "secret")
    (now,) = (await world.store.read(past.page, room.id, 5, before=None, limit=5)).messages
    assert [now] == await world.said(room)


async def test_who_came_into_everyones_room_was_there_since_then() -> None:
    clock = SetClock()
    async with opened("sqlite://", clock=clock, lanes=InlineLanes()) as world:
        ada, bo, bot = await world.person("Ada"), await world.person("Bo"), await world.agent()
        room = await world.room(None, bot, visibility=Visibility.OPEN)
        await world.store.write(MarkRead(room=room.id, actor=ada.id, seq=0))
        await world.say(room, bot)
        clock.later_ms += 1
        await world.store.write(MarkRead(room=room.id, actor=bo.id, seq=0))
        found = await world.store.read(past.then, room.id, 2)
        assert {who.id for who, _ in found.members} == {ada.id, bot.id}


async def test_of_many_members_the_first_are_told_and_that_there_are_more(world: World) -> None:
    ada = await world.person("Ada")
    room = await world.room(ada, title="many")
    people = await asyncio.gather(*[world.person(f"P{n:03}") for n in range(past.MEMBERS_MAX)])
    adding = [
        AddMember(room=room.id, by=ada.id, actor=one.id, role=MemberRole.MEMBER) for one in people
    ]
    await asyncio.gather(*map(world.store.write, adding))
    found = await world.store.read(past.then, room.id, past.MEMBERS_MAX + 1)
    assert (len(found.members), found.more) == (past.MEMBERS_MAX, True)
    assert found.members[0] == (ada, MemberRole.OWNER)
    full = await world.store.read(past.then, room.id, past.MEMBERS_MAX)
    assert (len(full.members), full.more) == (past.MEMBERS_MAX, True)
