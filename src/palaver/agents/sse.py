"""Server-Sent Events out of bytes, as they come.

Rules: lines end with LF, CR or CRLF, which a chunk may split anywhere, as it may split a character; a line is decoded
when it is whole, and what is not UTF-8 becomes U+FFFD. Comments, unknown fields and a byte order mark are passed over,
and one space after the colon is no part of the value. Memory is bounded: a line or an event that grows beyond the limit
raises `EventTooLarge` before it is kept.

A `Framer` cuts the same bytes into events without changing any: joined, its frames are what came.

Unlike a browser, `close` gives an event that the end of the stream left without its empty line: several servers end so.
`id` and `retry` are not kept; nobody here resumes a provider's stream.
"""

import re
from dataclasses import dataclass

EVENT_BYTES_MAX = 8 * 1024 * 1024
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class EventTooLarge(Exception):
    """One line or one event is larger than the limit. The stream cannot be read any further."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event: its data lines joined by LF, and its type, `message` where none was given."""

    data: str
    type: str = "message"


_EMPTY_LINE = re.compile(rb"\r\n(?:\r\n?|\n)|\n(?:\r\n?|\n)|\r(?:\r\n?)")


def frame(data: bytes) -> bytes:
    """The bytes of an event with this one line of data."""
    return b"data: " + data + b"\n\n"


def data_in(frame: bytes) -> tuple[bytes, str]:
    """The data and the type of the event that a frame is; no data for a comment."""
    if frame.startswith(b"data:") and frame.find(b"\n") == len(frame) - 2:
        return frame[5:].strip(), "message"
    parser = EventParser(event_bytes_max=len(frame) + 1)
    events = parser.feed(frame) + parser.close()
    return (events[0].data.strip().encode(), events[0].type) if events else (b"", "message")


class Framer:
    """Cuts the bytes of a stream behind each empty line. Feed it the bytes in order."""

    def __init__(self, *, event_bytes_max: int = EVENT_BYTES_MAX) -> None:
        self._bytes_max = event_bytes_max
        self._rest = bytearray()

    def feed(self, chunk: bytes) -> list[bytes]:
        """The frames that this chunk completes. Raises `EventTooLarge`."""
        if not self._rest and chunk.find(b"\n\n") == len(chunk) - 2 and b"\r" not in chunk:
            return [chunk]  # as nearly all of them are
        looked = max(len(self._rest) - 3, 0)
        self._rest += chunk
        frames: list[bytes] = []
        start = 0
        for end in _EMPTY_LINE.finditer(self._rest, looked):
            frames.append(bytes(self._rest[start : end.end()]))
            start = end.end()
        del self._rest[:start]
        if len(self._rest) > self._bytes_max:
            raise EventTooLarge
        return frames

    def close(self) -> bytes:
        """What the end of the stream left without its empty line."""
        rest = bytes(self._rest)
        self._rest.clear()
        return rest


class EventParser:
    """Feed it the bytes of one stream, in order."""

    def __init__(self, *, event_bytes_max: int = EVENT_BYTES_MAX) -> None:
        self._bytes_max = event_bytes_max
        self._line = bytearray()
        self._lines: list[str] = []
        self._type = ""
        self._event_bytes = 0
        self._first_line = True
        self._after_cr = False

    def feed(self, chunk: bytes) -> list[Event]:
        """The events that this chunk completes."""
        if self._after_cr and chunk:
            self._after_cr = False
            chunk = chunk.removeprefix(b"\n")
        events: list[Event] = []
        for piece in chunk.splitlines(keepends=True):
            if len(self._line) + len(piece) > self._bytes_max:
                raise EventTooLarge
            self._line += piece
            if piece.endswith((b"\n", b"\r")):
                self._end_line(events)
        self._after_cr = chunk.endswith(b"\r")
        return events

    def close(self) -> list[Event]:
        """The event that the end of the stream left open, if it holds anything."""
        events: list[Event] = []
        if self._line:
            self._end_line(events)
        self._end_event(events)
        return events

    def _end_line(self, events: list[Event]) -> None:
        raw = bytes(self._line).rstrip(b"\r\n")
        self._line.clear()
        if self._first_line:
            self._first_line = False
            raw = raw.removeprefix(BYTE_ORDER_MARK)
        if not raw:
            self._end_event(events)
            return
        field, _, value = raw.decode(errors="replace").partition(":")
        value = value.removeprefix(" ")
        if field == "data":
            self._event_bytes += len(raw)
            if self._event_bytes > self._bytes_max:
                raise EventTooLarge
            self._lines.append(value)
        elif field == "event":
            self._type = value

    def _end_event(self, events: list[Event]) -> None:
        if self._lines:
            events.append(Event("\n".join(self._lines), self._type or "message"))
        self._lines = []
        self._type = ""
        self._event_bytes = 0
