import asyncio

from palaver.agents.patience import DRAIN_SECONDS, TAIL_SECONDS, Patience


async def test_a_silence_is_longer_before_the_first_word_and_short_behind_the_end() -> None:
    now = asyncio.get_running_loop().time()
    patience = Patience(100.0, 10.0)
    assert patience.until - now >= 99
    patience.heard(began=False, finished=False, over=False)
    assert patience.until - now >= 99, "a comment is no life"
    patience.heard(began=True, finished=False, over=False)
    assert 9 < patience.until - now < 12
    assert (patience.begun, patience.seconds) == (True, 10.0)
    patience.heard(began=True, finished=True, over=False)
    assert patience.until - now < TAIL_SECONDS + 1
    until = patience.until
    patience.heard(began=True, finished=True, over=False)
    assert patience.until == until, "more of the tail buys no time"
    patience.heard(began=True, finished=True, over=True)
    assert patience.until - now < DRAIN_SECONDS + 1
