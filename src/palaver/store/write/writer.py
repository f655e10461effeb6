"""The writer: commands that wait share one commit.

Theory of operation. `put` queues a command. A task takes all that wait (at most `batch_max`), has them applied in one
transaction, and after its commit tells `committed` the events and then everyone's result; meanwhile the next ones
gather. With nothing else waiting a command goes at once: the latency is one commit, and throughput rises with load.

A refused command is the result of that command alone. When something unexpected happens in a batch, it is rolled back
and each of its commands is applied again in a transaction of its own, so that only the guilty one fails. When the
database is away, all of the batch get a temporary error: what happened to them is unknown, and they may be sent again.

When a batch takes longer than the deadline, whoever waits for it or behind it is told that the database is away; the
batch itself goes on, because its events must be told when it succeeds after all. One timer a batch, not one a command.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import structlog
from msgspec import Struct, field
from sqlalchemy import Connection

from palaver.clock import Clock
from palaver.errors import Code, PalaverError, Refused, Unavailable
from palaver.model import Event
from palaver.settings import Settings
from palaver.store.engine import errors
from palaver.store.engine.base import Database
from palaver.store.histories import Recent
from palaver.store.notify import tell_taken
from palaver.store.write.command import Command, apply_batch
from palaver.store.write.transaction import Overtaken, Transaction
from palaver.store.write.turns import FinishTurn

Committed = Callable[[Sequence[Event]], None]

CODES, OTHER = {"", *Code}, "other"
"""A program that embeds this may end an answer with a code of its own."""
TRIES = 3
"""How often what met another process' writing is tried, together and then each command alone."""
RETRY_MS = 1_000
"""When to come again after the queue was full."""


class _Waiting(NamedTuple):
    command: Command[Any]
    future: "asyncio.Future[Any]"


class Tally(Struct, kw_only=True):
    """What the writers of a store have done. `rows` are events; the others count by code, `answers` by end and code."""

    commits: int = 0
    rows: int = 0
    refused: Counter[str] = field(default_factory=Counter[str])
    failed: Counter[str] = field(default_factory=Counter[str])
    answers: Counter[tuple[str, str]] = field(default_factory=Counter[tuple[str, str]])


class Writer(Struct, kw_only=True, eq=False):
    """One of a database's writers with its queue. `turns`: of all of them, where they are several."""

    database: Database
    number: int
    settings: Settings
    clock: Clock
    owner: str
    committed: Committed
    tally: Tally
    turns: Sequence[asyncio.Lock]
    _queue: deque[_Waiting] = field(default_factory=deque[_Waiting])
    _wake: "asyncio.Future[None] | None" = None
    _deadline: asyncio.TimerHandle | None = None
    _stopping: bool = False
    _recent: Recent = field(default_factory=Recent)

    @property
    def queued(self) -> int:
        """Commands that wait for their batch."""
        return len(self._queue)

    def put(self, command: Command[Any]) -> "asyncio.Future[Any]":
        """Queues a command; the future is its result. Unavailable: `too_busy`, `shutting_down`."""
        if self._stopping:
            raise self._failure(Unavailable(Code.SHUTTING_DOWN, "The server is stopping."))
        if len(self._queue) >= self.settings.write_queue_max:
            most = "too many writes are waiting"
            raise self._failure(Unavailable(Code.TOO_BUSY, most, retry_ms=RETRY_MS))
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._queue.append(_Waiting(command, future))
        self._ring()
        return future

    def stop(self) -> None:
        """Takes no more; `run` returns when what waits has been written."""
        self._stopping = True
        self._ring()

    async def run(self) -> None:
        """Writes batch after batch, until it is stopped and the queue is empty."""
        while True:
            if self._queue:
                count = min(len(self._queue), self.settings.batch_max)
                batch = [self._queue.popleft() for _ in range(count)]
                self._expect(batch)
                await (self._write_in_turn(batch) if self.turns else self._write(batch))
                del batch  # nothing of it is kept until the next one comes
                if self._deadline is not None:
                    self._deadline.cancel()
            elif self._stopping:
                return
            else:
                self._wake = asyncio.get_running_loop().create_future()
                await self._wake
                self._wake = None

    def _ring(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    def _expect(self, batch: list[_Waiting]) -> None:
        """Sets the deadline, again and again as long as the batch is under way."""

        def late() -> None:
            self._fail([*batch, *self._queue], errors.away())
            self._expect(batch)

        self._deadline = asyncio.get_running_loop().call_later(self.settings.database_seconds, late)

    async def _write_in_turn(self, batch: list[_Waiting]) -> None:
        """Writes it while no other writer is at work, where it may write to any room."""
        widely = any(waiting.command.anywhere for waiting in batch)
        turns = self.turns if widely else [self.turns[self.number]]
        for turn in turns:
            await turn.acquire()
        try:
            await self._write(batch)
        finally:
            for turn in turns:
                turn.release()

    async def _write(self, batch: list[_Waiting], tries: int = TRIES) -> None:
        commands = [waiting.command for waiting in batch]
        try:
            results, events = await self._transact(commands)
        except Exception as error:  # noqa: BLE001  the edge of the task: every driver's errors become ours
            fault = errors.temporary(error)
            crossed = errors.crossed(error)
            overtaken = isinstance(error, Overtaken) or errors.conflicts(error)
            if tries > 1 and (crossed or overtaken):
                # another process stored the same in between (a cid, a handle), which is seen now, or waited for
                # what this one had while this one waited for it
                await self._write(batch, tries - 1)
            elif fault is not None and not (crossed and len(batch) > 1):
                _log().warning("the database does not take writes", code=fault.code.value)
                self._fail(batch, fault)
            elif len(batch) == 1:
                _log().exception("a write failed", command=type(commands[0]).__name__)
                self._fail(batch, errors.internal())
            else:
                for waiting in batch:
                    await self._write([waiting])
        else:
            self._tell(batch, results, events)

    async def _transact(self, commands: list[Command[Any]]) -> tuple[list[Any], list[Event]]:
        def work(conn: Connection) -> tuple[list[Any], list[Event]]:
            transaction = Transaction(
                conn=conn,
                clock=self.clock,
                owner=self.owner,
                now_ms=self.clock.now_ms(),
                recent=self._recent,
                settings=self.settings,
            )
            results = apply_batch(transaction, commands)
            assert len(results) == len(commands)
            tell_taken(conn, self.owner, transaction.events)
            return results, transaction.events

        return await self.database.writing(self.number, work)

    def _tell(self, batch: list[_Waiting], results: list[Any], events: list[Event]) -> None:
        self.tally.commits += 1
        self.tally.rows += len(events)
        if events:
            try:
                self.committed(events)
            except Exception:  # noqa: BLE001  logged, and the writer goes on
                # what is stored is stored: the writers get their results whatever the listener does
                _log().exception("a listener to committed events failed")
        for waiting, result in zip(batch, results, strict=True):
            self._count(waiting.command, result)
            if waiting.future.done():
                continue
            if isinstance(result, Refused):
                waiting.future.set_exception(result)
            else:
                waiting.future.set_result(result)

    def _count(self, command: Command[Any], result: object) -> None:
        if isinstance(result, Refused):
            self.tally.refused[result.code] += 1
        elif isinstance(command, FinishTurn) and result is not None:
            code = command.failure or ""
            self.tally.answers[command.status, code if code in CODES else OTHER] += 1

    def _fail(self, batch: list[_Waiting], error: PalaverError) -> None:
        for waiting in batch:
            if not waiting.future.done():
                failure = self._failure(type(error)(error.code, error.detail))
                waiting.future.set_exception(failure)

    def _failure(self, error: PalaverError) -> PalaverError:
        self.tally.failed[error.code] += 1
        return error


def _log() -> Any:
    return structlog.get_logger("palaver.store")
