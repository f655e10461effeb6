from pathlib import Path
from typing import Any

import openai
import pytest
from tests.faults.test_postgres import away
from tests.support.postgres import PostgresServer
from tests.support.upstream import ScriptedUpstream, refuse, whole
from tests.wire.door import Door, open_door
from tests.wire.openai.client import bare_client, client_of


async def test_the_servers_models_are_listed_as_it_lists_them_and_our_agents_after_them(
    relay: Door, models: ScriptedUpstream
) -> None:
    models.models = [
        {"id": "org/big", "object": "model", "created": 5, "owned_by": "us", "context": 9},
        {"id": "small", "object": "model", "created": 6, "owned_by": "us"},
    ]
    found = (await bare_client(relay).get("/v1/models")).json()
    assert found["object"] == "list"
    assert found["data"][:2] == models.models
    assert [(one["id"], one["owned_by"]) for one in found["data"][2:]] == [("assistant", "palaver")]


async def test_a_model_is_found_by_its_name_which_may_have_slashes(
    relay: Door, models: ScriptedUpstream
) -> None:
    models.models = [{"id": "org/big", "object": "model", "created": 5, "owned_by": "us"}]
    client = client_of(relay)
    assert (await client.models.retrieve("org/big")).created == 5
    assert (await client.models.retrieve("assistant")).owned_by == "palaver"
    with pytest.raises(openai.NotFoundError) as missing:
        await client.models.retrieve("org/none")
    assert (missing.value.code, missing.value.param) == ("model_not_found", "model")


ASKING = pytest.mark.parametrize(
    ("path", "more"),
    [
        ("chat/completions", {"messages": [{"role": "user", "content": "hi"}]}),
        ("responses", {"input": "hi"}),
        ("responses", {"input": "hi", "store": False}),
        ("messages", {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 9}),
    ],
)


@ASKING
async def test_default_is_the_model_servers_default_model_where_none_has_that_name(
    relay: Door, models: ScriptedUpstream, path: str, more: dict[str, Any]
) -> None:
    models.models = [{"id": "org/big"}, {"id": "small"}]
    http, count = bare_client(relay), len(models.asked)
    got = await http.post(f"/v1/{path}", json={"model": "default", **more})
    assert got.status_code == 200, got.text
    assert [one.json["model"] for one in models.asked[count:]] == ["org/big"]


@ASKING
async def test_an_agent_is_asked_by_its_handle_as_it_is_written_everywhere(
    relay: Door, models: ScriptedUpstream, path: str, more: dict[str, Any]
) -> None:
    http, count = bare_client(relay), len(models.asked)
    got = await http.post(f"/v1/{path}", json={"model": "@assistant", **more})
    assert got.status_code == 200, got.text
    (asked,) = [one.json["model"] for one in models.asked[count:]]
    assert not asked.startswith("@")
    assert (await http.get("/v1/models/@assistant")).json()["id"] == "assistant"
    got = await http.post(f"/v1/{path}", json={"model": "@nobody", **more})
    assert got.status_code == 404
    error = got.json()["error"]
    assert "'@nobody' does not exist" in error["message"]
    if path != "messages":
        assert (error["code"], error["param"]) == ("model_not_found", "model")
    assert len(models.asked) == count + 1, "the model server is not asked"
    got = await http.post(f"/v1/{path}", json={"model": "@cf/meta/llama", **more})
    assert got.status_code == 200, "a model's name may begin so"
    assert models.asked[-1].json["model"] == "@cf/meta/llama"


async def test_a_client_of_the_messages_api_is_told_them_in_its_shape_and_pages(
    relay: Door, models: ScriptedUpstream
) -> None:
    models.models = [
        {"id": "a", "created": 1_700_000_000, "name": "A model"},
        {"id": "b", "created": 10**300},
        {"id": "c", "display_name": "C", "name": ""},
    ]
    theirs = {"anthropic-version": "2023-06-01"}

    async def told(query: str = "") -> Any:
        return (await bare_client(relay).get(f"/v1/models{query}", headers=theirs)).json()

    found = await told()
    first = {"type": "model", "id": "a", "display_name": "A model"}
    assert found["data"][0] == first | {"created_at": "2023-11-14T22:13:20.000Z"}
    assert [one["display_name"] for one in found["data"]] == ["A model", "b", "C", "assistant"]
    assert found["data"][1]["created_at"] == "1970-01-01T00:00:00.000Z"
    pages: dict[str, tuple[list[str], bool]] = {
        "": (["a", "b", "c", "assistant"], False),
        "?limit=2": (["a", "b"], True),
        "?limit=2&after_id=b": (["c", "assistant"], False),
        "?limit=1&before_id=c": (["b"], True),
        "?after_id=assistant": ([], False),
    }
    for query, (ids, more) in pages.items():
        page = await told(query)
        assert set(page) == {"data", "has_more", "first_id", "last_id"}
        assert ([one["id"] for one in page["data"]], page["has_more"]) == (ids, more), query
        ends = (ids[0], ids[-1]) if ids else (None, None)
        assert (page["first_id"], page["last_id"]) == ends
    assert (await told("/a")) == found["data"][0]
    refused = await bare_client(relay).get("/v1/models?after_id=zz", headers=theirs)
    assert refused.status_code == 400
    assert "zz" in refused.json()["error"]["message"]


async def test_a_refusal_comes_as_it_is(relay: Door, models: ScriptedUpstream) -> None:
    models.models_script = refuse(401, {"error": {"message": "no", "code": "invalid_api_key"}})
    got = await bare_client(relay).get("/v1/models")
    models.models_script = None
    assert (got.status_code, got.json()["error"]["message"]) == (401, "no")


async def test_what_is_no_list_of_models_is_a_bad_gateway(
    relay: Door, models: ScriptedUpstream
) -> None:
    models.models_script = whole({"models": []})
    got = await bare_client(relay).get("/v1/models")
    models.models_script = None
    assert (got.status_code, got.json()["error"]["code"]) == (502, "provider_bad_reply")


async def test_a_server_without_a_list_is_asked_for_its_model_by_name(
    tmp_path: Path, models: ScriptedUpstream
) -> None:
    models.models_script = refuse(404, "no such thing")
    async with open_door(tmp_path / "data", openai_base_url=models.base_url, model="only") as door:
        found = [one.id async for one in client_of(door).models.list()]
    models.models_script = None
    assert found == ["only", "assistant"]


async def test_without_a_model_server_the_offline_agent_is_listed(door: Door) -> None:
    found = [one.id async for one in client_of(door).models.list()]
    assert found == ["echo", "assistant"]


async def test_nobody_deletes_a_model_of_the_operators(
    relay: Door, models: ScriptedUpstream
) -> None:
    count = len(models.requests)
    with pytest.raises(openai.NotFoundError):
        await client_of(relay).models.delete("org/big")
    assert len(models.requests) == count


@pytest.mark.slow
@pytest.mark.postgres
async def test_models_and_agents_are_listed_while_the_database_is_away(
    tmp_path: Path, postgres_server: PostgresServer, postgres_url: str
) -> None:
    async with open_door(tmp_path / "data", database_url=postgres_url) as door:
        client = bare_client(door)
        there = await client.get("/v1/models")
        async with away(postgres_server, postgres_server.kill):
            assert (await client.get("/v1/conversations")).status_code == 503
            meanwhile = await client.get("/v1/models")
        assert (meanwhile.status_code, meanwhile.json()) == (200, there.json())
