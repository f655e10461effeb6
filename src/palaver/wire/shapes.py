"""The shapes of REST, as types: what bodies must be, and what the OpenAPI document says of answers.

A body is checked against its shape; an answer is made by `frames`, and a test holds the two together.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class Shape(BaseModel):
    """Unknown fields are ignored; a type is what it says, nothing is converted."""

    model_config = ConfigDict(strict=True, extra="ignore", use_attribute_docstrings=True)


# what comes in


class NewName(Shape):
    """Another name."""

    name: str
    """1 to 80 characters."""


class NewGuest(Shape):
    """A new identity."""

    name: str | None = None
    """Its name. Default: a made-up one."""


class NewKey(Shape):
    """A new API key of one's own."""

    name: str | None = None
    """What the list calls it. Default: a made-up name."""
    scopes: list[str] = []
    """What it is good for. Default: everything."""


class GivenLink(Shape):
    """A link that adds a device."""

    token: str
    """What stands behind its `#`."""


class NewDevice(GivenLink):
    """A device that is added by a link."""

    name: str = "Another device"
    """What the list calls it."""
    replace: bool = False
    """Whether it may become somebody else, where it is somebody already."""


class NewRoom(Shape):
    """A new room."""

    title: str = ""
    """At most 200 characters. Default: named after its first message."""


class NewTitle(Shape):
    """Another title."""

    title: str
    """At most 200 characters."""


class NewMessage(Shape):
    """A message."""

    cid: str
    """Made once per message, best a UUID: the same one is stored once, for ever."""
    text: str
    """At most 100,000 characters (Unicode code points)."""
    reply_to: str | None = None
    """The message that this one answers."""


class ReadUpTo(Shape):
    """What was read."""

    seq: int = Field(ge=0)
    """Everything up to this seq."""


# what goes out


class Me(Shape):
    """Who is asking."""

    id: str
    name: str
    kind: Literal["person", "agent", "system"]
    guest: bool


class Agent(Shape):
    """Who answers in a room."""

    id: str
    name: str


class Room(Shape):
    """A room, as its reader sees it."""

    id: str
    title: str
    visibility: Literal["private", "open"]
    role: Literal["owner", "member", "reader"]
    seq: int
    created_at: str
    active_at: str
    deleted_at: str | None
    read_seq: int
    unread: int
    """Messages of others after `read_seq`, at most 100."""
    agents: list[Agent]
    door: str | None
    """Through which other door its messages came: `openai`."""


class Message(Shape):
    """What somebody said, as it is now."""

    id: str
    room: str
    seq: int
    by: str
    name: str
    role: Literal["user", "assistant", "system", "developer", "tool"]
    kind: str
    """`text`, `tool_call`, `tool_result`, `reasoning` or `item`; more may come."""
    status: Literal["done", "stopped", "interrupted", "failed"]
    text: str
    cid: str | None
    reply_to: str | None
    branch: int
    at: str
    edited_at: str | None
    deleted_at: str | None
    meta: dict[str, Any]


class Event(Shape):
    """What happened in a room, at a seq."""

    room: str
    seq: int
    k: str
    at: str
    by: str | None
    d: dict[str, Any]


class Rooms(Shape):
    """A page of rooms."""

    rooms: list[Room]
    next: str | None


class Messages(Shape):
    """A page of messages, oldest first."""

    messages: list[Message]
    before: int | None
    after: int | None


class Events(Shape):
    """What happened after a seq."""

    events: list[Event]
    seq: int
    epoch: str


class Guest(Shape):
    """A new identity and its token."""

    token: str
    me: Me


class KeyActor(Shape):
    """For whom a key speaks."""

    id: str
    name: str


class Key(Shape):
    """An API key, without its token."""

    id: str
    name: str
    actor: KeyActor
    scopes: list[str]
    created_at: str
    last_used_at: str | None
    revoked_at: str | None


class Keys(Shape):
    """One's own API keys."""

    keys: list[Key]


class MadeKey(Shape):
    """A new API key, and its token, which is shown this once."""

    token: str
    key: Key


class Device(Shape):
    """A device with a session of one's own."""

    id: str
    name: str | None
    """None: where this identity began."""
    created_at: str
    current: bool


class Link(Shape):
    """A link that adds a device, once."""

    id: str
    created_at: str
    expires_at: str


class Devices(Shape):
    """One's own devices, and the link that is still good."""

    devices: list[Device]
    link: Link | None


class MadeLink(Shape):
    """A new link. `url` has its token, which is shown this once."""

    url: str
    link: Link


class Owner(Shape):
    """Whose link it is, and who this browser is."""

    by: KeyActor
    me: KeyActor | None


class Model(Shape):
    """A model that can answer."""

    id: str
    provider: str
    default: bool


class Models(Shape):
    """Who can answer here."""

    models: list[Model]
    provider: str
    hint: str | None


class Sent(Shape):
    """What became of a message."""

    state: Literal["stored", "accepted"]
    """`accepted`: kept by this server until the database is back."""
    msg: str
    seq: int | None
    dup: bool
    turns: list[str]


class Turn(Shape):
    """An answer that is being made."""

    turn: str


class Exchange(Shape):
    """A request through the OpenAI-compatible API and its answer."""

    id: str
    name: str | None
    """The id that its client knows."""
    kind: Literal["chat", "response"]
    state: Literal["running", "completed", "incomplete", "failed", "cancelled"]
    model: str
    created_at: str
    ended_at: str | None
    request: dict[str, Any]
    response: dict[str, Any] | None
    """None while it is running."""
    usage: dict[str, Any] | None
    ms: int | None
    finish: str | None


class Health(Shape):
    """How the server is."""

    status: Literal["healthy", "degraded"]
    service: Literal["palaver"]
    db: Literal["up", "down"]
    history: Literal["whole", "behind"]
    version: str


class Problem(Shape):
    """An error (RFC 9457). `code` is stable."""

    type: Literal["about:blank"]
    title: str
    status: int
    detail: str
    code: str
    temporary: bool
    """Whether the same call may succeed later."""
