"""The golden rule of passing on, in the Messages API: joined, what is told is what the model server sent.

What is kept of an answer has every part of it: `refilled` puts what the pieces hold back into the bare blocks, and must
give the message that the server told.
"""

import asyncio
import json
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest
from hypothesis import given, settings, strategies as st
from msgspec.structs import replace
from tests.providers.support import KEY, settings_with, upstream_at
from tests.support.anthropic import (
    PING,
    SIGNATURE,
    ScriptedAnthropic,
    begun,
    delta,
    end,
    event,
    events,
    overloaded,
    redacted,
    refused,
    said,
    script,
    start,
    text,
    thinking,
    tool,
    whole_message,
)
from tests.support.upstream import CUT, Head, Script, ScriptedUpstream, chunk, refuse, whole

from palaver.clock import SystemClock
from palaver.errors import Code, ProviderError
from palaver.providers.anthropic.client import Anthropic, profile_of
from palaver.providers.anthropic.events import MessageReader
from palaver.providers.anthropic.passthrough import MessageAssembly
from palaver.providers.base import BesidePiece, Piece, ReasoningPiece, TextPiece, ToolPiece, Usage
from palaver.providers.call import (
    MESSAGES,
    Call,
    CallRequest,
    CallResult,
    Chunk,
    in_messages,
)
from palaver.providers.echo import Echo
from palaver.providers.errors import CallInfo
from palaver.providers.http.sse import Framer, data_in
from palaver.providers.profiles import Profile, Profiles

Json = dict[str, Any]

BODY = (
    b'{"model": "claude-test",  "max_tokens": 5, "odd": 1.50, "system": [{"type": "text", "text": "s",'
    b' "cache_control": {"type": "ephemeral"}}], "messages": [{"role":"user","content":"hi"}]}'
)
SEARCH: Json = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}}
FOUND: Json = {
    "type": "web_search_tool_result",
    "tool_use_id": "srvtoolu_1",
    "content": [{"type": "web_search_result", "url": "https://a", "encrypted_content": "Eq"}],
}
CITED: Json = {"type": "web_search_result_location", "url": "https://a", "cited_text": "b"}


def stop(index: int) -> bytes:
    return event("content_block_stop", index=index)


EVERYTHING = [
    start(container={"id": "c", "expires_at": "2026-01-01"}),
    *events(thinking("Let ", "me see."), redacted("c2VjcmV0"), text("One, ", "two."))[1:-2],
    begun(3, SEARCH),
    delta(3, "input_json_delta", partial_json='{"q": '),
    delta(3, "input_json_delta", partial_json='"x"}'),
    stop(3),
    begun(4, FOUND),
    stop(4),
    begun(5, {"type": "text", "text": "Th", "citations": []}),
    delta(5, "text_delta", text="ree."),
    PING,
    delta(5, "citations_delta", citation=CITED),
    stop(5),
    begun(6, {"type": "compaction", "content": ""}),
    delta(6, "compaction_delta", content="a sum"),
    delta(6, "compaction_delta", content="mary", encrypted_content="e"),
    stop(6),
    event("message_forecast", odds=[1, 2]),
    begun(
        7, {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {}, "caller": {"x": 1}}
    ),
    delta(7, "input_json_delta", partial_json=""),
    delta(7, "input_json_delta", partial_json='{"at": [1,'),
    delta(7, "input_json_delta", partial_json=" 2]}"),
    stop(7),
    begun(8, {"type": "tool_use", "id": "toolu_2", "name": "wait", "input": {}}),
    stop(8),
    event(
        "message_delta",
        delta={"stop_reason": "tool_use", "stop_sequence": None, "stop_details": None},
        usage={"output_tokens": 15, "server_tool_use": {"web_search_requests": 1}},
        context_management={"applied_edits": []},
    ),
    event("message_stop"),
]
MESSAGE: Json = {
    "id": "msg_01XFDUDYJgAACzvnptvVoYEL",
    "type": "message",
    "role": "assistant",
    "model": "claude-test",
    "container": {"id": "c", "expires_at": "2026-01-01"},
    "content": [
        {"type": "thinking", "thinking": "Let me see.", "signature": SIGNATURE},
        {"type": "redacted_thinking", "data": "c2VjcmV0"},
        {"type": "text", "text": "One, two."},
        {**SEARCH, "input": {"q": "x"}},
        FOUND,
        {"type": "text", "text": "Three.", "citations": [CITED]},
        {"type": "compaction", "content": "a summary", "encrypted_content": "e"},
        {
            "type": "tool_use",
            "id": "toolu_1",
            "name": "look",
            "input": {"at": [1, 2]},
            "caller": {"x": 1},
        },
        {"type": "tool_use", "id": "toolu_2", "name": "wait", "input": {}},
    ],
    "stop_reason": "tool_use",
    "stop_sequence": None,
    "stop_details": None,
    "context_management": {"applied_edits": []},
    "usage": {
        "input_tokens": 11,
        "cache_creation_input_tokens": 3,
        "cache_read_input_tokens": 5,
        "output_tokens": 15,
        "server_tool_use": {"web_search_requests": 1},
    },
}


@dataclass(slots=True)
class Passed:
    """All that one call gave."""

    told: list[Chunk] = field(default_factory=list[Chunk])
    outcome: CallResult = field(default_factory=CallResult)
    headers: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def raw(self) -> bytes:
        return b"".join(told.raw for told in self.told)

    @property
    def pieces(self) -> list[Piece]:
        return [piece for told in self.told for piece in told.pieces]


def request(path: str = MESSAGES, **asked: Any) -> CallRequest:
    headers = {"content-type": "application/json"}
    made = CallRequest(
        method="POST", path=path, body=BODY, headers=headers, stream=True, model="claude-test"
    )
    return replace(made, **asked)


async def heard(call: Call) -> Passed:
    async with aclosing(call.told()) as telling:
        told = [one async for one in telling]
    await call.close()
    return Passed(told, call.outcome, dict(call.headers))


async def passed(provider: Anthropic, path: str = MESSAGES, **asked: Any) -> Passed:
    return await heard(await provider.message(request(path, **asked)))


def sent(script: Script) -> bytes:
    return b"".join(step for step in script if isinstance(step, bytes))


def refilled(kept: Json, pieces: Sequence[Piece]) -> Json:
    """The message that was told, of what is kept beside its pieces."""
    words = "".join(one.text for one in pieces if isinstance(one, TextPiece))
    thought = "".join(one.text for one in pieces if isinstance(one, ReasoningPiece))
    signed = [
        block
        for one in pieces
        if isinstance(one, BesidePiece)
        for block in one.fields["thinking_blocks"]
    ]
    calls: dict[int, str] = {}
    for one in pieces:
        if isinstance(one, ToolPiece):
            calls[one.call] = calls.get(one.call, "") + one.arguments
    content: list[Json] = []
    for block in kept["content"]:
        made = dict(block)
        match block["type"]:
            case "text":
                made["text"], words = words[: block["text"]], words[block["text"] :]
            case "thinking":
                chars = block["thinking"]
                made["thinking"], thought = thought[:chars], thought[chars:]
                if isinstance(block.get("signature"), int):
                    made["signature"] = signed[block["signature"]]["signature"]
            case "redacted_thinking":
                made["data"] = signed[block["data"]]["data"]
            case "tool_use":
                made["input"] = orjson.loads(calls[block["input"]])
            case _:
                pass
        content.append(made)
    assert (words, thought) == ("", ""), "all that was said stands in the blocks"
    return {**{name: one for name, one in kept.items() if name != "events"}, "content": content}


CRLF = b"".join(EVERYTHING).replace(b"\n", b"\r\n")
GOLDEN: dict[str, Script] = {
    "an ordinary answer": said(text("Hel", "lo")),
    "everything that there is": script(EVERYTHING),
    "all in one write": script([b"".join(EVERYTHING)]),
    "a byte at a time": script(bytes([one]) for one in b"".join(EVERYTHING)),
    "other line ends, and a comment": script([b": hello\r\n\r\n", CRLF]),
    "no empty line at the end": script([b"".join(EVERYTHING).rstrip(b"\n")]),
    "words behind the end": script([*EVERYTHING, b": bye\n\n"]),
    "no event lines": script(one.partition(b"\n")[2] for one in EVERYTHING),
    "labelled as JSON": (Head(headers={"content-type": "application/json"}), *EVERYTHING),
}


@pytest.mark.parametrize("told", GOLDEN.values(), ids=GOLDEN.keys())
async def test_every_byte_comes_as_it_was_sent_and_every_part_is_kept(
    server: ScriptedAnthropic, provider: Anthropic, told: Script
) -> None:
    server.will(told)
    found = await passed(provider)
    assert found.raw == sent(told)
    outcome = found.outcome
    assert outcome.whole, outcome.error
    assert not any(one.last for one in found.told[:-1])
    assert found.told[-1].last, "the end waits until the answer is stored"
    assert refilled(dict(outcome.kept), found.pieces) == outcome.envelope
    if told is not GOLDEN["an ordinary answer"]:
        assert outcome.envelope == MESSAGE
        assert outcome.kept["events"] == [{"type": "message_forecast", "odds": [1, 2]}]
        assert outcome.usage == Usage(input=19, output=15, cached=5)
        assert (outcome.finish, outcome.id) == ("tool_calls", MESSAGE["id"])


async def test_nothing_that_was_said_is_kept_twice(
    server: ScriptedAnthropic, provider: Anthropic
) -> None:
    server.will(script(EVERYTHING))
    kept = json.dumps(dict((await passed(provider)).outcome.kept))
    for words in ("One, ", "Let ", "ree.", SIGNATURE, "c2VjcmV0", '"at"'):
        assert words not in kept


async def test_a_message_that_comes_whole_is_one_body_and_its_own_envelope(
    server: ScriptedAnthropic, provider: Anthropic
) -> None:
    blocks = (thinking("Hm"), redacted("x"), text("a"), FOUND, tool("t", "look", '{"at":1}'))
    server.will(whole_message(*blocks, stop="tool_use", odd=1))
    found = await passed(provider, stream=False)
    (told,) = found.told
    assert told.last
    assert found.outcome.whole
    assert orjson.loads(told.raw) == found.outcome.envelope
    assert refilled(dict(found.outcome.kept), found.pieces) == found.outcome.envelope


async def test_the_request_goes_on_byte_for_byte_with_the_servers_own_key(
    server: ScriptedAnthropic, provider: Anthropic
) -> None:
    theirs = {
        "content-type": "application/json",
        "anthropic-version": "2027-01-01",
        "anthropic-beta": "one-1,two-2",
        "x-app": "cli",
    }
    await passed(provider, "/messages?beta=true", headers=theirs)
    (asked,) = server.asked
    assert asked.path == "/v1/messages?beta=true"
    assert asked.body == BODY
    assert {name: asked.headers[name] for name in theirs} == theirs
    assert asked.headers["x-api-key"] == KEY
    await passed(provider)
    assert server.asked[1].headers["anthropic-version"] == "2023-06-01"


async def test_headers_about_the_request_come_back_and_the_account_s_do_not(
    server: ScriptedAnthropic, provider: Anthropic
) -> None:
    about = {
        "request-id": "req_011",
        "anthropic-ratelimit-requests-remaining": "5",
        "anthropic-ratelimit-tokens-reset": "2026-01-01T00:00:00Z",
        "retry-after": "3",
        "x-should-retry": "true",
    }
    account = {
        "anthropic-organization-id": "org",
        "set-cookie": "a=b",
        "x-api-key": "k",
        "connection": "keep-alive",
        "x-echo": KEY,
    }
    kind = {"content-type": "text/event-stream"}
    server.will((Head(headers=kind | about | account), *events(text("a"))))
    assert (await passed(provider)).headers == kind | about


@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [
        (400, "invalid_request_error", Code.PROVIDER_REFUSED),
        (401, "authentication_error", Code.PROVIDER_AUTH),
        (413, "request_too_large", Code.PROVIDER_REFUSED),
        (429, "rate_limit_error", Code.PROVIDER_RATE_LIMITED),
        (529, "overloaded_error", Code.PROVIDER_ERROR),
    ],
)
async def test_a_refusal_comes_once_and_as_it_is(
    server: ScriptedAnthropic, provider: Anthropic, status: int, kind: str, code: Code
) -> None:
    server.will(refused(status, kind, "No.", request_id="req_011", retry_after="1"))
    call = await provider.message(request())
    assert call.status == status
    found = await heard(call)
    assert found.raw == sent(refused(status, kind, "No."))
    assert found.headers["request-id"] == "req_011"
    assert found.outcome.error is not None
    assert (found.outcome.error.code, found.outcome.error.retry_ms) == (code, 1000)
    assert len(server.asked) == 1, "the client decides whether to ask again"


async def test_a_key_in_an_error_is_blotted_out(
    server: ScriptedAnthropic, provider: Anthropic
) -> None:
    server.will(refused(401, "authentication_error", f"bad key {KEY}"))
    assert KEY.encode() not in (await passed(provider)).raw
    failed = event("error", error={"type": "api_error", "message": f"key {KEY}"})
    server.will(script([start(), failed]))
    found = await passed(provider)
    assert found.raw == start() + failed.replace(KEY.encode(), "…".encode())


async def test_an_error_in_the_stream_is_told_as_it_is_and_keeps_what_came(
    server: ScriptedAnthropic, provider: Anthropic
) -> None:
    told = script([*events(text("half"))[:4], overloaded()])
    server.will(told)
    found = await passed(provider)
    assert found.raw == sent(told)
    assert found.outcome.told
    assert not found.outcome.whole
    assert found.outcome.error is not None
    assert found.outcome.error.code is Code.PROVIDER_ERROR
    assert found.outcome.envelope["content"] == [{"type": "text", "text": "half"}]


BROKEN: dict[str, tuple[Script, Code]] = {
    "cut": (script([*events(text("a"))[:-2], CUT]), Code.PROVIDER_CUT),
    "a clean end without a reason": (script(events(text("a"))[:-2]), Code.PROVIDER_CUT),
    "a damaged event": (
        script([*events(text("a"))[:-2], b'data: {"typ\n\n', *end()]),
        Code.PROVIDER_BAD_REPLY,
    ),
    "no message": (whole({"hello": 1}), Code.PROVIDER_BAD_REPLY),
    "an answer of another API": (whole({"choices": [{"text": "a"}]}), Code.PROVIDER_BAD_REPLY),
}


@pytest.mark.parametrize(("told", "code"), BROKEN.values(), ids=BROKEN.keys())
async def test_what_is_not_whole_says_why(
    server: ScriptedAnthropic, provider: Anthropic, told: Script, code: Code
) -> None:
    server.will(told)
    found = await passed(provider)
    assert found.raw == sent(told)
    assert not found.outcome.whole
    assert found.outcome.error is not None
    assert found.outcome.error.code is code


async def test_what_is_lost_behind_the_end_is_no_failure(
    server: ScriptedAnthropic, provider: Anthropic
) -> None:
    server.will(script([*events(text("a"))[:-1], CUT]))
    assert (await passed(provider)).outcome.whole


async def test_each_event_is_told_by_itself_and_at_once(
    server: ScriptedAnthropic, provider: Anthropic
) -> None:
    gate = asyncio.Event()
    first, *rest = events(text("a"))
    server.will(script([first, gate, *rest]))
    call = await provider.message(request())
    async with aclosing(call.told()) as telling:
        assert await anext(telling) == Chunk(first)
        gate.set()
        assert [one.raw async for one in telling] == rest
    await call.close()


async def test_it_is_asked_again_only_while_nothing_was_received(
    server: ScriptedAnthropic, provider: Anthropic
) -> None:
    server.will((CUT,), (CUT,), said(text("a")))
    assert (await passed(provider)).outcome.whole
    assert len(server.asked) == 3
    server.will((CUT,), (CUT,), (CUT,))
    with pytest.raises(ProviderError) as failed:
        await passed(provider)
    assert failed.value.code is Code.PROVIDER_UNREACHABLE


async def test_tokens_are_counted_there(server: ScriptedAnthropic, provider: Anthropic) -> None:
    server.tokens = 42
    found = await passed(provider, f"{MESSAGES}/count_tokens", stream=False)
    assert (found.raw, found.pieces) == (b'{"input_tokens": 42}', [])
    assert found.outcome.whole


async def test_the_model_says_whether_it_can_be_asked_so(
    server: ScriptedAnthropic, upstream: ScriptedUpstream
) -> None:
    native = profile_of(settings_with(anthropic_base_url=server.base_url), SystemClock())
    other = upstream_at(upstream.base_url)
    both = Profiles([Profile(name="openai", provider=other), native], SystemClock(), None)
    for provider in (Echo(), other):
        assert await in_messages(provider, request()) is None
    assert await in_messages(both, request(model="scripted")) is None
    for name, theirs in (("claude-9", "claude-9"), ("anthropic/claude-9", "claude-9")):
        for provider in (both, native.provider):
            body = b'{"model": "%s", "x":  1}' % name.encode()
            call = await in_messages(provider, request(model=name, body=body))
            assert call is not None
            await heard(call)
            told = server.asked[-1]
            assert told.json == {"model": theirs, "x": 1}
            assert told.body == body or name != theirs, "only what must be changed is"
    await both.close()


def _called(given: Json, at: int) -> Json:
    arguments = json.dumps(given)
    return tool("t", "look", arguments[:at], arguments[at:])


def _new(more: str) -> Json:
    return {"type": "new", "more": more}


GIVEN = st.dictionaries(st.text(max_size=3), st.integers() | st.text(max_size=3), max_size=2)
PIECES = st.lists(
    st.one_of(
        st.builds(text, st.text(), st.text()),
        st.builds(thinking, st.text(), st.text()),
        st.builds(redacted, st.text()),
        st.builds(_called, GIVEN, st.integers(0, 9)),
        st.just(FOUND),
        st.builds(_new, st.text()),
    ),
    max_size=6,
)


@settings(max_examples=150)
@given(PIECES, st.integers(1, 40))
def test_every_part_is_kept_whatever_comes_and_however_it_is_cut(
    blocks: list[Json], size: int
) -> None:
    data, framer = b"".join(events(*blocks)), Framer()
    frames = [one for at in range(0, len(data), size) for one in framer.feed(data[at : at + size])]
    assembly = MessageAssembly(MessageReader(CallInfo(label="A", name="a"), "them m"))
    pieces = [piece for one in frames for piece in assembly.take(orjson.loads(data_in(one)[0]))]
    pieces += assembly.rest()
    outcome = CallResult()
    assembly.settle(outcome)
    (*_, expected) = whole_message(*blocks)
    assert isinstance(expected, bytes)
    assert outcome.envelope == orjson.loads(expected)
    assert refilled(dict(outcome.kept), pieces) == outcome.envelope


async def test_halves_of_characters_do_not_keep_an_answer_from_being_stored(
    server: ScriptedAnthropic, provider: Anthropic
) -> None:
    half = begun(1, {"type": "new", "x": 1}).replace(b'"x":1', b'"x":"\\ud83d"')
    told = script([*events(text("a\ud83d", "\ude00b"))[:-2], half, *end()])
    server.will(told)
    found = await passed(provider)
    assert found.raw == sent(told)
    orjson.dumps(dict(found.outcome.kept))
    assert found.outcome.envelope["content"][0]["text"] == "a😀b"
    assert refilled(dict(found.outcome.kept), found.pieces) == found.outcome.envelope


async def test_a_page_instead_of_an_answer_is_a_bad_reply(
    server: ScriptedAnthropic, provider: Anthropic
) -> None:
    server.will(refuse(200, "<html>Sign in</html>"), said(text("a")))
    found = await passed(provider)
    assert found.outcome.error is not None
    assert found.outcome.error.code is Code.PROVIDER_BAD_REPLY
    assert "ANTHROPIC_BASE_URL" in found.outcome.error.detail


async def test_a_chat_completion_in_its_place_is_no_message(
    server: ScriptedAnthropic, provider: Anthropic
) -> None:
    server.will(script([chunk("a"), chunk(finish="stop")]))
    assert not (await passed(provider)).outcome.whole
