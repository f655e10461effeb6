"""`/ws`: the live protocol `palaver.v1`, one `Connection` for each client.

Theory of operation. A connection has its own task, which reads, a writing task, and a working task while requests wait.
The reading task takes frames off the socket, answers pings, and puts requests into a queue of at most `inflight_max`;
the working task carries them out one after the other, so that what a client sends is stored in the order in which it
was sent. The writing task pulls from the core's reader while the socket drains, and sends frames that were encoded once
for all readers. A frame that cannot be carried out is an `err`; only what breaks the protocol ends the connection.

A connection owns its reader and nothing else: when it goes, answers go on. It decides nothing that the core decides.
"""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import aclosing, suppress
from enum import Enum, auto
from functools import partial
from typing import Any, cast

import structlog
from msgspec import Struct, field
from starlette.types import ASGIApp, Receive, Scope, Send

from palaver.core.live import items
from palaver.core.live.reader import Reader
from palaver.core.runtime import Core
from palaver.errors import Code, PalaverError, Refused, Unavailable
from palaver.model import (
    Actor,
    ActorId,
    ActorKind,
    CredentialId,
    MessageId,
    RoomId,
    Scope as KeyScope,
    TurnId,
)
from palaver.policy import Action, ServerAct, check_key, check_room, signed_out
from palaver.strict_json import Json, dump, text_of, text_or_none_of, whole_of
from palaver.wire import auth, shapes
from palaver.wire.calls import Call, call, calls_of
from palaver.wire.edge import rates
from palaver.wire.edge.rates import Use
from palaver.wire.edge.sockets import NOT_THIS_PROTOCOL, Over, frame_of, talked
from palaver.wire.live import frames
from palaver.wire.live.socket import Socket, encoded
from palaver.wire.problems import INTERNAL
from palaver.wire.setup import check_open

PATH = "/ws"
VERSION = 1
SUBPROTOCOL = "palaver.v1"
GOING_AWAY, NO_HELLO, NO_PONG = 4000, 4001, 4002
OTHER_VERSION, NOT_ALLOWED = 4501, 4503
TYPING_SECONDS = 3.0
BUSY_MS = 1_000
PACE_SECONDS = 0.005
"""In a rush, what comes within this time is sent in one piece: a write to a socket costs more than all else."""

Work = Callable[[], Coroutine[Any, Any, None]]

log = structlog.stdlib.get_logger()

_PING = dump(frames.Ping(t="ping"))


class Live:
    """Takes `/ws` out of what goes to the rest of the application, whose layers would cost every connection memory."""

    def __init__(self, app: ASGIApp, core: Core) -> None:
        self.app = app
        self._core = core

    @call("WS", PATH, ServerAct.ENTER, use=Use.CONNECTIONS)
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] == "websocket" and scope["path"] == PATH:
            await serve(self._core, Socket(scope, receive, send))
        else:
            await self.app(scope, receive, send)


async def serve(core: Core, socket: Socket) -> None:
    """Serves a client until one of the two ends it."""
    try:
        await socket.accept(SUBPROTOCOL)
        hello = await _greeted(core, socket)
        socket.scope["headers"] = []  # they take 2 KiB, and nobody asks for them any more
        with core.chat.reader(hello.actor, hello.by) as reader:
            over = await talked(partial(_converse, core, socket, reader, hello))
    except Over as end:
        over = end
    if over.code is not None:
        with suppress(Over):
            await socket.close(over.code, over.reason)


def _converse(
    core: Core, socket: Socket, reader: Reader, hello: "Hello", tasks: asyncio.TaskGroup
) -> Coroutine[Any, Any, None]:
    """Talks with a client that was welcomed, in these tasks."""
    who = hello.actor, hello.visitor, hello.epoch
    return Connection(core, socket, reader, tasks, *who).run(hello.last)


# hello


class Hello(Struct, frozen=True, kw_only=True):
    """Who a client is: `visitor` makes a guest of one who is none yet. `last`: the seqs that it knew, in `epoch`.

    `by`: the session that it stands by.
    """

    actor: Actor
    by: CredentialId | None
    visitor: str | None
    epoch: str | None
    last: dict[str, int]


async def _greeted(core: Core, socket: Socket) -> Hello:
    """Waits for the client to say who it is."""
    try:
        async with asyncio.timeout(core.settings.hello_seconds):
            while True:
                frame = await _first_frame(socket)
                try:
                    return await _welcomed(core, socket, frame)
                except PalaverError as problem:
                    await socket.error(problem, frame)
                    if problem.code in auth.NOBODY:
                        raise Over(NOT_ALLOWED, problem.detail) from None
    except TimeoutError:
        raise Over(NO_HELLO, "no hello in time") from None


async def _first_frame(socket: Socket) -> Json:
    try:
        frame = frame_of(await socket.next())
    except Refused:
        frame = {}
    if frame.get("t") != "hello":
        raise Over(NOT_THIS_PROTOCOL, "the first frame must be hello")
    return frame


async def _welcomed(core: Core, socket: Socket, frame: Json) -> Hello:
    settings = core.settings
    if frame.get("v") != VERSION:
        await socket.error(Refused(Code.BAD_REQUEST, "This server speaks version 1."), frame)
        raise Over(OTHER_VERSION, "this server speaks version 1")
    await check_open(core)
    epoch, last = _last_known(frame.get("last"))
    token = text_or_none_of(frame, "token")
    actor, visitor, by = await auth.of_socket(core, socket.scope, token)
    if actor is None:
        raise Refused(
            Code.UNAUTHENTICATED, "Nobody is known by that token or cookie. Get one from /api."
        )
    ping = settings.ping_seconds
    welcome: frames.Welcome = {
        "t": "welcome",
        "v": VERSION,
        "epoch": core.epoch,
        "me": shapes.me(actor),
        "ping": int(ping) if ping.is_integer() else ping,
        "limits": {
            "frame": settings.frame_bytes_max,
            "text": settings.text_chars_max,
            "inflight": settings.inflight_max,
            "rooms": settings.rooms_per_connection_max,
        },
        "db": "up" if core.db_up else "down",
    }
    await socket.reply(welcome, frame, known=True)
    return Hello(actor=actor, by=by, visitor=visitor, epoch=epoch, last=last)


def _last_known(last: Any) -> tuple[str | None, dict[str, int]]:
    """The epoch that a client knew, and the seq of each room."""
    if last is None:
        return None, {}
    known = cast("Json", last) if isinstance(last, dict) else {}
    epoch, rooms = text_of(known, "epoch"), known.get("rooms", {})
    if not isinstance(rooms, dict):
        raise Refused(Code.BAD_REQUEST, "The field 'last.rooms' must be an object.")
    found = cast("Json", rooms)
    return epoch, {room: whole_of(found, room) for room in found}


class State(Enum):
    """How far a connection is, from the welcome on.

    `IDLE` becomes `WORKING` when a request comes, and is again when none waits any more. Both become `ENDED` by
    whatever ends the connection, for ever: no task and no timer is started from then on.
    """

    IDLE = auto()
    WORKING = auto()
    ENDED = auto()


class Connection(Struct, eq=False):
    """One client who was welcomed."""

    core: Core
    socket: Socket
    reader: Reader
    tasks: asyncio.TaskGroup
    actor: Actor
    visitor: str | None
    epoch: str | None
    _state: State = State.IDLE
    _waiting: list[Json] = field(default_factory=list[Json])  # an empty deque takes 760 bytes
    _out: asyncio.Lock = field(default_factory=asyncio.Lock)
    _pulled: list[items.Item] = field(default_factory=list[items.Item])
    _rooms: set[RoomId] = field(default_factory=set[RoomId])
    _typed: dict[RoomId, float] = field(default_factory=dict[RoomId, float])
    _timer: asyncio.TimerHandle | None = None

    def run(self, last: dict[str, int]) -> Coroutine[Any, Any, None]:
        """Subscribes to the rooms that the client knew, then reads until one of the two ends it: raises `Over`."""
        self._start(self._write)
        if self.actor.kind is ActorKind.AGENT:
            self._start(self._hear)
        self._start_work(last)
        self._ping_later()
        return self._ending_all(self._read)

    def _start(self, work: Work) -> None:
        self.tasks.create_task(self._ending_all(work))

    async def _ending_all(self, work: Work) -> None:
        """Does the work, which is not begun before: a task may be cancelled before its first step."""
        try:
            await work()
        except BaseException:
            # before the group ends the others: no timer starts a task in it now
            self._state = State.ENDED
            self._stop_timer()
            raise

    # reading

    async def _read(self) -> None:
        while True:
            heard = await self.socket.heard(self.core.settings.frames_per_second)
            if heard.problem is not None:
                await self.socket.error(heard.problem, heard.frame)
            else:
                await self._take(heard.frame)

    async def _take(self, frame: Json) -> None:
        """Answers at once what waits for nothing, and queues the rest."""
        match frame.get("t"):
            case "ping" | "pong":
                await self._carry_out(frame)
            case _ if len(self._waiting) >= self.core.settings.inflight_max:
                most = f"At most {self.core.settings.inflight_max} requests at once."
                await self.socket.error(Unavailable(Code.TOO_BUSY, most, retry_ms=BUSY_MS), frame)
            case _:
                self._waiting.append(frame)
                self._start_work({})

    # working

    def _start_work(self, last: dict[str, int]) -> None:
        if self._state is State.IDLE and (last or self._waiting):
            self._state = State.WORKING
            self._start(lambda: self._work(last))

    async def _work(self, last: dict[str, int]) -> None:
        for room, since in last.items():
            await self._carry_out({"t": "sub", "room": room, "since": since})
        while self._waiting:
            await self._carry_out(self._waiting[0])
            del self._waiting[0]
        if self._state is State.WORKING:
            self._state = State.IDLE

    async def _carry_out(self, frame: Json) -> None:
        if self.reader.over:
            raise self._signed_out()
        try:
            replies = await self._call(frame)
        except PalaverError as problem:
            if self.reader.over or problem.code is Code.SESSION_ENDED:
                raise self._signed_out() from None
            if problem.code is Code.UNAUTHENTICATED:
                # a guest who was deleted, having left nothing: who comes again with that token is made again
                raise Over(GOING_AWAY, problem.detail) from None
            await self.socket.error(problem, frame)
        except Exception:  # the edge of a request: the connection goes on
            log.exception("frame.failed", t=str(frame.get("t")))
            await self.socket.error(INTERNAL, frame)
        else:
            if replies:
                await self.socket.put(replies)
            if frame["t"] == "sub":
                self.reader.start(RoomId(frame["room"]))

    def _signed_out(self) -> Over:
        """Ends the connection, whose session has ended; what it asked for and was not begun is not done."""
        return Over(NOT_ALLOWED, signed_out(self.reader.by).detail)

    async def _call(self, frame: Json) -> list[bytes]:
        """Carries a request out; the reply, if there is one, as bytes: nothing else of it is kept meanwhile."""
        known = _REQUESTS.get(str(frame.get("t")))
        if known is None:
            raise Refused(Code.UNKNOWN_FRAME, "There is no such frame in palaver.v1.")
        carry_out, fields, declared = known
        given = {name: read(frame, name) for name, read in fields.items()}
        self._check_key(declared, given.get("room"))
        if declared.use is not None:
            await self._enter(declared.use)
        reply = await carry_out(self, **given)
        if reply is None:
            return [encoded(frames.Ok(t="ok"), frame)] if "id" in frame else []
        return [encoded(reply, frame)]

    def _check_key(self, declared: Call, room: RoomId | None) -> None:
        """Where it was opened by an API key. Refused: as `policy.check_key` and `check_room` say."""
        if self.actor.key is not None:
            reads = declared.path in READING
            check_key(self.actor, declared.act, declared.own_scope, reads=reads)
            if room is not None and isinstance(declared.act, Action):
                check_room(self.actor, room)

    async def _enter(self, use: Use) -> None:
        """Before something is written: counts it, and makes a guest of a visitor. Unavailable: `rate_limited`."""
        rates.take(self.socket.scope, use)
        if self.visitor is not None:
            self.actor = await auth.entered(self.core, self.socket.scope, self.visitor)
            self.visitor = None
        if use is Use.MESSAGES:
            rates.take_by(self.socket.scope, self.actor)

    @call("frame", "hello", ServerAct.ENTER)
    async def hello(self) -> None:
        """Refuses a second greeting."""
        raise Refused(Code.BAD_REQUEST, "This connection has been greeted already.")

    @call("frame", "ping", ServerAct.PUBLIC)
    async def ping(self) -> frames.Pong:
        """Gives a sign of life."""
        return {"t": "pong"}

    @call("frame", "pong", ServerAct.PUBLIC)
    async def pong(self) -> None:
        """Takes a sign of life."""
        self._ping_later()

    @call("frame", "sub", Action.READ)
    async def sub(self, room: RoomId, since: int | None = None) -> frames.SubReply:
        """Follows a room, from `since` on."""
        again = room in self._rooms
        if again:
            await self.unsub(room)
        # What this connection has been given here is of our epoch; what it brought along is of its own.
        epoch = None if again else self.epoch
        joined = await self.reader.subscribe(room, since, epoch=epoch)
        self._rooms.add(room)
        return frames.joined(joined)

    @call("frame", "unsub", ServerAct.OWN, scope=KeyScope.ROOMS)
    async def unsub(self, room: RoomId) -> None:
        """Leaves a room; nothing of it is sent any more, not even what was pulled already."""
        async with self._out:
            self.reader.unsubscribe(room)
            self._rooms.discard(room)
            self._pulled = [item for item in self._pulled if _room_of(item) != room]

    @call("frame", "send", Action.WRITE, use=Use.MESSAGES)
    async def send(
        self,
        room: RoomId,
        *,
        cid: str,
        text: str,
        reply_to: MessageId | None = None,
        models: list[str] | None = None,
        after: int | None = None,
        branch: int | None = None,
    ) -> frames.Ack:
        """Says something, at the end of a `branch`, or behind the message at the seq `after`.

        Each of `models`, where some are named, answers it.
        """
        sent = await self.core.chat.send(
            *(self.actor, room),
            text=text,
            cid=cid,
            reply_to=reply_to,
            models=models or (),
            after=after,
            branch=branch,
            reader=self.reader,
        )
        seq, dup = sent.seq, sent.dup
        ack = frames.Ack(t="ack", cid=cid, state=sent.state, msg=sent.id, seq=seq, dup=dup)
        return ack if sent.message is None else {**ack, "branch": sent.message.branch}

    @call("frame", "react", Action.WRITE, use=Use.MESSAGES)
    async def react(self, msg: MessageId, emoji: str) -> None:
        """Reacts to a message with one emoji."""
        await self.core.chat.react(self.actor, msg, emoji)

    @call("frame", "unreact", Action.WRITE)
    async def unreact(self, msg: MessageId, emoji: str) -> None:
        """Takes one's reaction away."""
        await self.core.chat.react(self.actor, msg, emoji, there=False)

    @call("frame", "pin", Action.WRITE, use=Use.MESSAGES)
    async def pin(self, msg: MessageId) -> None:
        """Pins a message for all who read its room."""
        await self.core.chat.pin(self.actor, msg)

    @call("frame", "unpin", Action.WRITE)
    async def unpin(self, msg: MessageId) -> None:
        """Pins it no more."""
        await self.core.chat.pin(self.actor, msg, there=False)

    @call("frame", "star", Action.READ, use=Use.MESSAGES)
    async def star(self, msg: MessageId) -> None:
        """Stars a message for oneself."""
        await self.core.chat.star(self.actor, msg)

    @call("frame", "unstar", Action.READ)
    async def unstar(self, msg: MessageId) -> None:
        """Stars it no more."""
        await self.core.chat.star(self.actor, msg, there=False)

    @call("frame", "stop", Action.TAKE_BACK)
    async def stop(self, turn: TurnId) -> None:
        """Stops an answer; what came of it is stored."""
        await self.core.turns.stop(self.actor, turn)

    @call("frame", "stop_room", Action.WRITE)
    async def stop_room(self, room: RoomId) -> None:
        """Stops all answers of a room that one may stop; those that wait for their turn are not given."""
        await self.core.turns.stop_room(self.actor, room)

    @call("frame", "ask", Action.ASK, use=Use.MESSAGES)
    async def ask(
        self,
        room: RoomId,
        agent: ActorId | None = None,
        msg: MessageId | None = None,
        models: list[str] | None = None,
    ) -> frames.Ok:
        """Asks an agent of a room, or all, for an answer to a message, or to the newest."""
        agents = None if agent is None else (agent,)
        asking = self.core.turns.ask
        turns = await asking(self.actor, room, agents=agents, message=msg, models=models or ())
        return {"t": "ok", "turns": [turn.id for turn in turns]}

    @call("frame", "retry", Action.TAKE_BACK, use=Use.MESSAGES)
    async def retry(self, msg: MessageId, mode: str | None = None) -> frames.Ok:
        """Answers again; with `mode` `continue`, goes on where an answer ended."""
        turn = await self.core.turns.retry(self.actor, msg, goes_on=mode == "continue")
        return {"t": "ok", "turn": turn.id}

    @call("frame", "regenerate", Action.ASK, use=Use.MESSAGES)
    async def regenerate(self, msg: MessageId, model: str | None = None) -> frames.Ok:
        """Answers the same again beside an answer, in a branch of its own; by another model, where one is named."""
        turn = await self.core.turns.regenerate(self.actor, msg, model=model)
        return {"t": "ok", "turn": turn.id, "branch": turn.branch}

    @call("frame", "look", Action.READ)
    async def look(self, room: RoomId, branch: int) -> None:
        """Looks at a branch of a room from now on, on all of a person's devices."""
        await self.core.branches.look(self.actor, room, branch, reader=self.reader)

    @call("frame", "turn.d", Action.WRITE)
    async def piece(self, turn: TurnId, n: int, x: str) -> None:
        """Says more of an answer, as its agent: the `n`-th piece. An empty one is a sign of life."""
        await self.core.bots.write(self.actor, self.reader.by, turn, n, x)

    @call("frame", "turn.end", Action.WRITE)
    async def end(
        self, turn: TurnId, text: str | None = None, error: str | None = None
    ) -> frames.TurnEnded | None:
        """Ends an answer, as its agent: with its whole text, or with why there is none."""
        if text is None:
            await self.core.bots.fail(self.actor, self.reader.by, turn, error or "")
            return None
        said, dup = await self.core.bots.end(self.actor, self.reader.by, turn, text)
        return {"t": "ack", "msg": said.id, "seq": said.seq, "dup": dup}

    @call("frame", "typing", Action.WRITE)
    async def typing(self, room: RoomId) -> None:
        """Tells others that this person is typing, now and then."""
        now = self.core.clock.monotonic()
        if now - self._typed.get(room, -TYPING_SECONDS) < TYPING_SECONDS:
            return
        if len(self._typed) >= self.core.settings.rooms_per_connection_max:
            self._typed.clear()
        self._typed[room] = now
        await self.core.chat.typing(self.actor, room)

    @call("frame", "read", Action.READ)
    async def read(self, room: RoomId, seq: int) -> None:
        """Notes what a person has read, not a visitor; who became a guest by another call is one here, too."""
        if self.visitor is not None and await self.core.identity.actor(self.visitor) is not None:
            self.visitor = None
        if self.visitor is None:
            await self.core.chat.mark_read(self.actor, room, seq, reader=self.reader)

    @call("frame", "watch", ServerAct.ROOMS)
    async def watch(self) -> None:
        """Follows what changes in all of a person's rooms."""
        await self.reader.watch()

    async def _hear(self) -> None:
        """Tells an agent's program what the agent is asked."""
        async with aclosing(self.core.bots.heard(self.actor, self.reader.by)) as telling:
            async for told in telling:
                await self.socket.put([dump(frames.told(told))])

    # writing

    async def _write(self) -> None:
        loop = asyncio.get_running_loop()
        sent = 0.0
        while True:
            self._pulled = await self.reader.next_patiently()
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
                    await self.socket.put(payloads)
                    del payloads
            if self.reader.over:
                raise self._signed_out()
            if closing:
                raise Over(GOING_AWAY, "going away")

    # are you still there?

    def _ping_later(self) -> None:
        self._stop_timer()
        if self._state is not State.ENDED:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self.core.settings.ping_seconds, self._ping)

    def _ping(self) -> None:
        self._start(lambda: self.socket.put([_PING]))
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self.core.settings.pong_seconds, self._start, self._no_pong)

    async def _no_pong(self) -> None:
        raise Over(NO_PONG, "no pong in time")

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _room_of(item: items.Item) -> RoomId | None:
    match item:
        case items.Happened(event=event):
            return event.room
        case items.Opened(stream=stream):
            return stream.room
        case items.DatabaseState() | items.SignedOut() | items.Closing():
            return None
        case _:
            return item.room


_REQUESTS = {
    declared.path: (
        getattr(Connection, name),
        frames.fields_of(getattr(Connection, name)),
        declared,
    )
    for declared, name in calls_of(Connection)
}
"""How each frame is carried out: by whom, with which fields, and as what it was declared."""
READING = frozenset({"sub", "unsub", "watch"})
"""Frames for which a key that reads is good."""
