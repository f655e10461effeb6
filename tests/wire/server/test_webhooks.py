"""What an operator's commands do with webhooks through the server that has them."""

import socket

import pytest
from tests.providers.http.test_addresses import resolving
from tests.support.receiver import receiving
from tests.wire.api.test_webhooks import say
from tests.wire.door import Door, new_room
from tests.wire.server.test_control import CREATE

from palaver.errors import Code, Refused
from palaver.wire.server.control import asked


async def test_a_webhook_is_made_told_and_taken_away_beside_the_server(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def do(what: str, **more: object) -> dict[str, object]:
        return await asked(door.settings, {"do": f"webhook.{what}", **more})

    made = await asked(door.settings, CREATE)
    person = door.http(headers={"authorization": f"Bearer {made['token']}"})
    owner = made["key"]["actor"]["id"]
    async with receiving() as receiver:
        adding = {"do": "webhook.add", "as": owner, "url": receiver.url}
        with pytest.raises(Refused) as refused:
            await asked(door.settings, adding)
        assert refused.value.code is Code.ADDRESS_NOT_ALLOWED
        monkeypatch.setattr(socket, "getaddrinfo", resolving(*["127.0.0.1"] * 9))
        adding["url"] = f"http://rebinding.example:{receiver.port}/"
        added = await asked(door.settings, adding)
        hook = {"webhook": added["webhook"]["id"]}
        assert added["webhook"]["owner"]["id"] == owner
        assert added["webhook"] in (await asked(door.settings, {"do": "webhook.list"}))["webhooks"]
        room = await new_room(person)
        await say(person, room, "hello")
        rotated = await do("rotate", **hook)
        assert rotated["secret"] != added["secret"]
        tested = (await asked(door.settings, {"do": "webhook.test", **hook}))["delivery"]
        # this server may reach no address of this machine, whatever it is called
        assert (tested["state"], tested["problem"]) == ("failed", "address_not_allowed")
        assert (tested["code"], receiver.connections) == (None, 0)
        listed = (await asked(door.settings, {"do": "webhook.deliveries", **hook}))["deliveries"]
        assert {one["room"] for one in listed} >= {None}
        await do("replay", delivery=tested["id"], **hook)
        off = await asked(door.settings, {"do": "webhook.enable", "enabled": False, **hook})
        assert off["webhook"]["ended"] == "owner"
        await do("rm", **hook)
        with pytest.raises(Refused) as refused:
            await do("test", **hook)
        assert refused.value.code is Code.WEBHOOK_NOT_FOUND
