"""REST about what answers used, and the budgets that bound what they may use."""

from typing import Annotated, cast

from fastapi import Query
from msgspec.structs import asdict
from typing_extensions import TypedDict

import palaver.model.usage as stored
from palaver.core.runtime import Core
from palaver.model.usage import BudgetKind, BudgetPeriod, UsedBy
from palaver.policy import ServerAct
from palaver.wire.api.body import Given, word_of
from palaver.wire.auth import Me
from palaver.wire.calls import call
from palaver.wire.shapes import explained, moment

From = Annotated[str | None, Query(alias="from", description="The first day. Default: 30 days.")]
To = Annotated[str | None, Query(alias="to", description="The last day. Default: today.")]
By = Annotated[UsedBy, word_of(UsedBy)]


@explained
class Used(TypedDict):
    """What some answers used, in tokens."""

    name: str
    """Whose they are: a model's, an actor's, a day; "" in all."""
    id: str | None
    """The actor's."""
    answers: int
    input: int
    output: int
    cached: int
    """Of the input, what cost less."""
    reasoning: int
    """Of the output, what was thought."""
    cost_micros: int | None
    """In millionths of a dollar; None where no price is known."""
    unpriced: int
    """Answers without a price."""
    estimated: int
    """Answers whose tokens nobody counted."""
    failed: int
    """Answers that failed."""
    first_p50_ms: int | None
    """Within how many milliseconds half of the answers began, and `first_p95_ms` 95 of 100: of a model's, or of all."""
    first_p95_ms: int | None


@explained
class Report(TypedDict):
    """What was used from one day to another (UTC): in all, and by whom, the most first, or day by day."""

    first_day: str
    last_day: str
    total: Used
    rows: list[Used]
    messages: dict[str, int] | None
    """How many each day had, of the last 366 at the most. None in one's own, as `database_bytes`."""
    database_bytes: int | None


class GivenBudget(Given):
    """A bound of what answers use. Without `tokens` and `cost_micros` there is none any more."""

    kind: Annotated[BudgetKind, word_of(BudgetKind)]
    """`server`, `person` or `agent`."""
    period: Annotated[BudgetPeriod, word_of(BudgetPeriod)]
    """`day` or `month`, in UTC."""
    of: str | None = None
    """The id of the person or agent."""
    tokens: int | None = None
    cost_micros: int | None = None
    """Millionths of a dollar."""


@explained
class Budget(TypedDict):
    """A bound of what answers use in a day or month."""

    kind: str
    of: str | None
    name: str
    period: str
    tokens: int | None
    cost_micros: int | None
    used: int
    """Tokens, with what is reserved for running answers."""
    used_micros: int
    ends_at: str


class Budgets(TypedDict):
    """All budgets."""

    budgets: list[Budget]


class Costs:
    """The calls about what answers use."""

    def __init__(self, core: Core) -> None:
        self._usage = core.usage

    @call("GET", "/me/usage", ServerAct.OWN)
    async def own(
        self, me: Me, since: From = None, until: To = None, by: By = UsedBy.MODEL
    ) -> Report:
        """What the answers used that one set off oneself, by `model`, `agent` or `day`."""
        return report(await self._usage.own(me, since, until, by))

    @call("GET", "/usage", ServerAct.USAGE)
    async def all(
        self, me: Me, since: From = None, until: To = None, by: By = UsedBy.MODEL
    ) -> Report:
        """What all answers used, by `model`, `person`, `agent` or `day`."""
        return report(await self._usage.all(me, since, until, by))

    @call("GET", "/me/budgets", ServerAct.OWN)
    async def own_budgets(self, me: Me) -> Budgets:
        """The budgets of one's own answers, with what is used of them."""
        return {"budgets": [budget(one) for one in await self._usage.own_budgets(me)]}

    @call("GET", "/budgets", ServerAct.USAGE)
    async def budgets(self, me: Me) -> Budgets:
        """All budgets, with what is used of them."""
        return {"budgets": [budget(one) for one in await self._usage.budgets(me)]}

    @call("PUT", "/budgets", ServerAct.USAGE)
    async def set_budget(self, me: Me, body: GivenBudget) -> Budgets:
        """Sets a budget of the server, a person or an agent, or takes it away; all budgets then."""
        found = await self._usage.set_budget(
            me, body.kind, body.of, body.period, tokens=body.tokens, cost_micros=body.cost_micros
        )
        return {"budgets": [budget(one) for one in found]}


def report(value: stored.UsageReport) -> Report:
    """What was used, as it is told."""
    return {
        "first_day": value.since,
        "last_day": value.until,
        "total": _used(value.total),
        "rows": [_used(one) for one in value.rows],
        "messages": value.messages,
        "database_bytes": value.database_bytes,
    }


def budget(value: stored.Budget) -> Budget:
    """A budget, as it is told."""
    told = {name: one for name, one in asdict(value).items() if name != "ends_ms"}
    return cast("Budget", {**told, "ends_at": moment(value.ends_ms)})


def _used(value: stored.Used) -> Used:
    unknown = value.answers and value.unpriced == value.answers
    cost = None if unknown else value.cost_micros
    return cast("Used", {**asdict(value), "cost_micros": cost})
