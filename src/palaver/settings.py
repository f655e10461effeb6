"""Every setting, with its unit in its name and its default; read from the environment.

The names are `PALAVER_<FIELD>`; the ones that other tools share (`DATABASE_URL`, and the addresses and keys of model
servers) are read under their usual names too. Command-line options win over the environment. Secrets are `SecretStr`,
so that no print or log shows them.
"""

import ast
import inspect
import os
import re
from difflib import get_close_matches
from ipaddress import ip_network
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import quote, unquote, urlsplit

from pydantic import (
    AliasChoices,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_core import ErrorDetails, PydanticCustomError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from palaver.errors import Code, Refused
from palaver.redact import Redaction

_PUBLIC_URL = re.compile(
    r"https?://(?:\[[0-9a-f:.]+\]|[a-z0-9.-]+)(?::[0-9]{1,5})?"
    r"(?!/(?:api|v1|ws|r|assets|docs|health|metrics)(?:/|$))(?:/(?!\.{1,2}(?:/|$))[a-z0-9._~-]+)*/?",
    re.IGNORECASE,
)

_ISSUER = re.compile(
    r"(?:https://[^\s/?#@]+|http://(?:localhost|127\.0\.0\.1|\[::1\])(?::[0-9]{1,5})?)(?:/[^\s?#]*)?"
)
_HEADER = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
ESCAPED_BYTES_MAX = 12
"""Bytes that JSON takes for one character at the most: two halves of six, such as backslash, `ud83d`."""

SECRET_CHARS_MAX = 1_024

DAY_MS = 24 * 3_600_000

ELSEWHERE = frozenset({"PALAVER_KEY", "PALAVER_PYTHON", "PALAVER_RELEASE"})
"""What `palaver mcp`, `./run` and the build read."""

GONE = {
    "PALAVER_ALLOW_PUBLIC": "a server that other machines reach wants an owner first,"
    " and PALAVER_GUESTS says who may be a guest"
}
"""What was a setting, and what takes its place."""

_WORDS = {
    "int_parsing": "must be a whole number",
    "float_parsing": "must be a number",
    "bool_parsing": "must be true or false",
    "literal_error": "must be {expected}",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be {ge} or more",
    "less_than_equal": "must be {le} or less",
}
"""What pydantic finds, in words for operators."""


def _shared(name: str) -> Any:
    """A setting that other tools read under the same name, without our prefix."""
    return Field(default=None, validation_alias=AliasChoices(f"PALAVER_{name}", name))


class Settings(BaseSettings):
    """What an operator may choose. The docstring of each field is its documentation."""

    model_config = SettingsConfigDict(env_prefix="PALAVER_", extra="ignore", frozen=True)

    # where things are
    data_dir: Path = Field(default=Path("data"), validate_default=True)
    """The directory that holds the database, the journal and `server.json`; only its owner can enter it."""
    database_url: str | None = _shared("DATABASE_URL")
    """`sqlite:///path` (`%3F` for a `?`), `postgresql://…` or `postgres://…`. Default: `palaver.db` in the data
    directory."""
    host: str = "127.0.0.1"
    """The address to listen on."""
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    """The port to listen on; 0 takes a free one."""
    public_url: str | None = None
    """Where browsers reach the server behind a reverse proxy: `https://chat.example.org`, `https://example.org/chat`.
    It decides scheme, host, path and cookies, and `/v1` then takes nobody without a key."""
    trusted_proxies: Annotated[tuple[str, ...], NoDecode] = ()
    """Addresses or networks of proxies whose `X-Forwarded-…` and `Forwarded` are believed; comma-separated."""
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = ()
    """Host names under which the server may be asked, besides loopback and `host`; comma-separated."""
    allowed_origins: Annotated[tuple[str, ...], NoDecode] = ()
    """Origins of other sites whose pages may connect, such as `https://chat.example.org`; comma-separated."""
    log_format: Literal["auto", "text", "json"] = "auto"
    """`auto`: text on a terminal, JSON lines otherwise."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """`debug` (with every request), `info` (with slow ones, and those that failed), `warning` or `error`."""

    # the model
    openai_base_url: str | None = _shared("OPENAI_BASE_URL")
    """An OpenAI-compatible server, such as `http://127.0.0.1:11434/v1`. Default: found by itself, see `detect`."""
    openai_api_key: SecretStr | None = _shared("OPENAI_API_KEY")
    """The key for that server, where it wants one."""
    anthropic_base_url: str | None = _shared("ANTHROPIC_BASE_URL")
    """A server that speaks Anthropic's Messages API. Default: `https://api.anthropic.com`, where a key is set."""
    anthropic_api_key: SecretStr | None = _shared("ANTHROPIC_API_KEY")
    """The key for it. With `openai_base_url` or its key, too, the name of a model says who answers."""
    model: str | None = None
    """The model that answers. Default: the first one that the server offers."""
    detect: bool = True
    """Look for Ollama, llama.cpp and LM Studio on this machine when no base URL is set."""
    system_prompt: str = ""
    """What the default agent is told before every conversation."""
    context_messages_max: Annotated[int, Field(ge=1)] = 100
    """How many of a room's last messages a model is given; of a longer room at least three quarters of them."""
    context_tokens_max: Annotated[int, Field(ge=64)] = 16_000
    """How many tokens those may take, estimated at 4 characters a token; the new message always goes in.

    What is cut begins with a person's message and moves on by about a quarter, so that a model server need not read
    again what it was given before."""
    profiles: Literal["admins", "people"] = "admins"
    """Who connects model servers of their own on the page, beside the server's: `admins` (and owners), or all `people`
    who have an account. They are asked for their owner alone. See docs/models.md."""
    profile_networks: Annotated[tuple[str, ...], NoDecode] = ()
    """Addresses or networks that people's own connections and webhooks may reach although they are not public;
    comma-separated."""
    webhooks_max: Annotated[int, Field(ge=0, le=1_000)] = 200
    """Webhooks that there may be on this server; 0: none. See docs/webhooks.md."""
    secret_key_file: Path | None = None
    """The file with the secret that seals the keys of connections. Default: `secret.key` in the data directory."""
    provider_connect_seconds: Annotated[float, Field(gt=0)] = 10.0
    """How long connecting to the provider may take."""
    provider_first_seconds: Annotated[float, Field(gt=0)] = 120.0
    """How long the provider may think before the first piece of an answer."""
    provider_idle_seconds: Annotated[float, Field(gt=0)] = 60.0
    """How long the provider may be silent in the middle of an answer, and an agent's program before it is away."""
    provider_alive_seconds: Annotated[float, Field(gt=0)] = 900.0
    """How long signs of life from the provider (comments, empty pieces) are waited on for the next word."""
    answer_chars_max: Annotated[int, Field(ge=1)] = 1_000_000
    """An answer that grows beyond this many characters is cut there and kept."""
    answer_seconds_max: Annotated[float, Field(gt=0)] = 3_600.0
    """An answer that takes longer is cut and kept."""
    turns_running_max: Annotated[int, Field(ge=1)] = 1_000
    """How many answers one process streams at once; more wait."""
    budget_tokens: Annotated[int, Field(ge=1)] = 2_000
    """Tokens that are reserved of a budget for an answer that says no bound of its own; it may have no more."""
    prices: str = ""
    """Own prices of models, in dollars per million tokens: JSON such as `{"my-model": {"input": 0.5, "output": 1.5}}`,
    or the path of a file with it. Names are a model's or `provider/model`; `cached` may be left out."""

    # who is asking
    guests: Literal["local", "open", "off"] = "local"
    """Who becomes a guest by opening the page. `local`: who comes from this machine, through no proxy. `open`: anyone.
    `off`: nobody. An invitation lets a guest in all the same, and who is one already stays one."""
    sign_up: Literal["off", "invite", "approve", "open"] = "invite"
    """`open`: any guest may make an account of their own. `approve`: and an admin lets them in. `invite`: who was
    invited to this server, or let into a chat of somebody's who has an account. `off`: who was invited to this server
    by an admin or owner."""
    agents: Literal["people", "admins"] = "people"
    """Who makes agents of their own: all `people` who have an account, or `admins` (and owners)."""
    invites: Literal["admins", "people"] = "admins"
    """Who invites others to this server with an account: `admins` (and owners), or all `people` who have one, where
    `sign_up` is not `off`. Into a room invites who may do so there."""
    owner: str | None = None
    """The handle of the account that a start makes, while the server has no owner, with the password in
    `owner_password_file`: for containers. Default: a link is printed by which its owner makes it."""
    owner_password_file: Path | None = None
    """A file with the password of `owner`, read when that account is made. A line break at its end is none of it."""
    session_idle_days: Annotated[int, Field(ge=1, le=3_650)] = 30
    """A session that was not used for so many days has ended; not a guest's, who has no other way in."""
    session_days_max: Annotated[int, Field(ge=1, le=3_650)] = 365
    """A session ends so many days after it began, however much it is used."""
    auth_header: str | None = None
    """The header in which a proxy that signs people in names them, such as `Remote-User`. See docs/sign-in.md."""
    auth_header_networks: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), validate_default=True
    )
    """Addresses or networks of that proxy; whoever else sends the header is refused. Neither is set without the other;
    comma-separated."""
    oidc_issuer: str | None = None
    """An OpenID provider that signs people in, such as `https://id.example.org`. Needs `pip install 'palaver[oidc]'`.
    See docs/sign-in.md."""
    oidc_client_id: str | None = Field(default=None, validate_default=True)
    """What that provider calls this server."""
    oidc_client_secret: SecretStr | None = None
    """The secret that goes with it, where there is one."""
    oidc_client_secret_file: Path | None = None
    """A file with that secret, in its place. A line break at its end is none of it."""
    oidc_link_email: bool = False
    """Whether who comes for the first time is the one person here with the e-mail address that the provider says is
    theirs (`email_verified`). People's addresses are what they typed: see docs/sign-in.md first."""
    oidc_name: str = "OpenID"
    """What people call that provider: the page says *Sign in with* it."""
    oidc_scopes: str = "openid profile email"
    """What it is asked for."""
    oidc_roles_claim: str | None = None
    """The claim that says which groups somebody is in, such as `groups`."""
    oidc_roles: Annotated[tuple[str, ...], NoDecode] = ()
    """Which of them is what here: `chat-admins=admin, staff=person`; who is in none of them is not let in;
    comma-separated."""

    # the OpenAI-compatible API
    openai_keys: Literal["auto", "required"] = "auto"
    """Who may use `/v1`. `auto`: on this machine anyone, from elsewhere who has a key. `required`: who has a key."""
    openai_finish: bool = True
    """Let an answer go on to its end, and keep it, although its client has gone."""
    openai_keep_unstored: bool = False
    """Keep what programs of this machine without a key of ours ask with `store: false`, too. A key says it of itself
    (`palaver key create --keep-unstored`)."""
    background_after_crash: Literal["keep", "rerun"] = "keep"
    """What becomes of a background response that a crash cut in the middle of its words.

    `keep`: it has failed, with what came. `rerun`: it is asked again, and what came stays in the room as a message of
    its own. One of which nothing had come is asked again in any case."""
    openai_responses: Literal["auto", "chat"] = "auto"
    """Ask a model server that speaks the Responses API in that (`auto`), or for chat completions only (`chat`)."""
    openai_whole_seconds: Annotated[float, Field(gt=0)] = 600.0
    """How long the provider may work on an answer to `/v1` that does not stream."""
    openai_body_bytes_max: Annotated[int, Field(ge=1024)] = 67_108_864
    """Bytes in the body of one request to `/v1`."""

    redact: Annotated[tuple[str, ...], NoDecode] = ()
    """Regular expressions, separated by white space, of what is taken out of all that is stored; `secrets` are those
    built in. See docs/openai.md, *What is taken out*."""

    # limits
    text_chars_max: Annotated[int, Field(ge=1)] = 100_000
    """Unicode code points in a message of a person. 12 bytes for each, and 16 KiB, bound a frame, and a body outside
    `/v1`."""
    title_chars_max: Annotated[int, Field(ge=1)] = 255
    """Unicode code points in a room's title."""
    name_chars_max: Annotated[int, Field(ge=1)] = 80
    """Unicode code points in a person's name."""
    header_bytes_max: Annotated[int, Field(ge=1024)] = 32_768
    """Bytes in the headers of one HTTP request."""
    header_seconds: Annotated[float, Field(gt=0)] = 10.0
    """How long a client may take to send its headers, and between two requests of a kept connection."""
    body_seconds: Annotated[float, Field(gt=0)] = 30.0
    """How long a client may take to send a request's body."""
    page_max: Annotated[int, Field(ge=1)] = 200
    """Rows in one page of an answer."""
    connections_max: Annotated[int, Field(ge=1)] = 12_000
    """Open connections; more are answered with 503."""
    rooms_per_connection_max: Annotated[int, Field(ge=1)] = 64
    """Rooms that one live connection may be subscribed to."""
    inflight_max: Annotated[int, Field(ge=1)] = 32
    """Requests of one live connection that may be under way at once."""
    frames_per_second: Annotated[float, Field(gt=0)] = 100.0
    """Frames that one live connection may send a second, on average over ten seconds."""
    bytes_per_second: Annotated[float, Field(gt=0)] = 524_288.0
    """Bytes that one live connection may send a second, on average over ten seconds; what is more waits."""
    guests_per_hour: Annotated[int, Field(ge=1)] | None = None
    """New guests from one address (of IPv6: one /64). Default: 300; programs of this machine without bound."""
    rooms_per_hour: Annotated[int, Field(ge=1)] | None = None
    """New rooms from one address. Default: 1,000; programs of this machine without bound."""
    messages_per_minute: Annotated[int, Field(ge=1)] | None = None
    """Messages and retries from one address. Default: 600; programs of this machine without bound."""
    person_messages_per_minute: Annotated[int, Field(ge=1)] | None = None
    """Messages, retries and requests at `/v1` of one person, from wherever; not of admins. Default: without bound."""
    guest_messages_per_minute: Annotated[int, Field(ge=1)] | None = None
    """The same of one guest, who may become another one (`guests_per_hour`). Default: without bound."""
    connections_per_minute: Annotated[int, Field(ge=1)] | None = None
    """New live connections and feeds from one address. Default: 600; programs of this machine without bound."""
    connections_per_address: Annotated[int, Field(ge=1)] | None = None
    """Live connections, feeds and long polls of one address that are open at once. Default: 1,000; programs of this
    machine without bound."""
    room_members_max: Annotated[int, Field(ge=1)] = 10_000
    """Members of a room that is not everyone's, agents too; a room that has more keeps them."""
    room_agents_max: Annotated[int, Field(ge=0)] = 20
    """Agents of a room, likewise."""
    slow_reader_seconds: Annotated[float, Field(gt=0)] = 30.0
    """A reader that takes no byte for this long is closed and may resume."""
    ping_seconds: Annotated[float, Field(gt=0)] = 25.0
    """How often a live connection is asked whether it is still there."""
    pong_seconds: Annotated[float, Field(gt=0)] = 8.0
    """How long its answer may take."""
    hello_seconds: Annotated[float, Field(gt=0)] = 10.0
    """How long a live connection may take to say hello."""
    stop_seconds: Annotated[float, Field(gt=0)] = 10.0
    """How long a graceful stop may take."""

    # the database
    slow_query_ms: Annotated[float, Field(gt=0)] = 100.0
    """Statements that take longer are logged, with their time and without content."""
    database_seconds: Annotated[float, Field(gt=0)] = 10.0
    """How long one database call may take before it counts as failed."""
    reader_threads: Annotated[int, Field(ge=1)] = 4
    """Threads (SQLite) or connections (PostgreSQL) that read."""
    writer_connections: Annotated[int, Field(ge=1)] = 1
    """Writing connections of one process on PostgreSQL; SQLite has one. The fewer, the more messages share a commit."""
    batch_max: Annotated[int, Field(ge=1)] = 512
    """Writes that share one commit at the most."""
    feed_days: Annotated[int, Field(ge=1, le=3_650)] = 30
    """How long the feed of what happens in all rooms is kept, from which programs read events; longer where one that is
    served by it is behind."""
    deleted_days: Annotated[int, Field(ge=1, le=3_650)] = 30
    """How long what was deleted is among what was recently deleted. After that it is due to be purged."""
    listen_url: str | None = None
    """Where to LISTEN when `database_url` is a pooler such as PgBouncer; empty: ask once a second instead."""
    when_db_down: Literal["accept", "reject"] = "accept"
    """`accept`: keep messages in the journal while the database is away. `reject`: refuse them for the time being."""
    drafts_max: Annotated[int, Field(ge=0)] = 100_000
    """Messages that may wait in the journal for the database to come back."""
    draft_bytes_max: Annotated[int, Field(ge=0)] = 268_435_456
    """Bytes that they may take."""
    write_queue_max: Annotated[int, Field(ge=1)] = 50_000
    """Writes that may wait; more are refused with a temporary error."""

    @field_validator(
        *(
            "allowed_hosts",
            "allowed_origins",
            "trusted_proxies",
            "auth_header_networks",
            "oidc_roles",
            "profile_networks",
        ),
        mode="before",
    )
    @classmethod
    def _listed(cls, value: object) -> object:
        """Takes `a, b`, as it stands in the environment, apart."""
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("redact", mode="before")
    @classmethod
    def _apart(cls, value: object) -> object:
        return tuple(value.split()) if isinstance(value, str) else value

    @field_validator("redact")
    @classmethod
    def _expressions(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        Redaction(value)
        return value

    @field_validator("log_level", mode="before")
    @classmethod
    def _level(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value

    @field_validator("auth_header")
    @classmethod
    def _header(cls, value: str | None) -> str | None:
        """In small letters, as headers come."""
        if not value:
            return None
        small = value.lower()
        if not _HEADER.fullmatch(small) or small in {"authorization", "cookie", "host"}:
            raise ValueError("must be the name of a header, such as Remote-User")
        return small

    @field_validator("auth_header_networks")
    @classmethod
    def _both(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if bool(value) != bool(info.data.get("auth_header", value)):
            raise ValueError("is set together with PALAVER_AUTH_HEADER, or neither is")
        return value

    @field_validator("oidc_issuer")
    @classmethod
    def _issuer(cls, value: str | None) -> str | None:
        if not value:
            return None
        if not _ISSUER.fullmatch(value):
            raise ValueError("must be such as https://id.example.org; http only on this machine")
        return value

    @field_validator("oidc_client_id")
    @classmethod
    def _client(cls, value: str | None, info: ValidationInfo) -> str | None:
        if not value and info.data.get("oidc_issuer"):
            raise ValueError("is needed with PALAVER_OIDC_ISSUER")
        return value

    @field_validator("oidc_client_secret_file")
    @classmethod
    def _one_secret(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        if value is not None and info.data.get("oidc_client_secret") is not None:
            raise ValueError("is set, or PALAVER_OIDC_CLIENT_SECRET, and not both")
        return value

    @field_validator("oidc_roles")
    @classmethod
    def _roles(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not all(re.fullmatch(r".+=(?:admin|person)", one) for one in value):
            raise ValueError("must be such as chat-admins=admin, staff=person")
        return value

    @field_validator("trusted_proxies", "auth_header_networks", "profile_networks")
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for one in value:
            ip_network(one, strict=False)
        return value

    @field_validator("public_url")
    @classmethod
    def _public(cls, value: str | None) -> str | None:
        """An address without anything behind its path, which is none of the server's own."""
        if not value:
            return None
        if not _PUBLIC_URL.fullmatch(value) or urlsplit(value).port == 0:
            raise ValueError("must be such as https://chat.example.org or https://example.org/chat")
        return value.rstrip("/")

    @property
    def public_origin(self) -> str:
        """The origin of the page at `public_url`, as browsers write it; empty without one."""
        origin = "/".join((self.public_url or "").split("/")[:3]).lower()
        port = ":443" if origin.startswith("https:") else ":80"
        return origin.removesuffix(port)

    @property
    def public_path(self) -> str:
        """The path of `public_url`, without a slash at its end; empty for the root."""
        return "".join(f"/{part}" for part in (self.public_url or "").split("/")[3:])

    @field_validator("data_dir", mode="before")
    @classmethod
    def _at_home(cls, value: object) -> object:
        """Takes `~` for the home directory, here and nowhere else."""
        return expanded(value) if isinstance(value, (str, Path)) else value

    @field_validator("data_dir")
    @classmethod
    def _folder(cls, place: Path) -> Path:
        """Refuses what is there and no folder."""
        wrong, there = None, place
        try:
            os.fspath(place).encode()  # what is no UTF-8 fits in no URL
            there = next(part for part in (place, *place.parents) if os.path.lexists(part))
            if not there.is_dir():
                wrong = "is a file, and no folder" if there.exists() else "is a link to nothing"
        except OSError as error:
            wrong = f"cannot be used: {error.strerror}"
        if wrong is not None:
            raise PydanticCustomError(
                "place", "{place} {wrong}", {"place": f"{there}", "wrong": wrong}
            )
        return place

    @property
    def hello_bytes_max(self) -> int:
        """Bytes in all that a live connection sends before it is known whose it is."""
        return 4_096 + 192 * self.rooms_per_connection_max

    @property
    def frame_bytes_max(self) -> int:
        """Bytes in one WebSocket message: every allowed text, however it is escaped, and what goes around it."""
        return self.hello_bytes_max + ESCAPED_BYTES_MAX * self.text_chars_max

    @property
    def body_bytes_max(self) -> int:
        """Bytes in the body of one HTTP request outside `/v1`: as much as in a message."""
        return self.frame_bytes_max

    @property
    def session_idle_ms(self) -> int:
        """`session_idle_days` in milliseconds."""
        return self.session_idle_days * DAY_MS

    @property
    def session_ms_max(self) -> int:
        """`session_days_max` in milliseconds."""
        return self.session_days_max * DAY_MS

    @property
    def url(self) -> str:
        """The database in use."""
        return self.database_url or sqlite_url(self.data_dir / "palaver.db")

    @property
    def file(self) -> Path | None:
        """The SQLite file in use; None for another database."""
        return sqlite_file(self.url)


def sqlite_url(file: Path) -> str:
    """The URL of a SQLite file, whatever its path has in it."""
    plain = not os.fspath(file).startswith(("~", ":"))
    return f"sqlite:///{quote(os.fspath(file if plain else file.absolute()))}"


def sqlite_file(url: str) -> Path | None:
    """The file of a SQLite URL; None for one in memory, and for other databases. `~` is the home directory."""
    scheme, found, name = url.partition(":///")
    if not found or scheme not in {"sqlite", "sqlite+pysqlite"} or name in {"", ":memory:"}:
        return None
    return expanded(unquote(name))


def in_memory(url: str) -> bool:
    """Whether this is the URL of a SQLite database in memory."""
    return url.startswith("sqlite") and sqlite_file(url) is None


def expanded(path: str | Path) -> Path:
    """The path, with the home directory for a `~` at its beginning. Refused: `settings_invalid`, without a home."""
    try:
        return Path(path).expanduser() if os.fspath(path).startswith("~") else Path(path)
    except RuntimeError:
        raise Refused(Code.SETTINGS_INVALID, f"{path}: there is no such home directory.") from None


def secret_in(file: Path) -> str:
    """What is in a file, without a line break at its end. Refused: `settings_invalid`."""
    try:
        with file.open(encoding="utf-8") as opened:
            return opened.read(SECRET_CHARS_MAX).rstrip("\r\n")
    except (OSError, ValueError):
        raise Refused(Code.SETTINGS_INVALID, f"{file} cannot be read.") from None


def meanings() -> dict[str, str]:
    """Reads what each setting means, by name, from the docstring below its field.

    pydantic would do so whenever the class is made, which takes a tenth of the time that the server needs to start.
    """
    (settings,) = ast.parse(inspect.getsource(Settings)).body
    assert isinstance(settings, ast.ClassDef)
    return {
        field.target.id: " ".join(text.value.value.split())
        for field, text in pairwise(settings.body)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant)
        if isinstance(text.value.value, str)
    }


def env_names(field: str) -> tuple[str, ...]:
    """The environment variables that set a field, the one that wins first."""
    alias = Settings.model_fields[field].validation_alias
    if isinstance(alias, AliasChoices):
        return tuple(str(choice) for choice in alias.choices)
    return (f"PALAVER_{field.upper()}",)


def settings_from(**given: object) -> Settings:
    """The settings in effect: what is given wins over the environment, and None counts as not given.

    Refused: `settings_invalid`, which names the settings and never their values, because those may be secrets.
    """
    unknown = sorted(set(given) - set(Settings.model_fields))
    if unknown:
        raise Refused(Code.SETTINGS_INVALID, f"There is no setting named {', '.join(unknown)}.")
    values: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    try:
        return Settings(**values)
    except ValidationError as error:
        told = "; ".join(
            f"{_shown(str(fault['loc'][0]))}: {_words(fault)}"
            for fault in error.errors(include_input=False, include_url=False)
        )
        raise Refused(Code.SETTINGS_INVALID, f"{told}.") from None


def unknown_variables() -> list[str]:
    """What is set in the environment as a setting and is none, each with the nearest name that is one."""
    known = {name for field in Settings.model_fields for name in env_names(field)}
    short = {name.removeprefix("PALAVER_"): name for name in sorted(known)}
    told: list[str] = []
    for name in sorted(os.environ):
        if name.upper().startswith("PALAVER_") and name.upper() not in known | ELSEWHERE:
            if name.upper() in GONE:
                told.append(f"{name} is no setting any more: {GONE[name.upper()]}")
                continue
            near = get_close_matches(name.upper().removeprefix("PALAVER_"), short, 1)
            told.append(f"{name} is no setting" + "".join(f"; {short[one]} is one" for one in near))
    return told


def _words(fault: ErrorDetails) -> str:
    words = _WORDS.get(fault["type"])
    return (
        words.format_map(fault.get("ctx", {}))
        if words
        else fault["msg"].removeprefix("Value error, ")
    )


def _shown(place: str) -> str:
    return env_names(place)[0] if place in Settings.model_fields else place
