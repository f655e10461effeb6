"""REST about webhooks: addresses of programs that are told what happens in the rooms that one may read."""

from typing import Annotated

from pydantic import Field
from typing_extensions import TypedDict

import palaver.model.webhooks as stored
from palaver.core.runtime import Core
from palaver.core.webhooks import TYPES
from palaver.policy import ServerAct
from palaver.wire.api.body import Given, Limit, Whole
from palaver.wire.auth import Me
from palaver.wire.calls import call
from palaver.wire.cloudevents import TYPE
from palaver.wire.edge.rates import Use
from palaver.wire.shapes import Person, explained, moment, moment_or_none

TOLD_DEFAULT = 50

Types = Annotated[list[str], Field(json_schema_extra={"items": {"enum": list(TYPES)}})]


class NewWebhook(Given):
    """A new webhook."""

    url: str
    """Where it is told what happens, by POST; of a public address, unless the operator allows others."""
    types: Types = Field(default=[])
    """What it is told of, such as `message.created`. Default: all that happens."""
    rooms: list[str] = Field(default=[])
    """Of which rooms, at most 100. Default: of all that its owner may read."""


class ChangedWebhook(Given):
    """What is to change of a webhook. Default: it stays as it is."""

    url: str | None = None
    types: Types | None = None
    rooms: list[str] | None = None
    enabled: bool | None = None
    """Whether it is told anything. Again enabled, it goes on where it stopped."""


@explained
class Webhook(TypedDict):
    """A webhook, without its secret."""

    id: str
    owner: Person
    url: str
    types: list[str]
    """Empty: all."""
    rooms: list[str]
    """Empty: all that its owner may read."""
    enabled: bool
    ended: stored.Ending | None
    """Why it is told nothing: `owner`: it was disabled; `gone`: it answered 410; `failing`: it failed three days."""
    failing_since: str | None
    """Since when nothing could be delivered."""
    rotates_until: str | None
    """Until when the secret before holds, too."""
    created_at: str


class Webhooks(TypedDict):
    """Webhooks, the oldest first."""

    webhooks: list[Webhook]


@explained
class MadeWebhook(TypedDict):
    """A webhook with its new secret."""

    webhook: Webhook
    secret: str
    """`whsec_…`, told this once."""


@explained
class Delivery(TypedDict):
    """What a webhook was told, or is to be told."""

    id: str
    """The `webhook-id` that it was sent with."""
    type: str
    room: str | None
    """None: it is a test."""
    seq: int
    state: stored.DeliveryState
    attempts: int
    code: int | None
    """The status of the last answer; None: none came."""
    problem: stored.Problem | None
    """Why it was not asked: `address_not_allowed`: it is not public; `secret_missing`: nothing could be signed."""
    ms: int | None
    """How long the last try took."""
    at: str
    next_at: str | None
    """Of one that waits: when it is tried next."""


class Deliveries(TypedDict):
    """Deliveries, the newest first, and the cursor to go on before."""

    deliveries: list[Delivery]
    before: int | None


class Hooks:
    """The calls about webhooks."""

    def __init__(self, core: Core) -> None:
        self._webhooks = core.webhooks

    @call("GET", "/webhooks", ServerAct.WEBHOOKS)
    async def listing(self, me: Me) -> Webhooks:
        """One's own; for admins and owners all."""
        return {"webhooks": [shape(one) for one in await self._webhooks.listing(me)]}

    @call("POST", "/webhooks", ServerAct.WEBHOOKS, status=201)
    async def create(self, me: Me, body: NewWebhook) -> MadeWebhook:
        """Makes a webhook, which is told what happens from now on. Its secret is shown here and never again."""
        made, secret = await self._webhooks.make(
            me, me.id, body.url, types=body.types, rooms=body.rooms
        )
        return {"webhook": shape(made), "secret": secret}

    @call("PATCH", "/webhooks/{webhook}", ServerAct.WEBHOOKS)
    async def change(self, me: Me, webhook: str, body: ChangedWebhook) -> Webhook:
        """Changes a webhook, at once. Another's, an admin may only disable."""
        return shape(await self._webhooks.change(me, webhook, **body.model_dump()))

    @call("DELETE", "/webhooks/{webhook}", ServerAct.WEBHOOKS, status=204)
    async def delete(self, me: Me, webhook: str) -> None:
        """Takes a webhook away, with what it was to be told."""
        await self._webhooks.delete(me, webhook)

    @call("POST", "/webhooks/{webhook}/rotate", ServerAct.WEBHOOKS)
    async def rotate(self, me: Me, webhook: str) -> MadeWebhook:
        """Makes another secret. For a day, what is sent is signed with both."""
        changed, secret = await self._webhooks.rotate(me, webhook)
        return {"webhook": shape(changed), "secret": secret}

    @call("POST", "/webhooks/{webhook}/test", ServerAct.WEBHOOKS, use=Use.CONNECTIONS)
    async def test(self, me: Me, webhook: str) -> Delivery:
        """Tells a webhook a `chat.palaver.ping`, once, and how that went."""
        return told(await self._webhooks.test(me, webhook))

    @call("GET", "/webhooks/{webhook}/deliveries", ServerAct.WEBHOOKS)
    async def deliveries(
        self, me: Me, webhook: str, *, before: Whole | None = None, limit: Limit = TOLD_DEFAULT
    ) -> Deliveries:
        """What a webhook was told and is to be told, the newest first. Some 1,000 are known."""
        found, more = await self._webhooks.deliveries(me, webhook, before=before, limit=limit)
        return {"deliveries": [told(one) for one in found], "before": more}

    @call(
        *("POST", "/webhooks/{webhook}/deliveries/{delivery}/replay", ServerAct.WEBHOOKS),
        use=Use.CONNECTIONS,
    )
    async def replay(self, me: Me, webhook: str, delivery: str) -> Delivery:
        """Tells a webhook the same again, once. If it still waits, all that waits is tried now, in its order."""
        return told(await self._webhooks.replay(me, webhook, delivery))


def shape(value: stored.Webhook) -> Webhook:
    """Builds the shape of a webhook."""
    return {
        "id": value.id,
        "owner": {"id": value.owner, "name": value.owner_name},
        "url": value.url,
        "types": list(value.types),
        "rooms": list(value.rooms),
        "enabled": value.ended is None,
        "ended": value.ended,
        "failing_since": moment_or_none(value.failing_ms),
        "rotates_until": moment_or_none(value.before_until_ms),
        "created_at": moment(value.created_ms),
    }


def told(value: stored.Delivery) -> Delivery:
    """Builds the shape of a delivery."""
    waits = value.state is stored.DeliveryState.WAITING
    return {
        "id": value.id,
        "type": f"{TYPE}{value.type}",
        "room": value.room,
        "seq": value.seq,
        "state": value.state,
        "attempts": value.attempts,
        "code": value.code,
        "problem": value.problem,
        "ms": value.took_ms,
        "at": moment(value.created_ms),
        "next_at": moment(value.due_ms) if waits else None,
    }
