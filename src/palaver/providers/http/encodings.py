"""A body that a server packed although nobody asked for it, unpacked a piece at a time.

A small body can unpack to a thousand times its size. So no piece is larger than `PIECE_BYTES_MAX`, and who reads says
when it is enough. Other ways to pack than gzip and deflate are not known here.
"""

import zlib
from collections.abc import AsyncGenerator
from contextlib import aclosing

PIECE_BYTES_MAX = 256 * 1024
_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS
_KNOWN = frozenset({"deflate", "gzip", "x-gzip"})


class Unpackable(Exception):
    """The body is not what its encoding says, or is cut."""


async def unpacked(
    parts: AsyncGenerator[bytes, None], encoding: str
) -> AsyncGenerator[bytes, None]:
    """The body. Raises `Unpackable`."""
    async with aclosing(parts):
        if encoding not in _KNOWN:
            raise Unpackable
        packed = None
        async for part in parts:
            rest, piece = part, b""
            while rest or (packed and not packed.eof and len(piece) == PIECE_BYTES_MAX):
                if packed is None or packed.eof:  # several may follow each other
                    packed = zlib.decompressobj(_GZIP_OR_ZLIB)
                try:
                    piece = packed.decompress(rest, PIECE_BYTES_MAX)
                except zlib.error:
                    raise Unpackable from None
                rest = packed.unused_data if packed.eof else packed.unconsumed_tail
                if piece:
                    yield piece
        if packed is not None and not packed.eof:
            raise Unpackable
