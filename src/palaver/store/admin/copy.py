"""Copies all rows of one database into another, of either engine, and compares them afterwards.

Theory of operation. Tables are copied in the order of their references, rows in the order of their primary keys, a page
in each transaction, as they lie there: no value is interpreted. So the last row of each table in the target says where
to go on after a crash. The target's `meta` says `copying` (the source's epoch) and has no epoch until every row has
been compared with the source's; no server starts on it meanwhile. The source is one snapshot; one that was changed
between two attempts is found by the comparison.

A copy gets an epoch of its own, so that clients begin anew: from now on the two may go different ways.
"""

from collections.abc import Callable, Iterator

from sqlalchemy import (
    Column,
    ColumnClause,
    Connection,
    Integer,
    Table,
    bindparam,
    column,
    delete,
    func,
    insert,
    select,
    table,
    text,
    tuple_,
)
from sqlalchemy.types import TypeDecorator, TypeEngine

from palaver.clock import SystemClock
from palaver.errors import Code, Refused
from palaver.store import migrate
from palaver.store.admin.verify import Progress
from palaver.store.engine.base import POSTGRESQL
from palaver.store.engine.statement import Row, Statement
from palaver.store.schema import blobs, meta, metadata

PAGE = 1_000
COPYING = "copying"
COPIED = "copied_from"
"""The epoch of the source, in the target: while it is copied, and after."""
EPOCH = "epoch"
SERVERS = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND application_name = 'palaver'
"""
NUMBERED = ("actors", "rooms", "profiles", "unfed", "webhooks", "deliveries")
"""Tables whose keys PostgreSQL gives out by a sequence."""


class _Plain:
    """A table's rows as they lie there, in the order of its primary key: the `last` one, their `count`."""

    def __init__(self, original: Table) -> None:
        self.name = original.name
        names, keys = original.columns.keys(), original.primary_key.columns.keys()
        self.key_places = [names.index(name) for name in keys]
        plain = table(original.name, *[_plain(column) for column in original.columns])
        key = [plain.c[name] for name in keys]
        self._page = 1 if original is blobs else PAGE
        given = [bindparam(f"after_{one.name}", type_=one.type) for one in key]
        page = select(plain).order_by(*key).limit(bindparam("count", type_=Integer()))
        rest = page.where(tuple_(*key) > tuple_(*given))
        self._first = Statement(page, "count")
        self._next = Statement(rest, *[f"after_{name}" for name in keys], "count")
        newest = select(plain).order_by(*[one.desc() for one in key])
        self.last: Callable[[Connection], Row | None] = Statement(newest.limit(1)).first
        self.count: Callable[[Connection], int] = Statement(
            select(func.count()).select_from(plain)
        ).value
        self.empty = Statement(delete(plain))
        self.insert = Statement(
            insert(plain).values({name: bindparam(name) for name in names}), *names
        )

    def pages(self, conn: Connection, last: Row | None = None) -> Iterator[list[Row]]:
        """All rows after `last`."""
        while rows := (
            self._first.all(conn, self._page)
            if last is None
            else self._next.all(conn, *[last[place] for place in self.key_places], self._page)
        ):
            yield rows
            last = rows[-1]


_UNSET_META = Statement(delete(meta).where(meta.c.name == bindparam("name")), "name")


def copy_rows(
    source: Connection, target: Connection, progress: Progress, *, force: bool = False
) -> None:
    """Copies everything, or goes on with it.

    Refused: `database_not_empty` (without `force`), `database_locked` (a server uses the target),
    `database_incomplete` (the source is an unfinished copy, or was changed since the copy was begun).
    """
    tables = tuple(_Plain(one) for one in metadata.sorted_tables if one is not meta)
    with target.begin():
        copied = _prepare(target, tables, migrate.epoch(source), force=force)
    total = sum(plain.count(source) for plain in tables)
    with target.begin():
        done = sum(plain.count(target) for plain in tables)
    for plain in () if copied else tables:
        with target.begin():
            last = plain.last(target)
        for rows in plain.pages(source, last):
            with target.begin():
                plain.insert.many(target, rows)
            done += len(rows)
            progress("copying", done, total)
    try:
        with target.begin():
            done = 0
            for plain in tables:
                for rows in _compared(source, target, plain):
                    done += len(rows)
                    progress("comparing", done, total)
            _finish(target, migrate.epoch(source))
    except Refused:
        if copied:
            raise Refused(
                Code.DATABASE_NOT_EMPTY,
                "The target was copied before, and used or changed since; --force replaces it.",
            ) from None
        with target.begin():  # what is there is of no use: the next attempt does not go on with it
            _UNSET_META.run(target, COPYING)
        raise


def _prepare(target: Connection, tables: tuple[_Plain, ...], epoch: str, *, force: bool) -> bool:
    """Whether all was copied before, by an attempt that was killed after its end."""
    if target.dialect.name == POSTGRESQL and target.execute(text(SERVERS)).scalar_one():
        raise Refused(Code.DATABASE_LOCKED, "A Palaver server uses the target; stop it first.")
    if migrate.META.value(target, COPYING) == epoch:
        return False
    if migrate.META.value(target, COPIED) == epoch and not force:
        return True
    if any(plain.last(target) is not None for plain in tables):
        if not force:
            raise Refused(
                Code.DATABASE_NOT_EMPTY,
                "There is something in the target already; --force replaces it.",
            )
        for plain in reversed(tables):
            plain.empty.run(target)
    for name in (EPOCH, COPYING, COPIED):
        _UNSET_META.run(target, name)
    migrate.INSERT_META.run(target, COPYING, epoch)
    return False


def _compared(source: Connection, target: Connection, plain: _Plain) -> Iterator[list[Row]]:
    """Pages of rows that are the same on both sides. Refused: `database_incomplete`, where they are not."""
    there = plain.pages(target)
    for rows in plain.pages(source):
        if next(there, None) != rows:
            break
        yield rows
    else:
        if next(there, None) is None:
            return
    raise Refused(
        Code.DATABASE_INCOMPLETE,
        f"The rows of {plain.name} are not the same: the source was changed meanwhile. "
        "Stop its servers and repeat the command with --force.",
    )


def _finish(target: Connection, epoch: str) -> None:
    if target.dialect.name == POSTGRESQL:
        for name in NUMBERED:
            newest = f"(SELECT coalesce(max(key), 1) FROM {name})"  # noqa: S608  our own names
            target.execute(
                text(f"SELECT setval(pg_get_serial_sequence('{name}', 'key'), {newest})")
            )
    for name in (COPYING, COPIED, EPOCH):
        _UNSET_META.run(target, name)
    migrate.INSERT_META.run(target, COPIED, epoch)
    migrate.INSERT_META.run(target, EPOCH, f"e_{SystemClock().new_id()}")


def _plain(original: Column[object]) -> ColumnClause[object]:
    kind: TypeEngine[object] = original.type
    return column(original.name, kind.impl_instance if isinstance(kind, TypeDecorator) else kind)
