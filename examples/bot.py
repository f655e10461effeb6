"""A bot over the live protocol, with `websockets` only: in the Lobby it answers `!roll` and `!roll 20`.

It reconnects for ever, goes on where it was, and says everything exactly once: what is not acknowledged is sent again
under the same `cid`, and the server stores a `cid` once.

    python examples/bot.py http://127.0.0.1:8000
"""

import asyncio
import json
import random
import sys
import urllib.request
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

NAME = "Dice bot"
SIDES_MAX = 1_000

Frame = dict[str, Any]


def reply_to(text: str) -> str | None:
    """What the bot says to a message; None for nothing."""
    word, _, sides = text.partition(" ")
    if word != "!roll":
        return None
    highest = int(sides) if sides.isdecimal() and 0 < int(sides) <= SIDES_MAX else 6
    return f"A die of {highest} sides shows {random.randint(1, highest)}."  # noqa: S311  a game


class Bot:
    """What the bot knows from one connection to the next."""

    def __init__(self, token: str, room: str) -> None:
        self.token = token
        self.room = room
        self.me = ""
        self.epoch: str | None = None
        self.seq: int | None = None  # the last event that was taken
        self.outbox: dict[str, Frame] = {}  # what is not acknowledged yet, by its cid

    async def talk(self, socket: ClientConnection) -> None:
        """One connection: says hello, subscribes from where it was, and answers."""
        await say(socket, t="hello", id=1, v=1, token=self.token)
        async for data in socket:
            frame: Frame = json.loads(data)
            match frame["t"]:
                case "welcome":
                    await self.greeted(socket, frame)
                case "sub":
                    for event in frame.get("events", []):
                        await self.happened(socket, event)
                    self.seq = frame["seq"]
                    print(f"{NAME} listens from {self.seq}", flush=True)
                case "ev":
                    await self.happened(socket, frame)
                case "ack":
                    self.outbox.pop(frame["cid"], None)
                case "err":
                    print(f"refused: {frame['code']}: {frame['detail']}", flush=True)
                case "ping":
                    await say(socket, t="pong")
                case _:
                    pass  # typing, streams and whatever comes in later versions

    async def greeted(self, socket: ClientConnection, welcome: Frame) -> None:
        """Subscribes from where it was, and sends again what may have been lost."""
        if self.epoch != welcome["epoch"]:
            self.seq = None  # another database: what was known of it is void
        self.epoch, self.me = welcome["epoch"], welcome["me"]["id"]
        since = {} if self.seq is None else {"since": self.seq}
        await say(socket, t="sub", id=2, room=self.room, **since)
        for frame in self.outbox.values():
            await say(socket, **frame)

    async def happened(self, socket: ClientConnection, event: Frame) -> None:
        """Answers a message of somebody else's."""
        self.seq = event["seq"]
        if event["k"] != "message.created" or event["by"] == self.me:
            return
        text = reply_to(event["d"]["text"])
        if text is not None:
            message = event["d"]["id"]
            cid = f"reply-{message}"
            frame: Frame = {"t": "send", "id": 3, "room": self.room, "cid": cid}
            frame |= {"text": text, "reply_to": message}
            self.outbox[cid] = frame
            await say(socket, **frame)


async def say(socket: ClientConnection, **frame: object) -> None:
    """Sends one frame."""
    await socket.send(json.dumps(frame))


def call(url: str, body: Frame | None = None, token: str | None = None) -> Frame:
    """One call of the REST door."""
    headers = {"content-type": "application/json"}
    if token is not None:
        headers["authorization"] = f"Bearer {token}"
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, headers)  # noqa: S310  the server's own address
    with urllib.request.urlopen(request) as answer:  # noqa: S310  likewise
        return json.load(answer)


async def main(url: str) -> None:
    """Makes an identity (a real bot would keep its token), finds the Lobby, and stays there."""
    token = call(f"{url}/api/guests", {"name": NAME})["token"]
    rooms = call(f"{url}/api/rooms", token=token)["rooms"]
    bot = Bot(token, next(room["id"] for room in rooms if room["visibility"] == "open"))
    async for socket in connect(f"{url.replace('http', 'ws', 1)}/ws"):
        try:
            await bot.talk(socket)
        except ConnectionClosed:
            continue


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000"))
