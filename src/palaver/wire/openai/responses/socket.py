"""`/v1/responses` over WebSocket: any number of responses on one connection, in the events of the stream over HTTP.

Theory of operation. The connection's reading task takes frames off the socket and puts each into its lane, which the
client's `stream_id` names; frames without one share a lane. A lane has a task while something waits in it, which
carries out one frame after the other: asks as over HTTP does (`asking`), and tells the events as text frames. Each
frame of the client is ended by exactly one: the response's last event, or an `error`. What is queued is bounded in
number and size; a frame beyond that is refused at once.

What is not stored can be gone on from here, and on this connection only: `Memory` keeps its items, and makes of a
request that goes on from them one that brings all that was said. So does what was only warmed up (`generate: false`).

A connection ends after `LIFE_SECONDS`, and with the server: what is being answered then is answered first, what waits
is refused. It owns no answer: when its client goes, the answer goes on as after a stream that was left, and can be read
on from any of its events, here or over HTTP. It decides nothing that `asking` and the core decide.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from contextlib import aclosing, contextmanager, suppress
from functools import partial
from http import HTTPStatus
from typing import cast

import structlog
from msgspec import Struct, field
from starlette.requests import HTTPConnection

from palaver.core.live.items import Closing
from palaver.core.live.reader import Reader
from palaver.core.runtime import Core
from palaver.errors import Code, PalaverError, Refused, Unavailable
from palaver.model import Actor, Scope
from palaver.model.exchanges import ExchangeState
from palaver.policy import Action, ServerAct, revoked
from palaver.strict_json import Json, as_object, dump, load, text_of, text_or_none_of, whole_of
from palaver.wire.calls import Call, call
from palaver.wire.edge.protocols import BYTES_MAX, KNOWN, PINGS
from palaver.wire.edge.rates import Use
from palaver.wire.edge.sockets import Heard, Over, Socket, talked
from palaver.wire.openai import items, problems
from palaver.wire.openai.auth import caller, standing_of
from palaver.wire.openai.items import Invalid
from palaver.wire.openai.params import too_long
from palaver.wire.openai.problems import refusal
from palaver.wire.openai.proxy import joined
from palaver.wire.openai.responses import replay
from palaver.wire.openai.responses.asking import Asking
from palaver.wire.openai.responses.events import LAST, Ending, Event
from palaver.wire.openai.responses.requests import Wanted
from palaver.wire.problems import INTERNAL

LIFE_SECONDS = 3600.0
LANES_MAX = 8
LANE_CHARS_MAX = 256
KEPT_BYTES_MAX = 8_388_608
"""What is kept of responses that are not stored; the newest one is kept whatever its size."""
BUSY_MS = 1_000
GOING_AWAY, POLICY, RESTARTING = 1001, 1008, 1012

_AROUND = frozenset({"type", "stream", "stream_id", "generate"})
"""What a frame says beside the fields of a request."""
_RETRIES = "x-stainless-"
"""Such headers are of the request that opened the connection, and not of those on it."""
_LIMIT = Invalid(
    "A connection lasts 60 minutes: open a new one.", None, "websocket_connection_limit_reached"
)
_STOPPING = Unavailable(
    Code.SHUTTING_DOWN, "The server is restarting. Connect again.", retry_ms=BUSY_MS
)
_UNKNOWN = Refused(Code.UNKNOWN_FRAME, "An event's type is 'response.create' or 'response.resume'.")
_TEXTS = frozenset({"type", "code", "message"})
_CREATE = call("frame", "response.create", Action.WRITE, scope=Scope.RESPONSES, use=Use.MESSAGES)
_RESUME = call("frame", "response.resume", ServerAct.OWN, scope=Scope.RESPONSES)

log = structlog.stdlib.get_logger()


class Sockets(Struct, frozen=True):
    """The call that opens a connection."""

    core: Core
    asking: Asking

    @call("WS", "/responses", ServerAct.OWN, scope=Scope.RESPONSES, use=Use.CONNECTIONS)
    async def serve(self, me: Actor, request: HTTPConnection, socket: Socket) -> None:
        """Serves a client until one of the two ends it."""
        settings = self.core.settings
        bounds = {BYTES_MAX: settings.openai_body_bytes_max, PINGS: settings.ping_seconds}
        with suppress(Over):
            await socket.accept(more={KNOWN: True, **bounds})
        async with asyncio.TaskGroup() as lanes:
            turns = Turns(self.core, self.asking, request, socket, lanes)
            by = standing_of(me)
            with self.core.chat.reader(me, by) as reader:
                over = await talked(partial(turns.run, reader))
            turns.leave()
            if over.code is not None:
                with suppress(Over):
                    await socket.close(over.code, over.reason)


class Memory:
    """Responses of a connection that are not stored, each as the request that would bring all that was said in it."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._kept: dict[str, bytes] = {}

    def recall(self, body: Json) -> Json:
        """Gives a request that goes on from what is kept as one that brings it. Refused: one that is too large."""
        kept, given = self._kept.get(str(body.get("previous_response_id"))), body.get("input")
        if isinstance(given, str):
            given = [{"role": "user", "content": given}]
        if kept is None or body.get("conversation") is not None or not isinstance(given, list):
            return body
        if len(kept) > self._bytes_max:
            words = f"What was said is larger than {self._bytes_max:,} bytes."
            raise Refused(Code.PAYLOAD_TOO_LARGE, words)
        before = load(kept)
        body = {key: one for key, one in body.items() if key != "previous_response_id"}
        return {**body, **before, "input": [*before["input"], *cast("list[Json]", given)]}

    def keep(self, id_: str, wanted: Wanted, output: Sequence[Json]) -> None:
        """Keeps what was asked and answered; the oldest goes for it."""
        said = [*wanted.given, *filter(None, map(_told_again, output))]
        previous, room = wanted.asked.previous, wanted.asked.room
        before = {} if previous is None else {"previous_response_id": items.response_id(previous)}
        before |= {} if room is None else {"conversation": items.conversation_id(room)}
        self._kept[id_] = dump({**before, "input": said})
        while len(self._kept) > 1 and sum(map(len, self._kept.values())) > KEPT_BYTES_MAX:
            del self._kept[next(iter(self._kept))]

    def forget(self, id_: object) -> None:
        """Forgets what a request that failed went on from."""
        self._kept.pop(str(id_), None)


def _told_again(item: Json) -> Json | None:
    """Writes an item of an output as one of an input; a thought that only another could look up is none."""
    if item.get("type") != "reasoning":
        return item
    item = {key: one for key, one in item.items() if one or key != "content"}
    return item if item.get("content") or item.get("encrypted_content") else None


class _Lane(Struct, eq=False):
    """Frames that are carried out one after the other; `telling` while a client that goes may be left alone."""

    name: str | None
    waiting: list[Heard] = field(default_factory=list[Heard])
    task: asyncio.Task[None] | None = None
    telling: bool = False


def _nothing() -> None:
    """What becomes of an answer in the background when its client goes."""


class Turns:
    """One client's connection. What it has begun in `lanes` is begun to its end, although the client goes."""

    def __init__(
        self,
        core: Core,
        asking: Asking,
        request: HTTPConnection,
        socket: Socket,
        lanes: asyncio.TaskGroup,
    ) -> None:
        self._core, self._asking = core, asking
        self._request, self._socket, self._tasks = request, socket, lanes
        given = request.headers.items()
        self._headers = {name: one for name, one in given if not name.startswith(_RETRIES)}
        self._memory = Memory(core.settings.openai_body_bytes_max)
        self._lanes: dict[str | None, _Lane] = {}
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._ending: PalaverError | None = None
        self._told = self._gone = False

    async def run(self, reader: Reader, tasks: asyncio.TaskGroup) -> None:
        """Reads until one of the two ends it: raises `Over`."""
        tasks.create_task(self._end_in_time(reader))
        while True:
            heard = await self._socket.heard(self._core.settings.frames_per_second)
            try:
                self._queue(heard)
            except PalaverError as problem:
                await self._refuse(problem, heard.frame)

    def leave(self) -> None:
        """Leaves the answers alone: the client has gone."""
        self._gone = True
        for lane in self._lanes.values():
            lane.waiting.clear()
            if lane.telling and lane.task is not None:
                lane.task.cancel()

    async def _end_in_time(self, reader: Reader) -> None:
        """Ends the connection at its time, or with the server, once what is being answered is."""
        try:
            async with asyncio.timeout(LIFE_SECONDS):
                while not reader.over and not any(
                    isinstance(one, Closing) for one in await reader.next_patiently()
                ):
                    pass
            if reader.over:
                await self._refuse(revoked(), {})
                raise Over(POLICY, revoked().detail)
            self._ending, over = _STOPPING, Over(RESTARTING, "the server is restarting")
        except TimeoutError:
            self._ending, over = _LIMIT, Over(GOING_AWAY, "60 minutes are over")
        await self._quiet.wait()
        if self._ending is _LIMIT and not self._told:
            await self._refuse(_LIMIT, {})
        raise over

    # lanes

    def _queue(self, heard: Heard) -> None:
        """Puts a frame into its lane. Unavailable: `too_busy`."""
        settings, name = self._core.settings, _lane_of(heard.frame)
        waiting = [one for lane in self._lanes.values() for one in lane.waiting]
        size = sum(one.size for one in waiting) + heard.size
        if len(waiting) >= settings.inflight_max or size > settings.openai_body_bytes_max:
            words = f"At most {settings.inflight_max} requests wait here at once."
            raise Unavailable(Code.TOO_BUSY, words, retry_ms=BUSY_MS)
        if name not in self._lanes and len(self._lanes) >= LANES_MAX:
            words = f"At most {LANES_MAX} streams are answered at once."
            raise Unavailable(Code.TOO_BUSY, words, retry_ms=BUSY_MS)
        lane = self._lanes.setdefault(name, _Lane(name))
        lane.waiting.append(heard)
        if lane.task is None:
            self._quiet.clear()
            lane.task = self._tasks.create_task(self._work(lane))

    async def _work(self, lane: _Lane) -> None:
        try:
            while lane.waiting:
                heard = lane.waiting[0]
                if self._ending is not None:
                    self._told = True
                    await self._refuse(self._ending, heard.frame)
                elif heard.problem is not None:
                    await self._refuse(heard.problem, heard.frame)
                else:
                    await self._carry_out(lane, heard.frame)
                del lane.waiting[:1]
        except Over:
            self._gone = True
        finally:
            del self._lanes[lane.name]
            if not self._lanes:
                self._quiet.set()

    async def _carry_out(self, lane: _Lane, frame: Json) -> None:
        problem: PalaverError = _UNKNOWN
        try:
            match frame.get("type"):
                case "response.create":
                    return await self.create(lane, frame)
                case "response.resume":
                    return await self.resume(lane, frame)
                case _:
                    pass
        except PalaverError as found:
            problem = found
        except Over:
            raise
        except Exception:  # the edge of a request: the connection goes on
            log.exception("frame.failed", t=str(frame.get("type")))
            problem = INTERNAL
        self._memory.forget(frame.get("previous_response_id"))
        return await self._refuse(problem, frame)

    @_CREATE
    async def create(self, lane: _Lane, frame: Json) -> None:
        """Answers; or only reads what is to be gone on from (`generate: false`)."""
        me = await self._caller(_CREATE)
        body = {key: one for key, one in frame.items() if key not in _AROUND}
        raw, previous = dump(body), body.get("previous_response_id")
        wanted = await self._asking.wanted(me, self._memory.recall(body))
        if frame.get("generate") is False:
            response = await self._warm_up(lane, me, wanted)
        else:
            response = await self._answer(lane, me, wanted, raw, previous)
        if response.get("status") not in {"completed", "incomplete"}:
            self._memory.forget(previous)
        elif not wanted.store or frame.get("generate") is False:
            self._memory.keep(response["id"], wanted, response["output"])

    @_RESUME
    async def resume(self, lane: _Lane, frame: Json) -> None:
        """Tells the events of a response behind a number, to its end."""
        me = await self._caller(_RESUME)
        exchange = await self._asking.response(me, text_of(frame, "response_id"))
        given = frame.get("starting_after")
        after = -1 if given is None else whole_of(frame, "starting_after")
        with self._telling(lane):
            await self._tell(lane, replay.events_of(self._core, me, exchange), after)

    # answers

    async def _caller(self, declared: Call) -> Actor:
        """Recognises the client again: its key may have been revoked."""
        return await caller(self._request, declared)

    async def _warm_up(self, lane: _Lane, me: Actor, wanted: Wanted) -> Json:
        await self._asking.before(me, wanted.asked)  # it must be there
        composer = self._asking.composer(wanted)
        for event in composer.begin():
            await self._send(event, lane.name)
        ending = Ending(state=ExchangeState.COMPLETED, ended_ms=self._core.clock.now_ms())
        for event in composer.end(ending):
            await self._send(event, lane.name)
        return composer.response

    async def _answer(
        self, lane: _Lane, me: Actor, wanted: Wanted, raw: bytes, previous: object
    ) -> Json:
        """Answers, and returns the response: an empty one where it was refused."""
        await self._core.budgets.check(me.id)
        running, composer = await self._asking.begun(me, wanted, self._headers, raw)
        left = partial(self._core.exchanges.left, running)
        with self._telling(lane, _nothing if wanted.background else left):
            if running.over and running.exchange is not None:  # it was asked for before
                return await self._tell(lane, replay.events_of(self._core, me, running.exchange))
            call = await running.begun()
            if call.status >= HTTPStatus.MULTIPLE_CHOICES:
                refused = refusal(call, await joined(running.follow()))
                told = as_object(load(bytes(refused.body)).get("error"))
                await self._send(_error(refused.status_code, told), lane.name)
                return {}
            composer.response["previous_response_id"] = previous
            return await self._tell(lane, replay.live_events(running, composer))

    @contextmanager
    def _telling(
        self, lane: _Lane, left: Callable[[], None] = _nothing
    ) -> Generator[None, None, None]:
        """While a client is told something; `left` is called when it goes meanwhile."""
        if self._gone:
            left()
            raise Over(None)
        lane.telling = True
        try:
            yield
        except (asyncio.CancelledError, Over):
            left()
            raise
        finally:
            lane.telling = False

    async def _tell(self, lane: _Lane, told: AsyncGenerator[Event, None], after: int = -1) -> Json:
        """Sends the events behind a number, and the last one; that says what an `error` among them does.

        Returns the response as the last one has it.
        """
        response: Json = {}
        async with aclosing(told):
            async for event in told:
                last = event["type"] in LAST
                response = event["response"] if last else response
                if last or (event["sequence_number"] > after and event["type"] != "error"):
                    await self._send(event, lane.name)
        return response

    async def _refuse(self, problem: PalaverError, frame: Json) -> None:
        told = as_object(problems.document(problem)["error"])
        name = frame.get("stream_id")
        await self._send(_error(problems.status_of(problem), told), name)

    async def _send(self, event: Json, lane: object) -> None:
        told = event if lane is None else {**event, "stream_id": lane}
        await self._socket.put([dump(told)])


def _lane_of(frame: Json) -> str | None:
    """Reads the lane of a frame. Refused: `bad_request`."""
    name = text_or_none_of(frame, "stream_id")
    if name is not None and len(name) > LANE_CHARS_MAX:
        words = "Invalid 'stream_id': string too long."
        raise too_long(words, "stream_id", "string", LANE_CHARS_MAX, name)
    return name


def _error(status: int, told: Json) -> Json:
    """Builds the frame that tells an error: with a type, a code and words, although a model server gave none."""
    shaped = problems.told(status, "The model server refused.", "server_error")["error"] | {
        key: str(one) if key in _TEXTS else one for key, one in told.items() if one is not None
    }
    return {"type": "error", "status": status, "error": shaped}
