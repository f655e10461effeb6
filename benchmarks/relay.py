"""The floor under the proxy: `python -m benchmarks.relay URL` copies bytes between its clients and the server at URL.

Bare asyncio streams, a connection to the server for each client, nothing parsed and nothing stored. It prints its URL.
"""

import asyncio
import sys
from functools import partial
from urllib.parse import urlsplit


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copies one direction, until either side ends it."""
    try:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    writer.close()


async def serve(url: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Serves one client."""
    place = urlsplit(url)
    answers, asking = await asyncio.open_connection(place.hostname, place.port)
    await asyncio.gather(copy(reader, asking), copy(answers, writer))


async def main(url: str) -> None:
    """Serves until it is killed."""
    server = await asyncio.start_server(partial(serve, url), "127.0.0.1", 0, backlog=1024)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    import uvloop

    uvloop.run(main(sys.argv[1]))
