"""Agents are tried as they would be, over real HTTP: their model is asked, and nothing is kept but what that used."""

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from sqlalchemy import Connection, func, select
from tests.support.upstream import STALL, Received, ScriptedUpstream, refuse, reply, stream
from tests.wire.api.test_people import Town, signed_in
from tests.wire.callers import MOVED
from tests.wire.door import Door, Json, new_cid, serving, settings_for

from palaver.model import ServerRole
from palaver.store.schema import metadata

WORDS = {"poet": {"name": "Poet", "persona": "Rhyme.", "model": "m-1", "audience": "everyone"}}
HELLO = [{"text": "hello"}]


@asynccontextmanager
async def open_town(folder: Path, models: ScriptedUpstream, **more: Any) -> AsyncGenerator[Town]:
    prices = '{"m-1": {"input": 1, "output": 2}}'
    settings = settings_for(folder, openai_base_url=models.base_url, prices=prices, **more)
    stop = asyncio.Event()
    async with serving(settings, stop) as (url, core):
        door = Door(url, settings, stop)
        made = {role: await signed_in(door, core, role) for role in ServerRole}
        ids = {role.value: one[1] for role, one in made.items()}
        yield Town(door, core, *(one[0] for one in made.values()), ids=ids)
        await door.close()


@pytest.fixture
async def town(tmp_path: Path, database_url: str, models: ScriptedUpstream) -> AsyncGenerator[Town]:
    async with open_town(tmp_path / "data", models, database_url=database_url) as town:
        yield town


def events_of(text: str) -> list[Json]:
    """The events of a try, the last of which is its end."""
    told: list[Json] = []
    for event in text.split("\n\n"):
        if event and not event.startswith(":"):
            name, data = event.split("\n")
            told.append({"name": name.removeprefix("event: "), **json.loads(data[6:])})
    assert [one["name"] for one in told] == ["piece"] * (len(told) - 1) + ["end"]
    return told


async def tried(http: httpx2.AsyncClient, **body: Any) -> tuple[str, Json]:
    """The words of a try, and its end."""
    got = await http.post("/api/agents/try", json={"messages": HELLO, **body})
    assert got.status_code == 200, got.text
    assert got.headers["content-type"].startswith("text/event-stream")
    *pieces, end = events_of(got.text)
    return "".join(one.get("text", "") for one in pieces), end


async def poet(http: httpx2.AsyncClient, **more: Any) -> str:
    got = await http.post("/api/agents", json={**WORDS["poet"], **more})
    assert got.status_code == 201, got.text
    return got.json()["id"]


def kept(conn: Connection) -> dict[str, int]:
    """How many rows each table has."""
    return {
        name: conn.execute(select(func.count()).select_from(table)).scalar_one()
        for name, table in metadata.tables.items()
        if name not in MOVED
    }


async def total(town: Town) -> Json:
    return (await town.person.get("/api/me/usage")).json()["total"]


async def asked(models: ScriptedUpstream, before: int) -> Sequence[Received]:
    return models.asked[before:]


async def test_a_draft_is_asked_and_nothing_is_kept_but_what_it_used(
    town: Town, models: ScriptedUpstream
) -> None:
    id_ = await poet(town.person, examples="Roses.", post_history="In two lines.")
    store, before = town.core._ground.store, len(models.asked)
    rows, figures = await store.read(kept), town.core.figures()
    models.will(reply("A ", "rose."))
    said = [
        {"text": "hello"},
        {"role": "assistant", "text": "Yes?"},
        {"text": "A flower?"},
    ]
    card = {"persona": "Haiku.", "parameters": {"temperature": 0.5}}
    words, end = await tried(town.person, agent=id_, card=card, messages=said)
    assert words == "A rose."
    assert (end["status"], end["finish"], end["error"]) == ("done", "stop", None)
    assert end["usage"] == {"input": 7, "output": 2, "cost_micros": 7 + 2 * 2}
    (told,) = await asked(models, before)
    assert told.json["temperature"] == 0.5
    assert [(one["role"], one["content"]) for one in told.json["messages"]] == [
        ("system", "Haiku.\n\nRoses."),
        ("user", "hello"),
        ("assistant", "Yes?"),
        ("user", "A flower?\n\nIn two lines."),
    ]
    now, then = await store.read(kept), town.core.figures()
    assert {name: now[name] - rows[name] for name in rows if now[name] != rows[name]} == {
        "usage": 1
    }
    for name in ("events", "journal_records", "journal_bytes", "turns_running"):
        assert then[name] == figures[name], name
    assert (await total(town))["cost_micros"] == 11
    by_agent = (await town.person.get("/api/me/usage?by=agent")).json()["rows"]
    assert [(one["name"], one["answers"]) for one in by_agent] == [("Poet", 1)]
    assert (await town.person.get(f"/api/agents/{id_}")).json()["persona"] == "Rhyme."


async def test_its_model_is_told_what_it_would_be_told_in_a_chat(
    town: Town, models: ScriptedUpstream
) -> None:
    id_, before = await poet(town.person, examples="Roses."), len(models.asked)
    await tried(town.person, agent=id_)
    room = (await town.person.post("/api/rooms", json={"title": "x", "agents": [id_]})).json()
    said = {"text": "hello", "cid": new_cid()}
    await town.person.post(f"/api/rooms/{room['id']}/messages", json=said)
    await town.core.turns.idle()
    first, second = await asked(models, before)
    assert first.json == second.json


async def test_one_that_is_not_there_yet_is_tried_too(town: Town, models: ScriptedUpstream) -> None:
    before = len(models.asked)
    words, end = await tried(town.person, card={"persona": "Be brief.", "model": "m-1"})
    assert (words[:5], end["model"]) == ("w000 ", "m-1")
    assert (await asked(models, before))[0].json["messages"][0]["content"] == "Be brief."
    assert (await total(town))["answers"] == 1
    assert len((await town.person.get("/api/agents?all=true")).json()["agents"]) == 0


async def test_only_who_may_edit_an_agent_tries_it_otherwise(
    town: Town, models: ScriptedUpstream
) -> None:
    shared, own = await poet(town.admin), await poet(town.admin, audience="me")
    before = len(models.asked)
    assert (await tried(town.person, agent=shared))[1]["status"] == "done"
    asks_admin = await tried(town.owner, agent=own, card={"persona": "x"})
    assert asks_admin[1]["status"] == "done"
    _, guest = await town.door.guest()
    for http, body, code in (
        (town.person, {"agent": shared, "card": {"persona": "x"}}, "forbidden"),
        (town.person, {"agent": own}, "agent_not_found"),
        (town.person, {"agent": f"a_{'0' * 32}"}, "agent_not_found"),
        (guest, {"agent": shared}, "forbidden"),
        (guest, {}, "forbidden"),
    ):
        got = await http.post("/api/agents/try", json={"messages": HELLO, **body})
        assert got.json()["code"] == code, body
    assert len(await asked(models, before)) == 2


async def test_what_cannot_be_tried_is_refused_before_a_model_is_asked(
    town: Town, models: ScriptedUpstream
) -> None:
    before = len(models.asked)
    cases: tuple[tuple[Json, str], ...] = (
        ({"messages": []}, "bad_request"),
        ({}, "bad_request"),
        ({"messages": [{"role": "assistant", "text": "x"}]}, "bad_request"),
        ({"messages": [{"role": "system", "text": "x"}]}, "bad_request"),
        ({"messages": HELLO * 101}, "bad_request"),
        ({"messages": [{"text": " "}]}, "empty_message"),
        ({"messages": [{"text": "x" * 100_001}]}, "text_too_long"),
        ({"messages": HELLO, "card": {"tags": ["x"] * 21}}, "card_invalid"),
        ({"messages": HELLO, "card": {"parameters": None}}, "card_invalid"),
    )
    for body, code in cases:
        got = await town.person.post("/api/agents/try", json=body)
        assert got.json()["code"] == code, body
    assert not await asked(models, before)


async def test_a_model_that_fails_is_told_at_the_end(town: Town, models: ScriptedUpstream) -> None:
    models.will(refuse(401, {"error": {"message": "no key"}}))
    words, end = await tried(town.person)
    assert (words, end["status"], end["error"]["code"]) == ("", "failed", "provider_auth")
    assert (await total(town))["answers"] == 0


async def test_a_try_ends_with_its_client_and_what_came_is_counted(
    town: Town, models: ScriptedUpstream
) -> None:
    models.will(stream("Once ", STALL))
    body = {"messages": HELLO}
    async with town.person.stream("POST", "/api/agents/try", json=body) as got:
        async for line in got.aiter_lines():
            if "Once" in line:
                break
        running = [one.task for one in town.core.turns._unkept if one.task is not None]
    async with asyncio.timeout(20):
        await asyncio.gather(*running)
    used = await total(town)
    assert (len(running), used["answers"], used["estimated"], used["output"]) == (1, 1, 1, 2)


async def test_a_try_ends_with_the_key_that_asked(town: Town, models: ScriptedUpstream) -> None:
    models.will(stream("Once ", STALL))
    token, key = await town.core.keys.create(name="laptop", handle=town.ids["person"])
    http = town.door.http(headers={"authorization": f"Bearer {token}"})
    told = ""
    async with asyncio.timeout(20):
        async with http.stream("POST", "/api/agents/try", json={"messages": HELLO}) as got:
            async for piece in got.aiter_text():
                told += piece
                if "Once" in piece:
                    await town.core.keys.revoke(key.id)
    assert [one.get("status") for one in events_of(told)] == [None, "stopped"]


async def test_tries_are_as_many_a_minute_as_messages(
    tmp_path: Path, models: ScriptedUpstream
) -> None:
    most = {"messages_per_minute": 2, "person_messages_per_minute": 1}
    body = {"messages": HELLO}
    async with open_town(tmp_path / "data", models, **most) as town:
        codes = [
            (await http.post("/api/agents/try", json=body)).status_code
            for http in (town.person, town.person, town.admin)
        ]
    assert codes == [200, 429, 429], "of hers, then of the address"


async def test_tries_at_once_overrun_a_budget_by_nothing(
    town: Town, models: ScriptedUpstream
) -> None:
    budget = {"kind": "person", "period": "day", "of": town.ids["person"], "tokens": 40}
    assert (await town.admin.put("/api/budgets", json=budget)).status_code == 200
    go, before = asyncio.Event(), len(models.asked)
    models.default = (*stream("yes"), go, *reply()[1:])
    card = {"parameters": {"max_tokens": 10}, "persona": "x" * 23}  # 7 tokens are asked
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        tasks = [group.create_task(tried(town.person, card=card)) for _ in range(5)]
        while sum(task.done() for task in tasks) < 2:  # noqa: ASYNC110  whichever they are
            await asyncio.sleep(0.01)
        go.set()
    ends = [task.result()[1] for task in tasks]
    failed = [end["error"] for end in ends if end["error"] is not None]
    assert len(failed) == 3, "7 and 10 tokens, twice, leave 6 of 40: not enough to ask"
    assert {one["code"] for one in failed} == {"budget_reached"}
    assert "It begins anew on 20" in failed[0]["detail"]
    granted = [one.json["max_tokens"] for one in await asked(models, before)]
    assert granted == [10, 10]
    models.default = reply("yes")
