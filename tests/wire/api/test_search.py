"""Search over real HTTP: hits with their snippets, pages by cursor, and clear refusals."""

from typing import Any
from urllib.parse import quote

import pytest
from tests.core.search.test_query import WORST
from tests.wire.door import Door, shaped

from palaver.errors import Code
from palaver.wire.api.search import Found


async def test_what_somebody_said_is_found_by_them_alone(door: Door) -> None:
    (_, ada), (_, bo) = await door.guest(), await door.guest()
    room = (await ada.post("/api/rooms", json={"title": "Trip"})).json()
    for number in range(5):
        said = {"text": f"The night train 🚂 number {number} to Zürich", "cid": f"c-{number}"}
        assert (await ada.post(f"/api/rooms/{room['id']}/messages", json=said)).status_code < 300
    cursor, texts = None, list[str]()
    while True:
        more = {} if cursor is None else {"cursor": cursor}
        asked = await ada.get(
            "/api/search", params={"q": '"night train" zurich', "limit": 2, **more}
        )
        found = shaped(Found, asked.json())
        texts += [hit["message"]["text"] for hit in found["hits"]]
        cursor = found["cursor"]
        if cursor is None:
            break
    assert [text.split()[5] for text in texts] == ["4", "3", "2", "1", "0"]
    hit = found["hits"][0]
    assert hit["title"] == "Trip"
    marked = [hit["snippet"]["text"][start:end] for start, end in hit["snippet"]["ranges"]]
    assert marked == ["night train", "Zürich"], "in code points"
    assert shaped(Found, (await bo.get("/api/search", params={"q": "train"})).json())["hits"] == []
    best = await ada.get(
        "/api/search", params={"q": "train", "sort": "relevance", "room": room["id"]}
    )
    assert len(shaped(Found, best.json())["hits"]) == 5


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"q": "x" * 501}, Code.QUERY_TOO_LONG),
        ({"q": "x", "cursor": "1"}, Code.CURSOR_INVALID),
        ({"q": "x", "limit": "0"}, Code.LIMIT_INVALID),
        ({"q": "x", "sort": "worst"}, Code.BAD_REQUEST),
        ({"q": "x", "offset": "9999"}, Code.BAD_REQUEST),
        ({}, Code.BAD_REQUEST),
        ({"q": "x", "room": "r_none"}, Code.ROOM_NOT_FOUND),
    ],
)
async def test_what_cannot_be_asked_is_refused(door: Door, given: Any, code: Code) -> None:
    _, ada = await door.guest()
    refused = await ada.get("/api/search", params=given)
    assert refused.json()["code"] == code
    assert refused.status_code in {400, 404}


@pytest.mark.parametrize(
    ("query", "code"),
    [
        *[("q=" + quote(text.encode("utf-8", "surrogatepass")), None) for text in WORST[:13]],
        *[("q=%ff%fe", None), ("q=%", None), ("q=a&q=b", None)],
        ("q=" + quote(WORST[13]), Code.QUERY_TOO_LONG),
    ],
)
async def test_any_text_is_answered_or_refused(door: Door, query: str, code: Code | None) -> None:
    _, ada = await door.guest()
    asked = await ada.get(f"/api/search?{query}")
    if code is None:
        assert shaped(Found, asked.json())["hits"] == []
    else:
        assert asked.json()["code"] == code


async def test_ten_megabytes_are_no_query_and_the_next_one_is_answered(door: Door) -> None:
    _, ada = await door.guest()
    asked = b"GET /api/search?q=%s HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n" % (
        b"x" * 10_000_000
    )
    answer = await door.raw(asked)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 4"), "it may be cut off instead"
    assert (await ada.get("/api/search?q=x")).status_code == 200
