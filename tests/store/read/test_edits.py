"""The versions of a message: the last ones of many. That they are what was said: `tests/store/write/test_edits.py`."""

from tests.store.world import World

from palaver.store.read import edits
from palaver.store.write.edits import EditMessage


async def test_only_the_last_versions_of_many_are_told(
    world: World,
) -> None:
    ada = await world.person("Ada")
    room = await world.room(ada)
    id_ = (await world.say(room, ada, "first")).message.id
    version = None
    for number in range(edits.VERSIONS_MAX):
        edit = EditMessage(message=id_, by=ada.id, room=room.id, text=str(number), version=version)
        version = (await world.store.write(edit)).version
    found, more = await world.store.read(edits.versions, (await world.said(room))[0])
    assert (len(found), more, found[0].text) == (edits.VERSIONS_MAX, True, "0")
