import pytest
from tests.providers.support import ask, hear

from palaver.errors import Code
from palaver.providers.base import GO_ON, Model
from palaver.providers.echo import Echo


@pytest.fixture
def echo() -> Echo:
    return Echo(piece_seconds=0)


async def test_it_quotes_the_message_and_says_how_to_connect_a_model(echo: Echo) -> None:
    heard = await hear(echo, ask("old", "older", "What is\nlove?"))
    assert "> What is love?" in heard.text
    for way in ("ollama pull", "llama-server", "LM Studio", "OPENAI_BASE_URL", "PALAVER_MODEL"):
        assert way in heard.text
    assert heard.done is not None
    assert heard.done.finish == "stop"
    assert 10 < len(heard.pieces) < 50, "it streams, and lets nobody wait for what is canned"


async def test_the_same_question_gets_the_same_answer(echo: Echo) -> None:
    assert (await hear(echo)).pieces == (await hear(echo)).pieces


async def test_a_long_message_is_quoted_briefly(echo: Echo) -> None:
    assert len((await hear(echo, ask("x" * 10_000))).text) < 2_000


async def test_long_streams_numbered_words(echo: Echo) -> None:
    heard = await hear(echo, ask("/long 1200"))
    assert heard.text.split(" ") == [f"w{index:03d}" for index in range(1_200)]
    assert len(heard.pieces) == 1_201


async def test_it_continues_where_its_answer_stopped(echo: Echo) -> None:
    for so_far in ("w000 w001", "w000 w0", ""):
        heard = await hear(echo, ask("/long 5", so_far, GO_ON))
        assert so_far + heard.text == "w000 w001 w002 w003 w004"


async def test_long_has_a_default_and_a_bound(echo: Echo) -> None:
    assert (await hear(echo, ask(" /LONG "))).text.endswith(" w499")
    assert len((await hear(echo, ask("/long 999999999"))).pieces) == 100_001
    assert (await hear(echo, ask("/long 0"))).text == ""


async def test_markdown_shows_a_table_code_and_math(echo: Echo) -> None:
    text = (await hear(echo, ask("/markdown"))).text
    for sample in ("| Earth |", "```python\n", "$e^{i\\pi}", "\\int_{-\\infty}"):
        assert sample in text


async def test_help_names_every_command(echo: Echo) -> None:
    text = (await hear(echo, ask("/help"))).text
    for command in ("/markdown", "/long", "/slow", "/fail"):
        assert command in text


async def test_fail_fails_after_some_text(echo: Echo) -> None:
    heard = await hear(echo, ask("/fail"))
    assert heard.failure.code is Code.PROVIDER_ERROR
    assert heard.text
    assert heard.done is None


@pytest.mark.parametrize("text", ["/slow", "@assistant /slow"])
async def test_slow_streams_thirty_words(echo: Echo, text: str) -> None:
    assert len((await hear(echo, ask(text))).text.split()) == 30


@pytest.mark.parametrize("text", ["/unknown", "/long x", "please /fail", "//", ""])
async def test_what_is_no_command_is_a_message(echo: Echo, text: str) -> None:
    assert "no model is connected" in (await hear(echo, ask(text))).text


async def test_it_is_one_model_that_is_not_real(echo: Echo) -> None:
    assert not echo.real
    assert await echo.models() == (Model(id="echo", provider="echo", default=True),)
    await echo.close()
