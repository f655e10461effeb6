"""Exchanges: where a request belongs, what of it is stored, and what becomes of its answer, on a real store."""

import asyncio
from collections.abc import AsyncGenerator
from functools import partial
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.core.conftest import Running as Opens, Script, Sleeper

from palaver.core import runtime
from palaver.core.answers.outcome import interrupted
from palaver.core.answers.pieces import record_of
from palaver.core.answers.tape import ExchangeRequest, LiveAnswer
from palaver.core.exchanges import Exchanges
from palaver.core.runtime import Core
from palaver.errors import Code, ProviderError, Refused, Unavailable
from palaver.model import Actor, Entry, Kind, Message, Role, Status
from palaver.model.exchanges import Exchange, ExchangeKind, ExchangeState
from palaver.providers.base import Piece, ReasoningPiece, TextPiece, ToolPiece, Usage
from palaver.providers.call import CallResult, Chunk
from palaver.settings import Settings
from palaver.store.journal import Journal


class Answer:
    """A call whose answer the test writes. A sentence is told piece by piece, and ended by `[DONE]`."""

    def __init__(self, *pieces: Piece, whole: bool = True, waits: bool = False) -> None:
        self.status, self.headers, self.streams = 200, (), True
        self.outcome = CallResult()
        self.closed = False
        self.go_on = asyncio.Event()
        self._pieces, self._whole = pieces, whole
        if not waits:
            self.go_on.set()

    async def told(self) -> AsyncGenerator[Chunk, None]:
        for piece in self._pieces:
            yield Chunk(b"data: x\n\n", (piece,))
        await self.go_on.wait()
        if self._whole:
            self.outcome.whole, self.outcome.finish = True, "stop"
            self.outcome.id, self.outcome.usage = "chatcmpl-1", Usage(input=3)
            yield Chunk(b"data: [DONE]\n\n", last=True)

    async def close(self) -> None:
        self.closed = True


def user(text: str) -> Entry:
    return Entry(role=Role.USER, text=text)


def assistant(text: str) -> Entry:
    return Entry(role=Role.ASSISTANT, text=text)


SYSTEM = Entry(role=Role.SYSTEM, text="Be brief.")


RESPONSE = ExchangeKind.RESPONSE


def chat(*entries: Entry, **more: object) -> ExchangeRequest:
    asked = ExchangeRequest(
        kind=ExchangeKind.CHAT,
        entries=entries,
        model="m",
        request={"model": "m"},
        whole=True,
    )
    return replace(asked, **more)


class Client:
    """One API client of a running core."""

    def __init__(self, core: Core, actor: Actor) -> None:
        self.core = core
        self.actor = actor

    @property
    def exchanges(self) -> Exchanges:
        return self.core.exchanges

    async def asks(self, asked: ExchangeRequest, answer: Answer) -> LiveAnswer:
        async def ask() -> Answer:
            return answer

        return await self.exchanges.begin(self.actor, asked, ask)

    async def gets(self, asked: ExchangeRequest, *pieces: Piece) -> Exchange:
        running = await self.asks(asked, Answer(*pieces))
        await running.end()
        assert running.ended is not None
        return running.ended

    async def said(self, exchange: Exchange) -> list[Message]:
        """The messages on the path of its answer."""
        at = next(iter((*exchange.answers, *[last for _, last in exchange.view])), None)
        page = await self.core.chat.history(self.actor, exchange.room, around=at, limit=200)
        return list(page.messages)

    async def texts(self, exchange: Exchange) -> list[str]:
        return [message.text for message in await self.said(exchange)]


@pytest.fixture
async def client(core: Core) -> Client:
    _, actor = await core.identity.new_guest("Client")
    return Client(core, actor)


async def test_what_was_asked_and_answered_stands_in_a_room_of_its_own(client: Client) -> None:
    exchange = await client.gets(chat(SYSTEM, user("hi")), TextPiece("Hel"), TextPiece("lo"))
    said = await client.said(exchange)
    assert [(m.role, m.text, m.status) for m in said] == [
        (Role.SYSTEM, "Be brief.", Status.DONE),
        (Role.USER, "hi", Status.DONE),
        (Role.ASSISTANT, "Hello", Status.DONE),
    ]
    room = await client.core.rooms.get(client.actor, exchange.room)
    assert (room.title, room.door) == ("hi", "openai")
    assert (exchange.state, exchange.name) == (ExchangeState.COMPLETED, "chatcmpl-1")
    assert said[2].meta["exchange"] == exchange.id
    assert said[2].meta["usage"] == {"input": 3, "output": 2, "estimated": True}
    assert [m.text for m in await client.exchanges.messages(exchange, answers=False)] == [
        "Be brief.",
        "hi",
    ]


async def test_a_history_that_is_sent_again_continues_its_room(client: Client) -> None:
    first = await client.gets(chat(SYSTEM, user("hi")), TextPiece("Hello"))
    second = await client.gets(
        chat(SYSTEM, user("hi"), assistant("Hello "), user("more")), TextPiece("Yes")
    )
    assert second.room == first.room
    assert await client.texts(second) == ["Be brief.", "hi", "Hello", "more", "Yes"]
    assert len(second.view) == 1


@pytest.mark.parametrize(
    "history",
    [
        (SYSTEM, user("hi!"), assistant("Hello"), user("more")),  # changed
        (SYSTEM, user("hi"), assistant("Hello!"), user("more")),  # its answer changed
        (SYSTEM, user("hi")),  # asked again
    ],
)
async def test_another_history_is_another_room_and_rewrites_nothing(
    client: Client, history: tuple[Entry, ...]
) -> None:
    first = await client.gets(chat(SYSTEM, user("hi")), TextPiece("Hello"))
    before = await client.said(first)
    other = await client.gets(chat(*history), TextPiece("Yes"))
    assert other.room != first.room
    assert await client.said(first) == before
    assert await client.texts(other) == [entry.text for entry in history] + ["Yes"]


async def test_a_question_that_failed_is_asked_again_in_its_room(client: Client) -> None:
    failed = await client.asks(chat(user("hi")), Answer(TextPiece("He"), whole=False))
    await failed.end()
    assert failed.ended is not None
    assert failed.ended.state is ExchangeState.FAILED
    said = await client.said(failed.ended)
    assert (said[-1].status, said[-1].text) == (Status.FAILED, "He")
    assert said[-1].meta["error"]["code"] == Code.PROVIDER_CUT
    again = await client.gets(chat(user("hi")), TextPiece("Hello"))
    assert again.room == failed.ended.room
    assert await client.texts(again) == ["hi", "He", "Hello"]


async def test_two_turns_at_once_lose_neither(client: Client) -> None:
    first = await client.gets(chat(user("hi")), TextPiece("Hello"))
    history = (user("hi"), assistant("Hello"))
    one, two = Answer(TextPiece("A"), waits=True), Answer(TextPiece("B"), waits=True)
    running = [
        await client.asks(chat(*history, user("one")), one),
        await client.asks(chat(*history, user("two")), two),
    ]
    for answer in (two, one):
        answer.go_on.set()
    for each in running:
        await each.end()
    ended = [each.ended for each in running]
    assert ended[0] is not None
    assert ended[1] is not None
    assert ended[0].room == first.room
    assert await client.texts(ended[0]) == ["hi", "Hello", "one", "A"]
    assert await client.texts(ended[1]) == ["hi", "Hello", "two", "B"]


async def test_a_request_that_goes_back_parts_there_and_later_ones_follow_their_own_way(
    client: Client,
) -> None:
    first = await client.gets(chat(user("hi")), TextPiece("Hello"))
    more = (user("hi"), assistant("Hello"))
    second = await client.gets(chat(*more, user("one")), TextPiece("A"))
    other = await client.gets(chat(*more, user("two")), TextPiece("B"))
    assert first.room == second.room == other.room
    assert await client.texts(second) == ["hi", "Hello", "one", "A"]
    assert await client.texts(other) == ["hi", "Hello", "two", "B"]
    assert (await client.core.rooms.get(client.actor, first.room)).branch == 0
    on = await client.gets(chat(*more, user("two"), assistant("B"), user("on")), TextPiece("C"))
    there = await client.gets(chat(*more, user("one"), assistant("A"), user("on")), TextPiece("D"))
    assert await client.texts(on) == ["hi", "Hello", "two", "B", "on", "C"]
    assert await client.texts(there) == ["hi", "Hello", "one", "A", "on", "D"]
    assert len(await client.core.branches.listing(client.actor, first.room)) == 2


async def test_a_response_is_gone_on_from_with_what_the_page_said_in_its_branch(
    client: Client,
) -> None:
    first = await client.gets(chat(user("hi"), kind=RESPONSE, whole=False), TextPiece("Hello"))
    await client.gets(
        chat(user("one"), kind=RESPONSE, whole=False, previous=first.id), TextPiece("A")
    )
    other = await client.gets(
        chat(user("two"), kind=RESPONSE, whole=False, previous=first.id), TextPiece("B")
    )
    assert await client.texts(other) == ["hi", "Hello", "two", "B"]
    say = partial(client.core.chat.send, client.actor, other.room, cid=None, answers=False)
    await say(text="by hand", branch=1)
    on = await client.gets(
        chat(user("on"), kind=RESPONSE, whole=False, previous=other.id), TextPiece("C")
    )
    told = await client.exchanges.messages(on, answers=False)
    assert [one.text for one in told] == ["hi", "Hello", "two", "B", "by hand", "on"]
    assert await client.texts(on) == ["hi", "Hello", "two", "B", "by hand", "on", "C"]
    shown = await client.exchanges.messages(other, answers=False)
    assert [one.text for one in shown] == ["hi", "Hello", "two"]


class Sleepy(Answer):
    """Says a word more after the machine slept, and ends when it may."""

    def __init__(self, clock: Sleeper) -> None:
        super().__init__(TextPiece("awake"), waits=True)
        self._clock = clock
        self.wakes, self.said = asyncio.Event(), asyncio.Event()

    async def told(self) -> AsyncGenerator[Chunk, None]:
        telling = super().told()
        yield await anext(telling)
        await self.wakes.wait()
        self._clock.slept = 60
        yield Chunk(b"data: x\n\n", (TextPiece(" again"),))
        self.said.set()
        async for told in telling:
            yield told


@pytest.mark.postgres
@pytest.mark.parametrize("ours", [True, False])
async def test_after_a_sleep_a_client_is_told_only_what_is_still_ours(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, ours: bool
) -> None:
    monkeypatch.setattr(runtime, "PULSE_SECONDS", 3_600)
    clock = Sleeper()
    settings = Settings(data_dir=tmp_path, database_url=postgres_url, detect=False)
    async with runtime.started(settings, clock=clock, provider=Script()) as core:
        client = Client(core, (await core.identity.new_guest("Ada"))[1])
        answer = Sleepy(clock)
        running = await client.asks(chat(user("hi")), answer)
        told = running.follow()
        assert (await anext(told)).pieces == (TextPiece("awake"),)
        answer.wakes.set()
        await answer.said.wait()
        if ours:
            await core.turns.renew()
        else:
            assert running.exchange is not None
            await core.turns._store.write(interrupted(running.exchange, 1, [TextPiece("awake")]))
        answer.go_on.set()
        later = [piece async for one in told for piece in one.pieces]
        assert later == [TextPiece(" again")] * ours
        assert (running.error is None) is ours


async def test_two_turns_at_once_in_a_named_room_are_both_kept_there(client: Client) -> None:
    room = await client.core.rooms.create(client.actor, agent=False)
    asked = [chat(user(text), room=room.id) for text in ("one", "two")]
    ended = await asyncio.gather(
        *(client.gets(each, TextPiece(f"to {each.entries[0].text}")) for each in asked)
    )
    assert sorted(await client.texts(ended[0])) == ["one", "to one", "to two", "two"]


async def test_a_person_goes_on_and_so_does_the_client(client: Client, script: Script) -> None:
    first = await client.gets(chat(user("hi")), TextPiece("Hello"))
    script.say("From ", "the page", None)
    await client.core.chat.send(client.actor, first.room, text="a person", cid="c1")
    request = await script.requests.get()
    assert [said.text for said in request.history] == ["hi", "Hello", "a person"]
    await client.core.turns.idle()
    unaware = await client.gets(
        chat(user("hi"), assistant("Hello"), user("more")), TextPiece("Yes")
    )
    assert unaware.room == first.room
    aware = (user("hi"), assistant("Hello"), user("more"), assistant("Yes"), user("on"))
    last = await client.gets(chat(*aware), TextPiece("!"))
    assert await client.texts(last) == [
        *("hi", "Hello", "a person", "From the page", "more", "Yes", "on", "!")
    ]


async def test_a_named_room_takes_only_what_is_new(client: Client) -> None:
    first = await client.gets(chat(SYSTEM, user("hi")), TextPiece("Hello"))
    again = (SYSTEM, user("hi"), assistant("Hello"), user("hi"))
    second = await client.gets(chat(*again, room=first.room), TextPiece("Again"))
    assert await client.texts(second) == ["Be brief.", "hi", "Hello", "hi", "Again"]
    window = (SYSTEM, user("hi"), assistant("Again"), user("last"))
    third = await client.gets(chat(*window, room=first.room), TextPiece("Bye"))
    assert (await client.texts(third))[5:] == ["last", "Bye"]


async def test_a_request_that_is_repeated_by_a_library_is_answered_once(client: Client) -> None:
    asked = chat(user("hi"), digest=b"d" * 16)
    answer = Answer(TextPiece("Hello"), waits=True)
    first = await client.asks(asked, answer)
    second = await client.asks(replace(asked, repeated=True), Answer(TextPiece("other")))
    assert second is first
    assert second.dup
    answer.go_on.set()
    await first.end()
    third = await client.asks(replace(asked, repeated=True), Answer(TextPiece("other")))
    assert third.dup
    assert third.ended is not None
    assert await client.texts(third.ended) == ["hi", "Hello"]


async def test_tool_calls_and_thoughts_are_stored_as_what_they_are(client: Client) -> None:
    exchange = await client.gets(
        chat(user("time?")),
        ReasoningPiece("Hm."),
        ToolPiece(1, "call_1", "clock", ""),
        ToolPiece(1, "", "", '{"zone":'),
        ToolPiece(1, "", "", '"UTC"}'),
    )
    call = (await client.said(exchange))[1]
    assert (call.kind, call.text) == (Kind.TOOL_CALL, '{"zone":"UTC"}')
    assert (call.meta["call_id"], call.meta["tool"]) == ("call_1", "clock")
    assert call.meta["reasoning"] == "Hm."
    result = Entry(role=Role.TOOL, kind=Kind.TOOL_RESULT, text="12:00", meta={"call_id": "call_1"})
    asked = Entry(
        role=Role.ASSISTANT,
        kind=Kind.TOOL_CALL,
        text='{"zone":"UTC"}',
        meta={"call_id": "call_1", "tool": "clock"},
    )
    second = await client.gets(chat(user("time?"), asked, result), TextPiece("Noon"))
    assert second.room == exchange.room
    assert await client.texts(second) == ["time?", '{"zone":"UTC"}', "12:00", "Noon"]


async def test_a_response_goes_on_from_another_and_is_told_again_as_it_was(client: Client) -> None:
    asked = ExchangeRequest(
        kind=ExchangeKind.RESPONSE, entries=(user("hi"),), model="m", request={}, kept=True
    )
    pieces = (
        TextPiece("Hel"),
        TextPiece("lo"),
        ToolPiece(0, "c", "f", ""),
        ToolPiece(0, "", "", "{}"),
    )
    first = await client.gets(asked, *pieces)
    assert await client.exchanges.pieces(first) == list(pieces)
    second = replace(asked, entries=(user("more"),), previous=first.id)
    branch = replace(asked, entries=(user("else"),), previous=first.id)
    running = await client.asks(second, Answer(TextPiece("Yes")))
    await running.end()
    assert [message.text for message in running.context] == ["hi", "Hello", "{}", "more"]
    running = await client.asks(branch, Answer(TextPiece("No")))
    assert [message.text for message in running.context] == ["hi", "Hello", "{}", "else"]
    await running.end()
    found, more = await client.exchanges.listing(client.actor, ExchangeKind.RESPONSE, limit=2)
    assert (found[0].id, more) == (first.id, True)
    await client.exchanges.forget(client.actor, first.id)
    with pytest.raises(Refused) as refused:
        await client.exchanges.get(client.actor, first.id)
    assert refused.value.code is Code.EXCHANGE_NOT_FOUND


async def test_what_nobody_may_see_is_not_there(client: Client) -> None:
    exchange = await client.gets(chat(user("hi"), kept=True), TextPiece("Hello"))
    _, other = await client.core.identity.new_guest()
    for refused_call in (
        client.exchanges.get(other, exchange.id),
        client.exchanges.named(other, "chatcmpl-1"),
        client.exchanges.change(other, exchange.id, {"a": "b"}),
        client.exchanges.forget(other, exchange.id),
    ):
        with pytest.raises(Refused) as refused:
            await refused_call
        assert refused.value.code is Code.EXCHANGE_NOT_FOUND
    changed = await client.exchanges.change(client.actor, exchange.id, {"a": "b"})
    assert changed.metadata == {"a": "b"}
    assert (await client.exchanges.named(client.actor, "chatcmpl-1")).id == exchange.id


async def test_a_cancelled_answer_keeps_what_came(client: Client) -> None:
    answer = Answer(TextPiece("Hel"), waits=True)
    running = await client.asks(chat(user("hi")), answer)
    async for _ in running.follow():
        break
    assert running.exchange is not None
    exchange = await client.exchanges.cancel(client.actor, running.exchange.id)
    assert exchange.state is ExchangeState.CANCELLED
    assert answer.closed
    assert (await client.said(exchange))[-1].status is Status.STOPPED


async def test_the_page_sees_the_answer_come_and_can_stop_it(client: Client) -> None:
    answer = Answer(TextPiece("Hel"), waits=True)
    running = await client.asks(chat(user("hi")), answer)
    async for _ in running.follow():
        break
    assert running.exchange is not None
    with client.core.chat.reader(client.actor) as reader:
        joined = await reader.subscribe(running.exchange.room)
        assert [stream.text for stream in joined.streams] == ["Hel"]
    await client.core.turns.stop(client.actor, running.exchange.turn)
    await running.end()
    assert running.ended is not None
    assert running.ended.state is ExchangeState.CANCELLED


async def test_the_end_is_told_only_once_the_answer_is_stored(client: Client) -> None:
    running = await client.asks(chat(user("hi")), Answer(TextPiece("Hello")))
    async for told in running.follow():
        if told.last:
            assert running.ended is not None
            break
    else:
        pytest.fail("the end was never told")


async def test_an_upstream_that_is_away_is_a_status_with_a_code(client: Client) -> None:
    async def ask() -> Answer:
        raise ProviderError(Code.PROVIDER_UNREACHABLE, "It is away.")

    running = await client.exchanges.begin(client.actor, chat(user("hi")), ask)
    with pytest.raises(ProviderError):
        await running.begun()
    await running.end()
    assert running.ended is not None
    last = (await client.said(running.ended))[-1]
    assert (last.status, last.text) == (Status.FAILED, "")
    assert last.meta["error"]["code"] == Code.PROVIDER_UNREACHABLE


@pytest.mark.parametrize("finish", [True, False])
async def test_an_answer_without_its_client_goes_on_as_the_settings_say(
    running: Opens, *, finish: bool
) -> None:
    async with running(openai_finish=finish) as core:
        _, actor = await core.identity.new_guest("Client")
        client = Client(core, actor)
        answer = Answer(TextPiece("Hel"), waits=True)
        asking = await client.asks(chat(user("hi")), answer)
        async for _ in asking.follow():
            break
        core.exchanges.left(asking)
        answer.go_on.set()
        await asking.end()
        assert asking.ended is not None
        wanted = ExchangeState.COMPLETED if finish else ExchangeState.CANCELLED
        assert asking.ended.state is wanted


async def test_what_a_dead_process_had_passed_on_is_stored_as_interrupted(
    running: Opens, tmp_path: Path
) -> None:
    pieces = [TextPiece("Hel"), ReasoningPiece("Hm"), TextPiece("lo"), ToolPiece(0, "c", "f", "{}")]
    async with running() as core:
        _, actor = await core.identity.new_guest("Client")
        asked = ExchangeRequest(
            kind=ExchangeKind.RESPONSE, entries=(user("hi"),), model="m", request={}
        )
        asking = await core.exchanges.open(actor, asked)
        assert asking.turn is not None
        assert asking.exchange is not None
        dead = Journal(tmp_path / "journal" / "streams", "dead")
        for piece in pieces:
            record = record_of(piece)
            assert record is not None
            dead.keep(asking.turn.id, *record)
    dead.close()
    async with running() as core:
        client = Client(core, actor)
        async with asyncio.timeout(90):
            while True:
                exchange = await core.exchanges.get(actor, asking.exchange.id)
                if exchange.state is not ExchangeState.RUNNING:
                    break
        assert exchange.state is ExchangeState.FAILED
        assert await core.exchanges.pieces(exchange) == pieces
        said = await client.said(exchange)
    assert [(m.text, m.status) for m in said] == [
        ("hi", Status.DONE),
        ("Hello", Status.INTERRUPTED),
        ("{}", Status.INTERRUPTED),
    ]
    assert said[1].id == exchange.message


async def test_a_call_that_waits_for_its_turn_is_closed_when_it_is_stopped(running: Opens) -> None:
    async with running(turns_running_max=1) as core:
        _, actor = await core.identity.new_guest("Client")
        client = Client(core, actor)
        first, second = Answer(TextPiece("1"), waits=True), Answer(TextPiece("2"))
        busy = await client.asks(chat(user("one")), first)
        await busy.begun()
        waiting = await client.asks(chat(user("two")), second)
        assert waiting.exchange is not None
        ended = await client.exchanges.cancel(actor, waiting.exchange.id)
        assert ended.state is ExchangeState.CANCELLED
        assert waiting.task is not None
        await waiting.task
        assert second.closed
        assert not first.closed
        first.go_on.set()
        await busy.end()


async def test_who_asks_when_all_has_ended_is_told_so_and_leaves_no_work_unbegun(
    running: Opens,
) -> None:
    """A coroutine that is dropped is a warning, and so an error here."""
    async with running() as core:
        _, actor = await core.identity.new_guest("Client")
    with pytest.raises(Unavailable) as refused:
        await Client(core, actor).asks(chat(user("hi")), Answer())
    assert refused.value.code is Code.SHUTTING_DOWN
