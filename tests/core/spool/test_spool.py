"""What waits for the database: found in whatever file it stands, and bounded with what is set aside."""

import shutil
from contextlib import ExitStack
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from tests.core.conftest import Running
from tests.core.spool.test_exchanges import answered, client_of, stored
from tests.core.spool.test_messages import away
from tests.core.test_exchanges import Answer, chat, user

from palaver.errors import Unavailable
from palaver.model import Status
from palaver.providers.base import TextPiece
from palaver.store.journal import Journal, orphans

pytestmark = pytest.mark.usefixtures("impatient")


async def test_an_end_that_stands_in_another_file_than_its_beginning_is_found(
    running: Running, tmp_path: Path
) -> None:
    """The first record of a file may be the end of an exchange, and no repetition of its beginning."""
    with ExitStack() as ending:
        async with running() as core:
            client = await client_of(core)
            ending.enter_context(away(tmp_path))
            asked = await client.asks(chat(user("hi")), Answer(TextPiece("Hello")))
            await answered(asked)
    directory = tmp_path / "journal" / "exchanges"
    [file] = directory.glob("*.journal")
    [orphan] = orphans(directory)
    [(key, records)] = orphan.records.items()
    orphan.forget()
    for number, record in enumerate(records):
        dead = Journal(directory, str(number) * 32)
        dead.keep(key, *record)
        dead.close()
    assert not file.exists()
    async with running() as core:
        client = await client_of(core)
        assert await stored(client, asked) == ["hi", "Hello"]
        assert asked.exchange is not None
        said = await client.said(asked.exchange)
        assert said[-1].status is Status.DONE


async def test_what_is_set_aside_counts_to_the_bounds(running: Running, tmp_path: Path) -> None:
    async with running() as core:
        client = await client_of(core)
    shutil.copy(tmp_path / "palaver.db", tmp_path / "yesterday.db")
    with ExitStack() as ending:
        async with running() as core:
            client = await client_of(core)
            await core.chat.send(client.actor, core.lobby, text="lost", cid="lost", answers=False)
            ending.enter_context(away(tmp_path))
            await answered(await client.asks(chat(user("hi")), Answer(TextPiece("1"))))
    shutil.copy(tmp_path / "yesterday.db", tmp_path / "palaver.db")
    async with running(drafts_max=1) as core:
        assert (core.held.depth, core.held.waiting) == (0, 1)
        client = await client_of(core)
        with away(tmp_path), capture_logs() as told, pytest.raises(Unavailable):
            await client.asks(chat(user("more")), Answer(TextPiece("2")))
    [full] = [line for line in told if line["event"] == "spool.full"]
    assert (full["waiting"], full["set_aside"]) == (0, 1)
    assert full["bytes"] > 0
