"""Hashes passwords with argon2id: 19 MiB, two passes, one lane, in two threads of their own.

So a flood of sign-ins takes two threads and 38 MiB, and not the ones that messages wait for, which Linux runs first;
where there are two processors, one is left alone. Beside those that are hashed 32 may wait, and others are told to come
again. Whoever is unknown costs as much as a wrong password.
"""

import os
import sys
import threading
from base64 import b64encode

from nacl.exceptions import InvalidkeyError
from nacl.pwhash import argon2id

from palaver.errors import Code, Unavailable
from palaver.store.engine.executors import Lanes

PASSES, MEMORY_BYTES = 2, 19 * 1_024 * 1_024
THREADS, WAITING_MAX = 2, 32
NICE = 19
BUSY_MS = 2_000
_NOBODYS = b"$argon2id$v=19$m=%d,t=%d,p=1$%s$%s" % (
    MEMORY_BYTES // 1_024,
    PASSES,
    b64encode(bytes(16)).rstrip(b"="),
    b64encode(bytes(32)).rstrip(b"="),
)
"""A hash of the same cost that no password has."""


class Passwords:
    """The threads, what waits for them, and how many they have `hashed`."""

    def __init__(self, lanes: Lanes) -> None:
        self.threads = max(1, min(THREADS, (os.cpu_count() or 1) - 1))
        opened = _nothing if lanes.shared else _behind_others
        self._lane = lanes.lane("passwords", self.threads, opened, _nothing)
        self._counting = threading.Lock()
        self._under_way = 0
        self.hashed = 0

    async def hash(self, password: bytes) -> bytes:
        """A PHC string. Unavailable: `too_busy`."""
        return await self._run(password, None)

    async def is_right(self, password: bytes, stored: bytes | None) -> bool:
        """Whether this is the password of a PHC string; None is nobody's. Unavailable: `too_busy`."""
        right = await self._run(password, stored or _NOBODYS)
        return bool(right) and stored is not None

    async def close(self) -> None:
        """Ends the threads."""
        await self._lane.close()

    async def _run(self, password: bytes, stored: bytes | None) -> bytes:
        """The new hash, or the `stored` one where the password is its; else nothing."""
        if self._under_way >= self.threads + WAITING_MAX:
            raise Unavailable(
                Code.TOO_BUSY, "Too many are signing in at this moment.", retry_ms=BUSY_MS
            )
        with self._counting:
            self._under_way += 1
        return await self._lane.run(lambda _: self._work(password, stored))

    def _work(self, password: bytes, stored: bytes | None) -> bytes:
        """In a thread. There is room again when this is done, whoever has stopped waiting for it."""
        try:
            if stored is None:
                return _hashed(password)
            return stored if _matches(stored, password) else b""
        finally:
            with self._counting:
                self._under_way -= 1
                self.hashed += 1


def _hashed(password: bytes) -> bytes:
    return argon2id.str(password, opslimit=PASSES, memlimit=MEMORY_BYTES).rstrip(b"\0")


def _matches(stored: bytes, password: bytes) -> bool:
    try:
        return argon2id.verify(stored, password)
    except InvalidkeyError:
        return False


def _behind_others() -> None:
    """Makes this thread the last that gets a processor, where threads have priorities of their own."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)


def _nothing(*_: None) -> None:
    """A thread needs nothing but itself."""
