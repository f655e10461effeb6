"""Anthropic's Messages API, or a server that speaks it, as a provider.

Theory of operation. An answer is one streaming POST, see `http.client`; once it has begun, nothing is repeated. What a
model says it does not take (a setting, so many tokens) is left out, and not sent to it again. An answer that pauses for
a tool of the server's own goes on by itself, a few times. What OpenAI's clients ask is composed of the same pieces, see
`openai.compose`; a refusal is told to them with its own status. What a client asks in this API itself is passed on.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import partial
from typing import Any

import orjson
from msgspec.structs import replace
from pydantic import SecretStr

from palaver.clock import Clock
from palaver.errors import ProviderError
from palaver.model.profiles import ProfileKind
from palaver.providers.anthropic.events import PAUSED, MessageReader
from palaver.providers.anthropic.models import FAMILY, PAGES_MAX, PATH, models_of, page_of
from palaver.providers.anthropic.passthrough import MessageAssembly
from palaver.providers.anthropic.request import adapted, body_of, joined, noted
from palaver.providers.base import Model, Piece, RefusalPiece, Request, TextPiece, ToolPiece
from palaver.providers.call import JSON_TYPE, MESSAGES, Body, Call, CallRequest, CallResult
from palaver.providers.errors import CallInfo, ErrorBody, bad_reply, is_too_long
from palaver.providers.http.client import RETRY_SECONDS, HttpClient, Refusal, Saved, checked_key
from palaver.providers.http.route import checked_base
from palaver.providers.openai.compose import Answered, Composed, not_found, request_of
from palaver.providers.openai.passthrough import Forwarded, forwarded
from palaver.providers.profiles import Profile
from palaver.providers.redaction import redacted
from palaver.settings import Settings
from palaver.strict_json import as_object

NAME = "anthropic"
BASE_URL = "https://api.anthropic.com"
VERSION = "2023-06-01"
VARIABLES = "ANTHROPIC"
PAUSES_MAX = 8
ANSWER_BYTES_MAX = 64 * 1024 * 1024
"""An answer whose events are larger is cut."""
MODELS_KNOWN_MAX = 100

_NOT_FOUND = 404


class Anthropic:
    """A server at `base_url`, with or without the /v1 at its end."""

    name = NAME
    real = True

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        *,
        base_url: str = BASE_URL,
        key: SecretStr | None = None,
        saved: Saved | None = None,
        retry_seconds: float = RETRY_SECONDS,
    ) -> None:
        """Refused: `settings_invalid` for an address or a key that cannot be used."""
        base = checked_base(base_url, VARIABLES, BASE_URL)
        secret = checked_key(key, VARIABLES)
        self._settings = settings
        self._clock = clock
        self._default: str | None = None
        self._untaken: dict[str, frozenset[str]] = {}
        self._http = HttpClient(
            settings,
            clock,
            CallInfo(label="Anthropic", name=NAME, key=secret, variables=VARIABLES),
            base=base.copy_with(path=base.path.rstrip("/").removesuffix("/v1")),
            credentials={"x-api-key": secret} if secret else {},
            usual={"anthropic-version": VERSION},
            saved=saved,
            retry_seconds=retry_seconds,
        )
        self.close = self._http.close

    async def models(self) -> tuple[Model, ...]:
        """The models that can be asked, the default one first and marked."""
        wanted = self._settings.model
        ids: list[str] = []
        page = f"{PATH}?limit=1000"
        for _ in range(PAGES_MAX):
            body = await self._http.listing(page)
            found = None if body is None else page_of(body)
            if found is None:
                break
            ids += found[0]
            if found[1] is None:
                break
            page = found[1]
        models = models_of(ids, provider=NAME, wanted=None if wanted is None else _bare(wanted))
        self._default = models[0].id
        return models

    async def answer(self, request: Request) -> AsyncGenerator[Piece, None]:
        """Streams one answer. Raises `ProviderError`."""
        async with aclosing(self._pieces(noted(request))) as pieces:
            async for piece in pieces:
                match piece:
                    case RefusalPiece(text):
                        yield TextPiece(text)
                    case ToolPiece():
                        pass  # nobody in a room runs tools
                    case _:
                        yield piece

    async def forward(self, request: CallRequest) -> Call:
        """Answers a chat completion; any other call is refused. Raises `ProviderError`."""
        if not request.chat or not isinstance(request.body, bytes):
            return not_found()
        asked = as_object(orjson.loads(request.body))
        origin = self.origin(request_of(asked).model or "")
        pieces = self._pieces(request_of(asked, origin))
        try:
            return await Composed(NAME, pieces, asked, self._clock, origin).begun()
        except Refusal as refusal:
            if not refusal.told.status:
                raise
            return self._refused(refusal)

    async def message(self, request: CallRequest) -> Call:
        """See `SpeaksMessages`. Tried again only while nothing was received. Raises `ProviderError`."""
        patience = self._http.patience(whole=not request.stream)
        answer = None
        if request.path.partition("?")[0] == MESSAGES:
            reader = MessageReader(self._http.server, self.origin(request.model))
            answer = MessageAssembly(reader)
        asked = replace(request, path=f"/v1{request.path}", body=_named(request))
        return await forwarded(self._http, asked, patience, self.origin, answer)

    def origin(self, model: str) -> str:
        """See `Forwards`."""
        return self._http.origin(_bare(model))

    # what is asked

    async def _pieces(self, request: Request) -> AsyncGenerator[Piece, None]:
        """One answer, whole or in several messages. Raises `ProviderError`."""
        model = _bare(request.model or await self._default_model())
        asked, origin = self._http.asked(model, request), self._http.origin(model)
        try:
            body = body_of(request, model, origin=origin)
        except ProviderError as failure:
            raise Refusal(failure, ErrorBody(status=400, message=failure.detail)) from None
        for name in self._untaken.get(model, ()):
            body.pop(name, None)
        reader = MessageReader(asked, origin)
        for left in range(PAUSES_MAX, -1, -1):
            patience = self._http.patience()
            response, body = await self._http.opened(
                "/v1/messages", body, asked, patience, partial(self._adapted, model)
            )
            answer, size = MessageAssembly(reader), 0
            call = Forwarded(self._http, response, asked, patience, lambda: origin, answer=answer)
            try:
                await call.begin()
                async with aclosing(call.told()) as telling:
                    async for told in telling:
                        size += len(told.raw)
                        if size > ANSWER_BYTES_MAX:
                            raise bad_reply(asked, "sent more than 64 MiB, which is not read")
                        for piece in told.pieces:
                            yield piece
            finally:
                await call.close()
            if call.outcome.error is not None:
                raise call.outcome.error
            if reader.stop != PAUSED or not left:
                break
            messages = [{**one, "content": [*one["content"]]} for one in body["messages"]]
            joined(messages, "assistant", reader.content())
            body = body | {"messages": messages}
            reader.again()
        yield reader.done(model)

    async def _default_model(self) -> str:
        if self._default is None:
            self._default = self._settings.model or (await self.models())[0].id
        return self._default

    def _adapted(self, model: str, body: dict[str, Any], told: ErrorBody) -> dict[str, Any] | None:
        """The body without what the model does not take, which is remembered."""
        changed = adapted(body, told)
        if changed is None:
            if told.status == _NOT_FOUND:
                self._default = None
            return None
        if len(self._untaken) >= MODELS_KNOWN_MAX:
            self._untaken.clear()
        if untaken := body.keys() - changed.keys() - {"thinking"}:
            self._untaken[model] = self._untaken.get(model, frozenset()) | untaken
        return changed

    def _refused(self, refused: Refusal) -> Answered:
        """A refusal as OpenAI's clients know it."""
        told, retry_ms = refused.told, refused.retry_ms
        message = redacted(
            (told.message or refused.detail).encode(), self._http.server.key
        ).decode()
        code = "context_length_exceeded" if is_too_long(told) else None
        error = {"message": message, "type": told.code or "invalid_request_error"}
        headers = [("content-type", JSON_TYPE)]
        if retry_ms is not None:
            headers.append(("retry-after", str(-(-retry_ms // 1000))))
        return Answered(
            status=told.status,
            headers=tuple(headers),
            outcome=CallResult(error=refused, told=True),
            body=orjson.dumps({"error": {**error, "param": None, "code": code}}),
        )


def profile_of(settings: Settings, clock: Clock) -> Profile:
    """The connection that settings name. Refused: `settings_invalid`."""
    base_url = settings.anthropic_base_url or BASE_URL
    server = Anthropic(settings, clock, base_url=base_url, key=settings.anthropic_api_key)
    name = "environment_2" if settings.openai_base_url or settings.openai_api_key else "environment"
    return Profile(
        id=name,
        name=NAME,
        kind=ProfileKind.ANTHROPIC,
        provider=server,
        base_url=base_url,
        family=FAMILY,
    )


def _named(request: CallRequest) -> Body:
    """The body as it came; where the provider's name stands before the model's, without it."""
    bare = _bare(request.model)
    if bare == request.model or not isinstance(request.body, bytes):
        return request.body
    return orjson.dumps({**orjson.loads(request.body), "model": bare})


def _bare(model: str) -> str:
    """A model's name without the provider's before it."""
    return model.removeprefix(f"{NAME}/")
