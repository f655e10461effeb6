"""Makes, uses and ends what lets an actor in: tickets, and the sessions of their devices."""

from sqlalchemy import bindparam, delete, insert, update

from palaver.errors import Code, Refused
from palaver.model import Actor, ActorId, Ticket
from palaver.store.engine.statement import Statement, database_now, inserting
from palaver.store.read import devices
from palaver.store.schema import sessions, tickets
from palaver.store.write.actors import nobody
from palaver.store.write.command import AddTicket, EndDevice, UseTicket
from palaver.store.write.transaction import KnownActor, Transaction

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


def add(tx: Transaction, command: AddTicket) -> Ticket:
    """Applies `AddTicket`."""
    owner = _actor(tx, command.actor)
    tx.used(owner.key)
    _FORGET.run(tx.conn, owner.key, command.kind)
    values = (command.id, command.kind, owner.key, command.token_sha256)
    _ADD.run(tx.conn, *values, tx.now_ms, command.lasts_ms)
    made = devices.ticket(tx.conn, command.token_sha256, tx.now_ms)
    assert made is not None
    return made


def use(tx: Transaction, command: UseTicket) -> Actor:
    """Applies `UseTicket`. Of two who use it at once, the second waits for the first and finds it used."""
    ticket = devices.ticket(tx.conn, command.token_sha256, tx.now_ms)
    if ticket is None:
        raise ended()
    owner = _actor(tx, ticket.actor.id)
    if len(devices.of_actor(tx.conn, owner.id)) >= devices.DEVICES_MAX:
        many = f"{ticket.actor.name} has {devices.DEVICES_MAX} devices already. End one first."
        raise Refused(Code.TOO_MANY_DEVICES, many)
    if not _USE.all(tx.conn, tx.now_ms, command.token_sha256):
        raise ended()
    _BEGIN.run(tx.conn, command.session_sha256, owner.key, command.name, tx.now_ms)
    return ticket.actor


def end(tx: Transaction, command: EndDevice) -> bytes | None:
    """Applies `EndDevice`."""
    owner = _actor(tx, command.by)
    if _REVOKE.run(tx.conn, tx.now_ms, command.id, owner.key):
        return None
    for digest, device in devices.of_actor(tx.conn, owner.id):
        if device.id == command.id:
            _END.run(tx.conn, tx.now_ms, digest)
            return digest
    raise Refused(Code.NOT_FOUND, "There is no such device or link of yours.")


def ended() -> Refused:
    """A ticket that lets nobody in."""
    return Refused(Code.TICKET_ENDED, "This link was used or has ended. Ask for a new one.")


def _actor(tx: Transaction, actor: ActorId) -> KnownActor:
    found = tx.actor(actor)
    if found is None:
        raise nobody()
    return found
