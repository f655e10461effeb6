"""Makes, uses and ends what lets an actor in: tickets, and the sessions of their devices."""

from dataclasses import dataclass

from sqlalchemy import bindparam, delete, insert, update

from palaver.errors import Code, Refused
from palaver.model import Actor, ActorId, Ticket, TicketKind
from palaver.store.engine.statement import Statement, database_now, inserting
from palaver.store.read import devices
from palaver.store.schema import sessions, tickets
from palaver.store.write.actors import known_actor, nobody
from palaver.store.write.command import Command
from palaver.store.write.transaction import Transaction

_FORGET = Statement(
    delete(tickets).where(
        tickets.c.actor_key == bindparam("its_key"), tickets.c.kind == bindparam("its_kind")
    ),
    "its_key",
    "its_kind",
)
_ADD = Statement(
    insert(tickets).values(
        id=bindparam("id"),
        kind=bindparam("kind"),
        actor_key=bindparam("actor_key"),
        token_sha256=bindparam("token_sha256"),
        created_ms=database_now,
        expires_ms=database_now + bindparam("lasts_ms"),
    ),
    *("id", "kind", "actor_key", "token_sha256", "now_ms", "lasts_ms"),
)
_USE = Statement(
    update(tickets)
    .where(tickets.c.token_sha256 == bindparam("token"), devices.ticket_is_good)
    .values(used_ms=database_now)
    .returning(tickets.c.id),
    "now_ms",
    "token",
)
_REVOKE = Statement(
    update(tickets)
    .where(tickets.c.id == bindparam("its_id"), tickets.c.actor_key == bindparam("its_key"))
    .values(revoked_ms=database_now),
    "now_ms",
    "its_id",
    "its_key",
)
_BEGIN = inserting(sessions, "token_sha256", "actor_key", "name", "created_ms")
_END = Statement(
    update(sessions)
    .where(sessions.c.token_sha256 == bindparam("token"), sessions.c.ended_ms.is_(None))
    .values(ended_ms=bindparam("now_ms")),
    "now_ms",
    "token",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AddTicket(Command[Ticket]):
    """Makes a ticket in the place of the actor's others of its kind, good for a while on the database's clock."""

    id: str
    kind: TicketKind
    actor: ActorId
    token_sha256: bytes
    lasts_ms: int

    def apply(self, tx: Transaction) -> Ticket:
        owner = known_actor(tx, self.actor, nobody())
        tx.used(owner.key)
        _FORGET.run(tx.conn, owner.key, self.kind)
        values = (self.id, self.kind, owner.key, self.token_sha256)
        _ADD.run(tx.conn, *values, tx.now_ms, self.lasts_ms)
        made = devices.ticket(tx.conn, self.token_sha256, tx.now_ms)
        assert made is not None
        return made


@dataclass(frozen=True, slots=True, kw_only=True)
class UseTicket(Command[Actor]):
    """Uses a ticket up and begins a session of its actor, who is the result.

    Refused: `ticket_ended` (used, revoked, expired, or none), `too_many_devices`.
    """

    token_sha256: bytes
    session_sha256: bytes
    name: str

    def apply(self, tx: Transaction) -> Actor:
        """Of two who use it at once, the second waits for the first and finds it used."""
        ticket = devices.ticket(tx.conn, self.token_sha256, tx.now_ms)
        if ticket is None:
            raise ended()
        owner = known_actor(tx, ticket.actor.id, nobody())
        if len(devices.of_actor(tx.conn, owner.id)) >= devices.DEVICES_MAX:
            many = f"{ticket.actor.name} has {devices.DEVICES_MAX} devices already. End one first."
            raise Refused(Code.TOO_MANY_DEVICES, many)
        if not _USE.all(tx.conn, tx.now_ms, self.token_sha256):
            raise ended()
        _BEGIN.run(tx.conn, self.session_sha256, owner.key, self.name, tx.now_ms)
        return ticket.actor


@dataclass(frozen=True, slots=True, kw_only=True)
class EndDevice(Command[bytes | None]):
    """Ends the session on one of the actor's devices, whose token's SHA-256 is the result, or revokes a ticket.

    Refused: `not_found`.
    """

    id: str
    by: ActorId

    def apply(self, tx: Transaction) -> bytes | None:
        owner = known_actor(tx, self.by, nobody())
        if _REVOKE.run(tx.conn, tx.now_ms, self.id, owner.key):
            return None
        for digest, device in devices.of_actor(tx.conn, owner.id):
            if device.id == self.id:
                _END.run(tx.conn, tx.now_ms, digest)
                return digest
        raise Refused(Code.NOT_FOUND, "There is no such device or link of yours.")


def ended() -> Refused:
    """A ticket that lets nobody in."""
    return Refused(Code.TICKET_ENDED, "This link was used or has ended. Ask for a new one.")
