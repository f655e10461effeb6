import asyncio
import logging
import socket
import sys
from contextlib import aclosing
from typing import Any

import pytest
from tests.providers.support import KEY, ask, hear, upstream_at
from tests.support.upstream import (
    CUT,
    DONE,
    STALL,
    Endless,
    Head,
    Script,
    ScriptedUpstream,
    chunk,
    event,
    refuse,
    reply,
    scripted_upstream,
    stream,
    whole,
)

from palaver.errors import Code
from palaver.providers.base import Done, TextPiece
from palaver.providers.openai.client import Upstream

FINISH = chunk(finish="stop")
USAGE = {"prompt_tokens": 7, "completion_tokens": 2}


# a good answer


async def test_an_answer_streams_and_ends_with_what_the_provider_told_about_it(
    upstream: ScriptedUpstream, provider: Upstream
) -> None:
    upstream.will(reply("Hello ", "world"))
    heard = await hear(provider)
    assert heard.pieces == [
        TextPiece("Hello "),
        TextPiece("world"),
        Done(model="scripted", finish="stop", input_tokens=7, output_tokens=2),
    ]


async def test_each_piece_comes_before_the_next_one_is_sent(
    upstream: ScriptedUpstream, provider: Upstream
) -> None:
    gate = asyncio.Event()
    upstream.will(stream("one", gate, "two", FINISH, DONE))
    async with aclosing(provider.answer(ask())) as pieces:
        assert await anext(pieces) == TextPiece("one")
        gate.set()
        assert await anext(pieces) == TextPiece("two")


async def test_the_request_is_what_an_openai_server_expects(
    upstream: ScriptedUpstream, provider: Upstream
) -> None:
    request = ask("a", "b", "c", system_prompt="Be kind.", model="m", settings={"top_p": 0.5})
    await hear(provider, request)
    (asked,) = upstream.asked
    assert (asked.method, asked.path) == ("POST", "/v1/chat/completions")
    assert asked.headers["authorization"] == f"Bearer {KEY}"
    assert asked.headers["accept-encoding"] == "identity"
    assert asked.headers["content-type"] == "application/json"
    assert asked.json == {
        "model": "m",
        "messages": [
            {"role": "system", "content": "Be kind."},
            {"role": "user", "content": "a"},
            {"role": "assistant", "content": "b"},
            {"role": "user", "content": "c"},
        ],
        "stream": True,
        "stream_options": {"include_usage": True},
        "top_p": 0.5,
    }


async def test_without_a_model_in_the_request_the_servers_first_chat_model_answers(
    upstream: ScriptedUpstream, provider: Upstream
) -> None:
    upstream.models = [{"id": "text-embedding-3"}, {"id": "chatty"}, {"id": "other"}]
    await hear(provider)
    await hear(provider)
    assert [asked.json["model"] for asked in upstream.asked] == ["chatty", "chatty"]
    assert len(upstream.requests) == 3, "the list of models is read once"


async def test_the_model_of_the_settings_answers_without_a_look_at_the_list(
    upstream: ScriptedUpstream,
) -> None:
    provider = upstream_at(upstream.base_url + "/", model="mine")
    await hear(provider)
    (asked,) = upstream.requests
    assert asked.json["model"] == "mine"
    assert asked.path == "/v1/chat/completions"
    await provider.close()


@pytest.mark.parametrize(
    "script",
    [
        stream("ab", "cd", FINISH),
        stream("ab", "cd", FINISH, DONE, DONE),
        stream("ab", "cd", FINISH, CUT),
        stream("ab", "cd", FINISH, STALL),
        stream("ab", "cd", FINISH, DONE, STALL),
        stream("ab", "cd", DONE),
        stream("ab", chunk("cd", finish="stop"), DONE),
        stream(event({"choices": []}), "ab", b": ping\n\n", "cd", FINISH, DONE),
        stream(
            b'data:{"choices":[]}\r\n\r\n', "ab", b"event: x\ndata: 1\ndata: 2\n\n", "cd", FINISH
        ),
        stream("ab", "cd", FINISH, b"data: [DONE]"),
        stream(b"\xef\xbb\xbf" + chunk("ab") + chunk("cd") + FINISH + DONE),
        (Head(chunked=False), chunk("ab"), chunk("cd"), FINISH, DONE),
        (Head(headers={"content-type": "text/plain"}), chunk("ab"), chunk("cd"), FINISH, DONE),
        whole({"choices": [{"message": {"content": "abcd"}, "finish_reason": "stop"}]}),
    ],
)
async def test_every_dialect_of_a_whole_answer_is_understood(
    upstream: ScriptedUpstream, script: Script
) -> None:
    provider = upstream_at(upstream.base_url, provider_idle_seconds=2)
    upstream.will(script)
    heard = await hear(provider)
    assert heard.error is None
    assert heard.text == "abcd"
    assert heard.done is not None
    assert heard.done.finish == "stop"
    await provider.close()


@pytest.mark.parametrize("end", [(FINISH, STALL), (FINISH, DONE, STALL)])
async def test_a_whole_answer_does_not_wait_long_for_what_may_follow(
    upstream: ScriptedUpstream, end: Script
) -> None:
    provider = upstream_at(upstream.base_url, provider_idle_seconds=3_600)
    upstream.will(stream("ab", *end))
    async with asyncio.timeout(90):
        assert (await hear(provider)).done is not None
    await provider.close()


@pytest.mark.parametrize(
    "end",
    [
        (chunk(finish="stop", usage=USAGE), DONE),
        (FINISH, event({"choices": [], "usage": USAGE}), DONE),
        (FINISH, event({"choices": [], "usage": USAGE}), CUT),
        (chunk(finish="stop", usage=None), event({"usage": USAGE}), DONE),
    ],
)
async def test_token_counts_are_found_where_a_server_puts_them(
    upstream: ScriptedUpstream, provider: Upstream, end: Script
) -> None:
    upstream.will(stream("ab", *end))
    done = (await hear(provider)).done
    assert done is not None
    assert (done.input_tokens, done.output_tokens) == (7, 2)


async def test_a_connection_that_was_read_to_its_end_is_used_again(
    upstream: ScriptedUpstream, provider: Upstream
) -> None:
    for _ in range(3):
        assert (await hear(provider)).done is not None
    assert upstream.hangups == 0
    assert upstream.connections == 1


# how answers fail


@pytest.mark.parametrize(
    ("script", "text", "code"),
    [
        (stream("ab", CUT), "ab", Code.PROVIDER_CUT),
        (stream("ab"), "ab", Code.PROVIDER_CUT),
        ((Head(chunked=False), chunk("ab")), "ab", Code.PROVIDER_CUT),
        (stream(event({"choices": [{"delta": {"role": "assistant"}}]})), "", Code.PROVIDER_CUT),
        (stream(CUT), "", Code.PROVIDER_CUT),
        (stream(), "", Code.PROVIDER_BAD_REPLY),
        (stream(DONE), "", Code.PROVIDER_BAD_REPLY),
        (stream(b"data: {oops\n\n", DONE), "", Code.PROVIDER_BAD_REPLY),
        (stream(b"data: 1\n\n" * 9, DONE), "", Code.PROVIDER_BAD_REPLY),
        (stream("ab", b"data: {oops\n\n", "ef", FINISH, DONE), "abef", Code.PROVIDER_BAD_REPLY),
        (stream("ab", b"data: {oops\n\n", "ef"), "abef", Code.PROVIDER_BAD_REPLY),
        (whole("hello"), "", Code.PROVIDER_BAD_REPLY),
        (
            (Head(headers={"content-type": "text/html"}), b"<h1>Hi</h1>"),
            "",
            Code.PROVIDER_BAD_REPLY,
        ),
        (stream(b"data: " + b"[" * 100_000 + b"\n\n"), "", Code.PROVIDER_BAD_REPLY),
        ((Head(headers={"content-encoding": "gzip"}), b"no gzip"), "", Code.PROVIDER_BAD_REPLY),
    ],
)
async def test_what_is_no_whole_answer_keeps_what_came_and_says_so(
    upstream: ScriptedUpstream, provider: Upstream, script: Script, text: str, code: Code
) -> None:
    upstream.will(script)
    heard = await hear(provider)
    assert heard.text == text
    assert heard.failure.code is code
    assert heard.failure.temporary
    assert len(upstream.asked) == 1, "an answer that has begun is never repeated"


async def test_the_catalogues_bad_stream_is_marked_incomplete(
    upstream: ScriptedUpstream, provider: Upstream
) -> None:
    upstream.will(
        stream(
            b'data:{"choices":[]}\r\n\r\n',
            "kept",
            b": ping\n\n",
            b"event: x\ndata: 1\ndata: 2\n\n",
            b"data: {oops\n\n",
            b"data: [DONE]\n\ndata: [DONE]\n\n",
        )
    )
    heard = await hear(provider)
    assert heard.text == "kept"
    assert heard.failure.code is Code.PROVIDER_BAD_REPLY


@pytest.mark.parametrize(
    ("body", "code", "temporary"),
    [
        ({"error": {"message": "overloaded", "code": 503}}, Code.PROVIDER_ERROR, True),
        ({"error": {"message": "slow down", "code": 429}}, Code.PROVIDER_RATE_LIMITED, True),
        ({"error": {"type": "rate_limit_error"}}, Code.PROVIDER_RATE_LIMITED, True),
        ({"error": {"message": "no", "code": "invalid_api_key"}}, Code.PROVIDER_AUTH, False),
        ({"error": "the model crashed"}, Code.PROVIDER_ERROR, True),
        ({"object": "error", "message": "bad", "code": 400}, Code.PROVIDER_REFUSED, False),
    ],
)
async def test_an_error_in_the_middle_of_an_answer_is_an_error_not_text(
    upstream: ScriptedUpstream, provider: Upstream, body: Any, code: Code, *, temporary: bool
) -> None:
    upstream.will(stream("ab", event(body), "never", FINISH, DONE))
    heard = await hear(provider)
    assert heard.text == "ab"
    assert heard.failure.code is code
    assert heard.failure.temporary is temporary


async def test_an_error_event_in_plain_text_is_an_error(
    upstream: ScriptedUpstream, provider: Upstream
) -> None:
    upstream.will(stream("ab", b"event: error\ndata: out of memory\n\n"))
    heard = await hear(provider)
    assert heard.failure.code is Code.PROVIDER_ERROR
    assert "out of memory" in heard.failure.detail


@pytest.mark.parametrize(
    ("script", "code", "temporary"),
    [
        (refuse(500, "Internal Server Error"), Code.PROVIDER_ERROR, True),
        (refuse(500, {"error": {"message": "x", "code": 500}}), Code.PROVIDER_ERROR, True),
        (refuse(401, {"error": {"message": f"Wrong key {KEY}"}}), Code.PROVIDER_AUTH, False),
        (refuse(403, "no"), Code.PROVIDER_AUTH, False),
        (refuse(404, {"error": {"message": "model 'x' not found"}}), Code.PROVIDER_REFUSED, False),
        (refuse(404, "404 page not found"), Code.PROVIDER_REFUSED, False),
        (refuse(400, {"error": {"message": f"odd: {KEY}"}}), Code.PROVIDER_REFUSED, False),
        (refuse(413, ""), Code.PROVIDER_REFUSED, False),
        (
            refuse(429, {"error": {"message": "pay", "code": "insufficient_quota"}}),
            Code.PROVIDER_REFUSED,
            False,
        ),
        (refuse(302, "", location="http://169.254.169.254/"), Code.PROVIDER_REFUSED, False),
        (refuse(302, "", location="file:///etc/passwd"), Code.PROVIDER_REFUSED, False),
        ((Head(status=400), Endless(b"x" * 60_000)), Code.PROVIDER_REFUSED, False),
    ],
)
async def test_a_refusal_is_told_by_its_status_once_and_without_the_key(
    upstream: ScriptedUpstream, provider: Upstream, script: Script, code: Code, *, temporary: bool
) -> None:
    upstream.will(script)
    heard = await hear(provider)
    assert heard.text == ""
    assert heard.failure.code is code
    assert heard.failure.temporary is temporary
    assert KEY not in heard.failure.detail
    assert "<" not in heard.failure.detail
    assert len(heard.failure.detail) < 300
    assert len(upstream.asked) == 1


async def test_a_redirect_is_not_followed_and_the_key_goes_nowhere(
    upstream: ScriptedUpstream, provider: Upstream
) -> None:
    async with scripted_upstream() as other:
        upstream.will(refuse(307, "", location=f"{other.base_url}/chat/completions"))
        heard = await hear(provider)
        assert heard.failure.code is Code.PROVIDER_REFUSED
        assert other.requests == []


async def test_a_server_that_is_away_is_unreachable() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        away = upstream_at(f"http://127.0.0.1:{taken.getsockname()[1]}/v1", model="m")
        heard = await hear(away)
    assert heard.failure.code is Code.PROVIDER_UNREACHABLE
    assert heard.failure.temporary
    assert "Start it" in heard.failure.detail
    await away.close()


async def test_a_proxy_from_the_environment_is_not_asked_for_this_machine(
    upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    provider = upstream_at(upstream.base_url)
    assert (await hear(provider)).done is not None
    await provider.close()


@pytest.mark.parametrize("proxied", [False, True])
async def test_the_key_is_in_no_log(
    upstream: ScriptedUpstream,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    *,
    proxied: bool,
) -> None:
    base_url = upstream.base_url
    if proxied:  # which asks in another way, and logs
        monkeypatch.setenv("http_proxy", base_url.removesuffix("/v1"))
        base_url = "http://models.invalid/v1"
    caplog.set_level(logging.DEBUG)
    provider = upstream_at(base_url)
    upstream.will(refuse(401, {"error": {"message": KEY}}), stream("a", CUT), reply("a"))
    heard = [await hear(provider) for _ in range(3)]
    await provider.close()
    assert heard[-1].text == "a"
    assert {one.headers["authorization"] for one in upstream.requests} == {f"Bearer {KEY}"}
    assert KEY not in caplog.text


# trying again


@pytest.mark.parametrize("status", [429, 502, 503, 504])
async def test_a_passing_failure_is_tried_again_before_the_first_byte(
    upstream: ScriptedUpstream, provider: Upstream, status: int
) -> None:
    upstream.will(refuse(status, "later"), (CUT,), reply("at last"))
    assert (await hear(provider)).text == "at last"
    assert len(upstream.asked) == 3
    assert len({asked.body for asked in upstream.asked}) == 1


async def test_it_is_tried_three_times_and_no_more(
    upstream: ScriptedUpstream, provider: Upstream
) -> None:
    upstream.default = refuse(503, {"error": {"message": "loading model"}})
    heard = await hear(provider)
    assert heard.failure.code is Code.PROVIDER_ERROR
    assert "loading model" in heard.failure.detail
    assert len(upstream.asked) == 3


async def test_a_short_wait_that_the_provider_asks_for_is_waited(
    upstream: ScriptedUpstream, provider: Upstream
) -> None:
    upstream.will(refuse(429, "", retry_after_ms="1"), reply("ok"))
    assert (await hear(provider)).text == "ok"


async def test_a_long_wait_is_told_to_the_person_instead(
    upstream: ScriptedUpstream,
) -> None:
    provider = upstream_at(upstream.base_url, provider_first_seconds=60.0)
    upstream.will(refuse(429, {"error": {"message": "slow"}}, retry_after="20"))
    heard = await hear(provider)
    await provider.close()
    assert heard.failure.code is Code.PROVIDER_RATE_LIMITED
    assert heard.failure.retry_ms == 20_000
    assert len(upstream.asked) == 1


async def test_a_server_that_does_not_know_stream_options_is_asked_without_them_from_then_on(
    upstream: ScriptedUpstream, provider: Upstream
) -> None:
    upstream.will(refuse(400, {"error": {"message": "unknown field: stream_options"}}))
    assert (await hear(provider)).done is not None
    assert (await hear(provider)).done is not None
    assert ["stream_options" in asked.json for asked in upstream.asked] == [True, False, False]


async def test_a_setting_that_a_model_does_not_support_is_left_out(
    upstream: ScriptedUpstream, provider: Upstream
) -> None:
    upstream.will(
        refuse(400, {"error": {"message": "Use 'max_completion_tokens'.", "param": "max_tokens"}}),
        refuse(
            400,
            {"error": {"message": "x", "code": "unsupported_value", "param": "temperature"}},
        ),
    )
    settings = {"max_tokens": 5, "temperature": 0.2}
    assert (await hear(provider, ask(settings=settings))).done is not None
    last = upstream.asked[-1].json
    assert last["max_completion_tokens"] == 5
    assert not {"max_tokens", "temperature"} & last.keys()
    assert "stream_options" in last


# silence, and too much


@pytest.mark.parametrize(
    "script",
    [
        (STALL,),
        stream(STALL),
        stream(Endless(b": still here\n\n")),
        stream(event({"choices": [{"delta": {"role": "assistant", "content": ""}}]}), STALL),
    ],
)
async def test_a_provider_that_does_not_begin_in_time_is_left(
    upstream: ScriptedUpstream, script: Script
) -> None:
    seconds: Any = {"provider_first_seconds": 0.5, "provider_alive_seconds": 0.5}
    provider = upstream_at(upstream.base_url, model="m", **seconds)
    upstream.will(script)
    heard = await hear(provider)
    assert heard.failure.code is Code.PROVIDER_TIMEOUT
    assert "did not begin to answer within 0.5 seconds" in heard.failure.detail
    await upstream.hung_up.wait()
    await provider.close()


@pytest.mark.parametrize("rest", [STALL, Endless(b": still here\n\n")])
async def test_a_provider_that_falls_silent_is_left_and_what_came_is_kept(
    upstream: ScriptedUpstream, rest: Any
) -> None:
    seconds: Any = {"provider_idle_seconds": 0.1, "provider_alive_seconds": 0.1}
    provider = upstream_at(upstream.base_url, **seconds)
    upstream.will(stream("ab", rest))
    heard = await hear(provider)
    assert heard.text == "ab"
    assert heard.failure.code is Code.PROVIDER_TIMEOUT
    assert "fell silent for 0.1 seconds" in heard.failure.detail
    await upstream.hung_up.wait()
    await provider.close()


async def test_a_model_that_thinks_longer_than_the_idle_limit_may_still_begin(
    upstream: ScriptedUpstream,
) -> None:
    provider = upstream_at(upstream.base_url, provider_idle_seconds=0.01)
    gate = asyncio.Event()
    role = event({"choices": [{"delta": {"role": "assistant", "content": ""}}]})
    upstream.will(stream(role, gate, chunk("ab") + FINISH + DONE))
    asyncio.get_running_loop().call_later(0.1, gate.set)
    assert (await hear(provider)).text == "ab"
    await provider.close()


async def test_thoughts_are_life_and_come_apart_from_the_answer(
    upstream: ScriptedUpstream, provider: Upstream
) -> None:
    thoughts = [
        event({"choices": [{"delta": {key: key}}]}) for key in ("reasoning_content", "reasoning")
    ]
    upstream.will(stream(*thoughts, "ab", FINISH, DONE))
    heard = await hear(provider)
    assert heard.reasoning == "reasoning_contentreasoning"
    assert heard.text == "ab"


async def test_a_piece_over_8_mib_is_refused_and_what_came_is_kept(
    upstream: ScriptedUpstream, provider: Upstream
) -> None:
    start = b'data: {"choices":[{"delta":{"content":"'
    upstream.will(stream("kept", start, Endless(b"x" * 65_536)))
    heard = await hear(provider)
    assert heard.text == "kept"
    assert heard.failure.code is Code.PROVIDER_BAD_REPLY
    await upstream.hung_up.wait()


async def test_a_body_over_8_mib_that_does_not_stream_is_refused(
    upstream: ScriptedUpstream, provider: Upstream
) -> None:
    head = Head(headers={"content-type": "application/json"})
    upstream.will((head, Endless(b" " * 65_536)))
    assert (await hear(provider)).failure.code is Code.PROVIDER_BAD_REPLY


async def test_an_endless_answer_stops_when_nobody_listens_any_more(
    upstream: ScriptedUpstream, provider: Upstream
) -> None:
    upstream.will(stream(Endless(chunk("token "))))
    hooks, forgotten = sys.get_asyncgen_hooks(), list[object]()
    sys.set_asyncgen_hooks(finalizer=forgotten.append)
    async with aclosing(provider.answer(ask())) as pieces:
        for _ in range(100):
            assert await anext(pieces) == TextPiece("token ")
    sys.set_asyncgen_hooks(*hooks)
    await upstream.hung_up.wait()
    assert forgotten == [], "what was begun is closed, and not left to the garbage collector"


async def test_an_answer_that_is_cancelled_before_it_begins_hangs_up(
    upstream: ScriptedUpstream, provider: Upstream
) -> None:
    upstream.will((STALL,))
    async with asyncio.TaskGroup() as group:
        listening = group.create_task(hear(provider))
        await upstream.arrived(1)
        listening.cancel()
    await upstream.hung_up.wait()
