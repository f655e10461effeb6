"""The process that tells webhooks is killed at any moment: all is told, at least once, in the order of each room."""

import asyncio
import random
from collections.abc import Sequence
from pathlib import Path

import httpx2
import pytest
from tests.store.archives import execute
from tests.support.command import palaver
from tests.support.receiver import OK, Receiver, receiving
from tests.support.server import Serve, ServerProcess
from tests.support.upstream import STALL

pytestmark = [pytest.mark.fault, pytest.mark.slow]

SECONDS_MAX = 120
REACHES = {"PALAVER_PROFILE_NETWORKS": "127.0.0.1"}


async def hooked(where: Sequence[str], folder: Path, url: str, **environment: str) -> str:
    """A webhook of a person, whose program has the key that comes back."""
    ada = ("--as", "ada", *where)
    assert palaver(folder, "key", "create", *ada).code == 0
    chosen = ("--types", "message.created")
    made = palaver(folder, "webhook", "add", url, *chosen, *ada, environment=environment)
    assert made.code == 0, made
    made = palaver(folder, "key", "create", "--as", "ada", *where, "--json").json
    return str(made["token"])


def rest(server: ServerProcess, token: str) -> httpx2.AsyncClient:
    headers = {"authorization": f"Bearer {token}"}
    return httpx2.AsyncClient(base_url=server.url, headers=headers, timeout=SECONDS_MAX)


async def say(http: httpx2.AsyncClient, room: str, *texts: str) -> None:
    for text in texts:
        said = await http.post(
            f"/api/rooms/{room}/messages", json={"cid": f"{room[-8:]}-{text}", "text": text}
        )
        assert said.is_success, said.text


def told_of(receiver: Receiver, room: str) -> list[str]:
    """What was told of a room by people, each where it was told first."""
    told = [one["data"] for one in receiver.told if one["partitionkey"] == room]
    return list(dict.fromkeys(one["text"] for one in told if one["role"] == "user"))


async def until_told(receiver: Receiver, rooms: Sequence[str], wanted: list[str]) -> None:
    async with asyncio.timeout(SECONDS_MAX):
        while not all(told_of(receiver, room) == wanted for room in rooms):
            await receiver.heard(len(receiver.requests) + 1)


@pytest.mark.parametrize("lives", [1, pytest.param(5, marks=pytest.mark.torture)])
async def test_a_killed_server_tells_all_that_was_stored_in_its_order(
    serve: Serve, tmp_path: Path, lives: int
) -> None:
    chance = random.Random(5)
    async with receiving() as receiver:
        server = await serve(environment=REACHES)
        where = ("--data-dir", str(server.data))
        token = await hooked(where, tmp_path, receiver.url)
        async with rest(server, token) as http:
            rooms = [
                (await http.post("/api/rooms", json={"agent": False})).json()["id"]
                for _ in range(3)
            ]
            said: list[str] = []
            for life in range(lives):
                good, before = chance.randint(0, 5), len(receiver.requests)
                receiver.will(*[OK] * good, (STALL,))
                texts = [f"{life}-{number}" for number in range(5)]
                said += texts
                await asyncio.gather(*[say(http, room, *texts) for room in rooms])
                await receiver.heard(before + good + 1)
                await server.kill()
                await server.start()
        await until_told(receiver, rooms, said)
    repeats = len(receiver.ids) - len(set(receiver.ids))
    assert repeats > 0, "at least one was told and not noted"
    by_id = {one.headers["webhook-id"]: one.body for one in receiver.requests}
    assert all(by_id[one.headers["webhook-id"]] == one.body for one in receiver.requests)


@pytest.mark.postgres
async def test_another_process_goes_on_where_a_killed_one_was(
    serve: Serve, tmp_path: Path, postgres_url: str
) -> None:
    async with receiving() as receiver:
        where = ("--database-url", postgres_url)
        shared = {"PALAVER_SECRET_KEY_FILE": str(tmp_path / "secret.key")}
        environment = {**REACHES, **shared}
        first = await serve(name="a", database_url=postgres_url, environment=environment)
        token = await hooked(where, tmp_path, receiver.url, **environment)
        async with rest(first, token) as http:
            room = (await http.post("/api/rooms", json={"agent": False})).json()["id"]
            await say(http, room, "1")
        await until_told(receiver, [room], ["1"])  # it is the first that has the webhook
        second = await serve(name="b", database_url=postgres_url, environment=environment)
        async with rest(second, token) as http:
            receiver.default = (STALL,)
            await say(http, room, "2", "3")
            await receiver.heard(2)
            await first.kill()
            receiver.default = OK
            its_time_is_over = "UPDATE webhooks SET held_until_ms = 0"
            await asyncio.to_thread(execute, postgres_url, its_time_is_over)
            await say(http, room, "4")  # what happens has it look
            await until_told(receiver, [room], ["1", "2", "3", "4"])
