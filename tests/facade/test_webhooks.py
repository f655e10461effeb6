"""What a program does with webhooks."""

from collections.abc import AsyncGenerator

import pytest
from standardwebhooks import Webhook as Reference
from tests.facade.test_people import refused
from tests.support.receiver import Receiver, receiving

import palaver
from palaver import Code
from palaver.settings import settings_from


@pytest.fixture
async def receiver() -> AsyncGenerator[Receiver]:
    async with receiving() as server:
        yield server


async def test_a_program_has_its_rooms_told_and_those_of_a_person(receiver: Receiver) -> None:
    settings = settings_from(database_url="sqlite://", detect=False, profile_networks="127.0.0.1")
    async with palaver.open(settings=settings) as chat:
        hook, secret = await chat.webhooks.add(receiver.url, types=["message.created"])
        ada, bo = await chat.person("ada"), await chat.person("bo")
        room = await chat.room("support")
        await room.say(ada, "Where is my parcel?")
        (came,) = await receiver.heard(1)
        told = Reference(secret).verify(came.body, came.headers)
        assert (told["data"]["text"], told["source"]) == (
            "Where is my parcel?",
            f"/rooms/{room.id}",
        )
        tested = await chat.webhooks.test(hook)
        assert (tested.code, tested.type) == (204, "ping")
        found = [one async for one in chat.webhooks.deliveries(hook)]
        assert [one.room for one in found] == [None, room.id]
        again = await chat.webhooks.replay(hook, found[-1])
        assert (again.id, receiver.requests[-1].body) == (found[-1].id, came.body)
        assert await chat.webhooks.rotate(hook) != secret
        off = await chat.webhooks.change(hook, enabled=False)
        assert off.ended == "owner"

        theirs, _ = await chat.webhooks.add(f"{receiver.url}/bo", owner=bo)
        assert [one.owner for one in await chat.webhooks.all()] == [hook.owner, bo.id]
        await room.say(ada, "Nobody tells Bo.")
        await room.say(bo, "I am here.")
        await receiver.heard(4)
        assert {one.path for one in receiver.requests[3:]} == {"/hook/bo"}
        assert "Nobody" not in str(receiver.told[3:])
        await chat.webhooks.remove(theirs)
        assert await refused(chat.webhooks.test(theirs)) is Code.WEBHOOK_NOT_FOUND
        assert await refused(chat.webhooks.add("no address")) is Code.WEBHOOK_INVALID
