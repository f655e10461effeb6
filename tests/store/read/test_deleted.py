"""What somebody may restore, page by page, and what is due."""

from functools import partial

import pytest
from tests.store.world import World

from palaver.errors import Code, Refused
from palaver.model import Actor, MemberRole
from palaver.model.deleted import Deleted
from palaver.store.read import deleted
from palaver.store.write.clearing import ClearRoom
from palaver.store.write.messages import SetMessageDeleted
from palaver.store.write.rooms import AddMember, SetArchived, SetRoomDeleted


async def page_of(
    world: World, actor: Actor, *, since_ms: int = 0, cursor: str | None = None, limit: int = 9
) -> Deleted:
    read = partial(deleted.page, since_ms=since_ms, cursor=cursor, limit=limit)
    return await world.store.read(read, actor.id)


async def of(world: World, actor: Actor, *, limit: int = 50) -> list[Deleted]:
    pages: list[Deleted] = []
    cursor = None
    while not pages or cursor is not None:
        pages.append(await page_of(world, actor, cursor=cursor, limit=limit))
        cursor = pages[-1].cursor
    return pages


def texts(pages: list[Deleted]) -> list[str]:
    return [one.message.text for page in pages for one in page.messages]


async def test_everyone_finds_what_they_may_restore_and_nothing_else(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deleted, "WALKED", 3)
    ada, bo, eve = [await world.person(name) for name in ("Ada", "Bo", "Eve")]
    room = await world.room(ada, title="Plans")
    for one in (bo, eve):
        join = AddMember(room=room.id, actor=one.id, by=ada.id, role=MemberRole.MEMBER)
        await world.store.write(join)
    for number in range(3):
        for author in (ada, bo):
            message = (await world.say(room, author, f"{author.name} {number}")).message
            delete = SetMessageDeleted(message=message.id, by=ada.id, deleted=True)
            await world.store.write(delete)
    pages = await of(world, ada, limit=2)
    assert [len(page.messages) for page in pages] == [2, 2, 2]
    everything = ["Bo 2", "Ada 2", "Bo 1", "Ada 1", "Bo 0", "Ada 0"]
    assert (texts(pages), pages[0].messages[0].title) == (everything, "Plans")
    assert texts(await of(world, bo)) == ["Bo 2", "Bo 1", "Bo 0"]
    assert texts(await of(world, eve)) == []
    assert texts(await of(world, await world.person("Zoe"))) == []
    soon = world.clock.now_ms() + 1_000
    assert await page_of(world, ada, since_ms=soon) == Deleted([], [], None)
    await world.store.write(SetArchived(room=room.id, by=ada.id, archived=True))
    assert texts(await of(world, ada)) == []
    for cursor in ("", "1.2", "1.2.x", "1.2.-3", "01.2.3"):
        with pytest.raises(Refused) as refused:
            await page_of(world, ada, cursor=cursor)
        assert refused.value.code is Code.CURSOR_INVALID


async def test_what_was_cleared_is_one_entry_and_all_of_it_is_due(world: World) -> None:
    ada = await world.person("Ada")
    room, other = await world.room(ada, title="Plans"), await world.room(ada)
    said = [(await world.say(room, ada, f"text {number}")).message for number in range(3)]
    message = said[-1]
    await world.store.write(SetMessageDeleted(message=message.id, by=ada.id, deleted=True))
    done = await world.store.write(ClearRoom(room=room.id, by=ada.id))
    assert done is not None
    (page,) = await of(world, ada)
    assert [(one.room, one.title, one.seq) for one in page.histories] == [
        (room.id, "Plans", done.seq)
    ]
    assert page.messages == []
    await world.store.write(SetRoomDeleted(room=other.id, by=ada.id, deleted=True))
    now_ms = world.clock.now_ms()
    due = await world.store.read(deleted.due, now_ms, 9)
    assert (due.rooms, len(due.messages)) == ([other.id], 3)
    assert due.messages[0] == message.id, "the oldest first"
    none = await world.store.read(deleted.due, now_ms - 60_000, 9)
    assert (none.rooms, none.messages) == ([], [])
