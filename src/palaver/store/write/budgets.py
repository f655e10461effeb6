"""Sets budgets, and reserves for each answer what it may use before a model is asked.

What is reserved stands on the answer's turn (see `unkept` for one without), and is no more once that ends: in that
commit it becomes what was used.
Who reserves holds the locks of the budgets, so that any number of answers at once overrun them by nothing.
"""

from math import ceil

from sqlalchemy import delete, select

from palaver.errors import Code, Refused
from palaver.model import ActorId, ActorKind, EventType, TurnId
from palaver.model.usage import Budget, BudgetKind, BudgetPeriod, Unkept, date_of
from palaver.policy import ServerAct
from palaver.store.engine.statement import inserting, matching, updating
from palaver.store.read.actors import PREFIX
from palaver.store.read.usage import LOCKED, budget_of, now_of, payer
from palaver.store.schema import budgets, turn_is_open, turns
from palaver.store.write.actors import known_actor, not_found
from palaver.store.write.audit import audit
from palaver.store.write.command import Command
from palaver.store.write.people.accounts import allowed
from palaver.store.write.people.credentials import Audited
from palaver.store.write.transaction import Transaction
from palaver.store.write.unkept import hold, keys_of

_PLACE = (budgets.c.kind, budgets.c.of_key, budgets.c.period)
_THERE = matching(select(budgets.c.tokens, budgets.c.cost_micros), *_PLACE)
_REMOVE = matching(delete(budgets), *_PLACE)
_ADD = inserting(budgets, "kind", "of_key", "period", "tokens", "cost_micros")
_RESERVE = updating(
    turns.c.id, "asker_key", "reserved_tokens", "reserved_micros", where=turn_is_open
)


class SetBudget(Audited[None], frozen=True, kw_only=True):
    """Bounds what the answers of the server, a person or an agent use in a period; without a bound, no more.

    `by` as in `allowed`. Refused: `forbidden`, `not_found` (no such person or agent).
    """

    kind: BudgetKind
    of: ActorId | None
    period: BudgetPeriod
    tokens: int | None
    cost_micros: int | None
    by: ActorId | None = None

    def apply(self, tx: Transaction) -> None:
        tx.lock(self.rooms_in(tx))
        by = allowed(tx, ServerAct.USAGE, self.by)
        key = 0
        if self.of is not None:
            of = known_actor(tx, self.of)
            if not of.id.startswith(PREFIX[ActorKind(self.kind)]):
                raise not_found()
            tx.used(of.key)
            key = of.key
        place, bounds = (self.kind, key, self.period), (self.tokens, self.cost_micros)
        wanted = [] if bounds == (None, None) else [bounds]
        if [(row.tokens, row.cost_micros) for row in _THERE.all(tx.conn, *place)] == wanted:
            return
        _REMOVE.run(tx.conn, *place)
        for one in wanted:
            _ADD.run(tx.conn, *place, *one)
        told = {"budget": self.kind.value, "of": self.of, "period": self.period.value}
        told |= {"tokens": self.tokens, "cost_micros": self.cost_micros}
        audit(tx, EventType.BUDGET_SET, by, **told)


class Reserve(Command[int | None], frozen=True, kw_only=True):
    """Reserves what an answer may use; the tokens that it may have, at most `output`, or None where nothing is bounded.

    `input` are the tokens of its question, and `needed` those that it has already. `input_micros` is what the question
    costs, and `output_micros` each token of the answer, as far as that is known. Once more it reserves anew. Refused:
    `budget_reached`.
    """

    answer: TurnId | Unkept
    input: int
    output: int
    needed: int = 0
    input_micros: int = 0
    output_micros: float = 0

    def apply(self, tx: Transaction) -> int | None:
        answer = self.answer
        unkept = isinstance(answer, Unkept)
        asker_key, agent_key = keys_of(tx, answer) if unkept else payer(tx.conn, answer)
        rows = LOCKED.all(tx.conn, asker_key, agent_key)
        if not rows:
            return None
        now_ms, granted = now_of(tx.conn, tx.now_ms), self.output
        for row in rows:
            budget = budget_of(tx.conn, row, now_ms, answer.id if unkept else answer)
            granted = min(granted, self.left(budget))
            if granted < max(1, self.needed):
                raise reached(budget, now_ms, for_question=not self.needed)
        micros = self.input_micros + ceil(granted * self.output_micros)
        if unkept:
            hold(tx, answer, self.input + granted, micros)
        else:
            _RESERVE.run(tx.conn, asker_key or None, self.input + granted, micros, answer)
        return granted

    def left(self, budget: Budget) -> int:
        """How many tokens a budget has left for the answer itself."""
        left = self.output
        if budget.tokens is not None:
            left = min(left, budget.tokens - budget.used - self.input)
        if budget.cost_micros is not None and (self.input_micros or self.output_micros):
            money = budget.cost_micros - budget.used_micros - self.input_micros
            left = min(left, int(money / self.output_micros) if self.output_micros else money + 1)
        return left


class Reached(Refused):
    """A `budget` has less left than is asked of it."""

    budget: Budget


def reached(budget: Budget, now_ms: int, *, for_question: bool = False) -> Reached:
    """What is told to who asks beyond a budget, with the time at which it begins anew.

    `for_question`: nothing of the answer is there yet, so that what is left stays.
    """
    whose = {BudgetKind.SERVER: "of this server", BudgetKind.PERSON: "of yours"}
    of = f"he budget {whose.get(budget.kind, f'of {budget.name}')} for this {budget.period} is"
    words = f"T{of} used up."
    if for_question and budget.share < 1:
        words = f"Too little of t{of} left for this question."
    words += f" It begins anew on {date_of(budget.ends_ms)} (UTC)."
    retry_ms = max(0, budget.ends_ms - now_ms)
    error = Reached(Code.BUDGET_REACHED, words, retry_ms=retry_ms)
    error.budget = budget
    return error
