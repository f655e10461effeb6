"""How much of what stays one client may make: guests, rooms, messages and live connections; and hold of these at once.

A token bucket for each client and use, full at first: what a setting allows in its time may come at once and comes
back evenly. A client is an address, of IPv6 its /64. Programs of this machine that ask without a proxy are bounded only
by a setting that the operator gave. Messages are counted of persons and guests, too, where settings say how many. The
buckets are few: the one that was used longest ago goes, as good as full.
"""

from collections import Counter, OrderedDict
from collections.abc import Callable
from enum import Enum

from starlette.types import Scope

from palaver.errors import Code, Unavailable
from palaver.model import Actor, ServerRole
from palaver.settings import Settings
from palaver.wire.edge.proxies import client_of, is_direct
from palaver.wire.edge.waiting import Allowance

RATES = "palaver.rates"
"""In a scope: the rates of this server."""
HELD = "palaver.held"
"""In a scope: whose live connections it is counted among until its end."""
BUCKETS_MAX = 20_000
HELD_MAX, FREE_MS = 1_000, 30_000
"""So many live connections one client has open at once, and when one that is refused should come again."""


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
        self._held: Counter[str] = Counter()

    def take(self, scope: Scope, use: Use) -> None:
        """Counts one use by a request's client. Unavailable: `rate_limited`."""
        found = self._bucket(scope, use)
        if found is not None:
            self._take(found[1], f"{use.value[0]} from one address")

    def hold(self, scope: Scope) -> None:
        """Counts a request as an open live connection, until `release`. Unavailable: `too_many_connections`."""
        most = _most(scope, self._settings.connections_per_address, HELD_MAX)
        if most is None:
            return
        client = _client(scope)
        if self._held[client] >= most:
            told = "Too many live connections of one address are open. Close some."
            raise Unavailable(Code.TOO_MANY_CONNECTIONS, told, retry_ms=FREE_MS)
        self._held[client] += 1
        scope[HELD].append(client)

    def release(self, scope: Scope) -> None:
        """A request is over."""
        self._held.subtract(scope[HELD])
        self._held += Counter()  # without those of whom there are none

    def take_by(self, by: Actor) -> None:
        """Counts a message of somebody's, from wherever: not of admins and owners. Unavailable: `rate_limited`."""
        settings = self._settings
        most = (
            settings.guest_messages_per_minute if by.guest else settings.person_messages_per_minute
        )
        if most is not None and by.server_role not in {ServerRole.OWNER, ServerRole.ADMIN}:
            self._take(self._of(Use.MESSAGES, by.id, most), "messages of yours")

    def _take(self, bucket: Allowance, what: str) -> None:
        wait_seconds = bucket.wait_seconds(self._now())
        if wait_seconds:
            told = f"That is too many {what}. The server's operator sets how many."
            wait_ms = max(1, round(wait_seconds * 1_000))
            raise Unavailable(Code.RATE_LIMITED, told, retry_ms=wait_ms)
        bucket.take(1)

    def left(self, scope: Scope, use: Use) -> tuple[int, int] | None:
        """How many uses a request's client may make at once, and how many now; None: any number."""
        found = self._bucket(scope, use)
        return None if found is None else (found[0], int(found[1].left(self._now())))

    def _bucket(self, scope: Scope, use: Use) -> tuple[int, Allowance] | None:
        _, setting, default, _ = use.value
        most = _most(scope, getattr(self._settings, setting), default)
        return None if most is None else (most, self._of(use, _client(scope), most))

    def _of(self, use: Use, whose: str, most: int) -> Allowance:
        now = self._now()
        bucket = self._buckets.pop((use, whose), None) or Allowance(most / use.value[3], now, most)
        self._buckets[use, whose] = bucket
        if len(self._buckets) > BUCKETS_MAX:
            self._buckets.popitem(last=False)
        return bucket


def _most(scope: Scope, given: int | None, default: int) -> int | None:
    """A bound of a request's client; None: there is none."""
    return default if given is None and not is_direct(scope) else given


def _client(scope: Scope) -> str:
    return client_of("" if scope.get("client") is None else scope["client"][0])


def hold(scope: Scope) -> None:
    """Counts a request as an open live connection until its end. Unavailable: `too_many_connections`."""
    rates: Rates = scope[RATES]
    rates.hold(scope)


def take(scope: Scope, use: Use) -> None:
    """Counts one use by a request's client. Unavailable: `rate_limited`."""
    rates: Rates = scope[RATES]
    rates.take(scope, use)


def take_by(scope: Scope, by: Actor) -> None:
    """Counts a message of somebody's. Unavailable: `rate_limited`."""
    rates: Rates = scope[RATES]
    rates.take_by(by)


def left_of(scope: Scope, use: Use) -> tuple[int, int] | None:
    """How many uses a request's client may make at once, and how many now; None: any number."""
    rates: Rates = scope[RATES]
    return rates.left(scope, use)
