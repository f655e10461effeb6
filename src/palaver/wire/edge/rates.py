"""How much of what stays one client may make: guests, rooms, messages and live connections.

A token bucket for each client and use, full at first: what a setting allows in its time may come at once and comes
back evenly. A client is an address, of IPv6 its /64. Programs of this machine that ask without a proxy are bounded only
by a setting that the operator gave. The buckets are few: the one that was used longest ago goes, as good as full.
"""

from collections import OrderedDict
from collections.abc import Callable
from enum import Enum

from starlette.types import Scope

from palaver.errors import Code, Unavailable
from palaver.settings import Settings
from palaver.wire.edge.proxies import client_of, is_direct
from palaver.wire.edge.waiting import Allowance

RATES = "palaver.rates"
"""In a scope: the rates of this server."""
BUCKETS_MAX = 20_000


class Use(Enum):
    """What is counted: its words, its setting, the setting's default and seconds."""

    GUESTS = ("new guests", "guests_per_hour", 300, 3_600)
    ROOMS = ("new rooms", "rooms_per_hour", 1_000, 3_600)
    MESSAGES = ("messages", "messages_per_minute", 600, 60)
    CONNECTIONS = ("new connections", "connections_per_minute", 600, 60)


class Rates:
    """The buckets."""

    def __init__(self, settings: Settings, now: Callable[[], float]) -> None:
        self._settings = settings
        self._now = now
        self._buckets: OrderedDict[tuple[Use, str], Allowance] = OrderedDict()

    def take(self, scope: Scope, use: Use) -> None:
        """Counts one use by a request's client. Unavailable: `rate_limited`."""
        words, setting, default, seconds = use.value
        most: int | None = getattr(self._settings, setting)
        if most is None and is_direct(scope):
            return
        most = default if most is None else most
        client = client_of("" if scope.get("client") is None else scope["client"][0])
        now = self._now()
        bucket = self._buckets.pop((use, client), None) or Allowance(most / seconds, now, most)
        self._buckets[use, client] = bucket
        if len(self._buckets) > BUCKETS_MAX:
            self._buckets.popitem(last=False)
        wait_seconds = bucket.wait_seconds(now)
        if wait_seconds:
            told = f"That is too many {words} from one address. Its operator sets how many."
            wait_ms = max(1, round(wait_seconds * 1_000))
            raise Unavailable(Code.RATE_LIMITED, told, retry_ms=wait_ms)
        bucket.take(1)


def take(scope: Scope, use: Use) -> None:
    """Counts one use by a request's client. Unavailable: `rate_limited`."""
    rates: Rates = scope[RATES]
    rates.take(scope, use)
