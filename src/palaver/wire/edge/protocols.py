"""The connections themselves: uvicorn's two protocols, with the bounds that they lack.

Theory of operation. uvicorn alone accepts headers without end, waits for ever for the rest of a request, forgets its
limit of connections when one becomes a WebSocket, answers floods of pings, parses megabytes of tiny frames before
anyone else has a turn, and keeps a connection whose peer takes no byte. Here a connection has, in this order:

* a place: more than `connections_max` are answered with 503, far more are dropped;
* a head that is bounded in bytes, lines and seconds (431, 408), for the first request and for each later one;
* turns: what it is sent is parsed in slices, and meanwhile not read (`waiting.Intake`);
* an allowance: each WebSocket frame counts, those of control and pieces too, and each byte. A message that is too much
  is told to the application, which refuses it; what is no message ends the connection (4008); bytes wait. Until the
  application says `KNOWN`, no more is parsed than a first message may take;
* an end: an answer that comes before the whole body was read is followed by a half-close, so that the client sees the
  answer rather than a reset;
* progress: a peer that takes no byte for `slow_reader_seconds` is cut off (4003 on a live connection).

Additions to ASGI: `FRAMES`, a message that sends many text frames, which are written to the socket in one piece;
`KNOWN`, in a message that is sent: the application knows now whose connection it is; `BYTES_MAX` and `PINGS`, in the
one that accepts: how large a message may be, and after how many seconds each the peer gets a ping of WebSocket's own;
`LATE_MS` and `REFUSED`, in one that came: in how many milliseconds it would not have been too much, and how many were.
Nothing here knows what is said.
"""

import asyncio
import math
import struct
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, cast

import httptools
import uvicorn
from msgspec import Struct
from uvicorn._types import ASGIReceiveEvent, ASGISendEvent
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.exceptions import InvalidState
from websockets.frames import CTRL_OPCODES, Frame
from websockets.protocol import State

from palaver.errors import Code, PalaverError, Refused, Unavailable
from palaver.settings import Settings
from palaver.strict_json import dump
from palaver.wire import problems
from palaver.wire.edge.waiting import Allowance, Intake, Mailbox

FRAMES, KNOWN = "palaver.frames", "palaver.known"
BYTES_MAX, PINGS = "palaver.bytes_max", "palaver.pings"
LATE_MS, REFUSED = "palaver.late_ms", "palaver.refused"
HEADERS_MAX = 128
FRAGMENTS_MAX = 1_024
CROWD_MAX = 256
PIECE_BYTES = 65_536
FILES_BESIDE = 512
LINGER_SECONDS = 2.0
TOO_SLOW, TOO_MANY = 4003, 4008

_SHORT = [bytes((0x81, size)) for size in range(126)]
_MALFORMED = Refused(Code.BAD_REQUEST, "That is not HTTP/1.1 as this server reads it.")
_LARGE = Refused(Code.HEADERS_TOO_LARGE, "The request's headers are too large.")
_LATE = Unavailable(Code.REQUEST_TIMEOUT, "The request's headers did not come in time.")
_CROWDED = Unavailable(
    Code.TOO_BUSY, "Too many connections are open here. Try again later.", retry_ms=5_000
)


class EdgeTally(Struct):
    """Connections that are open, and what became of others since the server began."""

    open: int = 0
    crowded_out: int = 0
    slow_closed: int = 0


class EdgeConfig(uvicorn.Config):
    """uvicorn's configuration, and the settings that its protocols are bounded by."""

    def __init__(self, app: Any, settings: Settings, tally: EdgeTally) -> None:
        self.edge = settings
        self.tally = tally
        super().__init__(
            app,
            http=HttpConnection,
            ws=WebSocketConnection,
            ws_max_size=settings.frame_bytes_max,
            ws_ping_interval=None,  # palaver.v1 asks in its own frames, which pass every proxy
            ws_per_message_deflate=False,
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=math.ceil(settings.header_seconds),
        )


class _Bounded(asyncio.Protocol):
    """What connections of both protocols have: turns, and progress."""

    config: uvicorn.Config
    loop: asyncio.AbstractEventLoop
    transport: asyncio.Transport

    @property
    def _edge(self) -> Settings:
        return cast("EdgeConfig", self.config).edge

    @property
    def _tally(self) -> EdgeTally:
        return cast("EdgeConfig", self.config).tally

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._intake = Intake(self.transport, self._parse)
        self._unsent_bytes = 0
        self._slow_timer: asyncio.TimerHandle | None = None

    def connection_lost(self, exc: Exception | None) -> None:
        self._tally.open -= 1
        self._stop_timers()
        self._intake.drop()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._intake.take(data)

    def pause_writing(self) -> None:
        """See asyncio.Protocol. The peer, which was sent more than it took, must go on taking."""
        super().pause_writing()
        self._watch()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stop_watch()

    def _parse(self, data: bytes) -> None:
        """Takes the next slice, as each of the two does."""

    def _too_slow(self) -> None:
        self.transport.abort()

    def _stop_timers(self) -> None:
        self._stop_watch()

    def _watch(self) -> None:
        self._stop_watch()
        self._unsent_bytes = self.transport.get_write_buffer_size()
        self._slow_timer = self.loop.call_later(self._edge.slow_reader_seconds, self._look)

    def _look(self) -> None:
        if self.transport.get_write_buffer_size() < self._unsent_bytes:
            self._watch()
        else:
            self._tally.slow_closed += 1
            self._too_slow()

    def _stop_watch(self) -> None:
        if self._slow_timer is not None:
            self._slow_timer.cancel()
            self._slow_timer = None


class HttpConnection(_Bounded, HttpToolsProtocol):
    """One HTTP connection."""

    _crowded = False
    _over = False  # nothing that still comes in is read
    _in_head = True
    _begun = False
    _head_bytes = 0
    _unread_bytes = 0
    _head_timer: asyncio.TimerHandle | None = None
    _refusal: PalaverError | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.flow = FlowControl(cast("asyncio.Transport", self._intake))
        self._tally.open += 1
        open_now = len(self.connections)
        self._crowded = open_now > self._edge.connections_max
        self._tally.crowded_out += self._crowded
        if open_now > self._edge.connections_max + CROWD_MAX:
            self._over = True
            self.transport.abort()
        else:
            self._expect_head()

    def _parse(self, data: bytes) -> None:
        if self._over:
            return
        self._unset_keepalive_if_required()
        if self._in_head:
            self._unread_bytes += len(data)
        assert self.parser is not None, "a connection that is lost receives nothing"
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            self._refuse(self._refusal or _MALFORMED)
        except httptools.HttpParserUpgrade:
            if self._should_upgrade():
                self.handle_websocket_upgrade()
        else:
            if self._begun and self._in_head:
                self._expect_rest_of_head()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._begun = True
        self._head_bytes = 0
        self._unread_bytes = 0

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        self._count(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        super().on_header(name, value)
        self._count(len(name) + len(value) + 4)

    def on_headers_complete(self) -> None:
        if self._crowded:
            self._fail(_CROWDED)
        self._in_head = False
        self._stop_head_timer()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._begun = False
        self._in_head = True
        self._unread_bytes = 0

    def on_response_complete(self) -> None:
        """See uvicorn. An answer to a request that was not read to its end is the connection's last."""
        unread = not self.pipeline and self.cycle.more_body
        super().on_response_complete()
        if self.pipeline:
            self.flow.pause_reading()  # what was asked already is answered first
        if unread and not self.transport.is_closing():
            self._linger()

    def handle_websocket_upgrade(self) -> None:
        self._stop_timers()
        self._intake.drop()
        super().handle_websocket_upgrade()

    def shutdown(self) -> None:
        """See uvicorn. A request that is still coming in has a moment to do so."""
        super().shutdown()
        if self._answering() and self.cycle.more_body:
            self.loop.call_later(LINGER_SECONDS, self._hang_up)

    def timeout_keep_alive_handler(self) -> None:
        """See uvicorn. What the peer does not take in time is thrown away."""
        super().timeout_keep_alive_handler()
        self.loop.call_later(self._edge.slow_reader_seconds, self.transport.abort)

    def _count(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > self._edge.header_bytes_max or len(self.headers) > HEADERS_MAX:
            self._fail(_LARGE)

    def _fail(self, error: PalaverError) -> None:
        """Ends the parser; `_parse` answers with the error."""
        self._refusal = error
        raise httptools.HttpParserError  # a new one: what is raised keeps what it came through

    def _expect_rest_of_head(self) -> None:
        if self._unread_bytes > self._edge.header_bytes_max:
            self._refuse(_LARGE)
        elif self._head_timer is None:
            self._expect_head()

    def _expect_head(self) -> None:
        self._stop_head_timer()
        self._head_timer = self.loop.call_later(self._edge.header_seconds, self._head_is_late)

    def _head_is_late(self) -> None:
        self._head_timer = None
        if self.transport.is_closing():
            return
        if self._answering():
            self._expect_head()  # it is busy with our answer; the next request may wait
        elif self._begun:
            self._refuse(_LATE)
        else:
            self.transport.close()

    def _refuse(self, error: PalaverError) -> None:
        """Answers what never became a request, and ends the connection."""
        self._stop_timers()
        if self.transport.is_closing():
            return
        if self._answering():
            self.transport.close()  # in the middle of another answer there is no place for this one
            return
        body = dump(problems.document(error))
        head = (
            f"HTTP/1.1 {error.status} {HTTPStatus(error.status).phrase}\r\n"
            "content-type: application/problem+json\r\nx-content-type-options: nosniff\r\n"
            f"connection: close\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self._linger()

    def _hang_up(self) -> None:
        if self._answering() and self.cycle.more_body:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
            self.transport.close()

    def _answering(self) -> bool:
        cycle = cast("RequestResponseCycle | None", self.cycle)  # None before the first request
        return cycle is not None and not cycle.response_complete

    def _linger(self) -> None:
        """Sends no more, and throws away for a moment what still comes in, so that our last words arrive."""
        self._over = True
        self._unset_keepalive_if_required()
        self.flow.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.loop.call_later(LINGER_SECONDS, self.transport.abort)

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _stop_timers(self) -> None:
        super()._stop_timers()
        self._stop_head_timer()


class WebSocketConnection(_Bounded, WebSocketsSansIOProtocol):
    """One WebSocket connection."""

    # An object with more than 30 attributes gets a dictionary of its own, of 2 KiB: most of uvicorn's stand here too.
    __slots__ = (
        *("_byte_allowance", "_early_bytes", "_frame_allowance", "_intake", "_late_ms", "_over"),
        *("_refused", "_slow_timer", "_unsent_bytes", "app", "app_state"),
        *("asgi_version", "client", "close_sent", "close_timeout", "close_timer", "config", "conn"),
        *("connections", "curr_msg_data_type", "default_headers", "disconnected", "frames"),
        *("handshake_complete", "handshake_initiated", "initial_response", "last_ping_rtt"),
        *("logger", "loop", "pending_ping_payload", "ping_interval", "ping_sent_at"),
        *("ping_timeout", "ping_timer", "pong_timer", "queue", "read_paused", "request"),
        *("response", "root_path", "scheme", "scope", "server", "tasks", "transport", "writable"),
    )

    def __init__(
        self,
        config: EdgeConfig,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.queue = cast("asyncio.Queue[Any]", Mailbox[Any]())
        self.close_timeout = LINGER_SECONDS
        self._over = False
        self._frame_allowance = Allowance(self._edge.frames_per_second, self.loop.time())
        self._byte_allowance: Allowance | None = None  # before it is known whose connection this is
        self._early_bytes = 0
        self._late_ms = 0
        self._refused = 0

    async def receive(self) -> ASGIReceiveEvent:
        """ASGI. What follows a message is parsed when the next one is asked for."""
        if self.queue.empty():
            self._intake.resume_reading()
        return await self.queue.get()

    def _parse(self, data: bytes) -> None:
        if self._over:
            return
        in_head = not self.handshake_initiated
        self.conn.receive_data(data)
        unread = self.conn.handshake_exc is not None and not self.handshake_initiated
        if self.conn.parser_exc is not None or unread:
            self.handle_parser_exception()
            return
        self.handle_events()
        if not in_head:
            self._take_bytes(len(data))

    def _take_bytes(self, size: int) -> None:
        if self._byte_allowance is not None:
            self._byte_allowance.take(size)
            seconds = self._byte_allowance.wait_seconds(self.loop.time())
            if seconds:
                self._intake.wait(seconds)
            return
        self._early_bytes += size
        if self._early_bytes > self._edge.hello_bytes_max and self.queue.empty():
            if cast("Mailbox[Any]", self.queue).awaited:
                self._fail(1009, "too large for a first message")
            else:
                self._intake.pause_reading()

    def _take_frame(self, frame: Frame) -> None:
        """Counts a frame. One too many ends the connection, unless it is a message: the application answers those."""
        seconds = self._frame_allowance.wait_seconds(self.loop.time())
        self._late_ms = math.ceil(seconds * 1000)
        if not (seconds or self.close_sent):
            self._frame_allowance.take(1)
            self._refused = max(0, self._refused - 1)
            return
        self._refused += 1
        answered = frame.fin and frame.opcode not in CTRL_OPCODES and not self.close_sent
        if self._refused > self._edge.frames_per_second and not answered:
            self._fail(TOO_MANY, "too many frames")

    def handle_events(self) -> None:
        """See uvicorn. Each frame is counted before anything is made of it."""
        for event in self.conn.events_received():
            if isinstance(event, Frame):
                self._take_frame(event)
            if self._over:
                return
            self.conn.events = [event]
            super().handle_events()

    def send_receive_event_to_app(self) -> None:
        """See uvicorn. Nothing more is parsed until the application asks for more."""
        data, self.frames = b"".join(self.frames), []
        if self.close_sent:
            return
        message: dict[str, Any] = {"type": "websocket.receive", LATE_MS: self._late_ms}
        message[REFUSED] = self._refused
        try:
            message[self.curr_msg_data_type] = (
                data.decode() if self.curr_msg_data_type == "text" else data
            )
        except UnicodeDecodeError:
            self._fail(1007, "not UTF-8")
            return
        self.queue.put_nowait(cast("ASGIReceiveEvent", message))
        self._intake.pause_reading()

    def handle_cont(self, event: Frame) -> None:
        if len(self.frames) >= FRAGMENTS_MAX:
            self._fail(1009, "too many fragments")
        else:
            super().handle_cont(event)

    def handle_ping(self) -> None:
        """See uvicorn. Who takes no answers gets none."""
        if self.writable.is_set():
            super().handle_ping()
        else:
            self.conn.data_to_send()

    def handle_parser_exception(self) -> None:
        """See uvicorn. Breaking the protocol ends the connection; the client is to see why."""
        if not self._over:
            self._over = True
            self._end()

    def shutdown(self) -> None:
        """See uvicorn. Who serves it has a moment to say good-bye in the words of its own protocol."""
        self.loop.call_later(LINGER_SECONDS, self._hang_up)

    def _hang_up(self) -> None:
        try:
            super().shutdown()
        except InvalidState:  # it is being closed already
            self.transport.close()

    async def send(self, message: ASGISendEvent) -> None:
        """ASGI, and `FRAMES`. Waits while the peer is behind. Raises `ClientDisconnected` when it is gone."""
        if not self.writable.is_set():
            await self.writable.wait()
        if self.disconnected or self._over:
            raise ClientDisconnected
        if KNOWN in message and self._byte_allowance is None:
            self._byte_allowance = Allowance(self._edge.bytes_per_second, self.loop.time())
        if cast("str", message["type"]) == FRAMES:
            await self._write(cast("dict[str, Any]", message)["frames"])
        elif message["type"] == "websocket.close" and self.handshake_complete:
            if self.conn.state is State.OPEN:
                self.conn.send_close(message.get("code", 1000), message.get("reason") or "")
                self._end()
        elif message["type"] == "websocket.accept":
            told = cast("dict[str, Any]", message)
            self.conn.max_message_size = told.get(BYTES_MAX, self.conn.max_message_size)
            self.ping_interval, self.ping_timeout = told.get(PINGS), None
            await super().send(message)
            self.request.headers.clear()  # websockets would keep both heads to the end
            self.response.headers.clear()
        else:
            await super().send(message)

    async def _write(self, payloads: Sequence[bytes]) -> None:
        """Writes frames in pieces of `PIECE_BYTES`, or of one frame that is larger, as the peer takes them."""
        start = size = 0
        for end, payload in enumerate(payloads, start=1):
            size += len(payload)
            if size >= PIECE_BYTES or end == len(payloads):
                if not self.writable.is_set():
                    await self.writable.wait()
                if self.close_sent or self._over or self.conn.state is not State.OPEN:
                    raise ClientDisconnected
                self.transport.write(_framed(payloads[start:end]))
                start, size = end, 0

    def _too_slow(self) -> None:
        if self.handshake_complete and self.conn.state is State.OPEN:
            self._fail(TOO_SLOW, "too slow, resume")
            self.writable.set()
        else:
            super()._too_slow()

    def _fail(self, code: int, reason: str) -> None:
        if not self._over:
            self.conn.fail(code, reason)
            self.handle_parser_exception()

    def _end(self) -> None:
        """Writes our close frame: the peer has a moment to answer it, then the connection is cut."""
        close = self.conn.close_sent
        if close is None:  # it broke the handshake
            self.transport.write(b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n")
        else:
            self.queue.put_nowait(
                {"type": "websocket.disconnect", "code": close.code, "reason": close.reason}
            )
            self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        self._intake.resume_reading()
        if self.close_timer is None:
            self.close_timer = self.loop.call_later(self.close_timeout, self.transport.abort)


def _framed(payloads: Sequence[bytes]) -> bytes:
    """Text frames as they go over the wire: a server's are neither masked nor, here, split."""
    parts: list[bytes] = []
    for payload in payloads:
        size = len(payload)
        if size < 126:  # noqa: PLR2004  RFC 6455, 5.2
            parts.append(_SHORT[size])
        elif size < 65_536:  # noqa: PLR2004
            parts.append(struct.pack("!BBH", 0x81, 126, size))
        else:
            parts.append(struct.pack("!BBQ", 0x81, 127, size))
        parts.append(payload)
    return b"".join(parts)


def allow_files(connections: int) -> None:
    """Lets this process have so many connections open, beside its own files, as far as the system permits.

    Most systems begin with 1,024 files for each process, and let it take more by itself.
    """
    try:
        import resource  # noqa: PLC0415  not there on Windows
    except ImportError:
        return
    wanted = connections + CROWD_MAX + FILES_BESIDE
    now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most != resource.RLIM_INFINITY:
        wanted = min(wanted, most)
    if now != resource.RLIM_INFINITY and now < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))
