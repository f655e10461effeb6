"""Checks and keeps what a person tells of themselves: preferences, an e-mail address, a picture.

The address is a label: nothing is sent there. A picture is what its first bytes say, and nothing that runs.
"""

import re
from collections.abc import Mapping
from typing import Any

from palaver.core import validation
from palaver.core.live.hub import Hub
from palaver.errors import Code, Refused
from palaver.model import Actor
from palaver.store.read import actors
from palaver.store.read.actors import HERE
from palaver.store.store import Store
from palaver.store.write.people.profiles import SetAvatar, SetProfile

AVATAR_BYTES_MAX, AVATAR_PIXELS_MAX = 262_144, 1_024
_EMAIL = re.compile(r"[^\s@]{1,64}@[^\s@]{1,189}")
_JPEG_FRAMES = {bytes((0xFF, 0xC0 + one)) for one in range(16) if one not in {4, 8, 12}}
_AVATAR = re.compile(r"[0-9a-f]{32}")


class Profiles:
    """The profiles of one database's people."""

    def __init__(self, store: Store, hub: Hub) -> None:
        self._store, self._hub = store, hub

    async def get(self, actor: Actor) -> actors.Profile:
        """What this person has told."""
        return await self._store.read(actors.profile, actor.id)

    async def change(
        self, actor: Actor, *, email: str | None = None, preferences: Mapping[str, Any]
    ) -> None:
        """Sets an e-mail address ("": none; None: as it is) and preferences, of which those that are None go.

        Refused: `bad_request` (no address; too many preferences), `not_found` (an address without an account).
        """
        if email is not None and actor.handle is None:
            raise Refused(Code.NOT_FOUND, "You have no account yet.")
        if email and not _EMAIL.fullmatch(validation.well_formed(email, "email")):
            raise Refused(Code.BAD_REQUEST, "That is no e-mail address.")
        setting = SetProfile(actor=actor.id, email=email, preferences=preferences)
        await self._store.write(setting)
        if HERE in preferences:
            self._hub.show(actor.id, shown=preferences[HERE] is not False)

    async def set_avatar(self, actor: Actor, data: bytes) -> str | None:
        """Takes a picture, or none (no bytes); its name. Refused: `bad_request` (no picture), `picture_too_large`."""
        kind = checked_picture(data) if data else ""
        return await self._store.write(SetAvatar(actor=actor.id, media_type=kind, data=data))

    async def avatar(self, name: str) -> tuple[str, bytes]:
        """The media type and the bytes of a picture. Refused: `not_found`."""
        digest = bytes.fromhex(name) if _AVATAR.fullmatch(name) else b""
        found = await self._store.read(actors.blob, digest)
        if found is None:
            raise Refused(Code.NOT_FOUND, "There is no such picture.")
        return found


def checked_picture(data: bytes) -> str:
    """The media type of a picture. Refused: `bad_request`, `picture_too_large`."""
    kind, width, height = measured(data)
    if len(data) > AVATAR_BYTES_MAX or max(width, height) > AVATAR_PIXELS_MAX:
        most = f"{AVATAR_BYTES_MAX // 1_024} KiB and {AVATAR_PIXELS_MAX:,} pixels a side"
        raise Refused(Code.PICTURE_TOO_LARGE, f"A picture of somebody has at most {most}.")
    return kind


def measured(data: bytes) -> tuple[str, int, int]:
    """A picture's media type, width and height, by its first bytes. Refused: `bad_request`, what is none."""
    kind, size = "", (0, 0)
    if data.startswith(b"\x89PNG\r\n\x1a\n") and data[12:16] == b"IHDR":
        kind, size = "png", (_big(data[16:20]), _big(data[20:24]))
    elif data[:6] in {b"GIF87a", b"GIF89a"}:
        kind, size = "gif", (_little(data[6:8]), _little(data[8:10]))
    elif data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        kind, size = "webp", _webp(data)
    elif data.startswith(b"\xff\xd8\xff"):
        kind, size = "jpeg", _jpeg(data)
    if min(size) < 1:
        raise Refused(Code.BAD_REQUEST, "That is no PNG, JPEG, WebP or GIF.")
    return f"image/{kind}", *size


def _webp(data: bytes) -> tuple[int, int]:
    match data[12:16]:
        case b"VP8X":
            return _little(data[24:27]) + 1, _little(data[27:30]) + 1
        case b"VP8L":
            bits = _little(data[21:25])
            return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        case b"VP8 ":
            return _little(data[26:28]) & 0x3FFF, _little(data[28:30]) & 0x3FFF
        case _:
            return 0, 0


def _jpeg(data: bytes) -> tuple[int, int]:
    """Of the frame, which stands behind segments that each say how long they are."""
    at = 2
    while (marker := data[at : at + 2])[:1] == b"\xff":
        if marker in _JPEG_FRAMES:
            return _big(data[at + 7 : at + 9]), _big(data[at + 5 : at + 7])
        at += 1 if marker == b"\xff\xff" else 2 + _big(data[at + 2 : at + 4])
    return 0, 0


def _big(raw: bytes) -> int:
    return int.from_bytes(raw, "big")


def _little(raw: bytes) -> int:
    return int.from_bytes(raw, "little")
