"""Claude Code as its users have it: it reads a file, edits it and finishes, and its whole run is one room.

Its model server is a scripted one: of chat completions, of which its answers are composed, or of the API that it speaks
itself, whose bytes are passed on.
"""

import asyncio
import json
import os
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Protocol

import pytest
from tests.clients.test_talking import looking, room_of, seen
from tests.support import clients
from tests.support.anthropic import (
    ScriptedAnthropic,
    delta,
    end,
    events,
    script,
    scripted_anthropic,
    start,
    text,
    tool,
    whole_message,
)
from tests.support.clients import Missing
from tests.support.server import Serve, ServerProcess, clean_environment
from tests.support.upstream import (
    DONE,
    ScriptedUpstream,
    chunk,
    event,
    reply,
    scripted_upstream,
    stream,
)

pytestmark = [pytest.mark.torture, pytest.mark.timeout(600)]

RUN_SECONDS_MAX = 240
TASK = "Put gamma in the place of beta in notes.txt."
FINISHED = "Now it says gamma."

Json = dict[str, Any]


class Mind(Protocol):
    """A scripted model server, whatever it speaks."""

    @property
    def environment(self) -> Mapping[str, str]: ...

    @property
    def questions(self) -> int: ...

    def calls(self, name: str, arguments: Json) -> None:
        """The next answer is a call of a tool."""
        ...

    def says(self, words: str, *, streams: bool = True) -> None:
        """The next answer is these words. `streams`: as the client asks for them."""
        ...

    def begins(self, words: str) -> None:
        """The next answer begins so, and goes no further."""
        ...

    async def asked(self, number: int) -> None:
        """Waits until so many answers were asked for."""
        ...


@dataclass(slots=True)
class ChatMind:
    """Answers with chat completions."""

    server: ScriptedUpstream
    ids: "count[int]" = field(default_factory=count)

    @property
    def environment(self) -> Mapping[str, str]:
        return {"OPENAI_BASE_URL": self.server.base_url}

    @property
    def questions(self) -> int:
        return len(self.server.asked)

    def calls(self, name: str, arguments: Json) -> None:
        function = {"name": name, "arguments": json.dumps(arguments)}
        call = {"index": 0, "id": f"call_{next(self.ids)}", "type": "function"}
        deltas: list[Json] = [{"tool_calls": [call | {"function": function}]}]
        told = [event({"id": "c", "choices": [{"index": 0, "delta": one}]}) for one in deltas]
        self.server.will(stream(*told, chunk(finish="tool_calls"), DONE))

    def says(self, words: str, *, streams: bool = True) -> None:  # noqa: ARG002  it is always asked to
        self.server.will(reply(words))

    def begins(self, words: str) -> None:
        self.server.will(stream(words, asyncio.Event()))

    async def asked(self, number: int) -> None:
        await self.server.arrived(number)


@dataclass(slots=True)
class MessagesMind:
    """Answers in the Messages API; each answer has an id of its own, by which the program knows it."""

    server: ScriptedAnthropic
    ids: "count[int]" = field(default_factory=count)

    @property
    def environment(self) -> Mapping[str, str]:
        return {"ANTHROPIC_BASE_URL": self.server.base_url}

    @property
    def questions(self) -> int:
        return len(self.server.asked)

    def calls(self, name: str, arguments: Json) -> None:
        block = tool(f"toolu_{next(self.ids)}", name, json.dumps(arguments))
        self._tells(events(block, stop="tool_use")[1:])

    def says(self, words: str, *, streams: bool = True) -> None:
        if streams:
            self._tells(events(text(words))[1:])
        else:
            self.server.will(whole_message(text(words), id=f"msg_{next(self.ids)}"))

    def begins(self, words: str) -> None:
        told = events(text())[1:3]
        self._tells([*told, delta(0, "text_delta", text=words), asyncio.Event(), *end()])

    def _tells(self, parts: list[Any]) -> None:
        self.server.will(script([start(id=f"msg_{next(self.ids)}"), *parts]))

    async def asked(self, number: int) -> None:
        await self.server.arrived(number)


@pytest.fixture(scope="session")
def claude() -> Path:
    try:
        return clients.claude_code()
    except Missing as missing:
        pytest.skip(str(missing))


@pytest.fixture(params=["chat completions", "messages"])
async def mind(request: pytest.FixtureRequest) -> AsyncIterator[Mind]:
    if request.param == "messages":
        async with scripted_anthropic() as server:
            yield MessagesMind(server)
    else:
        async with scripted_upstream() as upstream:
            yield ChatMind(upstream)


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    found = tmp_path / "work" / "notes.txt"
    found.parent.mkdir()
    found.write_text("alpha\nbeta\n", encoding="utf-8")
    return found


@asynccontextmanager
async def running(
    claude: Path, notes: Path, server: ServerProcess, *arguments: str
) -> AsyncGenerator[asyncio.subprocess.Process]:
    """The program with its task, in the folder of the file, pointed at Palaver by its usual variables."""
    home = notes.parent.parent / "home"
    home.mkdir(exist_ok=True)
    process = await asyncio.create_subprocess_exec(
        *(str(claude), "-p", TASK, "--output-format", "json"),
        *("--allowedTools", "Read Edit", "--model", "claude-test", *arguments),
        cwd=notes.parent,
        env=clean_environment(
            {
                "HOME": str(home),
                "PATH": os.environ.get("PATH", os.defpath),
                "ANTHROPIC_BASE_URL": server.url,
                "ANTHROPIC_AUTH_TOKEN": "any",
                "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
                "DISABLE_AUTOUPDATER": "1",
            }
        ),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def ended(process: asyncio.subprocess.Process) -> Json:
    """What it says at its end."""
    async with asyncio.timeout(RUN_SECONDS_MAX):
        said, errors = await process.communicate()
    assert process.returncode == 0, (said[-2_000:], errors[-2_000:])
    return json.loads(said)


async def story(server: ServerProcess) -> list[tuple[str, str, str]]:
    """What the one room that the run made tells, but for prompts: what each message is, its words, its status.

    An answer that was cut and asked for again is deleted, undoably, as *Try again* does it.
    """
    async with looking(server) as door:
        http = door.http()
        room = await room_of(http, TASK)
        rooms = (await http.get("/api/rooms", params={"limit": 100})).json()["rooms"]
        assert len(rooms) == 2, "a run is one room, beside the lobby"
        got = (await http.get(f"/api/rooms/{room}/messages", params={"limit": 200})).json()
    return [
        (one["kind"] if one["kind"] != "text" else one["role"], one["text"], one["status"])
        for one in got["messages"]
        if one["role"] != "system" and not one.get("deleted_at")
    ]


def text_in(notes: Path) -> str:
    return notes.read_text(encoding="utf-8")


def edits(mind: Mind, notes: Path) -> None:
    """The model reads the file, then changes it."""
    mind.calls("Read", {"file_path": str(notes)})
    change = {"old_string": "beta", "new_string": "gamma"}  # it fills in more
    mind.calls("Edit", {"file_path": str(notes), **change})


def told_of(said: list[tuple[str, str, str]]) -> list[str]:
    return [kind for kind, _, _ in said]


RUN = ["user", "tool_call", "tool_result", "tool_call", "tool_result"]


async def test_it_reads_edits_and_finishes_in_one_room(
    claude: Path, mind: Mind, notes: Path, serve: Serve
) -> None:
    server = await serve(environment=mind.environment)
    edits(mind, notes)
    mind.says(FINISHED)
    async with running(claude, notes, server) as process:
        result = await ended(process)
    assert (result["result"], result["is_error"]) == (FINISHED, False)
    assert text_in(notes) == "alpha\ngamma\n"
    said = await story(server)
    assert told_of(said) == [*RUN, "assistant"]
    assert TASK in said[0][1]
    assert "beta" in said[2][1], "what the tool read"
    assert json.loads(said[3][1])["new_string"] == "gamma"
    assert said[-1] == ("assistant", FINISHED, "done")
    assert mind.questions == 3
    mind.says("Yes.")
    async with running(claude, notes, server, "--resume", result["session_id"]) as process:
        assert (await ended(process))["result"] == "Yes."
    assert told_of(await story(server)) == [*RUN, "assistant", "user", "assistant"]


async def test_it_finishes_although_palaver_was_killed_in_the_middle_of_an_answer(
    claude: Path, mind: Mind, notes: Path, serve: Serve
) -> None:
    server = await serve(environment=mind.environment)
    edits(mind, notes)
    mind.begins("Now it ")
    async with running(claude, notes, server) as process:
        await mind.asked(3)
        await seen(server, TASK, "Now it ")
        await server.kill()
        for _ in range(2):  # it asks again, and may ask as often as it likes
            mind.says(FINISHED, streams=False)
        await server.start()
        assert (await ended(process))["result"] == FINISHED
    assert text_in(notes) == "alpha\ngamma\n"
    said = await story(server)
    assert told_of(said) == [*RUN, "assistant"], "what is asked again is stored once"
    assert said[-1] == ("assistant", FINISHED, "done")
