"""What a connection waits with: a gate and a mailbox, for one connection's few messages.

asyncio's `Event` and `Queue` do the same and keep a deque of 760 bytes for everyone who may ever wait: five of them for
each connection, a fifth of what an idle one takes. These keep nothing while nobody waits and nothing lies there.

Rules: one task at a time takes from a mailbox. A wait that is cancelled takes nothing. Neither has a bound of its own:
who puts something in stops reading first (`transport`).
"""

import asyncio
from typing import Generic, TypeVar

T = TypeVar("T")


class Gate:
    """Open or shut, as `asyncio.Event` is set or not. Begins open."""

    __slots__ = ("_shut", "_waiting")

    def __init__(self) -> None:
        self._shut = False
        self._waiting: list[asyncio.Future[None]] | None = None

    def is_set(self) -> bool:
        """Whether it is open."""
        return not self._shut

    def clear(self) -> None:
        """Shuts it."""
        self._shut = True

    def set(self) -> None:
        """Opens it; everyone who waits goes on."""
        self._shut = False
        waiting, self._waiting = self._waiting, None
        for one in waiting or ():
            if not one.done():
                one.set_result(None)

    async def wait(self) -> None:
        """Returns when it was opened."""
        if self._shut:
            one = asyncio.get_running_loop().create_future()
            self._waiting = [*(self._waiting or ()), one]
            await one


class Mailbox(Generic[T]):
    """Messages in their order, for one task that takes them."""

    __slots__ = ("_messages", "_waiting")

    def __init__(self) -> None:
        self._messages: list[T] = []
        self._waiting: asyncio.Future[None] | None = None

    def empty(self) -> bool:
        """Whether nothing lies there."""
        return not self._messages

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
