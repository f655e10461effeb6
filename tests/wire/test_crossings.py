"""How many files a message crosses, and a piece of an API answer: counted while they go through a running server.

A file is crossed when one of its functions is called with the words, calls another with them, or yields them: as text,
as bytes, or in a value that holds them. Files that run a job without being given what it is about (the transaction
around a batch) are not; nor is what the sender is told afterwards. Most files that are crossed carry the words on.
Those `beside` the walk are asked about them, or keep or encode them, and give back: none of them calls a file of the
walk. The `LAYERS` of HTTP, which each answer of each door passes, look at its head only and are named apart.
"""

import asyncio
import re
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from gc import get_referents
from inspect import CO_ASYNC_GENERATOR, CO_GENERATOR, CO_VARARGS, CO_VARKEYWORDS
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, cast

from msgspec import Struct
from tests.support.upstream import DONE, ScriptedUpstream, stream
from tests.wire.door import open_door, settings_for
from tests.wire.openai.client import CHAT, HI, bare_client

import palaver
from palaver.core.runtime import started

ROOT = Path(__file__).resolve().parents[2]
SOURCE = Path(palaver.__file__).parent
WORDS = "crossing-7f3a"
CROSSED_MAX = 12
LAYERS = {"wire/openai/problems", "wire/edge/limits", "wire/problems", "wire/edge/logs"}
BESIDE_MESSAGE = {
    "wire/edge/waiting": "queues what came for the reading task",
    "wire/live/socket": "gives the reply the number of its frame",
    "strict_json": "reads and writes JSON",
    "core/validation": "looks at the text",
    "core/spool/messages": "is asked whether drafts of the room wait",
    "store/write/transaction": "collects the rows of a batch",
    "store/write/speakers": "finds the agents that answer",
    "speaking": "reads whom the text mentions",
    "store/write/usage": "adds up what answers used",
    "store/write/feed": "adds to the feed which seqs there are",
    "core/deliveries": "is asked whether a webhook is another one now",
    "store/hash_chain": "digests the text",
    "store/values": "makes the message of its row",
    "store/engine/statement": "binds a row to SQL",
    "store/columns": "encodes a column",
    "store/engine/executors": "gives the writer's results back",
    "store/admin/high_water": "notes how far the room is",
    "store/notify": "is asked whether it takes access",
    "core/access": "forgets the rights that it takes",
    "core/profiles": "is asked whether it changes a connection",
    "core/consumers": "wakes who works through the feed",
    "core/live/items": "puts the encoded bytes to what is delivered",
    "wire/live/frames": "encodes the event, once for all readers",
    "wire/shapes": "shapes the event",
    "wire/parts": "shapes what goes with a message",
}
BESIDE_PIECE = {
    "providers/openai/shapes": "reads the server's JSON",
    "strict_json": "takes objects and lists of the JSON",
    "providers/errors": "is asked whether it is an error",
    "providers/openai/request": "reads the server's JSON",
    "providers/fields": "joins fields",
    "thoughts": "parts thoughts from words",
    "core/answers/pieces": "builds the answer that is stored",
    "store/journal": "keeps the piece",
    "core/answers/budgets": "is asked how much of it there is place for",
}


class Crossed:
    """The files that are crossed while `open`, and from which others."""

    def __init__(self) -> None:
        self.open = False
        self.callers: dict[str, set[str]] = {}
        self._places: dict[CodeType, str | None] = {}

    def __call__(self, frame: FrameType, event: str, value: object) -> None:
        """What `sys.setprofile` calls."""
        place = self._place(frame.f_code) if self.open else None
        if place is None:
            return
        yields = frame.f_code.co_flags & (CO_GENERATOR | CO_ASYNC_GENERATOR)
        if event == "call" and _is_given(frame):
            caller = self._caller(frame)
            self.callers.setdefault(place, set())
            if caller not in {None, place}:
                self.callers.setdefault(str(caller), set())
                self.callers[place].add(str(caller))
        elif event == "return" and yields and _holds(_unwrapped(value)):
            self.callers.setdefault(place, set())

    def expect(self, walk: str, *beside: dict[str, str] | set[str]) -> None:
        """Compares with the files that a chapter of ARCHITECTURE.md names."""
        carry = _named_in(walk)
        others = {file for files in beside for file in files}
        assert self.callers.keys() - others == set(carry), "the files that carry it"
        assert all((SOURCE / f"{file}.py").is_file() for file in others)
        assert len(carry) <= CROSSED_MAX
        for file in self.callers.keys() & carry:
            assert not self.callers[file] & (others - LAYERS), f"{file} is called from beside"

    def _place(self, code: CodeType) -> str | None:
        if code not in self._places:
            file = Path(code.co_filename)
            ours = file.is_relative_to(SOURCE)
            place = file.relative_to(SOURCE).with_suffix("").as_posix() if ours else None
            self._places[code] = place
        return self._places[code]

    def _caller(self, frame: FrameType) -> str | None:
        above = frame.f_back
        while above is not None and self._place(above.f_code) is None:
            above = above.f_back
        return None if above is None else self._place(above.f_code)


def _is_given(frame: FrameType) -> bool:
    code = frame.f_code
    count = code.co_argcount + code.co_kwonlyargcount
    count += bool(code.co_flags & CO_VARARGS) + bool(code.co_flags & CO_VARKEYWORDS)
    return any(_holds(frame.f_locals.get(name)) for name in code.co_varnames[:count])


def _unwrapped(value: object) -> object:
    """What an asynchronous generator yields, which the interpreter wraps."""
    return get_referents(value) if type(value).__name__.endswith("wrapped_value") else value


def _holds(value: object, depth: int = 6) -> bool:
    """Whether the words are in a value. The state of a part, which is no `Struct`, is not looked into."""
    match value:
        case str():
            return WORDS in value
        case bytes() | bytearray():
            return WORDS.encode() in value
        case dict():
            held = [*cast("dict[Any, Any]", value).values()]
        case list() | tuple() | set() | frozenset():
            held = [*cast("list[Any]", value)]
        case Struct():
            held = [getattr(value, name, None) for name in value.__struct_fields__]
        case _:
            return False
    return depth > 0 and any(_holds(one, depth - 1) for one in held)


def _named_in(walk: str) -> list[str]:
    """The files that a chapter of ARCHITECTURE.md says are crossed."""
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    chapter = text.partition(f"## {walk}\n")[2].partition("\n## ")[0]
    [crossed] = re.findall(r"^It crosses (.*?)\.$", chapter, re.DOTALL | re.MULTILINE)
    return re.findall(r"`([^`]+)`", crossed)


@contextmanager
def profiled() -> Generator[Crossed]:
    """In this thread, and in those that are started meanwhile."""
    crossed = Crossed()
    threading.setprofile(crossed)
    sys.setprofile(crossed)
    try:
        yield crossed
    finally:
        sys.setprofile(None)
        threading.setprofile(None)


async def test_a_message_crosses_at_most_twelve_files_to_its_reader(tmp_path: Path) -> None:
    async with started(settings_for(tmp_path)) as core:
        token, ada = await core.identity.new_guest("Ada")
        room = (await core.rooms.create(ada, title="A walk", agent=False)).id
    with profiled() as crossed:
        async with (
            open_door(tmp_path) as door,
            door.live(token) as writer,
            door.live(token) as reader,
        ):
            await reader.ask(t="sub", room=room)
            crossed.open = True
            await writer.say(room, WORDS)
            await reader.event("message.created")
            crossed.open = False
    crossed.expect("The walk of one message", BESIDE_MESSAGE)


async def test_a_piece_of_an_api_answer_crosses_at_most_twelve_files_to_its_client(
    models: ScriptedUpstream, tmp_path: Path
) -> None:
    seen = asyncio.Event()
    models.to(HI[0]["content"], stream("one ", WORDS, seen, " three", DONE))
    asked = {"model": "m", "stream": True, "messages": HI}
    got = b""
    with profiled() as crossed:
        async with open_door(tmp_path, openai_base_url=models.base_url) as door:
            crossed.open = True
            async with bare_client(door).stream("POST", CHAT, json=asked) as answer:
                async for part in answer.aiter_raw():
                    got += part
                    if WORDS.encode() in got:
                        crossed.open = False
                        seen.set()
    assert got.endswith(DONE)
    crossed.expect("The walk of one API call", BESIDE_PIECE, LAYERS)
