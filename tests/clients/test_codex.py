"""Codex as it is, over a model server that speaks chat completions only: it reads, edits and finishes in a folder."""

import asyncio
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.clients.answers import calling
from tests.clients.test_talking import looking
from tests.support.clients import Installed
from tests.support.server import Serve, ServerProcess
from tests.support.upstream import DONE, ScriptedUpstream, chunk, reply, stream

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]  # what is installed may take its time

Json = dict[str, Any]
RUN_SECONDS_MAX = 120
QUESTION = "Make it two, please."
PATCH = """*** Begin Patch
*** Update File: count.txt
@@
-one
+two "é" 😀
*** End Patch
"""
CONFIGURED = """
model = "{model}"
model_provider = "palaver"
[model_providers.palaver]
name = "palaver"
base_url = "{url}/v1"
wire_api = "responses"
env_key = "PALAVER_KEY"
request_max_retries = 20
stream_max_retries = 20
supports_websockets = {sockets}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Codex:
    """An installed Codex with a home and a folder of its own."""

    installed: Installed
    home: Path
    folder: Path

    async def run(self, question: str, *more: str) -> list[Json]:
        """Asks it for something, and gives its events, to its end."""
        script = self.installed.folder / "node_modules" / "@openai" / "codex" / "bin" / "codex.js"
        flags = ("--skip-git-repo-check", "-s", "danger-full-access", "--json")
        process = await asyncio.create_subprocess_exec(
            *(str(self.installed.program), str(script), "exec", *flags, *more, question),
            cwd=self.folder,
            env={**self.installed.environment, "CODEX_HOME": str(self.home), "PALAVER_KEY": "any"},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(RUN_SECONDS_MAX):
                said, errors = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
        assert process.returncode == 0, said + errors
        return [json.loads(line) for line in said.splitlines() if line.startswith(b"{")]


def installed_at(
    url: str, installed: Installed, folder: Path, model: str = "gpt-5.5", *, sockets: bool = False
) -> Codex:
    made = Codex(installed=installed, home=folder / "home", folder=folder / "work")
    made.home.mkdir()
    made.folder.mkdir()
    (made.home / "config.toml").write_text(
        CONFIGURED.format(model=model, url=url, sockets=str(sockets).lower())
    )
    (made.folder / "count.txt").write_text("one\n")
    return made


async def only_room(server: ServerProcess) -> tuple[Json, list[Json]]:
    """The one room that there is besides the Lobby, with what is said in it."""
    async with looking(server) as door:
        http = door.http()
        rooms = (await http.get("/api/rooms", params={"limit": 100})).json()["rooms"]
        (room,) = [one for one in rooms if one["title"] != "Lobby"]
        query = {"limit": 200}
        got = (await http.get(f"/api/rooms/{room['id']}/messages", params=query)).json()
    return room, [one for one in got["messages"] if not one.get("deleted_at")]


@pytest.mark.parametrize("sockets", [False, True])
async def test_it_reads_edits_and_finishes_and_its_run_is_one_room(
    codex: Installed, serve: Serve, models: ScriptedUpstream, tmp_path: Path, *, sockets: bool
) -> None:
    settings = {"OPENAI_BASE_URL": models.base_url, "PALAVER_OPENAI_KEEP_UNSTORED": "1"}
    server = await serve(environment=settings | {"PALAVER_LOG_LEVEL": "debug"})
    program = installed_at(server.url, codex, tmp_path, sockets=sockets)
    models.will(
        calling(("exec_command", {"cmd": "cat count.txt"}), ("exec_command", {"cmd": "ls ."})),
        calling(("apply_patch", {"input": PATCH})),
        reply("It is ", "two."),
    )
    told = await program.run(QUESTION)
    assert ('"method": "WS"' in server.tail(), '"method": "POST"' in server.tail()) == (
        sockets,
        not sockets,
    )
    assert (program.folder / "count.txt").read_text() == 'two "é" 😀\n'
    assert told[-1]["type"] == "turn.completed"
    room, said = await only_room(server)
    assert room["title"] == QUESTION
    spoken = [(one["role"], one["kind"]) for one in said if one["role"] != "developer"]
    assert spoken == [
        ("user", "text"),  # what Codex tells of the folder
        ("user", "text"),
        *[("assistant", "tool_call")] * 2,
        *[("tool", "tool_result")] * 2,
        ("assistant", "tool_call"),
        ("tool", "tool_result"),
        ("assistant", "text"),
    ]
    assert [one["text"] for one in said if one["meta"].get("tool") == "apply_patch"] == [PATCH]
    assert said[-1]["text"] == "It is two."
    models.will(reply("You are welcome."))
    await program.run("Thanks.", "resume", "--last")
    again, more = await only_room(server)
    assert again["id"] == room["id"]
    texts = [one["text"] for one in more[len(said) :] if one["role"] != "developer"]
    assert texts == ["Thanks.", "You are welcome."]


@pytest.mark.torture
async def test_a_kill_of_the_server_costs_it_one_retry_and_the_log_no_second_turn(
    codex: Installed, serve: Serve, models: ScriptedUpstream, tmp_path: Path
) -> None:
    settings = {"OPENAI_BASE_URL": models.base_url, "PALAVER_OPENAI_KEEP_UNSTORED": "1"}
    server = await serve(environment=settings)
    program = installed_at(server.url, codex, tmp_path)
    models.will(stream("It ", asyncio.Event()), reply("It is one."))
    before = len(models.asked)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(program.run(QUESTION))
        await models.arrived(before + 1)
        await server.kill()
        await server.start()
        told = await running
    assert len(models.asked) == before + 2
    assert told[-1]["type"] == "turn.completed"
    _, said = await only_room(server)
    spoken = [(one["role"], one["status"]) for one in said if one["role"] != "developer"]
    assert spoken == [("user", "done"), ("user", "done"), ("assistant", "done")]
    assert said[-1]["text"] == "It is one."


@pytest.mark.torture
async def test_what_its_sub_agent_does_is_a_room_that_comes_out_of_its_own(
    codex: Installed, serve: Serve, models: ScriptedUpstream, tmp_path: Path
) -> None:
    settings = {"OPENAI_BASE_URL": models.base_url, "PALAVER_OPENAI_KEEP_UNSTORED": "1"}
    server = await serve(environment=settings)
    program = installed_at(server.url, codex, tmp_path, model="any")
    task, gate, before = "Count the files.", asyncio.Event(), len(models.asked)
    models.to(task, reply("There is one."))
    spawns = calling(("multi_agent_v1__spawn_agent", {"message": task}))
    models.will(spawns, stream("Do", gate, "ne.", chunk(finish="stop"), DONE))
    async with asyncio.TaskGroup() as group:
        running = group.create_task(program.run(QUESTION))
        await models.arrived(before + 3)
        gate.set()
        await running
    async with looking(server) as door:
        rooms = (await door.http().get("/api/rooms", params={"limit": 100})).json()["rooms"]
    found = {one["title"]: one for one in rooms if one["title"] != "Lobby"}
    assert set(found) == {QUESTION, task}
    assert found[task]["parent"] == found[QUESTION]["id"]
