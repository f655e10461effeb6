"""The provider against llama.cpp's own server, whose every word is known."""

from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path

import pytest
from tests.providers.support import ask, choose, hear, settings_with, upstream_at
from tests.support.llama import ANSWER, WORDS, Llama, running_llama

from palaver.clock import SystemClock
from palaver.errors import Code
from palaver.providers import pool
from palaver.providers.base import TextPiece
from palaver.providers.pool import Place


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Llama]:
    with running_llama(tmp_path_factory.mktemp("llama")) as server:
        yield server


async def test_an_answer_of_a_real_model_holds_every_word_once_and_in_order(llama: Llama) -> None:
    provider = upstream_at(llama.base_url)
    heard = await hear(provider, ask("hi", settings={"temperature": 0}))
    assert heard.text == ANSWER
    assert [piece.text for piece in heard.pieces if isinstance(piece, TextPiece)] == list(WORDS)
    assert heard.done is not None
    assert heard.done.finish == "stop"
    assert heard.done.output_tokens == len(WORDS) + 1
    assert heard.done.input_tokens
    await provider.close()


async def test_an_answer_that_reaches_its_limit_says_length(llama: Llama) -> None:
    provider = upstream_at(llama.base_url)
    request = ask("a", "b", "c", system_prompt="Count.", settings={"max_tokens": 7})
    heard = await hear(provider, request)
    assert heard.text == "".join(WORDS[:7])
    assert heard.done is not None
    assert heard.done.finish == "length"
    await provider.close()


async def test_models_are_listed_and_the_first_is_the_default(llama: Llama) -> None:
    provider = upstream_at(llama.base_url, name="llama.cpp")
    (model,) = await provider.models()
    assert model.id.endswith("known-words.gguf")
    assert model.provider == "llama.cpp"
    assert model.default
    await provider.close()


async def test_a_real_llama_cpp_is_found_by_itself(
    llama: Llama, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "PROBE_SECONDS", 90)
    places = (Place(name="llama.cpp", port=llama.port, owner="llamacpp"),)
    provider = await choose(settings_with(), SystemClock(), places=places)
    assert provider.name == "llama.cpp"
    assert (await hear(provider, ask(settings={"max_tokens": 3}))).text == "".join(WORDS[:3])
    await provider.close()


async def test_a_conversation_longer_than_the_model_can_read_is_refused_with_what_to_do(
    llama: Llama,
) -> None:
    provider = upstream_at(llama.base_url, model="known")
    heard = await hear(provider, ask("w001 " * 10_000))
    assert heard.failure.code is Code.PROVIDER_REFUSED
    assert not heard.failure.temporary
    assert "longer than known can read" in heard.failure.detail
    await provider.close()


async def test_an_answer_that_is_stopped_frees_the_model(tmp_path: Path) -> None:
    """The endless model has one place: a second answer can only begin when the first has been stopped."""
    with running_llama(tmp_path, endless=True) as server:
        provider = upstream_at(server.base_url)
        for _ in range(2):
            words: list[str] = []
            async with aclosing(provider.answer(ask(settings={"max_tokens": -1}))) as pieces:
                async for piece in pieces:
                    assert isinstance(piece, TextPiece)
                    words.append(piece.text)
                    if len(words) == 600:
                        break
            assert words == [*WORDS, *WORDS[:100]]
        await provider.close()
