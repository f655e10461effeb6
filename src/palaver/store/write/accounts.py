"""Makes accounts, begins their sessions, and changes what they are proven with and whether they may be used.

Passwords come as argon2id hashes: whoever gives a command has checked the password before, and says against which hash,
so that what has changed in between is refused. They are bytes here, which no redaction of texts changes.
"""

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy import Connection, bindparam, update

from palaver.errors import Code, Refused
from palaver.model import Account, AccountStatus, Actor, ActorId, RoomId, TicketKind
from palaver.store.engine.statement import Statement, inserting, updating
from palaver.store.read import accounts as stored_accounts, actors as stored_actors, devices
from palaver.store.schema import accounts, actors
from palaver.store.write.actors import AddActor, RenameActor, known_actor, nobody
from palaver.store.write.audit import AUDIT
from palaver.store.write.command import Command
from palaver.store.write.credentials import Audited, EndSessions, begin, end, taken, use_up
from palaver.store.write.transaction import KnownActor, Transaction

_ADD = inserting(accounts, "actor_key", "status", "password", "created_ms")
_SET_PASSWORD = updating(accounts.c.actor_key, "password")
_SET_STATUS = updating(accounts.c.actor_key, "status")
_NAME = Statement(
    update(actors)
    .where(actors.c.key == bindparam("its_key"))
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

    `instead_of`: the one that it takes the place of, and whose that is.
    """

    token_sha256: bytes
    lasts_ms: int
    idle_ms: int
    instead_of: tuple[bytes, ActorId] | None = None


class AddAccount(Audited[Actor], frozen=True, kw_only=True):
    """Makes an account of an actor, made if need be under the inner name `made_as`, who is no guest any more.

    `name`: another name of theirs. `session` begins with it, where somebody signs up.
    Refused: `handle_taken`, `identity_in_use` (they have an account).
    """

    actor: Actor
    handle: str
    skeleton: str
    made_as: str | None = None
    name: str | None = None
    password: bytes | None = None
    session: Beginning | None = None

    @property
    def anywhere(self) -> bool:
        return self.name is not None

    def rooms(self, conn: Connection) -> Sequence[RoomId]:
        named = None if self.name is None else RenameActor(actor=self.actor.id, name=self.name)
        return (AUDIT, *(() if named is None else named.rooms(conn)))

    def apply(self, tx: Transaction) -> Actor:
        if stored_accounts.of_actor(tx.conn, self.actor.id) is not None:
            raise Refused(Code.IDENTITY_IN_USE, "There is an account already.")
        _check_free(tx, self.handle, self.skeleton, self.actor.id)
        tx.lock(self.rooms_in(tx))
        if self.made_as is not None:
            AddActor(actor=self.actor, handle=self.made_as).apply(tx)
        if self.name is not None:
            RenameActor(actor=self.actor.id, name=self.name).apply(tx)
        owner = known_actor(tx, self.actor.id, nobody())
        _NAME.run(tx.conn, self.handle, self.skeleton, owner.key)
        tx.unused.discard(owner.key)
        password = None if self.password is None else self.password.decode()
        _ADD.run(tx.conn, owner.key, AccountStatus.ACTIVE, password, tx.now_ms)
        if self.session is not None:
            _begin(tx, owner, self.session)
        return _actor(tx, owner)


class SignIn(Audited[Actor], frozen=True, kw_only=True):
    """Begins a session of who has an account. Of too many, the one that was not used for longest ends.

    Refused: `credentials_wrong` (the password is not `password` any more), `account_disabled`.
    """

    actor: ActorId
    password: bytes
    session: Beginning

    def apply(self, tx: Transaction) -> Actor:
        owner = _proven(tx, self.actor, self.password)
        _begin(tx, owner, self.session)
        return _actor(tx, owner)


class ChangePassword(Audited[Actor], frozen=True, kw_only=True):
    """Changes a password, ends all of the person's sessions, and begins another one. Refused: as `SignIn`."""

    actor: ActorId
    old: bytes
    new: bytes
    session: Beginning

    def apply(self, tx: Transaction) -> Actor:
        return _renewed(tx, _proven(tx, self.actor, self.old), self.new, self.session)


class ResetPassword(Audited[Actor], frozen=True, kw_only=True):
    """Does the same by a ticket, which is used up. Refused: `ticket_ended`, `account_disabled`."""

    ticket_sha256: bytes
    new: bytes
    session: Beginning

    def apply(self, tx: Transaction) -> Actor:
        ticket = taken(tx, self.ticket_sha256, TicketKind.RESET)
        owner = known_actor(tx, ticket.actor.id, nobody())
        account, _ = _account_of(tx, owner.id)
        stored_actors.refuse_disabled(account.status)
        use_up(tx, self.ticket_sha256)
        return _renewed(tx, owner, self.new, self.session)


class NameAccount(Command[Account], frozen=True, kw_only=True):
    """Gives an account another handle. Refused: `not_found`, `handle_taken`."""

    actor: ActorId
    handle: str
    skeleton: str

    def apply(self, tx: Transaction) -> Account:
        account, _ = _account_of(tx, self.actor)
        _check_free(tx, self.handle, self.skeleton, self.actor)
        _NAME.run(tx.conn, self.handle, self.skeleton, known_actor(tx, self.actor).key)
        return replace(account, actor=replace(account.actor, handle=self.handle))


class SetStatus(Audited[Account], frozen=True, kw_only=True):
    """Disables an account, whose sessions end, or enables it; the result is what it is now. Refused: `not_found`."""

    actor: ActorId
    status: AccountStatus

    def apply(self, tx: Transaction) -> Account:
        account, _ = _account_of(tx, self.actor)
        _SET_STATUS.run(tx.conn, self.status, known_actor(tx, self.actor).key)
        if self.status is AccountStatus.DISABLED:
            EndSessions(actor=self.actor).apply(tx)
        return replace(account, status=self.status)


def _account_of(tx: Transaction, actor: ActorId) -> tuple[Account, str | None]:
    found = stored_accounts.of_actor(tx.conn, actor)
    if found is None:
        raise Refused(Code.NOT_FOUND, "There is no account of this person.")
    return found


def _check_free(tx: Transaction, handle: str, skeleton: str, actor: ActorId) -> None:
    """Refused: `handle_taken`, also by the inner name of somebody else."""
    inner = stored_actors.by_handle(tx.conn, handle)
    looks_alike = stored_accounts.of_skeleton(tx.conn, skeleton)
    if any(one is not None and one.id != actor for one in (inner, looks_alike)):
        raise Refused(Code.HANDLE_TAKEN, "Somebody has this handle, or one that looks like it.")


def _proven(tx: Transaction, actor: ActorId, password: bytes) -> KnownActor:
    """Who has this account, unless it has changed since the password was checked."""
    account, stored = _account_of(tx, actor)
    if stored is None or stored.encode() != password:
        raise wrong()
    stored_actors.refuse_disabled(account.status)
    return known_actor(tx, actor, nobody())


def _renewed(tx: Transaction, owner: KnownActor, new: bytes, session: Beginning) -> Actor:
    _SET_PASSWORD.run(tx.conn, new.decode(), owner.key)
    _replace(tx, owner, session)
    EndSessions(actor=owner.id, by=owner.id).apply(tx)
    begin(tx, session.token_sha256, owner, session.lasts_ms)
    return _actor(tx, owner)


def _begin(tx: Transaction, owner: KnownActor, session: Beginning) -> None:
    """Begins a session, and ends the one that it takes the place of, and one that is too many."""
    _replace(tx, owner, session)
    there = devices.of_actor(tx.conn, owner.id, tx.now_ms, session.idle_ms)
    if len(there) >= devices.DEVICES_MAX:
        _, oldest = min((one.used_ms, digest) for digest, one in there)
        end(tx, oldest, owner)
    begin(tx, session.token_sha256, owner, session.lasts_ms)


def _replace(tx: Transaction, owner: KnownActor, session: Beginning) -> None:
    if session.instead_of is not None:
        digest, whose = session.instead_of
        end(tx, digest, owner, of=whose, replaced=True)


def _actor(tx: Transaction, owner: KnownActor) -> Actor:
    found = stored_actors.get(tx.conn, owner.id)
    assert found is not None
    return found


def wrong() -> Refused:
    """What was given proves nobody; it says not what of it is wrong."""
    return Refused(Code.CREDENTIALS_WRONG, "The handle or the password is wrong.")
