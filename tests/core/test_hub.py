"""What passes by: typing, read marks, changes of watched rooms."""

import pytest
from tests.core.conftest import Script

from palaver.core.live import ReadMark, RoomChanged, Typing
from palaver.core.start import Core
from palaver.errors import Code, Refused
from palaver.model import EventType, RoomId


async def test_a_watcher_hears_of_rooms_made_after_it_began_to_watch(
    core: Core, script: Script
) -> None:
    _, ada = await core.access.new_guest()
    with core.chat.reader(ada) as reader:
        await reader.watch()
        room = await core.rooms.create(ada, agent=False)
        [created] = await reader.next()
        await core.chat.send(ada, room.id, text="hello", cid=None)
        [changed] = await reader.next()
    assert isinstance(created, RoomChanged)
    assert isinstance(changed, RoomChanged)
    assert created.types == (EventType.ROOM_CREATED,)
    assert set(changed.types) == {EventType.MESSAGE_CREATED, EventType.ROOM_RENAMED}
    assert changed.new == 0, "one's own words are not news"
    assert script.requests.empty()


async def test_changes_of_a_room_merge_while_nobody_takes_them(core: Core) -> None:
    _, ada = await core.access.new_guest()
    _, bo = await core.access.new_guest()
    with core.chat.reader(ada) as reader:
        await reader.watch()
        for text in ("one", "two", "three"):
            sent = await core.chat.send(bo, core.lobby, text=text, cid=None, answers=False)
        [changed] = await reader.next()
    assert isinstance(changed, RoomChanged)
    assert (changed.room, changed.new, changed.seq) == (core.lobby, 3, sent.seq)


async def test_typing_reaches_the_others_who_read_the_room(core: Core) -> None:
    _, ada = await core.access.new_guest("Ada")
    _, bo = await core.access.new_guest("Bo")
    with core.chat.reader(ada) as hers, core.chat.reader(bo) as his:
        for reader in (hers, his):
            await reader.subscribe(core.lobby)
            reader.start(core.lobby)
        await core.chat.typing(ada, core.lobby)
        [typing] = await his.next()
        await core.chat.typing(bo, core.lobby)
        [other] = await hers.next()
    assert isinstance(typing, Typing)
    assert isinstance(other, Typing)
    assert (typing.name, other.name) == ("Ada", "Bo")


async def test_what_was_read_here_is_read_on_the_other_connections(core: Core) -> None:
    _, ada = await core.access.new_guest()
    sent = await core.chat.send(ada, core.lobby, text="x", cid=None, answers=False)
    with core.chat.reader(ada) as one, core.chat.reader(ada) as two:
        await core.chat.mark_read(ada, core.lobby, 10_000, reader=one)
        [mark] = await two.next()
    assert isinstance(mark, ReadMark)
    assert (mark.room, mark.seq) == (core.lobby, sent.seq)


async def test_a_strangers_room_cannot_be_read_along(core: Core) -> None:
    _, ada = await core.access.new_guest()
    _, bo = await core.access.new_guest()
    room = await core.rooms.create(ada)
    with core.chat.reader(bo) as reader:
        for wanted in (room.id, RoomId("r_" + "0" * 32)):
            with pytest.raises(Refused) as refused:
                await reader.subscribe(wanted)
            assert refused.value.code is Code.ROOM_NOT_FOUND
