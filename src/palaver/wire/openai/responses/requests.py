"""What a client asks of the Responses API, and the chat completion that it becomes.

`read` takes a body apart and refuses what cannot be done, naming the parameter. What it does not know it keeps, and
passes on: model servers have fields of their own. `chat_body` says the same as a chat completion. Tools that run inside
a model server (web search, files, code, MCP, …) exist only where that server speaks the Responses API itself.

Nothing is asked of the core here.
"""

import re
from collections.abc import Container, Iterable, Iterator, Sequence
from typing import TypeVar, cast

from msgspec import Struct
from msgspec.structs import replace

from palaver.core.answers.tape import ExchangeRequest
from palaver.model import Entry, ExchangeId, Kind, Message, Role, RoomId, Status
from palaver.model.agents import AgentCard
from palaver.model.exchanges import Exchange, ExchangeKind
from palaver.strict_json import Json, as_list, as_object
from palaver.wire.openai import items
from palaver.wire.openai.chat.messages import messages_of
from palaver.wire.openai.fields import Invalid, check, flag, missing, wrong_id
from palaver.wire.openai.params import RESPONSE, metadata_of, room_of
from palaver.wire.openai.responses.tools import Tools, hosted, told_call, tools_of

CHARS_A_TOKEN = 4

_OURS = frozenset(
    {
        *("background", "client_metadata", "context_management", "conversation"),
        *("include", "input", "instructions"),
        *("max_output_tokens", "max_tool_calls", "metadata", "model", "moderation"),
        *("parallel_tool_calls", "previous_response_id", "prompt", "reasoning", "store", "stream"),
        *("stream_options", "text", "tool_choice", "tools", "top_logprobs", "truncation"),
        *("messages", "n", "max_tokens", "max_completion_tokens", "response_format"),
    }
)
"""What is said in another way to a chat completion, or not at all. All else goes through as it is."""
Said = TypeVar("Said", Entry, Message, Entry | Message)

_LOGPROBS = "message.output_text.logprobs"


_NOTHING = """\
One of "input" or "previous_response_id" or 'prompt' or 'conversation' must be provided."""


class Wanted(Struct, frozen=True, kw_only=True):
    """A request that was read: `asked` as the core takes it, but for what is not in its body.

    `given` is the input as it came, `refused` why it cannot be asked as a chat completion, where it cannot. `compacts`:
    nothing but a compaction is asked for; `goes_on`: the room of the one with which the input begins.
    """

    asked: ExchangeRequest
    given: tuple[Json, ...]
    stream: bool
    background: bool
    store: bool
    agent: AgentCard | None = None
    refused: Invalid | None = None
    compacts: bool = False
    goes_on: RoomId | None = None


def read(body: Json, *, compacts: bool = False) -> Wanted:
    """Takes a request apart; one that `compacts` may have no input. Refused: what is not of its shape, or cannot be."""
    if not body.get("model"):
        raise missing("model")
    check(body, RESPONSE)
    if None not in (body.get("previous_response_id"), body.get("conversation")):
        raise Invalid(
            "'previous_response_id' and 'conversation' exclude each other.",
            "previous_response_id",
            "mutually_exclusive_parameters",
        )
    previous, room = _previous(body), room_of(body)
    if previous is room is body.get("input") is body.get("prompt") is None:
        raise missing("input")
    background, store = flag(body, "background"), flag(body, "store", default=True)
    if background and not store:
        raise Invalid("A background response must be stored: 'store' is false.", "background")
    given: object = body.get("input") or []
    entries = items.entries_of(body.get("input"))
    nowhere = previous is room is body.get("prompt") is None
    if nowhere and not given and not compacts:
        raise Invalid(_NOTHING, None, "missing_required_parameter")
    if isinstance(given, str):
        given = [{"role": "user", "content": given}]
    asked = ExchangeRequest(
        kind=ExchangeKind.RESPONSE,
        entries=entries,
        model=body["model"],
        request={key: value for key, value in body.items() if key not in {"input", "metadata"}},
        room=room,
        whole=room is None and previous is None,
        previous=previous,
        kept=True,
        lasting=background,
        metadata=metadata_of(body.get("metadata")),
    )
    return Wanted(
        asked=asked,
        given=tuple(cast("list[Json]", given)),
        stream=flag(body, "stream"),
        background=background,
        store=store,
        compacts=compacts,
    )


def _previous(body: Json) -> ExchangeId | None:
    given = body.get("previous_response_id")
    if given is None:
        return None
    found = items.exchange_id(given)
    if found is None:
        ours = given.startswith("resp_")
        raise previous_not_found(given) if ours else wrong_id("previous_response_id", given, "resp")
    return found


def previous_not_found(given: object) -> Invalid:
    """Builds the refusal where the response to go on from is not there."""
    words, name = f"Previous response with id '{given}' not found.", "previous_response_id"
    return Invalid(words, name, "previous_response_not_found")


def unpaired(entries: Iterable[Entry], known: Iterable[Message]) -> Invalid | None:
    """Looks whether each result has its call, and each call its result: the refusal if one has not.

    A call that was cut, or that a user has since spoken past, needs none.
    """
    called: set[str] = set()
    waiting: dict[str, None] = {}
    for one in (*known, *entries):
        id_ = items.call_id_of(one) if isinstance(one, Message) else str(one.meta.get("call_id"))
        if one.kind == Kind.TOOL_CALL:
            called.add(id_)
            if not isinstance(one, Message) or one.status is Status.DONE:
                waiting[id_] = None
        elif one.kind == Kind.TOOL_RESULT:
            waiting.pop(str(one.meta.get("call_id")), None)
            if isinstance(one, Entry) and id_ not in called:
                words = f"No tool call found for function call output with call_id {id_}."
                return Invalid(words, "input")
        elif one.role is Role.USER:
            waiting.clear()
    for missed in waiting:
        return Invalid(f"No tool output found for function call {missed}.", "input")
    return None


def tokens_in(values: Sequence[object]) -> int:
    """Estimates how many tokens the texts in these JSON values take; what pictures and files hold is no text."""
    chars, left = 0, list(values)
    while left:
        value = left.pop()
        if isinstance(value, str):
            chars += len(value) if not _DATA_URL.match(value) else 0
        elif isinstance(value, dict):
            found = cast("Json", value)
            if found.get("type") != "base64":
                left.extend(found.values())
        elif isinstance(value, list):
            left.extend(cast("list[object]", value))
    return -(-chars // CHARS_A_TOKEN)


_DATA_URL = re.compile(r"data:[^,]{1,100},")


# as a chat completion


def chat_messages(said: Iterable[Entry | Message], origin: str | None = None) -> list[Json]:
    """Writes the messages of a room as a chat completion's, as servers of every kind understand them.

    What a model thought is not told to it again, but for what led to a tool's call; that, and what stood beside its
    words, is told to whom it is from (`origin`) and nobody else. A developer is the system.
    """
    kept = spoken(said)
    calls = [one.kind == Kind.TOOL_CALL for one in kept] + [False]
    told = [
        _telling(one, origin, thinks=calls[place] or calls[place + 1])
        for place, one in enumerate(kept)
    ]
    return list(_told(messages_of(told)))


def spoken(said: Iterable[Said]) -> list[Said]:
    """Leaves out what says nothing to a model: a cut answer without words, and its call that nobody answered."""
    told = list(said)
    answered = {one.meta.get("call_id") for one in told if one.kind == Kind.TOOL_RESULT}
    return [one for one in told if not _says_nothing(one, answered)]


def _says_nothing(one: Entry | Message, answered: Container[object]) -> bool:
    if one.role is not Role.ASSISTANT or not isinstance(one, Message):
        return False
    if one.kind == Kind.TOOL_CALL:
        return one.status is not Status.DONE and items.call_id_of(one) not in answered
    return one.kind == Kind.TEXT and not one.text and not one.meta.keys() & {"parts", "refusal"}


def _telling(one: Entry | Message, origin: str | None, *, thinks: bool) -> Entry | Message:
    """Prepares a message to be told again. `thinks`: with what the model thought."""
    meta = {key: value for key, value in one.meta.items() if key not in {"reasoning", "more"}}
    beside = as_object(meta.pop("beside", None))
    beside = beside if beside.get("origin") == origin else {}
    fields = as_object(beside.get("message"))
    if thinks and "thought_in" in beside:
        fields = {**fields, beside["thought_in"]: one.meta.get("reasoning", "")}
    if one.kind != Kind.TOOL_CALL:
        return replace(one, meta=meta | ({"more": fields} if fields else {}))
    if isinstance(one, Message):
        meta["call_id"] = items.call_id_of(one)
    if beside:
        meta |= {"more": as_object(beside.get("call")), "message": {"more": fields}}
    name, text = told_call(str(meta.get("tool") or ""), one.text, as_object(one.meta.get("more")))
    return replace(one, text=text, meta={**meta, "tool": name})


def _told(messages: Iterable[Json]) -> Iterator[Json]:
    """Writes parts as a chat completion has them. The pictures of tools' results are a message behind these."""
    pictures: list[Json] = []
    for message in messages:
        said, content = dict(message), message.get("content")
        if said["role"] == Role.DEVELOPER.value:
            said["role"] = Role.SYSTEM.value
        if pictures and said["role"] != Role.TOOL.value:
            yield {"role": Role.USER.value, "content": pictures}
            pictures = []
        if isinstance(content, list):
            parts = [items.chat_part(part, "input") for part in cast("list[Json]", content)]
            if said["role"] == Role.TOOL.value:
                pictures += [part for part in parts if part.get("type") != "text"]
                parts = "\n".join(part["text"] for part in parts if part.get("type") == "text")
            said["content"] = parts
        yield said
    if pictures:
        yield {"role": Role.USER.value, "content": pictures}


def chat_body(asked: ExchangeRequest, messages: Sequence[Json], tools: Tools | None = None) -> Json:
    """Writes the request as a chat completion that streams. `messages` is the whole conversation, oldest first.

    `tools` are those of the request, if they were read already. Refused: tools that run in a model server.
    """
    body = dict(asked.request)
    chat: Json = {key: value for key, value in body.items() if key not in _OURS}
    chat["model"] = asked.model
    chat["messages"] = [*_instructions(body.get("instructions")), *messages]
    if body.get("max_output_tokens") is not None:
        chat["max_tokens"] = body["max_output_tokens"]
    effort = as_object(body.get("reasoning")).get("effort")
    if effort is not None:
        chat["reasoning_effort"] = effort
    if body.get("top_logprobs") or _LOGPROBS in (body.get("include") or ()):
        chat |= {"logprobs": True, "top_logprobs": body.get("top_logprobs") or 0}
    tools = tools or tools_of(body, asked.entries)
    return chat | _format(body) | _tools(body, tools) | _STREAMING


_STREAMING: Json = {"stream": True, "stream_options": {"include_usage": True}}


def _instructions(given: object) -> list[Json]:
    if isinstance(given, str) and given:
        return [{"role": "system", "content": given}]
    texts = [entry.text for entry in items.entries_of(given or [], "instructions")]
    return [{"role": "system", "content": text} for text in texts if text]


def _format(body: Json) -> Json:
    """Writes `text` as a chat completion says it."""
    text = as_object(body.get("text"))
    wanted = as_object(text.get("format"))
    said: Json = {} if text.get("verbosity") is None else {"verbosity": text["verbosity"]}
    match wanted.get("type"):
        case None | "text":
            return said
        case "json_schema":
            schema = {key: value for key, value in wanted.items() if key != "type"}
            return {**said, "response_format": {"type": "json_schema", "json_schema": schema}}
        case _:
            return {**said, "response_format": wanted}


def _tools(body: Json, tools: Tools) -> Json:
    """Writes the tools and their choice as a chat completion says them. Refused: a tool that runs in a model server."""
    functions = tools.functions
    choice: object = body.get("tool_choice")
    if isinstance(choice, dict):
        named = cast("Json", choice)
        match named.get("type"):
            case "function" | items.CUSTOM:
                name = next(iter(tools.told(named)), named.get("name"))
                choice = {"type": "function", "function": {"name": name}}
            case "allowed_tools":
                allowed = [one for tool in as_list(named.get("tools")) for one in tools.told(tool)]
                functions = [one for one in functions if one["function"]["name"] in allowed]
                choice = named.get("mode", "auto")
            case other:
                raise hosted(other, "tool_choice")
    if not functions:
        return {}
    said = {"tool_choice": choice, "parallel_tool_calls": body.get("parallel_tool_calls")}
    return {"tools": functions, **{name: one for name, one in said.items() if one is not None}}


# as it is told back


def skeleton(asked: ExchangeRequest | Exchange, id_: str, created_ms: int) -> Json:
    """Builds a response before anything came. Every key is present, the null ones too."""
    wanted, previous, room = dict(asked.request), asked.previous, asked.room
    background = bool(wanted.get("background"))
    shown: Json = {
        "id": id_,
        "object": "response",
        "created_at": created_ms // 1000,
        "completed_at": None,
        "status": "queued" if background else "in_progress",
        "background": background,
        "error": None,
        "incomplete_details": None,
        "model": asked.model,
        "output": [],
        "previous_response_id": None if previous is None else items.response_id(previous),
        "conversation": None if room is None else {"id": items.conversation_id(room)},
        "prompt": wanted.get("prompt"),
        "reasoning": {"effort": None, "summary": None, **(wanted.get("reasoning") or {})},
        "text": {"format": {"type": "text"}, **(wanted.get("text") or {})},
        "tools": [_shown_tool(as_object(tool)) for tool in wanted.get("tools") or ()],
        "usage": None,
        "metadata": dict(asked.metadata),
    }
    for name, default in _ECHOED.items():
        given = wanted.get(name)
        shown[name] = default if given is None else given
    return shown


_ECHOED: Json = {
    **dict.fromkeys(("instructions", "max_output_tokens", "max_tool_calls", "user")),
    **dict.fromkeys(("prompt_cache_key", "prompt_cache_retention", "safety_identifier")),
    "parallel_tool_calls": True,
    "service_tier": "default",
    "store": True,
    "temperature": 1.0,
    "tool_choice": "auto",
    "top_logprobs": 0,
    "top_p": 1.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
    "truncation": "disabled",
}
"""What a response says as its request said it, and what it says where the request said nothing."""


def _shown_tool(tool: Json) -> Json:
    known = ("description", "parameters", "strict") if tool.get("type") == "function" else ()
    return {**dict.fromkeys(known), **tool}
