"""Reads turns: which agent works on which answer."""

from collections.abc import Sequence
from operator import attrgetter

from sqlalchemy import Connection, and_, bindparam, func, select

from palaver.model import ActorId, ActorKind, RoomId, Turn, TurnId
from palaver.model.agents import Told
from palaver.policy import Action, allows, role_in
from palaver.store.engine.statement import Row, Statement, among, matching
from palaver.store.read.actors import OUT, became_key, id_of, its
from palaver.store.schema import (
    accounts,
    actors,
    agents,
    members,
    messages,
    partials,
    rooms,
    turn_is_open,
    turns,
)
from palaver.store.values import ByName

selected = (
    select(
        *turns.c[
            "id", "trigger_seq", "state", "attempt", "fence", "external", "root_seq", "waits_for"
        ],
        *turns.c["depth", "context_seq", "model", "choice", "branch"],
        turns.c.message_id.label("message"),
        rooms.c.id.label("room"),
        actors.c.id.label("agent"),
        actors.c.name.label("agent_name"),
    )
    .select_from(turns)
    .join(rooms, rooms.c.key == turns.c.room_key)
    .join(actors, actors.c.key == turns.c.agent_key)
)

_TURN = ByName(Turn, "agent", "external", "branch")

_BY_ID = matching(selected, turns.c.id)
_TOLD = matching(
    select(*turns.c["prompt_digest", "headed", "card_version", "tokens_max", "settings_seq"]),
    turns.c.id,
)
_HEADED = Statement(
    select(turns.c.headed)
    .join(rooms, rooms.c.key == turns.c.room_key)
    .where(rooms.c.id == bindparam("room"), turns.c.trigger_seq < bindparam("seq"))
    .order_by(turns.c.trigger_seq.desc())
    .limit(1),
    *("room", "seq"),
)
_KNOWN = among(select(turns.c.id), turns.c.id)
_OPEN_OF = matching(selected.where(turn_is_open), turns.c.owner)
_OF_AGENT = Statement(
    selected.where(turn_is_open, turns.c.external.is_(None), turns.c.waits_for.is_(None)).where(
        actors.c.id == bindparam("agent"), turns.c.owner != bindparam("but")
    ),
    *("agent", "but"),
)
_RUNNING = Statement(select(func.count()).select_from(turns).where(turn_is_open))

_ASKER = matching(select(became_key).join(turns, turns.c.asker_key == its.c.key), turns.c.id)
_OWN_WORDS = Statement(
    select(turns.c.id)
    .join(
        messages, and_(messages.c.room_key == turns.c.room_key, messages.c.seq == turns.c.root_seq)
    )
    .join(agents, agents.c.actor_key == messages.c.author_key)
    .where(turns.c.id == bindparam("turn"), agents.c.owner_key == bindparam("asker")),
    *("turn", "asker"),
)
_answering = members.alias()
_ACTOR = matching(select(actors.c.key), actors.c.id)
_ID = matching(select(*actors.c["kind", "id"]), actors.c.key)
_STANDING = Statement(
    select(
        *rooms.c["visibility", "open_to", "open_role"],
        *members.c["role", "kept_out"],
        accounts.c.status,
        _answering.c.kept_out.label("agent_is_out"),
    )
    .select_from(turns)
    .outerjoin(
        _answering,
        and_(
            _answering.c.room_key == turns.c.room_key,
            _answering.c.actor_key == turns.c.agent_key,
        ),
    )
    .join(rooms, rooms.c.key == turns.c.room_key)
    .outerjoin(
        members,
        and_(members.c.room_key == rooms.c.key, members.c.actor_key == bindparam("its_asker")),
    )
    .outerjoin(accounts, accounts.c.actor_key == bindparam("its_asker"))
    .where(turns.c.id == bindparam("its_id")),
    *("its_asker", "its_id"),
)
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


def told(conn: Connection, turn: TurnId) -> Told | None:
    """What is kept of what a turn's model was told; None where that is nothing."""
    row = _TOLD.first(conn, turn)
    if row is None or row.prompt_digest is None:
        return None
    return Told(bytes(row.prompt_digest), bool(row.headed), *row[2:])


def headed(conn: Connection, room: RoomId, seq: int) -> bool:
    """Whether what was said in a room stood below headers when somebody was answered last before this seq."""
    return _HEADED.column(conn, room, seq) == [True]


def open_of(conn: Connection, owner: str) -> tuple[Turn, ...]:
    """The open turns of a process, in the order of their making."""
    # sorted here: SQLite would walk all turns there ever were to have them in order
    return tuple(sorted([turn_of(row) for row in _OPEN_OF.all(conn, owner)], key=attrgetter("id")))


def of_agent(conn: Connection, agent: ActorId, but: str) -> tuple[Turn, ...]:
    """The turns that an agent may answer now, but for those of one process; not a program's own."""
    return tuple([turn_of(row) for row in _OF_AGENT.all(conn, agent, but)])


def running(conn: Connection) -> int:
    """How many turns are open, in all rooms."""
    return _RUNNING.value(conn)


def copied(conn: Connection, turn: TurnId) -> tuple[str, str]:
    """The text of a running answer that was copied to the database, and its reasoning."""
    rows = _COPIED.all(conn, turn)
    return "".join(row.text for row in rows), "".join(row.reasoning for row in rows)


def asker(conn: Connection, turn: TurnId | None) -> int | None:
    """The key of who asked for an answer, and pays for it; None when nobody did."""
    return None if turn is None else _ASKER.value(conn, turn)


def asker_id(conn: Connection, turn: TurnId) -> ActorId | None:
    """Who asked for an answer; None when nobody did."""
    row = _ID.first(conn, asker(conn, turn))
    return None if row is None else id_of(*row)


def asked_by(conn: Connection, turn: TurnId, actor: ActorId) -> bool:
    """Whether this actor asked for an answer."""
    row = _ACTOR.first(conn, actor)
    return row is not None and asker(conn, turn) == row.key


def unwanted(conn: Connection, asked: Sequence[TurnId]) -> set[TurnId]:
    """Those of the turns whose agent was taken out of the room, or whose asker has lost it, or their account."""
    return {turn for turn in asked if not _is_wanted(conn, turn)}


def _is_wanted(conn: Connection, turn: TurnId) -> bool:
    key = asker(conn, turn)
    row = _STANDING.first(conn, key, turn)
    if row is None or row.agent_is_out or key is None:
        return row is None or not row.agent_is_out
    role = role_in(row, row.role, kept_out=bool(row.kept_out), status=row.status)
    allowed = allows(Action.WRITE, role)
    if row.role is None and not row.kept_out:  # where an agent of theirs is without them
        allowed = allowed or bool(_OWN_WORDS.all(conn, turn, key))
    return allowed and row.status not in OUT


def turn_of(row: Row) -> Turn:
    """The turn of a row of `selected`."""
    return _TURN.one(row, id_of(ActorKind.AGENT, row.agent), bool(row.external), row.branch or 0)
