"""What answers used and what bounds it, over real HTTP, at `/v1` and for admins alone."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from tests.support.upstream import ScriptedUpstream, reply, whole
from tests.wire.api.test_people import Town, signed_in
from tests.wire.door import Door, serving, settings_for, shaped

from palaver.errors import Code
from palaver.model import ServerRole
from palaver.wire.api.usage import Budgets, Report

SECONDS_MAX = 30
ANSWERED = {
    "id": "c",
    "object": "chat.completion",
    "created": 1,
    "model": "m-1",
    "choices": [
        {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "one"}}
    ],
    "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10},
}
ASKED = {"model": "m-1", "messages": [{"role": "user", "content": "hello"}], "stream": True}


@pytest.fixture(scope="module")
async def town(
    tmp_path_factory: pytest.TempPathFactory, models: ScriptedUpstream
) -> AsyncGenerator[Town]:
    folder = tmp_path_factory.mktemp("town") / "data"
    prices = '{"m-1": {"input": 1, "output": 2}}'
    settings = settings_for(folder, openai_base_url=models.base_url, prices=prices)
    stop = asyncio.Event()
    async with serving(settings, stop) as (url, core):
        door = Door(url, settings, stop)
        made = {role: await signed_in(door, core, role) for role in ServerRole}
        ids = {role.value: one[1] for role, one in made.items()}
        yield Town(door, core, *(one[0] for one in made.values()), ids=ids)
        await door.close()


async def bound(town: Town, **more: Any) -> None:
    given = {"kind": "person", "period": "day", "of": town.ids["person"], **more}
    done = await town.admin.put("/api/budgets", json=given)
    assert done.status_code == 200, done.text


async def test_what_is_left_of_a_budget_is_told_to_whom_it_bounds(town: Town) -> None:
    await bound(town, tokens=10**9)
    await bound(town, kind="server", of=None, tokens=10**9)
    for http, count in ((town.person, 1), (town.admin, 0)):
        told = shaped(Budgets, (await http.get("/api/me/budgets")).json())["budgets"]
        assert len(told) == count, "nobody else's, and not the server's"
        assert all(one["of"] == town.ids["person"] for one in told)
    for given in ({"kind": "person"}, {"kind": "server", "of": None}):
        await bound(town, **given)


async def key_of(town: Town) -> dict[str, str]:
    token, _ = await town.core.keys.create(name="laptop", handle=town.ids["person"])
    return {"authorization": f"Bearer {token}"}


async def test_what_was_used_is_told_to_who_used_it_and_to_admins(
    town: Town, models: ScriptedUpstream
) -> None:
    models.will(reply("one", "two", "three"))
    key = await key_of(town)
    asked = await town.door.http().post("/v1/chat/completions", json=ASKED, headers=key)
    assert asked.status_code == 200
    own = shaped(Report, (await town.person.get("/api/me/usage")).json())
    assert own["total"]["input"] == 7
    assert own["total"]["cost_micros"] == 7 + 2 * 3
    assert [one["name"] for one in own["rows"]] == ["127.0.0.1/m-1"]
    assert shaped(Report, (await town.admin.get("/api/me/usage?by=day")).json())["rows"] == []
    by = {}
    for word in ("model", "person", "agent", "day"):
        told = shaped(Report, (await town.owner.get(f"/api/usage?by={word}")).json())
        assert told["total"]["answers"] == 1
        assert (told["total"]["first_p50_ms"] or 0) > 0
        assert told["messages"] is not None
        assert (len(told["messages"]), told["messages"][told["last_day"]]) == (30, 2)
        assert (told["database_bytes"] or 0) > 100_000
        by[word] = told["rows"][0]["name"]
    assert by["person"] == "the-person"
    assert by["day"] == told["last_day"]
    early = await town.owner.get("/api/usage?from=2020-01-01&to=2020-01-31")
    assert early.json()["total"] == {
        **dict.fromkeys(early.json()["total"], 0),
        "name": "",
        **dict.fromkeys(("id", "first_p50_ms", "first_p95_ms")),
    }
    assert list(early.json()["messages"].items())[::30] == [("2020-01-01", 0), ("2020-01-31", 0)]
    assert (own["messages"], own["database_bytes"]) == (None, None)
    assert (await town.person.get("/api/usage")).json()["code"] == Code.FORBIDDEN


@pytest.mark.parametrize("model", ["default", "@assistant"])
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("chat/completions", {"messages": ASKED["messages"]}),
        ("chat/completions", {"messages": ASKED["messages"], "store": False}),
        ("responses", {"input": "hello"}),
        ("responses", {"input": "hello", "store": False}),
        ("messages", {"messages": ASKED["messages"], "max_tokens": 9}),
    ],
)
async def test_the_model_that_answered_is_named_and_not_what_it_was_called(
    town: Town, models: ScriptedUpstream, path: str, body: dict[str, Any], model: str
) -> None:
    models.models = [{"id": "m-1"}]
    models.will(reply("one", "two", "three"))
    key = await key_of(town)
    asked = await town.door.http().post(f"/v1/{path}", json={"model": model, **body}, headers=key)
    assert asked.status_code == 200, asked.text
    rows = (await town.person.get("/api/me/usage")).json()["rows"]
    assert [one["name"] for one in rows] == ["127.0.0.1/m-1"]
    if "store" not in body:
        room = (await town.person.get("/api/rooms")).json()["rooms"][0]
        log = (await town.person.get(f"/api/rooms/{room['id']}/messages")).json()["messages"]
        assert log[-1]["meta"]["model"] == "m-1"
        assert log[-1]["meta"]["usage"]["cost_micros"] == 7 + 2 * 3


@pytest.mark.parametrize("streams", [True, False])
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("chat/completions", {"messages": ASKED["messages"]}),
        ("responses", {"input": "hello"}),
    ],
)
async def test_what_is_not_stored_is_counted(
    town: Town, models: ScriptedUpstream, path: str, body: dict[str, Any], *, streams: bool
) -> None:
    async def used() -> tuple[int, int, int]:
        told = shaped(Report, (await town.person.get("/api/me/usage")).json())["total"]
        return told["answers"], told["input"], told["output"]

    had, key = await used(), await key_of(town)
    models.will(reply("one", "two", "three") if streams else whole(ANSWERED))
    asked = {"model": "m-1", "store": False, "stream": streams, **body}
    got = await town.door.http().post(f"/v1/{path}", json=asked, headers=key)
    assert got.status_code == 200
    async with asyncio.timeout(SECONDS_MAX):
        while await used() == had:  # it is counted behind the answer
            pass
    assert await used() == (had[0] + 1, had[1] + 7, had[2] + 3)


async def test_what_is_left_of_a_budget_and_too_little_is_said_as_such(town: Town) -> None:
    await bound(town, tokens=10**9)
    (there,) = shaped(Budgets, (await town.person.get("/api/me/budgets")).json())["budgets"]
    await bound(town, tokens=there["used"] + 10)
    asked = {"model": "m-1", "messages": [{"role": "user", "content": "x" * 400}]}
    told = await town.door.http().post(
        "/v1/chat/completions", json=asked, headers=await key_of(town)
    )
    assert (told.status_code, told.json()["error"]["code"]) == (429, "insufficient_quota")
    words = told.json()["error"]["message"]
    assert words.startswith("Too little of the budget of yours for this day is left for this ")
    assert "It begins anew on" in words
    await bound(town)


async def test_a_budget_that_is_used_up_is_said_at_every_door(
    town: Town, models: ScriptedUpstream
) -> None:
    key = await key_of(town)
    await bound(town, tokens=1)
    before = len(models.requests)
    http = town.door.http()
    for path, body in (
        ("chat/completions", ASKED),
        ("chat/completions", {**ASKED, "store": False}),
        ("responses", {"model": "m-1", "input": "hello"}),
        ("embeddings", {"model": "m-1", "input": "hello"}),
    ):
        told = await http.post(f"/v1/{path}", json=body, headers=key)
        error = told.json()["error"]
        assert (told.status_code, error["code"]) == (429, "insufficient_quota"), path
        assert error["type"] == "insufficient_quota"
        assert "It begins anew on" in error["message"]
        assert int(told.headers["retry-after"]) > 0
        assert told.headers["x-should-retry"] == "false"
    told = await http.post(
        "/v1/messages",
        json={"model": "m-1", "max_tokens": 9, "messages": ASKED["messages"]},
        headers={**key, "anthropic-version": "2023-06-01"},
    )
    assert (told.status_code, told.json()["error"]["type"]) == (429, "rate_limit_error")
    assert len(models.requests) == before
    made = await http.post("/v1/conversations", json={}, headers=key)
    noted = await http.post(
        f"/v1/conversations/{made.json()['id']}/items",
        json={"items": [{"role": "user", "content": "for later"}]},
        headers=key,
    )
    assert (made.status_code, noted.status_code) == (200, 200), "no model is asked for that"
    found = shaped(Budgets, (await town.admin.get("/api/budgets")).json())
    assert [(one["kind"], one["name"], one["tokens"]) for one in found["budgets"]] == [
        ("person", "the-person", 1)
    ]
    await bound(town)
    assert (await town.admin.get("/api/budgets")).json() == {"budgets": []}
    models.will(reply("yes"))
    again = await http.post("/v1/chat/completions", json=ASKED, headers=key)
    assert again.status_code == 200


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"kind": "nobody"}, Code.BAD_REQUEST),
        ({"period": "year"}, Code.BAD_REQUEST),
        ({"of": None}, Code.BAD_REQUEST),
        ({"kind": "server"}, Code.BAD_REQUEST),
        ({"tokens": -1}, Code.BAD_REQUEST),
        ({"tokens": 10**16}, Code.BAD_REQUEST),
        ({"tokens": "many"}, Code.BAD_REQUEST),
        ({"of": "u_7"}, Code.NOT_FOUND),
        ({"kind": "agent"}, Code.NOT_FOUND),
    ],
)
async def test_a_budget_that_is_none_is_refused(town: Town, given: Any, code: Code) -> None:
    body = {"kind": "person", "period": "day", "of": town.ids["person"], "tokens": 5, **given}
    told = await town.admin.put("/api/budgets", json=body)
    assert told.json()["code"] == code
    assert (await town.admin.get("/api/budgets")).json() == {"budgets": []}
    body = {"kind": "server", "period": "day", "tokens": 5}
    assert (await town.person.put("/api/budgets", json=body)).status_code == 403


@pytest.mark.parametrize(
    "query",
    ["from=soon", "to=2026-13-01", "from=2026-02-01&to=2026-01-01", "by=room", "from=1000-01-01"],
)
async def test_a_time_that_is_none_is_refused(town: Town, query: str) -> None:
    told = await town.admin.get(f"/api/usage?{query}")
    assert (told.status_code, told.json()["code"]) == (400, Code.BAD_REQUEST)
    assert (await town.admin.get("/api/me/usage?by=person")).status_code == 400
