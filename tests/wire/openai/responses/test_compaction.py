"""Compactions, with the official client against a running server: what is told after one, and to whom."""

import zlib
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI
from tests.support.server import Serve
from tests.support.upstream import ScriptedUpstream, refuse, reply, scripted_upstream, whole
from tests.wire.door import Door, Json, open_door
from tests.wire.openai.client import client_of, said

from palaver.core.answers.compaction import HEAD, PROMPT
from palaver.wire.openai.fields import ITEMS_MAX, Invalid
from palaver.wire.openai.responses import compaction

LONG = "long " * 400
TALK = said("my name is Ada", LONG, "what is it?", "Ada.")


@pytest.fixture
def client(relay: Door) -> AsyncOpenAI:
    return client_of(relay)


@pytest.fixture
async def on_postgres(
    tmp_path: Path, postgres_url: str, models: ScriptedUpstream
) -> AsyncIterator[Door]:
    folder, url = tmp_path / "data", models.base_url
    async with open_door(folder, database_url=postgres_url, openai_base_url=url) as opened:
        yield opened


@pytest.fixture(params=["relay", pytest.param("on_postgres", marks=pytest.mark.postgres)])
def door(request: pytest.FixtureRequest) -> Door:
    """A server on each engine."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def either(door: Door) -> AsyncOpenAI:
    return client_of(door)


def packed(said: bytes, count: int) -> str:
    """What stands for so many messages of persons, packed by whoever made it."""
    told = b'{"summary":"","behind":[],"before":[' + b",".join([said] * count) + b"]}"
    return compaction.PACKED + urlsafe_b64encode(zlib.compress(told)).decode()


def told(models: ScriptedUpstream, place: int = -1) -> list[tuple[str, str]]:
    """What a model server was told."""
    return [(one["role"], one["content"]) for one in models.asked[place].json["messages"]]


def shown(response: Any) -> Json:
    return response.to_dict(warnings=False)


def summarised(text: str) -> tuple[str, str]:
    return "user", HEAD + text


async def compacted(
    client: AsyncOpenAI, models: ScriptedUpstream, given: Any = TALK, **more: Any
) -> list[Any]:
    """The output of a compaction."""
    models.will(reply("Ada ", "asked for her name."))
    made = await client.responses.compact(model="m", input=given, **more)
    return shown(made)["output"]


async def test_a_compaction_keeps_what_persons_said_and_is_a_summary_of_the_rest(
    client: AsyncOpenAI, models: ScriptedUpstream
) -> None:
    models.will(reply("Ada ", "asked for her name."))
    made = shown(await client.responses.compact(model="m", input=TALK))
    assert (made["object"], made["id"][:5]) == ("response.compaction", "resp_")
    assert set(made["usage"]) >= {"input_tokens_details", "output_tokens_details", "total_tokens"}
    *users, item = made["output"]
    assert [one["content"][0]["text"] for one in users] == ["my name is Ada", "what is it?"]
    assert (item["type"], item["id"]) == ("compaction", item["encrypted_content"])
    ((role, asked),) = told(models)
    assert role == "user"
    assert asked.startswith(PROMPT)
    assert LONG in asked


async def test_an_input_that_begins_with_it_goes_on_in_its_room_and_nothing_is_stored_twice(
    either: AsyncOpenAI, models: ScriptedUpstream
) -> None:
    output = await compacted(either, models)
    models.will(reply("Ada, still."), reply("Yes."))
    first = await either.responses.create(model="m", input=[*output, *said("and now?")])
    kept = [("user", "my name is Ada"), summarised("Ada asked for her name.")]
    last = [("user", "what is it?"), ("assistant", "Ada.")]
    assert told(models)[0] == kept[0]
    assert sorted(told(models)) == sorted([*kept, *last, ("user", "and now?")])
    dropped: list[Any] = [output[-1], *(one.to_dict() for one in first.output), *said("sure?")]
    second = await either.responses.create(model="m", input=dropped)
    assert summarised("Ada asked for her name.") in told(models)
    assert LONG not in str(told(models))
    assert first.conversation is not None
    assert first.conversation == second.conversation
    conversation = first.conversation.id
    page = await either.conversations.items.list(conversation, order="asc", limit=100)
    kinds = [(one.type, texts_of(one)) for one in page.data]
    assert kinds == [
        *[("message", one["content"]) for one in TALK],
        ("compaction", ""),
        ("message", "and now?"),
        ("message", "Ada, still."),
        ("message", "sure?"),
        ("message", "Yes."),
    ]


def texts_of(item: Any) -> str:
    return "".join(part.text for part in getattr(item, "content", None) or ())


async def test_a_response_and_a_conversation_go_on_from_their_newest_compaction(
    either: AsyncOpenAI, models: ScriptedUpstream
) -> None:
    models.will(reply(f"{LONG} Or so."))
    first = await either.responses.create(model="m", input="my name is Ada")
    models.will(reply("A name."), reply("Ada."), reply("Bye."))
    made = await either.responses.compact(model="m", previous_response_id=first.id)
    after = await either.responses.create(model="m", previous_response_id=made.id, input="who?")
    expected = [("user", "my name is Ada"), summarised("A name."), ("user", "who?")]
    assert told(models) == expected
    assert after.conversation is not None
    await either.responses.create(model="m", conversation=after.conversation.id, input="bye")
    assert told(models) == [*expected, ("assistant", "Ada."), ("user", "bye")]


async def test_what_crosses_its_threshold_is_compacted_in_the_same_stream(
    door: Door, either: AsyncOpenAI, models: ScriptedUpstream
) -> None:
    rule: Any = [{"type": "compaction", "compact_threshold": 300}]
    models.will(reply("A name."), reply("Ada."))
    heard: list[Json] = [
        one.to_dict()
        async for one in await either.responses.create(
            model="m", input=TALK, context_management=rule, stream=True
        )
    ]
    output: Any = heard[-1]["response"]
    assert [one["type"] for one in output["output"]] == ["compaction", "message"]
    added = [one["item"]["type"] for one in heard if one["type"] == "response.output_item.added"]
    assert added == ["compaction", "message"]
    assert [one["sequence_number"] for one in heard] == list(range(len(heard)))
    assert summarised("A name.") in told(models)
    again: list[Json] = [
        one.to_dict() async for one in await either.responses.retrieve(output["id"], stream=True)
    ]
    assert again == heard
    assert output["usage"]["input_tokens"] == 7
    _, page = await door.guest()
    room = f"/api/rooms/r_{output['conversation']['id'][5:]}/messages"
    used = [one["meta"].get("usage") for one in (await page.get(room)).json()["messages"]]
    assert used[len(TALK) :] == [{"input": 7, "output": 1}] * 2, "each its own"
    models.will(reply("Yes."))
    await either.responses.create(
        model="m", input="sure?", previous_response_id=output["id"], context_management=rule
    )
    assert told(models)[-2:] == [("assistant", "Ada."), ("user", "sure?")]
    assert LONG not in str(told(models))


async def test_what_is_below_its_threshold_or_has_another_rule_is_left_as_it_is(
    client: AsyncOpenAI, models: ScriptedUpstream
) -> None:
    for rule in ({"type": "compaction", "compact_threshold": 9_000}, {"type": "type"}):
        models.will(reply("Ada."))
        rules: Any = [rule]
        await client.responses.create(model="m", input=TALK, context_management=rules)
        assert told(models)[1] == ("assistant", LONG)
    wrong: Any = [{"type": "compaction", "compact_threshold": "many"}]
    with pytest.raises(openai.BadRequestError) as refused:
        await client.responses.create(model="m", input=TALK, context_management=wrong)
    assert refused.value.param == "context_management[0].compact_threshold"


async def test_a_trigger_at_the_end_of_the_input_gives_one_compaction_and_nothing_else(
    client: AsyncOpenAI, models: ScriptedUpstream
) -> None:
    for store in (True, False):
        models.will(reply("A name."))
        asked: Any = [*TALK, {"type": "compaction_trigger"}]
        events = await client.responses.create(model="m", input=asked, stream=True, store=store)
        heard: list[Json] = [one.to_dict() async for one in events]
        (item,) = heard[-1]["response"]["output"]
        assert item["type"] == "compaction"
        models.will(reply("Ada."))
        users = [TALK[0], TALK[2]]
        answer = await client.responses.create(
            model="m", input=[*users, item, *said("who?")], store=store
        )
        assert answer.output_text == "Ada."
        assert summarised("A name.") in told(models)
        assert LONG not in str(told(models))
        assert [one for _, one in told(models)].count("my name is Ada") == 1


async def test_nothing_is_kept_of_a_compaction_that_is_not_to_be_stored(
    client: AsyncOpenAI, relay: Door, models: ScriptedUpstream
) -> None:
    before = await rooms(relay)
    output = await compacted(client, models, extra_body={"store": False})
    assert await rooms(relay) == before
    models.will(reply("Ada."))
    await client.responses.create(model="m", input=[*output, *said("who?")], store=False)
    assert summarised("Ada asked for her name.") in told(models)
    assert await rooms(relay) == before


async def rooms(door: Door) -> list[str]:
    async with door.http() as http:
        got = (await http.get("/api/rooms", params={"limit": 200})).json()
    return [room["id"] for room in got["rooms"]]


async def test_a_compaction_is_its_callers_and_nobody_elses(
    client: AsyncOpenAI, relay: Door, models: ScriptedUpstream
) -> None:
    item = (await compacted(client, models))[-1]
    other = client_of(relay, key="somebody else")
    unknown = {"type": "compaction", "encrypted_content": "cmp_" + "0" * 32}
    broken = {"type": "compaction", "encrypted_content": "cmpz_x"}
    theirs = {"type": "compaction", "encrypted_content": "gAAA"}
    one = b'{"role":"user","content":"a"}'
    many = {"type": "compaction", "encrypted_content": packed(one, ITEMS_MAX + 1)}
    ours = ((client, given) for given in (unknown, broken, theirs, many))
    for who, given in ((other, item), *ours):
        asked: Any = [given, *said("who?")]
        for call in (
            who.responses.create(model="m", input=asked),
            who.responses.create(model="m", input=asked, store=False),
            who.responses.compact(model="m", input=asked),
            who.responses.input_tokens.count(model="m", input=asked),
        ):
            with pytest.raises(openai.BadRequestError) as refused:
                await call
            assert refused.value.code == "invalid_encrypted_content"
            assert "could not be verified" in refused.value.message
    conversation = (await other.conversations.create()).id
    for call in (
        other.conversations.create(items=[item]),
        other.conversations.items.create(conversation, items=[item]),
    ):
        with pytest.raises(openai.BadRequestError):
            await call


async def test_a_model_that_fails_fails_the_compaction_and_the_next_one_is_made(
    client: AsyncOpenAI, models: ScriptedUpstream
) -> None:
    models.will(refuse(401, {"error": {"message": "who?"}}), reply("A name."))
    with pytest.raises(openai.APIStatusError) as refused:
        await client.responses.compact(model="m", input=TALK)
    assert refused.value.code == "provider_auth"
    again = {"x-stainless-retry-count": "1"}
    made = await client.responses.compact(model="m", input=TALK, extra_headers=again)
    same = await client.responses.compact(model="m", input=TALK, extra_headers=again)
    assert shown(made) == shown(same)


async def test_of_what_the_model_cannot_read_the_newer_half_is_summarised(
    client: AsyncOpenAI, models: ScriptedUpstream
) -> None:
    too_long = refuse(400, {"error": {"code": "context_length_exceeded", "message": "too long"}})
    models.will(too_long, reply("A name."))
    output = shown(await client.responses.compact(model="m", input=TALK))["output"]
    assert output[-1]["type"] == "compaction"
    assert "my name is Ada" not in str(told(models))


async def test_a_model_alone_and_what_the_public_tests_send_is_answered(
    client: AsyncOpenAI,
) -> None:
    made = shown(await client.responses.compact(model="m"))
    assert [one["type"] for one in made["output"]] == ["compaction"]
    with pytest.raises(openai.BadRequestError, match="model"):
        await client.responses.compact(model=None, input="x")


async def test_open_calls_and_their_results_stay_word_for_word(
    client: AsyncOpenAI, models: ScriptedUpstream
) -> None:
    call = {"type": "function_call", "call_id": "c1", "name": "add", "arguments": "{}"}
    result = {"type": "function_call_output", "call_id": "c1", "output": "3"}
    talk = [*TALK, *said("add"), call, result]
    output = await compacted(client, models, talk)
    open_ = await compacted(client, models, [*TALK, *said("add"), call])
    given: Any
    for given in (output, [*open_, result]):
        for store in (True, False):
            await client.responses.create(model="m", input=given, store=store)
            asked = models.asked[-1].json["messages"]
            assert [one["role"] for one in asked[-2:]] == ["assistant", "tool"]
            assert asked[-1]["content"] == "3"


@pytest.fixture
async def native() -> AsyncIterator[ScriptedUpstream]:
    async with scripted_upstream(everywhere=True) as upstream:
        yield upstream


async def test_a_model_server_that_can_makes_it_and_gets_it_back_as_it_was(
    tmp_path: Path, native: ScriptedUpstream
) -> None:
    item = {"type": "compaction", "id": "cmp_theirs", "encrypted_content": "gAAA"}
    usage = {"input_tokens": 9, "output_tokens": 2, "total_tokens": 11}
    users = [{"type": "message", "role": "user", "id": "msg_t", "status": "completed"}]
    output = [{**users[0], "content": [{"type": "input_text", "text": "my name is Ada"}]}, item]
    made = {"id": "resp_t", "object": "response.compaction", "output": output, "usage": usage}
    async with open_door(tmp_path / "data", openai_base_url=native.base_url) as door:
        client = client_of(door)
        native.will(whole(made))
        got = shown(await client.responses.compact(model="m", input=TALK))
        assert native.requests[-1].path.endswith("/responses/compact")
        assert got["output"][-1]["encrypted_content"] == "gAAA"
        assert got["usage"]["total_tokens"] == 11
        native.will(refuse(400, {"error": {"message": "no"}}))
        with pytest.raises(openai.BadRequestError):
            await client.responses.create(model="m", input=[*got["output"], *said("who?")])
        sent = native.requests[-1].json["input"]
        assert [one.get("encrypted_content") for one in sent].count("gAAA") == 1
        assert LONG not in str(sent)


CODEX = {"thread-id": "t-1", "session-id": "s-1"}
CHECKPOINT = "You are performing a CONTEXT CHECKPOINT COMPACTION. Write a handoff."


async def test_a_program_that_rewrites_its_history_stays_in_its_room_and_repeats_nothing(
    client: AsyncOpenAI, models: ScriptedUpstream
) -> None:
    talk: list[Any] = [{"role": "developer", "content": "rules"}, *said("fix it")]
    for place in range(60):
        call = {"type": "function_call", "call_id": f"c{place}", "name": "run", "arguments": "{}"}
        talk += [
            call,
            {"type": "function_call_output", "call_id": f"c{place}", "output": f"o{place}"},
        ]
    models.will(reply("Fixed."), reply("It was fixed."), reply("Gladly."))
    first = await client.responses.create(model="m", input=talk, extra_headers=CODEX)
    talk += [*said("fix it", "Fixed.")[1:], {"role": "user", "content": CHECKPOINT}]
    await client.responses.create(model="m", input=talk, extra_headers=CODEX)
    handoff = "Another language model started to solve this problem. It was fixed."
    rewritten = [*talk[:2], *said(handoff), *said("thanks")]
    last = await client.responses.create(model="m", input=rewritten, extra_headers=CODEX)
    assert last.conversation == first.conversation
    assert last.conversation is not None
    page = await client.conversations.items.list(last.conversation.id, order="desc", limit=6)
    got = [texts_of(one) for one in page.data]
    assert got == ["Gladly.", "thanks", handoff, "It was fixed.", CHECKPOINT, "Fixed."]


async def test_what_codex_tells_its_makers_server_is_told_to_no_other(
    client: AsyncOpenAI, models: ScriptedUpstream
) -> None:
    name = "internal_chat_message_metadata_passthrough"
    given: Any = [{**said("hi")[0], name: {"x": "secret"}}]
    for store in (True, False):
        await client.responses.create(model="m", input=given, store=store)
        assert name not in str(models.asked[-1].json)


async def test_a_compaction_outlives_a_server_that_was_killed(
    serve: Serve, models: ScriptedUpstream
) -> None:
    server = await serve(environment={"OPENAI_BASE_URL": models.base_url})
    async with AsyncOpenAI(base_url=f"{server.url}/v1", api_key="any", max_retries=0) as client:
        output = await compacted(client, models)
        await server.kill()
        await server.start()
        models.will(reply("Ada."))
        await client.responses.create(model="m", input=[*output, *said("who?")])
        assert summarised("Ada asked for her name.") in told(models)


def test_what_unpacks_to_too_much_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    token = packed(b'{"role":"user","content":"a"}', 100)
    assert len(compaction._unpacked(token).before) == 100
    monkeypatch.setattr(compaction, "PACKED_BYTES_MAX", 1_000)
    with pytest.raises(Invalid):
        compaction._unpacked(token)
