"""A request through the API and its answer, as somebody before the page inspects them."""

import base64
from typing import Any

import httpx2
from openai import AsyncOpenAI
from tests.wire.door import Door, shaped

from palaver.wire.openai.inspect import LEFT_OUT, Exchange, discreet


def client_of(door: Door) -> AsyncOpenAI:
    return AsyncOpenAI(
        base_url=f"{door.url}/v1", api_key="sk-inspected", http_client=door.http(), max_retries=0
    )


async def last_exchange(http: httpx2.AsyncClient) -> tuple[dict[str, Any], dict[str, Any]]:
    """The newest room that came through the API, and the exchange of its last answer."""
    rooms = (await http.get("/api/rooms")).json()["rooms"]
    room = next(room for room in rooms if room["door"] == "openai")
    said = (await http.get(f"/api/rooms/{room['id']}/messages")).json()["messages"]
    exchange = said[-1]["meta"]["exchange"]
    got = await http.get(f"/api/exchanges/{exchange}")
    assert got.status_code == 200, got.text
    shaped(Exchange, got.json())
    return room, got.json()


async def test_a_chat_completion_is_shown_as_its_client_sent_and_got_it(door: Door) -> None:
    said: list[Any] = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "/long 3", "name": "ada"},
    ]
    answer = await client_of(door).chat.completions.create(
        model="echo", messages=said, temperature=0.5, extra_body={"api_key": "sk-of-somebody-else"}
    )
    _, shown = await last_exchange(door.http())
    request, response = shown["request"], shown["response"]
    assert request["messages"] == said
    assert (request["model"], request["temperature"]) == ("echo", 0.5)
    assert request["api_key"] == LEFT_OUT
    assert response["id"] == shown["name"] == answer.id
    assert response["choices"][0]["message"]["content"] == answer.choices[0].message.content
    assert (shown["kind"], shown["state"], shown["finish"]) == ("chat", "completed", "stop")
    assert isinstance(shown["ms"], int)


async def test_a_response_is_shown_with_its_own_input_only(door: Door) -> None:
    client = client_of(door)
    first = await client.responses.create(model="echo", input="/long 2")
    second = await client.responses.create(
        model="echo", input="/long 3", previous_response_id=first.id, metadata={"topic": "demo"}
    )
    _, shown = await last_exchange(door.http())
    assert [item["content"][0]["text"] for item in shown["request"]["input"]] == ["/long 3"]
    assert shown["request"]["previous_response_id"] == first.id
    assert shown["request"]["metadata"] == {"topic": "demo"}
    assert shown["response"]["id"] == second.id
    assert shown["response"]["output"][0]["content"][0]["text"] == second.output_text
    assert shown["kind"] == "response"


async def test_a_picture_is_left_out_of_lists_and_comes_by_its_address(door: Door) -> None:
    png = b"\x89PNG\r\n\x1a\n" + bytes(4_000)
    url = "data:image/png;base64," + base64.b64encode(png).decode()
    parts = [{"type": "text", "text": "/long 1"}, {"type": "image_url", "image_url": {"url": url}}]
    said: list[Any] = [{"role": "user", "content": parts}]
    await client_of(door).chat.completions.create(model="echo", messages=said)
    http = door.http()
    room, shown = await last_exchange(http)
    assert shown["request"]["messages"] == said, "who inspects it gets all of it"
    listed = (await http.get(f"/api/rooms/{room['id']}/messages")).json()["messages"]
    address = listed[0]["meta"]["parts"][1]["image_url"]["url"]
    got = await http.get(address)
    assert (got.status_code, got.content) == (200, png)
    assert got.headers["content-type"] == "image/png"
    assert got.headers["x-content-type-options"] == "nosniff"
    for other in (address.replace("/1", "/0"), "/api/messages/m_0/parts/0"):
        assert (await http.get(other)).status_code == 404


async def test_what_is_not_there_is_not_found(door: Door) -> None:
    for id_ in ("x_" + "0" * 32, "nonsense"):
        got = await door.http().get(f"/api/exchanges/{id_}")
        assert (got.status_code, got.json()["code"]) == (404, "exchange_not_found")


def test_secrets_are_left_out_wherever_they_stand() -> None:
    tool = {"type": "mcp", "authorization": "sk-1", "headers": {"X-Key": "sk-2"}, "server": "a"}
    schema = {"properties": {"password": {"type": "string"}, "token": {"type": "string"}}}
    given = {"tools": [tool, {"parameters": schema}], "API_KEY": "sk-3", "max_tokens": 3}
    shown = discreet(given)
    assert "sk-" not in str(shown)
    assert shown == {
        "tools": [
            {**tool, "authorization": LEFT_OUT, "headers": {"X-Key": LEFT_OUT}},
            {"parameters": schema},
        ],
        "API_KEY": LEFT_OUT,
        "max_tokens": 3,
    }
