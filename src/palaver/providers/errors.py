"""Errors of providers: a status and a body in, one `ProviderError` out.

Rules: the detail is one or two sentences for the person who asked, and says what to do next. The provider's own words
are quoted only where they help, on one line, at most 200 characters, without the key, and not at all when they repeat
what somebody wrote. Where the server is, is told to nobody: that stands in the log. `temporary` is True only where the
very same question may succeed later.
"""

import json
import re
from collections.abc import Iterable, Mapping
from email.utils import parsedate_to_datetime
from typing import Any

from msgspec import Struct

from palaver.errors import Code, ProviderError
from palaver.providers.redaction import redacted
from palaver.strict_json import as_list, as_object

SERVER = "The model server"
"""The label of one that nobody here knows by name."""
QUOTE_CHARS_MAX = 200
FAILED_ENDS = frozenset(
    {"failed", "failure", "abort", "aborted", "timeout", "overloaded", "cancelled", "exception"}
    | {"insufficient_system_resource", "malformed_function_call", "unexpected_tool_call"}
)
"""Reasons of an answer's end that are a failure, beside those that say "error"."""
ECHO_CHARS = 24
"""A provider's words that repeat this many characters of a message are not shown."""
RETRY_MS_MAX = 24 * 60 * 60 * 1000

_SECRET = re.compile(r"\b(?:sk|pk|gsk|xai|hf)[-_][\w*.\-]{6,}|\bBearer\s+\S+", re.IGNORECASE)
_ERRORS = (
    *("error", "errors", "err", "exception", "fault"),
    *("error_message", "errorMessage", "error_msg", "detail"),
)
_MESSAGES = (
    *("message", "detail", "msg", "error", "error_msg", "faultstring", "reason", "title"),
    *("status_msg", "Message"),
)
_CODES = ("code", "status_code", "error_code", "status")
_FAILS = re.compile(
    r"error|exception|traceback|fail|out of memory|\boom\b|time[d\s-]*out|overload|unavailable"
    r"|unauthori|forbidden|denied|refused|quota|exceed|rate.?limit|too many|abort|crash|panic",
    re.IGNORECASE,
)
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\s]+")
_TOO_LONG = re.compile(
    r"context.{0,20}(length|window|size)|maximum context|too many tokens|prompt is too long",
    re.IGNORECASE,
)


class CallInfo(Struct, frozen=True, kw_only=True):
    """A call, as far as the words on its failure need to know it. `name` is the server's for programs.

    `label` is its name for people, at the beginning of a sentence. `variables`: how the names of its settings begin;
    empty: it is a saved profile's. `key`: what is told to nobody, one on each line. `places`: spellings of where it is.
    """

    label: str
    name: str
    model: str = ""
    key: str = ""
    texts: tuple[str, ...] = ()
    variables: str = "OPENAI"
    places: tuple[str, ...] = ()

    @property
    def setting(self) -> str:
        """What says where it is."""
        return setting_of(self.variables)

    @property
    def inside(self) -> str:
        """The label inside a sentence."""
        return "the model server" if self.label == SERVER else self.label


def setting_of(variables: str) -> str:
    """What says where a server is, for who has to change it."""
    return f"{variables}_BASE_URL" if variables else "the URL of its profile"


class ErrorBody(Struct, frozen=True, kw_only=True):
    """An error in a provider's answer, whatever its dialect. `status` 0: the provider named none."""

    status: int = 0
    message: str = ""
    code: str = ""
    param: str = ""


def told_by(chunk: Mapping[str, Any], status: int = 0) -> ErrorBody | None:
    """The error in a JSON object: in one of the fields `_ERRORS`, in a choice, or the object itself."""
    answers = bool(chunk.get("choices"))
    names = _ERRORS[:2] if answers else _ERRORS
    error: object = next((chunk[name] for name in names if chunk.get(name)), None)
    if error is None and answers:
        return _told_in_choices(chunk["choices"])
    if error is None and not status and not _is_error(chunk):
        return None
    found = as_object(error) or ({"message": error} if error else chunk)
    message = _message_in(found) or _message_in(chunk)
    code = next((found[name] for name in _CODES if found.get(name)), None)
    if not status and str(code).isdecimal() and 400 <= int(str(code)) < 600:  # noqa: PLR2004  an HTTP status
        status = int(str(code))
    return ErrorBody(
        status=status,
        message=message if isinstance(message, str) else json.dumps(message),
        code=str(code or found.get("type") or ""),
        param=str(found.get("param") or ""),
    )


def _message_in(found: Mapping[str, Any]) -> object:
    named = (found[name] for name in _MESSAGES if found.get(name))
    return next((one for one in named if one is not True), "")


def told_in_words(words: str) -> ErrorBody | None:
    """The error in plain words that stand where an event should; None where they are none."""
    return ErrorBody(message=words) if _FAILS.search(words[:1_000]) else None


def _told_in_choices(choices: object) -> ErrorBody | None:
    """The error in a choice: of its own, or as the reason of its end."""
    found = as_object(choices).values() or as_list(choices)
    for choice in map(as_object, found):
        said = as_object(choice.get("delta") or choice.get("message"))
        error = choice.get("error") or said.get("error")
        end = str(choice.get("finish_reason") or "").lower()
        if error:
            return told_by({"error": error})
        if end in FAILED_ENDS or "error" in end:
            words = choice.get("native_finish_reason") or (end if end != "error" else "")
            return ErrorBody(message=str(words))
    return None


def _is_error(chunk: Mapping[str, Any]) -> bool:
    """Whether an object without an answer tells a failure, in whatever words."""
    kinds = (str(chunk.get(name)).lower() for name in ("object", "type", "status", "event"))
    if any(kind.startswith(("error", "fail")) for kind in kinds) or chunk.get("success") is False:
        return True
    if not isinstance(_message_in(chunk), str) or not _message_in(chunk):
        return False
    status = next(
        (one for name in ("status", "statusCode") if isinstance(one := chunk.get(name), int)), 0
    )
    code = next((chunk[name] for name in _CODES[:-1] if chunk.get(name)), 0)
    return status >= 400 or str(code).lower() not in {"0", "200", "ok", "success"}  # noqa: PLR2004  HTTP's errors


def told_in_body(status: int, body: bytes) -> ErrorBody:
    """The error in the body of an answer that is no success: JSON of any dialect, else short plain text."""
    text = body.decode(errors="replace").strip()
    try:
        parsed: object = json.loads(text)
    except (ValueError, RecursionError):
        return ErrorBody(status=status, message="" if text.startswith("<") else text)
    return told_by(as_object(parsed), status) or ErrorBody(status=status)


def failure_of(told: ErrorBody, asked: CallInfo, retry_ms: int | None = None) -> ProviderError:
    """The error to raise for what a provider told."""
    status = told.status or _STATUS_OF_CODE.get(told.code, 0)
    if told.code == "insufficient_quota":
        status = 402
    if status == 404:  # noqa: PLR2004  HTTP's "not found"
        code, detail, temporary = Code.PROVIDER_REFUSED, _not_found(told, asked), False
    elif status in _MEANING:
        code, detail, temporary = _MEANING[status]
    elif is_too_long(told):
        code, detail, temporary = Code.PROVIDER_REFUSED, _TOO_LONG_DETAIL, False
    elif 300 <= status < 400:  # noqa: PLR2004  HTTP's redirections
        code, detail, temporary = Code.PROVIDER_REFUSED, _REDIRECT_DETAIL, False
    else:
        lasting = 400 <= status < 500  # noqa: PLR2004  HTTP's client errors
        words = _quoted(told.message, asked) or (f" (status {status})" if status else "")
        code = Code.PROVIDER_REFUSED if lasting else Code.PROVIDER_ERROR
        detail = "{label} refused the request" if lasting else "{label} failed"
        detail = detail.format(label=asked.label) + words + ("." if lasting else ". Try again.")
        return ProviderError(code, detail, temporary=not lasting, retry_ms=retry_ms)
    detail = detail.format(
        label=asked.label,
        inside=asked.inside,
        model=asked.model,
        setting=asked.setting,
        key=f"Check {asked.variables}_API_KEY and restart Palaver"
        if asked.variables
        else "Enter the key of its connection again",
    )
    if words := _quoted(told.message, asked):
        detail += f" It says{words}."
    return ProviderError(code, detail, temporary=temporary, retry_ms=retry_ms)


def is_too_long(told: ErrorBody) -> bool:
    """Whether the conversation is more than the model can read."""
    return told.code == "context_length_exceeded" or bool(_TOO_LONG.search(told.message))


def cut(asked: CallInfo) -> ProviderError:
    """The error of an answer that ends before it is whole."""
    return ProviderError(
        Code.PROVIDER_CUT,
        f"The connection to {asked.inside} ended in the middle of the answer. Try again.",
    )


def bad_reply(asked: CallInfo, what: str) -> ProviderError:
    """The error of an answer that is none. `what`: what the provider did."""
    return ProviderError(Code.PROVIDER_BAD_REPLY, f"{asked.label} {what}. Try again.")


def no_answer(asked: CallInfo) -> ProviderError:
    """The error of something that is no answer at all."""
    return ProviderError(
        Code.PROVIDER_BAD_REPLY,
        f"{asked.label} sent nothing that is an answer. Check that {asked.setting} is the"
        " address of its API, which usually ends in /v1.",
    )


def retry_after_ms(headers: Mapping[str, str], now_ms: int) -> int | None:
    """How long a provider asks to wait: `retry-after-ms`, or `Retry-After` in seconds or as a date."""
    try:
        if "retry-after-ms" in headers:
            wait = float(headers["retry-after-ms"])
        elif "retry-after" not in headers:
            return None
        elif headers["retry-after"].strip().replace(".", "", 1).isdigit():
            wait = float(headers["retry-after"]) * 1000
        else:
            wait = parsedate_to_datetime(headers["retry-after"]).timestamp() * 1000 - now_ms
        return min(max(round(wait), 0), RETRY_MS_MAX)
    except (ValueError, OverflowError):
        return None


_STATUS_OF_CODE = {
    "authentication_error": 401,
    "invalid_api_key": 401,
    "permission_error": 403,
    "model_not_found": 404,
    "not_found_error": 404,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "insufficient_quota": 429,
    "too_many_requests": 429,
    "invalid_request_error": 400,
    "context_length_exceeded": 400,
    "billing_error": 402,
    "request_too_large": 413,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}
"""What the codes and types of an error in mid-stream, which has no status of its own, amount to."""


_KEY_DETAIL = "{label} did not accept the API key. {key}."
_SLOW_DETAIL = "{label} took too long. Try again."
_MEANING = {
    401: (Code.PROVIDER_AUTH, _KEY_DETAIL, False),
    402: (
        Code.PROVIDER_REFUSED,
        "The account at {inside} has no credit left. Check its billing page.",
        False,
    ),
    403: (Code.PROVIDER_AUTH, _KEY_DETAIL, False),
    408: (Code.PROVIDER_TIMEOUT, _SLOW_DETAIL, True),
    429: (
        Code.PROVIDER_RATE_LIMITED,
        "{label} is getting too many requests. Wait a little, then try again.",
        True,
    ),
    504: (Code.PROVIDER_TIMEOUT, _SLOW_DETAIL, True),
    529: (Code.PROVIDER_ERROR, "{label} is overloaded. Wait a little, then try again.", True),
}
_TOO_LONG_DETAIL = (
    "The conversation is longer than {model} can read."
    " Start a new chat, or lower PALAVER_CONTEXT_TOKENS_MAX."
)
_REDIRECT_DETAIL = (
    "{label} sends us to another address, which is not followed."
    " Set {setting} to the final address."
)


def _not_found(told: ErrorBody, asked: CallInfo) -> str:
    if "model" not in f"{told.message} {told.code}".lower():
        return "There is no chat API at the address of {inside}; {setting} usually ends in /v1."
    if asked.name == "ollama":
        return "Ollama does not have the model {model}. Run: ollama pull {model}."
    return "{label} does not have the model {model}. Choose another one, or set PALAVER_MODEL."


def _quoted(message: str, asked: CallInfo) -> str:
    """The provider's words as the end of a sentence, or "" where they had better not be shown."""
    if not message or len(message) > 10 * QUOTE_CHARS_MAX or _echoes(message, asked.texts):
        return ""
    message = redacted(message.encode(errors="replace"), asked.key).decode()
    for place in asked.places:
        message = message.replace(place, "…")
    message = _UNPRINTABLE.sub(" ", _SECRET.sub("…", message)).strip().rstrip(".")
    if len(message) > QUOTE_CHARS_MAX:
        message = message[:QUOTE_CHARS_MAX] + "…"
    return f": {message}" if message else ""


def _echoes(message: str, texts: Iterable[str]) -> bool:
    """Whether the words repeat the beginning of something that was said."""
    starts = (text.strip()[:ECHO_CHARS] for text in texts)
    return any(start and start in message for start in starts if len(start) > 3)  # noqa: PLR2004
