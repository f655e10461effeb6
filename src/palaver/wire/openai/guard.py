"""What keeps the answers below `/v1` from being pages: much of it was written by a model server, which is not trusted.

Rules: no answer runs anything in this server's name, whatever its type (`content-security-policy`). All but JSON,
streams of events, sound and pictures is offered as a file. A browser that wants to show an answer or run it, or asks
for a page of another site without that site's name, is refused before anybody is asked.
"""

import re
from collections.abc import Iterable

from starlette.datastructures import Headers
from starlette.types import Message

from palaver.errors import Code, Refused

GUARD = {
    "content-security-policy": "sandbox; default-src 'none'",
    "x-content-type-options": "nosniff",
}
_RAW_GUARD = [(name.encode(), value.encode()) for name, value in GUARD.items()]
_SHOWN = re.compile(
    r"(application/([\w.-]+\+)?json|text/event-stream|audio/[\w.+-]+|image/(?!svg)[\w.+-]+)\s*(;[^,]*)?",
    re.IGNORECASE,
)
_DATA = frozenset({"empty", "audio", "image", "track", "video"})
"""What browsers may want an answer for (`Sec-Fetch-Dest`)."""
_OWN = frozenset({"none", "same-origin"})

RawHeaders = Iterable[tuple[bytes, bytes]]


def check(headers: Headers) -> None:
    """Refused: `forbidden`, what a browser asks in order to show it or run it."""
    shown = headers.get("sec-fetch-dest", "empty") not in _DATA
    shown = shown or headers.get("sec-fetch-mode") == "navigate" or "service-worker" in headers
    blind = headers.get("sec-fetch-mode") == "no-cors"
    if shown or (blind and headers.get("sec-fetch-site", "none") not in _OWN):
        raise Refused(Code.FORBIDDEN, "This address is for programs. A browser cannot open it.")


def guarded(message: Message) -> Message:
    """What ASGI's send is given, with these headers where it begins an answer."""
    if message["type"] != "http.response.start":
        return message
    given: RawHeaders = message["headers"]
    headers = [header for header in given if header[0] not in {name for name, _ in _RAW_GUARD}]
    kind, disposition = _value(headers, b"content-type"), _value(headers, b"content-disposition")
    if not _SHOWN.fullmatch(kind) and disposition.partition(";")[0].strip() != "attachment":
        headers = [header for header in headers if header[0] != b"content-disposition"]
        headers.append((b"content-disposition", b"attachment"))
    return {**message, "headers": headers + _RAW_GUARD}


def _value(headers: RawHeaders, wanted: bytes) -> str:
    """All values of a header, as a browser joins them."""
    return ", ".join(value.decode("latin-1") for name, value in headers if name == wanted)
