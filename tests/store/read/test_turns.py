"""A turn is opened with its message, and gives one message, whoever works on it."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from msgspec.structs import replace
from tests.store.world import World, opened
from tests.support.postgres import PostgresServer

from palaver.errors import Code, Refused
from palaver.model import (
    NO_DATA,
    Actor,
    Entry,
    EventType,
    MemberRole,
    Message,
    MessageId,
    Role,
    Room,
    Speaks,
    Status,
    Turn,
    TurnId,
    TurnState,
    Visibility,
)
from palaver.model.agents import Told
from palaver.store.read import messages, turns
from palaver.store.write.rooms import AddMember, SetRoomDeleted
from palaver.store.write.turns import (
    ClaimTurns,
    FinishTurn,
    KeepParts,
    Part,
    RenewLeases,
    RetryTurn,
)


def ending(
    turn: Turn,
    text: str = "answer",
    *,
    fence: int | None = None,
    status: Status = Status.DONE,
    meta: Mapping[str, Any] = NO_DATA,
) -> FinishTurn:
    fence = turn.fence if fence is None else fence
    entry = Entry(role=Role.ASSISTANT, text=text, meta=meta)
    return FinishTurn(turn=turn.id, fence=fence, status=status, entries=(entry,))


async def stored(world: World, end: FinishTurn) -> Message | None:
    finished = await world.store.write(end)
    return None if finished is None else finished.messages[0]


async def asked(world: World) -> tuple[Actor, Room, Turn]:
    ada, bot = await world.person(), await world.agent()
    room = await world.room(ada, bot)
    (turn,) = (await world.say(room, ada, "question", answers=True)).turns
    return ada, room, turn


async def test_a_message_opens_a_turn_of_each_answering_agent(world: World) -> None:
    ada, bot, ben = await world.person(), await world.agent("Bot"), await world.agent("Ben")
    quiet = await world.agent("Quiet")
    room = await world.room(ada, bot, ben)
    await world.store.write(
        AddMember(
            room=room.id,
            by=ada.id,
            actor=quiet.id,
            role=MemberRole.MEMBER,
            speaks=Speaks.NEVER,
        )
    )
    without = await world.say(room, ada, "no answer, please")
    added = await world.say(room, ada, "answer", answers=True)
    assert without.turns == ()
    assert [turn.agent_name for turn in added.turns] == ["Bot", "Ben"]
    for turn in added.turns:
        assert (turn.trigger_seq, turn.attempt, turn.fence) == (added.message.seq, 1, 1)
        assert turn.state is TurnState.OPEN
        assert await world.store.read(turns.get, turn.id) == turn
        assert await world.store.read(messages.get, turn.message) is None
    assert set(await world.store.read(turns.open_of, world.store.owner)) == set(added.turns)
    assert await world.store.read(turns.running) == 2


async def test_a_duplicate_opens_no_turn_and_gives_the_one_that_is_open(world: World) -> None:
    ada, bot = await world.person(), await world.agent()
    room = await world.room(ada, bot)
    draft = world.draft(room, ada, answers=True)
    first, second = await asyncio.gather(world.store.write(draft), world.store.write(draft))
    assert len(first.turns) == 1
    assert second.turns == first.turns
    assert await world.store.read(turns.running) == 1


async def test_finishing_stores_the_message_under_the_turns_id_once(world: World) -> None:
    _, room, turn = await asked(world)
    meta = {"turn": turn.id, "error": {"code": "provider_cut", "temporary": True}}
    finish = ending(turn, "half", status=Status.FAILED, meta=meta)
    message, again = await asyncio.gather(stored(world, finish), stored(world, finish))
    assert message is not None
    assert message == again
    assert await stored(world, replace(finish, status=Status.DONE)) is None
    assert (message.id, message.seq, message.author) == (turn.message, 3, turn.agent)
    assert (message.role, message.status, message.text) == (Role.ASSISTANT, Status.FAILED, "half")
    assert message.meta == meta
    assert message.name == turn.agent_name
    assert await world.store.read(messages.get, turn.message) == message
    ended = await world.store.read(turns.get, turn.id)
    assert ended is not None
    assert ended.state is TurnState.ENDED
    assert await world.store.read(turns.running) == 0
    assert await world.happened(room) == [
        EventType.ROOM_CREATED,
        EventType.MESSAGE_CREATED,
        EventType.MESSAGE_CREATED,
    ]


async def test_an_old_fence_finishes_nothing(world: World) -> None:
    _, room, turn = await asked(world)
    for fence in (0, 2):
        assert await world.store.write(ending(turn, fence=fence)) is None
    unknown = TurnId(f"t_{world.clock.new_id()}")
    finish = replace(ending(turn), turn=unknown)
    assert await world.store.write(finish) is None
    assert len(await world.said(room)) == 1
    assert await world.store.write(ending(turn)) is not None


async def test_an_answer_to_a_deleted_room_is_kept(world: World) -> None:
    ada, room, turn = await asked(world)
    await world.store.write(SetRoomDeleted(room=room.id, by=ada.id, deleted=True))
    assert await world.store.write(ending(turn, "late")) is not None
    await world.store.write(SetRoomDeleted(room=room.id, by=ada.id, deleted=False))
    assert [message.text for message in await world.said(room)] == ["question", "late"]


async def test_retrying_deletes_the_answer_and_opens_the_next_attempt(world: World) -> None:
    ada, room, first = await asked(world)
    answer = await stored(world, ending(first, "bad"))
    assert answer is not None
    second = await world.store.write(RetryTurn(message=answer.id, by=ada.id))
    assert (second.attempt, second.trigger_seq, second.agent) == (2, first.trigger_seq, first.agent)
    assert second.id != first.id
    assert second.message != first.message
    (event,) = [one for one in await world.log(room) if one.type is EventType.MESSAGE_DELETED]
    assert event.data == {"msg": answer.id, "seq": answer.seq}
    assert event.actor == ada.id
    deleted = await world.store.read(messages.get, answer.id)
    assert deleted is not None
    assert deleted.text == ""
    assert deleted.deleted_ms is not None
    better = await stored(world, ending(second, "good"))
    assert better is not None
    third = await world.store.write(RetryTurn(message=better.id, by=ada.id))
    assert third.attempt == 3
    said = await world.store.read(messages.context, room.id, upto_seq=100, limit=10)
    assert [message.text for message in said] == ["question"]


async def test_only_an_answer_that_is_there_can_be_retried(world: World) -> None:
    ada, room, turn = await asked(world)
    eve = await world.person("Eve")
    answer = await stored(world, ending(turn))
    assert answer is not None
    question = (await world.said(room))[0].id

    async def refused(message: MessageId, by: Actor) -> Code:
        with pytest.raises(Refused) as caught:
            await world.store.write(RetryTurn(message=message, by=by.id))
        return caught.value.code

    assert await refused(answer.id, eve) is Code.ROOM_NOT_FOUND
    assert await refused(question, ada) is Code.TURN_NOT_RETRYABLE
    assert await refused(MessageId(f"m_{world.clock.new_id()}"), ada) is Code.MESSAGE_NOT_FOUND
    both = await asyncio.gather(
        *(world.store.write(RetryTurn(message=answer.id, by=ada.id)) for _ in range(2)),
        return_exceptions=True,
    )
    assert isinstance(both[0], Turn)
    assert isinstance(both[1], Refused)
    assert both[1].code is Code.TURN_NOT_RETRYABLE


async def test_who_asked_may_retry_and_nobody_else_in_an_open_room_nor_a_reader_in_a_private_one(
    world: World,
) -> None:
    ada, bot, eve = await world.person(), await world.agent(), await world.person("Eve")
    lobby = await world.room(None, bot, title="Lobby", visibility=Visibility.OPEN)
    (turn,) = (await world.say(lobby, ada, answers=True, asks=True)).turns
    answer = await stored(world, ending(turn))
    assert answer is not None
    for goes_on in (False, True):
        with pytest.raises(Refused) as caught:
            await world.store.write(RetryTurn(message=answer.id, by=eve.id, goes_on=goes_on))
        assert caught.value.code is Code.FORBIDDEN
    more = await world.store.write(RetryTurn(message=answer.id, by=ada.id, goes_on=True))
    assert await world.store.read(turns.asked_by, more.id, ada.id), "what goes on is hers, too"
    assert not await world.store.read(turns.asked_by, more.id, eve.id)
    assert (await world.store.write(RetryTurn(message=answer.id, by=ada.id))).attempt == 2
    room = await world.room(ada, bot)
    await world.store.write(
        AddMember(room=room.id, by=ada.id, actor=eve.id, role=MemberRole.READER)
    )
    (turn,) = (await world.say(room, ada, answers=True)).turns
    answer = await stored(world, ending(turn))
    assert answer is not None
    with pytest.raises(Refused) as caught:
        await world.store.write(RetryTurn(message=answer.id, by=eve.id))
    assert caught.value.code is Code.FORBIDDEN


async def test_a_living_process_keeps_its_turns(world: World) -> None:
    await asked(world)
    assert await world.store.write(ClaimTurns()) == ()
    assert len(await world.store.write(RenewLeases())) == 1


async def test_the_next_process_on_a_file_takes_over_with_a_higher_fence(sqlite_url: str) -> None:
    async with opened(sqlite_url) as world:
        ada, room, turn = await asked(world)
        second = (await world.say(room, ada, "and this?", answers=True)).turns[0]
    async with opened(sqlite_url) as world:
        (claimed,) = await world.store.write(ClaimTurns(count=1))
        assert claimed.id == turn.id
        assert claimed.fence == turn.fence + 1
        assert [one.id for one in await world.store.write(ClaimTurns())] == [second.id]
        assert await world.store.write(ClaimTurns()) == ()
        assert await world.store.write(ending(turn)) is None, "the dead process' fence"
        assert await world.store.write(ending(claimed)) is not None


@pytest.mark.postgres
async def test_on_postgresql_a_turn_is_free_when_its_lease_has_run_out(
    postgres_url: str, postgres_server: PostgresServer
) -> None:
    def age_leases() -> None:
        postgres_server.execute(
            "UPDATE turns SET lease_until_ms = lease_until_ms - 31000",
            postgres_url.rpartition("/")[2],
        )

    async with opened(postgres_url) as mine, opened(postgres_url) as other:
        _, _, turn = await asked(mine)
        assert await other.store.write(ClaimTurns()) == ()
        age_leases()
        assert len(await mine.store.write(RenewLeases())) == 1
        assert await other.store.write(ClaimTurns()) == ()
        age_leases()
        (claimed,) = await other.store.write(ClaimTurns())
        assert claimed.fence == turn.fence + 1
        assert not await mine.store.write(RenewLeases())
        assert await mine.store.write(ending(turn)) is None
        assert await other.store.write(ending(claimed)) is not None


async def test_a_running_answer_is_copied_part_by_part_until_it_ends(world: World) -> None:
    _, _, turn = await asked(world)
    _, _, other = await asked(world)
    first = Part(turn.id, 0, "Hel", "Hm")
    again = first  # as after a cut
    for part in (first, again, Part(turn.id, 1, "lo \0", "")):
        await world.store.write(KeepParts(parts=(part, Part(other.id, part.place, "x", ""))))
    assert await world.store.read(turns.copied, turn.id) == ("Hello \0", "Hm")
    await world.store.write(ending(turn))
    if world.store.shared:
        assert await world.store.read(turns.copied, turn.id) == ("", "")
        await world.store.write(KeepParts(parts=(Part(turn.id, 2, "late", ""),)))
        assert await world.store.read(turns.copied, turn.id) == ("", "")
    assert await world.store.read(turns.copied, other.id) == ("xx", "")


async def test_what_a_model_was_told_is_kept_with_the_end_and_headers_are_remembered(
    world: World,
) -> None:
    ada, room, turn = await asked(world)
    assert await world.store.read(turns.told, turn.id) is None
    assert await world.store.read(turns.told, TurnId("t_" + "0" * 32)) is None
    kept = Told(bytes(range(32)), headed=True, card=3, most=2**40)
    await world.store.write(replace(ending(turn), told=kept))
    assert await world.store.read(turns.told, turn.id) == kept
    assert not await world.store.read(turns.headed, room.id, turn.trigger_seq)
    assert await world.store.read(turns.headed, room.id, turn.trigger_seq + 1)
    [next_turn] = (await world.say(room, ada, answers=True)).turns
    await world.store.write(ending(next_turn))
    assert not await world.store.read(turns.headed, room.id, next_turn.trigger_seq + 1)
