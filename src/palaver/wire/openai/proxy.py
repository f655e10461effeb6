"""Every other address below `/v1` goes to the model server as it is: embeddings, audio, images, files and more.

The bytes pass in both directions as they come, and nothing is stored. What is kept here (chat, responses,
conversations, models) is never looked for there, and the administration of the operator's account is out of reach. The
client's key and its cookies go no further than this server.

What is judged is what is sent on: the address is taken apart into decoded segments, and put together of the same ones.
A segment that two servers might read differently is refused, whatever it may mean; so are headers that change what a
request asks for.
"""

import asyncio
import re
import unicodedata
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from http import HTTPStatus
from urllib.parse import quote, unquote_to_bytes

from msgspec import Struct
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response

from palaver.core.answers.tape import Call, Chunk
from palaver.core.runtime import Core
from palaver.errors import Code, ProviderError, Refused
from palaver.model import Actor, Scope
from palaver.policy import ServerAct
from palaver.wire.calls import call
from palaver.wire.edge.rates import Use
from palaver.wire.openai.auth import READING
from palaver.wire.openai.problems import ServerRefused
from palaver.wire.streams import Attended, Broken, event_headers, stream

OURS = frozenset({"chat", "conversations", "models", "responses"})
ACCOUNT = frozenset(
    {
        *("account", "activity", "admin", "auth", "billing", "credits", "dashboard", "key", "keys"),
        *("organization", "organizations", "projects", "usage", "user", "users"),
        *("budget", "config", "credentials", "customer", "global", "permissions", "spend", "sso"),
        *("team", "api", "model", "load_lora_adapter", "unload_lora_adapter", "shutdown"),
    }
)
"""What model servers call the administration of the operator's account, and of themselves."""
TALKING = frozenset(
    {
        *("assistants", "batches", "complete", "completion", "completions", "generate", "infill"),
        *("inference", "invocations", "messages", "realtime", "runs", "threads"),
    }
)
"""What model servers call other ways to make a model talk: they are for keys that may chat."""
WHOLE_BYTES_MAX = 8 * 1024 * 1024
WHOLE_SECONDS = 60.0
"""An answer that is read whole (a refusal, a list of models) is no larger, and takes no longer."""
KEPT_BYTES_MAX = 1_048_576
"""A request that is no larger is read first, so that it can be sent again while nothing was received."""

_PASSED = (
    *("accept", "accept-language", "anthropic-beta", "anthropic-version", "content-type"),
    *("content-encoding", "idempotency-key"),
    *("openai-beta", "prefer", "range", "traceparent", "tracestate", "user-agent"),
)
_KEPT_BACK = (
    *("x-palaver-", "x-forwarded", "x-real-ip", "x-api-key", "x-stainless-", "x-auth", "x-host"),
    *("x-http-", "x-method", "x-original-", "x-rewrite-"),  # these change what is asked for
)
_NAME = re.compile(r"[A-Za-z0-9_-]+")
_AMBIGUOUS = re.compile(r"|[. ].*|.*[. ]|.*[\x00-\x1f\x7f-\x9f/\\;?#%].*", re.DOTALL)
"""A segment that says where to go, ends early, or can be decoded again."""
_SEGMENT_SAFE = "!$&'()*+,:=@"
_QUERY_SAFE = _SEGMENT_SAFE + '%/?;[]{}|^`"<>\\'


def scope_of(request: HTTPConnection) -> Scope:
    """Says which scope an address needs. Refused: `not_found`, what is ours alone."""
    names = {segment.lower() for segment in _segments(request.scope["raw_path"])}
    return Scope.CHAT if names & TALKING else Scope.EMBEDDINGS


class Passthrough(Struct, frozen=True):
    """The calls that nobody else answers."""

    core: Core

    @call("GET", "/{path:path}", ServerAct.MODELS, scope=scope_of)
    @call(
        "POST PUT PATCH DELETE", "/{path:path}", ServerAct.MODELS, scope=scope_of, use=Use.MESSAGES
    )
    async def forward(self, me: Actor, request: Request) -> Response:
        """Passes one request there and its answer back."""
        return await forwarded(self.core, me, request, _segments(request.scope["raw_path"]))


async def forwarded(core: Core, me: Actor, request: Request, segments: Iterable[str]) -> Response:
    """Passes a request on to the address of these segments, and its answer back."""
    path = "".join(f"/{quote(segment, _SEGMENT_SAFE)}" for segment in segments)
    if query := request.scope["query_string"]:
        path += f"?{quote(query, _QUERY_SAFE)}"
    headers = passed_on(request.headers.items())
    body = None if request.method in READING else await _body(request, headers)
    return await answered(await core.models.of(me).call(request.method, path, body, headers))


def segments_of_model(request: Request) -> list[str]:
    """Takes the address of one model apart, whose name may have slashes. Refused: `not_found`."""
    segments = [_decoded(raw) for raw in request.scope["raw_path"].split(b"/")[2:]]
    if {segment.lower() for segment in segments[1:]} & (OURS | ACCOUNT):
        raise _nothing()
    return segments


def passed_on(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Picks the headers that are about the request, and not about its client or the connection."""
    return {
        name: value
        for name, value in headers
        if (name in _PASSED or (name.startswith("x-") and not name.startswith(_KEPT_BACK)))
        and value.isascii()
    }


async def answered(call: Call) -> Response:
    """Passes a call's answer on as it comes. Raises `ServerRefused`."""
    if call.status >= HTTPStatus.MULTIPLE_CHOICES:
        raise ServerRefused(call, await whole(call))
    headers = event_headers(call.headers) if call.streams else call.headers
    return Attended(lambda send: stream(send, _parts(call), headers, status=call.status))


async def whole(call: Call) -> bytes:
    """Reads all of a call's answer. Raises `ProviderError` where it is too large, or takes too long."""
    found = bytearray()
    try:
        async with asyncio.timeout(WHOLE_SECONDS), aclosing(call.told()) as telling:
            async for told in telling:
                found += told.raw
                if len(found) > WHOLE_BYTES_MAX:
                    words = "The model server sent more than 8 MiB at once, which is not read."
                    raise ProviderError(Code.PROVIDER_BAD_REPLY, words)
    except TimeoutError:
        words = "The model server took too long. Try again."
        raise ProviderError(Code.PROVIDER_TIMEOUT, words) from None
    finally:
        await call.close()
    return bytes(found)


async def joined(telling: AsyncGenerator[Chunk, None]) -> bytes:
    """Concatenates the body."""
    async with aclosing(telling):
        return b"".join([told.raw async for told in telling])


async def _parts(call: Call) -> AsyncGenerator[bytes, None]:
    try:
        async with aclosing(call.told()) as telling:
            async for told in telling:
                yield told.raw
    finally:
        await call.close()
    if call.outcome.error is not None:
        raise Broken


async def _body(
    request: Request, headers: dict[str, str]
) -> bytes | AsyncGenerator[bytes, None] | None:
    length = request.headers.get("content-length")
    if length is None and "transfer-encoding" not in request.headers:
        return None
    if length is None or int(length) > KEPT_BYTES_MAX:
        if length is not None:
            headers["content-length"] = length
        return _stream(request)
    return await request.body() or None


async def _stream(request: Request) -> AsyncGenerator[bytes, None]:
    async for chunk in request.stream():
        if chunk:
            yield chunk


def _segments(raw_path: bytes) -> list[str]:
    """Decodes the segments of an address below the version. Refused: `not_found`, what is ours alone."""
    _, *segments = map(_decoded, raw_path.split(b"/")[1:])
    names = {segment.lower() for segment in segments}  # of all: the base may end before its `/v1`
    if not segments or not _NAME.fullmatch(segments[0]) or names & (OURS | ACCOUNT):
        raise _nothing()
    return segments


def _decoded(raw: bytes) -> str:
    """Decodes a segment of an address. Refused: one that has more than one meaning."""
    try:
        segment = unquote_to_bytes(raw).decode()
    except UnicodeDecodeError:
        raise _nothing() from None
    if _AMBIGUOUS.fullmatch(segment) or not unicodedata.is_normalized("NFKC", segment):
        raise _nothing()
    return segment


def _nothing() -> Refused:
    return Refused(Code.NOT_FOUND, "There is nothing at this address.")
