"""Makes values of rows whose columns are named after the fields; a kind of value takes them by position."""

from operator import attrgetter
from typing import Any, Generic, TypeVar

from msgspec import Struct
from msgspec.structs import fields

from palaver.store.engine.statement import Columns, Row

T = TypeVar("T", bound=Struct)


class ByName(Generic[T]):
    """Makes values of rows whose columns are named after the fields. `given` are the fields that a caller gives.

    The last fields of a kind, from the one called `until` on, keep their defaults.
    """

    def __init__(self, kind: type[T], *given: str, until: str | None = None) -> None:
        names = [one.name for one in fields(kind)]
        names = names[: names.index(until)] if until else names
        read = [name for name in names if name not in given]
        self._kind = kind
        self._columns = attrgetter(*read)
        self._order = [(*read, *given).index(name) for name in names]

    def one(self, row: Row, *given: object) -> T:
        """The value of one row."""
        values = (*self._columns(row), *given)
        return self._kind(*[values[at] for at in self._order])

    def all(self, columns: Columns, *given: Any) -> tuple[T, ...]:
        """The values of many rows, turned over; of what is given there is one for each."""
        values = (*self._columns(columns), *given)
        return tuple(map(self._kind, *[values[at] for at in self._order]))
