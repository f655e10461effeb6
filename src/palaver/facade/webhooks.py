"""Webhooks as a program looks after them: addresses that are told what happens in the rooms of a person, or in its own.

    hook, secret = await chat.webhooks.add("https://example.com/hook", types=["message.created"])
    print((await chat.webhooks.test(hook)).code)

The secret is told this once. They are told while the program, or a server of the same database, runs.
"""

from collections.abc import AsyncGenerator, Sequence
from typing import Any

from palaver.core.runtime import Core
from palaver.model import Actor
from palaver.model.webhooks import Delivery, Webhook
from palaver.policy import ServerAct, asks


class Webhooks:
    """The webhooks of an open Palaver."""

    def __init__(self, core: Core, program: Actor) -> None:
        self._webhooks, self._program = core.webhooks, program

    @asks(ServerAct.OPERATE)
    async def all(self) -> Sequence[Webhook]:
        """Lists everybody's, the oldest first."""
        return await self._webhooks.listing(None)

    @asks(ServerAct.OPERATE)
    async def add(
        self,
        url: str,
        *,
        owner: Actor | None = None,
        types: Sequence[str] = (),
        rooms: Sequence[str] = (),
    ) -> tuple[Webhook, str]:
        """Makes one that is told what its `owner` may read (by default the program), and its secret.

        `types` such as `message.created` and ids of `rooms`: without any, all of them. Refused: `webhook_invalid`,
        `room_not_found`, `too_many_webhooks`.
        """
        by = self._program if owner is None else owner
        return await self._webhooks.make(None, by.id, url, types=types, rooms=rooms)

    @asks(ServerAct.OPERATE)
    async def change(self, webhook: Webhook, **given: Any) -> Webhook:
        """Changes its `url`, `types` or `rooms`, or whether it is `enabled`. Refused: as `add`, `webhook_not_found`."""
        return await self._webhooks.change(None, webhook.id, **given)

    @asks(ServerAct.OPERATE)
    async def rotate(self, webhook: Webhook) -> str:
        """Gives it another secret; for a day, what is sent is signed with both. Refused: `webhook_not_found`."""
        return (await self._webhooks.rotate(None, webhook.id))[1]

    @asks(ServerAct.OPERATE)
    async def remove(self, webhook: Webhook) -> None:
        """Takes it away, with what it was to be told. Refused: `webhook_not_found`."""
        await self._webhooks.delete(None, webhook.id)

    @asks(ServerAct.OPERATE)
    async def test(self, webhook: Webhook) -> Delivery:
        """Tells it a `chat.palaver.ping`, once: `state`, and the `code` of the answer. Refused: `webhook_not_found`."""
        return await self._webhooks.test(None, webhook.id)

    @asks(ServerAct.OPERATE)
    async def deliveries(self, webhook: Webhook) -> AsyncGenerator[Delivery, None]:
        """Yields what it was told and is to be told, the newest first; some 1,000 are known."""
        before: int | None = None
        while True:
            found, before = await self._webhooks.deliveries(None, webhook.id, before=before)
            for one in found:
                yield one
            if before is None:
                return

    @asks(ServerAct.OPERATE)
    async def replay(self, webhook: Webhook, delivery: Delivery) -> Delivery:
        """Tells it the same again; of what still waits, all at once and in order. Refused: `webhook_not_found`."""
        return await self._webhooks.replay(None, webhook.id, delivery.id)
