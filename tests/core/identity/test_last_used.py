"""When keys and sessions were used: written behind, and kept until the database takes it."""

import asyncio

from tests.core.conftest import Running
from tests.store.world import opened

from palaver.core.identity.actors import Client
from palaver.core.identity.last_used import USES_MAX, LastUsed
from palaver.model import KeyId
from palaver.store.write.people.credentials import KeysUsed

BROWSER = Client(agent="Firefox on Linux", address="192.0.2.1")


async def test_what_used_a_session_is_noted_at_once_the_first_time(running: Running) -> None:
    async with running() as core:
        token, ada = await core.identity.new_guest("Ada")
        assert await core.identity.actor(token, BROWSER) == ada
        async with asyncio.timeout(60):
            while (shown := (await core.devices.listing(ada, token)).devices[0]).agent is None:
                pass
        assert (shown.agent, shown.address) == (BROWSER.agent, BROWSER.address)
        assert shown.used_ms >= shown.created_ms


async def test_no_more_uses_are_noted_than_there_is_room_for(sqlite_url: str) -> None:
    async with opened(sqlite_url) as world:
        noted: LastUsed[KeyId, int] = LastUsed(
            world.store, lambda used: KeysUsed(last_used_ms=used)
        )
        for number in range(USES_MAX + 10):
            noted.note(KeyId(f"k_{number}"), number)
        noted.note(KeyId("k_0"), 7)
        assert len(noted._used) == USES_MAX
        assert noted._used[KeyId("k_0")] == 7
