"""The floor under the live benchmarks: uvicorn with a queue for each client, and nothing else.

It acknowledges what is sent over a WebSocket without storing it, and copies it to everybody; a plain request gets an
empty answer. `python -m benchmarks.floor` serves on a free port, prints the URL and runs until its input is closed.
"""

import asyncio
import socket
import sys
from typing import Any

import orjson
import uvicorn
import uvloop


class Floor:
    """The ASGI application."""

    def __init__(self) -> None:
        self._queues: set[asyncio.Queue[str]] = set()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serves one connection or request."""
        if scope["type"] == "http":
            headers = [(b"content-length", b"0")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body"})
            return
        await receive()
        await send({"type": "websocket.accept"})
        queue: asyncio.Queue[str] = asyncio.Queue()
        self._queues.add(queue)
        async with asyncio.TaskGroup() as tasks:
            writing = tasks.create_task(self._write(queue, send))
            while (message := await receive())["type"] == "websocket.receive":
                self._take(orjson.loads(message["text"]), queue)
            self._queues.discard(queue)
            writing.cancel()

    def _take(self, frame: dict[str, Any], queue: "asyncio.Queue[str]") -> None:
        match frame["t"]:
            case "hello":
                queue.put_nowait('{"t":"welcome","id":1}')
            case "sub":
                queue.put_nowait('{"t":"sub","id":2}')
            case _:
                reply = {"t": "ack", "cid": frame["cid"], "state": "stored", "seq": 1, "dup": False}
                queue.put_nowait(orjson.dumps(reply | {"id": frame["id"]}).decode())
                if not frame.get("alone"):
                    copy = {"t": "ev", "room": frame["room"], "d": {"text": frame["text"]}}
                    text = orjson.dumps(copy).decode()
                    for other in self._queues:
                        other.put_nowait(text)

    async def _write(self, queue: "asyncio.Queue[str]", send: Any) -> None:
        while True:
            await send({"type": "websocket.send", "text": await queue.get()})


def main() -> None:
    """Serves until the input is closed."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
    config = uvicorn.Config(
        Floor(),
        http="httptools",
        ws="websockets-sansio",
        ws_per_message_deflate=False,
        ws_ping_interval=None,
        lifespan="off",
        log_level="error",
        access_log=False,
    )
    server = uvicorn.Server(config)

    async def run() -> None:
        loop = asyncio.get_running_loop()
        ended = loop.run_in_executor(None, sys.stdin.read)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(server.serve([listener]))
            await ended
            server.should_exit = server.force_exit = True

    print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())


if __name__ == "__main__":
    main()
