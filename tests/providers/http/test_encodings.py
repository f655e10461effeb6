import gzip
import zlib
from collections.abc import AsyncGenerator

import pytest

from palaver.providers.http.encodings import PIECE_BYTES_MAX, Unpackable, unpacked


async def parts_of(data: bytes, size: int) -> AsyncGenerator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


async def pieces(data: bytes, encoding: str = "gzip", size: int = 65_536) -> list[bytes]:
    return [piece async for piece in unpacked(parts_of(data, size), encoding)]


@pytest.mark.parametrize("size", [1, 7, 65_536])
@pytest.mark.parametrize(
    ("packed", "encoding"),
    [
        (gzip.compress(b"Hello", mtime=0), "gzip"),
        (gzip.compress(b"Hel", mtime=0) + gzip.compress(b"lo", mtime=0), "x-gzip"),
        (zlib.compress(b"Hello"), "deflate"),
    ],
)
async def test_what_was_packed_is_unpacked(packed: bytes, encoding: str, size: int) -> None:
    assert b"".join(await pieces(packed, encoding, size)) == b"Hello"


async def test_a_small_body_never_becomes_a_large_piece() -> None:
    size = 64 * PIECE_BYTES_MAX
    found = [len(piece) for piece in await pieces(gzip.compress(bytes(size), mtime=0))]
    assert sum(found) == size
    assert max(found) == PIECE_BYTES_MAX


@pytest.mark.parametrize(
    ("packed", "encoding"),
    [
        (b"no gzip", "gzip"),
        (gzip.compress(b"Hello", mtime=0)[:-3], "gzip"),
        (gzip.compress(b"Hello", mtime=0) + b"more", "gzip"),
        (b"Hello", "br"),
        (gzip.compress(gzip.compress(b"Hello", mtime=0), mtime=0), "gzip, gzip"),
    ],
)
async def test_what_cannot_be_unpacked_is_an_error(packed: bytes, encoding: str) -> None:
    with pytest.raises(Unpackable):
        await pieces(packed, encoding)


async def test_nothing_is_nothing() -> None:
    assert await pieces(b"") == []
