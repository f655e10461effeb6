"""Model providers as this server asks them: a conversation in, pieces of an answer out.

A provider knows nothing of rooms, of storage or of readers. It raises `ProviderError` with a code when it fails,
after whatever it could give; it never gives an error as text.
"""

from collections.abc import AsyncGenerator, Mapping
from typing import Any, Protocol, runtime_checkable

from msgspec import Struct, field

from palaver.model import NO_DATA, Role

DEFAULT = "default"
"""Names the default model, for clients that must name one; a model of this name is asked as any other."""
BEGIN = "Begin the conversation."
"""What a model is asked where the history begins with a greeting of its own."""
GO_ON = (
    "Continue your last message exactly where it stopped, even in the middle of a word or a code block."
    " Repeat nothing and add no introduction."
)
"""What a model is asked when an answer of its own, which was not whole, stands last."""


class ToolCall(Struct, frozen=True, kw_only=True):
    """What a model asked a tool to do. `arguments` is JSON, as the model wrote it. `beside`: see `Said`."""

    id: str
    name: str
    arguments: str
    beside: Mapping[str, Any] = field(default_factory=lambda: NO_DATA)


class Said(Struct, frozen=True, kw_only=True):
    """One message of the history. `name` tells several people of one room apart.

    `parts` are the content as the API has it, where it is more than the text. `calls` are an assistant's, and `call_id`
    says which of them a tool's words answer. `beside` is what the model server told besides, see `BesidePiece`: its
    `origin`, and fields of the `message` or of the `call`; `thought_in` is where it told `thought`.
    """

    role: Role
    text: str
    name: str | None = None
    parts: tuple[Mapping[str, Any], ...] = ()
    calls: tuple[ToolCall, ...] = ()
    call_id: str | None = None
    thought: str = ""
    beside: Mapping[str, Any] = field(default_factory=lambda: NO_DATA)


class Request(Struct, frozen=True, kw_only=True):
    """What is asked: the history, oldest first, the newest message last and once. `model` None: the default."""

    history: tuple[Said, ...]
    model: str | None = None
    system_prompt: str = ""
    settings: Mapping[str, Any] = field(default_factory=lambda: NO_DATA)


class TextPiece(Struct, frozen=True):
    """A piece of the answer's text. `choice` tells several answers to one question apart."""

    text: str
    choice: int = 0


class ReasoningPiece(Struct, frozen=True):
    """A piece of what the model thought before it answered."""

    text: str
    choice: int = 0


class RefusalPiece(Struct, frozen=True):
    """A piece of the words with which the model refused."""

    text: str
    choice: int = 0


class ToolPiece(Struct, frozen=True):
    """A piece of a tool call: of the `call`-th of the answer. Its first piece has the id and the function's name.

    `more` is what a client knows of the call besides, where its tool is no function as all others.
    """

    call: int
    id: str
    name: str
    arguments: str
    choice: int = 0
    more: Mapping[str, Any] = field(default_factory=lambda: NO_DATA)


class BesidePiece(Struct, frozen=True):
    """A piece of what a model server told beside the words: fields of its own, which it may need to be told again.

    They stood beside a `call`, or in the message; `thought_in` is the field in which it tells what the model thinks.
    `origin` is the server and the model, which alone may be told of it.
    """

    fields: Mapping[str, Any]
    origin: str
    choice: int = 0
    call: int | None = None
    thought_in: str = ""


class ItemPiece(Struct, frozen=True):
    """Something whole at the beginning of an answer: the `item` as its client knows it, and the `text` it stands for.

    `meta` is kept with it.
    """

    item: Mapping[str, Any]
    text: str = ""
    meta: Mapping[str, Any] = field(default_factory=lambda: NO_DATA)


class Usage(Struct, frozen=True, kw_only=True):
    """Tokens that a call used, where its server told them: `cached` are of the input, `reasoning` of the output."""

    input: int | None = None
    output: int | None = None
    cached: int | None = None
    reasoning: int | None = None

    def counts(self) -> dict[str, int]:
        """Those that are known."""
        counts = {"input": self.input, "output": self.output}
        counts |= {"cached": self.cached or None, "reasoning": self.reasoning or None}
        return {name: count for name, count in counts.items() if count is not None}


class Done(Struct, frozen=True, kw_only=True):
    """The end of a whole answer. `finish`: `stop`, `length`, `tool_calls`, `content_filter`, or the provider's word.

    Tokens where the provider told them. Of all `input_tokens`, `cached_tokens` were read from its cache and
    `cache_write_tokens` put there; of all `output_tokens`, `reasoning_tokens` were thoughts.
    """

    model: str
    finish: str
    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None


Piece = TextPiece | ReasoningPiece | RefusalPiece | ToolPiece | BesidePiece | ItemPiece | Done


class Model(Struct, frozen=True, kw_only=True):
    """A model that can be asked. `key`: its name as it is kept, behind the id of a stored connection."""

    id: str
    provider: str
    default: bool = False
    key: str = ""


class Provider(Protocol):
    """A source of answers. `name` is shown to people; `real` is False for the offline one."""

    name: str
    real: bool

    async def models(self) -> tuple[Model, ...]:
        """The models that can be asked, the default one marked. Raises `ProviderError`."""
        ...

    def answer(self, request: Request) -> AsyncGenerator[Piece, None]:
        """Streams one answer; its last piece is `Done`. A stream that ends without it was cut.

        Raises `ProviderError`. Closing the iterator early stops the provider.
        """
        ...

    async def close(self) -> None:
        """Ends all connections."""
        ...


@runtime_checkable
class Several(Protocol):
    """Several providers as one."""

    async def chosen(self, request: Request) -> tuple[Provider, Request]:
        """The provider that answers, and what it is asked. Raises `ProviderError`."""
        ...

    async def place(self, model: str) -> str:
        """A model's name behind the id of the connection that answers for it, if that is a stored one.

        Raises `ProviderError` for one that is not there.
        """
        ...
