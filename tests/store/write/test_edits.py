"""Edits keep what there was: the history, the chain and what was sent hold through any life of edits and deletions."""

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, given, settings as effort, strategies as st
from msgspec.structs import replace
from sqlalchemy import Connection
from tests.store.world import World, opened

from palaver.errors import Code, Refused
from palaver.model import Actor, EventType, Kind, MemberRole, MessageId, Role, Room, Status
from palaver.store.admin.verify import verified
from palaver.store.engine.executors import InlineLanes
from palaver.store.read import edits, messages, past
from palaver.store.write.edits import EditMessage
from palaver.store.write.messages import SetMessageDeleted
from palaver.store.write.rooms import AddMember, SetArchived

STEPS = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 2), st.sampled_from(["a", "b", "@Bo c"])),
    max_size=15,
)


def faults(conn: Connection) -> Sequence[object]:
    def progress(what: str, done: int, of: int) -> None:
        """Tells nobody."""

    return verified(progress, conn).faults


async def refused(world: World, command: EditMessage) -> Code | None:
    try:
        await world.store.write(command)
    except Refused as refusal:
        return refusal.code
    return None


async def lived(world: World, steps: list[tuple[int, int, str]]) -> None:
    """Three messages, of which a plain model knows all versions, whether they are there, and how they were sent."""
    ada = await world.person("Ada")
    room = await world.room(ada)
    drafts = [world.draft(room, ada, f"first {number}") for number in range(3)]
    said = [(await world.store.write(draft)).message for draft in drafts]
    known = [[(one.seq, one.text)] for one in said]
    there = [True] * 3
    then: dict[int, list[str | None]] = {}
    for kind, which, text in steps:
        its, last = said[which], known[which][-1]
        if kind < 3:  # names what it saw, names nothing, or what never was
            version = (last[0], None, last[0] + 1)[kind]
            edit = EditMessage(message=its.id, by=ada.id, room=room.id, text=text, version=version)
            seen = version == last[0] or (version is None and len(known[which]) == 1)
            wanted = None if seen or text == last[1] else Code.EDIT_CONFLICT
            got = await refused(world, edit)
            assert got == (wanted if there[which] else Code.NOT_EDITABLE)
            if got is None and text != last[1]:
                known[which].append((len(await world.log(room)), text))
        else:
            there[which] = kind == 4
            delete = SetMessageDeleted(message=its.id, by=ada.id, deleted=not there[which])
            await world.store.write(delete)
        seq = len(await world.log(room))
        then[seq] = [
            of[-1][1] if is_there else None for of, is_there in zip(known, there, strict=True)
        ]
    for draft, its in zip(drafts, said, strict=True):
        again = await world.store.write(replace(draft, id=MessageId(f"m_{world.clock.new_id()}")))
        assert (again.dup, again.message.id) == (True, its.id)
    now = {one.id: one for one in await world.said(room)}
    for its, wanted, is_there in zip(said, known, there, strict=True):
        message = now[its.id]
        assert message.text == (wanted[-1][1] if is_there else "")
        assert (message.edited_ms is None) == (len(wanted) == 1)
        if is_there:
            found, more = await world.store.read(edits.versions, message)
            assert [(one.seq, one.text) for one in found] == wanted
            assert (more, {one.by for one in found}) == (False, {ada.id})
    for seq, texts in then.items():
        page = await world.store.read(past.page, room.id, seq, before=None, limit=9)
        assert [None if one.deleted_ms else one.text for one in page.messages] == texts
    assert await world.store.read(faults) == []


@effort(max_examples=40, deadline=None)
@given(STEPS)
def test_any_life_of_edits_is_kept_whole(steps: list[tuple[int, int, str]]) -> None:
    async def life() -> None:
        async with opened("sqlite://", lanes=InlineLanes()) as world:
            await lived(world, steps)

    asyncio.run(life())


@effort(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_on_both_engines(database_url: str, steps: list[tuple[int, int, str]]) -> None:
    async def life() -> None:
        async with opened(database_url) as world:
            await lived(world, steps)

    asyncio.run(life())


@pytest.fixture
async def place(world: World) -> tuple[Actor, Room, MessageId]:
    ada = await world.person("Ada")
    room = await world.room(ada)
    return ada, room, (await world.say(room, ada, "first")).message.id


async def test_of_two_who_edit_at_once_one_is_told(
    world: World, place: tuple[Actor, Room, MessageId]
) -> None:
    ada, room, id_ = place
    edits_of_both = [
        EditMessage(message=id_, by=ada.id, room=room.id, text=text) for text in ("one", "other")
    ]
    got = await asyncio.gather(*[refused(world, edit) for edit in edits_of_both])
    assert sorted(map(str, got)) == ["None", "edit_conflict"]
    again = edits_of_both[got.index(None)]
    assert await refused(world, again) is None, "what is so already is no edit"
    assert len(await world.log(room)) == 3
    late = replace(edits_of_both[got.index(Code.EDIT_CONFLICT)], version=3)
    assert (await world.store.write(late)).version == 4


async def test_an_edit_is_told_with_what_was_there_and_what_is(
    world: World, place: tuple[Actor, Room, MessageId]
) -> None:
    ada, room, id_ = place
    bo = await world.person("Bo")
    join = AddMember(room=room.id, actor=bo.id, by=ada.id, role=MemberRole.MEMBER)
    await world.store.write(join)
    edit = EditMessage(message=id_, by=ada.id, room=room.id, text=f"ask @{bo.id}")
    edited = await world.store.write(edit)
    (told,) = world.told[-1]
    assert told == (await world.log(room))[-1]
    assert (told.type, told.message) == (EventType.MESSAGE_EDITED, edited.message)
    assert told.data == {"msg": id_, "seq": 2, "was": "first"}
    assert edited.message == (await world.said(room))[0]
    await world.store.write(SetMessageDeleted(message=id_, by=ada.id, deleted=True))
    hidden = (await world.log(room))[edited.version - 1]
    assert hidden.message is not None
    assert (hidden.message.text, hidden.data["was"]) == ("", "")


async def test_what_is_not_words_alone_or_elsewhere_is_not_edited(
    world: World, place: tuple[Actor, Room, MessageId]
) -> None:
    ada, room, id_ = place
    other = await world.room(ada)
    elsewhere = EditMessage(message=id_, by=ada.id, room=other.id, text="x")
    assert await refused(world, elsewhere) is Code.MESSAGE_NOT_FOUND
    nothing = replace(elsewhere, message=MessageId(f"m_{world.clock.new_id()}"))
    assert await refused(world, nothing) is Code.MESSAGE_NOT_FOUND
    pictured = await world.say(room, ada, "look", meta={"parts": [{"type": "x"}]})
    prompt = await world.say(room, ada, "be brief", role=Role.SYSTEM)
    for one in (pictured, prompt):
        edit = EditMessage(message=one.message.id, by=ada.id, room=room.id, text="x")
        assert await refused(world, edit) is Code.NOT_EDITABLE
    await world.store.write(SetArchived(room=room.id, by=ada.id, archived=True))
    here = EditMessage(message=id_, by=ada.id, room=room.id, text="x")
    assert await refused(world, here) is Code.ROOM_ARCHIVED
    assert (await world.store.read(messages.get, id_)) is not None


async def test_nobody_edits_another_persons_words_and_an_owner_mends_an_answer(
    world: World, place: tuple[Actor, Room, MessageId]
) -> None:
    ada, room, id_ = place
    bo, bot = await world.person("Bo"), await world.agent()
    for one in (bo, bot):
        join = AddMember(room=room.id, actor=one.id, by=ada.id, role=MemberRole.MODERATOR)
        await world.store.write(join)
    answer = (await world.say(room, bot, "An answer.", role=Role.ASSISTANT)).message
    its = (await world.say(room, bo, "mine")).message
    for message, by, wanted in (
        (id_, bo, Code.FORBIDDEN),
        (answer.id, bo, Code.FORBIDDEN),
        (its.id, ada, Code.FORBIDDEN),
        (answer.id, ada, None),
    ):
        edit = EditMessage(message=message, by=by.id, room=room.id, text="changed")
        assert await refused(world, edit) is wanted
    (mended,) = [one for one in await world.said(room) if one.id == answer.id]
    assert (mended.author, mended.text, mended.kind) == (bot.id, "changed", Kind.TEXT)
    assert mended.status is Status.DONE
    found, _ = await world.store.read(edits.versions, mended)
    assert [one.by for one in found] == [bot.id, ada.id]
