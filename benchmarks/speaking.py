"""T28: how soon agents begin to answer in a room of several, and what their rule, their prompts and their counts cost.

The agents are echoes without their pauses, so that the time is that of the server: from what a person says to the
first words of the first agent and of the last, over the facade. A prompt is made of a history of 16,000 tokens. What is
kept of it is what one question after the other has in common with the one before, from its beginning: a model server
reads the rest anew.
"""

import asyncio
import time
from contextlib import ExitStack
from functools import partial

from benchmarks.report import Goal, percentile
from benchmarks.rounds import Bench, Sample, folder, main, parser
from tests.support.postgres import running_postgres

import palaver
from palaver.core.answers.context import newest, within
from palaver.model import ActorId, Message, MessageId, Role, RoomId, Speaks, Status
from palaver.providers.echo import Echo

NOBODY, HUSHED, CROWDS = "no agent", "16 agents that never speak", (1, 4, 16)
CHARS_A_TOKEN = 4
PROMPT_TOKENS = 16_000
LINE = "What do you think of the second draft, and of what it says about the river? " * 4
AGENT, PERSON = ActorId("a_1"), ActorId("u_1")


async def said(url: str, agents: int, speaks: Speaks, times: int) -> Sample:
    """Says so much to so many agents; gives milliseconds until it is stored, and to the first words of each."""
    stored: list[float] = []
    first: list[float] = []
    last: list[float] = []
    async with palaver.open(url, provider=Echo(piece_seconds=0)) as chat:
        room = await chat.new_room(f"with {agents}")
        ada = await chat.person("ada", name="Ada")
        await room.add(ada)
        for number in range(agents):
            await room.add(
                await chat.agent(f"agent-{number}", name=f"Agent {number}"), speaks=speaks
            )
        await room.speakers.bound(agent_answers_per_hour=1_000)
        listening = speaks is Speaks.ALWAYS and agents > 0
        happening = room.follow(since=0)
        for number in range(times + 1):
            waiting = asyncio.ensure_future(anext(happening))  # noqa: TID251  it is awaited below
            await asyncio.sleep(0)
            began = time.perf_counter()
            await room.say(ada, f"What of {number}?")
            stored.append(time.perf_counter() - began)
            begun: dict[MessageId, float] = {}
            over = 0
            heard = False
            while True:
                event = await waiting
                match event:
                    case palaver.Delta():
                        begun.setdefault(event.message, time.perf_counter() - began)
                    case palaver.Event() if event.message and event.message.role is Role.ASSISTANT:
                        over += 1
                    case palaver.Event() if event.message:
                        heard = True
                    case _:
                        pass
                if heard and over == (agents if listening else 0):
                    break
                waiting = asyncio.ensure_future(anext(happening))  # noqa: TID251  it is awaited above
            if listening:
                first.append(min(begun.values()))
                last.append(max(begun.values()))
    found = {"stored_ms": stored, "first_ms": first, "last_ms": last}
    return {name: percentile(took[1:], 50) * 1000 for name, took in found.items() if took}


def history(count: int) -> list[Message]:
    """A room in which a person and an agent speak in turns."""
    return [
        Message(
            *(MessageId(f"m_{seq}"), RoomId("r_1"), seq, PERSON if seq % 2 else AGENT, ""),
            *(Role.USER if seq % 2 else Role.ASSISTANT, Status.DONE, f"{seq} {LINE}", 0),
        )
        for seq in range(1, count + 1)
    ]


async def prompted(times: int) -> Sample:
    """Makes prompts; gives milliseconds each, and how much of one the next one keeps, in percent."""
    log = history(PROMPT_TOKENS * CHARS_A_TOKEN // len(LINE) + 2 * times)
    took: list[float] = []
    kept = whole = 0
    before = ""
    for number in range(times):
        part = log[: len(log) - 2 * (times - number) + 1]
        began = time.perf_counter()
        told = within(newest(part, len(part)), AGENT, PROMPT_TOKENS)
        took.append(time.perf_counter() - began)
        prompt = "\n".join(one.text for one in told)
        if before:
            kept += common(before, prompt)
            whole += len(prompt)
        before = prompt
    return {"prompt_ms": percentile(took, 50) * 1000, "kept": 100 * kept / max(1, whole)}


def common(before: str, now: str) -> int:
    """Returns how many characters two texts begin with alike."""
    pairs = enumerate(zip(before, now, strict=False))
    return next((place for place, (old, new) in pairs if old != new), min(len(before), len(now)))


async def measure(bench: Bench) -> None:
    """T28."""
    times = bench.sized(50, 20, 2)
    crowds = {f"{count} agents" if count > 1 else "1 agent": count for count in CROWDS}
    with folder() as path, ExitStack() as stack:
        for engine in ("sqlite", "postgresql"):
            url = f"sqlite:///{path / 'palaver.db'}"
            if engine == "postgresql":
                server = stack.enter_context(running_postgres())
                url = server.url(server.create_database())
            sides = {
                NOBODY: partial(said, url, 0, Speaks.NEVER, times),
                HUSHED: partial(said, url, max(CROWDS), Speaks.NEVER, times),
            }
            sides |= {
                name: partial(said, url, count, Speaks.ALWAYS, times)
                for name, count in crowds.items()
            }
            figures = await bench.compared(f"{engine}, agents in a room", sides)
            what = f"{engine}: a message is stored in a room with "
            bench.add(figures, NOBODY, "stored_ms", what + NOBODY, "ms p50")
            goals = [Goal(at_most=1.5, against=NOBODY)]
            bench.add(
                figures, HUSHED, "stored_ms", what + HUSHED, "ms p50", target="T28", goals=goals
            )
            for name in crowds:
                what = f"{engine}: from a message to the first words, {name}"
                bench.add(figures, name, "first_ms", what, "ms p50")
                bench.add(figures, name, "last_ms", f"{what}, of the last", "ms p50")
    figures = await bench.compared(
        "prompts", {"prompts": partial(prompted, bench.sized(200, 200, 4))}
    )
    bench.add(figures, "prompts", "prompt_ms", f"a prompt of {PROMPT_TOKENS:,} tokens", "ms p50")
    bench.add(figures, "prompts", "kept", "kept of a prompt by the next one", "%")


if __name__ == "__main__":
    main(measure, parser("speaking", "How soon agents answer, and what that costs.").parse_args())
