"""Pages of a room at every border, single messages, what a model is given, and that all of it uses the indexes."""

import asyncio

from hypothesis import given, settings, strategies as st
from tests.store.world import World, opened

from palaver.model import (
    Actor,
    Entry,
    EventType,
    MessageId,
    Page,
    Role,
    Room,
    RoomId,
    Status,
    TitleSource,
)
from palaver.store.engine.executors import InlineLanes
from palaver.store.read import events, messages
from palaver.store.write.messages import SetMessageDeleted
from palaver.store.write.rooms import RenameRoom
from palaver.store.write.turns import FinishTurn, RetryTurn

FAR = 2**70


async def filled(world: World) -> tuple[Actor, Room]:
    """A room whose messages have the seqs 2, 3, 5, 6, 8, 9: events of other kinds stand between."""
    ada = await world.person()
    room = await world.room(ada)
    for number in range(3):
        await world.say(room, ada, "a")
        await world.say(room, ada, "b")
        rename = RenameRoom(room=room.id, by=None, title=str(number), source=TitleSource.MODEL)
        await world.store.write(rename)
    return ada, room


def model(seqs: list[int], asked: dict[str, int], limit: int) -> tuple[list[int], object, object]:
    """What a page is, in a few lines."""
    if "after" in asked:
        found = [seq for seq in seqs if seq > asked["after"]][:limit]
        start = asked["after"] + 1
    elif "around" in asked:
        older = [seq for seq in seqs if seq < asked["around"]]
        newer = [seq for seq in seqs if seq >= asked["around"]]
        count = min(len(older), max(limit // 2, limit - len(newer)))
        found = older[len(older) - count :] + newer[: limit - count]
        start = asked["around"]
    else:
        start = asked.get("before", FAR)
        found = [seq for seq in seqs if seq < start][-limit:]
    first, last = (found[0], found[-1]) if found else (start, start - 1)
    before = first if any(seq < first for seq in seqs) else None
    after = last if any(seq > last for seq in seqs) else None
    return found, before, after


def shape(page: Page) -> tuple[list[int], object, object]:
    return [message.seq for message in page.messages], page.before, page.after


async def test_every_page_is_what_the_model_says(world: World) -> None:
    _, room = await filled(world)
    seqs = [2, 3, 5, 6, 8, 9]
    for limit in (1, 2, 3, 5, 6, 7):
        for place in range(12):
            for kind in ("before", "after", "around"):
                page = await world.store.read(
                    messages.page, room.id, None, limit=limit, **{kind: place}
                )
                assert shape(page) == model(seqs, {kind: place}, limit), (kind, place, limit)
        newest = await world.store.read(messages.page, room.id, limit=limit)
        assert shape(newest) == model(seqs, {}, limit)


async def test_seqs_beyond_every_integer_are_borders_like_any(world: World) -> None:
    _, room = await filled(world)
    read = world.store.read
    assert len((await read(messages.page, room.id, before=FAR, limit=50)).messages) == 6
    assert len((await read(messages.page, room.id, after=-FAR, limit=50)).messages) == 6
    assert (await read(messages.page, room.id, after=FAR, limit=50)).messages == ()
    assert (await read(messages.page, room.id, before=-FAR, limit=50)).messages == ()
    assert len((await read(messages.page, room.id, around=FAR, limit=4)).messages) == 4
    assert await read(events.since, room.id, FAR, 10) == ()
    assert len(await read(events.since, room.id, -FAR, 100)) == 10


async def test_walking_by_cursors_sees_each_message_once(world: World) -> None:
    _, room = await filled(world)
    seen: list[int] = []
    before: int | None = None
    while True:
        page = await world.store.read(messages.page, room.id, before=before, limit=4)
        seen = [message.seq for message in page.messages] + seen
        if page.before is None:
            break
        before = page.before
    assert seen == [2, 3, 5, 6, 8, 9]


async def test_what_was_said_comes_in_pages_from_the_first_word(world: World) -> None:
    ada, room = await filled(world)
    gone = await world.say(room, ada, "taken back")
    await world.store.write(SetMessageDeleted(message=gone.message.id, by=ada.id, deleted=True))
    await world.say(room, ada, "last")
    for limit, offset, seqs in ((3, 0, [2, 3, 5]), (3, 4, [8, 9, 13]), (9, 6, [13]), (9, 7, [])):
        said = await world.store.read(messages.spoken, room.id, limit=limit, offset=offset)
        assert [one.seq for one in said] == seqs


async def test_an_empty_room_and_none_at_all_have_an_empty_page(world: World) -> None:
    ada = await world.person()
    empty = await world.room(ada)
    for room in (empty.id, RoomId("r_" + "0" * 32), RoomId("")):
        for place in ({}, {"before": 5}, {"after": 0}, {"around": 3}):
            page = await world.store.read(messages.page, room, None, limit=5, **place)
            assert page == Page(messages=(), before=None, after=None)


async def test_a_deleted_message_keeps_its_place_without_its_text(world: World) -> None:
    ada, bot = await world.person(), await world.agent()
    room = await world.room(ada, bot)
    (turn,) = (await world.say(room, ada, "question", answers=True)).turns
    entry = Entry(role=Role.ASSISTANT, text="secret", meta={"reasoning": "s"})
    finished = await world.store.write(
        FinishTurn(turn=turn.id, fence=1, status=Status.DONE, entries=(entry,))
    )
    assert finished is not None
    (answer,) = finished.messages
    await world.store.write(RetryTurn(message=answer.id, by=ada.id))
    page = await world.store.read(messages.page, room.id, limit=10)
    deleted = page.messages[1]
    assert (deleted.id, deleted.text, deleted.meta) == (answer.id, "", {})
    assert deleted.deleted_ms is not None
    told = await world.log(room)
    assert [event.message for event in told if event.type is EventType.MESSAGE_CREATED] == list(
        page.messages
    )
    context = await world.store.read(messages.context, room.id, upto_seq=100, limit=10)
    assert [message.text for message in context] == ["question"]


async def test_the_context_ends_at_a_seq_and_holds_the_last_ones(world: World) -> None:
    _, room = await filled(world)
    read = world.store.read
    context = await read(messages.context, room.id, upto_seq=6, limit=3)
    assert [message.seq for message in context] == [3, 5, 6]
    assert await read(messages.context, room.id, upto_seq=1, limit=3) == ()


async def test_a_reply_names_a_message_of_its_own_room(world: World) -> None:
    ada = await world.person()
    room, other = await world.room(ada), await world.room(ada)
    first = await world.say(room, ada, "first")
    draft = world.draft(room, ada, "in one batch")
    second, third = await asyncio.gather(
        world.store.write(draft), world.say(room, ada, "reply", reply_to=draft.id)
    )
    fourth = await world.say(room, ada, "reply", reply_to=first.message.id)
    said = await world.said(room)
    assert [message.reply_to for message in said] == [None, None, draft.id, first.message.id]
    assert said[1:] == [second.message, third.message, fourth.message]
    results = await asyncio.gather(
        world.say(other, ada, reply_to=first.message.id), return_exceptions=True
    )
    assert isinstance(results[0], Exception)
    assert await world.store.read(messages.get, MessageId("m_" + "0" * 32)) is None


@settings(max_examples=25)
@given(
    seqs=st.lists(st.booleans(), max_size=12),
    place=st.integers(0, 15),
    kind=st.sampled_from(["before", "after", "around"]),
    limit=st.integers(1, 8),
)
def test_any_room_pages_as_the_model_says(
    seqs: list[bool], place: int, kind: str, limit: int
) -> None:
    async def life() -> None:
        async with opened("sqlite://", lanes=InlineLanes()) as world:
            ada = await world.person()
            room = await world.room(ada)
            said: list[int] = []
            for number, is_message in enumerate(seqs):
                if is_message:
                    said.append((await world.say(room, ada)).message.seq)
                else:
                    title, source = str(number), TitleSource.MODEL
                    await world.store.write(
                        RenameRoom(room=room.id, by=None, title=title, source=source)
                    )
            page = await world.store.read(
                messages.page, room.id, None, limit=limit, **{kind: place}
            )
            assert shape(page) == model(said, {kind: place}, limit)

    asyncio.run(life())
