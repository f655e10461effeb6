import json
from typing import Any

import pytest

from palaver.errors import Code, PalaverError, ProviderError, Refused, Unavailable
from palaver.wire.openai.fields import Invalid
from palaver.wire.openai.problems import document, response, wrapped

FOUR = {"message", "type", "param", "code"}


@pytest.mark.parametrize(
    ("error", "status", "kind", "code"),
    [
        (Invalid("No.", "model", "reason"), 400, "invalid_request_error", "reason"),
        (Refused(Code.ROOM_NOT_FOUND, "No."), 404, "invalid_request_error", "room_not_found"),
        (Refused(Code.UNAUTHENTICATED, "No."), 401, "authentication_error", "invalid_api_key"),
        (Refused(Code.FORBIDDEN, "No."), 403, "permission_error", "forbidden"),
        (Unavailable(Code.RATE_LIMITED, "No."), 429, "rate_limit_error", "rate_limited"),
        (
            Unavailable(Code.DATABASE_UNAVAILABLE, "No."),
            503,
            "server_error",
            "database_unavailable",
        ),
        (ProviderError(Code.PROVIDER_CUT, "No."), 502, "server_error", "provider_cut"),
        (ProviderError(Code.PROVIDER_TIMEOUT, "No."), 504, "server_error", "provider_timeout"),
    ],
)
def test_every_error_has_the_apis_shape_and_a_fitting_status(
    error: PalaverError, status: int, kind: str, code: str
) -> None:
    answer = response(error)
    told = json.loads(bytes(answer.body))["error"]
    assert told.keys() == FOUR
    assert (answer.status_code, told["type"], told["code"]) == (status, kind, code)
    assert told == document(error)["error"]


def test_when_to_ask_again_and_whether_stands_in_the_headers() -> None:
    busy = response(Unavailable(Code.TOO_BUSY, "No.", retry_ms=1_500)).headers
    assert (busy["retry-after"], busy["retry-after-ms"]) == ("2", "1500")
    lasting = response(ProviderError(Code.PROVIDER_AUTH, "No.", temporary=False)).headers
    assert lasting["x-should-retry"] == "false"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"it burns", "it burns"),
        (b"<html>", "The model server answered with status 500."),
        (b"", "The model server answered with status 500."),
        (b'{"detail": "x"}', '{"detail": "x"}'),
        (b"\xff", "\ufffd"),
    ],
)
def test_what_has_another_shape_is_put_into_it(body: bytes, message: str) -> None:
    told: Any = json.loads(wrapped(500, body))["error"]
    assert told.keys() == FOUR
    assert told["message"] == message


def test_what_has_the_shape_stays_as_it_is() -> None:
    body = b'{ "error":  "x" }'
    assert wrapped(500, body) == body
