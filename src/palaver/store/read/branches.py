"""Reads the branches of a room, and the way that each takes through its messages.

Every message belongs to one branch, and all of a branch's come after the one of its parent behind which it began. So a
path is a few ranges of the index on (room_key, branch, seq), one behind the other, and only those that are needed are
read.
"""

from operator import itemgetter
from typing import Any

from msgspec import Struct
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Integer,
    and_,
    bindparam,
    func,
    literal,
    literal_column,
    select,
)

from palaver.errors import Code, Refused
from palaver.model import ActorId, RoomId
from palaver.model.branches import Branch
from palaver.store.columns import INTEGER_MAX
from palaver.store.engine.statement import Row, Statement, matching
from palaver.store.read.actors import id_of
from palaver.store.schema import actors, branches, members, messages, rooms

LISTED_MAX = 1_000
"""So many branches of a room are listed, the newest."""


class Path(Struct, frozen=True):
    """The way that a branch takes: branches with the seq up to which each counts, its own first."""

    parts: tuple[tuple[int, int], ...]

    @property
    def branch(self) -> int:
        """The branch at its end."""
        return self.parts[0][0]

    def until(self, seq: int) -> list[tuple[int, int]]:
        """The parts that may have something up to a seq, as far as they go up to that."""
        begins = [upto for _, upto in self.parts[1:]] + [-1]
        return [
            (branch, min(seq, upto))
            for (branch, upto), before in zip(self.parts, begins, strict=True)
            if seq > before
        ]

    def holds(self, branch: int, seq: int) -> bool:
        """Whether a message of a branch lies on it."""
        return any(seq <= upto for one, upto in self.parts if one == branch)


FIRST = Path(((0, INTEGER_MAX),))
"""The way through a room without branches."""


def _path(seed: ColumnElement[Any], *names: str) -> Statement:
    first = select(
        rooms.c.key.label("room_key"),
        seed.label("branch"),
        literal(INTEGER_MAX, BigInteger).label("upto"),
    ).where(rooms.c.id == bindparam("room"))
    path = first.cte("path", recursive=True)
    here = and_(branches.c.room_key == path.c.room_key, branches.c.branch == path.c.branch)
    above = select(path.c.room_key, branches.c.parent, branches.c.fork_seq).join(branches, here)
    path = path.union_all(above)
    return Statement(select(path.c.branch, path.c.upto), "room", *names)


_main = func.coalesce(rooms.c.main_branch, literal_column("0"))
_looked_at = (
    select(members.c.branch)
    .join(actors, actors.c.key == members.c.actor_key)
    .where(members.c.room_key == rooms.c.key, actors.c.id == bindparam("actor"))
    .correlate(rooms)
    .scalar_subquery()
)
_MAIN = _path(_main)
_LAST = matching(select(rooms.c.last_branch), rooms.c.id)
_LOOKED_AT = _path(func.coalesce(_looked_at, _main), "actor")
_OF = _path(bindparam("branch", type_=Integer), "branch")
_room_key = select(rooms.c.key).where(rooms.c.id == bindparam("room")).scalar_subquery()
_LIVE = Statement(
    select(branches.c.branch)
    .where(branches.c.room_key == _room_key, branches.c.branch == bindparam("branch"))
    .where(branches.c.deleted_ms.is_(None)),
    *("room", "branch"),
)
_AT = Statement(
    select(messages.c.branch)
    .where(messages.c.room_key == _room_key, messages.c.seq <= bindparam("seq"))
    .order_by(messages.c.seq.desc())
    .limit(1),
    *("room", "seq"),
)
_last = (
    select(func.max(messages.c.seq))
    .where(messages.c.room_key == branches.c.room_key, messages.c.branch == branches.c.branch)
    .correlate(branches)
    .scalar_subquery()
    .label("last")
)
_made = (
    select(
        *branches.c["branch", "parent", "fork_seq", "name", "created_ms", "deleted_ms"],
        _last,
        actors.c.kind,
        actors.c.id,
    )
    .outerjoin(actors, actors.c.key == branches.c.by_key)
    .where(branches.c.room_key == _room_key)
)
_LIST = Statement(_made.order_by(branches.c.branch.desc()).limit(LISTED_MAX), "room")
_ONE = Statement(_made.where(branches.c.branch == bindparam("branch")), "room", "branch")
_LAST_OF_FIRST = Statement(
    select(func.max(messages.c.seq)).where(
        messages.c.room_key == _room_key, messages.c.branch == literal_column("0")
    ),
    "room",
)


def any_of(conn: Connection, room: RoomId) -> bool:
    """Whether a room has, or had, branches."""
    return _LAST.value(conn, room) is not None


def main(conn: Connection, room: RoomId) -> Path:
    """The path of a room's main branch."""
    return _path_of(_MAIN.all(conn, room))


def of(conn: Connection, room: RoomId, branch: int) -> Path:
    """The path of a branch, deleted or not."""
    return _path_of(_OF.all(conn, room, branch)) if branch else FIRST


def looked_at(conn: Connection, room: RoomId, actor: ActorId) -> Path:
    """The path of the branch that an actor looks at: the room's main one, where they chose none."""
    return _path_of(_LOOKED_AT.all(conn, room, actor))


def chosen(
    conn: Connection, room: RoomId, actor: ActorId, branch: int | None, around: int | None
) -> Path:
    """The path of the given branch, else of the one that an actor looks at, or of that in which the seq `around` lies.

    Refused: `branch_not_found`.
    """
    if branch is not None:
        return of(conn, room, check(conn, room, branch))
    path = looked_at(conn, room, actor)
    if around is None:
        return path
    there = at(conn, room, around)
    return path if path.holds(there, around) else of(conn, room, there)


def check(conn: Connection, room: RoomId, branch: int) -> int:
    """A branch that is there. Refused: `branch_not_found`."""
    there = branch == 0 or (0 < branch < 2**31 and _LIVE.all(conn, room, branch))
    if not there:
        raise Refused(Code.BRANCH_NOT_FOUND, "There is no such branch in this room.")
    return branch


def at(conn: Connection, room: RoomId, seq: int) -> int:
    """The branch of a message, or of the one before a seq; 0 where there is none."""
    return _AT.value(conn, room, max(0, min(seq, INTEGER_MAX))) or 0


def listing(conn: Connection, room: RoomId) -> tuple[Branch, ...]:
    """A room's branches in the order of their making, deleted ones, too; at most the newest `LISTED_MAX`."""
    first = Branch(
        branch=0,
        parent=None,
        after=0,
        name=None,
        by=None,
        created_ms=None,
        last=_LAST_OF_FIRST.value(conn, room),
        deleted_ms=None,
    )
    return first, *reversed([_branch_of(row) for row in _LIST.all(conn, room)])


def made(conn: Connection, room: RoomId, branch: int) -> Branch:
    """A branch that was made, deleted or not."""
    return _branch_of(_ONE.one(conn, room, branch))


def _branch_of(row: Row) -> Branch:
    return Branch(
        branch=row.branch,
        parent=row.parent,
        after=row.fork_seq,
        name=row.name,
        by=None if row.id is None else id_of(row.kind, row.id),
        created_ms=row.created_ms,
        last=row.last,
        deleted_ms=row.deleted_ms,
    )


def _path_of(rows: list[Row]) -> Path:
    parts = sorted([(row.branch, row.upto) for row in rows], key=itemgetter(1), reverse=True)
    return Path(tuple(parts)) if parts else FIRST
