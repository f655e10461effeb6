"""PNG as the envelope of a card: a text chunk that holds it in base64, beside a picture.

Only what is not packed is read, so nothing can grow: `tEXt`, and no `zTXt` or `iTXt`. Each chunk is checked.
"""

import re
from base64 import b64decode, b64encode
from binascii import Error
from collections.abc import Iterator, Mapping
from zlib import crc32

from palaver.cards.bounds import FILE_BYTES_MAX, JSON_BYTES_MAX, card_invalid

SIGNATURE = b"\x89PNG\r\n\x1a\n"
CHUNKS_MAX = 2_000
KEYWORDS = (b"ccv3", b"chara")
"""Under which a card stands, the newer form first."""
_PICTURE = frozenset(
    {b"IHDR", b"PLTE", b"tRNS", b"gAMA", b"sRGB", b"cHRM", b"iCCP", b"IDAT", b"IEND"}
)
_SPACE = re.compile(rb"\s+")


def card_in(data: bytes) -> bytes:
    """The JSON of the card in a picture. Refused: `card_invalid`."""
    found: dict[bytes, bytes] = {}
    for kind, said in _chunks(data):
        keyword, zero, value = said.partition(b"\0") if kind == b"tEXt" else (b"", b"", b"")
        if zero and keyword.lower() in KEYWORDS:
            found.setdefault(keyword.lower(), value)
    for keyword in KEYWORDS:
        if keyword in found:
            return _decoded(found[keyword])
    raise card_invalid("There is no card in this picture.")


def picture_of(data: bytes) -> bytes:
    """The picture alone, without all that only tells of it. Refused: `card_invalid`."""
    kept = [_chunk(kind, said) for kind, said in _chunks(data) if kind in _PICTURE]
    return SIGNATURE + b"".join(kept)


def with_cards(picture: bytes, cards: Mapping[bytes, bytes]) -> bytes:
    """The picture, with a card under each keyword in front of its end."""
    chunks = [_chunk(kind, said) for kind, said in _chunks(picture) if kind in _PICTURE]
    texts = [_chunk(b"tEXt", keyword + b"\0" + b64encode(card)) for keyword, card in cards.items()]
    return b"".join([SIGNATURE, *chunks[:-1], *texts, chunks[-1]])


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yields the chunks, each with its kind, up to the end of the picture."""
    if len(data) > FILE_BYTES_MAX or not data.startswith(SIGNATURE):
        raise card_invalid("That is no PNG, or too large.")
    at = len(SIGNATURE)
    for _ in range(CHUNKS_MAX):
        length, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        end = at + 8 + length
        crc = data[end : end + 4]
        if len(crc) < 4 or crc32(data[at + 4 : end]) != int.from_bytes(crc, "big"):  # noqa: PLR2004
            raise card_invalid(
                "The picture is damaged: a chunk is cut off, or not what was written."
            )
        yield kind, data[at + 8 : end]
        if kind == b"IEND":
            return
        at = end + 4
    raise card_invalid(f"The picture has more than {CHUNKS_MAX:,} chunks.")


def _chunk(kind: bytes, said: bytes) -> bytes:
    return b"".join(
        [len(said).to_bytes(4, "big"), kind, said, crc32(kind + said).to_bytes(4, "big")]
    )


def _decoded(value: bytes) -> bytes:
    if len(value) > 2 * JSON_BYTES_MAX:
        raise card_invalid(f"A card has at most {JSON_BYTES_MAX:,} bytes.")
    try:
        return b64decode(_SPACE.sub(b"", value), validate=True)
    except Error:
        raise card_invalid("What stands in the picture is no card.") from None
