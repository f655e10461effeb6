"""A scripted server of Anthropic's Messages API, and the events that its makers document.

The shapes are those of the API's reference and of the recorded streams in its Python library: `message_start`, blocks
with their `content_block_start`, deltas and `content_block_stop`, `message_delta`, `message_stop`; `ping` and `error`
anywhere between. `said` makes all events of an answer from its blocks, `whole_message` the answer that does not stream.
"""

import json
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from typing import Any

from tests.support.upstream import (
    Head,
    Received,
    Script,
    ScriptedUpstream,
    listening,
    refuse,
    whole,
)

Json = dict[str, Any]

PING = b'event: ping\ndata: {"type": "ping"}\n\n'
SIGNATURE = "EqQBCgIYAhIM1gbcDa9GJwZA2b3hGgxBdjrkzLoky3dl1pki"


def event(kind: str, **fields: Any) -> bytes:
    data = json.dumps({"type": kind, **fields}, separators=(",", ":"))
    return f"event: {kind}\ndata: {data}\n\n".encode()


def message(**fields: Any) -> Json:
    return {
        "id": "msg_01XFDUDYJgAACzvnptvVoYEL",
        "type": "message",
        "role": "assistant",
        "model": "claude-test",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {
            "input_tokens": 11,
            "cache_creation_input_tokens": 3,
            "cache_read_input_tokens": 5,
            "output_tokens": 1,
        },
        **fields,
    }


def start(**fields: Any) -> bytes:
    return event("message_start", message=message(**fields))


def text(*pieces: str) -> Json:
    """A block of text, told in these pieces."""
    return {"type": "text", "pieces": pieces}


def thinking(*pieces: str, signature: str = SIGNATURE) -> Json:
    return {"type": "thinking", "pieces": pieces, "signature": signature}


def redacted(data: str) -> Json:
    return {"type": "redacted_thinking", "data": data}


def tool(id_: str, name: str, *pieces: str) -> Json:
    """A call, its input told in these pieces of JSON."""
    return {"type": "tool_use", "id": id_, "name": name, "pieces": pieces}


def delta(index: int, kind: str, **fields: Any) -> bytes:
    return event("content_block_delta", index=index, delta={"type": kind, **fields})


def begun(index: int, block: Json) -> bytes:
    return event("content_block_start", index=index, content_block=block)


def told(index: int, block: Json) -> list[bytes]:
    """The events of one block."""
    pieces = block.get("pieces", ())
    match block["type"]:
        case "text":
            first: Json = {"type": "text", "text": ""}
            deltas = [delta(index, "text_delta", text=one) for one in pieces]
        case "thinking":
            first = {"type": "thinking", "thinking": "", "signature": ""}
            deltas = [delta(index, "thinking_delta", thinking=one) for one in pieces]
            deltas.append(delta(index, "signature_delta", signature=block["signature"]))
        case "tool_use":
            first = {"type": "tool_use", "id": block["id"], "name": block["name"], "input": {}}
            deltas = [delta(index, "input_json_delta", partial_json=one) for one in ("", *pieces)]
        case _:
            first, deltas = block, []
    return [begun(index, first), *deltas, event("content_block_stop", index=index)]


def end(stop: str = "end_turn", **fields: Any) -> list[bytes]:
    usage = fields.pop("usage", {"output_tokens": 15})
    change = {"stop_reason": stop, "stop_sequence": None, **fields}
    return [event("message_delta", delta=change, usage=usage), event("message_stop")]


def events(*blocks: Json, stop: str = "end_turn", **fields: Any) -> list[bytes]:
    """All events of an answer."""
    found = [start(), PING]
    for index, block in enumerate(blocks):
        found += told(index, block)
    return [*found, *end(stop, **fields)]


def script(parts: Iterable[Any]) -> Script:
    return (Head(headers={"content-type": "text/event-stream; charset=utf-8"}), *parts)


def said(*blocks: Json, stop: str = "end_turn", **fields: Any) -> Script:
    """A whole, well-behaved answer."""
    return script(events(*blocks, stop=stop, **fields))


def whole_message(*blocks: Json, stop: str = "end_turn", **fields: Any) -> Script:
    """The same as one body."""
    content: list[Json] = []
    for block in blocks:
        made = {key: value for key, value in block.items() if key != "pieces"}
        joined = "".join(block.get("pieces", ()))
        if block["type"] == "tool_use":
            made["input"] = json.loads(joined or "{}")
        elif "pieces" in block:
            made[block["type"]] = joined
        content.append(made)
    usage = {**message()["usage"], "output_tokens": 15}
    return whole(message(content=content, stop_reason=stop, usage=usage, **fields))


def failure(kind: str, words: str) -> Json:
    return {"type": "error", "error": {"type": kind, "message": words}, "request_id": "req_011"}


def refused(status: int, kind: str, words: str, **headers: str) -> Script:
    return refuse(status, failure(kind, words), **headers)


def overloaded() -> bytes:
    """The error in the middle of a stream."""
    return event("error", **failure("overloaded_error", "Overloaded"))


class ScriptedAnthropic(ScriptedUpstream):
    """Answers `/v1/messages` with scripts, and `/v1/models` in pages of `page`.

    `/v1/messages/count_tokens` says `tokens`; where that is None, the server has no such address.
    """

    def __init__(self) -> None:
        super().__init__()
        self.default = said(text("Hel", "lo"))
        self.ids = ["claude-opus-9", "claude-sonnet-9", "claude-haiku-9"]
        self.page = 2
        self.tokens: int | None = None

    @property
    def base_url(self) -> str:
        """What ANTHROPIC_BASE_URL would be."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def asked(self) -> list[Received]:
        return [one for one in self.requests if one.path.partition("?")[0] == "/v1/messages"]

    def script_for(self, request: Received) -> Script:
        path, _, query = request.path.partition("?")
        if (request.method, path) == ("GET", "/v1/models"):
            return self.models_script or self._page(query)
        if path == "/v1/messages/count_tokens" and self.tokens is not None:
            return whole({"input_tokens": self.tokens})
        if (request.method, path) != ("POST", "/v1/messages"):
            return refused(404, "not_found_error", "Not Found")
        return self.next_script()

    def _page(self, query: str) -> Script:
        _, _, after = query.partition("after_id=")
        begin = self.ids.index(after) + 1 if after else 0
        ids = self.ids[begin : begin + self.page]
        data = [{"type": "model", "id": one, "display_name": one} for one in ids]
        more = begin + self.page < len(self.ids)
        return whole({"data": data, "has_more": more, "first_id": ids[0], "last_id": ids[-1]})


@asynccontextmanager
async def scripted_anthropic() -> AsyncGenerator[ScriptedAnthropic]:
    """A scripted server of the Messages API, for as long as the block runs."""
    server = ScriptedAnthropic()
    async with listening(server):
        yield server
