"""What answers used, and how much they may use."""

from datetime import UTC, datetime
from enum import StrEnum
from math import inf

from msgspec import Struct

from palaver.model import ActorId, TurnId, TurnRefusal


class UsedBy(StrEnum):
    """By what the usage of a time is parted."""

    MODEL = "model"
    PERSON = "person"
    AGENT = "agent"
    DAY = "day"


class Used(Struct, frozen=True, kw_only=True):
    """What some answers used, in tokens. `name` says which: a model's, an actor's (with its `id`), or a day.

    `cached` are of the input, `reasoning` of the output. `cost_micros`, millionths of a dollar, is of those that have a
    price; `unpriced` counts the others, `estimated` those whose tokens nobody counted, `failed` those that failed. Half
    of them began within `first_p50_ms`, and 95 of 100 within `first_p95_ms`: of a model's, or of all.
    """

    name: str = ""
    id: ActorId | None = None
    answers: int = 0
    input: int = 0
    output: int = 0
    cached: int = 0
    reasoning: int = 0
    cost_micros: int = 0
    unpriced: int = 0
    estimated: int = 0
    failed: int = 0
    first_p50_ms: int | None = None
    first_p95_ms: int | None = None


class UsageReport(Struct, frozen=True):
    """What was used from one day to another (dates, in UTC): in all, and by whom most.

    Of a whole server also how many `messages` each day had, and how large its database is.
    """

    since: str
    until: str
    total: Used
    rows: tuple[Used, ...]
    messages: dict[str, int] | None = None
    database_bytes: int | None = None


class BudgetKind(StrEnum):
    """Whose answers a budget is for."""

    SERVER = "server"
    PERSON = "person"
    AGENT = "agent"


class BudgetPeriod(StrEnum):
    """How often a budget begins anew, in UTC."""

    DAY = "day"
    MONTH = "month"


class Budget(Struct, frozen=True, kw_only=True):
    """How much may be used in a period. What is None has no bound. `name` and `of`: of the person or agent.

    `used` and `used_micros` are of this period, with what is reserved for answers that run; it ends at `ends_ms`.
    """

    kind: BudgetKind
    of: ActorId | None
    name: str
    period: BudgetPeriod
    tokens: int | None
    cost_micros: int | None
    used: int
    used_micros: int
    ends_ms: int

    @property
    def share(self) -> float:
        """How much of it is used: 1 and more where nothing is left."""
        sides = ((self.tokens, self.used), (self.cost_micros, self.used_micros))
        return max(used / most if most else inf for most, used in sides if most is not None)

    @property
    def refusal(self) -> dict[str, str | bool | None]:
        """What `turn.refused` tells of it; `left`: something is, and too little for the question."""
        told = {"code": TurnRefusal.BUDGET_REACHED.value, "budget": self.kind.value, "of": self.of}
        until = f"{date_of(self.ends_ms)}T00:00:00Z"
        left = {"left": True} if self.share < 1 else {}
        return {**told, "period": self.period.value, "until": until, **left}


class Unkept(Struct, frozen=True, kw_only=True):
    """An answer of which nothing is kept but what it used. It has an id as a turn has, and is of no room.

    `by`: who pays for it, and `agent`; None: nobody, and one that is not saved. `model`: as it was asked for.
    """

    id: TurnId
    by: ActorId | None
    agent: ActorId | None
    model: str = ""


def date_of(ms: int) -> str:
    """The day of a moment, in UTC."""
    return datetime.fromtimestamp(ms / 1_000, UTC).date().isoformat()
