"""What clients of the API ask, and what came of it."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, Required, TypedDict

from msgspec import Struct, field

from palaver.model import (
    NO_DATA,
    ActorId,
    CredentialId,
    ExchangeId,
    MessageId,
    RoomId,
    Spans,
    TurnId,
)


class Seqs(TypedDict, total=False):
    """Which messages an exchange is made of. Older versions stored no `prompts`.

    `view`, in the order of the request, and `answers` are messages of the room; a negative number of `view` is an
    aside, which the request said and the room does not. `prompts` are those of `view` that are prompts; `asked` the
    digests of the words, and of the last of them, by which a request that goes on is recognised. `request` has the
    asides that are the request's own long values.

    A `view` that begins at 1, where no message is, is of the room as it stood, told question by question. While there
    is no answer, `own` is the first message that the request brought, and `lasting` and `by` as in `Exchange`.
    """

    view: Required[Sequence[Sequence[int]]]
    answers: Required[Sequence[int]]
    prompts: Sequence[int]
    asked: Sequence[str]
    request: Mapping[str, int]
    own: int
    lasting: bool
    by: CredentialId | None


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
    message. `lasting`: it runs, and is asked again after a crash, because nobody waits for it, if the key `by` which it
    was asked is still good.
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
    by: CredentialId | None = None
