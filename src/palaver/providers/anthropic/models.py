"""What Anthropic offers: its list of models, page by page, and which of them answers by default."""

import json
from collections.abc import Iterable
from urllib.parse import quote

from palaver.providers.base import Model
from palaver.providers.openai.models import MODEL_CHARS_MAX, MODELS_MAX
from palaver.strict_json import as_list, as_object, mended

PATH = "/v1/models"
PAGES_MAX = 20
FALLBACK = ("claude-sonnet-4-5", "claude-opus-4-5", "claude-haiku-4-5")
"""What is offered where a server has no list."""
FAMILY = "claude-"
"""How the names of its own models begin."""
_FAVOURITE = "sonnet"


def page_of(body: bytes) -> tuple[list[str], str | None] | None:
    """The ids of a page, and the address of the next one; None for what is no list of models."""
    try:
        parsed = as_object(json.loads(body))
    except (ValueError, RecursionError):
        return None
    if not isinstance(parsed.get("data"), list):
        return None
    given = (as_object(one).get("id") for one in as_list(parsed["data"])[:MODELS_MAX])
    ids = [mended(one) for one in given if isinstance(one, str) and 0 < len(one) <= MODEL_CHARS_MAX]
    last = parsed.get("last_id")
    more = parsed.get("has_more") is True and isinstance(last, str) and last
    return ids, f"{PATH}?limit=1000&after_id={quote(str(last), safe='')}" if more else None


def models_of(ids: Iterable[str], *, provider: str, wanted: str | None) -> tuple[Model, ...]:
    """The models, the default one first: the wanted one, listed or not, else the newest of the middle size."""
    known = list(dict.fromkeys(ids)) or list(FALLBACK)
    default = wanted or next((one for one in known if _FAVOURITE in one), known[0])
    rest = (one for one in known if one != default)
    return (
        Model(id=default, provider=provider, default=True),
        *(Model(id=one, provider=provider) for one in rest),
    )
