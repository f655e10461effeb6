"""Every error that Palaver tells anyone: one tree, one table of codes.

`Refused` means that the caller must change something; `Unavailable` means that the same call may be repeated
later (an error means "unknown", never "lost"). The `detail` is written for the person who reads it and never holds
SQL, a stack trace, a secret or the content of a message. HTTP statuses stand here, as plain numbers, because they
belong to the code's meaning; this module knows nothing else of HTTP.
"""

from enum import StrEnum
from typing import Self


class Code(StrEnum):
    """The stable codes, as clients see them; behind a code that has one its HTTP `status`."""

    status: int | None

    def __new__(cls, word: str, status: int | None = None) -> Self:
        """A member of the table below."""
        code = str.__new__(cls, word)
        code._value_, code.status = word, status
        return code

    # the caller must change something
    BAD_REQUEST = "bad_request"
    INVALID_JSON = "invalid_json"
    INVALID_UNICODE = "invalid_unicode"
    INVALID_CHARACTER = "invalid_character"
    EMPTY_MESSAGE = "empty_message"
    TEXT_TOO_LONG = "text_too_long", 413
    TITLE_TOO_LONG = "title_too_long"
    NAME_INVALID = "name_invalid"
    NAME_RESERVED = "name_reserved"
    CID_INVALID = "cid_invalid"
    CID_REUSED = "cid_reused", 409
    EMOJI_INVALID = "emoji_invalid"
    LIMIT_INVALID = "limit_invalid"
    CURSOR_INVALID = "cursor_invalid"
    CURSOR_EXPIRED = "cursor_expired", 410
    QUERY_TOO_LONG = "query_too_long"
    UNAUTHENTICATED = "unauthenticated", 401
    SESSION_ENDED = "session_ended", 401
    CREDENTIALS_WRONG = "credentials_wrong", 401
    SIGN_IN_FAILED = "sign_in_failed", 401
    ACCOUNT_DISABLED = "account_disabled", 403
    ACCOUNT_PENDING = "account_pending", 403
    HANDLE_INVALID = "handle_invalid"
    HANDLE_TAKEN = "handle_taken", 409
    PASSWORD_WEAK = "password_weak"  # noqa: S105  a code
    FORBIDDEN = "forbidden", 403
    SETUP_REQUIRED = "setup_required", 403
    SCOPE_MISSING = "scope_missing", 403
    ORIGIN_REFUSED = "origin_refused", 403
    HOST_REFUSED = "host_refused", 400
    HEADER_REFUSED = "header_refused", 400
    NOT_FOUND = "not_found", 404
    ROOM_NOT_FOUND = "room_not_found", 404
    MESSAGE_NOT_FOUND = "message_not_found", 404
    TURN_NOT_FOUND = "turn_not_found", 404
    EXCHANGE_NOT_FOUND = "exchange_not_found", 404
    METHOD_NOT_ALLOWED = "method_not_allowed", 405
    UPGRADE_REQUIRED = "upgrade_required", 426
    NOT_EDITABLE = "not_editable", 409
    EDIT_CONFLICT = "edit_conflict", 409
    TURN_NOT_RETRYABLE = "turn_not_retryable", 409
    BRANCH_NOT_FOUND = "branch_not_found", 404
    BRANCH_NEEDED = "branch_needed", 409
    TURN_ENDED = "turn_ended", 409
    TURN_TAKEN = "turn_taken", 409
    ROOM_PROTECTED = "room_protected", 409
    ROOM_ARCHIVED = "room_archived", 409
    ROOM_TREE = "room_tree", 409
    LAST_OWNER = "last_owner", 409
    PROFILE_INVALID = "profile_invalid"
    PROFILE_NOT_FOUND = "profile_not_found", 404
    PROFILE_WITHHELD = "profile_withheld", 403
    PROFILE_REFUSED = "profile_refused", 502
    PROFILE_UNREACHABLE = "profile_unreachable", 502
    TOO_MANY_PROFILES = "too_many_profiles", 409
    WEBHOOK_INVALID = "webhook_invalid"
    WEBHOOK_NOT_FOUND = "webhook_not_found", 404
    ADDRESS_NOT_ALLOWED = "address_not_allowed"
    TOO_MANY_WEBHOOKS = "too_many_webhooks", 409
    INVITE_NOT_FOUND = "invite_not_found", 404
    AGENT_NOT_FOUND = "agent_not_found", 404
    CARD_INVALID = "card_invalid"
    HISTORY_RESET = "history_reset", 409
    PAYLOAD_TOO_LARGE = "payload_too_large", 413
    HEADERS_TOO_LARGE = "headers_too_large", 431
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type", 415
    UNKNOWN_FRAME = "unknown_frame"
    TOO_MANY_ROOMS = "too_many_rooms", 429
    BUDGET_REACHED = "budget_reached", 429
    PICTURE_TOO_LARGE = "picture_too_large", 413
    TOO_MANY_KEYS = "too_many_keys", 409
    TOO_MANY_DEVICES = "too_many_devices", 409
    TOO_MANY_PROMPTS = "too_many_prompts", 409
    TOO_MANY_INVITATIONS = "too_many_invitations", 409
    TOO_MANY_AGENTS = "too_many_agents", 409
    TOO_MANY_REACTIONS = "too_many_reactions", 409
    TOO_MANY_MARKS = "too_many_marks", 409
    ROOM_FULL = "room_full", 409
    TICKET_ENDED = "ticket_ended", 410
    IDENTITY_IN_USE = "identity_in_use", 409
    DRAFT_TOO_OLD = "draft_too_old"
    # the same call may be repeated later
    RATE_LIMITED = "rate_limited", 429
    TOO_MANY_CONNECTIONS = "too_many_connections", 429
    REQUEST_TIMEOUT = "request_timeout", 408
    SIGN_IN_UNAVAILABLE = "sign_in_unavailable", 502
    TOO_BUSY = "too_busy", 503
    DATABASE_UNAVAILABLE = "database_unavailable", 503
    DATABASE_FULL = "database_full", 507
    SHUTTING_DOWN = "shutting_down", 503
    INTERNAL = "internal", 500
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
    BOT_AWAY = "bot_away"
    BOT_FAILED = "bot_failed"
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
        """The HTTP status that fits this error: its code's, or 400."""
        return self.code.status or 400


class Refused(PalaverError):
    """The caller must change something; repeating the same call gives the same answer."""


class Unavailable(PalaverError):
    """The same call may be repeated later; whether it took effect is unknown."""

    temporary = True

    @property
    def status(self) -> int:
        """The code's HTTP status, or 503."""
        return self.code.status or 503

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


class Untellable(ProviderError):
    """What stands in a request cannot be told to its model server: the request must change."""

    def __init__(self, code: Code, detail: str) -> None:
        super().__init__(code, detail, temporary=False)
