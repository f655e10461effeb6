"""Webhooks over real HTTP: one's own alone, whose secret is told once; an admin sees, disables and removes them."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass

import httpx2
import pytest
from standardwebhooks import Webhook as Reference
from tests.support.receiver import Receiver, answers, receiving
from tests.wire.api.test_people import signed_in
from tests.wire.door import Door, Json, new_room, serving, settings_for, shaped

from palaver.core.runtime import Core
from palaver.core.webhooks import TYPES
from palaver.model import ServerRole
from palaver.store.write.webhooks import OWN_MAX
from palaver.wire.api.webhooks import Deliveries, Delivery, MadeWebhook, Webhook, Webhooks


@dataclass(frozen=True, slots=True)
class Town:
    """A server with an owner and two people, and a receiver that it may reach."""

    door: Door
    core: Core
    owner: httpx2.AsyncClient
    ada: httpx2.AsyncClient
    bo: httpx2.AsyncClient
    receiver: Receiver

    async def made(self, who: httpx2.AsyncClient, **more: object) -> tuple[str, str]:
        """The address of a new webhook, and its secret."""
        given = {"url": self.receiver.url, "types": ["message.created"], **more}
        made = await who.post("/api/webhooks", json=given)
        assert made.status_code == 201, made.text
        shaped(MadeWebhook, made.json())
        return f"/api/webhooks/{made.json()['webhook']['id']}", made.json()["secret"]

    async def told(self, who: httpx2.AsyncClient, hook: str, *states: str) -> list[Json]:
        """Waits until the deliveries are in these states."""
        async with asyncio.timeout(60):
            while True:
                found = (await who.get(f"{hook}/deliveries")).json()
                shaped(Deliveries, found)
                if [one["state"] for one in found["deliveries"]] == [*states]:
                    return found["deliveries"]
                await asyncio.sleep(0.01)


@pytest.fixture
async def town(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Town]:
    folder = tmp_path_factory.mktemp("house") / "data"
    settings = settings_for(folder, profile_networks="127.0.0.1", webhooks_max=OWN_MAX + 2)
    stop = asyncio.Event()
    async with receiving() as receiver, serving(settings, stop) as (url, core):
        door = Door(url, settings, stop)
        owner, _ = await signed_in(door, core, ServerRole.OWNER, "ow")
        ada, _ = await signed_in(door, core, ServerRole.PERSON, "ada")
        bo, _ = await signed_in(door, core, ServerRole.PERSON, "bo")
        yield Town(door, core, owner, ada, bo, receiver)
        await door.close()


async def say(who: httpx2.AsyncClient, room: str, text: str) -> None:
    said = await who.post(
        f"/api/rooms/{room}/messages", json={"text": text, "cid": text.replace(" ", "-")}
    )
    assert said.status_code in {200, 201}


def refused(answer: httpx2.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


async def test_one_is_made_told_rotated_disabled_and_taken_away(town: Town) -> None:
    room = await new_room(town.ada)
    hook, secret = await town.made(town.ada)
    await say(town.ada, room, "hello")
    (one,) = await town.told(town.ada, hook, "done")
    assert (one["type"], one["room"], one["code"], one["attempts"], one["next_at"]) == (
        *("chat.palaver.message.created", room, 204),
        *(1, None),
    )
    (came,) = town.receiver.requests
    assert Reference(secret).verify(came.body, came.headers)["data"]["text"] == "hello"
    assert came.headers["webhook-id"] == one["id"]

    rotated = (await town.ada.post(f"{hook}/rotate")).json()
    shaped(MadeWebhook, rotated)
    assert rotated["webhook"]["rotates_until"] is not None
    tested = (await town.ada.post(f"{hook}/test")).json()
    shaped(Delivery, tested)
    assert (tested["type"], tested["state"], tested["room"]) == ("chat.palaver.ping", "done", None)
    for proof in (secret, rotated["secret"]):
        came = town.receiver.requests[-1]
        assert Reference(proof).verify(came.body, came.headers)["type"] == "chat.palaver.ping"

    off = (await town.ada.patch(hook, json={"enabled": False})).json()
    shaped(Webhook, off)
    assert (off["enabled"], off["ended"]) == (False, "owner")
    await say(town.ada, room, "while it is off")
    on = (await town.ada.patch(hook, json={"enabled": True})).json()
    assert on["enabled"]
    await town.told(town.ada, hook, "done", "done", "done")
    assert town.receiver.told[-1]["data"]["text"] == "while it is off"

    again = (await town.ada.post(f"{hook}/deliveries/{one['id']}/replay")).json()
    assert (again["state"], again["attempts"]) == ("done", 2)
    assert town.receiver.told[-1] == town.receiver.told[0]
    assert (await town.ada.delete(hook)).status_code == 204
    assert refused(await town.ada.get(f"{hook}/deliveries")) == (404, "webhook_not_found")
    kinds = [one["k"] for one in (await town.owner.get("/api/audit")).json()["events"]]
    assert {"webhook.saved", "webhook.ended", "webhook.deleted"} < set(kinds)


async def test_a_secret_is_told_once_and_lies_nowhere_in_the_open(town: Town) -> None:
    hook, secret = await town.made(town.ada)
    for address in ("/api/webhooks", f"{hook}/deliveries"):
        assert secret not in (await town.ada.get(address)).text
    for file in town.door.settings.data_dir.rglob("*"):
        if file.is_file():
            assert secret.encode() not in file.read_bytes(), file
    await town.core.rotate()
    assert (await town.ada.post(f"{hook}/test")).json()["state"] == "done"
    came = town.receiver.requests[-1]
    assert Reference(secret).verify(came.body, came.headers)


async def test_a_test_tells_how_it_went_and_what_fails_is_not_repeated(town: Town) -> None:
    hook, _ = await town.made(town.ada)
    town.receiver.default = answers(500)
    failed = (await town.ada.post(f"{hook}/test")).json()
    assert (failed["state"], failed["code"], failed["next_at"]) == ("failed", 500, None)
    await town.ada.patch(hook, json={"url": "http://127.0.0.1:1/"})
    nobody = (await town.ada.post(f"{hook}/test")).json()
    assert (nobody["state"], nobody["code"]) == ("failed", None)
    assert len(town.receiver.requests) == 1


async def test_what_waits_is_hurried(town: Town) -> None:
    room, (hook, _) = await new_room(town.ada), await town.made(town.ada)
    town.receiver.default = answers(500)
    for text in ("one", "two"):
        await say(town.ada, room, text)
    first: Json = {"attempts": 0}
    async with asyncio.timeout(60):
        while not first["attempts"]:
            await asyncio.sleep(0.01)
            listed = (await town.ada.get(f"{hook}/deliveries")).json()["deliveries"]
            first = listed[-1] if listed else first
    assert first["next_at"] is not None
    town.receiver.default = answers(200)
    await town.ada.post(f"{hook}/deliveries/{first['id']}/replay")
    done = await town.told(town.ada, hook, "done", "done")
    assert done[-1]["attempts"] > first["attempts"], "all its tries are counted"
    await town.ada.patch(hook, json={"enabled": False})
    assert refused(await town.ada.post(f"{hook}/deliveries/v_{'0' * 32}/replay")) == (
        404,
        "not_found",
    )


async def test_it_is_its_owners_alone_but_an_admin_sees_and_ends_it(town: Town) -> None:
    hook, _ = await town.made(town.ada)
    listed = (await town.ada.get("/api/webhooks")).json()
    shaped(Webhooks, listed)
    assert (await town.bo.get("/api/webhooks")).json() == {"webhooks": []}
    assert (await town.owner.get("/api/webhooks")).json() == listed
    steering = [
        ("PATCH", hook, {"url": "http://127.0.0.1:9/"}),
        ("PATCH", hook, {"enabled": True}),
        ("POST", f"{hook}/rotate", None),
        ("POST", f"{hook}/test", None),
        ("POST", f"{hook}/deliveries/v_{'0' * 32}/replay", None),
    ]
    ending = [("PATCH", hook, {"enabled": False}), ("DELETE", hook, None)]
    looking = [("GET", f"{hook}/deliveries", None)]
    for method, path, body in [*steering, *looking, *ending]:
        answer = await town.bo.request(method, path, json=body)
        assert refused(answer) == (404, "webhook_not_found"), (method, path)
    for method, path, body in steering:
        assert refused(await town.owner.request(method, path, json=body)) == (403, "forbidden")
    for method, path, body in [*looking, *ending]:
        assert (await town.owner.request(method, path, json=body)).status_code in {200, 204}


async def test_no_guest_and_no_key_has_one(town: Town) -> None:
    _, guest = await town.door.guest()
    assert refused(await guest.get("/api/webhooks")) == (403, "forbidden")
    assert refused(await guest.post("/api/webhooks", json={"url": town.receiver.url})) == (
        403,
        "forbidden",
    )
    for scopes in (["all"], ["admin"]):
        made = await town.owner.post("/api/keys", json={"scopes": scopes})
        key = town.door.http(headers={"authorization": f"Bearer {made.json()['token']}"})
        assert refused(await key.get("/api/webhooks")) == (403, "forbidden")


async def test_an_address_that_is_not_public_is_refused_at_once_with_who_allows_it(
    town: Town,
) -> None:
    hook, _ = await town.made(town.ada)
    for host in ("10.0.0.1", "[::1]", "169.254.169.254", "0xa.1"):
        url = f"http://{host}:8080/"
        made = await town.ada.post("/api/webhooks", json={"url": url})
        assert refused(made) == (400, "address_not_allowed"), host
        assert "PALAVER_PROFILE_NETWORKS" in made.json()["detail"]
        changed = await town.ada.patch(hook, json={"url": url})
        assert refused(changed) == (400, "address_not_allowed"), host
    (kept,) = (await town.ada.get("/api/webhooks")).json()["webhooks"]
    assert kept["url"] == town.receiver.url


async def test_what_cannot_be_is_refused(town: Town) -> None:
    theirs = await new_room(town.bo)
    for body, code in (
        ({"url": "ftp://example.com"}, "webhook_invalid"),
        ({"url": "https://me:secret@example.com/"}, "webhook_invalid"),
        ({"url": "https://example.com/" + "x" * 2_000}, "webhook_invalid"),
        ({"url": "https://example.com/", "types": ["key.created"]}, "webhook_invalid"),
        ({"url": "https://example.com/", "rooms": ["r_x"]}, "room_not_found"),
        (
            {"url": "https://example.com/", "rooms": [f"r_{n:032x}" for n in range(101)]},
            "webhook_invalid",
        ),
        ({"url": "https://example.com/", "rooms": [theirs]}, "room_not_found"),
        ({}, "bad_request"),
    ):
        answer = await town.ada.post("/api/webhooks", json=body)
        assert answer.json()["code"] == code, body
    assert "key.created" not in TYPES
    for _ in range(OWN_MAX):
        await town.made(town.ada)
    own = await town.ada.post("/api/webhooks", json={"url": town.receiver.url})
    assert refused(own) == (409, "too_many_webhooks")
    await town.made(town.bo)
    await town.made(town.bo)
    all_ = await town.bo.post("/api/webhooks", json={"url": town.receiver.url})
    assert refused(all_) == (409, "too_many_webhooks")


async def test_who_leaves_takes_their_webhooks_along(town: Town) -> None:
    room, (hook, _) = await new_room(town.bo), await town.made(town.bo)
    await say(town.bo, room, "x")
    await town.told(town.bo, hook, "done")
    bo = (await town.bo.get("/api/me")).json()["id"]
    assert (await town.owner.delete(f"/api/people/{bo}")).status_code in {200, 204}
    assert (await town.owner.get("/api/webhooks")).json() == {"webhooks": []}
