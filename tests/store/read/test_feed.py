"""The feed is read by position, and what waits to be moved into it before it."""

from tests.store.world import World

from palaver.store.read import feed
from palaver.store.write.consumers import MoveFeed


async def test_what_happened_is_in_the_feed_or_waits_for_it(world: World) -> None:
    assert await world.store.read(feed.ends) == (0, 0)
    ada = await world.person()
    room = await world.room(ada)
    said = await world.say(room, ada)
    waiting = await world.store.read(feed.waiting, 100)
    rows = await world.store.read(feed.after, 0, 100)
    told = [*waiting, *[span for row in rows for span in row.spans]]
    assert said.message.seq in {last for _, _, last in told}
    assert bool(waiting) is world.store.shared
    await world.store.write(MoveFeed())
    rows = await world.store.read(feed.after, 0, 100)
    assert sum(row.count for row in rows) >= said.message.seq
    first, last = await world.store.read(feed.ends)
    assert (first, last) == (rows[0].position, rows[-1].position)
    assert await world.store.read(feed.after, last, 100) == []
    assert [row.position for row in await world.store.read(feed.after, first, 1)] == [first + 1][
        : len(rows) - 1
    ]


async def test_what_is_beyond_is_whole_up_to_its_bound(world: World) -> None:
    ada = await world.person()
    room = await world.room(ada)
    while await world.store.write(MoveFeed()):
        pass
    _, last = await world.store.read(feed.ends)
    seqs = [(await world.say(room, ada)).message.seq for _ in range(4)]
    for most, whole in ((5, True), (4, True), (3, False)):
        spans, is_whole = await world.store.read(feed.beyond, last, most)
        seen = [seq for _, first, upto in spans for seq in range(upto, first - 1, -1)]
        assert (seen, is_whole) == (seqs[::-1][:most], whole)
