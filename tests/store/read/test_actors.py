"""People and agents, their handles, names and sessions."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from hashlib import sha256

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from tests.store.world import World, opened

from palaver.errors import Code, Refused
from palaver.model import (
    Actor,
    ActorId,
    ActorKind,
    ApiKey,
    EventType,
    KeyId,
    MemberRole,
    MessageId,
    Scope,
    TurnId,
    Visibility,
)
from palaver.store.engine.base import parsed
from palaver.store.read import actors
from palaver.store.write import actors as apply
from palaver.store.write.actors import AddActor, RenameActor, SweepGuests
from palaver.store.write.messages import Added
from palaver.store.write.people.credentials import AddKey
from palaver.store.write.rooms import AddMember, MarkRead
from palaver.store.write.turns import OpenTurn


def newcomer(world: World, name: str, kind: ActorKind = ActorKind.PERSON) -> Actor:
    prefix = actors.PREFIX[kind]
    return Actor(id=ActorId(prefix + world.clock.new_id()), kind=kind, name=name, guest=True)


async def by_token(world: World, token: bytes) -> Actor | None:
    return await world.store.read(actors.by_token, token, world.clock.now_ms(), 3_600_000)


async def test_a_person_is_found_by_id_handle_and_token(world: World) -> None:
    ada = newcomer(world, "Ada \0")
    added = await world.store.write(AddActor(actor=ada, handle="ada", token_sha256=b"1" * 32))
    assert added == ada
    assert await world.store.read(actors.get, ada.id) == ada
    assert await world.store.read(actors.by_handle, "ada") == ada
    assert await by_token(world, b"1" * 32) == ada
    assert await by_token(world, b"2" * 32) is None
    assert await world.store.read(actors.by_handle, "ADA") is None
    as_agent = ActorId("a_" + ada.id[2:])
    assert await world.store.read(actors.get, as_agent) is None


async def test_a_handle_stays_with_the_first_and_takes_no_further_token(world: World) -> None:
    ada, eve = newcomer(world, "Ada"), newcomer(world, "Eve")
    await world.store.write(AddActor(actor=ada, handle="ada", token_sha256=b"1" * 32))
    there = await world.store.write(AddActor(actor=eve, handle="ada", token_sha256=b"2" * 32))
    assert there == ada
    assert await by_token(world, b"2" * 32) is None


async def test_a_new_name_is_told_once_in_each_of_the_newest_rooms_of_a_member(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apply, "SHARED_MAX", 2)
    ada = await world.person("Ada")
    shared = [await world.room(ada) for _ in range(3)]
    for name in ("Adele", "Adele"):
        await world.store.write(RenameActor(actor=ada.id, name=name))
    told = [
        [
            (event.data, event.name)
            for event in await world.log(room)
            if event.type is EventType.MEMBER_RENAMED
        ]
        for room in shared
    ]
    assert sorted(map(len, told)) == [0, 1, 1]
    assert [({"actor": ada.id}, "Adele")] in told


async def test_renaming(world: World) -> None:
    ada = await world.person("Ada")
    renamed = await world.store.write(RenameActor(actor=ada.id, name="Ada L."))
    assert renamed.name == "Ada L."
    assert await world.store.read(actors.get, ada.id) == renamed
    with pytest.raises(Refused) as caught:
        await world.store.write(RenameActor(actor=ActorId("u_" + "0" * 32), name="x"))
    assert caught.value.code is Code.NOT_FOUND


async def guest(world: World, name: str) -> Actor:
    """A guest of whom nothing is kept yet."""
    made = newcomer(world, name)
    token = sha256(made.id.encode()).digest()
    adding = AddActor(actor=made, handle=made.id, token_sha256=token, unused=True)
    return await world.store.write(adding)


async def swept(world: World, count: int = 200) -> tuple[int, int]:
    before_ms = world.clock.now_ms() + 1
    return await world.store.write(SweepGuests(before_ms=before_ms, count=count))


async def known(world: World, *who: Actor) -> list[bool]:
    return [await world.store.read(actors.get, one.id) == one for one in who]


async def test_guests_are_deleted_who_have_left_nothing_and_nobody_else(world: World) -> None:
    gone = [await guest(world, f"Nobody {number}") for number in range(3)]
    ada, asker, bo, cy, di, ed = [await guest(world, name) for name in "ABCDEF"]
    owner, bot, api = await world.person(), await world.agent(), newcomer(world, "API")
    await world.store.write(AddActor(actor=api, handle="api-1"))
    lobby = await world.room(None, visibility=Visibility.OPEN)
    mine = await world.room(owner)
    await world.say(lobby, ada)
    opening = OpenTurn(
        turn=TurnId(f"t_{world.clock.new_id()}"),
        message=MessageId(f"m_{world.clock.new_id()}"),
        room=(await world.room(asker, bot)).id,
        agent=bot.id,
    )
    await world.store.write(opening)
    await world.store.write(MarkRead(room=lobby.id, actor=bo.id, seq=1))
    await world.store.write(
        AddMember(room=mine.id, by=owner.id, actor=cy.id, role=MemberRole.READER)
    )
    di = await world.store.write(RenameActor(actor=di.id, name="Di"))
    key = ApiKey(
        id=KeyId(f"k_{world.clock.new_id()}"),
        name="k",
        actor=ed,
        scopes=frozenset({Scope.ALL}),
        created_ms=0,
    )
    await world.store.write(AddKey(key=key, handle=None, token_sha256=b"k" * 32))
    with pytest.raises(Refused):
        await world.say(mine, gone[0])
    assert await world.store.read(actors.any_unused, world.clock.now_ms() + 1)
    early = SweepGuests(before_ms=world.clock.now_ms() - 3_600_000, count=200)
    assert await world.store.write(early) == (0, 0)
    assert await swept(world, 2) == (2, 2)
    assert await swept(world) == (1, 4), "who was once found to have left something is marked"
    assert await swept(world) == (0, 0)
    assert await known(world, *gone) == [False] * 3
    assert all(await known(world, ada, asker, bo, cy, di, ed, owner, bot, api))
    token = sha256(gone[0].id.encode()).digest()
    assert await by_token(world, token) is None
    assert not await world.store.read(actors.any_unused, world.clock.now_ms() + 1)


async def test_what_a_deleted_guest_says_is_refused_also_in_the_same_commit(
    sqlite_world: World,
) -> None:
    world = sqlite_world
    ada, bo = await guest(world, "Ada"), await guest(world, "Bo")
    lobby = await world.room(None, visibility=Visibility.OPEN)
    first, looked, late = await asyncio.gather(
        world.say(lobby, ada), swept(world), world.say(lobby, bo), return_exceptions=True
    )
    assert isinstance(first, Added)
    assert looked == (1, 1)
    assert isinstance(late, Refused)
    assert late.code is Code.UNAUTHENTICATED
    assert await known(world, ada, bo) == [True, False]


async def test_a_guest_who_is_just_being_deleted_elsewhere_leaves_no_message(
    postgres_url: str,
) -> None:
    async with opened(postgres_url) as world, elsewhere(postgres_url) as other:
        ada = await guest(world, "Ada")
        lobby = await world.room(None, visibility=Visibility.OPEN)
        await other.execute(text("DELETE FROM sessions"))
        await other.execute(text("DELETE FROM actors WHERE unused"))
        said, _ = await asyncio.gather(
            world.say(lobby, ada), committed_late(postgres_url, other), return_exceptions=True
        )
        assert isinstance(said, Refused)
        assert said.code is Code.UNAUTHENTICATED
        assert await world.said(lobby) == []


READING = """
INSERT INTO members (room_key, actor_key, role, read_seq, joined_ms) SELECT r.key, a.key, 'member', 0, 0
FROM rooms r, actors a WHERE a.unused
"""


@pytest.mark.parametrize(
    "writing",
    [
        "UPDATE actors SET unused = NULL WHERE unused",
        READING,
    ],
)
async def test_a_guest_who_is_just_writing_elsewhere_is_passed_by(
    postgres_url: str, writing: str
) -> None:
    async with opened(postgres_url) as world, elsewhere(postgres_url) as other:
        ada = await guest(world, "Ada")
        await world.room(None, visibility=Visibility.OPEN)
        await other.execute(text(writing))
        assert await swept(world) == (0, 0)
        await other.commit()
        assert (await swept(world))[0] == 0
        assert await known(world, ada) == [True]


async def committed_late(url: str, other: AsyncConnection) -> None:
    """Commits when somebody waits for what that transaction holds."""
    async with asyncio.timeout(60), elsewhere(url) as looking:
        while not (await looking.execute(text(WAITING))).scalar_one():
            await looking.rollback()
    await other.commit()


WAITING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"


@asynccontextmanager
async def elsewhere(url: str) -> AsyncGenerator[AsyncConnection, None]:
    """What another process does in a transaction."""
    engine = create_async_engine(parsed(url))
    try:
        async with engine.connect() as conn:
            yield conn
    finally:
        await engine.dispose()
