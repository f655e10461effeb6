"""The API with curl: whole, as a stream that comes while it is written, and packed where the client asks for it."""

import asyncio
import json
import shutil
from asyncio.subprocess import PIPE, Process

import pytest
from tests.support.server import Serve, ServerProcess
from tests.support.upstream import DONE, ScriptedUpstream, chunk, refuse, reply, stream
from tests.wire.openai.client import CHAT, HI

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl"),
]

SECONDS_MAX = 90


async def curl(server: ServerProcess, path: str, *options: str, body: object = None) -> Process:
    sent = [] if body is None else ["-H", "content-type: application/json", "-d", json.dumps(body)]
    return await asyncio.create_subprocess_exec(
        *("curl", "-sS", "--noproxy", "*", "--max-time", str(SECONDS_MAX)),
        *("-H", "authorization: Bearer any", *sent, *options, f"{server.url}{path}"),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=PIPE,
        stderr=PIPE,
    )


def asked(*, streams: bool) -> dict[str, object]:
    return {"model": "m", "messages": HI, "stream": streams}


async def test_models_and_answers_come_as_json(
    relay: ServerProcess, models: ScriptedUpstream
) -> None:
    listed, _ = await (await curl(relay, "/v1/models")).communicate()
    assert "scripted" in [one["id"] for one in json.loads(listed)["data"]]
    models.will(refuse(429, {"error": {"message": "slow down", "type": "t"}}, retry_after="7"))
    process = await curl(relay, CHAT, "-i", body=asked(streams=False))
    told, _ = await process.communicate()
    head, _, body = told.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 429 ")
    assert b"retry-after: 7" in head.lower()
    assert json.loads(body)["error"]["message"] == "slow down"


async def test_a_stream_is_seen_while_it_is_written(
    relay: ServerProcess, models: ScriptedUpstream
) -> None:
    gate = asyncio.Event()
    models.will(stream("one ", gate, "two", chunk(finish="stop"), DONE))
    process = await curl(relay, CHAT, "-N", body=asked(streams=True))
    assert process.stdout is not None
    async with asyncio.timeout(SECONDS_MAX):
        first = await process.stdout.readline()
        assert b'"one "' in first
        gate.set()
        rest = await process.stdout.read()
    assert rest.endswith(b"data: [DONE]\n\n")
    assert await process.wait() == 0


async def test_a_client_that_takes_packed_answers_understands_them(
    relay: ServerProcess, models: ScriptedUpstream
) -> None:
    models.will(reply("one"))
    process = await curl(relay, CHAT, "-N", "--compressed", body=asked(streams=True))
    told, _ = await process.communicate()
    assert told.endswith(b"data: [DONE]\n\n")
    assert "gzip" not in models.asked[-1].headers.get("accept-encoding", "")


async def test_a_stream_that_the_servers_death_cut_is_an_error(
    models: ScriptedUpstream, serve: Serve
) -> None:
    server = await serve(environment={"OPENAI_BASE_URL": models.base_url})
    models.will(stream("one ", asyncio.Event()))
    process = await curl(server, CHAT, "-N", body=asked(streams=True))
    assert process.stdout is not None
    assert b'"one "' in await process.stdout.readline()
    await server.kill()
    rest, problem = await process.communicate()
    assert b"[DONE]" not in rest
    assert process.returncode in {18, 56}, problem  # a partial file, or a reset
