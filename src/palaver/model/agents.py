"""What makes an actor an agent: its card, of which each change is a version."""

from enum import StrEnum
from typing import Annotated, Any

from msgspec import Meta, Struct, field
from msgspec.structs import fields, replace

from palaver.model import Actor, ActorId, ActorKind


class Audience(StrEnum):
    """Who may use an agent: `ME` is its owner alone, `SOME` are people who are named, too, `EVERYONE` is anybody."""

    ME = "me"
    SOME = "some"
    EVERYONE = "everyone"


class Card(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """What an agent is like, within its bounds. `model` None: the server's default; `context_…`: as the server says.

    `group_greetings` are for a room of more than two; `examples` stand in front of what was said, `post_history` behind
    it. `default`: new rooms begin with it; `auto_join`: they get it, too. `bot`: no model answers for it but a program,
    by a key of its own. `avatar` and `source` (the card of another
    program that it was made of, whose texts have macros) are digests of `blobs`.
    """

    name: Annotated[str, Meta(min_length=1, max_length=200)]
    handle: str | None = None
    avatar: str | None = None
    description: Annotated[str, Meta(max_length=2_000)] = ""
    persona: Annotated[str, Meta(max_length=200_000)] = ""
    model: Annotated[str, Meta(max_length=200)] | None = None
    profile: Annotated[str, Meta(max_length=200)] | None = None
    parameters: dict[str, Any] = field(default_factory=dict[str, Any])
    context_messages: Annotated[int, Meta(ge=1, le=10_000)] | None = None
    context_tokens: Annotated[int, Meta(ge=1, le=10_000_000)] | None = None
    greeting: Annotated[str, Meta(max_length=20_000)] = ""
    group_greetings: Annotated[
        tuple[Annotated[str, Meta(max_length=20_000)], ...], Meta(max_length=20)
    ] = ()
    examples: Annotated[str, Meta(max_length=100_000)] = ""
    post_history: Annotated[str, Meta(max_length=20_000)] = ""
    tags: Annotated[tuple[Annotated[str, Meta(max_length=40)], ...], Meta(max_length=20)] = ()
    auto_join: bool = False
    default: bool = False
    bot: bool = False
    source: str | None = None


class AgentCard(Card, frozen=True, kw_only=True):
    """An agent and its card, the newest `version`. `owner` None: the server's own; `people`: of the audience `SOME`."""

    id: ActorId
    version: int = 1
    owner: ActorId | None = None
    owner_name: str | None = None
    audience: Audience = Audience.EVERYONE
    people: frozenset[ActorId] = frozenset()
    archived_ms: int | None = None

    @property
    def actor(self) -> Actor:
        """Who speaks."""
        return Actor(
            id=self.id,
            kind=ActorKind.AGENT,
            name=self.name,
            handle=self.handle,
            avatar=self.avatar,
        )

    @property
    def asks(self) -> str | None:
        """The name of the model that it asks: behind its profile, if it has one."""
        return self.model if self.profile is None else f"{self.profile}/{self.model or ''}"

    @property
    def card(self) -> Card:
        """What a version of it is."""
        return Card(**{one.name: getattr(self, one.name) for one in fields(Card)})


class OwnSettings(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a room has of its own for an agent there, in the place of what its card says; empty: as the card says.

    `model` stands behind the id of its connection (`f_…/`) where that is a stored one.
    """

    instructions: Annotated[str, Meta(max_length=20_000)] = ""
    model: Annotated[str, Meta(max_length=300)] | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None

    def on(self, card: AgentCard) -> AgentCard:
        """A card with these: a version of it that has no number."""
        if self.instructions:
            card = replace(card, persona=self.instructions)
        if self.model:
            card = replace(card, model=self.model, profile=None)
        if self.temperature is not None:
            given = {**card.parameters, "temperature": self.temperature}
            card = replace(card, parameters=given)
        return card


class CardVersion(Struct, frozen=True, kw_only=True):
    """A version of an agent's card, made by whom (None: the operator, or a program) and when."""

    version: int
    card: Card
    by: ActorId | None
    by_name: str | None = None
    at_ms: int


class Told(Struct, frozen=True):
    """What is kept of what a model was told: the SHA-256 of the request, and whether its words stood below headers.

    `card`: the version of its agent's; `most`: so many tokens its answer might have, by a budget; `settings`: the seq
    of the event that says what its room had of its own.
    """

    digest: bytes
    headed: bool
    card: int | None = None
    most: int | None = None
    settings: int | None = None
