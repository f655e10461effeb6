"""How tables are declared: their constraints have names, so that a migration can name them on both engines."""

from typing import Any

from sqlalchemy import CheckConstraint, Column, ColumnElement, Constraint, Index, MetaData, Table

metadata = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pk",
        "uq": "%(table_name)s_%(column_0_N_name)s",
        "fk": "%(table_name)s_%(column_0_N_name)s_fk",
        "ck": "%(table_name)s_%(constraint_name)s",
    }
)


def table(name: str, *columns: Column[Any] | Constraint) -> Table:
    """A table. An `id` in it is a public one, of 16 bytes."""
    made = Table(name, metadata, *columns)
    if "id" in made.c:
        made.append_constraint(CheckConstraint("length(id) = 16", name="id_length"))
    return made


def partial_index(
    name: str, where: ColumnElement[bool], *columns: Column[Any], unique: bool = False
) -> None:
    """An index of the rows for which `where` holds."""
    Index(name, *columns, unique=unique, sqlite_where=where, postgresql_where=where)
