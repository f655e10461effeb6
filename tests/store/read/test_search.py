"""What the index is made of is read by spans of the feed, and room by room."""

from tests.store.world import World

from palaver.store.read import search


async def test_messages_are_read_by_spans_and_in_the_order_of_rooms(world: World) -> None:
    ada = await world.person()
    rooms = [await world.room(ada) for _ in range(3)]
    said = [(await world.say(room, ada, f"{n}")).message for room in rooms for n in range(4)]
    keys = await world.store.read(search.keys_of, [room.id for room in rooms])
    spans = [(key, 1, 10_000) for key in keys]
    found = await world.store.read(search.in_spans, [*spans, *spans])
    assert sorted(one.text for one in found) == sorted(one.text for one in said)
    every: list[search.Source] = []
    place = (0, 0)
    while rows := await world.store.read(search.after, *place, 5):
        every += rows
        place = (rows[-1].room_key, rows[-1].seq)
    assert [(one.room_key, one.seq) for one in every] == sorted(
        (one.room_key, one.seq) for one in found
    )
    assert await world.store.read(search.rooms_max) >= max(keys)
