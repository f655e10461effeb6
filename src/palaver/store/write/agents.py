"""Makes, changes and shares agents, and keeps each version of their cards.

What somebody does to an agent is checked under the lock of the audit room, which all take who change roles. `by` None
is a program that opened the database, or the operator.
"""

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any

from msgspec import Struct, to_builtins
from msgspec.structs import replace
from sqlalchemy import Connection, Select, Text, bindparam, delete, func, select

from palaver.errors import Code, Refused
from palaver.model import AUDIT, ActorId, ActorKind, ApiKey, EventType, RoomId
from palaver.model.agents import AgentCard, Audience
from palaver.policy import agent_not_found
from palaver.store.engine.statement import Statement, inserting, matching, updating
from palaver.store.hash_chain import DIGEST_BYTES
from palaver.store.read import actors as stored_actors, agents as stored
from palaver.store.schema import actors, agent_people, agent_versions, agents, blobs
from palaver.store.write.actors import (
    RenameActor,
    check_free,
    insert,
    known_actor,
    nobody,
    of_handle,
    shared_rooms,
    tell_members,
)
from palaver.store.write.audit import audit
from palaver.store.write.command import Command, T_co
from palaver.store.write.people.credentials import AddKey, revoke_keys
from palaver.store.write.transaction import KnownActor, Transaction

VERSIONS_MAX = 1_000
"""So many of an agent's versions are kept, the newest."""
OWNED_MAX = 100

_LOCK = matching(select(agents.c.version).with_for_update(), agents.c.actor_key)
_ADD = inserting(agents, "actor_key", "version", "owner_key", "audience")
_SET = updating(agents.c.actor_key, "version")
_SHARE = updating(agents.c.actor_key, "audience", "archived_ms")
_CALL = updating(actors.c.key, "public_handle", "skeleton")
_SHOW = updating(actors.c.key, "avatar")
_KEEP = inserting(agent_versions, "actor_key", "version", "card", "by_key", "at_ms")
_FORGET = Statement(
    delete(agent_versions).where(
        agent_versions.c.actor_key == bindparam("its_key"),
        agent_versions.c.version <= bindparam("upto"),
    ),
    *("its_key", "upto"),
)
_OLD = Statement(
    select(agent_versions.c.card).where(
        agent_versions.c.actor_key == bindparam("its_key"),
        agent_versions.c.version <= bindparam("upto"),
    ),
    *("its_key", "upto"),
)


def _refers(position: str) -> Select[*tuple[Any, ...]]:
    """A version of an agent's in whose card a digest stands, from the oldest on."""
    digest = bindparam("digest", type_=Text)
    found = getattr(func, position)(agent_versions.c.card.cast(Text), digest)
    return (
        select(agent_versions.c.version)
        .where(agent_versions.c.actor_key == bindparam("its_key"), found > 0)
        .order_by(agent_versions.c.version)
        .limit(1)
    )


_REFERS = Statement(_refers("strpos"), "its_key", "digest", sqlite=_refers("instr"))
_REMOVE_BLOB = matching(delete(blobs), blobs.c.digest)
_ADD_BLOB = inserting(blobs, "digest", "media_type", "data")
_FORGET_PEOPLE = matching(delete(agent_people), agent_people.c.agent_key)
_ADD_PERSON = inserting(agent_people, "agent_key", "person_key")


class Blob(Struct, frozen=True):
    """What a card refers to by its digest: a picture, or the card of another program."""

    digest: bytes
    media_type: str
    data: bytes


def blob_of(agent: ActorId, media_type: str, data: bytes) -> Blob:
    """A blob of an agent's: each has its own, as each person has."""
    key = bytes.fromhex(agent[2:])
    return Blob(blake2b(data, digest_size=DIGEST_BYTES, key=key).digest(), media_type, data)


class AgentCommand(Command[T_co], frozen=True, kw_only=True):
    """A command about an agent. `subject`: the inner name by which a program knows it, or a new one gets."""

    id: ActorId
    subject: str | None = None
    by: ActorId | None = None

    @property
    def audited(self) -> bool:
        """Whether the audit room tells of it although an operator does it."""
        return False

    @property
    def anywhere(self) -> bool:
        return True

    def rooms(self, conn: Connection) -> Sequence[RoomId]:
        there = self.there(conn)
        shared = () if there is None else shared_rooms(conn, there.id)
        return (AUDIT, *shared) if self.by is not None or self.audited else shared

    def there(self, conn: Connection) -> AgentCard | None:
        """The agent, if there is one."""
        known = None if self.subject is None else stored.by_subject(conn, self.subject)
        return known or stored.get(conn, self.id)

    def locked(self, tx: Transaction) -> tuple[AgentCard | None, KnownActor | None]:
        """The agent, which nobody else changes before the commit, and who asks. Refused: as `policy` says."""
        tx.lock(self.rooms_in(tx))
        by = None if self.by is None else known_actor(tx, self.by, nobody())
        there = self.there(tx.conn)
        if there is not None:
            _LOCK.all(tx.conn, known_actor(tx, there.id).key)
            there = self.there(tx.conn)
        asks = self.by if there is not None else None
        if there and asks and (refused := stored.refusal(tx.conn, asks, there)) is not None:
            raise refused
        return there, by


class SaveAgent(AgentCommand[AgentCard], frozen=True, kw_only=True):
    """Makes an agent, or changes its card as `changes` say; the same card again is no other version.

    `skeleton`: of the handle in `changes`. Refused: `name_reserved` (`subject` is no agent's), `handle_taken`,
    `too_many_agents`, `agent_not_found`, `forbidden`.
    """

    changes: Mapping[str, Any]
    skeleton: str | None = None
    blobs: tuple[Blob, ...] = ()

    @property
    def audited(self) -> bool:
        return "bot" in self.changes

    def apply(self, tx: Transaction) -> AgentCard:
        if self.subject is not None:
            of_handle(tx, self.subject, ActorKind.AGENT)
        there, by = self.locked(tx)
        before = there or self._new(tx, by)
        saved = replace(before, **self.changes, version=before.version + 1)
        if there is not None and saved.card == there.card:
            return there
        if saved.handle is not None and saved.handle != before.handle:
            check_free(tx, saved.handle, self.skeleton or "", saved.id)
        if there is None:
            assert self.subject is not None, "a new one has an inner name"
            key = insert(tx, saved.actor, self.subject)
            _ADD.run(tx.conn, key, saved.version, by and by.key, saved.audience)
        else:
            RenameActor(actor=saved.id, name=saved.name).apply(tx)
            key = known_actor(tx, saved.id).key
            _SET.run(tx.conn, saved.version, key)
        if saved.handle != before.handle:
            _CALL.run(tx.conn, saved.handle, self.skeleton, key)
        if saved.avatar != before.avatar:
            _SHOW.run(tx.conn, saved.avatar and bytes.fromhex(saved.avatar), key)
        missing = [one for one in self.blobs if stored_actors.blob(tx.conn, one.digest) is None]
        _ADD_BLOB.many(tx.conn, [(one.digest, one.media_type, one.data) for one in missing])
        _KEEP.run(tx.conn, key, saved.version, to_builtins(saved.card), by and by.key, tx.now_ms)
        _forget(tx, key, saved.version - VERSIONS_MAX)
        if before.bot and not saved.bot:
            revoke_keys(tx, saved.id)
        if by is not None:
            audit(tx, EventType.AGENT_SAVED, by, of=saved.id, version=saved.version)
        return saved

    def _new(self, tx: Transaction, by: KnownActor | None) -> AgentCard:
        """An agent before its first version: a person's own is theirs alone, until they share it."""
        if self.subject is None:
            raise agent_not_found()
        owned, there = stored.counts(tx.conn, by and by.key)
        if (by is not None and owned >= OWNED_MAX) or there >= stored.AGENTS_MAX:
            most = f"There are {stored.AGENTS_MAX:,} agents at most, and {OWNED_MAX} of one person."
            raise Refused(Code.TOO_MANY_AGENTS, most)
        audience = Audience.EVERYONE if by is None else Audience.ME
        return AgentCard(
            id=self.id,
            name=self.subject,
            version=0,
            owner=by and by.id,
            owner_name=by and by.name,
            audience=audience,
        )


class AddAgentKey(AgentCommand[ApiKey], frozen=True, kw_only=True):
    """Makes a key by which a program is an agent. Refused: `agent_not_found`, `bad_request` (no bot), as `AddKey`."""

    adding: AddKey

    @property
    def audited(self) -> bool:
        return True

    def apply(self, tx: Transaction) -> ApiKey:
        there, _ = self.locked(tx)
        if there is None or there.archived_ms is not None:
            raise agent_not_found()
        if not there.bot:
            words = "A model answers for this agent: say in its card that it is a bot, then make its key."
            raise Refused(Code.BAD_REQUEST, words)
        return self.adding.apply(tx)


def _forget(tx: Transaction, key: int, upto: int) -> None:
    """Takes the versions up to one, and what they alone referred to."""
    known = [
        digest
        for row in _OLD.all(tx.conn, key, upto)
        for digest in (row.card.get("avatar"), row.card.get("source"))
        if digest is not None
    ]
    _FORGET.run(tx.conn, key, upto)
    for digest in dict.fromkeys(known):
        if _REFERS.first(tx.conn, key, digest) is None:
            _REMOVE_BLOB.run(tx.conn, bytes.fromhex(digest))


class ShareAgent(AgentCommand[AgentCard], frozen=True, kw_only=True):
    """Says who may use an agent, and whether it is archived; None: as it is.

    Refused: `agent_not_found`, `forbidden`, `not_found` (one of the people).
    """

    audience: Audience | None = None
    people: tuple[ActorId, ...] | None = None
    archived: bool | None = None

    def apply(self, tx: Transaction) -> AgentCard:
        there, by = self.locked(tx)
        if there is None:
            raise agent_not_found()
        archived_ms = there.archived_ms
        if self.archived is not None:
            archived_ms = (archived_ms or tx.now_ms) if self.archived else None
        shared = replace(
            there,
            audience=self.audience or there.audience,
            people=there.people if self.people is None else frozenset(self.people),
            archived_ms=archived_ms,
        )
        if shared == there:
            return there
        people = [known_actor(tx, one).key for one in sorted(shared.people)]
        key = known_actor(tx, there.id).key
        _SHARE.run(tx.conn, shared.audience, archived_ms, key)
        _FORGET_PEOPLE.run(tx.conn, key)
        for person in people:
            tx.used(person)
            _ADD_PERSON.run(tx.conn, key, person)
        tell_members(tx, there.id, there.name)
        if by is not None:
            told = {"audience": shared.audience.value, "archived": archived_ms is not None}
            audit(tx, EventType.AGENT_SHARED, by, of=there.id, **told, people=sorted(shared.people))
        return shared
