"""Counts attempts to sign in that failed, of each account and each address, and says when to come again.

An attempt counts from when it begins, so that many at once are no way around the bound, and is taken back when it
succeeds. Kept in the memory of each process: a server of several workers allows as many times more, and a restart
forgets them. Handles that nobody has are counted like others. The oldest of too many is forgotten.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager

from palaver.errors import Code, Unavailable

WINDOW_SECONDS = 15 * 60.0
OF_ACCOUNT_MAX, OF_ADDRESS_MAX = 10, 30
COUNTED_MAX = 20_000


class Attempts:
    """The failures of the last 15 minutes."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._failures: OrderedDict[tuple[str, str], deque[float]] = OrderedDict()

    @contextmanager
    def counted(self, *, account: str, address: str) -> Generator[None, None, None]:
        """An attempt at an account, from an address. It counts unless the block ends well, or could not tell.

        Unavailable: `rate_limited`, with the wait.
        """
        now = self._now()
        bounds = {("account", account): OF_ACCOUNT_MAX, ("address", address): OF_ADDRESS_MAX}
        found = {key: self._of(key, now) for key in bounds}
        waits = [
            its[0] + WINDOW_SECONDS - now for key, its in found.items() if len(its) >= bounds[key]
        ]
        if waits:
            told = "Too many attempts to sign in failed. Come again later."
            raise Unavailable(Code.RATE_LIMITED, told, retry_ms=round(max(waits) * 1_000) + 1)
        for key, its in found.items():
            its.append(now)
            self._failures.pop(key, None)
            self._failures[key] = its
            if len(self._failures) > COUNTED_MAX:
                self._failures.popitem(last=False)
        try:
            yield
        except Unavailable:
            _take_back(found.values(), now)
            raise
        _take_back(found.values(), now)

    def _of(self, key: tuple[str, str], now: float) -> deque[float]:
        """Whoever is told to wait is not noted anew, so that nobody makes others' failures forgotten for nothing."""
        its = self._failures.get(key, deque[float]())
        while its and its[0] <= now - WINDOW_SECONDS:
            its.popleft()
        return its


def _take_back(found: Iterable[deque[float]], at: float) -> None:
    for its in found:
        if at in its:  # unless it was forgotten meanwhile
            its.remove(at)
