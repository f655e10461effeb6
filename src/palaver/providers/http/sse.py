"""Server-Sent Events out of bytes, as they come.

Rules: a `Framer` cuts the bytes into events without changing any: joined, its frames are what came. Lines end with LF,
CR or CRLF, which a chunk may split anywhere, as it may split a character. Memory is bounded: an event that grows beyond
the limit raises `EventTooLarge`. In a frame, comments, unknown fields and a byte order mark are passed over.

Unlike a browser, `close` gives an event that the end of the stream left without its empty line: several servers end so.
`id` and `retry` are not kept; nobody here resumes a provider's stream. Some servers leave the empty lines out: a line
of data that is whole JSON, with another behind it, is an event of its own. So is a line of JSON without a field.
"""

import re

from palaver.strict_json import parsed

EVENT_BYTES_MAX = 8 * 1024 * 1024
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class EventTooLarge(Exception):
    """One event is larger than the limit. The stream cannot be read any further."""


_CUT = re.compile(
    rb"\r\n(?:\r\n?|\n)|\n(?:\r\n?|\n)|\r(?:\r\n?)|(?P<next>(?:\r\n|\n|\r(?!\n)))(?=data:)"
)
_LOOKED_AGAIN = len(b"\r\ndata:") - 1
_FIELD_BYTES = len(b"event :")
_STREAM = re.compile(rb":|(?:data|event|id|retry)\s*:", re.IGNORECASE)
SNIFFED_BYTES_MAX = 64 * 1024
"""A body that has not said what it is until then is what its label says."""


def is_stream(begin: bytes) -> bool | None:
    """Whether a body that begins so is a stream of events; None while that cannot be said."""
    begin = begin.removeprefix(BYTE_ORDER_MARK).lstrip()
    if _STREAM.match(begin):
        return True
    short = begin[:1].isalpha() and len(begin) < _FIELD_BYTES
    return None if short or BYTE_ORDER_MARK.startswith(begin) else False


def frame(data: bytes) -> bytes:
    """The bytes of an event with this one line of data."""
    return b"data: " + data + b"\n\n"


def data_in(frame: bytes) -> tuple[bytes, str]:
    """The data and the type of the event that a frame is; no data for a comment."""
    if frame.startswith(b"data:") and frame.find(b"\n") == len(frame) - 2:
        return frame[5:].strip(), "message"
    lines: list[bytes] = []
    kind = b""
    said = frame.lstrip(b"\r\n").removeprefix(BYTE_ORDER_MARK)
    if said.startswith((b"{", b"[")):
        return said.strip(), "message"
    for line in said.splitlines():
        field, _, value = line.partition(b":")
        field, value = field.strip().lower(), value.removeprefix(b" ")
        if field == b"data":
            lines.append(value)
        elif field == b"event":
            kind = value
    return b"\n".join(lines).strip(), kind.decode(errors="replace").strip() or "message"


class Framer:
    """Cuts the bytes of a stream behind each empty line. Feed it the bytes in order."""

    def __init__(self, *, event_bytes_max: int = EVENT_BYTES_MAX) -> None:
        self._bytes_max = event_bytes_max
        self._rest = bytearray()
        self._joins = False

    def feed(self, chunk: bytes) -> list[bytes]:
        """The frames that this chunk completes. Raises `EventTooLarge`."""
        whole = chunk.find(b"\n\n") == len(chunk) - 2 >= 0 and b"\r" not in chunk
        if whole and not self._rest:  # as nearly all of them are
            return [chunk]
        looked = max(len(self._rest) - _LOOKED_AGAIN, 0)
        self._rest += chunk
        frames: list[bytes] = []
        start = 0
        for end in _CUT.finditer(self._rest, looked):
            if end["next"] is not None and (self._joins or not self._is_event(start, end.end())):
                self._joins = True  # its data has several lines, up to the next empty one
                continue
            frames.append(bytes(self._rest[start : end.end()]))
            start, self._joins = end.end(), False
        del self._rest[:start]
        if len(self._rest) > self._bytes_max:
            raise EventTooLarge
        return frames

    def _is_event(self, start: int, end: int) -> bool:
        """Whether the lines so far are a whole event, although no empty one follows."""
        data, _ = data_in(bytes(self._rest[start:end]))
        return data == b"[DONE]" or isinstance(parsed(data), dict)

    def close(self) -> bytes:
        """What the end of the stream left without its empty line."""
        rest = bytes(self._rest)
        self._rest.clear()
        return rest
