"""What lives by a session or key ends with it, in whichever order things happen."""

import pytest

from palaver.core.live.standing import Standings
from palaver.model import AUDITED, ActorId, CredentialId, Event, EventType, RoomId

ONE, OTHER = CredentialId("d_1"), CredentialId("k_2")


def event(type_: EventType, **data: object) -> Event:
    return Event(RoomId("r_1"), 1, type_, ActorId("u_1"), 0, data=data)


class Living:
    """Something that notes how often it was ended."""

    def __init__(self) -> None:
        self.ended = 0

    def end(self) -> None:
        self.ended += 1


def test_what_lives_by_it_ends_once_and_nothing_else_does() -> None:
    standings, mine, too, others = Standings(), Living(), Living(), Living()
    standings.begin(ONE, mine.end)
    standings.begin(ONE, too.end)
    standings.begin(OTHER, others.end)
    standings.begin(None, others.end)
    standings.end(ONE)
    standings.end(ONE)
    assert (mine.ended, too.ended, others.ended) == (1, 1, 0)
    standings.leave(ONE, mine.end)  # who was ended may leave all the same


def test_what_begins_after_the_end_ends_at_once() -> None:
    """Its check came before the end; between that and this nothing was known of it."""
    standings, late = Standings(), Living()
    standings.end(ONE)
    with standings.lives(ONE, late.end):
        assert late.ended == 1
    assert standings.has_ended(ONE)
    assert not standings.has_ended(OTHER)


def test_what_has_left_is_kept_and_ended_no_more() -> None:
    standings, gone = Standings(), Living()
    with standings.lives(ONE, gone.end):
        pass
    standings.end(ONE)
    assert (gone.ended, standings._living) == (0, {})


@pytest.mark.parametrize("type_", AUDITED)
def test_only_what_ends_a_session_or_key_ends_it(type_: EventType) -> None:
    standings = Standings()
    told = event(type_, session=ONE, key=OTHER, status="disabled", keys=[OTHER])
    standings.committed([told])
    ends = {
        EventType.SESSION_ENDED: ONE,
        EventType.KEY_REVOKED: OTHER,
        EventType.ACCOUNT_STATUS: OTHER,
    }
    assert [one for one in (ONE, OTHER) if standings.has_ended(one)] == [
        ends[one] for one in (type_,) if one in ends
    ]
