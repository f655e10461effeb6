"""A card as a file: read, whichever of the forms it has, and written.

Our own form is `{"palaver": "agent/1", …}`: the fields of a card, its picture as a data URL, and whole, as `card`, the
one of another program that it was made of. That one's numbers are any, and stay what they are; a key that stands twice
in one object is refused. What is read can be read again in whichever form it was written.
"""

import re
from base64 import b64decode, b64encode
from binascii import Error
from enum import StrEnum
from typing import Any, cast

from msgspec import Struct, to_builtins
from msgspec.structs import fields

from palaver.cards import characters, png
from palaver.cards.bounds import FILE_BYTES_MAX, JSON_BYTES_MAX, card_invalid
from palaver.errors import Refused
from palaver.model.agents import Card
from palaver.strict_json import DEPTH_MAX, Json, dump_exact, exact, keys_in, load

OWN = "agent/1"
PNG = "image/png"
_URL = re.compile(r"data:image/[a-z]+;base64,([A-Za-z0-9+/]+={0,2})")
_ELSEWHERE = frozenset({"avatar", "source", "profile"})
"""What of a card means something in its own database only."""
_FIELDS = [one.name for one in fields(Card) if one.name not in _ELSEWHERE]
_REFUSED = {b"PK\x03\x04": "CHARX, or another archive,", b"<": "SVG or another markup"}


class FileForm(StrEnum):
    """How a card is written: in our own form, or as other programs read it, in JSON or in its picture."""

    PALAVER = "palaver"
    JSON = "json"
    PNG = "png"

    @property
    def suffix(self) -> str:
        """How the name of such a file ends: none is saved over another."""
        return {FileForm.PALAVER: "palaver.json", FileForm.JSON: "card.json"}.get(self, "png")


class CardFile(Struct, frozen=True, kw_only=True):
    """What a file says: fields of a card, a picture, and the card of another program, with when it is to speak."""

    said: dict[str, Any]
    picture: bytes | None
    source: Json | None
    speaks: str | None = None


def read(data: bytes) -> CardFile:
    """Reads a file. Refused: `card_invalid`."""
    if len(data) > FILE_BYTES_MAX:
        raise card_invalid(f"A file has at most {FILE_BYTES_MAX:,} bytes.")
    for beginning, what in _REFUSED.items():
        if data.lstrip().startswith(beginning):
            raise card_invalid(f"That is {what} and cannot be read: take a .json or .png.")
    picture = None
    if data.startswith(png.SIGNATURE):
        picture, data = png.picture_of(data), png.card_in(data)
    document = _loaded(data)
    if document.get("palaver") == OWN:
        return _own(document, picture)
    if not characters.is_character(document):
        raise card_invalid("That is no card of an agent.")
    _check_levels(document)
    speaks = characters.speaks_of(document)
    said = characters.fields_of(document)
    return CardFile(said=said, picture=picture, source=document, speaks=speaks)


def write(
    card: Card, form: FileForm, picture: tuple[str, bytes] | None, source: Json | None
) -> bytes:
    """Writes one, with its picture and its media type. Refused: `card_invalid`, a form that it cannot have."""
    match form:
        case FileForm.PALAVER:
            said = to_builtins(card)
            document = {"palaver": OWN, **{name: said[name] for name in _FIELDS if name in said}}
            if picture is not None:
                document["avatar"] = f"data:{picture[0]};base64,{b64encode(picture[1]).decode()}"
            if source is not None:
                document["card"] = source
            return dump_exact(document, indent=True)
        case FileForm.JSON:
            return dump_exact(characters.document_of(card, source), indent=True)
        case FileForm.PNG:
            if picture is None or picture[0] != PNG:
                raise card_invalid("The agent has no picture that is a PNG: take 'json'.")
            forms = zip(png.KEYWORDS, (characters.V3, characters.V2), strict=True)
            cards = {
                keyword: dump_exact(characters.document_of(card, source, spec))
                for keyword, spec in forms
            }
            return png.with_cards(picture[1], cards)


def _loaded(data: bytes) -> Json:
    if len(data) > JSON_BYTES_MAX:
        raise card_invalid(f"A card has at most {JSON_BYTES_MAX:,} bytes without its picture.")
    try:
        # One more level: our own form stands around another program's.
        return exact(data.removeprefix(b"\xef\xbb\xbf"), DEPTH_MAX + 1)
    except Refused as refused:
        raise card_invalid(refused.detail) from None


def _check_levels(document: Json) -> None:
    """Checks another program's card: one of the first form is written into the `data` of a later one."""
    try:
        keys_in(document, DEPTH_MAX - (document.get("spec") not in {characters.V2, characters.V3}))
    except Refused as refused:
        raise card_invalid(refused.detail) from None


def _own(document: Json, picture: bytes | None) -> CardFile:
    source: object = document.get("card")
    if source is not None and not isinstance(source, dict):
        raise card_invalid("The field 'card' is no object.")
    if source is not None:
        _check_levels(cast("Json", source))
    url: object = document.get("avatar")
    if url is not None:
        found = _URL.fullmatch(url) if isinstance(url, str) else None
        try:
            picture = b64decode(found[1], validate=True) if found is not None else b""
        except Error:
            picture = b""
        if not picture:
            raise card_invalid("The field 'avatar' is no picture in a data URL.")
    try:
        said = load(dump_exact({name: document[name] for name in _FIELDS if name in document}))
    except Refused as refused:
        raise card_invalid(refused.detail) from None
    return CardFile(said=said, picture=picture, source=source)  # pyright: ignore[reportUnknownArgumentType]  an object
