"""Answers from a scripted server of the Messages API, streamed and whole."""

import asyncio
import random
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import SecretStr
from tests.providers.support import KEY, Heard, ask, hear, settings_with
from tests.support.anthropic import (
    PING,
    SIGNATURE,
    ScriptedAnthropic,
    begun,
    delta,
    end,
    event,
    events,
    failure,
    overloaded,
    redacted,
    refused,
    said,
    script,
    start,
    text,
    thinking,
    told,
    tool,
    whole_message,
)
from tests.support.upstream import CUT, STALL, Script, refuse, whole

from palaver.clock import SystemClock
from palaver.errors import Code, Refused
from palaver.model import Role
from palaver.providers.anthropic.client import PAUSES_MAX, Anthropic
from palaver.providers.base import BesidePiece, Done, ReasoningPiece, Request, Said, TextPiece

Told = Callable[..., Script]
BOTH = pytest.mark.parametrize("tell", [said, whole_message])


async def test_a_request_is_the_messages_api_s(
    server: ScriptedAnthropic, provider: Anthropic
) -> None:
    heard = await hear(provider, ask("hi", system_prompt="Be kind."))
    assert heard.text == "Hello"
    (request,) = server.asked
    assert request.headers["x-api-key"] == KEY
    assert request.headers["anthropic-version"] == "2023-06-01"
    assert "authorization" not in request.headers
    assert request.json == {
        "model": "claude-test",
        "max_tokens": 16_384,
        "stream": True,
        "system": [{"type": "text", "text": "Be kind."}],
        "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}],
    }


@pytest.mark.parametrize("ending", ["", "/", "/v1", "/v1/"])
async def test_an_address_may_end_in_v1(server: ScriptedAnthropic, ending: str) -> None:
    made = Anthropic(settings_with(model="m"), SystemClock(), base_url=f"{server.base_url}{ending}")
    assert (await hear(made)).text == "Hello"
    assert "x-api-key" not in server.asked[0].headers
    await made.close()


@BOTH
async def test_words_and_token_counts_are_told(
    server: ScriptedAnthropic, provider: Anthropic, tell: Told
) -> None:
    server.will(tell(text("Hel", "lo"), text("!")))
    heard = await hear(provider)
    assert (heard.text, heard.error) == ("Hello!", None)
    assert heard.done == Done(
        model="claude-test",
        finish="stop",
        input_tokens=19,
        output_tokens=15,
        cached_tokens=5,
        cache_write_tokens=3,
    )


async def test_later_counts_are_of_all_so_far(
    server: ScriptedAnthropic, provider: Anthropic
) -> None:
    usage = {
        "input_tokens": 20,
        "cache_read_input_tokens": 30,
        "output_tokens": 9,
        "output_tokens_details": {"thinking_tokens": 4},
    }
    server.will(said(text("a"), usage=usage))
    done = (await hear(provider)).done
    assert done is not None
    assert (done.input_tokens, done.cached_tokens) == (53, 30)
    assert (done.output_tokens, done.reasoning_tokens) == (9, 4)


@BOTH
@pytest.mark.parametrize(
    ("stop", "finish"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("tool_use", "tool_calls"),
        ("refusal", "content_filter"),
        ("something_new", "something_new"),
    ],
)
async def test_the_reason_of_the_end_is_told_in_our_words(
    server: ScriptedAnthropic, provider: Anthropic, tell: Told, stop: str, finish: str
) -> None:
    server.will(tell(text("a"), stop=stop))
    heard = await hear(provider)
    assert heard.done is not None
    assert (heard.text, heard.done.finish) == ("a", finish)


@BOTH
async def test_a_refusal_says_why(
    server: ScriptedAnthropic, provider: Anthropic, tell: Told
) -> None:
    why = {"type": "refusal", "category": "cyber", "explanation": "Refused due to policy."}
    server.will(tell(text(""), stop="refusal", stop_details=why))
    heard = await hear(provider)
    assert heard.done is not None
    assert (heard.text, heard.done.finish) == ("Refused due to policy.", "content_filter")


@BOTH
async def test_thoughts_come_with_their_signatures_and_where_they_stood(
    server: ScriptedAnthropic, provider: Anthropic, tell: Told
) -> None:
    server.will(tell(thinking("Let ", "me see."), text("One."), redacted("c2VjcmV0"), text("Two.")))
    heard = await hear(provider)
    assert (heard.reasoning, heard.text) == ("Let me see.", "One.Two.")
    beside = [piece for piece in heard.pieces if isinstance(piece, BesidePiece)]
    origin = f"{server.base_url.removeprefix('http://')}/ claude-test"
    assert {piece.origin for piece in beside} == {origin}
    assert [block for piece in beside for block in piece.fields["thinking_blocks"]] == [
        {
            "index": 0,
            "type": "thinking",
            "words": 0,
            "calls": 0,
            "signature": SIGNATURE,
            "chars": 11,
        },
        {"index": 1, "type": "redacted_thinking", "words": 4, "calls": 0, "data": "c2VjcmV0"},
    ]


async def test_thoughts_go_back_to_the_server_that_had_them_and_to_no_other_model(
    server: ScriptedAnthropic, provider: Anthropic
) -> None:
    server.will(said(thinking("Let me see."), text("One."), redacted("x"), text("Two.")))
    heard = await hear(provider)
    beside: dict[str, Any] = {"origin": "", "message": {"thinking_blocks": []}}
    for piece in heard.pieces:
        if isinstance(piece, BesidePiece):
            beside["origin"] = piece.origin
            beside["message"]["thinking_blocks"] += piece.fields["thinking_blocks"]
    answer = Said(role=Role.ASSISTANT, text=heard.text, thought=heard.reasoning, beside=beside)
    person = Said(role=Role.USER, text="hi")
    await hear(provider, Request(history=(person, answer, person)))
    assert server.asked[1].json["messages"][1]["content"] == [
        {"type": "thinking", "thinking": "Let me see.", "signature": SIGNATURE},
        {"type": "text", "text": "One."},
        {"type": "redacted_thinking", "data": "x"},
        {"type": "text", "text": "Two."},
    ]
    await hear(provider, Request(history=(person, answer, person), model="claude-other"))
    told_other = server.asked[2].json["messages"][1]["content"]
    assert told_other == [{"type": "text", "text": "One.Two."}]


async def test_pings_unknown_events_blocks_and_deltas_are_passed_over(
    server: ScriptedAnthropic, provider: Anthropic
) -> None:
    server.will(
        script(
            [
                PING,
                event("hello_from_the_future", index=0),
                start(),
                begun(0, {"type": "hologram", "light": "red"}),
                delta(0, "light_delta", light="blue"),
                event("content_block_stop", index=0),
                begun(1, {"type": "text", "text": ""}),
                delta(1, "text_delta", text="a"),
                PING,
                delta(1, "citations_delta", citation={"type": "char_location"}),
                delta(1, "shout_delta", text="A"),
                b": a comment\n\n",
                delta(1, "text_delta", text="b"),
                event("content_block_stop", index=1),
                *end(),
                event("message_after", text="c"),
            ]
        )
    )
    heard = await hear(provider)
    assert (heard.text, heard.error) == ("ab", None)


@pytest.mark.parametrize("seed", range(12))
async def test_a_stream_may_be_cut_at_any_byte_on_its_way(
    server: ScriptedAnthropic, provider: Anthropic, seed: int
) -> None:
    chance = random.Random(seed)
    made = b"".join(
        events(
            thinking("Hm, 🤔", " naïve"),
            text("Grüße 🎈", " — 你好", "!"),
            tool("toolu_1", "look", '{"at": "M', 'ü"}'),
            stop="tool_use",
        )
    )
    if seed % 3 == 1:
        made = made.replace(b"\n", b"\r\n")
    parts: list[bytes] = []
    while made:
        size = chance.choice((1, 2, 3, 7, 40, 400))
        parts.append(made[:size])
        made = made[size:]
    server.will(script(parts))
    heard = await hear(provider)
    assert (heard.error, heard.reasoning) == (None, "Hm, 🤔 naïve")
    assert heard.text == "Grüße 🎈 — 你好!"


@pytest.mark.parametrize("seed", range(12))
async def test_a_server_that_dies_leaves_what_came(
    server: ScriptedAnthropic, provider: Anthropic, seed: int
) -> None:
    words = [f"word {number} " for number in range(20)]
    made = events(thinking("Hm."), text(*words))
    whole_bytes = b"".join(made[:-2])
    at = random.Random(seed).randrange(len(made[0]), len(whole_bytes) + 1)
    server.will(script([whole_bytes[:at], CUT]))
    heard = await hear(provider)
    assert heard.failure.code is Code.PROVIDER_CUT
    assert heard.failure.temporary
    assert "".join(words).startswith(heard.text)
    assert len(server.asked) == 1, "what has begun is not asked again"


async def test_an_end_without_its_reason_is_none(
    server: ScriptedAnthropic, provider: Anthropic
) -> None:
    server.will(script(events(text("a"))[:-2]))
    heard = await hear(provider)
    assert (heard.text, heard.failure.code) == ("a", Code.PROVIDER_CUT)


async def test_an_answer_that_named_the_reason_of_its_end_is_whole(
    server: ScriptedAnthropic, provider: Anthropic
) -> None:
    server.will(script([*events(text("a"))[:-1], CUT]))
    heard = await hear(provider)
    assert (heard.text, heard.error) == ("a", None)


async def test_a_connection_that_stays_open_behind_the_end_is_not_waited_for(
    server: ScriptedAnthropic, provider: Anthropic
) -> None:
    server.will(script([*events(text("a")), STALL]))
    async with asyncio.timeout(60):
        heard = await hear(provider)
    assert (heard.text, heard.error) == ("a", None)


@pytest.mark.parametrize(
    ("status", "kind", "how"),
    [
        (400, "invalid_request_error", (Code.PROVIDER_REFUSED, False)),
        (401, "authentication_error", (Code.PROVIDER_AUTH, False)),
        (402, "billing_error", (Code.PROVIDER_REFUSED, False)),
        (403, "permission_error", (Code.PROVIDER_AUTH, False)),
        (404, "not_found_error", (Code.PROVIDER_REFUSED, False)),
        (413, "request_too_large", (Code.PROVIDER_REFUSED, False)),
        (429, "rate_limit_error", (Code.PROVIDER_RATE_LIMITED, True)),
        (500, "api_error", (Code.PROVIDER_ERROR, True)),
        (504, "timeout_error", (Code.PROVIDER_TIMEOUT, True)),
        (529, "overloaded_error", (Code.PROVIDER_ERROR, True)),
    ],
)
async def test_a_failure_has_the_same_code_outside_and_inside_of_the_stream(
    server: ScriptedAnthropic,
    provider: Anthropic,
    status: int,
    kind: str,
    how: tuple[Code, bool],
) -> None:
    server.default = refused(status, kind, "Because of reasons")
    outside = (await hear(provider)).failure
    assert (outside.code, outside.temporary) == how
    inside_event = event("error", **failure(kind, "Because of reasons"))
    server.default = script([*events(text("some"))[:-2], inside_event])
    heard = await hear(provider)
    assert (heard.text, heard.failure.code, heard.failure.temporary) == ("some", *how)
    assert "Because of reasons" in outside.detail


async def test_what_may_succeed_in_a_moment_is_asked_again(
    server: ScriptedAnthropic, provider: Anthropic
) -> None:
    server.will(
        refused(529, "overloaded_error", "Overloaded"),
        refused(429, "rate_limit_error", "Slow down", retry_after="0"),
    )
    assert (await hear(provider)).text == "Hello"
    assert len(server.asked) == 3
    server.will(refused(429, "rate_limit_error", "Slow down", retry_after="77"))
    heard = await hear(provider)
    assert (heard.failure.code, heard.failure.retry_ms) == (Code.PROVIDER_RATE_LIMITED, 77_000)


async def test_a_server_that_is_overloaded_in_the_middle_leaves_what_came(
    server: ScriptedAnthropic, provider: Anthropic
) -> None:
    server.will(script([*events(text("some"))[:-2], overloaded()]))
    heard = await hear(provider)
    assert heard.text == "some"
    assert heard.failure.detail.startswith("Anthropic is overloaded.")


async def test_a_key_is_in_no_error_and_its_variable_is_named(
    server: ScriptedAnthropic, provider: Anthropic
) -> None:
    server.default = refused(401, "authentication_error", f"invalid x-api-key {KEY}")
    failed = (await hear(provider)).failure
    assert "ANTHROPIC_API_KEY" in failed.detail
    assert KEY not in failed.detail
    server.default = refuse(404, "404 page not found")
    assert "ANTHROPIC_BASE_URL" in (await hear(provider)).failure.detail
    server.default = refused(404, "not_found_error", "model: claude-test")
    assert "does not have the model claude-test" in (await hear(provider)).failure.detail


@pytest.mark.parametrize(
    "answer",
    [
        (),
        (b"<html>a web page</html>",),
        (PING, PING),
        (b"data: 7\n\n", b"data: null\n\n", b"data: []\n\n"),
        (event("message_stop", index=[])[:-20], b"\n\n"),
    ],
)
async def test_what_is_no_answer_is_said_to_be_none(
    server: ScriptedAnthropic, provider: Anthropic, answer: tuple[bytes, ...]
) -> None:
    server.will(script(answer))
    failed = (await hear(provider)).failure
    assert failed.code is Code.PROVIDER_BAD_REPLY


@pytest.mark.parametrize(
    "hostile",
    [
        event("content_block_start"),
        event("content_block_start", index=[1], content_block="text"),
        event("content_block_delta", index={}, delta=[]),
        event("content_block_delta", index=7, delta={"type": "input_json_delta"}),
        event("content_block_delta", index=0, delta={"type": "text_delta", "text": ["a"]}),
        event("content_block_delta", index=0, delta={"type": None, "text": "a"}),
        event("content_block_stop", index=10**30),
        event("message_start", message=None),
        event("message_start", message={"usage": [], "content": [None, 3, {"type": []}]}),
        event("message_delta", delta={"stop_reason": {}}, usage={"output_tokens": "many"}),
        event("message_delta", delta=None),
        b"event: message_delta\ndata: [[[{}]]]\n\n",
        b"event: ping\ndata:\n\n",
    ],
)
async def test_events_of_the_wrong_shape_hurt_nothing(
    server: ScriptedAnthropic, provider: Anthropic, hostile: bytes
) -> None:
    first, *rest = events(text("a", "b"))
    server.will(script([first, *rest[:3], hostile, *rest[3:]]))
    heard = await hear(provider)
    assert (heard.text, heard.error) == ("ab", None)


async def test_a_torn_event_is_an_answer_that_is_not_whole(
    server: ScriptedAnthropic, provider: Anthropic
) -> None:
    made = events(text("a", "b"))
    server.will(script([*made[:4], made[4][:-9] + b"\n\n", *made[5:]]))
    heard = await hear(provider)
    assert (heard.text, heard.failure.code) == ("a", Code.PROVIDER_BAD_REPLY)


async def test_halves_of_a_character_in_two_pieces_are_one(
    server: ScriptedAnthropic, provider: Anthropic
) -> None:
    made = events(text("x"))
    halves = [
        b'data: {"type":"content_block_delta","index":0,"delta":'
        b'{"type":"text_delta","text":"' + half + b'"}}\n\n'
        for half in (b"\\ud83c", b"\\udf88", b"\\ud83c")
    ]
    server.will(script([*made[:3], *halves, *made[4:]]))
    assert (await hear(provider)).text == "🎈\ufffd"


async def test_words_whose_block_was_not_begun_are_kept(
    server: ScriptedAnthropic, provider: Anthropic
) -> None:
    made = [start(), delta(0, "thinking_delta", thinking="Hm"), delta(1, "text_delta", text="a")]
    server.will(script([*made, *end()]))
    heard = await hear(provider)
    assert (heard.reasoning, heard.text) == ("Hm", "a")


async def test_one_event_is_bounded(server: ScriptedAnthropic, provider: Anthropic) -> None:
    server.will(script([start(), b"data: " + b"x" * (9 * 1024 * 1024)]))
    failed = (await hear(provider)).failure
    assert (failed.code, "8 MiB" in failed.detail) == (Code.PROVIDER_BAD_REPLY, True)


async def test_silence_ends_an_answer_and_keeps_it(server: ScriptedAnthropic) -> None:
    settings = settings_with(model="m", provider_idle_seconds=0.2, provider_alive_seconds=0.2)
    made = Anthropic(settings, SystemClock(), base_url=server.base_url)
    server.will(script([*events(text("some"))[:-3], STALL]))
    heard = await hear(made)
    assert (heard.text, heard.failure.code) == ("some", Code.PROVIDER_TIMEOUT)
    await made.close()


async def test_an_answer_that_pauses_goes_on_with_all_that_came(
    server: ScriptedAnthropic, provider: Anthropic
) -> None:
    search = {
        "type": "server_tool_use",
        "id": "srvtoolu_1",
        "name": "web_search",
        "input": {"query": "news"},
    }
    found: dict[str, Any] = {
        "type": "web_search_tool_result",
        "tool_use_id": "srvtoolu_1",
        "content": [],
    }
    first = [text("I look. "), search, found]
    server.will(
        said(thinking("Hm."), *first, stop="pause_turn"),
        said(thinking("So."), text("Nothing."), stop="pause_turn"),
        said(text(" Done.")),
    )
    heard = await hear(provider)
    assert heard.text == "I look. Nothing. Done."
    assert heard.done is not None
    assert (heard.done.input_tokens, heard.done.output_tokens) == (57, 45)
    blocks = [
        block
        for piece in heard.pieces
        if isinstance(piece, BesidePiece)
        for block in piece.fields["thinking_blocks"]
    ]
    assert [(one["index"], one["words"], one["chars"]) for one in blocks] == [(0, 0, 3), (1, 8, 3)]
    _, second, third = (request.json["messages"] for request in server.asked)
    assert [one["role"] for one in third] == ["user", "assistant"]
    assert second[-1]["content"] == [
        {"type": "thinking", "thinking": "Hm.", "signature": SIGNATURE},
        {"type": "text", "text": "I look. "},
        search,
        found,
    ]
    assert third[-1]["content"][-1] == {"type": "text", "text": "Nothing."}


async def test_an_answer_does_not_pause_for_ever(
    server: ScriptedAnthropic, provider: Anthropic
) -> None:
    server.default = said(text("a"), stop="pause_turn")
    heard = await hear(provider)
    assert heard.done is not None
    assert (len(server.asked), heard.done.finish) == (PAUSES_MAX + 1, "length")


async def test_what_a_model_does_not_take_is_left_out_and_not_sent_again(
    server: ScriptedAnthropic, provider: Anthropic
) -> None:
    request = ask("hi", settings={"temperature": 0.2, "max_tokens": 9_000})
    server.will(
        refused(400, "invalid_request_error", "`temperature` is deprecated for this model."),
        refused(
            400,
            "invalid_request_error",
            "max_tokens: 9000 > 4096, which is the maximum allowed number of output tokens for it",
        ),
    )
    assert (await hear(provider, request)).text == "Hello"
    assert (await hear(provider, request)).text == "Hello"
    bodies = [one.json for one in server.asked]
    assert ["temperature" in one for one in bodies] == [True, False, False, False]
    assert [one["max_tokens"] for one in bodies] == [9_000, 9_000, 4_096, 9_000]


async def test_a_provider_that_is_left_hangs_up(
    server: ScriptedAnthropic, provider: Anthropic
) -> None:
    server.will(script([*events(text("some"))[:-3], STALL]))
    pieces = provider.answer(ask())
    assert await anext(pieces) == TextPiece("some")
    await pieces.aclose()
    async with asyncio.timeout(60):
        await server.hung_up.wait()


async def test_models_are_listed_page_by_page_the_default_one_first(
    server: ScriptedAnthropic,
) -> None:
    made = Anthropic(settings_with(), SystemClock(), base_url=server.base_url)
    found = await made.models()
    assert [(one.id, one.provider, one.default) for one in found] == [
        ("claude-sonnet-9", "anthropic", True),
        ("claude-opus-9", "anthropic", False),
        ("claude-haiku-9", "anthropic", False),
    ]
    assert [one.path for one in server.requests] == [
        "/v1/models?limit=1000",
        "/v1/models?limit=1000&after_id=claude-sonnet-9",
    ]
    await hear(made)
    assert server.asked[0].json["model"] == "claude-sonnet-9"
    await made.close()


@pytest.mark.parametrize(
    "answer", [refuse(404, "not found"), whole({"object": "list"}), whole({"data": []})]
)
async def test_a_server_without_a_list_offers_what_is_known(
    server: ScriptedAnthropic, answer: Script
) -> None:
    server.models_script = answer
    made = Anthropic(settings_with(), SystemClock(), base_url=server.base_url)
    assert {one.id[:7] for one in await made.models()} == {"claude-"}
    await made.close()


async def test_a_list_that_is_refused_is_a_failure(server: ScriptedAnthropic) -> None:
    server.models_script = refused(401, "authentication_error", "invalid x-api-key")
    made = Anthropic(settings_with(), SystemClock(), base_url=server.base_url)
    assert (await hear(made)).failure.code is Code.PROVIDER_AUTH
    await made.close()


def test_a_setting_that_cannot_be_is_refused_by_its_name() -> None:
    with pytest.raises(Refused, match="ANTHROPIC_BASE_URL must look like"):
        Anthropic(settings_with(), SystemClock(), base_url="ftp://x")
    with pytest.raises(Refused, match="ANTHROPIC_API_KEY holds"):
        Anthropic(settings_with(), SystemClock(), key=SecretStr("ключ"))


async def test_a_server_that_is_not_there_is_named_with_its_variable() -> None:
    made = Anthropic(
        settings_with(model="m"), SystemClock(), base_url="http://no.invalid", retry_seconds=0.001
    )
    heard: Heard = await hear(made)
    assert heard.failure.code is Code.PROVIDER_UNREACHABLE
    assert "Check ANTHROPIC_BASE_URL" in heard.failure.detail
    await made.close()


def test_the_events_are_those_of_the_reference() -> None:
    """Guards the scripts of these tests: a block is begun, grows and ends."""
    kinds = [one.split(b"\n")[0].decode() for one in told(0, text("a"))]
    assert kinds == [
        "event: content_block_start",
        "event: content_block_delta",
        "event: content_block_stop",
    ]
    assert ReasoningPiece("a") != TextPiece("a")
