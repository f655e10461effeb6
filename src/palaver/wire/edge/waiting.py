"""What a connection waits with: a mailbox, slices of what it is sent, and an allowance.

`asyncio.Queue` does what the mailbox does, and keeps four deques of 760 bytes for those who may wait one day: a seventh
of what an idle connection takes. A mailbox keeps nothing while nobody waits and nothing lies there.

Rules: one task at a time takes from a mailbox. A wait that is cancelled takes nothing. A mailbox has no bound of its
own: who puts something in stops reading first (`protocols`). Between two slices everyone else has a turn.
"""

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

SLICE_BYTES = 16_384
BURST_SECONDS = 10.0

T = TypeVar("T")


class Mailbox(Generic[T]):
    """Messages in their order, for one task that takes them."""

    __slots__ = ("_messages", "_waiting")

    def __init__(self) -> None:
        self._messages: list[T] = []
        self._waiting: asyncio.Future[None] | None = None

    def empty(self) -> bool:
        """Whether nothing lies there."""
        return not self._messages

    @property
    def awaited(self) -> bool:
        """Whether somebody waits for a message."""
        return self._waiting is not None

    def put_nowait(self, message: T) -> None:
        """Puts a message behind the others."""
        self._messages.append(message)
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    async def get(self) -> T:
        """Takes the first message, and waits for it."""
        while not self._messages:
            self._waiting = asyncio.get_running_loop().create_future()
            try:
                await self._waiting
            finally:
                self._waiting = None
        return self._messages.pop(0)


class Intake:
    """What a connection was sent, parsed one slice in each turn of the loop; until all is parsed, nothing more is read.

    A parser goes through all that it is given at once, and uvloop gives it up to 256 KiB, many times in one turn.
    `pause_reading` and `resume_reading` hold back what was read, too: they mean what a transport's mean.
    """

    __slots__ = ("_held", "_parse", "_paused", "_rest", "_transport", "_turn")

    def __init__(self, transport: asyncio.Transport, parse: Callable[[bytes], None]) -> None:
        self._transport = transport
        self._parse = parse
        self._rest = b""
        self._turn: asyncio.Handle | None = None
        self._held = False
        self._paused = False

    def take(self, data: bytes) -> None:
        """Parses the first slice of what was read now, and the others in the turns that follow."""
        self._rest += data
        if self._turn is None:
            self._step()

    def pause_reading(self) -> None:
        """Nothing is parsed or read until `resume_reading`."""
        self._held = True
        self._settle()

    def resume_reading(self) -> None:
        """Goes on with what was read, and then with reading."""
        self._held = False
        self._settle()

    def wait(self, seconds: float) -> None:
        """Nothing is parsed or read for so long."""
        self._drop_turn()
        self._turn = asyncio.get_running_loop().call_later(seconds, self._step)
        self._settle()

    def drop(self) -> None:
        """Forgets what was read and not parsed."""
        self._rest = b""
        self._drop_turn()

    def _step(self) -> None:
        self._turn = None
        if not self._held:
            data = self._rest
            self._rest = data[SLICE_BYTES:]
            self._parse(data[:SLICE_BYTES])
        self._settle()

    def _settle(self) -> None:
        """Takes another turn if there is something to parse, and reads only if there is not."""
        if self._transport.is_closing():
            return
        if self._rest and self._turn is None and not self._held:
            self._turn = asyncio.get_running_loop().call_soon(self._step)
        pause = self._held or self._turn is not None
        if pause != self._paused:
            self._paused = pause
            if pause:
                self._transport.pause_reading()
            else:
                self._transport.resume_reading()

    def _drop_turn(self) -> None:
        if self._turn is not None:
            self._turn.cancel()
            self._turn = None


class Allowance:
    """A token bucket: `rate` a second, `most` at once (else that of `BURST_SECONDS`). What is taken beyond is owed."""

    __slots__ = ("_left", "_most", "_rate", "_then")

    def __init__(self, rate: float, now: float, most: float | None = None) -> None:
        self._rate = rate
        self._most = self._left = rate * BURST_SECONDS if most is None else most
        self._then = now

    def wait_seconds(self, now: float) -> float:
        """How long until something is left; 0 when there is."""
        return max(0.0, (1 - self.left(now)) / self._rate)

    def left(self, now: float) -> float:
        """How much is left; less than nothing is owed."""
        self._left = min(self._most, self._left + (now - self._then) * self._rate)
        self._then = now
        return self._left

    def take(self, amount: float) -> None:
        """Takes so much of it."""
        self._left -= amount
