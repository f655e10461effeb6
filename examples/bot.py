"""A bot over `palaver.v1`: an agent for which this program answers. `palaver key create --agent dice` tells its key.

python examples/bot.py http://127.0.0.1:8000 plv_…     # then add Dice to a chat, and say: @dice 20
"""

import asyncio
import json
import random
import sys
from contextlib import suppress
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed


async def answer(socket: ClientConnection, turn: str, asked: str) -> None:
    """Says at once what is being done, and ends with the whole text, which is stored once however often it comes."""
    sides = next((int(word) for word in asked.split() if word.isdecimal() and int(word)), 6)
    shown = f"A die of {sides} sides shows {random.randint(1, sides)}."  # noqa: S311  a game
    await socket.send(json.dumps({"t": "turn.d", "turn": turn, "n": 1, "x": "The die rolls … "}))
    await socket.send(json.dumps({"t": "turn.end", "id": 2, "turn": turn, "text": shown}))


async def main(url: str, key: str) -> None:
    """Stays connected, for ever. After each `hello` it hears what it was asked meanwhile, and what waits still."""
    async for socket in connect(f"{url.replace('http', 'ws', 1)}/ws"):
        with suppress(ConnectionClosed):
            await socket.send(json.dumps({"t": "hello", "id": 1, "v": 1, "token": key}))
            async for frame in socket:
                told: dict[str, Any] = json.loads(frame)
                if told["t"] == "turn":
                    await answer(socket, told["turn"], told["trigger"]["text"])
                elif told["t"] == "ping":
                    await socket.send('{"t": "pong"}')
                else:
                    print(frame, flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:3]))
