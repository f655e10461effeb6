"""A coding agent's run of 300 requests, each with all that was said: what it takes on disk, and to find its room.

The agent sends its whole history with every request, with the definitions of 25 tools, and no id of its conversation:
after 300 requests that is about 200,000 tokens. What is new is what each request says for the first time, and its
answer. The requests go straight to the core, so that the time is that of storing one, without the reading of its JSON.
"""

import time
from collections.abc import AsyncGenerator
from pathlib import Path

from benchmarks.report import Figure, Goal, percentile
from benchmarks.rounds import Bench, Sample, folder, main, parser

from palaver.core.answers.tape import ExchangeRequest
from palaver.core.runtime import Core, started
from palaver.model import Actor, Entry, Kind, Role
from palaver.model.exchanges import ExchangeKind
from palaver.providers.base import ToolPiece
from palaver.providers.call import CallResult, Chunk
from palaver.settings import settings_from

EARLY, LATE, NEW = "requests 11 to 20", "the last ten requests", "what is new"
DISK = "palaver's database"
RESULT = "    return self.total(line) for line in lines if line.strip()  # as the tests ask\n"
RESULT_LINES = (1, 4, 11, 25, 60, 80)
"""Lines of one result after the other: about 30 of them on average, as files and commands are."""
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": f"tool_{number}",
            "description": "Reads, searches or edits files of the project. " * 12,
            "parameters": {"type": "object", "properties": {"path": {"type": "string"}}},
        },
    }
    for number in range(25)
]


class Answer:
    """A model's answer: the call of a tool."""

    def __init__(self, number: int) -> None:
        self.status, self.headers, self.streams = 200, (), True
        self.outcome = CallResult(id=f"chatcmpl-{number}", finish="tool_calls", whole=True)
        self._number = number

    async def told(self) -> AsyncGenerator[Chunk, None]:
        """Streams one piece and the end."""
        called = ToolPiece(
            call=0, id=f"call_{self._number}", name="tool_1", arguments=arguments(self._number)
        )
        yield Chunk(b"data: {}\n\n", (called,))
        yield Chunk(b"data: [DONE]\n\n", last=True)

    async def close(self) -> None:
        """Ends nothing: all of it is there."""


def arguments(number: int) -> str:
    """What the tool is called with."""
    return f'{{"path": "src/module_{number}.py", "lines": [1, {number + 40}]}}'


def turn(number: int) -> list[Entry]:
    """What the agent adds to its history for the next request: the call that it was told, and the result."""
    call_id = f"call_{number}"
    meta = {"call_id": call_id, "tool": "tool_1"}
    result = f"module_{number}\n" + RESULT * RESULT_LINES[number % len(RESULT_LINES)]
    return [
        Entry(role=Role.ASSISTANT, kind=Kind.TOOL_CALL, text=arguments(number), meta={**meta}),
        Entry(role=Role.TOOL, kind=Kind.TOOL_RESULT, text=result, meta={"call_id": call_id}),
    ]


async def ask(core: Core, actor: Actor, history: list[Entry], number: int) -> tuple[float, str]:
    """Sends one request, and hears its answer to the end; gives the seconds to store it, and its room."""
    asked = ExchangeRequest(
        kind=ExchangeKind.CHAT,
        entries=tuple(history),
        model="m",
        request={"model": "m", "stream": True, "tools": TOOLS},
        whole=True,
    )
    began = time.perf_counter()
    running = await core.exchanges.open(actor, asked)
    took = time.perf_counter() - began

    async def answer() -> Answer:
        return Answer(number)

    core.exchanges.run(running, answer)
    await running.end()
    assert running.ended is not None
    return took, running.ended.room


async def ran(data: Path, count: int) -> Sample:
    """Runs one agent; gives bytes and milliseconds."""
    file = data / "palaver.db"
    settings = settings_from(data_dir=data, detect=False)
    async with started(settings):
        pass
    empty = file.stat().st_size
    history = [
        Entry(role=Role.SYSTEM, text="You are a coding agent. " * 200),
        Entry(role=Role.USER, text="Make the tests pass."),
    ]
    seconds: list[float] = []
    rooms: set[str] = set()
    async with started(settings) as core:
        actor = await core.identity.person("coder", "Coder")
        for number in range(count):
            took, room = await ask(core, actor, history, number)
            seconds.append(took)
            rooms.add(room)
            history += turn(number)
    assert len(rooms) == 1, f"{len(rooms)} rooms"
    new = sum(len(entry.text.encode()) for entry in history) + len(str(TOOLS))
    few = max(1, count // 30)
    return {
        "bytes": file.stat().st_size - empty,
        "new_bytes": new,
        "early_ms": percentile(seconds[few : 2 * few], 50) * 1000,
        "late_ms": percentile(seconds[-few:], 50) * 1000,
    }


async def measure(bench: Bench) -> None:
    """The two goals."""
    count = bench.sized(300, 300, 12)
    samples: list[Sample] = []
    for _ in range(bench.rounds):
        with folder() as path:
            samples.append(await ran(path, count))
    of = {key: Figure(tuple(one[key] for one in samples)) for key in samples[0]}
    bench.report.parameters |= {"requests": count, "new_bytes": int(of["new_bytes"].median)}
    figures = {
        DISK: {"bytes": of["bytes"]},
        NEW: {"bytes": of["new_bytes"]},
        LATE: {"p50_ms": of["late_ms"]},
        EARLY: {"p50_ms": of["early_ms"]},
    }
    stored = Goal(at_most=1.2, against=NEW)
    what = f"a coding agent's run of {count} requests"
    bench.add(figures, DISK, "bytes", f"{what} on disk", "bytes", target="T22", goals=[stored])
    flat = Goal(at_most=1.25, against=EARLY)
    what = f"storing one of the last of {count} requests"
    bench.add(figures, LATE, "p50_ms", what, "ms p50", target="T22", goals=[flat])


if __name__ == "__main__":
    main(measure, parser("agent", "A coding agent's long run.").parse_args())
