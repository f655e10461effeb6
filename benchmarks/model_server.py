"""A model server that costs next to nothing, in a process of its own: `python -m benchmarks.model_server`.

It prints its URL. A request's `max_tokens` says how many chunks it answers with, and `seed` how many microseconds lie
between two of them; with a `temperature` of 1 it thinks for 10 ms first, which is little for a model. It
streams chat completions, and below `/v1/messages` Anthropic's messages.
"""

import asyncio
import json
from typing import Any

MODELS = b'{"object":"list","data":[{"id":"scripted","object":"model"}]}'
CLAUDES = (
    b'{"data":[{"type":"model","id":"claude-scripted","display_name":"C","created_at":"2026-01-01T00:00:00Z"}],'
    b'"has_more":false,"first_id":"claude-scripted","last_id":"claude-scripted"}'
)
HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
    b"transfer-encoding: chunked\r\n\r\n"
)
CHUNK = (
    '{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"scripted",'
    '"choices":[{"index":0,"delta":%s,"finish_reason":%s}]}'
)
WHOLE = (
    b'{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"scripted","choices":'
    b'[{"index":0,"message":{"role":"assistant","content":"Hello there."},"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":9,"completion_tokens":3,"total_tokens":12}}'
)
THINKING_SECONDS = 0.01
BEGUN = (
    '{"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"scripted",'
    '"content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":9,"output_tokens":1}}}'
)
BLOCK = '{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}'


def event(data: str) -> bytes:
    """An event of a stream, as a chunk of its body."""
    framed = f"data: {data}\n\n".encode()
    return b"%x\r\n%s\r\n" % (len(framed), framed)


def piece(text: str) -> bytes:
    """A piece of an answer."""
    return event(CHUNK % (f'{{"content":"{text}"}}', "null"))


END = event(CHUNK % ("{}", '"stop"')) + event("[DONE]") + b"0\r\n\r\n"


def of_message(data: str) -> bytes:
    """An event of Anthropic's stream, as a chunk of its body."""
    framed = f"event: {json.loads(data)['type']}\ndata: {data}\n\n".encode()
    return b"%x\r\n%s\r\n" % (len(framed), framed)


def words_of_message(text: str) -> bytes:
    """A piece of an answer in Anthropic's stream."""
    delta = f'{{"type":"text_delta","text":"{text}"}}'
    return of_message(f'{{"type":"content_block_delta","index":0,"delta":{delta}}}')


MESSAGE_BEGUN = of_message(BEGUN) + of_message(BLOCK)
MESSAGE_END = (
    of_message('{"type":"content_block_stop","index":0}')
    + of_message(
        '{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},'
        '"usage":{"output_tokens":3}}'
    )
    + of_message('{"type":"message_stop"}')
    + b"0\r\n\r\n"
)


def whole(body: bytes) -> bytes:
    """A response that is no stream."""
    length = b"content-length: %d\r\n\r\n" % len(body)
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n" + length + body


async def stream(writer: asyncio.StreamWriter, count: int, pause: float) -> None:
    """Streams an answer of `count` chunks."""
    loop = asyncio.get_running_loop()
    writer.write(HEAD + piece(" word0"))
    due = loop.time()
    for number in range(1, count):
        due += pause
        await asyncio.sleep(max(0.0, due - loop.time()))
        writer.write(piece(f" word{number}"))
        await writer.drain()
    writer.write(END)


async def stream_message(writer: asyncio.StreamWriter, count: int) -> None:
    """Streams an answer of Anthropic's API."""
    writer.write(HEAD + MESSAGE_BEGUN)
    for number in range(count):
        writer.write(words_of_message(f" word{number}"))
        await writer.drain()
    writer.write(MESSAGE_END)


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Serves one connection."""
    while True:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            size = head.partition(b"content-length: ")[2].partition(b"\r\n")[0]
            body = await reader.readexactly(int(size)) if size else b"{}"
            asked: dict[str, Any] = json.loads(body)
            if asked.get("stream"):
                if asked.get("temperature") == 1:
                    await asyncio.sleep(THINKING_SECONDS)
                if b"/v1/messages" in head:
                    await stream_message(writer, asked.get("max_tokens", 1))
                    continue
                pause = asked.get("seed", 0) / 1_000_000
                await stream(writer, asked.get("max_tokens", 1), pause)
            else:
                listed = CLAUDES if b"anthropic-version" in head else MODELS
                writer.write(whole(WHOLE if asked else listed))
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()
            return


async def main() -> None:
    """Serves until it is killed."""
    server = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=1024)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    import uvloop

    uvloop.run(main())
