"""The values of Palaver: what a room, a message, an event and a turn are. No JSON, no HTTP, no SQL.

Ids are texts `<prefix>_<32 hex digits of a UUIDv7>`: `r_` room, `m_` message, `t_` turn, `u_` person, `a_` agent,
`s_` system, `x_` exchange, `k_` key, `f_` profile; a session's is `d_` and a digest. Times are whole milliseconds since
1970 (UTC), for showing; order is `seq`, never time.
"""

from collections.abc import Mapping, Sequence
from enum import Enum, StrEnum
from typing import Any, NewType, Required, Self, TypedDict

from msgspec import Struct, field

RoomId = NewType("RoomId", str)
AUDIT = RoomId("r_00000000000070008000006175646974")
"""The audit room, which nobody but commands write to (`store/write/audit`)."""
ActorId = NewType("ActorId", str)
MessageId = NewType("MessageId", str)
TurnId = NewType("TurnId", str)
ExchangeId = NewType("ExchangeId", str)
KeyId = NewType("KeyId", str)
PromptId = NewType("PromptId", str)
CredentialId = NewType("CredentialId", str)
"""Of a session (`d_…`) or an API key (`k_…`): by which somebody is here."""

NO_DATA: Mapping[str, Any] = {}
TOKENS_MAX = 2**53 - 1
"""No count of tokens is above it: JSON knows no larger number for sure."""


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

    Of an answer, on the first of its messages: `turn`, `exchange` (of an API client), `card` (the version of its
    agent's), `settings` (the seq of the event that says what its room has of its own), `provider`, `model`, `finish`,
    `usage` (counts of tokens), `ms` (how long it took) and `error`.
    """

    turn: str
    exchange: str
    card: int
    settings: int
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
    greeting: bool  # whether an agent said so when it came
    mentions: Sequence[str]  # the members whom it names, by their ids
    sender: str  # of a client of the classic door, as the two below
    timestamp: Any
    metadata: Mapping[str, Any]


class RoomSettings(TypedDict, total=False):
    """What is set of a room besides its title."""

    made: str  # by which request, of a conversation that may be made twice
    metadata: Mapping[str, Any]  # of a client, shown as it is
    client: Mapping[str, Any]  # what a known program said of its conversation
    tasks: bool  # whether it holds the side tasks of a front end
    turns: str  # `in_turn`: its agents answer one after the other; else `together`
    chain_max: int  # so many turns follow what a person said
    agent_answers_per_hour: int
    greets: bool  # whether its agents greet when they come, where that is not said: yes


class Status(StrEnum):
    """How a message ended. All but `DONE` belong to answers."""

    DONE = "done"
    STOPPED = "stopped"
    INTERRUPTED = "interrupted"
    FAILED = "failed"


class Visibility(StrEnum):
    """Who finds a room: `OPEN` is everyone on this server (the Lobby), or to whom its owner opens it (`OpenTo`)."""

    PRIVATE = "private"
    OPEN = "open"


class OpenTo(StrEnum):
    """To whom an owner opens a room: `PEOPLE` have accounts, `EVERYONE` is guests, too."""

    PEOPLE = "people"
    EVERYONE = "everyone"


class MemberRole(StrEnum):
    """What a member may do, the most first; `policy` says what that is."""

    OWNER = "owner"
    MODERATOR = "moderator"
    MEMBER = "member"
    READER = "reader"


class Speaks(StrEnum):
    """When an agent answers what people say in a room; agents are answered when they mention one (`speaking`).

    `AUTO` is always while one person may speak there, else when mentioned; `ASKED` is when mentioned, or where a
    question ends the words.
    """

    AUTO = "auto"
    ALWAYS = "always"
    MENTIONED = "mentioned"
    ASKED = "asked"
    NEVER = "never"


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
    ROOM_VISIBILITY = "room.visibility", AccessChange.TAKEN
    ROOM_MOVED = "room.moved", AccessChange.NONE
    ROOM_SETTINGS = "room.settings", AccessChange.NONE
    MEMBER_JOINED = "member.joined", AccessChange.GIVEN
    MEMBER_RENAMED = "member.renamed", AccessChange.NONE
    MEMBER_LEFT = "member.left", AccessChange.TAKEN
    MEMBER_REMOVED = "member.removed", AccessChange.TAKEN
    MEMBER_ROLE = "member.role", AccessChange.TAKEN
    MEMBER_SPEAKS = "member.speaks", AccessChange.NONE
    MEMBER_SETTINGS = "member.settings", AccessChange.NONE
    MESSAGE_CREATED = "message.created", AccessChange.NONE
    MESSAGE_EDITED = "message.edited", AccessChange.NONE
    MESSAGE_DELETED = "message.deleted", AccessChange.NONE
    MESSAGE_RESTORED = "message.restored", AccessChange.NONE
    ROOM_CLEARED = "room.cleared", AccessChange.NONE
    ROOM_UNCLEARED = "room.uncleared", AccessChange.NONE
    MESSAGE_PINNED = "message.pinned", AccessChange.NONE
    MESSAGE_UNPINNED = "message.unpinned", AccessChange.NONE
    BRANCH_CREATED = "branch.created", AccessChange.NONE
    BRANCH_NAMED = "branch.named", AccessChange.NONE
    BRANCH_MAIN = "branch.main", AccessChange.NONE
    BRANCH_DELETED = "branch.deleted", AccessChange.NONE
    BRANCH_RESTORED = "branch.restored", AccessChange.NONE
    REACTION_ADDED = "reaction.added", AccessChange.NONE
    REACTION_REMOVED = "reaction.removed", AccessChange.NONE
    TURN_REFUSED = "turn.refused", AccessChange.NONE
    # of the audit room
    SESSION_BEGAN = "session.began", AccessChange.NONE
    SESSION_ENDED = "session.ended", AccessChange.NONE
    ACCOUNT_CLAIMED = "account.claimed", AccessChange.NONE
    KEY_CREATED = "key.created", AccessChange.NONE
    KEY_REVOKED = "key.revoked", AccessChange.NONE
    INVITE_CREATED = "invite.created", AccessChange.NONE
    INVITE_USED = "invite.used", AccessChange.NONE
    INVITE_REVOKED = "invite.revoked", AccessChange.NONE
    SIGNIN_FAILED = "signin.failed", AccessChange.NONE
    ADMIN_JOINED = "admin.joined", AccessChange.NONE
    ACCOUNT_CREATED = "account.created", AccessChange.NONE
    ACCOUNT_STATUS = "account.status", AccessChange.TAKEN
    ACCOUNT_ROLE = "account.role", AccessChange.NONE
    PASSWORD_CHANGED = "password.changed", AccessChange.NONE
    PASSWORD_RESET = "password.reset", AccessChange.NONE
    IDENTITY_LINKED = "identity.linked", AccessChange.NONE
    IDENTITY_UNLINKED = "identity.unlinked", AccessChange.NONE
    AGENT_SAVED = "agent.saved", AccessChange.NONE
    AGENT_SHARED = "agent.shared", AccessChange.NONE
    PROFILE_SAVED = "profile.saved", AccessChange.TAKEN  # who asks may have had another
    PROFILE_DELETED = "profile.deleted", AccessChange.TAKEN
    WEBHOOK_SAVED = "webhook.saved", AccessChange.NONE
    WEBHOOK_ENDED = "webhook.ended", AccessChange.NONE
    WEBHOOK_DELETED = "webhook.deleted", AccessChange.NONE
    BUDGET_SET = "budget.set", AccessChange.NONE


AUDITED = tuple(EventType)[list(EventType).index(EventType.SESSION_BEGAN) :]
"""What happens in the audit room and in no other."""


class ServerRole(StrEnum):
    """What who has an account may do on the server, beside what its rooms let it do."""

    OWNER = "owner"
    ADMIN = "admin"
    PERSON = "person"


class Actor(Struct, frozen=True, kw_only=True):
    """Who can speak: a person, an agent, the system. `handle`: of who has an account, unique whatever it looks like.

    `server_role` is read with an account, and with who asks, by session or key (`key`); else it is None. `hidden`, read
    with who asks by session: others do not see when they are here.
    """

    id: ActorId
    kind: ActorKind
    name: str
    guest: bool = False
    handle: str | None = None
    avatar: str | None = None
    server_role: ServerRole | None = None
    hidden: bool = False
    key: "ApiKey | None" = None


class AccountStatus(StrEnum):
    """Whether who has an account may use it."""

    ACTIVE = "active"
    PENDING = "pending"  # until an admin approves it: who was a guest goes on as one
    DISABLED = "disabled"
    DELETED = "deleted"  # for good: of whom nothing is known but what they said


class Account(Struct, frozen=True):
    """What makes a person one who can sign in. `used_ms`: the last use of their sessions, about a minute behind."""

    actor: Actor
    status: AccountStatus
    created_ms: int
    used_ms: int | None
    email: str | None


class Scope(StrEnum):
    """What an API key is good for. `ALL` is neither `ADMIN` nor `METRICS`; `READ` is every call that only reads."""

    ALL = "all"
    CHAT = "chat"
    RESPONSES = "responses"
    CONVERSATIONS = "conversations"
    EMBEDDINGS = "embeddings"
    READ = "read"
    ROOMS = "rooms"
    ADMIN = "admin"
    METRICS = "metrics"
    KEEP_UNSTORED = "keep_unstored"


class TicketKind(StrEnum):
    """What a ticket is good for."""

    DEVICE = "device"
    ROOM = "room"
    SERVER = "server"
    RESET = "reset"
    SETUP = "setup"


class Ticket(Struct, frozen=True):
    """What lets its bearer in, once and before it expires. Its token is shown once and kept as its digest."""

    id: str
    kind: TicketKind
    actor: Actor
    created_ms: int
    expires_ms: int


class Invitation(Struct, frozen=True):
    """What lets its bearers into rooms (titles by id) as what its role says, until it expires.

    `server_role`: with an account that has it; None: also guests. `uses_left` None: any number.
    """

    id: str
    by: Actor
    rooms: Mapping[RoomId, str]
    role: MemberRole
    server_role: ServerRole | None
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


class ApiKey(Struct, frozen=True):
    """A key of a program that speaks for `actor`, in these `rooms` only, if any are named."""

    id: KeyId
    name: str
    actor: Actor
    scopes: frozenset[Scope]
    created_ms: int
    last_used_ms: int | None = None
    revoked_ms: int | None = None
    expires_ms: int | None = None
    rooms: frozenset[RoomId] | None = None


class Prompt(Struct, frozen=True):
    """A version of a stored prompt, of which requests name the id. Its text has `{{variables}}`."""

    id: PromptId
    version: int
    name: str
    text: str
    created_ms: int


class Room(Struct, frozen=True):
    """A room as one actor sees it. `role` is None for an actor who may not see it.

    `read_seq` and `unread` (messages of others after `read_seq`, at most 100) are the actor's own, as is the `branch`
    that they look at: the `main_branch`, where they chose none. `branches`: how many were made. `forked`: the room, and
    the seq there, up to which it began with the same messages. `door`: by which it
    was made, if not by our page (`openai`). `parent`: the room under which it stands. `open_to`, `open_role`: to whom
    its owner opened it, as what. `muted`, `hidden`, `pinned`: as the actor wishes. `joined`: whether they are a member.
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
    open_to: OpenTo | None = None
    open_role: MemberRole | None = None
    muted: bool = False
    hidden: bool = False
    joined: bool = False
    pinned: bool = False
    branch: int = 0
    main_branch: int = 0
    branches: int = 0
    forked: tuple[RoomId, int] | None = None


class Member(Struct, frozen=True, kw_only=True):
    """Somebody in a room. `speaks`: when it answers by itself, `for_me`: who asks at all; None for who is no agent."""

    actor: Actor
    role: MemberRole
    joined_ms: int
    speaks: Speaks | None
    for_me: bool | None


class Entry(Struct, frozen=True, kw_only=True):
    """What is to stand in a room as one message, before it has a place there."""

    role: Role
    kind: Kind = Kind.TEXT
    text: str = ""
    meta: Mapping[str, Any] = field(default_factory=lambda: NO_DATA)


class Reaction(Struct, frozen=True):
    """An emoji under a message: how many react so, and `people`, the first of them, and who asks if they do."""

    emoji: str
    count: int
    people: tuple[Actor, ...]


class Message(Struct, frozen=True):
    """What an actor said, as it is now, "" once deleted. `name`: the author's, or of whose account they `became`.

    `reactions`, and whether it is `pinned`, and `starred` by who asks, are told by pages of a room, as it is now.
    """

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
    became: ActorId | None = None
    reactions: tuple[Reaction, ...] = ()
    pinned: bool = False
    starred: bool = False

    @property
    def claimed(self) -> bool:
        """Whether a person says that the assistant said so: as the program of one does, in a room of others, too."""
        return self.role is Role.ASSISTANT and self.author.startswith("u_")


class Event(Struct, frozen=True):
    """What happened in a room, at `seq`. `message`: of `MESSAGE_CREATED` and `MESSAGE_EDITED`, as it is now.

    `data` holds ids and no names. `name`: what who came, was taken out or renamed (`data["actor"]`) is called now.
    """

    room: RoomId
    seq: int
    type: EventType
    actor: ActorId | None
    at_ms: int
    message: Message | None = None
    data: Mapping[str, Any] = field(default_factory=lambda: NO_DATA)
    name: str | None = None


def answer_id(first: MessageId, place: int) -> MessageId:
    """The id of the message at a place of an answer whose first message is `first`: known before it is stored."""
    return MessageId(f"m_{int.from_bytes(bytes.fromhex(first[2:])) + place:032x}")


class TurnRefusal(StrEnum):
    """Why an agent that was asked gives no answer: words of `turn.refused`."""

    CHAIN_BOUND = "chain_bound"  # so many turns have followed what a person said
    HOUR_BOUND = "hour_bound"  # so many answers to agents within an hour
    NOT_ALLOWED = "not_allowed"  # the agent that asked may say nothing there any more
    STOPPED = "stopped"  # somebody stopped the room while it waited for its turn
    NO_RIGHT = "no_right"  # the agent is not for who asked
    BUDGET_REACHED = "budget_reached"  # told with the budget and its end


class TurnState(StrEnum):
    """A turn is open until its one message is stored."""

    OPEN = "open"
    ENDED = "ended"


class Turn(Struct, frozen=True):
    """One agent's work on one answer. `message` is the id that its answer will have.

    `trigger_seq` is the seq of the message that is answered; `fence` rises with each claim by a process. An `external`
    one is written by a program or passed through for a client; nobody runs it again. `depth` counts the turns since
    somebody said what is at `root_seq`, this one too. It is told what was said up to `context_seq`, and begins when the
    turn that it `waits_for` has ended. `model`: that was asked for by name, the `choice`th of several. Its answer is of
    the `branch`.
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
    depth: int = 1
    root_seq: int | None = None
    waits_for: TurnId | None = None
    context_seq: int = 0
    model: str | None = None
    choice: int | None = None
    branch: int = 0


class Page(Struct, frozen=True, kw_only=True):
    """A piece of a room's messages, oldest first; the cursors are None where there is no more.

    `branch`: on whose path they lie.
    """

    messages: tuple[Message, ...]
    before: int | None
    after: int | None
    branch: int = 0


class Then(Struct, frozen=True, kw_only=True):
    """A room as it was just after an `event` in it, whoever did that being `by`.

    `more`: not all `members` are told, each with its role, owners first. Names are those of now.
    """

    event: Event
    by: Actor | None
    title: str
    members: tuple[tuple[Actor, MemberRole], ...]
    more: bool
