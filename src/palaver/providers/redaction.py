"""The model server's key taken out of what that server says: some repeat it in their errors.

It is found as it is, escaped for an address or in JSON, in base64 at any place of a longer text, in hexadecimal, and
with stars in its middle. A key that is a mere word ("none", "any") is no secret, and stays.
"""

import re
from base64 import b64encode
from functools import lru_cache
from urllib.parse import quote

WORD_CHARS_MAX = 7
REDACTED = "…".encode()


def redacted(data: bytes, key: str) -> bytes:
    """The same without the key, or the keys, of which each is one line."""
    for one in key.split("\n"):
        pattern = _pattern(one)
        data = data if pattern is None else pattern.sub(REDACTED, data)
    return data


@lru_cache(maxsize=64)
def _pattern(key: str) -> re.Pattern[bytes] | None:
    if len(key) <= WORD_CHARS_MAX and (key.isalnum() or len(key) <= WORD_CHARS_MAX // 2):
        return None
    raw = key.encode()
    spellings = {raw, quote(key, safe="").encode(), raw.hex().encode(), *_in_base64(raw)}
    found = [*map(re.escape, sorted(spellings, key=len, reverse=True)), _in_json(raw)]
    masked = re.escape(raw[:3]) + rb"[\w.-]{0,40}(?:\*{2,}|\.{3}|\xe2\x80\xa6)[\w.-]{0,40}"
    return re.compile(b"|".join((*found, masked)), re.IGNORECASE)


def _in_json(raw: bytes) -> bytes:
    """A pattern of it in which each character may be escaped: some servers do that to `+`, `/` or `&`."""
    return b"".join(rb"(?:\\?%b|\\u%04x)" % (re.escape(bytes([one])), one) for one in raw)


def _in_base64(raw: bytes) -> set[bytes]:
    """What stands for it in base64, whatever stands before and behind it."""
    found: set[bytes] = set()
    for before in range(3):
        whole = b64encode(bytes(before) + raw + bytes(2))
        own = whole[-(-before * 8 // 6) : (before + len(raw)) * 8 // 6]
        found |= {own, own.replace(b"+", b"-").replace(b"/", b"_")}
    return found
