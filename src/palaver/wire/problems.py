"""Errors as HTTP tells them: RFC 9457 problem documents with a stable `code`, whoever raised them.

Nothing of a traceback, a query or a secret reaches a client: what nobody expected becomes a 500 `internal`, and the
log has the rest.
"""

from http import HTTPStatus
from typing import Literal

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import with_config
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from typing_extensions import TypedDict

from palaver.errors import Code, PalaverError, Refused, Unavailable
from palaver.strict_json import dump

MEDIA_TYPE = "application/problem+json"
INTERNAL = Unavailable(Code.INTERNAL, "Something went wrong here. It is logged; try again later.")

_CODES = {
    400: Code.BAD_REQUEST,
    401: Code.UNAUTHENTICATED,
    403: Code.FORBIDDEN,
    404: Code.NOT_FOUND,
    405: Code.METHOD_NOT_ALLOWED,
    413: Code.PAYLOAD_TOO_LARGE,
    415: Code.UNSUPPORTED_MEDIA_TYPE,
}
_QUERY_CODES = {"limit": Code.LIMIT_INVALID, "cursor": Code.CURSOR_INVALID}

SCHEMA = {"$ref": "#/components/schemas/Problem"}
"""What the OpenAPI document says of a problem; every call may tell one, so that its shape is read once."""

log = structlog.stdlib.get_logger()


@with_config(use_attribute_docstrings=True)
class Problem(TypedDict):
    """An error (RFC 9457). `code` is stable."""

    type: Literal["about:blank"]
    title: str
    status: int
    detail: str
    code: str
    temporary: bool
    """Whether the same call may succeed later."""


def document(error: PalaverError) -> Problem:
    """The problem document of an error."""
    return {
        "type": "about:blank",
        "title": HTTPStatus(error.status).phrase.capitalize(),
        "status": error.status,
        "detail": error.detail,
        "code": error.code,
        "temporary": error.temporary,
    }


def response(error: PalaverError, headers: dict[str, str] | None = None) -> Response:
    """The answer that tells an error."""
    headers = dict(headers or {})
    if error.retry_ms is not None:
        headers["retry-after"] = str(-(-error.retry_ms // 1000))
    if error.status == HTTPStatus.UNAUTHORIZED:
        headers["www-authenticate"] = "Bearer"
    return Response(dump(document(error)), error.status, headers=headers, media_type=MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Makes problem documents of all that an app's routes may raise."""

    async def of_ours(request: Request, error: Exception) -> Response:
        assert isinstance(error, PalaverError), "registered for these only"
        if error.code is Code.INTERNAL:
            log.error("request.failed", path=request.url.path, exc_info=error)
        return response(error)

    async def of_framework(request: Request, error: Exception) -> Response:  # noqa: ARG001  the signature is Starlette's
        assert isinstance(error, HTTPException), "registered for these only"
        code = _CODES.get(error.status_code, Code.BAD_REQUEST)
        detail = f"{HTTPStatus(error.status_code).phrase.capitalize()}."
        if code is Code.NOT_FOUND:
            detail = "There is nothing at this address."
        return response(Refused(code, detail), dict(error.headers or {}))

    async def of_parameters(request: Request, error: Exception) -> Response:  # noqa: ARG001  as above
        assert isinstance(error, RequestValidationError), "registered for these only"
        first = error.errors()[0]
        name = str(first["loc"][-1])
        code = _QUERY_CODES.get(name, Code.BAD_REQUEST)
        why = str(first["msg"]).removeprefix("Value error, ")
        return response(Refused(code, f"The parameter '{name}': {why}."))

    app.add_exception_handler(PalaverError, of_ours)
    app.add_exception_handler(HTTPException, of_framework)
    app.add_exception_handler(RequestValidationError, of_parameters)


class Caught:
    """The edge of every request: what nobody caught is logged here and answered with a 500."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        begun = False

        async def noted(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        http = scope["type"] == "http"
        try:  # a live connection sends too much to be looked at
            await self.app(scope, receive, noted if http else send)
        except ClientDisconnect:
            return
        except PalaverError as error:
            if begun or not http:
                raise
            await response(error)(scope, receive, send)
        except Exception:
            log.exception("request.failed", path=scope.get("path"))
            if http and not begun:
                await response(INTERNAL)(scope, receive, send)
