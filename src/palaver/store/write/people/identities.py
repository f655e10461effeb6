"""Lets in who is somebody elsewhere: at a provider, or as a proxy says it.

What they are called there is bytes in a command, which no redaction of texts changes.
"""

from msgspec.structs import replace
from sqlalchemy import delete

from palaver.errors import Code, Refused
from palaver.model import Actor, ActorId, EventType, ServerRole
from palaver.model.identities import Linked
from palaver.store.engine.statement import inserting, matching, updating
from palaver.store.read import accounts as stored_accounts, identities as stored
from palaver.store.schema import identities
from palaver.store.write.actors import known_actor, nobody
from palaver.store.write.audit import audit
from palaver.store.write.people.accounts import (
    AddAccount,
    Beginning,
    SetServerRole,
    begin_session,
    take_password,
)
from palaver.store.write.people.credentials import (
    Audited,
    EndSessions,
    KeepOnce,
    end,
    kept,
    revoke_keys,
)
from palaver.store.write.transaction import Transaction

_ADD = inserting(identities, "issuer", "subject", "actor_key", "seen_ms")
_SEEN = updating([identities.c.issuer, identities.c.subject], "seen_ms")
_REMOVE = matching(delete(identities), identities.c.issuer, identities.c.subject)


class LetIn(Audited[Linked], frozen=True, kw_only=True):
    """Begins a session of who is this elsewhere, and is `newcomer` here at first sight.

    `role`: what they are on the server from now on, unless they own it. `at_ms`: when. `once`: not if that was done
    since `knew_ms`. `merges`: at first sight they are this person, who alone has this e-mail address. Whoever typed it
    before may be somebody else: all else by which they come in ends.
    Refused: `account_disabled`, and as `AddAccount` at first sight.
    """

    issuer: str
    subject: bytes
    newcomer: AddAccount
    session: Beginning
    at_ms: int
    role: ServerRole | None = None
    once: bool = False
    knew_ms: int | None = None
    merges: tuple[str, ActorId] | None = None

    def apply(self, tx: Transaction) -> Linked:
        tx.lock(self.rooms_in(tx))
        subject = self.subject.decode()
        found = stored.find(tx.conn, self.issuer, subject) or self._merged(tx, subject)
        if found is None:
            role = self.role or ServerRole.PERSON
            made = replace(self.newcomer, role=role, session=self.session).apply(tx)
            return _link(tx, self.issuer, subject, made, self.at_ms)
        if self.once and found.seen_ms != self.knew_ms:
            return found
        _SEEN.run(tx.conn, self.at_ms, found.issuer, found.subject)
        owner = known_actor(tx, found.actor.id, nobody())
        if self.role is not None and found.actor.server_role not in {self.role, ServerRole.OWNER}:
            SetServerRole(actor=owner.id, role=self.role).apply(tx)
        begin_session(tx, owner, self.session)
        return replace(found, seen_ms=self.at_ms)

    def _merged(self, tx: Transaction, subject: str) -> Linked | None:
        email, wanted = self.merges or ("", None)
        person = stored.of_email(tx.conn, email)
        if person is None or person.id != wanted:
            return None
        linked = _link(tx, self.issuer, subject, person, self.at_ms)
        owner = known_actor(tx, person.id, nobody())
        take_password(tx, owner)
        revoke_keys(tx, person.id)
        EndSessions(actor=person.id, by=person.id).apply(tx)
        return linked


class LinkIdentity(Audited[None], frozen=True, kw_only=True):
    """Makes an identity an actor's, too. Refused: `identity_in_use` (somebody else's)."""

    issuer: str
    subject: bytes
    actor: Actor
    at_ms: int

    def apply(self, tx: Transaction) -> None:
        tx.lock(self.rooms_in(tx))
        subject = self.subject.decode()
        found = stored.find(tx.conn, self.issuer, subject)
        if found is None:
            _link(tx, self.issuer, subject, self.actor, self.at_ms)
        elif found.actor.id != self.actor.id:
            raise Refused(Code.IDENTITY_IN_USE, "Somebody else here signs in with that.")


class UnlinkIdentity(Audited[None], frozen=True, kw_only=True):
    """Takes an identity away. Refused: `not_found`, `forbidden` (one has no other way in; of the issuer `but`)."""

    id: str
    by: ActorId
    but: str

    def apply(self, tx: Transaction) -> None:
        owner, linked = known_actor(tx, self.by, nobody()), stored.of_actor(tx.conn, self.by)
        found = [one for one in linked if one.id == self.id]
        if not found:
            raise Refused(Code.NOT_FOUND, "That is not linked to you.")
        account = stored_accounts.of_actor(tx.conn, self.by)
        only = len(linked) == 1 and (account is None or account[1] is None)
        if only or found[0].issuer == self.but:
            raise Refused(Code.FORBIDDEN, "You have no other way in, or it is not yours to choose.")
        _REMOVE.run(tx.conn, found[0].issuer, found[0].subject)
        audit(tx, EventType.IDENTITY_UNLINKED, owner, identity=self.id, of=owner.id)


class SignOutElsewhere(Audited[None], frozen=True, kw_only=True):
    """Ends the sessions that a provider began of who signed out there: all of its subject, by its session, or both.

    `digest` is of what says so, which is good once: `lasts_ms`. Refused: `sign_in_failed`.
    """

    issuer: str
    subject: bytes | None
    session: str | None
    digest: bytes
    lasts_ms: int

    def apply(self, tx: Transaction) -> None:
        tx.lock(self.rooms_in(tx))
        if kept(tx, self.digest) is not None:
            raise Refused(Code.SIGN_IN_FAILED, "That was said before.")
        KeepOnce(digest=self.digest, said=b"", lasts_ms=self.lasts_ms).apply(tx)
        subject = None if self.subject is None else self.subject.decode()
        for token, who in stored.begun_elsewhere(tx.conn, self.issuer, subject, self.session):
            end(tx, token, known_actor(tx, who))


def _link(tx: Transaction, issuer: str, subject: str, actor: Actor, at_ms: int) -> Linked:
    owner = known_actor(tx, actor.id, nobody())
    _ADD.run(tx.conn, issuer, subject, owner.key, at_ms)
    linked = Linked(actor, issuer, subject, at_ms)
    audit(tx, EventType.IDENTITY_LINKED, owner, identity=linked.id, of=owner.id)
    return linked
