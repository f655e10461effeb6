"""Branches on both engines: what lies on each path is what a naive model says, whatever is said, deleted and chosen."""

import asyncio
from random import Random

import pytest
from hypothesis import given, settings, strategies as st
from msgspec import Struct, field
from tests.store.archives import untold
from tests.store.world import World, opened

from palaver.errors import Code, Refused
from palaver.model import Actor, EventType, MemberRole, Room
from palaver.store.admin.verify import verify
from palaver.store.engine.executors import InlineLanes
from palaver.store.read import branches, exchanges, messages, rooms
from palaver.store.write.branches import LookAt, NameBranch, SetBranchDeleted, SetMainBranch
from palaver.store.write.messages import SetMessageDeleted
from palaver.store.write.rooms import AddMember

KINDS = 8


class Model(Struct):
    """The texts of each branch's path by their seqs, in order; of which branch each is; and what is deleted."""

    paths: dict[int, list[int]] = field(default_factory=lambda: {0: []})
    texts: dict[int, str] = field(default_factory=dict[int, str])
    of: dict[int, int] = field(default_factory=dict[int, int])
    gone: set[int] = field(default_factory=set[int])
    parents: dict[int, int] = field(default_factory=dict[int, int])
    deleted: set[int] = field(default_factory=set[int])
    main: int = 0

    def place(self, after: int) -> int | None:
        """The branch of what follows a seq; None for a new one."""
        branch = self.of.get(after, 0)
        path = [
            seq for seq in self.paths[branch] if self.of[seq] == branch and seq not in self.gone
        ]
        return branch if not path or path[-1] <= after else None

    def with_grown(self, branch: int) -> set[int]:
        found = {branch}
        while more := {one for one, parent in self.parents.items() if parent in found} - found:
            found |= more
        return found

    def said(self, branch: int) -> list[str]:
        return [self.texts[seq] for seq in self.paths[branch]]


class Life:
    """A room and its model."""

    def __init__(self, world: World, room: Room, ada: Actor) -> None:
        self.world, self.room, self.ada, self.model = world, room, ada, Model()

    async def does(self, kind: int, which: int) -> None:
        """One thing, or its refusal."""
        model, known = self.model, sorted(self.model.paths)
        branch = known[which % len(known)]
        seqs = [0, *sorted(model.texts)]
        if kind < 2:
            await self.says(model.main)
        elif kind < 5:
            await self.follows(seqs[which % len(seqs)])
        elif kind == 5:
            await self.says(branch, branch=branch)
        elif kind == 6:
            await self.changes(branch, which)
        elif len(seqs) > 1:
            await self.takes_back(seqs[1 + which % (len(seqs) - 1)])

    async def says(self, place: int, **where: int) -> None:
        text = f"text {len(self.model.texts)}"
        if place in self.model.deleted:
            assert await refused(self.world, self.room, self.ada, **where) is Code.BRANCH_NOT_FOUND
            return
        message = (await self.world.say(self.room, self.ada, text, **where)).message
        assert message.branch == place
        self.model.texts[message.seq], self.model.of[message.seq] = text, place
        self.model.paths[place].append(message.seq)

    async def follows(self, after: int) -> None:
        model = self.model
        there = model.of.get(after, 0)
        branch = there if there in model.deleted else model.place(after)
        if branch is None:
            branch = max(model.paths) + 1
            path = model.paths[there]
            model.paths[branch] = path[: path.index(after) + 1] if after else []
            model.parents[branch] = there
        await self.says(branch, after=after)

    async def changes(self, branch: int, which: int) -> None:
        model, by = self.model, self.ada.id
        deleted = branch not in model.deleted
        if which % 3 == 0 and deleted:
            await self.world.store.write(SetMainBranch(room=self.room.id, by=by, branch=branch))
            model.main = branch
        elif branch:
            command = SetBranchDeleted(room=self.room.id, by=by, branch=branch, deleted=deleted)
            grown = model.with_grown(branch)
            if (model.main in grown) if deleted else (model.parents[branch] in model.deleted):
                with pytest.raises(Refused):
                    await self.world.store.write(command)
                return
            await self.world.store.write(command)
            listed = await self.world.store.read(branches.listing, self.room.id)
            now = {one.branch for one in listed if one.deleted_ms is not None}
            assert now - model.deleted <= grown
            assert (branch in now) is deleted
            assert not deleted or grown <= now
            model.deleted = now

    async def takes_back(self, seq: int) -> None:
        gone = seq not in self.model.gone
        path = await self.world.store.read(branches.of, self.room.id, self.model.of[seq])
        page = await self.world.store.read(messages.page, self.room.id, path, around=seq, limit=1)
        (message,) = page.messages
        await self.world.store.write(
            SetMessageDeleted(message=message.id, by=self.ada.id, deleted=gone)
        )
        (self.model.gone.add if gone else self.model.gone.discard)(seq)

    async def expect(self) -> None:
        """That every path is what the model says, page by page, from both ends."""
        store, room, model = self.world.store, self.room.id, self.model
        for branch, path in model.paths.items():
            way = await store.read(branches.of, room, branch)
            assert way.branch == branch
            older: list[int] = []
            before: int | None = None
            while True:
                page = await store.read(messages.page, room, way, before=before, limit=2)
                older = [one.seq for one in page.messages] + older
                if (before := page.before) is None:
                    break
            newer: list[int] = []
            after: int | None = 0
            while after is not None:
                page = await store.read(messages.page, room, way, after=after, limit=2)
                newer += [one.seq for one in page.messages]
                assert (page.before is None) is (not newer[: -len(page.messages) or None])
                after = page.after
            assert older == newer == path
            assert all(way.holds(model.of[seq], seq) is (seq in path) for seq in model.texts)
            told = await store.read(
                messages.context, room, branch=branch, upto_seq=10**9, limit=1_000
            )
            assert [one.seq for one in told] == [seq for seq in path if seq not in model.gone]
        there = [seq for seq in model.paths[model.main] if seq not in model.gone]
        stands = await store.read(exchanges.stands, room, 10**9)
        assert [one.seq for one in stands] == there
        spoken = await store.read(messages.spoken, room, limit=3, offset=1)
        assert [one.seq for one in spoken] == there[1:4]


def adding(room: Room, owner: Actor, who: Actor) -> AddMember:
    return AddMember(room=room.id, by=owner.id, actor=who.id, role=MemberRole.MEMBER)


async def refused(world: World, room: Room, who: Actor, **where: int) -> Code:
    with pytest.raises(Refused) as problem:
        await world.say(room, who, "x", **where)
    return problem.value.code


async def lived(world: World, steps: list[tuple[int, int]]) -> Life:
    ada = await world.person()
    life = Life(world, await world.room(ada), ada)
    for kind, which in steps:
        await life.does(kind, which)
    await life.expect()
    return life


@settings(max_examples=25)
@given(st.lists(st.tuples(st.integers(0, KINDS - 1), st.integers(0, 9)), max_size=25))
def test_every_path_of_any_life_is_what_the_model_says(steps: list[tuple[int, int]]) -> None:
    async def life() -> None:
        async with opened("sqlite://", lanes=InlineLanes()) as world:
            await lived(world, steps)

    asyncio.run(life())


async def test_both_engines_keep_a_long_life_and_its_chain_is_whole(database_url: str) -> None:
    chance = Random(15)
    steps = [(chance.randrange(KINDS), chance.randrange(100)) for _ in range(120)]
    async with opened(database_url) as world:
        life = await lived(world, steps)
    assert len(life.model.paths) > 10
    async with opened(database_url) as world:
        life.world = world
        await life.expect()
    verdict = await asyncio.to_thread(verify, database_url, untold)
    assert verdict.faults == []


async def test_two_who_write_at_once_to_no_place_never_part(world: World) -> None:
    ada = await world.person()
    room = await world.room(ada)
    first = (await world.say(room, ada, "first")).message
    await asyncio.gather(*[world.say(room, ada, str(number)) for number in range(20)])
    forks = [world.say(room, ada, f"after {number}", after=first.seq) for number in range(5)]
    said = [one.message.branch for one in await asyncio.gather(*forks)]
    assert sorted(said) == [1, 2, 3, 4, 5]
    assert len(await world.said(room)) == 21


async def test_what_follows_the_newest_goes_on_with_its_branch_also_in_one_commit(
    world: World,
) -> None:
    ada = await world.person()
    room = await world.room(ada)
    seq = (await world.say(room, ada, "first")).message.seq
    pair = await asyncio.gather(
        world.say(room, ada, "second", after=seq), world.say(room, ada, "other", after=seq)
    )
    assert sorted(one.message.branch for one in pair) == [0, 1]


async def test_a_place_that_is_not_there_is_refused_and_nothing_is_stored(world: World) -> None:
    ada = await world.person()
    room, other = await world.room(ada), await world.room(ada)
    said = (await world.say(other, ada, "elsewhere")).message
    for after in (1, said.seq, 2**40):
        assert await refused(world, room, ada, after=after) is Code.MESSAGE_NOT_FOUND
    for branch in (1, 2**31 - 1, 2**40):
        assert await refused(world, room, ada, branch=branch) is Code.BRANCH_NOT_FOUND
    assert await world.said(room) == []
    assert await world.happened(room) == [EventType.ROOM_CREATED]


async def test_each_looks_at_a_branch_of_their_own_and_what_is_unread_lies_on_it(
    world: World,
) -> None:
    ada, bo = await world.person(), await world.person("Bo")
    room = await world.room(ada)
    await world.store.write(adding(room, ada, bo))
    first = (await world.say(room, ada, "first")).message
    await world.say(room, ada, "second")
    await world.say(room, ada, "instead", after=first.seq)
    for seen, looks, unread in ((ada, 1, 0), (bo, 0, 2)):
        found = await world.store.read(rooms.get, room.id, seen.id)
        assert found is not None
        assert (found.branch, found.main_branch, found.branches) == (looks, 0, 1)
        assert found.unread == unread
    await world.say(room, ada, "more of it", branch=1)
    await world.store.write(LookAt(room=room.id, actor=bo.id, branch=1))
    found = await world.store.read(rooms.get, room.id, bo.id)
    assert found is not None
    assert (found.branch, found.unread) == (1, 3)
    path = await world.store.read(branches.looked_at, room.id, bo.id)
    page = await world.store.read(messages.page, room.id, path, limit=5)
    assert [one.text for one in page.messages] == ["first", "instead", "more of it"]
    await world.store.write(SetBranchDeleted(room=room.id, by=ada.id, branch=1, deleted=True))
    assert (await world.store.read(branches.looked_at, room.id, bo.id)).branch == 0


async def test_what_is_said_in_another_branch_hides_nothing_unread(world: World) -> None:
    ada, bo = await world.person(), await world.person("Bo")
    room = await world.room(ada)
    await world.store.write(adding(room, ada, bo))
    first = (await world.say(room, ada, "first")).message
    await world.say(room, ada, "second")
    await world.say(room, ada, "instead", after=first.seq)
    await world.store.write(LookAt(room=room.id, actor=bo.id, branch=1))
    await asyncio.gather(*[world.say(room, ada) for _ in range(120)])
    await world.say(room, ada, "more of it", branch=1)
    found = await world.store.read(rooms.get, room.id, bo.id)
    assert found is not None
    assert found.unread == 3


async def test_a_branch_is_named_by_who_made_it_or_who_leads_the_room(world: World) -> None:
    ada, bo, cy = [await world.person(name) for name in ("Ada", "Bo", "Cy")]
    room = await world.room(ada)
    for one in (bo, cy):
        await world.store.write(adding(room, ada, one))
    first = (await world.say(room, ada, "first")).message
    await world.say(room, ada, "second")
    await world.say(room, bo, "instead", after=first.seq)

    async def named(by: Actor, branch: int, name: str | None) -> Code | str | None:
        command = NameBranch(room=room.id, by=by.id, branch=branch, name=name)
        try:
            return (await world.store.write(command)).name
        except Refused as problem:
            return problem.code

    assert await named(bo, 1, "Bo's way") == "Bo's way"
    assert await named(ada, 1, "ours") == "ours"
    assert await named(cy, 1, "mine") is Code.FORBIDDEN
    assert await named(ada, 0, "first") is Code.BRANCH_NOT_FOUND
    assert await named(ada, 1, None) is None
    assert (await world.happened(room)).count(EventType.BRANCH_NAMED) == 3
