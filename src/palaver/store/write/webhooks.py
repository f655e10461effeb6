"""Keeps webhooks, ends them and takes them away, with the audit room locked; and notes what they took and were told.

A webhook's place in the feed moves in the transaction that keeps what is to be delivered. Where there are several
processes, who moves it has it for `HELD_MS`; whoever is killed loses it.
"""

from collections.abc import Sequence

from sqlalchemy import Connection, bindparam, delete, func, or_, select, update

from palaver.errors import Code, Refused
from palaver.model import AUDIT, ActorId, EventType, RoomId
from palaver.model.webhooks import (
    Attempt,
    Delivery,
    DeliveryId,
    DeliveryState,
    Ending,
    Webhook,
    WebhookId,
)
from palaver.policy import (
    Action,
    ServerAct,
    check,
    check_server,
    room_not_found,
    webhook_refusal,
)
from palaver.store.engine.statement import DatabaseNow, Statement, inserting, matching, updating
from palaver.store.read import accounts, rooms as stored_rooms, webhooks as stored
from palaver.store.schema import deliveries, delivery_waits, feed, webhooks
from palaver.store.write.actors import known_actor, nobody
from palaver.store.write.audit import audit
from palaver.store.write.command import Command, T_co
from palaver.store.write.profiles import SECRET, Seal
from palaver.store.write.transaction import KnownActor, Transaction

OWN_MAX = 20
KEPT_MAX = 1_000
"""So many of a webhook's deliveries are known, beside those that wait."""
HELD_MS = 30_000

_ADD = inserting(webhooks, "id", "owner_key", "url", "chosen", "sealed", "created_ms", "position")
_SET = updating(webhooks.c.id, "url", "chosen")
_END = updating(webhooks.c.id, "ended", where=webhooks.c.ended.is_(None))
_GO_ON = updating(webhooks.c.id, ended=None, failing_ms=None)
_ROTATE = updating(webhooks.c.id, "sealed", "before_until_ms", sealed_before=webhooks.c.sealed)
_FAILING = updating(webhooks.c.id, "failing_ms")
_LAST_FED = Statement(select(func.coalesce(func.max(feed.c.position), 0)))
_COUNT = Statement(select(func.count()).select_from(webhooks))
_of_webhook = deliveries.c.webhook_key == bindparam("webhook_key")
_REMOVE = (
    Statement(delete(deliveries).where(_of_webhook), "webhook_key"),
    matching(delete(webhooks), webhooks.c.key),
)
_moved = (
    update(webhooks)
    .where(webhooks.c.id == bindparam("webhook"), webhooks.c.position == bindparam("since"))
    .values(position=bindparam("new_position"))
    .where(webhooks.c.ended.is_(None))
)
_MOVE = Statement(
    _moved.where(
        or_(
            webhooks.c.holder.is_(None),
            webhooks.c.holder == bindparam("owner"),
            webhooks.c.held_until_ms < DatabaseNow(),
        )
    ).values(holder=bindparam("owner"), held_until_ms=DatabaseNow() + HELD_MS),
    *("webhook", "since", "new_position", "owner"),
    sqlite=_moved,
)
_DELIVER = inserting(
    deliveries,
    *("id", "webhook_key", "room_key", "seq", "type", "state", "attempts", "due_ms", "created_ms"),
)
_NOTE = updating(
    (deliveries.c.id, deliveries.c.state),
    *("state", "code", "problem", "took_ms", "due_ms"),
    attempts=deliveries.c.attempts + 1,
)
_HURRY = Statement(
    update(deliveries)
    .where(_of_webhook, delivery_waits)
    .values(due_ms=0, hurried=deliveries.c.attempts),
    "webhook_key",
)
_cut = (
    select(deliveries.c.key)
    .where(_of_webhook)
    .order_by(deliveries.c.key.desc())
    .offset(bindparam("kept"))
    .limit(1)
    .scalar_subquery()
)
_FORGET = Statement(
    delete(deliveries).where(_of_webhook, deliveries.c.key <= _cut, ~delivery_waits),
    *("webhook_key", "kept"),
)


class OfWebhook(Command[T_co], frozen=True, kw_only=True):
    """Something done to a webhook; `by` None: by the operator."""

    id: WebhookId
    by: ActorId | None

    def rooms(self, conn: Connection) -> Sequence[RoomId]:  # noqa: ARG002  as `Command.rooms`
        return (AUDIT,)

    def _begun(self, tx: Transaction, *, steers: bool) -> tuple[KnownActor | None, Webhook]:
        """Who does it, and the webhook. Refused: `webhook_not_found`, `forbidden`."""
        tx.lock(self.rooms_in(tx))
        by = None if self.by is None else known_actor(tx, self.by, nobody())
        role = None if self.by is None else accounts.role_of(tx.conn, self.by)
        if self.by is not None:
            check_server(ServerAct.WEBHOOKS, role)
        found = stored.get(tx.conn, self.id)
        if found is None:
            raise missing()
        if refused := webhook_refusal(self.by, role, found.owner, steers=steers):
            raise refused
        return by, found

    def _saved(self, tx: Transaction, by: KnownActor | None, owner: ActorId) -> Webhook:
        audit(tx, EventType.WEBHOOK_SAVED, by, webhook=self.id, of=owner)
        found = stored.get(tx.conn, self.id)
        assert found is not None
        return found


class MakeWebhook(OfWebhook[Webhook], frozen=True, kw_only=True):
    """Keeps a new webhook, which is told what happens from now on.

    Refused: `forbidden`, `room_not_found`, `too_many_webhooks`.
    """

    owner: ActorId
    url: str
    types: Sequence[str]
    chats: Sequence[RoomId]
    secret: Seal

    def apply(self, tx: Transaction) -> Webhook:
        tx.lock(self.rooms_in(tx))
        by = None if self.by is None else known_actor(tx, self.by, nobody())
        role = None if self.by is None else accounts.role_of(tx.conn, self.by)
        if refused := webhook_refusal(self.by, role, self.owner):
            raise refused
        owner, most = known_actor(tx, self.owner, nobody()), tx.settings.webhooks_max
        many = len(stored.of(tx.conn, self.owner)) >= OWN_MAX
        if many or _COUNT.value(tx.conn) >= most:
            words = f"A person has at most {OWN_MAX} webhooks, this server {most}."
            raise Refused(Code.TOO_MANY_WEBHOOKS, words)
        tx.used(owner.key)
        _check_chats(tx, self.owner, self.chats)
        chosen, sealed = chosen_of(self.types, self.chats), self.secret(f"{self.id} {SECRET}")
        last = _LAST_FED.value(tx.conn)
        _ADD.run(tx.conn, self.id, owner.key, self.url, chosen, sealed, tx.now_ms, last)
        return self._saved(tx, by, self.owner)


class ChangeWebhook(OfWebhook[Webhook], frozen=True, kw_only=True):
    """Changes what is given. What waits goes to where it is told then, at once if the webhook is enabled.

    Until `until_ms`, the secret before holds beside another one. One that is enabled goes on where it stopped.
    Refused: `webhook_not_found`, `forbidden`, `room_not_found`.
    """

    url: str | None = None
    types: Sequence[str] | None = None
    chats: Sequence[RoomId] | None = None
    enabled: bool | None = None
    secret: Seal | None = None
    until_ms: int = 0

    def apply(self, tx: Transaction) -> Webhook:
        given = any(one is not None for one in (self.url, self.types, self.chats, self.secret))
        by, found = self._begun(tx, steers=given or self.enabled is True)
        if self.enabled is False:
            _end(tx, by, found, Ending.OWNER)
        if not given and not self.enabled:
            return stored.get(tx.conn, self.id) or found
        types = found.types if self.types is None else self.types
        chats = found.rooms if self.chats is None else self.chats
        _check_chats(tx, found.owner, self.chats or ())
        _SET.run(tx.conn, self.url or found.url, chosen_of(types, chats), self.id)
        if self.secret is not None:
            _ROTATE.run(tx.conn, self.secret(f"{self.id} {SECRET}"), self.until_ms, self.id)
        if self.enabled:
            _GO_ON.run(tx.conn, self.id)
            _HURRY.run(tx.conn, found.key)
        return self._saved(tx, by, found.owner)


class DeleteWebhook(OfWebhook[None], frozen=True, kw_only=True):
    """Takes a webhook away, with what waits. Refused: `webhook_not_found`."""

    def apply(self, tx: Transaction) -> None:
        by, found = self._begun(tx, steers=False)
        for removing in _REMOVE:
            removing.run(tx.conn, found.key)
        audit(tx, EventType.WEBHOOK_DELETED, by, webhook=self.id, of=found.owner)


class TakeFed(Command[bool], frozen=True, kw_only=True):
    """Keeps what a webhook is to be told, and how far in the feed it is; False: another process has it."""

    webhook: Webhook
    position: int
    taken: Sequence[tuple[int, int, EventType]]

    def apply(self, tx: Transaction) -> bool:
        hook, now_ms = self.webhook, tx.now_ms
        if not _MOVE.run(tx.conn, hook.id, hook.position, self.position, tx.owner):
            return False
        waits = (DeliveryState.WAITING, 0, now_ms, now_ms)
        rows = [
            (f"v_{tx.clock.new_id()}", hook.key, room_key, seq, type_.value, *waits)
            for room_key, seq, type_ in self.taken
        ]
        _DELIVER.many(tx.conn, rows)
        return True


class AddTest(Command[None], frozen=True, kw_only=True):
    """Keeps a test of a webhook, which is of no room; it is told once."""

    webhook: Webhook
    delivery: DeliveryId
    type: str

    def apply(self, tx: Transaction) -> None:
        row = (0, self.type, DeliveryState.FAILED, 0, tx.now_ms, tx.now_ms)
        _DELIVER.run(tx.conn, self.delivery, self.webhook.key, None, *row)


class Noted(Command[None], frozen=True, kw_only=True):
    """How deliveries are after a try, and when the next one is; only the newest are kept.

    `failing`: whether nothing was delivered, None: that is not to be noted. `ending`: that it is told nothing more.
    """

    webhook: Webhook
    tried: Sequence[tuple[Delivery, DeliveryState, Attempt | None, int]]
    failing: bool | None = None
    ending: Ending | None = None

    def rooms(self, conn: Connection) -> Sequence[RoomId]:  # noqa: ARG002  as `Command.rooms`
        return () if self.ending is None else (AUDIT,)

    def apply(self, tx: Transaction) -> None:
        hook = self.webhook
        if self.ending is not None:
            tx.lock(self.rooms_in(tx))
            _end(tx, None, hook, self.ending)
        for delivery, state, attempt, due_ms in self.tried:
            went = (None, None, None)
            if attempt is not None:
                went = (attempt.code, attempt.problem, attempt.took_ms)
            _NOTE.run(tx.conn, state, *went, due_ms, delivery.id, delivery.state)
        if self.failing is not None and self.failing != (hook.failing_ms is not None):
            _FAILING.run(tx.conn, tx.now_ms if self.failing else None, hook.id)
        _FORGET.run(tx.conn, hook.key, KEPT_MAX)


def _end(tx: Transaction, by: KnownActor | None, webhook: Webhook, why: Ending) -> None:
    """Lets it be told nothing more, and says so; who is told nothing already stays as it is."""
    if _END.run(tx.conn, why, webhook.id):
        named: dict[str, str] = {"webhook": webhook.id, "of": webhook.owner, "why": why.value}
        audit(tx, EventType.WEBHOOK_ENDED, by, **named)


def _check_chats(tx: Transaction, owner: ActorId, chats: Sequence[RoomId]) -> None:
    """Refused: `room_not_found`, also for what the owner may not read."""
    for room in chats:
        found = stored_rooms.get(tx.conn, room, owner)
        if found is None or found.deleted_ms is not None:
            raise room_not_found()
        check(Action.READ, found.role)


def chosen_of(types: Sequence[str], chats: Sequence[RoomId]) -> dict[str, list[str]]:
    """What is chosen, as it is kept."""
    return {name: list(some) for name, some in (("types", types), ("rooms", chats)) if some}


def missing() -> Refused:
    """There is no such webhook, or it is another's."""
    return Refused(Code.WEBHOOK_NOT_FOUND, "There is no such webhook of yours.")
