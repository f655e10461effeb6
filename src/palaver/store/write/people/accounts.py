"""Makes accounts, begins their sessions, and changes what they are proven with and whether they may be used.

Passwords come as argon2id hashes: whoever gives a command has checked the password before, and says against which hash,
so that what has changed in between is refused. They are bytes here, which no redaction of texts changes. What one
does to another's account is checked under the lock of the audit room, which all take who change roles.
"""

from collections.abc import Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy import Connection, bindparam, select, update

from palaver.errors import Code, Refused
from palaver.model import (
    Account,
    AccountStatus,
    Actor,
    ActorId,
    EventType,
    RoomId,
    Scope,
    ServerRole,
    Ticket,
    TicketKind,
)
from palaver.policy import ServerAct, check_server
from palaver.store.engine.statement import Statement, inserting, matching, updating
from palaver.store.read import (
    accounts as stored_accounts,
    actors as stored_actors,
    api_keys as stored_keys,
    devices,
)
from palaver.store.read.invitations import leads_to
from palaver.store.schema import accounts, actors, sessions
from palaver.store.write.actors import AddActor, RenameActor, check_free, known_actor, nobody
from palaver.store.write.audit import AUDIT, audit
from palaver.store.write.command import Command
from palaver.store.write.people.credentials import (
    AddTicket,
    Audited,
    EndSessions,
    begin,
    end,
    ended,
    forget,
    revoke_keys,
    taken,
    use_up,
)
from palaver.store.write.people.invitations import enter, to_server, use
from palaver.store.write.transaction import KnownActor, Transaction

KEYS_TOLD_MAX = 1_000
"""So many keys of an account are told of when its status changes."""

_ADD = inserting(accounts, "actor_key", "status", "role", "password", "created_ms")
_SET_PASSWORD = updating(accounts.c.actor_key, "password")
_SET_STATUS = updating(accounts.c.actor_key, "status")
_SET_ROLE = updating(accounts.c.actor_key, "role")
_ELSEWHERE = matching(select(sessions.c.elsewhere), sessions.c.token_sha256)
_BEGUN_ELSEWHERE = updating(sessions.c.token_sha256, "elsewhere")
_NAME = Statement(
    update(actors)
    .where(actors.c.key == bindparam("its_key"), actors.c.became_key.is_(None))
    .values(
        public_handle=bindparam("handle"),
        skeleton=bindparam("its_skeleton"),
        guest=False,
        unused=None,
    ),
    *("handle", "its_skeleton", "its_key"),
)


class Beginning(Struct, frozen=True, kw_only=True):
    """A session that is to begin: its token's SHA-256, and how long it lasts.

    `instead_of`: the one that it takes the place of, and whose that is. `elsewhere`: by which of a provider's.
    """

    token_sha256: bytes
    lasts_ms: int
    idle_ms: int
    instead_of: tuple[bytes, ActorId] | None = None
    elsewhere: str | None = None


class AddAccount(Audited[Actor], frozen=True, kw_only=True):
    """Makes an account of an actor, made if need be under the inner name `made_as`, who is no guest any more.

    `name`: another name of theirs. `session` begins with it, where somebody signs up. `setup` is the digest of the link
    that makes them the server's first owner. Of who is more than a person by it, whoever else was a guest at that
    browser is nothing by what they kept.
    `invited`: the digest of an invitation's token, which says their role and rooms, and the act of making it. `by` as
    in `SetStatus`.
    Refused: `handle_taken`, `identity_in_use` (they have an account), `ticket_ended` (also where there is an owner),
    `invite_not_found`, `forbidden`.
    """

    actor: Actor
    handle: str
    skeleton: str
    made_as: str | None = None
    name: str | None = None
    role: ServerRole = ServerRole.PERSON
    status: AccountStatus = AccountStatus.ACTIVE
    password: bytes | None = None
    session: Beginning | None = None
    setup: bytes | None = None
    invited: tuple[bytes, ServerAct] | None = None
    by: ActorId | None = None

    @property
    def anywhere(self) -> bool:
        return self.name is not None

    def rooms(self, conn: Connection) -> Sequence[RoomId]:
        named = None if self.name is None else RenameActor(actor=self.actor.id, name=self.name)
        into = () if self.invited is None else leads_to(conn, self.invited[0])
        return (AUDIT, *into, *(() if named is None else named.rooms(conn)))

    def apply(self, tx: Transaction) -> Actor:
        tx.lock(self.rooms_in(tx))
        if self.setup is not None:
            if stored_accounts.owners(tx.conn):
                raise ended()
            taken(tx, self.setup, TicketKind.SETUP)
        invitation = None if self.invited is None else to_server(tx, *self.invited)
        role = self.role if invitation is None else invitation.server_role
        assert role is not None, "one to the server says it"
        by = allowed(tx, ServerAct.MANAGE, self.by, of=self.role)
        if stored_accounts.of_actor(tx.conn, self.actor.id) is not None:
            raise Refused(Code.IDENTITY_IN_USE, "There is an account already.")
        if role is not ServerRole.PERSON and self.session is not None:
            _end_what_guests_left(tx, self.actor.id, self.session)
        check_free(tx, self.handle, self.skeleton, self.actor.id)
        if self.made_as is not None:
            AddActor(actor=self.actor, handle=self.made_as).apply(tx)
        if self.name is not None:
            RenameActor(actor=self.actor.id, name=self.name).apply(tx)
        owner = known_actor(tx, self.actor.id, nobody())
        if not _NAME.run(tx.conn, self.handle, self.skeleton, owner.key):
            raise Refused(Code.IDENTITY_IN_USE, "They went into an account already.")
        tx.unused.discard(owner.key)
        password = None if self.password is None else self.password.decode()
        _ADD.run(tx.conn, owner.key, self.status, role, password, tx.now_ms)
        tx.actors.pop(owner.id)  # who has a status now
        made_by = by if self.session is None and password is None else owner
        audit(tx, EventType.ACCOUNT_CREATED, made_by, of=owner.id, role=role.value)
        if invitation is not None and self.invited is not None:
            use(tx, self.invited[0], owner, invitation)
            enter(tx, owner, invitation, filter(None, map(tx.room_or_none, invitation.rooms)))
        if self.session is not None:
            begin_session(tx, owner, self.session)
        return _actor(tx, owner)


class SignIn(Audited[Actor], frozen=True, kw_only=True):
    """Begins a session of who has an account. Of too many, the one that was not used for longest ends.

    Refused: `credentials_wrong` (the password is not `password` any more), `account_disabled`.
    """

    actor: ActorId
    password: bytes
    session: Beginning

    def apply(self, tx: Transaction) -> Actor:
        owner = proven(tx, self.actor, self.password)
        begin_session(tx, owner, self.session)
        return _actor(tx, owner)


class Renew(Audited[Actor], frozen=True, kw_only=True):
    """Begins a session in the place of one that still stands. Refused: `session_ended`, `account_disabled`."""

    actor: ActorId
    session: Beginning

    def apply(self, tx: Transaction) -> Actor:
        tx.lock(self.rooms_in(tx))  # of two who renew one at once, one does
        owner = known_actor(tx, self.actor, nobody())
        stored_actors.refuse_disabled(owner.status)
        assert self.session.instead_of is not None, "it takes a place"
        asks = devices.id_of(self.session.instead_of[0])
        if asks not in devices.standing(tx.conn, [(owner.key, asks)], tx.now_ms):
            raise stored_actors.session_ended()
        elsewhere = _ELSEWHERE.value(tx.conn, self.session.instead_of[0])
        begin_session(tx, owner, replace(self.session, elsewhere=elsewhere))
        return _actor(tx, owner)


class ChangePassword(Audited[Actor], frozen=True, kw_only=True):
    """Changes a password, ends all of the person's sessions and links, and begins another one. Refused: as `SignIn`."""

    actor: ActorId
    old: bytes
    new: bytes
    session: Beginning

    def apply(self, tx: Transaction) -> Actor:
        return _renewed(tx, proven(tx, self.actor, self.old), self.new, self.session)


class ResetPassword(Audited[Actor], frozen=True, kw_only=True):
    """Does the same by a ticket, which is used up, and whose maker may still make one.

    Refused: `ticket_ended`, `account_disabled`.
    """

    ticket_sha256: bytes
    new: bytes
    session: Beginning

    def apply(self, tx: Transaction) -> Actor:
        tx.lock(self.rooms_in(tx))
        ticket = taken(tx, self.ticket_sha256, TicketKind.RESET)
        owner = known_actor(tx, ticket.actor.id, nobody())
        account, _ = account_of(tx, owner.id)
        try:
            maker = devices.made_by(tx.conn, self.ticket_sha256)
            allowed(tx, ServerAct.MANAGE, maker, of=account.actor.server_role)
        except Refused:
            raise ended() from None
        stored_actors.refuse_disabled(account.status)
        use_up(tx, self.ticket_sha256)
        return _renewed(tx, owner, self.new, self.session)


class TellFailures(Audited[None], frozen=True, kw_only=True):
    """Tells how many attempts to sign in have failed, by account; under no id those at accounts that are not there."""

    counts: Mapping[str, int]

    def apply(self, tx: Transaction) -> None:
        for of, count in self.counts.items():
            audit(tx, EventType.SIGNIN_FAILED, None, of=of, count=count)


class NameAccount(Command[Account], frozen=True, kw_only=True):
    """Gives an account another handle. Refused: `not_found`, `handle_taken`."""

    actor: ActorId
    handle: str
    skeleton: str

    def apply(self, tx: Transaction) -> Account:
        account, _ = account_of(tx, self.actor)
        check_free(tx, self.handle, self.skeleton, self.actor)
        _NAME.run(tx.conn, self.handle, self.skeleton, known_actor(tx, self.actor).key)
        return replace(account, actor=replace(account.actor, handle=self.handle))


class SetStatus(Audited[Account], frozen=True, kw_only=True):
    """Disables an account, whose sessions end, or enables it; the result is what it is now.

    `by`: who does it; None is the operator. Refused: `not_found`, `forbidden`, `last_owner`.
    """

    actor: ActorId
    status: AccountStatus
    by: ActorId | None = None

    def apply(self, tx: Transaction) -> Account:
        tx.lock(self.rooms_in(tx))
        account, _ = account_of(tx, self.actor)
        by = allowed(tx, ServerAct.MANAGE, self.by, of=account.actor.server_role)
        if account.status is self.status:
            return account
        if self.status is AccountStatus.DISABLED:
            keep_an_owner(tx, account)
            EndSessions(actor=self.actor, by=self.by).apply(tx)
        _SET_STATUS.run(tx.conn, self.status, known_actor(tx, self.actor).key)
        tx.actors.pop(self.actor)  # which is not what it was, also for what comes in the same batch
        keys = [key.id for key in stored_keys.of_actor(tx.conn, self.actor, KEYS_TOLD_MAX)]
        told = {"status": self.status.value, "keys": keys}
        audit(tx, EventType.ACCOUNT_STATUS, by, of=self.actor, **told)
        return replace(account, status=self.status)


class SetServerRole(Audited[Account], frozen=True, kw_only=True):
    """Gives an account another server role, and ends its sessions, so that none goes on with more than it began with.

    Nor does a key for admins that was made by who was none. Refused: as `SetStatus`.
    """

    actor: ActorId
    role: ServerRole
    by: ActorId | None = None

    def apply(self, tx: Transaction) -> Account:
        tx.lock(self.rooms_in(tx))
        by = allowed(tx, ServerAct.ROLES, self.by)
        account, _ = account_of(tx, self.actor)
        before = account.actor.server_role
        if before is self.role or before is None:
            return account
        keep_an_owner(tx, account)
        owner = known_actor(tx, self.actor)
        _SET_ROLE.run(tx.conn, self.role, owner.key)
        tx.actors.pop(self.actor)
        forget(tx, owner, TicketKind.RESET)  # who made it might not make one now
        EndSessions(actor=self.actor, by=self.by).apply(tx)
        if before is ServerRole.PERSON:
            revoke_keys(tx, self.actor, Scope.ADMIN)
        roles = {"role": self.role.value, "before": before.value}
        audit(tx, EventType.ACCOUNT_ROLE, by, of=self.actor, **roles)
        return replace(account, actor=replace(account.actor, server_role=self.role))


class AddReset(Audited[Ticket], frozen=True, kw_only=True):
    """Makes the ticket of a link to another password. Refused: `not_found`, `forbidden`. Its `by` as in `SetStatus`."""

    ticket: AddTicket

    def apply(self, tx: Transaction) -> Ticket:
        tx.lock(self.rooms_in(tx))
        account, _ = account_of(tx, self.ticket.actor)
        by = allowed(tx, ServerAct.MANAGE, self.ticket.by, of=account.actor.server_role)
        audit(tx, EventType.PASSWORD_RESET, by, of=self.ticket.actor)
        return self.ticket.apply(tx)


def allowed(
    tx: Transaction, act: ServerAct, by: ActorId | None, *, of: ServerRole | None = None
) -> KnownActor | None:
    """Who does this to an account, by the server role that they have now; None is the operator. Refused: `forbidden`.

    The audit room is locked, so that nobody loses the role meanwhile.
    """
    if by is None:
        return None
    check_server(act, stored_accounts.role_of(tx.conn, by), of=of)
    return known_actor(tx, by, nobody())


def keep_an_owner(tx: Transaction, account: Account) -> None:
    """That the server has another owner than the one who would be none. Refused: `last_owner`."""
    if stored_accounts.owners(tx.conn) == [known_actor(tx, account.actor.id).key]:
        raise Refused(Code.LAST_OWNER, "The server keeps its last owner. Make somebody else one.")


def _end_what_guests_left(tx: Transaction, guest: ActorId, session: Beginning) -> None:
    """Ends the keys, links and sessions of a guest, if there is one, but for the session that goes on as this one."""
    if tx.actor(guest) is not None:
        revoke_keys(tx, guest)
        kept = session.instead_of
        EndSessions(actor=guest, but=b"" if kept is None else kept[0], by=guest).apply(tx)


def account_of(tx: Transaction, actor: ActorId) -> tuple[Account, str | None]:
    """An actor's account, and what its password must hash to. Refused: `not_found`."""
    found = stored_accounts.of_actor(tx.conn, actor)
    if found is None or found[0].status is AccountStatus.DELETED:
        raise Refused(Code.NOT_FOUND, "There is no account of this person.")
    return found


def proven(tx: Transaction, actor: ActorId, password: bytes) -> KnownActor:
    """Who has this account, unless it has changed since the password was checked."""
    found = stored_accounts.of_actor(tx.conn, actor)
    if found is None or found[1] is None or found[1].encode() != password:
        raise wrong()
    stored_actors.refuse_disabled(found[0].status)
    return known_actor(tx, actor, nobody())


def _renewed(tx: Transaction, owner: KnownActor, new: bytes, session: Beginning) -> Actor:
    refuse_pending(owner)
    _SET_PASSWORD.run(tx.conn, new.decode(), owner.key)
    forget(tx, owner, TicketKind.RESET)
    audit(tx, EventType.PASSWORD_CHANGED, owner, of=owner.id)
    _replace(tx, owner, session)
    EndSessions(actor=owner.id, by=owner.id).apply(tx)
    begin(tx, session.token_sha256, owner, session.lasts_ms)
    return _actor(tx, owner)


def take_password(tx: Transaction, owner: KnownActor) -> None:
    """Leaves an account without a password, and without a link to another one."""
    _SET_PASSWORD.run(tx.conn, None, owner.key)
    forget(tx, owner, TicketKind.RESET)


def refuse_pending(owner: KnownActor) -> None:
    """Refused: `account_pending`. Who is about to get their account has no status yet."""
    if owner.status is AccountStatus.PENDING:
        raise Refused(
            Code.ACCOUNT_PENDING, "An admin of this server has yet to approve this account."
        )


def begin_session(tx: Transaction, owner: KnownActor, session: Beginning) -> None:
    """Begins a session, and ends the one that it takes the place of, and one that is too many."""
    refuse_pending(owner)
    _replace(tx, owner, session)
    there = devices.of_actor(tx.conn, owner.id, tx.now_ms, session.idle_ms)
    if len(there) >= devices.DEVICES_MAX:
        _, oldest = min((one.used_ms, digest) for digest, one in there)
        end(tx, oldest, owner)
    begin(tx, session.token_sha256, owner, session.lasts_ms)
    if session.elsewhere is not None:
        _BEGUN_ELSEWHERE.run(tx.conn, session.elsewhere, session.token_sha256)


def _replace(tx: Transaction, owner: KnownActor, session: Beginning) -> None:
    if session.instead_of is not None:
        digest, whose = session.instead_of
        end(tx, digest, owner, of=whose, replaced=True)


def _actor(tx: Transaction, owner: KnownActor) -> Actor:
    return account_of(tx, owner.id)[0].actor


def wrong() -> Refused:
    """What was given proves nobody; it says not what of it is wrong."""
    return Refused(Code.CREDENTIALS_WRONG, "The handle or the password is wrong.")
