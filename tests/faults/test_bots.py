"""A server is killed in the middle of a bot's answer: what was shown is kept, and what was not begun is asked again."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.support.command import palaver
from tests.support.server import Serve, ServerProcess
from tests.wire.door import Live
from websockets.asyncio.client import connect

pytestmark = [pytest.mark.fault]

SECONDS_MAX = 90


@asynccontextmanager
async def live(server: ServerProcess, token: str) -> AsyncGenerator[Live]:
    async with connect(f"{server.ws_url}/ws", proxy=None, open_timeout=SECONDS_MAX) as socket:
        client = Live(socket)
        assert (await client.ask(t="hello", v=1, token=token))["t"] == "welcome"
        yield client


async def until(http: httpx2.AsyncClient, room: str, status: str) -> dict[str, Any]:
    """The newest answer, once it has ended like this."""
    after = 0
    async with asyncio.timeout(SECONDS_MAX):
        while True:
            query = {"after": after, "wait": 10, "limit": 200}
            got = (await http.get(f"/api/rooms/{room}/events", params=query)).json()
            for event in got["events"]:
                after = event["seq"]
                if event["d"].get("status") == status and event["d"]["role"] == "assistant":
                    return event["d"]


@pytest.mark.parametrize("engine", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
async def test_a_killed_server_keeps_what_a_bot_had_said_and_asks_again(
    serve: Serve, tmp_path: Path, request: pytest.FixtureRequest, engine: str
) -> None:
    url = None if engine == "sqlite" else request.getfixturevalue("postgres_url")
    server = await serve(database_url=url)
    where = ("--data-dir", str(server.data)) if url is None else ("--database-url", url)
    made = palaver(tmp_path, "key", "create", "--agent", "maya", *where, "--json").json
    key, agent = made["token"], made["key"]["actor"]["id"]
    async with httpx2.AsyncClient(base_url=server.url, timeout=SECONDS_MAX) as http:
        guest = (await http.post("/api/guests", json={})).json()["token"]
        http.headers["authorization"] = f"Bearer {guest}"
        room = (await http.post("/api/rooms", json={"agents": [agent]})).json()["id"]

        async def say(text: str) -> None:
            said = {"cid": text, "text": text}
            assert (await http.post(f"/api/rooms/{room}/messages", json=said)).is_success

        async with live(server, key) as bot, live(server, guest) as page:
            await page.ask(t="sub", room=room)
            await say("one")
            turn = (await bot.push("turn"))["turn"]
            await bot.ask(t="turn.d", turn=turn, n=1, x="What was seen")
            while "x" not in (seen := await page.push("s.d")):
                pass  # the first one says that a program has taken it up
            assert seen["x"] == "What was seen"
            await server.kill()
        await server.start()
        kept = await until(http, room, "interrupted")
        assert (kept["text"], kept["by"]) == ("What was seen", agent)
        async with live(server, key) as bot:
            for late in (
                {"t": "turn.d", "n": 2, "x": " goes on"},
                {"t": "turn.end", "text": "What was seen goes on"},
            ):
                refused = await bot.ask(turn=turn, **late)
                assert refused["code"] == "turn_ended"
                assert "interrupted" in refused["detail"]
            await say("two")
            turn = (await bot.push("turn"))["turn"]
            await server.kill()
        await server.start()
        async with live(server, key) as bot:
            again = await bot.push("turn", lambda frame: frame["turn"] == turn)
            assert again["trigger"]["text"] == "two"
            ack = await bot.ask(t="turn.end", turn=turn, text="Once.")
            assert (ack["msg"], ack["dup"]) == (again["msg"], False)
        page = (await http.get(f"/api/rooms/{room}/messages")).json()["messages"]
    ends = [(one["text"], one["status"]) for one in page if one["role"] == "assistant"]
    assert ends == [("What was seen", "interrupted"), ("Once.", "done")]
