"""Every error that Palaver tells anyone: one tree, one table of codes.

`Refused` means that the caller must change something; `Unavailable` means that the same call may be repeated
later (an error means "unknown", never "lost"). The `detail` is written for the person who reads it and never holds
SQL, a stack trace, a secret or the content of a message. HTTP statuses stand here, as plain numbers, because they
belong to the code's meaning; this module knows nothing else of HTTP.
"""

from enum import StrEnum


class Code(StrEnum):
    """The stable codes, as clients see them. `STATUS` gives each its HTTP status."""

    # the caller must change something
    BAD_REQUEST = "bad_request"
    INVALID_JSON = "invalid_json"
    INVALID_UNICODE = "invalid_unicode"
    INVALID_CHARACTER = "invalid_character"
    EMPTY_MESSAGE = "empty_message"
    TEXT_TOO_LONG = "text_too_long"
    TITLE_TOO_LONG = "title_too_long"
    NAME_INVALID = "name_invalid"
    NAME_RESERVED = "name_reserved"
    CID_INVALID = "cid_invalid"
    CID_REUSED = "cid_reused"
    LIMIT_INVALID = "limit_invalid"
    CURSOR_INVALID = "cursor_invalid"
    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    ORIGIN_REFUSED = "origin_refused"
    HOST_REFUSED = "host_refused"
    NOT_FOUND = "not_found"
    ROOM_NOT_FOUND = "room_not_found"
    MESSAGE_NOT_FOUND = "message_not_found"
    TURN_NOT_FOUND = "turn_not_found"
    EXCHANGE_NOT_FOUND = "exchange_not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    TURN_NOT_RETRYABLE = "turn_not_retryable"
    ROOM_PROTECTED = "room_protected"
    HISTORY_RESET = "history_reset"
    PAYLOAD_TOO_LARGE = "payload_too_large"
    HEADERS_TOO_LARGE = "headers_too_large"
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type"
    UNKNOWN_FRAME = "unknown_frame"
    TOO_MANY_ROOMS = "too_many_rooms"
    TOO_MANY_KEYS = "too_many_keys"
    TOO_MANY_DEVICES = "too_many_devices"
    TICKET_ENDED = "ticket_ended"
    IDENTITY_IN_USE = "identity_in_use"
    DRAFT_TOO_OLD = "draft_too_old"
    # the same call may be repeated later
    RATE_LIMITED = "rate_limited"
    REQUEST_TIMEOUT = "request_timeout"
    TOO_BUSY = "too_busy"
    DATABASE_UNAVAILABLE = "database_unavailable"
    DATABASE_FULL = "database_full"
    SHUTTING_DOWN = "shutting_down"
    INTERNAL = "internal"
    # why an answer ended without being whole (a message's `meta.error.code`)
    PROVIDER_UNREACHABLE = "provider_unreachable"
    PROVIDER_TIMEOUT = "provider_timeout"
    PROVIDER_CUT = "provider_cut"
    PROVIDER_REFUSED = "provider_refused"
    PROVIDER_AUTH = "provider_auth"
    PROVIDER_RATE_LIMITED = "provider_rate_limited"
    PROVIDER_BAD_REPLY = "provider_bad_reply"
    PROVIDER_ERROR = "provider_error"
    ANSWER_TOO_LONG = "answer_too_long"
    INTERRUPTED = "interrupted"
    # why a server or a command does not start
    DATABASE_NEWER = "database_newer"
    DATABASE_OLDER = "database_older"
    DATABASE_LOCKED = "database_locked"
    DATABASE_MISSING = "database_missing"
    DATABASE_NOT_EMPTY = "database_not_empty"
    DATABASE_INCOMPLETE = "database_incomplete"
    DATABASE_DAMAGED = "database_damaged"
    DATABASE_URL_INVALID = "database_url_invalid"
    BIND_REFUSED = "bind_refused"
    PORT_TAKEN = "port_taken"
    SETTINGS_INVALID = "settings_invalid"
    PLACE_UNUSABLE = "place_unusable"


STATUS: dict[Code, int] = {
    Code.UNAUTHENTICATED: 401,
    Code.FORBIDDEN: 403,
    Code.ORIGIN_REFUSED: 403,
    Code.HOST_REFUSED: 400,
    Code.NOT_FOUND: 404,
    Code.ROOM_NOT_FOUND: 404,
    Code.MESSAGE_NOT_FOUND: 404,
    Code.TURN_NOT_FOUND: 404,
    Code.EXCHANGE_NOT_FOUND: 404,
    Code.METHOD_NOT_ALLOWED: 405,
    Code.REQUEST_TIMEOUT: 408,
    Code.CID_REUSED: 409,
    Code.TURN_NOT_RETRYABLE: 409,
    Code.ROOM_PROTECTED: 409,
    Code.TOO_MANY_KEYS: 409,
    Code.TOO_MANY_DEVICES: 409,
    Code.TICKET_ENDED: 410,
    Code.IDENTITY_IN_USE: 409,
    Code.HISTORY_RESET: 409,
    Code.PAYLOAD_TOO_LARGE: 413,
    Code.TEXT_TOO_LONG: 413,
    Code.UNSUPPORTED_MEDIA_TYPE: 415,
    Code.RATE_LIMITED: 429,
    Code.TOO_MANY_ROOMS: 429,
    Code.HEADERS_TOO_LARGE: 431,
    Code.INTERNAL: 500,
    Code.TOO_BUSY: 503,
    Code.DATABASE_UNAVAILABLE: 503,
    Code.DATABASE_FULL: 507,
    Code.SHUTTING_DOWN: 503,
}
"""HTTP status of each code that can answer a request; a code that is missing here is a 400."""


class PalaverError(Exception):
    """The root. `code` is stable, `detail` is for people."""

    temporary = False

    def __init__(self, code: Code, detail: str, *, retry_ms: int | None = None) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.retry_ms = retry_ms

    def __reduce__(self) -> tuple[type["PalaverError"], tuple[Code, str]]:
        """For another process: what it is and says."""
        return type(self), (self.code, self.detail)

    @property
    def status(self) -> int:
        """The HTTP status that fits this error."""
        return STATUS.get(self.code, 400)


class Refused(PalaverError):
    """The caller must change something; repeating the same call gives the same answer."""


class Unavailable(PalaverError):
    """The same call may be repeated later; whether it took effect is unknown."""

    temporary = True

    @property
    def status(self) -> int:
        """As `PalaverError.status`; what is temporary and not listed is a 503."""
        return STATUS.get(self.code, 503)

    @property
    def database_away(self) -> bool:
        """Whether the database cannot be reached, or takes nothing more."""
        return self.code in {Code.DATABASE_UNAVAILABLE, Code.DATABASE_FULL}


class ProviderError(PalaverError):
    """A model provider failed. Becomes an answer's status and code, never its text."""

    def __init__(
        self, code: Code, detail: str, *, temporary: bool = True, retry_ms: int | None = None
    ) -> None:
        super().__init__(code, detail, retry_ms=retry_ms)
        self.temporary = temporary
