"""Model servers as they are: what a body says decides, and a failure is one wherever it is told."""

import json
from typing import Any

import pytest
from tests.providers.openai.test_passthrough import forward, passed, sent
from tests.providers.support import hear
from tests.support.upstream import (
    CUT,
    DONE,
    STALL,
    Head,
    Script,
    ScriptedUpstream,
    chunk,
    event,
    stream,
    whole,
)

from palaver.errors import Code
from palaver.providers.base import TextPiece
from palaver.providers.openai.client import Upstream

FINISH = chunk(finish="stop")
EVENTS = chunk("Hel") + chunk("lo") + FINISH + DONE
COMPLETION = {
    "id": "x",
    "object": "chat.completion",
    "choices": [{"index": 0, "message": {"content": "Hello"}, "finish_reason": "stop"}],
}
BODY = json.dumps(COMPLETION).encode()
LINES = b"\n".join(part[6:].strip() for part in (chunk("Hel"), chunk("lo"), FINISH))


def labelled(kind: str | None, *parts: bytes) -> Script:
    return (Head(headers={} if kind is None else {"content-type": kind}), *parts)


def raw(head: str, body: bytes) -> Script:
    """A response whose head is sent as it is, on a connection that ends with it."""
    return (head.encode().replace(b"~", b"\r\n") + body, CUT)


OK = "HTTP/1.1 200 OK~Content-Type: text/event-stream~"
CHUNKED = b"%x\r\n%s\r\n0\r\n\r\n" % (len(EVENTS), EVENTS)
READ: dict[str, Script] = {
    "no label": labelled(None, EVENTS),
    "events labelled as JSON": labelled("application/json", EVENTS),
    "events labelled as lines": labelled("application/x-ndjson", EVENTS),
    "events labelled as text": labelled("text/plain; charset=utf-8", EVENTS),
    "events labelled as a page": labelled("text/html", EVENTS),
    "JSON labelled as events": labelled("text/event-stream", BODY),
    "JSON labelled as text": labelled("text/plain", BODY),
    "JSON without a label": labelled(None, BODY),
    "pretty JSON": labelled("text/plain", json.dumps(COMPLETION, indent=2).encode()),
    "JSON with a byte order mark": labelled("application/json", b"\xef\xbb\xbf" + BODY),
    "JSON behind blank lines": labelled("application/json", b"\n\n  ", b"\n", BODY),
    "JSON in a list": labelled("application/json", b"[" + BODY + b"]"),
    "lines of JSON": labelled("application/x-ndjson", LINES + b"\n"),
    "events with a byte order mark": labelled("text/event-stream", b"\xef\xbb", b"\xbf" + EVENTS),
    "one line end between events": labelled(None, EVENTS.replace(b"\n\n", b"\n")),
    "one CR between events": labelled(None, EVENTS.replace(b"\n\n", b"\r")),
    "CR only": labelled(None, EVENTS.replace(b"\n", b"\r")),
    "CRLF": labelled(None, EVENTS.replace(b"\n", b"\r\n")),
    "no space behind the colon": labelled(None, EVENTS.replace(b"data: ", b"data:")),
    "fields in capitals": labelled("text/event-stream", EVENTS.replace(b"data:", b"DATA:")),
    "events run together": labelled(None, chunk("Hel").strip() + chunk("lo"), FINISH, DONE),
    "all in one line": labelled(None, EVENTS.replace(b"\n", b"") + b"\n\n"),
    "a list of events": labelled(None, b"data: [" + LINES.replace(b"\n", b",") + b"]\n\n", DONE),
    "a byte at a time": labelled(None, *(bytes([one]) for one in EVENTS)),
    "comments first": labelled(None, b": queued\n\n", b": queued\n\n", EVENTS),
    "an id first": labelled(None, b"id: 1\nevent: message\n", EVENTS),
    "no end": labelled(None, chunk("Hel"), chunk("lo"), FINISH),
    "another spelling of the end": labelled(None, chunk("Hello"), b"data: [done]\n\n"),
    "chunks and a length": raw(f"{OK}Transfer-Encoding: chunked~Content-Length: 10~~", CHUNKED),
    "a length and chunks": raw(f"{OK}Content-Length: 10~Transfer-Encoding: chunked~~", CHUNKED),
    "LF only between headers": raw((OK + "X: 1~~").replace("~", "\n"), EVENTS),
    "a folded header": raw(f"{OK}X-Long: a~  b~~", EVENTS),
    "HTTP/1.0": raw("HTTP/1.0 200 OK~~", EVENTS),
    "no reason phrase": raw("HTTP/1.1 200~~", EVENTS),
    "a space behind the size of a chunk": raw(
        f"{OK}Transfer-Encoding: chunked~~", CHUNKED.replace(b"\r\n", b" \r\n", 1)
    ),
    "an encoding that is none": (
        Head(headers={"content-type": "text/event-stream", "content-encoding": "utf-8"}),
        EVENTS,
    ),
}


@pytest.mark.parametrize("script", READ.values(), ids=READ.keys())
async def test_the_body_decides_and_not_the_label(
    upstream: ScriptedUpstream, provider: Upstream, script: Script
) -> None:
    upstream.will(script, script, script)
    heard = await hear(provider)
    assert (heard.text, heard.error) == ("Hello", None)
    for streams in (True, False):
        found = await passed(provider, stream=streams)
        assert "".join(one.text for one in found.pieces if isinstance(one, TextPiece)) == "Hello"
        assert found.outcome.whole, found.outcome.error
        assert sent(script).endswith(found.raw) or b"\r\n0\r\n" in sent(script)


@pytest.mark.parametrize(("body", "streams"), [(EVENTS, True), (BODY, False)])
@pytest.mark.parametrize("kind", ["application/json", "text/event-stream", "text/plain", None])
async def test_whether_an_answer_streams_says_its_body(
    upstream: ScriptedUpstream, provider: Upstream, body: bytes, kind: str | None, *, streams: bool
) -> None:
    upstream.will(labelled(kind, body))
    call = await forward(provider)
    assert call.streams is streams
    await call.close()


async def test_a_connection_with_chunks_and_a_length_is_not_used_again(
    upstream: ScriptedUpstream, provider: Upstream
) -> None:
    head = Head(headers={"content-type": "text/event-stream", "content-length": "5"})
    upstream.will((head, EVENTS), (head, EVENTS))
    for _ in range(2):
        assert (await hear(provider)).text == "Hello"
    assert upstream.connections == 2


def ended(**fields: Any) -> bytes:
    choice: dict[str, Any] = {"index": 0, "delta": {}, **fields}
    return event({"choices": [choice]})


FAILED: dict[str, tuple[bytes, str]] = {
    "an error in the choice": (
        ended(finish_reason="error", error={"code": 502, "message": "Idle timeout exceeded"}),
        "Idle timeout exceeded",
    ),
    "an error in the choice that goes on": (ended(error="no power"), "no power"),
    "an error in the delta": (
        event({"choices": [{"delta": {"content": "", "error": {"message": "no power"}}}]}),
        "no power",
    ),
    "the reason of the end": (ended(finish_reason="error"), "failed. Try again"),
    "the native reason of the end": (
        ended(finish_reason="error", native_finish_reason="MALFORMED_CALL"),
        "MALFORMED_CALL",
    ),
    "no room at the server": (ended(finish_reason="insufficient_system_resource"), "resource"),
    "an error in the network": (ended(finish_reason="network_error"), "network_error"),
    "an error event": (event({"error": {"message": "no power"}}), "no power"),
    "an error that is a text": (event({"error": "no power"}), "no power"),
    "a list of errors": (event({"errors": [{"message": "no power"}]}), "no power"),
    "an error by its type": (event({"type": "error", "message": "no power"}), "no power"),
    "an error by its object": (event({"object": "error", "message": "no power"}), "no power"),
    "an error of another API": (
        event({"type": "error", "error": {"type": "overloaded_error", "message": "no power"}}),
        "no power",
    ),
    "an error by its code": (event({"code": "1113", "msg": "no power"}), "no power"),
    "an error by its status": (event({"status": 500, "message": "no power"}), "no power"),
    "no success": (event({"success": False, "message": "no power"}), "no power"),
    "a detail": (event({"detail": "no power"}), "no power"),
    "an event of its own": (b'event: error\ndata: {"message": "no power"}\n\n', "no power"),
    "an event of its own in words": (b"event: error\ndata: no power\n\n", "no power"),
    "an event of its own in a text": (b'event: error\ndata: "no power"\n\n', "no power"),
    "plain words": (b"data: error: cuda out of memory\n\n", "cuda out of memory"),
    "words in brackets": (b"data: [ERROR] no power\n\n", "no power"),
    "words in quotes": (b'data: "Internal error: no power"\n\n', "no power"),
    "a traceback": (b"data: Traceback (most recent call last):\n\n", "Traceback"),
    "a list with an error": (event([{"error": {"message": "no power"}}]), "no power"),
    "words without an end": (b"data: the fan stands still\n\n", "the fan stands still"),
}


@pytest.mark.parametrize(("told", "words"), FAILED.values(), ids=FAILED.keys())
async def test_a_failure_told_inside_an_answer_is_one_with_the_servers_words(
    upstream: ScriptedUpstream, provider: Upstream, told: bytes, words: str
) -> None:
    script = stream("Hel", told, DONE)
    upstream.will(script, script)
    heard = await hear(provider)
    assert heard.text == "Hel"
    assert words in heard.failure.detail
    if words != "the fan stands still":
        assert heard.failure.code is Code.PROVIDER_ERROR
    found = await passed(provider)
    assert found.raw == sent(script), "all of it goes to the client"
    assert not found.outcome.whole
    assert found.outcome.error is not None
    assert found.outcome.told
    assert found.outcome.envelope["choices"][0]["message"]["content"] == "Hel"


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"message": "no power"}},
        {"error": "no power", "choices": []},
        {"detail": "no power"},
        {"object": "error", "message": "no power", "code": 500},
        {"choices": [{"message": {"content": ""}, "finish_reason": "error", "error": "no power"}]},
        "error: no power",
    ],
    ids=json.dumps,
)
async def test_a_failure_in_a_success_is_one(
    upstream: ScriptedUpstream, provider: Upstream, body: Any
) -> None:
    upstream.will(whole(body), whole(body))
    assert "no power" in (await hear(provider)).failure.detail
    assert (await passed(provider, stream=False)).code is Code.PROVIDER_ERROR


@pytest.mark.parametrize(
    "harmless",
    [
        b"data: ping\n\n",
        b"data: [START]\n\n",
        b"data: OK\n\n",
        b"event: ping\ndata: {}\n\n",
        event({"type": "ping"}),
        event({"status": "processing", "message": "in the queue"}),
        event({"error": None, "choices": []}),
        event({"choices": [], "detail": None, "errors": []}),
        event({"usage": {"prompt_tokens": 1}}),
    ],
)
async def test_what_is_no_failure_is_none(
    upstream: ScriptedUpstream, provider: Upstream, harmless: bytes
) -> None:
    upstream.will(stream(harmless, "Hel", harmless, "lo", FINISH, DONE))
    heard = await hear(provider)
    assert (heard.text, heard.error) == ("Hello", None)


async def test_what_cannot_be_read_is_no_answer_and_what_came_is_kept(
    upstream: ScriptedUpstream, provider: Upstream
) -> None:
    odd = event({"choices": [{"index": 0, "delta": {"content": {"body": "lo"}}}]})
    torn = b'data: {"id":"x","object":"chat.completion.c' + chunk("lo")
    for script, text in ((stream("Hel", odd, FINISH, DONE), "Hel"), (stream(torn, FINISH), "lo")):
        upstream.will(script, script)
        heard = await hear(provider)
        assert (heard.text, heard.failure.code) == (text, Code.PROVIDER_BAD_REPLY)
        found = await passed(provider)
        assert (found.raw, found.outcome.told) == (sent(script), True)


async def test_a_server_that_says_no_more_behind_its_error_is_not_waited_for(
    upstream: ScriptedUpstream, provider: Upstream
) -> None:
    upstream.will(stream("Hel", event({"error": "no power"}), STALL))
    assert (await passed(provider)).code is Code.PROVIDER_ERROR


@pytest.mark.parametrize("encoding", ["br", "zstd", "compress", "gzip, br"])
async def test_an_encoding_that_is_not_read_is_named_and_none_is_asked_for(
    upstream: ScriptedUpstream, provider: Upstream, encoding: str
) -> None:
    head = Head(headers={"content-type": "text/event-stream", "content-encoding": encoding})
    upstream.will((head, b"\x0b\x05\x80Hello"))
    failure = (await hear(provider)).failure
    assert failure.code is Code.PROVIDER_BAD_REPLY
    assert f"encoding {encoding}" in failure.detail
    assert upstream.asked[0].headers["accept-encoding"] == "identity"
