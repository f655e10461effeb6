"""How long a silent model server is waited for.

Until the first word or thought, then between any two. Whatever else comes (comments, roles, empty pieces) is a sign of
life, which buys as much time again, but not for ever: so long, and no longer, is waited for words. Once an answer has
named the reason of its end, the rest (the token counts) is awaited briefly.
"""

import asyncio

TAIL_SECONDS = 2.0
"""How long the token counts may take after the finish reason."""
DRAIN_SECONDS = 0.2
"""How long the end of the body may take after `[DONE]`; a connection that is read to its end is used again."""


class Patience:
    """Until when the next piece of a response is awaited, on the loop's clock. `seconds` is the limit that holds."""

    def __init__(
        self, first_seconds: float, idle_seconds: float, alive_seconds: float = 0.0
    ) -> None:
        """`alive_seconds`: how long signs of life are enough."""
        self._now = asyncio.get_running_loop().time
        self._alive_seconds = alive_seconds
        self._said = self._now()
        self._idle_seconds = idle_seconds
        self._finished = self._over = False
        self.begun = False
        self.seconds = first_seconds
        self.until = self._now() + first_seconds

    @property
    def only_alive(self) -> bool:
        """Whether signs of life came until they were enough."""
        return self.until >= self._said + self._alive_seconds > self._said + self.seconds

    def alive(self) -> None:
        """Something came, whatever it says."""
        if not self._finished and not self._over:
            until = min(self._now() + self.seconds, self._said + self._alive_seconds)
            self.until = max(self.until, until)

    def heard(self, *, began: bool, finished: bool, over: bool) -> None:
        """A word came: the answer has begun, has named the reason of its end, is over."""
        if over:
            if not self._over:
                self._over = True
                self.until = self._now() + DRAIN_SECONDS
        elif finished:
            if not self._finished:
                self._finished = True
                self.until = self._now() + min(TAIL_SECONDS, self._idle_seconds)
        elif began:
            self.begun = True
            self.seconds = self._idle_seconds
            self._said = self._now()
            self.until = self._said + self._idle_seconds


class Deadline:
    """Ends a wait that lasts longer than patience does, with `TimeoutError`: `with deadline: await …`.

    One timer for a whole stream, which is set anew only when it has run down: a hundred pieces a second each with a
    timer of its own would cost more than all that is done with them. It ends the task that waits: the first piece may
    be read by another one than the rest. Whoever reads last must call `close`.
    """

    def __init__(self, patience: Patience) -> None:
        self._task: asyncio.Task[object] | None = None
        self._patience = patience
        self._loop = asyncio.get_running_loop()
        self._waiting = self._late = False
        self._cancelling = 0
        self._set()

    def __enter__(self) -> None:
        self._waiting = True
        task = asyncio.current_task()
        if task is not self._task:
            assert task is not None, "it is used in coroutines"
            self._task, self._cancelling = task, task.cancelling()
        if self._patience.until < self._at:
            self._timer.cancel()
            self._set()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: object
    ) -> None:
        self._waiting = False
        if not self._late:
            return
        assert self._task is not None, "it was entered"
        if self._task.uncancel() <= self._cancelling:
            if kind is not None and issubclass(kind, asyncio.CancelledError):
                raise TimeoutError from error
            self._late = False  # it came at the last moment

    def close(self) -> None:
        """The stream is over."""
        self._timer.cancel()

    def _set(self) -> None:
        self._at = self._patience.until
        self._timer = self._loop.call_at(self._at, self._due)

    def _due(self) -> None:
        if self._patience.until > self._loop.time() or not self._waiting:
            self._at = max(self._patience.until, self._loop.time() + 0.01)
            self._timer = self._loop.call_at(self._at, self._due)
        elif not self._late:
            assert self._task is not None, "it waits"
            self._late = True
            self._task.cancel()
