"""What webhooks are told: once each, in each room's order, whatever a receiver does, and nothing that is not theirs."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from tests.core.conftest import Script as Mind
from tests.store.archives import execute
from tests.support.databases import copied
from tests.support.receiver import Receiver, answers, receiving
from tests.support.upstream import CUT, STALL, Endless, Head, Script

from palaver.clock import SystemClock
from palaver.core import consumers
from palaver.core.deliveries import RETRY_SECONDS
from palaver.core.runtime import Core, started
from palaver.errors import Refused
from palaver.model import AccountStatus, Actor, EventType, MemberRole, Room, ServerRole
from palaver.model.webhooks import Delivery, DeliveryState, Ending, Webhook
from palaver.providers import webhooks as sending
from palaver.settings import Settings
from palaver.store.read import feed, webhooks as stored
from palaver.store.write import webhooks as keeping
from palaver.wire.webhooks import teller

DAY_SECONDS = 86_400
SAID = ("message.created",)


class Later(SystemClock):
    """A clock that is moved."""

    moved_ms = 0

    def now_ms(self) -> int:
        return super().now_ms() + self.moved_ms

    def move(self, seconds: float) -> None:
        self.moved_ms += round(seconds * 1000)


@dataclass(frozen=True)
class Town:
    """A Palaver with a person who owns webhooks, and a receiver."""

    core: Core
    clock: Later
    ada: Actor
    receiver: Receiver

    async def room(self, title: str = "room") -> Room:
        return await self.core.rooms.create(self.ada, title=title, agent=False)

    async def say(self, room: Room, *texts: str) -> None:
        for text in texts or ("hi",):
            await self.core.chat.send(self.ada, room.id, text=text, cid=None)

    async def hook(self, **more: Any) -> Webhook:
        given: dict[str, Any] = {"types": SAID, **more}
        url = given.pop("url", self.receiver.url)
        made, _ = await self.core.webhooks.make(self.ada, self.ada.id, url, **given)
        return made

    async def deliveries(self, hook: Webhook) -> Sequence[Delivery]:
        found, _ = await self.core.webhooks.deliveries(self.ada, hook.id, limit=200)
        return found

    async def until(
        self, hook: Webhook, holds: Callable[[Sequence[Delivery]], bool]
    ) -> Sequence[Delivery]:
        """Waits until what is known of the deliveries is so."""
        async with asyncio.timeout(60):
            while not holds(found := await self.deliveries(hook)):  # noqa: ASYNC110  others work
                await asyncio.sleep(0.01)
        return found

    async def tried(self, hook: Webhook, attempts: int) -> Delivery:
        """Waits until the oldest delivery was tried so often."""
        found = await self.until(hook, lambda all_: bool(all_) and all_[-1].attempts >= attempts)
        return found[-1]

    async def pass_time(self, seconds: float) -> None:
        """Moves the clock, and lets all look for what is due."""
        self.clock.move(seconds)
        await self.say(await self.room("another"), "somewhere else")

    async def now(self, hook: Webhook) -> Webhook:
        (found,) = [one for one in await self.core.webhooks.listing(None) if one.id == hook.id]
        return found


@asynccontextmanager
async def town_in(
    folder: Path, receiver: Receiver, clock: Later | None = None, **settings: object
) -> AsyncGenerator[Town]:
    given = {"data_dir": folder, "detect": False, "profile_networks": "127.0.0.1", **settings}
    chosen, clock = Settings.model_validate(given), clock or Later()
    async with started(chosen, tell=teller(chosen), provider=Mind(), clock=clock) as core:
        with suppress(Refused):  # it is there already
            await core.register.create("ada", role=ServerRole.PERSON)
        yield Town(core, clock, (await core.register.get("ada")).actor, receiver)


@pytest.fixture
async def receiver() -> AsyncGenerator[Receiver]:
    async with receiving() as server:
        yield server


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
async def town(
    tmp_path: Path, receiver: Receiver, request: pytest.FixtureRequest
) -> AsyncGenerator[Town]:
    shared: dict[str, Any] = {}
    if request.param == "sqlite":
        copied(tmp_path)
    else:
        shared["database_url"] = request.getfixturevalue("postgres_url")
    async with town_in(tmp_path, receiver, **shared) as opened:
        yield opened


async def test_everything_is_told_once_and_in_the_order_of_its_room(town: Town) -> None:
    rooms = [await town.room() for _ in range(3)]
    hook = await town.hook()
    for number in range(4):
        await asyncio.gather(*[town.say(room, f"{number}") for room in rooms])
    await town.receiver.heard(12)
    done = await town.until(hook, lambda all_: all(one.code == 204 for one in all_))
    assert (len(done), len(set(town.receiver.ids))) == (12, 12)
    for room in rooms:
        told = [one for one in town.receiver.told if one["partitionkey"] == room.id]
        assert [one["data"]["text"] for one in told] == ["0", "1", "2", "3"]
        assert {one["type"] for one in told} == {"chat.palaver.message.created"}
        assert {one["source"] for one in told} == {f"/rooms/{room.id}"}
    assert {(one.state, one.attempts) for one in done} == {(DeliveryState.DONE, 1)}


@pytest.fixture
async def alone(tmp_path: Path, receiver: Receiver) -> AsyncGenerator[Town]:
    copied(tmp_path)
    async with town_in(tmp_path, receiver) as opened:
        yield opened


STALLED: Script = (STALL,)
TRICKLING: Script = (Head(chunked=False), b"x", STALL)
WRONG: dict[str, Script] = {
    "hangs": STALLED,
    "one byte of a head": (b"H", STALL),
    "redirects": answers(302, location="http://127.0.0.1:9/"),
    "500": answers(500),
    "404": answers(404),
    "closes early": (CUT,),
    "endless headers": (Head(headers={"x-long": "x" * (1 << 20)}), b"{}"),
    "no HTTP": (b"hello, hello\r\n\r\n",),
    "a status that is none": (b"HTTP/1.1 999 What\r\ncontent-length: 0\r\n\r\n", CUT),
}
RIGHT: dict[str, Script] = {
    "one byte of a body": TRICKLING,
    "endless": (Head(), Endless(b"x" * 65_536)),
    "201": answers(201),
}


@pytest.mark.parametrize("kind", WRONG)
async def test_what_a_receiver_does_wrong_is_tried_again(
    alone: Town, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(sending, "SEND_SECONDS", 0.5)
    room, hook = await alone.room(), await alone.hook()
    alone.receiver.will(WRONG[kind])
    await alone.say(room, "first", "second")
    failed = await alone.tried(hook, 1)
    assert failed.state is DeliveryState.WAITING
    assert failed.code == {"redirects": 302, "500": 500, "404": 404}.get(kind)
    await alone.pass_time(RETRY_SECONDS[0] * 1.1)
    done = await alone.until(hook, lambda all_: all(one.code == 204 for one in all_))
    told = [one["data"]["text"] for one in alone.receiver.told if one["partitionkey"] == room.id]
    assert told == ["first", "first", "second"]
    assert [one.attempts for one in done[-2:]] == [1, 2]


@pytest.mark.parametrize("kind", RIGHT)
async def test_of_an_answer_only_its_status_counts(alone: Town, kind: str) -> None:
    room, hook = await alone.room(), await alone.hook()
    alone.receiver.default = RIGHT[kind]
    await alone.say(room, "first", "second")
    done = await alone.until(hook, lambda all_: len([one for one in all_ if one.code]) == 2)
    assert {one.state for one in done} == {DeliveryState.DONE}


async def test_it_is_tried_as_often_and_as_late_as_said(alone: Town) -> None:
    room, hook = await alone.room(), await alone.hook()
    alone.receiver.scripts[room.id] = answers(503)
    await alone.say(room, "never", "behind")
    for tries, seconds in enumerate(RETRY_SECONDS, 1):
        one = await alone.tried(hook, tries)
        pause_ms = one.due_ms - alone.clock.now_ms()
        assert seconds * 990 < pause_ms + 1_000 * tries, "not sooner"
        assert pause_ms <= seconds * 1_100, "a tenth by chance"
        await alone.pass_time(seconds * 1.1)  # what is told there shows that the receiver is there
        await alone.until(hook, lambda all_: all_[0].code == 204)
    one = await alone.tried(hook, len(RETRY_SECONDS) + 1)
    assert (one.state, one.code) == (DeliveryState.FAILED, 503)
    await alone.until(hook, lambda all_: all_[-2].attempts == 1)
    assert (await alone.now(hook)).ended is None
    told = [one for one in alone.receiver.told if one["partitionkey"] == room.id]
    assert len(told) == len(RETRY_SECONDS) + 2, "then the next of its room has its turn"
    assert told[-1]["data"]["text"] == "behind"


async def test_who_fails_for_three_days_is_told_no_more_and_then_all_that_was_missed(
    town: Town,
) -> None:
    room, hook = await town.room(), await town.hook()
    town.receiver.default = answers(500)
    await town.say(room, "one")
    await town.tried(hook, 1)
    town.clock.move(3 * DAY_SECONDS + 60)
    await town.say(room, "two")
    async with asyncio.timeout(60):
        while (now := await town.now(hook)).ended is None:  # noqa: ASYNC110  the receiver fails
            await asyncio.sleep(0.01)
    assert now.ended is Ending.FAILING
    audited = await town.core.audit(0)
    (said,) = [one for one in audited if one.type is EventType.WEBHOOK_ENDED]
    assert (said.actor, said.data) == (
        None,
        {"webhook": hook.id, "of": town.ada.id, "why": "failing"},
    )
    town.receiver.default = answers(200)
    await town.say(room, "three")
    before = len(town.receiver.requests)
    await town.core.webhooks.change(town.ada, hook.id, enabled=True)
    await town.receiver.heard(before + 3)
    told = [one["data"]["text"] for one in town.receiver.told[before:]]
    assert told == ["one", "two", "three"]
    assert (await town.now(hook)).failing_ms is None


async def test_what_arrives_ends_that_nothing_does(alone: Town) -> None:
    room, hook = await alone.room(), await alone.hook()
    alone.receiver.default = answers(500)
    await alone.say(room, "one")
    waits = await alone.tried(hook, 1)
    failing_ms = (await alone.now(hook)).failing_ms
    assert failing_ms is not None
    await alone.core.webhooks.test(alone.ada, hook.id)
    assert (await alone.now(hook)).failing_ms == failing_ms, "nor did a test"
    alone.receiver.default = answers(200)
    alone.receiver.scripts[room.id] = answers(500)
    await alone.core.webhooks.test(alone.ada, hook.id)
    assert (await alone.now(hook)).failing_ms is None

    await alone.pass_time(RETRY_SECONDS[0] * 1.1)
    assert (await alone.tried(hook, 2)).id == waits.id
    await alone.core.webhooks.replay(alone.ada, hook.id, waits.id)
    hurried = await alone.tried(hook, 3)
    pause_ms = hurried.due_ms - alone.clock.now_ms()
    assert pause_ms <= RETRY_SECONDS[0] * 1_100, "its pauses begin anew, its tries go on"


async def test_a_receiver_that_is_gone_is_told_no_more(alone: Town) -> None:
    room, hook = await alone.room(), await alone.hook()
    alone.receiver.default = answers(410)
    await alone.say(room, "one", "two")
    async with asyncio.timeout(60):
        while (now := await alone.now(hook)).ended is None:  # noqa: ASYNC110  the receiver says so
            await asyncio.sleep(0.01)
    assert now.ended is Ending.GONE
    await alone.say(room, "three")
    other = await alone.hook(url=f"{alone.receiver.url}/other")
    alone.receiver.default = answers(200)
    await alone.say(room, "four")
    await alone.until(other, lambda all_: bool(all_) and all_[0].code == 200)
    told = [one["data"]["text"] for one in alone.receiver.told]
    assert told == ["one", "four"]


async def test_a_receiver_that_is_gone_is_told_no_more_also_where_it_takes_something_else(
    alone: Town,
) -> None:
    rooms, hook = [await alone.room() for _ in range(2)], await alone.hook()
    for room in rooms:
        alone.receiver.scripts[room.id] = answers(500)
        await alone.say(room, "x")
    await alone.until(hook, lambda all_: [one.attempts for one in all_] == [1, 1])
    for room, status in zip(rooms, (410, 200), strict=True):
        alone.receiver.scripts[room.id] = answers(status)
    await alone.pass_time(RETRY_SECONDS[0] * 1.1)
    await alone.until(hook, lambda all_: {200, 410} <= {one.code for one in all_})
    assert (await alone.now(hook)).ended is Ending.GONE


async def test_a_room_that_waits_holds_up_no_other_and_comes_in_its_order(alone: Town) -> None:
    slow, quick = await alone.room(), await alone.room()
    hook = await alone.hook()
    alone.receiver.scripts[slow.id] = answers(500)
    await alone.say(slow, "1", "2", "3")
    await alone.tried(hook, 1)
    await alone.say(quick, "1", "2", "3")
    await alone.until(hook, lambda all_: [one.code for one in all_[:3]] == [204] * 3)
    del alone.receiver.scripts[slow.id]
    await alone.pass_time(RETRY_SECONDS[0] * 1.1)
    await alone.until(hook, lambda all_: all(one.code == 204 for one in all_))
    told = [one for one in alone.receiver.told if one["partitionkey"] == slow.id]
    assert [one["data"]["text"] for one in told] == ["1", "1", "2", "3"]


async def test_one_that_hangs_slows_no_other(alone: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "SEND_SECONDS", 3_600)
    async with receiving() as other:
        other.default = STALLED
        await alone.hook(url=other.url)
        hook, room = await alone.hook(), await alone.room()
        await alone.say(room, *map(str, range(20)))
        await alone.until(hook, lambda all_: len([one for one in all_ if one.code]) == 20)
        await other.heard(1)
        assert len(other.requests) == 1


async def test_while_very_much_waits_nothing_more_is_taken_and_nothing_lost(
    alone: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored, "WAITING_MAX", 5)
    room, hook = await alone.room(), await alone.hook()
    alone.receiver.default = answers(500)
    await alone.say(room, *map(str, range(30)))
    await alone.tried(hook, 1)
    await alone.say(await alone.room(), "elsewhere")
    assert len(await alone.deliveries(hook)) == 5
    alone.receiver.default = answers(200)
    alone.clock.move(RETRY_SECONDS[0] * 1.1)
    await alone.say(room, "30")
    await alone.until(hook, lambda all_: len([one for one in all_ if one.code == 200]) == 32)
    told = [one["data"]["text"] for one in alone.receiver.told if one["partitionkey"] == room.id]
    assert told[told.count("0") - 1 :] == [*map(str, range(31))]


async def test_only_the_newest_deliveries_are_known_and_all_that_wait(
    alone: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "KEPT_MAX", 5)
    room, hook = await alone.room(), await alone.hook()
    waits = await alone.room()
    alone.receiver.scripts[waits.id] = answers(500)
    await alone.say(waits, "first")
    await alone.tried(hook, 1)
    await alone.say(room, *map(str, range(12)))
    await alone.receiver.heard(13)
    found = await alone.until(
        hook, lambda all_: len(all_) == 6 and all(one.code == 204 for one in all_[:-1])
    )
    assert (found[-1].room, found[-1].state) == (waits.id, DeliveryState.WAITING)
    assert found[0].seq - found[-2].seq == 4
    ours = (alone.ada, hook.id)
    first, before = await alone.core.webhooks.deliveries(*ours, limit=4)
    rest, end = await alone.core.webhooks.deliveries(*ours, before=before, limit=4)
    assert ([*first, *rest], end) == ([*found], None)


# rights


async def test_only_what_its_owner_may_read_is_told(town: Town) -> None:
    await town.core.register.create("bo", role=ServerRole.OWNER)
    bo = (await town.core.register.get("bo")).actor
    theirs = await town.core.rooms.create(bo, title="theirs", agent=False)
    hook = await town.hook(types=())
    await town.core.chat.send(bo, theirs.id, text="private", cid=None)
    own = await town.room()
    await town.say(own, "mine")
    await town.until(hook, lambda all_: len([one for one in all_ if one.code]) >= 2)
    assert {one["partitionkey"] for one in town.receiver.told} == {own.id}
    assert "private" not in str(town.receiver.told)


async def test_who_has_lost_a_room_is_told_nothing_more_of_it(town: Town) -> None:
    await town.core.register.create("bo", role=ServerRole.PERSON)
    bo = (await town.core.register.get("bo")).actor
    theirs = await town.core.rooms.create(bo, title="theirs", agent=False)
    await town.core.members.add(bo, theirs.id, town.ada.id, role=MemberRole.MEMBER)
    hook, own = await town.hook(), await town.room()
    town.receiver.default = answers(500)
    await town.core.chat.send(bo, theirs.id, text="before", cid=None)
    await town.tried(hook, 1)
    town.receiver.default = answers(200)
    await town.core.members.remove(bo, theirs.id, town.ada.id)
    await town.core.chat.send(bo, theirs.id, text="after", cid=None)
    town.clock.move(RETRY_SECONDS[0] * 1.1)
    await town.say(own, "mine")
    found = await town.until(
        hook, lambda all_: [one.state != "waiting" for one in all_] == [True] * 2
    )
    assert [one.state for one in found] == [DeliveryState.DONE, DeliveryState.WITHHELD]
    assert [one["data"]["text"] for one in town.receiver.told] == ["before", "mine"]


async def test_whose_account_is_disabled_is_told_nothing(alone: Town) -> None:
    hook, room = await alone.hook(), await alone.room()
    await alone.say(room, "one")
    await alone.until(hook, lambda all_: bool(all_) and all_[0].code == 204)
    alone.receiver.default = answers(500)
    await alone.say(room, "two")
    await alone.until(hook, lambda all_: all_[0].code == 500)
    await alone.core.register.create("ow", role=ServerRole.OWNER)
    await alone.core.register.set_status("ada", AccountStatus.DISABLED)
    alone.clock.move(RETRY_SECONDS[0] * 1.1)
    ow = (await alone.core.register.get("ow")).actor
    await alone.core.rooms.create(ow, title="wakes", agent=False)
    found = await alone.until(hook, lambda all_: all_[0].state != "waiting")
    assert found[0].state is DeliveryState.WITHHELD
    assert len(alone.receiver.requests) == 2


async def test_what_is_chosen_is_told_and_nothing_else(alone: Town) -> None:
    rooms = [await alone.room() for _ in range(2)]
    some = await alone.hook(rooms=[rooms[0].id], types=["room.renamed", "message.deleted"])
    for room in rooms:
        await alone.say(room, "x")
        await alone.core.rooms.rename(alone.ada, room.id, "called")
    found = await alone.until(some, lambda all_: bool(all_) and all_[0].code == 204)
    assert [(one.room, one.type) for one in found] == [(rooms[0].id, "room.renamed")]
    assert alone.receiver.told[0]["data"] == {"title": "called", "source": "user"}


async def test_without_its_secret_nothing_is_sent(tmp_path: Path, receiver: Receiver) -> None:
    copied(tmp_path)
    async with town_in(tmp_path, receiver) as town:
        hook, room = await town.hook(), await town.room()
    (tmp_path / "secret.key").unlink()
    async with town_in(tmp_path, receiver) as town:
        await town.say(room, "unsigned")
        failed = await town.tried(hook, 1)
        assert (failed.code, failed.state) == (None, DeliveryState.WAITING)
        assert receiver.connections == 0


async def test_what_waited_when_a_server_stopped_is_told_by_the_next(
    tmp_path: Path, receiver: Receiver
) -> None:
    copied(tmp_path)
    receiver.default = answers(500)
    async with town_in(tmp_path, receiver) as town:
        hook, room = await town.hook(), await town.room()
        await town.say(room, "1", "2")
        await town.tried(hook, 1)
    receiver.default = answers(200)
    clock = Later()
    clock.move(RETRY_SECONDS[0] * 1.1)
    async with town_in(tmp_path, receiver, clock) as town:
        await town.until(hook, lambda all_: all(one.code == 200 for one in all_))
        assert [one["data"]["text"] for one in receiver.told] == ["1", "1", "2"]


async def test_of_two_processes_one_tells(
    tmp_path: Path, receiver: Receiver, postgres_url: str
) -> None:
    both: dict[str, Any] = {"database_url": postgres_url}
    async with (
        town_in(tmp_path / "a", receiver, **both) as here,
        town_in(tmp_path / "b", receiver, **both) as there,
    ):
        hook, rooms = await here.hook(), [await here.room() for _ in range(3)]
        for number in range(10):
            await asyncio.gather(
                *[one.say(room, f"{number}") for one in (here, there) for room in rooms]
            )
        done = await here.until(
            hook, lambda all_: len(all_) == 60 and all(one.code == 204 for one in all_)
        )
        assert {one.attempts for one in done} == {1}
        assert len(receiver.ids) == len(set(receiver.ids)) == 60
        for room in rooms:
            told = [int(one["sequence"]) for one in receiver.told if one["partitionkey"] == room.id]
            assert told == sorted(told)


async def test_what_a_dead_process_was_to_tell_is_told_once_its_time_is_over(
    tmp_path: Path, receiver: Receiver, postgres_url: str
) -> None:
    receiver.default = answers(500)
    async with town_in(tmp_path / "a", receiver, database_url=postgres_url) as first:
        hook, room = await first.hook(), await first.room()
        await first.say(room, "1")
        await first.tried(hook, 1)
    receiver.default = answers(200)
    held = "holder = 'dead', held_until_ms = 1000 * extract(epoch FROM clock_timestamp()) + 700"
    await asyncio.to_thread(execute, postgres_url, f"UPDATE webhooks SET {held}")
    clock = Later()
    clock.move(RETRY_SECONDS[0] * 1.1)
    shared = {"database_url": postgres_url, "secret_key_file": tmp_path / "a" / "secret.key"}
    async with town_in(tmp_path / "b", receiver, clock, **shared) as second:
        await second.until(hook, lambda all_: all_[0].code == 200)


async def test_webhooks_that_are_told_nothing_cost_one_look_for_all(
    tmp_path: Path, receiver: Receiver, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumers, "LOOK_SECONDS", 0.01)
    looks, rounds = counted(monkeypatch, feed, "ends"), counted(monkeypatch, stored, "next_round")
    async with town_in(tmp_path, receiver, database_url=postgres_url) as town, asyncio.timeout(20):
        for _ in range(5):
            await town.hook()
        quiet = False
        while not quiet:
            before, target = rounds.count, looks.count + 20
            while looks.count < target:  # noqa: ASYNC110  others look
                await asyncio.sleep(0.01)
            quiet = rounds.count == before > 0
        await town.say(await town.room(), "one")
        await receiver.heard(5)


@dataclass
class Counted:
    """How often something was asked."""

    count: int = 0


def counted(monkeypatch: pytest.MonkeyPatch, module: ModuleType, name: str) -> Counted:
    """Counts how often a query is asked."""
    query, asked = getattr(module, name), Counted()

    def asks(*given: Any) -> Any:
        asked.count += 1
        return query(*given)

    monkeypatch.setattr(module, name, asks)
    return asked
