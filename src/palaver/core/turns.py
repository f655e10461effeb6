"""Turns: who answers, how an answer streams, and how it ends.

Theory of operation. The transaction that stores a message inserts the turns that it causes. A turn runs as a task of
the server, owned by no connection: it reads the context from the store, streams the provider's pieces through the
hub, and ends with exactly one insert of one message, whatever happened: `done`, `stopped`, `interrupted` or `failed`.
The id of that message is fixed when the turn is made, and the store takes it once (fence and state), so an end that
is repeated after an unclear error stores nothing twice. A turn that a dead process left open is claimed and run again.

A provider's failure becomes a status and a code in the message's meta; its text holds only what the model said.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import structlog

from palaver.agents.base import Done, Provider, ReasoningPiece, Request, Said, TextPiece
from palaver.clock import Clock
from palaver.core import checks
from palaver.core.access import Access
from palaver.core.hub import Hub, Stream
from palaver.errors import Code, ProviderError, Refused, Unavailable
from palaver.model import (
    Actor,
    ActorId,
    MemberRole,
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
from palaver.settings import Settings
from palaver.store import actors, messages
from palaver.store.commands import AddMessage, ClaimTurns, FinishTurn, RenameRoom, RetryTurn
from palaver.store.store import Store

CHARS_A_TOKEN = 4
TOKENS_A_MESSAGE = 4
TITLE_SECONDS_MAX = 30.0
TITLE_CHARS_MAX = 80
STORE_RETRY_SECONDS_MAX = 5.0
TITLE_PROMPT = (
    "Write a title of at most six words for the conversation below, in its own language."
    " Answer with the title only: no quotation marks, no full stop."
)

log = structlog.stdlib.get_logger()


class Answer:
    """An answer that a program writes itself, piece by piece."""

    def __init__(self, hub: Hub, stream: Stream) -> None:
        self._hub = hub
        self._stream = stream
        self.message: Message | None = None

    @property
    def id(self) -> MessageId:
        """The id that the message will have."""
        return self._stream.turn.message

    @property
    def text(self) -> str:
        """What was written so far."""
        return self._stream.text()

    def write(self, text: str) -> None:
        """Adds a piece, which live readers see at once."""
        self._hub.add(self._stream, text)


@dataclass(slots=True)
class _Run:
    """A turn that runs in this process. `end` says why it was told to stop, which only a streaming one hears."""

    turn: Turn
    task: asyncio.Task[None] | None = None
    streaming: bool = False
    end: Status | None = None


class Turns:
    """The answers of this process."""

    def __init__(
        self,
        *,
        store: Store,
        hub: Hub,
        access: Access,
        provider: Callable[[], Awaitable[Provider]],
        settings: Settings,
        clock: Clock,
        tasks: asyncio.TaskGroup,
    ) -> None:
        self._store = store
        self._hub = hub
        self._access = access
        self._provider = provider
        self._settings = settings
        self._clock = clock
        self._tasks = tasks
        self._runs: dict[TurnId, _Run] = {}
        self._places = asyncio.Semaphore(settings.turns_running_max)
        self._closing = False

    # what others ask

    def begin(self, turns: Iterable[Turn]) -> None:
        """Runs turns that this process owns; the ones that run already go on."""
        for turn in turns:
            if turn.id not in self._runs and not self._closing:
                run = self._runs[turn.id] = _Run(turn)
                run.task = self._tasks.create_task(self._run(run), name=f"turn {turn.id}")

    @property
    def running(self) -> int:
        """How many turns run in this process."""
        return len(self._runs)

    async def recover(self) -> int:
        """Takes over the turns that dead processes left open; how many."""
        claimed = await self._store.write(ClaimTurns())
        self.begin(claimed)
        return len(claimed)

    async def stop(self, actor: Actor, turn: TurnId) -> None:
        """Ends an answer; what came is stored as `stopped`. One that has ended is left as it is.

        Refused: `turn_not_found`.
        """
        found = await self._access.turn(actor, turn)
        await self._may_write(actor, found.room)
        self._end(turn, Status.STOPPED)

    async def retry(self, actor: Actor, message: MessageId) -> Turn:
        """Answers again; the old answer is deleted (undoably). Refused: `message_not_found`, `turn_not_retryable`."""
        found = await self._access.message(actor, message)
        await self._may_write(actor, found.room)
        turn = await self._store.write(RetryTurn(message=message, by=actor.id))
        self.begin((turn,))
        return turn

    async def drain(self, seconds: float) -> None:
        """Ends everything: answers may finish within `seconds`, then what came is stored as `interrupted`."""
        self._closing = True
        tasks = [run.task for run in self._runs.values() if run.task is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=seconds)
        for turn in list(self._runs):
            self._end(turn, Status.INTERRUPTED)
        tasks = [task for task in tasks if not task.done()]
        if tasks:
            await asyncio.wait(tasks, timeout=max(1.0, seconds))

    @asynccontextmanager
    async def external(self, room: RoomId, agent: Actor) -> AsyncGenerator[Answer, None]:
        """An answer that the caller writes: streamed live, stored once, when the block ends.

        An exception in the block stores what came as `failed` and goes on to the caller; a cancellation as
        `interrupted`. `answer.message` is the stored message afterwards.
        """
        turn = Turn(
            id=TurnId(f"t_{self._clock.new_id()}"),
            room=room,
            agent=agent.id,
            agent_name=agent.name,
            trigger_seq=0,
            message=MessageId(f"m_{self._clock.new_id()}"),
            state=TurnState.OPEN,
            attempt=1,
            fence=0,
        )
        stream = self._hub.open_stream(turn)
        answer = Answer(self._hub, stream)
        try:
            yield answer
        except asyncio.CancelledError:
            await asyncio.shield(self._keep(answer, stream, Status.INTERRUPTED))
            raise
        except BaseException:
            await self._keep(answer, stream, Status.FAILED)
            raise
        else:
            await self._keep(answer, stream, Status.DONE)

    # inside

    async def _may_write(self, actor: Actor, room: RoomId) -> None:
        if (await self._access.room(actor, room)).role is MemberRole.READER:
            raise Refused(Code.FORBIDDEN, "You may read this room, not write in it.")

    def _end(self, turn: TurnId, status: Status) -> None:
        run = self._runs.get(turn)
        if run is not None and run.end is None:
            run.end = status
            if run.streaming and run.task is not None:
                run.task.cancel()

    async def _keep(self, answer: Answer, stream: Stream, status: Status) -> None:
        meta: dict[str, Any] = {"turn": stream.turn.id}
        if status is Status.FAILED:
            meta["error"] = {"code": Code.INTERNAL, "temporary": False}
        try:
            added = await self._store.write(
                AddMessage(
                    id=stream.turn.message,
                    room=stream.turn.room,
                    author=stream.turn.agent,
                    text=stream.text(),
                    role=Role.ASSISTANT,
                    status=status,
                    meta=meta,
                )
            )
            answer.message = added.message
        finally:
            self._hub.drop_stream(stream)

    async def _run(self, run: _Run) -> None:
        turn = run.turn
        stream: Stream | None = None
        try:
            stream = self._hub.open_stream(turn)
            ending = await self._stream(run, stream)
            stored = await self._finish(ending)
            if stored is not None and stored.status is Status.DONE:
                await self._title(turn, stored)
        except asyncio.CancelledError:
            raise  # not a stop that somebody asked for, which `_stream` takes: the server is cancelled
        except Exception:
            log.exception("turn.crashed", turn=turn.id, room=turn.room)
        finally:
            if stream is not None:
                self._hub.drop_stream(stream)
            del self._runs[turn.id]

    async def _stream(self, run: _Run, stream: Stream) -> FinishTurn:
        """Streams one answer to its end, whatever end that is."""
        started = self._clock.monotonic()
        meta: dict[str, Any] = {"turn": run.turn.id}
        ms: dict[str, int] = {}
        error: ProviderError | None = None
        try:
            async with self._places, asyncio.timeout(self._settings.answer_seconds_max):
                if run.end is None:
                    run.streaming = True
                    await self._listen(run.turn, stream, meta, ms, started)
        except asyncio.CancelledError:
            if run.end is None or run.task is None:
                raise
            run.task.uncancel()
        except TimeoutError:
            error = ProviderError(
                Code.ANSWER_TOO_LONG, "The answer took too long and was cut.", temporary=False
            )
        except ProviderError as failure:
            error = failure
        except Unavailable as failure:
            error = ProviderError(failure.code, failure.detail)
        except Exception:
            log.exception("turn.failed", turn=run.turn.id, room=run.turn.room)
            error = ProviderError(Code.INTERNAL, "Something went wrong inside the server.")
        run.streaming = False
        status = run.end or Status.DONE
        if error is not None:
            status = Status.FAILED
            meta["error"] = {
                "code": error.code,
                "detail": error.detail,
                "temporary": error.temporary,
            }
            log.warning("turn.failed", turn=run.turn.id, room=run.turn.room, code=error.code)
        ms["total"] = round((self._clock.monotonic() - started) * 1000)
        reasoning = stream.reasoning()
        if reasoning:
            meta["reasoning"] = reasoning
        meta["ms"] = ms
        return FinishTurn(
            turn=run.turn.id, fence=run.turn.fence, status=status, text=stream.text(), meta=meta
        )

    async def _listen(
        self, turn: Turn, stream: Stream, meta: dict[str, Any], ms: dict[str, int], started: float
    ) -> None:
        """Takes the provider's pieces until the answer is whole."""
        provider = await self._provider()
        meta["provider"] = provider.name
        request = await self._request(turn)
        if request.model is not None:
            meta["model"] = request.model
        async with aclosing(provider.answer(request)) as pieces:
            async for piece in pieces:
                if "first" not in ms:
                    ms["first"] = round((self._clock.monotonic() - started) * 1000)
                match piece:
                    case TextPiece(text):
                        self._hub.add(stream, text)
                    case ReasoningPiece(text):
                        self._hub.add(stream, "", text)
                    case Done():
                        meta["model"] = piece.model
                        meta["finish"] = piece.finish
                        usage = {"input": piece.input_tokens, "output": piece.output_tokens}
                        if any(tokens is not None for tokens in usage.values()):
                            meta["usage"] = {k: v for k, v in usage.items() if v is not None}
                        return
                if stream.chars > self._settings.answer_chars_max:
                    raise ProviderError(
                        Code.ANSWER_TOO_LONG,
                        "The answer was too long and was cut.",
                        temporary=False,
                    )
        raise ProviderError(Code.PROVIDER_CUT, "The provider ended in the middle of the answer.")

    async def _request(self, turn: Turn) -> Request:
        """The context of an answer, from the store: what was said up to the message that is answered."""
        card = await self._store.read(actors.agent, turn.agent)
        said = await self._store.read(
            messages.context,
            turn.room,
            upto_seq=turn.trigger_seq,
            limit=self._settings.context_messages_max,
        )
        return Request(
            history=within(said, turn.agent, self._settings.context_tokens_max),
            model=card.model if card is not None else None,
            system_prompt=(card.system_prompt if card is not None else "")
            or self._settings.system_prompt,
            settings=card.settings if card is not None else {},
        )

    async def _finish(self, ending: FinishTurn) -> Message | None:
        """Stores the answer; while the store cannot, keeps it and tries again."""
        wait = 0.05
        while True:
            try:
                return await self._store.write(ending)
            except Unavailable as failure:
                log.warning("turn.not_stored_yet", turn=ending.turn, code=failure.code)
                await asyncio.sleep(wait * (0.5 + self._clock.chance()))
                wait = min(wait * 2, STORE_RETRY_SECONDS_MAX)

    async def _title(self, turn: Turn, answer: Message) -> None:
        """Lets a real model name a room that is named after its first message so far."""
        provider = await self._provider()
        if not provider.real or self._closing or turn.trigger_seq > 10:  # noqa: PLR2004
            return
        asked = await self._store.read(
            messages.context, turn.room, upto_seq=turn.trigger_seq, limit=1
        )
        talk = "\n\n".join(message.text[:2_000] for message in (*asked, answer))
        request = Request(
            history=(Said(role=Role.USER, text=f"{TITLE_PROMPT}\n\n{talk}"),),
            model=answer.meta.get("model"),
            settings={"max_tokens": 40, "temperature": 0.2},
        )
        text = ""
        try:
            async with (
                asyncio.timeout(TITLE_SECONDS_MAX),
                aclosing(provider.answer(request)) as pieces,
            ):
                async for piece in pieces:
                    if isinstance(piece, TextPiece):
                        text += piece.text
            title = checks.title_of(text.strip().strip("\"'“”«»"), TITLE_CHARS_MAX)
            if title:
                await self._store.write(
                    RenameRoom(room=turn.room, by=None, title=title, source=TitleSource.MODEL)
                )
        except (ProviderError, Refused, Unavailable, TimeoutError) as failure:
            log.info("title.not_made", room=turn.room, why=type(failure).__name__)


def within(said: Iterable[Message], agent: ActorId, tokens_max: int) -> tuple[Said, ...]:
    """The newest messages that fit, oldest first; the last one always does.

    Tokens are estimated at 4 characters each. What other agents said is given as a person's words; names are given
    where several people speak.
    """
    spoken = [message for message in said if message.text]
    people = {message.author for message in spoken if message.author != agent}
    kept: list[Said] = []
    left = tokens_max
    for message in reversed(spoken):
        left -= len(message.text) // CHARS_A_TOKEN + TOKENS_A_MESSAGE
        if left < 0 and kept:
            break
        mine = message.author == agent
        role = Role.ASSISTANT if mine else Role.USER
        if message.role is Role.SYSTEM:
            role = Role.SYSTEM
        name = message.name if len(people) > 1 and not mine else None
        kept.append(Said(role=role, text=message.text, name=name))
    return tuple(reversed(kept))
