"""What was accepted or shown for a history that is gone waits for it, and is stored when it is back, once."""

import asyncio
import shutil
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.core.conftest import Running, Script
from tests.core.spool.test_exchanges import answered, client_of, stored
from tests.core.spool.test_messages import all_stored, away, left_by_the_dead, reading, say, texts
from tests.core.test_exchanges import Answer, chat, user

from palaver.core.live.items import Delta, Drafted
from palaver.core.live.reader import Reader
from palaver.errors import Refused
from palaver.model import Actor, RoomId, Status, TurnId
from palaver.providers.base import TextPiece
from palaver.store.journal import Journal, set_aside

pytestmark = pytest.mark.usefixtures("impatient")


def aside(data: Path, kind: str) -> int:
    return len(set_aside(data / "journal" / kind))


def older(data: Path) -> None:
    """Somebody copies yesterday's file over the database; the right one is kept."""
    shutil.copy(data / "palaver.db", data / "right.db")
    shutil.copy(data / "yesterday.db", data / "palaver.db")


def right(data: Path) -> None:
    """Somebody copies the right file back, and touches nothing else."""
    shutil.copy(data / "right.db", data / "palaver.db")


async def yesterday(running: Running, data: Path) -> Actor:
    """A history, and a copy of it, after which more is stored."""
    async with running() as core:
        _, ada = await core.identity.new_guest("Ada")
        await say(core, ada, None, "old")
    shutil.copy(data / "palaver.db", data / "yesterday.db")
    return ada


async def set_back(running: Running, data: Path) -> Actor:
    """A history that has lost its last message, beside one that was accepted after that."""
    ada = await yesterday(running, data)
    with ExitStack() as ending:
        async with running() as core:
            await say(core, ada, None, "lost")
            reader = await reading(core, ada)
            ending.enter_context(away(data))
            await say(core, ada, reader, "accepted")
    older(data)
    return ada


async def test_nothing_that_was_accepted_is_stored_in_a_history_that_is_behind(
    running: Running, tmp_path: Path
) -> None:
    ada = await set_back(running, tmp_path)
    for _ in range(2):  # and also not at the start after that
        async with running() as core:
            assert core.history == "behind"
            assert core.drafts.depth == 0, "the room goes on"
            assert core.figures()["drafts_waiting"] == 1
            assert aside(tmp_path, "drafts") == 1
            reader = await reading(core, ada)
            shown = [item for item in await reader.next() if isinstance(item, Drafted)]
            assert [draft.text for draft in shown] == ["accepted"], "who asks is told"
            again = await core.chat.send(
                ada, core.lobby, text="accepted", cid="cid-accepted", answers=False, reader=reader
            )
            assert again.state == "accepted"
            await say(core, ada, reader, "new")
            with away(tmp_path):
                await say(core, ada, reader, "meanwhile")
            await all_stored(core)
            assert await texts(core, ada) == ["old", "new", "meanwhile"]
    right(tmp_path)
    async with running() as core:
        assert core.history == "whole"
        await all_stored(core)
        assert await texts(core, ada) == ["old", "lost", "accepted"]
        assert core.figures()["drafts_waiting"] == 0
    assert aside(tmp_path, "drafts") == 0


async def test_the_loss_can_be_accepted_and_then_what_waited_is_stored(
    running: Running, tmp_path: Path
) -> None:
    ada = await set_back(running, tmp_path)
    async with running() as core:
        assert core.history == "behind"
    (tmp_path / "mark.json").unlink()
    async with running() as core:
        await all_stored(core)
        assert await texts(core, ada) == ["old", "accepted"]


async def test_a_draft_whose_room_or_author_is_not_known_waits_however_long(
    running: Running, tmp_path: Path
) -> None:
    """Also where no mark tells that anything is missing."""
    await yesterday(running, tmp_path)
    async with running() as core:
        _, bo = await core.identity.new_guest("Bo")
        room = (await core.rooms.create(bo)).id
    left_by_the_dead(tmp_path, room, bo, ["one"])
    older(tmp_path)
    (tmp_path / "mark.json").unlink()
    async with running() as core:
        assert core.history == "whole"
        assert core.drafts.tally["rejected"] == 0
        assert aside(tmp_path, "drafts") == 1
    right(tmp_path)
    async with running() as core:
        await all_stored(core)
        found = await core.chat.history(bo, room)
        assert [message.text for message in found.messages] == ["one"]
        with pytest.raises(Refused):  # who may not write is refused as ever, and nothing waits
            await core.chat.send(bo, RoomId(f"r_{'1' * 32}"), text="x", cid="x")
    assert aside(tmp_path, "drafts") == 0


@pytest.mark.parametrize("marked", [True, False])
async def test_what_was_shown_of_an_answer_waits_for_the_turn_that_the_history_has_lost(
    running: Running, script: Script, tmp_path: Path, *, marked: bool
) -> None:
    ada = await yesterday(running, tmp_path)
    async with running() as core:
        reader = await reading(core, ada)
        await core.chat.send(ada, core.lobby, text="why?", cid="why", asks=True)
        await script.requests.get()
        script.say("Because")
        await shown(reader, "Because")
        mark = tmp_path / "mark.json"
        async with asyncio.timeout(90):
            while f'"{core.lobby}", 3, ' not in (kept := mark.read_text()):  # noqa: ASYNC110  a file wakes nobody
                await asyncio.sleep(0.01)
        killed = tmp_path / "killed"
        shutil.copytree(tmp_path / "journal" / "streams", killed)
        shutil.copy(tmp_path / "palaver.db", tmp_path / "open.db")
        shutil.copy(tmp_path / "palaver.db-wal", tmp_path / "open.db-wal")
        script.say(None)
        await core.turns.idle()
    shutil.copy(tmp_path / "yesterday.db", tmp_path / "palaver.db")
    for file in killed.glob("*.journal"):
        shutil.copy(file, tmp_path / "journal" / "streams")
    mark.unlink()
    if marked:
        mark.write_text(kept)
    for _ in range(2):
        async with running() as core:
            assert core.history == ("behind" if marked else "whole")
            assert await texts(core, ada) == ["old"]
        assert aside(tmp_path, "streams") == 1
    shutil.copy(tmp_path / "open.db", tmp_path / "palaver.db")
    shutil.copy(tmp_path / "open.db-wal", tmp_path / "palaver.db-wal")
    async with running() as core:
        await core.turns.drain(90)
        page = await core.chat.history(ada, core.lobby)
        said = [(message.text, message.status) for message in page.messages]
        assert said[1:] == [("why?", Status.DONE), ("Because", Status.INTERRUPTED)]
    assert aside(tmp_path, "streams") == 0
    assert script.requests.empty(), "it was not asked again"


async def test_where_too_much_is_set_aside_pieces_are_held_back_as_if_the_disk_were_full(
    running: Running, script: Script, tmp_path: Path
) -> None:
    dead = Journal(tmp_path / "journal" / "streams", "dead")
    dead.piece(TurnId(f"t_{'1' * 32}"), "of a turn that no history knows")
    dead.close()
    async with running(draft_bytes_max=1_000) as core:
        await core.turns.recovered(90)
        assert aside(tmp_path, "streams") == 1
        _, ada = await core.identity.new_guest("Ada")
        await core.chat.send(ada, core.lobby, text="why?", cid="why", asks=True)
        await script.requests.get()
        script.say("Because ")
        while not script.pieces.empty():  # noqa: ASYNC110  nobody is told
            await asyncio.sleep(0)
        (stream,) = core.hub.streams(core.lobby).values()
        assert stream.text() == ""
        script.say("of it.", None)
        await core.turns.idle()
        assert (await texts(core, ada))[-1] == "Because of it."
        assert aside(tmp_path, "streams") == 1, "nothing is deleted"


async def shown(reader: Reader, text: str) -> None:
    seen = ""
    while text not in seen:
        seen += "".join([item.text for item in await reader.next() if isinstance(item, Delta)])


@pytest.mark.parametrize("marked", [True, False])
async def test_an_exchange_waits_for_the_history_in_which_it_was_asked(
    running: Running, tmp_path: Path, *, marked: bool
) -> None:
    ada = await yesterday(running, tmp_path)
    with ExitStack() as ending:
        async with running() as core:
            client = await client_of(core)
            if marked:  # else nothing tells that its actor is missing
                await say(core, ada, None, "lost")
            ending.enter_context(away(tmp_path))
            asked = await client.asks(chat(user("hi")), Answer(TextPiece("Hello")))
            assert await answered(asked) == "Hello"
    older(tmp_path)
    for _ in range(2):
        async with running() as core:
            assert core.history == ("behind" if marked else "whole")
            assert (core.held.depth, core.held.waiting) == (0, 1)
            assert aside(tmp_path, "exchanges") == 1
    right(tmp_path)
    async with running() as core:
        client = await client_of(core)
        assert await stored(client, asked) == ["hi", "Hello"]
    assert aside(tmp_path, "exchanges") == 0
