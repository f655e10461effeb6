"""Who leaves for good is nobody any more, and everybody else stays as they were; on both engines."""

import asyncio
import itertools
from hashlib import sha256
from pathlib import Path
from typing import Any, cast

import pytest
from tests.store.archives import asked, untold
from tests.store.world import World, opened
from tests.store.write.people.test_claims import account_of, add, claim, guest_of, remove, role_of

from palaver.errors import Code, Refused
from palaver.model import (
    AUDIT,
    AccountStatus,
    Actor,
    ActorId,
    ActorKind,
    ApiKey,
    EventType,
    KeyId,
    MemberRole,
    PromptId,
    Room,
    Scope,
    ServerRole,
    Visibility,
)
from palaver.store.admin.verify import verify
from palaver.store.read import accounts, actors, events
from palaver.store.schema import metadata
from palaver.store.write.actors import AddActor, RenameActor
from palaver.store.write.command import Command
from palaver.store.write.people.accounts import (
    AddAccount,
    Beginning,
    SetServerRole,
    SetStatus,
    SignIn,
)
from palaver.store.write.people.credentials import AddKey, SessionsUsed, SessionUse
from palaver.store.write.people.identities import LinkIdentity
from palaver.store.write.people.invitations import AddInvitation
from palaver.store.write.people.leaving import Leave, Left
from palaver.store.write.people.profiles import SetAvatar, SetProfile
from palaver.store.write.prompts import SavePrompt
from palaver.store.write.rooms import AddMember

OWNER, MODERATOR, MEMBER, READER = MemberRole
PASSWORD = b"a hash"


async def leave(world: World, actor: Actor, *, by: Actor | None = None) -> int:
    """Takes somebody out; the number of parts."""
    parts, leaving = 1, Leave(actor=actor.id, by=None if by is None else by.id)
    while not await world.store.write(leaving):
        parts += 1
    await world.store.write(Left(actor=actor.id))
    return parts


async def refused_by(world: World, command: Command[Any]) -> Code:
    with pytest.raises(Refused) as caught:
        await world.store.write(command)
    return caught.value.code


async def planted(world: World, word: str) -> tuple[Actor, Room]:
    """Somebody of whom all is known that can be, everywhere by this word."""
    store, token = world.store, sha256(word.encode()).digest()
    guest = await guest_of(world, f"{word} as guest")
    me = await store.write(AddActor(actor=await person_of(world, word), handle=f"{word}-inner"))
    adding = AddAccount(actor=me, handle=word, skeleton=word, name=f"{word} L.", password=PASSWORD)
    await store.write(adding)
    await claim(world, me, guest)
    begun = Beginning(token_sha256=token, lasts_ms=10**9, idle_ms=10**9, elsewhere=word)
    await store.write(SignIn(actor=me.id, password=PASSWORD, session=begun))
    use = SessionUse(world.clock.now_ms() + 1, f"{word} agent", f"{word} address")
    await store.write(SessionsUsed(used={token: use}))
    await store.write(SetProfile(actor=me.id, email=f"{word}@example.org", preferences={"x": word}))
    await store.write(SetAvatar(actor=me.id, media_type="image/png", data=word.encode()))
    scopes = frozenset({Scope.ALL})
    key = ApiKey(KeyId(f"k_{world.clock.new_id()}"), f"{word} key", me, scopes, 0)
    await store.write(AddKey(key=key, handle=None, token_sha256=token))
    prompt = PromptId(f"p_{world.clock.new_id()}")
    await store.write(SavePrompt(id=prompt, by=me.id, name=f"{word} prompt", text=word))
    await store.write(
        LinkIdentity(actor=me, issuer=f"https://{word}", subject=word.encode(), at_ms=1)
    )
    room = await world.room(me, title="a room")
    inviting = AddInvitation(
        id=f"i_{world.clock.new_id()}",
        into=(room.id,),
        by=me.id,
        role=MEMBER,
        token_sha256=token,
        lasts_ms=10**9,
        uses=None,
    )
    await store.write(inviting)
    await world.say(room, me, "a word that stays")
    return me, room


async def person_of(world: World, name: str) -> Actor:
    return Actor(id=ActorId(f"u_{world.clock.new_id()}"), kind=ActorKind.PERSON, name=name)


Dump = dict[str, list[tuple[Any, ...]]]


def dump(url: str) -> Dump:
    return {
        name: [tuple(map(plain, row)) for row in asked(url, f"SELECT * FROM {name}")]
        for name in metadata.tables
    }


def plain(value: object) -> object:
    return bytes(cast("memoryview[int]", value)) if isinstance(value, memoryview) else value


def of(tables: Dump, word: str) -> dict[str, list[tuple[Any, ...]]]:
    """The rows that hold this word."""
    found = {name: [row for row in rows if word in str(row)] for name, rows in tables.items()}
    return {name: rows for name, rows in found.items() if rows}


def test_nothing_is_known_of_who_has_left_and_all_else_is_as_it_was(
    database_url: str, tmp_path: Path
) -> None:
    async def prepare() -> tuple[Actor, Room]:
        async with opened(database_url, data_dir=tmp_path) as world:
            ada, room = await planted(world, "planted-ada")
            bo, shared = await planted(world, "planted-bo")
            await add(world, room, ada, bo)
            await add(world, shared, bo, ada)
            await world.say(shared, ada, "in the room of somebody else")
            return ada, shared

    async def go() -> None:
        async with opened(database_url, data_dir=tmp_path) as world:
            assert await leave(world, ada) == 1
            assert await leave(world, ada) == 1, "once more changes nothing"
            late = SessionUse(world.clock.now_ms() + 9, "planted-ada agent", "planted-ada address")
            used = {sha256(b"planted-ada").digest(): late}
            await world.store.write(SessionsUsed(used=used))  # noted a minute behind
            told = await world.store.read(events.since, AUDIT, 0, 1_000)
            status = [one for one in told if one.type is EventType.ACCOUNT_STATUS]
            [data] = [dict(one.data) for one in status]
            assert (data["of"], data["status"], len(data["keys"])) == (ada.id, "deleted", 1)
            assert await world.store.read(accounts.by_handle, "planted-ada", "planted-ada") is None
            [*_, left] = await world.log(shared)
            assert (left.type, left.actor) == (EventType.MEMBER_LEFT, ada.id)
            assert left.data == {"actor": ada.id, "deleted": True}
            said = (await world.said(shared))[-1]
            assert (said.author, said.name) == (ada.id, "")
            assert said.text == "in the room of somebody else"

    ada, shared = asyncio.run(prepare())
    before = dump(database_url)
    places = {"actors", "blobs", "sessions", "keys", "identities", "prompts"}
    assert set(of(before, "planted-ada")) == places, "what was planted is where it can be"
    asyncio.run(go())
    after = dump(database_url)
    assert of(after, "planted-ada") == {}
    assert of(after, "planted-bo") == of(before, "planted-bo")
    assert after["messages"] == before["messages"]
    assert len(after["tickets"]) == 1, "the invitation of who stays"
    assert set(before["events"]) <= set(after["events"])
    assert verify(database_url, untold).faults == []


@pytest.mark.parametrize(
    ("others", "role", "heir"),
    [
        ([(MEMBER, "cy"), (MODERATOR, "bo"), (MODERATOR, "di")], OWNER, "bo"),
        ([(READER, "bo"), (MEMBER, "cy"), (MEMBER, "di")], OWNER, "cy"),
        ([(OWNER, "bo"), (MODERATOR, "cy")], OWNER, None),
        ([(READER, "bo")], OWNER, None),
        ([(MEMBER, "out"), (MEMBER, "bo")], OWNER, "bo"),
        ([(MODERATOR, "bo")], MEMBER, None),
    ],
)
async def test_a_room_goes_to_who_is_there_longest_with_the_most_to_say(
    world: World, others: list[tuple[MemberRole, str]], role: MemberRole, heir: str | None
) -> None:
    keeper, ada = await world.person("Keeper"), await world.person("Ada")
    room = await world.room(ada if role is OWNER else keeper, await world.agent())
    if role is not OWNER:
        await add(world, room, keeper, ada, role)
    people: dict[str, Actor] = {}
    for its, name in others:
        people[name] = await account_of(world, name)
        await add(world, room, ada if role is OWNER else keeper, people[name], its)
        if name == "out":
            await world.store.write(SetStatus(actor=people[name].id, status=AccountStatus.DISABLED))
    before = len(await world.log(room))
    await leave(world, ada)
    told = [(one.type, dict(one.data)) for one in (await world.log(room))[before:]]
    expected: list[tuple[EventType, dict[str, Any]]] = [
        (EventType.MEMBER_LEFT, {"actor": ada.id, "deleted": True})
    ]
    if heir is not None:
        was = next(its for its, name in others if name == heir)
        data = {"actor": people[heir].id, "role": "owner", "before": was.value}
        expected.append((EventType.MEMBER_ROLE, data))
        assert await role_of(world, room, people[heir]) is OWNER
    assert told == expected
    assert await role_of(world, room, ada) is None


async def test_a_room_of_nobody_else_is_deleted_and_one_of_everyone_stays(world: World) -> None:
    ada, bo = await world.person("Ada"), await world.person("Bo")
    alone = await world.room(ada, await world.agent())
    everyones = await world.room(ada, visibility=Visibility.OPEN)
    removed = await world.room(bo)
    await add(world, removed, bo, ada)
    await remove(world, removed, bo, ada)
    before = await world.happened(removed)
    await leave(world, ada)
    assert (await world.happened(alone))[-2:] == [EventType.MEMBER_LEFT, EventType.ROOM_DELETED]
    assert (await world.happened(everyones))[-1] is EventType.MEMBER_LEFT
    assert await world.happened(removed) == before, "they were in it no more"


async def test_many_rooms_are_left_some_in_each_commit_and_whoever_comes_next_goes_on(
    world: World,
) -> None:
    guest, bo = await guest_of(world), await world.person("Bo")
    made = await asyncio.gather(*(world.room(bo) for _ in range(101)))
    await asyncio.gather(*(add(world, room, bo, guest) for room in made))
    assert not await world.store.write(Leave(actor=guest.id, by=guest.id))
    assert await world.store.read(accounts.unfinished) == [guest.id]
    with pytest.raises(Refused) as caught:
        await world.say(made[0], guest)
    assert caught.value.code in {Code.SESSION_ENDED, Code.ROOM_NOT_FOUND}, "out of all at once"
    assert await leave(world, guest) == 1
    assert await world.store.read(accounts.unfinished) == []
    for room in made:
        happened = await world.happened(room)
        assert happened.count(EventType.MEMBER_LEFT) == 1


async def test_who_may_not_is_refused_and_nothing_is_written(world: World) -> None:
    ada, bo = await account_of(world, "ada"), await account_of(world, "bob")
    cy = await world.store.write(
        AddAccount(actor=await world.person("Cy"), handle="cy", skeleton="cy", password=PASSWORD)
    )
    for one, role in ((ada, ServerRole.OWNER), (bo, ServerRole.ADMIN)):
        await world.store.write(SetServerRole(actor=one.id, role=role))
    before = len(await world.store.read(events.since, AUDIT, 0, 1_000))
    for command, code in (
        (Leave(actor=ada.id, by=ada.id), Code.LAST_OWNER),
        (Leave(actor=ada.id), Code.LAST_OWNER),
        (Leave(actor=ada.id, by=bo.id), Code.FORBIDDEN),
        (Leave(actor=bo.id, by=cy.id), Code.FORBIDDEN),
        (Leave(actor=cy.id, by=cy.id), Code.CREDENTIALS_WRONG),
        (Leave(actor=cy.id, by=cy.id, password=b"another"), Code.CREDENTIALS_WRONG),
        (Leave(actor=ActorId("u_" + "0" * 32)), Code.UNAUTHENTICATED),
    ):
        assert await refused_by(world, command) is code
    assert len(await world.store.read(events.since, AUDIT, 0, 1_000)) == before
    assert await leave(world, cy, by=bo) == 1
    assert await leave(world, bo, by=ada) == 1
    begun = Beginning(token_sha256=b"late", lasts_ms=10**9, idle_ms=10**9)
    late = SignIn(actor=cy.id, password=PASSWORD, session=begun)
    assert await refused_by(world, late) is Code.CREDENTIALS_WRONG, "proven before, and gone"
    enabling = SetStatus(actor=cy.id, status=AccountStatus.ACTIVE)
    assert await refused_by(world, enabling) is Code.NOT_FOUND, "for good"
    room, gone = await world.room(ada), ActorId(cy.id)
    key = ApiKey(KeyId(f"k_{world.clock.new_id()}"), "a key", cy, frozenset({Scope.ALL}), 0)
    for command, code in (
        (AddMember(room=room.id, by=ada.id, actor=gone, role=MEMBER), Code.NOT_FOUND),
        (RenameActor(actor=gone, name="Cy again"), Code.NOT_FOUND),
        (SetProfile(actor=gone, email="cy@example.org", preferences={}), Code.UNAUTHENTICATED),
        (SetAvatar(actor=gone, media_type="image/png", data=b"x"), Code.UNAUTHENTICATED),
        (AddKey(key=key, handle=None, token_sha256=b"x"), Code.NOT_FOUND),
    ):
        assert await refused_by(world, command) is code, "whatever was on its way"


async def test_what_another_process_writes_while_somebody_leaves_names_them_no_more(
    postgres_url: str,
) -> None:
    async with opened(postgres_url) as world, opened(postgres_url) as other:
        for number in range(3):
            ada = await account_of(world, f"ada-{number}")
            names = itertools.count()
            async with asyncio.TaskGroup() as tasks:
                leaving = tasks.create_task(other.store.write(Leave(actor=ada.id)))
                while not leaving.done():
                    await asyncio.gather(
                        world.store.write(RenameActor(actor=ada.id, name=f"kept {next(names)}")),
                        world.store.write(SetProfile(actor=ada.id, email="kept@x", preferences={})),
                        return_exceptions=True,
                    )
            found = await other.store.read(actors.get, ada.id)
            assert found is not None
            assert found.name == ""
            assert (await other.store.read(actors.profile, ada.id)).email is None
