"""The picture around a card: what is read of it, and that nothing in it can grow or pass as what it is not."""

from base64 import b64encode
from zlib import compress, crc32

import pytest

from palaver.cards import png
from palaver.errors import Code, Refused


def chunk(kind: bytes, said: bytes, crc: int | None = None) -> bytes:
    check = crc32(kind + said) if crc is None else crc
    return len(said).to_bytes(4, "big") + kind + said + check.to_bytes(4, "big")


def picture(*more: bytes, side: int = 1) -> bytes:
    size = side.to_bytes(4, "big") * 2
    head = chunk(b"IHDR", size + b"\x08\x00\x00\x00\x00")
    pixels = chunk(b"IDAT", compress((b"\0" + bytes(side)) * side))
    return b"".join([png.SIGNATURE, head, *more, pixels, chunk(b"IEND", b"")])


def card(keyword: bytes, said: bytes) -> bytes:
    return chunk(b"tEXt", keyword + b"\0" + b64encode(said))


def test_the_newer_card_wins_wherever_it_stands() -> None:
    assert png.card_in(picture(card(b"chara", b"{}"))) == b"{}"
    assert png.card_in(picture(card(b"Chara", b"{}"), card(b"CCV3", b'{"a":1}'))) == b'{"a":1}'
    assert png.card_in(picture(chunk(b"tEXt", b"chara\0e3\n0="))) == b"{}"


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(picture(), id="no card"),
        pytest.param(picture(chunk(b"tEXt", b"chara\0e30=", crc=7)), id="wrong sum"),
        pytest.param(picture(chunk(b"tEXt", b"chara\0not base64!")), id="no base64"),
        pytest.param(picture(chunk(b"zTXt", b"chara\0\0" + compress(b"e30="))), id="packed"),
        pytest.param(picture(chunk(b"iTXt", b"chara\0\0\0\0\0e30=")), id="other text"),
        pytest.param(picture(card(b"chara", b"{}"))[:-20], id="cut off"),
        pytest.param(
            picture(card(b"chara", b"{}"), *[chunk(b"tEXt", b"a\0b")] * 2_000), id="many chunks"
        ),
        pytest.param(picture(card(b"chara", b"x" * 5_000_000)), id="large card"),
        pytest.param(picture(chunk(b"tEXt", b"a\0" + b"x" * 10_485_760)), id="large file"),
        pytest.param(png.SIGNATURE + b"\xff\xff\xff\xffIDAT", id="endless chunk"),
        pytest.param(b"GIF89a", id="no PNG"),
    ],
)
def test_what_holds_no_card_is_refused(broken: bytes) -> None:
    with pytest.raises(Refused) as caught:
        png.card_in(broken)
    assert caught.value.code is Code.CARD_INVALID


def test_a_picture_is_kept_without_all_that_only_tells_of_it() -> None:
    told = picture(card(b"chara", b"{}"), chunk(b"eXIf", b"where"), chunk(b"tEXt", b"Author\0Ada"))
    assert png.picture_of(told) == picture()
    written = png.with_cards(told, {b"ccv3": b'{"a":1}', b"chara": b"{}"})
    assert png.card_in(written) == b'{"a":1}'
    assert png.picture_of(written) == picture()
