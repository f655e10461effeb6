"""What is reserved for an answer is free again once that is over: its client left, or its server died."""

import asyncio
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.support.command import palaver
from tests.support.server import Serve, ServerProcess
from tests.support.upstream import STALL, ScriptedUpstream, stream
from tests.wire.door import serving, settings_for

from palaver.core.runtime import Core
from palaver.model.usage import BudgetKind, BudgetPeriod

HI: Any = [{"role": "user", "content": "x" * 40}]
ASKED: dict[str, Any] = {
    "/v1/messages": {"model": "m", "max_tokens": 50, "messages": HI},
    "/v1/chat/completions": {"model": "m", "messages": HI},
    "/v1/responses": {"model": "m", "input": "x" * 40},
}
CALLS: list[tuple[str, Any]] = [
    ("/v1/messages", {}),
    ("/v1/chat/completions", {}),
    ("/v1/chat/completions", {"store": False}),
    ("/v1/responses", {"store": False}),
]


async def hears(url: str, path: str, body: Any, until: bytes, leaves: asyncio.Event) -> None:
    """A client that has heard this, and leaves then."""
    got = b""
    async with (
        httpx2.AsyncClient(base_url=url, trust_env=False, timeout=60) as client,
        client.stream("POST", path, json={**ASKED[path], **body}) as response,
    ):
        async for part in response.aiter_bytes():
            got += part
            if until in got:
                await leaves.wait()
                return


async def used(core: Core) -> int:
    (budget,) = await core.usage.budgets(None)
    return budget.used


@pytest.mark.parametrize("first", [(), ("one ",)])
@pytest.mark.parametrize("streams", [True, False])
@pytest.mark.parametrize(("path", "body"), CALLS)
async def test_who_leaves_before_or_in_an_answer_holds_nothing_of_a_budget(
    tmp_path: Path,
    models: ScriptedUpstream,
    path: str,
    body: Any,
    first: tuple[str, ...],
    *,
    streams: bool,
) -> None:
    more: Any = {"openai_finish": False, "openai_responses": "chat"}
    settings = settings_for(tmp_path, openai_base_url=models.base_url, **more)
    async with serving(settings, asyncio.Event()) as (url, core):
        kind, period = BudgetKind.SERVER, BudgetPeriod.MONTH
        await core.usage.set_budget(None, kind, None, period, tokens=100_000, cost_micros=None)
        models.will((*stream(*first)[: 1 + len(first)], STALL) if first else (STALL,))
        asked = len(models.asked)
        leaves = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            client = {**body, "stream": streams}
            asking = group.create_task(hears(url, path, client, b"one ", leaves))
            await models.arrived(asked + 1)
            assert await used(core) == 10 + settings.budget_tokens
            leaves.set()
            if not (first and streams):
                asking.cancel()
        while (now := await used(core)) > 100:  # noqa: ASYNC110  nothing tells that it is counted
            await asyncio.sleep(0.02)
        assert now in ({10, 11} if first else {10})


async def told(process: ServerProcess, *arguments: str) -> Any:
    environment = {"PALAVER_DATA_DIR": str(process.data)}
    done = await asyncio.to_thread(
        palaver, process.data, *arguments, "--json", environment=environment
    )
    assert done.code == 0, done.err
    return done.json["budgets"][0]["used"]


@pytest.mark.slow
async def test_what_a_server_that_was_killed_had_reserved_is_free(
    serve: Serve, models: ScriptedUpstream
) -> None:
    environment = {"OPENAI_BASE_URL": models.base_url, "PALAVER_OPENAI_RESPONSES": "chat"}
    process = await serve(environment=environment)
    await told(process, "budget", "set", "server", "--period", "month", "--tokens", "100000")
    models.will(*[(STALL,)] * len(CALLS))
    asked = len(models.asked)
    async with asyncio.TaskGroup() as group:
        for path, body in CALLS:
            group.create_task(left_by(process, path, body))
        await models.arrived(asked + len(CALLS))
        assert await told(process, "budget", "list") == len(CALLS) * 2_010
        await process.kill()
    await process.start()
    while await told(process, "budget", "list") > len(CALLS) * 100:  # noqa: ASYNC110  as above
        await asyncio.sleep(0.1)
    assert await told(process, "budget", "list") == 0, "only what was seen is known"


async def left_by(process: ServerProcess, path: str, body: Any) -> None:
    """A client whose server dies."""
    with pytest.raises(httpx2.HTTPError):
        await hears(process.url, path, body, b"never", asyncio.Event())
