"""Takes somebody out for good: first all that proves and names them, in one commit, then their rooms, some in each.

What they said stays, and so does the actor who said it, without a name; nobody comes again as that one. Until all is
done it is noted in `meta`, so that whoever comes next can go on where somebody was cut off.
"""

import re
from collections.abc import Sequence

from sqlalchemy import (
    ColumnElement,
    Connection,
    bindparam,
    delete,
    func,
    literal_column,
    or_,
    select,
    update,
)

from palaver.model import AUDIT, AccountStatus, ActorId, EventType, MemberRole, RoomId, ServerRole
from palaver.policy import ServerAct
from palaver.store.engine.statement import Statement, inserting, matching, updating
from palaver.store.migrate import INSERT_META
from palaver.store.read import accounts as stored_accounts, api_keys as stored_keys
from palaver.store.read.accounts import LEAVING
from palaver.store.read.actors import OUT, id_of
from palaver.store.schema import (
    accounts,
    actors,
    agent_people,
    agents,
    blobs,
    deliveries,
    identities,
    keys,
    member_is_agent,
    member_is_in,
    members,
    meta,
    profiles,
    prompts,
    sessions,
    stars,
    tickets,
    webhooks,
)
from palaver.store.write.actors import nobody
from palaver.store.write.agents import OWNED_MAX
from palaver.store.write.audit import audit
from palaver.store.write.members import set_role
from palaver.store.write.people.accounts import KEYS_TOLD_MAX, allowed, keep_an_owner, wrong
from palaver.store.write.people.claims import PART_MAX, SHARED
from palaver.store.write.people.credentials import Audited, EndSessions
from palaver.store.write.rooms import set_deleted
from palaver.store.write.transaction import KnownActor, LockedRoom, Transaction

_MADE_UP = re.compile(r"(account|api|guest|key)-[0-9a-f]{32}")
"""Inner names that say nothing of anybody."""

_SELVES = Statement(
    select(*actors.c["key", "kind", "id", "handle", "avatar"]).where(
        or_(actors.c.key == bindparam("its_key"), actors.c.became_key == bindparam("its_key"))
    ),
    "its_key",
)
"""An actor, and the guests who went into its account."""
_FORGET_ACTOR = updating(
    actors.c.key,
    *("handle", "name"),
    **dict.fromkeys(("public_handle", "skeleton", "preferences", "email", "avatar", "unused")),
)
_FORGET_SESSIONS = updating(
    sessions.c.actor_key, **dict.fromkeys(("name", "agent", "address", "elsewhere"))
)
_FORGET_KEYS = Statement(
    update(keys)
    .where(keys.c.actor_key == bindparam("its_key"))
    .values(name="", revoked_ms=func.coalesce(keys.c.revoked_ms, bindparam("now_ms"))),
    *("now_ms", "its_key"),
)
_ITS = (
    *(table.c.actor_key for table in (tickets, identities, prompts, stars)),
    profiles.c.owner_key,
)
_ITS_WEBHOOKS = select(webhooks.c.key).where(webhooks.c.owner_key == bindparam("its_key"))
_TAKE = [
    Statement(delete(deliveries).where(deliveries.c.webhook_key.in_(_ITS_WEBHOOKS)), "its_key"),
    *(matching(delete(column.table), column) for column in (*_ITS, webhooks.c.owner_key)),
]
_TAKE_SHARES = matching(delete(agent_people), agent_people.c.person_key)
_OWNED = matching(select(agents.c.actor_key).limit(OWNED_MAX), agents.c.owner_key)
_ARCHIVE = updating(agents.c.actor_key, "archived_ms", where=agents.c.archived_ms.is_(None))
_TAKE_BLOB = matching(delete(blobs), blobs.c.digest)
_END_ACCOUNT = updating(accounts.c.actor_key, "status", "role", password=None)
_ADD_ENDED = inserting(accounts, "status", "role", "actor_key", "created_ms")
_LEAVE = matching(delete(members), members.c.room_key, members.c.actor_key)
_OUT: list[ColumnElement[str]] = [literal_column(f"'{one}'") for one in sorted(OUT)]
_LONGEST = matching(
    select(*actors.c["kind", "id"])
    .select_from(members)
    .join(actors, actors.c.key == members.c.actor_key)
    .outerjoin(accounts, accounts.c.actor_key == members.c.actor_key)
    .where(member_is_in, ~member_is_agent, func.coalesce(accounts.c.status, "").not_in(_OUT))
    .order_by(members.c.joined_ms, members.c.actor_key)
    .limit(1),
    *(members.c.room_key, members.c.role),
)
_FORGET_META = matching(delete(meta), meta.c.name)


class Leave(Audited[bool], frozen=True, kw_only=True):
    """Takes an actor out; True when that was the last of it. Once more changes nothing.

    `by`: who wants it, as in `SetStatus`; the person itself proves an account that has one by its `password`, as in
    `Claim`. Refused: `unauthenticated` (there is no such actor), `credentials_wrong`, `forbidden`, `last_owner`.
    """

    actor: ActorId
    by: ActorId | None = None
    password: bytes | None = None

    @property
    def anywhere(self) -> bool:
        return True

    def rooms(self, conn: Connection) -> Sequence[RoomId]:
        return (AUDIT, *SHARED.column(conn, self.actor))

    def apply(self, tx: Transaction) -> bool:
        shared = self.rooms_in(tx)
        tx.lock(shared)
        leaver = tx.actor(self.actor)
        if leaver is None:
            raise nobody()
        if leaver.status is not AccountStatus.DELETED:
            self._check(tx)
            _note(tx, [*stored_accounts.unfinished(tx.conn), leaver.id])
            _forget(tx, leaver, self.by)
        for room in shared[1:]:
            _leave(tx, tx.room(room, deleted_too=True), leaver)
        return len(shared) <= PART_MAX

    def _check(self, tx: Transaction) -> None:
        account, password = stored_accounts.of_actor(tx.conn, self.actor) or (None, None)
        if self.by != self.actor:
            allowed(tx, ServerAct.MANAGE, self.by, of=account and account.actor.server_role)
        elif password is not None and password.encode() != self.password:
            raise wrong()
        if account is not None:
            keep_an_owner(tx, account)


class Left(Audited[None], frozen=True, kw_only=True):
    """Nothing of somebody who has left is anywhere any more."""

    actor: ActorId

    def apply(self, tx: Transaction) -> None:
        tx.lock(self.rooms_in(tx))
        _note(tx, [one for one in stored_accounts.unfinished(tx.conn) if one != self.actor])


def _note(tx: Transaction, leaving: Sequence[ActorId]) -> None:
    """Notes who is being taken out. The audit room is locked."""
    _FORGET_META.run(tx.conn, LEAVING)
    if leaving:
        INSERT_META.run(tx.conn, LEAVING, " ".join(leaving))


def _forget(tx: Transaction, leaver: KnownActor, by: ActorId | None) -> None:
    """Takes away what proves somebody, and what is known of them, also as guests who went into the account."""
    told: list[str] = []
    for key, kind, digits, handle, avatar in _SELVES.all(tx.conn, leaver.key):
        own = id_of(kind, digits)
        EndSessions(actor=own, by=by).apply(tx)
        _FORGET_SESSIONS.run(tx.conn, key)
        told += [one.id for one in stored_keys.of_actor(tx.conn, own, KEYS_TOLD_MAX)]
        _FORGET_KEYS.run(tx.conn, tx.now_ms, key)
        for taking in _TAKE:
            taking.run(tx.conn, key)
        _TAKE_SHARES.run(tx.conn, key)
        _ARCHIVE.many(tx.conn, [(tx.now_ms, one) for one in _OWNED.column(tx.conn, key)])
        _TAKE_BLOB.run(tx.conn, avatar or b"")
        made_up = handle if _MADE_UP.fullmatch(handle) else f"left-{own}"
        _FORGET_ACTOR.run(tx.conn, made_up, "", key)
        tx.unused.discard(key)
        tx.actors.pop(own, None)
    ended = (AccountStatus.DELETED, ServerRole.PERSON, leaver.key)
    if not _END_ACCOUNT.run(tx.conn, *ended):
        _ADD_ENDED.run(tx.conn, *ended, tx.now_ms)
    data = {"status": AccountStatus.DELETED.value, "keys": told[:KEYS_TOLD_MAX]}
    audit(tx, EventType.ACCOUNT_STATUS, tx.actor(by), of=leaver.id, **data)


def _leave(tx: Transaction, room: LockedRoom, leaver: KnownActor) -> None:
    """Ends a membership. The last owner's goes to whom the room was left; a private room without anybody is deleted."""
    role, kept_out = tx.membership(room, leaver)
    _LEAVE.run(tx.conn, room.key, leaver.key)
    if role is None or kept_out:
        return
    tx.log(room, EventType.MEMBER_LEFT, leaver, data={"actor": leaver.id, "deleted": True})
    if role is not MemberRole.OWNER:
        return
    for its in MemberRole:
        found = _LONGEST.first(tx.conn, room.key, its)
        heir = None if found is None else tx.actor(id_of(*found))
        if heir is not None:
            if its in {MemberRole.MODERATOR, MemberRole.MEMBER}:
                set_role(tx, room, leaver, heir, (its, MemberRole.OWNER))
            return
    if not room.is_open and room.deleted_ms is None:
        set_deleted(tx, room, leaver, deleted=True)
