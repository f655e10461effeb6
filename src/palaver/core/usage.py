"""Tells what answers used, and sets the budgets that bound it."""

from collections.abc import Callable

from palaver.clock import Clock
from palaver.core import validation
from palaver.errors import Code, Refused
from palaver.model import Actor, ActorId
from palaver.model.usage import Budget, BudgetKind, BudgetPeriod, UsageReport, UsedBy
from palaver.policy import ServerAct, check_server
from palaver.store.read import usage
from palaver.store.store import Store
from palaver.store.write.budgets import SetBudget

DAYS = 30
DAYS_MAX = 3_660
BUDGET_MAX = 10**15


class Usage:
    """What the answers of one database used, and its budgets. `changed` is called when those are set."""

    def __init__(
        self, store: Store, clock: Clock, changed: Callable[[], None] = lambda: None
    ) -> None:
        self._store, self._clock, self._changed = store, clock, changed

    async def own(
        self, actor: Actor, since: str | None, until: str | None, by: UsedBy
    ) -> UsageReport:
        """What one's own answers used. Refused: `bad_request`."""
        if by is UsedBy.PERSON:
            raise Refused(Code.BAD_REQUEST, "What is yours is parted by model, agent or day.")
        return await self._report(since, until, by, actor.id)

    async def all(
        self, by: Actor | None, since: str | None, until: str | None, parted: UsedBy
    ) -> UsageReport:
        """What all answers used; `by` None is the operator. Refused: `bad_request`, `forbidden`."""
        _check(by)
        return await self._report(since, until, parted, None)

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

    async def _report(
        self, since: str | None, until: str | None, by: UsedBy, of: ActorId | None
    ) -> UsageReport:
        today = self._clock.now_ms() // usage.DAY_MS
        last = today if until is None else validation.when(until) // usage.DAY_MS
        first = last - DAYS + 1 if since is None else validation.when(since) // usage.DAY_MS
        if not 0 <= last - first < DAYS_MAX:
            raise Refused(
                Code.BAD_REQUEST, "A time goes from one day to a later one, within ten years."
            )
        return await self._store.read(usage.report, first, last, by, of)


def _check(by: Actor | None) -> None:
    if by is not None:
        check_server(ServerAct.USAGE, by.server_role)
