"""The OpenAI-compatible door beside a bare relay and beside LiteLLM: T13.

A model server in a process of its own answers at once, or a chunk every so often. What Palaver adds, storing
everything, is the difference to the model server called directly, in turns. Beside it stands what a bare relay
of the same bytes adds (`benchmarks.relay`), which parses and stores nothing; and LiteLLM's proxy, where `--litellm`
names its executable (of an environment of its own: it is no dependency of ours).
"""

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from benchmarks.processes import KIB, cpu_seconds, resident_bytes
from benchmarks.report import ROOT, Goal, percentile
from benchmarks.rounds import Bench, Figures, Sample, Side, folder, main, parser
from benchmarks.sockets import Socket
from benchmarks.web import HttpClient
from tests.support.server import ServerProcess

DIRECT, PALAVER, LITELLM = "model server directly", "palaver", "litellm"
RELAY = "bare asyncio relay"
PAUSE_US = 500
WARM = 10
START_SECONDS_MAX = 90
SETTINGS = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",
    "NO_PROXY": "127.0.0.1",
}
CONFIG = """
model_list:
  - model_name: scripted
    litellm_params: {{model: openai/scripted, api_base: "{url}/v1", api_key: none}}
litellm_settings: {{drop_params: true, telemetry: false}}
"""


@dataclass(frozen=True, slots=True)
class Place:
    """A server that speaks the API. `pid` of the process that does the work."""

    url: str
    pid: int


@dataclass(frozen=True, slots=True)
class Sizes:
    """Numbers of requests."""

    firsts: int
    chunks: int
    streams: int
    calls: int


async def connected(place: Place) -> HttpClient:
    """Connects with a key that nobody checks."""
    return await HttpClient.connected(place.url, "x")


async def ask(client: HttpClient, number: int, **more: object) -> float:
    """Asks something new, and reads the whole answer; gives the seconds until its first chunk."""
    said = [{"role": "user", "content": f"Question {number}"}]
    body = json.dumps({"model": "scripted", "messages": said, **more}).encode()
    began = time.perf_counter()
    status, content = await client.raw("POST", "/v1/chat/completions", body)
    assert status == 200, content[:300]
    assert "stream" not in more or b"word0" in content, content[:300]
    return client.first_at - began


async def added(place: Place, model: Place, count: int, **more: object) -> tuple[float, float]:
    """Milliseconds (p50, p99) added to the first token: a place and the model server itself are asked in turns."""
    clients = [await connected(place), await connected(model)]
    taken: list[list[float]] = [[], []]
    number = time.perf_counter_ns()
    for index in range(WARM + count):
        for client, seconds in zip(clients, taken, strict=True):
            seconds.append(await ask(client, number + index, stream=True, max_tokens=3, **more))
    for client in clients:
        await client.close()
    through, straight = (seconds[WARM:] for seconds in taken)
    p50, p99 = (percentile(through, at) - percentile(straight, at) for at in (50, 99))
    return p50 * 1000, p99 * 1000


@dataclass(frozen=True, slots=True)
class Way:
    """Way in, for a client that streams: what it asks for, and where. `socket`: over a WebSocket."""

    path: str
    said: str
    more: Mapping[str, object]
    socket: bool = False

    def body(self, number: int) -> Mapping[str, object]:
        """Asks something new."""
        words = f"Question {number}"
        said = words if self.said == "input" else [{"role": "user", "content": words}]
        return {"model": "scripted", self.said: said, "stream": True, **self.more}


THINKS = {"max_tokens": 3, "temperature": 1}
CHAT = Way("/v1/chat/completions", "messages", THINKS)
MESSAGES = Way("/v1/messages", "messages", THINKS)
NATIVE = replace(MESSAGES, more={**MESSAGES.more, "model": "claude-scripted"})
RESPONSES = Way("/v1/responses", "input", {"temperature": 1, "max_output_tokens": 16})


async def first_token(way: Way, place: Place, count: int) -> list[float]:
    """Seconds until the first word of one answer after the other."""
    number = time.perf_counter_ns()
    bodies = [json.dumps(way.body(number + index)).encode() for index in range(WARM + count)]
    if way.socket:
        return (await _over_socket(way, place, bodies))[WARM:]
    client = await connected(place)
    client.mark = b"word0"
    taken: list[float] = []
    for body in bodies:
        began = time.perf_counter()
        status, content = await client.raw("POST", way.path, body)
        assert status == 200, content[:300]
        assert client.mark in content, content[:300]
        taken.append(client.first_at - began)
    await client.close()
    return taken[WARM:]


async def _over_socket(way: Way, place: Place, bodies: Sequence[bytes]) -> list[float]:
    """The same over one WebSocket."""
    socket = await Socket.connected(place.url, way.path)
    first: asyncio.Queue[float] = asyncio.Queue()
    ended: asyncio.Queue[bytes] = asyncio.Queue()

    def take(frame: bytes) -> None:
        if b"word0" in frame and b".delta" in frame:
            first.put_nowait(time.perf_counter())
        elif b'"type":"response.completed"' in frame or b'"type":"error"' in frame:
            ended.put_nowait(frame)

    socket.on_frame = take
    taken: list[float] = []
    for body in bodies:
        began = time.perf_counter()
        socket.send(b'{"type":"response.create",' + body[1:])
        end = await ended.get()
        assert b"response.completed" in end, end
        taken.append(first.get_nowait() - began)
    await socket.close()
    return taken


async def of_way(way: Way, place: Place, straight: Way, model: Place, count: int) -> Sample:
    """Milliseconds that a way adds to the first token; the model server itself is asked just before."""
    direct = await first_token(straight, model, count)
    through = await first_token(way, place, count)
    return {"first_p50_ms": (percentile(through, 50) - percentile(direct, 50)) * 1000}


async def measure_ways(bench: Bench, server: Place, relay: Place, model: Place, count: int) -> None:
    """The four ways in, each beside a bare relay of the bytes that the model server sends for it."""
    copied = "the bare relay, Anthropic's messages"
    natively = ("chat", "messages, native")
    ways = {
        "chat": (CHAT, server, CHAT),
        "responses, translated": (RESPONSES, server, CHAT),
        "responses over WebSocket, translated": (replace(RESPONSES, socket=True), server, CHAT),
        "messages, translated": (MESSAGES, server, CHAT),
        "messages, native": (NATIVE, server, MESSAGES),
        RELAY: (CHAT, relay, CHAT),
        copied: (MESSAGES, relay, MESSAGES),
    }
    sides: dict[str, Side] = {
        name: partial(of_way, way, place, straight, model, count)
        for name, (way, place, straight) in ways.items()
    }
    figures = await bench.compared("ways in", sides)
    for name, (way, _, _) in ways.items():
        if name not in {RELAY, copied}:
            against = copied if way is NATIVE else RELAY
            goal = Goal(at_most=3 if name in natively else 5, against=against)
            what = f"added to the first token, {name}"
            bench.add(figures, name, "first_p50_ms", what, "ms", target="T13", goals=[goal])


async def asked(place: Place, model: Place, sizes: Sizes) -> Sample:
    """Measures everything of one server."""
    first_p50, first_p99 = await added(place, model, sizes.firsts, temperature=1)
    at_once_p50, _ = await added(place, model, sizes.firsts)
    client = await connected(place)
    await ask(client, time.perf_counter_ns())
    cpu = cpu_seconds(place.pid)
    await ask(client, time.perf_counter_ns(), stream=True, max_tokens=sizes.chunks, seed=PAUSE_US)
    of_chunks = cpu_seconds(place.pid) - cpu
    clients = [await connected(place) for _ in range(16)]
    began = time.perf_counter()
    cpu = cpu_seconds(place.pid)
    await asyncio.gather(*(_calls(each, sizes.calls) for each in clients))
    wall = time.perf_counter() - began
    of_calls = cpu_seconds(place.pid) - cpu
    for each in (client, *clients):
        await each.close()
    return {
        "first_p50_ms": first_p50,
        "first_p99_ms": first_p99,
        "at_once_p50_ms": at_once_p50,
        "cpu_ms": of_chunks * 1_000_000 / sizes.chunks,
        "rate": 16 * sizes.calls / wall,
        "call_ms": of_calls * 1000 / (16 * sizes.calls),
        "streams_s": await _streams(place, sizes.streams),
        "rss_mib": resident_bytes(place.pid) / KIB / KIB,
    }


async def _calls(client: HttpClient, count: int) -> None:
    for index in range(count):
        await ask(client, time.perf_counter_ns() + index)


async def _streams(place: Place, count: int) -> float:
    """Seconds that `count` streams of 60 chunks, 30 a second, take beyond the two that they should."""
    clients = [await connected(place) for _ in range(count)]
    began = time.perf_counter()
    await asyncio.gather(
        *(
            ask(client, time.perf_counter_ns(), stream=True, max_tokens=60, seed=33_333)
            for client in clients
        )
    )
    took = time.perf_counter() - began
    for client in clients:
        await client.close()
    return took - 59 * 0.033333


@asynccontextmanager
async def program(*arguments: str) -> AsyncGenerator[Place]:
    """Runs a module that serves and prints its URL."""
    command = [sys.executable, "-m", *arguments]
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, cwd=ROOT)
    assert process.stdout is not None
    try:
        yield Place((await process.stdout.readline()).decode().strip(), process.pid)
    finally:
        process.kill()
        await process.wait()


@asynccontextmanager
async def litellm(program: str, path: Path, model: Place) -> AsyncGenerator[Place]:
    """Runs LiteLLM's proxy in front of the model server."""
    config = path / "litellm.yaml"
    config.write_text(CONFIG.format(url=model.url), encoding="utf-8")
    port = _free_port()
    command = [program, "--config", str(config), "--port", str(port), "--host", "127.0.0.1"]
    process = await asyncio.create_subprocess_exec(
        *command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **SETTINGS},
    )
    place = Place(f"http://127.0.0.1:{port}", process.pid)
    try:
        async with asyncio.timeout(START_SECONDS_MAX):
            while not await _answers(place):  # noqa: ASYNC110  another process tells us nothing
                await asyncio.sleep(0.2)
        yield place
    finally:
        process.kill()
        await process.wait()


async def _answers(place: Place) -> bool:
    try:
        client = await connected(place)
        await ask(client, 0)
    except (OSError, AssertionError, asyncio.IncompleteReadError):
        return False
    await client.close()
    return True


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


async def measure(bench: Bench) -> None:
    """T13."""
    sizes = bench.sized(Sizes(500, 4_000, 200, 100), Sizes(200, 2_000, 200, 30), Sizes(5, 50, 4, 2))
    bench.report.parameters["streams"] = sizes.streams
    async with AsyncExitStack() as stack:
        path = stack.enter_context(folder())
        model = await stack.enter_async_context(program("benchmarks.model_server"))
        relay = await stack.enter_async_context(program("benchmarks.relay", model.url))
        environment = {
            "OPENAI_BASE_URL": f"{model.url}/v1",
            "ANTHROPIC_BASE_URL": model.url,
            "ANTHROPIC_API_KEY": "none",
            "PALAVER_LOG_LEVEL": "warning",
        }
        server = ServerProcess(path / "data", environment=environment)
        await server.start()
        stack.push_async_callback(server.kill)
        places = {DIRECT: model, RELAY: relay, PALAVER: Place(server.url, server.pid)}
        if bench.options.litellm:
            proxy = litellm(bench.options.litellm, path, model)
            places[LITELLM] = await stack.enter_async_context(proxy)
        else:
            bench.report.lacks("LiteLLM: --litellm was not given")
        sides: dict[str, Side] = {
            name: partial(asked, place, model, sizes) for name, place in places.items()
        }
        figures = await bench.compared("proxy", sides)
        await measure_ways(bench, places[PALAVER], relay, model, sizes.firsts)
    tell_of(bench, figures, sizes)


def tell_of(bench: Bench, figures: Figures, sizes: Sizes) -> None:
    """Adds the rows."""
    beside = [name for name in figures if name not in {PALAVER, DIRECT}]
    cheaper = Goal(at_most=0.1, against=LITELLM)
    for key, model, goals in (
        ("first_p50_ms", "thinks for 10 ms, p50", [Goal(at_most=3, against=RELAY), cheaper]),
        ("first_p99_ms", "thinks for 10 ms, p99", []),
        ("at_once_p50_ms", "answers at once, p50", []),
    ):
        what = f"added to the time to the first token of a model that {model}"
        bench.add(figures, PALAVER, key, what, "ms", target="T13", beside=beside, goals=goals)
    for key, what, unit, goals in (
        ("cpu_ms", "CPU for 1,000 chunks", "ms", [cheaper]),
        ("rate", "whole answers, 16 clients", "/s", []),
        ("call_ms", "CPU for one of them", "ms", []),
        ("streams_s", f"{sizes.streams} streams of 30 chunks a second: seconds behind", "s", []),
        ("rss_mib", "memory afterwards", "MiB", []),
    ):
        others = [DIRECT, *beside]
        bench.add(figures, PALAVER, key, what, unit, target="T13", beside=others, goals=goals)


if __name__ == "__main__":
    chosen = parser("proxy", "The OpenAI-compatible door.")
    chosen.add_argument("--litellm", default=None, help="the executable of LiteLLM's proxy")
    main(measure, chosen.parse_args())
