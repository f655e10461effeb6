"""What passes by: typing, read marks, changes of watched rooms."""

import asyncio
import gc
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest
from tests.core.conftest import Script

from palaver.core.answers.tape import Call, ExchangeRequest
from palaver.core.live.feed import RING_BYTES_MAX
from palaver.core.live.items import Closing, DatabaseState, Happened, ReadMark, RoomChanged, Typing
from palaver.core.live.reader import NOTICES_MAX
from palaver.core.runtime import Core, started
from palaver.errors import Code, ProviderError, Refused
from palaver.model import Entry, Event, EventType, Role, RoomId, Visibility
from palaver.model.exchanges import ExchangeKind
from palaver.settings import Settings
from palaver.store.engine.executors import InlineLanes, Lane
from palaver.store.read import events
from palaver.wire import shapes
from palaver.wire.live import frames

Resource = TypeVar("Resource")
T = TypeVar("T")


async def test_a_watcher_hears_of_rooms_made_after_it_began_to_watch(
    core: Core, script: Script
) -> None:
    _, ada = await core.identity.new_guest()
    with core.chat.reader(ada) as reader:
        await reader.watch()
        room = await core.rooms.create(ada, agent=False)
        [created] = await reader.next()
        await core.chat.send(ada, room.id, text="hello", cid=None)
        [changed] = await reader.next()
    assert isinstance(created, RoomChanged)
    assert isinstance(changed, RoomChanged)
    assert created.types == (EventType.ROOM_CREATED,)
    assert set(changed.types) == {EventType.MESSAGE_CREATED, EventType.ROOM_RENAMED}
    assert changed.new == 0, "one's own words are not news"
    assert script.requests.empty()


async def test_a_watcher_hears_of_open_rooms_that_others_make_and_of_what_is_said_there_once(
    core: Core,
) -> None:
    _, ada = await core.identity.new_guest()
    _, program = await core.identity.new_guest()
    _, late = await core.identity.new_guest()
    with core.chat.reader(ada) as reader, core.chat.reader(late) as later:
        await reader.watch()
        entry = Entry(role=Role.USER, text="hello")
        asked = ExchangeRequest(
            kind=ExchangeKind.CHAT,
            entries=(entry,),
            model="m",
            request={},
            visibility=Visibility.OPEN,
        )
        running = await core.exchanges.open(program, asked)
        assert running.exchange is not None
        room = running.exchange.room
        await later.watch()
        await core.chat.send(program, room, text="and again", cid=None)
        [created] = await reader.next()
        [changed] = await later.next()
        core.exchanges.run(running, core_has_no_model)
        await running.end()
    assert isinstance(created, RoomChanged)
    assert isinstance(changed, RoomChanged)
    assert (created.room, created.types[0], created.new) == (room, EventType.ROOM_CREATED, 2)
    assert (changed.room, changed.types, changed.new) == (room, (EventType.MESSAGE_CREATED,), 1)


async def core_has_no_model() -> Call:
    raise ProviderError(Code.PROVIDER_UNREACHABLE, "There is no model here.")


class Counting:
    """Lanes that count what is asked of the database."""

    shared = True

    def __init__(self) -> None:
        self.inner = InlineLanes()
        self.calls = 0

    def lane(
        self,
        name: str,
        threads: int,
        opened: Callable[[], Resource],
        closed: Callable[[Resource], None],
    ) -> Lane[Resource]:
        return Counted(self, self.inner.lane(name, threads, opened, closed))


class Counted(Lane[Resource]):
    """One of them."""

    def __init__(self, lanes: Counting, lane: Lane[Resource]) -> None:
        self.lanes = lanes
        self.inner = lane

    async def run(self, work: Callable[[Resource], T]) -> T:
        self.lanes.calls += 1
        return await self.inner.run(work)

    async def close(self) -> None:
        await self.inner.close()


async def test_thousands_who_come_back_at_once_cost_the_store_nothing(
    tmp_path: Path, script: Script
) -> None:
    lanes, count = Counting(), 5_000
    given = Settings(data_dir=tmp_path, detect=False, database_seconds=300)
    async with started(given, provider=script, lanes=lanes) as core:
        made = await asyncio.gather(*[core.identity.new_guest() for _ in range(count)])
        everybody = [actor for _, actor in made]

        async def come(since: int) -> list[tuple[int, ...]]:
            readers = [core.chat.reader(actor) for actor in everybody]
            joined = await asyncio.gather(
                *[reader.subscribe(core.lobby, since, epoch=core.epoch) for reader in readers]
            )
            for reader in readers:
                reader.close()
            return [tuple(event.seq for event in one.events) for one in joined]

        await come(1)
        for number in range(10):
            await core.chat.send(
                everybody[0], core.lobby, text=f"{number}", cid=None, answers=False
            )
        before = lanes.calls
        assert await come(1) == [tuple(range(2, 12))] * count
        # what runs once a second may have asked something, too
        assert lanes.calls - before < count / 10


async def test_long_texts_are_kept_for_readers_up_to_a_bound(core: Core) -> None:
    _, actor = await core.identity.new_guest()
    with core.chat.reader(actor) as reader:
        await reader.subscribe(core.lobby)
        reader.start(core.lobby)
        texts = [f"{number}" * (RING_BYTES_MAX // 4) for number in range(6)]
        entries = [Entry(role=Role.USER, text=text) for text in texts]
        await core.exchanges.add(actor, core.lobby, entries)
        feed = core.hub._feeds[core.lobby]
        assert feed.bytes <= RING_BYTES_MAX
        assert 0 < len(feed.ring) < len(texts)
        seen: list[str] = []
        while len(seen) < len(texts):  # the older ones come from the store
            happened = [item for item in await reader.next() if isinstance(item, Happened)]
            seen += [item.event.message.text for item in happened if item.event.message]
        assert seen == texts


@pytest.mark.parametrize("text", ["hello", "x" * 4_000, "ж" * 4_000, "😀" * 4_000, '"\n' * 2_000])
async def test_what_the_events_of_a_room_take_is_counted(tmp_path: Path, text: str) -> None:
    settings = Settings(data_dir=tmp_path, detect=False)
    async with started(settings, encode=frames.encode) as core:
        _, ada = await core.identity.new_guest()
        with core.chat.reader(ada) as reader:
            await reader.subscribe(core.lobby)
            ring = core.hub._feeds[core.lobby].ring
            tracemalloc.start()
            try:
                entries = [Entry(role=Role.USER, text=f"{text}{number}") for number in range(40)]
                await core.exchanges.add(ada, core.lobby, entries)
                del entries
                await core.rooms.create(ada, agent=False)  # nobody else holds them after that
                gc.collect()
                counted, before = sum(one.bytes for one in ring), tracemalloc.get_traced_memory()[0]
                assert len(ring) == 40
                ring.clear()
                freed = before - tracemalloc.get_traced_memory()[0]
            finally:
                tracemalloc.stop()
    assert 0.9 * freed < counted < 1.3 * freed


@pytest.mark.parametrize(
    ("leaves", "was_here"),
    [(False, True), (True, True), (True, False)],
    ids=["who is renamed", "who leaves", "who leaves and was removed before"],
)
async def test_another_name_is_an_event_and_all_reads_the_same_from_the_ring_and_the_store(
    core: Core, *, leaves: bool, was_here: bool
) -> None:
    _, ada = await core.identity.new_guest("Ada")
    _, bo = await core.identity.new_guest("Bo")
    room = (await core.rooms.create(bo, agent=False)).id
    await core.rooms.join(bo, room, ada)
    elsewhere = await core.rooms.create(bo, agent=False)
    with core.chat.reader(bo) as reader:
        since = (await reader.subscribe(room)).seq
        reader.start(room)
        await core.chat.send(ada, room, text="one", cid=None)
        if not was_here:
            await core.members.remove(bo, room, ada.id)
        if leaves:
            await core.accounts.leave(ada, "", counted="")
        else:
            await core.identity.rename(ada, "Adele")
            await core.chat.send(ada, room, text="two", cid=None)
        stored = await core.chat._store.read(events.since, room, since, 200)
        seen: list[Event] = []
        while not seen or seen[-1].seq < stored[-1].seq:
            seen += [item.event for item in await reader.next() if isinstance(item, Happened)]
    assert list(map(shapes.event, seen)) == list(map(shapes.event, stored))
    name = "" if leaves else "Adele"
    for told in (event for event in seen if event.type is EventType.MEMBER_RENAMED):
        assert (told.actor, told.data, told.name) == (ada.id, {"actor": ada.id}, name)
    assert {one.message.name for one in seen if one.message} == {name}
    assert (await core.access.room(bo, elsewhere.id)).seq == elsewhere.seq, "she is not there"


async def test_who_may_read_is_asked_again_when_that_may_have_changed(core: Core) -> None:
    _, ada = await core.identity.new_guest()
    room = await core.rooms.create(ada, agent=False)
    with core.chat.reader(ada) as one, core.chat.reader(ada) as two:
        await one.subscribe(room.id)
        await two.subscribe(room.id)
        await core.rooms.delete(ada, room.id)
        two.unsubscribe(room.id)
        with pytest.raises(Refused) as refused:
            await two.subscribe(room.id, 1)
        assert refused.value.code is Code.ROOM_NOT_FOUND


async def test_changes_of_a_room_merge_while_nobody_takes_them(core: Core) -> None:
    _, ada = await core.identity.new_guest()
    _, bo = await core.identity.new_guest()
    with core.chat.reader(ada) as reader:
        await reader.watch()
        for text in ("one", "two", "three"):
            sent = await core.chat.send(bo, core.lobby, text=text, cid=None, answers=False)
        [changed] = await reader.next()
    assert isinstance(changed, RoomChanged)
    assert (changed.room, changed.new, changed.seq) == (core.lobby, 3, sent.seq)


async def test_typing_reaches_the_others_who_read_the_room(core: Core) -> None:
    _, ada = await core.identity.new_guest("Ada")
    _, bo = await core.identity.new_guest("Bo")
    with core.chat.reader(ada) as hers, core.chat.reader(bo) as his:
        for reader in (hers, his):
            await reader.subscribe(core.lobby)
            reader.start(core.lobby)
        await core.chat.typing(ada, core.lobby)
        [typing] = await his.next()
        await core.chat.typing(bo, core.lobby)
        [other] = await hers.next()
    assert isinstance(typing, Typing)
    assert isinstance(other, Typing)
    assert (typing.name, other.name) == ("Ada", "Bo")


async def test_a_busy_reader_keeps_the_newest_of_what_passes_and_the_good_bye(core: Core) -> None:
    _, ada = await core.identity.new_guest("Ada")
    _, bo = await core.identity.new_guest("Bo")
    with core.chat.reader(ada) as reader:
        await reader.subscribe(core.lobby)
        reader.start(core.lobby)
        core.hub.to_all(lambda: Closing(1))
        for number in range(2 * NOTICES_MAX):
            core.hub.typing(Typing(core.lobby, bo.id, f"{number}"))
        closing, *typing = await reader.next()
    assert isinstance(closing, Closing)
    names = [item.name for item in typing if isinstance(item, Typing)]
    assert names == [f"{number}" for number in range(NOTICES_MAX + 1, 2 * NOTICES_MAX)]


async def test_a_busy_reader_that_was_sent_away_often_keeps_no_more_and_hurts_nobody(
    core: Core,
) -> None:
    _, ada = await core.identity.new_guest("Ada")
    with core.chat.reader(ada) as reader:
        for _ in range(2 * NOTICES_MAX):
            core.hub.to_all(lambda: Closing(0), ada.id)
        core.hub.database_is(up=False)
        items = await reader.next()
    assert len(items) == NOTICES_MAX
    assert isinstance(items[0], Closing)
    assert isinstance(items[-1], DatabaseState)


async def test_what_was_read_here_is_read_on_the_other_connections(core: Core) -> None:
    _, ada = await core.identity.new_guest()
    sent = await core.chat.send(ada, core.lobby, text="x", cid=None, answers=False)
    with core.chat.reader(ada) as one, core.chat.reader(ada) as two:
        await core.chat.mark_read(ada, core.lobby, 10_000, reader=one)
        [mark] = await two.next()
    assert isinstance(mark, ReadMark)
    assert (mark.room, mark.seq) == (core.lobby, sent.seq)


async def test_a_strangers_room_cannot_be_read_along(core: Core) -> None:
    _, ada = await core.identity.new_guest()
    _, bo = await core.identity.new_guest()
    room = await core.rooms.create(ada)
    with core.chat.reader(bo) as reader:
        for wanted in (room.id, RoomId("r_" + "0" * 32)):
            with pytest.raises(Refused) as refused:
                await reader.subscribe(wanted)
            assert refused.value.code is Code.ROOM_NOT_FOUND
