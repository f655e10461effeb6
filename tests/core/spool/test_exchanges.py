"""While the database is away, a chat through the API goes on; what was asked and answered is kept and stored later."""

import asyncio
import errno
import os
from contextlib import AsyncExitStack, ExitStack, closing
from pathlib import Path

import pytest
from tests.core.conftest import Running as Opens
from tests.core.spool.test_messages import away, reading, say, until
from tests.core.test_exchanges import Answer, Client, assistant, chat, user
from tests.support.secrets import Hiding

from palaver.clock import SystemClock
from palaver.core.answers.pieces import record_of
from palaver.core.answers.tape import LiveAnswer
from palaver.core.ground import grounded
from palaver.core.live.items import Drafted
from palaver.core.runtime import Core
from palaver.core.spool.exchanges import ExchangeSpool
from palaver.errors import Code, Unavailable
from palaver.model import Status
from palaver.model.exchanges import ExchangeKind, ExchangeState
from palaver.providers.base import Piece, TextPiece, ToolPiece
from palaver.redact import MARK
from palaver.settings import Settings

pytestmark = pytest.mark.usefixtures("impatient")


async def client_of(core: Core) -> Client:
    actor = await core.identity.person("client", "Client")
    return Client(core, actor)


async def answered(running: LiveAnswer) -> str:
    """What the client is told, to the end."""
    told = [told async for told in running.follow()]
    assert told[-1].last, "it was told the end"
    return "".join(
        piece.text for one in told for piece in one.pieces if isinstance(piece, TextPiece)
    )


async def stored(client: Client, running: LiveAnswer) -> list[str]:
    """The texts of the exchange's room, once it is stored."""
    assert running.exchange is not None
    async with asyncio.timeout(90):
        while client.core.held.depth:  # noqa: ASYNC110  nothing tells of it
            await asyncio.sleep(0.05)
    exchange = await client.exchanges.get(client.actor, running.exchange.id)
    assert exchange.state is not ExchangeState.RUNNING
    return await client.texts(exchange)


async def test_a_chat_goes_on_while_the_database_is_away_and_is_stored_later(
    running: Opens, tmp_path: Path
) -> None:
    async with running() as core:
        client = await client_of(core)
        with away(tmp_path):
            first = await client.asks(chat(user("hi")), Answer(TextPiece("Hel"), TextPiece("lo")))
            assert await answered(first) == "Hello"
            history = (user("hi"), assistant("Hello"), user("more"))
            second = await client.asks(chat(*history), Answer(TextPiece("Yes")))
            assert await answered(second) == "Yes"
            assert core.held.depth == 2
        assert await stored(client, second) == ["hi", "Hello", "more", "Yes"]
        assert await stored(client, first) == ["hi", "Hello", "more", "Yes"], "in the same room"
        figures = core.figures()
        kept = [figures[f"drafts_{name}"] for name in ("accepted", "drained", "lost")]
        assert kept == [2, 2, 0]


async def test_an_answer_that_ends_while_the_database_is_away_is_told_and_stored_later(
    running: Opens, tmp_path: Path
) -> None:
    async with running() as core:
        client = await client_of(core)
        answer = Answer(TextPiece("Hello"), waits=True)
        asking = await client.asks(chat(user("hi")), answer)
        with away(tmp_path):
            answer.go_on.set()
            assert await answered(asking) == "Hello"
        assert await stored(client, asking) == ["hi", "Hello"]
        assert asking.exchange is not None
        said = await client.said(asking.exchange)
        assert said[-1].status is Status.DONE


async def test_no_secret_waits_for_the_database(running: Opens, tmp_path: Path) -> None:
    hiding = Hiding("away")
    async with running(redact="secrets") as core:
        client = await client_of(core)
        with closing(await reading(core, client.actor)) as reader:
            asked = (user(hiding.text() + hiding.key()), assistant(hiding.text()), user("So?"))
            answer = hiding.cut(hiding.text())
            with away(tmp_path):
                call = Answer(*map(TextPiece, answer))
                call.outcome.kept = {"unknown": hiding.text()}
                asking = await client.asks(chat(*asked), call)
                assert await answered(asking) == "".join(answer)
                await say(core, client.actor, reader, text := hiding.text(), "cid-1")
                await say(core, client.actor, reader, text, "cid-1")
                [shown] = await until(reader, Drafted, 1)
                assert not hiding.found(repr(shown).encode())
                assert not hiding.on_disk(tmp_path)
            for told in await stored(client, asking):
                assert MARK in told or told == "So?"
        assert not hiding.on_disk(tmp_path)


@pytest.mark.parametrize("drafts_max", [1_000, 0])
async def test_what_was_kept_survives_the_process(
    running: Opens, tmp_path: Path, drafts_max: int
) -> None:
    """Also where the next one's own journal takes nothing."""
    pieces: list[Piece] = [TextPiece("Hel"), TextPiece("lo"), ToolPiece(0, "c", "f", "{}")]
    with ExitStack() as ending:
        async with running() as core:
            client = await client_of(core)
            ending.enter_context(away(tmp_path))
            whole = await client.asks(chat(user("one")), Answer(TextPiece("1")))
            await answered(whole)
            cut = await client.exchanges.open(client.actor, chat(user("two")))
            assert cut.held
            assert cut.exchange is not None
            for piece in pieces:
                record = record_of(piece)
                assert record is not None
                core.held.journal.keep(cut.exchange.id, *record)
    async with running(drafts_max=drafts_max) as core:
        client = await client_of(core)
        assert await stored(client, whole) == ["one", "1"]
        assert await stored(client, cut) == ["two", "Hello", "{}"]
        said = await client.said(cut.exchange)
        assert [message.status for message in said[1:]] == [Status.INTERRUPTED] * 2
    assert not list((tmp_path / "journal" / "exchanges").glob("*.journal"))


async def test_what_the_next_process_cannot_keep_is_left_for_the_one_after_it(
    running: Opens, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where it can keep another one, and dies before the database takes either."""
    long = "one" * 2_000
    with ExitStack() as ending:
        async with running() as core:
            client = await client_of(core)
            ending.enter_context(away(tmp_path))
            first = await client.asks(chat(user(long)), Answer(TextPiece("1")))
            await answered(first)
            second = await client.asks(chat(user("two")), Answer(TextPiece("2")))
            await answered(second)
    settings = Settings.model_validate({"data_dir": tmp_path})
    tried: list[int] = []

    def full_at_first(descriptor: int, at: int, size: int) -> None:
        tried.append(size)
        if len(tried) == 1:
            raise OSError(errno.ENOSPC, "the disk is full")
        posix_fallocate(descriptor, at, size)

    posix_fallocate = os.posix_fallocate
    async with AsyncExitStack() as closing:
        ground = await grounded(closing, settings, SystemClock(), *[None] * 6)
        held = ExchangeSpool(ground)
        with away(tmp_path), monkeypatch.context() as patched:
            patched.setattr(os, "posix_fallocate", full_at_first)
            await held.recover()
        assert len(tried) == 2, "the second one was kept"
        assert held.depth == 2
        held.close()
    async with running() as core:
        client = await client_of(core)
        assert await stored(client, first) == [long, "1"]
        assert await stored(client, second) == ["two", "2"]


async def test_what_cannot_be_answered_without_the_database_is_refused_for_now(
    running: Opens, tmp_path: Path
) -> None:
    async with running() as core:
        client = await client_of(core)
        asked = chat(user("hi"), kind=ExchangeKind.RESPONSE, whole=False)
        with away(tmp_path), pytest.raises(Unavailable) as refused:
            await client.asks(asked, Answer(TextPiece("x")))
        assert refused.value.code is Code.DATABASE_UNAVAILABLE
    async with running(when_db_down="reject") as core:
        client = await client_of(core)
        with away(tmp_path), pytest.raises(Unavailable):
            await client.asks(chat(user("hi")), Answer(TextPiece("x")))


async def test_a_journal_that_is_full_refuses_what_it_cannot_keep(
    running: Opens, tmp_path: Path
) -> None:
    async with running(drafts_max=0) as core:
        client = await client_of(core)
        with away(tmp_path), pytest.raises(Unavailable):
            await client.asks(chat(user("hi")), Answer(TextPiece("x")))
