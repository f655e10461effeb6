"""What an operator's commands ask of a running server about webhooks: everybody's."""

from typing import TYPE_CHECKING

from palaver.core.runtime import Core
from palaver.policy import ServerAct
from palaver.strict_json import Json, text_of, texts_or_none_of
from palaver.wire.api.webhooks import shape, told
from palaver.wire.calls import call
from palaver.wire.server.people import person_named

if TYPE_CHECKING:
    from palaver.core import maintenance


class WebhookCommands:
    """What an operator may ask of webhooks."""

    def __init__(self, kept: "Core | maintenance.Kept") -> None:
        self._webhooks, self._kept = kept.webhooks, (kept.register, kept.keys)

    @call("command", "webhook.list", ServerAct.OPERATE)
    async def webhooks(self, _: Json) -> Json:
        """Lists everybody's webhooks."""
        return {"webhooks": [shape(one) for one in await self._webhooks.listing(None)]}

    @call("command", "webhook.add", ServerAct.OPERATE)
    async def add_webhook(self, request: Json) -> Json:
        """Makes a webhook, and its secret, told this once."""
        owner = await person_named(*self._kept, text_of(request, "as"))
        url = text_of(request, "url")
        chosen = {name: texts_or_none_of(request, name) or () for name in ("types", "rooms")}
        made, secret = await self._webhooks.make(None, owner.id, url, **chosen)
        return {"webhook": shape(made), "secret": secret}

    @call("command", "webhook.rotate", ServerAct.OPERATE)
    async def rotate_webhook(self, request: Json) -> Json:
        """Makes another secret, told this once."""
        made, secret = await self._webhooks.rotate(None, text_of(request, "webhook"))
        return {"webhook": shape(made), "secret": secret}

    @call("command", "webhook.enable", ServerAct.OPERATE)
    async def enable_webhook(self, request: Json) -> Json:
        """Lets a webhook go on, or tells it nothing more."""
        id_, enabled = text_of(request, "webhook"), request.get("enabled") is True
        return {"webhook": shape(await self._webhooks.change(None, id_, enabled=enabled))}

    @call("command", "webhook.test", ServerAct.OPERATE)
    async def test_webhook(self, request: Json) -> Json:
        """Tells a webhook a ping."""
        return {"delivery": told(await self._webhooks.test(None, text_of(request, "webhook")))}

    @call("command", "webhook.deliveries", ServerAct.OPERATE)
    async def deliveries(self, request: Json) -> Json:
        """Lists what a webhook was told last."""
        id_ = text_of(request, "webhook")
        found, _ = await self._webhooks.deliveries(None, id_, limit=200)
        return {"deliveries": [told(one) for one in found]}

    @call("command", "webhook.replay", ServerAct.OPERATE)
    async def replay(self, request: Json) -> Json:
        """Tells a webhook the same again."""
        id_, delivery = text_of(request, "webhook"), text_of(request, "delivery")
        return {"delivery": told(await self._webhooks.replay(None, id_, delivery))}

    @call("command", "webhook.rm", ServerAct.OPERATE)
    async def remove_webhook(self, request: Json) -> Json:
        """Takes a webhook away."""
        id_ = text_of(request, "webhook")
        await self._webhooks.delete(None, id_)
        return {"deleted": id_}
