"""The agent that answers while no model is connected: it says so, and how to connect one.

It is deterministic and needs nothing, so that Palaver can be tried, shown and tested offline. A few commands (`/help`)
make answers of a known kind: long, formatted, slow, failing. It reads the last message only.
"""

import asyncio
import re
from collections.abc import AsyncGenerator, Iterable, Iterator

from palaver.errors import Code, ProviderError
from palaver.providers.base import GO_ON, Done, Model, Piece, Request, TextPiece
from palaver.providers.rendering import parse

PIECE_SECONDS = 0.015
SLOW_PIECE_SECONDS = 1.0
SLOW_PIECES = 30
LONG_WORDS_MAX = 100_000
QUOTE_CHARS_MAX = 160

HINT = (
    "No model is connected, so the answers are canned. Start Ollama, llama.cpp or LM Studio on this machine, or connect"
    " a model server by its address and key."
)

_CONNECT = """\
**With Ollama**, on this machine and free. Palaver finds it by itself within half a minute:

```sh
ollama serve
ollama pull llama3.2
```

**With llama.cpp or LM Studio**: start their server on its usual port (8080 or 1234). Palaver finds it too:

```sh
llama-server -m model.gguf
```

**With OpenAI**, or any server that speaks its API: *Settings*, *Models*, *Connect a model*. Or stop Palaver, then

```sh
export OPENAI_API_KEY=sk-your-key
export OPENAI_BASE_URL=https://api.openai.com/v1
export PALAVER_MODEL=gpt-5-mini
./run
```
"""

_HELP = """\
No model is connected, but these work offline:

| Command | What it does |
| --- | --- |
| `/help` | shows this table |
| `/markdown` | shows a table, code, math and more |
| `/long 500` | streams 500 numbered words, up to 100,000 |
| `/slow` | streams one word a second for half a minute; good for trying *Stop* |
| `/fail` | fails the way a model provider does; good for trying *Try again* |

Anything else tells you how to connect a model.
"""

_MARKDOWN = """\
## A sample of everything

Text can be **bold**, *italic*, ~~struck~~ or `code`, and [links](https://commonmark.org) work.

1. First
2. Second
   - with a point below it
   - and another

> A quotation, which may be
> longer than one line.

| Planet | Moons | Day in hours |
| :--- | ---: | ---: |
| Earth | 1 | 24 |
| Mars | 2 | 24.6 |
| Jupiter | 97 | 9.9 |

```python
def fibonacci(n: int) -> int:
    a, b = 0, 1
    for _ in range(n):
        a, b = b, a + b
    return a
```

Math stands in a line, as in $e^{i\\pi} + 1 = 0$, or by itself:

$$
\\int_{-\\infty}^{\\infty} e^{-x^2} \\, dx = \\sqrt{\\pi}
$$
"""

_COMMAND = re.compile(r"(?:@\S+\s+)?/(\w+)(?:\s+(\d{1,9}))?\s*")
_WORD, _LINE = re.compile(r"\S+\s*|\s+"), re.compile(r".+\n*|\n+")


class Echo:
    """The offline provider. `piece_seconds` is the pause between two pieces."""

    def __init__(self, *, piece_seconds: float = PIECE_SECONDS) -> None:
        self.name = "echo"
        self.real = False
        self._piece_seconds = piece_seconds

    async def models(self) -> tuple[Model, ...]:
        """Lists its one model."""
        return (Model(id="echo", provider=self.name, default=True),)

    async def answer(self, request: Request) -> AsyncGenerator[Piece, None]:
        """Streams the answer word by word, and line by line how to connect a model.

        Raises `ProviderError` when it is asked to.
        """
        texts = ["", "", *(_words_of(said.text) for said in request.history)]
        text, said = (texts[-3], texts[-2]) if texts[-1] == GO_ON else (texts[-1], "")
        command, number = _command_in(text)
        pause = self._piece_seconds
        if command == "slow" and pause:
            pause = SLOW_PIECE_SECONDS
        for word in _words_for(command, number, text):
            if said:  # what stands in the answer that is continued
                word, said = word[len(said) :], said[len(word) :]  # noqa: PLW2901
                if not word:
                    continue
            yield TextPiece(word)
            await asyncio.sleep(pause)
        if command == "fail":
            raise ProviderError(
                Code.PROVIDER_ERROR,
                "This failure was asked for with /fail. Nothing is wrong; try again to see it again.",
            )
        yield Done(model="echo", finish="stop")

    async def close(self) -> None:
        """There is nothing to end."""


def _words_of(text: str) -> str:
    """What somebody said, without the header above it."""
    return "".join(words.text for words in parse(text))


def _command_in(text: str) -> tuple[str, int | None]:
    """The command that a message is, and its number; "" for a message that is none."""
    found = _COMMAND.fullmatch(text.strip())
    if found is None:
        return "", None
    return found[1].lower(), int(found[2]) if found[2] else None


def _words_for(command: str, number: int | None, text: str) -> Iterable[str]:
    match command:
        case "help":
            return _split(_HELP)
        case "markdown":
            return _split(_MARKDOWN)
        case "long":
            return _numbered(min(500 if number is None else number, LONG_WORDS_MAX))
        case "slow":
            return _numbered(SLOW_PIECES)
        case "fail":
            return _split("This answer is about to fail ")
        case _:
            return _LINE.findall(_welcome(text))


def _numbered(count: int) -> Iterator[str]:
    """`w000 w001 …`, one word a piece."""
    return (f" w{index:03d}" if index else "w000" for index in range(count))


def _split(text: str) -> list[str]:
    return _WORD.findall(text.rstrip("\n"))


def _welcome(text: str) -> str:
    said = " ".join(text.split())
    if len(said) > QUOTE_CHARS_MAX:
        said = said[:QUOTE_CHARS_MAX].rstrip() + "…"
    quoted = f"Your message arrived and is stored:\n\n> {said}\n\n" if said else ""
    return (
        f"{quoted}I would love to answer it, but **no model is connected yet**, so this text is canned."
        f" Connecting one takes a minute.\n\n{_CONNECT}\nUntil then, `/help` lists what works offline."
    )
