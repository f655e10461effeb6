"""An answer ends in exactly one message, whatever happens on its way."""

import asyncio
import random
import shutil
from pathlib import Path

import pytest
from tests.core.conftest import Running, Script, Sleeper
from tests.support.simulation import SimulatedClock, simulate

from palaver.core import runtime
from palaver.core.live.items import Delta, Happened, Opened
from palaver.core.live.reader import Reader
from palaver.core.messages import Sent
from palaver.core.runtime import Core
from palaver.errors import Code, ProviderError, Refused
from palaver.model import Actor, Message, Room, Status, TurnId
from palaver.providers.base import TextPiece
from palaver.settings import Settings
from palaver.store.engine.executors import InlineLanes


async def room_of(core: Core, title: str = "") -> tuple[Actor, Room]:
    """A guest and their room; without a title a real model is asked for one, too."""
    _, actor = await core.identity.new_guest()
    return actor, await core.rooms.create(actor, title=title)


async def ask(core: Core, actor: Actor, room: Room, text: str = "hi") -> Sent:
    return await core.chat.send(actor, room.id, text=text, cid=None)


async def until_text(reader: Reader, text: str) -> None:
    """Reads along until an answer's text is this."""
    seen = ""
    while seen != text:
        for item in await reader.next():
            if isinstance(item, Delta):
                seen += item.text


async def answers(core: Core, actor: Actor, room: Room) -> list[Message]:
    await core.turns.idle()
    page = await core.chat.history(actor, room.id)
    return [message for message in page.messages if message.author == core.assistant]


async def test_an_answer_streams_and_is_stored_once_with_what_is_known_of_it(
    core: Core, script: Script
) -> None:
    actor, room = await room_of(core)
    with core.chat.reader(actor) as reader:
        await reader.subscribe(room.id)
        reader.start(room.id)
        sent = await ask(core, actor, room)
        script.say("Hel", "lo")
        await until_text(reader, "Hello")
        script.say(None)
        [answer] = await answers(core, actor, room)
    assert (answer.text, answer.status, answer.role) == ("Hello", Status.DONE, "assistant")
    assert answer.meta["turn"] == sent.turns[0].id
    assert answer.meta["usage"] == {"input": 3, "output": 2}
    assert (answer.meta["model"], answer.meta["provider"]) == ("script-1", "script")
    assert set(answer.meta["ms"]) == {"first", "total"}


async def test_the_question_is_given_to_the_model_once_and_last(core: Core, script: Script) -> None:
    actor, room = await room_of(core)
    for text in ("one", "two"):
        await ask(core, actor, room, text)
        script.say("ok", None)
        await core.turns.idle()
        request = script.requests.get_nowait()
    assert [said.text for said in request.history] == ["one", "ok", "two"]


async def test_a_stop_keeps_what_came(core: Core, script: Script) -> None:
    actor, room = await room_of(core)
    with core.chat.reader(actor) as reader:
        await reader.subscribe(room.id)
        reader.start(room.id)
        sent = await ask(core, actor, room)
        script.say("so far")
        await until_text(reader, "so far")
        await core.turns.stop(actor, sent.turns[0].id)
        [answer] = await answers(core, actor, room)
    assert (answer.text, answer.status) == ("so far", Status.STOPPED)
    assert script.closed == 1
    await core.turns.stop(actor, sent.turns[0].id)  # again: nothing happens


async def test_a_stop_while_an_answer_waits_for_its_place_is_heard(
    running: Running, script: Script
) -> None:
    async with running(turns_running_max=1) as core:
        actor, room = await room_of(core)
        first = await ask(core, actor, room, "first")
        await script.requests.get()
        second = await ask(core, actor, room, "second")
        await core.turns.stop(actor, second.turns[0].id)
        script.say("first's", None)
        both = await answers(core, actor, room)
    assert {answer.meta["turn"]: (answer.text, answer.status) for answer in both} == {
        first.turns[0].id: ("first's", Status.DONE),
        second.turns[0].id: ("", Status.STOPPED),
    }


async def test_a_providers_failure_is_a_status_with_a_code_and_never_text(
    core: Core, script: Script
) -> None:
    actor, room = await room_of(core)
    await ask(core, actor, room)
    script.say("half", ProviderError(Code.PROVIDER_CUT, "It went away."))
    [answer] = await answers(core, actor, room)
    assert (answer.text, answer.status) == ("half", Status.FAILED)
    assert answer.meta["error"] == {
        "code": "provider_cut",
        "detail": "It went away.",
        "temporary": True,
    }


async def test_try_again_deletes_the_old_answer_and_gives_a_new_one(
    core: Core, script: Script
) -> None:
    actor, room = await room_of(core)
    await ask(core, actor, room)
    script.say(ProviderError(Code.PROVIDER_TIMEOUT, "Too slow."))
    [failed] = await answers(core, actor, room)
    turn = await core.turns.retry(actor, failed.id)
    assert turn.attempt == 2
    script.say("now", None)
    old, new = await answers(core, actor, room)
    assert old.deleted_ms is not None
    assert (new.text, new.status, new.id) == ("now", Status.DONE, turn.message)
    with pytest.raises(Refused) as refused:
        await core.turns.retry(actor, failed.id)
    assert refused.value.code is Code.TURN_NOT_RETRYABLE


async def test_continue_keeps_the_old_answer_and_says_what_comes_next(
    core: Core, script: Script
) -> None:
    actor, room = await room_of(core)
    with core.chat.reader(actor) as reader:
        await reader.subscribe(room.id)
        reader.start(room.id)
        sent = await ask(core, actor, room, "count")
        script.say("one two")
        await until_text(reader, "one two")
        await core.turns.stop(actor, sent.turns[0].id)
        [half] = await answers(core, actor, room)
    script.requests.get_nowait()
    await core.turns.retry(actor, half.id, goes_on=True)
    script.say(" three", None)
    first, second = await answers(core, actor, room)
    assert (first.text, first.deleted_ms) == ("one two", None)
    assert (second.text, second.status) == (" three", Status.DONE)
    said = script.requests.get_nowait().history
    assert [one.text for one in said][:2] == ["count", "one two"]
    assert said[-1].role == "user"
    assert "Continue" in said[-1].text


async def test_two_questions_at_once_are_two_streams(core: Core, script: Script) -> None:
    actor, room = await room_of(core)
    with core.chat.reader(actor) as reader:
        await reader.subscribe(room.id)
        reader.start(room.id)
        await ask(core, actor, room, "one")
        await ask(core, actor, room, "two")
        opened: set[str] = set()
        while len(opened) < 2:
            opened |= {
                item.stream.message for item in await reader.next() if isinstance(item, Opened)
            }
        script.say("a", None, "b", None)
        both = await answers(core, actor, room)
    assert {answer.id for answer in both} == opened


async def test_an_answer_goes_on_when_its_only_reader_leaves(core: Core, script: Script) -> None:
    actor, room = await room_of(core)
    with core.chat.reader(actor) as reader:
        await reader.subscribe(room.id)
        reader.start(room.id)
        await ask(core, actor, room)
        script.say("begun ")
        await until_text(reader, "begun ")
    script.say("and ended", None)
    [answer] = await answers(core, actor, room)
    assert answer.text == "begun and ended"


async def test_a_late_reader_gets_the_text_so_far_in_one_piece(core: Core, script: Script) -> None:
    actor, room = await room_of(core)
    with core.chat.reader(actor) as early, core.chat.reader(actor) as late:
        await early.subscribe(room.id)
        early.start(room.id)
        await ask(core, actor, room)
        script.say("one ", "two ")
        await until_text(early, "one two ")
        joined = await late.subscribe(room.id)
        late.start(room.id)
        assert [(view.text, view.n) for view in joined.streams] == [("one two ", 2)]
        script.say("three", None)
        texts: list[str] = []
        ended = False
        while not ended:
            for item in await late.next():
                texts += [item.text] if isinstance(item, Delta) else []
                ended = ended or isinstance(item, Happened)
    assert "".join(texts) in {"three", ""}  # the final message may overtake the last piece


async def test_a_stopping_server_keeps_what_came_as_interrupted(
    running: Running, script: Script
) -> None:
    async with running() as core:
        actor, room = await room_of(core)
        with core.chat.reader(actor) as reader:
            await reader.subscribe(room.id)
            reader.start(room.id)
            await ask(core, actor, room)
            script.say("not yet whole")
            await until_text(reader, "not yet whole")
        await core.drain(0.01)
    async with running() as core:
        [answer] = await answers(core, actor, room)
    assert (answer.text, answer.status) == ("not yet whole", Status.INTERRUPTED)


async def test_an_endless_answer_is_cut_and_kept(running: Running, script: Script) -> None:
    async with running(answer_chars_max=10) as core:
        actor, room = await room_of(core)
        await ask(core, actor, room)
        script.say("12345", "67890", "x", "y")
        [answer] = await answers(core, actor, room)
    assert (answer.text, answer.status) == ("1234567890x", Status.FAILED)
    assert answer.meta["error"]["code"] == "answer_too_long"


async def test_a_full_journal_shows_nothing_and_loses_nothing(
    core: Core, script: Script, tmp_path: Path
) -> None:
    actor, room = await room_of(core)
    journal = tmp_path / "journal" / "streams"
    shutil.rmtree(journal)
    journal.write_text("no directory any more")  # the next segment cannot be made
    await ask(core, actor, room)
    await script.requests.get()
    script.say("kept ")
    while not script.pieces.empty():  # noqa: ASYNC110  nobody is told
        await asyncio.sleep(0)
    with core.chat.reader(actor) as reader:
        (stream,) = (await reader.subscribe(room.id)).streams
        assert stream.text == ""
    script.say("anyway", None)
    [answer] = await answers(core, actor, room)
    assert (answer.text, answer.status) == ("kept anyway", Status.DONE)


async def test_a_stranger_stops_and_retries_nothing(core: Core, script: Script) -> None:
    actor, room = await room_of(core)
    _, stranger = await core.identity.new_guest()
    sent = await ask(core, actor, room)
    with pytest.raises(Refused) as refused:
        await core.turns.stop(stranger, sent.turns[0].id)
    assert refused.value.code is Code.TURN_NOT_FOUND
    with pytest.raises(Refused):
        await core.turns.stop(actor, TurnId("t_" + "0" * 32))
    script.say("a", None)
    [answer] = await answers(core, actor, room)
    with pytest.raises(Refused) as refused:
        await core.turns.retry(stranger, answer.id)
    assert refused.value.code is Code.MESSAGE_NOT_FOUND


async def test_a_real_model_names_the_room_and_a_person_has_the_last_word(
    running: Running, script: Script
) -> None:
    script.real = True
    async with running() as core:
        actor, room = await room_of(core)
        await ask(core, actor, room, "How do I bake bread?\nI have flour.")
        assert (await core.rooms.get(actor, room.id)).title == "How do I bake bread?"
        script.say("Slowly.", None, '"Baking bread"\n', None)
        await core.turns.idle()
        assert (await core.rooms.get(actor, room.id)).title == "Baking bread"
        await core.rooms.rename(actor, room.id, "Mine")
        await ask(core, actor, room, "And then?")
        script.say("Eat.", None)
        await core.turns.idle()
        assert (await core.rooms.get(actor, room.id)).title == "Mine"


async def test_a_model_that_only_thinks_names_no_room_and_markdown_is_in_no_name(
    running: Running, script: Script
) -> None:
    script.real = True
    async with running() as core:
        for name, title in (("Let me see.</think>\n", "Hello?"), ("# **Bread**", "Bread")):
            actor, room = await room_of(core)
            await ask(core, actor, room, "Hello?")
            script.say("Slowly.", None, name, None)
            await core.turns.idle()
            assert (await core.rooms.get(actor, room.id)).title == title


async def test_a_program_writes_an_answer_itself(core: Core) -> None:
    actor, room = await room_of(core)
    agent = (await core.agents.ensured("helper", "Helper")).actor
    await core.rooms.join(actor, room.id, agent)
    async with core.turns.external(room.id, agent) as answer:
        answer.take(TextPiece("by "))
        answer.take(TextPiece("hand"))
    assert answer.message is not None
    assert (answer.message.text, answer.message.status) == ("by hand", Status.DONE)
    with pytest.raises(ZeroDivisionError):
        await half_an_answer(core, room, agent)
    page = await core.chat.history(actor, room.id)
    assert (page.messages[-1].text, page.messages[-1].status) == ("half", Status.FAILED)


async def half_an_answer(core: Core, room: Room, agent: Actor) -> None:
    async with core.turns.external(room.id, agent) as answer:
        answer.take(TextPiece("half"))
        raise ZeroDivisionError


@pytest.mark.postgres
async def test_after_a_sleep_nothing_is_shown_before_the_lease_is_known_to_be_ours(
    postgres_url: str, tmp_path: Path, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "PULSE_SECONDS", 3_600)
    clock = Sleeper()
    settings = Settings(data_dir=tmp_path, database_url=postgres_url, detect=False)
    async with runtime.started(settings, clock=clock, provider=script) as core:
        _, ada = await core.identity.new_guest("Ada")
        await core.chat.send(ada, core.lobby, text="@assistant why?", cid="why")
        await script.requests.get()
        clock.slept = 60
        script.say("Because")
        while not script.pieces.empty():  # noqa: ASYNC110  nobody is told
            await asyncio.sleep(0)
        with core.chat.reader(ada) as reader:
            assert (await reader.subscribe(core.lobby)).streams == ()
        await core.turns.renew()
        with core.chat.reader(ada) as reader:
            (stream,) = (await reader.subscribe(core.lobby)).streams
            assert stream.text == "Because"
        script.say(None)
        await core.turns.idle()


def test_a_running_answer_commits_nothing_to_sqlite_as_time_goes_by(tmp_path: Path) -> None:
    async def life(_chance: random.Random, clock: SimulatedClock) -> None:
        settings = Settings(data_dir=tmp_path, database_url="sqlite://", detect=False)
        async with runtime.started(
            settings, clock=clock, lanes=InlineLanes(), provider=Script()
        ) as core:
            ada = (await core.identity.new_guest())[1]
            await core.chat.send(ada, core.lobby, text="@assistant hello", cid=None)
            await asyncio.sleep(1)
            commits = core.figures()["commits"]
            await asyncio.sleep(60)
            assert core.turns.running == 1
            assert core.figures()["commits"] == commits

    simulate(1, life)
