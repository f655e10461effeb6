"""Makes, changes and shares agents: their cards, of which each change is a version, and who may use and edit them.

`by` None is a program that opened the database, or the operator. What comes of another's agent is asked here, before
anything is told, and again where it is written.
"""

import asyncio
import re
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any

import orjson
from msgspec import ValidationError, convert, to_builtins
from msgspec.structs import fields, replace

from palaver.cards.files import FileForm, read, write
from palaver.clock import Clock
from palaver.core import validation
from palaver.core.identity.profiles import checked_picture
from palaver.errors import Code, Refused
from palaver.model import Actor, ActorId
from palaver.model.agents import AgentCard, Audience, Card, CardVersion
from palaver.policy import ServerAct, agent_not_found, agent_refusal, check_server, may_use
from palaver.settings import Settings
from palaver.store.read import actors, agents
from palaver.store.store import Store
from palaver.store.write.agents import Blob, SaveAgent, ShareAgent, blob_of
from palaver.strict_json import dump_exact, exact

ASSISTANT = "assistant"
_ID = re.compile(r"a_[0-9a-f]{32}")
PARAMETERS_BYTES_MAX = 16_384
NAME_CHARS_MAX = 200
CARD_BYTES_MAX = 1_048_576
PEOPLE_MAX = 100
_NOT_THIS_ONE = {Code.HANDLE_TAKEN, Code.HANDLE_INVALID, Code.NAME_RESERVED}
JSON_TYPE = "application/json"


class Agents:
    """The agents of one database."""

    def __init__(self, store: Store, settings: Settings, clock: Clock) -> None:
        self._store, self._settings, self._clock = store, settings, clock

    async def assistant(self) -> ActorId:
        """The server's own agent, made if need be."""
        known = await self._store.read(agents.by_subject, ASSISTANT)
        return (known or await self.ensured(ASSISTANT, "Assistant")).id

    async def ensured(self, subject: str, name: str | None = None, **changes: Any) -> AgentCard:
        """The agent that a program knows by this, made or changed. What is not given, or None, stays as it is.

        A new one gets it as its handle, where it is one that nobody has. Refused: `name_reserved` (it is no agent's),
        `card_invalid`.
        """
        known = await self._store.read(agents.by_subject, subject)
        given = {one: value for one, value in changes.items() if value is not None}
        changes = _checked(given if name is None else {**given, "name": name})
        if known is not None and replace(known, **changes) == known:
            return known
        new = self._new_id()
        handle = None if known is not None or "handle" in changes else _handle_of(subject)
        if handle is not None:
            try:
                return await self._save(new, {**changes, "handle": handle}, subject=subject)
            except Refused as refused:
                if refused.code is not Code.HANDLE_TAKEN:
                    raise
        return await self._save(new, changes, subject=subject)

    async def by_name(self) -> dict[str, AgentCard]:
        """All agents that answer, by what they are called."""
        return await self._store.read(agents.by_name)

    async def listing(self, by: Actor | None, *, everyones: bool = False) -> Sequence[AgentCard]:
        """The agents that one may use, by name; `everyones`: all that one may edit, too, and what is archived."""
        if not everyones:
            found = (await self.by_name()).values()
            return [one for one in found if by is None or may_use(by.id, one)]
        found = await self._store.read(agents.everyones)
        return [one for one in found if agent_refusal(by, one) is None]

    async def get(self, by: Actor | None, agent: ActorId) -> AgentCard:
        """An agent that one may use or edit. Refused: `agent_not_found`."""
        found = await self._store.read(agents.get, agent)
        if found is not None and agent_refusal(by, found) is None:
            return found
        if found is None or by is None or not may_use(by.id, found):
            raise agent_not_found()
        return found

    async def called(self, name: str) -> AgentCard:
        """The agent of this handle or id, also one that is archived, for an operator. Refused: `agent_not_found`."""
        for one in await self.listing(None, everyones=True):
            if name in {one.handle, one.id}:
                return one
        raise agent_not_found()

    async def bot(self, handle: str) -> AgentCard:
        """The agent of this handle or id, for its program; made as a bot where there is none. Refused: as `create`."""
        try:
            return await self.called(handle)
        except Refused as refused:
            if refused.code is not Code.AGENT_NOT_FOUND or _ID.fullmatch(handle):
                raise
        handle = validation.handle(handle)
        return await self.create(None, {"name": handle, "handle": handle, "bot": True})

    async def used(self, by: Actor, agent: ActorId) -> AgentCard:
        """An agent that one may use. Refused: `agent_not_found`."""
        found = await self._store.read(agents.get, agent)
        if found is None or not may_use(by.id, found):
            raise agent_not_found()
        return found

    async def of_new_room(
        self, by: Actor, assistant: ActorId, chosen: Sequence[str] = ()
    ) -> tuple[ActorId, ...]:
        """Who answers in a new room of somebody: what their own cards say, and those of the server's agents.

        `chosen`: they, in the place of the default one. Refused: `agent_not_found`.
        """
        picked = [(await self.used(by, ActorId(one))).id for one in chosen]
        found = [one for one in await self.listing(by) if one.owner in {None, by.id}]
        default = sorted((one for one in found if one.default), key=lambda one: one.owner is None)
        first = default[0].id if default else assistant
        joining = (one.id for one in found if one.auto_join)
        return tuple(dict.fromkeys((*(picked or (first,)), *joining)))

    async def edited(self, by: Actor | None, agent: ActorId) -> AgentCard:
        """An agent that one may edit. Refused: `agent_not_found`, `forbidden`."""
        if by is not None:
            check_server(ServerAct.AGENTS, by.server_role)
        found = await self.get(by, agent)
        if (refused := agent_refusal(by, found)) is not None:
            raise refused
        return found

    async def create(
        self,
        by: Actor | None,
        changes: Mapping[str, Any],
        *,
        agent: str | None = None,
        blobs: Sequence[Blob] = (),
    ) -> AgentCard:
        """Makes an agent of one's own, without a handle with one like its name; the same id again gives what is there.

        Refused: as `change`, `bad_request` (the id), `too_many_agents`.
        """
        id_ = agent or self._new_id()
        handle = changes.get("handle")
        handles = [handle] if handle else _numbered(_like(str(changes.get("name"))), id_)
        return await self._named(by, changes, handles, id_, blobs=blobs)

    async def _made(
        self, by: Actor | None, changes: Mapping[str, Any], agent: str, blobs: Sequence[Blob]
    ) -> AgentCard:
        """Makes an agent of exactly this handle, or gives what is there. Refused: as `create`."""
        if by is not None:
            check_server(self._making, by.server_role)
        if not _ID.fullmatch(agent):
            raise Refused(Code.BAD_REQUEST, "An id is 'a_' and 32 of 0-9 and a-f.")
        if not changes.get("name"):
            raise _invalid("An agent has a name.")
        id_ = ActorId(agent)
        there = await self._store.read(agents.get, id_)
        if there is not None and by is not None and there.owner != by.id:
            raise agent_not_found()
        if there is not None:
            return there
        return await self._save(
            id_, _checked(changes), by=by, subject=f"agent-{id_[2:]}", blobs=blobs
        )

    async def change(
        self, by: Actor | None, agent: ActorId, changes: Mapping[str, Any]
    ) -> AgentCard:
        """Changes a card, which is another version of it.

        Refused: `agent_not_found`, `forbidden`, `card_invalid`, `handle_invalid`, `handle_taken`, `name_invalid`,
        `name_reserved`.
        """
        await self.edited(by, agent)
        return await self._save(agent, _checked(changes), by=by)

    async def drafted(
        self, by: Actor | None, agent: ActorId | None, changes: Mapping[str, Any]
    ) -> AgentCard:
        """An agent, or a new one (None), as it would be with these changes, which are not kept.

        Without any, who may use it may ask, too. Refused: as `change` and `create`.
        """
        if by is not None:
            check_server(self._making if agent is None else ServerAct.AGENTS, by.server_role)
        if agent is not None:
            found = await (self.edited(by, agent) if changes else self.get(by, agent))
            return replace(found, **_checked(changes))
        new = AgentCard(id=ActorId(""), name=ASSISTANT, version=0, owner=_id(by))
        return replace(new, **_checked(changes))

    async def share(
        self,
        by: Actor | None,
        agent: ActorId,
        *,
        audience: Audience | None = None,
        people: Collection[str] | None = None,
        archived: bool | None = None,
    ) -> AgentCard:
        """Says who may use an agent, or archives it; None: as it is. Refused: as `change`, `not_found` (a person)."""
        await self.edited(by, agent)
        if people is not None and len(people) > PEOPLE_MAX:
            raise _invalid(f"An agent is for {PEOPLE_MAX} people at most, or for everyone.")
        named = None if people is None else tuple(map(ActorId, dict.fromkeys(people)))
        sharing = ShareAgent(
            id=agent, by=_id(by), audience=audience, people=named, archived=archived
        )
        return await self._store.write(sharing)

    async def versions(
        self, by: Actor | None, agent: ActorId, *, before: int | None = None, limit: int = 50
    ) -> Sequence[CardVersion]:
        """Versions of a card, the newest first. Refused: `agent_not_found`, `forbidden`, `limit_invalid`."""
        await self.edited(by, agent)
        count = validation.page_size(limit, self._settings.page_max)
        return await self._store.read(agents.versions, agent, before=before, count=count)

    async def version(self, by: Actor | None, agent: ActorId, version: int) -> CardVersion:
        """One of them. Refused: `agent_not_found` (also a version that is not kept), `forbidden`."""
        for found in await self.versions(by, agent, before=version + 1, limit=1):
            if found.version == version:
                return found
        raise agent_not_found()

    async def restore(self, by: Actor | None, agent: ActorId, version: int) -> AgentCard:
        """Makes a version the newest again, but for the handle, which stays. Refused: as `version`."""
        card = (await self.version(by, agent, version)).card
        changes = {one.name: getattr(card, one.name) for one in fields(Card)}
        del changes["handle"]
        return await self._save(agent, changes, by=by)

    async def duplicate(self, by: Actor, agent: ActorId, *, new: str | None = None) -> AgentCard:
        """Makes an agent of one's own with the same card, called `<handle>-2` or so. Refused: as `create`."""
        card = await self.edited(by, agent)
        changes = {one.name: getattr(card, one.name) for one in fields(Card)}
        stem, id_, blobs = changes.pop("handle"), ActorId(new or self._new_id()), list[Blob]()
        for name in ("avatar", "source"):  # each blob has one owner
            kept = await self._store.read(actors.blob, bytes.fromhex(changes[name] or ""))
            if kept is not None:
                blobs.append(blob_of(id_, *kept))
                changes[name] = blobs[-1].digest.hex()
        handles = _numbered(stem or _like(card.name), id_)
        return await self._named(by, changes, handles[1:] if stem else handles, id_, blobs=blobs)

    async def set_picture(self, by: Actor | None, agent: ActorId, data: bytes) -> AgentCard:
        """Gives an agent a picture, or none (no bytes).

        Refused: `agent_not_found`, `forbidden`, `bad_request` (no picture), `picture_too_large`.
        """
        await self.edited(by, agent)
        blobs = (blob_of(agent, checked_picture(data), data),) if data else ()
        avatar = blobs[0].digest.hex() if blobs else None
        return await self._save(agent, {"avatar": avatar}, by=by, blobs=blobs)

    async def take(
        self, by: Actor | None, data: bytes, *, handle: str | None = None, new: str | None = None
    ) -> tuple[AgentCard, str | None]:
        """Makes an agent of a file, and when it is meant to speak, where it says so.

        Without a `handle` it gets that of the file, or one that is like its name. A picture that is too large for one
        is left out. Refused: `card_invalid`, and as `create`.
        """
        if by is not None:
            check_server(self._making, by.server_role)
        file = await asyncio.to_thread(read, data)
        id_ = new or self._new_id()
        changes, blobs = dict(file.said), list[Blob]()
        with suppress(Refused):
            if file.picture is not None:
                kind = checked_picture(file.picture)
                blobs.append(blob_of(ActorId(id_), kind, file.picture))
                changes["avatar"] = blobs[0].digest.hex()
        if file.source is not None:
            kept = dump_exact(self._store.redacted(file.source))
            blobs.append(blob_of(ActorId(id_), JSON_TYPE, kept))
            changes["source"] = blobs[-1].digest.hex()
        stem = changes.pop("handle", None) or _like(str(changes.get("name")))
        handles = _numbered(stem, id_) if handle is None else [handle]
        try:
            made = await self._named(by, changes, handles, id_, blobs=blobs)
        except Refused as refused:
            if refused.code in {Code.NAME_INVALID, Code.NAME_RESERVED} and handle is None:
                raise _invalid(refused.detail) from None
            raise
        return made, file.speaks

    async def give(self, by: Actor | None, agent: ActorId, form: FileForm) -> tuple[str, bytes]:
        """An agent as a file, and what that is called. Refused: `agent_not_found`, `forbidden`, `card_invalid`."""
        card = await self.edited(by, agent)
        picture, kept = [
            await self._store.read(actors.blob, bytes.fromhex(digest or ""))
            for digest in (card.avatar, card.source)
        ]
        source = None if kept is None else exact(kept[1])
        written = await asyncio.to_thread(write, card.card, form, picture, source)
        return f"{card.handle or card.id}.{form.suffix}", written

    @property
    def _making(self) -> ServerAct:
        """What making an agent asks."""
        return ServerAct.AGENTS if self._settings.agents == "people" else ServerAct.MANAGE

    def _new_id(self) -> ActorId:
        return ActorId(f"a_{self._clock.new_id()}")

    async def _save(
        self,
        agent: ActorId,
        changes: Mapping[str, Any],
        *,
        by: Actor | None = None,
        subject: str | None = None,
        blobs: Sequence[Blob] = (),
    ) -> AgentCard:
        handle = changes.get("handle")
        saving = SaveAgent(
            id=agent,
            subject=subject,
            changes=changes,
            skeleton=None if handle is None else validation.skeleton(handle),
            by=_id(by),
            blobs=tuple(blobs),
        )
        return await self._store.write(saving)

    async def _named(
        self,
        by: Actor | None,
        changes: Mapping[str, Any],
        handles: Sequence[str],
        new: str,
        *,
        blobs: Sequence[Blob] = (),
    ) -> AgentCard:
        """Makes an agent with the first of these handles that it may have. Refused: as `create`, of the last one."""
        for handle in handles[:-1]:
            try:
                return await self._made(by, {**changes, "handle": handle}, new, blobs)
            except Refused as refused:
                if refused.code not in _NOT_THIS_ONE:
                    raise
        return await self._made(by, {**changes, "handle": handles[-1]}, new, blobs)


def _checked(changes: Mapping[str, Any]) -> dict[str, Any]:
    """What is to be of a card, within its bounds. Refused: `card_invalid`, and as names and handles are."""
    try:
        card = convert({"name": ASSISTANT, **changes}, Card)
        size = len(orjson.dumps(to_builtins(card)))  # nor can half of a character be kept
    except (ValidationError, orjson.JSONEncodeError) as problem:
        raise _invalid(f"{problem}.") from None
    if len(orjson.dumps(card.parameters)) > PARAMETERS_BYTES_MAX or size > CARD_BYTES_MAX:
        most = f"{PARAMETERS_BYTES_MAX:,} bytes of parameters, and {CARD_BYTES_MAX:,} in all."
        raise _invalid(f"A card has at most {most}")
    checked = {name: getattr(card, name) for name in changes}
    if checked.get("handle") not in {None, ASSISTANT}:
        checked["handle"] = validation.handle(checked["handle"])
    if "name" in checked:
        checked["name"] = _name(checked["name"])
    if "model" in checked:
        checked["model"] = checked["model"] or None
    return checked


def _name(text: str) -> str:
    """An agent may be called what a person may, and what it is."""
    return (
        text.strip()
        if text.strip().lower() == ASSISTANT
        else validation.person_name(text, NAME_CHARS_MAX)
    )


def _handle_of(subject: str) -> str | None:
    """What an agent is called by people whom a program calls so; None for what is no handle."""
    if subject == ASSISTANT:
        return subject
    try:
        return subject if validation.handle(subject) == subject else None
    except Refused:
        return None


def _numbered(stem: str, agent: str) -> list[str]:
    """A handle, and what it may be if somebody has it; the last of them is one that nobody has."""
    stem = stem or "agent"
    more = [f"{stem[: validation.HANDLE_CHARS_MAX - 2]}-{one}" for one in range(2, 10)]
    return [stem, *more, f"{_like(stem)[:20] or 'agent'}-{agent[2:10]}"]


def _like(name: str) -> str:
    """What may be a handle of a name."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub("[^a-z0-9]+", "-", plain).strip("-")[: validation.HANDLE_CHARS_MAX].strip("-")


def _invalid(detail: str) -> Refused:
    return Refused(Code.CARD_INVALID, detail)


def _id(by: Actor | None) -> ActorId | None:
    return None if by is None else by.id
