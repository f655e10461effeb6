"""Three server processes on one PostgreSQL, one of which hears no notice: rights are taken while everything runs.

People read by every door of every server, write as fast as they can, and have answers running; then one is taken out of
the room, one may only read there, one's session ends, one's key is revoked and one is disabled, by a fourth process.
Nothing that was said after the commit reaches whom it must not, but for a second in the process that hears no notice;
and nothing of theirs is stored that began after it.
"""

import asyncio
import json
import re
import time
from collections.abc import AsyncGenerator, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.core.identity.test_accounts import sign_up
from tests.faults.test_processes import Client, client
from tests.support.server import Serve, ServerProcess
from websockets.exceptions import ConnectionClosed

from palaver.core.identity.actors import session_of
from palaver.core.runtime import Core, started
from palaver.model import AccountStatus, Actor, ActorId, KeyId, MemberRole, Message, RoomId, Status
from palaver.settings import settings_from
from palaver.store.write.command import Command
from palaver.store.write.people.accounts import SetStatus

pytestmark = [pytest.mark.postgres, pytest.mark.timeout(400)]

SECONDS_MAX = 90
DEAF = 2
"""The number of the server that hears no notice."""
DEAF_SECONDS = 1.0
"""So often a process asks what no notice told it."""
SLACK_SECONDS = 1.5
"""For a loaded machine: what was in sockets, and a second that lasts longer."""
DOORS = {
    "removed": ("ws", "sse", "poll"),
    "demoted": ("ws",),
    "session": ("ws", "sse", "poll"),
    "key": ("/v1",),
    "disabled": ("ws", "sse", "poll", "/v1"),
}
"""Where who loses what is told something."""
ASKED = {"removed": DEAF, "disabled": 1}
"""At which server they have an answer running in the room."""
LONG = "/long 50000"
Json = dict[str, Any]


@dataclass
class Ear:
    """What one person is told at one door of one server, and when."""

    way: str
    server: int
    door: str
    heard: list[tuple[float, str]] = field(default_factory=list[tuple[float, str]])
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    over: bool = False

    def take(self, text: str) -> None:
        self.heard.append((time.monotonic(), text))
        if {"ws": '"s.d"', "/v1": "w00"}.get(self.door, "") in text:
            self.begun.set()  # also with the words of an answer, where they are told as they come

    def said(self) -> list[tuple[float, int]]:
        """The numbers of Ada's messages that were told, each with when."""
        found = [(at, re.findall(r"said (\d+)\.", text)) for at, text in self.heard]
        return [(at, int(number)) for at, numbers in found for number in numbers]


@dataclass
class Person:
    """Who loses something. `key` is the token of an API key."""

    way: str
    actor: Actor
    token: str
    key: str
    key_id: str


class Town:
    """Ada's rooms on three servers, one with an agent; the ears of the others, and what Ada said when."""

    def __init__(
        self, core: Core, servers: Sequence[ServerProcess], room: RoomId, token: str, ada: Actor
    ) -> None:
        self.core, self.servers, self.room = core, servers, room
        self.token, self.ada, self.well = token, ada, room
        self.ears: list[Ear] = []
        self.said: list[float] = []

    def http(self, server: int, token: str) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(
            base_url=self.servers[server].url,
            timeout=SECONDS_MAX,
            trust_env=False,
            headers={"authorization": f"Bearer {token}"},
        )

    def ear(self, one: Person, *place: int | str) -> Ear:
        return next(
            ear for ear in self.ears if (ear.way, ear.server, ear.door) == (one.way, *place)
        )

    async def talk(self) -> None:
        """Ada says one number after the other."""
        async with self.http(0, self.token) as http:
            while True:
                self.said.append(time.monotonic())
                number = len(self.said) - 1
                said = {"cid": f"said-{number}", "text": f"said {number}."}
                path = f"/api/rooms/{self.room}/messages"
                assert (await http.post(path, json=said)).status_code == 201
                await asyncio.sleep(0.05)

    async def live(self, one: Person, server: int) -> None:
        """A live connection, on which something is said again and again."""
        ear = self.ear(one, server, "ws")
        with suppress(ConnectionClosed):
            async with client(self.servers[server], one.token) as live:
                for room in (self.room, self.well):
                    await live.ask({"t": "sub", "id": 3, "room": room})
                async with asyncio.TaskGroup() as tasks:
                    saying = tasks.create_task(self._say(live, one, server))
                    try:
                        while True:
                            frame = await live.next()
                            if frame["t"] not in {"ping", "ack", "err"}:
                                ear.take(json.dumps(frame))
                    except ConnectionClosed:
                        saying.cancel()
        ear.over = True

    async def _say(self, live: Client, one: Person, server: int) -> None:
        for number in range(10_000):
            said = {"t": "send", "id": 9, "room": self.room, "cid": f"{one.way}-{server}-{number}"}
            with suppress(ConnectionClosed):
                await live.socket.send(json.dumps(said | {"text": "me, too"}))
            await asyncio.sleep(0.1)

    async def feed(self, one: Person, server: int) -> None:
        ear = self.ear(one, server, "sse")
        path, accept = f"/api/rooms/{self.room}/events", {"accept": "text/event-stream"}
        async with (
            self.http(server, one.token) as http,
            http.stream("GET", path, headers=accept) as events,
        ):
            async for line in events.aiter_lines():
                ear.take(line)
        ear.over = True

    async def poll(self, one: Person, server: int) -> None:
        ear, after = self.ear(one, server, "poll"), 0
        async with self.http(server, one.token) as http:
            while True:
                path = f"/api/rooms/{self.room}/events?after={after}&wait=30"
                told = await http.get(path)
                if told.status_code != 200:
                    break
                ear.take(told.text)
                after = max([after, *(one["seq"] for one in told.json()["events"])])
        ear.over = True

    async def stream(self, one: Person, server: int) -> None:
        """An answer at `/v1`."""
        ear = self.ear(one, server, "/v1")
        body = {"model": "echo", "stream": True, "messages": [{"role": "user", "content": LONG}]}
        with suppress(httpx2.RemoteProtocolError):
            async with (
                self.http(server, one.key) as http,
                http.stream("POST", "/v1/chat/completions", json=body) as answer,
            ):
                async for part in answer.aiter_text():
                    ear.take(part)
        ear.over = True


@asynccontextmanager
async def town_of(serve: Serve, folder: Path, url: str) -> AsyncGenerator[Town]:
    more: list[dict[str, str]] = [{}, {}, {"PALAVER_LISTEN_URL": ""}]
    servers = [
        await serve(name=f"s{number}", database_url=url, environment=environment)
        for number, environment in enumerate(more)
    ]
    own = settings_from(data_dir=folder / "fourth", database_url=url, detect=False, sign_up="open")
    async with started(own) as core:
        token, ada = await core.identity.new_guest("Ada")
        room = await core.rooms.create(ada, title="Storm", agent=False)
        town = Town(core, servers, room.id, token, ada)
        town.well = (await core.rooms.create(ada, title="Well")).id
        yield town


async def person(town: Town, way: str) -> Person:
    core, ada = town.core, town.ada
    if way == "disabled":
        token, actor = await sign_up(core, f"bo{core.clock.new_id()[-8:]}")
    else:
        token, actor = await core.identity.new_guest(way)
    for room in (town.room, town.well):
        await core.members.add(ada, room, actor.id)
    secret, key = await core.keys.create(actor=actor)
    return Person(way, actor, token, secret, key.id)


async def take(town: Town, one: Person) -> None:
    ada, core, room, who = town.ada, town.core, town.room, one.actor.id
    match one.way:
        case "removed":
            for room in (town.well, town.room):
                await core.members.remove(ada, room, who)
        case "demoted":
            await core.members.set_role(ada, room, who, MemberRole.READER)
        case "session":
            session = session_of(one.token)
            assert session is not None
            await core.devices.end(one.actor, session, "")
        case "key":
            await core.keys.revoke(KeyId(one.key_id))
        case _:
            disabling: Command[Any] = SetStatus(actor=who, status=AccountStatus.DISABLED)
            await core.chat._store.write(disabling)


def begun(town: Town, people: Sequence[Person]) -> list[Coroutine[Any, Any, None]]:
    """Everyone at every door of every server where they shall lose something."""
    doors = {"ws": town.live, "sse": town.feed, "poll": town.poll, "/v1": town.stream}
    servers = range(len(town.servers))
    found = [(door, one, at) for one in people for door in DOORS[one.way] for at in servers]
    town.ears[:] = [Ear(one.way, server, door) for door, one, server in found]
    return [doors[door](one, server) for door, one, server in found]


async def rights_are_taken(town: Town) -> dict[str, float]:
    """One round; how long after each commit the last word came, by who lost what and whether their server was deaf."""
    people = [await person(town, way) for way in DOORS]
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(one) for one in [town.talk(), *begun(town, people)]]
        for one, server in [(one, ASKED[one.way]) for one in people if one.way in ASKED]:
            async with town.http(server, one.token) as http:
                said = {"cid": f"ask-{town.core.clock.new_id()}", "text": f"@assistant {LONG}"}
                path = f"/api/rooms/{town.well}/messages"
                assert (await http.post(path, json=said)).status_code == 201
        for ear in town.ears:
            await asyncio.wait_for(ear.begun.wait(), SECONDS_MAX)
        taken: dict[str, tuple[float, int]] = {}
        for one in people:
            await take(town, one)
            taken[one.way] = time.monotonic(), town.core.clock.now_ms()
        await asyncio.sleep(DEAF_SECONDS + 2 * SLACK_SECONDS)
        for task in running:
            task.cancel()
    for ear in town.ears:
        nothing_later(town, ear, taken[ear.way][0])
    for one in people:
        at_ms = taken[one.way][1]
        said = await stored(town, town.room, one.actor.id)
        late = [message for message in said if message.created_ms > at_ms]
        assert one.way == "key" or not late, f"{one.way}: stored by who is out"
    return latencies(town, taken)


def nothing_later(town: Town, ear: Ear, taken: float) -> None:
    """Nothing that was said after the commit; at the deaf server after a second."""
    where = f"{ear.way} at {ear.door} of server {ear.server}"
    allowed = DEAF_SECONDS + SLACK_SECONDS if ear.server == DEAF else SLACK_SECONDS
    if ear.way == "demoted":
        assert max(at for at, _ in ear.heard) > taken + allowed, "who may still read reads on"
        return
    if ear.way != "removed":
        assert ear.over, f"{where} goes on"
    if ear.door == "/v1":
        assert ear.heard[-1][0] < taken + allowed, where
    late = allowed if ear.server == DEAF and ear.way != "removed" else 0
    assert all(town.said[number] <= taken + late for _, number in ear.said()), where
    words = [at for at, text in ear.heard if '"s.d"' in text]
    assert max(words, default=0) < taken + allowed, f"{where}: words of an answer"


async def stored(town: Town, room: RoomId, author: ActorId) -> list[Message]:
    """All that somebody has said in a room."""
    found: list[Message] = []
    before: int | None = None
    while before is None or before > 1:
        page = await town.core.chat.history(town.ada, room, before=before, limit=200)
        found += page.messages
        if page.before is None:
            break
        before = page.before
    return [one for one in found if one.author == author]


def latencies(town: Town, taken: dict[str, tuple[float, int]]) -> dict[str, float]:
    """The longest of each kind, in seconds."""
    found: dict[str, float] = {}
    for ear in town.ears:
        if ear.way != "demoted":
            name = f"{ear.way}, {'deaf' if ear.server == DEAF else 'told'}, {ear.door}"
            after = max(0.0, ear.heard[-1][0] - taken[ear.way][0])
            found[name] = max(found.get(name, 0.0), after)
    return found


async def test_nothing_later_is_told_or_stored_in_three_processes_of_which_one_is_deaf(
    serve: Serve, postgres_url: str, tmp_path: Path
) -> None:
    async with town_of(serve, tmp_path, postgres_url) as town:
        for name, seconds in sorted((await rights_are_taken(town)).items()):
            print(f"{name}: {seconds * 1000:.0f} ms")  # noqa: T201  for who measures
        await answers_stopped(town)


async def answers_stopped(town: Town) -> None:
    """What they had asked for."""
    async with asyncio.timeout(SECONDS_MAX):
        while True:
            found = await stored(town, town.well, town.core.assistant)
            if len(found) >= len(ASKED):
                break
            await asyncio.sleep(0.1)
    assert {one.status for one in found} == {Status.STOPPED}
    assert all(one.text for one in found)


@pytest.mark.torture
@pytest.mark.timeout(3_600)
async def test_nothing_later_is_told_or_stored_for_long(
    serve: Serve, postgres_url: str, tmp_path: Path, effort: float
) -> None:
    async with town_of(serve, tmp_path, postgres_url) as town:
        for _ in range(max(1, round(10 * effort))):
            await rights_are_taken(town)
