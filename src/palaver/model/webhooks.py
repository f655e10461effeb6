"""Webhooks: addresses of programs that are told what happens in rooms, and how telling them went."""

from enum import StrEnum
from typing import NewType

from msgspec import Struct

from palaver.model import ActorId, RoomId

WebhookId = NewType("WebhookId", str)
DeliveryId = NewType("DeliveryId", str)
"""It is the `webhook-id` of each try, by which a receiver knows what came twice."""


class Ending(StrEnum):
    """Why a webhook is told nothing more."""

    OWNER = "owner"  # somebody disabled it
    GONE = "gone"  # its receiver answered 410
    FAILING = "failing"  # nothing was delivered for three days


class DeliveryState(StrEnum):
    """How far a delivery is."""

    WAITING = "waiting"
    DONE = "done"
    FAILED = "failed"  # after all its tries, or a try that somebody asked for
    WITHHELD = "withheld"  # its owner had lost the room, or it was deleted


class Problem(StrEnum):
    """Why a receiver was not asked, where that is why no answer came."""

    ADDRESS = "address_not_allowed"  # it is not public, and the operator does not allow it
    UNSIGNED = "secret_missing"  # nothing can be signed: the file of the secrets is missing


class Webhook(Struct, frozen=True):
    """A webhook, as far in the feed as `position`. Empty `types` or `rooms`: all that its owner may read.

    `sealed`, and until `before_until_ms` also `sealed_before`, hold its secrets, see `store.sealing`. `failing_ms`:
    since when nothing was delivered. `held_ms`: so long it is still the `holder`'s, where several processes deliver.
    """

    id: WebhookId
    key: int
    owner: ActorId
    owner_key: int
    owner_name: str
    url: str
    types: tuple[str, ...]
    rooms: tuple[RoomId, ...]
    ended: Ending | None
    failing_ms: int | None
    position: int
    created_ms: int
    sealed: bytes
    sealed_before: bytes | None
    before_until_ms: int | None
    holder: str | None
    held_ms: int | None


class Delivery(Struct, frozen=True):
    """What is to be told of an event, or was; without a room, a test. `code`: the status of the answer, if any.

    `hurried`: of its `attempts` so many were before it was hurried, from which on its pauses are counted anew.
    """

    id: DeliveryId
    room: RoomId | None
    seq: int
    type: str
    state: DeliveryState
    attempts: int
    hurried: int
    code: int | None
    problem: Problem | None
    took_ms: int | None
    due_ms: int
    created_ms: int


class Attempt(Struct, frozen=True, kw_only=True):
    """How telling went: the status of the answer (None: none came in time, or `problem` says why) and how long."""

    code: int | None
    took_ms: int
    problem: Problem | None = None
