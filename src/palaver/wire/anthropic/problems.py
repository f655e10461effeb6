"""Errors as Anthropic's API tells them: `{"type": "error", "error": {"type", "message"}, "request_id"}`.

What is temporary and ours (the database is away, too much is under way, the server stops) is told as an
`overloaded_error`, 529, which clients take for "later"; everything else has the status that it has at the other doors.
What a model server says of an error goes on with its status and its words; where it is of another shape, it is put into
this one.
"""

from collections.abc import Iterable
from http import HTTPStatus

import orjson
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Scope

from palaver.core.answers.tape import Call
from palaver.errors import Code, PalaverError, Untellable
from palaver.strict_json import Json, as_object, dump, parsed
from palaver.wire.openai import problems as openai
from palaver.wire.openai.models import VERSION_HEADER

PATH = f"{openai.PREFIX}messages"
MODELS = f"{openai.PREFIX}models"
REQUEST_ID = "request-id"
OVERLOADED = 529
_TYPES = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    OVERLOADED: "overloaded_error",
}
_LATER = frozenset({HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.INSUFFICIENT_STORAGE})


def untellable(what: str) -> Untellable:
    """Builds the refusal of what stands in a request, for a model server that speaks chat completions."""
    words = f"{what} cannot be told to this model server, which speaks chat completions."
    return Untellable(Code.PROVIDER_REFUSED, words)


def status_of(error: PalaverError) -> int:
    """The status of an error."""
    status = openai.status_of(error)
    return OVERLOADED if status in _LATER else status


def told(status: int, message: str, request_id: str | None = None) -> Json:
    """Builds an error in this shape."""
    lasting = status < HTTPStatus.INTERNAL_SERVER_ERROR
    kind = _TYPES.get(status, "invalid_request_error" if lasting else "api_error")
    error = {"type": kind, "message": message}
    return {"type": "error", "error": error, "request_id": request_id}


def response(error: PalaverError, headers: dict[str, str] | None = None) -> Response:
    """Builds the answer that tells an error, and whether and when to ask again."""
    answer, status = openai.response(error, headers), status_of(error)
    body = dump(told(status, error.detail, answer.headers.get(REQUEST_ID)))
    kept = {name: one for name, one in answer.headers.items() if name != "content-length"}
    return Response(body, status, headers=kept)


def told_as(error: PalaverError, headers: dict[str, str], scope: Scope) -> Response:
    """Builds the answer to a request below `/v1` that tells an error, in the words of the API that it is of."""
    asked = Headers(scope=scope)
    listing = scope["path"].startswith(MODELS) and VERSION_HEADER in asked
    if not listing and not scope["path"].startswith(PATH):
        return openai.response(error, headers)
    app = scope.get("app")  # there is none while the database is awaited
    named = {} if app is None else {REQUEST_ID: f"req_{app.state.core.clock.new_id()}"}
    if isinstance(error, openai.ServerRefused):
        return refusal(error.call, error.body, named.items())
    return response(error, {**headers, **named})


def event(error: PalaverError) -> bytes:
    """Builds the event that tells an error within a stream."""
    return b"event: error\ndata: %s\n\n" % dump(told(status_of(error), error.detail))


def refusal(call: Call, body: bytes, headers: Iterable[tuple[str, str]]) -> Response:
    """Passes a model server's refusal on. A redirection is a bad gateway, and one that is busy is overloaded."""
    passed = {**dict(headers), **dict(call.headers), "content-type": "application/json"}
    status = call.status if call.status >= HTTPStatus.BAD_REQUEST else HTTPStatus.BAD_GATEWAY
    found = as_object(parsed(body))
    if found.get("type") != "error":
        status = OVERLOADED if status in _LATER else status
        error = as_object(as_object(parsed(openai.wrapped(call.status, body))).get("error"))
        words = error.get("message") or f"The model server answered with status {call.status}."
        body = orjson.dumps(told(status, str(words), passed.get(REQUEST_ID)))
    answer = Response(body, status)
    answer.headers.update(passed)
    return answer
