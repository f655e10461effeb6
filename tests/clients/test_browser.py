"""What a program of the API needs that runs in a page of another site, which the settings allow."""

from collections.abc import AsyncIterator

import httpx2
import pytest
from tests.support.server import ServerProcess, serving

ORIGIN = "https://app.example.org"
SECONDS_MAX = 90
SENT_BY_OPENAI_JS = (
    *("authorization", "content-type", "openai-organization", "openai-project", "x-stainless-arch"),
    *("x-stainless-lang", "x-stainless-os", "x-stainless-package-version", "x-stainless-timeout"),
    *("x-stainless-retry-count", "x-stainless-runtime", "x-stainless-runtime-version"),
    "x-stainless-helper-method",
)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
async def allowing(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ServerProcess]:
    async with serving(tmp_path_factory.mktemp("allowing")) as serve:
        yield await serve(environment={"PALAVER_ALLOWED_ORIGINS": ORIGIN})


async def preflight(
    server: ServerProcess, path: str, origin: str, *, method: str = "POST"
) -> httpx2.Response:
    headers = {
        "origin": origin,
        "access-control-request-method": method,
        "access-control-request-headers": ",".join(SENT_BY_OPENAI_JS),
    }
    async with httpx2.AsyncClient(trust_env=False, timeout=SECONDS_MAX) as http:
        return await http.options(f"{server.url}/v1{path}", headers=headers)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/chat/completions"),
        ("POST", "/responses"),
        ("DELETE", "/conversations/conv_0"),
        ("GET", "/models"),
    ],
)
async def test_a_page_that_is_allowed_may_send_what_the_official_library_sends(
    allowing: ServerProcess, method: str, path: str
) -> None:
    got = await preflight(allowing, path, ORIGIN, method=method)
    assert got.status_code == 200, got.text
    assert got.headers["access-control-allow-origin"] == ORIGIN
    allowed = {name.strip() for name in got.headers["access-control-allow-headers"].split(",")}
    assert allowed >= set(SENT_BY_OPENAI_JS)
    assert method in got.headers["access-control-allow-methods"]


async def test_a_page_of_any_other_site_may_not(allowing: ServerProcess) -> None:
    got = await preflight(allowing, "/chat/completions", "https://elsewhere.example.org")
    assert got.status_code == 400
    assert "access-control-allow-origin" not in got.headers


async def test_a_page_that_is_allowed_reads_the_room_and_the_id_of_its_request(
    allowing: ServerProcess,
) -> None:
    headers = {"origin": ORIGIN, "authorization": "Bearer any", "x-stainless-lang": "js"}
    body = {"model": "echo", "messages": [{"role": "user", "content": "Hello"}], "stream": True}
    async with httpx2.AsyncClient(trust_env=False, timeout=SECONDS_MAX, headers=headers) as http:
        got = await http.post(f"{allowing.url}/v1/chat/completions", json=body)
        refused = await http.post(f"{allowing.url}/v1/chat/completions", json={})
    assert got.text.endswith("data: [DONE]\n\n")
    for answer, names in ((got, {"x-palaver-room", "x-request-id"}), (refused, set[str]())):
        assert answer.headers["access-control-allow-origin"] == ORIGIN
        exposed = answer.headers["access-control-expose-headers"].replace(" ", "").split(",")
        assert names <= set(exposed)
        assert names <= set(answer.headers)
