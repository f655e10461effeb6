from base64 import b64encode, urlsafe_b64encode
from urllib.parse import quote

import pytest

from palaver.providers.redaction import redacted

KEY = "sk-pro/secret+0123?456~789"


@pytest.mark.parametrize(
    "spelt",
    [
        KEY.encode(),
        KEY.upper().encode(),
        KEY.replace("/", "\\/").encode(),
        "".join(one if one.isalnum() else f"\\u{ord(one):04X}" for one in KEY).encode(),
        "".join(f"\\u{ord(one):04x}" for one in KEY).encode(),
        quote(KEY, safe="").encode(),
        quote(KEY, safe="").lower().encode(),
        KEY.encode().hex().encode(),
        *(b64encode(before + KEY.encode() + b"!") for before in (b"", b"x", b"xy", b"Bearer ")),
        urlsafe_b64encode(f"user:{KEY}".encode()),
        b"sk-pro**********789",
        "sk-pro…789".encode(),
    ],
)
def test_a_key_is_found_in_every_spelling(spelt: bytes) -> None:
    found = redacted(b'{"error": "bad key ' + spelt + b' here"}', KEY)
    assert found.startswith(b'{"error": "bad key ')
    assert found.endswith(b' here"}')
    for start in range(10, len(spelt) - 10, 5):
        assert spelt[start : start + 10] not in found


@pytest.mark.parametrize("word", ["", "any", "none", "ollama", "x-1"])
def test_a_word_is_no_secret(word: str) -> None:
    assert redacted(b"none of any ollama x-1", word) == b"none of any ollama x-1"


def test_all_else_stays() -> None:
    said = b"the model 'sk-learn' is not there, see hf-x ... and **this**"
    assert redacted(said, KEY) == said
