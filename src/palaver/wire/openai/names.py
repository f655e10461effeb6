"""Which conversation a request is of, by what its client says beside it: a room, an id of its own, or a side task.

A room is named by `conversation`, the header `X-Palaver-Room`, or `metadata.room`. Ids that programs send by themselves
come in the headers of `PROGRAMS`. A front end asks for titles, tags and the like in requests of known forms (`TASKS`):
they go to one room of their caller's, and not one each.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from starlette.requests import Request

from palaver.model import NO_DATA, Entry, Role, RoomId, Visibility
from palaver.wire.openai.items import Json, as_object, room_id
from palaver.wire.openai.params import room_named, room_of

ROOM_HEADER = "x-palaver-room"
PROGRAMS: tuple[tuple[str, tuple[str, ...], str | None], ...] = (
    ("Claude Code", ("x-claude-code-session-id", "x-claude-code-agent-id"), None),
    ("Codex", ("thread-id",), "session-id"),
    ("opencode", ("x-session-id",), None),
    ("Open WebUI", ("x-openwebui-chat-id",), None),
)
"""The headers that together are a conversation's id (without the first there is none), and that of its session."""
TASKS: tuple[tuple[str, Role, tuple[str, ...], str], ...] = (
    (
        "Open WebUI",
        Role.USER,
        (
            "### Task:\nGenerate ",
            "### Task:\nSuggest ",
            "### Task:\nAnalyze ",
            "### Task:\nYou are an autocompletion",
        ),
        "<chat_history>",
    ),
    (
        "Open WebUI",
        Role.USER,
        ("Your task is to reflect the speaker's", "You have been provided with a set"),
        "",
    ),
    (
        "LibreChat",
        Role.USER,
        (
            "Analyze this conversation and provide:",
            "Provide a concise, 5-word-or-less title",
        ),
        "",
    ),
    ("LobeChat", Role.SYSTEM, ("You are a professional conversation summarizer",), ""),
    ("opencode", Role.SYSTEM, ("You are a title generator.",), ""),
)
"""Who asks, in whose words (a user's: the only message), how those begin, and what else stands in them."""
TASKS_TITLE = "Side tasks"


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """By what a request names its conversation, as `ExchangeRequest` has it."""

    room: RoomId | None = None
    client: str = ""
    about: Mapping[str, object] = field(default_factory=lambda: NO_DATA)
    title: str | None = None


def named(
    request: Request, body: Json, entries: Sequence[Entry], visibility: Visibility, *, whole: bool
) -> Named:
    """What a request says. Refused: a room that is no id, but a `metadata.room` is the client's own business."""
    room = room_of(body)
    header = request.headers.get(ROOM_HEADER)
    metadata = as_object(body.get("metadata"))
    if room is None and header is not None:
        room = room_named(header, None)
    if room is None and isinstance(metadata.get("room"), str):
        room = room_id(metadata["room"])
    if room is not None or not whole:
        return Named(room=room)
    if metadata.get("palaver") == "task" or is_task(entries):
        about = {"tasks": True}
        return Named(client=f"tasks\n{visibility}", about=about, title=TASKS_TITLE)
    for program, headers, session in PROGRAMS:
        ids = [request.headers.get(name, "") for name in headers]
        if ids[0]:
            about = {"program": program, "conversation": "\n".join(filter(None, ids))}
            if session is not None and request.headers.get(session):
                about["session"] = request.headers[session]
            return Named(client="\n".join([program, *ids]), about={"client": about})
    return Named()


def is_task(entries: Sequence[Entry]) -> bool:
    """Whether a request is a side task of a front end, in a form that is known."""
    said = [entry for entry in entries if entry.role is Role.USER]
    if any(entry.role in {Role.ASSISTANT, Role.TOOL} for entry in entries):
        return False
    for _, role, beginnings, holds in TASKS:
        words = [entry.text for entry in entries if entry.role is role]
        if (
            len(words) == 1
            and (len(said) == 1 or role is Role.SYSTEM)
            and words[0].lstrip().startswith(beginnings)
            and holds in words[0]
        ):
            return True
    return False
