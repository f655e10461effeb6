"""All that goes wrong below `/v1` is told in one shape, wherever it is noticed."""

import pytest
from tests.wire.door import Door
from tests.wire.openai.client import CHAT, bare_client


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/nothing", 404),
        ("DELETE", CHAT, 404),
        ("PUT", "/v1/responses", 404),
        ("POST", CHAT, 400),
        ("GET", "/v1/conversations/no-id", 400),
    ],
)
async def test_every_refusal_has_the_apis_shape(
    door: Door, method: str, path: str, status: int
) -> None:
    got = await bare_client(door).request(method, path, content=b"{}")
    assert got.status_code == status, got.text
    assert got.json()["error"].keys() == {"message", "type", "param", "code"}
    assert got.headers["content-type"] == "application/json"


async def test_the_edge_speaks_the_apis_shape_too(door: Door) -> None:
    client = bare_client(door)
    origin = await client.post(CHAT, content=b"{}", headers={"origin": "https://evil.example"})
    assert (origin.status_code, origin.json()["error"]["code"]) == (403, "origin_refused")
    host = await client.get("/v1/models", headers={"host": "evil.example"})
    assert (host.status_code, host.json()["error"]["code"]) == (400, "host_refused")


async def test_other_doors_keep_their_own_shape(door: Door) -> None:
    got = await bare_client(door).get("/api/rooms/r_0")
    assert "error" not in got.json()
