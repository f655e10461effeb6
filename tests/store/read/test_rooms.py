"""Rooms as one actor sees them: the list, its cursor and search, titles, deletion, members."""

import asyncio
from functools import partial

import pytest
from tests.store.world import World

from palaver.errors import Code, Refused
from palaver.model import Actor, EventType, MemberRole, Room, RoomId, TitleSource, Visibility
from palaver.store.read import rooms
from palaver.store.read.rooms import MEMBERSHIPS_FEW
from palaver.store.write.rooms import AddMember, CreateRoom, MarkRead, RenameRoom, SetRoomDeleted


async def listed(
    world: World,
    actor: Actor,
    search: str | None = None,
    limit: int = 3,
    *,
    deleted: bool = False,
) -> list[str]:
    """All titles, page by page."""
    titles: list[str] = []
    cursor: str | None = None
    while True:
        page, cursor = await world.store.read(
            rooms.listing, actor.id, limit=limit, cursor=cursor, search=search, deleted=deleted
        )
        assert len(page) <= limit
        titles += [room.title for room in page]
        if cursor is None:
            return titles


async def refused(world: World, command: object) -> Code:
    with pytest.raises(Refused) as caught:
        await world.store.write(command)  # type: ignore[arg-type]
    return caught.value.code


async def test_a_room_is_made_once_with_its_owner_and_agents(world: World) -> None:
    ada, bot = await world.person(), await world.agent()
    command = CreateRoom(
        id=RoomId(f"r_{world.clock.new_id()}"),
        title="Plans",
        title_source=TitleSource.USER,
        visibility=Visibility.PRIVATE,
        owner=ada.id,
        agents=(bot.id, bot.id),
    )
    room, again = await asyncio.gather(world.store.write(command), world.store.write(command))
    assert room == again == await world.store.read(rooms.get, room.id, ada.id)
    assert (room.seq, room.role, room.agents) == (1, MemberRole.OWNER, (bot,))
    assert (room.read_seq, room.unread, room.deleted_ms) == (0, 0, None)
    (event,) = await world.log(room)
    assert (event.type, event.actor, event.data) == (
        EventType.ROOM_CREATED,
        ada.id,
        {"title": "Plans"},
    )


async def test_a_room_of_nobody_or_with_unknown_people_is_refused(world: World) -> None:
    ada = await world.person()
    nobody = Actor(id=ada.id[:-4] + "0000", kind=ada.kind, name="x")  # type: ignore[arg-type]
    with pytest.raises(Refused) as caught:
        await world.room(nobody)
    assert caught.value.code is Code.NOT_FOUND


async def test_who_sees_a_room(world: World) -> None:
    ada, eve = await world.person(), await world.person("Eve")
    private = await world.room(ada)
    lobby = await world.room(None, title="Lobby", visibility=Visibility.OPEN)
    seen = [
        [await world.store.read(rooms.get, room.id, actor.id) for actor in (ada, eve)]
        for room in (private, lobby)
    ]
    roles = [[room.role if room else "none" for room in row] for row in seen]
    assert roles == [[MemberRole.OWNER, None], [MemberRole.MEMBER, MemberRole.MEMBER]]
    assert await listed(world, ada) == ["Lobby", ""]
    assert await listed(world, eve) == ["Lobby"]
    for strange in ("", "r_", "r_" + "g" * 32, private.id.upper(), "m" + private.id[1:-1] + " "):
        assert await world.store.read(rooms.get, RoomId(strange), ada.id) is None


async def test_the_list_goes_by_last_activity_and_pages_without_a_gap(world: World) -> None:
    ada = await world.person()
    made = [await world.room(ada, title=f"{number:02}") for number in range(11)]
    wanted = [f"{number:02}" for number in reversed(range(11))]
    for limit in (1, 3, 11, 50):
        assert await listed(world, ada, limit=limit) == wanted
    await world.say(made[4], ada)
    top, _ = await world.store.read(rooms.listing, ada.id, limit=1)
    assert top[0].active_ms >= made[10].active_ms
    assert set(await listed(world, ada)) == set(wanted)
    page, _ = await world.store.read(rooms.listing, ada.id, limit=100)
    ids = [room.id for room in page]
    assert set(await world.store.read(rooms.ids_of, ada.id, 100)) == set(ids)
    assert set(await world.store.read(rooms.ids_of, ada.id, 5)) == set(ids[:5])
    assert await world.store.read(rooms.seqs, [made[4].id, made[5].id, RoomId("r_x")]) == {
        made[4].id: 2,
        made[5].id: 1,
    }
    assert await world.store.read(rooms.seqs, ()) == {}


async def test_an_actor_with_many_rooms_gets_the_same_list(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada, eve = await world.person(), await world.person("Eve")
    for number in range(6):
        await world.room(ada if number % 2 else eve, title=f"Room {number}")
    await world.room(None, title="Lobby", visibility=Visibility.OPEN)
    few = await listed(world, ada), await listed(world, ada, "ROOM")
    monkeypatch.setattr(rooms, "MEMBERSHIPS_FEW", 0)
    monkeypatch.setattr(rooms, "MEMBERSHIPS_FEW_SEARCHED", 0)
    assert (await listed(world, ada), await listed(world, ada, "ROOM")) == few
    assert few == (["Lobby", "Room 5", "Room 3", "Room 1"], ["Room 5", "Room 3", "Room 1"])
    assert MEMBERSHIPS_FEW > 100


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("plan", {"Holiday Plans", "100% PLAN_B"}),
        ("100%", {"100% PLAN_B"}),
        ("%", {"100% PLAN_B"}),
        ("n_b", {"100% PLAN_B"}),
        ("back\\s", {"back\\slash"}),
        ("ÄRGER", {"großer Ärger"}),
        ("grosser", {"großer Ärger"}),
        ("ΣΊΣΥΦΟΣ", {"Σίσυφος"}),
        ("ﬁsh", {"Fishing"}),
        ("cafe", {"Café Zürich", "Cafe\u0301"}),
        ("CAFÉ", {"Café Zürich", "Cafe\u0301"}),
        ("zurich", {"Café Zürich"}),
        ("argER", {"großer Ärger"}),
        ("groẞ", {"großer Ärger"}),
        ("istanbul", {"İstanbul, IŞIK"}),
        ("İSTANBUL", {"İstanbul, IŞIK"}),
        ("\u0131ş\u0131k", {"İstanbul, IŞIK"}),
        ("σισυφοσ", {"Σίσυφος"}),
        ("lodz", {"Łódź"}),
        ("がく", {"がくせい"}),
        ("かく", set[str]()),
        ("zzz", set[str]()),
        ("x" * 20_000, set[str]()),
    ],
)
async def test_search_finds_a_piece_of_the_title_whatever_its_case_and_accents(
    world: World, search: str, found: set[str]
) -> None:
    ada = await world.person()
    titles = ["Holiday Plans", "100% PLAN_B", "back\\slash", "großer Ärger", "Σίσυφος", "Fishing"]
    titles += ["Café Zürich", "Cafe\u0301", "İstanbul, IŞIK", "Łódź", "がくせい"]
    for title in titles:
        await world.room(ada, title=title)
    assert set(await listed(world, ada, search)) == found
    assert len(await listed(world, ada, "")) == len(titles)


async def test_the_list_goes_on_behind_any_room(world: World) -> None:
    ada = await world.person()
    made = [await world.room(ada, title=str(number)) for number in range(4)]
    titles = [room.title for room in reversed(made)]
    for place, room in enumerate(reversed(made)):
        cursor = await world.store.read(rooms.cursor_of, room.id)
        page, _ = await world.store.read(rooms.listing, ada.id, limit=9, cursor=cursor)
        assert [found.title for found in page] == titles[place + 1 :]
    assert await world.store.read(rooms.cursor_of, RoomId("r_" + "0" * 32)) is None


@pytest.mark.parametrize(
    "cursor", ["", "x", "1", "1.2.3", "-1.2", "1.-2", "f" * 30 + ".1", "é.1", "01.2"]
)
async def test_a_made_up_cursor_is_refused(world: World, cursor: str) -> None:
    ada = await world.person()
    with pytest.raises(Refused) as caught:
        await world.store.read(rooms.listing, ada.id, limit=3, cursor=cursor)
    assert caught.value.code is Code.CURSOR_INVALID


async def title_of(world: World, room: Room, actor: Actor) -> tuple[str, TitleSource]:
    found = await world.store.read(rooms.get, room.id, actor.id)
    assert found is not None
    return found.title, found.title_source


async def test_a_title_is_never_replaced_by_an_earlier_source(world: World) -> None:
    ada = await world.person()
    room = await world.room(ada)
    assert (await world.say(room, ada)).untitled

    async def rename(title: str, source: TitleSource) -> bool:
        by = ada.id if source is TitleSource.USER else None
        return await world.store.write(RenameRoom(room=room.id, by=by, title=title, source=source))

    assert await rename("first", TitleSource.FIRST_MESSAGE)
    assert not (await world.say(room, ada)).untitled
    assert await rename("model", TitleSource.MODEL)
    assert not await rename("first again", TitleSource.FIRST_MESSAGE)
    assert await rename("user", TitleSource.USER)
    assert await rename("user", TitleSource.USER), "the same again is no change"
    assert not await rename("model again", TitleSource.MODEL)
    assert await rename("user two", TitleSource.USER)
    assert await title_of(world, room, ada) == ("user two", TitleSource.USER)
    told = [event.data for event in await world.log(room) if event.type is EventType.ROOM_RENAMED]
    assert told == [
        {"title": "first", "source": "first_message"},
        {"title": "model", "source": "model"},
        {"title": "user", "source": "user"},
        {"title": "user two", "source": "user"},
    ]


async def test_who_may_name_and_delete_a_room(world: World) -> None:
    ada, bob, eve = [await world.person(name) for name in ("Ada", "Bob", "Eve")]
    room = await world.room(ada)
    lobby = await world.room(None, title="Lobby", visibility=Visibility.OPEN)
    await world.store.write(
        AddMember(room=room.id, by=ada.id, actor=bob.id, role=MemberRole.MEMBER)
    )
    before = await world.happened(room)
    wanted = {ada: None, bob: Code.FORBIDDEN, eve: Code.ROOM_NOT_FOUND}
    for actor, code in wanted.items():
        if code is None:
            continue
        rename = RenameRoom(room=room.id, by=actor.id, title="x", source=TitleSource.USER)
        delete = SetRoomDeleted(room=room.id, by=actor.id, deleted=True)
        invite = AddMember(room=room.id, by=actor.id, actor=eve.id, role=MemberRole.OWNER)
        for command in (rename, delete, invite):
            assert await refused(world, command) is code
    for command in (
        RenameRoom(room=lobby.id, by=ada.id, title="x", source=TitleSource.USER),
        SetRoomDeleted(room=lobby.id, by=ada.id, deleted=True),
        AddMember(room=lobby.id, by=ada.id, actor=eve.id, role=MemberRole.OWNER),
    ):
        assert await refused(world, command) is Code.ROOM_PROTECTED
    assert await world.happened(room) == before


async def test_deleting_a_room_hides_it_until_it_is_restored(world: World) -> None:
    ada = await world.person()
    room = await world.room(ada, title="gone")
    await world.say(room, ada, "kept")

    async def set_deleted(*, deleted: bool) -> bool:
        return await world.store.write(SetRoomDeleted(room=room.id, by=ada.id, deleted=deleted))

    assert not await set_deleted(deleted=False)
    assert await set_deleted(deleted=True)
    assert not await set_deleted(deleted=True)
    assert await listed(world, ada) == []
    assert await world.store.read(rooms.ids_of, ada.id, 10) == ()
    found = await world.store.read(rooms.get, room.id, ada.id)
    assert found is not None
    assert found.deleted_ms is not None
    for command in (
        world.draft(room, ada),
        RenameRoom(room=room.id, by=None, title="x", source=TitleSource.MODEL),
        MarkRead(room=room.id, actor=ada.id, seq=1),
    ):
        assert await refused(world, command) is Code.ROOM_NOT_FOUND
    assert await set_deleted(deleted=True) is False
    assert await set_deleted(deleted=False)
    assert await listed(world, ada) == ["gone"]
    assert [message.text for message in await world.said(room)] == ["kept"]
    assert (await world.happened(room))[-2:] == [EventType.ROOM_DELETED, EventType.ROOM_RESTORED]


async def test_what_was_deleted_is_listed_for_who_may_restore_it(world: World) -> None:
    ada, bob = await world.person(), await world.person("Bob")
    made = [await world.room(ada, title=f"plan {number}") for number in range(5)]
    door = await world.room(
        ada, title="plan of a program", visibility=Visibility.OPEN, door="openai"
    )
    joins = AddMember(room=made[1].id, by=ada.id, actor=bob.id, role=MemberRole.MEMBER)
    await world.store.write(joins)
    for room in (made[0], made[1], made[3], door):
        await world.store.write(SetRoomDeleted(room=room.id, by=ada.id, deleted=True))
    everything = ["plan of a program", "plan 3", "plan 1", "plan 0"]
    for limit in (1, 3, 50):
        assert await listed(world, ada, limit=limit, deleted=True) == everything
    assert await listed(world, ada, "PLAN 1", deleted=True) == ["plan 1"]
    assert await listed(world, bob, deleted=True) == [], "a member restores none"
    assert await listed(world, ada) == ["plan 4", "plan 2"]
    await world.store.write(SetRoomDeleted(room=made[1].id, by=ada.id, deleted=False))
    everything.remove("plan 1")
    assert await listed(world, ada, deleted=True) == everything


async def test_what_was_read_never_falls_and_never_passes_the_room(world: World) -> None:
    ada, bob, eve = [await world.person(name) for name in ("Ada", "Bob", "Eve")]
    room = await world.room(ada)
    await world.store.write(
        AddMember(room=room.id, by=ada.id, actor=bob.id, role=MemberRole.MEMBER)
    )
    for _ in range(3):
        await world.say(room, bob)
    await world.say(room, ada)

    async def read(seq: int) -> tuple[int, int, int]:
        value = await world.store.write(MarkRead(room=room.id, actor=ada.id, seq=seq))
        found = await world.store.read(rooms.get, room.id, ada.id)
        assert found is not None
        return value, found.read_seq, found.unread

    assert await read(-5) == (0, 0, 3)
    assert await read(3) == (3, 3, 2)
    assert await read(2) == (3, 3, 2)
    assert await read(2**80) == (6, 6, 0)
    assert (await world.happened(room)).count(EventType.MEMBER_JOINED) == 1
    assert await refused(world, MarkRead(room=room.id, actor=eve.id, seq=1)) is Code.ROOM_NOT_FOUND


async def test_reading_an_open_room_makes_a_member_and_no_event(world: World) -> None:
    eve = await world.person("Eve")
    lobby = await world.room(None, title="Lobby", visibility=Visibility.OPEN)
    await world.say(lobby, eve)
    assert await world.store.write(MarkRead(room=lobby.id, actor=eve.id, seq=1)) == 1
    found = await world.store.read(rooms.get, lobby.id, eve.id)
    assert found is not None
    assert (found.role, found.read_seq) == (MemberRole.MEMBER, 1)
    assert await listed(world, eve) == ["Lobby"]
    assert await world.happened(lobby) == [EventType.ROOM_CREATED, EventType.MESSAGE_CREATED]


async def test_unread_is_capped(world: World) -> None:
    ada = await world.person()
    lobby = await world.room(None, title="Lobby", visibility=Visibility.OPEN)
    eve = await world.person("Eve")
    await asyncio.gather(*(world.say(lobby, ada) for _ in range(120)))
    found = await world.store.read(rooms.get, lobby.id, eve.id)
    assert found is not None
    assert found.unread == 100


async def test_members_and_their_roles(world: World) -> None:
    ada, bob = await world.person(), await world.person("Bob")
    bot = await world.agent()
    room = await world.room(ada)
    assert await refused(world, world.draft(room, bob)) is Code.ROOM_NOT_FOUND
    join = AddMember(room=room.id, by=ada.id, actor=bob.id, role=MemberRole.READER)
    assert await world.store.write(join)
    assert not await world.store.write(join)
    assert await refused(world, world.draft(room, bob)) is Code.FORBIDDEN
    event = (await world.log(room))[-1]
    assert event.type is EventType.MEMBER_JOINED
    assert (event.data, event.name) == ({"actor": bob.id, "role": "reader"}, "Bob")
    await world.store.write(
        AddMember(room=room.id, by=ada.id, actor=bot.id, role=MemberRole.MEMBER)
    )
    seen = await world.store.read(rooms.get, room.id, bob.id)
    assert seen is not None
    assert seen.agents == (bot,)
    assert seen.role is MemberRole.READER
    missing = AddMember(
        room=room.id,
        by=ada.id,
        actor=ada.id[:-4] + "0000",  # type: ignore[arg-type]
        role=MemberRole.MEMBER,
    )
    assert await refused(world, missing) is Code.NOT_FOUND


async def test_ones_own_rooms_are_counted_and_listed_from_any_place(world: World) -> None:
    ada, other = await world.person(), await world.person("Other")
    mine = [await world.room(ada, title=f"{number}") for number in range(4)]
    await world.room(other)
    await world.room(other, visibility=Visibility.OPEN)
    await world.store.write(SetRoomDeleted(room=mine[0].id, by=ada.id, deleted=True))
    for limit, offset, titles in ((9, 0, "321"), (1, 1, "2"), (9, 2, "1"), (9, 3, "")):
        found, _ = await world.store.read(
            rooms.listing, ada.id, limit=limit, offset=offset, own=True
        )
        assert "".join(room.title for room in found) == titles
    assert await world.store.read(rooms.count_own, ada.id) == 3


async def test_a_list_may_be_limited_to_some_rooms(world: World) -> None:
    ada, eve = await world.person(), await world.person()
    made = [await world.room(ada, title=f"Room {number}") for number in range(5)]
    opened = await world.room(eve, title="Open room", visibility=Visibility.OPEN)
    hers = await world.room(eve, title="Hers")
    among = [made[0].id, made[3].id, opened.id, hers.id, RoomId("r_" + "9" * 32)]
    list_rooms = partial(rooms.listing, actor=ada.id, among=among)
    page, cursor = await world.store.read(list_rooms, limit=2)
    more, end = await world.store.read(list_rooms, limit=2, cursor=cursor)
    assert [one.title for one in (*page, *more)] == ["Open room", "Room 3", "Room 0"]
    assert end is None
    own, _ = await world.store.read(list_rooms, limit=9, own=True, search="room")
    assert [one.title for one in own] == ["Room 3", "Room 0"]
    seen = await world.store.read(rooms.ids_of, ada.id, 9, among)
    assert sorted(seen) == sorted([made[0].id, made[3].id, opened.id])
    for room in (made[0], made[1]):
        await world.store.write(SetRoomDeleted(room=room.id, by=ada.id, deleted=True))
    gone, _ = await world.store.read(list_rooms, limit=9, deleted=True)
    assert [one.title for one in gone] == ["Room 0"]
