"""Every example runs as its own first lines say, and does what they promise."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest
from tests.support.command import palaver
from tests.support.server import Serve, ServerProcess, clean_environment

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
SECONDS_MAX = 90


def test_every_example_is_run_here() -> None:
    assert {path.name for path in EXAMPLES.glob("*.py")} == {"embed.py", "bot.py"}


async def run(folder: Path) -> str:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(EXAMPLES / "embed.py"),
        cwd=folder,
        env=clean_environment({}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    async with asyncio.timeout(SECONDS_MAX):
        out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out.decode()


async def test_the_embedded_chat_shows_the_answer_and_remembers_it(tmp_path: Path) -> None:
    first = await run(tmp_path)
    assert "… Let me look" in first
    assert "2 messages so far:" in first
    second = await run(tmp_path)
    assert "4 messages so far:" in second
    assert second.count("Clerk: Let me look … yes, 12 boxes.") == 2


@asynccontextmanager
async def bot(server: ServerProcess, key: str) -> AsyncGenerator[asyncio.StreamReader]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(EXAMPLES / "bot.py"),
        *(server.url, key),
        env=clean_environment({}),
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        yield process.stdout
    finally:
        process.kill()
        await process.wait()


async def told(said: asyncio.StreamReader, kind: str) -> None:
    async with asyncio.timeout(SECONDS_MAX):
        while json.loads(await said.readline())["t"] != kind:
            pass


@pytest.mark.slow
@pytest.mark.fault
async def test_the_bot_answers_once_also_after_the_server_or_it_was_killed(
    serve: Serve, tmp_path: Path
) -> None:
    server = await serve()
    where = ("--data-dir", str(server.data), "--json")
    made = palaver(tmp_path, "key", "create", "--agent", "dice", *where).json
    async with httpx2.AsyncClient(base_url=server.url, timeout=SECONDS_MAX) as http:
        agents = [made["key"]["actor"]["id"]]
        room = (await http.post("/api/rooms", json={"agents": agents})).json()["id"]
        async with bot(server, made["token"]) as said:
            await told(said, "welcome")
            assert "of 20 sides" in await answer_to(http, room, "@dice 20")
            await server.kill()
            await server.start()
            await told(said, "welcome")
            assert "of 6 sides" in await answer_to(http, room, "and now?")
        waits = {"cid": "waits", "text": "is anybody there? 4"}
        sent = (await http.post(f"/api/rooms/{room}/messages", json=waits)).json()
        async with bot(server, made["token"]):
            assert "of 4 sides" in await until_answered(http, room, sent["seq"])
        page = (await http.get(f"/api/rooms/{room}/messages")).json()
    by_bot = [message for message in page["messages"] if message["name"] == "dice"]
    assert [one["status"] for one in by_bot] == ["done"] * 3


async def answer_to(http: httpx2.AsyncClient, room: str, text: str) -> str:
    """Says something in a room as a person does, and waits for the bot's answer."""
    said = {"cid": text.replace(" ", "-"), "text": text}
    sent = (await http.post(f"/api/rooms/{room}/messages", json=said)).json()
    return await until_answered(http, room, sent["seq"])


async def until_answered(http: httpx2.AsyncClient, room: str, after: int) -> str:
    async with asyncio.timeout(SECONDS_MAX):
        while True:
            query = {"after": after, "wait": 10}
            got = await http.get(f"/api/rooms/{room}/events", params=query)
            for event in got.json()["events"]:
                after = event["seq"]
                if event["d"].get("role") == "assistant":
                    return event["d"]["text"]
