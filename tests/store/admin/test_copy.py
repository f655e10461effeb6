"""Copies between the engines, both ways: the same rows, once, whatever was killed on the way."""

import asyncio
from pathlib import Path

import pytest
from tests.store.admin.test_backup import EPOCH, EVERYTHING
from tests.store.archives import asked, execute, filled, untold
from tests.store.dying import lived
from tests.store.world import opened

from palaver.errors import Code, Refused
from palaver.store.admin import copy as copying
from palaver.store.admin.backup import copy
from palaver.store.admin.verify import verify

MESSAGES = 3_000
PAGES_IN_A_LIFE = 5


def refused(source: str, target: str, *, force: bool = False) -> Code:
    with pytest.raises(Refused) as caught:
        copy(source, target, untold, force=force)
    return caught.value.code


def same(one: str, other: str) -> bool:
    return all(asked(one, query) == asked(other, query) for query in EVERYTHING)


def test_there_and_back(database_url: str, tmp_path: Path) -> None:
    first, last = f"sqlite:///{tmp_path / 'first.db'}", f"sqlite:///{tmp_path / 'last.db'}"
    filled(first, tmp_path)
    assert copy(first, database_url, untold).events == 14
    assert copy(database_url, last, untold).faults == []
    assert same(first, database_url)
    assert same(first, last)
    assert len({str(asked(url, EPOCH)) for url in (first, database_url, last)}) == 3
    assert copy(first, database_url, untold).events == 14, "once more adds nothing"
    assert same(first, database_url)
    execute(database_url, "UPDATE rooms SET title = 'used since'")
    assert refused(first, database_url) is Code.DATABASE_NOT_EMPTY
    copy(first, database_url, untold, force=True)
    assert same(first, database_url)


async def test_a_server_keeps_its_database_and_starts_on_no_half_copy(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = f"sqlite:///{tmp_path / 'source.db'}"
    await asyncio.to_thread(filled, source, tmp_path)
    async with opened(database_url, data_dir=tmp_path):
        code = await asyncio.to_thread(refused, source, database_url, force=True)
        assert code is Code.DATABASE_LOCKED

    def broken(target: object, _epoch: str) -> None:
        raise ZeroDivisionError(target)

    with monkeypatch.context() as patched:
        patched.setattr(copying, "_finish", broken)
        with pytest.raises(ZeroDivisionError):
            await asyncio.to_thread(copy, source, database_url, untold, force=True)
    with pytest.raises(Refused) as caught:
        async with opened(database_url, data_dir=tmp_path):
            pass
    assert caught.value.code is Code.DATABASE_INCOMPLETE
    await asyncio.to_thread(copy, source, database_url, untold)
    async with opened(database_url, data_dir=tmp_path) as world:
        await world.room(await world.person())


def test_a_source_that_was_changed_between_two_attempts_is_found(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = f"sqlite:///{tmp_path / 'source.db'}"
    filled(source, tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(copying, "_finish", None)
        with pytest.raises(TypeError):
            copy(source, database_url, untold)
    execute(source, "UPDATE rooms SET title = 'changed'")
    assert refused(source, database_url) is Code.DATABASE_INCOMPLETE
    copy(source, database_url, untold, force=True)
    assert same(source, database_url)


async def many(url: str, folder: Path) -> None:
    async with opened(url, data_dir=folder) as world:
        ada = await world.person()
        rooms = [await world.room(ada) for _ in range(20)]
        for _ in range(MESSAGES // 1_000):
            await asyncio.gather(*(world.say(rooms[n % 20], ada, "x" * 300) for n in range(1_000)))


@pytest.mark.slow
@pytest.mark.fault
@pytest.mark.parametrize("back", [False, True])
def test_a_copy_that_is_killed_goes_on_where_it_was(
    database_url: str, tmp_path: Path, *, back: bool
) -> None:
    other = f"sqlite:///{tmp_path / 'other.db'}"
    source, target = (database_url, other) if back else (other, database_url)
    asyncio.run(many(source, tmp_path))
    killed = 0
    while not lived("rows", PAGES_IN_A_LIFE, "copy", "--from", source, "--to", target):
        killed += 1
        assert killed <= 2 * MESSAGES // copying.PAGE, "each life goes further than the one before"
    assert killed >= 2
    assert same(source, target)
    assert verify(target, untold).faults == []
