"""What is stored when an answer ends, however it ended: the one write that ends a turn, or an exchange and its turn."""

from collections.abc import Iterable, Mapping
from typing import Any

import structlog

from palaver.core.answers.pieces import AnswerBuilder, headed, later_ids
from palaver.core.answers.tape import LiveExchange
from palaver.errors import Code, ProviderError, Unavailable
from palaver.model import Exchange, ExchangeKind, ExchangeState, Status, Turn
from palaver.providers.base import Piece
from palaver.store.write.exchanges import FinishExchange, OpenExchange
from palaver.store.write.turns import FinishTurn
from palaver.thoughts import parted

CUT: Mapping[str, Any] = {"code": Code.INTERRUPTED, "temporary": True}
"""The error of an answer that ended with its process."""

log = structlog.stdlib.get_logger()


def failure_of(error: Exception, what: str) -> ProviderError:
    """How an answer's error is told; one that nobody expected is logged as `what`."""
    match error:
        case ProviderError():
            return error
        case TimeoutError():
            return ProviderError(
                Code.ANSWER_TOO_LONG, "The answer took too long and was cut.", temporary=False
            )
        case Unavailable():
            return ProviderError(error.code, error.detail)
        case _:
            log.error(what, exc_info=error)
            return ProviderError(Code.INTERNAL, "Something went wrong inside the server.")


def too_long() -> ProviderError:
    """An answer has more characters than it may."""
    detail = "The answer was too long and was cut."
    return ProviderError(Code.ANSWER_TOO_LONG, detail, temporary=False)


def told(error: ProviderError) -> dict[str, Any]:
    """An error as a message's meta has it."""
    return {"code": error.code, "detail": error.detail, "temporary": error.temporary}


def ending(
    turn: Turn, status: Status, text: str, reasoning: str, meta: dict[str, Any]
) -> FinishTurn:
    """The one write that ends a turn."""
    if not reasoning:
        reasoning, text = parted(text)
    if reasoning:
        meta["reasoning"] = reasoning
    return FinishTurn(turn=turn.id, fence=turn.fence, status=status, text=text, meta=meta)


def finishing(
    running: LiveExchange, fence: int, end: Status | None, gather: AnswerBuilder, ms: int
) -> FinishExchange:
    """The one write that ends an exchange, which was told to `end` so. Its failure becomes `running.error`."""
    exchange, outcome = running.exchange, running.outcome
    assert exchange is not None, "it was opened"
    error = running.error or (None if outcome is None else outcome.error)
    if error is None and outcome is not None and not outcome.whole and end is None:
        error = ProviderError(Code.PROVIDER_CUT, "The answer was cut before its end.")
    running.error = error
    state, status = _how(running, end, error)
    meta: dict[str, Any] = {
        "turn": exchange.turn,
        "exchange": exchange.id,
        "model": exchange.model,
        "ms": {"total": ms},
    }
    if outcome is not None and outcome.finish is not None:
        meta["finish"] = outcome.finish
    if outcome is not None and outcome.usage is not None and (usage := outcome.usage.counts()):
        meta["usage"] = usage
    if error is not None:
        meta["error"] = told(error)
    elif status is Status.INTERRUPTED:
        meta["error"] = CUT
    own = None if running.own is None else running.own.entries
    entries = headed(own, meta) if own else gather.entries(meta)
    response: dict[str, Any] = {"envelope": outcome.kept if outcome else {}, "ms": ms}
    if exchange.kind is ExchangeKind.RESPONSE and running.own is None:
        response["lengths"] = gather.lengths
    if "error" in meta:
        response["error"] = meta["error"]
    return FinishExchange(
        id=exchange.id,
        fence=fence,
        state=state,
        status=status,
        entries=entries,
        ids=later_ids(exchange.message, len(entries)),
        name=outcome.id if outcome else None,
        response=response,
    )


def interrupted(
    cut: Exchange | OpenExchange, fence: int, pieces: Iterable[Piece]
) -> FinishExchange:
    """What is left of an exchange whose process died."""
    gather = AnswerBuilder()
    for piece in pieces:
        gather.take(piece)
    meta = {"turn": cut.turn, "exchange": cut.id, "model": cut.model, "error": CUT}
    entries = gather.entries(meta)
    return FinishExchange(
        id=cut.id,
        fence=fence,
        state=ExchangeState.FAILED,
        status=Status.INTERRUPTED,
        entries=entries,
        ids=later_ids(cut.message, len(entries)),
        name=None,
        response={"lengths": gather.lengths, "error": CUT},
    )


def _how(
    running: LiveExchange, end: Status | None, error: ProviderError | None
) -> tuple[ExchangeState, Status]:
    if running.cancelled or end is Status.STOPPED:
        return ExchangeState.CANCELLED, Status.STOPPED
    if end is not None:
        return ExchangeState.FAILED, Status.INTERRUPTED
    if error is not None:
        return ExchangeState.FAILED, Status.FAILED
    cut = running.outcome is not None and running.outcome.finish in {"length", "content_filter"}
    return (ExchangeState.INCOMPLETE if cut else ExchangeState.COMPLETED), Status.DONE
