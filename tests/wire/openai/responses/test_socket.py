"""Responses over WebSocket, frame by frame against a running server."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from tests.support.responses import SEARCH, THOUGHT, Telling, says
from tests.support.upstream import (
    CUT,
    STALL,
    Script,
    ScriptedUpstream,
    chunk,
    refuse,
    reply,
    scripted_upstream,
    stream,
)
from tests.wire.door import ANSWER_SECONDS_MAX, Door, open_door, texts
from tests.wire.openai.client import bare_client
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, InvalidStatus

from palaver.errors import Refused
from palaver.wire.openai.responses import socket as ours
from palaver.wire.openai.responses.requests import read
from palaver.wire.openai.responses.socket import Memory
from palaver.wire.server.control import asked

Json = dict[str, Any]

RESPONSES = "/v1/responses"
LAST = {"response.completed", "response.incomplete", "response.failed", "error"}
MISSING = "previous_response_not_found"


class Talk:
    """A client of one connection."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket

    async def send(self, **frame: Any) -> None:
        await self.socket.send(json.dumps({"type": "response.create", "model": "m", **frame}))

    async def hear(self) -> Json:
        async with asyncio.timeout(ANSWER_SECONDS_MAX):
            got = await self.socket.recv()
        assert isinstance(got, str), "frames are text"
        return json.loads(got)

    async def turn(self) -> list[Json]:
        """What comes up to the frame that ends a turn, numbered without a gap."""
        found = [await self.hear()]
        while found[-1]["type"] not in LAST:
            found.append(await self.hear())
        numbers = [one["sequence_number"] for one in found if one["type"] != "error"]
        assert numbers == list(range(len(numbers)))
        return found

    async def ask(self, **frame: Any) -> Json:
        """The frame that ends the turn of this request."""
        await self.send(**frame)
        return (await self.turn())[-1]

    async def closed(self) -> int | None:
        async with asyncio.timeout(ANSWER_SECONDS_MAX):
            with pytest.raises(ConnectionClosed) as ended:
                await self.socket.recv()
        return None if ended.value.rcvd is None else ended.value.rcvd.code


@asynccontextmanager
async def talking(door: Door, key: str = "any", **headers: str) -> AsyncGenerator[Talk]:
    given = {"authorization": f"Bearer {key}"} | headers
    async with door.socket(RESPONSES, additional_headers=given) as socket:
        yield Talk(socket)


@pytest.fixture
async def talk(relay: Door) -> AsyncGenerator[Talk]:
    async with talking(relay) as found:
        yield found


def told(models: ScriptedUpstream) -> list[str]:
    """What the model server was told last."""
    return [one["content"] for one in models.asked[-1].json["messages"]]


def text_of(last: Json) -> str:
    assert last["type"] == "response.completed", last
    return last["response"]["output"][0]["content"][0]["text"]


def code_of(last: Json) -> str:
    """The code of an error; all that a client reads of it is there."""
    assert last["type"] == "error", last
    assert {"message", "type", "code"} <= set(last["error"])
    assert 400 <= last["status"] < 600
    return last["error"]["code"]


def calls_a_tool() -> Script:
    made = {"index": 0, "id": "call_1", "function": {"name": "add", "arguments": '{"a":1}'}}
    choice = {"index": 0, "delta": {"tool_calls": [made]}, "finish_reason": None}
    return stream(chunk(choices=[choice]), chunk(finish="tool_calls"), b"data: [DONE]\n\n")


# turns


async def test_the_events_are_those_of_the_stream_over_http_and_are_kept(
    talk: Talk, relay: Door, models: ScriptedUpstream
) -> None:
    models.will(reply("one ", "two"))
    more = {"stream": True, "stream_options": {"include_obfuscation": False}}
    await talk.send(input="a", client_metadata={"x": "y"}, background=False, **more)
    found = await talk.turn()
    assert "client_metadata" not in models.asked[-1].json
    http = bare_client(relay)
    response = found[0]["response"]["id"]
    events = await http.get(f"{RESPONSES}/{response}", params={"stream": "true"})
    lines = [line[6:] for line in events.text.splitlines() if line.startswith("data: {")]
    assert [json.loads(line) for line in lines] == found
    room = found[-1]["response"]["conversation"]["id"].replace("conv_", "r_")
    assert await texts(relay.http(), room, role="assistant") == ["one two"]


async def test_several_are_answered_one_after_the_other(
    talk: Talk, models: ScriptedUpstream
) -> None:
    gate, before = asyncio.Event(), len(models.asked)
    models.will(stream("one", gate, chunk(finish="stop")), reply("two"))
    for text in ("a", "b"):
        await talk.send(input=text)
    while (await talk.hear())["type"] != "response.output_text.delta":
        pass
    assert len(models.asked) == before + 1
    gate.set()
    while (await talk.hear())["type"] != "response.completed":
        pass
    assert text_of((await talk.turn())[-1]) == "two"


async def test_each_stream_id_is_a_lane_of_its_own(talk: Talk, models: ScriptedUpstream) -> None:
    gate = asyncio.Event()
    models.to("slow", stream("one", gate, chunk(finish="stop")))
    models.to("fast", reply("two"))
    await talk.send(input="slow", stream_id="s")
    await talk.send(input="fast", stream_id="f")
    lanes: dict[str, list[Json]] = {"s": [], "f": []}
    while not lanes["f"] or lanes["f"][-1]["type"] not in LAST:
        heard = await talk.hear()
        lanes[heard["stream_id"]].append(heard)
    gate.set()
    while not lanes["s"] or lanes["s"][-1]["type"] not in LAST:
        heard = await talk.hear()
        lanes[heard["stream_id"]].append(heard)
    assert (text_of(lanes["s"][-1]), text_of(lanes["f"][-1])) == ("one", "two")


async def test_what_waits_is_bounded(tmp_path: Path) -> None:
    gate = asyncio.Event()
    async with (
        scripted_upstream() as models,
        open_door(tmp_path / "data", openai_base_url=models.base_url, inflight_max=2) as relay,
        talking(relay) as talk,
    ):
        models.will(stream("one", gate, chunk(finish="stop")))
        for text in ("a", "b", "c"):
            await talk.send(input=text)
        heard = [await talk.hear()]
        while heard[-1]["type"] != "error":
            heard.append(await talk.hear())
        assert code_of(heard[-1]) == "too_busy"
        gate.set()
        ends = 0
        while ends < 2:
            ends += (await talk.hear())["type"] == "response.completed"


async def test_lanes_are_bounded(talk: Talk, models: ScriptedUpstream) -> None:
    gate = asyncio.Event()
    models.to("wait", stream("one", gate, chunk(finish="stop")))
    for lane in range(ours.LANES_MAX + 1):
        await talk.send(input="wait", stream_id=str(lane))
    heard = await talk.hear()
    while heard["type"] != "error":
        heard = await talk.hear()
    assert (code_of(heard), heard["stream_id"]) == ("too_busy", str(ours.LANES_MAX))
    gate.set()
    ends = 0
    while ends < ours.LANES_MAX:
        ends += (await talk.hear())["type"] == "response.completed"
    assert code_of(await talk.ask(input="a", stream_id="x" * 257)) == "string_above_max_length"


# going on


async def test_what_is_stored_can_be_gone_on_from_anywhere(
    talk: Talk, relay: Door, models: ScriptedUpstream
) -> None:
    models.will(reply("one"), reply("two"), reply("three"))
    http = bare_client(relay)
    made = (await http.post(RESPONSES, json={"model": "m", "input": "a"})).json()
    second = await talk.ask(input="b", previous_response_id=made["id"])
    assert told(models) == ["a", "one", "b"]
    async with talking(relay) as other:
        await other.ask(input="c", previous_response_id=second["response"]["id"])
    assert told(models) == ["a", "one", "b", "two", "c"]


async def test_what_is_not_stored_can_be_gone_on_from_on_its_connection_only(
    talk: Talk, relay: Door, models: ScriptedUpstream
) -> None:
    models.will(reply("one"), reply("two"), reply("three"))
    first = await talk.ask(input="a", store=False)
    again = first["response"]["id"]
    second = await talk.ask(input="b", store=False, previous_response_id=again)
    assert second["response"]["previous_response_id"] == again
    assert told(models) == ["a", "one", "b"]
    third = await talk.ask(input="c", previous_response_id=second["response"]["id"])
    assert told(models) == ["a", "one", "b", "two", "c"]
    room = third["response"]["conversation"]["id"].replace("conv_", "r_")
    assert await texts(relay.http(), room) == ["a", "b", "c"]
    async with talking(relay) as other:
        refused = await other.ask(input="d", store=False, previous_response_id=again)
        assert (code_of(refused), refused["status"]) == (MISSING, 400)
        assert refused["error"]["param"] == "previous_response_id"
        assert (await other.ask(input="d"))["type"] == "response.completed"


async def test_a_tool_is_called_and_answered_without_anything_being_stored(
    talk: Talk, models: ScriptedUpstream
) -> None:
    models.will(calls_a_tool(), reply("3"))
    tools: list[Json] = [{"type": "function", "name": "add", "parameters": {}}]
    called = await talk.ask(input="a", store=False, tools=tools)
    result = {"type": "function_call_output", "call_id": "call_1", "output": "3"}
    before = called["response"]["id"]
    await talk.ask(input=[result], store=False, tools=tools, previous_response_id=before)
    said = models.asked[-1].json["messages"]
    assert [one["role"] for one in said] == ["user", "assistant", "tool"]
    assert said[1]["tool_calls"][0]["id"] == said[2]["tool_call_id"] == "call_1"


@pytest.mark.parametrize("how", ["refused here", "refused there", "broken"])
async def test_a_failed_continuation_forgets_what_it_went_on_from(
    talk: Talk, models: ScriptedUpstream, how: str
) -> None:
    models.will(reply("one"))
    before = (await talk.ask(input="a", store=False))["response"]["id"]
    given: Any = "b"
    match how:
        case "refused here":
            given = [{"type": "function_call_output", "call_id": "call_x", "output": "3"}]
        case "refused there":
            models.will(refuse(422, {"error": {"message": "No.", "code": 7}}))
        case _:
            models.will(stream("half", CUT))
    failed = await talk.ask(input=given, store=False, previous_response_id=before)
    assert failed["type"] == "response.failed" if how == "broken" else code_of(failed)
    again = await talk.ask(input="c", store=False, previous_response_id=before)
    assert code_of(again) == MISSING


async def test_a_warm_up_asks_nobody_and_is_gone_on_from(
    talk: Talk, relay: Door, models: ScriptedUpstream
) -> None:
    before = len(models.requests)
    developer = {"type": "message", "role": "developer", "content": "Be kind."}
    await talk.send(input=[developer], store=False, generate=False)
    warm = (await talk.turn())[-1]["response"]
    assert (warm["status"], warm["output"]) == ("completed", [])
    assert len(models.requests) == before
    models.will(reply("one"), reply("two"))
    made = await talk.ask(input="a", previous_response_id=warm["id"])
    assert told(models) == ["Be kind.", "a"]
    again = await talk.ask(input="b", store=False, previous_response_id=warm["id"])
    assert told(models) == ["Be kind.", "b"]
    assert again["type"] == "response.completed"
    room = made["response"]["conversation"]["id"].replace("conv_", "r_")
    assert await texts(relay.http(), room) == ["a"]
    missing = await talk.ask(input="a", generate=False, previous_response_id="resp_" + "0" * 32)
    assert code_of(missing) == MISSING


def test_what_is_kept_of_a_connection_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ours, "KEPT_BYTES_MAX", 300)
    memory = Memory(1_000)
    for id_, size in (("1", 100), ("2", 100), ("3", 400), ("4", 2_000)):
        memory.keep(id_, read({"model": "m", "input": "x" * size}), [])
        known = [one for one in "1234" if "previous_response_id" not in recalled(memory, one)]
        assert known == {"1": ["1"], "2": ["1", "2"], "3": ["3"]}[id_]
        if id_ == "3":
            break
    memory.keep("4", read({"model": "m", "input": "x" * 2_000}), [])
    with pytest.raises(Refused, match="larger"):
        recalled(memory, "4")
    memory.forget("4")
    assert "previous_response_id" in recalled(memory, "4")


def recalled(memory: Memory, previous: str) -> Json:
    return memory.recall({"model": "m", "input": "b", "previous_response_id": previous})


# errors


async def test_what_is_wrong_is_told_in_its_turn_and_the_connection_goes_on(
    talk: Talk, models: ScriptedUpstream
) -> None:
    gate = asyncio.Event()
    models.will(stream("one", gate, chunk(finish="stop")))
    await talk.send(input="a")
    await talk.socket.send("no JSON")
    await talk.socket.send('{"type": "response.dance"}')
    await talk.send(temperature=7, input="a")
    gate.set()
    assert text_of((await talk.turn())[-1]) == "one"
    codes = [code_of((await talk.turn())[-1]) for _ in range(2)]
    assert codes == ["invalid_json", "unknown_frame"]
    wrong = (await talk.turn())[-1]
    assert (wrong["error"]["param"], wrong["status"]) == ("temperature", 400)
    assert (await talk.ask(input="b"))["type"] == "response.completed"


async def test_what_the_model_server_refuses_is_told_with_its_status(
    talk: Talk, models: ScriptedUpstream
) -> None:
    busy = {"message": "Too many.", "type": "requests", "param": None, "code": "rate_limit"}
    models.will(refuse(429, {"error": busy}), refuse(500, "<html>"), stream(CUT))
    refused = await talk.ask(input="a", store=False)
    assert (refused["status"], refused["error"]) == (429, busy)
    for _ in range(2):
        assert code_of(await talk.ask(input="a"))


async def test_a_model_servers_own_events_are_told_and_have_one_end(tmp_path: Path) -> None:
    whole, broken = Telling(), Telling()
    for item in (THOUGHT, SEARCH):
        whole.item(item)
    whole.say("Here.")
    broken.say("half")
    broken.event("error", code="server_error", message="It broke.", param=None)
    tools = [{"type": "web_search"}]
    async with (
        scripted_upstream(everywhere=True) as models,
        open_door(tmp_path / "data", openai_base_url=models.base_url) as door,
        talking(door) as talk,
    ):
        models.will(whole.end(), broken.end("failed", error={"code": "server_error"}))
        await talk.send(input="find", store=False, tools=tools)
        found = await talk.turn()
        assert [item["type"] for item in found[-1]["response"]["output"]] == [
            *("reasoning", "web_search_call", "message")
        ]
        before = found[-1]["response"]["id"]
        await talk.send(input="more", store=False, tools=tools, previous_response_id=before)
        kinds = [(await talk.hear())["type"]]
        while kinds[-1] not in LAST:
            kinds.append((await talk.hear())["type"])
        assert kinds[-1] == "response.failed"
        given = models.requests[-1].json
        assert given["input"][0]["content"] == "find"
        assert [one.get("type") for one in given["input"][1:4]] == [
            *("reasoning", "web_search_call", "message")
        ]
        assert given["input"][1]["encrypted_content"] == THOUGHT["encrypted_content"]
        assert given["tools"] == tools
        models.will(says("Good."))
        assert text_of(await talk.ask(input="again")) == "Good."


# who may


async def test_a_refused_upgrade_says_why_in_its_body(tmp_path: Path) -> None:
    async with open_door(tmp_path / "data", openai_keys="required") as door:
        for path, origin, status, code in (
            (RESPONSES, None, 401, "invalid_api_key"),
            (RESPONSES, "https://elsewhere.example", 403, "origin_refused"),
            ("/v1/chat/completions", None, 426, "upgrade_required"),
            ("/v1/responses/compact", None, 426, "upgrade_required"),
            ("/v1/nothing", None, 426, "upgrade_required"),
        ):
            with pytest.raises(InvalidStatus) as refused:
                async with door.socket(path, origin=origin):
                    pass
            response = refused.value.response
            assert response.status_code == status, path
            assert json.loads(response.body or b"")["error"]["code"] == code
        got = await door.http().get(RESPONSES, headers={"authorization": "Bearer plv_x"})
        assert got.status_code == 401


async def test_a_request_that_lost_its_upgrade_on_the_way_is_told_so(relay: Door) -> None:
    got = await bare_client(relay).get(RESPONSES)
    assert (got.status_code, got.headers["upgrade"]) == (426, "websocket, HTTP/1.1")
    assert got.json()["error"]["code"] == "upgrade_required"


async def test_a_key_must_be_good_for_responses_whenever_it_asks(door: Door) -> None:
    request = {"do": "key.create", "name": None, "scopes": ["chat"], "as": "ada"}
    chats = await asked(door.settings, request)
    with pytest.raises(InvalidStatus) as refused:
        async with talking(door, chats["token"]):
            pass
    assert refused.value.response.status_code == 403
    key = await asked(door.settings, request | {"scopes": ["responses"]})
    async with talking(door, key["token"]) as talk:
        assert (await talk.ask(input="a", generate=False))["type"] == "response.completed"
        await asked(door.settings, {"do": "key.revoke", "key": key["key"]["id"]})
        ended = await talk.ask(input="a", generate=False)
        assert (ended["status"], code_of(ended)) == (401, "invalid_api_key")


async def test_an_idle_connection_is_pinged_so_that_no_proxy_ends_it(tmp_path: Path) -> None:
    async with open_door(tmp_path / "data", ping_seconds=0.05) as door:
        host, _, port = door.host.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        head = (
            f"GET {RESPONSES} HTTP/1.1\r\nhost: {door.host}\r\nconnection: upgrade\r\n"
            "upgrade: websocket\r\nsec-websocket-version: 13\r\n"
            "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        writer.write(head.encode())
        async with asyncio.timeout(ANSWER_SECONDS_MAX):
            await reader.readuntil(b"\r\n\r\n")
            for _ in range(2):
                assert (await reader.readexactly(6))[:2] == b"\x89\x04"
        writer.transport.abort()


async def test_each_request_counts_and_too_many_are_refused(tmp_path: Path) -> None:
    async with (
        open_door(tmp_path / "data", messages_per_minute=2) as door,
        talking(door) as talk,
    ):
        ends = [await talk.ask(input="a", generate=False) for _ in range(3)]
        assert [one["type"] for one in ends] == ["response.completed"] * 2 + ["error"]
        assert (ends[2]["status"], code_of(ends[2])) == (429, "rate_limited")


async def test_a_frame_may_be_as_large_as_a_body_and_no_larger(tmp_path: Path) -> None:
    async with (
        open_door(tmp_path / "data", openai_body_bytes_max=1_000_000) as door,
        talking(door) as talk,
    ):
        assert (await talk.ask(input="x" * 900_000, generate=False))["type"] in LAST
        await talk.send(input="x" * 1_100_000)
        assert await talk.closed() == 1009


# ends


async def test_an_answer_goes_on_without_its_client_and_is_read_on(
    relay: Door, models: ScriptedUpstream
) -> None:
    gate = asyncio.Event()
    models.will(stream("one ", gate, "two", chunk(finish="stop")))
    async with talking(relay) as talk:
        await talk.send(input="a")
        heard = await talk.hear()
        response = heard["response"]["id"]
        while heard["type"] != "response.output_text.delta":
            heard = await talk.hear()
        talk.socket.transport.abort()
    resume = {"type": "response.resume", "response_id": response}
    async with talking(relay) as talk:
        await talk.send(**resume, starting_after=heard["sequence_number"])
        gate.set()
        rest = [await talk.hear()]
        while rest[-1]["type"] not in LAST:
            rest.append(await talk.hear())
        assert rest[0]["sequence_number"] == heard["sequence_number"] + 1
        assert text_of(rest[-1]) == "one two"
        await talk.send(**resume)
        assert (await talk.turn())[-1] == rest[-1]
        await talk.send(**resume, starting_after=1_000)
        assert await talk.hear() == rest[-1]
        unknown = await talk.ask(type="response.resume", response_id="resp_" + "0" * 32)
        assert (unknown["status"], code_of(unknown)) == (404, "exchange_not_found")
    query = {"stream": "true", "starting_after": str(heard["sequence_number"])}
    over_http = await bare_client(relay).get(f"{RESPONSES}/{response}", params=query)
    assert f'"sequence_number":{rest[0]["sequence_number"]}' in over_http.text


async def test_what_is_not_kept_ends_with_its_client(relay: Door, models: ScriptedUpstream) -> None:
    models.will(stream("one ", STALL))
    async with talking(relay) as talk:
        await talk.send(input="a", store=False)
        while (await talk.hear())["type"] != "response.output_text.delta":
            pass
        models.hung_up.clear()
    async with asyncio.timeout(ANSWER_SECONDS_MAX):
        await models.hung_up.wait()


async def test_a_connection_ends_after_its_time_and_not_in_the_middle_of_an_answer(
    relay: Door, models: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ours, "LIFE_SECONDS", 0.3)
    limit = "websocket_connection_limit_reached"
    async with talking(relay) as talk:
        assert code_of(await talk.hear()) == limit
        assert await talk.closed() == ours.GOING_AWAY
    gate = asyncio.Event()
    models.will(stream("one ", gate, chunk(finish="stop")))
    async with talking(relay) as talk:
        for text in ("a", "b"):
            await talk.send(input=text)
        asyncio.get_running_loop().call_later(0.5, gate.set)
        assert text_of((await talk.turn())[-1]) == "one "
        assert code_of(await talk.hear()) == limit
        assert await talk.closed() == ours.GOING_AWAY


async def test_a_server_that_stops_ends_what_it_answers_and_then_says_good_bye(
    tmp_path: Path, models: ScriptedUpstream
) -> None:
    models.will(stream("one ", STALL))
    given: dict[str, Any] = {"openai_base_url": models.base_url, "stop_seconds": 3.0}
    async with (
        open_door(tmp_path / "data", **given) as door,
        talking(door) as idle,
        talking(door) as talk,
    ):
        for text in ("a", "b"):
            await talk.send(input=text)
        heard = await talk.hear()
        while heard["type"] != "response.output_text.delta":
            heard = await talk.hear()
        door.stop.set()
        assert await idle.closed() == ours.RESTARTING
        while heard["type"] not in LAST:
            heard = await talk.hear()
        assert heard["type"] == "response.failed"
        waited = await talk.hear()
        assert (code_of(waited), waited["status"]) == ("shutting_down", 503)
        assert await talk.closed() == ours.RESTARTING


async def test_who_does_not_mind_that_frames_are_too_many_is_cut_off(
    tmp_path: Path,
) -> None:
    async with open_door(tmp_path / "data", frames_per_second=1) as door, talking(door) as talk:
        codes: list[str] = []
        with suppress(ConnectionClosed):
            while len(codes) < 60:
                await talk.socket.send("{}")
                codes.append(code_of(await talk.hear()))
        assert codes[-1] == "rate_limited"
        assert len(codes) < 20
