"""Makes the one write that ends an answer's turn, and its exchange, however the answer ended."""

from collections.abc import Iterable, Mapping
from typing import Any

import structlog
from msgspec.structs import replace

from palaver.core.answers.pieces import AnswerBuilder, headed
from palaver.core.answers.prices import estimated
from palaver.core.answers.recorder import Recorder
from palaver.core.answers.tape import RESTARTING, LiveAnswer
from palaver.errors import Code, ProviderError, Refused, Unavailable, Untellable
from palaver.model import NO_DATA, Status, Turn, TurnId
from palaver.model.exchanges import Exchange, ExchangeKind, ExchangeState
from palaver.providers.base import Piece, Usage
from palaver.providers.call import CallResult
from palaver.providers.pool import own_name
from palaver.redact import Redaction
from palaver.store.write.budgets import Reached
from palaver.store.write.exchanges import ExchangeEnd, OpenExchange
from palaver.store.write.turns import FinishTurn

CUT: Mapping[str, Any] = {"code": Code.INTERRUPTED, "temporary": True}
"""The error of an answer that ended with its process."""

log = structlog.stdlib.get_logger()


class OverBudget(ProviderError):
    """A `budget` has less left than an answer needs."""

    def __init__(self, refused: Reached) -> None:
        super().__init__(refused.code, refused.detail, temporary=False, retry_ms=refused.retry_ms)
        self.budget = refused.budget


def failure_of(error: Exception, what: str) -> ProviderError:
    """The error of an answer as it is told; one that nobody expected is logged as `what`."""
    match error:
        case ProviderError():
            return error
        case TimeoutError():
            return ProviderError(
                Code.ANSWER_TOO_LONG, "The answer took too long and was cut.", temporary=False
            )
        case Unavailable():
            return ProviderError(error.code, error.detail)
        case Reached():
            return OverBudget(error)
        case Refused():
            return Untellable(Code.PROVIDER_REFUSED, error.detail)
        case _:
            log.error(what, exc_info=error)
            return ProviderError(Code.INTERNAL, "Something went wrong inside the server.")


def too_long() -> ProviderError:
    """The error of an answer with more characters than it may have."""
    detail = "The answer was too long and was cut."
    return ProviderError(Code.ANSWER_TOO_LONG, detail, temporary=False)


def told(error: ProviderError) -> dict[str, Any]:
    """An error as a message's meta has it."""
    return {"code": error.code, "detail": error.detail, "temporary": error.temporary}


def ending(live: LiveAnswer) -> FinishTurn:
    """The write that ends an answer whose source has ended."""
    turn, exchange, error = live.turn, live.exchange, live.error
    outcome = live.outcome or CallResult()
    assert turn is not None, "only what has a turn is stored"
    status = live.stopped or (Status.DONE if error is None else Status.FAILED)
    meta: dict[str, Any] = {"turn": turn.id, **known_of(live)}
    over = error.budget if isinstance(error, OverBudget) else None
    cut = over is not None and (live.answer.chars or live.came_chars)
    if finish := "budget" if cut else outcome.finish:
        meta["finish"] = finish
    if counts := used(live, outcome):
        meta["usage"] = counts
    if error is not None:
        meta["error"] = told(error)
    elif status is Status.INTERRUPTED and exchange is not None:
        meta["error"] = {**CUT, "detail": RESTARTING}
    meta["ms"] = live.ms
    own = outcome.own.entries if outcome.own is not None else ()
    retold = exchange is not None and exchange.kind is ExchangeKind.RESPONSE and not outcome.own
    entries = headed(own, meta) if own else live.answer.entries(meta, retold=retold)
    end = FinishTurn(turn=turn.id, fence=turn.fence, status=status, entries=entries)
    if exchange is None:
        return replace(end, told=outcome.prompt, unasked=None if cut else over)
    response: dict[str, Any] = {"envelope": outcome.kept, "ms": live.ms["total"]}
    if retold:
        response["lengths"] = live.answer.lengths
    if "error" in meta:
        response["error"] = meta["error"]
    return replace(end, exchange=ExchangeEnd(exchange.id, live.state, outcome.id, response))


def known_of(live: LiveAnswer) -> dict[str, Any]:
    """Who gives an answer, as far as it is known."""
    exchange, outcome = live.exchange, live.outcome or CallResult()
    known = {
        "card": live.card or outcome.card,
        "provider": outcome.provider or live.provider or None,
        "exchange": exchange and exchange.id,
        "model": outcome.model or (exchange and exchange.model),
        "settings": outcome.prompt and outcome.prompt.settings,
    }
    return {name: one for name, one in known.items() if one is not None}


def used(live: LiveAnswer, outcome: CallResult) -> dict[str, Any]:
    """The tokens of an answer: as its server told them, and estimated where it did not."""
    told = outcome.usage or Usage()
    counts: dict[str, Any] = told.counts()
    asked = outcome.asked_chars or live.asked_chars
    answered = max(live.answer.chars, live.came_chars)
    counts_it = answered or outcome.whole or (live.asked and live.stopped)
    if asked and counts_it and (told.input is None or told.output is None):
        guess = {"input": estimated(asked), "output": estimated(answered), "estimated": True}
        counts = guess | counts
    return counts


def interrupted(
    cut: Turn | Exchange | OpenExchange,
    fence: int,
    pieces: Iterable[Piece],
    redaction: Redaction | None = None,
    known: Mapping[str, Any] = NO_DATA,
) -> FinishTurn:
    """The write that ends an answer whose process died, with what is left of it, and `known` of who gave it."""
    answer, end = AnswerBuilder(redaction), None
    for piece in pieces:
        answer.take(piece)
    meta: dict[str, Any] = {"turn": cut.id if isinstance(cut, Turn) else cut.turn}
    if not isinstance(cut, Turn):
        meta |= {"exchange": cut.id, "model": cut.model}
    elif cut.model is not None:
        meta["model"] = own_name(cut.model)
    meta |= known
    if answer.chars:
        meta["usage"] = {"output": estimated(answer.chars), "estimated": True}
    entries = answer.entries({**meta, "error": CUT}, retold=not isinstance(cut, Turn))
    if not isinstance(cut, Turn):
        response = {"lengths": answer.lengths, "error": CUT}
        end = ExchangeEnd(cut.id, ExchangeState.FAILED, None, response)
    turn, status = TurnId(meta["turn"]), Status.INTERRUPTED
    return FinishTurn(turn=turn, fence=fence, status=status, entries=entries, exchange=end)


def written(recorder: Recorder, status: Status) -> FinishTurn:
    """The write that ends an answer which a program wrote itself."""
    turn, meta = recorder.turn, {"turn": recorder.turn.id, **recorder.meta}
    if status is Status.FAILED:
        meta.setdefault("error", {"code": Code.INTERNAL, "temporary": False})
    entries = recorder.answer.entries(meta)
    return FinishTurn(turn=turn.id, fence=turn.fence, status=status, entries=entries)
