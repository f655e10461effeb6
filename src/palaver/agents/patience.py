"""How long a silent model server is waited for.

Until the first word or thought, then between any two events. Comments that only keep a connection open are no life.
Once an answer has named the reason of its end, the rest (the token counts) is awaited briefly.
"""

import asyncio

TAIL_SECONDS = 2.0
"""How long the token counts may take after the finish reason."""
DRAIN_SECONDS = 0.2
"""How long the end of the body may take after `[DONE]`; a connection that is read to its end is used again."""


class Patience:
    """Until when the next piece of a response is awaited, on the loop's clock. `seconds` is the limit that holds."""

    def __init__(self, first_seconds: float, idle_seconds: float) -> None:
        self._now = asyncio.get_running_loop().time
        self._idle_seconds = idle_seconds
        self._finished = self._over = False
        self.begun = False
        self.seconds = first_seconds
        self.until = self._now() + first_seconds

    def heard(self, *, began: bool, finished: bool, over: bool) -> None:
        """An event came: the answer has begun, has named the reason of its end, is over."""
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
            self.until = self._now() + self._idle_seconds
