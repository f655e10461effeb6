"""What answers cost: tokens where nobody counted them, and money, by own prices or those that everybody knows.

A price that is not known is not 0. The list of known prices comes with the package `genai-prices`, is loaded when it is
first asked, in a thread, and never fetched. Another price changes nothing of what was stored.
"""

import asyncio
import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, cast

import structlog
from msgspec.structs import replace

from palaver.core.answers.context import CHARS_A_TOKEN
from palaver.errors import Code, Refused
from palaver.providers.pool import VENDORS
from palaver.store.write.turns import FinishTurn

KNOWN_MAX = 1_000
COST_MAX = 10**15
MILLION = 1_000_000
_KINDS = frozenset({"input", "output", "cached"})

Price = Callable[[Mapping[str, Any]], int | None]
"""What so many tokens cost, in millionths of a dollar."""

log = structlog.stdlib.get_logger()


def estimated(chars: int) -> int:
    """Tokens in so many characters, of which nobody counted them."""
    return -(-chars // CHARS_A_TOKEN)


class Prices:
    """The prices of models; `own` is the setting."""

    def __init__(self, own: str) -> None:
        """Refused: `settings_invalid`."""
        self._own = _own(own)
        self._known: dict[tuple[str, str], Price] = {}

    async def priced(self, end: FinishTurn) -> FinishTurn:
        """The write that ends an answer, with what it cost in the usage of its messages, as far as that is known."""
        model, provider, entries = "", "", list(end.entries)
        for place, entry in enumerate(entries):
            meta = entry.meta
            model, provider = meta.get("model") or model, meta.get("provider") or provider
            if used := meta.get("usage"):
                price = await self.of(provider, model)
                cost = price(used)
                if cost is not None:
                    told = {**used, "cost_micros": min(cost, COST_MAX)}
                    entries[place] = replace(entry, meta={**meta, "usage": told})
        return replace(end, entries=tuple(entries))

    async def of(self, provider: str, model: str) -> Price:
        """The price of a provider's model."""
        found = self._known.get((provider, model))
        if found is None:
            name = model.removeprefix(f"{provider}/")
            own = self._own.get(f"{provider}/{name}") or self._own.get(name)
            if own is not None:
                found = partial(_by_own, own)
            elif provider in VENDORS or "." in provider:
                found = await asyncio.to_thread(_listed, provider, name)
            else:  # a server of one's own
                found = _unknown
            if len(self._known) >= KNOWN_MAX:
                self._known.clear()
            self._known[provider, model] = found
        return found


def _own(given: str) -> Mapping[str, Mapping[str, float]]:
    """Own prices, as the setting has them: JSON, or a file that holds it."""
    if not given.strip():
        return {}
    wrong = 'PALAVER_PRICES is JSON like {"my-model": {"input": 0.5, "output": 1.5}}, or a file with it.'
    try:
        said = given if given.lstrip().startswith("{") else Path(given).read_text("utf-8")
        prices = cast("dict[str, dict[str, float]]", json.loads(said))
        told = [[one["input"], one["output"], *one.values()] for one in prices.values()]
        good = all(0 <= float(number) <= MILLION for price in told for number in price)
        good = good and not any(one.keys() - _KINDS for one in prices.values())
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        good, prices = False, {}
    if not good:
        raise Refused(Code.SETTINGS_INVALID, wrong)
    return prices


def _by_own(price: Mapping[str, float], used: Mapping[str, Any]) -> int:
    read, cached = used.get("input", 0), min(used.get("cached", 0), used.get("input", 0))
    whole = (read - cached) * price["input"] + cached * price.get("cached", price["input"])
    return round(whole + used.get("output", 0) * price["output"])


def _unknown(used: Mapping[str, Any]) -> None:  # noqa: ARG001  as `Price`
    return None


def _listed(provider: str, model: str) -> Price:
    """The price that everybody knows; some servers ask more for long prompts, so that it is no number."""
    try:
        from genai_prices import Usage  # noqa: PLC0415  half a second, and nobody waits for it at the start
        from genai_prices.data_snapshot import get_snapshot  # noqa: PLC0415  as above

        snapshot = get_snapshot()
        by = (provider, None) if "." not in provider else (None, f"https://{provider}")
        server = snapshot.find_provider(None, *by)
        known = server.find_model(model.lower(), all_providers=snapshot.providers)
    except (LookupError, ImportError) as failure:
        if isinstance(failure, ImportError):
            log.warning("prices.missing", why=str(failure))
        return _unknown
    if known is None:
        return _unknown

    def price(used: Mapping[str, Any]) -> int | None:
        tokens = Usage(
            input_tokens=used.get("input", 0),
            output_tokens=used.get("output", 0),
            cache_read_tokens=min(used.get("cached", 0), used.get("input", 0)),
        )
        try:
            return round(known.calc_price(tokens, server).total_price * MILLION)
        except (LookupError, ValueError):
            return None

    return price
