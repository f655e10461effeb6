"""A running core on a real SQLite file, with a model whose every piece the test decides."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.support.databases import copied

from palaver.clock import SystemClock
from palaver.core.runtime import Core, started
from palaver.errors import ProviderError
from palaver.providers.base import Done, Model, Piece, Request, TextPiece
from palaver.settings import Settings


class Script:
    """A provider that is told what to say. `say(None)` ends an answer; an error raises it."""

    name = "script"

    def __init__(self, *, real: bool = False) -> None:
        self.real = real
        self.requests: asyncio.Queue[Request] = asyncio.Queue()
        self.pieces: asyncio.Queue[str | ProviderError | None] = asyncio.Queue()
        self.closed = 0

    def say(self, *pieces: str | ProviderError | None) -> None:
        for piece in pieces:
            self.pieces.put_nowait(piece)

    async def models(self) -> tuple[Model, ...]:
        return (Model(id="script-1", provider=self.name, default=True),)

    async def answer(self, request: Request) -> AsyncGenerator[Piece, None]:
        self.requests.put_nowait(request)
        try:
            while (piece := await self.pieces.get()) is not None:
                if isinstance(piece, ProviderError):
                    raise piece
                yield TextPiece(piece)
            yield Done(model="script-1", finish="stop", input_tokens=3, output_tokens=2)
        finally:
            self.closed += 1

    async def close(self) -> None:
        return


class Sleeper(SystemClock):
    """A machine that was asleep for so many seconds."""

    slept = 0.0

    def boottime(self) -> float:
        return super().boottime() + self.slept


Running = Callable[..., AbstractAsyncContextManager[Core]]


@asynccontextmanager
async def processes(
    running: Running, request: pytest.FixtureRequest, *, settled_seconds: float = 0
) -> AsyncGenerator[tuple[Core, Core], None]:
    """Two processes of one database, or one as both, as the fixture's param says.

    It is `sqlite`, `postgres`, `two processes` or `two processes without notices`.
    """
    shared: dict[str, Any] = {}
    if request.param != "sqlite":
        shared["database_url"] = request.getfixturevalue("postgres_url")
    if request.param.endswith("notices"):
        shared["listen_url"] = ""
    async with running(**shared) as here:
        if not request.param.startswith("two"):
            yield here, here
            return
        async with running(**shared) as there:
            await asyncio.sleep(settled_seconds)  # until they have heard of each other
            yield here, there


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
def running(tmp_path: Path, script: Script) -> Running:
    """Opens the same Palaver as often as it is called."""
    copied(tmp_path)

    def opened(**settings: object) -> AbstractAsyncContextManager[Core]:
        return started(
            Settings.model_validate({"data_dir": tmp_path, "detect": False, **settings}),
            provider=script,
        )

    return opened


@pytest.fixture
async def core(running: Running) -> AsyncGenerator[Core, None]:
    async with running() as core:
        yield core
