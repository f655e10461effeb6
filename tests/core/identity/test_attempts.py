"""Failures to sign in: how many there may be, and for how long they count."""

import pytest

from palaver.core.identity.attempts import (
    COUNTED_MAX,
    OF_ACCOUNT_MAX,
    OF_ADDRESS_MAX,
    WINDOW_SECONDS,
    Attempts,
)
from palaver.errors import Code, Refused, Unavailable


class Time:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def fail(attempts: Attempts, account: str = "ada", address: str = "a") -> None:
    wrong = Refused(Code.CREDENTIALS_WRONG, "wrong")
    with pytest.raises(Refused), attempts.counted(account=account, address=address):
        raise wrong


def wait_of(attempts: Attempts, account: str, address: str) -> int | None:
    try:
        with attempts.counted(account=account, address=address):
            return None
    except Unavailable as limited:
        return limited.retry_ms if limited.code is Code.RATE_LIMITED else -1


def test_failures_count_for_a_quarter_of_an_hour_and_successes_do_not() -> None:
    time = Time()
    attempts = Attempts(time)
    for number in range(OF_ACCOUNT_MAX):
        assert wait_of(attempts, "ada", "a") is None
        fail(attempts, address=f"{number}")
        time.now += 1
    assert wait_of(attempts, "ada", "new") == (WINDOW_SECONDS - OF_ACCOUNT_MAX) * 1_000 + 1
    assert wait_of(attempts, "bo", "new") is None
    time.now = WINDOW_SECONDS
    assert wait_of(attempts, "ada", "new") is None, "the oldest counts no longer"
    fail(attempts)
    assert wait_of(attempts, "ada", "new") == 1_001


def test_an_attempt_that_could_not_be_made_does_not_count() -> None:
    attempts = Attempts(Time())
    busy = Unavailable(Code.TOO_BUSY, "busy")
    for _ in range(OF_ACCOUNT_MAX + 1):
        with pytest.raises(Unavailable) as caught, attempts.counted(account="ada", address="a"):
            raise busy
        assert caught.value is busy


def test_the_counts_of_too_many_are_forgotten() -> None:
    attempts = Attempts(Time())
    for number in range(COUNTED_MAX):
        fail(attempts, account=f"{number}", address="a" if number < 30 else f"{number}")
    assert len(attempts._failures) == COUNTED_MAX


def test_who_has_to_wait_makes_nobody_elses_failures_forgotten() -> None:
    attempts = Attempts(Time())
    for _ in range(OF_ACCOUNT_MAX):
        fail(attempts, account="ada", address="elsewhere")
    for number in range(OF_ADDRESS_MAX):
        fail(attempts, account=f"{number}", address="b")
    for number in range(COUNTED_MAX):
        assert wait_of(attempts, f"other-{number}", "b") is not None
    assert wait_of(attempts, "ada", "c") is not None
