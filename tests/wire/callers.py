"""A server, everyone who may call it, and rooms to be asked about: what the matrix of permissions is made of.

A caller is one person at every door: a guest's session, an API key that speaks for that guest, and at the classic door,
which knows only ids that its clients chose, a guest of its own who has the same role.
"""

import asyncio
import base64
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from uuid import UUID, uuid1

import httpx2
from sqlalchemy import Connection
from tests.wire.door import Door, Json, serving, settings_for

from palaver.core.runtime import Core
from palaver.model import Actor, MemberRole, RoomId, Scope, Visibility
from palaver.providers.echo import Echo
from palaver.store.schema import metadata
from palaver.store.store import Store
from palaver.store.write.rooms import RemoveMember
from palaver.wire.classic.sessions import COOKIE, session_of

PICTURE = "data:image/png;base64," + base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(64)).decode()
OWNED = frozenset({"response", "completion", "key", "device", "session", "prompt"})
"""What is its maker's alone."""
KEYED, SESSIONS = frozenset({"openai"}), frozenset({"rest", "live"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who calls. `at`: the doors at which this caller has something to show, or is tried with nothing.

    `unknown`: those at which what is shown is good for nothing (401). `scopes`: of the key; None: all.
    """

    name: str
    role: MemberRole | None = None
    session: str | None = None
    key: str | None = None
    classic_id: UUID | None = None
    actor: Actor | None = None
    classic: Actor | None = None
    at: frozenset[str] = frozenset({"rest", "live", "openai", "classic"})
    unknown: frozenset[str] = frozenset()
    scopes: frozenset[Scope] | None = None

    def headers(self, door: str) -> dict[str, str]:
        if door == "classic":
            return {} if self.classic_id is None else {"cookie": f"{COOKIE}={self.classic_id}"}
        token = self.key if door == "openai" else self.session
        return {} if token is None else {"authorization": f"Bearer {token}"}

    def actor_at(self, door: str) -> Actor | None:
        return self.classic if door == "classic" else self.actor


@dataclass(frozen=True, slots=True)
class Target:
    """A room and what is in it, as the names in the addresses of calls."""

    names: Mapping[str, str]
    words: str = ""
    """What was said, named and noted there, and what no reply to a stranger may hold."""

    def filled(self, text: str) -> str:
        for name, value in self.names.items():
            text = text.replace(f"<{name}>", value).replace(f"{{{name}}}", value)
        return text.replace("<new>", str(uuid1()))

    def hidden(self, text: str) -> str:
        """A reply without what it repeats of the request's ids."""
        for name, value in self.names.items():
            text = text.replace(value, f"<{name}>") if len(value) > len("12345678") else text
        return text


@dataclass(slots=True)
class World:
    """A server with rooms."""

    door: Door
    core: Core
    http: httpx2.AsyncClient
    callers: list[Caller] = field(default_factory=list[Caller])
    others: Mapping[str, Actor] = field(default_factory=dict[str, Actor])
    """Who calls nobody: a `newcomer`, and in each room an `actor`, a member, and a `chief`, a moderator."""
    made: list[tuple[Target, frozenset[str]]] = field(
        default_factory=list[tuple[Target, frozenset[str]]]
    )
    """The rooms, and the names of those who may read them."""

    @property
    def store(self) -> Store:
        return self.core.chat._store

    @property
    def owner(self) -> Caller:
        return next(one for one in self.callers if one.role is MemberRole.OWNER)

    async def counted(self) -> dict[str, int]:
        """How many rows each table has, and the seq of each room."""
        return await self.store.read(_counted)

    def leaked(self, caller: Caller, text: str) -> list[str]:
        """The planted words of rooms that this caller may not read."""
        hidden = (target.words for target, readers in self.made if caller.name not in readers)
        return [words for words in hidden if words in text]

    async def room(
        self,
        door: str,
        visibility: Visibility,
        asker: Caller,
        members: Sequence[Caller],
        *,
        whole: bool,
    ) -> Target:
        """A room of the owner's with these members, in which the `asker` was answered; an open one is of a program.

        `whole`: with what the owner has there alone.
        """
        words = f"planted-{uuid1().hex[:12]}"
        owner = self.owner.actor_at(door)
        asking = asker.actor_at(door)
        assert owner is not None
        assert asking is not None
        rooms, chat = self.core.rooms, self.core.chat
        made = "openai" if visibility is Visibility.OPEN else None
        room = (await rooms.create(owner, title=words, visibility=visibility, door=made)).id
        await rooms.change_settings(owner, room, {"metadata": {"noted": words}})
        for one in members:
            actor = one.actor_at(door)
            if actor is not None and actor != owner and one.role is not None:
                await rooms.join(owner, room, actor, role=one.role)
        out = [one for one in members if one.name == "removed"]
        for actor in (actor for one in out for actor in (one.actor, one.classic)):
            assert actor is not None
            await rooms.join(owner, room, actor)
            removing = RemoveMember(room=room, by=owner.id, actor=actor.id)
            assert await self.store.write(removing)
        if door != "classic":
            await rooms.join(owner, room, self.others["actor"])
            await rooms.join(owner, room, self.others["chief"], role=MemberRole.MODERATOR)
        sent = await chat.send(asking, room, text=f"What is {words}?", cid=None)
        await self.core.turns.idle()
        answer = (await chat.history(owner, room)).messages[-1]
        names = {
            "room": room,
            "conversation": f"conv_{room[2:]}",
            "session_id": session_of(room),
            "question": sent.id,
            "turn": sent.turns[0].id,
            "answer": answer.id,
            "item": f"msg_{answer.id[2:]}",
            "message": answer.id,
            "place": "1",
        }
        names |= {name: one.id for name, one in self.others.items()}
        if whole:
            names |= await self._asked(names, words)
        target = Target(names, words)
        is_open = visibility is Visibility.OPEN
        readers = {
            one.name for one in self.callers if one.role is not None or (is_open and one not in out)
        }
        self.made.append((target, frozenset(readers)))
        return target

    async def _asked(self, names: Mapping[str, str], words: str) -> dict[str, str]:
        """What the owner has there alone: what was asked at `/v1`, a key, a device and a prompt."""
        owner, keyed = self.owner, self.owner.headers("openai")
        look = [
            {"type": "input_text", "text": words},
            {"type": "input_image", "image_url": PICTURE},
        ]
        room = {"model": "default", "conversation": names["conversation"]}
        asked = {**room, "input": [{"role": "user", "content": look}], "instructions": words}
        response = (await self._post("/v1/responses", asked, keyed))["id"]
        chat = {**room, "messages": [{"role": "user", "content": words}], "store": True}
        completion = (await self._post("/v1/chat/completions", chat, keyed))["id"]
        said = await self.core.chat.history(self._actor(owner), RoomId(names["room"]))
        (picture, *_) = [one.id for one in said.messages if one.meta.get("parts")]
        shown = owner.headers("rest")
        key = await self._post("/api/keys", {"name": "more"}, shown)
        session = await self.core.devices.invite(self._actor(owner))
        await self.core.devices.redeem(session[0], "Phone", me=None, replace=False)
        link = await self._post("/api/devices", {}, shown)
        listed = await self.core.devices.listing(self._actor(owner), owner.session or "")
        prompt = await self._post("/api/prompts", {"name": "noted", "text": words}, shown)
        _, invitation = await self.core.members.invite(self._actor(owner), RoomId(names["room"]))
        return {
            "invitation": invitation.id,
            "response": response,
            "exchange": f"x_{response.removeprefix('resp_')}",
            "completion": completion,
            "picture": picture,
            "key": key["key"]["id"],
            "device": link["link"]["id"],
            "session": listed.devices[-1].id,
            "prompt": prompt["id"],
        }

    def _actor(self, caller: Caller) -> Actor:
        assert caller.actor is not None
        return caller.actor

    async def _post(
        self, path: str, body: Mapping[str, object], headers: Mapping[str, str]
    ) -> Json:
        got = await self.http.post(path, json=body, headers=dict(headers))
        assert got.status_code in {200, 201}, got.text
        return got.json()


def ghost_of(target: Target) -> Target:
    """The same names of what never was."""
    return Target({name: _never(value) for name, value in target.names.items()})


def _never(value: str) -> str:
    """An id of the same kind, of nothing."""
    prefix, mark, rest = value.rpartition("_")
    if len(rest) < len("12345678"):
        return value
    if rest.count("-") == str(uuid1()).count("-"):
        return str(uuid1())
    return f"{prefix}{mark}{uuid1().hex[: len(rest)]}"


def _counted(conn: Connection) -> dict[str, int]:
    tables = " UNION ALL ".join(
        f"SELECT '{name}', COUNT(*) FROM {name}" for name in metadata.tables
    )
    seqs = "SELECT id, seq FROM rooms"
    return {
        str(name): count
        for statement in (tables, seqs)
        for name, count in conn.exec_driver_sql(statement)
    }


async def _new(
    core: Core, name: str, role: MemberRole | None, scopes: Sequence[str] = ()
) -> Caller:
    """A guest with a key, and another at the classic door."""
    session, actor = await core.identity.new_guest()
    key, _ = await core.keys.create(name=None, scopes=scopes, actor=actor)
    classic_id = uuid1()
    return Caller(
        name=name,
        role=role,
        session=session,
        key=key,
        classic_id=classic_id,
        actor=actor,
        classic=await core.identity.claimed(classic_id),
    )


async def _everyone(core: Core) -> AsyncGenerator[Caller]:
    """Whoever may come. An agent has neither session nor key: it calls nobody."""
    yield Caller(name="nobody", unknown=KEYED | {"live"})
    yield await _new(core, "stranger", None)
    yield await _new(core, "removed", None)
    for role in MemberRole:
        yield await _new(core, role.value, role)
    for name, role in (("person, stranger", None), ("person", MemberRole.MEMBER)):
        key, made = await core.keys.create(name=name)
        yield Caller(name=name, role=role, key=key, actor=made.actor, at=KEYED)
    one = await _new(core, "ended session", MemberRole.MEMBER)
    assert one.actor is not None
    assert one.session is not None
    link, _ = await core.devices.invite(one.actor)
    phone, _ = await core.devices.redeem(link, "Phone", me=None, replace=False)
    (_, other) = (await core.devices.listing(one.actor, one.session)).devices
    await core.devices.end(one.actor, other.id, one.session)
    yield replace(one, session=phone, at=SESSIONS, unknown=SESSIONS)
    one = await _new(core, "revoked key", MemberRole.MEMBER)
    assert one.actor is not None
    (key_of_it,) = await core.keys.own(one.actor)
    await core.keys.revoke(key_of_it.id, one.actor)
    yield replace(one, at=KEYED, unknown=KEYED)
    scopes = (Scope.EMBEDDINGS, Scope.READ)
    for name, scope in zip(("key without the scope", "key that reads"), scopes, strict=True):
        one = await _new(core, name, MemberRole.MEMBER, [scope])
        yield replace(one, at=KEYED, scopes=frozenset({scope}))


@asynccontextmanager
async def open_world(folder: Path, database_url: str | None) -> AsyncGenerator[World]:
    """A server, at which every program needs a key, and everyone who may call it."""
    settings = settings_for(
        folder, database_url=database_url, openai_keys="required", ping_seconds=600
    )  # most connections are quiet for long
    stop = asyncio.Event()
    async with serving(settings, stop, Echo(piece_seconds=0)) as (url, core):
        door = Door(url, settings, stop)
        world = World(door, core, door.http())
        try:
            async for caller in _everyone(core):
                world.callers.append(caller)
            world.others = {
                name: (await core.identity.new_guest())[1]
                for name in ("newcomer", "actor", "chief")
            }
            yield world
        finally:
            await door.close()
