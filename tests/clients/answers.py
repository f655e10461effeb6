"""What a scripted model server answers to the clients: words, a tool call, whole or streamed."""

import json
from typing import Any

from tests.support.upstream import DONE, Script, chunk, event, reply, stream, whole

Json = dict[str, Any]

FINISH = (chunk(finish="stop"), DONE)
CALL: Json = {
    "id": "call_7",
    "type": "function",
    "function": {"name": "get_weather", "arguments": '{"city": "Oslo"}'},
}


def answer(text: str, *, streams: bool) -> Script:
    return reply(text) if streams else completion(text)


def completion(text: str | None, *, name: str = "chatcmpl-1", **message: Any) -> Script:
    finish = "tool_calls" if message else "stop"
    said = {"role": "assistant", "content": text, **message}
    return whole(
        {
            "id": name,
            "object": "chat.completion",
            "created": 5,
            "model": "m-2026",
            "choices": [{"index": 0, "message": said, "finish_reason": finish}],
            "usage": {"prompt_tokens": 7, "completion_tokens": 1, "total_tokens": 8},
        }
    )


def calls_a_tool(*, streams: bool) -> Script:
    """An answer that thinks first, and then calls."""
    thought = {"reasoning_content": "They want the weather."}
    if not streams:
        return completion(None, tool_calls=[CALL], **thought)
    deltas: list[Json] = [{"role": "assistant", **thought}, {"tool_calls": [{"index": 0, **CALL}]}]
    told = [event({"id": "c", "choices": [{"index": 0, "delta": delta}]}) for delta in deltas]
    return stream(*told, chunk(finish="tool_calls"), DONE)


def calling(*calls: tuple[str, Json], by: int = 7) -> Script:
    """An answer that calls functions, their arguments a few characters at a time."""
    told: list[bytes] = []
    for place, (name, arguments) in enumerate(calls):
        text = json.dumps(arguments)
        id_ = f"call_{name}_{len(text)}"
        deltas: list[Json] = [{"id": id_, "function": {"name": name, "arguments": ""}}]
        parts = [text[at : at + by] for at in range(0, len(text), by)]
        deltas += [{"function": {"arguments": part}} for part in parts]
        told += [
            event({"choices": [{"index": 0, "delta": {"tool_calls": [{"index": place, **one}]}}]})
            for one in deltas
        ]
    usage = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}
    return stream(*told, chunk(finish="tool_calls"), event({"choices": [], "usage": usage}), DONE)
