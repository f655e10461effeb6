"""Tells webhooks what happens: each event at least once, in the order of each room, and what their owners may read.

Theory of operation. A webhook is a consumer of the feed with a task of its own, so that a receiver that hangs slows no
other one and no room. It keeps what it is to be told with its new place in the feed, in one transaction; then it tells
the oldest of each room that is due. Who dies between an answer and its note tells the same again, with the same id.
What fails is tried again later and holds up what is behind it in its room, not other rooms. While `WAITING_MAX` wait,
nothing more is taken from the feed; nothing is dropped. Rights are those of the moment in which an event is read to be
told.
"""

import asyncio
from collections.abc import Callable, Sequence

import structlog
from pydantic import SecretStr

from palaver.clock import Clock
from palaver.core.consumers import AGAIN_SECONDS, Consumers
from palaver.core.part import Part
from palaver.errors import Unavailable
from palaver.model import AUDIT, Event, EventType
from palaver.model.webhooks import (
    Attempt,
    Delivery,
    DeliveryState,
    Ending,
    Problem,
    Webhook,
    WebhookId,
)
from palaver.providers.webhooks import WebhookSender
from palaver.store.read import webhooks as stored
from palaver.store.sealing import Secret
from palaver.store.store import Store
from palaver.store.write.profiles import SECRET
from palaver.store.write.webhooks import HELD_MS, Noted, TakeFed

RETRY_SECONDS = (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""How long after each try that failed the next one comes; a tenth at most is added by chance."""
FAILING_MS_MAX = 3 * 86_400_000
"""Who has failed for so long is told nothing more."""
SEEN_MAX = 100
"""So far a place in the feed may be behind in which there was nothing to be told."""
OK, GONE = range(200, 300), 410

_CHANGING = frozenset(
    {
        *(EventType.WEBHOOK_SAVED, EventType.WEBHOOK_ENDED, EventType.WEBHOOK_DELETED),
        EventType.ACCOUNT_STATUS,
    }
)

Tell = Callable[[Webhook, Delivery, Event | None], bytes]
"""What is sent of an event, or of a test."""

log = structlog.stdlib.get_logger()


class Teller:
    """Tells a receiver."""

    def __init__(
        self, secret: Secret, clock: Clock, sender: WebhookSender, tell: Tell | None
    ) -> None:
        """Without `tell`, nothing is told here: another process does."""
        self.secret, self.clock, self._sender, self._tell = secret, clock, sender, tell

    @property
    def tells(self) -> bool:
        """Whether something is told here at all."""
        return self._tell is not None

    async def told(self, webhook: Webhook, delivery: Delivery, event: Event | None) -> Attempt:
        """One try. What cannot be signed is not sent."""
        secrets = await asyncio.to_thread(self.secrets, webhook)
        if not secrets or self._tell is None:
            log.warning("webhook.secret_missing", webhook=webhook.id)
            return Attempt(code=None, took_ms=0, problem=Problem.UNSIGNED)
        body = self._tell(webhook, delivery, event)
        return await self._sender.send(webhook.url, secrets, delivery.id, body)

    def secrets(self, webhook: Webhook) -> Sequence[SecretStr]:
        """Those that hold now, as far as they can be read."""
        sealed = [webhook.sealed]
        if webhook.sealed_before and (webhook.before_until_ms or 0) > self.clock.now_ms():
            sealed.append(webhook.sealed_before)
        opened = [self.secret.opened(one, f"{webhook.id} {SECRET}") for one in sealed]
        return [one for one in opened if one is not None]


class Deliveries(Part):
    """Runs the webhooks of a database that are on."""

    def __init__(self, store: Store, teller: Teller, consumers: Consumers) -> None:
        self._store, self._teller, self._consumers = store, teller, consumers
        self._running: dict[WebhookId, Deliverer] = {}
        self._changed = asyncio.Event()

    def committed(self, happened: Sequence[Event]) -> None:
        """Events of the audit room, of this process or another: a webhook may be on, off or another one now."""
        if any(event.room == AUDIT and event.type in _CHANGING for event in happened):
            self._changed.set()

    async def run(self) -> None:
        """Runs those that are on, as long as anything is told here."""
        while self._teller.tells:
            self._changed.clear()
            try:
                found = await self._store.read(stored.everybodys)
            except Unavailable:
                await asyncio.sleep(AGAIN_SECONDS)
                continue
            on = {one.id for one in found if one.ended is None}
            for gone in self._running.keys() - on:
                self._consumers.drop(gone)
                self._running.pop(gone).close()
            for new in sorted(on - self._running.keys()):
                self._running[new] = added = Deliverer(self._store, self._teller, new)
                added.wake = self._consumers.add(added)
            for one in self._running.values():
                one.wake()
            await self._changed.wait()

    def close(self) -> None:
        """Looks no more."""
        for one in self._running.values():
            one.close()


class Deliverer:
    """One webhook as a consumer."""

    def __init__(self, store: Store, teller: Teller, webhook: WebhookId) -> None:
        self.name: str = webhook
        self.wake: Callable[[], None] = _nobody
        self._store, self._teller, self._id = store, teller, webhook
        self._clock = teller.clock
        self._seen = 0
        self._later: asyncio.TimerHandle | None = None

    async def work(self) -> bool:
        """Takes some of the feed, and tells what is due. Unavailable: as the store."""
        begun_ms = self._clock.now_ms()
        found = await self._store.read(stored.next_round, self._id, self._seen, begun_ms)
        if found is None:
            return False
        if self._anothers(found.webhook):
            self._look_again(begun_ms + (found.webhook.held_ms or 0))  # it may be dead by then
            return False
        if not await self._taken(found):
            return True  # it is another's now, or told nothing more
        if found.due:
            await self._tell(found)
        self._look_again(found.due_ms)
        return bool(found.more or found.taken or found.due)

    def close(self) -> None:
        """Looks no more."""
        if self._later is not None:
            self._later.cancel()

    def _anothers(self, webhook: Webhook) -> bool:
        return (webhook.held_ms or 0) > 0 and webhook.holder != self._store.owner

    async def _taken(self, found: stored.Round) -> bool:
        """Keeps what is new; whether this process is the one that tells."""
        hook, position = found.webhook, found.position
        held = not self._store.shared or (hook.held_ms or 0) > HELD_MS * 2 // 3
        if found.taken or position - hook.position >= SEEN_MAX or (found.due and not held):
            command = TakeFed(webhook=hook, position=position, taken=found.taken)
            if not await self._store.write(command):
                return False
        self._seen = position
        return True

    async def _tell(self, found: stored.Round) -> None:
        hook = found.webhook
        async with asyncio.TaskGroup() as tasks:
            told = [(one, tasks.create_task(self._told(hook, one))) for one in found.due]
        tried = [self._judged(one.delivery, task.result()) for one, task in told]
        attempts = [attempt for _, _, attempt, _ in tried if attempt is not None]
        failing = None if not attempts else not any(one.code in OK for one in attempts)
        ending = None
        if any(one.code == GONE for one in attempts):
            ending = Ending.GONE
        elif failing and hook.failing_ms is not None:
            too_long = self._clock.now_ms() - hook.failing_ms >= FAILING_MS_MAX
            ending = Ending.FAILING if too_long else None
        if ending is not None:
            log.warning("webhook.ended", webhook=hook.id, why=ending.value)
        noted = Noted(webhook=hook, tried=tried, failing=failing, ending=ending)
        await self._store.write(noted)

    async def _told(self, webhook: Webhook, due: stored.Due) -> Attempt | None:
        if due.event is None:
            return None
        return await self._teller.told(webhook, due.delivery, due.event)

    def _judged(
        self, delivery: Delivery, attempt: Attempt | None
    ) -> tuple[Delivery, DeliveryState, Attempt | None, int]:
        """What becomes of a delivery, and when it is due again."""
        now_ms, again = self._clock.now_ms(), delivery.attempts - delivery.hurried
        if attempt is None:
            return delivery, DeliveryState.WITHHELD, None, now_ms
        if attempt.code in OK:
            return delivery, DeliveryState.DONE, attempt, now_ms
        if again >= len(RETRY_SECONDS):
            return delivery, DeliveryState.FAILED, attempt, now_ms
        pause_ms = round(RETRY_SECONDS[again] * 1000 * (1 + self._clock.chance() / 10))
        return delivery, DeliveryState.WAITING, attempt, now_ms + pause_ms

    def _look_again(self, due_ms: int | None) -> None:
        self.close()
        if due_ms is not None:
            seconds = max(0, due_ms - self._clock.now_ms()) / 1000
            self._later = asyncio.get_running_loop().call_later(seconds, self.wake)


def _nobody() -> None:
    """Wakes nobody: it does not run yet."""
