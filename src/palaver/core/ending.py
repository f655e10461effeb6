"""What is stored when the answer of an exchange ends, however it ended."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from palaver.agents.assembly import bare
from palaver.agents.base import Piece
from palaver.agents.failures import as_object
from palaver.core.gather import Gather, later_ids
from palaver.core.running import Outcome, Running
from palaver.core.turns import Run
from palaver.errors import Code, ProviderError
from palaver.model import (
    Entry,
    ExchangeId,
    ExchangeKind,
    ExchangeState,
    MessageId,
    Status,
    TurnId,
)
from palaver.store.commands import FinishExchange
from palaver.store.prefix import longer


def finishing(running: Running, run: Run, gather: Gather, ms: int) -> FinishExchange:
    """The one write that ends an exchange. Its failure, if it is one, becomes `running.error`."""
    exchange, outcome = running.exchange, running.outcome
    assert exchange is not None, "it was opened"
    error = running.error or (None if outcome is None else outcome.error)
    if error is None and outcome is not None and not outcome.whole and run.end is None:
        error = ProviderError(Code.PROVIDER_CUT, "The answer was cut before its end.")
    running.error = error
    state, status = _how(running, run, error)
    meta: dict[str, Any] = {
        "turn": exchange.turn,
        "exchange": exchange.id,
        "model": exchange.model,
        "ms": {"total": ms},
    }
    envelope = {} if outcome is None else outcome.envelope
    if outcome is not None and outcome.finish is not None:
        meta["finish"] = outcome.finish
    usage = _usage(envelope)
    if usage:
        meta["usage"] = usage
    if error is not None:
        meta["error"] = {
            "code": error.code,
            "detail": error.detail,
            "temporary": error.temporary,
        }
    elif status is Status.INTERRUPTED:
        meta["error"] = {"code": Code.INTERRUPTED, "temporary": True}
    entries = _entries(outcome, gather, meta)
    response: dict[str, Any] = {"envelope": bare(envelope), "ms": ms}
    if exchange.kind is ExchangeKind.RESPONSE and running.own is None:
        response["lengths"] = gather.lengths
    if "error" in meta:
        response["error"] = meta["error"]
    name = envelope.get("id")
    return FinishExchange(
        id=exchange.id,
        fence=run.turn.fence,
        state=state,
        status=status,
        entries=entries,
        ids=later_ids(exchange.message, len(entries)),
        name=name if isinstance(name, str) else None,
        response=response,
        prefixes=_answered(running.history, entries) if status is Status.DONE else (),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """An exchange whose process died."""

    id: ExchangeId
    turn: TurnId
    message: MessageId
    model: str
    fence: int


def interrupted(cut: Cut, pieces: Iterable[Piece]) -> FinishExchange:
    """What is left of an exchange whose process died."""
    gather = Gather()
    for piece in pieces:
        gather.take(piece)
    error = {"code": Code.INTERRUPTED, "temporary": True}
    meta = {"turn": cut.turn, "exchange": cut.id, "model": cut.model, "error": error}
    entries = gather.entries(meta)
    return FinishExchange(
        id=cut.id,
        fence=cut.fence,
        state=ExchangeState.FAILED,
        status=Status.INTERRUPTED,
        entries=entries,
        ids=later_ids(cut.message, len(entries)),
        name=None,
        response={"lengths": gather.lengths, "error": error},
    )


def _entries(outcome: Outcome | None, gather: Gather, meta: Mapping[str, Any]) -> tuple[Entry, ...]:
    """What is to be stored, the first with `meta`."""
    own = () if outcome is None or outcome.own is None else outcome.own.entries
    if not own:
        return gather.entries(meta)
    first = replace(own[0], meta={**meta, **own[0].meta})
    return first, *own[1:]


def _how(running: Running, run: Run, error: ProviderError | None) -> tuple[ExchangeState, Status]:
    if running.cancelled or run.end is Status.STOPPED:
        return ExchangeState.CANCELLED, Status.STOPPED
    if run.end is not None:
        return ExchangeState.FAILED, Status.INTERRUPTED
    if error is not None:
        return ExchangeState.FAILED, Status.FAILED
    cut = running.outcome is not None and running.outcome.finish in {"length", "content_filter"}
    return (ExchangeState.INCOMPLETE if cut else ExchangeState.COMPLETED), Status.DONE


def _usage(envelope: Mapping[str, Any]) -> dict[str, int]:
    counts = as_object(envelope.get("usage"))
    tokens = {"input": counts.get("prompt_tokens"), "output": counts.get("completion_tokens")}
    return {name: count for name, count in tokens.items() if isinstance(count, int)}


def _answered(history: bytes, entries: Sequence[Entry]) -> tuple[bytes, ...]:
    """The digests of a history with each of its answers."""
    if not history:
        return ()
    digests: dict[int, bytes] = {}
    for entry in entries:
        choice = int(entry.meta.get("choice", 0))
        digests[choice] = longer(digests.get(choice, history), entry)
    return tuple(digests.values())
