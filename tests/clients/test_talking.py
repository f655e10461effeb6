"""What every client does, whoever wrote it: talk, call a tool, want an object, and lose its server in mid-answer.

Each is a process of its own with its usual settings, told by the usual variables where the API is. What it says must
stand in one room, once, for everyone to see while it comes.
"""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest
from tests.clients.answers import FINISH, answer, calls_a_tool
from tests.support.clients import Installed, Program
from tests.support.llama import ANSWER
from tests.support.server import Serve, ServerProcess
from tests.support.upstream import (
    ScriptedUpstream,
    reply,
    stream,
)
from tests.wire.door import Door, settings_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]  # what is installed may take its time

Json = dict[str, Any]
Started = AbstractAsyncContextManager[Program]
OSLO: Json = {"city": "Oslo", "people": 700_000}


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """A program and its mode.

    `whole`: what it does not want streamed, nor the model server is asked to stream. `keeps`: the server keeps its
    history, and it sends what is new. `tells`: it asks for answers that are not stored, and says afterwards what they
    were.
    """

    program: str
    mode: str = "chat"
    keeps: bool = False
    tells: bool = False
    whole: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        return f"{self.program} {self.mode}"

    def starts(self, installed: Installed, server: ServerProcess) -> Started:
        """A run of it, as somebody of its own."""
        return installed.running(self.program, self.mode, server.url, key=f"sk {self.name}")


def tried() -> list[Any]:
    """Those in JavaScript always, those in Python, which take their time to start, in `./test torture`."""
    found = [
        Client(program="with_openai.js", whole=frozenset({"tool", "object"})),
        Client(program="with_openai.js", mode="responses", keeps=True),
        Client(program="with_ai.js", whole=frozenset({"object"})),
        Client(program="with_ai.js", mode="responses"),
    ]
    others = [
        Client(program="with_agents.py"),
        Client(program="with_agents.py", mode="responses", keeps=True),
        Client(program="with_agents.py", mode="session", keeps=True, tells=True),
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
def installed(client: Client, request: pytest.FixtureRequest) -> Installed:
    return request.getfixturevalue("javascript" if client.program.endswith(".js") else "python")


@asynccontextmanager
async def looking(server: ServerProcess) -> AsyncGenerator[Door]:
    """Somebody who looks on."""
    looker = Door(server.url, settings_for(server.data))
    try:
        yield looker
    finally:
        await looker.close()


async def room_of(http: httpx2.AsyncClient, title: str) -> str:
    """The one room that begins with these words."""
    rooms = (await http.get("/api/rooms", params={"limit": 100})).json()["rooms"]
    (found,) = [room["id"] for room in rooms if room["title"] == title]
    return found


async def seen(server: ServerProcess, title: str, words: str) -> None:
    """Waits until an answer that runs in the room of this title shows these words."""
    async with looking(server) as door:
        token, http = await door.guest()
        async with door.live(token) as live:
            joined = await live.ask(t="sub", room=await room_of(http, title))
            if words not in [one["text"] for one in joined["streams"]]:
                await live.push("s.d", lambda frame: words in frame.get("x", ""))


async def stored(server: ServerProcess, title: str) -> list[tuple[str, str, str]]:
    """Role, text and status of all that a room holds; what was thought stands in some rooms by itself."""
    async with looking(server) as door:
        http = door.http()
        room = await room_of(http, title)
        got = (await http.get(f"/api/rooms/{room}/messages", params={"limit": 200})).json()
    said = [one for one in got["messages"] if one["kind"] != "reasoning"]
    return [(one["role"], one["text"], one["status"]) for one in said]


async def test_a_conversation_is_one_room_that_is_seen_while_it_grows(
    client: Client, installed: Installed, relay: ServerProcess, models: ScriptedUpstream
) -> None:
    title = f"Hello from {client.name}"
    gate = asyncio.Event()
    async with client.starts(installed, relay) as program, looking(relay) as door:
        token, http = await door.guest()
        models.will(stream("one ", gate, "two", *FINISH), reply("three"))
        await program.begin("say", title)
        await program.heard("one ")
        async with door.live(token) as live:
            joined = await live.ask(t="sub", room=await room_of(http, title))
            assert [one["text"] for one in joined["messages"]] == [title]
            assert [one["text"] for one in joined["streams"]] == ([] if client.tells else ["one "])
            gate.set()
            told = await live.event("message.created")
            assert told["d"]["text"] == "one two"
        assert (await program.end())["said"] == "one two"
        assert (await program.do("say", "and then?"))["said"] == "three"
    assert await stored(relay, title) == [
        ("user", title, "done"),
        ("assistant", "one two", "done"),
        ("user", "and then?", "done"),
        ("assistant", "three", "done"),
    ]


async def test_a_tool_goes_round_and_an_object_comes_back(
    client: Client, installed: Installed, relay: ServerProcess, models: ScriptedUpstream
) -> None:
    title = f"The weather, {client.name}?"
    streams = "tool" not in client.whole
    async with client.starts(installed, relay) as program:
        models.will(calls_a_tool(streams=streams), answer("It snows.", streams=streams))
        assert (await program.do("tool", title))["said"] == "It snows."
        models.will(answer(json.dumps(OSLO), streams="object" not in client.whole))
        assert await program.do("object", "And the city?") == {"object": OSLO}
        asked = models.asked[-1].json
        assert asked["response_format"]["type"] == "json_schema"
        assert [message["role"] for message in asked["messages"]] == [
            *("user", "assistant", "tool", "assistant", "user")
        ]
    assert [(role, text) for role, text, _ in await stored(relay, title)] == [
        ("user", title),
        ("assistant", '{"city": "Oslo"}'),
        ("tool", "Snow in Oslo"),
        ("assistant", "It snows."),
        ("user", "And the city?"),
        ("assistant", json.dumps(OSLO)),
    ]


async def test_every_word_of_a_real_model_comes_once_and_in_order(
    client: Client, installed: Installed, real: ServerProcess
) -> None:
    title = f"Count, {client.name}."
    async with client.starts(installed, real) as program:
        assert (await program.do("say", title))["said"] == ANSWER
        assert "".join(program.words).rstrip("\n") == ANSWER
    assert await stored(real, title) == [
        ("user", title, "done"),
        ("assistant", ANSWER, "done"),
    ]


async def test_an_answer_that_the_servers_death_cut_is_an_error_and_what_came_is_kept(
    client: Client, installed: Installed, serve: Serve, models: ScriptedUpstream
) -> None:
    server = await serve(environment={"OPENAI_BASE_URL": models.base_url})
    async with client.starts(installed, server) as program:
        models.will(reply("first"), stream("one ", "two ", asyncio.Event()))
        await program.do("say", "Hello")
        await program.begin("say", "Go on.")
        await program.heard("one two ")
        await server.kill()
        assert "failed" in await program.end()
        await server.start()
        models.will(reply("three"))
        assert (await program.do("say", "Go on."))["said"] == "three"
    told = await stored(server, "Hello")
    cut, again = ("assistant", "one two ", "interrupted"), ("user", "Go on.", "done")
    assert told == [
        ("user", "Hello", "done"),
        ("assistant", "first", "done"),
        ("user", "Go on.", "done"),
        *([] if client.tells else [cut]),
        *([again] if client.keeps else []),
        ("assistant", "three", "done"),
    ]
