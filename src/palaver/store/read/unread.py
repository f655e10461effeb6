"""Counts what is unread in rooms with branches; in others the list of rooms does so by itself."""

from sqlalchemy import BigInteger, Connection, bindparam, func, select

from palaver.store.engine.statement import Row, Statement
from palaver.store.read import branches
from palaver.store.schema import messages

UNREAD_MAX = 100
UNREAD_SCANNED = 200
"""Unread messages are counted among so many of a room's last seqs, so that the count's cost is bounded."""

_UNREAD = Statement(
    select(*messages.c["seq", "branch"])
    .where(messages.c.room_key == bindparam("room_key"), messages.c.seq > bindparam("since"))
    .where(messages.c.author_key != func.coalesce(bindparam("me", type_=BigInteger), 0))
    .where(messages.c.deleted_ms.is_(None))
    .order_by(messages.c.seq)
    .limit(UNREAD_SCANNED),
    *("room_key", "since", "me"),
)


def looked_at(conn: Connection, row: Row) -> tuple[int, int]:
    """The branch that the actor looks at, and how many of the unread messages lie on its path."""
    if row.last_branch is None:
        return 0, row.unread
    branch = (row.main_branch if row.branch is None else row.branch) or 0
    if not row.unread:
        return branch, 0
    path = branches.of(conn, row.id, branch)
    since = max(row.read_seq, row.seq - UNREAD_SCANNED)
    found = _UNREAD.all(conn, row.key, since, row.me)
    return branch, min(UNREAD_MAX, sum(path.holds(one.branch, one.seq) for one in found))
