"""A request that comes again as it was, unmarked, in a conversation that its program names."""

import asyncio
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.support.upstream import CUT, DONE, ScriptedUpstream, chunk, refuse, reply, stream
from tests.wire.door import Door, open_door
from tests.wire.openai.client import CHAT, bare_client, room_texts, said

from palaver.core.exchanges import ELSEWHERE_SECONDS

RESPONSES = "/v1/responses"
CODEX, CLAUDE = "thread-id", "x-claude-code-session-id"
ENDS = (chunk(finish="stop"), DONE)


def asking(address: str, text: str, **more: Any) -> dict[str, Any]:
    field = "messages" if address == CHAT else "input"
    return {"model": "m", field: said(text), "stream": True, **more}


async def told(door: Door, room: str) -> list[tuple[str, str, str]]:
    got = (await door.http().get(f"/api/rooms/{room}/messages")).json()["messages"]
    return [(one["role"], one["text"], one["status"]) for one in got if not one.get("deleted_at")]


async def room_with(door: Door, title: str) -> str:
    rooms = (await door.http().get("/api/rooms", params={"limit": 100})).json()["rooms"]
    (found,) = [room["id"] for room in rooms if room["title"] == title]
    return found


@pytest.mark.parametrize("header", [CODEX, CLAUDE])
@pytest.mark.parametrize("address", [CHAT, RESPONSES])
async def test_a_retry_takes_the_place_of_an_answer_that_failed(
    relay: Door, models: ScriptedUpstream, address: str, header: str
) -> None:
    title = f"Retry at {address} by {header}"
    body, names = asking(address, title), {header: title}
    models.will(refuse(500, "no"), stream("half of", CUT), reply("all ", "of it"))
    async with bare_client(relay, "retries") as client:
        first = await client.post(address, json=body, headers=names)
        assert first.status_code == 500
        with suppress(httpx2.RemoteProtocolError):  # the end of a chat completion that was cut
            await client.post(address, json=body, headers=names)
        await client.post(address, json=body, headers=names)
        room = await room_with(relay, title)
        assert await told(relay, room) == [
            ("user", title, "done"),
            ("assistant", "all of it", "done"),
        ]


@pytest.mark.parametrize("address", [CHAT, RESPONSES])
async def test_a_retry_with_another_prompt_takes_its_place_too(
    relay: Door, models: ScriptedUpstream, address: str
) -> None:
    title = f"Prompts at {address}"
    models.will(stream("half of", CUT), reply("all ", "of it"))
    async with bare_client(relay, "prompts") as client:
        for hour in (1, 2):
            body = asking(address, title)
            prompt = {"role": "system", "content": f"It is {hour} o'clock."}
            field = "messages" if address == CHAT else "input"
            body[field] = [prompt, *body[field]]
            with suppress(httpx2.RemoteProtocolError):
                await client.post(address, json=body, headers={CLAUDE: title})
        assert (await told(relay, await room_with(relay, title)))[1:] == [
            ("user", title, "done"),
            ("assistant", "all of it", "done"),
        ]


@pytest.mark.parametrize("header", [CODEX, CLAUDE])
@pytest.mark.parametrize("address", [CHAT, RESPONSES])
async def test_a_retry_joins_an_answer_that_still_runs(
    relay: Door, models: ScriptedUpstream, address: str, header: str
) -> None:
    title, gate = f"Running at {address} by {header}", asyncio.Event()
    body, names = asking(address, title), {header: title}
    models.will(stream("one ", gate, "two", *ENDS))
    async with bare_client(relay, "joins") as client:
        async with client.stream("POST", address, json=body, headers=names) as cut:
            async for line in cut.aiter_lines():
                if "one " in line:
                    break
        heard = ""
        async with client.stream("POST", address, json=body, headers=names) as again:
            async for line in again.aiter_lines():
                heard += line
                if "one " in line:
                    gate.set()
        gate.set()
        assert "one " in heard
        assert "two" in heard
    assert await room_texts(relay.http(), await room_with(relay, title)) == [
        ("user", title),
        ("assistant", "one two"),
    ]


@pytest.mark.postgres
@pytest.mark.parametrize(("address", "fails"), [(CHAT, False), (RESPONSES, True)])
async def test_a_retry_waits_for_an_answer_in_another_process_and_takes_its_place_where_it_fails(
    postgres_url: str, models: ScriptedUpstream, tmp_path: Path, address: str, *, fails: bool
) -> None:
    body, names, gate = asking(address, "Elsewhere"), {CODEX: "Elsewhere"}, asyncio.Event()
    models.will(stream("half", gate, *((CUT,) if fails else (" of it", *ENDS))))
    if fails:
        models.will(reply("anew"))
    settings = {"database_url": postgres_url, "openai_base_url": models.base_url}
    async with AsyncExitStack() as both:
        one, other = [
            await both.enter_async_context(open_door(tmp_path / name, **settings))
            for name in ("one", "other")
        ]
        clients = [await both.enter_async_context(bare_client(door)) for door in (one, other)]
        before = len(models.asked)
        again: list[asyncio.Task[httpx2.Response]] = []
        async with asyncio.TaskGroup() as group:
            with suppress(httpx2.RemoteProtocolError):
                async with clients[0].stream("POST", address, json=body, headers=names) as first:
                    async for line in first.aiter_lines():
                        if "half" in line and not again:
                            asking_again = clients[1].post(address, json=body, headers=names)
                            again.append(group.create_task(asking_again))
                            await asyncio.sleep(ELSEWHERE_SECONDS)
                            gate.set()
        assert len(models.asked) == before + 1 + fails
        kept = [("user", "Elsewhere", "done"), ("assistant", "anew", "done")]
        if not fails:
            kept[1] = ("assistant", "half of it", "done")
        assert await told(other, await room_with(other, "Elsewhere")) == kept
        assert kept[1][1] in again[0].result().text


async def test_whether_an_answer_that_was_whole_is_told_again_depends_on_what_the_program_says(
    relay: Door, models: ScriptedUpstream
) -> None:
    async with bare_client(relay, "wholes") as client:
        for header, whole, answers in (
            (CODEX, False, 1),  # each of its requests has an id of its own
            (CLAUDE, False, 2),  # asked for a second time
            (CLAUDE, True, 1),  # its way after a stream that was cut
            ("x-nobody", False, 2),
        ):
            title = f"Whole {header} {whole}"
            body, names = asking(CHAT, title), {header: title}
            models.will(reply("first"), reply("second"))
            one = await client.post(CHAT, json=body, headers=names)
            if whole:
                del body["stream"]
            two = await client.post(CHAT, json=body, headers=names)
            models.next_script()
            rooms = {one.headers["x-palaver-room"], two.headers["x-palaver-room"]}
            texts = [text for room in rooms for text in await room_texts(relay.http(), room)]
            assert len([role for role, _ in texts if role == "assistant"]) == answers, title
            assert ("first" in two.text) is (answers == 1)
