"""REST bodies, numbers in queries, answers, and the routes that are made of declarations."""

import re
from collections.abc import Awaitable, Callable
from enum import StrEnum
from functools import wraps
from inspect import Parameter, Signature, signature
from typing import Annotated, Any, TypeVar, get_args

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError
from starlette.responses import Response

from palaver.core.runtime import Core
from palaver.errors import Code, Refused
from palaver.policy import ServerAct, check_key, check_room
from palaver.strict_json import dump, load
from palaver.wire import problems
from palaver.wire.auth import is_key, shown
from palaver.wire.calls import Call, calls_of, counting

KEPT = "private, max-age=31536000, immutable"
"""How long what never changes is kept by who asked for it."""
_DIGITS = re.compile(r"[0-9]{1,15}")


class Given(BaseModel):
    """What comes in: unknown fields are ignored, and no value is converted."""

    model_config = ConfigDict(strict=True, extra="ignore", use_attribute_docstrings=True)


S = TypeVar("S", bound=Given)


def whole_number(text: object) -> object:
    """A whole number as a query writes it: ASCII digits, not all that `int` takes."""
    if isinstance(text, str) and not _DIGITS.fullmatch(text):
        raise ValueError("must be a whole number in the digits 0 to 9")
    return text


def word_of(words: type[StrEnum]) -> BeforeValidator:
    """Reads a word as a body names it."""

    def read(word: object) -> object:
        if word is None or (isinstance(word, str) and word in set(words)):
            return word and words(word)
        raise ValueError(f"must be one of {', '.join(words)}")

    return BeforeValidator(read)


Whole = Annotated[int, BeforeValidator(whole_number)]
Limit = Annotated[Whole, Query(description="Rows at the most; more than 200 are 200.")]


def answer(value: Any, status: int = 200) -> Response:
    """A value as JSON."""
    return Response(dump(value), status, media_type="application/json")


def add_routes(
    router: APIRouter, part: object, prefix: str = "", *, documented: bool = False
) -> None:
    """Gives the calls of a part their addresses, behind `prefix`.

    A method returns the shape that it is annotated with, None for an empty answer, or a `Response` of its own. Its
    parameter of a shape that comes in is the body. `documented`: also what the OpenAPI document says of bodies and
    answers, which takes longer than all else of a start and is for no request.
    """
    for call, name in calls_of(type(part)):
        method = getattr(part, name)
        asked = signature(method)
        told = asked.return_annotation
        shape = next(
            (one for one in get_args(told) or (told,) if one not in {None, Response}), None
        )
        router.add_api_route(
            prefix + call.path,
            _answered(method, asked, call.status),
            methods=[call.method],
            status_code=call.status,
            response_model=None,
            response_class=Response,
            dependencies=[*keyed(call), *counting(call.use)],
            responses=_documented(shape, call) if documented else None,
            openapi_extra=_body_of(asked) if documented else None,
        )


def keyed(declared: Call) -> list[Any]:
    """FastAPI's dependencies that check, before a call, an API key by which it is made: scopes and rooms.

    Refused: `unauthenticated`, `account_disabled`, and as `policy.check_key` and `check_room` say.
    """

    async def checked(request: Request) -> None:
        if is_key(request):
            core: Core = request.app.state.core
            me = await core.keys.caller(shown(request) or "")
            reads = declared.method == "GET"
            check_key(me, declared.act, declared.own_scope, reads=reads)
            if (room := request.path_params.get("room")) is not None:
                check_room(me, room)

    return [] if declared.act is ServerAct.PUBLIC else [Depends(checked)]


def _answered(
    method: Callable[..., Awaitable[Any]], asked: Signature, status: int
) -> Callable[..., Awaitable[Response]]:
    @wraps(method)
    async def answered(**given: Any) -> Response:
        value = await method(**given)
        if value is None:
            return Response(status_code=status)
        return value if isinstance(value, Response) else answer(value, status)

    parameters = [
        one.replace(annotation=Annotated[one.annotation, Depends(_reading(one.annotation))])
        if _comes_in(one)
        else one
        for one in asked.parameters.values()
    ]
    answered.__signature__ = asked.replace(parameters=parameters)  # pyright: ignore[reportAttributeAccessIssue]  what `inspect` looks for
    return answered


def _comes_in(one: Parameter) -> bool:
    return isinstance(one.annotation, type) and issubclass(one.annotation, Given)


def _reading(shape: type[S]) -> Callable[[Request], Awaitable[S]]:
    """Reads a body. Refused: `unsupported_media_type`, `bad_request` and what `strict_json.load` refuses."""

    async def read(request: Request) -> S:
        data = await request.body()
        if data:
            _check_media_type(request)
        try:
            return shape.model_validate(load(data) if data else {}, strict=True)
        except ValidationError as problem:
            first = problem.errors()[0]
            field = ".".join(str(part) for part in first["loc"])
            raise Refused(Code.BAD_REQUEST, f"The field '{field}': {first['msg']}.") from None

    return read


def _body_of(asked: Signature) -> dict[str, Any] | None:
    """What the OpenAPI document says of a call's body, if it has one."""
    for shape in (one.annotation for one in asked.parameters.values() if _comes_in(one)):
        required = any(field.is_required() for field in shape.model_fields.values())
        content = {"application/json": {"schema": shape.model_json_schema()}}
        return {"requestBody": {"required": required, "content": content}}
    return None


def _check_media_type(request: Request) -> None:
    """Only JSON, so that no form of another site can post; in UTF-8, and not compressed."""
    kind, _, parameters = request.headers.get("content-type", "").partition(";")
    charset = parameters.strip().lower().replace('"', "")
    if kind.strip().lower() != "application/json" or charset not in {"", "charset=utf-8"}:
        raise Refused(
            Code.UNSUPPORTED_MEDIA_TYPE, "A body needs the header 'Content-Type: application/json'."
        )
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise Refused(Code.UNSUPPORTED_MEDIA_TYPE, "A body must not be compressed.")


def _documented(shape: Any, call: Call) -> dict[int | str, dict[str, Any]]:
    """What the OpenAPI document says of a call's answers."""
    content: dict[str, Any] = {problems.MEDIA_TYPE: {"schema": problems.SCHEMA}}
    problem: dict[str, Any] = {"description": "A problem document.", "content": content}
    documented: dict[int | str, dict[str, Any]] = {"4XX": problem, "5XX": problem}
    if shape is not None or call.media is not None:
        said = (get_args(shape) or (shape,))[0]
        told = "What was asked for." if shape is None else (said.__doc__ or "").strip()
        content = {} if call.media is None else {call.media: {}}
        documented |= {
            status: {"model": shape, "description": told, "content": content}
            for status in (call.status, *call.others)
        }
    return documented
