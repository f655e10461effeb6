"""Every case of tests/bad_inputs.json that fits a door there is, on each of them: REST, palaver.v1 and bare bytes.

For each case: the status or close code and the error code are allowed ones, nothing is answered with a 500 or a
traceback, what was refused is not stored, what was taken is stored exactly, and the next good request works.
Cases that belong elsewhere are listed by name, with the reason; a case that is in neither list fails.
"""

import base64
import contextlib
import gzip
import json
import os
import struct
import zlib
from collections.abc import AsyncGenerator, Callable
from functools import cache
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

import httpx2
import pytest
from tests.wire.door import Door, Live, new_cid, new_room, open_door, texts
from websockets.exceptions import ConnectionClosed, InvalidStatus

LIMIT = 10_000
CODES = {  # the catalogue's words for codes that palaver.v1 has under other names
    "empty_message": "empty_message",
    "invalid_json": "invalid_json",
    "invalid_unicode": "invalid_unicode",
    "invalid_character": "invalid_character",
    "history_reset": "history_reset",
}
ELSEWHERE = {
    "csv_formula": "export comes with a later issue",
    "import_zip_slip_and_bomb": "import comes with a later issue",
    "md_script": "the page's tests show it",
    "md_img_onerror": "the page's tests show it",
    "md_js_link": "the page's tests show it",
    "md_image_exfiltration": "the page's tests show it",
    "md_mutation_xss": "the page's tests show it",
    "md_dom_clobbering": "the page's tests show it",
    "md_code_fence_breakout": "the page's tests show it",
    "md_catastrophic": "the page's tests show it",
    "latex_invisible_text": "the page's tests show it",
    "upstream_split_utf8": "tests/providers",
    "upstream_nul_and_lone_surrogate": "tests/providers",
    "upstream_bad_sse": "tests/providers",
    "upstream_endless": "tests/providers",
    "upstream_redirect_ssrf": "tests/providers",
    "upstream_url_ssrf": "only the operator sets the address, outside of any door",
    "ws_after_logout": "there is no logout before there are accounts",
    "login_flood": "there are no passwords before there are accounts",
    "edit_race": "editing comes with a later issue",
    "delete_while_streaming": "deleting a message comes with a later issue",
    "clock_jumps": "the simulation owns the clock",
    "odd_timestamps": "no call takes a time",
    "ws_never_reads": "test_transport: a reader that takes no byte is cut off",
}


@pytest.fixture(scope="module")
async def door(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Door]:
    """A server with the catalogue's bound of a text."""
    async with open_door(tmp_path_factory.mktemp("door"), text_chars_max=LIMIT) as opened:
        yield opened


def cases() -> dict[str, dict[str, Any]]:
    path = Path(__file__).parents[1] / "bad_inputs.json"
    catalogue = json.loads(path.read_text(encoding="utf-8"))["cases"]
    return {case["name"]: case for case in catalogue}


CASES = cases()


def named(*wheres: str) -> list[str]:
    """The cases of some doors that are not tested elsewhere."""
    return [
        name for name, case in CASES.items() if case["where"] in wheres and name not in ELSEWHERE
    ]


@cache  # one of them takes a second to make
def payloads(name: str) -> list[Any]:
    case = CASES[name]
    if "expr" not in case:
        return [case["payload"]]
    modules = {
        "json": json,
        "base64": base64,
        "zlib": zlib,
        "gzip": gzip,
        "struct": struct,
        "os": os,
        "LIMIT": LIMIT,
    }
    value: Any = eval(case["expr"], modules)  # the file is ours
    return cast("list[Any]", value) if isinstance(value, list) else [value]


def in_our_words(raw: str | bytes) -> bytes:
    """The catalogue's field names in those of this protocol. A new cid stands in for its fixed one."""
    data = raw.encode("utf-8", "surrogatepass") if isinstance(raw, str) else raw
    data = data.replace(b'"client_id":"x"', b'"cid":"%s"' % new_cid().encode())
    data = data.replace(b'"client_id": "x"', b'"cid":"%s"' % new_cid().encode())
    return data.replace(b'"body"', b'"text"')


def judge(name: str, got: httpx2.Response) -> None:
    expected = CASES[name]["expected"]
    assert got.status_code in expected["status"], (name, got.status_code, got.text)
    assert got.status_code < 500
    assert "Traceback" not in got.text
    if got.status_code >= 400 and "error_code" in expected:
        assert got.json()["code"] == CODES[expected["error_code"]], name


async def test_every_case_is_tested_here_or_named_with_the_place_where_it_is() -> None:
    here = {
        *named("message.body", "message.json", "history.query", "room.name", "search.q"),
        *named("http.raw", "ws.frame"),
    }
    assert here | ELSEWHERE.keys() == CASES.keys()
    assert not here & ELSEWHERE.keys()


@pytest.mark.parametrize("name", named("message.body"))
async def test_texts_over_rest(door: Door, name: str) -> None:
    http = door.http()
    room = await new_room(http)
    for text in payloads(name):
        # An escaped half of a character is how one gets into JSON at all.
        body = json.dumps({"cid": new_cid(), "text": text}).encode()
        got = await http.post(
            f"/api/rooms/{room}/messages",
            content=body,
            headers={"content-type": "application/json"},
        )
        judge(name, got)
        assert await texts(http, room) == ([text] if got.status_code < 300 else [])


@pytest.mark.parametrize("name", named("message.body"))
async def test_texts_over_the_live_connection(door: Door, name: str) -> None:
    token, http = await door.guest()
    room = await new_room(http)
    expected = CASES[name]["expected"]
    async with door.live(token) as live:
        for text in payloads(name):
            frame = {"t": "send", "id": 77, "room": room, "cid": new_cid(), "text": text}
            half = expected.get("error_code") == "invalid_unicode"
            said = json.dumps(frame, ensure_ascii=half)
            await live.socket.send(said)
            if len(said.encode()) > door.settings.frame_bytes_max:
                assert await live.closed() == 1009
                return
            got = await live.receive()
            taken = got["t"] == "ack"
            assert taken == (await texts(http, room) == [text])
            if not taken:
                assert 201 not in expected["status"] or 413 in expected["status"], (name, got)
                assert got["code"] == CODES.get(expected.get("error_code"), got["code"])
                assert await texts(http, room) == []
        assert (await live.ask(t="ping"))["t"] == "pong"


@pytest.mark.parametrize("name", named("message.json"))
async def test_json_over_rest(door: Door, name: str) -> None:
    http = door.http()
    room = await new_room(http)
    for raw in payloads(name):
        kinds = ["application/json"]
        if name == "wrong_content_type":
            kinds = ["text/plain", "application/x-www-form-urlencoded", ""]
        for kind in kinds:
            headers = {"content-type": kind} if kind else {}
            if name == "gzip_bomb_request":
                headers["content-encoding"] = "gzip"
            got = await http.post(
                f"/api/rooms/{room}/messages", content=in_our_words(raw), headers=headers
            )
            judge(name, got)
            stored = await texts(http, room)
            assert stored == (["a"] if got.status_code < 300 else [])
    found = (await http.get(f"/api/rooms/{room}/messages")).json()["messages"]
    for message in found:
        assert message["role"] in {"user", "assistant"}
        assert message["at"] > "2020"
        assert "polluted" not in json.dumps(message)


@pytest.mark.parametrize("name", named("message.json"))
async def test_json_over_the_live_connection(door: Door, name: str) -> None:
    token, http = await door.guest()
    room = await new_room(http)
    expected = CASES[name]["expected"]
    async with door.live(token) as live:
        for raw in payloads(name):
            data = in_our_words(raw)
            if data[:1] == b"{":
                data = b'{"t":"send","id":77,"room":"%s",' % room.encode() + data[1:]
            if name == "duplicate_keys":
                data = data.replace(b'"room":"a","room":"b",', b"")
            try:
                await live.socket.send(data, text=True)
                got = await live.receive()
            except ConnectionClosed:
                assert await live.closed() in {1007, 1009}, name
                break
            if got["t"] == "ack":
                assert 201 in expected["status"] or name == "wrong_content_type", (name, got)
            else:
                assert got["t"] == "err"
                assert got["code"] == CODES.get(expected.get("error_code"), got["code"])
                assert await texts(http, room) == []
    async with door.live(token) as live:
        assert (await live.say(room, "still here"))["t"] == "ack"


@pytest.mark.parametrize("name", named("history.query"))
async def test_queries_of_a_history(door: Door, name: str) -> None:
    http = door.http()
    room = await new_room(http)
    for query in payloads(name):
        if name == "bad_uuid":
            got = await http.get(f"/api/rooms/{quote(query, safe='')}/messages")
            judge(name, got)
            continue
        for path in ("messages", "events"):
            got = await http.get(f"/api/rooms/{room}/{path}?{query}")
            judge(name, got)
        if query.startswith("limit="):
            judge(name, await http.get(f"/api/rooms?{query}"))
            assert got.json()["code"] == "limit_invalid"


@pytest.mark.parametrize("name", named("search.q"))
async def test_searches_of_titles(door: Door, name: str) -> None:
    http = door.http()
    for words in payloads(name):
        await new_room(http, words[:100])
        # what never ends is given up by the client
        got = await http.get("/api/rooms", params={"search": words[:30_000]})
        judge(name, got)
        if got.status_code == 200:
            found = [room["title"] for room in got.json()["rooms"]]
            assert " ".join(words[:100].split()) in found, "every character means itself"


@pytest.mark.parametrize("name", named("room.name"))
async def test_names_of_rooms_and_people(door: Door, name: str) -> None:
    http = door.http()
    for title in payloads(name):
        got = await http.post("/api/rooms", json={"title": title})
        judge(name, got)
        if got.status_code == 201:
            found = (await http.get(f"/api/rooms/{got.json()['id']}")).json()
            assert found["title"] == title
    if name == "reserved_names":
        for person in (
            "admin",
            "system",
            "server",
            "assistant",
            "\uff21\uff24\uff2d\uff29\uff2e",
            "System",
        ):
            refused = await http.patch("/api/me", json={"name": person})
            assert (refused.status_code, refused.json()["code"]) == (400, "name_reserved")


@pytest.mark.parametrize("name", named("http.raw"))
async def test_bare_bytes(tmp_path: Path, name: str) -> None:
    async with open_door(tmp_path, guests="open", body_seconds=0.3, header_seconds=1) as door:
        for raw in payloads(name):
            data = raw.replace(b"host: x", b"host: " + door.host.encode())
            data = data.replace(
                b"content-length: 1000", b"content-type: application/json\r\ncontent-length: 1000"
            )
            if name == "forged_forwarded_headers":
                data = data.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n")
            answer = await door.raw(data)
            status = int(answer.split(b" ", 2)[1])
            if name == "forged_forwarded_headers":
                assert status == 200, "everyone is a guest, and nobody is who a header says"
                assert b'"id":"u_' in answer
            else:
                assert status in CASES[name]["expected"]["status"]
            assert b"Traceback" not in answer
        assert (await door.http().get("/health")).status_code == 200


async def _foreign_origin(door: Door, live: Live) -> int:  # noqa: ARG001  one signature for all
    with pytest.raises(InvalidStatus) as refused:
        async with door.socket(additional_headers={"origin": "https://evil.example"}):
            pass
    return refused.value.response.status_code


async def _token_in_query(door: Door, live: Live) -> int:  # noqa: ARG001  as above
    with pytest.raises(InvalidStatus) as refused:
        async with door.socket("/ws?token=SECRET"):
            pass
    return refused.value.response.status_code


async def _too_big(door: Door, live: Live) -> int:  # noqa: ARG001  as above
    with contextlib.suppress(ConnectionClosed):
        await live.socket.send("x" * 17_000_000)
    return await live.closed()


async def _deflate_bomb(door: Door, live: Live) -> int:  # noqa: ARG001  as above
    """A compressed frame, although nothing of the kind was agreed on: a broken frame."""
    live.socket.transport.write(b"\xc1\xfe\xc0\x00\x00\x00\x00\x00" + bytes(0xC000))
    code = await live.closed()
    return 1009 if code == 1002 else code


async def _many_fragments(door: Door, live: Live) -> int:  # noqa: ARG001  as above
    with contextlib.suppress(ConnectionClosed):
        await live.socket.send(["x"] * 100_000)
    return await live.closed()


async def _ping_flood(door: Door, live: Live) -> int:  # noqa: ARG001  as above
    with contextlib.suppress(ConnectionClosed):
        for number in range(10_000):
            await live.socket.ping(f"{number}".rjust(125))
    code = await live.closed()
    return {4008: 1008}.get(code, code)


async def _message_flood(door: Door, live: Live) -> int:
    http = door.http(headers={"authorization": f"Bearer {live.token}"})
    room = await new_room(http)
    first = await live.say(room, "first", new_cid())  # the first one of a server takes longer
    with contextlib.suppress(ConnectionClosed):
        for number in range(10_000):
            await live.send(t="send", id=1_000 + number, room=room, cid=new_cid(), text=f"{number}")
    code = await live.closed()
    errors = {frame["code"] for frame in live.pushed if frame["t"] == "err"}
    assert "rate_limited" in errors
    assert errors <= {"rate_limited", "too_busy"}
    acks = [first, *(frame for frame in live.pushed if frame["t"] == "ack")]
    acknowledged = {frame["seq"] for frame in acks}
    seen: set[int] = set()
    after: int | None = 0
    while after is not None:
        params = {"after": after, "limit": 200}
        page = (await http.get(f"/api/rooms/{room}/messages", params=params)).json()
        seen |= {message["seq"] for message in page["messages"]}
        after = page["after"]
    assert acknowledged <= seen
    return {4008: 1008}.get(code, code)


async def _unknown_type(door: Door, live: Live) -> int:  # noqa: ARG001  as above
    for raw in payloads("ws_unknown_type"):
        await live.socket.send(raw.replace('"type"', '"t"'))
        assert (await live.receive())["t"] == "err"
    assert (await live.ask(t="ping"))["t"] == "pong"
    return 0


FRAMES: dict[str, Callable[[Door, Live], Any]] = {
    "ws_foreign_origin": _foreign_origin,
    "ws_token_in_query": _token_in_query,
    "ws_too_big": _too_big,
    "ws_deflate_bomb": _deflate_bomb,
    "ws_many_fragments": _many_fragments,
    "ws_ping_flood": _ping_flood,
    "ws_message_flood": _message_flood,
    "ws_unknown_type": _unknown_type,
}


@pytest.mark.parametrize("name", named("ws.frame"))
async def test_live_connections(door: Door, name: str) -> None:
    token, _ = await door.guest()
    expected = CASES[name]["expected"]
    async with door.live(token) as live:
        got = await FRAMES[name](door, live)
    allowed = expected.get("status") or [expected.get("ws_close", 0)]
    assert got in allowed, (name, got)
    async with door.live(token) as live:
        assert (await live.ask(t="ping"))["t"] == "pong"
