"""Turns: who answers, how an answer streams, and how it ends.

Theory of operation. The transaction that stores a message inserts the turns that it causes. A turn runs as a task of
the server, owned by no connection: it reads the context from the store, streams the provider's pieces through the
hub, and ends with exactly one insert of one message, whatever happened: `done`, `stopped`, `interrupted` or `failed`.
The id of that message is fixed when the turn is made, and the store takes it once (fence and state), so an end that
is repeated after an unclear error stores nothing twice.

Each piece is written to the process's journal before anyone sees it. While the journal cannot take it (its disk is
full), pieces are held back, not shown, and the answer's end shows and stores them. A turn that a dead process left
open is claimed: what its journal holds is stored as `interrupted`; where nothing had come yet, the turn runs again.
What the journal holds of a turn that the history has lost is set aside until it has it again.

A provider's failure becomes a status and a code in the message's meta; its text holds only what the model said.
"""

import asyncio
import math
from collections import Counter
from collections.abc import (
    AsyncGenerator,
    Awaitable,
    Callable,
    Coroutine,
    Generator,
    Iterable,
    Sequence,
    Set as AbstractSet,
)
from contextlib import aclosing, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import structlog

from palaver.clock import Clock
from palaver.core import validation
from palaver.core.access import Access
from palaver.core.answers import context
from palaver.core.answers.outcome import CUT, ending, failure_of, told, too_long
from palaver.core.answers.pieces import pieces_in, put_beside
from palaver.core.answers.recorder import Recorder
from palaver.core.live.hub import Hub
from palaver.core.live.outbox import Outbox
from palaver.core.rollback import History
from palaver.errors import Code, ProviderError, Refused, Unavailable
from palaver.model import (
    Actor,
    Message,
    MessageId,
    RoomId,
    Status,
    TitleSource,
    Turn,
    TurnId,
    TurnState,
)
from palaver.providers.base import BesidePiece, Done, Provider, Request, TextPiece
from palaver.settings import Settings
from palaver.store.journal import (
    Journal,
    Orphan,
    Partial,
    Records,
    dead_owners,
    forget,
    merged,
    orphans,
    partial,
)
from palaver.store.read import rooms, turns
from palaver.store.store import Store
from palaver.store.write.command import Command
from palaver.store.write.new_turns import LEASE_MS
from palaver.store.write.rooms import RenameRoom
from palaver.store.write.turns import (
    ClaimTurns,
    FinishTurn,
    KeepParts,
    OpenTurn,
    RenewLeases,
    RetryTurn,
)
from palaver.thoughts import parted

LEASE_SECONDS = LEASE_MS / 1_000
TITLE_SECONDS_MAX = 30.0
TITLE_CHARS_MAX = 80
STORE_RETRY_SECONDS_MAX = 5.0
OVER_MAX = 1_000
T = TypeVar("T")

log = structlog.stdlib.get_logger()


Recovers = Callable[[Turn, Partial, Sequence[tuple[bytes, bytes]]], Awaitable[bool]]
"""Stores what is left of an exchange's answer, and its records; False for a turn that is no exchange's."""


@dataclass(slots=True)
class RunningTurn:
    """A turn that runs in this process. `end` says why it was told to stop, which only a streaming one hears."""

    turn: Turn
    task: asyncio.Task[None] | None = None
    streaming: bool = False
    end: Status | None = None


class Engine:
    """The answers of this process.

    `outbox` tells the other processes, where there can be some. `places`: as many answers as may stream at once.
    `provider_errors` are counted by code, and of titles those that a model was asked for and did not make.
    """

    def __init__(
        self,
        *,
        store: Store,
        history: History,
        hub: Hub,
        outbox: Outbox | None,
        journal: Journal,
        access: Access,
        provider: Callable[[], Awaitable[Provider]],
        settings: Settings,
        clock: Clock,
        tasks: asyncio.TaskGroup,
    ) -> None:
        self._store = store
        self._history = history
        self._hub = hub
        self._outbox = outbox
        self._journal = journal
        self._access = access
        self._provider = provider
        self._settings = settings
        self._clock = clock
        self._tasks = tasks
        self._runs: dict[TurnId, RunningTurn] = {}
        # each stores what a dead process had shown
        self._taken: dict[asyncio.Task[None], None] = {}
        self._over: dict[TurnId, int] = {}  # the last ones that ended here, with their fence
        self._screens: dict[TurnId, Recorder] = {}
        self._unbegun: set[TurnId] = set()
        self._closing = False
        self.places = asyncio.Semaphore(settings.turns_running_max)
        self.provider_errors: Counter[str] = Counter()
        self.titles_missed = 0
        self.recovers: Recovers | None = None

    # what others ask

    def begin(self, turns: Iterable[Turn]) -> None:
        """Runs turns that this process owns; the ones that run already go on, and what is over does not begin again."""
        for turn in turns:
            known = turn.id in self._runs or self._over.get(turn.id) == turn.fence
            if not known and not self._closing:
                run = self._runs[turn.id] = RunningTurn(turn)
                run.task = self._tasks.create_task(self._run(run), name=f"turn {turn.id}")

    @property
    def running(self) -> int:
        """How many turns run in this process."""
        return len(self._runs)

    async def idle(self) -> None:
        """Waits until no turn runs in this process."""
        while tasks := [run.task for run in self._runs.values() if run.task is not None]:
            await asyncio.wait(tasks)

    async def recovered(self, seconds: float) -> None:
        """Waits until what dead processes had shown is stored, at most so long; it goes on in any case."""
        if self._taken:
            await asyncio.wait(self._taken, timeout=seconds)

    async def recover(self, *, aside: bool = False) -> None:
        """Takes over the turns that dead processes left open; `aside`: also those that were set aside."""
        left = list(orphans(self._journal.directory, aside=aside))
        taken: list[asyncio.Task[None]] = []
        records = merged(left)
        try:
            await self._take_over(records, taken)
            waiting = await self._history.unknown(set(records))
        except BaseException:
            for orphan in left:
                orphan.release()
            raise
        if left:
            self._tasks.create_task(_forget(left, taken, waiting), name="journal")

    async def _take_over(self, records: Records, taken: list[asyncio.Task[None]]) -> None:
        dead = tuple(dead_owners(self._journal.directory))
        while claimed := await self._store.write(ClaimTurns(dead=dead)):
            for turn in claimed:
                kept = records.get(turn.id[2:], [])
                found = await self._seen(turn, partial(kept))
                if turn.external:
                    taken.append(self._taking(self._cut(turn, found, kept)))
                elif found.text or found.reasoning:
                    taken.append(self._taking(self._interrupted(turn, found, kept)))
                else:
                    self.begin((turn,))

    def _taking(self, storing: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = self._tasks.create_task(storing)
        self._taken[task] = None
        task.add_done_callback(lambda _: self._taken.pop(task))
        return task

    async def see_to_unbegun(self) -> None:
        """Begins this process's turns that nobody began, as after a commit whose end was unclear.

        To be called every few seconds: one that is met twice is nobody's. An external one is told as interrupted.
        """
        mine = await self._store.read(turns.open_of, self._store.owner)
        unbegun = {
            turn.id: turn
            for turn in mine
            if turn.id not in self._runs and turn.id not in self._screens
        }
        for id_ in unbegun.keys() & self._unbegun:
            turn = unbegun.pop(id_)
            if turn.external:
                self._tasks.create_task(self._cut(turn, Partial(), ()))
            else:
                self.begin((turn,))
        self._unbegun = set(unbegun)

    async def stop(self, actor: Actor, turn: TurnId) -> None:
        """Ends an answer; what came is stored as `stopped`. One that has ended is left as it is.

        Refused: `turn_not_found`, `forbidden`.
        """
        found = await self._access.turn(actor, turn)
        await self._access.may_stop(actor, found)
        if found.state is TurnState.OPEN and turn not in self._runs:
            self.stop_elsewhere(turn)
        self._end(turn, Status.STOPPED)

    def stop_elsewhere(self, turn: TurnId) -> None:
        """Asks whichever other process runs a turn to stop it."""
        if self._outbox is not None:
            self._outbox.stop(turn)

    def stop_here(self, turn: TurnId) -> None:
        """Another process was asked to stop a turn; nothing happens where it does not run here."""
        self._end(turn, Status.STOPPED)

    async def retry(self, actor: Actor, message: MessageId, *, goes_on: bool = False) -> Turn:
        """Answers again; the old answer is deleted (undoably).

        With `goes_on` it stays, and another answer says what comes next. Refused: `message_not_found`,
        `turn_not_retryable`, `forbidden`.
        """
        await self._access.message(actor, message)
        turn = await self._store.write(RetryTurn(message=message, by=actor.id, goes_on=goes_on))
        self.begin((turn,))
        return turn

    async def drain(self, seconds: float) -> None:
        """Ends everything: answers may finish within `seconds`, then what came is stored as `interrupted`."""
        self._closing = True
        tasks = [run.task for run in self._runs.values() if run.task is not None]
        tasks += self._taken
        if tasks:
            await asyncio.wait(tasks, timeout=seconds)
        for turn in list(self._runs):
            self._end(turn, Status.INTERRUPTED)
        tasks = [task for task in tasks if not task.done()]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=max(1.0, seconds))
            for task in late:  # the store is away; the journal has what came, for the next start
                task.cancel()

    @asynccontextmanager
    async def external(self, room: RoomId, agent: Actor) -> AsyncGenerator[Recorder, None]:
        """An answer that the caller writes: streamed live, stored once, when the block ends.

        An exception in the block stores what came as `failed` and goes on to the caller; a cancellation as
        `interrupted`. The recorder's `meta` goes with the message, `failed` too where it holds an `error`, and its
        `message` is the stored one afterwards.
        """
        turn = await self._store.write(
            OpenTurn(
                turn=TurnId(f"t_{self._clock.new_id()}"),
                message=MessageId(f"m_{self._clock.new_id()}"),
                room=room,
                agent=agent.id,
            )
        )
        screen = self.screen(turn)
        try:
            yield screen
        except asyncio.CancelledError:
            await asyncio.shield(self._keep(screen, Status.INTERRUPTED))
            raise
        except BaseException:
            await self._keep(screen, Status.FAILED)
            raise
        else:
            await self._keep(screen, Status.FAILED if "error" in screen.meta else Status.DONE)

    def adopt(self, turn: Turn, task: asyncio.Task[None]) -> RunningTurn:
        """A turn that a task of somebody else runs; it hears its `end` as a cancellation, and must be released."""
        run = self._runs[turn.id] = RunningTurn(turn, task, streaming=True)
        if self._closing:
            self._end(turn.id, Status.INTERRUPTED)
        return run

    def release(self, run: RunningTurn) -> None:
        """The turn is over."""
        self._runs.pop(run.turn.id, None)

    def screen(self, turn: Turn, journal: Journal | None = None) -> Recorder:
        """Where an answer is shown, after this or the usual journal has it; to be closed with `close`."""
        leased = self._store.shared and journal is None  # else nobody else can take it over
        until = self._clock.boottime() + LEASE_SECONDS if leased else math.inf
        screen = Recorder(self._hub, journal or self._journal, turn, self._clock, until)
        self._screens[turn.id] = screen
        return screen

    async def is_over(self, turn: TurnId, stored: object) -> bool:
        """Whether a turn whose end was written has its message; else it is gone from the history, and is kept."""
        with suppress(Unavailable):
            return stored is not None or bool(await self._store.read(turns.known, [turn]))
        return False

    def close(self, screen: Recorder, *, stored: bool) -> None:
        """The answer is over; see `Recorder.close`."""
        del self._screens[screen.turn.id]
        screen.close(stored=stored)

    async def renew(self) -> None:
        """Prolongs the leases; an answer whose turn is this process's no more shows nothing from the lease's end on."""
        asked = self._clock.boottime()
        mine = await self._store.write(RenewLeases())
        for turn in mine & self._screens.keys():
            self._screens[turn].renewed(asked + LEASE_SECONDS)

    async def copy(self) -> None:
        """Copies what came since the last time, for another host that may have to take it over."""
        parts = [(screen, part) for screen in self._screens.values() if (part := screen.part())]
        if parts:
            await self._store.write(KeepParts(parts=tuple(part for _, part in parts)))
            for screen, part in parts:
                screen.copied(part)

    async def until_stored(self, turn: TurnId, ending: Command[T]) -> T:
        """Stores the end of a turn; while the store cannot, keeps it and tries again."""
        wait = 0.05
        while True:
            try:
                return await self._store.write(ending)
            except Unavailable as failure:
                log.warning("turn.not_stored_yet", turn=turn, code=failure.code)
                await asyncio.sleep(wait * (0.5 + self._clock.chance()))
                wait = min(wait * 2, STORE_RETRY_SECONDS_MAX)

    async def name(self, room: RoomId, title: str, source: TitleSource) -> None:
        """Gives a room a title that nobody chose, if there is one."""
        if title:
            await self._store.write(RenameRoom(room=room, by=None, title=title, source=source))

    def count(self, error: Exception | None) -> None:
        """Counts an error, if it is a provider's."""
        if isinstance(error, ProviderError) and error.code.startswith("provider_"):
            self.provider_errors[error.code] += 1

    @contextmanager
    def counting(self) -> Generator[None]:
        """Counts the error of a provider that the block raises."""
        try:
            yield
        except ProviderError as failure:
            self.count(failure)
            raise

    # inside

    async def _cut(self, turn: Turn, left: Partial, kept: Sequence[tuple[bytes, bytes]]) -> None:
        """Stores what is left of an answer that a client or a program was given."""
        if self.recovers is None or not await self.recovers(turn, left, kept):
            await self._interrupted(turn, left, kept)

    async def _seen(self, turn: Turn, journaled: Partial) -> Partial:
        """What is known of a dead process's answer: its journal, what it had spread, or the copies it left."""
        known = [journaled]
        mirror = self._hub.streams(turn.room).get(turn.message)
        if mirror is not None:
            known.append(Partial(mirror.text(), mirror.reasoning()))
        if self._store.shared:
            known.append(Partial(*await self._store.read(turns.copied, turn.id)))
        return max(known, key=lambda left: len(left.text) + len(left.reasoning))

    async def _interrupted(
        self, turn: Turn, left: Partial, kept: Sequence[tuple[bytes, bytes]]
    ) -> None:
        """Stores what a dead process had shown of an answer."""
        meta: dict[str, Any] = {"turn": turn.id, "error": CUT}
        for piece in pieces_in(kept):
            if isinstance(piece, BesidePiece):
                put_beside(meta.setdefault("beside", {}), piece)
        end = ending(turn, Status.INTERRUPTED, left.text, left.reasoning, meta)
        await self.until_stored(turn.id, end)
        log.info("turn.recovered", turn=turn.id, room=turn.room, chars=len(left.text))

    def _end(self, turn: TurnId, status: Status) -> None:
        run = self._runs.get(turn)
        if run is not None and run.end is None:
            run.end = status
            if run.streaming and run.task is not None:
                run.task.cancel()

    async def _keep(self, screen: Recorder, status: Status) -> None:
        turn = screen.turn
        meta: dict[str, Any] = {"turn": turn.id, **screen.meta}
        if status is Status.FAILED:
            meta.setdefault("error", {"code": Code.INTERNAL, "temporary": False})
        try:
            screen.message = await self._store.write(ending(turn, status, screen.text, "", meta))
        finally:
            self.close(screen, stored=screen.message is not None)

    async def _run(self, run: RunningTurn) -> None:
        screen = self.screen(run.turn)
        ended = False
        try:
            stored = await self.until_stored(run.turn.id, await self._stream(run, screen))
            over = await self.is_over(run.turn.id, stored)
            ended = True
            self.close(screen, stored=over)
            if stored is not None and stored.status is Status.DONE:
                with suppress(Unavailable):  # a name can wait
                    await self._title(run.turn, stored)
        except Exception:
            log.exception("turn.crashed", turn=run.turn.id, room=run.turn.room)
        finally:
            if not ended:
                self.close(screen, stored=False)
            del self._runs[run.turn.id]
            self._over[run.turn.id] = run.turn.fence
            if len(self._over) > OVER_MAX:
                del self._over[next(iter(self._over))]

    async def _stream(self, run: RunningTurn, screen: Recorder) -> FinishTurn:
        """Streams one answer to its end, whatever end that is."""
        started = self._clock.monotonic()
        meta: dict[str, Any] = {"turn": run.turn.id}
        ms: dict[str, int] = {}
        error: ProviderError | None = None
        try:
            async with self.places, asyncio.timeout(self._settings.answer_seconds_max):
                if run.end is None:
                    run.streaming = True
                    await self._listen(screen, meta, ms, started)
        except asyncio.CancelledError:
            if run.end is None or run.task is None:
                raise  # not a stop that somebody asked for: the server is cancelled
            run.task.uncancel()
        except Exception as failure:  # noqa: BLE001  logged where nobody expects it
            error = failure_of(failure, "turn.failed")
        run.streaming = False
        status = run.end or Status.DONE
        if error is not None:
            self.count(error)
            status = Status.FAILED
            meta["error"] = told(error)
            log.warning("turn.failed", turn=run.turn.id, room=run.turn.room, code=error.code)
        ms["total"] = round((self._clock.monotonic() - started) * 1000)
        meta["ms"] = ms
        if screen.beside:
            meta["beside"] = screen.beside
        return ending(run.turn, status, screen.text, screen.reasoning, meta)

    async def _listen(
        self, screen: Recorder, meta: dict[str, Any], ms: dict[str, int], started: float
    ) -> None:
        """Takes the provider's pieces until the answer is whole."""
        provider = await self._provider()
        meta["provider"] = provider.name
        request = await self._request(screen.turn)
        if request.model is not None:
            meta["model"] = request.model
        async with aclosing(provider.answer(request)) as pieces:
            async for piece in pieces:
                if "first" not in ms:
                    ms["first"] = round((self._clock.monotonic() - started) * 1000)
                if isinstance(piece, Done):
                    meta["model"] = piece.model
                    meta["finish"] = piece.finish
                    usage = {"input": piece.input_tokens, "output": piece.output_tokens}
                    if any(tokens is not None for tokens in usage.values()):
                        meta["usage"] = {k: v for k, v in usage.items() if v is not None}
                    return
                screen.take(piece)
                if screen.chars > self._settings.answer_chars_max:
                    raise too_long()
        raise ProviderError(Code.PROVIDER_CUT, "The provider ended in the middle of the answer.")

    async def _request(self, turn: Turn) -> Request:
        """What the model is given. While the database is away, waits for it: nobody need ask again."""
        wait = 0.05
        while True:
            try:
                return await context.to_answer(self._store, self._settings, turn)
            except Unavailable as failure:
                if not failure.database_away:
                    raise
                await asyncio.sleep(wait * (0.5 + self._clock.chance()))
                wait = min(STORE_RETRY_SECONDS_MAX, wait * 2)

    async def _title(self, turn: Turn, answer: Message) -> None:
        """Lets a real model name a room that is named after its first message so far."""
        provider = await self._provider()
        room = await self._store.read(rooms.get, turn.room, turn.agent)
        named = room is None or room.title_source not in {
            TitleSource.NONE,
            TitleSource.FIRST_MESSAGE,
        }
        if named or not provider.real or self._closing:
            return
        text = ""
        try:
            request = await context.to_title(self._store, turn, answer)
            async with (
                asyncio.timeout(TITLE_SECONDS_MAX),
                aclosing(provider.answer(request)) as pieces,
            ):
                async for piece in pieces:
                    if isinstance(piece, TextPiece):
                        text += piece.text
            words = validation.without_markdown(parted(text)[1])
            title = validation.title_of(words, TITLE_CHARS_MAX)
            await self.name(turn.room, title, TitleSource.MODEL)
        except (ProviderError, Refused, Unavailable, TimeoutError) as failure:
            self.titles_missed += 1
            self.count(failure)
            log.info("title.not_made", room=turn.room, why=type(failure).__name__)


async def _forget(
    left: Sequence[Orphan], taken: Iterable[asyncio.Task[None]], waiting: AbstractSet[str]
) -> None:
    """Deletes segments once all that they held is stored, but for what waits."""
    for task in taken:
        await task
    forget(left, waiting)
