"""Which conversation a request is of, by what its client says beside it: a room, an id of its own, or a side task.

A room is named by `conversation`, the header `X-Palaver-Room`, or `metadata.room`. Ids that programs send by themselves
come in the headers of `PROGRAMS`. A front end asks for titles, tags and the like in requests of known forms (`TASKS`):
they go to one room of their caller's, and not one each.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from palaver.core.answers.tape import ExchangeRequest
from palaver.model import Entry, Role
from palaver.strict_json import as_object
from palaver.wire.openai.items import room_id
from palaver.wire.openai.params import room_named

ROOM_HEADER = "x-palaver-room"
PROGRAMS: tuple[tuple[str, tuple[str, ...], str | None], ...] = (
    ("Claude Code", ("x-claude-code-session-id", "x-claude-code-agent-id"), None),
    ("Codex", ("thread-id",), "session-id"),
    ("opencode", ("x-session-id",), None),
    ("Open WebUI", ("x-openwebui-chat-id",), None),
)
"""The headers that together are a conversation's id (without the first there is none), and that of its session."""
_WORDS = ("Generate ", "Suggest ", "Analyze ", "You are an autocompletion")
TASKS: tuple[tuple[str, Role, tuple[str, ...], str], ...] = (
    ("Open WebUI", Role.USER, tuple(f"### Task:\n{word}" for word in _WORDS), "<chat_history>"),
    ("Open WebUI", Role.USER, ("Your task is to reflect the speaker's",), ""),
    ("Open WebUI", Role.USER, ("You have been provided with a set",), ""),
    ("LibreChat", Role.USER, ("Analyze this conversation and provide:",), ""),
    ("LibreChat", Role.USER, ("Provide a concise, 5-word-or-less title",), ""),
    ("LobeChat", Role.SYSTEM, ("You are a professional conversation summarizer",), ""),
    ("opencode", Role.SYSTEM, ("You are a title generator.",), ""),
)
"""Who asks, in whose words (a user's: the only message), how those begin, and what else stands in them."""
TASKS_TITLE = "Side tasks"


def named(headers: Mapping[str, str], asked: ExchangeRequest) -> ExchangeRequest:
    """Adds to a request what names its conversation. Refused: a header that is no id of a room.

    A `metadata.room` that is no id is the client's own business.
    """
    room, header = asked.room, headers.get(ROOM_HEADER)
    metadata = as_object(asked.request.get("metadata")) or asked.metadata
    if room is None and header is not None:
        room = room_named(header, ROOM_HEADER)
    if room is None and isinstance(metadata.get("room"), str):
        room = room_id(metadata["room"])
    if room is not None or not asked.whole:
        return replace(asked, room=room)
    if metadata.get("palaver") == "task" or is_task(asked.entries):
        tasks = f"tasks\n{asked.visibility}"
        return replace(asked, client=tasks, about={"tasks": True}, title=TASKS_TITLE)
    for program, names, session in PROGRAMS:
        ids = [headers.get(name, "") for name in names]
        if ids[0]:
            about = {"program": program, "conversation": "\n".join(filter(None, ids))}
            if session is not None and headers.get(session):
                about["session"] = headers[session]
            return replace(asked, client="\n".join([program, *ids]), about={"client": about})
    return asked


def is_task(entries: Sequence[Entry]) -> bool:
    """Whether a request is a side task of a front end, in a form that is known."""
    said = [entry for entry in entries if entry.role is Role.USER]
    if any(entry.role in {Role.ASSISTANT, Role.TOOL} for entry in entries):
        return False
    for _, role, beginnings, holds in TASKS:
        words = [entry.text for entry in entries if entry.role is role]
        alone = len(words) == 1 and (len(said) == 1 or role is Role.SYSTEM)
        if alone and words[0].lstrip().startswith(beginnings) and holds in words[0]:
            return True
    return False
