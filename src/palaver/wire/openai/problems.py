"""Errors as the OpenAI API tells them: `{"error": {"message", "type", "param", "code"}}`, all four always there.

Whatever goes wrong below `/v1` is told like this, also what a route or the edge refuses; nothing here answers 422. What
a model server says of an error goes on as it came; where that is not of this shape, it is put into it. Like everywhere,
nobody learns of a traceback, a query or a key: what nobody expected is logged, and told as a 500.

Errors and answers alike are kept from being pages: a model server, which is not trusted, wrote much of them. No answer
runs anything in this server's name, whatever its type (`content-security-policy`). All but JSON, streams of events,
sound and pictures is offered as a file. A browser that wants to show an answer or run it, or asks for a page of another
site without that site's name, is refused before anybody is asked.
"""

import re
from collections.abc import Callable, Iterable
from http import HTTPStatus

import orjson
import structlog
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from palaver.core.answers.tape import Call
from palaver.errors import Code, PalaverError, ProviderError, Refused, Untellable
from palaver.strict_json import Json, as_object, dump, parsed
from palaver.wire.openai.fields import Invalid
from palaver.wire.problems import INTERNAL

PREFIX = "/v1/"
TEXT_CHARS_MAX = 2_000

_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
_CODES = {
    Code.UNAUTHENTICATED: "invalid_api_key",
    Code.BUDGET_REACHED: "insufficient_quota",
}
_STATUS = {
    Code.PROVIDER_TIMEOUT: 504,
    Code.PROVIDER_RATE_LIMITED: 429,
    Code.BUDGET_REACHED: 429,
}

GUARD = {
    "content-security-policy": "sandbox; default-src 'none'",
    "x-content-type-options": "nosniff",
}
_RAW_GUARD = {name.encode(): value.encode() for name, value in GUARD.items()}
_SHOWN = re.compile(
    r"(application/([\w.-]+\+)?json|text/event-stream|audio/[\w.+-]+|image/(?!svg)[\w.+-]+)\s*(;[^,]*)?",
    re.IGNORECASE,
)
_DATA = frozenset({"empty", "audio", "image", "track", "video"})
"""What browsers may want an answer for (`Sec-Fetch-Dest`)."""
_OWN = frozenset({"none", "same-origin"})
_RawHeaders = Iterable[tuple[bytes, bytes]]

log = structlog.stdlib.get_logger()


class ServerRefused(ProviderError):
    """A model server refused a request of another kind than for an answer. `body` is all that it told."""

    def __init__(self, call: Call, body: bytes) -> None:
        super().__init__(Code.PROVIDER_REFUSED, "The model server refused the request.")
        self.call, self.body = call, body


def status_of(error: PalaverError) -> int:
    """The status of an error. A model server that failed is a bad gateway, not a bad request."""
    if isinstance(error, Untellable):
        return HTTPStatus.BAD_REQUEST
    if isinstance(error, ProviderError):
        return _STATUS.get(error.code, 502)
    return error.status


def document(error: PalaverError) -> Json:
    """Builds the body that tells an error."""
    param = reason = None
    if isinstance(error, Invalid):
        param, reason = error.param, error.reason
    return told(status_of(error), error.detail, reason or _CODES.get(error.code, error.code), param)


def told(status: int, message: str, code: str | None = None, param: str | None = None) -> Json:
    """Builds an error in OpenAI's shape."""
    kind = "server_error" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "invalid_request_error"
    kind = code if code == _CODES[Code.BUDGET_REACHED] else _TYPES.get(status, kind)
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def response(error: PalaverError, headers: dict[str, str] | None = None) -> Response:
    """Builds the answer that tells an error, and whether and when to ask again."""
    if isinstance(error, ServerRefused):
        return refusal(error.call, error.body)
    headers = {**(headers or {}), **GUARD}
    if error.retry_ms is not None:
        headers["retry-after"] = str(-(-error.retry_ms // 1000))
        headers["retry-after-ms"] = str(error.retry_ms)
    if (isinstance(error, ProviderError) and not error.temporary) or error.code in _CODES:
        headers["x-should-retry"] = "false"
    status = status_of(error)
    if status == HTTPStatus.UNAUTHORIZED:
        headers["www-authenticate"] = "Bearer"
    if status == HTTPStatus.UPGRADE_REQUIRED:
        headers["upgrade"] = "websocket, HTTP/1.1"
    return Response(dump(document(error)), status, headers=headers, media_type="application/json")


def event(error: PalaverError) -> bytes:
    """Builds the event that tells an error within a stream."""
    return b"data: %s\n\n" % dump(document(error))


def wrapped(status: int, body: bytes) -> bytes:
    """Puts a model server's error into OpenAI's shape where it is of another."""
    if "error" in as_object(parsed(body)):
        return body
    text = body.decode(errors="replace").strip()[:TEXT_CHARS_MAX]
    if not text or text.startswith("<"):
        text = f"The model server answered with status {status}."
    return orjson.dumps(told(status, text))


def refusal(call: Call, body: bytes) -> Response:
    """Passes a model server's refusal on, in OpenAI's shape; a redirection is a bad gateway."""
    status = call.status if call.status >= HTTPStatus.BAD_REQUEST else HTTPStatus.BAD_GATEWAY
    answer = Response(wrapped(call.status, body), status)
    answer.headers.update({**dict(call.headers), "content-type": "application/json"})
    return answer


class Told:
    """The edge of `/v1`: tells every error in the shape that `tell` gives it, and guards all that is told."""

    def __init__(
        self, app: ASGIApp, tell: Callable[[PalaverError, dict[str, str], Scope], Response]
    ) -> None:
        self.app = app
        self._tell = tell

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        begun = False

        async def noted(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(guarded(message))

        try:
            if scope["type"] == "http":
                check(Headers(scope=scope))
            await self.app(scope, receive, noted)
        except ClientDisconnect:
            raise
        except Exception as error:
            if begun:
                raise
            await self._tell(_known(error, scope), {}, scope)(scope, receive, noted)


def check(headers: Headers) -> None:
    """Refuses what a browser asks in order to show it or run it (`forbidden`)."""
    mode, site = headers.get("sec-fetch-mode"), headers.get("sec-fetch-site", "none")
    shown = headers.get("sec-fetch-dest", "empty") not in _DATA
    shown = shown or mode == "navigate" or "service-worker" in headers
    if shown or (mode == "no-cors" and site not in _OWN):
        raise Refused(Code.FORBIDDEN, "This address is for programs. A browser cannot open it.")


def guarded(message: Message) -> Message:
    """Adds these headers to the message that begins an answer."""
    if message["type"] != "http.response.start":
        return message
    given: _RawHeaders = message["headers"]
    headers = [header for header in given if header[0] not in _RAW_GUARD]
    kind, disposition = _value(headers, b"content-type"), _value(headers, b"content-disposition")
    if not _SHOWN.fullmatch(kind) and disposition.partition(";")[0].strip() != "attachment":
        headers = [header for header in headers if header[0] != b"content-disposition"]
        headers.append((b"content-disposition", b"attachment"))
    return {**message, "headers": [*headers, *_RAW_GUARD.items()]}


def _value(headers: _RawHeaders, wanted: bytes) -> str:
    """All values of a header, as a browser joins them."""
    return ", ".join(value.decode("latin-1") for name, value in headers if name == wanted)


def _known(error: Exception, scope: Scope) -> PalaverError:
    if isinstance(error, HTTPException):
        if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            return Refused(Code.METHOD_NOT_ALLOWED, "This address does not know that method.")
        if error.status_code == HTTPStatus.NOT_FOUND:
            return Refused(Code.NOT_FOUND, "There is nothing at this address.")
        return Refused(Code.BAD_REQUEST, str(error.detail))
    known = error if isinstance(error, PalaverError) else INTERNAL
    if known.code is Code.INTERNAL:
        log.error("request.failed", path=scope.get("path"), exc_info=error)
    return known
