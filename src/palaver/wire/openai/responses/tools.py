"""Tools that a chat completion does not know, told as functions, and calls of them told as what they were.

A freeform tool (`custom`) is a function of one text, `input`. A tool in a `namespace` has the namespace's name before
its own. Tools may also come as an item of the input (`additional_tools`). What runs inside a model server (web search,
files, code, MCP) cannot be a function and is refused; where a program sends such a tool with every request and works
without it (`SPARED`, by `client_metadata` of Codex), it is left out.

An answer's calls become freeform text again piece by piece (`Restored`), before anything of them is journaled or shown:
what is stored is what the tool was given. Nothing is looked up here.
"""

import re
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping
from contextlib import aclosing
from hashlib import sha256
from typing import Any, cast

import orjson
from msgspec import Struct, field
from msgspec.structs import replace

from palaver.core.answers.pieces import Piece, ToolPiece
from palaver.core.answers.tape import Call, Chunk
from palaver.model import NO_DATA, Entry, Kind, Message
from palaver.strict_json import Json, as_list, as_object, parsed
from palaver.wire.openai.fields import TEXT, Invalid, missing
from palaver.wire.openai.items import CUSTOM

NAME_CHARS_MAX = 64
"""So long a function's name may be for a model server; a longer one is cut, with a digest at its end."""
SPARED = frozenset({"image_generation", "tool_search", "web_search"})
_OF_PROGRAM = "x-codex-"
_INPUT: Json = {
    "type": "object",
    "properties": {"input": {"type": "string", "description": "The whole text, as it is."}},
    "required": ["input"],
    "additionalProperties": False,
}

_BEGIN = re.compile(r'\s*\{\s*"input"\s*:\s*"')
_WHOLE = re.compile(r'(?:[^"\\]|\\(?:u[0-9a-fA-F]{4}|[^u]))*')
_HALF = re.compile(r"\\u[dD][89abAB][0-9a-fA-F]{2}\Z")


class Tools(Struct, frozen=True):
    """The tools of a request as functions. `called` has, by a function's name, the tool's own and what it is."""

    functions: list[Json] = field(default_factory=list[Json])
    called: dict[str, tuple[str, Json]] = field(default_factory=dict[str, tuple[str, Json]])

    def add(self, given: object, param: str, namespace: str = "") -> None:
        """Adds a tool, or those of a namespace. Refused: one that is no function and cannot be."""
        tool = as_object(given)
        kind, name = str(tool.get("type")), tool.get("name")
        if kind not in {"function", CUSTOM, "namespace"}:
            raise hosted(kind, param)
        if name is None:
            raise missing(f"{param}.name")
        TEXT.check(f"{param}.name", name)
        if kind == "namespace":
            for place, one in enumerate(as_list(tool.get("tools"))):
                self.add(one, f"{param}.tools[{place}]", name)
            return
        more = _more(kind, namespace)
        told = told_name(name, more)
        known = ("description", "parameters", "strict")
        function = {key: tool[key] for key in known if tool.get(key) is not None}
        if kind == CUSTOM:
            function = {"description": _described(tool), "parameters": _INPUT}
        if told not in self.called:
            self.functions.append({"type": "function", "function": {"name": told, **function}})
            self.called[told] = (name, more)

    def told(self, tool: object) -> list[str]:
        """The names of the functions that a tool became, all of them where it is a namespace."""
        name, space = (as_object(tool).get(key) for key in ("name", "namespace"))
        return [
            told
            for told, (own, more) in self.called.items()
            if (own == name and (space is None or space == more.get("namespace")))
            or (name is not None and name == more.get("namespace"))
        ]


def tools_of(body: Mapping[str, Any], said: Iterable[Entry | Message]) -> Tools:
    """Reads the tools of a request, those among what was said too. Refused: those that run in a model server."""
    found = Tools()
    program = any(name.startswith(_OF_PROGRAM) for name in as_object(body.get("client_metadata")))
    given = [(tool, f"tools[{at}]") for at, tool in enumerate(as_list(body.get("tools")))]
    for one in said:
        item = as_object(one.meta.get("item")) if one.kind == Kind.ITEM else {}
        if item.get("type") == "additional_tools":
            given += [(tool, "input") for tool in as_list(item.get("tools"))]
    for tool, param in given:
        if not (program and str(as_object(tool).get("type")) in SPARED):
            found.add(tool, param)
    return found


def hosted(kind: object, param: str) -> Invalid:
    """Builds the refusal of a tool that runs inside a model server."""
    words = (
        f"The tool '{kind}' runs inside a model server that speaks the Responses API, and this one"
        " speaks chat completions: only functions can be used here."
    )
    return Invalid(words, param, "unsupported_tool")


def told_name(name: str, more: Mapping[str, Any]) -> str:
    """The name of a function, which is within bounds."""
    space = more.get("namespace")
    whole = f"{space}__{name}" if space else name
    if len(whole) <= NAME_CHARS_MAX:
        return whole
    digest = sha256(whole.encode()).hexdigest()[:8]
    return f"{whole[: NAME_CHARS_MAX - len(digest) - 1]}_{digest}"


def told_call(name: str, text: str, more: Mapping[str, Any]) -> tuple[str, str]:
    """A call's name and arguments as those of a function."""
    if more.get("type") == CUSTOM:
        text = orjson.dumps({"input": text}).decode()
    return told_name(name, more), text or "{}"


def restored(call: Call, tools: Tools) -> Call:
    """A call whose answer calls the tools by their own names."""
    strange = any(name != own or more for name, (own, more) in tools.called.items())
    return Restored(call, tools) if strange else call


class Restored:
    """See `providers.call.Call`."""

    def __init__(self, call: Call, tools: Tools) -> None:
        self._call, self._tools = call, tools
        self._texts: dict[tuple[int, int], tuple[ToolPiece, Freeform]] = {}
        self.status, self.headers, self.streams = call.status, call.headers, call.streams
        self.outcome, self.close = call.outcome, call.close

    async def told(self) -> AsyncGenerator[Chunk, None]:
        """See `Call`."""
        async with aclosing(self._call.told()) as telling:
            async for told in telling:
                pieces = [*self._pieces(told.pieces)]
                if told.last:
                    pieces += self._rest()
                yield told._replace(pieces=tuple(pieces))
        if rest := tuple(self._rest()):
            yield Chunk(b"", rest)

    def _pieces(self, pieces: Iterable[Piece]) -> Iterator[Piece]:
        for piece in pieces:
            if not isinstance(piece, ToolPiece):
                yield piece
                continue
            place = (piece.choice, piece.call)
            known = self._texts.get(place)
            if known is not None:
                if text := known[1].feed(piece.arguments):
                    yield replace(piece, id="", name="", arguments=text)
                continue
            name, more = self._tools.called.get(piece.name, (piece.name, NO_DATA))
            begun = replace(piece, name=name, more=more)
            if more.get("type") == CUSTOM:
                text = Freeform()
                begun = replace(begun, arguments=text.feed(piece.arguments))
                self._texts[place] = (replace(begun, id="", name=""), text)
            yield begun

    def _rest(self) -> Iterator[Piece]:
        """What was held back, once nothing more comes."""
        texts, self._texts = self._texts, {}
        for piece, text in texts.values():
            if held := text.close():
                yield replace(piece, arguments=held)


class Freeform:
    """A text out of `{"input": "…"}`, as it comes. What a model wrote in another form is the text, at the end."""

    def __init__(self) -> None:
        self._held = ""
        self._inside: bool = False
        self._over: bool = False

    def feed(self, piece: str) -> str:
        """Gives as much of the text as the next piece of JSON makes sure."""
        self._held += "" if self._over else piece
        if not self._inside:
            begun = _BEGIN.match(self._held)
            if begun is None:
                return ""
            self._inside, self._held = True, self._held[begun.end() :]
        whole = cast("re.Match[str]", _WHOLE.match(self._held))
        self._over = self._held[whole.end() :].startswith('"')
        run = whole[0]
        if not self._over:
            run = _HALF.sub("", run)  # the other half of the pair is to come
        self._held = "" if self._over else self._held[len(run) :]
        return _decoded(run)

    def close(self) -> str:
        """Gives what is left, whatever it is."""
        held, self._held = self._held, ""
        if self._inside:
            return ""
        texts = [one for one in as_object(parsed(held)).values() if isinstance(one, str)]
        return texts[0] if len(texts) == 1 else held


def _decoded(run: str) -> str:
    """Reads the inside of a JSON string, with line ends that stand in it as they are."""
    return re.sub(r"\\(?:u[0-9a-fA-F]{4}(?:\\u[dD][c-fC-F][0-9a-fA-F]{2})?|.)", _unescaped, run)


def _unescaped(escape: re.Match[str]) -> str:
    try:
        return str(orjson.loads(f'"{escape[0]}"'))
    except orjson.JSONDecodeError:  # half of a pair, or an escape that JSON does not have
        return "\ufffd" if escape[0].startswith("\\u") else escape[0][1:]


def _more(kind: object, namespace: str) -> Json:
    more: Json = {"type": CUSTOM} if kind == CUSTOM else {}
    return more | ({"namespace": namespace} if namespace else {})


def _described(tool: Json) -> str:
    """A freeform tool's description, with the form that its text must have."""
    form = as_object(tool.get("format"))
    words = [str(tool.get("description") or ""), "Give its whole text as `input`."]
    if form.get("definition"):
        words.append(
            f"The text must match this {form.get('syntax')} grammar:\n{form['definition']}"
        )
    return "\n\n".join(filter(None, words))
