"""Invitations into a room: who makes them, who comes by them, and what ends them; on both engines."""

import asyncio
from hashlib import sha256

import pytest
from sqlalchemy import update
from tests.store.world import World

from palaver.errors import Code, Refused
from palaver.model import Actor, EventType, Invitation, MemberRole, Room, RoomId, Visibility
from palaver.policy import ServerAct
from palaver.store.engine.statement import Statement
from palaver.store.read import devices, events, invitations, rooms
from palaver.store.schema import tickets
from palaver.store.write.audit import AUDIT
from palaver.store.write.command import Command
from palaver.store.write.members import LeaveRoom, SetRole
from palaver.store.write.people.credentials import EndDevice, UseTicket
from palaver.store.write.people.invitations import AddInvitation, JoinByInvitation, RevokeInvitation
from palaver.store.write.rooms import AddMember, RemoveMember, SetRoomDeleted
from palaver.store.write.transaction import Transaction

DAY_MS = 24 * 3_600_000


def digest(word: str) -> bytes:
    return sha256(word.encode()).digest()


def inviting(
    world: World,
    room: Room,
    by: Actor,
    word: str = "word",
    *,
    role: MemberRole = MemberRole.MEMBER,
    uses: int | None = None,
) -> AddInvitation:
    return AddInvitation(
        id=f"i_{world.clock.new_id()}",
        into=(room.id,),
        by=by.id,
        role=role,
        token_sha256=digest(word),
        lasts_ms=DAY_MS,
        uses=uses,
    )


class Expire(Command[None], frozen=True):
    """Lets the time of every ticket pass."""

    def apply(self, tx: Transaction) -> None:
        Statement(update(tickets).values(expires_ms=1)).run(tx.conn)


async def join(world: World, actor: Actor, word: str = "word") -> RoomId:
    joining = JoinByInvitation(token_sha256=digest(word), actor=actor.id)
    (room,) = await world.store.write(joining)
    return room


async def refusal(world: World, command: Command[object]) -> tuple[Code, str]:
    with pytest.raises(Refused) as caught:
        await world.store.write(command)
    return caught.value.code, caught.value.detail


async def expect_ended(world: World, actor: Actor, word: str = "word") -> None:
    """The same words for all that lets nobody in; and nothing is written."""
    told = await refusal(world, JoinByInvitation(token_sha256=digest(word), actor=actor.id))
    assert told == (Code.INVITE_NOT_FOUND, "This link was used or has ended. Ask for a new one.")
    looked = (invitations.looked_at, digest(word), actor.id, world.clock.now_ms(), ServerAct.MANAGE)
    assert await world.store.read(*looked) is None


async def role_of(world: World, room: Room, actor: Actor) -> MemberRole | None:
    found = await world.store.read(rooms.get, room.id, actor.id)
    return found and found.role


async def of(world: World, room: Room) -> list[Invitation]:
    return list(await world.store.read(invitations.of_room, room.id, world.clock.now_ms()))


async def test_who_comes_by_an_invitation_is_a_member_and_the_log_says_by_which(
    world: World,
) -> None:
    ada, bo, cy = [await world.person(name) for name in ("Ada", "Bo", "Cy")]
    room = await world.room(ada, title="Launch")
    made = await world.store.write(inviting(world, room, ada, uses=2, role=MemberRole.READER))
    assert (made.by, made.rooms) == (ada, {room.id: "Launch"})
    assert (made.role, made.uses_left) == (MemberRole.READER, 2)
    assert 0 <= made.expires_ms - made.created_ms - DAY_MS < 1_000, "the clock is asked twice"
    looked = (invitations.looked_at, digest("word"), bo.id, world.clock.now_ms(), ServerAct.MANAGE)
    assert await world.store.read(*looked) == (made, 1, False)
    assert await join(world, bo) == room.id
    assert await join(world, bo) == room.id, "again: nothing happens"
    assert await join(world, ada) == room.id, "who was in it already costs no use"
    assert await world.store.read(*looked) == (*[(await of(world, room))[0], 2], True)
    assert [one.uses_left for one in await of(world, room)] == [1]
    joined = [one for one in await world.log(room) if one.type is EventType.MEMBER_JOINED]
    assert [(one.actor, dict(one.data)) for one in joined] == [
        (bo.id, {"actor": bo.id, "role": "reader", "via": made.id})
    ]
    assert await join(world, cy) == room.id
    assert await of(world, room) == []
    await expect_ended(world, await world.person("Eve"))
    assert await join(world, cy) == room.id, "who used it may ask again"


async def test_of_two_who_use_the_last_one_at_once_one_gets_in(world: World) -> None:
    ada = await world.person()
    room = await world.room(ada)
    await world.store.write(inviting(world, room, ada, uses=3))
    many = [await world.person(f"{number}") for number in range(12)]
    came = await asyncio.gather(*[join(world, one) for one in many], return_exceptions=True)
    assert len([one for one in came if one == room.id]) == 3
    assert (await world.happened(room)).count(EventType.MEMBER_JOINED) == 3
    seen = [await world.store.read(rooms.get, room.id, one.id) for one in many]
    assert len([one for one in seen if one is not None and one.role is not None]) == 3


async def test_what_ends_an_invitation_ends_it_in_the_same_words(world: World) -> None:
    ada, mo, bo = [await world.person(name) for name in ("Ada", "Mo", "Bo")]
    room = await world.room(ada)
    await expect_ended(world, bo, "never made")
    made = await world.store.write(inviting(world, room, ada, "revoked"))
    revoking = RevokeInvitation(room=room.id, by=ada.id, id=made.id)
    assert await world.store.write(revoking) is True
    assert await world.store.write(revoking) is False
    await expect_ended(world, bo, "revoked")
    await world.store.write(inviting(world, room, ada, "expired"))
    await world.store.write(Expire())
    await expect_ended(world, bo, "expired")
    adding = AddMember(room=room.id, by=ada.id, actor=mo.id, role=MemberRole.MODERATOR)
    await world.store.write(adding)
    await world.store.write(inviting(world, room, mo, "lost"))
    lowered = SetRole(room=room.id, by=ada.id, actor=mo.id, role=MemberRole.MEMBER)
    await world.store.write(lowered)
    await expect_ended(world, bo, "lost")
    assert await of(world, room) == []
    await world.store.write(inviting(world, room, ada, "deleted"))
    for deleted in (True, False):
        setting = SetRoomDeleted(room=room.id, by=ada.id, deleted=deleted)
        await world.store.write(setting)
        if deleted:
            await expect_ended(world, bo, "deleted")
    assert await join(world, bo, "deleted") == room.id, "it came back with its room"


async def test_who_was_removed_does_not_come_back_by_a_link(world: World) -> None:
    ada, bo = await world.person("Ada"), await world.person("Bo")
    room = await world.room(ada)
    await world.store.write(inviting(world, room, ada))
    await join(world, bo)
    await world.store.write(RemoveMember(room=room.id, by=ada.id, actor=bo.id))
    await expect_ended(world, bo)
    adding = AddMember(room=room.id, by=ada.id, actor=bo.id, role=MemberRole.MEMBER)
    await world.store.write(adding)
    assert await join(world, bo) == room.id


async def test_who_left_as_a_reader_comes_back_as_no_more_by_a_link_of_before(
    world: World,
) -> None:
    ada, bo = await world.person("Ada"), await world.person("Bo")
    room = await world.room(ada)
    await world.store.write(inviting(world, room, ada))
    await join(world, bo)
    await world.store.write(SetRole(room=room.id, by=ada.id, actor=bo.id, role=MemberRole.READER))
    for _ in range(2):  # nor by leaving twice
        await world.store.write(LeaveRoom(room=room.id, by=bo.id))
        await join(world, bo)
        assert await role_of(world, room, bo) is MemberRole.READER
    await world.store.write(LeaveRoom(room=room.id, by=bo.id))
    left_ms = world.clock.now_ms()
    while world.clock.now_ms() <= left_ms:
        pass  # a link of the same millisecond is one of before
    await world.store.write(inviting(world, room, ada, "new"))
    await join(world, bo, "new")
    assert await role_of(world, room, bo) is MemberRole.MEMBER, "somebody has decided so since"


async def test_a_reader_of_an_open_room_does_not_become_more_by_leaving(world: World) -> None:
    ada, bo = await world.person("Ada"), await world.person("Bo")
    room = await world.room(ada, visibility=Visibility.OPEN, door="openai")
    for role in (MemberRole.MEMBER, MemberRole.READER):
        adding = AddMember(room=room.id, by=ada.id, actor=bo.id, role=MemberRole.MEMBER)
        await world.store.write(adding)
        await world.store.write(SetRole(room=room.id, by=ada.id, actor=bo.id, role=role))
        leaving = LeaveRoom(room=room.id, by=bo.id)
        if role is MemberRole.MEMBER:
            assert await world.store.write(leaving)
    assert (await refusal(world, leaving))[0] is Code.ROOM_PROTECTED


async def test_who_may_invite_and_revoke(world: World) -> None:
    ada, mo, bo, eve = [await world.person(name) for name in ("Ada", "Mo", "Bo", "Eve")]
    room, other = await world.room(ada), await world.room(eve)
    lobby = await world.room(None, title="Lobby", visibility=Visibility.OPEN)
    for actor, role in ((mo, MemberRole.MODERATOR), (bo, MemberRole.MEMBER)):
        await world.store.write(AddMember(room=room.id, by=ada.id, actor=actor.id, role=role))
    made = await world.store.write(inviting(world, room, mo))
    elsewhere = await world.store.write(inviting(world, other, eve, "elsewhere"))
    for actor, code in ((bo, Code.FORBIDDEN), (eve, Code.ROOM_NOT_FOUND)):
        assert (await refusal(world, inviting(world, room, actor, "no")))[0] is code
        revoking = RevokeInvitation(room=room.id, by=actor.id, id=made.id)
        assert (await refusal(world, revoking))[0] is code
    assert (await refusal(world, inviting(world, lobby, ada, "no")))[0] is Code.ROOM_PROTECTED
    unknown = [
        await refusal(world, RevokeInvitation(room=room.id, by=ada.id, id=id_))
        for id_ in (elsewhere.id, f"i_{'0' * 32}", "nonsense")
    ]
    assert {code for code, _ in unknown} == {Code.INVITE_NOT_FOUND}
    assert len(set(unknown)) == 1
    assert await world.store.write(RevokeInvitation(room=room.id, by=ada.id, id=made.id)) is True


async def test_a_room_has_a_hundred_open_invitations_at_the_most(world: World) -> None:
    ada = await world.person()
    room = await world.room(ada)
    made = [
        await world.store.write(inviting(world, room, ada, f"{number}"))
        for number in range(invitations.INVITATIONS_MAX)
    ]
    more = inviting(world, room, ada, "one more")
    assert (await refusal(world, more))[0] is Code.TOO_MANY_INVITATIONS
    assert await of(world, room) == made
    await world.store.write(RevokeInvitation(room=room.id, by=ada.id, id=made[0].id))
    await world.store.write(more)


async def test_the_audit_room_tells_of_what_is_made_used_and_revoked_once_and_of_nothing_else(
    world: World,
) -> None:
    ada, bo = await world.person("Ada"), await world.person("Bo")
    room = await world.room(ada)
    made = await world.store.write(inviting(world, room, ada))
    for _ in range(2):
        await join(world, bo)
        await world.store.write(RevokeInvitation(room=room.id, by=ada.id, id=made.id))
    await expect_ended(world, await world.person("Eve"))
    assert (await refusal(world, inviting(world, room, bo, "no")))[0] is Code.FORBIDDEN
    told = await world.store.read(events.since, AUDIT, 1, 100)
    where = {"invite": made.id, "room": room.id}
    assert [(one.type, one.actor, dict(one.data)) for one in told] == [
        (EventType.INVITE_CREATED, ada.id, {**where, "role": "member"}),
        (EventType.INVITE_USED, bo.id, where),
        (EventType.INVITE_REVOKED, ada.id, where),
    ]


async def test_an_invitation_is_no_key_to_its_makers_account(world: World) -> None:
    """It has the same table as the links that add a device."""
    ada = await world.person()
    room = await world.room(ada)
    made = await world.store.write(inviting(world, room, ada))
    using = UseTicket(
        token_sha256=digest("word"),
        session_sha256=digest("mine"),
        name="Phone",
        lasts_ms=DAY_MS,
        idle_ms=DAY_MS,
    )
    assert (await refusal(world, using))[0] is Code.TICKET_ENDED
    assert await world.store.read(devices.ticket_of, ada.id, world.clock.now_ms()) is None
    assert (await refusal(world, EndDevice(id=made.id, by=ada.id, idle_ms=DAY_MS)))[
        0
    ] is Code.NOT_FOUND
    assert await of(world, room) == [made]
