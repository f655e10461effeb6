"""The seam to the world: time, ids and chance.

Nothing else in Palaver asks the machine for them, so that a seeded simulation can replay a life from a number
(promise 15). Waiting goes through asyncio's loop, whose time a simulation replaces as well.
"""

import random
import secrets
import sys
import time
from typing import Protocol

if sys.version_info >= (3, 14):
    from uuid import uuid7
else:
    from uuid_utils import uuid7


class Clock(Protocol):
    """What Palaver asks of the world."""

    def now_ms(self) -> int:
        """Wall time in milliseconds since 1970, UTC. For showing, never for ordering."""
        ...

    def monotonic(self) -> float:
        """Seconds that only rise. For durations and deadlines."""
        ...

    def boottime(self) -> float:
        """Seconds that only rise, also while the machine sleeps. For what others count on meanwhile, as a lease."""
        ...

    def new_id(self) -> str:
        """A new UUIDv7 as 32 lower-case hex digits."""
        ...

    def secret(self) -> str:
        """A new unguessable text of 43 URL-safe characters (256 bits)."""
        ...

    def salt(self) -> bytes:
        """8 random bytes, as `store.hash_chain` uses them."""
        ...

    def chance(self) -> float:
        """A number in [0, 1), for jitter."""
        ...


class SystemClock:
    """The real world."""

    monotonic = staticmethod(time.monotonic)
    chance = staticmethod(random.random)

    def now_ms(self) -> int:
        """See `Clock`."""
        return time.time_ns() // 1_000_000

    def boottime(self) -> float:
        """See `Clock`. macOS counts its sleep in CLOCK_MONOTONIC."""
        return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))

    def new_id(self) -> str:
        """See `Clock`."""
        return uuid7().hex

    def salt(self) -> bytes:
        """See `Clock`."""
        return secrets.token_bytes(8)

    def secret(self) -> str:
        """See `Clock`."""
        return secrets.token_urlsafe(32)
