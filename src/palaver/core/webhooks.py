"""Webhooks as people look after them: made, changed, tried, rotated and taken away.

A secret is told once, when it is made. Who changes a webhook in one process changes it in all: the audit room says so.
"""

import base64
from collections.abc import Sequence

from pydantic import SecretStr

from palaver.core.deliveries import OK, Teller
from palaver.errors import Code, Refused
from palaver.model import AUDITED, Actor, ActorId, EventType, RoomId
from palaver.model.webhooks import Delivery, DeliveryId, DeliveryState, Webhook, WebhookId
from palaver.policy import ServerAct, check_server, webhook_refusal
from palaver.providers.http.addresses import may_be_asked
from palaver.store.columns import INTEGER_MAX
from palaver.store.read import webhooks as stored
from palaver.store.store import Store
from palaver.store.write.profiles import Seal
from palaver.store.write.webhooks import (
    AddTest,
    ChangeWebhook,
    DeleteWebhook,
    MakeWebhook,
    Noted,
    missing,
)

PING = "ping"
URL_CHARS_MAX, ROOMS_MAX = 2_000, 100
NOT_ALLOWED = "This address is not public; the operator allows it with PALAVER_PROFILE_NETWORKS."
BOTH_MS = 24 * 3_600_000
"""So long the secret before holds, too."""
TYPES = tuple(one.value for one in EventType if one not in AUDITED)
"""What a webhook can be told of."""
_ANYBODY = ActorId("")


class Webhooks:
    """The webhooks of one database."""

    def __init__(self, store: Store, teller: Teller, networks: Sequence[str]) -> None:
        """`networks`: what a receiver may have although it is not public."""
        self._store, self.teller, self._clock = store, teller, teller.clock
        self._networks = networks

    # looked after; `actor` None: the operator

    async def listing(self, actor: Actor | None) -> Sequence[Webhook]:
        """One's own, or for who looks after the server all, the oldest first. Refused: `forbidden`."""
        if actor is None:
            return await self._store.read(stored.everybodys)
        check_server(ServerAct.WEBHOOKS, actor.server_role)
        if webhook_refusal(actor.id, actor.server_role, _ANYBODY, steers=False) is None:
            return await self._store.read(stored.everybodys)
        return await self._store.read(stored.of, actor.id)

    async def make(
        self,
        actor: Actor | None,
        owner: ActorId,
        url: str,
        *,
        types: Sequence[str] = (),
        rooms: Sequence[str] = (),
    ) -> tuple[Webhook, str]:
        """Makes a webhook, and its secret, told this once. Empty `types` or `rooms`: all.

        Refused: `forbidden`, `webhook_invalid`, `room_not_found`, `too_many_webhooks`.
        """
        secret, seal = self._sealing()
        making = MakeWebhook(
            id=WebhookId(f"h_{self._clock.new_id()}"),
            by=_by(actor),
            owner=owner,
            url=self._checked_url(url),
            types=_checked_types(types),
            chats=_checked_rooms(rooms),
            secret=seal,
        )
        return await self._store.write(making), secret

    async def change(
        self,
        actor: Actor | None,
        webhook: str,
        *,
        url: str | None = None,
        types: Sequence[str] | None = None,
        rooms: Sequence[str] | None = None,
        enabled: bool | None = None,
    ) -> Webhook:
        """Changes what is given. One that is enabled again goes on where it stopped, as far as the feed goes back.

        Refused: as `make`, `webhook_not_found`.
        """
        changing = ChangeWebhook(
            id=WebhookId(webhook),
            by=_by(actor),
            url=None if url is None else self._checked_url(url),
            types=None if types is None else _checked_types(types),
            chats=None if rooms is None else _checked_rooms(rooms),
            enabled=enabled,
        )
        return await self._store.write(changing)

    async def rotate(self, actor: Actor | None, webhook: str) -> tuple[Webhook, str]:
        """Makes another secret; for a day what is sent is signed with both. Refused: as `change`."""
        secret, seal = self._sealing()
        until_ms = self._clock.now_ms() + BOTH_MS
        id_, by = WebhookId(webhook), _by(actor)
        changing = ChangeWebhook(id=id_, by=by, secret=seal, until_ms=until_ms)
        return await self._store.write(changing), secret

    async def delete(self, actor: Actor | None, webhook: str) -> None:
        """Takes a webhook away. Refused: `webhook_not_found`."""
        await self._store.write(DeleteWebhook(id=WebhookId(webhook), by=_by(actor)))

    async def deliveries(
        self, actor: Actor | None, webhook: str, *, before: int | None = None, limit: int = 50
    ) -> tuple[Sequence[Delivery], int | None]:
        """What it was told and is to be told, the newest first, and the cursor to go on before."""
        found = await self._found(actor, webhook, steers=False)
        end = INTEGER_MAX if before is None else min(before, INTEGER_MAX)
        return await self._store.read(stored.told, found, end, max(1, min(limit, 200)))

    async def test(self, actor: Actor | None, webhook: str) -> Delivery:
        """Tells it a `ping`, also one that is off, once; how that went. Refused: `webhook_not_found`, `forbidden`."""
        found = await self._found(actor, webhook)
        delivery = DeliveryId(f"v_{self._clock.new_id()}")
        await self._store.write(AddTest(webhook=found, delivery=delivery, type=PING))
        return await self._once(found, delivery, None)

    async def replay(self, actor: Actor | None, webhook: str, delivery: str) -> Delivery:
        """Tells it once more what it was told; of what still waits, all at once and in order.

        Refused: `webhook_not_found`, `not_found`, `forbidden`, `webhook_invalid` (it waits, and the webhook is off).
        """
        found = await self._found(actor, webhook)
        return await self._once(found, DeliveryId(delivery), _by(actor))

    async def _once(self, webhook: Webhook, delivery: DeliveryId, by: ActorId | None) -> Delivery:
        found = await self._store.read(stored.due, webhook, delivery)
        if found is None:
            raise Refused(Code.NOT_FOUND, "There is no such delivery of this webhook.")
        was = found.delivery
        if was.state is DeliveryState.WAITING:
            if webhook.ended is not None:
                raise Refused(Code.WEBHOOK_INVALID, "It is told nothing now. Enable it first.")
            await self._store.write(ChangeWebhook(id=webhook.id, by=by, enabled=True))
        else:
            tells = found.event is not None or (was.room is None and was.type == PING)
            attempt = await self.teller.told(webhook, was, found.event) if tells else None
            state = DeliveryState.FAILED if tells else DeliveryState.WITHHELD
            if attempt is not None and attempt.code in OK:
                state = DeliveryState.DONE
            tried = [(was, state, attempt, self._clock.now_ms())]
            failing = False if state is DeliveryState.DONE else None
            await self._store.write(Noted(webhook=webhook, tried=tried, failing=failing))
        now = await self._store.read(stored.due, webhook, delivery)
        return was if now is None else now.delivery

    # inside

    async def _found(self, actor: Actor | None, webhook: str, *, steers: bool = True) -> Webhook:
        role = None if actor is None else actor.server_role
        if actor is not None:
            check_server(ServerAct.WEBHOOKS, role)
        found = await self._store.read(stored.get, WebhookId(webhook))
        if found is None:
            raise missing()
        if refused := webhook_refusal(_by(actor), role, found.owner, steers=steers):
            raise refused
        return found

    def _checked_url(self, text: str) -> str:
        from palaver.providers.http.route import address  # noqa: PLC0415  a server is ready sooner

        url = address(text) if len(text) <= URL_CHARS_MAX else None
        if url is None or url.userinfo:
            words = "The URL is such as https://example.com/hook, without a user name."
            raise Refused(Code.WEBHOOK_INVALID, words)
        if not may_be_asked(url.host, self._networks):
            raise Refused(Code.ADDRESS_NOT_ALLOWED, NOT_ALLOWED)
        return str(url)

    def _sealing(self) -> tuple[str, Seal]:
        """A new secret as it is told, and what seals it."""
        chosen = base64.urlsafe_b64decode(f"{self._clock.secret()}=")
        told = "whsec_" + base64.b64encode(chosen).decode()
        return told, lambda field: self.teller.secret.seal(SecretStr(told), field)


def _by(actor: Actor | None) -> ActorId | None:
    return None if actor is None else actor.id


def _checked_types(types: Sequence[str]) -> Sequence[str]:
    if unknown := sorted({*types}.difference(TYPES)):
        raise Refused(Code.WEBHOOK_INVALID, f"Nothing that happens is called {unknown[0][:60]}.")
    return tuple(dict.fromkeys(types))


def _checked_rooms(rooms: Sequence[str]) -> Sequence[RoomId]:
    if len(rooms) > ROOMS_MAX:
        raise Refused(Code.WEBHOOK_INVALID, f"A webhook names at most {ROOMS_MAX} rooms, or none.")
    return tuple(map(RoomId, dict.fromkeys(rooms)))
