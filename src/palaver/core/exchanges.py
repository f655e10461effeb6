"""Exchanges: what the clients of the OpenAI-compatible API ask, and what they get.

Theory of operation. `open` stores what is new of a request, and its turn, in one transaction; `run` passes the call on
as a task of the server, owned by no connection. What comes is written to the journal, shown to the room's live readers,
and put on a tape that the client's connection reads, from its beginning or from where it was. The last of it is held
back until the answer is stored. A client that goes away changes nothing, unless the settings say so; a server that dies
leaves the journal, from which the answer is stored as `interrupted`.

It knows nothing of the API's JSON: a wire makes entries of requests, and answers of tapes and messages.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing, suppress
from typing import Any

import structlog

from palaver.agents.assembly import bare
from palaver.agents.base import Piece, ReasoningPiece, TextPiece
from palaver.agents.calls import Call, Told
from palaver.agents.failures import as_object
from palaver.clock import Clock
from palaver.core import checks
from palaver.core.access import Access
from palaver.core.gather import Gather, later_ids, pieces_in, pieces_of, record_of
from palaver.core.running import Asked, Running, told_already
from palaver.core.screen import Screen
from palaver.core.turns import Run, Turns
from palaver.errors import Code, ProviderError, Refused, Unavailable
from palaver.model import (
    NO_DATA,
    Actor,
    ActorId,
    Entry,
    Exchange,
    ExchangeId,
    ExchangeKind,
    ExchangeState,
    Kind,
    Message,
    MessageId,
    Role,
    RoomId,
    Status,
    TitleSource,
    Turn,
    TurnId,
    Visibility,
)
from palaver.settings import Settings
from palaver.store import exchanges
from palaver.store.commands import (
    AddEntries,
    ChangeExchange,
    CreateRoom,
    FinishExchange,
    OpenExchange,
    RenameRoom,
    SetMessageDeleted,
)
from palaver.store.journal import Partial
from palaver.store.prefix import beginnings, longer
from palaver.store.store import Store

DOOR = "openai"
PREFIXES_MAX = 32
"""So many of a request's beginnings are looked for, the longest."""
TITLE_CHARS_MAX = 80
KEPT_SCANNED_MAX = 1_000
"""So many exchanges are looked through for a page that wants certain ones."""
STORE_RETRY_SECONDS_MAX = 5.0

Records = Sequence[tuple[bytes, bytes]]
Ask = Callable[[], Awaitable[Call]]

log = structlog.stdlib.get_logger()


class Exchanges:
    """The exchanges of this process, and all that are stored."""

    def __init__(
        self,
        *,
        store: Store,
        access: Access,
        turns: Turns,
        settings: Settings,
        clock: Clock,
        tasks: asyncio.TaskGroup,
        assistant: ActorId,
    ) -> None:
        self._store = store
        self._access = access
        self._turns = turns
        self._settings = settings
        self._clock = clock
        self._tasks = tasks
        self._assistant = assistant
        self._running: dict[ExchangeId, Running] = {}
        turns.recovers = self._recovered

    # asking

    async def open(self, actor: Actor, asked: Asked) -> Running:
        """Stores what is new of a request, and opens its turn. Refused: as `OpenExchange` says."""
        digests = beginnings(asked.entries) if asked.whole else []
        opened = await self._store.write(
            OpenExchange(
                id=ExchangeId(f"x_{self._clock.new_id()}"),
                kind=asked.kind,
                actor=actor.id,
                agent=asked.agent or self._assistant,
                turn=TurnId(f"t_{self._clock.new_id()}"),
                message=MessageId(f"m_{self._clock.new_id()}"),
                entries=asked.entries,
                ids=self._ids(len(asked.entries)),
                model=asked.model,
                request=asked.request,
                metadata=asked.metadata,
                kept=asked.kept,
                body_digest=asked.digest,
                new_room=self._new_room(actor, asked),
                room=asked.room,
                previous=asked.previous,
                prefixes=_prefixes(asked.entries, digests),
                whole=asked.whole,
                repeated=asked.repeated,
            )
        )
        exchange = opened.exchange
        if opened.dup:
            running = self._running.get(exchange.id) or told_already(exchange)
            running.dup = True
            return running
        running = Running(exchange, opened.turn, digests[-1] if digests else b"")
        if asked.kind is ExchangeKind.RESPONSE:
            running.context = await self.messages(exchange, answers=False)
        if opened.untitled and asked.room is not None:
            await self._name(exchange.room, _title(asked.entries, asked.title))
        self._running[exchange.id] = running
        return running

    async def begin(self, actor: Actor, asked: Asked, ask: Ask) -> Running:
        """`open` and `run`, with the call on its way while the request is stored."""
        call = self._tasks.create_task(_quietly(ask))
        try:
            running = await self.open(actor, asked)
        except BaseException:
            await _undone(call)
            raise
        if running.dup:
            await _undone(call)
        else:

            async def asked_already() -> Call:
                return _unwrapped(await call)

            self.run(running, asked_already)
        return running

    def run(self, running: Running, ask: Ask) -> None:
        """Passes the call on, as a task of the server."""
        running.task = self._tasks.create_task(self._guarded(running, ask), name="exchange")

    async def unstored(self, ask: Ask) -> Running:
        """A call of which nothing is kept; it ends with its client."""
        running = Running(None, None)
        self.run(running, ask)
        return running

    def left(self, running: Running) -> None:
        """The client of an exchange has gone."""
        if not running.over and (running.exchange is None or not self._settings.openai_finish):
            running.cancel()

    # what there is

    def running(self, exchange: ExchangeId) -> Running | None:
        """The exchange, while its answer comes to this process."""
        return self._running.get(exchange)

    async def get(self, actor: Actor, exchange: ExchangeId) -> Exchange:
        """One exchange of this actor's. Refused: `exchange_not_found`."""
        return _own(await self._store.read(exchanges.get, exchange), actor)

    async def seen(self, actor: Actor, exchange: ExchangeId) -> Exchange:
        """An exchange in a room that the actor may read. Refused: `exchange_not_found`, `room_not_found`."""
        found = await self._store.read(exchanges.get, exchange)
        if found is None:
            raise _not_found()
        await self._access.room(actor, found.room)
        return found

    async def named(self, actor: Actor, name: str) -> Exchange:
        """The chat completion that its upstream gave this name. Refused: `exchange_not_found`."""
        return _own(await self._store.read(exchanges.by_name, name, actor.id), actor)

    async def messages(self, exchange: Exchange, *, answers: bool) -> tuple[Message, ...]:
        """The messages of the request, or of the answer."""
        spans = tuple((seq, seq) for seq in exchange.answers) if answers else exchange.view
        return await self._store.read(exchanges.spoken, exchange.room, spans)

    async def pieces(self, exchange: Exchange) -> list[Piece]:
        """The pieces in which a response was told; those of a chat are not kept."""
        said = await self.messages(exchange, answers=True)
        return pieces_of(said, exchange.response.get("lengths", ()))

    async def listing(
        self,
        actor: Actor,
        kind: ExchangeKind,
        *,
        after: ExchangeId | None = None,
        limit: int = 20,
        newest_first: bool = False,
        model: str | None = None,
        metadata: Mapping[str, str] = NO_DATA,
    ) -> tuple[tuple[Exchange, ...], bool]:
        """The exchanges that the actor asked to keep, and whether there are more."""
        found: list[Exchange] = []
        scanned = 0
        while len(found) <= limit and scanned < KEPT_SCANNED_MAX:
            page = await self._store.read(
                exchanges.kept,
                actor.id,
                kind,
                after=after,
                limit=limit + 1,
                newest_first=newest_first,
            )
            scanned += len(page)
            found += [
                one
                for one in page
                if model in (None, one.model)
                and all(one.metadata.get(key) == value for key, value in metadata.items())
            ]
            if len(page) <= limit:
                break
            after = page[-1].id
        return tuple(found[:limit]), len(found) > limit

    async def change(
        self, actor: Actor, exchange: ExchangeId, metadata: Mapping[str, str]
    ) -> Exchange:
        """Sets the metadata. Refused: `exchange_not_found`."""
        return await self._store.write(ChangeExchange(id=exchange, by=actor.id, metadata=metadata))

    async def forget(self, actor: Actor, exchange: ExchangeId) -> None:
        """It is no longer there for its client; the room keeps what was said. Refused: `exchange_not_found`."""
        await self._store.write(ChangeExchange(id=exchange, by=actor.id, forget=True))

    async def cancel(self, actor: Actor, exchange: ExchangeId) -> Exchange:
        """Stops an answer and waits for its end, wherever it runs. Refused: `exchange_not_found`."""
        found = await self.get(actor, exchange)
        running = self._running.get(exchange)
        if running is not None:
            running.cancel()
            await running.end()
        elif found.state is ExchangeState.RUNNING:
            self._turns.elsewhere.stop(found.turn)
            for _ in range(50):
                await asyncio.sleep(0.1)
                found = await self.get(actor, exchange)
                if found.state is not ExchangeState.RUNNING:
                    break
        return await self.get(actor, exchange)

    # a room's items

    async def add(
        self, actor: Actor, room: RoomId, entries: Sequence[Entry], *, repeated: bool = False
    ) -> tuple[Message, ...]:
        """Appends entries to a room, which may give it its name; `repeated` ones are looked for first.

        Refused: `room_not_found`, `forbidden`.
        """
        unnamed = (await self._access.room(actor, room)).title_source is TitleSource.NONE
        added = await self._store.write(
            AddEntries(
                room=room,
                author=actor.id,
                agent=self._assistant,
                entries=tuple(entries),
                ids=self._ids(len(entries)),
                repeated=repeated,
            )
        )
        if unnamed:
            await self._name(room, _title(entries))
        return added

    async def remove(self, actor: Actor, message: MessageId) -> None:
        """Deletes a message (undoably). Refused: `message_not_found`, `forbidden`."""
        await self._access.message(actor, message)
        await self._store.write(SetMessageDeleted(message=message, by=actor.id, deleted=True))

    # inside

    def _ids(self, count: int) -> tuple[MessageId, ...]:
        return tuple(MessageId(f"m_{self._clock.new_id()}") for _ in range(count))

    def _new_room(self, actor: Actor, asked: Asked) -> CreateRoom:
        title = _title(asked.entries, asked.title)
        return CreateRoom(
            id=RoomId(f"r_{self._clock.new_id()}"),
            title=title,
            title_source=TitleSource.FIRST_MESSAGE if title else TitleSource.NONE,
            visibility=Visibility.OPEN,
            owner=actor.id,
            agents=(asked.agent or self._assistant,),
            settings={"door": DOOR},
        )

    async def _name(self, room: RoomId, title: str) -> None:
        if title:
            source = TitleSource.FIRST_MESSAGE
            await self._store.write(RenameRoom(room=room, by=None, title=title, source=source))

    async def _guarded(self, running: Running, ask: Ask) -> None:
        try:
            await self._pump(running, ask)
        except Exception:
            log.exception("exchange.crashed")
        finally:
            running.close()

    async def _pump(self, running: Running, ask: Ask) -> None:
        """Takes what comes to its end, and stores it."""
        gather, turn = Gather(), running.turn
        screen = None if turn is None else self._turns.screen(turn)
        task = asyncio.current_task()
        assert task is not None
        run = None if turn is None else self._turns.adopt(turn, task)
        last: list[Told] = []
        began = self._clock.monotonic()
        try:
            async with self._turns.places, asyncio.timeout(self._settings.answer_seconds_max):
                call = await ask()
                try:
                    running.outcome = call.outcome
                    running.began(call)
                    await self._pass(call, running, gather, screen, last)
                finally:
                    await call.close()
        except ProviderError as failure:
            running.error = failure
        except TimeoutError:
            running.error = ProviderError(
                Code.ANSWER_TOO_LONG, "The answer took too long and was cut.", temporary=False
            )
        except asyncio.CancelledError:
            if not running.cancelled and (run is None or run.end is None):
                raise
            task.uncancel()
        except Exception:
            log.exception("exchange.failed")
            running.error = ProviderError(Code.INTERNAL, "Something went wrong inside the server.")
        finally:
            if screen is not None and run is not None and running.exchange is not None:
                ms = round((self._clock.monotonic() - began) * 1000)
                await self._end(running, run, screen, gather, ms)
            for told in last:
                running.tell(told)

    async def _pass(
        self,
        call: Call,
        running: Running,
        gather: Gather,
        screen: Screen | None,
        last: list[Told],
    ) -> None:
        async with aclosing(call.told()) as telling:
            async for told in telling:
                for piece in told.pieces:
                    gather.take(piece)
                    if screen is not None:
                        _show(screen, piece)
                if gather.chars > self._settings.answer_chars_max:
                    raise ProviderError(
                        Code.ANSWER_TOO_LONG,
                        "The answer was too long and was cut.",
                        temporary=False,
                    )
                if told.last or last:
                    last.append(told)
                else:
                    running.tell(told)

    async def _end(
        self, running: Running, run: Run, screen: Screen, gather: Gather, ms: int
    ) -> None:
        """Stores what came, whatever it is."""
        exchange = running.exchange
        assert exchange is not None
        stored = False
        try:
            command = self._finishing(running, run, gather, ms)
            running.ended = await self._finished(command)
            stored = True
        finally:
            self._turns.close(screen, stored=stored)
            self._turns.release(run)
            del self._running[exchange.id]

    def _finishing(self, running: Running, run: Run, gather: Gather, ms: int) -> FinishExchange:
        exchange, outcome = running.exchange, running.outcome
        assert exchange is not None
        error = running.error or (None if outcome is None else outcome.error)
        if error is None and outcome is not None and not outcome.whole and run.end is None:
            error = ProviderError(Code.PROVIDER_CUT, "The answer was cut before its end.")
        running.error = error
        state, status = _how(running, run, error)
        meta: dict[str, Any] = {
            "turn": exchange.turn,
            "exchange": exchange.id,
            "model": exchange.model,
            "ms": {"total": ms},
        }
        envelope = {} if outcome is None else outcome.envelope
        if outcome is not None and outcome.finish is not None:
            meta["finish"] = outcome.finish
        usage = _usage(envelope)
        if usage:
            meta["usage"] = usage
        if error is not None:
            meta["error"] = {
                "code": error.code,
                "detail": error.detail,
                "temporary": error.temporary,
            }
        elif status is Status.INTERRUPTED:
            meta["error"] = {"code": Code.INTERRUPTED, "temporary": True}
        entries = gather.entries(meta)
        response: dict[str, Any] = {"envelope": bare(envelope), "ms": ms}
        if exchange.kind is ExchangeKind.RESPONSE:
            response["lengths"] = gather.lengths
        if "error" in meta:
            response["error"] = meta["error"]
        name = envelope.get("id")
        return FinishExchange(
            id=exchange.id,
            fence=run.turn.fence,
            state=state,
            status=status,
            entries=entries,
            ids=later_ids(exchange.message, len(entries)),
            name=name if isinstance(name, str) else None,
            response=response,
            prefixes=_answered(running.history, entries) if status is Status.DONE else (),
        )

    async def _finished(self, command: FinishExchange) -> Exchange | None:
        """Stores it; while the store cannot, keeps it and tries again."""
        wait = 0.05
        while True:
            try:
                return await self._store.write(command)
            except Unavailable as failure:
                log.warning("exchange.not_stored_yet", exchange=command.id, code=failure.code)
                await asyncio.sleep(wait * (0.5 + self._clock.chance()))
                wait = min(STORE_RETRY_SECONDS_MAX, wait * 2)

    async def _recovered(self, turn: Turn, left: Partial, records: Records) -> bool:
        """What a dead process had passed on of an answer; see `turns.Recovers`."""
        exchange = await self._store.read(exchanges.of_turn, turn.id)
        if exchange is None:
            return False
        gather = Gather()
        pieces = pieces_in(records)
        if not pieces:  # it ran on another host
            pieces = [ReasoningPiece(left.reasoning), TextPiece(left.text)]
        for piece in pieces:
            gather.take(piece)
        error = {"code": Code.INTERRUPTED, "temporary": True}
        meta = {
            "turn": turn.id,
            "exchange": exchange.id,
            "model": exchange.model,
            "error": error,
        }
        entries = gather.entries(meta)
        await self._finished(
            FinishExchange(
                id=exchange.id,
                fence=turn.fence,
                state=ExchangeState.FAILED,
                status=Status.INTERRUPTED,
                entries=entries,
                ids=later_ids(exchange.message, len(entries)),
                name=None,
                response={"lengths": gather.lengths, "error": error},
            )
        )
        log.info("exchange.recovered", exchange=exchange.id, room=exchange.room)
        return True


def _show(screen: Screen, piece: Piece) -> None:
    """Keeps a piece, and shows it to the room's readers."""
    match piece:
        case TextPiece(text, 0):
            screen.show(text)
        case ReasoningPiece(text, 0):
            screen.show("", text)
        case _:
            record = record_of(piece)
            if record is not None:
                screen.keep(*record)


def _how(running: Running, run: Run, error: ProviderError | None) -> tuple[ExchangeState, Status]:
    if running.cancelled or run.end is Status.STOPPED:
        return ExchangeState.CANCELLED, Status.STOPPED
    if run.end is not None:
        return ExchangeState.FAILED, Status.INTERRUPTED
    if error is not None:
        return ExchangeState.FAILED, Status.FAILED
    cut = running.outcome is not None and running.outcome.finish in {"length", "content_filter"}
    return (ExchangeState.INCOMPLETE if cut else ExchangeState.COMPLETED), Status.DONE


def _usage(envelope: Mapping[str, Any]) -> dict[str, int]:
    counts = as_object(envelope.get("usage"))
    tokens = {"input": counts.get("prompt_tokens"), "output": counts.get("completion_tokens")}
    return {name: count for name, count in tokens.items() if isinstance(count, int)}


def _prefixes(entries: Sequence[Entry], digests: Sequence[bytes]) -> tuple[tuple[int, bytes], ...]:
    """Where a history may have been met: at its end, and behind each of its last answers."""
    found: list[tuple[int, bytes]] = []
    for count in range(len(digests), 0, -1):
        ends = count == len(digests)
        answered = entries[count - 1].role is Role.ASSISTANT
        if ends or (answered and entries[count].role is not Role.ASSISTANT):
            found.append((count, digests[count - 1]))
        if len(found) == PREFIXES_MAX:
            break
    return tuple(found)


def _answered(history: bytes, entries: Sequence[Entry]) -> tuple[bytes, ...]:
    """The digests of a history with each of its answers."""
    if not history:
        return ()
    digests: dict[int, bytes] = {}
    for entry in entries:
        choice = int(entry.meta.get("choice", 0))
        digests[choice] = longer(digests.get(choice, history), entry)
    return tuple(digests.values())


def _title(entries: Sequence[Entry], given: str | None = None) -> str:
    said = (
        entry.text
        for entry in entries
        if entry.role is Role.USER and entry.kind is Kind.TEXT and entry.text.strip()
    )
    return checks.title_of(given or next(said, ""), TITLE_CHARS_MAX)


def _own(exchange: Exchange | None, actor: Actor) -> Exchange:
    if exchange is None or exchange.actor != actor.id:
        raise _not_found()
    return exchange


def _not_found() -> Refused:
    return Refused(Code.EXCHANGE_NOT_FOUND, "There is no such completion or response.")


async def _quietly(ask: Ask) -> Call | ProviderError:
    """A task's own failure would end all of the server's tasks."""
    try:
        return await ask()
    except ProviderError as failure:
        return failure
    except Exception:
        log.exception("exchange.failed")
        return ProviderError(Code.INTERNAL, "Something went wrong inside the server.")


def _unwrapped(result: Call | ProviderError) -> Call:
    if isinstance(result, ProviderError):
        raise result
    return result


async def _undone(call: asyncio.Task[Call | ProviderError]) -> None:
    """Ends a call that nobody will hear."""
    call.cancel()
    with suppress(asyncio.CancelledError):
        result = await call
        if not isinstance(result, ProviderError):
            await result.close()
