"""Every example runs as its own first lines say, and does what they promise."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
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
async def bot(server: ServerProcess) -> AsyncGenerator[asyncio.StreamReader]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(EXAMPLES / "bot.py"),
        server.url,
        env=clean_environment({}),
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        yield process.stdout
    finally:
        process.kill()
        await process.wait()


async def listening(said: asyncio.StreamReader) -> None:
    async with asyncio.timeout(SECONDS_MAX):
        assert b"listens" in await said.readline()


@pytest.mark.slow
@pytest.mark.fault
async def test_the_bot_answers_once_also_after_the_server_was_killed(serve: Serve) -> None:
    server = await serve()
    async with bot(server) as said:
        await listening(said)
        async with httpx2.AsyncClient(base_url=server.url, timeout=SECONDS_MAX) as http:
            rooms = (await http.get("/api/rooms")).json()["rooms"]
            (lobby,) = [room["id"] for room in rooms if room["visibility"] == "open"]
            assert "shows" in await answer_to(http, lobby, "!roll 20")
            await server.kill()
            await server.start()
            await listening(said)
            assert "A die of 6 sides shows" in await answer_to(http, lobby, "!roll")
            page = (await http.get(f"/api/rooms/{lobby}/messages")).json()
    by_bot = [message for message in page["messages"] if message["name"] == "Dice bot"]
    assert len(by_bot) == len({message["reply_to"] for message in by_bot}) == 2


async def answer_to(http: httpx2.AsyncClient, room: str, text: str) -> str:
    """Says something in a room as a person does, and waits for the bot's reply to it."""
    path = f"/api/rooms/{room}"
    sent = (
        await http.post(f"{path}/messages", json={"cid": text.replace(" ", "-"), "text": text})
    ).json()
    after: int = sent["seq"]
    async with asyncio.timeout(SECONDS_MAX):
        while True:
            query = {"after": after, "wait": 10}
            told: dict[str, Any] = (await http.get(f"{path}/events", params=query)).json()
            for event in told["events"]:
                after = event["seq"]
                if event["d"].get("reply_to") == sent["msg"] and event["d"]["role"] == "user":
                    return event["d"]["text"]
