"""What every client does, whoever wrote it: talk, call a tool, want an object, and lose its server in mid-answer.

Each is a process of its own with its usual settings, told by the usual variables where the API is. What it says must
stand in one room, once, for everyone to see while it comes.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.clients.answers import FINISH, answer, calls_a_tool
from tests.support import clients
from tests.support.clients import Missing, Program
from tests.support.server import Serve, ServerProcess
from tests.support.upstream import (
    ScriptedUpstream,
    reply,
    stream,
)
from tests.wire.door import Door, settings_for

pytestmark = pytest.mark.slow

Json = dict[str, Any]
OSLO: Json = {"city": "Oslo", "people": 700_000}


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """A program and its mode.

    `whole`: what it does not want streamed, nor the model server is asked to stream. `tells`: it asks for answers that
    are not stored, and says afterwards what they were.
    """

    program: str
    mode: str = "chat"
    tells: bool = False
    whole: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        return f"{self.program} {self.mode}"

    def starts(self, server: ServerProcess) -> AbstractAsyncContextManager[Program]:
        """A run of it, as somebody of its own. Skips where it cannot be had."""
        try:
            if self.program.endswith(".js"):
                command = clients.javascript(self.program, self.mode)
                environment: Mapping[str, str] = clients.javascript_environment()
            else:
                environment = clients.python_environment()
                command = clients.python(self.program, self.mode)
        except Missing as missing:
            pytest.skip(str(missing))
        return clients.running(command, server.url, environment=environment, key=f"sk {self.name}")


def tried() -> list[Any]:
    """Those in JavaScript always, those in Python, which take their time to start, in `./test torture`."""
    found = [
        Client(program="with_openai.js", whole=frozenset({"tool", "object"})),
        Client(program="with_openai.js", mode="responses"),
        Client(program="with_ai.js", whole=frozenset({"object"})),
        Client(program="with_ai.js", mode="responses"),
    ]
    others = [
        Client(program="with_agents.py"),
        Client(program="with_agents.py", mode="responses"),
        Client(program="with_agents.py", mode="session", tells=True),
        Client(program="with_langchain.py", whole=frozenset({"tool", "object"})),
        Client(program="with_langchain.py", mode="responses"),
        Client(program="with_llm.py"),
    ]
    return [
        pytest.param(one, id=one.name, marks=[] if one in found else [pytest.mark.torture])
        for one in [*found, *others]
    ]


@pytest.fixture(params=tried())
def client(request: pytest.FixtureRequest) -> Client:
    return request.param


@pytest.fixture
async def door(relay: ServerProcess, tmp_path: Path) -> AsyncIterator[Door]:
    """Somebody who looks on."""
    looker = Door(relay.url, settings_for(tmp_path))
    yield looker
    await looker.close()


async def room_of(http: httpx2.AsyncClient, title: str) -> str:
    """The one room that begins with these words."""
    rooms = (await http.get("/api/rooms", params={"limit": 100})).json()["rooms"]
    (found,) = [room["id"] for room in rooms if room["title"] == title]
    return found


async def rows(http: httpx2.AsyncClient, room: str) -> list[tuple[str, str, str]]:
    """Role, text and status of all that a room holds; what was thought stands in some rooms by itself."""
    got = (await http.get(f"/api/rooms/{room}/messages", params={"limit": 200})).json()
    said = [one for one in got["messages"] if one["kind"] != "reasoning"]
    return [(one["role"], one["text"], one["status"]) for one in said]


async def test_a_conversation_is_one_room_that_is_seen_while_it_grows(
    client: Client, relay: ServerProcess, models: ScriptedUpstream, door: Door
) -> None:
    title = f"Hello from {client.name}"
    token, http = await door.guest()
    gate = asyncio.Event()
    async with client.starts(relay) as program, door.live(token) as live:
        models.will(stream("one ", gate, "two", *FINISH), reply("three"))
        await program.begin("say", title)
        await program.heard("one ")
        room = await room_of(http, title)
        joined = await live.ask(t="sub", room=room)
        assert [one["text"] for one in joined["messages"]] == [title]
        assert [one["text"] for one in joined["streams"]] == ([] if client.tells else ["one "])
        gate.set()
        told = await live.event("message.created")
        assert told["d"]["text"] == "one two"
        assert (await program.end())["said"] == "one two"
        assert (await program.do("say", "and then?"))["said"] == "three"
        assert await rows(http, room) == [
            ("user", title, "done"),
            ("assistant", "one two", "done"),
            ("user", "and then?", "done"),
            ("assistant", "three", "done"),
        ]


async def test_a_tool_goes_round_and_an_object_comes_back(
    client: Client, relay: ServerProcess, models: ScriptedUpstream, door: Door
) -> None:
    title = f"The weather, {client.name}?"
    streams = "tool" not in client.whole
    async with client.starts(relay) as program:
        models.will(calls_a_tool(streams=streams), answer("It snows.", streams=streams))
        assert (await program.do("tool", title))["said"] == "It snows."
        models.will(answer(json.dumps(OSLO), streams="object" not in client.whole))
        assert await program.do("object", "And the city?") == {"object": OSLO}
        asked = models.asked[-1].json
        assert asked["response_format"]["type"] == "json_schema"
        assert [message["role"] for message in asked["messages"]] == [
            *("user", "assistant", "tool", "assistant", "user")
        ]
    http = door.http()
    assert [(role, text) for role, text, _ in await rows(http, await room_of(http, title))] == [
        ("user", title),
        ("assistant", '{"city": "Oslo"}'),
        ("tool", "Snow in Oslo"),
        ("assistant", "It snows."),
        ("user", "And the city?"),
        ("assistant", json.dumps(OSLO)),
    ]


async def test_an_answer_that_the_servers_death_cut_is_an_error_and_what_came_is_kept(
    client: Client, serve: Serve, models: ScriptedUpstream, tmp_path: Path
) -> None:
    server = await serve(environment={"OPENAI_BASE_URL": models.base_url})
    async with client.starts(server) as program:
        models.will(reply("first"), stream("one ", "two ", asyncio.Event()))
        await program.do("say", "Hello")
        await program.begin("say", "Go on.")
        await program.heard("one two ")
        await server.kill()
        assert "failed" in await program.end()
        await server.start()
        models.will(reply("three"))
        assert (await program.do("say", "Go on."))["said"] == "three"
    looker = Door(server.url, settings_for(tmp_path))
    http = looker.http()
    told = await rows(http, await room_of(http, "Hello"))
    await looker.close()
    assert told[:3] == [
        ("user", "Hello", "done"),
        ("assistant", "first", "done"),
        ("user", "Go on.", "done"),
    ]
    assert client.tells or ("assistant", "one two ", "interrupted") in told
    assert told[-1] == ("assistant", "three", "done")
