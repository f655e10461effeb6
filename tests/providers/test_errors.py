import pytest

from palaver.errors import Code
from palaver.providers.errors import CallInfo, ErrorBody, failure_of, retry_after_ms, told_in_body

ASKED = CallInfo(label="Ollama", name="ollama", model="llama3.2", key="topsecretkey")


def detail_of(told: ErrorBody, asked: CallInfo = ASKED) -> str:
    return failure_of(told, asked).detail


def test_a_missing_model_says_how_to_get_it() -> None:
    told = told_in_body(404, b'{"error":{"message":"model \\"llama3.2\\" not found"}}')
    detail = detail_of(told)
    assert detail.startswith(
        "Ollama does not have the model llama3.2. Run: ollama pull llama3.2. It"
    )
    elsewhere = CallInfo(label="OpenAI", name="openai", model="gpt-0")
    assert "OpenAI does not have the model gpt-0" in detail_of(told, elsewhere)


def test_a_wrong_address_says_how_one_looks() -> None:
    assert "usually ends in /v1" in detail_of(told_in_body(404, b"404 page not found"))


@pytest.mark.parametrize(
    "body",
    [
        b'{"error":{"message":"x","code":"context_length_exceeded"}}',
        b'{"object":"error","message":"This model\'s maximum context length is 8192 tokens."}',
        b'{"error":{"code":400,"message":"request exceeds the available context size"}}',
        b"prompt is too long",
    ],
)
def test_a_conversation_that_is_too_long_says_what_to_do(body: bytes) -> None:
    failure = failure_of(told_in_body(400, body), ASKED)
    assert failure.code is Code.PROVIDER_REFUSED
    assert "PALAVER_CONTEXT_TOKENS_MAX" in failure.detail


def test_the_providers_words_are_quoted_on_one_short_line_without_secrets() -> None:
    told = ErrorBody(status=400, message=f"bad\n\x00topsecretkey sk-abcdefgh \u202e{'x' * 900}")
    detail = detail_of(told)
    assert detail.startswith("Ollama refused the request: bad … … xxx")
    assert len(detail) < 300
    assert detail.isprintable()


@pytest.mark.parametrize("status", [301, 401, 402, 403, 404, 408, 422, 429, 500, 504])
def test_the_providers_own_reason_is_told_whatever_we_make_of_it(status: int) -> None:
    told = ErrorBody(status=status, message="the region EU is closed for topsecretkey.")
    assert "the region EU is closed for …." in detail_of(told)


@pytest.mark.parametrize("message", ["<html>oops</html>", "x" * 5_000])
def test_pages_and_walls_of_text_are_not_quoted(message: str) -> None:
    assert (
        detail_of(told_in_body(500, message.encode())) == "Ollama failed (status 500). Try again."
    )


def test_words_that_repeat_what_somebody_wrote_are_not_quoted() -> None:
    asked = CallInfo(
        label="X", name="x", model="m", texts=("my darkest secret of all times, truly",)
    )
    told = ErrorBody(status=422, message="invalid input: 'my darkest secret of all times, truly'")
    assert detail_of(told, asked) == "X refused the request (status 422)."


@pytest.mark.parametrize(
    ("headers", "wait_ms"),
    [
        ({"retry-after": "2"}, 2_000),
        ({"retry-after": "0.5"}, 500),
        ({"retry-after-ms": "250", "retry-after": "9"}, 250),
        ({"retry-after": "Thu, 01 Jan 1970 00:00:30 GMT"}, 20_000),
        ({"retry-after": "Thu, 01 Jan 1970 00:00:05 GMT"}, 0),
        ({"retry-after": "999999999999"}, 86_400_000),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after-ms": "nan"}, None),
        ({}, None),
    ],
)
def test_how_long_to_wait_is_read_in_every_form(
    headers: dict[str, str], wait_ms: int | None
) -> None:
    assert retry_after_ms(headers, now_ms=10_000) == wait_ms


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b'{"error":{"message":"m","code":7,"param":"p"}}', ("m", "7", "p")),
        (b'{"error":"m"}', ("m", "", "")),
        (b'{"detail":"m"}', ("m", "", "")),
        (b'{"detail":[{"msg":"m"}]}', ('[{"msg": "m"}]', "", "")),
        (b'{"message":"m","type":"t"}', ("m", "t", "")),
        (b"m", ("m", "", "")),
        (b"\xff", ("\ufffd", "", "")),
        (b"[1]", ("", "", "")),
        (b"", ("", "", "")),
    ],
)
def test_errors_of_every_dialect_are_read(body: bytes, told: tuple[str, str, str]) -> None:
    found = told_in_body(422, body)
    assert (found.message, found.code, found.param) == told
    assert found.status == 422
