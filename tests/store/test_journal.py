"""What a reader saw of an answer is in the journal, whatever happens to the process or the file."""

import asyncio
import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given, strategies as st

from palaver.model import TurnId
from palaver.store import journal
from palaver.store.journal import (
    DRAFT,
    MAGIC,
    REASONING,
    TEXT,
    Journal,
    alone,
    forget,
    merged,
    orphans,
    replay,
)

ONE = TurnId("t_" + "1" * 32)
TWO = TurnId("t_" + "2" * 32)


class Partial(NamedTuple):
    """What is left of one answer."""

    text: str = ""
    reasoning: str = ""


def partial(records: list[tuple[bytes, bytes]]) -> Partial:
    kinds = (TEXT, REASONING)
    found = (b"".join(data for kind, data in records if kind == one) for one in kinds)
    return Partial(*(data.decode("utf-8", "surrogatepass") for data in found))


def left_in(directory: Path) -> dict[str, Partial]:
    """What recovery would find."""
    left = list(orphans(directory))
    found = {f"t_{key}": partial(records) for key, records in merged(left).items()}
    for orphan in left:
        orphan.release()
    return found


def segments(directory: Path) -> list[Path]:
    return sorted(directory.glob("*.journal"))


def test_what_was_written_comes_back_after_the_process_is_gone(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "owner")
    journal.piece(ONE, "Hel")
    journal.piece(TWO, "other", "thought")
    journal.piece(ONE, "lo \0 🎈")
    journal.close()
    assert left_in(tmp_path) == {
        ONE: Partial("Hello \0 🎈"),
        TWO: Partial("other", "thought"),
    }
    [orphan] = orphans(tmp_path)
    orphan.forget()
    assert segments(tmp_path) == []


def test_a_living_owner_keeps_its_segments(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "owner")
    journal.piece(ONE, "mine")
    child = subprocess.run(
        [
            sys.executable,
            "-c",
            (
                "import sys, pathlib\n"
                "from palaver.store.journal import orphans\n"
                "print(len(list(orphans(pathlib.Path(sys.argv[1])))))"
            ),
            str(tmp_path),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert child.stdout.strip() == "0"
    journal.close()
    assert len(list(orphans(tmp_path))) == 1


def test_an_answer_that_is_stored_leaves_nothing_behind(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "owner")
    journal.piece(ONE, "whole")
    journal.ended(ONE)
    journal.close()
    assert segments(tmp_path) == []


def test_full_segments_go_when_their_last_turn_ended(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "owner", segment_bytes=100)
    for _ in range(10):
        journal.piece(ONE, "x" * 60)
    journal.piece(TWO, "y")
    assert len(segments(tmp_path)) > 5
    journal.ended(ONE)
    assert len(segments(tmp_path)) == 1
    journal.close()
    assert left_in(tmp_path) == {TWO: Partial("y")}


def test_a_piece_larger_than_a_segment_is_kept(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "owner", segment_bytes=100)
    journal.piece(ONE, "z" * 10_000)
    journal.close()
    assert left_in(tmp_path) == {ONE: Partial("z" * 10_000)}


def test_nothing_rests_on_a_file_whose_sync_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system forgets after a failed sync which pages are not on the disk; the next sync of them succeeds."""
    journal = Journal(tmp_path, "owner")
    synced: list[int] = []

    def sync(descriptor: int) -> None:
        synced.append(os.stat(descriptor).st_ino)
        if bad:
            raise OSError(errno.EIO, "bad disk")

    monkeypatch.setattr(os, "fdatasync", sync)
    bad = False
    journal.piece(ONE, "safe ")
    put_on_the_disk(journal)
    [first] = segments(tmp_path)
    journal.piece(ONE, "in doubt ")
    bad = True
    for said in ("still ", "and still "):
        with pytest.raises(OSError, match="bad disk"):
            put_on_the_disk(journal)
        journal.piece(TWO, said)
    assert len(segments(tmp_path)) == 2, "what an attempt leaves is deleted by the next"
    bad = False
    synced.clear()
    put_on_the_disk(journal)
    assert first.stat().st_ino not in synced
    assert journal.sync_job() is None
    journal.piece(ONE, "more")
    journal.close()
    # what the system lost of the first file: all that was written behind its last good sync
    data = first.read_bytes()
    torn = data.index(b"in doubt")
    first.write_bytes(data[:torn] + bytes(len(data) - torn))
    whole = {ONE: Partial("safe in doubt more"), TWO: Partial("still and still ")}
    assert left_in(tmp_path) == whole
    first.write_bytes(data)
    assert left_in(tmp_path) == whole, "what is in both files counts once"


def test_a_sync_that_was_asked_for_before_another_ended_shares_its_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when the sender who waits for the first is cut off, and somebody else asks for the next one meanwhile."""
    journal = Journal(tmp_path, "owner")

    def sync(_: int) -> None:
        if bad:
            raise OSError(errno.EIO, "bad disk")

    monkeypatch.setattr(os, "fdatasync", sync)
    bad = False
    journal.piece(ONE, "one ")
    first = asked_for(journal)
    journal.piece(ONE, "two ")
    second = asked_for(journal)
    journal.piece(ONE, "three ")
    for good in (first, second):
        good(None)
    first = asked_for(journal)
    journal.piece(ONE, "four")
    second = asked_for(journal)
    bad = True
    with pytest.raises(OSError, match="bad disk"):
        first(None)
    bad = False
    third = asked_for(journal)
    with pytest.raises(OSError, match="a sync failed since"):
        second(None)
    third(None)
    assert journal.sync_job() is None
    journal.close()
    file = segments(tmp_path)[0]  # of which the system lost what it failed to sync
    file.write_bytes(file.read_bytes().replace(b"three", b"\0" * 5).replace(b"four", b"\0" * 4))
    assert left_in(tmp_path)[ONE].text == "one two three four"


def test_drafts_keep_their_order_wherever_a_takeover_is_broken_off(tmp_path: Path) -> None:
    keys = [f"m_{number:032x}" for number in range(4)]
    for broken_off in range(9):
        directory = tmp_path / str(broken_off)
        copied, forgotten = min(broken_off, 4), max(0, broken_off - 4)
        first = Journal(directory, "1", segment_bytes=40)
        for key in keys:
            first.keep(key, DRAFT, b"said")
        first.close()
        old = list(orphans(directory))
        second = Journal(directory, "2")
        for key in keys[:copied]:
            second.keep(key, DRAFT, b"said")
        second.close()
        forget(old[4 - forgotten :])
        for orphan in old[: 4 - forgotten]:
            orphan.release()
        left = list(orphans(directory))
        assert list(merged(left).items()) == [(key[2:], [(DRAFT, b"said")]) for key in keys]
        for orphan in left:
            orphan.release()


def asked_for(journal: Journal) -> Callable[[None], None]:
    job = journal.sync_job()
    assert job is not None
    return job


def put_on_the_disk(journal: Journal) -> None:
    asked_for(journal)(None)


def test_every_piece_that_was_announced_survives_kill_9(tmp_path: Path) -> None:
    script = (
        "import sys, pathlib\n"
        "from palaver.store.journal import Journal\n"
        "journal = Journal(pathlib.Path(sys.argv[1]), 'child', segment_bytes=4096)\n"
        "for number in range(100_000):\n"
        "    journal.piece('t_' + '1' * 32, f'{number} ')\n"
        "    sys.stdout.write(f'{number}\\n'); sys.stdout.flush()\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    seen = -1
    for line in child.stdout:
        seen = int(line)
        if seen == 2_000:
            os.kill(child.pid, signal.SIGKILL)
    child.wait()
    child.stdout.close()
    assert left_in(tmp_path)[ONE].text.startswith(
        "".join(f"{number} " for number in range(seen + 1))
    )


@given(
    texts=st.lists(st.text(max_size=20), max_size=20),
    cut=st.integers(min_value=0, max_value=1_000),
    flip=st.none() | st.integers(min_value=0, max_value=1_000),
)
def test_a_torn_or_flipped_file_gives_a_prefix_and_never_something_else(
    texts: list[str], cut: int, flip: int | None, tmp_path_factory: pytest.TempPathFactory
) -> None:
    directory = tmp_path_factory.mktemp("journal")
    journal = Journal(directory, "owner", segment_bytes=2_000)
    for text in texts:
        journal.piece(ONE, text)
    journal.close()
    data = bytearray(b"".join(path.read_bytes() for path in segments(directory)[:1]) or MAGIC)
    whole = partial(replay(bytes(data)).get(ONE[2:], [])).text
    if flip is not None and flip < len(data):
        data[flip] ^= 1
    torn = partial(replay(bytes(data[:cut])).get(ONE[2:], [])).text
    assert whole.startswith(torn)


async def test_one_process_at_a_time_takes_over_and_none_waits_for_one_that_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    happened: list[str] = []

    async def takes_over(name: str) -> None:
        async with alone(tmp_path):
            happened.append(name)
            await asyncio.sleep(0.2)
            happened.append(name)

    await asyncio.gather(takes_over("one"), takes_over("other"))
    assert happened == ["one", "one", "other", "other"]
    monkeypatch.setattr(journal, "ALONE_SECONDS_MAX", 0.1)
    async with alone(tmp_path):  # and is stopped there
        await takes_over("third")
    assert happened[4:] == ["third", "third"]
