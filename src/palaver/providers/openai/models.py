"""What a server offers: its list of models, read leniently, and which of them answers by default.

A model that cannot chat is told by its name only (embeddings, speech, images, moderation), since the API tells no more.
"""

import json
import re

from msgspec import Struct

from palaver.providers.base import Model
from palaver.strict_json import as_list, as_object, mended

MODELS_MAX = 1_000
MODEL_CHARS_MAX = 300
FAVOURITES = ("gpt-5.4-mini", "gpt-5-mini", "gpt-4.1-mini", "gpt-4o-mini")
"""Where a server offers one of these, it is the default: large offers come in no useful order."""

_NO_CHAT = re.compile(
    r"embed|rerank|whisper|transcribe|tts|speech|audio|realtime|dall-e|image|sora|moderation"
    r"|guard\b|\bclip\b|\bbge-|\bgte-|\be5-|minilm|davinci-002|babbage-002|-search-|computer-use",
    re.IGNORECASE,
)


class Offer(Struct, frozen=True, kw_only=True):
    """The ids of a server's models, and who they are said to be owned by, which tells servers apart."""

    ids: tuple[str, ...] = ()
    owners: frozenset[str] = frozenset()


def offer_in(body: bytes) -> Offer | None:
    """The offer in the answer of `GET /models`; None when that is no list of models."""
    try:
        parsed: object = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(as_object(parsed).get("data"), list):
        return None
    entries = [as_object(entry) for entry in as_list(as_object(parsed).get("data"))[:MODELS_MAX]]
    ids = (mended(id_) for entry in entries if isinstance(id_ := entry.get("id"), str))
    return Offer(
        ids=tuple(dict.fromkeys(id_ for id_ in ids if 0 < len(id_) <= MODEL_CHARS_MAX)),
        owners=frozenset(str(entry.get("owned_by", "")) for entry in entries),
    )


def can_chat(model: str) -> bool:
    """Whether a model's name sounds like one that chats."""
    return _NO_CHAT.search(model) is None


def offered(offer: Offer, model: str) -> str | None:
    """The id under which a model is offered, with or without the tag `:latest`; None where it is not."""
    return next((id_ for id_ in offer.ids if id_ in (model, f"{model}:latest")), None)


def models_of(offer: Offer, *, provider: str, wanted: str | None) -> tuple[Model, ...]:
    """The models that can chat, the default one first: the wanted one, offered or not, else the best guess."""
    ids = [id_ for id_ in offer.ids if can_chat(id_)]
    default = wanted and (offered(offer, wanted) or wanted)
    if not default:
        default = next((id_ for id_ in FAVOURITES if id_ in ids), ids[0] if ids else None)
    if not default:
        return ()
    rest = (id_ for id_ in ids if id_ != default)
    return (
        Model(id=default, provider=provider, default=True),
        *(Model(id=id_, provider=provider) for id_ in rest),
    )
