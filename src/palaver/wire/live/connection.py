"""`/ws`: the live protocol `palaver.v1`, one `Connection` for each client.

Theory of operation. A connection has its own task, which reads, a writing task, and a working task while requests wait.
The reading task takes frames off the socket, answers pings, and puts requests into a queue of at most `inflight_max`;
the working task carries them out one after the other, so that what a client sends is stored in the order in which it
was sent. The writing task pulls from the core's reader while the socket drains, and sends frames that were encoded once
for all readers. A frame that cannot be carried out is an `err`; only what breaks the protocol ends the connection.

A connection owns its reader and nothing else: when it goes, answers go on. It decides nothing that the core decides.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, cast

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from palaver.core.live import items
from palaver.core.live.reader import Reader
from palaver.core.runtime import Core
from palaver.errors import Code, PalaverError, Refused, Unavailable
from palaver.model import Actor, MessageId, RoomId, TurnId
from palaver.strict_json import (
    Json,
    dump,
    load,
    text_of,
    text_or_none_of,
    whole_of,
    whole_or_none_of,
)
from palaver.wire import auth, shapes
from palaver.wire.edge import rates
from palaver.wire.edge.protocols import FRAMES, KNOWN, LATE_MS, REFUSED, TOO_MANY
from palaver.wire.live import frames
from palaver.wire.problems import INTERNAL

PATH = "/ws"
VERSION = 1
SUBPROTOCOL = "palaver.v1"
GOING_AWAY, NO_HELLO, NO_PONG = 4000, 4001, 4002
NOT_THIS_PROTOCOL, OTHER_VERSION, NOT_ALLOWED = 4500, 4501, 4503
UNEXPECTED = 1011
TYPING_SECONDS = 3.0
BUSY_MS = 1_000
RETRY_SECONDS = 1.0
PACE_SECONDS = 0.005
"""In a rush, what comes within this time is sent in one piece: a write to a socket costs more than all else."""

Work = Callable[[], Coroutine[Any, Any, None]]

log = structlog.stdlib.get_logger()

_PING = dump({"t": "ping"})


class _Over(Exception):
    """The connection ends: by us with a close code, or None because the client has left."""

    def __init__(self, code: int | None, reason: str = "") -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class Live:
    """Takes `/ws` out of what goes to the rest of the application, whose layers would cost every connection memory."""

    def __init__(self, app: ASGIApp, core: Core) -> None:
        self.app = app
        self._core = core

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] == "websocket" and scope["path"] == PATH:
            await Connection(self._core, scope, receive, send).run()
        else:
            await self.app(scope, receive, send)


class Connection:
    """One client."""

    __slots__ = (
        *("_actor", "_core", "_ended", "_epoch", "_out", "_pulled", "_reader", "_receive"),
        *("_rooms", "_scope", "_send", "_tasks", "_timer", "_typed", "_visitor"),
        *("_waiting", "_working"),
    )

    def __init__(self, core: Core, scope: Scope, receive: Receive, send: Send) -> None:
        self._core = core
        self._scope = scope
        self._receive = receive
        self._send = send
        self._waiting: list[Json] = []  # an empty deque takes 760 bytes, for ever
        self._working = False
        self._ended = False
        self._out = asyncio.Lock()
        self._pulled: list[items.Item] = []
        self._rooms: set[RoomId] = set()
        self._epoch: str | None = None
        self._typed: dict[RoomId, float] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._actor: Actor
        self._visitor: str | None = None
        self._reader: Reader
        self._tasks: asyncio.TaskGroup

    async def run(self) -> None:
        """Serves the client until one of the two ends it."""
        if (await self._receive())["type"] != "websocket.connect":
            return
        offered = self._scope.get("subprotocols", ())
        chosen = SUBPROTOCOL if SUBPROTOCOL in offered else None
        over = _Over(None)
        try:
            await self._send({"type": "websocket.accept", "subprotocol": chosen})
            last = await self._hello()
            self._scope["headers"] = []  # they take 2 KiB, and nobody asks for them any more
            with self._core.chat.reader(self._actor) as self._reader:
                over = await self._talk(last)
        except _Over as end:
            over = end
        except OSError:
            return  # the client has left before it was welcomed
        finally:
            self._stop_timer()
        if over.code is not None:
            await self._close(over.code, over.reason)

    async def _talk(self, last: Json) -> _Over:
        """Runs the tasks until one of them ends the connection, and says how."""
        over = _Over(None)
        try:
            async with asyncio.TaskGroup() as self._tasks:
                self._start(self._write)
                self._start_work(last)
                self._ping_later()
                await self._ending_all(self._read)
        except* _Over as ends:
            found = [end for end in ends.exceptions if isinstance(end, _Over)]
            over = next((end for end in found if end.code is not None), over)
        except* Exception:
            log.exception("connection.failed")
            over = _Over(UNEXPECTED)
        return over

    def _start(self, work: Work) -> None:
        self._tasks.create_task(self._ending_all(work))

    async def _ending_all(self, work: Work) -> None:
        """Does the work, which is not begun before: a task may be cancelled before its first step."""
        try:
            await work()
        except BaseException:
            self._ended = True  # before the group ends the others: no timer starts a task in it now
            self._stop_timer()
            raise

    # hello

    async def _hello(self) -> Json:
        """Waits for the client to say who it is; what it last knew of its rooms."""
        try:
            async with asyncio.timeout(self._core.settings.hello_seconds):
                while True:
                    frame = await self._first_frame()
                    try:
                        return await self._welcome(frame)
                    except PalaverError as problem:
                        await self._error(problem, frame)
                        if problem.code is Code.UNAUTHENTICATED:
                            raise _Over(NOT_ALLOWED, problem.detail) from None
        except TimeoutError:
            raise _Over(NO_HELLO, "no hello in time") from None

    async def _first_frame(self) -> Json:
        try:
            frame = load((await self._next_message())["text"].encode())
        except Refused:
            frame = {}
        if frame.get("t") != "hello":
            raise _Over(NOT_THIS_PROTOCOL, "the first frame must be hello")
        return frame

    async def _welcome(self, frame: Json) -> Json:
        core, settings = self._core, self._core.settings
        if frame.get("v") != VERSION:
            await self._error(Refused(Code.BAD_REQUEST, "This server speaks version 1."), frame)
            raise _Over(OTHER_VERSION, "this server speaks version 1")
        rooms = self._last_known(frame.get("last"))
        token = text_or_none_of(frame, "token")
        actor, self._visitor = await auth.of_socket(core.identity, self._scope, token)
        if actor is None:
            raise Refused(
                Code.UNAUTHENTICATED, "Nobody is known by that token or cookie. Get one from /api."
            )
        self._actor = actor
        ping = settings.ping_seconds
        limits = {
            "frame": settings.frame_bytes_max,
            "text": settings.text_chars_max,
            "inflight": settings.inflight_max,
            "rooms": settings.rooms_per_connection_max,
        }
        welcome: Json = {"t": "welcome", "v": VERSION, "epoch": core.epoch, "me": shapes.me(actor)}
        welcome |= {"ping": int(ping) if ping.is_integer() else ping, "limits": limits}
        welcome["db"] = "up" if core.db_up else "down"
        await self._put(_encoded(welcome, frame), known=True)
        return rooms

    def _last_known(self, last: Any) -> Json:
        """The seq of each room that a client knew, and under which epoch."""
        if last is None:
            return {}
        known = cast("Json", last) if isinstance(last, dict) else {}
        self._epoch = text_of(known, "epoch")
        rooms = known.get("rooms", {})
        if not isinstance(rooms, dict):
            raise Refused(Code.BAD_REQUEST, "The field 'last.rooms' must be an object.")
        found = cast("Json", rooms)
        return {room: whole_of(found, room) for room in found}

    # reading

    async def _read(self) -> None:
        while True:
            await asyncio.sleep(0)  # many frames may lie ready, and others want their turn too
            message = await self._next_message()
            if message[REFUSED] > self._core.settings.frames_per_second:
                raise _Over(TOO_MANY, "too many frames")  # it was told, and does not mind
            try:
                frame = load(message["text"].encode())
            except Refused as problem:
                await self._error(problem, {})
                continue
            if message[LATE_MS]:
                too_many = "That is too many frames a second."
                late = Unavailable(Code.RATE_LIMITED, too_many, retry_ms=message[LATE_MS])
                await self._error(late, frame)
            else:
                await self._take(frame)

    async def _next_message(self) -> Message:
        message = await self._receive()
        if message["type"] == "websocket.disconnect":
            raise _Over(None)
        if "text" not in message:
            raise _Over(NOT_THIS_PROTOCOL, "frames are text")
        return message

    async def _take(self, frame: Json) -> None:
        """Answers at once what waits for nothing, and queues the rest."""
        match frame.get("t"):
            case "ping":
                await self._reply({"t": "pong"}, frame)
            case "pong":
                self._ping_later()
            case _ if len(self._waiting) >= self._core.settings.inflight_max:
                most = f"At most {self._core.settings.inflight_max} requests at once."
                await self._error(Unavailable(Code.TOO_BUSY, most, retry_ms=BUSY_MS), frame)
            case _:
                self._waiting.append(frame)
                self._start_work({})

    # working

    def _start_work(self, last: Json) -> None:
        if not self._working and (last or self._waiting):
            self._working = True
            self._start(lambda: self._work(last))

    async def _work(self, last: Json) -> None:
        for room, since in last.items():
            await self._carry_out({"t": "sub", "room": room, "since": since})
        while self._waiting:
            await self._carry_out(self._waiting[0])
            del self._waiting[0]
        self._working = False

    async def _carry_out(self, frame: Json) -> None:
        try:
            replies = _encoded(await self._call(frame), frame)
        except PalaverError as problem:
            if problem.code is Code.UNAUTHENTICATED:
                # a guest who was deleted, having left nothing: who comes again with that token is made again
                raise _Over(GOING_AWAY, problem.detail) from None
            await self._error(problem, frame)
        except Exception:  # the edge of a request: the connection goes on
            log.exception("frame.failed", t=str(frame.get("t")))
            await self._error(INTERNAL, frame)
        else:
            await self._put(replies)
            if frame["t"] == "sub":
                self._reader.start(RoomId(frame["room"]))

    async def _call(self, frame: Json) -> Json | None:
        """Carries a request out; None where nothing is to be said."""
        match frame.get("t"):
            case "sub":
                return await self._subscribe(frame)
            case "unsub":
                await self._leave(RoomId(text_of(frame, "room")))
            case "send":
                return await self._say(frame)
            case "stop":
                turn = TurnId(text_of(frame, "turn"))
                await self._core.turns.stop(self._actor, turn)
            case "retry":
                message = MessageId(text_of(frame, "msg"))
                await self._enter()
                goes_on = text_or_none_of(frame, "mode") == "continue"
                turn = await self._core.turns.retry(self._actor, message, goes_on=goes_on)
                return {"t": "ok", "turn": turn.id}
            case "typing":
                await self._typing(RoomId(text_of(frame, "room")))
            case "read":
                await self._note_read(frame)
            case "watch":
                await self._reader.watch()
            case "hello":
                raise Refused(Code.BAD_REQUEST, "This connection has been greeted already.")
            case _:
                raise Refused(Code.UNKNOWN_FRAME, "There is no such frame in palaver.v1.")
        return {"t": "ok"} if "id" in frame else None

    async def _subscribe(self, frame: Json) -> Json:
        room = RoomId(text_of(frame, "room"))
        since = whole_or_none_of(frame, "since")
        again = room in self._rooms
        if again:
            await self._leave(room)
        # What this connection has been given here is of our epoch; what it brought along is of its own.
        epoch = None if again else self._epoch
        joined = await self._reader.subscribe(room, since, epoch=epoch)
        self._rooms.add(room)
        return frames.joined(joined)

    async def _leave(self, room: RoomId) -> None:
        """Leaves a room; nothing of it is sent any more, not even what was pulled already."""
        async with self._out:
            self._reader.unsubscribe(room)
            self._rooms.discard(room)
            self._pulled = [item for item in self._pulled if _room_of(item) != room]

    async def _say(self, frame: Json) -> Json:
        reply_to = text_or_none_of(frame, "reply_to")
        cid = text_of(frame, "cid")
        await self._enter()
        sent = await self._core.chat.send(
            self._actor,
            RoomId(text_of(frame, "room")),
            text=text_of(frame, "text"),
            cid=cid,
            reply_to=None if reply_to is None else MessageId(reply_to),
            reader=self._reader,
        )
        ack: Json = {"t": "ack", "cid": cid, "state": sent.state, "msg": sent.id}
        return ack | {"seq": sent.seq, "dup": sent.dup}

    async def _note_read(self, frame: Json) -> None:
        """What a visitor reads is not noted; who became a guest by another call is one here, too."""
        room, seq = RoomId(text_of(frame, "room")), whole_of(frame, "seq")
        if self._visitor is not None and await self._core.identity.actor(self._visitor) is not None:
            self._visitor = None
        if self._visitor is None:
            await self._core.chat.mark_read(self._actor, room, seq, reader=self._reader)

    async def _enter(self) -> None:
        """Before something is written: counts it, and makes a guest of a visitor. Unavailable: `rate_limited`."""
        rates.take(self._scope, rates.Use.MESSAGES)
        if self._visitor is not None:
            self._actor = await auth.entered(self._core, self._scope, self._visitor)
            self._visitor = None

    async def _typing(self, room: RoomId) -> None:
        now = self._core.clock.monotonic()
        if now - self._typed.get(room, -TYPING_SECONDS) < TYPING_SECONDS:
            return
        if len(self._typed) >= self._core.settings.rooms_per_connection_max:
            self._typed.clear()
        self._typed[room] = now
        await self._core.chat.typing(self._actor, room)

    # writing

    async def _write(self) -> None:
        loop = asyncio.get_running_loop()
        sent = 0.0
        while True:
            try:
                self._pulled = await self._reader.next()
            except Unavailable:
                await asyncio.sleep(RETRY_SECONDS)
                continue
            early = sent + PACE_SECONDS - loop.time()
            if early > 0:
                await asyncio.sleep(early)
            sent = loop.time()
            async with self._out:
                payloads = [item.frame for item in self._pulled]
                self._rooms -= {i.room for i in self._pulled if isinstance(i, items.Unsubscribed)}
                closing = any(item.__class__ is items.Closing for item in self._pulled)
                self._pulled = []  # while a slow client takes the bytes, nothing else of them is kept
                if payloads:
                    await self._put(payloads)
                    del payloads
            if closing:
                raise _Over(GOING_AWAY, "going away")

    async def _reply(self, reply: Json, frame: Json) -> None:
        await self._put(_encoded(reply, frame))

    async def _error(self, problem: PalaverError, frame: Json) -> None:
        reply = frames.error(problem)
        if isinstance(frame.get("room"), str):
            reply["room"] = frame["room"]
        await self._reply(reply, frame)

    async def _put(self, payloads: Sequence[bytes], *, known: bool = False) -> None:
        """Sends frames, all in one piece. Waits for a slow reader, until `transport` cuts it off."""
        told = {KNOWN: True} if known else {}
        try:
            await self._send({"type": FRAMES, "frames": payloads, **told})
        except OSError:  # the server's word for a client that has left
            raise _Over(None) from None

    async def _close(self, code: int, reason: str) -> None:
        try:
            await self._send({"type": "websocket.close", "code": code, "reason": reason})
        except OSError:
            return

    # are you still there?

    def _ping_later(self) -> None:
        self._stop_timer()
        if not self._ended:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._core.settings.ping_seconds, self._ping)

    def _ping(self) -> None:
        self._start(lambda: self._put([_PING]))
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._core.settings.pong_seconds, self._no_pong)

    def _no_pong(self) -> None:
        self._start(lambda: self._end(NO_PONG, "no pong in time"))

    async def _end(self, code: int, reason: str) -> None:
        raise _Over(code, reason)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _encoded(reply: Json | None, frame: Json) -> list[bytes]:
    """The reply to a frame, if there is one, as bytes: that is all that is kept while a slow client takes it."""
    if reply is None:
        return []
    number = frame.get("id")
    if number is not None:
        if type(number) not in {int, float}:
            reply = frames.error(Refused(Code.BAD_REQUEST, "The field 'id' must be a number."))
        else:
            reply["id"] = number
    return [dump(reply)]


def _room_of(item: items.Item) -> RoomId | None:
    match item:
        case items.Happened(event=event):
            return event.room
        case items.Opened(stream=stream):
            return stream.room
        case items.DatabaseState() | items.Closing():
            return None
        case _:
            return item.room
