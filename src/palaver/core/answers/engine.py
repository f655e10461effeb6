"""Runs every answer of this process, from its source to the one write that ends it.

Theory of operation. The transaction that stores a message, or a client's request, opens the turns of its answers. A
turn runs as a task of the server, owned by no connection. Its source gives pieces: the model of a room, which is sent
what was said, or the call of a client, which is passed on. The recorder writes each piece to the process's journal
before anyone sees it, then shows it to the room's readers; a client's connection reads the tape of its exchange. The
turn ends with one command that stores its messages, whatever happened: `done`, `stopped`, `interrupted` or `failed`.
The ids of the messages are fixed when the turn is made, and the store takes them once (fence and state), so an end
that is repeated after an unclear error stores nothing twice. The last of a client's answer is told once it is stored.

While the journal cannot take a piece (its disk is full), pieces are held back, not shown, and the answer's end shows
and stores them. After a sleep nothing is shown before the turn's lease is known to be still this process's.

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
)
from contextlib import aclosing, asynccontextmanager, contextmanager, suppress
from functools import partial
from typing import Any, Protocol

import structlog

from palaver.core import validation
from palaver.core.answers import context
from palaver.core.answers.bots import Bots
from palaver.core.answers.budgets import Budgets
from palaver.core.answers.outcome import ending, failure_of, known_of, too_long, used, written
from palaver.core.answers.prices import COST_MAX, Prices
from palaver.core.answers.recorder import Recorder
from palaver.core.answers.source import ModelServer, ModelSource, patiently
from palaver.core.answers.tape import LiveAnswer
from palaver.core.ground import Ground
from palaver.core.live.items import Look
from palaver.errors import Code, ProviderError, Refused, Unavailable
from palaver.model import (
    Actor,
    ActorId,
    Entry,
    ExchangeId,
    Message,
    MessageId,
    Role,
    RoomId,
    Status,
    TitleSource,
    Turn,
    TurnId,
    TurnState,
)
from palaver.model.usage import Unkept
from palaver.providers.call import Call, CallResult
from palaver.store.journal import Journal
from palaver.store.read import rooms, turns
from palaver.store.write.rooms import RenameRoom
from palaver.store.write.transaction import LEASE_MS
from palaver.store.write.turns import (
    AskAgents,
    Finished,
    FinishTurn,
    KeepParts,
    LeaveTurns,
    OpenTurn,
    RenewLeases,
    RetryTurn,
    StopRoom,
)
from palaver.store.write.unkept import CountUnkept

LEASE_SECONDS = LEASE_MS / 1_000
TITLE_SECONDS_MAX = 30.0
OVER_MAX = 1_000
ASKED_MAX = 20
"""So many agents are asked at once."""

Ask = Callable[[], Awaitable[Call]]
Close = Callable[[], Awaitable[None]]

log = structlog.stdlib.get_logger()


class Keeper(Protocol):
    """Keeps clients' exchanges while the database is away, and their pieces in `journal`."""

    journal: Journal

    def holds(self, exchange: ExchangeId) -> bool:
        """Whether the exchange is kept."""
        ...

    async def finish(self, finish: FinishTurn) -> None:
        """Keeps the end of an exchange. `Unavailable`: in memory only."""
        ...


class Engine:
    """The answers of this process.

    `tasks` run them; `places` bounds how many stream at once. Counted are `provider_errors` by their code, and the
    titles that a model was asked for and did not make.
    """

    def __init__(self, ground: Ground, spool: Keeper, tasks: asyncio.TaskGroup) -> None:
        self._ground, self._store, self._access = ground, ground.store, ground.access
        self._settings, self._clock = ground.settings, ground.clock
        self._spool, self.tasks = spool, tasks
        self._runs: dict[TurnId, LiveAnswer] = {}
        self._unkept: set[LiveAnswer] = set()  # running calls of which nothing is kept
        # each stores the end of an answer that ran elsewhere
        self._storing: dict[asyncio.Task[None], None] = {}
        self._over: dict[TurnId, int] = {}  # the last ones that ended here, with their fence
        self._recorders: dict[TurnId, Recorder] = {}
        self._closing = False
        self.places = asyncio.Semaphore(ground.settings.turns_running_max)
        self.prices = Prices(ground.settings.prices)
        self.budgets = Budgets(ground, self.prices)
        self.bots = Bots(ground, self.begin, self._runs.get)
        self.provider_errors: Counter[str] = Counter()
        self.titles_missed = 0

    # what others ask

    def begin(self, turns: Iterable[Turn]) -> None:
        """Runs turns that this process owns, not those that wait; what runs goes on, and what is over is not begun."""
        for turn in turns:
            known = turn.id in self._runs or self._over.get(turn.id) == turn.fence
            if not known and not self._closing and turn.waits_for is None:
                prompt = partial(context.to_answer, self._store, self._settings, turn)
                bot = partial(self.bots.answer, turn)
                source = ModelSource(self._ground, turn.id, prompt, self.budgets, bot)
                self.run(LiveAnswer(turn), partial(asked, source))

    def run(self, live: LiveAnswer, ask: Ask, *, close: Close | None = None) -> None:
        """Takes an answer from its source, as a task. `close` ends a call that was made before, heard or not."""
        name = "call" if live.turn is None else f"turn {live.turn.id}"
        if self._closing:
            live.stop(Status.INTERRUPTED)
        live.task = self.tasks.create_task(self._guarded(live, ask, close), name=name)
        if live.turn is not None:
            self._runs[live.turn.id] = live
        else:
            self._unkept.add(live)

    def of_exchange(self, exchange: ExchangeId) -> LiveAnswer | None:
        """The answer of an exchange, while it comes to this process. Its turn has the same digits."""
        return self._runs.get(TurnId(f"t_{exchange[2:]}"))

    @property
    def running(self) -> int:
        """How many turns run in this process."""
        return len(self._runs)

    @property
    def holds(self) -> bool:
        """Whether this process has leases: of turns, or of what is reserved for calls."""
        return bool(self._runs or self._unkept)

    def runs(self) -> list[LiveAnswer]:
        """The answers of turns that run in this process."""
        return list(self._runs.values())

    def writes(self, turn: TurnId) -> bool:
        """Whether an answer of this turn is written here."""
        return turn in self._runs or turn in self._recorders

    async def idle(self) -> None:
        """Waits until no turn runs in this process."""
        while self._runs:
            await asyncio.wait(self._tasks_of_runs())

    def store_later(self, storing: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Stores the end of an answer that ran elsewhere, as a task that a stop waits for."""
        task = self.tasks.create_task(storing)
        self._storing[task] = None
        task.add_done_callback(lambda _: self._storing.pop(task))
        return task

    async def count_unkept(self, live: LiveAnswer, answer: Unkept) -> dict[str, Any]:
        """Counts what an answer used that nobody keeps, and returns it. While the database is away, that waits."""
        outcome, entry = live.outcome or CallResult(), None
        if counts := used(live, outcome):
            provider, model = outcome.provider, outcome.model
            if not provider or not model:
                there, named = await self.budgets.asked(model or answer.model, answer.by)
                provider, model = provider or there, model or named
            meta = {"provider": provider, "model": model}
            cost = (await self.prices.of(*meta.values()))(counts)
            counts |= {} if cost is None else {"cost_micros": min(cost, COST_MAX)}
            entry = Entry(role=Role.ASSISTANT, meta={**meta, "usage": counts})
        write = partial(self._store.write, CountUnkept(answer=answer, entry=entry))
        counting = patiently(self._clock, write, storing="usage")
        await asyncio.shield(self.store_later(counting))
        return counts

    async def recovered(self, seconds: float) -> None:
        """Waits until what dead processes had shown is stored, at most so long; it goes on in any case."""
        if self._storing:
            await asyncio.wait(self._storing, timeout=seconds)

    async def stop(self, actor: Actor, turn: TurnId) -> None:
        """Ends an answer; what came is stored as `stopped`. One that has ended is left as it is.

        Refused: `turn_not_found`, `forbidden`.
        """
        found = await self._access.turn(actor, turn)
        await self._access.may_stop(actor, found)
        if found.state is TurnState.OPEN and turn not in self._runs:
            self.stop_elsewhere(turn)
        self.stop_here(turn)

    async def stop_room(self, actor: Actor, room: RoomId) -> None:
        """Stops all answers in a room that the actor may stop; what waits for its turn ends without a message.

        Refused: as `StopRoom` says.
        """
        for turn in await self._store.write(StopRoom(room=room, by=actor.id)):
            if turn not in self._runs:
                self.stop_elsewhere(turn)
            self.stop_here(turn)

    async def ask(
        self,
        actor: Actor,
        room: RoomId,
        *,
        agents: Sequence[ActorId] | None = None,
        message: MessageId | None = None,
        models: Sequence[str] = (),
    ) -> tuple[Turn, ...]:
        """Asks agents (None: all) for an answer to a message (None: the newest), whenever they speak by themselves.

        By each of `models`, where some are named. Refused: as `AskAgents` and `Providers.named` say, and `bad_request`
        (more than `ASKED_MAX`).
        """
        if agents is not None and len(agents) > ASKED_MAX:
            raise Refused(Code.BAD_REQUEST, f"At most {ASKED_MAX} agents are asked at once.")
        asked = None if agents is None else tuple(agents)
        turns = await self._store.write(
            AskAgents(
                room=room,
                by=actor.id,
                agents=asked,
                message=message,
                models=await self._ground.providers.named(models, actor.id),
            )
        )
        self.begin(turns)
        return turns

    def stop_elsewhere(self, turn: TurnId) -> None:
        """Asks whichever other process runs a turn to stop it."""
        if self._ground.outbox is not None:
            self._ground.outbox.stop(turn)

    def stop_here(self, turn: TurnId) -> None:
        """Stops a turn, if it runs here."""
        if turn in self._runs:
            self._runs[turn].stop(Status.STOPPED)

    async def retry(self, actor: Actor, message: MessageId, *, goes_on: bool = False) -> Turn:
        """Answers again; the old answer is deleted (undoably).

        With `goes_on` it stays, and another answer says what comes next. Refused: `message_not_found`,
        `turn_not_retryable`, `forbidden`.
        """
        await self._access.message(actor, message)
        turn = await self._store.write(RetryTurn(message=message, by=actor.id, goes_on=goes_on))
        self.begin((turn,))
        return turn

    async def regenerate(
        self, actor: Actor, message: MessageId, *, model: str | None = None
    ) -> Turn:
        """Answers the same again in a branch of its own, beside the old answer; by `model`, where that is named.

        The actor looks at that branch from then on. Refused: `message_not_found`, `turn_not_retryable`, `forbidden`, as
        `Providers.named` says.
        """
        await self._access.message(actor, message)
        models = await self._ground.providers.named([] if model is None else [model], actor.id)
        command = RetryTurn(message=message, by=actor.id, beside=True, models=models)
        turn = await self._store.write(command)
        self._ground.hub.tell_self(actor.id, Look(turn.room, turn.branch))
        self.begin((turn,))
        return turn

    async def drain(self, seconds: float) -> None:
        """Ends all answers: they may finish within `seconds`, then what came is stored as `interrupted`."""
        self._closing = True
        unkept = [run.task for run in self._unkept if run.task is not None]
        tasks = [*self._tasks_of_runs(), *self._storing, *unkept]
        if tasks:
            await asyncio.wait(tasks, timeout=seconds)
        for run in (*self._runs.values(), *self._unkept):
            run.stop(Status.INTERRUPTED)
        tasks = [task for task in tasks if not task.done()]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=max(1.0, seconds))
            for task in late:  # the store is away; the journal has what came, for the next start
                task.cancel()
        if self._store.shared:
            with suppress(Unavailable):  # then its leases run out
                await self._store.write(LeaveTurns())

    @asynccontextmanager
    async def external(self, room: RoomId, agent: Actor) -> AsyncGenerator[Recorder, None]:
        """An answer that the caller writes: streamed live, stored once, when the block ends.

        An exception in the block stores what came as `failed` and goes on to the caller; a cancellation as
        `interrupted`. The recorder's `meta` goes with the message, `failed` too where it holds an `error`, and its
        `message` is the stored one afterwards.
        """
        id_, message = TurnId(f"t_{self._clock.new_id()}"), MessageId(f"m_{self._clock.new_id()}")
        opening = OpenTurn(turn=id_, message=message, room=room, agent=agent.id)
        recorder = self._recorder(LiveAnswer(await self._store.write(opening)))
        try:
            yield recorder
        except asyncio.CancelledError:
            await asyncio.shield(self._keep(recorder, Status.INTERRUPTED))
            raise
        except BaseException:
            await self._keep(recorder, Status.FAILED)
            raise
        await self._keep(recorder, Status.FAILED if "error" in recorder.meta else Status.DONE)

    async def renew(self) -> None:
        """Prolongs the leases; an answer whose turn is this process's no more shows nothing from the lease's end on."""
        asked = self._clock.boottime()
        mine = await self._store.write(RenewLeases())
        for turn in mine & self._recorders.keys():
            self._recorders[turn].renewed(asked + LEASE_SECONDS)

    async def copy(self) -> None:
        """Copies what came since the last time, for another host that may have to take it over."""
        parts = [(one, part) for one in self._recorders.values() if (part := one.part())]
        if parts:
            await self._store.write(KeepParts(parts=tuple(part for _, part in parts)))
            for recorder, part in parts:
                recorder.copied(part)

    async def until_stored(self, end: FinishTurn) -> Finished | None:
        """Stores the end of a turn; while the store cannot, keeps it and tries again."""
        stored = await patiently(self._clock, lambda: self._store.write(end), storing=end.turn)
        self.begin(() if stored is None else stored.turns)
        return stored

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

    def _tasks_of_runs(self) -> list[asyncio.Task[None]]:
        return [run.task for run in self._runs.values() if run.task is not None]

    def _recorder(self, live: LiveAnswer) -> Recorder:
        """Makes the recorder of an answer, on the spool's journal if the answer's beginning waits there."""
        turn = live.turn
        assert turn is not None, "nothing is kept of a call without a turn"
        leased = self._store.shared and not live.held  # else nobody else can take it over
        until = self._clock.boottime() + LEASE_SECONDS if leased else math.inf
        journal = self._spool.journal if live.held else self._ground.journal
        recorder = Recorder(self._ground, journal, turn, live.answer, until)
        self._recorders[turn.id] = recorder
        return recorder

    def _close(self, recorder: Recorder, *, stored: bool) -> None:
        del self._recorders[recorder.turn.id]
        recorder.close(stored=stored)

    async def _keep(self, recorder: Recorder, status: Status) -> None:
        try:
            end = await self.prices.priced(written(recorder, status))
            finished = await self._store.write(end)
            recorder.message = None if finished is None else finished.messages[0]
            self.begin(() if finished is None else finished.turns)
        finally:
            self._close(recorder, stored=recorder.message is not None)

    async def _guarded(self, live: LiveAnswer, ask: Ask, close: Close | None) -> None:
        try:
            with self._ground.hub.standings.lives(live.by, live.stop):
                await self._run(live, ask)
        except Exception:
            turn = live.turn
            log.exception("turn.crashed", turn=turn and turn.id, room=turn and turn.room)
        finally:
            live.close()
            try:
                if close is not None:
                    await close()
            finally:
                self._unkept.discard(live)

    async def _run(self, live: LiveAnswer, ask: Ask) -> None:
        """Takes one answer from its beginning to its end."""
        turn = live.turn
        if turn is None:  # nothing of it is kept
            await self._stream(live, ask)
            live.finish(None)
            return
        recorder = live.recorder = self._recorder(live)
        over = False
        try:
            try:
                await self._stream(live, ask)
                end = await self.prices.priced(ending(live))
                stored = await self._stored(live, self._store.redacted(end))
                over = not live.held and await self._is_over(turn.id, stored)
            finally:
                self._close(recorder, stored=over)
            await live.certain()
            live.finish(stored)
            said = stored.messages if live.exchange is None and stored else ()
            if said and said[0].status is Status.DONE:
                with suppress(Unavailable):  # a name can wait
                    await self._title(turn, said[0])
        finally:
            del self._runs[turn.id]
            self._over[turn.id] = turn.fence
            if len(self._over) > OVER_MAX:
                del self._over[next(iter(self._over))]

    async def _stream(self, live: LiveAnswer, ask: Ask) -> None:
        """Takes an answer to its end, whatever end that is."""
        began = self._clock.monotonic()
        live.streams = live.stopped is None
        try:
            if live.streams:
                async with self.places, asyncio.timeout(self._settings.answer_seconds_max):
                    await self.budgets.reserve(live)
                    live.asked = True
                    source = await ask()
                    try:
                        live.began(source)
                        await self._take(live, source, began)
                    finally:
                        await source.close()
                        if live.stopped is None:  # else nobody has failed
                            self.count(source.outcome.error)
        except asyncio.CancelledError:
            if live.stopped is None or live.task is None:
                raise  # not a stop that somebody asked for: the server is cancelled
            live.task.uncancel()
        except Exception as failure:  # noqa: BLE001  logged where nobody expects it
            live.error = failure_of(failure, "turn.failed")
        live.streams = False
        live.ms["total"] = self._ms_since(began)
        if live.stopped is not None:  # whatever its source made of that
            live.error = None
        elif (outcome := live.outcome) is not None:
            live.error = live.error or outcome.error
            if live.error is None and not outcome.whole:
                cut = "The answer was cut before its end."
                live.error = ProviderError(Code.PROVIDER_CUT, cut)

    async def _take(self, live: LiveAnswer, source: Call, began: float) -> None:
        """Records what comes, and tells it. The last, and what comes without a lease, waits until it is stored."""
        recorder, waiting = live.recorder, live.waiting
        takes = live.answer.take if recorder is None else recorder.take
        ended = False
        async with aclosing(source.told()) as telling:
            async for coming in telling:
                if "first" not in live.ms:
                    live.ms["first"] = self._ms_since(began)
                    if recorder is not None:
                        recorder.begun(known_of(live))
                told, over = await self.budgets.within(live, coming)
                for piece in told.pieces:
                    takes(piece)
                if live.answer.chars > self._settings.answer_chars_max:
                    raise too_long()
                waiting.append(told)
                if over is not None:
                    raise over
                ended = ended or told.last
                if ended or (recorder is not None and not recorder.leased()):
                    continue
                if live.tell():
                    await asyncio.sleep(0)  # nobody waits for the first word until the next is read

    def _ms_since(self, began: float) -> int:
        return round((self._clock.monotonic() - began) * 1000)

    async def _stored(self, live: LiveAnswer, end: FinishTurn) -> Finished | None:
        """Stores an end. While the database is away, the spool keeps a client's, so that nobody waits for it."""
        turn, exchange = live.turn, live.exchange
        assert turn is not None, "only what has a turn is stored"
        if live.error is not None:
            log.warning("turn.failed", turn=turn.id, room=turn.room, code=live.error.code)
        elif live.stopped is not None:
            log.info("turn.stopped", turn=turn.id, room=turn.room, status=live.stopped)
        if exchange is None or end.exchange is None:
            return await self.until_stored(end)
        try:
            if not live.held:
                return await self._store.write(end)
        except Unavailable as failure:
            if not failure.database_away:
                return await self.until_stored(end)
        try:
            await self._spool.finish(end)
        except Unavailable as failure:
            if not live.held:
                return await self.until_stored(end)
            live.error = ProviderError(failure.code, failure.detail)
            return None
        ended = end.exchange.of(exchange, self._clock.now_ms())
        return Finished(messages=(), exchange=ended)

    async def _is_over(self, turn: TurnId, stored: Finished | None) -> bool:
        """Whether a turn whose end was written has its message. One that the history has lost is kept."""
        with suppress(Unavailable):
            return stored is not None or bool(await self._store.read(turns.known, [turn]))
        return False

    async def _title(self, turn: Turn, answer: Message) -> None:
        """Lets a real model name a room that is named after its first message so far."""
        owner, model = await context.asked(self._store, turn)
        provider = await self._ground.providers.current(owner)
        room = await self._store.read(rooms.get, turn.room, turn.agent)
        named = room is None or room.title_source not in {
            TitleSource.NONE,
            TitleSource.FIRST_MESSAGE,
        }
        if named or not provider.real or self._closing:
            return
        models = ModelServer(self._ground.providers, self._clock, self.counting, owner)
        try:
            request = await context.to_title(self._store, turn, answer, model)
            async with asyncio.timeout(TITLE_SECONDS_MAX):
                words, _ = await models.words(request)
            title = self._store.redacted(validation.model_title(words))
            await self.name(turn.room, title, TitleSource.MODEL)
        except (ProviderError, Refused, Unavailable, TimeoutError) as failure:
            self.titles_missed += 1
            log.info("title.not_made", room=turn.room, why=type(failure).__name__)


async def asked(source: ModelSource) -> Call:
    """Gives the source itself, which asks the room's model when it is told."""
    return source
