"""Exchanges as they are stored, on both engines; what the rules come to is in tests/core/test_exchanges.py."""

from functools import partial
from typing import Any

import pytest
from msgspec.structs import replace
from sqlalchemy import Connection, select, update
from tests.store.world import World

from palaver.errors import Code, Refused
from palaver.model import (
    Actor,
    Entry,
    EventType,
    ExchangeId,
    Kind,
    MemberRole,
    Message,
    MessageId,
    Role,
    Room,
    RoomId,
    RoomSettings,
    Spans,
    Status,
    TitleSource,
    TurnId,
    Visibility,
)
from palaver.model.exchanges import ExchangeKind, ExchangeState
from palaver.store.hash_chain import digest_of_message
from palaver.store.read import exchanges, messages, rooms, turns
from palaver.store.schema import asides, messages as messages_table
from palaver.store.write.command import Command
from palaver.store.write.exchanges import ChangeExchange, ExchangeEnd, Opened, OpenExchange
from palaver.store.write.messages import AddEntries, SetMessageDeleted
from palaver.store.write.rooms import (
    AddMember,
    ChangeSettings,
    CreateRoom,
    RenameRoom,
    SetRoomDeleted,
)
from palaver.store.write.transaction import Transaction
from palaver.store.write.turns import ClaimTurns, FinishTurn, OpenTurn

HI = Entry(role=Role.USER, text="hi \0 \U0001f600")
HELLO = Entry(role=Role.ASSISTANT, text="Hello")
CALL = Entry(
    role=Role.ASSISTANT, kind=Kind.TOOL_CALL, text="{}", meta={"call_id": "c", "tool": "f"}
)


def ids(world: World, count: int) -> tuple[MessageId, ...]:
    return tuple(MessageId(f"m_{world.clock.new_id()}") for _ in range(count))


def asking(
    world: World, actor: Actor, agent: Actor, entries: tuple[Entry, ...], **more: Any
) -> OpenExchange:
    command = OpenExchange(
        id=ExchangeId(f"x_{world.clock.new_id()}"),
        kind=ExchangeKind.CHAT,
        actor=actor.id,
        agent=agent.id,
        turn=TurnId(f"t_{world.clock.new_id()}"),
        message=MessageId(f"m_{world.clock.new_id()}"),
        entries=entries,
        ids=ids(world, len(entries)),
        model="m",
        request={"temperature": 1},
        metadata={"a": "b"},
        kept=True,
        body_digest=b"d" * 16,
        new_room=CreateRoom(
            id=RoomId(f"r_{world.clock.new_id()}"),
            title="",
            title_source=TitleSource.NONE,
            visibility=Visibility.OPEN,
            owner=actor.id,
            agents=(agent.id,),
            door="openai",
        ),
        whole=True,
    )
    return replace(command, **more)


def answering(opened: Opened, *entries: Entry, **more: Any) -> FinishTurn:
    command = FinishTurn(
        turn=opened.exchange.turn,
        fence=1,
        status=Status.DONE,
        entries=entries,
        exchange=ExchangeEnd(opened.exchange.id, ExchangeState.COMPLETED, "chatcmpl-1", {"ms": 1}),
    )
    return replace(command, **more)


@pytest.fixture
async def actor(world: World) -> Actor:
    return await world.person()


@pytest.fixture
async def agent(world: World) -> Actor:
    return await world.agent()


async def room_of(world: World, actor: Actor, opened: Opened) -> Room:
    room = await world.store.read(rooms.get, opened.exchange.room, actor.id)
    assert room is not None
    return room


async def test_an_exchange_is_stored_with_its_request_and_its_answer(
    world: World, actor: Actor, agent: Actor
) -> None:
    opened = await world.store.write(asking(world, actor, agent, (HI,)))
    assert (opened.exchange.state, opened.exchange.view) == (ExchangeState.RUNNING, ((2, 2),))
    assert opened.turn is not None
    assert opened.turn.external
    finish = answering(opened, HELLO, CALL)
    finished = await world.store.write(finish)
    assert finished is not None
    ended = finished.exchange
    assert ended is not None
    assert ended == await world.store.read(exchanges.get, opened.exchange.id)
    assert (ended.state, ended.answers, ended.name) == (
        ExchangeState.COMPLETED,
        (3, 4),
        "chatcmpl-1",
    )
    assert (ended.request, ended.response, ended.metadata) == (
        {"temperature": 1},
        {"ms": 1},
        {"a": "b"},
    )
    room = await room_of(world, actor, opened)
    said = await world.said(room)
    assert [(m.text, m.kind, m.author) for m in said] == [
        (HI.text, "text", actor.id),
        ("Hello", "text", agent.id),
        ("{}", "tool_call", agent.id),
    ]
    assert said[1].id == opened.exchange.message
    assert room.door == "openai"
    assert await world.store.write(finish) == finished  # its commit may not have been heard of
    assert await world.store.read(turns.open_of, world.store.owner) == ()
    assert await world.store.read(exchanges.by_name, "chatcmpl-1", actor.id) == ended
    assert await world.store.read(exchanges.of_turn, ended.turn) == ended


async def test_a_long_value_of_requests_is_stored_once_in_a_room_and_shown_with_each(
    world: World, actor: Actor, agent: Actor
) -> None:
    tools = [{"name": f"tool {number}", "about": "long \0 " * 40} for number in range(4)]
    request = {"model": "m", "tools": tools, "stream": True}
    opened = await world.store.write(asking(world, actor, agent, (HI,), request=request))
    await world.store.write(answering(opened, HELLO))
    more = (HI, HELLO, Entry(role=Role.USER, text="more"))
    again = await world.store.write(asking(world, actor, agent, more, request=request))
    other = {**request, "tools": tools[:3]}
    room = opened.exchange.room
    changed = await world.store.write(asking(world, actor, agent, (HI,), request=other, room=room))
    assert {one.exchange.room for one in (opened, again, changed)} == {room}
    for one, was in ((opened, request), (again, request), (changed, other)):
        found = await world.store.read(exchanges.get, one.exchange.id)
        assert found is not None
        assert found.request == was
        assert list(found.request) == list(was)
        assert one.exchange.request == was

    def stored(conn: Connection) -> list[int]:
        return [len(str(said)) for said in conn.scalars(select(asides.c.said))]

    assert len(await world.store.read(stored)) == 2


class Forget(Command[None], frozen=True):
    """Stores asides as versions before revision 0038 did."""

    def apply(self, tx: Transaction) -> None:
        tx.conn.execute(update(asides).values(author_key=None))


async def test_the_same_words_beside_a_room_are_each_authors_own(
    world: World, actor: Actor, agent: Actor
) -> None:
    first = asking(world, actor, agent, (HI,))
    private = replace(first.new_room, visibility=Visibility.PRIVATE)
    opened = await world.store.write(replace(first, new_room=private))
    await world.store.write(answering(opened, HELLO))
    room, other = opened.exchange.room, await world.person()
    adding = AddMember(room=room, by=actor.id, actor=other.id, role=MemberRole.MEMBER)
    await world.store.write(adding)
    rule = Entry(role=Role.SYSTEM, text="Be brief.")
    numbers: list[int] = []
    for who in (actor, other, actor):
        again = asking(world, who, agent, (rule, HI), room=room, body_digest=None)
        asked = (await world.store.write(again)).exchange
        said = await world.store.read(exchanges.spoken, room, asked.view)
        assert [(one.author, one.text) for one in said if one.seq < 0] == [(who.id, rule.text)]
        numbers.append(asked.view[0][0])
    assert numbers == [-1, -2, -1]
    await world.store.write(Forget())
    for asker in (exchanges.NOBODY, other.id):
        (one,) = await world.store.read(exchanges.spoken, room, ((-2, -2),), asker)
        assert one.author == asker


async def test_the_same_command_again_writes_nothing(
    world: World, actor: Actor, agent: Actor
) -> None:
    command = asking(world, actor, agent, (HI,))
    first = await world.store.write(command)
    again = await world.store.write(command)
    assert again.dup
    assert again.exchange == first.exchange
    assert len(await world.said(await room_of(world, actor, first))) == 1


async def test_a_known_beginning_leads_to_its_room(
    world: World, actor: Actor, agent: Actor
) -> None:
    first = await world.store.write(asking(world, actor, agent, (HI,)))
    await world.store.write(answering(first, HELLO))
    entries = (HI, HELLO, HI)
    second = await world.store.write(asking(world, actor, agent, entries))
    assert second.exchange.room == first.exchange.room
    assert second.exchange.view == ((2, 4),)
    stranger = await world.person("Eve")
    other = await world.store.write(asking(world, stranger, agent, entries))
    assert other.exchange.room != first.exchange.room


async def test_a_claimed_turn_is_finished_by_its_new_owner_only(
    world: World, actor: Actor, agent: Actor
) -> None:
    opened = await world.store.write(asking(world, actor, agent, (HI,)))
    stale = answering(opened, HELLO, fence=7)
    assert await world.store.write(stale) is None
    assert await world.store.write(ClaimTurns()) == ()  # it is this process's own


async def test_a_named_room_is_checked(world: World, actor: Actor, agent: Actor) -> None:
    room = await world.room(await world.person("Eve"))
    for more in ({"room": room.id}, {"previous": ExchangeId("x_" + "0" * 32)}):
        with pytest.raises(Refused) as refused:
            await world.store.write(asking(world, actor, agent, (HI,), **more))
        assert refused.value.code in {Code.ROOM_NOT_FOUND, Code.EXCHANGE_NOT_FOUND}


async def test_metadata_is_changed_and_an_exchange_forgotten_by_its_actor(
    world: World, actor: Actor, agent: Actor
) -> None:
    first = await world.store.write(asking(world, actor, agent, (HI,)))
    second = await world.store.write(asking(world, actor, agent, (HI,)))
    change = ChangeExchange(id=first.exchange.id, by=actor.id, metadata={"c": "d"})
    assert (await world.store.write(change)).metadata == {"c": "d"}
    with pytest.raises(Refused):
        await world.store.write(replace(change, by=agent.id))

    async def kept(**more: Any) -> list[ExchangeId]:
        asked: dict[str, Any] = {"after": None, "limit": 10, "newest_first": False} | more
        asked |= {"model": None, "metadata": {}}
        found = await world.store.read(exchanges.kept, actor.id, ExchangeKind.CHAT, **asked)
        return [exchange.id for exchange in found]

    assert await kept() == [], "neither has ended"
    for opened in (first, second):
        await world.store.write(answering(opened, HELLO))
    both = [first.exchange.id, second.exchange.id]
    assert await kept() == both
    assert await kept(newest_first=True) == both[::-1]
    assert await kept(after=both[0]) == both[1:]
    assert await kept(after=both[1], newest_first=True) == both[:1]
    assert await kept(among=[second.exchange.room]) == both[1:]
    await world.store.write(replace(change, metadata=None, forget=True))
    assert await kept() == both[1:]


async def test_kept_exchanges_are_listed_by_model_and_metadata_however_rare(
    world: World, actor: Actor, agent: Actor
) -> None:
    """Found by the database, and not on the pages that somebody reads."""
    rare = {'a "key"': "v\0\u00e4\\", "b": "1"}
    many: list[dict[str, str]] = [
        {**rare, "c": "2"} if number % 20 == 19 else {"b": "1", 'x"a "key"': rare['a "key"']}
        for number in range(60)
    ]
    commands = [
        asking(world, actor, agent, (HI,), metadata=one, model=f"m{place % 2}")
        for place, one in enumerate(many)
    ]
    opened = [await world.store.write(command) for command in commands]
    for one in opened:
        await world.store.write(answering(one, HELLO))
    wanted = [one.exchange.id for one in opened[19::20]]

    async def listed(**more: Any) -> list[ExchangeId]:
        page: dict[str, Any] = {"after": None, "limit": 100, "newest_first": False, "model": None}
        asked: dict[str, Any] = {**page, "metadata": rare, **more}
        found = await world.store.read(exchanges.kept, actor.id, ExchangeKind.CHAT, **asked)
        return [one.id for one in found]

    assert await listed() == wanted
    assert await listed(newest_first=True, limit=2) == wanted[:0:-1]
    assert await listed(after=wanted[0]) == wanted[1:]
    assert await listed(model="m1") == wanted
    assert await listed(model="m0") == []
    assert await listed(metadata={"b": ""}) == []
    assert len(await listed(metadata={"b": "1"})) == 60
    assert len(await listed(metadata={})) == 60


async def test_entries_are_added_once_and_deleted_undoably(
    world: World, actor: Actor, agent: Actor
) -> None:
    room = await world.room(actor)
    command = AddEntries(
        room=room.id, author=actor.id, agent=agent.id, entries=(HI, HELLO), ids=ids(world, 2)
    )
    added = await world.store.write(command)
    assert [(m.text, m.author) for m in added] == [(HI.text, actor.id), ("Hello", agent.id)]
    assert await world.store.write(command) == added
    delete = SetMessageDeleted(message=added[1].id, by=actor.id, deleted=True)
    assert await world.store.write(delete)
    assert not await world.store.write(delete)
    assert [m.text for m in await world.said(room)] == [HI.text, ""]
    assert await world.store.write(replace(delete, deleted=False))
    assert (await world.happened(room))[-2:] == [
        EventType.MESSAGE_DELETED,
        EventType.MESSAGE_RESTORED,
    ]
    stranger = await world.person("Eve")
    with pytest.raises(Refused):
        await world.store.write(replace(delete, by=stranger.id))
    found = await world.store.read(messages.get, added[1].id)
    assert found is not None
    assert found.text == "Hello"


async def test_entries_that_were_changed_are_repeated_by_what_was_sent(
    world: World, actor: Actor, agent: Actor
) -> None:
    """An edit keeps the digest of what was said at first, as `store.hash_chain` wants it."""
    room = await world.room(actor, visibility=Visibility.OPEN)
    said = (replace(HI, meta={"parts": [{"type": "x"}]}), HELLO)
    command = AddEntries(
        room=room.id, author=actor.id, agent=agent.id, entries=said, ids=ids(world, 2)
    )
    sent = (await world.store.write(command))[0]
    await world.say(room, actor, "said since")
    again = replace(command, ids=ids(world, 2), repeated=True)
    assert [one.id for one in await world.store.write(again)] == list(command.ids)

    def edit(conn: Connection) -> None:
        its = messages_table.c.id == sent.id
        salt = conn.execute(select(messages_table.c.salt).where(its)).scalar_one()
        digest = digest_of_message(sent, None, salt)
        changed = update(messages_table).where(its)
        conn.execute(changed.values(text="edited", edited_ms=1, digest=digest, meta=None))

    await world.store._database.writing(0, edit)
    found = await world.store.write(again)
    assert [(one.id, one.text) for one in found] == [(sent.id, "edited"), (command.ids[1], "Hello")]
    for other in (
        {"entries": (replace(said[0], text="edited"), HELLO)},
        {"entries": (HI, HELLO)},
        {"entries": (HELLO, said[0])},
        {"author": (await world.person("Eve")).id},
    ):
        added = await world.store.write(replace(again, ids=ids(world, 2), **other))
        assert sent.id not in [one.id for one in added]


async def test_a_rooms_settings_are_changed_one_by_one(world: World, actor: Actor) -> None:
    room = await world.room(actor)
    changes: tuple[RoomSettings, ...] = ({"metadata": {"a": "b"}}, {"made": "x"})
    for settings in changes:
        await world.store.write(ChangeSettings(room=room.id, by=actor.id, settings=settings))
    found = await world.store.read(rooms.get, room.id, actor.id)
    assert found is not None
    assert found.settings == {"metadata": {"a": "b"}, "made": "x"}


async def test_a_turn_of_a_program_is_opened_once(world: World, agent: Actor) -> None:
    room = await world.room(None, agent, visibility=Visibility.OPEN)
    command = OpenTurn(
        turn=TurnId(f"t_{world.clock.new_id()}"),
        message=ids(world, 1)[0],
        room=room.id,
        agent=agent.id,
    )
    turn = await world.store.write(command)
    assert turn.external
    assert await world.store.write(command) == turn
    assert await world.store.read(turns.open_of, world.store.owner) == (turn,)


async def test_an_open_room_of_another_door_is_named_and_deleted_by_its_owner(
    world: World, actor: Actor, agent: Actor
) -> None:
    opened = await world.store.write(asking(world, actor, agent, (HI,)))
    eve = await world.person("Eve")
    room = opened.exchange.room
    rename = RenameRoom(room=room, by=eve.id, title="x", source=TitleSource.USER)
    delete = SetRoomDeleted(room=room, by=eve.id, deleted=True)
    for refused in (rename, delete):
        with pytest.raises(Refused) as refusal:
            await world.store.write(refused)
        assert refusal.value.code is Code.FORBIDDEN
    assert await world.store.write(replace(rename, by=actor.id))
    assert await world.store.write(replace(delete, by=actor.id))


async def said_in_spans(world: World, actor: Actor, agent: Actor, count: int) -> RoomId:
    """A room with so many entries, of which the third is deleted."""
    entries = tuple(Entry(role=Role.USER, text=str(number)) for number in range(count))
    opened = await world.store.write(asking(world, actor, agent, entries))
    said = await world.store.read(exchanges.spoken, opened.exchange.room, opened.exchange.view)
    gone = SetMessageDeleted(message=said[2].id, by=actor.id, deleted=True)
    await world.store.write(gone)
    return opened.exchange.room


@pytest.mark.parametrize("newest_first", [False, True])
async def test_pages_are_all_that_was_said_and_nothing_twice(
    world: World,
    actor: Actor,
    agent: Actor,
    newest_first: bool,  # noqa: FBT001  a parameter of the test
) -> None:
    room = await said_in_spans(world, actor, agent, 12)
    everything = await world.store.read(exchanges.spoken, room, ((2, 13),))
    other = await said_in_spans(world, actor, agent, 3)
    [stranger, *_] = await world.store.read(exchanges.spoken, other, ((2, 4),))
    for spans in (((2, 13),), ((2, 3), (4, 4), (5, 9), (10, 2**70))):
        page = partial(_page, room=room, spans=spans, newest_first=newest_first)
        found: list[Message] = []
        while told := await world.store.read(page, found[-1].id if found else None):
            assert len(told) <= 5
            found += told
        assert tuple(found) == (everything[::-1] if newest_first else everything)
        for nobody in (stranger.id, MessageId("m_" + "0" * 32)):
            assert await world.store.read(page, nobody) is None


def _page(
    conn: Connection, after: MessageId | None, *, room: RoomId, spans: Spans, newest_first: bool
) -> tuple[Message, ...] | None:
    return exchanges.page(conn, room, spans, after=after, limit=5, newest_first=newest_first)


async def test_a_page_costs_what_it_shows(world: World, actor: Actor, agent: Actor) -> None:
    if world.store.shared:
        pytest.skip("SQLite counts the steps of a statement")
    steps: list[int] = []

    def counted(conn: Connection, room: RoomId, *, newest_first: bool) -> int:
        raw = conn.connection.driver_connection
        assert raw is not None
        taken = [0]

        def step() -> int:
            taken[0] += 1
            return 0

        raw.set_progress_handler(step, 10)
        spans = ((2, 2**40),)
        exchanges.page(conn, room, spans, after=None, limit=5, newest_first=newest_first)
        raw.set_progress_handler(None, 0)
        return taken[0]

    for count in (10, 500):
        room = await said_in_spans(world, actor, agent, count)
        for newest_first in (False, True):
            reading = partial(counted, newest_first=newest_first)
            taken = await world.store.read(reading, room)
            steps.append(taken)
    assert max(steps) < 2 * min(steps)
