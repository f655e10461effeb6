"""`palaver verify`, `backup`, `restore` and `copy`, as they are typed."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from tests.store.archives import execute, filled
from tests.support.command import palaver


@pytest.fixture
def data(tmp_path: Path) -> Path:
    filled(f"sqlite:///{tmp_path / 'data' / 'palaver.db'}", tmp_path)
    return tmp_path / "data" / "palaver.db"


def test_verify_says_what_is_there_and_what_is_bad(tmp_path: Path, data: Path) -> None:
    done = palaver(tmp_path, "verify")
    assert (done.code, done.err) == (0, "")
    assert "is whole: 2 rooms, 14 events, 12 messages" in done.out
    execute(f"sqlite:///{data}", "UPDATE messages SET text = 'x' WHERE seq = 4")
    done = palaver(tmp_path, "verify", "data/palaver.db", "--json")
    assert (done.code, done.err) == (1, "")
    (fault,) = done.json["faults"]
    assert fault["seq"] == 4
    assert fault["room"].startswith("r_")
    assert palaver(tmp_path, "verify", "none.db").code == 3
    assert palaver(tmp_path, "verify", "mysql://x/y").code == 3


def test_a_backup_is_restored_where_nothing_is_or_by_force(tmp_path: Path, data: Path) -> None:
    done = palaver(tmp_path, "backup", "b.db", "--json")
    assert (done.code, done.json["ok"]) == (0, True)
    done = palaver(tmp_path, "backup", "b.db")
    assert done.code == 3
    assert "[database_not_empty]" in done.err
    assert palaver(tmp_path, "backup", "data/palaver.db", "--force").code == 3, "its own source"
    assert palaver(tmp_path, "restore", "b.db").code == 3
    assert palaver(tmp_path, "restore", "b.db", "--force").code == 0
    assert palaver(tmp_path, "restore", "b.db", "--data-dir", "other").code == 0
    assert sorted(path.name for path in (tmp_path / "other").iterdir()) == [
        "palaver.db",
        "palaver.db.lock",
    ]
    assert palaver(tmp_path, "verify", "other/palaver.db").code == 0
    assert data.exists()


def test_a_copy_is_made_once(tmp_path: Path, data: Path) -> None:
    assert data.exists()
    arguments = ("copy", "--from", "data/palaver.db", "--to", "sqlite:///c.db")
    assert palaver(tmp_path, *arguments).code == 0
    again = palaver(tmp_path, *arguments, "--json")  # as after a kill at its very end
    assert (again.code, again.json["messages"]) == (0, 12)
    with closing(sqlite3.connect(tmp_path / "c.db")) as used, used:
        used.execute("UPDATE rooms SET title = 'used since'")
    done = palaver(tmp_path, *arguments)
    assert (done.code, done.out) == (3, "")
    assert palaver(tmp_path, *arguments, "--force", "--json").json["messages"] == 12


def test_a_place_that_takes_no_backup_is_named_as_it_was_typed(tmp_path: Path, data: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link.db").symlink_to("nothing.db")
    for place, *force in (
        ("nowhere/b.db",),
        ("file/b.db", "--force"),
        (".",),
        ("link.db", "--force"),
    ):
        done = palaver(tmp_path, "backup", place, *force)
        assert (done.code, done.out) == (3, "")
        assert done.err.startswith(f"palaver: {place} cannot be used: ")
        assert done.err.endswith("; choose another place [place_unusable]\n")
    done = palaver(tmp_path, "backup", "nowhere/b.db", "--json")
    assert (done.code, done.json["error"]["temporary"]) == (3, False)
    assert not (tmp_path / "nowhere").exists()
    assert data.exists()
