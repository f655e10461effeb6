"""Tools of every kind over a model server that knows functions only: told as such, and called by their own names."""

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, strategies as st
from openai.types.responses import ResponseStreamEvent
from pydantic import TypeAdapter
from tests.support.upstream import DONE, Script, ScriptedUpstream, chunk, event, reply, stream
from tests.wire.door import Door
from tests.wire.openai.client import bare_client

from palaver.strict_json import Json
from palaver.wire.openai.fields import Invalid
from palaver.wire.openai.responses.tools import NAME_CHARS_MAX, Freeform, told_name, tools_of

EVENT = TypeAdapter[Any](ResponseStreamEvent)
RESPONSES = "/v1/responses"
PATCH = '*** Begin Patch\n+one "é" 😀\n*** End Patch\n'
GRAMMAR = 'start: "*** Begin Patch" LF'
PATCHES: Json = {
    "type": "custom",
    "name": "apply_patch",
    "description": "Edits files.",
    "format": {"type": "grammar", "syntax": "lark", "definition": GRAMMAR},
}
AGENTS: Json = {
    "type": "namespace",
    "name": "agents",
    "description": "Others.",
    "tools": [{"type": "function", "name": "close", "parameters": {"type": "object"}}],
}
SEARCH: Json = {"type": "web_search", "external_web_access": True}
CODEX: Json = {"client_metadata": {"x-codex-installation-id": "1"}}


def calling(*calls: tuple[str, str]) -> Script:
    """An answer that calls functions (name, arguments), five characters at a time, one call after the other."""
    told: list[bytes] = []
    for place, (name, arguments) in enumerate(calls):
        parts = [arguments[at : at + 5] for at in range(0, len(arguments), 5)]
        first: Json = {"index": place, "id": f"call_{place}", "function": {"name": name}}
        deltas = [first, *({"index": place, "function": {"arguments": part}} for part in parts)]
        told += [
            event({"id": "c", "choices": [{"index": 0, "delta": {"tool_calls": [one]}}]})
            for one in deltas
        ]
    return stream(*told, chunk(finish="tool_calls"), DONE)


async def events_of(door: Door, **body: Any) -> list[Json]:
    """The events of a response, which the real client must be able to read."""
    asked = {"model": "m", "stream": True, **body}
    async with bare_client(door) as http, http.stream("POST", RESPONSES, json=asked) as got:
        lines = [line async for line in got.aiter_lines()]
    assert got.status_code == 200, lines
    found = [json.loads(line[6:]) for line in lines if line.startswith("data: {")]
    for one in found:
        EVENT.validate_python(one)
    return found


@pytest.mark.parametrize("store", [True, False])
async def test_a_freeform_tool_is_called_with_its_text_and_told_so_again(
    relay: Door, models: ScriptedUpstream, *, store: bool
) -> None:
    models.will(calling(("apply_patch", json.dumps({"input": PATCH}))), reply("done"))
    told = await events_of(relay, input="edit", tools=[PATCHES], store=store)
    (function,) = models.asked[-1].json["tools"]
    assert function["function"]["parameters"]["required"] == ["input"]
    assert GRAMMAR in function["function"]["description"]
    deltas = [one["delta"] for one in told if one["type"].endswith("tool_call_input.delta")]
    assert len(deltas) > 3
    assert "".join(deltas) == PATCH
    (done,) = [one for one in told if one["type"] == "response.custom_tool_call_input.done"]
    assert done["input"] == PATCH
    (item,) = told[-1]["response"]["output"]
    kept = {key: item[key] for key in ("type", "call_id", "name", "input", "status")}
    assert kept == {
        "type": "custom_tool_call",
        "call_id": "call_0",
        "name": "apply_patch",
        "input": PATCH,
        "status": "completed",
    }
    result = {"type": "custom_tool_call_output", "call_id": "call_0", "output": "Success."}
    asked = [{"role": "user", "content": "edit"}, item, result]
    await events_of(relay, input=asked, tools=[PATCHES], store=store)
    _, call, output = models.asked[-1].json["messages"]
    assert json.loads(call["tool_calls"][0]["function"]["arguments"]) == {"input": PATCH}
    assert output == {"role": "tool", "tool_call_id": "call_0", "content": "Success."}


async def test_a_stored_call_is_shown_as_it_was_told(relay: Door, models: ScriptedUpstream) -> None:
    models.will(calling(("apply_patch", '{"input": "x"}'), ("agents__close", "{}")), reply("done"))
    told = await events_of(relay, input="edit it", tools=[PATCHES, AGENTS])
    response = told[-1]["response"]
    async with bare_client(relay) as http:
        again = (await http.get(f"{RESPONSES}/{response['id']}")).json()
        room = response["id"]
        query = {"stream": "true"}
        text = (await http.get(f"{RESPONSES}/{room}", params=query)).text
        answered = [
            {"type": "custom_tool_call_output", "call_id": "call_0", "output": "a"},
            {"type": "function_call_output", "call_id": "call_1", "output": "b"},
        ]
        await http.post(
            RESPONSES, json={"model": "m", "input": answered, "previous_response_id": room}
        )
    assert again["output"] == response["output"]
    assert [item["type"] for item in again["output"]] == ["custom_tool_call", "function_call"]
    found = [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: {")]
    assert found == told
    _, calls, *results = models.asked[-1].json["messages"]
    names = [call["function"]["name"] for call in calls["tool_calls"]]
    assert names == ["apply_patch", "agents__close"]
    assert [one["content"] for one in results] == ["a", "b"]


async def test_a_tool_in_a_namespace_is_called_by_its_own_name(
    relay: Door, models: ScriptedUpstream
) -> None:
    models.will(calling(("agents__close", '{"id": 1}')))
    told = await events_of(relay, input="stop", tools=[AGENTS], store=False)
    assert [one["function"]["name"] for one in models.asked[-1].json["tools"]] == ["agents__close"]
    (item,) = told[-1]["response"]["output"]
    kept = (item["type"], item["namespace"], item["name"], item["arguments"])
    assert kept == ("function_call", "agents", "close", '{"id": 1}')


async def test_tools_that_come_in_the_input_are_offered(
    relay: Door, models: ScriptedUpstream
) -> None:
    models.will(calling(("functions__exec", '{"input": "1 + 1"}')), reply("2"))
    custom = {"type": "custom", "name": "exec"}
    more = {"type": "namespace", "name": "functions", "tools": [custom]}
    asked: list[Json] = [
        {"type": "additional_tools", "role": "developer", "tools": [more]},
        {"role": "user", "content": "count"},
    ]
    told = await events_of(relay, input=asked, store=False)
    (item,) = told[-1]["response"]["output"]
    kept = (item["type"], item["namespace"], item["name"], item["input"])
    assert kept == ("custom_tool_call", "functions", "exec", "1 + 1")
    (before,) = models.asked[-1].json["messages"]
    assert before == {"role": "user", "content": "count"}
    result = {"type": "custom_tool_call_output", "call_id": "call_0", "output": "2"}
    await events_of(relay, input=[*asked, item, result], store=False)
    assert models.asked[-1].json["messages"][1]["tool_calls"][0]["function"]["name"] == (
        "functions__exec"
    )


async def test_a_picture_that_a_tool_gave_is_a_message_behind_all_results(
    relay: Door, models: ScriptedUpstream
) -> None:
    models.will(calling(("look", "{}"), ("look", "{}")), reply("A cat."))
    look = {"type": "function", "name": "look", "parameters": {"type": "object"}}
    (_, *_, last) = await events_of(relay, input="look", tools=[look], store=False)
    seen = [
        {"type": "input_text", "text": "here:"},
        {"type": "input_image", "image_url": "data:image/png;base64,AA=="},
    ]
    results = [
        {"type": "function_call_output", "call_id": "call_0", "output": seen},
        {"type": "function_call_output", "call_id": "call_1", "output": "nothing"},
    ]
    asked = [{"role": "user", "content": "look"}, *last["response"]["output"], *results]
    await events_of(relay, input=asked, tools=[look], store=False)
    first, second, picture = models.asked[-1].json["messages"][2:]
    assert (first["content"], second["content"]) == ("here:", "nothing")
    assert (picture["role"], picture["content"][0]["type"]) == ("user", "image_url")


async def test_what_codex_always_sends_and_nobody_here_can_do_is_left_out(
    relay: Door, models: ScriptedUpstream
) -> None:
    models.will(reply("hi"))
    await events_of(relay, input="hi", tools=[PATCHES, SEARCH], store=False, **CODEX)
    sent = models.asked[-1].json
    assert [one["function"]["name"] for one in sent["tools"]] == ["apply_patch"]
    assert "client_metadata" not in sent
    async with bare_client(relay) as http:
        got = await http.post(RESPONSES, json={"model": "m", "input": "hi", "tools": [SEARCH]})
    assert (got.status_code, got.json()["error"]["code"]) == (400, "unsupported_tool")


def test_a_tool_is_chosen_by_the_name_of_its_function() -> None:
    tools = tools_of({"tools": [PATCHES, AGENTS]}, ())
    assert tools.told({"type": "custom", "name": "apply_patch"}) == ["apply_patch"]
    assert tools.told({"type": "function", "name": "close", "namespace": "agents"}) == [
        "agents__close"
    ]
    assert tools.told({"type": "namespace", "name": "agents"}) == ["agents__close"]
    with pytest.raises(Invalid) as refused:
        tools_of({"tools": [{**AGENTS, "tools": [SEARCH]}]}, ())
    assert refused.value.param == "tools[0].tools[0]"


def test_a_long_name_is_cut_and_still_its_own() -> None:
    names = [told_name("x" * 70 + end, {"namespace": "ns"}) for end in "ab"]
    assert [len(name) for name in names] == [NAME_CHARS_MAX] * 2
    assert names[0][:55] == names[1][:55] == ("ns__" + "x" * 51)
    assert names[0] != names[1]


@given(text=st.text(), cuts=st.lists(st.integers(0, 200)), escaped=st.booleans())
def test_a_freeform_text_comes_whole_however_its_json_is_cut(
    text: str, cuts: list[int], *, escaped: bool
) -> None:
    whole = json.dumps({"input": text}, ensure_ascii=escaped)
    places = sorted({0, *(cut for cut in cuts if cut < len(whole)), len(whole)})
    made = Freeform()
    pieces = [made.feed(whole[a:b]) for a, b in pairwise(places)]
    assert "".join(pieces) + made.close() == text


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("*** Begin Patch", "*** Begin Patch"),
        ('{"patch": "x"}', "x"),
        ('{"a": 1, "b": 2}', '{"a": 1, "b": 2}'),
        ('{"input": "cut', "cut"),
        ('{"input": "line\nend"}', "line\nend"),
        ('{"input": "\\ud83d"}', "\ufffd"),
        ("", ""),
    ],
)
def test_what_a_model_wrote_in_another_form_is_kept(written: str, meant: str) -> None:
    made = Freeform()
    assert made.feed(written) + made.close() == meant
