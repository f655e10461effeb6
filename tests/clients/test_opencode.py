"""opencode as its users have it: it reads a file, edits it and finishes, and its whole run is one room."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.clients.answers import calling
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

pytestmark = [pytest.mark.torture, pytest.mark.timeout(600)]  # what is installed may take its time

Json = dict[str, Any]
RUN_SECONDS_MAX = 240
QUESTION = "Make it two, please."
TITLE = f'"{QUESTION}"'  # as the program gives it on


class Models(ScriptedUpstream):
    """A model server that gives titles to whoever asks for one, and does what a test wrote to the rest."""

    def script_for(self, request: Received) -> Script:
        return reply("Two") if is_for_a_title(request) else super().script_for(request)

    @property
    def asked(self) -> list[Received]:
        return [one for one in super().asked if not is_for_a_title(one)]


def is_for_a_title(request: Received) -> bool:
    return b"You are a title generator." in request.body


@dataclass(frozen=True, slots=True, kw_only=True)
class Opencode:
    """The program with a home of its own, in a folder with a file."""

    program: Path
    home: Path
    folder: Path

    @asynccontextmanager
    async def running(
        self, question: str, *more: str
    ) -> AsyncGenerator[asyncio.subprocess.Process]:
        process = await asyncio.create_subprocess_exec(
            *(str(self.program), "run", "--format", "json", *more, question),
            cwd=self.folder,
            env=clean_environment(
                {
                    "PWD": str(self.folder),  # where it works, and looks for its configuration
                    "HOME": str(self.home),
                    "TMPDIR": str(self.home),
                    **{f"XDG_{name}_HOME": str(self.home / name.lower()) for name in XDG},
                    "OPENCODE_DISABLE_MODELS_FETCH": "1",
                    "OPENCODE_DISABLE_AUTOUPDATE": "1",
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

    async def run(self, question: str, *more: str) -> list[Json]:
        """Asks it for something, and gives its events, to its end."""
        async with self.running(question, *more) as process:
            return await ended(process)


XDG = ("CACHE", "CONFIG", "DATA", "STATE")


async def ended(process: asyncio.subprocess.Process) -> list[Json]:
    async with asyncio.timeout(RUN_SECONDS_MAX):
        said, errors = await process.communicate()
    assert process.returncode == 0, (said[-2_000:], errors[-2_000:])
    return [json.loads(line) for line in said.splitlines() if line.startswith(b"{")]


@pytest.fixture
async def models() -> AsyncIterator[Models]:
    upstream = Models()
    async with listening(upstream):
        yield upstream


@pytest.fixture
async def server(serve: Serve, models: Models) -> ServerProcess:
    return await serve(environment={"OPENAI_BASE_URL": models.base_url})


@pytest.fixture
def opencode(server: ServerProcess, tmp_path: Path) -> Opencode:
    try:
        program = clients.opencode()
    except Missing as missing:
        pytest.skip(str(missing))
    made = Opencode(program=program, home=tmp_path / "home", folder=tmp_path / "work")
    made.home.mkdir()
    made.folder.mkdir()
    provider: Json = {
        "npm": "@ai-sdk/openai-compatible",
        "options": {"baseURL": f"{server.url}/v1", "apiKey": "any"},
        "models": {"scripted": {}},
    }
    configured: Json = {"provider": {"palaver": provider}, "model": "palaver/scripted"}
    (made.folder / "opencode.json").write_text(json.dumps(configured))
    (made.folder / "count.txt").write_text("one\n")
    return made


async def story(server: ServerProcess) -> tuple[Json, list[tuple[str, str, str]]]:
    """The one room that the run made, and what it tells but for prompts: kind or role, words, status."""
    async with looking(server) as door:
        http = door.http()
        rooms = (await http.get("/api/rooms", params={"limit": 100})).json()["rooms"]
        (room,) = [one for one in rooms if one["title"] not in {"Lobby", "Side tasks"}]
        query = {"limit": 200}
        got = (await http.get(f"/api/rooms/{room['id']}/messages", params=query)).json()
    return room, [
        (one["kind"] if one["kind"] != "text" else one["role"], one["text"], one["status"])
        for one in got["messages"]
        if one["role"] != "system" and not one.get("deleted_at")
    ]


async def test_it_reads_edits_and_finishes_and_its_run_is_one_room(
    opencode: Opencode, server: ServerProcess, models: Models
) -> None:
    path = str(opencode.folder / "count.txt")
    models.will(
        calling(("read", {"filePath": path})),
        calling(("edit", {"filePath": path, "oldString": "one", "newString": "two"})),
        reply("It is ", "two."),
    )
    told = await opencode.run(QUESTION)
    assert (opencode.folder / "count.txt").read_text() == "two\n"
    assert [one["part"]["text"] for one in told if one["type"] == "text"] == ["It is two."]
    room, said = await story(server)
    assert room["title"] == TITLE
    kinds = ["user", *("tool_call", "tool_result") * 2, "assistant"]
    assert [kind for kind, _, _ in said] == kinds
    assert "one" in said[2][1], "what the tool read"
    assert json.loads(said[3][1])["newString"] == "two"
    assert said[-1] == ("assistant", "It is two.", "done")
    assert room["client"]["folder"] == str(opencode.folder)
    models.will(reply("You are welcome."))
    await opencode.run("Thanks.", "--continue")
    again, more = await story(server)
    assert again["id"] == room["id"]
    assert [words for _, words, _ in more[len(said) :]] == ["Thanks.", "You are welcome."]


async def test_a_kill_of_the_server_costs_it_one_retry_and_the_log_no_second_turn(
    opencode: Opencode, server: ServerProcess, models: Models
) -> None:
    path = str(opencode.folder / "count.txt")
    models.will(calling(("read", {"filePath": path})), stream("It ", asyncio.Event()))
    async with opencode.running(QUESTION) as process:
        await models.arrived(2)
        await seen(server, TITLE, "It ")
        await server.kill()
        models.will(reply("It is one."))
        await server.start()
        await ended(process)
    assert len(models.asked) == 3
    _, said = await story(server)
    assert [kind for kind, _, _ in said] == ["user", "tool_call", "tool_result", "assistant"]
    assert said[-1] == ("assistant", "It is one.", "done")
