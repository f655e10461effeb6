"""How passwords are hashed, and that no more wait than there is room for."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from palaver.core.identity import passwords as module
from palaver.core.identity.passwords import WAITING_MAX, Passwords
from palaver.errors import Code, Unavailable
from palaver.store.engine.executors import ThreadLanes


async def test_a_password_has_its_hash_and_no_other() -> None:
    passwords = Passwords(ThreadLanes())
    one, other = (
        await passwords.hash(b"a horse, a horse"),
        await passwords.hash(b"a horse, a horse"),
    )
    assert one != other, "each has its own salt"
    assert one.startswith(b"$argon2id$v=19$m=19456,t=2,p=1$")
    assert await passwords.is_right(b"a horse, a horse", one)
    assert not await passwords.is_right(b"a house, a house", one)
    assert not await passwords.is_right(b"", None)
    await passwords.close()


async def test_what_is_too_much_is_told_to_come_again_and_costs_nothing() -> None:
    passwords = Passwords(ThreadLanes())
    asked = [passwords.is_right(b"x", None) for _ in range(passwords.threads + WAITING_MAX + 5)]
    got = await asyncio.gather(*asked, return_exceptions=True)
    busy = [one for one in got if isinstance(one, Unavailable)]
    assert [one.code for one in busy] == [Code.TOO_BUSY] * 5
    assert got.count(False) == passwords.hashed == passwords.threads + WAITING_MAX
    assert not await passwords.is_right(b"x", None), "there is room again"
    await passwords.close()


async def test_who_stops_waiting_makes_no_room_before_the_work_is_done() -> None:
    passwords = Passwords(ThreadLanes())
    async with asyncio.TaskGroup() as tasks:
        waiting = [
            tasks.create_task(passwords.is_right(b"x", None))
            for _ in range(passwords.threads + WAITING_MAX)
        ]
        await asyncio.sleep(0)
        for one in waiting:
            one.cancel()
        await asyncio.sleep(0)
        with pytest.raises(Unavailable):
            await passwords.hash(b"x")
    await passwords.close()
    assert passwords.hashed == passwords.threads + WAITING_MAX


def threads() -> dict[int, int]:
    """How far behind others each thread of this process runs."""
    ids = [int(one.name) for one in Path("/proc/self/task").iterdir()]
    return {one: os.getpriority(os.PRIO_PROCESS, one) for one in ids}


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere threads share one priority")
async def test_what_hashes_runs_behind_what_sends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "NICE", 3)
    before = threads()
    passwords = Passwords(ThreadLanes())
    await passwords.hash(b"a horse, a horse")
    after = threads()
    assert all(after.get(one, nice) == nice for one, nice in before.items()), "the others stay"
    assert 3 in [nice for one, nice in after.items() if one not in before]
    await passwords.close()
