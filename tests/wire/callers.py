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
from tests.support.kinds import Kind
from tests.wire.door import Door, Json, serving, settings_for

from palaver.core.runtime import Core
from palaver.model import (
    AccountStatus,
    Actor,
    ActorKind,
    ApiKey,
    KeyId,
    MemberRole,
    OpenTo,
    RoomId,
    Scope,
    ServerRole,
    Speaks,
    Visibility,
)
from palaver.policy import caller_by, oversees, role_in
from palaver.providers.echo import Echo
from palaver.store.schema import metadata
from palaver.store.store import Store
from palaver.store.write.rooms import RemoveMember
from palaver.wire.classic.sessions import COOKIE, session_of

PICTURE = "data:image/png;base64," + base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(64)).decode()
OWNED = frozenset({"response", "completion", "key", "device", "session", "prompt"})
"""What is its maker's alone."""
KINDS = {
    "private": Kind(Visibility.PRIVATE),
    "open": Kind(Visibility.OPEN, "openai"),
    "archived": Kind(Visibility.PRIVATE),
    "lobby": Kind(Visibility.OPEN),
    "read by accounts": Kind(Visibility.OPEN, None, OpenTo.PEOPLE, MemberRole.READER),
    "written by accounts": Kind(Visibility.OPEN, None, OpenTo.PEOPLE, MemberRole.MEMBER),
    "read by guests": Kind(Visibility.OPEN, None, OpenTo.EVERYONE, MemberRole.READER),
    "written by guests": Kind(Visibility.OPEN, None, OpenTo.EVERYONE, MemberRole.MEMBER),
}
"""The kinds of rooms: a private one, one that a program opened, an archived one, everyone's, and those of who opened
them to others, to read or to write there."""
KEYED, SESSIONS = frozenset({"openai"}), frozenset({"rest", "live"})
BY_KEY = KEYED | SESSIONS


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who calls. `at`: the doors at which this caller has something to show, or is tried with nothing.

    `unknown`: those at which what is shown is good for nothing, which is told with the status `refused`. `scopes`: of
    the key; None: all.
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
    refused: int = 401
    scopes: frozenset[Scope] | None = None
    server_role: ServerRole | None = None
    keyed: bool = False
    """Whether the key is shown at our own doors, too."""
    limited: bool = False
    """Whether that is good in another room only."""

    def role_in(self, kind: Kind, *, kept_out: bool) -> MemberRole | None:
        """As what a room of this kind has the caller."""
        status = None if self.server_role is None else AccountStatus.ACTIVE
        agent = self.actor is not None and self.actor.kind is ActorKind.AGENT
        return role_in(kind, self.role, kept_out=kept_out, status=status, agent=agent)

    @property
    def asking(self) -> Actor:
        """Who asks by the key."""
        assert self.actor is not None
        scopes = self.scopes or frozenset({Scope.ALL})
        key = ApiKey(id=KeyId("k_1"), name="", actor=self.actor, scopes=scopes, created_ms=0)
        return caller_by(key)

    def token(self, door: str) -> str | None:
        return self.key if self.keyed or door == "openai" else self.session

    def headers(self, door: str) -> dict[str, str]:
        if door == "classic":
            return {} if self.classic_id is None else {"cookie": f"{COOKIE}={self.classic_id}"}
        token = self.token(door)
        return {} if token is None else {"authorization": f"Bearer {token}"}

    def asks_at(self, door: str) -> bool:
        """Whether it is somebody whom agents answer."""
        actor = self.actor_at(door)
        return actor is not None and actor.kind is ActorKind.PERSON

    def actor_at(self, door: str) -> Actor | None:
        return self.classic if door == "classic" else self.actor


@dataclass(frozen=True, slots=True)
class Target:
    """A room and what is in it, as the names in the addresses of calls."""

    names: Mapping[str, str]
    words: str = ""
    """What was said and noted there, and what no reply to a stranger may hold."""
    title: str = ""
    """Its title, which who looks after the server may see."""

    def filled(self, text: str) -> str:
        for name, value in self.names.items():
            text = text.replace(f"<{name}>", value).replace(f"{{{name}}}", value)
        return text.replace("<new>", str(uuid1())).replace("<short>", uuid1().hex)

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
    others: dict[str, Actor] = field(default_factory=dict[str, Actor])
    """Who calls nobody: a `newcomer`, and in each room an `actor`, a member, and a `chief`, a moderator.

    `person` and `admin` have accounts with these roles.
    """
    links: dict[str, str] = field(default_factory=dict[str, str])
    """Invitations to the server: a `link` for a person, and one `above`, for an admin."""
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
        hidden = [target for target, readers in self.made if caller.name not in readers]
        titles = [] if oversees(caller.server_role) else [target.title for target in hidden]
        return [words for words in (*titles, *[one.words for one in hidden]) if words in text]

    async def room(
        self,
        door: str,
        kind: str,
        asker: Caller,
        members: Sequence[Caller],
        *,
        whole: bool,
    ) -> Target:
        """A room of the owner's with these members, in which the `asker` was answered; an open one is of a program.

        `whole`: with what the owner has there alone.
        """
        words, title = (f"{kind}-{uuid1().hex[:12]}" for kind in ("planted", "titled"))
        owner = self.owner.actor_at(door)
        asking = asker.actor_at(door)
        assert owner is not None
        assert asking is not None
        rooms, chat, is_a = self.core.rooms, self.core.chat, KINDS[kind]
        if kind == "lobby":
            room, title, members = self.core.lobby, words, ()
        else:
            made = await rooms.create(owner, title=title, visibility=is_a.made, door=is_a.door)
            room = made.id
            await rooms.change_settings(owner, room, {"metadata": {"noted": words}})
            await self._join(owner, room, door, members)
        if is_a.open_to is not None:
            as_what = is_a.open_role or MemberRole.READER
            await rooms.open_to(owner, room, is_a.open_to, role=as_what)
        sent = await chat.send(asking, room, text=f"What is {words}?", cid=None, asks=True)
        await self.core.turns.idle()
        answer = (await chat.history(owner, room)).messages[-1]
        names = {
            "branch": await self._begun(asking, room, f"And {words}?"),
            "room": room,
            "conversation": f"conv_{room[2:]}",
            "session_id": session_of(room),
            "question": sent.id,
            "turn": sent.turns[0].id,
            "answer": answer.id,
            "item": f"msg_{answer.id[2:]}",
            "message": answer.id,
            "place": "1",
            "emoji": "👍",
            "version": "1",
        }
        names |= {name: one.id for name, one in self.others.items()} | self.links
        if whole:
            names |= await self._asked(names, words)
        if kind == "archived":
            await rooms.set_archived(owner, room, archived=True)
        target = Target(names, words, title)
        out = [one for one in members if one.name == "removed"]
        seeing = [one for one in self.callers if one.role_in(is_a, kept_out=one in out) is not None]
        readers = frozenset(one.name for one in seeing if not one.limited)
        self.made.append((target, readers))
        return target

    async def _begun(self, by: Actor, room: RoomId, text: str) -> str:
        """A branch, at which nobody looks."""
        sent = await self.core.chat.send(by, room, text=text, cid=None, after=0, answers=False)
        assert sent.message is not None
        await self.core.branches.look(by, room, 0)
        return str(sent.message.branch)

    async def _join(self, owner: Actor, room: RoomId, door: str, members: Sequence[Caller]) -> None:
        """Makes them members; who is `removed` is taken out again."""
        rooms = self.core.rooms
        for one in members:
            actor = one.actor_at(door)
            if actor is not None and actor != owner and one.role is not None:
                await rooms.join(owner, room, actor, role=one.role, speaks=Speaks.NEVER)
        out = [one for one in members if one.name == "removed"]
        for actor in (actor for one in out for actor in (one.actor, one.classic)):
            assert actor is not None
            await rooms.join(owner, room, actor)
            removing = RemoveMember(room=room, by=owner.id, actor=actor.id)
            assert await self.store.write(removing)
        if door != "classic":
            await rooms.join(owner, room, self.others["actor"])
            await rooms.join(owner, room, self.others["chief"], role=MemberRole.MODERATOR)

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
        _, invitation = await self.core.invitations.make(self._actor(owner), RoomId(names["room"]))
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


MOVED = frozenset({"feed", "unfed", "consumers"})
"""What the server moves by itself; what is told there is in a room's seq."""


def _counted(conn: Connection) -> dict[str, int]:
    tables = " UNION ALL ".join(
        f"SELECT '{name}', COUNT(*) FROM {name}" for name in metadata.tables if name not in MOVED
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
    """Whoever may come. An agent has no session: a program of its own calls by a key that speaks for it."""
    yield Caller(name="nobody", unknown=KEYED | {"live"})
    yield await _new(core, "stranger", None)
    yield await _new(core, "removed", None)
    for role in MemberRole:
        yield await _new(core, role.value, role)
    for name, role in (("person, stranger", None), ("person", MemberRole.MEMBER)):
        key, made = await core.keys.create(name=name)
        yield Caller(name=name, role=role, key=key, actor=made.actor, at=KEYED)
    for name, role, at in (
        ("agent", MemberRole.MEMBER, BY_KEY),
        ("agent, stranger", None, frozenset({"rest"})),
    ):
        agent = (await core.agents.ensured(name.replace(", ", "-"), bot=True)).actor
        key, made = await core.keys.create(agent=agent)
        scopes = made.scopes
        yield Caller(name=name, role=role, key=key, scopes=scopes, actor=agent, at=at, keyed=True)
    doors = (SESSIONS, frozenset({"rest", "openai"}), BY_KEY)
    for server_role, at in zip(ServerRole, doors, strict=True):
        one = await _new(core, f"server {server_role}", None)
        assert one.actor is not None
        made = await core.register.create(f"the-{server_role}", person=one.actor, role=server_role)
        yield replace(one, actor=made.actor, at=at, server_role=server_role)
    one = await _new(core, "ended session", MemberRole.MEMBER)
    assert one.actor is not None
    assert one.session is not None
    link, _ = await core.devices.invite(one.actor)
    phone, _ = await core.devices.redeem(link, "Phone", me=None, replace=False)
    (_, other) = (await core.devices.listing(one.actor, one.session)).devices
    await core.devices.end(one.actor, other.id, one.session)
    yield replace(one, session=phone, at=SESSIONS, unknown=SESSIONS)
    one = await _new(core, "disabled", MemberRole.MODERATOR)
    made = await core.register.create("the-disabled", person=one.actor)
    await core.register.set_status("the-disabled", AccountStatus.DISABLED)
    shut = KEYED | SESSIONS
    yield replace(one, actor=made.actor, at=shut, unknown=shut, refused=403)
    async for one in _by_keys(core):
        yield one


async def _by_keys(core: Core) -> AsyncGenerator[Caller]:
    """Whoever may come by a key that is not as good as its person."""
    one = await _new(core, "revoked key", MemberRole.MEMBER)
    assert one.actor is not None
    (key_of_it,) = await core.keys.own(one.actor)
    await core.keys.revoke(key_of_it.id, one.actor)
    yield replace(one, at=BY_KEY, unknown=BY_KEY, keyed=True)
    one = await _new(core, "expired key", MemberRole.MEMBER)
    ends_ms = core.clock.now_ms() + 1
    key, _ = await core.keys.create(actor=one.actor, expires_ms=ends_ms)
    while core.clock.now_ms() <= ends_ms:
        pass
    at = frozenset({"live", "openai"})
    yield replace(one, key=key, at=at, unknown=at, keyed=True)
    scopes = (Scope.EMBEDDINGS, Scope.READ)
    for name, scope in zip(("key without the scope", "key that reads"), scopes, strict=True):
        one = await _new(core, name, MemberRole.MEMBER, [scope])
        yield replace(one, at=BY_KEY, scopes=frozenset({scope}), keyed=True)
    one = await _new(core, "key limited to another room", MemberRole.MEMBER)
    assert one.actor is not None
    room = await core.rooms.create(one.actor)
    key, _ = await core.keys.create(actor=one.actor, rooms=[room.id])
    yield replace(one, at=BY_KEY, key=key, keyed=True, limited=True)


@asynccontextmanager
async def open_world(folder: Path, database_url: str | None) -> AsyncGenerator[World]:
    """A server, at which every program needs a key, and everyone who may call it."""
    settings = settings_for(
        folder,
        database_url=database_url,
        openai_keys="required",
        ping_seconds=600,  # most connections are quiet for long
        provider_idle_seconds=0.01,  # whichever agent is a program's is away
    )
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
            for role in (ServerRole.PERSON, ServerRole.ADMIN):
                made = await core.register.create(f"some-{role}", role=role)
                world.others[role.value] = made.actor
            owner = (await core.register.get(f"the-{ServerRole.OWNER}")).actor
            for name, role in (("link", ServerRole.PERSON), ("above", ServerRole.ADMIN)):
                _, link = await core.invitations.make(owner, server_role=role)
                world.links[name] = link.id
            yield world
        finally:
            await door.close()
