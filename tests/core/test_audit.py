"""The audit room, and what ends with a session or key: at once where it is told of it, everywhere within a second."""

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable
from dataclasses import dataclass

import pytest
from tests.core.conftest import Running, processes
from tests.core.test_exchanges import Answer, chat as asking, user

from palaver.core.audit import Follower, read
from palaver.core.identity.actors import session_of
from palaver.core.live.items import Drafted, Item, SignedOut, Typing
from palaver.core.live.standing import Standings
from palaver.core.runtime import Core
from palaver.errors import Code, Refused
from palaver.model import AccountStatus, Actor, CredentialId, EventType, MessageId, RoomId, Status
from palaver.providers.base import TextPiece
from palaver.store.write.audit import AUDIT

SECONDS_MAX = 60
LATER = "later"
SETTLED_SECONDS = 1.5
"""A process asks the log once a second what no notice told it."""


@dataclass(frozen=True, slots=True)
class Town:
    """A room of Ada's. What ends is ended in the process `here`, and is live in `there`, with her phone or her key.

    `told`: a notice of what ends comes at once.
    """

    here: Core
    there: Core
    ada: Actor
    room: RoomId
    first: str
    phone: str
    token: str
    told: bool

    async def end(self, by: CredentialId) -> None:
        if by[0] == "k":
            await self.here.keys.revoke((await self.here.keys.recognise(self.token)).id)
        else:
            await self.here.devices.end(self.ada, by, self.first)

    async def by(self, way: str) -> CredentialId:
        if way == "key":
            return CredentialId((await self.there.keys.recognise(self.token)).id)
        by = session_of(self.phone)
        assert by is not None
        return by

    async def say(self, text: str) -> None:
        await self.here.chat.send(self.ada, self.room, text=text, cid=None, answers=False)


@pytest.fixture(
    params=[
        "sqlite",
        pytest.param("two processes", marks=pytest.mark.postgres),
        pytest.param("two processes without notices", marks=pytest.mark.postgres),
    ]
)
async def town(running: Running, request: pytest.FixtureRequest) -> AsyncGenerator[Town, None]:
    both = processes(running, request, settled_seconds=SETTLED_SECONDS)
    async with both as (here, there):
        first, ada = await here.identity.new_guest("Ada")
        link, _ = await here.devices.invite(ada)
        phone, _ = await here.devices.redeem(link, "Phone", me=None, replace=False)
        token, _ = await here.keys.create(actor=ada)
        room = (await here.rooms.create(ada, title="Room", agent=False)).id
        told = not request.param.endswith("notices")
        yield Town(here, there, ada, room, first, phone, token, told)


async def code_of(call: Awaitable[object]) -> Code:
    with pytest.raises(Refused) as refused:
        await call
    return refused.value.code


@pytest.mark.parametrize("way", ["session", "key"])
async def test_nothing_later_reaches_what_stood_by_it_and_others_read_on(
    town: Town, way: str
) -> None:
    by, chat = await town.by(way), town.there.chat
    with chat.reader(town.ada, by) as gone, chat.reader(town.ada, session_of(town.first)) as stays:
        for reader in (gone, stays):
            await reader.watch()
            await reader.subscribe(town.room)
            reader.start(town.room)
        await town.end(by)
        if not town.told:
            async with asyncio.timeout(SECONDS_MAX):
                while not gone.over:  # noqa: ASYNC110  it is asked once a second
                    await asyncio.sleep(0.01)
        await town.say(LATER)
        message = MessageId("m_" + "2" * 32)
        hub = town.there.hub
        hub.draft(Drafted(town.room, message, town.ada.id, "Ada", LATER, 1, "c-2"))
        hub.typing(Typing(town.room, town.here.assistant, LATER))
        async with asyncio.timeout(SECONDS_MAX):
            items: list[Item] = await gone.next()
            while not isinstance(items[-1], SignedOut):
                items += await gone.next()
            await stays.next()
        assert len(items) == 1, "nothing but the end"
        assert gone not in hub._readers[town.ada.id]
        assert (
            await code_of(gone.subscribe(town.room))
            is {
                "session": Code.SESSION_ENDED,
                "key": Code.UNAUTHENTICATED,
            }[way]
        )
        assert not stays.over


@pytest.mark.parametrize("way", ["session", "key"])
async def test_nothing_is_stored_by_what_has_ended_before_this_process_hears_of_it(
    town: Town, way: str
) -> None:
    """A write that was on its way, or that a connection still takes."""
    by, chat = await town.by(way), town.there.chat
    await chat.send(town.ada, town.room, text="hi", cid="c-1", by=by)
    seq = (await town.there.rooms.get(town.ada, town.room)).seq
    await town.end(by)
    later = chat.send(town.ada, town.room, text=LATER, cid="c-2", by=by)
    ended = Code.SESSION_ENDED if way == "session" else Code.UNAUTHENTICATED
    assert await code_of(later) is ended
    asked = town.there.exchanges.open(town.ada, asking(user(LATER), room=town.room, by=by))
    assert await code_of(asked) is ended
    assert (await town.there.rooms.get(town.ada, town.room)).seq == seq
    again = await chat.send(town.ada, town.room, text="hi", cid="c-1", by=by)
    assert again.dup, "what is stored is stored"
    await chat.send(town.ada, town.room, text=LATER, cid="c-3", by=session_of(town.first))


async def test_a_key_that_was_revoked_elsewhere_is_dead_as_soon_as_that_is_told(town: Town) -> None:
    by = await town.by("key")
    await town.end(by)
    async with asyncio.timeout(SECONDS_MAX):
        while not town.there.standings.has_ended(by):  # noqa: ASYNC110  it wakes nobody
            await asyncio.sleep(0.01)
    assert await code_of(town.there.keys.recognise(town.token)) is Code.UNAUTHENTICATED


async def test_what_lives_by_a_key_of_who_is_disabled_ends_everywhere_until_they_are_enabled(
    town: Town,
) -> None:
    account = await town.here.register.create("carl")
    carl, (token, key) = account.actor, await town.here.keys.create(actor=account.actor)
    assert (await town.there.keys.recognise(token)).actor.id == carl.id
    by, ended = CredentialId(key.id), asyncio.Event()
    await town.here.rooms.join(town.ada, town.room, carl)
    answer = Answer(TextPiece("word"), waits=True)

    async def ask() -> Answer:
        return answer

    live = await town.there.exchanges.begin(carl, asking(user("hi"), room=town.room, by=by), ask)
    unstored = town.there.exchanges.unstored(carl, asking(user("hi")), ask)
    with town.there.standings.lives(by, ended.set):
        await town.here.register.set_status("carl", AccountStatus.DISABLED)
        async with asyncio.timeout(SECONDS_MAX):
            await ended.wait()
            await live.end()
    assert live.stopped is Status.STOPPED
    assert not unstored.over, "it is nobody's"
    unstored.stop()
    later = town.there.chat.send(carl, town.room, text=LATER, cid="c-9", answers=False)
    assert await code_of(later) is Code.ACCOUNT_DISABLED
    await town.here.register.set_status("carl", AccountStatus.ACTIVE)
    async with asyncio.timeout(SECONDS_MAX):
        while town.there.standings.has_ended(by):  # noqa: ASYNC110  it wakes nobody
            await asyncio.sleep(0.01)
    town.there.keys._known.clear()
    assert (await town.there.keys.recognise(token)).actor.id == carl.id


async def test_a_long_poll_of_an_ended_session_is_answered_with_nothing(town: Town) -> None:
    by = await town.by("session")
    seq = (await town.there.rooms.get(town.ada, town.room)).seq
    async with asyncio.timeout(SECONDS_MAX), asyncio.TaskGroup() as tasks:
        polling = tasks.create_task(
            town.there.chat.events(town.ada, town.room, after=seq, wait_seconds=600, by=by)
        )
        await asyncio.sleep(0.2)
        await town.end(by)
    assert polling.result() == ((), seq)


async def test_it_tells_what_happened_with_ids_alone(town: Town) -> None:
    for way in ("session", "key"):
        await town.end(await town.by(way))
    found = await read(town.there.chat._store, 0)
    assert [event.type for event in found] == [
        EventType.ROOM_CREATED,
        EventType.SESSION_BEGAN,
        EventType.KEY_CREATED,
        EventType.SESSION_ENDED,
        EventType.KEY_REVOKED,
    ]
    assert [event.actor for event in found[1:]] == [*[town.ada.id] * 3, None]
    told = json.dumps([dict(event.data) for event in found[1:]])
    for secret in (town.first, town.phone, town.token, "Ada", "Phone"):
        assert secret not in told
    assert all(event.data["of"] == town.ada.id for event in found[1:])


async def test_nobody_finds_it_or_reads_it_or_writes_to_it(town: Town) -> None:
    core, ada = town.there, town.ada
    listed, _ = await core.rooms.listing(ada)
    assert AUDIT not in [room.id for room in listed]
    for room in (AUDIT, RoomId("r_" + "0" * 32)):
        for call in (
            core.rooms.get(ada, room),
            core.rooms.join(ada, room, ada),
            core.chat.history(ada, room),
            core.chat.events(ada, room),
            core.chat.send(ada, room, text="me, too", cid=None),
            core.chat.mark_read(ada, room, 1),
        ):
            assert await code_of(call) is Code.ROOM_NOT_FOUND


async def test_a_log_that_became_shorter_is_followed_from_its_beginning(core: Core) -> None:
    token, key = await core.keys.create()
    await core.keys.revoke(key.id)
    standings = Standings()
    follower = Follower(core.chat._store, (standings.committed,), seq=1_000)
    await follower._follow()
    assert standings.has_ended(CredentialId(key.id))
    assert token
