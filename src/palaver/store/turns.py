"""Turns: which agent works on which answer. Reads only."""

from collections.abc import Sequence

from sqlalchemy import Connection, bindparam, func, select

from palaver.model import ActorKind, Turn, TurnId
from palaver.store.actors import id_of
from palaver.store.engine.statement import Row, Statement, among
from palaver.store.schema import actors, partials, rooms, turn_is_open, turns
from palaver.store.values import new_turn

# in the order of a `Turn`'s fields
COLUMNS = (
    turns.c.id,
    rooms.c.id,
    actors.c.id,
    actors.c.name,
    turns.c.trigger_seq,
    turns.c.message_id,
    turns.c.state,
    turns.c.attempt,
    turns.c.fence,
    turns.c.external,
)

selected = (
    select(*COLUMNS)
    .select_from(turns)
    .join(rooms, rooms.c.key == turns.c.room_key)
    .join(actors, actors.c.key == turns.c.agent_key)
)

_BY_ID = Statement(selected.where(turns.c.id == bindparam("turn")), "turn")
_KNOWN = among(select(turns.c.id), turns.c.id)
_OPEN_OF = Statement(
    selected.where(turns.c.owner == bindparam("owner"), turn_is_open).order_by(turns.c.id), "owner"
)
_RUNNING = Statement(select(func.count()).select_from(turns).where(turn_is_open))

_COPIED = Statement(
    select(partials.c.text, partials.c.reasoning)
    .where(partials.c.turn_id == bindparam("turn"))
    .order_by(partials.c.place),
    "turn",
)


def get(conn: Connection, turn: TurnId) -> Turn | None:
    """The turn of this id."""
    row = _BY_ID.first(conn, turn)
    return None if row is None else turn_of(row)


def known(conn: Connection, asked: Sequence[TurnId]) -> set[TurnId]:
    """Those of the turns that are there."""
    return {row[0] for row in _KNOWN.all(conn, [(turn,) for turn in asked])}


def open_of(conn: Connection, owner: str) -> tuple[Turn, ...]:
    """The open turns of a process."""
    return tuple([turn_of(row) for row in _OPEN_OF.all(conn, owner)])


def running(conn: Connection) -> int:
    """How many turns are open, in all rooms."""
    return int(_RUNNING.one(conn)[0])


def copied(conn: Connection, turn: TurnId) -> tuple[str, str]:
    """What was copied of a running answer: its text, and what its model thought."""
    rows = _COPIED.all(conn, turn)
    return "".join(row[0] for row in rows), "".join(row[1] for row in rows)


def turn_of(row: Row) -> Turn:
    """The turn in the first columns of a row of `COLUMNS`."""
    id_, room, agent, *others, external = row[: len(COLUMNS)]
    return new_turn(id_, room, id_of(ActorKind.AGENT, agent), *others, bool(external))
