"""Logging of a server process: text on a terminal, JSON lines elsewhere, and an access log without secrets.

Rules: control characters in what is logged are escaped, so that nobody's text can command the operator's terminal. A
line of the access log holds the path but no query string, no header and no token.
"""

import asyncio
import logging
import re
import sys

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.typing import EventDict, Processor, WrappedLogger

from palaver.settings import Settings

FAILED_FROM = 400
ERRORS_FROM = 500
SLOW_SECONDS = 1.0
"""An answer that begins later is worth a line of the log."""
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_ANY_CONTROL = re.compile(r"[\n\t]|" + _CONTROL.pattern)

access_log = structlog.stdlib.get_logger("palaver.access")


def configure(settings: Settings) -> None:
    """Sets up logging for the whole process. Called once, by the command that is the process."""
    format_ = settings.log_format
    text = format_ == "text" or (format_ == "auto" and sys.stderr.isatty())
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last: list[Processor] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    last += [structlog.processors.format_exc_info, escaped]
    if text:
        last.append(structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()))
    else:
        last.append(structlog.processors.JSONRenderer(ensure_ascii=True))
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=last)
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level.upper())
    noisy_ones = ("uvicorn.error", "websockets", "httpx2", "httpcore2", "asyncio", "alembic", "mcp")
    for noisy in noisy_ones:
        logging.getLogger(noisy).setLevel(logging.WARNING)  # uvicorn's has query strings below that
    logging.getLogger("uvicorn.error").addFilter(_is_news)


def escaped(logger: WrappedLogger, name: str, event: EventDict) -> EventDict:  # noqa: ARG001  structlog's signature
    """Writes control characters as what Python would write for them; a traceback keeps its lines."""
    for key, value in event.items():
        if isinstance(value, str):
            pattern = _CONTROL if key == "exception" else _ANY_CONTROL
            event[key] = pattern.sub(_escape, value)
    return event


def _is_news(record: logging.LogRecord) -> bool:
    """Not what we do on purpose: a stream that broke must not end cleanly, and a stop cuts what does not end."""
    cut = record.exc_info is not None and record.exc_info[0] is asyncio.CancelledError
    return not cut and record.msg != "ASGI callable returned without completing response."


def _escape(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode()


class AccessLog:
    """One line for each request and each live connection, when it is over: at `debug`, but for failed and slow ones."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] not in {"http", "websocket"}:
            await self.app(scope, receive, send)
            return
        loop = asyncio.get_running_loop()
        began = loop.time()
        status = 0
        slow = False

        async def noted(message: Message) -> None:
            nonlocal status, slow
            if message["type"] == "http.response.start":
                status = message["status"]
                slow = loop.time() - began > SLOW_SECONDS
            await send(message)

        try:  # a live connection sends too much to be looked at
            await self.app(scope, receive, noted if scope["type"] == "http" else send)
        finally:
            client = scope.get("client")
            level = logging.INFO if slow or status >= FAILED_FROM else logging.DEBUG
            access_log.log(
                logging.ERROR if status >= ERRORS_FROM else level,
                "request" if scope["type"] == "http" else "connection",
                method=scope.get("method", "WS"),
                path=scope["path"],
                status=status or None,
                client=client[0] if client else None,
                ms=round((loop.time() - began) * 1000, 1),
            )
