"""What a model server that speaks the Responses API tells: scripts for `ScriptedUpstream`."""

from typing import Any

from tests.support.upstream import DONE, Head, Script, Step, event

Json = dict[str, Any]

THOUGHT: Json = {
    "id": "rs_theirs",
    "type": "reasoning",
    "summary": [{"type": "summary_text", "text": "Hm."}],
    "encrypted_content": "c2VjcmV0",
}
SEARCH: Json = {
    "id": "ws_theirs",
    "type": "web_search_call",
    "status": "completed",
    "action": {"type": "search", "query": "palaver", "sources": [{"url": "https://a.example"}]},
}
CALL: Json = {
    "id": "fc_theirs",
    "type": "function_call",
    "status": "completed",
    "call_id": "call_1",
    "name": "add",
    "arguments": '{"a":1}',
}


def message(text: str, *, id_: str = "msg_theirs") -> Json:
    """A message with what only this API can say."""
    source = {"type": "url_citation", "url": "https://a.example", "title": "A"}
    part: Json = {"type": "output_text", "text": text, "logprobs": []}
    part["annotations"] = [{**source, "start_index": 0, "end_index": 3}]
    return {
        "id": id_,
        "type": "message",
        "status": "completed",
        "role": "assistant",
        "content": [part],
    }


def response(status: str, output: list[Json], **more: Any) -> Json:
    """A response as such a server tells it."""
    usage = {
        "input_tokens": 11,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": 5,
        "output_tokens_details": {"reasoning_tokens": 2},
        "total_tokens": 16,
    }
    return {
        "id": "resp_theirs",
        "object": "response",
        "created_at": 1,
        "status": status,
        "model": "their-model",
        "output": output,
        "usage": usage if output else None,
        "store": False,
        "previous_response_id": None,
        **more,
    }


class Telling:
    """Events in the order of the API, numbered."""

    def __init__(self) -> None:
        self.steps: list[Step] = [Head()]
        self.output: list[Json] = []
        self._number = 0
        for name in ("created", "in_progress"):
            self.event(name, response=response("in_progress", []))

    def event(self, name: str, /, **fields: Any) -> None:
        """One event."""
        kind = name if name == "error" else f"response.{name}"
        told = {"type": kind, "sequence_number": self._number, **fields}
        self.steps.append(b"event: " + kind.encode() + b"\n" + event(told))
        self._number += 1

    def item(self, item: Json, **begun: Any) -> None:
        """An item that is not told bit by bit."""
        index = len(self.output)
        self.event("output_item.added", output_index=index, item=item | begun)
        self.output.append(item)
        self.event("output_item.done", output_index=index, item=item)

    def begin(self, item: Json) -> Json:
        """A message begins, with a part. Where it is."""
        index = len(self.output)
        begun: Json = {**item, "status": "in_progress", "content": []}
        self.event("output_item.added", output_index=index, item=begun)
        at: Json = {"item_id": item["id"], "output_index": index, "content_index": 0}
        part: Json = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
        self.event("content_part.added", **at, part=part)
        return at

    def say(self, *words: str | Step) -> None:
        """A message, word by word; other steps come between."""
        item = message("".join(word for word in words if isinstance(word, str)))
        at = self.begin(item)
        for word in words:
            if isinstance(word, str):
                self.event("output_text.delta", **at, delta=word, logprobs=[])
            else:
                self.steps.append(word)
        (part,) = item["content"]
        self.event("output_text.done", **at, text=part["text"], logprobs=[])
        self.event("content_part.done", **at, part=part)
        self.output.append(item)
        self.event("output_item.done", output_index=at["output_index"], item=item)

    def call(self, item: Json) -> None:
        """A call of a function, bit by bit."""
        index = len(self.output)
        begun = item | {"status": "in_progress", "arguments": ""}
        self.event("output_item.added", output_index=index, item=begun)
        at = {"item_id": item["id"], "output_index": index}
        for part in (item["arguments"][:3], item["arguments"][3:]):
            self.event("function_call_arguments.delta", **at, delta=part)
        done = {"name": item["name"], "arguments": item["arguments"]}
        self.event("function_call_arguments.done", **at, **done)
        self.output.append(item)
        self.event("output_item.done", output_index=index, item=item)

    def end(self, status: str = "completed", **more: Any) -> Script:
        """The whole script."""
        self.event(status, response=response(status, self.output, **more))
        return (*self.steps, DONE)


def says(*words: str | Step) -> Script:
    """An answer of one message."""
    telling = Telling()
    telling.say(*words)
    return telling.end()
