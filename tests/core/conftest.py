"""A running core on a real SQLite file, with a model whose every piece the test decides."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

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


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
def running(tmp_path: Path, script: Script) -> Running:
    """Opens the same Palaver as often as it is called."""

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
