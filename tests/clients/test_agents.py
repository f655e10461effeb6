"""Coding agents as their users have them: each reads a file, edits it and finishes, and its whole run is one room.

The model server is a scripted one, which tells each what to do with its own tools. Codex and Claude Code, which speak
other APIs, have files of their own.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from string import Template
from typing import Any

import pytest
from tests.clients.answers import calling, completion
from tests.clients.test_talking import looking, seen
from tests.support import clients
from tests.support.clients import Missing
from tests.support.server import Serve, ServerProcess, clean_environment
from tests.support.upstream import (
    Received,
    Script,
    ScriptedUpstream,
    listening,
    reply,
    stream,
)

pytestmark = [pytest.mark.torture, pytest.mark.timeout(900)]  # what is installed may take its time

Json = dict[str, Any]
Step = str | tuple[str, Json]
RUN_SECONDS_MAX = 240
QUESTION = "Make it two, please."
FILE = "$folder/count.txt"
CHANGE: Json = {"old_string": "one", "new_string": "two"}
BLOCK = "count.txt\n```\n<<<<<<< SEARCH\none\n=======\ntwo\n>>>>>>> REPLACE\n```\n"
DONE = "It is two."
RUN = ("user", *("tool_call", "tool_result") * 2, "assistant")
TASKS = (b"You are a title generator.", b"concise, one-line Git commit messages")


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """A program, how it is started and configured, what its model answers, and what its room tells in the end.

    `$url`, `$home`, `$folder` and `$question` stand for what they are. `again` are the arguments with which it goes on.
    """

    fetch: Callable[[], tuple[str, ...]]
    arguments: tuple[str, ...]
    steps: tuple[Step, ...]
    story: tuple[str, ...] = RUN
    title: str = QUESTION
    again: tuple[str, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict[str, str])
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    given: str = ""


PROVIDER: Json = {
    "npm": "@ai-sdk/openai-compatible",
    "options": {"baseURL": "$url/v1", "apiKey": "any"},
    "models": {"scripted": {}},
}
CLINE: Json = {
    "provider": "openai-compatible",
    "apiKey": "any",
    "model": "scripted",
    "baseUrl": "$url/v1",
}
AGENTS = {
    "opencode": Agent(
        fetch=clients.opencode,
        arguments=("run", "--format", "json", "$question"),
        again=("run", "--format", "json", "--continue", "$question"),
        files={
            "$folder/opencode.json": json.dumps(
                {"provider": {"palaver": PROVIDER}, "model": "palaver/scripted"}
            )
        },
        environment={"OPENCODE_DISABLE_MODELS_FETCH": "1", "OPENCODE_DISABLE_AUTOUPDATE": "1"},
        steps=(
            ("read", {"filePath": FILE}),
            ("edit", {"filePath": FILE, "oldString": "one", "newString": "two"}),
            DONE,
        ),
        title=f'"{QUESTION}"',  # as it gives it on
    ),
    "Cline": Agent(
        fetch=clients.cline,
        arguments=("--json", "$question"),
        files={
            "$home/.cline/data/settings/providers.json": json.dumps(
                {
                    "version": 1,
                    "lastUsedProvider": "openai-compatible",
                    "providers": {
                        "openai-compatible": {
                            "settings": CLINE,
                            "updatedAt": "2026-11-30T00:00:00.000Z",
                            "tokenSource": "manual",
                        }
                    },
                }
            )
        },
        environment={"CLINE_SESSION_BACKEND_MODE": "local", "CLINE_NO_AUTO_UPDATE": "1"},
        steps=(
            ("read_files", {"files": [{"path": FILE}]}),
            ("editor", {"path": FILE, "old_text": "one", "new_text": "two"}),
            DONE,
        ),
    ),
    "Continue": Agent(
        fetch=clients.continue_cli,
        arguments=("--config", "$home/config.yaml", "--auto", "-p", "$question"),
        again=("--config", "$home/config.yaml", "--resume", "--auto", "-p", "$question"),
        files={
            "$home/config.yaml": json.dumps(
                {
                    "name": "Palaver",
                    "version": "1.0.0",
                    "schema": "v1",
                    "models": [
                        {
                            "name": "scripted",
                            "provider": "openai",
                            "model": "scripted",
                            "apiBase": "$url/v1",
                            "apiKey": "any",
                        }
                    ],
                }
            )
        },
        environment={"CONTINUE_TELEMETRY_ENABLED": "0"},
        steps=(("Read", {"filepath": FILE}), ("Edit", {"file_path": FILE, **CHANGE}), DONE),
    ),
    "aider": Agent(
        fetch=clients.aider,
        arguments=(
            *("--model", "openai/scripted", "--edit-format", "diff", "--yes-always", "--no-git"),
            *("--no-check-update", "--analytics-disable", "--no-show-model-warnings"),
            *("--no-show-release-notes", "--no-pretty", "--no-fancy-input", "count.txt"),
        ),
        given="$question\nIs it?\n",
        environment={"OPENAI_API_BASE": "$url/v1", "OPENAI_API_KEY": "any"},
        steps=(BLOCK, DONE),
        story=("user", "assistant") * 2,
    ),
}


class Models(ScriptedUpstream):
    """A model server that does what a test wrote, but for what programs ask beside it."""

    def script_for(self, request: Received) -> Script:
        if not is_aside(request):
            return super().script_for(request)
        return reply("Two") if request.json.get("stream") else completion("Two")

    @property
    def asked(self) -> list[Received]:
        return [one for one in super().asked if not is_aside(one)]


def is_aside(request: Received) -> bool:
    return any(words in request.body for words in TASKS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """An agent with a home of its own, in a folder with a file."""

    agent: Agent
    command: tuple[str, ...]
    names: Mapping[str, str]

    @property
    def file(self) -> Path:
        return Path(self.filled(FILE))

    def filled(self, text: str) -> str:
        return Template(text).safe_substitute(self.names)

    def script(self, step: Step) -> Script:
        """An answer of its model."""
        if isinstance(step, str):
            return reply(step)
        return calling((step[0], json.loads(self.filled(json.dumps(step[1])))))

    @asynccontextmanager
    async def running(
        self, arguments: tuple[str, ...], **names: str
    ) -> AsyncGenerator[asyncio.subprocess.Process]:
        home, folder = self.names["home"], self.names["folder"]
        given = {"question": QUESTION} | names
        process = await asyncio.create_subprocess_exec(
            *self.command,
            *(Template(self.filled(one)).safe_substitute(given) for one in arguments),
            cwd=folder,
            env=clean_environment(
                {
                    "PWD": folder,  # where some look for what they work on
                    "HOME": home,
                    "TMPDIR": home,
                    **{name: self.filled(one) for name, one in self.agent.environment.items()},
                }
            ),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        assert process.stdin is not None
        try:
            process.stdin.write(Template(self.agent.given).safe_substitute(given).encode())
            process.stdin.close()
            yield process
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()


async def ended(process: asyncio.subprocess.Process, *, code: int = 0) -> str:
    """What it says, to its end."""
    assert process.stdout is not None
    assert process.stderr is not None
    async with asyncio.timeout(RUN_SECONDS_MAX):
        said, errors = await asyncio.gather(process.stdout.read(), process.stderr.read())
        assert await process.wait() == code, (said[-2_000:], errors[-2_000:])
    return said.decode()


@pytest.fixture
async def models() -> AsyncIterator[Models]:
    upstream = Models()
    async with listening(upstream):
        yield upstream


@pytest.fixture
async def server(serve: Serve, models: Models) -> ServerProcess:
    return await serve(environment={"OPENAI_BASE_URL": models.base_url})


@pytest.fixture(params=AGENTS)
def place(request: pytest.FixtureRequest, server: ServerProcess, tmp_path: Path) -> Place:
    agent = AGENTS[request.param]
    try:
        command = agent.fetch()
    except Missing as missing:
        pytest.skip(str(missing))
    names = {"url": server.url, "home": str(tmp_path / "home"), "folder": str(tmp_path / "work")}
    made = Place(agent=agent, command=command, names=names)
    for name, text in {FILE: "one\n", **agent.files}.items():
        path = Path(made.filled(name))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(made.filled(text), encoding="utf-8")
    (tmp_path / "home").mkdir(exist_ok=True)
    return made


async def story(server: ServerProcess) -> tuple[Json, list[Json]]:
    """The one room that a run made, and what it tells but for prompts."""
    async with looking(server) as door:
        http = door.http()
        rooms = (await http.get("/api/rooms", params={"limit": 100})).json()["rooms"]
        (room,) = [one for one in rooms if one["title"] not in {"Lobby", "Side tasks"}]
        query = {"limit": 200}
        got = (await http.get(f"/api/rooms/{room['id']}/messages", params=query)).json()
    return room, [
        one
        for one in got["messages"]
        if one["role"] != "system" and not one["meta"].get("context")
        if not one["deleted_at"]
    ]


def kinds(said: list[Json]) -> tuple[str, ...]:
    return tuple(one["kind"] if one["kind"] != "text" else one["role"] for one in said)


async def test_it_reads_edits_and_finishes_and_its_run_is_one_room(
    place: Place, server: ServerProcess, models: Models
) -> None:
    agent = place.agent
    models.will(*map(place.script, agent.steps))
    async with place.running(agent.arguments) as process:
        assert DONE in await ended(process)
    assert place.file.read_text() == "two\n"
    room, said = await story(server)
    assert room["title"] == agent.title
    assert kinds(said) == agent.story
    assert (said[-1]["text"], said[-1]["status"]) == (DONE, "done")
    if agent.again:
        models.will(reply("You are welcome."))
        async with place.running(agent.again, question="Thanks.") as process:
            await ended(process)
        again, more = await story(server)
        assert again["id"] == room["id"]
        assert [one["text"] for one in more[len(said) :]] == ["Thanks.", "You are welcome."]


@pytest.mark.parametrize("place", ["opencode", "aider"], indirect=True)
async def test_a_kill_of_the_server_costs_it_one_retry_and_the_log_no_second_turn(
    place: Place, server: ServerProcess, models: Models
) -> None:
    agent = place.agent
    models.will(*map(place.script, agent.steps[:-1]), stream("It ", asyncio.Event()))
    async with place.running(agent.arguments) as process:
        await models.arrived(len(agent.steps))
        await seen(server, agent.title, "It ")
        await server.kill()
        models.will(place.script(agent.steps[-1]))
        await server.start()
        assert DONE in await ended(process)
    assert len(models.asked) == len(agent.steps) + 1
    assert place.file.read_text() == "two\n"
    _, told = await story(server)
    said = [one for one in told if one["status"] != "interrupted"]
    assert kinds(said) == agent.story
    assert (said[-1]["text"], said[-1]["status"]) == (DONE, "done")


@pytest.mark.parametrize("place", ["Cline", "Continue"], indirect=True)
async def test_one_that_gives_up_says_so_and_what_came_is_kept(
    place: Place, server: ServerProcess, models: Models
) -> None:
    agent = place.agent
    models.will(*map(place.script, agent.steps[:-1]), stream("It ", asyncio.Event()))
    async with place.running(agent.arguments) as process:
        await models.arrived(len(agent.steps))
        await seen(server, agent.title, "It ")
        await server.kill()
        assert DONE not in await ended(process, code=1)
    await server.start()
    _, said = await story(server)
    assert kinds(said) == agent.story
    assert (said[-1]["text"], said[-1]["status"]) == ("It ", "interrupted")
