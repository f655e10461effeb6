"""The values of Palaver: what a room, a message, an event and a turn are. No JSON, no HTTP, no SQL.

Ids are texts `<prefix>_<32 hex digits of a UUIDv7>`: `r_` room, `m_` message, `t_` turn, `u_` person, `a_` agent,
`s_` system. Times are whole milliseconds since 1970 (UTC), for showing; order is `seq`, never time.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NewType

RoomId = NewType("RoomId", str)
ActorId = NewType("ActorId", str)
MessageId = NewType("MessageId", str)
TurnId = NewType("TurnId", str)

NO_DATA: Mapping[str, Any] = {}


class ActorKind(StrEnum):
    """Who can speak."""

    PERSON = "person"
    AGENT = "agent"
    SYSTEM = "system"


class Role(StrEnum):
    """What a message is to a model."""

    USER = "user"
    ASSISTANT = "assistant"
    SYSTEM = "system"


class Status(StrEnum):
    """How a message ended. All but `DONE` belong to answers."""

    DONE = "done"
    STOPPED = "stopped"
    INTERRUPTED = "interrupted"
    FAILED = "failed"


class Visibility(StrEnum):
    """Who finds a room: `OPEN` is everyone on this server (the Lobby)."""

    PRIVATE = "private"
    OPEN = "open"


class MemberRole(StrEnum):
    """What a member may do. An owner may also rename and delete the room."""

    OWNER = "owner"
    MEMBER = "member"
    READER = "reader"


class TitleSource(StrEnum):
    """Who named a room; a later source in this list is never replaced by an earlier one."""

    NONE = "none"
    FIRST_MESSAGE = "first_message"
    MODEL = "model"
    USER = "user"


class EventType(StrEnum):
    """What can happen in a room."""

    ROOM_CREATED = "room.created"
    ROOM_RENAMED = "room.renamed"
    ROOM_DELETED = "room.deleted"
    ROOM_RESTORED = "room.restored"
    MEMBER_JOINED = "member.joined"
    MESSAGE_CREATED = "message.created"
    MESSAGE_DELETED = "message.deleted"
    MESSAGE_RESTORED = "message.restored"


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who can speak: a person, an agent, the system."""

    id: ActorId
    kind: ActorKind
    name: str
    guest: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentCard:
    """What makes an actor an agent. `model` None: the server's default model."""

    actor: Actor
    model: str | None = None
    system_prompt: str = ""
    settings: Mapping[str, Any] = field(default_factory=lambda: NO_DATA)


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """A room as one actor sees it. `role` is None for an actor who may not see it.

    `read_seq` and `unread` (messages of others after `read_seq`, at most 100) are the actor's own.
    """

    id: RoomId
    title: str
    title_source: TitleSource
    visibility: Visibility
    seq: int
    created_ms: int
    active_ms: int
    deleted_ms: int | None
    role: MemberRole | None
    read_seq: int
    unread: int
    agents: tuple[Actor, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What an actor said, as it is now. `text` is "" once deleted. `name` is the author's."""

    id: MessageId
    room: RoomId
    seq: int
    author: ActorId
    name: str
    role: Role
    status: Status
    text: str
    created_ms: int
    cid: str | None = None
    reply_to: MessageId | None = None
    branch: int = 0
    kind: str = "text"
    edited_ms: int | None = None
    deleted_ms: int | None = None
    meta: Mapping[str, Any] = field(default_factory=lambda: NO_DATA)


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What happened in a room, at `seq`. `message` is set for `MESSAGE_CREATED` only."""

    room: RoomId
    seq: int
    type: EventType
    actor: ActorId | None
    at_ms: int
    message: Message | None = None
    data: Mapping[str, Any] = field(default_factory=lambda: NO_DATA)


class TurnState(StrEnum):
    """A turn is open until its one message is stored."""

    OPEN = "open"
    ENDED = "ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One agent's work on one answer. `message` is the id that its answer will have.

    `trigger_seq` is the seq of the message that is answered; `fence` rises with each claim by a process.
    """

    id: TurnId
    room: RoomId
    agent: ActorId
    agent_name: str
    trigger_seq: int
    message: MessageId
    state: TurnState
    attempt: int
    fence: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A piece of a room's messages, oldest first; the cursors are None where there is no more."""

    messages: tuple[Message, ...]
    before: int | None
    after: int | None
