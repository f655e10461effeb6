"""Answers in branches: what a model is told of its path, and another answer beside one, that nothing takes away."""

import asyncio

import pytest
from tests.core.answers.test_engine import answers, room_of
from tests.core.conftest import Script

from palaver.core.live import items
from palaver.core.runtime import Core
from palaver.errors import Code, Refused
from palaver.model import Actor, Message, RoomId, Status


async def path_of(
    core: Core, actor: Actor, room: RoomId, branch: int | None = None
) -> list[tuple[str, Status]]:
    page = await core.chat.history(actor, room, branch=branch)
    return [(one.text, one.status) for one in page.messages]


async def told(script: Script) -> list[str]:
    """What the model is told next."""
    async with asyncio.timeout(20):
        return [one.text for one in (await script.requests.get()).history]


async def asked(core: Core, script: Script, actor: Actor, room: RoomId) -> Message:
    """A question and its answer, which is given."""
    await core.chat.send(actor, room, text="How far is it?", cid=None)
    assert await told(script) == ["How far is it?"]
    script.say("Ten miles.", None)
    await core.turns.idle()
    return (await core.chat.history(actor, room)).messages[-1]


async def test_another_answer_stands_beside_the_old_one_in_a_branch_of_its_own(
    core: Core, script: Script
) -> None:
    actor, room = await room_of(core)
    old = await asked(core, script, actor, room.id)
    await core.chat.send(actor, room.id, text="And back?", cid=None)
    await told(script)
    script.say("Ten more.", None)
    await core.turns.idle()
    turn = await core.turns.regenerate(actor, old.id)
    assert (turn.branch, turn.attempt) == (1, 2)
    assert await told(script) == ["How far is it?"]
    script.say("Sixteen kilometres.", None)
    await core.turns.idle()
    done = Status.DONE
    question = ("How far is it?", done)
    assert await path_of(core, actor, room.id) == [question, ("Sixteen kilometres.", done)]
    assert await path_of(core, actor, room.id, 0) == [
        question,
        ("Ten miles.", done),
        ("And back?", done),
        ("Ten more.", done),
    ]
    assert (await core.rooms.get(actor, room.id)).branch == 1
    third = await core.turns.regenerate(actor, turn.message, model="script-2")
    assert (await script.requests.get()).model == "script-2"
    script.say("Far.", None)
    await core.turns.idle()
    listed = await core.branches.listing(actor, room.id)
    places = [(one.branch, one.parent, one.after) for one in listed]
    at = (await core.chat.history(actor, room.id)).messages[0].seq
    assert places == [(0, None, 0), (1, 0, at), (third.branch, 0, at)]


async def test_a_model_is_told_the_path_of_what_it_answers(core: Core, script: Script) -> None:
    actor, room = await room_of(core)
    answer = await asked(core, script, actor, room.id)
    await core.chat.send(actor, room.id, text="How long does it take?", cid=None, after=answer.seq)
    assert await told(script) == ["How far is it?", "Ten miles.", "How long does it take?"]
    script.say("Three hours.", None)
    await core.turns.idle()
    await core.chat.send(actor, room.id, text="Is there a train?", cid=None, after=answer.seq)
    assert await told(script) == ["How far is it?", "Ten miles.", "Is there a train?"]
    script.say("No.", None)
    await core.turns.idle()
    await core.chat.send(actor, room.id, text="A bus?", cid=None, branch=1)
    assert await told(script) == [
        "How far is it?",
        "Ten miles.",
        "Is there a train?",
        "No.",
        "A bus?",
    ]
    script.say("Yes.", None)
    await core.turns.idle()
    await core.chat.send(actor, room.id, text="How far is the sea?", cid=None, after=0)
    assert await told(script) == ["How far is the sea?"]
    script.say("Far.", None)
    [*_, last] = await answers(core, actor, room)
    assert (last.text, last.branch, last.reply_to) == ("Far.", 2, None)


async def test_an_answer_that_runs_in_a_branch_says_so_and_the_actor_looks_there_everywhere(
    core: Core, script: Script
) -> None:
    actor, room = await room_of(core)
    old = await asked(core, script, actor, room.id)
    with core.chat.reader(actor) as reader:
        joined = await reader.subscribe(room.id)
        assert joined.branch == 0
        reader.start(room.id)
        await core.turns.regenerate(actor, old.id)
        seen: list[items.Item] = []
        async with asyncio.timeout(20):
            while not any(isinstance(one, items.Opened) for one in seen):
                seen += await reader.next()
        (stream,) = [one.stream for one in seen if isinstance(one, items.Opened)]
        assert stream.branch == 1
        looks = [one for one in seen if isinstance(one, items.Look)]
        assert [(one.room, one.branch) for one in looks] == [(room.id, 1)]
        kinds = [one.event.type for one in seen if isinstance(one, items.Happened)]
        assert kinds == ["branch.created"]
    script.say("Sixteen kilometres.", None)
    await core.turns.idle()
    with core.chat.reader(actor) as reader:
        assert (await reader.subscribe(room.id)).branch == 1


async def test_only_an_answer_that_is_there_has_another_one(core: Core, script: Script) -> None:
    actor, room = await room_of(core)
    old = await asked(core, script, actor, room.id)
    question = (await core.chat.history(actor, room.id)).messages[0]
    _, stranger = await core.identity.new_guest()
    for who, message, code in (
        (actor, question, Code.TURN_NOT_RETRYABLE),
        (stranger, old, Code.MESSAGE_NOT_FOUND),
    ):
        with pytest.raises(Refused) as refused:
            await core.turns.regenerate(who, message.id)
        assert refused.value.code is code
    assert len(await core.branches.listing(actor, room.id)) == 1


async def test_what_was_said_in_a_deleted_branch_is_not_found(core: Core, script: Script) -> None:
    actor, room = await room_of(core)
    await asked(core, script, actor, room.id)
    at = (await core.chat.history(actor, room.id)).messages[0].seq
    zebra = "zebra crossing"
    await core.chat.send(actor, room.id, text=zebra, cid=None, after=at, answers=False)

    async def found() -> int:
        return len((await core.search.find(actor, "zebra")).hits)

    assert await found() == 1
    await core.branches.set_deleted(actor, room.id, 1, deleted=True)
    assert await found() == 0
    for call in (
        core.chat.history(actor, room.id, branch=1),
        core.branches.look(actor, room.id, 1),
    ):
        with pytest.raises(Refused) as refused:
            await call
        assert refused.value.code is Code.BRANCH_NOT_FOUND
    await core.branches.set_deleted(actor, room.id, 1, deleted=False)
    assert await found() == 1


async def test_a_fork_begins_with_what_was_said_and_goes_its_own_way(
    core: Core, script: Script
) -> None:
    actor, room = await room_of(core)
    answer = await asked(core, script, actor, room.id)
    await core.chat.send(actor, room.id, text="And back?", cid=None, answers=False)
    made = await core.rooms.fork(actor, answer.id)
    assert made.forked == (room.id, answer.seq)
    page = await core.chat.history(actor, made.id)
    assert [(one.text, one.author) for one in page.messages] == [
        ("How far is it?", actor.id),
        ("Ten miles.", answer.author),
    ]
    assert page.messages[1].created_ms == answer.created_ms
    assert "turn" not in page.messages[1].meta
    await core.chat.send(actor, made.id, text="Really?", cid=None)
    assert await told(script) == ["How far is it?", "Ten miles.", "Really?"]
    script.say("Yes.", None)
    await core.turns.idle()
    assert len((await core.chat.history(actor, room.id)).messages) == 3
