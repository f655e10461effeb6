"""The promises of the store, asked of each engine. Their numbers are those in `palaver/store/store.py`."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from msgspec.structs import replace
from tests.store.world import World, opened

from palaver.clock import SystemClock
from palaver.errors import Code, Refused, Unavailable
from palaver.model import Event, EventType, MessageId, RoomId, Visibility
from palaver.settings import Settings
from palaver.store.read import events, messages, rooms
from palaver.store.store import Store
from palaver.store.write.edits import EditMessage
from palaver.store.write.messages import AddMessage
from palaver.store.write.rooms import MarkRead


async def test_concurrent_writers_leave_no_hole_in_any_room(world: World) -> None:
    people = [await world.person(f"P{number}") for number in range(4)]
    places = [await world.room(None, title="x", visibility="open") for _ in range(7)]  # type: ignore[arg-type]

    async def talk(number: int) -> None:
        for turn in range(20):
            room = places[(number + turn) % len(places)]
            await world.say(room, people[number % len(people)], f"{number}/{turn}")

    await asyncio.gather(*(talk(number) for number in range(24)))
    counted = 0
    for room in places:
        found = await world.log(room)
        said = await world.said(room)
        assert [event.message for event in found[1:]] == said
        counted += len(said)
    assert counted == 24 * 20


async def test_one_writers_messages_keep_their_order(world: World) -> None:
    ada = await world.person()
    room = await world.room(ada)
    texts = [str(number) for number in range(100)]
    added = await asyncio.gather(*(world.say(room, ada, text) for text in texts))
    assert [one.message.seq for one in added] == list(range(2, 102))
    assert [message.text for message in await world.said(room)] == texts


async def test_a_cid_stores_one_message_also_after_reopening(database_url: str) -> None:
    async with opened(database_url) as world:
        ada, bob = await world.person(), await world.person("Bob")
        room = await world.room(None, title="x", visibility=Visibility.OPEN)
        once = world.draft(room, ada, "once", cid="made-by-a-client")
        first, second = await asyncio.gather(world.store.write(once), world.store.write(once))
        third = await world.say(room, ada, "once", cid="made-by-a-client")
        other = await world.say(room, bob, "mine", cid="made-by-a-client")
    assert [first.dup, second.dup, third.dup, other.dup] == [False, True, True, False]
    assert first.message == second.message == third.message
    async with opened(database_url) as world:
        fourth = await world.say(room, ada, "once", cid="made-by-a-client")
        assert fourth.dup
        assert fourth.message == first.message
        assert len(await world.said(room)) == 2
        for changed in ({"text": "twice"}, {"text": "once", "reply_to": other.message.id}):
            with pytest.raises(Refused) as refused:
                await world.say(room, ada, cid="made-by-a-client", **changed)
            assert refused.value.code is Code.CID_REUSED
        elsewhere = await world.room(ada)
        with pytest.raises(Refused) as refused:
            await world.say(elsewhere, ada, "once", cid="made-by-a-client")
        assert refused.value.code is Code.CID_REUSED
        assert await world.happened(elsewhere) == [EventType.ROOM_CREATED]


async def test_a_reused_cid_in_one_batch_refuses_the_later_one(world: World) -> None:
    ada = await world.person()
    room = await world.room(ada)
    first, second = await asyncio.gather(
        world.say(room, ada, "one", cid="c"),
        world.say(room, ada, "two", cid="c"),
        return_exceptions=True,
    )
    assert not isinstance(first, BaseException)
    assert isinstance(second, Refused)
    assert second.code is Code.CID_REUSED
    assert [message.text for message in await world.said(room)] == ["one"]


async def test_a_message_without_a_cid_repeats_by_its_id(world: World) -> None:
    ada = await world.person()
    room = await world.room(ada)
    draft = world.draft(room, ada, "answer", cid=None)
    first = await world.store.write(draft)
    again = await world.store.write(draft)
    assert (first.dup, again.dup) == (False, True)
    assert again.message == first.message
    assert len(await world.said(room)) == 1


async def test_refused_commands_do_not_hurt_their_batch(world: World) -> None:
    ada = await world.person()
    room = await world.room(ada)
    nowhere = AddMessage(
        id=MessageId(f"m_{world.clock.new_id()}"),
        room=RoomId(f"r_{world.clock.new_id()}"),
        author=ada.id,
        text="lost",
    )
    results = await asyncio.gather(
        world.say(room, ada, "1"),
        world.store.write(nowhere),
        world.say(room, ada, "2", reply_to=MessageId(f"m_{world.clock.new_id()}")),
        world.store.write(MarkRead(room=nowhere.room, actor=ada.id, seq=1)),
        world.say(room, ada, "3"),
        return_exceptions=True,
    )
    codes = [result.code if isinstance(result, Refused) else None for result in results]
    wanted = [None, Code.ROOM_NOT_FOUND, Code.MESSAGE_NOT_FOUND, Code.ROOM_NOT_FOUND, None]
    assert codes == wanted
    assert [message.text for message in await world.said(room)] == ["1", "3"]
    await world.log(room)


async def test_a_poisonous_command_fails_alone(world: World) -> None:
    ada = await world.person()
    room = await world.room(ada)
    taken = (await world.say(room, ada, "there")).message.id
    poison = AddMessage(id=taken, room=room.id, author=ada.id, text="poison", cid="new")
    unstorable = world.draft(room, ada, "y", meta={"number": 2**70})
    results = await asyncio.gather(
        world.say(room, ada, "1"),
        world.store.write(poison),
        world.store.write(unstorable),
        world.say(room, ada, "2"),
        return_exceptions=True,
    )
    codes = [result.code if isinstance(result, Unavailable) else None for result in results]
    assert codes == [None, Code.INTERNAL, Code.INTERNAL, None]
    assert [message.text for message in await world.said(room)] == ["there", "1", "2"]
    await world.log(room)


async def test_events_are_told_in_commit_order_before_their_writers_know(world: World) -> None:
    ada = await world.person()
    places = [await world.room(ada) for _ in range(5)]
    known_too_late: list[MessageId] = []

    async def talk(number: int) -> None:
        for _ in range(15):
            added = await world.say(places[number % 5], ada)
            told = {event.message.id for batch in world.told for event in batch if event.message}
            if added.message.id not in told:
                known_too_late.append(added.message.id)

    await asyncio.gather(*(talk(number) for number in range(10)))
    assert known_too_late == []
    seqs: defaultdict[RoomId, list[int]] = defaultdict(list)
    for batch in world.told:
        for event in batch:
            seqs[event.room].append(event.seq)
    for room in places:
        assert seqs[room.id] == list(range(1, len(seqs[room.id]) + 1))
        assert len(seqs[room.id]) == 1 + 2 * 15
        stored = await world.store.read(events.since, room.id, 0, 1_000)
        told = [event for batch in world.told for event in batch if event.room == room.id]
        assert list(stored) == told


async def test_a_listener_that_fails_does_not_hurt_the_writers(sqlite_url: str) -> None:
    def committed(happened: Sequence[Event]) -> None:
        raise LookupError(len(happened))

    clock = SystemClock()
    async with Store.opened(Settings(database_url=sqlite_url), clock, committed=committed) as store:
        world = World(store, clock, [])
        ada = await world.person()
        room = await world.room(ada)
        await world.say(room, ada, "stored")
        assert [message.text for message in await world.said(room)] == ["stored"]


@pytest.mark.slow
@settings(
    max_examples=15,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=20))
def test_any_well_formed_text_comes_back(database_url: str, texts: list[str]) -> None:
    async def life() -> None:
        async with opened(database_url) as world:
            ada = await world.person("\0 Ada \uf8ff0")
            room = await world.room(ada, title=texts[0])
            first = room.seq
            added = await asyncio.gather(
                *(world.say(room, ada, text, meta={"name": text}) for text in texts)
            )
            said = await world.said(room)
            assert [message.text for message in said] == texts
            assert [message.meta["name"] for message in said] == texts
            assert said == [one.message for one in added]
            assert said[0].name == "\0 Ada \uf8ff0"
            found = await world.store.read(rooms.get, room.id, ada.id)
            assert found is not None
            assert (found.title, found.seq) == (texts[0], first + len(texts))

    asyncio.run(life())


@pytest.mark.parametrize(
    "text",
    [
        "\0",
        "a\0\uf8ff\0",
        "\uf8ff0",
        "👩‍👩‍👧‍👦",
        "\ufffe\uffff\U0010ffff",
        "\u202eabc",
        "e\u0301",
        "é",
        "\r\n",
    ],
)
async def test_strange_texts_come_back(world: World, text: str) -> None:
    ada = await world.person()
    room = await world.room(ada)
    added = await world.say(room, ada, text)
    assert added.message.text == text
    assert await world.store.read(messages.get, added.message.id) == added.message


async def test_two_stores_never_share_an_epoch(tmp_path_factory: pytest.TempPathFactory) -> None:
    epochs: list[str] = []
    for name in ("one", "two"):
        url = f"sqlite:///{tmp_path_factory.mktemp(name) / 'palaver.db'}"
        for _ in range(2):
            async with opened(url) as world:
                epochs.append(world.store.epoch)
    assert epochs[0] == epochs[1]
    assert epochs[2] == epochs[3]
    assert epochs[0] != epochs[2]
    assert epochs[0].startswith("e_")


async def test_what_waits_is_written_when_the_store_closes(database_url: str) -> None:
    async with opened(database_url) as world:
        ada = await world.person()
        room = await world.room(ada)
        writing = [asyncio.ensure_future(world.say(room, ada, str(n))) for n in range(50)]  # noqa: TID251
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    added = await asyncio.gather(*writing)
    assert len(added) == 50
    async with opened(database_url) as world:
        assert len(await world.said(room)) == 50


async def test_an_error_of_the_body_goes_on_as_it_is(sqlite_url: str) -> None:
    with pytest.raises(ZeroDivisionError):
        async with opened(sqlite_url):
            _ = 1 / 0


async def test_counters_count(world: World) -> None:
    ada = await world.person()
    room = await world.room(ada)
    before = world.store.counters
    await asyncio.gather(*(world.say(room, ada) for _ in range(30)))
    after = world.store.counters
    assert after.rows - before.rows == 30
    assert 1 <= after.commits - before.commits < 30
    assert world.store.queued == 0


async def test_a_message_that_was_changed_is_repeated_by_what_was_sent(world: World) -> None:
    ada = await world.person()
    room, other = await world.room(ada), await world.room(ada)
    first = await world.say(room, ada, "question")
    draft = world.draft(room, ada, "sent", reply_to=first.message.id, meta={"sender": "x"})
    sent = (await world.store.write(draft)).message

    for text, version in (("@ada between", None), ("edited", 4)):
        edit = EditMessage(message=sent.id, by=ada.id, room=room.id, text=text, version=version)
        await world.store.write(edit)
    again = await world.store.write(replace(draft, id=MessageId(f"m_{world.clock.new_id()}")))
    assert (again.dup, again.message.id, again.message.text) == (True, sent.id, "edited")
    for other_one in (
        {"text": "edited"},
        {"reply_to": None},
        {"reply_to": sent.id},
        {"reply_to": MessageId(f"m_{world.clock.new_id()}")},
        {"room": other.id},
    ):
        with pytest.raises(Refused) as caught:
            await world.store.write(replace(draft, **other_one))
        assert caught.value.code is Code.CID_REUSED
    assert len(await world.said(room)) == 2
