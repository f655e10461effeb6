"""A receiver of webhooks: a scripted server that keeps what it is told, and says what a test wants of each room."""

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from tests.support.upstream import (
    Head,
    Received,
    Script,
    ScriptedUpstream,
    listening,
)

HEARD_SECONDS_MAX = 60
CLOSES = {"connection": "close"}
"""It does so after each answer; who was not told might send the next into a connection that is closing."""
OK: Script = (Head(status=204, headers=CLOSES, chunked=False),)


class Receiver(ScriptedUpstream):
    """The server. `scripts` are those of rooms, by id; the others get those given to `will`, then `default`."""

    def __init__(self) -> None:
        super().__init__()
        self.default = OK
        self.scripts: dict[str, Script] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    @property
    def told(self) -> Sequence[Mapping[str, Any]]:
        """The events, in the order in which they came."""
        return [json.loads(one.body) for one in self.requests]

    @property
    def ids(self) -> Sequence[str]:
        return [one["id"] for one in self.told]

    async def heard(self, count: int) -> Sequence[Received]:
        """Waits for so many requests in all."""
        async with asyncio.timeout(HEARD_SECONDS_MAX), self._arrived:
            await self._arrived.wait_for(lambda: len(self.requests) >= count)
        return self.requests

    def script_for(self, request: Received) -> Script:
        room = json.loads(request.body).get("partitionkey", "")
        return self.scripts[room] if room in self.scripts else self.next_script()


def answers(status: int, **headers: str) -> Script:
    """An answer without a body."""
    names = CLOSES | {name.replace("_", "-"): value for name, value in headers.items()}
    return (Head(status=status, headers=names, chunked=False),)


@asynccontextmanager
async def receiving() -> AsyncGenerator[Receiver]:
    """A receiver, for as long as the block runs."""
    receiver = Receiver()
    async with listening(receiver):
        yield receiver
