"""Fields of requests as the API describes them: what each may be, and what is said of one that is not.

The words are OpenAI's own, with the field as `param` and the kind of mistake as `code`: people look for them, and
libraries read them. What a table does not name is anybody's, and a field that is null is not there.
"""

from collections.abc import Mapping, Sequence

from msgspec import Struct

from palaver.errors import Code, Refused
from palaver.strict_json import Json, as_list

ITEMS_MAX = 50_000
"""So many messages, items or parts of one of them may be in a request: they are read in one go."""
ECHO_CHARS_MAX = 100
"""So much of a value is told back."""

_NAMES: dict[type, str] = {
    bool: "a boolean",
    int: "an integer",
    float: "a decimal number",
    str: "a string",
    dict: "an object",
    list: "an array",
    type(None): "null",
}


class Invalid(Refused):
    """A request that cannot be done as it is. `param` is where, `reason` OpenAI's own code where it has one."""

    def __init__(self, detail: str, param: str | None, reason: str | None = None) -> None:
        super().__init__(Code.BAD_REQUEST, detail)
        self.param = param
        self.reason = reason


class Field(Struct, frozen=True):
    """What a field may be: of one of these types, in these words; a number within bounds, both included; a known value.

    `known` are the values of a text, or of a list's members.
    """

    types: tuple[type, ...]
    words: str
    least: float | None = None
    most: float | None = None
    known: tuple[str, ...] = ()

    def check(self, param: str, value: object) -> None:
        """Refuses a value that is none of these."""
        if type(value) not in self.types:
            raise wrong_type(param, self.words, value)
        if isinstance(value, int | float):
            noun = self.words.rpartition(" ")[2]
            if self.least is not None and value < self.least:
                raise _beyond(param, noun, "below min", f">= {self.least:g}", value)
            if self.most is not None and value > self.most:
                raise _beyond(param, noun, "above max", f"<= {self.most:g}", value)
        if self.known:
            members = as_list(value) if list in self.types else [value]
            for place, one in enumerate(members):
                if one not in self.known:
                    raise wrong_value(
                        f"{param}[{place}]" if list in self.types else param, one, self.known
                    )


def check(body: Json, fields: Mapping[str, Field]) -> None:
    """Refuses the first field that is not what its table says."""
    for name, field in fields.items():
        if body.get(name) is not None:
            field.check(name, body[name])


def bounded(given: Sequence[object], param: str) -> None:
    """Refuses a list that is longer than `ITEMS_MAX`."""
    if len(given) > ITEMS_MAX:
        words = f"Expected an array with maximum length {ITEMS_MAX}, but got an array with length"
        words = f"Invalid '{param}': array too long. {words} {len(given)} instead."
        raise Invalid(words, param, "array_above_max_length")


def flag(body: Json, name: str, *, default: bool = False) -> bool:
    """Reads a field that was checked to be true, false or not there."""
    value = body.get(name)
    return default if value is None else bool(value)


FLAG = Field((bool,), "a boolean")
TEXT = Field((str,), "a string")
OBJECT = Field((dict,), "an object")
ARRAY = Field((list,), "an array of objects")


def whole(least: float, most: float | None = None) -> Field:
    """A whole number."""
    return Field((int,), "an integer", least, most)


def decimal(least: float, most: float) -> Field:
    """A number."""
    return Field((int, float), "a decimal", least, most)


# what is refused


def missing(param: str) -> Invalid:
    """Builds the refusal of a request without something that it needs."""
    return Invalid(f"Missing required parameter: '{param}'.", param, "missing_required_parameter")


def wrong_type(param: str, words: str, value: object) -> Invalid:
    """Builds the refusal of a value of a wrong type. `words` say what it should be."""
    got = f"expected {words}, but got {_NAMES.get(type(value), 'something else')} instead."
    return Invalid(f"Invalid type for '{param}': {got}", param, "invalid_type")


def wrong_value(param: str, value: object, known: Sequence[str]) -> Invalid:
    """Builds the refusal of a value that nobody knows. `known` are two or more."""
    *more, last = [f"'{one}'" for one in known]
    listed = f"{', '.join(more)}{',' if len(more) > 1 else ''} and {last}"
    words = f"Invalid value: '{shortened(value)}'. Supported values are: {listed}."
    return Invalid(words, param, "invalid_value")


def wrong_id(param: str, value: object, prefix: str) -> Invalid:
    """Builds the refusal of an id that is one of something else."""
    words = f"Invalid '{param}': '{shortened(value)}'. Expected an ID that begins with '{prefix}'."
    return Invalid(words, param, "invalid_value")


def shortened(value: object) -> str:
    """As much of a value as is told back."""
    return value[:ECHO_CHARS_MAX] if isinstance(value, str) else ""


def _beyond(param: str, noun: str, side: str, bound: str, value: float) -> Invalid:
    words = f"{noun} {side}imum value. Expected a value {bound}, but got {value} instead."
    return Invalid(f"Invalid '{param}': {words}", param, f"{noun}_{side.replace(' ', '_')}_value")
