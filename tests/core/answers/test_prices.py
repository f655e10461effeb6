"""What answers cost: what nobody counted is estimated, and a price that nobody knows is none."""

import json
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from tests.core.answers.test_engine import answers, ask, room_of
from tests.core.conftest import Running, Script
from tests.core.test_exchanges import Answer, chat, user

from palaver.core.answers.prices import KNOWN_MAX, Prices
from palaver.core.runtime import Core
from palaver.errors import Code, Refused
from palaver.providers.base import Done, Piece, Request, TextPiece

OWN = {"script-1": {"input": 2, "output": 10}, "here/m": {"input": 1, "output": 1, "cached": 0.5}}


class Uncounted(Script):
    """A real model that does not say what it used."""

    def __init__(self) -> None:
        super().__init__(real=True)

    async def answer(self, request: Request) -> AsyncGenerator[Piece, None]:
        async for piece in super().answer(request):
            yield Done(model="script-1", finish="stop") if isinstance(piece, Done) else piece


async def test_an_answer_says_what_it_cost_by_own_prices(running: Running, script: Script) -> None:
    async with running(prices=json.dumps(OWN)) as core:
        actor, room = await room_of(core)
        await ask(core, actor, room)
        script.say("Hello", None)
        [answer] = await answers(core, actor, room)
    assert answer.meta["usage"] == {"input": 3, "output": 2, "cost_micros": 26}


@pytest.mark.parametrize("script", [Uncounted()])
async def test_what_nobody_counted_is_estimated_and_says_so(
    running: Running, script: Script
) -> None:
    async with running() as core:
        actor, room = await room_of(core, title="named")
        await ask(core, actor, room, "x" * 41)
        script.say("y" * 9, None)
        [answer] = await answers(core, actor, room)
        assert answer.meta["usage"] == {"input": 11, "output": 3, "estimated": True}
        sent = await ask(core, actor, room, "again")
        with core.chat.reader(actor) as reader:
            await reader.subscribe(room.id)
            reader.start(room.id)
            script.say("z" * 5)
            await reader.next()
            await core.turns.stop(actor, sent.turns[0].id)
        told = await answers(core, actor, room)
    assert told[-1].meta["usage"]["estimated"] is True


async def test_an_api_clients_answer_is_estimated_where_its_server_tells_nothing(
    core: Core,
) -> None:
    actor, _ = await room_of(core)
    answer = Answer(TextPiece("y" * 8))

    async def called() -> Answer:
        return answer

    running = await core.exchanges.begin(actor, chat(user("x" * 40)), called)
    await running.end()
    (message,) = await core.exchanges.messages(running.ended, answers=True)  # pyright: ignore[reportArgumentType]
    assert message.meta["usage"] == {"input": 3, "output": 2, "estimated": True}


async def test_prices_that_everybody_knows_are_found_by_the_provider_and_where_it_is() -> None:
    prices = Prices("")
    used = {"input": 1_000, "output": 1_000, "cached": 100}
    by_name = (await prices.of("openai", "gpt-4o"))(used)
    assert by_name == (await prices.of("openai", "openai/gpt-4o"))(used)
    assert by_name is not None
    assert by_name > 10_000
    assert (await prices.of("api.openai.com", "gpt-4o"))(used) == by_name
    assert (await prices.of("ollama", "gpt-4o"))(used) is None
    for provider, model in (("openai", "nobody's"), ("here.example", "gpt-4o"), ("", "gpt-4o")):
        assert (await prices.of(provider, model))(used) is None


async def test_own_prices_win_and_few_are_remembered() -> None:
    prices = Prices(json.dumps({**OWN, "gpt-4o": {"input": 1, "output": 1}}))
    used = {"input": 10, "output": 10, "cached": 4}
    assert (await prices.of("openai", "gpt-4o"))(used) == 20
    assert (await prices.of("here", "m"))(used) == 18
    for number in range(KNOWN_MAX + 10):
        assert (await prices.of("here", f"m-{number}"))(used) is None
    assert len(prices._known) <= KNOWN_MAX


def test_own_prices_come_from_a_file_too(tmp_path: Path) -> None:
    file = tmp_path / "prices.json"
    file.write_text(json.dumps(OWN), "utf-8")
    assert Prices(str(file))._own == OWN


@pytest.mark.parametrize(
    "given",
    [
        *("[]", "no such file", "{", '{"m": 3}', '{"m": {"input": 1}}', '{"m": []}'),
        *('{"m": {"input": -1, "output": 1}}', '{"m": {"input": 1, "output": "x"}}'),
        *('{"m": {"input": 1, "output": 1, "more": 1}}', '{"m": {"input": NaN, "output": 1}}'),
    ],
)
def test_prices_that_are_none_end_the_start(given: str) -> None:
    with pytest.raises(Refused) as refused:
        Prices(given)
    assert refused.value.code is Code.SETTINGS_INVALID
