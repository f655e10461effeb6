"""Which conversation a request is of, by what its client says beside it: a room, an id of its own, or a side task.

A room is named by `conversation`, the header `X-Palaver-Room`, or `metadata.room`. Ids that programs send by themselves
come in the headers of `PROGRAMS`. A program asks for titles, tags and the like in requests of known forms (`TASKS`,
`ASIDES`): they go to one room of their caller's, and not one each. What a program says in its person's name is marked.
"""

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from msgspec.structs import replace

from palaver.core.answers.tape import ExchangeRequest
from palaver.model import Entry, Kind, Role, RoomSettings
from palaver.model.exchanges import ExchangeKind
from palaver.strict_json import Json, as_object
from palaver.wire.openai.items import room_id
from palaver.wire.openai.params import room_named

ROOM_HEADER = "x-palaver-room"
KEPT_DESPITE: RoomSettings = {"client": {"kept_despite": True}}
"""What a room says that was made by a request with `store: false`, which is kept because its key says so."""
AMONG = 8
"""Among so many entries are the folder and the first words of a person."""
FOLDER_CHARS_MAX = 1_000
TITLE_FROM_CHARS = 100_000
_FOLDER = re.compile(r"<cwd>([^<\n]+)</cwd>|[Ww]orking directory: *([^\n]+)")
_BLOCKS = (
    "environment_context|environment_details|system-reminder|user_instructions|INSTRUCTIONS"
    "|skills_instructions"
)
_AROUND = re.compile(
    rf"(?:# AGENTS\.md instructions[^\n]*\s*)?<({_BLOCKS})>.*?(?:</\1>|\Z)"
    r"|^```.*?^```\s*|</?task>",
    re.DOTALL | re.MULTILINE,
)


class Program(NamedTuple):
    """A program that names its conversations by itself.

    `ids` are the headers that together are a conversation's id (without the first there is none), `parent` those of the
    one out of which it comes; `session` is kept beside. `once`: no two of its requests are alike, so that the same
    bytes are always the same request again.
    """

    name: str
    ids: tuple[str, ...]
    session: str | None = None
    parent: tuple[str, ...] = ()
    once: bool = False


_CLAUDE = "x-claude-code-session-id"
PROGRAMS = (
    Program(
        "Claude Code",
        (_CLAUDE, "x-claude-code-agent-id"),
        parent=(_CLAUDE, "x-claude-code-parent-agent-id"),
    ),
    Program("Codex", ("thread-id",), "session-id", parent=("x-codex-parent-thread-id",), once=True),
    Program("opencode", ("x-session-id",), parent=("x-parent-session-id",)),
    Program("Open WebUI", ("x-openwebui-chat-id",)),
)
_WORDS = ("Generate ", "Suggest ", "Analyze ", "You are an autocompletion")
TASKS: tuple[tuple[str, Role, tuple[str, ...], str], ...] = (
    ("Open WebUI", Role.USER, tuple(f"### Task:\n{word}" for word in _WORDS), "<chat_history>"),
    ("Open WebUI", Role.USER, ("Your task is to reflect the speaker's",), ""),
    ("Open WebUI", Role.USER, ("You have been provided with a set",), ""),
    ("LibreChat", Role.USER, ("Analyze this conversation and provide:",), ""),
    ("LibreChat", Role.USER, ("Provide a concise, 5-word-or-less title",), ""),
    ("LobeChat", Role.SYSTEM, ("You are a professional conversation summarizer",), ""),
    ("Claude Code", Role.SYSTEM, ("Generate a concise, sentence-case title",), ""),
    ("opencode", Role.SYSTEM, ("You are a title generator.",), ""),
    ("Continue", Role.USER, ("Given the following... please reply with a title",), ""),
    ("Cline", Role.SYSTEM, ("Summarize the provided coding session into a concise",), ""),
    ("aider", Role.SYSTEM, ("You are an expert software engineer that generates concise",), "diff"),
    ("aider", Role.SYSTEM, ("*Briefly* summarize this partial conversation",), ""),
    ("Zed", Role.USER, ("You are an expert at writing Git commits.",), ""),
)
"""Who asks, in whose words (a user's: the only message), how those begin, and what else stands in them."""
ASIDES = (("Zed", "Generate a concise 3-7 word title for this conversation"),)
"""Who asks, and how the line begins that is put behind a whole conversation."""
TASKS_TITLE = "Side tasks"
_AIDER = "Act as an expert "
_EXAMPLES = "I switched to a new code base. Please don't consider the above files"
_CONTEXT = (
    _EXAMPLES,
    "Here are summaries of some files present in my git repo",
    "I am working with you on code in a git repository.",
    "Here are some READ ONLY files, provided for your reference.",
    "I have *added these files to the chat*",
    "These files have been *added these files to the chat*",
    "I am not sharing ",
    "Don't try and edit any existing code without asking me",
    "I committed the changes with git hash ",
    "I updated the files.",
    "I didn't see any properly formatted edits in your reply?!",
)
"""How aider's own messages begin. It answers each of them itself; before the first stand its examples."""


def named(headers: Mapping[str, str], asked: ExchangeRequest) -> ExchangeRequest:
    """Adds to a request what names its conversation. Refused: a header that is no id of a room.

    A `metadata.room` that is no id is the client's own business.
    """
    entries = marked(asked.entries)
    asked = replace(asked, entries=entries, title=asked.title or title_of(entries))
    room, header = asked.room, headers.get(ROOM_HEADER)
    metadata = as_object(asked.request.get("metadata")) or asked.metadata
    if room is None and header is not None:
        room = room_named(header, ROOM_HEADER)
    if room is None and isinstance(metadata.get("room"), str):
        room = room_id(metadata["room"])
    if room is not None or not asked.whole:
        return replace(asked, room=room)
    if metadata.get("palaver") == "task" or is_task(asked.entries):
        return as_task(asked)
    if asked.kind is ExchangeKind.CHAT and is_aside(asked.entries):
        return as_task(replace(asked, entries=asked.entries[-1:]))
    for program in PROGRAMS:
        ids, parent = (
            [headers.get(name, "") for name in names] for names in (program.ids, program.parent)
        )
        if ids[0]:
            about: Json = {"program": program.name, "conversation": "\n".join(filter(None, ids))}
            if program.session is not None and headers.get(program.session):
                about["session"] = headers[program.session]
            if folder := folder_of(asked.entries):
                about["folder"] = folder
            return replace(
                asked,
                client="\n".join([program.name, *ids]),
                parent="\n".join([program.name, *parent]) if any(parent) and parent != ids else "",
                about={"client": {**asked.about.get("client", {}), **about}},
                repeated=asked.repeated or program.once,
            )
    return asked


def as_task(asked: ExchangeRequest) -> ExchangeRequest:
    """A request as a side task."""
    tasks = f"tasks\n{asked.visibility}"
    return replace(asked, client=tasks, about={"tasks": True}, title=TASKS_TITLE)


def folder_of(entries: Sequence[Entry]) -> str | None:
    """The folder in which a coding agent works, as it tells its model."""
    for entry in entries[:AMONG]:
        found = _FOLDER.search(entry.text) if entry.role is not Role.ASSISTANT else None
        if found is not None:
            return (found[1] or found[2]).strip()[:FOLDER_CHARS_MAX] or None
    return None


def title_of(entries: Sequence[Entry]) -> str | None:
    """The first words of the person, without what their program puts around them; None where all is its own."""
    said = [
        entry.text
        for entry in entries
        if entry.role is Role.USER and entry.kind is Kind.TEXT and not entry.meta.get("context")
    ]
    words = (
        _AROUND.sub("", text[:TITLE_FROM_CHARS]).strip()
        if "<" in text or "```" in text
        else text.strip()
        for text in said[:AMONG]
    )
    return next(filter(None, words), None)


def marked(entries: tuple[Entry, ...]) -> tuple[Entry, ...]:
    """Marks what aider says in its person's name, and its answers to that."""
    if not entries or not entries[0].text.startswith(_AIDER):
        return entries
    found = [*entries]
    for place, (asked, answer) in enumerate(pairwise(entries)):
        own = asked.role is Role.USER and asked.text.startswith(_CONTEXT)
        if own and answer.role is Role.ASSISTANT and answer.text.startswith("Ok"):
            first = 1 if asked.text.startswith(_EXAMPLES) else place
            for at in range(first, place + 2):
                found[at] = replace(entries[at], meta={**entries[at].meta, "context": True})
    return tuple(found)


def is_aside(entries: Sequence[Entry]) -> bool:
    """Whether a request is a whole conversation with a side task behind it."""
    last = entries[-1] if entries else None
    if last is None or last.role is not Role.USER:
        return False
    return any(f"\n{words}" in f"\n{last.text}" for _, words in ASIDES)


def is_task(entries: Sequence[Entry]) -> bool:
    """Whether a request is a side task of a front end, in a form that is known."""
    said = [entry for entry in entries if entry.role is Role.USER]
    if any(entry.role in {Role.ASSISTANT, Role.TOOL} for entry in entries):
        return False
    for _, role, beginnings, holds in TASKS:
        words = [entry.text for entry in entries if entry.role is role]
        alone = len(said) == len(words) == 1 or role is Role.SYSTEM
        if alone and any(one.lstrip().startswith(beginnings) and holds in one for one in words):
            return True
    return False
