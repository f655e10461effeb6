"""The values of REST and of `palaver.v1`, each written once: a `TypedDict`, and the function that builds it.

The OpenAPI document and the page's types (`scripts/page_types.py`) come from the same classes.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal, NotRequired, cast

from pydantic import with_config
from typing_extensions import TypedDict

import palaver.model as stored
from palaver.core.answers.source import Models
from palaver.core.live import items
from palaver.model import ActorKind, MemberRole, OpenTo, Role, Status, Visibility
from palaver.wire import parts

explained = with_config(use_attribute_docstrings=True)
"""For a shape whose fields have docstrings of their own."""


def moment(ms: int) -> str:
    """A time as the protocol writes it: `2026-11-20T20:15:00.123Z`."""
    seconds, rest = divmod(ms, 1000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:03d}Z"


def moment_or_none(ms: int | None) -> str | None:
    """A time, if there is one."""
    return None if ms is None else moment(ms)


# people


class Person(TypedDict):
    """An actor, in short."""

    id: str
    name: str


def person(actor: stored.Actor) -> Person:
    """Builds an actor's short shape."""
    return {"id": actor.id, "name": actor.name}


@explained
class Me(Person):
    """Who is asking."""

    kind: ActorKind
    guest: bool
    handle: str | None
    """Of who has an account."""
    role: stored.ServerRole | None
    """On this server, of who has an account."""
    avatar: str | None
    """The address of a picture, which never changes."""


def me(actor: stored.Actor) -> Me:
    """Builds the shape of the actor who asks."""
    return {
        "id": actor.id,
        "name": actor.name,
        "kind": actor.kind,
        "guest": actor.guest,
        "handle": actor.handle,
        "role": actor.server_role,
        "avatar": avatar(actor.avatar),
    }


def avatar(name: str | None) -> str | None:
    """The address of a picture."""
    return name and f"/api/avatars/{name}"


@explained
class Key(TypedDict):
    """An API key, without its token."""

    id: str
    name: str
    actor: Person
    scopes: list[str]
    rooms: list[str] | None
    """None: it is limited to none."""
    created_at: str
    last_used_at: str | None
    revoked_at: str | None
    expires_at: str | None


def key(value: stored.ApiKey) -> Key:
    """Builds the shape of an API key."""
    return {
        "id": value.id,
        "name": value.name,
        "actor": person(value.actor),
        "scopes": sorted(value.scopes),
        "rooms": None if value.rooms is None else sorted(value.rooms),
        "created_at": moment(value.created_ms),
        "last_used_at": moment_or_none(value.last_used_ms),
        "revoked_at": moment_or_none(value.revoked_ms),
        "expires_at": moment_or_none(value.expires_ms),
    }


class Account(TypedDict):
    """An account, as an operator sees it."""

    id: str
    handle: str
    name: str
    avatar: str | None
    status: stored.AccountStatus
    role: stored.ServerRole | None
    email: str | None
    created_at: str
    last_used_at: str | None


def account(value: stored.Account) -> Account:
    """Builds the shape of an account."""
    assert value.actor.handle is not None, "an account has a handle"
    return {
        "id": value.actor.id,
        "handle": value.actor.handle,
        "name": value.actor.name,
        "avatar": avatar(value.actor.avatar),
        "status": value.status,
        "role": value.actor.server_role,
        "email": value.email,
        "created_at": moment(value.created_ms),
        "last_used_at": moment_or_none(value.used_ms),
    }


# rooms and what is in them


@explained
class Client(TypedDict, total=False):
    """The program that a room's messages came from, as far as it told."""

    program: str
    folder: str
    """Where it works."""
    kept_despite: bool
    """It asked with `store: false`, and is kept because its key says so."""


class Forked(TypedDict):
    """The room whose messages another one began with, up to which seq."""

    room: str
    seq: int


@explained
class Room(TypedDict):
    """A room, as its reader sees it."""

    id: str
    title: str
    visibility: Visibility
    open_to: OpenTo | None
    """Of a room that its owner opened."""
    open_role: MemberRole | None
    role: MemberRole
    joined: bool
    """Whether one is a member; else one is here because the room is open."""
    seq: int
    created_at: str
    active_at: str
    deleted_at: str | None
    archived_at: str | None
    """Since when nothing more is said in it."""
    muted: bool
    hidden: bool
    """Whether it is left out of one's list, until something is said."""
    pinned: bool
    """Whether one has it on top of one's list."""
    read_seq: int
    unread: int
    """Messages of others after `read_seq`, at most 100."""
    agents: list[Person]
    door: str | None
    """Through which other door its messages came: `openai`."""
    parent: str | None
    """The room under which it stands."""
    client: Client | None
    turns: Literal["together", "in_turn"]
    """Whether its agents answer one after the other."""
    greets: bool
    """Whether an agent that comes says its greeting."""
    branch: int
    """The branch that one looks at."""
    main_branch: int
    """The one that who has chosen none looks at, and to which is added what names none."""
    branches: int
    """How many were made beside the first."""
    forked: Forked | None
    """Where it was forked."""


def room(value: stored.Room) -> Room:
    """Builds the shape of a room."""
    assert value.role is not None, "who may not see a room is not given it"
    told = value.settings.get("client", {})
    return {
        "id": value.id,
        "title": value.title,
        "visibility": value.visibility,
        "open_to": value.open_to,
        "open_role": value.open_role,
        "role": value.role,
        "joined": value.joined,
        "seq": value.seq,
        "created_at": moment(value.created_ms),
        "active_at": moment(value.active_ms),
        "deleted_at": moment_or_none(value.deleted_ms),
        "archived_at": moment_or_none(value.archived_ms),
        "muted": value.muted,
        "hidden": value.hidden,
        "pinned": value.pinned,
        "read_seq": value.read_seq,
        "unread": value.unread,
        "agents": [person(agent) for agent in value.agents],
        "door": value.door,
        "parent": value.parent,
        "client": cast(
            "Client", {name: told[name] for name in Client.__annotations__ if name in told}
        )
        or None,
        "turns": "in_turn" if value.settings.get("turns") == "in_turn" else "together",
        "greets": value.settings.get("greets", True),
        "branch": value.branch,
        "main_branch": value.main_branch,
        "branches": value.branches,
        "forked": value.forked and {"room": value.forked[0], "seq": value.forked[1]},
    }


@explained
class Overseen(TypedDict):
    """A room, as who looks after the server sees it: nothing of what was said there."""

    id: str
    title: str
    """Empty where one may not read the room, unless a person chose it: it was made of what was said."""
    visibility: Visibility
    role: MemberRole | None
    """One's own, where one is a member."""
    seq: int
    """How many events its log has."""
    created_at: str
    active_at: str
    deleted_at: str | None
    archived_at: str | None


def overseen(value: stored.Room) -> Overseen:
    """Builds the shape of a room for who oversees it."""
    return {
        "id": value.id,
        "title": value.title,
        "visibility": value.visibility,
        "role": value.role,
        "seq": value.seq,
        "created_at": moment(value.created_ms),
        "active_at": moment(value.active_ms),
        "deleted_at": moment_or_none(value.deleted_ms),
        "archived_at": moment_or_none(value.archived_ms),
    }


def room_or_overseen(value: stored.Room) -> Room | Overseen:
    """Builds the shape of a room for a member, or for who only oversees it."""
    return overseen(value) if value.role is None else room(value)


@explained
class Here(TypedDict):
    """Who reads a room now, as far as they want to be seen."""

    count: int
    people: list[str] | None
    """Their ids; None where they are more than a hundred."""


def here(value: items.Here) -> Here:
    """Builds the shape of who is here."""
    return {"count": value.count, "people": None if value.people is None else list(value.people)}


class Usage(TypedDict, total=False):
    """Tokens of an answer. Of the input, `cached` cost less; of the output, `reasoning` was thought.

    `estimated`: nobody counted them. `cost_micros`: millionths of a dollar, where the price is known.
    """

    input: int
    output: int
    cached: int
    reasoning: int
    estimated: bool
    cost_micros: int


class Timing(TypedDict, total=False):
    """Milliseconds of an answer: until its first word, and in all."""

    first: int
    total: int


class Failure(TypedDict):
    """Why an answer failed."""

    code: str
    detail: NotRequired[str]
    temporary: NotRequired[bool]


@explained
class Meta(TypedDict, total=False):
    """What else is known of a message; more may come."""

    turn: str
    model: str
    provider: str
    finish: str
    usage: Usage
    ms: Timing
    reasoning: str
    error: Failure
    exchange: str
    """The API request and its answer, to be fetched from `/api/exchanges`."""
    choice: int
    """Which of several answers to one question, from 0."""
    name: str
    """The speaker in the API client's words."""
    parts: list[Any]
    """The content as the API has it, where it is more than one text."""
    refusal: str
    call_id: str
    tool: str
    context: bool
    """Whether a program says so in its person's name, or answers that in the agent's."""
    item: Any
    """What only the API's client understands."""
    greeting: bool
    """Whether an agent said so when it came."""


@explained
class Reaction(TypedDict):
    """An emoji under a message."""

    emoji: str
    count: int
    people: list[Person]
    """The first of them, 50 of a message with all its kinds; and who asks, if they are one."""


def reaction(value: stored.Reaction) -> Reaction:
    """Builds the shape of a reaction."""
    people = [person(one) for one in value.people]
    return {"emoji": value.emoji, "count": value.count, "people": people}


@explained
class Message(TypedDict):
    """What somebody said, as it is now."""

    id: str
    room: str
    seq: int
    by: str
    name: str
    became: NotRequired[str]
    """Whose account the author, a guest, went into: `name` is that one's, who may take back what the guest said."""
    role: Role
    kind: str
    """`text`, `tool_call`, `tool_result`, `reasoning` or `item`; more may come."""
    status: Status
    text: str
    cid: str | None
    reply_to: str | None
    branch: int
    at: str
    edited_at: str | None
    deleted_at: str | None
    meta: Meta
    reactions: NotRequired[list[Reaction]]
    """In a page of a room, where there are some: those that came first stand first."""
    pinned: NotRequired[bool]
    starred: NotRequired[bool]
    """By who asks. Both in a page of a room."""


def message(value: stored.Message) -> Message:
    """Builds the shape of a message."""
    shown: Message = {
        "id": value.id,
        "room": value.room,
        "seq": value.seq,
        "by": value.author,
        "name": value.name,
        "role": value.role,
        "kind": value.kind,
        "status": value.status,
        "text": value.text,
        "cid": value.cid,
        "reply_to": value.reply_to,
        "branch": value.branch,
        "at": moment(value.created_ms),
        "edited_at": moment_or_none(value.edited_ms),
        "deleted_at": moment_or_none(value.deleted_ms),
        "meta": cast("Meta", parts.light(value)),
    }
    if value.became is not None:
        shown["became"] = value.became
    if value.reactions:
        shown["reactions"] = [reaction(one) for one in value.reactions]
    if value.pinned:
        shown["pinned"] = True
    if value.starred:
        shown["starred"] = True
    return shown


class RoomEvent(TypedDict):
    """What happened in a room, at a seq. The shape of `d` depends on `k`."""

    room: str
    seq: int
    k: str
    at: str
    by: str | None
    d: Mapping[str, Any]


def event(value: stored.Event) -> RoomEvent:
    """Builds the shape of an event; one that created or edited a message carries the message as it is now."""
    data: Mapping[str, Any] = dict(value.data)
    if value.message is not None:
        said = message(value.message)
        data = {**data, "message": said} if data else said
    if value.name is not None:
        data = {**data, "name": value.name}
    return {
        "room": value.room,
        "seq": value.seq,
        "k": value.type,
        "at": moment(value.at_ms),
        "by": value.actor,
        "d": data,
    }


class Was(Person):
    """Who was in a room, and as what."""

    role: MemberRole


@explained
class Then(TypedDict):
    """A room as it was just after one of its events."""

    seq: int
    at: str
    k: str
    """What had just happened."""
    by: Person | None
    d: Mapping[str, Any]
    title: str
    members: list[Was]
    """Owners first, at most 200. Names are those of now."""
    more: bool
    """Whether others were in it, too."""


def then(value: stored.Then) -> Then:
    """Builds the shape of a room as it was."""
    told = event(value.event)
    return {
        "seq": told["seq"],
        "at": told["at"],
        "k": told["k"],
        "by": value.by and person(value.by),
        "d": told["d"],
        "title": value.title,
        "members": [{**person(one), "role": role} for one, role in value.members],
        "more": value.more,
    }


class Page(TypedDict):
    """A page of messages of a branch's path, oldest first; with `at`, of the room as it was `then`."""

    messages: list[Message]
    before: int | None
    after: int | None
    branch: int
    then: NotRequired[Then]


def page(value: stored.Page) -> Page:
    """Builds the shape of a page of messages."""
    messages = [message(one) for one in value.messages]
    return {
        "messages": messages,
        "before": value.before,
        "after": value.after,
        "branch": value.branch,
    }


def answering(found: Models) -> dict[str, Any]:
    """What answers, as `palaver doctor` tells it."""
    names = [one.id for one in found.models]
    return {"provider": found.provider, "models": names, "hint": found.hint}
