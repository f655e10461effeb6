"""The content parts of messages, for clients that show rooms: light in a list, and their pictures one by one.

An API client may send megabytes of pictures, sound and files within a message. A list of messages that carried them
all would be too much for a page to take and for the hub to hold, so a long text in a part is left out; a picture's
address takes its place. Whoever wants all of it as it was sent inspects the exchange.
"""

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any, cast

from palaver.errors import Code, Refused
from palaver.model import Message

Json = dict[str, Any]

TEXT_CHARS_MAX = 2_000
_PICTURE = re.compile(r"data:(image/(?:png|jpeg|gif|webp|avif|bmp));base64,", re.IGNORECASE)


def light(value: Message) -> Json:
    """A message's meta, without what is long in its parts, and what only a model is told."""
    meta = dict(value.meta)
    for name in ("beside", "keeps"):
        meta.pop(name, None)
    parts = meta.get("parts")
    if isinstance(parts, list):
        meta["parts"] = [
            _light(part, f"/api/messages/{value.id}/parts/{place}")
            for place, part in enumerate(cast("list[object]", parts))
        ]
    return meta


def picture(value: Message, place: int) -> tuple[str, bytes]:
    """The picture in a part of a message: its media type and bytes. Refused: `not_found`."""
    parts = value.meta.get("parts")
    if isinstance(parts, list) and value.deleted_ms is None:
        for part in cast("list[object]", parts)[place : place + 1]:
            found = _PICTURE.match(_address_of(part))
            if found is not None:
                try:
                    data = base64.b64decode(_address_of(part)[found.end() :], validate=True)
                except binascii.Error:
                    break
                return found[1].lower(), data
    raise Refused(Code.NOT_FOUND, "There is no picture at that place of the message.")


def _light(part: object, address: str) -> object:
    match part:
        case str():
            if len(part) <= TEXT_CHARS_MAX:
                return part
            return address if _PICTURE.match(part) else ""
        case Mapping():
            found = cast("Mapping[str, object]", part)
            return {key: _light(one, address) for key, one in found.items()}
        case list():
            return [_light(one, address) for one in cast("list[object]", part)]
        case _:
            return part


def _address_of(part: object) -> str:
    """Where a part says that its picture is, in both shapes of the API."""
    match part:
        case {"image_url": {"url": str(address)}} | {"image_url": str(address)}:
            return address
        case _:
            return ""
