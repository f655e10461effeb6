"""What lies on the disk: for nobody else's eyes, and gone when nobody needs it."""

import asyncio
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.command import palaver
from tests.support.server import Serve

import palaver as library
from palaver.errors import Code, Refused
from palaver.store import files


@pytest.fixture
def careless() -> Iterator[None]:
    """An umask that keeps nothing from anybody, for the processes that a test starts, too."""
    before = os.umask(0)
    yield
    os.umask(before)


def open_to_others(folder: Path) -> list[str]:
    found = [folder, *folder.rglob("*")]
    return [f"{path} {path.stat().st_mode:o}" for path in found if path.stat().st_mode & 0o077]


@pytest.mark.usefixtures("careless")
async def test_nobody_else_can_read_what_a_server_and_a_backup_write(
    serve: Serve, tmp_path: Path
) -> None:
    server = await serve()
    made = server.data
    (tmp_path / "out").mkdir(mode=0o700)
    for arguments in (("backup", "out/b.db"), ("copy", "--from", "out/b.db", "--to", "out/c.db")):
        done = await asyncio.to_thread(
            palaver, tmp_path, *arguments, environment={"PALAVER_DATA_DIR": str(made)}
        )
        assert done.code == 0, done.err
    assert {"palaver.db", "palaver.db-wal", "palaver.db-shm", "server.json", "mark.json"} <= {
        path.name for path in made.iterdir()
    }
    assert open_to_others(made) == []
    assert open_to_others(tmp_path / "out") == []
    assert server.alive


async def test_what_is_there_already_is_taken_from_others(tmp_path: Path) -> None:
    data = tmp_path / "data"
    url = f"sqlite:///{data / 'chat.db'}"
    async with library.open(url):
        pass
    (data / "chat.db.0001.bak").touch()
    (data / "chat.db.17.old").touch()
    (tmp_path / "link").symlink_to(data)
    for path in (data, *data.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    before = os.umask(0o022)
    try:
        async with library.open(f"sqlite:///{tmp_path / 'link' / 'chat.db'}"):
            assert os.umask(0o022) == 0o022, "the program's own umask is the program's"
            private = (data, *data.glob("chat.db*"), data / "mark.json")
            assert [path for path in private if path.stat().st_mode & 0o077] == []
    finally:
        os.umask(before)


@pytest.mark.parametrize("shared", ["program.py", "sticky"])
async def test_a_folder_that_is_not_ours_alone_stays_as_it_is(tmp_path: Path, shared: str) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    if shared == "sticky":
        folder.chmod(0o1777)
    else:
        folder.chmod(0o755)
        (folder / shared).touch(mode=0o644)
    journals = [folder / "journal" / name for name in files.JOURNALS]
    for one in journals:
        one.mkdir(parents=True, mode=0o755)
    before = folder.stat().st_mode
    async with library.open(f"sqlite:///{folder / 'chat.db'}"):
        assert folder.stat().st_mode == before
        assert stat.S_IMODE((folder / "chat.db").stat().st_mode) == 0o600
        assert [stat.S_IMODE(one.stat().st_mode) for one in journals] == [0o700] * 3
    assert all(path.stat().st_mode & 0o044 for path in folder.glob("program.py"))


@pytest.mark.parametrize("place", ["a-file/below", "dangling", "loop", "x" * 300])
async def test_a_place_that_cannot_be_is_named(tmp_path: Path, place: str) -> None:
    (tmp_path / "a-file").touch()
    (tmp_path / "dangling").symlink_to("nowhere/at-all")
    (tmp_path / "loop").symlink_to("loop")
    for path in (tmp_path / place / "data" / "palaver.db", tmp_path / place):
        with pytest.raises(Refused) as refused:
            async with library.open(f"sqlite:///{path}"):
                pass
        assert refused.value.code in {Code.PLACE_UNUSABLE, Code.SETTINGS_INVALID}
        assert place.split("/", maxsplit=1)[0] in refused.value.detail


def test_only_what_belongs_to_a_file_goes_with_it(tmp_path: Path) -> None:
    names = ["a.db", "a.db-wal", "a.db-shm", "a.db-journal", "a.db-notes", "a.db.bak", "b.db"]
    for name in names:
        (tmp_path / name).touch()
    files.removed(tmp_path / "a.db")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.db-notes", "a.db.bak", "b.db"]


def test_what_lies_beside_a_file_moves_along(tmp_path: Path) -> None:
    (tmp_path / "a.db-wal").write_text("log")
    files.moved_along(tmp_path / "a.db", tmp_path / "b.db")
    assert [path.name for path in tmp_path.iterdir()] == ["b.db-wal"]
