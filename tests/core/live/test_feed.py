"""The feed of a room: a ring without a hole, and cursors that are in doubt from what may have taken access on."""

from typing import Any

import pytest

from palaver.core.live.feed import Cursor, Feed
from palaver.core.live.items import Item, not_encoded
from palaver.model import NO_DATA, ActorId, Event, EventType, RoomId

ROOM = RoomId("r_1")
ADA, BO = ActorId("u_ada"), ActorId("u_bo")


class Silent:
    """A listener that is told nothing here."""

    def __init__(self, actor: ActorId) -> None:
        self.actor = actor
        self.shown: bool | None = None

    def show(self, *, shown: bool) -> None: ...

    def touch(self, cursor: Cursor) -> None: ...

    def notice(self, item: Item) -> None: ...

    def changed(self, event: Event) -> None: ...


def event(seq: int, type_: EventType = EventType.ROOM_RENAMED, **data: Any) -> Event:
    return Event(room=ROOM, seq=seq, type=type_, actor=ADA, at_ms=0, data=data or NO_DATA)


@pytest.fixture
def feed() -> Feed:
    """The feed of a room at seq 5, which both may read and do."""
    made = Feed(ROOM, 3)
    made.opened(5, not_encoded)
    for actor in (ADA, BO):
        made.cursors[Cursor(made, Silent(actor))] = None
        assert made.admit(actor, 5)
    return made


def doubts(feed: Feed) -> dict[ActorId, int | None]:
    return {cursor.listener.actor: cursor.sure_to for cursor in feed.cursors}


def test_the_ring_has_the_newest_events_and_no_hole(feed: Feed) -> None:
    for seq in range(6, 11):
        assert feed.append(event(seq), not_encoded)
    assert not feed.append(event(9), not_encoded), "it is known already"
    assert (feed.floor, feed.tail) == (7, 10)
    assert [one.event.seq for one in feed.after(8, 5)] == [9, 10]
    assert [one.event.seq for one in feed.after(7, 1)] == [8]
    feed.append(event(12), not_encoded)
    assert (feed.floor, feed.tail) == (11, 12)


def test_what_was_published_before_the_feed_was_opened_follows() -> None:
    feed = Feed(ROOM, 3)
    feed.early += [event(4), event(5), event(6)]
    assert feed.opened(4, not_encoded)
    assert (feed.floor, feed.tail) == (4, 6)


def test_nothing_is_in_doubt_while_access_stays(feed: Feed) -> None:
    feed.append(event(6), not_encoded)
    feed.append(event(7, EventType.MEMBER_JOINED, actor="u_cy"), not_encoded)
    feed.append(event(8, EventType.MEMBER_RENAMED, actor=ADA), not_encoded)
    assert doubts(feed) == {ADA: None, BO: None}
    assert [*feed.let_in] == [ADA, BO]


def test_a_deleted_room_is_in_doubt_for_all_and_a_removed_member_for_one(feed: Feed) -> None:
    feed.append(event(6, EventType.MEMBER_REMOVED, actor=BO), not_encoded)
    assert doubts(feed) == {ADA: None, BO: 6}
    assert [*feed.let_in] == [ADA]
    feed.append(event(7, EventType.ROOM_DELETED), not_encoded)
    assert doubts(feed) == {ADA: 7, BO: 6}, "the first doubt counts"
    assert not feed.let_in
    assert not feed.admit(ADA, 6), "that was found too long ago"
    assert feed.admit(ADA, 7)


def test_what_happened_in_a_gap_may_be_anything(feed: Feed) -> None:
    feed.append(event(9), not_encoded)
    assert doubts(feed) == {ADA: 5, BO: 5}
    assert not feed.let_in


def test_what_another_process_tells_beforehand_lowers_a_doubt_and_never_raises_it(
    feed: Feed,
) -> None:
    feed.doubt(9, None)
    feed.append(event(6, EventType.MEMBER_REMOVED, actor=BO), not_encoded)
    assert doubts(feed) == {ADA: 9, BO: 6}
    feed.doubt(12, None)
    assert doubts(feed) == {ADA: 9, BO: 6}
