"""Sends to receivers of webhooks as Standard Webhooks 1.0 says: https://www.standardwebhooks.com.

What is signed is `<webhook-id>.<webhook-timestamp>.<body>`, with HMAC-SHA256 and each secret that holds. As with
people's own model servers, a name is resolved once, an address that was checked is connected to, nothing goes through a
proxy and no redirect is followed. Of an answer only the status counts: its body is not read, whatever is in it.
"""

import asyncio
import base64
import hashlib
import hmac
from collections.abc import Sequence
from typing import TYPE_CHECKING

import structlog
from pydantic import SecretStr

from palaver.clock import Clock
from palaver.errors import Refused
from palaver.model.webhooks import Attempt, DeliveryId, Problem
from palaver.settings import Settings

if TYPE_CHECKING:
    import httpx2

    from palaver.providers.http.route import Route

SEND_SECONDS = 15.0
PREFIX = "whsec_"
MEDIA_TYPE = "application/cloudevents+json"
STATUS_MAX = 599

log = structlog.stdlib.get_logger()


class WebhookSender:
    """The way to receivers. Connects to nothing yet."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings, self._clock = settings, clock
        self._routes: dict[str, Route] = {}

    async def send(
        self, url: str, secrets: Sequence[SecretStr], delivery: DeliveryId, body: bytes
    ) -> Attempt:
        """Sends a body, signed with each secret. Never raises."""
        began = self._clock.monotonic()
        code, problem = await self._answered(url, secrets, delivery, body)
        took_ms = round((self._clock.monotonic() - began) * 1000)
        return Attempt(code=code, took_ms=took_ms, problem=problem)

    async def close(self) -> None:
        """Ends the connections that are kept."""
        for route in self._routes.values():
            await route.transport.aclose()

    async def _answered(
        self, url: str, secrets: Sequence[SecretStr], delivery: DeliveryId, body: bytes
    ) -> tuple[int | None, Problem | None]:
        """The status that came in time, or why nothing was asked."""
        import httpx2  # noqa: PLC0415  a server is ready sooner without it

        from palaver.providers.http.addresses import NotAllowed  # noqa: PLC0415  as above

        at = str(self._clock.now_ms() // 1000)
        headers = {
            "accept-encoding": "identity",
            "content-type": MEDIA_TYPE,
            "user-agent": "palaver",
            "webhook-id": delivery,
            "webhook-timestamp": at,
            "webhook-signature": " ".join(signed(one, delivery, at, body) for one in secrets),
        }
        request = httpx2.Request("POST", url, content=body, headers=headers)
        try:
            transport = (await self._route(request.url)).transport
            async with asyncio.timeout(SEND_SECONDS):
                response = await transport.handle_async_request(request)
                await response.aclose()
        except (TimeoutError, httpx2.RequestError) as error:
            allowed = not isinstance(error.__cause__, NotAllowed)
            return None, None if allowed else Problem.ADDRESS
        except Refused as refused:  # what the environment says of the way there is of no use
            log.warning("webhook.unusable", why=refused.detail)
            return None, None
        return response.status_code if response.status_code <= STATUS_MAX else None, None

    async def _route(self, url: "httpx2.URL") -> "Route":
        """The way to receivers by http, or by https; it leads to any of them."""
        from palaver.providers.http.addresses import reaches  # noqa: PLC0415  as above
        from palaver.providers.http.route import route_to  # noqa: PLC0415

        if url.scheme not in self._routes:
            may_reach = reaches(self._settings.profile_networks)
            made = await asyncio.to_thread(
                route_to, url, self._settings, variables="", may_reach=may_reach
            )
            self._routes.setdefault(url.scheme, made)
        return self._routes[url.scheme]


def signed(secret: SecretStr, delivery: str, at: str, body: bytes) -> str:
    """The signature of a body that is sent at a time in seconds."""
    key = base64.b64decode(secret.get_secret_value().removeprefix(PREFIX))
    told = hmac.digest(key, b"%s.%s.%s" % (delivery.encode(), at.encode(), body), hashlib.sha256)
    return f"v1,{base64.b64encode(told).decode()}"
