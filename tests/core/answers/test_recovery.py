"""What dead processes left is stored once, and what nobody began is begun."""

import asyncio
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.core.answers.test_engine import answers, ask, room_of
from tests.core.conftest import Running, Script
from tests.core.identity.test_accounts import sign_up

from palaver.core import runtime
from palaver.core.answers.pieces import record_of
from palaver.core.answers.recovery import CLAIMS_MAX
from palaver.core.answers.tape import ExchangeRequest
from palaver.core.live.items import Delta
from palaver.core.runtime import Core
from palaver.model import Actor, CredentialId, Entry, ExchangeId, Message, MessageId, Role, Status
from palaver.model.exchanges import Exchange, ExchangeKind, ExchangeState
from palaver.providers.base import BesidePiece
from palaver.providers.call import Call
from palaver.store.journal import Journal
from palaver.store.write.messages import AddMessage


async def test_what_a_dead_process_had_shown_comes_back_as_interrupted(
    running: Running, script: Script, tmp_path: Path
) -> None:
    async with running() as core:
        actor, room = await room_of(core)
        sent = await ask(core, actor, room)
        await script.requests.get()
        turn = sent.turns[0]
        dead = Journal(tmp_path / "journal" / "streams", "dead")
        dead.piece(turn.id, "seen by ", "thought")
        dead.piece(turn.id, "somebody")
        record = record_of(BesidePiece({"details": ["a"]}, "here m"))
        assert record is not None
        dead.keep(turn.id, *record)
        for task in asyncio.all_tasks():  # as kill -9: the turn ends without a word
            if task.get_name() == f"turn {turn.id}":
                task.cancel()
    dead.close()
    async with running() as core:  # from the first moment on
        [answer] = await answers(core, actor, room)
    assert (answer.text, answer.status) == ("seen by somebody", Status.INTERRUPTED)
    assert answer.meta["reasoning"] == "thought"
    assert answer.meta["beside"] == {"origin": "here m", "message": {"details": ["a"]}}
    assert answer.id == turn.message
    assert not list((tmp_path / "journal" / "streams").glob("dead*")), (
        "what is stored need not be journaled"
    )


async def test_a_turn_that_nothing_was_received_for_runs_again(
    running: Running, script: Script
) -> None:
    async with running() as core:
        actor, room = await room_of(core)
        sent = await ask(core, actor, room)
        await script.requests.get()
        for task in asyncio.all_tasks():
            if task.get_name() == f"turn {sent.turns[0].id}":
                task.cancel()
    async with running() as core:
        script.say("second life", None)
        [answer] = await answers(core, actor, room)
    assert (answer.text, answer.id) == ("second life", sent.turns[0].message)


async def test_a_turn_that_nobody_began_is_begun(
    running: Running, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a commit whose end was unclear: the turn is there, and is this process's own."""
    monkeypatch.setattr(runtime, "PULSE_SECONDS", 3_600)  # which would see to it by itself
    async with running() as core:
        actor, room = await room_of(core)
        added = await core.turns._store.write(
            AddMessage(
                id=MessageId(f"m_{core.clock.new_id()}"),
                room=room.id,
                author=actor.id,
                text="hi",
                answers=True,
            )
        )
        script.say("late", None)
        await core.recovery.see_to_unbegun()
        assert core.turns.running == 0, "it may be about to begin"
        await core.recovery.see_to_unbegun()
        [answer] = await answers(core, actor, room)
    assert (answer.text, answer.id) == ("late", added.turns[0].message)


LASTING = ExchangeRequest(
    kind=ExchangeKind.RESPONSE,
    entries=(Entry(role=Role.USER, text="why?"),),
    model="m",
    request={},
    whole=True,
    lasting=True,
)


async def asked_and_died(core: Core) -> tuple[Actor, ExchangeId]:
    """A client's exchange of which nothing came before its process died."""
    _, actor = await core.identity.new_guest()
    live = await core.exchanges.open(actor, LASTING)
    assert live.exchange is not None
    return actor, live.exchange.id


async def test_an_exchange_that_kills_its_server_each_time_is_not_asked_for_ever(
    running: Running,
) -> None:
    """It is asked anew in `CLAIMS_MAX` processes, the first included."""
    asked: asyncio.Queue[str] = asyncio.Queue()

    async def ask(exchange: Exchange, said: Sequence[Message]) -> Call:
        asked.put_nowait(" ".join(one.text for one in said))
        for task in asyncio.all_tasks():
            if task.get_name() == f"turn {exchange.turn}":
                task.cancel()
        raise asyncio.CancelledError

    async with running() as core:
        actor, exchange = await asked_and_died(core)
    for _ in range(CLAIMS_MAX - 1):
        async with running() as core:
            core.recovery.asks(ask)
            assert await asked.get() == "why?"
            await core.turns.idle()
            assert (await core.exchanges.get(actor, exchange)).state is ExchangeState.RUNNING
    async with running() as core:
        core.recovery.asks(ask)
        await core.turns.recovered(60)
        assert (await core.exchanges.get(actor, exchange)).state is ExchangeState.FAILED
    assert asked.empty()


async def test_an_exchange_that_no_door_asks_again_was_interrupted(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "PULSE_SECONDS", 3_600)  # which would see to it by itself
    async with running() as core:
        actor, exchange = await asked_and_died(core)
    async with running() as core:
        await core.turns.recovered(60)
        await core.recovery.see_to_unbegun()
        assert (await core.exchanges.get(actor, exchange)).state is ExchangeState.RUNNING
        await core.recovery.see_to_unbegun()
        await core.turns.recovered(60)
        assert (await core.exchanges.get(actor, exchange)).state is ExchangeState.FAILED


@pytest.mark.parametrize("way", ["key", "account", None])
async def test_an_exchange_by_a_key_that_has_ended_meanwhile_is_not_asked_again(
    running: Running, tmp_path: Path, way: str | None
) -> None:
    """Nor for whose account was disabled; where nothing was taken, it is asked, and still ends with its key."""
    asked = asyncio.Event()

    async def ask(exchange: Exchange, said: Sequence[Message]) -> Call:  # noqa: ARG001  as `AskAgain`
        asked.set()
        await asyncio.Event().wait()
        raise AssertionError

    async with running(sign_up="open") as core:
        _, actor = await sign_up(core, "ada")
        _, key = await core.keys.create(actor=actor)
        live = await core.exchanges.open(actor, replace(LASTING, by=CredentialId(key.id)))
        assert live.exchange is not None
    with closing(sqlite3.connect(tmp_path / "palaver.db")) as elsewhere:
        match way:
            case "key":
                elsewhere.execute("UPDATE keys SET revoked_ms = 1")
            case "account":
                elsewhere.execute("UPDATE accounts SET status = 'disabled'")
            case _:
                pass
        elsewhere.commit()
    async with running() as core:
        core.recovery.asks(ask)
        if way is None:
            await asked.wait()
            await core.keys.revoke(key.id)
            await core.turns.idle()
        await core.turns.recovered(60)
        assert asked.is_set() == (way is None)
        found = await core.exchanges.get(actor, live.exchange.id)
        assert (found.state, found.by) == (
            ExchangeState.FAILED if way else ExchangeState.CANCELLED,
            None,
        )


async def test_what_a_dead_process_left_of_who_has_lost_the_room_does_not_run_on(
    running: Running, script: Script, tmp_path: Path
) -> None:
    async with running() as core:
        _, ada = await core.identity.new_guest("Ada")
        _, bo = await core.identity.new_guest("Bo")
        room = await core.rooms.create(ada)
        await core.members.add(ada, room.id, bo.id)
        sent = await ask(core, bo, room, "@assistant hi")
        await script.requests.get()
        for task in asyncio.all_tasks():  # as kill -9: the turn ends without a word
            if task.get_name() == f"turn {sent.turns[0].id}":
                task.cancel()
    with closing(sqlite3.connect(tmp_path / "palaver.db")) as elsewhere:
        elsewhere.execute("UPDATE members SET kept_out = 1 WHERE role = 'member'")
        elsewhere.commit()
    async with running() as core:
        [answer] = await answers(core, ada, room)
    assert (answer.text, answer.status) == ("", Status.STOPPED)


@pytest.mark.parametrize("engine", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
async def test_what_is_left_of_answers_of_two_models_says_who_gave_them(
    running: Running, script: Script, request: pytest.FixtureRequest, engine: str
) -> None:
    shared: dict[str, object] = {}
    if engine == "postgres":
        shared["database_url"] = request.getfixturevalue("postgres_url")
    async with running(**shared) as core:
        actor, room = await room_of(core)
        sent = await core.chat.send(actor, room.id, text="hi", cid=None, models=("one", "two"))
        for _ in sent.turns:
            await script.requests.get()
        with core.chat.reader(actor) as reader:
            await reader.subscribe(room.id)
            reader.start(room.id)
            seen: set[str] = set()
            for count in range(1, len(sent.turns) + 1):
                script.say("seen")  # who waits longest hears it
                while len(seen) < count:
                    seen |= {one.message for one in await reader.next() if isinstance(one, Delta)}
        names = {f"turn {turn.id}" for turn in sent.turns}
        for task in asyncio.all_tasks():
            if task.get_name() in names:
                task.cancel()
    async with running(**shared) as core:
        await core.turns.recovered(60)
        left = await answers(core, actor, room)
        card = (await core.agents.get(None, core.assistant)).version
    assert [(one.text, one.status) for one in left] == [("seen", Status.INTERRUPTED)] * 2
    told = {(one.meta.get("model"), one.meta.get("provider"), one.meta.get("card")) for one in left}
    assert told == {(model, "script", card) for model in ("one", "two")}
    assert {one.meta["choice"] for one in left} == {0, 1}


async def test_where_nothing_else_is_known_the_model_that_was_asked_for_is(
    running: Running, script: Script, tmp_path: Path
) -> None:
    async with running() as core:
        actor, room = await room_of(core)
        sent = await core.chat.send(actor, room.id, text="hi", cid=None, models=("one",))
        await script.requests.get()
        [turn] = sent.turns
        dead = Journal(tmp_path / "journal" / "streams", "dead")
        dead.piece(turn.id, "seen", "")  # by a version that noted nothing else
        for task in asyncio.all_tasks():
            if task.get_name() == f"turn {turn.id}":
                task.cancel()
    dead.close()
    async with running() as core:
        [answer] = await answers(core, actor, room)
    assert (answer.status, answer.meta["model"]) == (Status.INTERRUPTED, "one")
