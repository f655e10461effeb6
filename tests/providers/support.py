"""What the tests of the agents share: settings without the environment, requests, and answers as lists."""

from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from pydantic import SecretStr

from palaver.clock import Clock, SystemClock
from palaver.errors import ProviderError
from palaver.model import Role
from palaver.providers.base import Done, Piece, Provider, ReasoningPiece, Request, Said, TextPiece
from palaver.providers.openai.client import Upstream
from palaver.providers.pool import Place, Providers
from palaver.settings import Settings

KEY = "sk-test-secret-0123456789"


def settings_with(**values: Any) -> Settings:
    """Settings with these values, and limits of silences that no machine reaches: a test that does sets its own."""
    defaults: dict[str, Any] = {
        "openai_base_url": None,
        "openai_api_key": None,
        "anthropic_base_url": None,
        "anthropic_api_key": None,
        "model": None,
        "provider_first_seconds": 90.0,
        "provider_idle_seconds": 90.0,
    }
    return Settings.model_construct(**(defaults | values))


def upstream_at(base_url: str, *, name: str = "scripted", **values: Any) -> Upstream:
    """The provider under test; it pauses before a retry for next to no time."""
    return Upstream(
        settings_with(**values),
        SystemClock(),
        name=name,
        base_url=base_url,
        key=SecretStr(KEY),
        retry_seconds=0.001,
    )


async def choose(settings: Settings, clock: Clock, *, places: tuple[Place, ...]) -> Provider:
    """The provider for these settings, now."""
    return await Providers(settings, clock, places=places).current()


def ask(*texts: str, **fields: Any) -> Request:
    """A conversation of these texts, the first and the last one from a person."""
    roles = (Role.USER, Role.ASSISTANT)
    said = tuple(Said(role=roles[i % 2], text=text) for i, text in enumerate(texts or ("hi",)))
    return Request(history=said, **fields)


@dataclass(slots=True)
class Heard:
    """All that one answer gave. Either `done` or `error` is set."""

    pieces: list[Piece] = field(default_factory=list[Piece])
    done: Done | None = None
    error: ProviderError | None = None

    @property
    def text(self) -> str:
        return "".join(piece.text for piece in self.pieces if isinstance(piece, TextPiece))

    @property
    def reasoning(self) -> str:
        return "".join(piece.text for piece in self.pieces if isinstance(piece, ReasoningPiece))

    @property
    def failure(self) -> ProviderError:
        assert self.error is not None, f"the answer is whole: {self.text!r}"
        return self.error


async def hear(provider: Provider, request: Request | None = None) -> Heard:
    """Listens to one answer until its end, whatever end that is."""
    heard = Heard()
    try:
        async with aclosing(provider.answer(request or ask())) as pieces:
            async for piece in pieces:
                assert heard.done is None, "nothing follows Done"
                if isinstance(piece, Done):
                    heard.done = piece
                heard.pieces.append(piece)
    except ProviderError as error:
        heard.error = error
    return heard
