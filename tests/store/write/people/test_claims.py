"""What a guest has comes into an account, whole, by whatever parts; on both engines."""

import asyncio

import pytest
from tests.store.world import World, opened

from palaver.errors import Code, Refused
from palaver.model import (
    AUDIT,
    AccountStatus,
    Actor,
    ActorId,
    ActorKind,
    EventType,
    MemberRole,
    Room,
    Visibility,
)
from palaver.store.read import actors, events, members, rooms
from palaver.store.write.actors import AddActor, SweepGuests
from palaver.store.write.members import LeaveRoom, SetMembership
from palaver.store.write.messages import SetMessageDeleted
from palaver.store.write.people import claims
from palaver.store.write.people.accounts import AddAccount
from palaver.store.write.people.claims import Claim
from palaver.store.write.rooms import AddMember, MarkRead, RemoveMember

OWNER, MODERATOR, MEMBER, READER = MemberRole


async def guest_of(world: World, name: str = "Guest") -> Actor:
    id_ = ActorId(f"u_{world.clock.new_id()}")
    guest = Actor(id=id_, kind=ActorKind.PERSON, name=name, guest=True)
    token = id_[2:].encode()
    adding = AddActor(actor=guest, handle=id_, token_sha256=token, lasts_ms=10**9, unused=True)
    return await world.store.write(adding)


async def account_of(world: World, handle: str = "ada") -> Actor:
    person = await world.person(handle.title())
    return await world.store.write(AddAccount(actor=person, handle=handle, skeleton=handle))


async def claim(world: World, account: Actor, guest: Actor) -> int:
    """Brings everything; the number of parts."""
    parts, claiming = 1, Claim(actor=account.id, guest=guest.id, by=account.id)
    while not await world.store.write(claiming):
        parts += 1
    return parts


async def add(world: World, room: Room, by: Actor, actor: Actor, role: MemberRole = MEMBER) -> bool:
    adding = AddMember(room=room.id, by=by.id, actor=actor.id, role=role)
    return await world.store.write(adding)


async def remove(world: World, room: Room, by: Actor, actor: Actor) -> None:
    await world.store.write(RemoveMember(room=room.id, by=by.id, actor=actor.id))


async def role_of(world: World, room: Room, actor: Actor) -> MemberRole | None:
    found = await world.store.read(rooms.get, room.id, actor.id)
    return None if found is None else found.role


async def refused_by(world: World, command: Claim | AddAccount) -> Code:
    with pytest.raises(Refused) as caught:
        await world.store.write(command)
    return caught.value.code


async def test_rooms_come_along_part_by_part_with_what_was_read_and_each_is_told(
    world: World,
) -> None:
    guest, ada, bo = await guest_of(world), await account_of(world), await world.person("Bo")
    bot = await world.agent()
    made = [await world.room(guest, bot, title=f"{number}") for number in range(claims.PART_MAX)]
    shared = await world.room(bo, title="shared")
    await add(world, shared, bo, guest)
    await world.say(shared, bo)
    await world.store.write(MarkRead(room=shared.id, actor=guest.id, seq=2))
    await world.store.write(SetMembership(room=shared.id, by=guest.id, muted=True))
    said = await world.say(shared, guest, "as a guest")
    first = await world.store.write(Claim(actor=ada.id, guest=guest.id))
    assert not first, "there is more than one part can hold"
    assert {await role_of(world, one, ada) for one in made} == {OWNER}
    assert await role_of(world, shared, guest) is MEMBER, "and nothing is lost in between"
    assert await claim(world, ada, guest) == 1
    after = await world.store.read(rooms.get, shared.id, ada.id)
    assert after is not None
    assert (after.role, after.muted, after.read_seq) == (MEMBER, True, 2)
    assert await role_of(world, shared, guest) is None
    told = (await world.log(shared))[-2:]
    assert [(one.type, one.actor, one.data) for one in told] == [
        (EventType.MEMBER_LEFT, ada.id, {"actor": guest.id, "became": ada.id}),
        (EventType.MEMBER_JOINED, ada.id, {"actor": ada.id, "role": "member"}),
    ]
    [_, mine] = await world.said(shared)
    assert (mine.author, mine.became, mine.name) == (guest.id, ada.id, "Ada")
    [event] = [one for one in await world.log(shared) if one.seq == said.message.seq]
    assert event.message is not None
    assert (event.message.author, event.message.became) == (guest.id, ada.id)
    audited = await world.store.read(events.since, AUDIT, 0, 100)
    assert [one.data for one in audited if one.type is EventType.ACCOUNT_CLAIMED] == [
        {"actor": guest.id, "of": ada.id}
    ]
    again = len(audited)
    assert await claim(world, ada, guest) == 1
    assert len(await world.store.read(events.since, AUDIT, 0, 100)) == again, "once"


async def test_of_two_memberships_the_higher_role_stays(world: World) -> None:
    guest, ada, bo = await guest_of(world), await account_of(world), await world.person("Bo")
    up, down = await world.room(bo), await world.room(bo)
    for room, theirs, own in ((up, MODERATOR, READER), (down, MEMBER, MODERATOR)):
        await add(world, room, bo, guest, theirs)
        await add(world, room, bo, ada, own)
    await world.say(down, bo)
    await world.store.write(MarkRead(room=down.id, actor=guest.id, seq=3))
    await claim(world, ada, guest)
    assert await role_of(world, up, ada) is await role_of(world, down, ada) is MODERATOR
    found = await world.store.read(rooms.get, down.id, ada.id)
    assert found is not None
    assert found.read_seq == 3
    assert (await world.log(up))[-1].data == {
        "actor": ada.id,
        "role": "moderator",
        "before": "reader",
    }
    assert (await world.log(down))[-1].type is EventType.MEMBER_LEFT, "nothing else changed"
    listed, _ = await world.store.read(members.page, up.id, limit=10)
    assert [one.actor.id for one in listed] == [bo.id, ada.id]


async def test_who_only_reads_is_no_member_by_a_guest_whom_a_link_let_in(world: World) -> None:
    guest, ada, bo = await guest_of(world), await account_of(world), await world.person("Bo")
    there, left = await world.room(bo), await world.room(bo)
    for room in (there, left):
        await add(world, room, bo, ada, READER)
        await add(world, room, bo, guest)
    await world.store.write(LeaveRoom(room=left.id, by=ada.id))
    await claim(world, ada, guest)
    assert await role_of(world, there, ada) is await role_of(world, left, ada) is READER
    assert (await world.log(left))[-1].data == {"actor": ada.id, "role": "reader"}


async def test_nobody_comes_back_in_by_becoming_somebody_else(world: World) -> None:
    guest, ada, bo = await guest_of(world), await account_of(world), await world.person("Bo")
    out, both, back, open_one = [
        await world.room(owner, visibility=visibility, door=door)
        for owner, visibility, door in (
            (bo, Visibility.PRIVATE, None),
            (bo, Visibility.PRIVATE, None),
            (guest, Visibility.PRIVATE, None),
            (bo, Visibility.OPEN, "openai"),
        )
    ]
    for actor in (guest, ada):
        await add(world, both, bo, actor)
    await add(world, out, bo, ada)
    await remove(world, out, bo, ada)
    await add(world, out, bo, guest, MODERATOR)  # they came again as somebody else
    await remove(world, both, bo, guest)
    await add(world, back, guest, ada)
    await remove(world, back, guest, ada)
    await remove(world, open_one, bo, guest)
    assert await role_of(world, open_one, ada) is MEMBER, "it is open"
    await claim(world, ada, guest)
    assert await role_of(world, out, ada) is None, "who was removed stays out"
    assert await role_of(world, both, ada) is MEMBER, "who was let in by right stays in"
    assert await role_of(world, back, ada) is OWNER, "an owner lets in whom they like"
    assert await role_of(world, open_one, ada) is None, "who was removed as a guest, too"
    assert (await world.log(open_one))[-1].type is EventType.MEMBER_REMOVED
    assert (await world.log(back))[-1].type is EventType.MEMBER_JOINED


async def test_what_a_guest_sent_is_stored_once_and_taken_back_by_their_account(
    world: World,
) -> None:
    guest, ada, bo = await guest_of(world), await account_of(world), await world.person("Bo")
    room = await world.room(bo)
    for actor in (guest, ada):
        await add(world, room, bo, actor)
    draft = world.draft(room, guest, "sent in a tunnel")
    stored = await world.store.write(draft)
    await claim(world, ada, guest)
    again = await world.say(room, ada, "sent in a tunnel", cid=draft.cid)
    assert (again.dup, again.message.id) == (True, stored.message.id)
    with pytest.raises(Refused) as caught:
        await world.say(room, ada, "something else", cid=draft.cid)
    assert caught.value.code is Code.CID_REUSED
    deleting = SetMessageDeleted(message=stored.message.id, by=ada.id, deleted=True)
    assert await world.store.write(deleting)


async def test_sessions_end_and_inner_names_mean_the_account(world: World) -> None:
    guest, ada = await guest_of(world), await account_of(world)
    now_ms = world.clock.now_ms()
    token = guest.id[2:].encode()
    assert await world.store.read(actors.by_token, token, now_ms, 10**9) == guest
    await claim(world, ada, guest)
    with pytest.raises(Refused) as caught:
        await world.store.read(actors.by_token, token, now_ms, 10**9)
    assert caught.value.code is Code.SESSION_ENDED
    known = await world.store.read(actors.by_handle, guest.id)
    assert known is not None
    assert known.id == ada.id
    sweeping = SweepGuests(before_ms=now_ms + 10**6, count=100)
    assert await world.store.write(sweeping) == (0, 0), "who became somebody is kept"


async def test_who_has_an_account_or_went_into_another_one_is_not_brought_along(
    world: World,
) -> None:
    guest, ada, bo = await guest_of(world), await account_of(world), await account_of(world, "bob")
    agent, person = await world.agent(), await world.person()
    for other in (bo, agent, ada):
        refused = await refused_by(world, Claim(actor=ada.id, guest=other.id))
        assert refused is Code.IDENTITY_IN_USE
    missing = Claim(actor=person.id, guest=guest.id)
    assert await refused_by(world, missing) is Code.NOT_FOUND
    wrong = Claim(actor=ada.id, guest=guest.id, password=b"$argon2id$")
    assert await refused_by(world, wrong) is Code.CREDENTIALS_WRONG
    room = await world.room(guest)
    got = await asyncio.gather(
        *(world.store.write(Claim(actor=one.id, guest=guest.id)) for one in (ada, bo)),
        return_exceptions=True,
    )
    assert [one for one in got if not isinstance(one, Refused)] == [True]
    assert {await role_of(world, room, one) for one in (ada, bo)} == {None, OWNER}
    signing_up = AddAccount(actor=guest, handle="cy", skeleton="cy")
    assert await refused_by(world, signing_up) is Code.IDENTITY_IN_USE


async def test_nobody_is_brought_into_an_account_that_waits_for_an_approval(world: World) -> None:
    guest, person = await guest_of(world), await world.person("Ada")
    room = await world.room(guest)
    await world.store.write(
        AddAccount(
            actor=person,
            handle="ada",
            skeleton="ada",
            status=AccountStatus.PENDING,
            password=b"a hash",
        )
    )
    for password in (b"a hash", None):  # without one, as at a provider
        claiming = Claim(actor=person.id, guest=guest.id, by=person.id, password=password)
        assert await refused_by(world, claiming) is Code.ACCOUNT_PENDING
    assert await role_of(world, room, guest) is OWNER


async def test_who_makes_an_account_and_goes_into_another_one_at_once_does_one_of_them(
    postgres_url: str,
) -> None:
    async with opened(postgres_url) as world, opened(postgres_url) as other:
        ada = await account_of(world)
        for number in range(12):
            gus = await guest_of(world)
            handle = f"gus-{number}"
            signing = AddAccount(actor=gus, handle=handle, skeleton=handle)
            done = await asyncio.gather(
                world.store.write(signing),
                other.store.write(Claim(actor=ada.id, guest=gus.id, by=ada.id)),
                return_exceptions=True,
            )
            [refused] = [one for one in done if isinstance(one, BaseException)]
            assert isinstance(refused, Refused)
            assert refused.code is Code.IDENTITY_IN_USE
