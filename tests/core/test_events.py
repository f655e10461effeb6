"""What happens in all rooms is told once and in order, from any place on, to whom may read it when it is told."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest
from tests.core.conftest import Running, processes

from palaver.core import events as told_events
from palaver.core.events import EARLIEST, Batch, Place
from palaver.core.live.items import Closing
from palaver.core.runtime import Core
from palaver.errors import Code, Refused
from palaver.model import (
    Actor,
    CredentialId,
    Event,
    EventType,
    MemberRole,
    OpenTo,
    RoomId,
    Scope,
)
from palaver.store.read import feed
from palaver.store.write.consumers import MoveFeed, NoteConsumer, PruneFeed
from palaver.store.write.messages import AddMessage

BOTH = pytest.mark.parametrize(
    "pair", ["sqlite", pytest.param("two processes", marks=pytest.mark.postgres)], indirect=True
)
SECONDS_MAX = 60
Pair = tuple[Core, Core]


@pytest.fixture
async def pair(running: Running, request: pytest.FixtureRequest) -> AsyncIterator[Pair]:
    async with processes(running, request) as opened:
        yield opened


async def guest(core: Core, name: str = "Ada") -> Actor:
    return (await core.identity.new_guest(name))[1]


async def room_of(core: Core, actor: Actor) -> RoomId:
    return (await core.rooms.create(actor, agent=False, title="A room")).id


async def say(core: Core, actor: Actor, room: RoomId, text: str = "hi") -> None:
    await core.chat.send(actor, room, text=text, cid=None)


async def now(core: Core, actor: Actor) -> str:
    """The place behind all that has happened, also where another process moves it into the feed."""
    while await core.chat._store.write(MoveFeed()) is not False:
        pass
    return str((await core.events.since(actor)).place)


async def all_of(core: Core, actor: Actor, after: str, limit: int = 200) -> list[Event]:
    """What is told behind a cursor up to the end."""
    found: list[Event] = []
    while True:
        batch = await core.events.since(actor, after, limit=limit)
        found += [event for _, event in batch.told]
        if str(batch.place) == after:
            return found
        after = str(batch.place)


async def until(
    core: Core, actor: Actor, after: str, text: str, heard: asyncio.Event | None = None
) -> list[Event]:
    """What is told to who follows until somebody says this; `heard`: set by the first that is said."""
    found: list[Event] = []
    following = core.events.follow(actor, after)
    async with asyncio.timeout(SECONDS_MAX), aclosing(following):
        async for batch in following:
            assert isinstance(batch, Batch)
            found += [event for _, event in batch.told]
            if heard is not None and texts(found):
                heard.set()
            if text in texts(found):
                return found
    raise AssertionError("nobody said so")


def texts(events: list[Event]) -> list[str]:
    return [event.message.text for event in events if event.message is not None]


async def code_of(core: Core, actor: Actor, after: str) -> Code:
    with pytest.raises(Refused) as refused:
        await core.events.since(actor, after)
    return refused.value.code


@BOTH
async def test_every_event_is_told_once_in_its_rooms_order_however_often_one_comes_back(
    pair: Pair,
) -> None:
    here, there = pair
    ada = await guest(here)
    rooms = [await room_of(here, ada) for _ in range(3)]
    begun = await now(here, ada)
    done = 0

    async def write(core: Core, room: RoomId) -> None:
        nonlocal done
        for number in range(40):
            await asyncio.gather(*[say(core, ada, one, f"{number}") for one in (room, rooms[0])])
        done += 1

    async def follow() -> dict[RoomId, list[int]]:
        seqs: dict[RoomId, list[int]] = defaultdict(list)
        after = begun
        while sum(map(len, seqs.values())) < 240:
            following = here.events.follow(ada, after, limit=7)
            async with aclosing(following):
                async for batch in following:  # one batch, and then it comes again
                    assert isinstance(batch, Batch)
                    for place, event in batch.told:
                        seqs[event.room].append(event.seq)
                        after = str(place)
                    break
        return seqs

    async with asyncio.timeout(SECONDS_MAX), asyncio.TaskGroup() as tasks:
        following = tasks.create_task(follow())
        for core, room in ((here, rooms[1]), (there, rooms[2]), (there, rooms[1])):
            tasks.create_task(write(core, room))
    assert done == 3
    for room, seqs in following.result().items():
        events, _ = await here.chat.events(ada, room, after=seqs[0] - 1)
        assert seqs == [event.seq for event in events]
    again = await all_of(there, ada, begun, limit=11)
    assert len(again) == 240, "and another process tells the same"


async def test_a_batch_ends_anywhere_in_what_was_committed_together(core: Core) -> None:
    ada = await guest(core)
    room, other = await room_of(core, ada), await room_of(core, ada)
    begun = await now(core, ada)
    store = core.chat._store
    drafts = [
        AddMessage(
            id=f"m_{core.clock.new_id()}",  # type: ignore[arg-type]
            room=one,
            author=ada.id,
            text=f"{number}",
            cid=None,
            answers=False,
        )
        for number, one in enumerate([room, other, room, other, room])
    ]
    await asyncio.gather(*[store.write(draft) for draft in drafts])
    whole = await all_of(core, ada, begun)
    assert sorted(texts(whole)) == ["0", "1", "2", "3", "4"]
    assert len(await store.read(feed.after, Place.of(begun).position, 10)) == 1, "one commit"
    for limit in (1, 2, 3):
        assert await all_of(core, ada, begun, limit=limit) == whole
    within = await core.events.since(ada, begun, limit=2)
    assert within.place.done == 2
    for place, event in within.told:
        assert (await all_of(core, ada, str(place)))[0] is not event
        assert await all_of(core, ada, str(place)) == whole[whole.index(event) + 1 :]


@BOTH
async def test_who_was_removed_hears_nothing_from_then_on(pair: Pair) -> None:
    here, there = pair
    ada, bo = await guest(here), await guest(here, "Bo")
    room, other = await room_of(here, ada), await room_of(here, ada)
    for one in (room, other):
        await here.rooms.join(ada, one, bo)
    begun = await now(here, bo)
    heard_before = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        following = tasks.create_task(until(here, bo, begun, "the end", heard_before))
        await say(there, ada, room, "before")
        await heard_before.wait()
        await there.members.remove(ada, room, bo.id)
        for _ in range(5):
            await say(there, ada, room, "behind your back")
        await say(there, ada, other, "the end")
    heard = following.result()
    assert texts(heard)[0] == "before"
    assert "behind your back" not in texts(heard)
    assert {event.room for event in await all_of(here, bo, begun)} == {other}, "nor what was before"
    await there.members.add(ada, room, bo.id)
    assert "behind your back" in texts(await all_of(here, bo, begun)), "as history() says"


async def test_a_right_is_asked_after_what_it_is_for_was_read(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada, bo = await guest(core), await guest(core, "Bo")
    room = await room_of(core, ada)
    await core.rooms.join(ada, room, bo)
    begun = await now(core, bo)
    await say(core, ada, room, "before")
    readable = core.access.readable
    asked = 0

    async def removed_meanwhile(actor: Actor, keys: Any) -> dict[int, RoomId]:
        nonlocal asked
        found = await readable(actor, keys)
        asked += 1
        if asked == 1:  # between the first look and what is read then
            await core.members.remove(ada, room, bo.id)
            await say(core, ada, room, "behind your back")
        return found

    monkeypatch.setattr(core.access, "readable", removed_meanwhile)
    assert await all_of(core, bo, begun) == []


async def test_a_room_tells_nothing_of_what_lies_behind_the_place_where_one_came_in(
    core: Core,
) -> None:
    ada, bo = await guest(core), await guest(core, "Bo")
    room = await room_of(core, ada)
    await say(core, ada, room, "long ago")
    place = await now(core, bo)
    await core.rooms.join(ada, room, bo)
    await say(core, ada, room, "welcome")
    heard = await all_of(core, bo, place)
    assert texts(heard) == ["welcome"]
    assert heard[0].type is EventType.MEMBER_JOINED


async def test_a_message_is_told_as_it_is_now(core: Core) -> None:
    ada = await guest(core)
    room = await room_of(core, ada)
    begun = await now(core, ada)
    sent = await core.chat.send(ada, room, text="a secret", cid=None)
    await core.exchanges.remove(ada, sent.id)
    created, deleted = [
        event for event in await all_of(core, ada, begun) if event.type.startswith("message.")
    ]
    assert created.message is not None
    assert (created.message.text, created.message.deleted_ms is None) == ("", False)
    assert deleted.data["msg"] == sent.id


async def test_rooms_that_one_only_finds_are_told_and_those_of_other_keys_are_not(
    core: Core,
) -> None:
    ada, bo = await guest(core), await guest(core, "Bo")
    room, opened = await room_of(core, ada), await room_of(core, ada)
    begun = await now(core, ada)
    await core.rooms.open_to(ada, opened, OpenTo.EVERYONE, role=MemberRole.READER)
    await say(core, ada, opened, "for all")
    await say(core, ada, room, "for me")
    await say(core, bo, core.lobby, "in the Lobby")
    assert set(texts(await all_of(core, bo, begun))) == {"for all", "in the Lobby"}
    token, _ = await core.keys.create(actor=ada, scopes=[Scope.ROOMS], rooms=[room])
    limited = await core.keys.caller(token)
    assert texts(await all_of(core, limited, begun)) == ["for me"]


async def test_a_place_that_is_gone_is_a_reset_and_one_that_never_was_is_an_error(
    core: Core,
) -> None:
    ada = await guest(core)
    room = await room_of(core, ada)
    begun = await now(core, ada)
    for number in range(3):
        await say(core, ada, room, f"{number}")
    place = Place.of(await now(core, ada))
    gone = Code.CURSOR_EXPIRED
    assert await code_of(core, ada, f"e_other:{place.position}") is gone
    assert await code_of(core, ada, str(Place(place.epoch, place.position + 1))) is gone
    assert await code_of(core, ada, str(Place(place.epoch, place.position, 1))) is gone
    assert await code_of(core, ada, str(Place(place.epoch, place.position - 1, 99))) is gone
    for cursor in (
        "",
        "x",
        "e_x",
        "e_x:",
        "e_x:-1",
        "e_x:\u0661",
        "e_x:1.",
        f"e_x:{'9' * 16}",
        "now",
    ):
        assert await code_of(core, ada, cursor) is Code.CURSOR_INVALID
    assert "2" in texts(await all_of(core, ada, begun))
    store = core.chat._store
    async with asyncio.timeout(SECONDS_MAX):
        while (await store.read(feed.ends))[0] <= Place.of(begun).position + 1:
            # it is kept for the search, until that notes how far it is
            await store.write(NoteConsumer(name="search", position=place.position))
            await store.write(PruneFeed(before_ms=10**13))
    assert await code_of(core, ada, begun) is gone
    assert await all_of(core, ada, str(place)) == [], "who is at the end stays there"
    assert texts(await all_of(core, ada, EARLIEST))[-1] == "2", "the newest row is never forgotten"
    with pytest.raises(Refused) as refused:
        await core.events.since(ada, limit=0)
    assert refused.value.code is Code.LIMIT_INVALID


async def test_who_waits_is_answered_by_the_first_event_and_ends_with_the_session(
    core: Core,
) -> None:
    ada = await guest(core)
    room = await room_of(core, ada)
    begun = await now(core, ada)
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(core.events.since(ada, begun, wait_seconds=SECONDS_MAX))
        await asyncio.sleep(0)
        await say(core, ada, room, "now")
    assert texts([event for _, event in waiting.result().told]) == ["now"]
    nothing = await core.events.since(ada, await now(core, ada), wait_seconds=0.01)
    assert nothing.told == ()
    by = CredentialId("k_" + "0" * 32)
    following = core.events.follow(ada, None, by=by)
    assert isinstance(await anext(following), Batch)
    core.standings.end(by)
    with pytest.raises(Refused) as refused:
        await anext(following)
    assert refused.value.code is Code.UNAUTHENTICATED


async def test_who_follows_is_told_where_they_are_and_that_the_server_stops(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(told_events, "ROWS_UNTOLD", 3)
    ada, bo = await guest(core), await guest(core, "Bo")
    room = await room_of(core, ada)
    following = core.events.follow(bo, None)
    first = await anext(following)
    assert isinstance(first, Batch)
    assert first.told == ()
    for _ in range(4):
        await say(core, ada, room)
    later = await anext(following)
    assert isinstance(later, Batch)
    assert later.told == ()
    assert later.place.position >= first.place.position + 3
    async with asyncio.TaskGroup() as tasks:
        last = tasks.create_task(anext(following))
        await core.drain(0)
    assert isinstance(last.result(), Closing)
    assert [one async for one in following] == []
