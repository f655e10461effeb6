"""Who is in a room, who comes and goes, and who decides so; on both engines."""

import asyncio
import random
from collections.abc import Sequence
from typing import Any

import pytest
from tests.store.world import World

from palaver.errors import Code, Refused
from palaver.model import (
    Actor,
    EventType,
    MemberRole,
    MessageId,
    Room,
    Speaks,
    TitleSource,
    TurnId,
    Visibility,
)
from palaver.store.read import members, rooms
from palaver.store.write.command import Command
from palaver.store.write.members import LeaveRoom, SetMembership, SetRole, TransferRoom
from palaver.store.write.messages import SetMessageDeleted
from palaver.store.write.rooms import AddMember, MarkRead, RemoveMember, RenameRoom, SetArchived
from palaver.store.write.turns import OpenTurn

OWNER, MODERATOR, MEMBER, READER = MemberRole
USER = TitleSource.USER


async def outcome(world: World, command: Command[object]) -> object:
    """What comes of a command: its result, or the code with which it is refused."""
    try:
        return await world.store.write(command)
    except Refused as refused:
        return refused.code


def add(room: Room, by: Actor, actor: Actor, role: MemberRole = MEMBER) -> AddMember:
    return AddMember(room=room.id, by=by.id, actor=actor.id, role=role)


def remove(room: Room, by: Actor, actor: Actor) -> RemoveMember:
    return RemoveMember(room=room.id, by=by.id, actor=actor.id)


def set_role(room: Room, by: Actor, actor: Actor, role: MemberRole) -> SetRole:
    return SetRole(room=room.id, by=by.id, actor=actor.id, role=role)


async def people(world: World, count: int) -> Sequence[Actor]:
    return [await world.person(f"Person {number}") for number in range(count)]


async def roles(world: World, room: Room) -> dict[str, MemberRole]:
    found, _ = await world.store.read(members.page, room.id, limit=1_000)
    return {one.actor.name: one.role for one in found}


async def sees(world: World, room: Room, actor: Actor) -> bool:
    """Whether an actor sees a room, as it is and in the list, which must agree."""
    found = await world.store.read(rooms.get, room.id, actor.id)
    listed, _ = await world.store.read(rooms.listing, actor.id, limit=100)
    watched = await world.store.read(rooms.ids_of, actor.id, 100)
    assert found is not None
    seen = found.role is not None
    assert seen is (room.id in [one.id for one in listed]) is (room.id in watched)
    return seen


async def test_members_come_by_role_and_then_as_they_came_in_pages_of_any_size(
    world: World,
) -> None:
    ada, *others = await people(world, 9)
    bot = await world.agent("Bot")
    room = await world.room(ada, bot)
    given = [READER, MEMBER, OWNER, MODERATOR, READER, MEMBER, MODERATOR, MEMBER]
    for actor, role in zip(others, given, strict=True):
        await world.store.write(add(room, ada, actor, role))
    whole, following = await world.store.read(members.page, room.id, limit=100)
    assert following is None
    order = list(MemberRole)
    assert [order.index(one.role) for one in whole] == sorted(
        order.index(one.role) for one in whole
    )
    assert [one.actor.name for one in whole if one.role is READER] == ["Person 1", "Person 5"]
    assert [(one.actor, one.speaks) for one in whole if one.speaks] == [(bot, Speaks.AUTO)]
    for limit in (1, 2, 3, 10):
        found: list[object] = []
        cursor: str | None = None
        while True:
            page, cursor = await world.store.read(members.page, room.id, limit=limit, cursor=cursor)
            found += page
            if cursor is None:
                break
        assert found == list(whole)
    assert await world.store.read(members.count, room.id) == 9, "people, and no agent"
    for bad in ("x", "1.2", "9.0.0", "-1.0.0", "0.0.0.0", "00.0.0"):
        with pytest.raises(Refused) as caught:
            await world.store.read(members.page, room.id, limit=1, cursor=bad)
        assert caught.value.code is Code.CURSOR_INVALID


async def test_who_is_removed_is_kept_out_until_added_again(world: World) -> None:
    ada, bo = await people(world, 2)
    room = await world.room(ada)
    await world.store.write(add(room, ada, bo))
    for _ in range(3):
        await world.say(room, ada)
    await world.store.write(MarkRead(room=room.id, actor=bo.id, seq=4))
    assert await sees(world, room, bo)
    assert await outcome(world, remove(room, ada, bo)) is True
    assert await outcome(world, remove(room, ada, bo)) is False
    assert not await sees(world, room, bo)
    assert await roles(world, room) == {"Person 0": OWNER}
    assert await outcome(world, world.draft(room, bo)) is Code.ROOM_NOT_FOUND
    again = AddMember(room=room.id, by=ada.id, actor=bo.id, role=READER, newcomer=True)
    assert await outcome(world, again) is Code.FORBIDDEN
    assert await outcome(world, add(room, ada, bo, READER)) is True
    assert await roles(world, room) == {"Person 0": OWNER, "Person 1": READER}
    found = await world.store.read(rooms.get, room.id, bo.id)
    assert found is not None
    assert found.read_seq == 4, "and goes on where they had read"
    happened = [one for one in await world.happened(room) if one is not EventType.MESSAGE_CREATED]
    assert happened == [
        EventType.ROOM_CREATED,
        EventType.MEMBER_JOINED,
        EventType.MEMBER_REMOVED,
        EventType.MEMBER_JOINED,
    ]


async def test_who_is_removed_from_an_open_room_sees_it_no_more(world: World) -> None:
    ada, bo, eve = await people(world, 3)
    room = await world.room(ada, visibility=Visibility.OPEN, door="openai", title="Open")
    await world.store.write(MarkRead(room=room.id, actor=bo.id, seq=1))
    for actor in (bo, eve):  # one who has been there, and one who has not
        assert await sees(world, room, actor)
        assert await outcome(world, remove(room, ada, actor)) is True
        assert await outcome(world, remove(room, ada, actor)) is False
        assert not await sees(world, room, actor)
        for command in (
            world.draft(room, actor),
            MarkRead(room=room.id, actor=actor.id, seq=1),
            LeaveRoom(room=room.id, by=actor.id),
        ):
            assert await outcome(world, command) is Code.ROOM_NOT_FOUND
        searched, _ = await world.store.read(rooms.listing, actor.id, limit=10, search="open")
        assert searched == ()
    assert await world.store.read(rooms.count_own, bo.id) == 0


async def test_an_agent_that_is_removed_answers_no_more(world: World) -> None:
    ada, bot = await world.person(), await world.agent()
    room = await world.room(ada, bot)
    assert len((await world.say(room, ada, answers=True)).turns) == 1
    await world.store.write(remove(room, ada, bot))
    assert (await world.say(room, ada, answers=True)).turns == ()
    found = await world.store.read(rooms.get, room.id, ada.id)
    assert found is not None
    assert found.agents == ()
    again = AddMember(room=room.id, by=ada.id, actor=bot.id, role=MEMBER)
    await world.store.write(again)
    assert len((await world.say(room, ada, answers=True)).turns) == 1


async def test_a_member_leaves_and_the_last_owner_stays(world: World) -> None:
    ada, bo = await people(world, 2)
    room = await world.room(ada)
    leave = {actor.id: LeaveRoom(room=room.id, by=actor.id) for actor in (ada, bo)}
    assert await outcome(world, leave[ada.id]) is Code.LAST_OWNER, "also alone"
    await world.store.write(add(room, ada, bo, OWNER))
    assert await outcome(world, leave[ada.id]) is True
    assert await outcome(world, leave[ada.id]) is Code.ROOM_NOT_FOUND
    assert await outcome(world, leave[bo.id]) is Code.LAST_OWNER
    left = (await world.log(room))[-1]
    assert (left.type, left.actor, left.data) == (EventType.MEMBER_LEFT, ada.id, {"actor": ada.id})
    assert await outcome(world, add(room, bo, ada)) is True, "who left may come back"


async def test_a_room_that_is_everyones_is_not_left(world: World) -> None:
    ada = await world.person()
    lobby = await world.room(None, title="Lobby", visibility=Visibility.OPEN)
    leaving = LeaveRoom(room=lobby.id, by=ada.id)
    assert await outcome(world, leaving) is Code.ROOM_PROTECTED
    door = await world.room(await world.person(), visibility=Visibility.OPEN, door="openai")
    assert await outcome(world, LeaveRoom(room=door.id, by=ada.id)) is False, "no member of it"


async def test_moderators_decide_over_members_and_readers_and_owners_over_all(
    world: World,
) -> None:
    ada, mo, bo, eve, new = await people(world, 5)
    room = await world.room(ada)
    for actor, role in ((mo, MODERATOR), (bo, MEMBER), (eve, READER)):
        await world.store.write(add(room, ada, actor, role))
    assert await outcome(world, set_role(room, mo, eve, MEMBER)) is True
    assert await outcome(world, set_role(room, mo, eve, MEMBER)) is False
    assert await outcome(world, set_role(room, mo, eve, MODERATOR)) is Code.FORBIDDEN
    assert await outcome(world, set_role(room, mo, mo, MEMBER)) is Code.FORBIDDEN
    assert await outcome(world, set_role(room, mo, ada, MEMBER)) is Code.FORBIDDEN
    assert await outcome(world, set_role(room, bo, eve, READER)) is Code.FORBIDDEN
    assert await outcome(world, set_role(room, new, eve, READER)) is Code.ROOM_NOT_FOUND
    assert await outcome(world, set_role(room, mo, new, READER)) is Code.NOT_FOUND
    assert await outcome(world, remove(room, mo, ada)) is Code.FORBIDDEN
    assert await outcome(world, remove(room, bo, eve)) is Code.FORBIDDEN
    assert await outcome(world, add(room, mo, new, MODERATOR)) is Code.FORBIDDEN
    assert await outcome(world, add(room, mo, new, READER)) is True
    assert await outcome(world, remove(room, mo, new)) is True
    assert await outcome(world, set_role(room, ada, mo, OWNER)) is True
    assert await outcome(world, set_role(room, mo, ada, READER)) is True
    assert await outcome(world, set_role(room, mo, mo, MEMBER)) is Code.LAST_OWNER
    assert await outcome(world, world.draft(room, ada)) is Code.FORBIDDEN, "a reader now"
    changes = [one for one in await world.log(room) if one.type is EventType.MEMBER_ROLE]
    assert [(one.actor, dict(one.data)) for one in changes] == [
        (mo.id, {"actor": eve.id, "role": "member", "before": "reader"}),
        (ada.id, {"actor": mo.id, "role": "owner", "before": "moderator"}),
        (mo.id, {"actor": ada.id, "role": "reader", "before": "owner"}),
    ]


async def test_an_agent_owns_no_room(world: World) -> None:
    ada, bot = await world.person(), await world.agent()
    room = await world.room(ada, bot)
    assert await outcome(world, set_role(room, ada, bot, OWNER)) is Code.BAD_REQUEST
    assert await outcome(world, set_role(room, ada, bot, READER)) is True


async def test_of_two_owners_who_go_at_once_one_stays(world: World) -> None:
    ada, bo = await people(world, 2)
    for _ in range(5):
        room = await world.room(ada)
        await world.store.write(add(room, ada, bo, OWNER))
        going: list[Command[object]] = [
            LeaveRoom(room=room.id, by=ada.id),
            set_role(room, bo, bo, MEMBER),
        ]
        results = await asyncio.gather(*[outcome(world, one) for one in going])
        assert sorted(map(str, results)) == ["True", "last_owner"]


async def test_an_owner_gives_a_room_away_and_stays_as_a_moderator(world: World) -> None:
    ada, bo, eve = await people(world, 3)
    bot = await world.agent()
    room = await world.room(ada, bot)
    await world.store.write(add(room, ada, bo, READER))

    async def transfer(by: Actor, to: Actor) -> object:
        return await outcome(world, TransferRoom(room=room.id, by=by.id, actor=to.id))

    assert await transfer(ada, eve) is Code.NOT_FOUND
    assert await transfer(ada, bot) is Code.BAD_REQUEST
    assert await transfer(bo, bo) is Code.FORBIDDEN
    assert await transfer(eve, eve) is Code.ROOM_NOT_FOUND
    assert await transfer(ada, ada) is False
    assert await transfer(ada, bo) is True
    assert await transfer(ada, bo) is False, "asked again, nothing happens"
    assert await roles(world, room) == {"Person 1": OWNER, "Person 0": MODERATOR, "Bot": MEMBER}
    given = (await world.log(room))[-1]
    assert (given.type, given.actor) == (EventType.ROOM_TRANSFERRED, ada.id)
    assert given.data == {"actor": bo.id, "before": "reader"}


async def test_in_an_archived_room_nothing_more_is_said_and_all_is_read(world: World) -> None:
    ada, bo = await people(world, 2)
    bot = await world.agent()
    room = await world.room(ada, bot)
    await world.store.write(add(room, ada, bo, MODERATOR))
    draft = world.draft(room, ada)
    said = await world.store.write(draft)

    async def archive(by: Actor, *, archived: bool) -> object:
        return await outcome(world, SetArchived(room=room.id, by=by.id, archived=archived))

    assert await archive(bo, archived=True) is Code.FORBIDDEN
    assert await archive(ada, archived=True) is True
    assert await archive(ada, archived=True) is False
    deleting = SetMessageDeleted(message=said.message.id, by=ada.id, deleted=True)
    answering = OpenTurn(
        turn=TurnId(f"t_{world.clock.new_id()}"),
        message=MessageId(f"m_{world.clock.new_id()}"),
        room=room.id,
        agent=bot.id,
    )
    for command in (world.draft(room, bo, answers=True), deleting, answering):
        assert await outcome(world, command) is Code.ROOM_ARCHIVED
    again = await world.store.write(draft)
    assert again.dup, "what was stored before is told again"
    found = await world.store.read(rooms.get, room.id, bo.id)
    assert found is not None
    assert found.archived_ms is not None
    assert [one.text for one in await world.said(room)] == ["hi"]
    assert await outcome(world, MarkRead(room=room.id, actor=bo.id, seq=2)) == 2
    assert await archive(ada, archived=False) is True
    assert await archive(ada, archived=False) is False
    await world.say(room, bo)
    happened = await world.happened(room)
    assert happened.count(EventType.ROOM_ARCHIVED) == 1
    assert happened.count(EventType.ROOM_UNARCHIVED) == 1


async def listed(world: World, actor: Actor, **wanted: Any) -> list[str]:
    found, _ = await world.store.read(rooms.listing, actor.id, limit=50, **wanted)
    return [room.title for room in found]


@pytest.mark.parametrize("few", [0, 1_000])
async def test_what_a_member_hides_is_out_of_its_list_until_something_is_said(
    world: World, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    """By memberships and by the walk, in a room of one's own and in one that is everyone's."""
    monkeypatch.setattr(rooms, "MEMBERSHIPS_FEW", few)
    ada, bo = await people(world, 2)
    lobby = await world.room(None, title="lobby", visibility=Visibility.OPEN)
    room = await world.room(ada, title="room")
    other = await world.room(ada, title="other")
    await world.store.write(add(room, ada, bo))
    for one in (lobby, room):
        before = len(await world.log(one))
        await world.store.write(SetMembership(room=one.id, by=ada.id, hidden=True, muted=True))
        assert len(await world.log(one)) == before, "it is one's own wish, and no event"
    assert await listed(world, ada, hidden=False) == ["other"]
    assert sorted(await listed(world, ada, hidden=True)) == ["lobby", "room"]
    assert sorted(await listed(world, ada)) == ["lobby", "other", "room"]
    assert sorted(await listed(world, bo, hidden=False)) == ["lobby", "room"]
    assert len(await world.store.read(rooms.ids_of, ada.id, 10)) == 3, "and is watched"
    await world.store.write(RenameRoom(room=room.id, by=ada.id, title="new", source=USER))
    assert await listed(world, ada, hidden=False) == ["other"], "a name is no word"
    for one in (lobby, room):
        await world.say(one, bo)
    assert sorted(await listed(world, ada, hidden=False)) == ["lobby", "new", "other"]
    assert await listed(world, ada, hidden=True) == []
    found = await world.store.read(rooms.get, room.id, ada.id)
    assert found is not None
    assert (found.muted, found.hidden) == (True, False)
    await world.store.write(SetMembership(room=other.id, by=ada.id, hidden=True))
    await world.store.write(SetMembership(room=other.id, by=ada.id, hidden=False, muted=False))
    assert "other" in await listed(world, ada, hidden=False)
    wishing = SetMembership(room=other.id, by=bo.id, muted=True)
    assert await outcome(world, wishing) is Code.ROOM_NOT_FOUND


@pytest.mark.parametrize("few", [0, 1_000])
async def test_archived_rooms_are_listed_with_the_others_without_them_or_alone(
    world: World, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    monkeypatch.setattr(rooms, "MEMBERSHIPS_FEW", few)
    ada, bo = await people(world, 2)
    await world.room(None, title="lobby", visibility=Visibility.OPEN)
    old, _ = await world.room(ada, title="old"), await world.room(ada, title="new")
    await world.store.write(SetArchived(room=old.id, by=ada.id, archived=True))
    assert sorted(await listed(world, ada)) == ["lobby", "new", "old"]
    assert sorted(await listed(world, ada, archived=False)) == ["lobby", "new"]
    assert await listed(world, ada, archived=True) == ["old"]
    assert await listed(world, bo, archived=True) == []


@pytest.mark.parametrize("seed", range(6))
async def test_whatever_happens_a_room_has_an_owner_and_the_log_says_who_is_in_it(
    world: World, seed: int
) -> None:
    """Many commands at once, most of them by those who may not; the events alone give the members."""
    chance = random.Random(seed)
    actors = await people(world, 5)
    room = await world.room(actors[0])

    def some() -> Command[object]:
        by, other = chance.choice(actors), chance.choice(actors)
        role = chance.choice(list(MemberRole))
        return chance.choice(
            [
                add(room, by, other, role),
                remove(room, by, other),
                set_role(room, by, other, role),
                LeaveRoom(room=room.id, by=by.id),
            ]
        )

    for _ in range(12):
        before = len(await world.log(room))
        done = await asyncio.gather(*[outcome(world, some()) for _ in range(8)])
        log = await world.log(room)
        assert len(log) - before == sum(one is True for one in done), "one event for each change"
        by_events = {actors[0].id: OWNER}
        for event in log[1:]:
            if event.type in {EventType.MEMBER_JOINED, EventType.MEMBER_ROLE}:
                by_events[event.data["actor"]] = MemberRole(event.data["role"])
            else:
                del by_events[event.data["actor"]]
        found, _ = await world.store.read(members.page, room.id, limit=100)
        assert {one.actor.id: one.role for one in found} == by_events
        assert OWNER in by_events.values()


async def test_who_was_present_is_told_with_who_spoke_and_without_a_silent_program(
    world: World,
) -> None:
    program, ada, bo = await world.person("Program"), await world.person(), await world.person("Bo")
    bot = await world.agent(handle="bot")
    room = await world.room(program, bot)
    await world.store.write(add(room, program, ada))
    [turn] = (await world.say(room, ada, "@bot hi", answers=True)).turns
    while world.clock.now_ms() == (await world.said(room))[0].created_ms:  # noqa: ASYNC110  the clock tells nobody
        await asyncio.sleep(0)
    await world.store.write(add(room, program, await world.person("Late")))
    present = await world.store.read(members.present, turn, [bo.id], but=program.id, limit=5)
    assert (present.title, present.more) == (room.title, False)
    assert {one.id for one in present.members} == {ada.id, bot.id}
    assert present.known.keys() == {ada.id, bot.id, bo.id}
    first = await world.store.read(members.present, turn, [program.id], but="x", limit=1)
    assert ([one.id for one in first.members], first.more) == ([program.id], True)

    lobby = await world.room(None, bot, visibility=Visibility.OPEN)
    await world.store.write(MarkRead(room=lobby.id, actor=bo.id, seq=0))
    [turn] = (await world.say(lobby, ada, "@bot hi", answers=True)).turns
    present = await world.store.read(members.present, turn, [ada.id], but="x", limit=5)
    assert ([one.id for one in present.members], present.more) == ([bot.id], True)
    assert present.known.keys() == {ada.id, bot.id}
