"""Reads the reactions to a page of messages, in one bounded query: a range of the table's key, mostly empty."""

from itertools import groupby
from operator import attrgetter
from typing import Any

from msgspec.structs import replace
from sqlalchemy import ColumnElement, Connection, bindparam, func, select

from palaver.model import Actor, ActorId, Page, Reaction, RoomId
from palaver.store.engine.statement import Row, Statement
from palaver.store.read import branches, messages
from palaver.store.read.actors import id_of
from palaver.store.read.messages import became, room_key
from palaver.store.schema import actors, reactions

PEOPLE_SHOWN = 50
"""So many people are named with a message: the first of each kind, then the second of each, and so on."""
_person: ColumnElement[Any] = func.coalesce(became.c.id, actors.c.id)
_of_kind = (reactions.c.seq, reactions.c.emoji)
_counted = (
    select(
        *reactions.c["seq", "emoji", "added_seq"],
        _person.label("person"),
        func.coalesce(became.c.kind, actors.c.kind).label("person_kind"),
        func.coalesce(became.c.name, actors.c.name).label("name"),
        func.count().over(partition_by=_of_kind).label("count"),
        func.min(reactions.c.added_seq).over(partition_by=_of_kind).label("first_seq"),
        func.row_number()
        .over(partition_by=_of_kind, order_by=reactions.c.added_seq)
        .label("place"),
    )
    .join(actors, actors.c.key == reactions.c.actor_key)
    .outerjoin(became, became.c.key == actors.c.became_key)
    .where(reactions.c.room_key == room_key())
    .where(reactions.c.seq >= bindparam("first"), reactions.c.seq <= bindparam("last"))
    .subquery("counted")
)
_turn = func.row_number().over(
    partition_by=_counted.c.seq, order_by=(_counted.c.place, _counted.c.first_seq)
)
_told = select(_counted, _turn.label("turn")).subquery("told")
_SHOWN = Statement(
    select(_told)
    .where(
        (_told.c.turn <= PEOPLE_SHOWN) | (_told.c.person == bindparam("by", type_=actors.c.id.type))
    )
    .order_by(*_told.c["seq", "first_seq", "added_seq"]),
    *("room", "by", "first", "last"),
)


def page(
    conn: Connection,
    room: RoomId,
    by: ActorId,
    *,
    limit: int,
    branch: int | None = None,
    around: int | None = None,
    **place: int | None,
) -> Page:
    """A page of messages as `messages.page` gives it, with the reactions to them as `by` sees them.

    `branch`: as `branches.chosen` says. Refused: `branch_not_found`.
    """
    path = branches.chosen(conn, room, by, branch, around)
    found = messages.page(conn, room, path, limit=limit, around=around, **place)
    if not found.messages:
        return found
    first, last = found.messages[0].seq, found.messages[-1].seq
    rows = _SHOWN.all(conn, room, by, first, last)
    told = {
        seq: tuple([_reaction(list(kind)) for _, kind in groupby(its, attrgetter("emoji"))])
        for seq, its in groupby(rows, attrgetter("seq"))
    }
    if not told:
        return found
    shown = [
        replace(one, reactions=told[one.seq]) if one.seq in told and one.deleted_ms is None else one
        for one in found.messages
    ]
    return replace(found, messages=tuple(shown))


def _reaction(rows: list[Row]) -> Reaction:
    people = [
        Actor(id=id_of(row.person_kind, row.person), kind=row.person_kind, name=row.name)
        for row in rows
    ]
    one = rows[0]
    return Reaction(one.emoji, one.count, tuple(people))
