"""While the database is away, a message is accepted, shown, kept through a crash, and stored in its order."""

import asyncio
import errno
import os
import sqlite3
import threading
import time
from collections.abc import Generator, Sequence
from contextlib import AsyncExitStack, ExitStack, contextmanager
from pathlib import Path

import pytest
from tests.core.conftest import Running
from tests.core.identity.test_accounts import sign_up

from palaver.core.identity.actors import session_of
from palaver.core.live.items import Drafted, Ended, Happened, Item, Settled
from palaver.core.live.reader import Reader
from palaver.core.runtime import Core
from palaver.errors import Code, PalaverError, Refused, Unavailable
from palaver.model import Actor, CredentialId, MessageId, RoomId
from palaver.store.journal import DRAFT, SEGMENT_BYTES, Journal
from palaver.store.write.codec import encoded
from palaver.store.write.messages import AddMessage

WAIT_SECONDS_MAX = 90

pytestmark = pytest.mark.usefixtures("impatient")


@contextmanager
def away(tmp_path: Path, *, meanwhile: str = "") -> Generator[None, None, None]:
    """Another program holds the database's lock, as a backup script gone wrong would. `meanwhile`: what it does."""
    other = sqlite3.connect(tmp_path / "palaver.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        if meanwhile:
            other.execute(meanwhile)
        other.execute("COMMIT" if meanwhile else "ROLLBACK")
        other.close()


async def reading(core: Core, actor: Actor) -> Reader:
    reader = core.chat.reader(actor)
    await reader.subscribe(core.lobby)
    reader.start(core.lobby)
    return reader


async def say(
    core: Core, actor: Actor, reader: Reader | None, text: str, cid: str = ""
) -> MessageId:
    cid = cid or f"cid-{text}"
    sent = await core.chat.send(actor, core.lobby, text=text, cid=cid, answers=False, reader=reader)
    return sent.id


async def until(reader: Reader, wanted: type[Item], count: int) -> list[Item]:
    found: list[Item] = []
    while len(found) < count:
        found += [item for item in await reader.next() if isinstance(item, wanted)]
    return found


async def texts(core: Core, actor: Actor) -> list[str]:
    return [message.text for message in (await core.chat.history(actor, core.lobby)).messages]


async def test_accepted_messages_are_seen_at_once_and_stored_in_their_order(
    running: Running, tmp_path: Path
) -> None:
    async with running() as core:
        _, ada = await core.identity.new_guest("Ada")
        _, bo = await core.identity.new_guest("Bo")
        hers, his = await reading(core, ada), await reading(core, bo)
        with away(tmp_path):
            kept = [await say(core, ada, hers, text) for text in ("one", "two", "three")]
            shown = await until(his, Drafted, 3)
            assert [item.text for item in shown if isinstance(item, Drafted)] == [
                "one",
                "two",
                "three",
            ]
            assert core.drafts.depth == 3
        stored = await until(his, Happened, 3)
        settled = await until(hers, Settled, 3)
        assert [item.message for item in settled if isinstance(item, Settled)] == kept
        said = [item.event.message for item in stored if isinstance(item, Happened)]
        assert [message.id for message in said if message is not None] == kept
        assert await texts(core, ada) == ["one", "two", "three"]
        assert core.drafts.tally["drained"] == 3
        assert core.drafts.tally["lost"] == 0


async def test_accepted_messages_survive_the_process(running: Running, tmp_path: Path) -> None:
    async with AsyncExitStack() as outside:
        gone = ExitStack()
        outside.callback(gone.close)  # the database comes back after the server has stopped
        core = await outside.enter_async_context(running())
        _, ada = await core.identity.new_guest("Ada")
        reader = await reading(core, ada)
        gone.enter_context(away(tmp_path))
        await say(core, ada, reader, "kept")
        reader.close()
    async with running() as core:
        reader = core.chat.reader(ada)
        joined = await reader.subscribe(core.lobby, 0)
        reader.start(core.lobby)
        said = [event for event in joined.events if event.message is not None]
        if not said:
            await until(reader, Happened, 1)
        assert await texts(core, ada) == ["kept"]
        again = await core.chat.send(ada, core.lobby, text="kept", cid="cid-kept", answers=False)
        assert again.dup


@pytest.mark.parametrize("synced", [True, False])
async def test_a_draft_that_the_disk_has_damaged_is_counted_and_the_others_are_stored(
    running: Running, tmp_path: Path, *, synced: bool
) -> None:
    async with running() as core:
        _, ada = await core.identity.new_guest("Ada")
        left = left_by_the_dead(tmp_path, core.lobby, ada, ("one", "two", "three"), synced=synced)
    (file,) = left.glob("0*.journal")
    content = file.read_bytes()
    file.write_bytes(content.replace(b"two", b"tvo"))
    async with running() as core:
        await all_stored(core)
        assert await texts(core, ada) == ["one", "three"]
        assert core.figures()["drafts_lost"] == synced, "else it was never acknowledged"
    assert not list(left.glob("0*.journal"))


async def test_a_damaged_draft_is_counted_once_however_often_its_file_must_be_left(
    running: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running() as core:
        _, ada = await core.identity.new_guest("Ada")
        left = left_by_the_dead(tmp_path, core.lobby, ada, ("one", "two", "three"))
    (file,) = left.glob("0*.journal")
    file.write_bytes(file.read_bytes().replace(b"two", b"tvo"))

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(os, "posix_fallocate", full, raising=False)
        async with running() as core:
            await core.drafts.recover()
            assert core.figures()["drafts_lost"] == 0
            assert file.exists()
            patched.undo()
            await core.drafts.recover()
            assert core.figures()["drafts_lost"] == 1
            await all_stored(core)
            assert await texts(core, ada) == ["one", "three"]
    assert not list(left.glob("0*.journal"))


async def test_the_last_draft_may_be_torn_which_was_never_acknowledged(
    running: Running, tmp_path: Path
) -> None:
    async with running() as core:
        _, ada = await core.identity.new_guest("Ada")
        left = left_by_the_dead(tmp_path, core.lobby, ada, ("one", "two"))
    (file,) = left.glob("0*.journal")
    file.write_bytes(file.read_bytes().replace(b"two", b"t\0\0"))
    async with running() as core:
        await all_stored(core)
        assert await texts(core, ada) == ["one"]
        assert core.figures()["drafts_lost"] == 0


def left_by_the_dead(
    tmp_path: Path,
    room: RoomId,
    author: Actor,
    texts: Sequence[str],
    *,
    synced: bool = True,
    epoch: str = "",
    segment_bytes: int = SEGMENT_BYTES,
) -> Path:
    """The directory of drafts, with those of a process that is gone."""
    now_ms = int(time.time() * 1_000)
    directory = tmp_path / "journal" / "drafts"
    dead = Journal(directory, "0" * 32, segment_bytes=segment_bytes)
    for number, text in enumerate(texts):
        id_ = MessageId(f"m_{number:032x}")
        said = AddMessage(id=id_, room=room, author=author.id, text=text, cid=text)
        record = encoded(said, accepted_ms=now_ms, name=author.name, epoch=epoch)
        dead.keep(id_, DRAFT, record)
        sync = dead.sync_job() if synced else None
        if sync is not None:
            sync(None)
    dead.close()
    return directory


async def all_stored(core: Core) -> None:
    while core.drafts.depth:  # noqa: ASYNC110  nothing tells that the last one is stored
        await asyncio.sleep(0.01)


async def test_what_is_taken_over_is_deleted_for_good_the_newest_first(
    running: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that a power cut in between leaves the beginning of what there was, and the order of messages is right."""
    async with running() as core:
        _, ada = await core.identity.new_guest("Ada")
        directory = left_by_the_dead(tmp_path, core.lobby, ada, "123", segment_bytes=40)
    done: list[str] = []

    def unlink(path: Path) -> None:
        done.append(path.name)
        os_unlink(path)

    def fsync(descriptor: int) -> None:
        if os.fstat(descriptor).st_ino == directory.stat().st_ino:
            done.append("synced")
        os_fsync(descriptor)

    os_unlink, os_fsync = os.unlink, os.fsync
    monkeypatch.setattr(os, "unlink", unlink)
    monkeypatch.setattr(os, "fsync", fsync)
    async with running() as core:
        deleted = [name.removeprefix("0" * 32) for name in done if name.startswith(("0", "synced"))]
        await all_stored(core)
        assert await texts(core, ada) == ["1", "2", "3"]
    assert deleted[-6:] == [
        *("-000003.journal", "synced", "-000002.journal", "synced", "-000001.journal", "synced")
    ]


async def test_who_comes_while_messages_wait_is_shown_them_and_keeps_none_that_is_settled(
    running: Running, tmp_path: Path
) -> None:
    async with running() as core:
        _, ada = await core.identity.new_guest("Ada")
        _, bo = await core.identity.new_guest("Bo")
        hers, gone = await reading(core, ada), await reading(core, bo)
        gone.close()
        with away(tmp_path):
            kept = [await say(core, ada, hers, text) for text in ("one", "two")]
            with core.chat.reader(bo) as his:  # comes back, although nobody can be asked
                joined = await his.subscribe(core.lobby, 1, epoch=core.epoch)
                assert joined.mode == "resume"
                late = await say(core, bo, his, "three")
                his.start(core.lobby)
                shown = await until(his, Drafted, 3)
                named = [(item.message, item.name) for item in shown if isinstance(item, Drafted)]
                assert named == [(kept[0], "Ada"), (kept[1], "Ada"), (late, "Bo")]
                assert core.drafts.depth == 3
        await until(hers, Happened, 3)
        with core.chat.reader(bo) as his:
            await his.subscribe(core.lobby)
            his.start(core.lobby)
            await core.chat.typing(ada, core.lobby)
            assert not [item for item in await his.next() if isinstance(item, Drafted)]


async def test_the_same_cid_is_accepted_once(running: Running, tmp_path: Path) -> None:
    async with running() as core:
        _, ada = await core.identity.new_guest("Ada")
        reader = await reading(core, ada)
        with away(tmp_path):
            first = await say(core, ada, reader, "once")
            assert await say(core, ada, reader, "once") == first
            with pytest.raises(Refused) as refused:
                await core.chat.send(
                    ada, core.lobby, text="other", cid="cid-once", answers=False, reader=reader
                )
            assert refused.value.code is Code.CID_REUSED
        await until(reader, Settled, 1)
        assert await texts(core, ada) == ["once"]


async def test_a_message_whose_sender_was_cut_off_while_it_was_written_is_written_again(
    running: Running, tmp_path: Path
) -> None:
    async with running() as core:
        _, ada = await core.identity.new_guest("Ada")
        with away(tmp_path):
            sending = asyncio.create_task(  # noqa: TID251  the test cuts it off
                core.chat.send(ada, core.lobby, text="hi", cid="cut", answers=False)
            )
            await asyncio.sleep(0)
            assert not sending.done()
            sending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sending
            with pytest.raises(Unavailable):  # as the write before it has failed
                await core.chat.send(ada, core.lobby, text="next", cid="next", answers=False)
        async with asyncio.timeout(30):
            while await texts(core, ada) != ["hi"]:  # noqa: ASYNC110  nobody is told
                await asyncio.sleep(0.01)


async def test_nothing_rests_on_a_sync_that_fails_after_its_sender_was_cut_off(
    running: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next one is for the same file: it must fail, too (see the journal)."""
    begun, may_end = threading.Event(), threading.Event()
    synced: list[int] = []

    def sync(descriptor: int) -> None:
        file = os.stat(descriptor).st_ino
        synced.append(file)
        if not begun.is_set():
            begun.set()
            may_end.wait(WAIT_SECONDS_MAX)
            raise OSError(errno.EIO, "bad disk")
        fdatasync(descriptor)

    fdatasync = os.fdatasync
    async with running() as core:
        _, ada = await core.identity.new_guest("Ada")
        reader = await reading(core, ada)
        with away(tmp_path):
            monkeypatch.setattr(os, "fdatasync", sync)
            async with asyncio.TaskGroup() as senders:
                first = senders.create_task(say(core, ada, reader, "one"))
                await asyncio.to_thread(begun.wait, WAIT_SECONDS_MAX)
                first.cancel()
                second = senders.create_task(refusal(core, ada, reader, "two"))
                while core.drafts.depth < 2:  # noqa: ASYNC110  nothing tells that it waits for its sync
                    await asyncio.sleep(0.01)
                may_end.set()
                assert await second is Code.DATABASE_UNAVAILABLE
            await say(core, ada, reader, "two")
        await until(reader, Settled, 2)
        assert await texts(core, ada) == ["one", "two"]
    [failed, good] = synced
    assert failed != good


async def test_what_is_stored_while_it_is_synced_is_not_said_to_be_accepted_after_that(
    running: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its sender was told that it is stored, and would wait for ever to be told so again."""
    begun, may_end = threading.Event(), threading.Event()

    def sync(descriptor: int) -> None:
        begun.set()
        may_end.wait(WAIT_SECONDS_MAX)
        fdatasync(descriptor)

    fdatasync = os.fdatasync
    monkeypatch.setattr(os, "fdatasync", sync)
    async with running() as core, asyncio.TaskGroup() as senders:
        _, ada = await core.identity.new_guest("Ada")
        reader = await reading(core, ada)
        sending = core.chat.send(
            ada, core.lobby, text="one", cid="cid-one", answers=False, reader=reader
        )
        with away(tmp_path):
            sent = senders.create_task(sending)
            await asyncio.to_thread(begun.wait, WAIT_SECONDS_MAX)
        await until(reader, Settled, 1)
        may_end.set()
        assert (await sent).state == "stored"
        assert await texts(core, ada) == ["one"]


async def refusal(core: Core, actor: Actor, reader: Reader | None, text: str = "no") -> Code:
    with pytest.raises(PalaverError) as error:
        await say(core, actor, reader, text)
    return error.value.code


async def test_only_someone_who_reads_the_room_is_accepted(
    running: Running, tmp_path: Path
) -> None:
    async with running() as core:
        _, ada = await core.identity.new_guest("Ada")
        with away(tmp_path):
            assert await refusal(core, ada, None) is Code.DATABASE_UNAVAILABLE
            with core.chat.reader(ada) as reader:
                assert await refusal(core, ada, reader) is Code.DATABASE_UNAVAILABLE
        assert await texts(core, ada) == []


async def test_where_accepting_is_off_or_full_it_is_a_temporary_error(
    running: Running, tmp_path: Path
) -> None:
    for settings in ({"when_db_down": "reject"}, {"drafts_max": 0}, {"draft_bytes_max": 10}):
        async with running(**settings) as core:
            _, ada = await core.identity.new_guest("Ada")
            reader = await reading(core, ada)
            with away(tmp_path):
                with pytest.raises(Unavailable) as error:
                    await say(core, ada, reader, "no")
                assert error.value.temporary
            reader.close()


async def test_a_message_that_is_refused_later_is_rejected_and_its_bubble_goes(
    running: Running, tmp_path: Path
) -> None:
    async with running() as core:
        _, ada = await core.identity.new_guest("Ada")
        reader = await reading(core, ada)
        missing = MessageId("m_" + "0" * 32)
        with away(tmp_path):
            await core.chat.send(
                ada, core.lobby, text="x", cid="c", reply_to=missing, answers=False, reader=reader
            )
        items: list[Item] = []
        while not any(isinstance(item, Settled) for item in items):
            items += await reader.next()
    [settled] = [item for item in items if isinstance(item, Settled)]
    assert settled.code is Code.MESSAGE_NOT_FOUND
    assert any(isinstance(item, Ended) for item in items)


OUT = {
    "removed": ("UPDATE members SET kept_out = 1 WHERE role = 'member'", Code.ROOM_NOT_FOUND),
    "only reads": ("UPDATE members SET role = 'reader' WHERE role = 'member'", Code.FORBIDDEN),
    "disabled": ("UPDATE accounts SET status = 'disabled'", Code.ACCOUNT_DISABLED),
    "session ended": ("UPDATE sessions SET ended_ms = 1", Code.SESSION_ENDED),
    "key revoked": ("UPDATE keys SET revoked_ms = 1", Code.UNAUTHENTICATED),
}


@pytest.mark.parametrize("way", OUT)
async def test_what_was_accepted_is_rejected_when_its_author_was_out_before_it_was_stored(
    running: Running, tmp_path: Path, way: str
) -> None:
    meanwhile, code = OUT[way]
    async with running(sign_up="open") as core:
        _, ada = await core.identity.new_guest("Ada")
        session, bo = await sign_up(core, "bo")
        room = (await core.rooms.create(ada, agent=False)).id
        await core.rooms.join(ada, room, bo)
        _, key = await core.keys.create(actor=bo)
        by = CredentialId(key.id) if way == "key revoked" else session_of(session)
        with core.chat.reader(bo, by) as reader:
            await reader.subscribe(room)
            reader.start(room)
            with away(tmp_path, meanwhile=meanwhile):
                sent = await core.chat.send(bo, room, text="hi", cid="c", reader=reader)
                assert sent.state == "accepted"
            items = await until(reader, Settled, 1)
            assert [one.code for one in items if isinstance(one, Settled)] == [code]
        assert not (await core.chat.history(ada, room)).messages
