"""What can be written: each command is one value, and all of it happens or nothing of it.

A command is applied inside the writer's transaction, together with others (group commit). It checks there, under
the room's lock, what it relies on (that the room is there, that its actor may write), so that no await lies between
a check and its act. A command that is refused writes nothing and does not hurt the others in its batch.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from palaver.errors import Refused
from palaver.model import (
    NO_DATA,
    Actor,
    ActorId,
    AgentCard,
    ApiKey,
    Entry,
    Exchange,
    ExchangeId,
    ExchangeKind,
    ExchangeState,
    KeyId,
    MemberRole,
    Message,
    MessageId,
    Role,
    Room,
    RoomId,
    Spans,
    Status,
    Ticket,
    TicketKind,
    TitleSource,
    Turn,
    TurnId,
    Visibility,
)

T_co = TypeVar("T_co", covariant=True)


class Command(Generic[T_co]):
    """Something to write whose result is a `T_co`."""

    __slots__ = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Added:
    """The stored message. `dup`: it was there already, and nothing was written."""

    message: Message
    dup: bool
    turns: tuple[Turn, ...]
    untitled: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AddMessage(Command[Added]):
    """Appends a message to a room. Refused: `room_not_found`, `message_not_found` (reply_to), `cid_reused`.

    `cid` is unique per author for ever: the same one with the same room, text and reply_to is a duplicate, with another
    one is refused. Without a `cid` the same holds of the `id`. With `answers`, each agent member with `auto_respond`
    gets a turn in the same transaction; a duplicate opens none, and gives those of this process that are still open.
    `created_ms` and `seq` are the store's. Any actor may write to an open room.
    """

    id: MessageId
    room: RoomId
    author: ActorId
    text: str
    cid: str | None = None
    reply_to: MessageId | None = None
    role: Role = Role.USER
    status: Status = Status.DONE
    meta: Mapping[str, Any] = field(default_factory=lambda: NO_DATA)
    answers: bool = False


@dataclass(frozen=True, slots=True)
class AddMessages(Command[tuple[Added | Refused, ...]]):
    """Appends messages to one room in this order, all in one commit; one that is refused hurts none of the others."""

    room: RoomId
    commands: tuple[AddMessage, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishTurn(Command[Message | None]):
    """Stores a turn's one message and ends the turn, if `fence` still matches and the turn is open; else None."""

    turn: TurnId
    fence: int
    status: Status
    text: str
    meta: Mapping[str, Any]

    @property
    def failure(self) -> str | None:
        """The code of what went wrong, where something did."""
        return (self.meta.get("error") or NO_DATA).get("code")


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryTurn(Command[Turn]):
    """Deletes an answer that was not whole (or was) and opens the next attempt at it, owned by this process.

    With `goes_on` the answer stays, and the turn is one that answers it: its agent says what comes next. Refused:
    `message_not_found`, `room_not_found`, `turn_not_retryable` (not an answer of a turn, already deleted), `forbidden`
    (neither who asked for it nor the room's owner).
    """

    message: MessageId
    by: ActorId
    goes_on: bool = False


@dataclass(frozen=True, slots=True)
class Part:
    """What came of a running answer since the part before it; `place` counts them."""

    turn: TurnId
    place: int
    text: str
    reasoning: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepParts(Command[None]):
    """Copies what came of running answers, so that another host can take them over. A turn's end deletes them."""

    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimTurns(Command[tuple[Turn, ...]]):
    """Takes over at most `count` open turns that no living process works on; their fence rises by one.

    On SQLite every turn of another owner is free, because one process owns the file; on PostgreSQL one whose lease
    has run out on the database's clock, or whose owner is known to be `dead`.
    """

    count: int = 100
    dead: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RenewLeases(Command[frozenset[TurnId]]):
    """Prolongs the lease (`LEASE_SECONDS`) of all open turns of this process; which they are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateRoom(Command[Room]):
    """Makes a room with its owner (None: nobody's, such as the Lobby) and its agents (with `auto_respond`).

    The same `id` again gives the room that is there.
    """

    id: RoomId
    title: str
    title_source: TitleSource
    visibility: Visibility
    owner: ActorId | None
    agents: tuple[ActorId, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=lambda: NO_DATA)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeSettings(Command[None]):
    """Sets some of a room's settings, by its owner. Refused: `room_not_found`, `room_protected`, `forbidden`."""

    room: RoomId
    by: ActorId
    settings: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class SetMessageDeleted(Command[bool]):
    """Deletes (undoably) or restores a message; False: it was so already.

    By its author, who asked for it (an answer), or the room's owner. Refused: `message_not_found`, `forbidden`.
    """

    message: MessageId
    by: ActorId
    deleted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AddEntries(Command[tuple[Message, ...]]):
    """Appends entries to a room, all by one author but the assistant's, which are by `agent`.

    Once: entries of `ids` that are there already are given as they are; with `repeated` also the same entries, if they
    were added a short while ago. Refused: `room_not_found`, `forbidden`.
    """

    room: RoomId
    author: ActorId
    agent: ActorId
    entries: tuple[Entry, ...]
    ids: tuple[MessageId, ...]
    repeated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """The exchange and its turn. `dup`: it was there already. `untitled`: its room has no title yet."""

    exchange: Exchange
    turn: Turn | None
    dup: bool
    untitled: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenExchange(Command[Opened]):
    """Stores what is new of a request, and opens the turn of its answer; an exchange of this id is given as it is.

    The room is the given one, or that of the `previous` exchange, or the one that an id of the client's own means
    (`client`: its digest), or the one that the entries go on in, else `new_room`. With `whole` the entries are all that
    was said, and what the room holds of them is not stored again. `repeated`: an exchange of the same actor and body is
    given as it is. Refused: `room_not_found`, `forbidden`, `exchange_not_found` (previous).
    """

    id: ExchangeId
    kind: ExchangeKind
    actor: ActorId
    agent: ActorId
    turn: TurnId
    message: MessageId
    entries: tuple[Entry, ...]
    ids: tuple[MessageId, ...]
    model: str
    request: Mapping[str, Any]
    metadata: Mapping[str, str]
    kept: bool
    body_digest: bytes
    new_room: CreateRoom
    room: RoomId | None = None
    previous: ExchangeId | None = None
    client: bytes = b""
    whole: bool = False
    repeated: bool = False

    def begun(self, room: RoomId, now_ms: int, view: Spans = ()) -> Exchange:
        """The exchange, as it is until its end."""
        return Exchange(
            id=self.id,
            name=None,
            kind=self.kind,
            state=ExchangeState.RUNNING,
            room=room,
            actor=self.actor,
            model=self.model,
            created_ms=now_ms,
            ended_ms=None,
            view=view,
            answers=(),
            previous=self.previous,
            kept=self.kept,
            request=self.request,
            response={},
            metadata=self.metadata,
            turn=self.turn,
            message=self.message,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishExchange(Command[Exchange | None]):
    """Stores an exchange's answer and ends its turn, if `fence` still matches and the turn is open; else None.

    The first entry gets the turn's message id, the others `ids`.
    """

    id: ExchangeId
    fence: int
    state: ExchangeState
    status: Status
    entries: tuple[Entry, ...]
    ids: tuple[MessageId, ...]
    name: str | None
    response: Mapping[str, Any]

    @property
    def failure(self) -> str | None:
        """As `FinishTurn.failure`."""
        return (self.response.get("error") or NO_DATA).get("code")


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeExchange(Command[Exchange]):
    """Sets a kept exchange's metadata (None: leaves it), or forgets it. Refused: `exchange_not_found`."""

    id: ExchangeId
    by: ActorId
    metadata: Mapping[str, str] | None = None
    forget: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenTurn(Command[Turn]):
    """Opens a turn for an answer that a program writes itself. Refused: `room_not_found`, `forbidden`."""

    turn: TurnId
    message: MessageId
    room: RoomId
    agent: ActorId


@dataclass(frozen=True, slots=True, kw_only=True)
class RenameRoom(Command[bool]):
    """Names a room; False, and nothing written, when a later `TitleSource` (in its order) has named it already.

    `by` None is the server itself (a title made by a model). `USER` needs the owner (`forbidden`), whom an open room
    has only where another door made it (`room_protected`).
    """

    room: RoomId
    by: ActorId | None
    title: str
    source: TitleSource


@dataclass(frozen=True, slots=True, kw_only=True)
class SetRoomDeleted(Command[bool]):
    """Deletes (undoably) or restores a room, by those who may name it.

    False: it was so already.
    """

    room: RoomId
    by: ActorId
    deleted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkRead(Command[int]):
    """Sets what an actor has read of a room, which never falls and never passes the room's seq; the new value.

    In an open room this is what makes a person a member. Writes no event.
    """

    room: RoomId
    actor: ActorId
    seq: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AddMember(Command[bool]):
    """Adds an actor to a private room, by its owner; False when it was a member already."""

    room: RoomId
    by: ActorId
    actor: ActorId
    role: MemberRole
    auto_respond: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RenewEpoch(Command[str]):
    """Gives the database a new epoch, unless it is not `known` any more; the one that it has then."""

    known: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AddActor(Command[Actor]):
    """Makes an actor, with the SHA-256 of its session's token where it has one.

    The same `handle` gives the one that is there, and stores no further token. `unused`: a guest who may be deleted
    again as long as nothing of them is kept.
    """

    actor: Actor
    handle: str
    token_sha256: bytes | None = None
    unused: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepGuests(Command[tuple[int, int]]):
    """Deletes guests made before `before_ms` of whom nothing is kept; how many of how many it looked at.

    Those are at most `count`, and each is looked at once: what is kept of the others is kept for ever.
    """

    before_ms: int
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AddTicket(Command[Ticket]):
    """Makes a ticket in the place of the actor's others of its kind, good for a while on the database's clock."""

    id: str
    kind: TicketKind
    actor: ActorId
    token_sha256: bytes
    lasts_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class UseTicket(Command[Actor]):
    """Uses a ticket up and begins a session of its actor, who is the result.

    Refused: `ticket_ended` (used, revoked, expired, or none), `too_many_devices`.
    """

    token_sha256: bytes
    session_sha256: bytes
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EndDevice(Command[bytes | None]):
    """Ends the session on one of the actor's devices, whose token's SHA-256 is the result, or revokes a ticket.

    Refused: `not_found`.
    """

    id: str
    by: ActorId


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepSecret(Command[str]):
    """Keeps what signs the tokens of visitors in all processes of a database; the result is what was kept first."""

    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RenameActor(Command[Actor]):
    """Gives an actor another name, and each of the newest rooms that it is a member of an event that says so."""

    actor: ActorId
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SaveAgent(Command[AgentCard]):
    """Makes or changes an agent, by its unique handle."""

    card: AgentCard
    handle: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AddKey(Command[ApiKey]):
    """Makes an API key of the person with this handle, made as `key.actor` if need be; without one, of `key.actor`.

    Refused: `name_reserved` when the handle is no person's, `not_found` (`key.actor`), `too_many_keys` (without a
    handle, when the person has as many as it may).
    """

    key: ApiKey
    handle: str | None
    token_sha256: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class RevokeKey(Command[ApiKey]):
    """Ends an API key for ever; one that has ended stays as it is. Refused: `not_found`, also for one not of `by`."""

    key: KeyId
    by: ActorId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class KeysUsed(Command[None]):
    """Notes when API keys were last used, which never falls."""

    last_used_ms: Mapping[KeyId, int]
