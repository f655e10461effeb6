"""A client that also takes `accepted` for an answer, and holds the server to it: it must become `stored`."""

import asyncio

from tests.faults.client import SECONDS_MAX, Client, Json, Network
from websockets.asyncio.client import ClientConnection

AGAIN_SECONDS = 0.03


class Talker(Client):
    """One message after the other, each sent again until it is kept."""

    def __init__(self, network: Network, *, name: str, token: str, room: str) -> None:
        super().__init__(network, name=name, token=token, room=room)
        self.accepted: set[str] = set()
        self.outcomes = 0
        self.refusals: dict[str, int] = {}
        self._socket: ClientConnection | None = None

    async def begin(self) -> None:
        """Talks again after it was quiet."""
        self.quiet = False
        self.refusals.clear()
        await self.welcomed(1)
        assert self._socket is not None
        await self._send_more(self._socket)

    async def end(self) -> None:
        """Says nothing more, and waits until all it said is stored."""
        self.quiet = True
        await self.kept()

    async def kept(self) -> None:
        """Waits until everything that was accepted is stored."""
        async with asyncio.timeout(SECONDS_MAX), self.changed:
            await self.changed.wait_for(lambda: not self.accepted and not self.waiting)

    async def told(self, more: int) -> None:
        """Waits for so many answers more, whatever they say."""
        wanted = self.outcomes + more
        async with asyncio.timeout(SECONDS_MAX), self.changed:
            await self.changed.wait_for(lambda: self.outcomes >= wanted)

    async def _talk(self, socket: ClientConnection) -> None:
        self._socket = socket
        await super()._talk(socket)

    def _acknowledged(self, frame: Json) -> None:
        self.outcomes += "id" in frame
        if frame["state"] == "accepted":
            self.accepted.add(frame["cid"])
            self.waiting.pop(frame["cid"], None)
        else:
            super()._acknowledged(frame)
            self.accepted.discard(frame["cid"])

    def _happened(self, event: Json) -> None:
        """An accepted message that was stored while nobody was connected is known by its cid."""
        super()._happened(event)
        cid = event["d"].get("cid")
        if cid in self.accepted:
            self.acks[cid] = event["seq"]
            self.accepted.discard(cid)

    async def _refused(self, socket: ClientConnection, frame: Json) -> None:
        self.outcomes += 1
        self.refusals[frame["code"]] = self.refusals.get(frame["code"], 0) + 1
        await asyncio.sleep(AGAIN_SECONDS)  # a disk that fails at once would make this a busy loop
        await super()._refused(socket, frame)
