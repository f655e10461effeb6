"""Reads turns: which agent works on which answer."""

from collections.abc import Sequence
from operator import attrgetter

from sqlalchemy import Connection, and_, func, select

from palaver.model import ActorId, ActorKind, Role, Turn, TurnId
from palaver.store.engine.statement import Row, Statement, among, matching
from palaver.store.read.actors import id_of
from palaver.store.schema import (
    actors,
    exchanges,
    messages,
    partials,
    rooms,
    turn_is_open,
    turns,
)
from palaver.store.values import ByName

CONTINUED_MAX = 100
"""So many answers that each go on from the one before lead back to who asked; behind more, nobody did."""

selected = (
    select(
        *turns.c["id", "trigger_seq", "state", "attempt", "fence", "external"],
        turns.c.message_id.label("message"),
        rooms.c.id.label("room"),
        actors.c.id.label("agent"),
        actors.c.name.label("agent_name"),
    )
    .select_from(turns)
    .join(rooms, rooms.c.key == turns.c.room_key)
    .join(actors, actors.c.key == turns.c.agent_key)
)

_TURN = ByName(Turn, "agent", "external")

_BY_ID = matching(selected, turns.c.id)
_KNOWN = among(select(turns.c.id), turns.c.id)
_OPEN_OF = matching(selected.where(turn_is_open), turns.c.owner)
_RUNNING = Statement(select(func.count()).select_from(turns).where(turn_is_open))

_continued = turns.alias()
_ASKED = matching(
    select(exchanges.c.actor_key, messages.c.author_key, messages.c.role, _continued.c.id)
    .select_from(turns)
    .outerjoin(exchanges, exchanges.c.turn_id == turns.c.id)
    .outerjoin(
        messages,
        and_(messages.c.room_key == turns.c.room_key, messages.c.seq == turns.c.trigger_seq),
    )
    .outerjoin(_continued, _continued.c.message_id == messages.c.id),
    turns.c.id,
)
_ACTOR = matching(select(actors.c.key), actors.c.id)
_COPIED = matching(
    select(partials.c.text, partials.c.reasoning).order_by(partials.c.place), partials.c.turn_id
)


def get(conn: Connection, turn: TurnId) -> Turn | None:
    """The turn of this id."""
    row = _BY_ID.first(conn, turn)
    return None if row is None else turn_of(row)


def known(conn: Connection, asked: Sequence[TurnId]) -> set[TurnId]:
    """Those of the turns that are there."""
    return {row.id for row in _KNOWN.all(conn, [(turn,) for turn in asked])}


def open_of(conn: Connection, owner: str) -> tuple[Turn, ...]:
    """The open turns of a process, in the order of their making."""
    # sorted here: SQLite would walk all turns there ever were to have them in order
    return tuple(sorted([turn_of(row) for row in _OPEN_OF.all(conn, owner)], key=attrgetter("id")))


def running(conn: Connection) -> int:
    """How many turns are open, in all rooms."""
    return _RUNNING.value(conn)


def copied(conn: Connection, turn: TurnId) -> tuple[str, str]:
    """The text of a running answer that was copied to the database, and its reasoning."""
    rows = _COPIED.all(conn, turn)
    return "".join(row.text for row in rows), "".join(row.reasoning for row in rows)


def asker(conn: Connection, turn: TurnId | None) -> int | None:
    """The key of who asked for an answer; None when nobody did. One that goes on is of who asked for the first."""
    for _ in range(CONTINUED_MAX):
        row = None if turn is None else _ASKED.first(conn, turn)
        if row is None:
            return None
        if row.actor_key is not None or row.role is not Role.ASSISTANT:
            return row.actor_key or row.author_key
        turn = row.id
    return None


def asked_by(conn: Connection, turn: TurnId, actor: ActorId) -> bool:
    """Whether this actor asked for an answer."""
    row = _ACTOR.first(conn, actor)
    return row is not None and asker(conn, turn) == row.key


def turn_of(row: Row) -> Turn:
    """The turn of a row of `selected`."""
    return _TURN.one(row, id_of(ActorKind.AGENT, row.agent), bool(row.external))
