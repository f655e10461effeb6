"""REST about agents: a library of those that one may use, with their cards, for who may edit them."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Any, Literal

from fastapi import Request
from msgspec import to_builtins
from starlette.responses import Response
from typing_extensions import TypedDict

import palaver.model.agents as stored
from palaver.cards.files import FileForm
from palaver.cards.templates import templates
from palaver.core.answers.tries import Try
from palaver.core.runtime import Core
from palaver.model import Actor, ActorId, Role
from palaver.model.agents import Audience
from palaver.policy import ServerAct, agent_refusal
from palaver.strict_json import dump
from palaver.wire.api.body import Given, Limit, Whole, word_of
from palaver.wire.api.feed import lines_of
from palaver.wire.auth import Me, standing_of
from palaver.wire.calls import call
from palaver.wire.edge.rates import Use, take_by
from palaver.wire.shapes import avatar, explained, moment, moment_or_none
from palaver.wire.streams import Attended, event_headers, stream

GivenForm = Annotated[FileForm, word_of(FileForm)]
GivenAudience = Annotated[Audience | None, word_of(Audience)]


class GivenContext(Given):
    """How much of a room an agent is told, at the most. None: as the server says."""

    messages: int | None = None
    tokens: int | None = None


class ChangedAgent(Given):
    """What is to be of an agent. Default: as it is."""

    handle: str | None = None
    """2 to 32 of `a-z`, `0-9`, `.`, `_` and `-`; none that looks like another. A new agent without one gets one like
    its name."""
    name: str | None = None
    """A new agent needs it."""
    description: str | None = None
    persona: str | None = None
    """What its model is told before all else, at most 200,000 characters."""
    model: str | None = None
    """None: the server's default one."""
    profile: str | None = None
    parameters: dict[str, Any] | None = None
    """For the model server, such as `temperature`; 16 KiB of JSON at most."""
    context: GivenContext | None = None
    greeting: str | None = None
    group_greetings: list[str] | None = None
    """In a room of more than two."""
    examples: str | None = None
    """Which stand in front of what was said."""
    post_history: str | None = None
    """What its model is told behind what was said."""
    tags: list[str] | None = None
    auto_join: bool | None = None
    """Whether the new rooms of who may use it get it, too."""
    default: bool | None = None
    """Whether they begin with it, instead of the server's own."""
    bot: bool | None = None
    """Whether no model answers for it but a program, by a key of its own."""
    audience: GivenAudience = None
    """Who may use it: `me`, `some` or `everyone`."""
    people: list[str] | None = None
    """Of the audience `some`: the ids of who they are."""
    archived: bool | None = None
    """Whether it answers no more."""


class NewAgent(ChangedAgent):
    """An agent that is to be made."""

    id: str | None = None
    """`a_` and 32 hex digits, made by who asks: the same again gives what is there. Default: a new one."""


class TriedMessage(Given):
    """What was said in a try: by who asks (`user`), or by the agent (`assistant`)."""

    role: Literal["user", "assistant"] = "user"
    text: str


class TriedAgent(Given):
    """An agent that is to be tried, and what was said so far."""

    messages: list[TriedMessage]
    """At most 100, the one that is to be answered last."""
    agent: str | None = None
    """Default: one that is not there yet."""
    card: ChangedAgent = ChangedAgent()
    """What is to be of it in this try."""


class CopiedAgent(Given):
    """A copy that is to be made."""

    id: str | None = None
    """As of a new agent."""


@explained
class Context(TypedDict):
    """How much of a room an agent is told, at the most."""

    messages: int | None
    tokens: int | None


@explained
class Card(TypedDict):
    """What an agent is like. What is null is told to who may edit it."""

    handle: str | None
    name: str
    avatar: str | None
    """The address of a picture, which never changes."""
    description: str
    persona: str | None
    model: str | None
    profile: str | None
    parameters: dict[str, Any]
    context: Context
    greeting: str
    group_greetings: list[str]
    examples: str | None
    post_history: str | None
    tags: list[str]
    auto_join: bool
    default: bool
    bot: bool
    """Whether a program answers for it."""
    imported: bool
    """Whether it was made of another program's card, which is kept."""


@explained
class Agent(Card):
    """An agent, with the newest version of its card."""

    id: str
    version: int
    owner: str | None
    """Null: the server's own."""
    owner_name: str | None
    audience: Audience
    people: list[str]
    """Of the audience `some`, for who may edit it."""
    editable: bool
    """Whether who asks may edit it."""
    archived_at: str | None


class Agents(TypedDict):
    """Agents, by name."""

    agents: list[Agent]


class Templates(TypedDict):
    """Cards to begin with, whose handles are suggestions."""

    templates: list[Card]


@explained
class Imported(TypedDict):
    """An agent that was made of a file."""

    agent: Agent
    speaks: str | None
    """When it is meant to speak, where its file says so: `always`, `mentioned` or `never`."""


class Version(TypedDict):
    """A version of a card, made by whom (null: the operator, or a program)."""

    version: int
    card: Card
    by: str | None
    by_name: str | None
    at: str


@explained
class Versions(TypedDict):
    """Versions of a card, the newest first."""

    versions: list[Version]
    before: int | None
    """The version to go on before."""


class Library:
    """The calls about agents."""

    def __init__(self, core: Core) -> None:
        self._agents, self._tries = core.agents, core.tries

    @call("GET", "/agents", ServerAct.MODELS)
    async def listing(self, me: Me, *, all: bool = False) -> Agents:  # noqa: A002  as it is written in the address
        """The agents that one may use, by handle; `all=true`: those that one may edit, also archived ones."""
        found = await self._agents.listing(me, everyones=all)
        return {"agents": [agent_of(one, me) for one in found]}

    @call("POST", "/agents", ServerAct.AGENTS, status=201)
    async def create(self, me: Me, body: NewAgent) -> Agent:
        """Makes an agent of one's own, for oneself unless the body says more."""
        made = await self._agents.create(me, _changes(body), agent=body.id)
        return await self._shared(me, made, body)

    @call("GET", "/agents/templates", ServerAct.MODELS)
    async def templates(self, me: Me) -> Templates:  # noqa: ARG002  somebody has to ask
        """Cards to begin with."""
        return {"templates": [card_of(one, whole=True) for one in templates()]}

    @call("GET", "/agents/{agent}", ServerAct.MODELS)
    async def show(self, me: Me, agent: str) -> Agent:
        """An agent that one may use or edit."""
        return agent_of(await self._agents.get(me, ActorId(agent)), me)

    @call("POST", "/agents/import", ServerAct.AGENTS, use=Use.CONNECTIONS, status=201)
    async def take(
        self,
        me: Me,
        request: Request,
        *,
        handle: str | None = None,
        id: str | None = None,  # noqa: A002  as it is written in the address
    ) -> Imported:
        """Makes an agent of the file that is the body: our own form, or SillyTavern's V1 to V3 as .json or .png."""
        data = await request.body()
        made, speaks = await self._agents.take(me, data, handle=handle, new=id)
        return {"agent": agent_of(made, me), "speaks": speaks}

    @call(*("POST", "/agents/try", ServerAct.AGENTS), use=Use.MESSAGES, media="text/event-stream")
    async def attempt(self, request: Request, me: Me, body: TriedAgent) -> Response:
        """Asks an agent as it is, or would be with what is in `card`, and keeps nothing but what that used.

        Events: `piece` with a `text` or a `thought`, at last `end`. It stops when its client goes.
        """
        take_by(request.scope, me)
        one = await self._tries.begin(
            me,
            [(Role(said.role), said.text) for said in body.messages],
            agent=None if body.agent is None else ActorId(body.agent),
            changes=_changes(body.card),
            standing=standing_of(request, me),
        )
        return Attended(lambda send: stream(send, _told(one), event_headers()), one.live.stop)

    @call("GET", "/agents/{agent}/export", ServerAct.AGENTS, media="application/json")
    async def give(self, me: Me, agent: str, *, format: GivenForm = FileForm.PALAVER) -> Response:  # noqa: A002
        """An agent as a file: in our form (`palaver`), or as other programs read it: `json`, or its picture, `png`."""
        name, data = await self._agents.give(me, ActorId(agent), format)
        media_type = "image/png" if format is FileForm.PNG else "application/json"
        headers = {"content-disposition": f'attachment; filename="{name}"'}
        return Response(data, media_type=media_type, headers=headers)

    @call("PUT", "/agents/{agent}/avatar", ServerAct.AGENTS)
    async def set_avatar(self, me: Me, request: Request, agent: str) -> Agent:
        """Takes the picture that is the body, as of a person; it is another version of the card."""
        data = await request.body() or b"\0"
        return agent_of(await self._agents.set_picture(me, ActorId(agent), data), me)

    @call("DELETE", "/agents/{agent}/avatar", ServerAct.AGENTS)
    async def remove_avatar(self, me: Me, agent: str) -> Agent:
        """Takes an agent's picture away."""
        return agent_of(await self._agents.set_picture(me, ActorId(agent), b""), me)

    @call("PATCH", "/agents/{agent}", ServerAct.AGENTS)
    async def change(self, me: Me, agent: str, body: ChangedAgent) -> Agent:
        """Changes an agent's card, which is another version of it, and who may use it."""
        changed = await self._agents.change(me, ActorId(agent), _changes(body))
        return await self._shared(me, changed, body)

    @call("DELETE", "/agents/{agent}", ServerAct.AGENTS, status=204)
    async def archive(self, me: Me, agent: str) -> None:
        """Archives an agent: it answers no more, and what it said stays."""
        await self._agents.share(me, ActorId(agent), archived=True)

    @call("GET", "/agents/{agent}/versions", ServerAct.AGENTS)
    async def versions(
        self, me: Me, agent: str, *, limit: Limit = 50, before: Whole | None = None
    ) -> Versions:
        """Versions of an agent's card, the newest first."""
        found = await self._agents.versions(me, ActorId(agent), before=before, limit=limit)
        following = found[-1].version if found and found[-1].version > 1 else None
        return {"versions": [_version(one) for one in found], "before": following}

    @call("GET", "/agents/{agent}/versions/{version}", ServerAct.AGENTS)
    async def version(self, me: Me, agent: str, version: Whole) -> Version:
        """A version of an agent's card."""
        return _version(await self._agents.version(me, ActorId(agent), version))

    @call("POST", "/agents/{agent}/versions/{version}/restore", ServerAct.AGENTS)
    async def restore(self, me: Me, agent: str, version: Whole) -> Agent:
        """Makes the card what it was, but for the handle; it is another version."""
        return agent_of(await self._agents.restore(me, ActorId(agent), version), me)

    @call("POST", "/agents/{agent}/duplicate", ServerAct.AGENTS, status=201)
    async def duplicate(self, me: Me, agent: str, body: CopiedAgent) -> Agent:
        """Makes an agent of one's own with the same card."""
        return agent_of(await self._agents.duplicate(me, ActorId(agent), new=body.id), me)

    async def _shared(self, me: Actor, card: stored.AgentCard, body: ChangedAgent) -> Agent:
        if not {"audience", "people", "archived"}.isdisjoint(body.model_fields_set):
            card = await self._agents.share(
                me, card.id, audience=body.audience, people=body.people, archived=body.archived
            )
        return agent_of(card, me)


def _changes(body: ChangedAgent) -> dict[str, Any]:
    """What a body says of a card."""
    said = body.model_dump(
        exclude_unset=True, exclude={"id", "audience", "people", "archived", "context"}
    )
    if body.context is not None:
        said |= {"context_messages": body.context.messages, "context_tokens": body.context.tokens}
    return said


async def _told(one: Try) -> AsyncGenerator[bytes, None]:
    """A try as events."""
    async with aclosing(one.told()) as told:
        async for text, thought in told:
            yield lines_of(dump({"text": text} if text else {"thought": thought}), name="piece")
    yield lines_of(dump(to_builtins(one.ended)), name="end")


def card_of(value: stored.Card, *, whole: bool) -> Card:
    """What an agent is like, without its words to the model unless `whole`."""
    return {
        "handle": value.handle,
        "name": value.name,
        "avatar": avatar(value.avatar),
        "description": value.description,
        "persona": value.persona if whole else None,
        "model": value.model,
        "profile": value.profile,
        "parameters": value.parameters,
        "context": {"messages": value.context_messages, "tokens": value.context_tokens},
        "greeting": value.greeting,
        "group_greetings": list(value.group_greetings),
        "examples": value.examples if whole else None,
        "post_history": value.post_history if whole else None,
        "tags": list(value.tags),
        "auto_join": value.auto_join,
        "default": value.default,
        "bot": value.bot,
        "imported": value.source is not None,
    }


def agent_of(value: stored.AgentCard, me: Actor | None) -> Agent:
    """An agent, as it is told to somebody; None is the operator."""
    editable = agent_refusal(me, value) is None
    return {
        **card_of(value, whole=editable),
        "id": value.id,
        "version": value.version,
        "owner": value.owner,
        "owner_name": value.owner_name,
        "audience": value.audience,
        "people": sorted(value.people) if editable else [],
        "editable": editable,
        "archived_at": moment_or_none(value.archived_ms),
    }


def _version(value: stored.CardVersion) -> Version:
    return {
        "version": value.version,
        "card": card_of(value.card, whole=True),
        "by": value.by,
        "by_name": value.by_name,
        "at": moment(value.at_ms),
    }
