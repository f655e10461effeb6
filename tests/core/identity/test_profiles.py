"""What a person tells of themselves: preferences and e-mail are bounded, and a picture is what its bytes say."""

import pytest
from tests.core.conftest import Running
from tests.core.identity.test_accounts import sign_up

from palaver.core.identity.profiles import AVATAR_BYTES_MAX, measured
from palaver.errors import Code, Refused

PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + (300).to_bytes(4, "big") + (200).to_bytes(4, "big")
GIF = b"GIF89a" + (300).to_bytes(2, "little") + (200).to_bytes(2, "little")
JPEG = b"\xff\xd8\xff\xe0\0\x04ab\xff\xff\xc2\0\x0b\x08" + (200).to_bytes(2, "big") + b"\x01\x2c"
RIFF = b"RIFF\0\0\0\0WEBP"
LOSSY = RIFF + b"VP8 \0\0\0\0\0\0\0\x9d\x01\x2a" + (300).to_bytes(2, "little") + b"\xc8\0"
LOSSLESS = RIFF + b"VP8L\0\0\0\0\x2f" + (299 | 199 << 14).to_bytes(4, "little")
EXTENDED = RIFF + b"VP8X\0\0\0\0\0\0\0\0" + (299).to_bytes(3, "little") + b"\xc7\0\0"


def refused(data: bytes) -> Code:
    with pytest.raises(Refused) as caught:
        measured(data)
    return caught.value.code


def test_a_picture_is_known_by_its_bytes_and_nothing_else_is_one() -> None:
    for kind, data in (
        ("png", PNG),
        ("gif", GIF),
        ("jpeg", JPEG),
        ("webp", LOSSY),
        ("webp", LOSSLESS),
        ("webp", EXTENDED),
    ):
        assert measured(data) == (f"image/{kind}", 300, 200)
        for end in range(len(data)):
            cut = data[:end]
            try:
                assert measured(cut)[0] == f"image/{kind}"
            except Refused as problem:
                assert problem.code is Code.BAD_REQUEST  # noqa: PT017  each cut is either
    for none in (
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"<!doctype html><script>",
        b"BM" + bytes(60),
        RIFF + b"ANIM" + bytes(20),
        b"\xff\xd8\xff\xda" + bytes(20),
        PNG[:16] + bytes(8),
    ):
        assert refused(none) is Code.BAD_REQUEST


async def test_a_picture_takes_the_place_of_the_one_before_and_goes(
    running: Running, database_url: str
) -> None:
    async with running(database_url=database_url, sign_up="open") as core:
        (_, ada), (_, bo) = await sign_up(core, "ada"), await sign_up(core, "bo-1")
        first = await core.profiles.set_avatar(ada, PNG)
        assert first == await core.profiles.set_avatar(ada, PNG), "the same again"
        theirs = await core.profiles.set_avatar(bo, PNG)
        assert first is not None
        assert theirs is not None
        assert theirs != first, "each row has one owner"
        assert await core.profiles.avatar(first) == ("image/png", PNG)
        second = await core.profiles.set_avatar(ada, GIF)
        assert second is not None
        assert (await core.register.get("ada")).actor.avatar == second
        large = (
            PNG + bytes(AVATAR_BYTES_MAX),
            PNG[:16] + (1_025).to_bytes(4, "big") + PNG[20:],
        )
        for data in large:
            with pytest.raises(Refused) as caught:
                await core.profiles.set_avatar(ada, data)
            assert caught.value.code is Code.PICTURE_TOO_LARGE
        assert await core.profiles.avatar(second) == ("image/gif", GIF)
        assert await core.profiles.set_avatar(ada, b"") is None
        for gone in (first, second, "x", "\u0660" * 32):
            with pytest.raises(Refused) as caught:
                await core.profiles.avatar(gone)
            assert caught.value.code is Code.NOT_FOUND
        assert await core.profiles.avatar(theirs) == ("image/png", PNG)


async def test_preferences_are_merged_and_bounded_and_an_address_is_a_label(
    running: Running, database_url: str
) -> None:
    async with running(database_url=database_url, sign_up="open") as core:
        _, ada = await sign_up(core, "ada")
        change = core.profiles.change
        await change(ada, preferences={"theme": "dark", "language": "de"})
        await change(ada, email="ada@example.org", preferences={"theme": None, "x": [1]})
        found = await core.profiles.get(ada)
        assert found.preferences == {"language": "de", "x": [1]}
        assert found.email == (await core.register.get("ada")).email == "ada@example.org"
        for email, preferences in (
            (None, {"x": "\u00e4" * 2_048}),
            ("ada", {}),
            ("a b@example.org", {}),
            ("ada@example@org", {}),
            ("a" * 65 + "@example.org", {}),
        ):
            with pytest.raises(Refused) as caught:
                await change(ada, email=email, preferences=preferences)
            assert caught.value.code is Code.BAD_REQUEST
        assert await core.profiles.get(ada) == found
        await change(ada, email="", preferences={})
        assert (await core.profiles.get(ada)).email is None
        _, guest = await core.identity.new_guest()
        await change(guest, preferences={"theme": "dark"})
        with pytest.raises(Refused) as caught:
            await change(guest, email="ada@example.org", preferences={})
        assert caught.value.code is Code.NOT_FOUND
