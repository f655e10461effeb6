"""Tells what answers used, and sets the budgets that bound it."""

from collections.abc import Callable

from msgspec.structs import replace

from palaver.clock import Clock
from palaver.core import validation
from palaver.errors import Code, Refused
from palaver.model import Actor, ActorId
from palaver.model.usage import (
    Budget,
    BudgetKind,
    BudgetPeriod,
    UsageReport,
    UsedBy,
)
from palaver.policy import ServerAct, check_server
from palaver.store.read import usage
from palaver.store.store import Store
from palaver.store.write.budgets import SetBudget

DAYS = 30
DAYS_MAX = 3_660
CHARTED_MAX = 366
"""So many days are told one by one."""
FRESH_SECONDS = 60.0
"""So long the counts of days that may still grow hold: yesterday's, too, for what was stored late."""
BUDGET_MAX = 10**15


class Usage:
    """What the answers of one database used, and its budgets. `changed` is called when those are set."""

    def __init__(
        self, store: Store, clock: Clock, changed: Callable[[], None] = lambda: None
    ) -> None:
        self._store, self._clock, self._changed = store, clock, changed
        self._said: dict[int, int] = {}
        self._fresh_until = 0.0

    async def own(
        self, actor: Actor, since: str | None, until: str | None, by: UsedBy
    ) -> UsageReport:
        """What one's own answers used. Refused: `bad_request`."""
        if by is UsedBy.PERSON:
            raise Refused(Code.BAD_REQUEST, "What is yours is parted by model, agent or day.")
        first, last = self._span(since, until)
        return await self._store.read(usage.report, first, last, by, actor.id)

    async def all(
        self, by: Actor | None, since: str | None, until: str | None, parted: UsedBy
    ) -> UsageReport:
        """What all answers used, and how much the server is; `by` None is the operator.

        Refused: `bad_request`, `forbidden`.
        """
        _check(by)
        first, last = self._span(since, until)
        report = await self._store.read(usage.report, first, last, parted)
        messages = await self._messages(first, last)
        size = await self._store.read(usage.size)
        return replace(report, messages=messages, database_bytes=size)

    async def budgets(self, by: Actor | None) -> tuple[Budget, ...]:
        """All budgets, with what is used of them. Refused: `forbidden`."""
        _check(by)
        return await self._store.read(usage.all_budgets, self._clock.now_ms())

    async def own_budgets(self, actor: Actor) -> tuple[Budget, ...]:
        """The budgets of one's own answers, with what is used of them."""
        found = await self._store.read(usage.standing, actor.id, self._clock.now_ms())
        return tuple([one for one in found if one.kind is BudgetKind.PERSON])

    async def set_budget(
        self,
        by: Actor | None,
        kind: BudgetKind,
        of: str | None,
        period: BudgetPeriod,
        *,
        tokens: int | None = None,
        cost_micros: int | None = None,
    ) -> tuple[Budget, ...]:
        """Sets a budget, or with no bound takes it away; all budgets then.

        `of`: the id of the person or agent. Refused: `bad_request`, `not_found`, `forbidden`.
        """
        _check(by)
        if (kind is BudgetKind.SERVER) != (of is None):
            words = "A budget is of the server, or of a person or an agent whose id it names."
            raise Refused(Code.BAD_REQUEST, words)
        if any(not 0 <= one <= BUDGET_MAX for one in (tokens, cost_micros) if one is not None):
            raise Refused(Code.BAD_REQUEST, f"A budget is a number from 0 to {BUDGET_MAX:,}.")
        command = SetBudget(
            by=None if by is None else by.id,
            kind=kind,
            of=None if of is None else ActorId(of),
            period=period,
            tokens=tokens,
            cost_micros=cost_micros,
        )
        await self._store.write(command)
        self._changed()
        return await self._store.read(usage.all_budgets, self._clock.now_ms())

    async def _messages(self, first: int, last: int) -> dict[str, int]:
        """How many messages each of the last of these days had: counted once, or of late once a minute."""
        days = range(max(first, last - CHARTED_MAX + 1), last + 1)
        if (now := self._clock.monotonic()) >= self._fresh_until:
            self._fresh_until = now + FRESH_SECONDS
            settled = self._clock.now_ms() // usage.DAY_MS - 1
            self._said = {day: count for day, count in self._said.items() if day < settled}
        known = self._said
        found = await self._store.read(usage.said, [day for day in days if day not in known])
        self._said, said = self._said | found, known | found
        return {usage.date_of(day * usage.DAY_MS): said[day] for day in days}

    def _span(self, since: str | None, until: str | None) -> tuple[int, int]:
        today = self._clock.now_ms() // usage.DAY_MS
        last = today if until is None else validation.when(until) // usage.DAY_MS
        first = last - DAYS + 1 if since is None else validation.when(since) // usage.DAY_MS
        if not 0 <= last - first < DAYS_MAX:
            raise Refused(
                Code.BAD_REQUEST, "A time goes from one day to a later one, within ten years."
            )
        return first, last


def _check(by: Actor | None) -> None:
    if by is not None:
        check_server(ServerAct.USAGE, by.server_role)
