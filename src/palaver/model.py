"""The values of Palaver: what a room, a message, an event and a turn are. No JSON, no HTTP, no SQL.

Ids are texts `<prefix>_<32 hex digits of a UUIDv7>`: `r_` room, `m_` message, `t_` turn, `u_` person, `a_` agent,
`s_` system, `x_` exchange, `k_` key; a session's is `d_` and a digest. Times are whole milliseconds since 1970 (UTC),
for showing; order is `seq`, never time.
"""

from collections.abc import Mapping, Sequence
from enum import Enum, StrEnum
from typing import Any, NewType, Required, Self, TypedDict

from msgspec import Struct, field

RoomId = NewType("RoomId", str)
ActorId = NewType("ActorId", str)
MessageId = NewType("MessageId", str)
TurnId = NewType("TurnId", str)
ExchangeId = NewType("ExchangeId", str)
KeyId = NewType("KeyId", str)
PromptId = NewType("PromptId", str)
CredentialId = NewType("CredentialId", str)
"""Of a session (`d_…`) or an API key (`k_…`): by which somebody is here."""

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
    DEVELOPER = "developer"
    TOOL = "tool"


class Kind(StrEnum):
    """What stands in a message.

    `TOOL_CALL` has the arguments as its text and `call_id` and `tool` (the function's name) in its meta, `TOOL_RESULT`
    the output and `call_id`; `ITEM` is something that only its client understands, whole in `meta["item"]`.
    """

    TEXT = "text"
    TOOL_CALL = "tool_call"
    TOOL_RESULT = "tool_result"
    REASONING = "reasoning"
    ITEM = "item"


class Failure(TypedDict, total=False):
    """Why an answer is not whole: a code of `errors.Code`, or one of a program that answered."""

    code: Required[str]
    detail: str
    temporary: bool


Spans = tuple[tuple[int, int], ...]
"""Seqs of a room as inclusive ranges, in their order."""


class Meta(TypedDict, total=False):
    """What a message has beside its text. A key is there where it says something.

    Of an answer, on the first of its messages: `turn`, `exchange` (of an API client), `provider`, `model`, `finish`,
    `usage` (counts of tokens), `ms` (how long it took) and `error`.
    """

    turn: str
    exchange: str
    provider: str
    model: str
    finish: str
    usage: Mapping[str, Any]
    ms: Mapping[str, int]
    error: Failure
    choice: int  # which of several answers to one question, from 0
    reasoning: str  # what the model thought
    refusal: str
    beside: Mapping[str, Any]  # what only the model's server needs
    name: str  # the speaker in an API client's words
    parts: Sequence[Mapping[str, Any]]  # the content, where it is more than one text
    call_id: str
    tool: str
    item: Mapping[str, Any]
    prefix: str  # of the item's public id
    keeps: Sequence[
        Spans
    ]  # of a compaction: what a model is told in front of its text and behind it
    summary: Sequence[Any]  # of what was thought
    encrypted: str | None
    apart: bool  # a tool's call that stood in a message of its own
    context: bool  # what a program says beside its person, in one's name, with the answer that it made up
    message: Mapping[str, Any]  # what else the message had in which a tool was called
    more: Mapping[str, Any]  # fields of an API client's that mean nothing here
    sender: str  # of a client of the classic door, as the two below
    timestamp: Any
    metadata: Mapping[str, Any]


class RoomSettings(TypedDict, total=False):
    """What is set of a room besides its title."""

    made: str  # by which request, of a conversation that may be made twice
    metadata: Mapping[str, Any]  # of a client, shown as it is
    client: Mapping[str, Any]  # what a known program said of its conversation
    tasks: bool  # whether it holds the side tasks of a front end


class Seqs(TypedDict, total=False):
    """Which messages an exchange is made of. Older versions stored no `prompts`.

    `view`, in the order of the request, and `answers` are messages of the room; a negative number of `view` is an
    aside, which the request said and the room does not. `prompts` are those of `view` that are prompts; `asked` the
    digests of the words, and of the last of them, by which a request that goes on is recognised. `request` has the
    asides that are the request's own long values.

    A `view` that begins at 1, where no message is, is of the room as it stood, told question by question. While there
    is no answer, `own` is the first message that the request brought, and `lasting` as in `Exchange`.
    """

    view: Required[Sequence[Sequence[int]]]
    answers: Required[Sequence[int]]
    prompts: Sequence[int]
    asked: Sequence[str]
    request: Mapping[str, int]
    own: int
    lasting: bool


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
    """What a member may do, the most first; `policy` says what that is."""

    OWNER = "owner"
    MODERATOR = "moderator"
    MEMBER = "member"
    READER = "reader"


class TitleSource(StrEnum):
    """Who named a room; a later source in this list is never replaced by an earlier one."""

    NONE = "none"
    FIRST_MESSAGE = "first_message"
    MODEL = "model"
    USER = "user"


class AccessChange(Enum):
    """What an event does to the right to read its room. `TAKEN`: who reads along is asked anew."""

    NONE = "none"
    GIVEN = "given"
    TAKEN = "taken"


class EventType(StrEnum):
    """What can happen in a room, and what that does to the right to read there."""

    access: AccessChange

    def __new__(cls, name: str, access: AccessChange) -> Self:
        """Each type declares both."""
        made = str.__new__(cls, name)
        made._value_ = name
        made.access = access
        return made

    ROOM_CREATED = "room.created", AccessChange.GIVEN
    ROOM_RENAMED = "room.renamed", AccessChange.NONE
    ROOM_DELETED = "room.deleted", AccessChange.TAKEN
    ROOM_RESTORED = "room.restored", AccessChange.GIVEN
    ROOM_ARCHIVED = "room.archived", AccessChange.NONE
    ROOM_UNARCHIVED = "room.unarchived", AccessChange.NONE
    ROOM_TRANSFERRED = "room.transferred", AccessChange.NONE
    MEMBER_JOINED = "member.joined", AccessChange.GIVEN
    MEMBER_RENAMED = "member.renamed", AccessChange.NONE
    MEMBER_LEFT = "member.left", AccessChange.TAKEN
    MEMBER_REMOVED = "member.removed", AccessChange.TAKEN
    MEMBER_ROLE = "member.role", AccessChange.TAKEN
    MESSAGE_CREATED = "message.created", AccessChange.NONE
    MESSAGE_DELETED = "message.deleted", AccessChange.NONE
    MESSAGE_RESTORED = "message.restored", AccessChange.NONE
    # of the audit room
    SESSION_BEGAN = "session.began", AccessChange.NONE
    SESSION_ENDED = "session.ended", AccessChange.NONE
    KEY_CREATED = "key.created", AccessChange.NONE
    KEY_REVOKED = "key.revoked", AccessChange.NONE
    INVITE_CREATED = "invite.created", AccessChange.NONE
    INVITE_USED = "invite.used", AccessChange.NONE
    INVITE_REVOKED = "invite.revoked", AccessChange.NONE


AUDITED = (
    EventType.SESSION_BEGAN,
    EventType.SESSION_ENDED,
    EventType.KEY_CREATED,
    EventType.KEY_REVOKED,
    EventType.INVITE_CREATED,
    EventType.INVITE_USED,
    EventType.INVITE_REVOKED,
)
"""What happens in the audit room and in no other."""


class Actor(Struct, frozen=True, kw_only=True):
    """Who can speak: a person, an agent, the system. `handle`: of who has an account, unique whatever it looks like."""

    id: ActorId
    kind: ActorKind
    name: str
    guest: bool = False
    handle: str | None = None


class AccountStatus(StrEnum):
    """Whether who has an account may use it."""

    ACTIVE = "active"
    DISABLED = "disabled"


class Account(Struct, frozen=True):
    """What makes a person one who can sign in. `used_ms`: the last use of their sessions, about a minute behind."""

    actor: Actor
    status: AccountStatus
    created_ms: int
    used_ms: int | None


class AgentCard(Struct, frozen=True, kw_only=True):
    """What makes an actor an agent. `model` None: the server's default model."""

    actor: Actor
    model: str | None = None
    system_prompt: str = ""
    settings: Mapping[str, Any] = field(default_factory=lambda: NO_DATA)


class Scope(StrEnum):
    """What an API key is good for. `READ` is every call that only reads, `EMBEDDINGS` all that is only passed on.

    With `KEEP_UNSTORED` what its programs ask not to be stored is kept all the same.
    """

    ALL = "all"
    CHAT = "chat"
    RESPONSES = "responses"
    CONVERSATIONS = "conversations"
    EMBEDDINGS = "embeddings"
    READ = "read"
    KEEP_UNSTORED = "keep_unstored"


class TicketKind(StrEnum):
    """What a ticket is good for."""

    DEVICE = "device"
    ROOM = "room"
    RESET = "reset"


class Ticket(Struct, frozen=True):
    """What lets its bearer in, once and before it expires. Its token is shown once and kept as its digest."""

    id: str
    kind: TicketKind
    actor: Actor
    created_ms: int
    expires_ms: int


class Invitation(Struct, frozen=True):
    """What lets its bearers into a room, as what its role says, until it expires. `uses_left` None: any number."""

    id: str
    by: Actor
    room: RoomId
    title: str
    role: MemberRole
    created_ms: int
    expires_ms: int
    uses_left: int | None


class Device(Struct, frozen=True):
    """A device that has a session of an actor's. `name` is None for the one where that actor began.

    `used_ms`, `agent` (the program) and `address` are of the last use that was noted, about a minute behind.
    """

    id: str
    name: str | None
    created_ms: int
    used_ms: int
    expires_ms: int
    agent: str | None
    address: str | None


class SessionUse(Struct, frozen=True):
    """When a session was used, by which program and from which address."""

    at_ms: int
    agent: str
    address: str


class ApiKey(Struct, frozen=True):
    """A key of a program that speaks for `actor`. Its token is known to nobody but its owner.

    `last_used_ms` is about a minute behind.
    """

    id: KeyId
    name: str
    actor: Actor
    scopes: frozenset[Scope]
    created_ms: int
    last_used_ms: int | None = None
    revoked_ms: int | None = None


class Prompt(Struct, frozen=True):
    """A version of a stored prompt, of which requests name the id. Its text has `{{variables}}`."""

    id: PromptId
    version: int
    name: str
    text: str
    created_ms: int


class Room(Struct, frozen=True):
    """A room as one actor sees it. `role` is None for an actor who may not see it.

    `read_seq` and `unread` (messages of others after `read_seq`, at most 100) are the actor's own. `door`: through
    which it was made, where that is not our own page (`openai`); it says who may govern an open room. `parent`: the
    room out of which it came. In an archived room nothing more is said. `muted` and `hidden`: by the actor's own wish.
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
    settings: RoomSettings = field(default_factory=RoomSettings)
    door: str | None = None
    parent: RoomId | None = None
    archived_ms: int | None = None
    muted: bool = False
    hidden: bool = False


class Member(Struct, frozen=True, kw_only=True):
    """Somebody in a room. `auto_respond`: an agent that answers by itself."""

    actor: Actor
    role: MemberRole
    joined_ms: int
    auto_respond: bool


class Entry(Struct, frozen=True, kw_only=True):
    """What is to stand in a room as one message, before it has a place there."""

    role: Role
    kind: Kind = Kind.TEXT
    text: str = ""
    meta: Mapping[str, Any] = field(default_factory=lambda: NO_DATA)


class Message(Struct, frozen=True):
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
    kind: str = "text"  # one of `Kind`, plain because every page has many
    edited_ms: int | None = None
    deleted_ms: int | None = None
    meta: Meta = field(default_factory=Meta)


class Event(Struct, frozen=True):
    """What happened in a room, at `seq`. `message` is set for `MESSAGE_CREATED` only."""

    room: RoomId
    seq: int
    type: EventType
    actor: ActorId | None
    at_ms: int
    message: Message | None = None
    data: Mapping[str, Any] = field(default_factory=lambda: NO_DATA)


def taken_from(event: Event) -> ActorId | None:
    """Whose access an event takes; None for anybody's."""
    member = event.type in {EventType.MEMBER_LEFT, EventType.MEMBER_REMOVED, EventType.MEMBER_ROLE}
    return ActorId(event.data["actor"]) if member else None


def ended_by(event: Event) -> CredentialId | None:
    """The session or key that an event of the audit room ends."""
    match event.type:
        case EventType.SESSION_ENDED:
            return CredentialId(event.data["session"])
        case EventType.KEY_REVOKED:
            return CredentialId(event.data["key"])
        case _:
            return None


def answer_id(first: MessageId, place: int) -> MessageId:
    """The id of the message at a place of an answer whose first message is `first`: known before it is stored."""
    return MessageId(f"m_{int.from_bytes(bytes.fromhex(first[2:])) + place:032x}")


class TurnState(StrEnum):
    """A turn is open until its one message is stored."""

    OPEN = "open"
    ENDED = "ended"


class Turn(Struct, frozen=True):
    """One agent's work on one answer. `message` is the id that its answer will have.

    `trigger_seq` is the seq of the message that is answered; `fence` rises with each claim by a process. An `external`
    one is written by a program or passed through for a client; nobody runs it again.
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
    external: bool = False


class ExchangeKind(StrEnum):
    """What a client of the API asked for."""

    CHAT = "chat"
    RESPONSE = "response"
    MESSAGES = "messages"


class ExchangeState(StrEnum):
    """How far an exchange is."""

    RUNNING = "running"
    COMPLETED = "completed"
    INCOMPLETE = "incomplete"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Exchange(Struct, frozen=True):
    """One request of an API client and its answer. `name` is the upstream's id of a chat completion.

    The messages of the request are the room's at `view`, those of the answer at `answers`; `request` and `response`
    hold the rest. `kept`: the client asked that it can be fetched again. `message` is the id of the answer's first
    message. `lasting`: it runs, and is asked again after a crash, because nobody waits for it.
    """

    id: ExchangeId
    kind: ExchangeKind
    room: RoomId
    actor: ActorId
    model: str
    created_ms: int
    previous: ExchangeId | None
    kept: bool
    request: Mapping[str, Any]
    metadata: Mapping[str, str]
    turn: TurnId
    message: MessageId
    view: Spans = ()
    state: ExchangeState = ExchangeState.RUNNING
    name: str | None = None
    ended_ms: int | None = None
    answers: tuple[int, ...] = ()
    response: Mapping[str, Any] = field(default_factory=lambda: NO_DATA)
    lasting: bool = False


class Page(Struct, frozen=True, kw_only=True):
    """A piece of a room's messages, oldest first; the cursors are None where there is no more."""

    messages: tuple[Message, ...]
    before: int | None
    after: int | None
