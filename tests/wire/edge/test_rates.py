"""What one address may make: guests, rooms, messages and live connections, on every door."""

import asyncio
import json
from pathlib import Path

import httpx2
import pytest
from starlette.types import Scope
from tests.wire.door import Live, new_cid, new_room, open_door
from websockets.exceptions import InvalidStatus

from palaver.errors import Code, Unavailable
from palaver.settings import settings_from
from palaver.wire.edge.proxies import DIRECT
from palaver.wire.edge.rates import BUCKETS_MAX, Rates, Use

HERE = "127.0.0.0/8"
CLASSIC = {"cookie": "stupidbot_user_id=0b2f6f0e-2f63-4a2d-9c8b-2a4c0f6f1d5e"}
SK = {"authorization": "Bearer sk-any"}
A_MESSAGE = {"model": "echo", "messages": [{"role": "user", "content": "hi"}]}


def limited(got: httpx2.Response) -> bool:
    """Whether this was too much, told with when to come again."""
    return got.status_code == 429 and int(got.headers["retry-after"]) > 0


async def test_guests_of_one_address_are_bounded_on_every_door(tmp_path: Path) -> None:
    async with open_door(tmp_path, guests_per_hour=4) as door:
        visitor = door.http()
        lobby = (await visitor.get("/api/rooms")).json()["rooms"][0]["id"]
        paths = ("/api/guests", "/api/rooms", "/api/sessions", "/v1/conversations")
        for path in paths:
            assert (await door.http().post(path, json={})).status_code in {200, 201}, path
        for path in paths[:3]:
            assert limited(await door.http().post(path, json={})), path
        assert limited(await door.http().post(paths[3], json={}, headers=SK))
        async with door.socket("/ws/chat", additional_headers=CLASSIC) as socket:
            assert json.loads(await socket.recv())["error_code"] == "rate_limited"
        async with door.socket("/ws/chat") as socket:
            await socket.send(json.dumps({"content": "a first word"}))
            while json.loads(await socket.recv()).get("error_code") != "rate_limited":
                pass
        cookie = {"cookie": f"palaver_session={visitor.cookies['palaver_session']}"}
        async with door.socket(additional_headers=cookie) as socket:
            live = Live(socket)
            await live.ask(t="hello", v=1)
            refused = await live.say(lobby, "hi")
            assert (refused["code"], refused["temporary"]) == ("rate_limited", True)
            assert refused["retry_ms"] > 0
        assert (await door.http().get("/api/rooms")).status_code == 200, "looking costs nothing"


async def test_rooms_of_one_address_are_bounded(tmp_path: Path) -> None:
    async with open_door(tmp_path, rooms_per_hour=2) as door:
        _, http = await door.guest()
        await new_room(http)
        assert (await http.post("/api/sessions", json={})).status_code == 201
        assert limited(await http.post("/api/rooms", json={}))
        assert limited(await http.post("/api/sessions", json={}))


async def test_messages_of_one_guest_are_bounded_wherever_they_come_from(tmp_path: Path) -> None:
    async with open_door(tmp_path, guest_messages_per_minute=2) as door:
        token, http = await door.guest()
        room = await new_room(http)
        said = f"/api/rooms/{room}/messages"
        async with door.live(token) as one:
            assert (await http.post(said, json={"cid": new_cid(), "text": "hi"})).status_code == 201
            assert (await one.say(room, "hi"))["state"] == "stored"
            assert (await one.say(room, "hi"))["code"] == "rate_limited"
            refused = await http.post(said, json={"cid": new_cid(), "text": "hi"})
            assert limited(refused)
            assert "too many messages of yours" in refused.json()["detail"]
        _, other = await door.guest()
        elsewhere = f"/api/rooms/{await new_room(other)}/messages"
        for status in (201, 201, 429):
            told = await other.post(elsewhere, json={"cid": new_cid(), "text": "hi"})
            assert told.status_code == status
        for status in (200, 200, 429):
            told = await door.http().post("/v1/chat/completions", json=A_MESSAGE, headers=SK)
            assert told.status_code == status


async def test_messages_of_one_address_are_bounded_on_every_door(tmp_path: Path) -> None:
    async with open_door(tmp_path, messages_per_minute=1) as door:
        token, http = await door.guest()
        room = await new_room(http)
        live, classic = door.live(token), door.socket("/ws/chat", additional_headers=CLASSIC)
        async with live as one, classic as other:
            say = {"cid": new_cid(), "text": "hi"}
            assert (await http.post(f"/api/rooms/{room}/messages", json=say)).status_code == 201
            assert (await one.say(room, "hi"))["code"] == "rate_limited"
            await other.send(json.dumps({"content": "hi"}))
            while json.loads(await other.recv())["type"] != "limit_exceeded":
                pass
            assert limited(await http.post(f"/api/rooms/{room}/messages", json=say))
            assert limited(await http.post("/v1/chat/completions", json=A_MESSAGE, headers=SK))


async def test_a_guests_key_makes_no_more_than_the_guest(tmp_path: Path) -> None:
    async with open_door(tmp_path, rooms_per_hour=1, messages_per_minute=2) as door:
        _, http = await door.guest()
        made = (await http.post("/api/keys", json={"name": "A program"})).json()["token"]
        key = {"authorization": f"Bearer {made}"}
        assert (await door.http().post("/v1/conversations", json={}, headers=key)).is_success
        assert limited(await door.http().post("/v1/conversations", json={}, headers=key)), "rooms"
        assert limited(await door.http().post("/v1/chat/completions", json=A_MESSAGE, headers=key))
        assert (await door.http().get("/v1/conversations", headers=key)).is_success


async def test_live_connections_of_one_address_are_bounded(tmp_path: Path) -> None:
    async with open_door(tmp_path, connections_per_minute=1) as door:
        _, http = await door.guest()
        room = await new_room(http)
        async with door.socket():
            pass
        for path in ("/ws", "/ws/chat"):
            with pytest.raises(InvalidStatus) as refused:
                async with door.socket(path):
                    pass
            assert refused.value.response.status_code == 429
        feed = {"accept": "text/event-stream"}
        assert limited(await http.get(f"/api/rooms/{room}/events", headers=feed))


async def test_live_connections_of_one_address_at_once_are_bounded_at_every_door(
    tmp_path: Path,
) -> None:
    async with open_door(tmp_path, connections_per_address=2) as door:
        token, http = await door.guest()
        room = await new_room(http)
        events, feed = f"/api/rooms/{room}/events", {"accept": "text/event-stream"}

        async def full() -> None:
            for path in ("/ws", "/ws/chat", "/v1/responses"):
                with pytest.raises(InvalidStatus) as refused:
                    async with door.socket(path, additional_headers=SK):
                        pass
                assert refused.value.response.status_code == 429
            for headers, params in ((feed, {}), ({}, {"after": 99, "wait": 5})):
                told = await http.get(events, headers=headers, params=params)
                assert limited(told)
                assert told.json()["code"] == "too_many_connections"
            assert (await http.get(events)).status_code == 200, "what does not wait holds nothing"

        async with door.live(token), door.socket("/ws/chat"):
            await full()
        async with door.live(token), http.stream("GET", events, headers=feed) as fed:
            assert fed.status_code == 200
            await full()
        async with door.live(token) as one:
            poll = {"after": (await http.get(events)).json()["seq"], "wait": 30}
            async with asyncio.TaskGroup() as tasks:
                polls = [tasks.create_task(http.get(events, params=poll)) for _ in range(2)]
                over, waiting = await asyncio.wait(polls, return_when=asyncio.FIRST_COMPLETED)
                assert [limited(await told) for told in over] == [True]
                await full()
                await one.say(room, "hi")
                assert [(await told).status_code for told in waiting] == [200]
            assert (await http.get(events, params={"wait": 1})).status_code == 200, "it is over"


async def test_behind_a_trusted_proxy_each_household_is_counted_for_itself(tmp_path: Path) -> None:
    async with open_door(tmp_path, trusted_proxies=HERE, guests="open", guests_per_hour=1) as door:
        for client, free in (
            ("203.0.113.9", True),
            ("203.0.113.9", False),
            ("203.0.113.8", True),
            ("2001:db8::1", True),
            ("2001:db8::2", False),
            ("2001:db8:0:1::2", True),
        ):
            passed = {"x-forwarded-for": f"198.51.100.1, {client}"}
            got = await door.http().post("/api/guests", json={}, headers=passed)
            assert (got.status_code == 201) is free, client


def scope(client: str, *, direct: bool = False) -> Scope:
    return {"client": (client, 1), DIRECT: direct}


def test_programs_of_this_machine_have_no_bound_unless_one_is_set() -> None:
    rates = Rates(settings_from(), lambda: 0.0)
    for _ in range(2_000):
        rates.take(scope("127.0.0.1", direct=True), Use.GUESTS)
    for _ in range(300):
        rates.take(scope("127.0.0.1"), Use.GUESTS)
    with pytest.raises(Unavailable) as limit:
        rates.take(scope("127.0.0.1"), Use.GUESTS)
    assert limit.value.code is Code.RATE_LIMITED


@pytest.mark.parametrize("most", [1, 123, 245, 1_003])
def test_the_whole_bound_may_be_used_at_once(most: int) -> None:
    rates = Rates(settings_from(messages_per_minute=most), lambda: 0.0)
    for _ in range(most):
        rates.take(scope("203.0.113.9"), Use.MESSAGES)
    with pytest.raises(Unavailable):
        rates.take(scope("203.0.113.9"), Use.MESSAGES)


def test_what_was_used_comes_back_evenly_and_the_buckets_are_few() -> None:
    now = 0.0
    rates = Rates(settings_from(guests_per_hour=2), lambda: now)
    one = scope("203.0.113.9")
    rates.take(one, Use.GUESTS)
    rates.take(one, Use.GUESTS)
    with pytest.raises(Unavailable) as limit:
        rates.take(one, Use.GUESTS)
    assert limit.value.retry_ms == 1_800_000
    rates.take(one, Use.ROOMS)
    now = 1_800.0
    rates.take(one, Use.GUESTS)
    with pytest.raises(Unavailable):
        rates.take(one, Use.GUESTS)
    for number in range(BUCKETS_MAX):
        rates.take(scope(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"), Use.GUESTS)
    rates.take(one, Use.GUESTS)  # forgotten, and nothing grows
