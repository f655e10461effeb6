"""An answer may use what is left of its budgets: the model is told so, or it ends there."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.core.answers.test_engine import answers, ask, room_of
from tests.core.conftest import Running, Script
from tests.core.spool.test_messages import away
from tests.core.test_exchanges import Answer, chat, user

from palaver.core.answers.tape import LiveAnswer
from palaver.core.runtime import Core
from palaver.errors import Code, ProviderError, Refused
from palaver.model import Actor, EventType, Message, Room, Speaks, Status
from palaver.model.usage import BudgetKind, BudgetPeriod, UsedBy, date_of
from palaver.providers.base import BesidePiece, Piece, ReasoningPiece, TextPiece, ToolPiece
from palaver.providers.call import Chunk
from palaver.strict_json import Json

UP = {"code": "budget_reached", "budget": "person", "period": "day"}


@pytest.fixture
def script() -> Script:
    return Script(real=True)


async def bound(
    core: Core, tokens: int | None, of: Actor | None = None, micros: int | None = None
) -> None:
    kind = BudgetKind.SERVER if of is None else BudgetKind.PERSON
    await core.usage.set_budget(
        None, kind, of and of.id, BudgetPeriod.DAY, tokens=tokens, cost_micros=micros
    )


async def test_a_model_is_told_what_is_left_and_who_used_it_up_is_told_until_when(
    core: Core, script: Script
) -> None:
    _, actor = await core.identity.new_guest()
    room = await core.rooms.create(actor, title="named, so that nobody asks for a title")
    await bound(core, 12, actor)
    await ask(core, actor, room, "12345678")  # 2 tokens
    script.say("yes", None)
    [first] = await answers(core, actor, room)
    assert first.status is Status.DONE
    assert script.requests.get_nowait().settings["max_tokens"] == 10
    await ask(core, actor, room, "1234")
    script.say("yes", None)
    await core.turns.idle()
    assert script.requests.get_nowait().settings["max_tokens"] == 12 - 5 - 4
    sent = await core.chat.send(actor, room.id, text="1234", cid=None)
    assert len(sent.turns) == 1
    said = await answers(core, actor, room)
    assert script.requests.empty()
    assert len(said) == 2  # less was left than the question needs
    await core.budgets.check(actor.id)  # something is left
    await bound(core, 10, actor)
    sent = await core.chat.send(actor, room.id, text="again", cid=None)
    assert sent.turns == await core.turns.ask(actor, room.id) == ()
    with pytest.raises(Refused) as refused:
        await core.turns.retry(actor, said[-1].id)
    assert refused.value.code is Code.BUDGET_REACHED
    assert "It begins anew on 20" in refused.value.detail
    assert await answers(core, actor, room) == said, "it is still there"
    told = await refusals(core, actor, room)
    up = {"agent": core.assistant, **UP, "of": actor.id}
    assert told == [{**up, "left": True}, up, up]
    with pytest.raises(Refused) as refused:
        await core.budgets.check(actor.id)
    assert refused.value.code is Code.BUDGET_REACHED


async def test_a_room_is_told_of_the_budget_that_was_too_small_and_not_of_the_fullest(
    core: Core, script: Script
) -> None:
    (_, actor), (_, other) = [await core.identity.new_guest() for _ in range(2)]
    room, elsewhere = [await core.rooms.create(one, title="named") for one in (actor, other)]
    await bound(core, 1_500)
    await bound(core, 400, actor)
    await ask(core, other, elsewhere, "x" * 2_000)  # 500 tokens, of the server's budget alone
    script.say("yes", None)
    await core.turns.idle()
    await ask(core, actor, room, "x" * 2_000)
    await core.turns.idle()
    happened, _ = await core.chat.events(actor, room.id)
    (told,) = [one.data for one in happened if one.type is EventType.TURN_REFUSED]
    up = {"agent": core.assistant, **UP, "of": actor.id, "left": True}
    assert told == {**up, "until": told["until"]}


async def test_who_waits_for_its_turn_when_the_budget_ends_is_refused_in_its_order(
    core: Core, script: Script
) -> None:
    _, actor = await core.identity.new_guest()
    room = await core.rooms.create(actor, agent=False, title="named")
    names = ("one", "two", "three")
    cards = [await core.agents.ensured(name, name.title()) for name in names]
    for card in cards:
        await core.members.add(actor, room.id, card.actor.id, speaks=Speaks.ALWAYS)
    await core.rooms.set_speaking(actor, room.id, {"turns": "in_turn"})
    await bound(core, 1_000)
    sent = await core.chat.send(actor, room.id, text="go", cid=None)
    assert len(sent.turns) == 3
    await script.requests.get()
    await bound(core, 1)
    script.say("yes", None)
    await core.turns.idle()
    said = (await core.chat.history(actor, room.id)).messages
    assert [one.name for one in said[1:]] == ["One"]
    told = await refusals(core, actor, room)
    up = {**UP, "budget": "server", "of": None}
    assert told == [{"agent": card.actor.id, **up} for card in cards[1:]]
    assert script.requests.empty()


async def refusals(core: Core, actor: Actor, room: Room) -> list[Json]:
    """What the room is told of answers that are not given, without the time, which is checked here."""
    happened, _ = await core.chat.events(actor, room.id)
    told = [dict(one.data) for one in happened if one.type is EventType.TURN_REFUSED]
    (budget,) = await core.usage.budgets(None)
    assert {one.pop("until") for one in told} == {f"{date_of(budget.ends_ms)}T00:00:00Z"}
    return told


async def called_for(core: Core, actor: Actor, text: str, *pieces: TextPiece) -> LiveAnswer:
    """The answer of a client's question, once it is over."""

    async def call() -> Answer:
        return Answer(*pieces)

    live = await core.exchanges.begin(actor, chat(user(text)), call)
    await live.end()
    return live


async def stored(core: Core, live: LiveAnswer) -> Message:
    assert live.ended is not None
    (message,) = await core.exchanges.messages(live.ended, answers=True)
    return message


async def test_an_api_clients_answer_ends_where_the_budget_does_and_is_kept(core: Core) -> None:
    actor, _ = await room_of(core)
    await bound(core, 20, actor)
    live = await called_for(core, actor, "x" * 40, *[TextPiece("abcd") for _ in range(30)])
    message = await stored(core, live)
    assert (message.text, message.status) == ("abcd" * 10, Status.FAILED)
    assert message.meta.get("finish") == "budget"
    assert message.meta.get("usage") == {"input": 10, "output": 10, "estimated": True}
    assert (message.meta.get("error") or {})["code"] == Code.BUDGET_REACHED
    report = await core.usage.own(actor, None, None, UsedBy.MODEL)
    assert (report.total.input, report.total.output) == (10, 10)
    again = await called_for(core, actor, "again", TextPiece("no"))
    assert again.failure is not None
    assert again.failure.code is Code.BUDGET_REACHED
    assert (await stored(core, again)).text == ""


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("model", ["script-1", None])
async def test_money_bounds_the_answer_of_an_agent_that_is_asked_by_its_name(
    running: Running, model: str | None, *, kept: bool
) -> None:
    async with running(prices='{"script-1": {"input": 1, "output": 10}}', model="script-1") as core:
        actor, _ = await room_of(core)
        card = await core.agents.ensured("poet", "Poet", model=model)
        question, answer = 10 * 1, 10 * 10  # tokens, and what each costs
        await bound(core, None, actor, micros=question + answer)
        asked = replace(chat(user("x" * 40)), model="poet", agent=card.id, card=card.version)

        async def call() -> Answer:
            return Answer(*[TextPiece("abcd") for _ in range(30)])

        live = (
            await core.exchanges.begin(actor, asked, call)
            if kept
            else core.exchanges.unstored(actor, asked, call)
        )
        await live.end()
        assert live.answer.text == "abcd" * 10
        assert live.failure is not None
        assert live.failure.code is Code.BUDGET_REACHED


async def test_a_long_answer_goes_on_as_long_as_the_budget_does(running: Running) -> None:
    async with running(budget_tokens=5) as core:
        actor, _ = await room_of(core)
        await bound(core, 1_000, actor)
        live = await called_for(core, actor, "x", *[TextPiece("abcd") for _ in range(30)])
        message = await stored(core, live)
    assert (message.status, len(message.text)) == (Status.DONE, 120)


async def test_fifty_questions_at_once_overrun_a_budget_by_nothing(
    running: Running, script: Script
) -> None:
    async with running(budget_tokens=100) as core:
        actor, _ = await room_of(core)
        await bound(core, 1_050)
        rooms = [await core.rooms.create(actor) for _ in range(50)]
        await asyncio.gather(*[ask(core, actor, room, "1234") for room in rooms])
        script.say(*[None] * 50)
        await core.turns.idle()
        told = 0
        while not script.requests.empty():
            told += int(script.requests.get_nowait().settings["max_tokens"]) + 1
        report = await core.usage.all(None, None, None, UsedBy.PERSON)
        assert report.total.answers < 50
        (budget,) = await core.usage.budgets(None)
        assert budget.used <= 1_050
    assert told >= 1_050 - 1


@pytest.mark.parametrize(
    ("parameters", "told"),
    [
        ({"max_completion_tokens": 100_000}, {"max_completion_tokens": 20}),
        ({"max_tokens": 7, "max_completion_tokens": "many"}, {"max_completion_tokens": 7}),
        (
            {"max_output_tokens": 100_000, "n_predict": -1, "top_k": 3},
            {"max_tokens": 20, "top_k": 3},
        ),
    ],
)
async def test_a_bound_replaces_whatever_a_card_calls_it(
    core: Core, script: Script, parameters: Json, told: Json
) -> None:
    actor, _ = await room_of(core)
    card = await core.agents.ensured("poet", "Poet", parameters=parameters)
    room = await core.rooms.create(actor, agent=False, title="named")
    await core.members.add(actor, room.id, card.actor.id, speaks=Speaks.ALWAYS)
    await bound(core, 21)
    await ask(core, actor, room, "1234")
    script.say("yes", None)
    await core.turns.idle()
    assert script.requests.get_nowait().settings == told


async def test_a_question_whose_answer_is_stopped_before_its_first_word_is_counted(
    core: Core, script: Script
) -> None:
    actor, room = await room_of(core)
    sent = await ask(core, actor, room, "12345678")
    await script.requests.get()
    await core.turns.stop(actor, sent.turns[0].id)
    [answer] = await answers(core, actor, room)
    assert (answer.status, answer.text) == (Status.STOPPED, "")
    counted = {"input": 2, "output": 0, "estimated": True}
    assert answer.meta.get("usage") == counted
    never = asyncio.Event()

    async def call() -> Answer:
        never.set()
        await asyncio.Event().wait()
        raise AssertionError

    live = await core.exchanges.begin(actor, chat(user("x" * 40)), call)
    await never.wait()
    live.stop()
    await live.end()
    assert (await stored(core, live)).meta.get("usage") == {**counted, "input": 10}
    never.clear()
    live = core.exchanges.unstored(actor, chat(user("x" * 400)), call)
    await never.wait()
    live.stop()
    await live.end()
    assert live.task is not None
    await live.task
    report = await core.usage.own(actor, None, None, UsedBy.MODEL)
    assert (report.total.input, report.total.output) == (2 + 10 + 100, 0)
    assert {row.name for row in report.rows} >= {"script/m"}, "its price is that of its server"


async def test_a_question_that_a_model_server_refuses_is_not_counted(
    core: Core, script: Script
) -> None:
    actor, room = await room_of(core)
    await ask(core, actor, room, "12345678")
    script.say(ProviderError(Code.PROVIDER_REFUSED, "No."))
    [answer] = await answers(core, actor, room)
    assert (answer.status, answer.meta.get("usage")) == (Status.FAILED, None)


async def test_fifty_calls_at_once_of_which_nothing_is_kept_overrun_a_budget_by_nothing(
    running: Running, database_url: str
) -> None:
    async with running(budget_tokens=20, database_url=database_url) as core:
        actor, _ = await room_of(core)
        await bound(core, 250)
        ended = asyncio.Event()

        async def call() -> Answer:
            await ended.wait()
            return Answer(*[TextPiece("abcd")] * 19)

        asked = [core.exchanges.unstored(actor, chat(user("x" * 12)), call) for _ in range(50)]
        while (await core.usage.budgets(None))[0].used < 250:  # noqa: ASYNC110  nothing tells that
            await asyncio.sleep(0)
        ended.set()
        tasks = [live.task for live in asked if live.task is not None]
        await asyncio.wait(tasks)
        whole = [live for live in asked if live.failure is None]
        assert 0 < len(whole) <= 11, "each uses 22"
        (budget,) = await core.usage.budgets(None)
        assert 200 < budget.used <= 250
        report = await core.usage.own(actor, None, None, UsedBy.MODEL)
        assert report.total.input + report.total.output == budget.used


class Whole(Answer):
    """The same in one piece."""

    async def told(self) -> AsyncGenerator[Chunk, None]:
        self.streams = False
        pieces = tuple([piece async for one in super().told() for piece in one.pieces])
        self.outcome.usage = None
        yield Chunk(b"{}", pieces, last=True)


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("answer", [Answer, Whole])
@pytest.mark.parametrize(
    ("pieces", "said"),
    [
        ([TextPiece("x" * 400)], "x" * 40),
        ([ReasoningPiece("x" * 39), TextPiece("yz")], "y"),
        ([TextPiece("ab"), ToolPiece(0, "c", "look", "x" * 400), TextPiece("c")], "ab"),
        ([BesidePiece({"signature": "x" * 100}, ""), TextPiece("x")], ""),
    ],
)
async def test_of_a_piece_that_a_budget_has_no_place_for_what_fits_is_kept_and_counted(
    core: Core, pieces: list[Piece], said: str, answer: type[Answer], *, kept: bool
) -> None:
    actor, _ = await room_of(core)
    await bound(core, 20, actor)

    async def call() -> Answer:
        return answer(*pieces)

    asked = chat(user("x" * 40))
    exchanges = core.exchanges
    live = (
        await exchanges.begin(actor, asked, call)
        if kept
        else exchanges.unstored(actor, asked, call)
    )
    await live.end()
    assert live.task is not None
    await live.task
    assert live.failure is not None
    assert live.failure.code is Code.BUDGET_REACHED
    assert live.answer.text == said
    report = await core.usage.own(actor, None, None, UsedBy.MODEL)
    assert (report.total.input, report.total.output) == (10, 10)
    (budget,) = await core.usage.budgets(None)
    assert budget.used == 20
    if kept:
        message = await stored(core, live)
        assert (message.text, message.meta.get("finish")) == (said, "budget")


@pytest.mark.parametrize("tokens", [12, 10_000])
async def test_an_answer_in_a_room_overruns_its_budget_by_nothing_whatever_its_server_heeds(
    running: Running, script: Script, tokens: int
) -> None:
    async with running(budget_tokens=10) as core:
        actor, room = await room_of(core)
        await bound(core, tokens, actor)
        await ask(core, actor, room, "12345678")
        script.say("abc", "d" * 1_000, None)
        [answer] = await answers(core, actor, room)
        said = 10 if tokens == 12 else 20  # twice the bound, where the budget has that
        assert (answer.text, answer.status) == ("abc" + "d" * (4 * said - 3), Status.DONE)
        assert answer.meta.get("finish") == "budget"
        assert answer.meta.get("usage") == {"input": 2, "output": said, "estimated": True}
        (budget,) = await core.usage.budgets(None)
        assert budget.used == 2 + said


async def test_an_answer_that_is_a_little_longer_than_was_estimated_is_whole(
    running: Running, script: Script
) -> None:
    async with running(budget_tokens=10) as core:
        actor, room = await room_of(core, title="named")
        await bound(core, 1_000, actor)
        await ask(core, actor, room, "12345678")
        script.say(*["abcd"] * 13, None)
        [answer] = await answers(core, actor, room)
        assert (answer.text, answer.meta.get("finish")) == ("abcd" * 13, "stop")


@pytest.mark.usefixtures("impatient")
async def test_what_nobody_keeps_is_answered_while_the_database_is_away_and_counted_later(
    running: Running, tmp_path: Path
) -> None:
    async with running() as core:
        actor, _ = await room_of(core)
        await bound(core, 1_000)
        assert await core.budgets.are_there()

        async def call() -> Answer:
            return Answer(TextPiece("abcd"))

        with away(tmp_path):
            live = core.exchanges.unstored(actor, chat(user("x" * 12)), call)
            await live.end()
            assert (live.failure, live.answer.text) == (None, "abcd")
        assert live.task is not None
        await live.task
        (budget,) = await core.usage.budgets(None)
        assert budget.used == 4
