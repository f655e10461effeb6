"""SQL statements, built with Core once and kept as the driver's own text.

Executing a Core construct costs more than the statement itself on the hot paths (a commit of one message is seven of
them), so a `Statement` compiles it once for each engine, with the columns' processors, and hands the driver plain
tuples, straight on the connection that SQLAlchemy holds. Slow ones are logged: their text has only
placeholders, never content.

Many rows are the driver's `executemany` on SQLite. On PostgreSQL they are one statement over arrays (`unnest`), which
spares the server a message, a plan and a wake-up for each row.
"""

import re
from collections import namedtuple
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, partial
from itertools import repeat
from typing import Any, cast

import structlog
from msgspec import Struct
from sqlalchemy import (
    BigInteger,
    BindParameter,
    Column,
    ColumnElement,
    Connection,
    Delete,
    Dialect,
    Insert,
    Select,
    Table,
    Update,
    bindparam,
    column,
    func,
    insert,
    literal_column,
    select,
    update,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql import ClauseElement, visitors
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import FunctionElement

from palaver.clock import Clock
from palaver.store.columns import Processor
from palaver.store.engine.base import POSTGRESQL, SQLITE

WATCH = "palaver_watch"
"""The execution option that holds a connection's `Watch`."""
LIST_MAX = 512
"""The longest list in one statement; a longer one is asked for in pieces."""

_PLACE = re.compile(r"\$(\d+)")

Row = Any
"""A row: a named tuple, whose fields are the names of the statement's columns."""
Columns = Any
"""Rows turned over: a named tuple with a list for each column."""
Chosen = Select[*tuple[Any, ...]] | Update | Delete
"""What can be narrowed to some of its rows."""


class Watch(Struct, frozen=True):
    """With what statements are timed, and from when on they are slow, which is logged."""

    clock: Clock
    slow_seconds: float


class _Form(Struct, frozen=True):
    """A statement as one driver wants it. `order`: which of the caller's values stands at each place."""

    engine: str
    text: str
    order: tuple[int, ...]
    constants: tuple[Any, ...]
    straight: bool
    binds: tuple[tuple[int, Processor], ...]
    results: tuple[tuple[int, Processor], ...]
    names: tuple[str, ...]
    row: Callable[[Iterable[Any]], Row]

    def parameters(self, values: tuple[Any, ...]) -> tuple[Any, ...]:
        """The driver's parameters for the caller's values."""
        known = [*values, *self.constants]
        for index, process in self.binds:
            known[index] = process(known[index])
        return tuple(known) if self.straight else tuple([known[index] for index in self.order])

    def columns_of(self, rows: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
        """The driver's values of many rows, column by column, which is faster than row by row."""
        columns = [list(column) for column in zip(*rows, strict=True)]
        for index, process in self.binds:
            columns[index] = list(map(process, columns[index]))
        return columns

    def parameters_of(self, rows: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
        """The driver's parameters for many rows."""
        columns: list[Iterable[Any]] = [*self.columns_of(rows)]
        columns += [repeat(value, len(rows)) for value in self.constants]
        if not self.straight:
            columns = [columns[index] for index in self.order]
        return list(zip(*columns, strict=True))

    def values(self, rows: Sequence[Sequence[Any]]) -> list[Row]:
        """The caller's values of the driver's rows."""
        if len(rows) == 1:
            row = list(rows[0])
            for index, process in self.results:
                row[index] = process(row[index])
            return [self.row(row)]
        return list(map(self.row, zip(*self.turned(rows), strict=True)))

    def turned(self, rows: Sequence[Sequence[Any]]) -> Columns:
        """The same, column by column."""
        if not rows:
            return self.row([()] * len(self.names))
        columns: list[Sequence[Any]] = list(zip(*rows, strict=True))
        for index, process in self.results:
            columns[index] = list(map(process, columns[index]))
        return self.row(columns)


class Statement:
    """One statement with parameters `names`, given by position. `sqlite`: another way to ask the same there."""

    __slots__ = ("_construct", "_forms", "_names", "_over_arrays", "_sqlite")

    def __init__(
        self, construct: ClauseElement, *names: str, sqlite: ClauseElement | None = None
    ) -> None:
        self._construct = construct
        self._sqlite = construct if sqlite is None else sqlite
        self._names = names
        self._forms: dict[str, _Form] = {}
        self._over_arrays: str | None = None

    def all(self, conn: Connection, *values: Any) -> list[Row]:
        """All rows."""
        form = self._form(conn.dialect)
        return form.values(_timed(conn, _fetch, form.text, form.parameters(values)))

    def columns(self, conn: Connection, *values: Any) -> Columns:
        """All rows, column by column, which is faster for many."""
        form = self._form(conn.dialect)
        return form.turned(_timed(conn, _fetch, form.text, form.parameters(values)))

    def first(self, conn: Connection, *values: Any) -> Row | None:
        """The first row, if there is one."""
        rows = self.all(conn, *values)
        return rows[0] if rows else None

    def one(self, conn: Connection, *values: Any) -> Row:
        """The row, which must be there."""
        return self.all(conn, *values)[0]

    def value(self, conn: Connection, *values: Any) -> Any:
        """The value of the first row, which has one column; None when there is no row."""
        rows = self.all(conn, *values)
        return rows[0][0] if rows else None

    def column(self, conn: Connection, *values: Any) -> list[Any]:
        """The values of all rows, which have one column."""
        return [value for (value,) in self.all(conn, *values)]

    def run(self, conn: Connection, *values: Any) -> int:
        """Runs what gives no rows; the number of rows touched."""
        form = self._form(conn.dialect)
        return _timed(conn, _execute, form.text, form.parameters(values))

    def many(self, conn: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
        """Runs it once for each of `rows`."""
        if len(rows) == 1:
            self.run(conn, *rows[0])
        elif rows:
            form = self._form(conn.dialect)
            if form.engine == POSTGRESQL:
                text = self.over_arrays(conn.dialect)
                _timed(conn, _execute, text, tuple(form.columns_of(rows)))
            else:
                _timed(conn, _execute_many, form.text, form.parameters_of(rows))

    def columns_of(self, dialect: Dialect, rows: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
        """The parameters of `over_arrays` for these rows."""
        return self._form(dialect).columns_of(rows)

    def over_arrays(self, dialect: Dialect) -> str:
        """The text for many rows at once on PostgreSQL, with an array for each of the names."""
        if self._over_arrays is None:
            self._over_arrays = _over_arrays(self._construct, self._names, dialect)
        return self._over_arrays

    def _form(self, dialect: Dialect) -> _Form:
        form = self._forms.get(dialect.name)
        if form is None:
            construct = self._sqlite if dialect.name == SQLITE else self._construct
            form = self._forms[dialect.name] = _compiled(construct, self._names, dialect)
        return form


class Together:
    """Statements about tables of their own, each run once for each of its rows: on PostgreSQL in one round trip."""

    __slots__ = ("_statements", "_text")

    def __init__(self, *statements: Statement) -> None:
        self._statements = statements
        self._text: str | None = None

    def many(self, conn: Connection, *rows: Sequence[tuple[Any, ...]]) -> None:
        """Runs them, with the rows of each."""
        if conn.dialect.name == POSTGRESQL and all(rows):
            if self._text is None:
                self._text = _in_one([one.over_arrays(conn.dialect) for one in self._statements])
            columns = [
                column
                for one, its in zip(self._statements, rows, strict=True)
                for column in one.columns_of(conn.dialect, its)
            ]
            _timed(conn, _execute, self._text, tuple(columns))
        else:
            for one, its in zip(self._statements, rows, strict=True):
                one.many(conn, its)


class ListStatement:
    """A statement about a list of tuples. `build` makes it for a list of a given length.

    It gets the names of the parameters, a tuple for each element. Lengths are rounded up to powers of two, by
    repeating the last element, so that there are few texts to prepare. `fixed` names its other parameters.
    """

    __slots__ = ("_build", "_fixed", "_statements", "_width")

    def __init__(
        self,
        build: Callable[[Sequence[tuple[str, ...]]], ClauseElement],
        *fixed: str,
        width: int = 1,
    ) -> None:
        self._build = build
        self._fixed = fixed
        self._width = width
        self._statements: dict[int, Statement] = {}

    def all(self, conn: Connection, elements: Sequence[tuple[Any, ...]], *fixed: Any) -> list[Row]:
        """All rows for these elements. An element's rows may come more than once."""
        if len(elements) > LIST_MAX:
            rows: list[Row] = []
            for start in range(0, len(elements), LIST_MAX):
                rows += self.all(conn, elements[start : start + LIST_MAX], *fixed)
            return rows
        if not elements:
            return []
        size = 1 << (len(elements) - 1).bit_length()
        padded = [*elements, *([elements[-1]] * (size - len(elements)))]
        return self.of(size).all(conn, *[value for element in padded for value in element], *fixed)

    def of(self, size: int) -> Statement:
        """The statement for a list of `size` elements."""
        statement = self._statements.get(size)
        if statement is None:
            names = [tuple(f"p{i}_{j}" for j in range(self._width)) for i in range(size)]
            flat = [name for element in names for name in element]
            statement = self._statements[size] = Statement(self._build(names), *flat, *self._fixed)
        return statement


class DatabaseNow(FunctionElement[int]):
    """The database's clock in milliseconds, which all processes share. NULL on SQLite, which one process has."""

    type = BigInteger()
    inherit_cache = True


@compiles(DatabaseNow)
def _postgresql_now(element: DatabaseNow, compiler: Any, **keywords: Any) -> str:  # noqa: ARG001  SQLAlchemy's shape
    return "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)"


@compiles(DatabaseNow, "sqlite")
def _sqlite_now(element: DatabaseNow, compiler: Any, **keywords: Any) -> str:  # noqa: ARG001  SQLAlchemy's shape
    return "NULL"


database_now = func.coalesce(DatabaseNow(), bindparam("now_ms"))
"""The same; on SQLite the `now_ms` of the process that has the file."""


def inserting(
    table: Table, *names: str, returning: ColumnElement[Any] | None = None, **others: Any
) -> Statement:
    """Inserts a row, of whose columns the values of these are given. `others` are the same in each, or made of them."""
    values: dict[str, Any] = {name: bindparam(name) for name in names if name in table.c}
    added = insert(table).values(values | others)
    return Statement(added if returning is None else added.returning(returning), *names)


def updating(
    key: Column[Any] | Sequence[Column[Any]],
    *names: str,
    where: ColumnElement[bool] | None = None,
    **others: Any,
) -> Statement:
    """Sets these columns, and `others`, of the rows with this `key`, which is given behind the values, and `where`."""
    keys = (key,) if isinstance(key, Column) else key
    values: dict[str, Any] = {name: bindparam(f"new_{name}") for name in names}
    places = [f"its_{place.name}" for place in keys]
    here = [column == bindparam(name) for column, name in zip(keys, places, strict=True)]
    here += [] if where is None else [where]
    changed = update(keys[0].table).where(*here).values(values | others)
    return Statement(changed, *[f"new_{name}" for name in names], *places)


def matching(chosen: Chosen, *columns: ColumnElement[Any]) -> Statement:
    """Those of the rows that have the given values in these columns."""
    names = [f"its_{place}" for place in range(len(columns))]
    here = [column == bindparam(name) for column, name in zip(columns, names, strict=True)]
    return Statement(chosen.where(*here), *names)


def among(
    chosen: Select[*tuple[Any, ...]], column: ColumnElement[Any], *fixed: str
) -> ListStatement:
    """Those of the rows whose `column` is in the list."""
    return ListStatement(
        lambda names: chosen.where(
            column.in_([bindparam(name, type_=column.type) for (name,) in names])
        ),
        *fixed,
    )


def _compiled(construct: ClauseElement, names: tuple[str, ...], dialect: Dialect) -> _Form:
    compiled = cast(SQLCompiler, construct.compile(dialect=dialect))
    places = compiled.positiontup or []
    processors = cast("dict[str, Processor]", compiled._bind_processors)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    constants: dict[str, Any] = {}
    for place in places:
        if place not in names and place not in constants:
            value = compiled.params[place]
            constants[place] = processors[place](value) if place in processors else value
    known = (*names, *constants)
    order = tuple(known.index(place) for place in places)
    columns = compiled._result_columns  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    named = _row_class(tuple([column.keyname for column in columns]))
    results = [
        (index, column.type.dialect_impl(dialect).result_processor(dialect, None))
        for index, column in enumerate(columns)
    ]
    return _Form(
        engine=dialect.name,
        text=str(compiled),
        order=order,
        constants=tuple(constants.values()),
        straight=order == tuple(range(len(names))),
        binds=tuple((i, processors[name]) for i, name in enumerate(names) if name in processors),
        results=tuple((index, process) for index, process in results if process is not None),
        names=named._fields,
        row=partial(cast("Any", tuple).__new__, named),
    )


@cache
def _row_class(names: tuple[str, ...]) -> Any:
    return namedtuple("Row", names, rename=True)  # noqa: PYI024  # pyright: ignore[reportUntypedNamedTuple]  the names come from the statement


def _over_arrays(construct: ClauseElement, names: tuple[str, ...], dialect: Dialect) -> str:
    """An INSERT or UPDATE for many rows at once, whose parameters `$1`, `$2`, … are arrays in the order of `names`."""
    types = cast(SQLCompiler, construct.compile(dialect=dialect)).binds
    arrays: list[ColumnElement[Any]] = [
        literal_column(f"${number}::{types[name].type.compile(dialect)}[]")
        for number, name in enumerate(names, 1)
    ]
    columns: list[ColumnElement[Any]] = [column(name) for name in names]
    given = func.unnest(*arrays).table_valued(*columns, name="given").render_derived()

    def replaced(element: Any, **_: Any) -> Any:
        known = isinstance(element, BindParameter) and element.key in names
        return given.c[element.key] if known else None

    changed: Any = construct
    if isinstance(construct, Insert):
        values = cast("Mapping[Any, Any]", construct._values)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        chosen: list[Any] = [_replaced(value, replaced) for value in values.values()]
        changed = insert(construct.table).from_select(list(values), select(*chosen))
    else:
        changed = _replaced(construct, replaced)
    return str(changed.compile(dialect=dialect, compile_kwargs={"literal_binds": True}))


def _in_one(texts: Sequence[str]) -> str:
    """One statement of several that change rows, whose parameters follow each other."""
    shifted: list[str] = []
    count = 0
    for text in texts:
        shifted.append(_PLACE.sub(lambda found, by=count: f"${int(found[1]) + by}", text))
        count += max(int(place) for place in _PLACE.findall(text))
    *before, last = shifted
    parts = ", ".join(f"part{number} AS ({text})" for number, text in enumerate(before))
    return f"WITH {parts} {last}"


def _replaced(element: Any, by: Callable[..., Any]) -> Any:
    return cast("Any", visitors.replacement_traverse(element, {}, by))


_Execute = Callable[[Connection, str, Sequence[Any]], Any]


def _timed(conn: Connection, execute: _Execute, text: str, parameters: Sequence[Any]) -> Any:
    watch = cast("Watch | None", conn.get_execution_options().get(WATCH))
    if watch is None:
        return execute(conn, text, parameters)
    began = watch.clock.monotonic()
    try:
        return execute(conn, text, parameters)
    finally:
        took = watch.clock.monotonic() - began
        if took >= watch.slow_seconds:
            structlog.get_logger("palaver.store").warning(
                "slow query", ms=round(took * 1000, 1), statement=" ".join(text.split())
            )


def _straight(conn: Connection) -> Any:
    """The driver's own connection. On PostgreSQL it is SQLAlchemy's adapter of it, which begins transactions."""
    return conn.connection.dbapi_connection


def _fetch(conn: Connection, text: str, parameters: Sequence[Any]) -> Any:
    return _straight(conn).execute(text, parameters).fetchall()


def _execute(conn: Connection, text: str, parameters: Sequence[Any]) -> int:
    return int(_straight(conn).execute(text, parameters).rowcount)


def _execute_many(conn: Connection, text: str, parameters: Sequence[Any]) -> None:
    _straight(conn).executemany(text, parameters)
