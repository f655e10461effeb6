"""What a session is called by the header of the program that uses it."""

import pytest

from palaver.wire.edge.programs import CHARS_MAX, program_of

MOZILLA = "Mozilla/5.0"


@pytest.mark.parametrize(
    ("header", "told"),
    [
        (
            f"{MOZILLA} (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
            "Firefox on Linux",
        ),
        (
            f"{MOZILLA} (Windows NT 10.0) AppleWebKit/537.36 Chrome/140.0 Safari/537.36 Edg/140.0",
            "Edge on Windows",
        ),
        (
            f"{MOZILLA} (iPhone; CPU iPhone OS 18_0 like Mac OS X) Version/18.0 Safari/604.1",
            "Safari on iPhone",
        ),
        (
            f"{MOZILLA} (Linux; Android 15) AppleWebKit/537.36 Chrome/140.0 Mobile Safari/537.36",
            "Chrome on Android",
        ),
        ("Firefox/1", "Firefox"),
        ("curl/8.9.1", "curl/8.9.1"),
        ("python-httpx2/2.16 (something else)", "python-httpx2/2.16"),
        ("", "Unknown"),
        ("\u00e9\u202e", "Unknown"),
        ("x" * 5_000, "x" * CHARS_MAX),
    ],
)
def test_a_program_is_named_in_a_few_words(header: str, told: str) -> None:
    assert program_of(header) == told
