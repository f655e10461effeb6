"""Tickets and the sessions that they begin, on both engines."""

import asyncio
from hashlib import sha256
from typing import Any

import pytest
from tests.store.archives import asked, execute
from tests.store.world import World, opened

from palaver.errors import Code, Refused
from palaver.model import (
    Actor,
    ActorId,
    ActorKind,
    ApiKey,
    CredentialId,
    Device,
    KeyId,
    Scope,
    Ticket,
    TicketKind,
)
from palaver.store.read import actors, devices
from palaver.store.write.actors import AddActor, SweepGuests
from palaver.store.write.people.credentials import (
    AddKey,
    AddTicket,
    EndDevice,
    EndSessions,
    ForgetEnded,
    KeepOnce,
    SessionsUsed,
    SessionUse,
    UseTicket,
)

MINUTE_MS = 60_000
MONTH_MS, YEAR_MS = 30 * 24 * 60 * MINUTE_MS, 365 * 24 * 60 * MINUTE_MS


def digest(word: str) -> bytes:
    return sha256(word.encode()).digest()


async def guest(world: World, session: str = "first", *, still: bool = True) -> Actor:
    id_ = ActorId(f"u_{world.clock.new_id()}")
    made = Actor(id=id_, kind=ActorKind.PERSON, name="Ada", guest=still)
    adding = AddActor(actor=made, handle=made.id, token_sha256=digest(session), unused=True)
    return await world.store.write(adding)


async def ticket(world: World, actor: Actor, word: str) -> Ticket:
    adding = AddTicket(
        id=f"i_{world.clock.new_id()}",
        kind=TicketKind.DEVICE,
        actor=actor.id,
        token_sha256=digest(word),
        lasts_ms=MINUTE_MS,
    )
    return await world.store.write(adding)


async def use(world: World, word: str, session: str) -> Actor:
    using = UseTicket(
        token_sha256=digest(word),
        session_sha256=digest(session),
        name="Phone",
        lasts_ms=YEAR_MS,
        idle_ms=MONTH_MS,
    )
    return await world.store.write(using)


async def known(world: World, session: str) -> Actor | None:
    """Whose session it is."""
    now_ms = world.clock.now_ms()
    return await world.store.read(actors.by_token, digest(session), now_ms, MONTH_MS)


async def listed(world: World, actor: Actor) -> tuple[tuple[bytes, Device], ...]:
    now_ms = world.clock.now_ms()
    return await world.store.read(devices.of_actor, actor.id, now_ms, MONTH_MS)


async def end(world: World, id_: str, by: Actor) -> None:
    await world.store.write(EndDevice(id=id_, by=by.id, idle_ms=MONTH_MS))


async def expect_over(world: World, session: str) -> None:
    with pytest.raises(Refused) as caught:
        await known(world, session)
    assert caught.value.code is Code.SESSION_ENDED


async def expect_ended(doing: Any) -> None:
    with pytest.raises(Refused) as caught:
        await doing
    assert caught.value.code is Code.TICKET_ENDED


async def test_a_ticket_begins_one_session_of_its_actor(world: World) -> None:
    ada = await guest(world)
    made = await ticket(world, ada, "link")
    assert made.expires_ms - made.created_ms in range(MINUTE_MS, MINUTE_MS + 1_000)
    now_ms = world.clock.now_ms()
    assert await world.store.read(devices.ticket_of, ada.id, now_ms) == made
    assert await use(world, "link", "phone") == ada
    assert await known(world, "phone") == ada
    await expect_ended(use(world, "link", "other"))
    assert await known(world, "other") is None
    assert await world.store.read(devices.ticket_of, ada.id, now_ms) is None
    found = await listed(world, ada)
    assert [device.name for _, device in found] == [None, "Phone"]
    assert await world.store.write(SweepGuests(before_ms=now_ms + MINUTE_MS, count=9)) == (0, 0)


async def test_of_two_who_use_a_ticket_at_once_one_gets_in(postgres_url: str) -> None:
    async with opened(postgres_url) as one, opened(postgres_url) as other:
        for number in range(20):
            ada = await guest(one, f"first {number}")
            await ticket(one, ada, f"link {number}")
            got = await asyncio.gather(
                use(one, f"link {number}", f"a {number}"),
                use(other, f"link {number}", f"b {number}"),
                return_exceptions=True,
            )
            assert {type(each) for each in got} == {Actor, Refused}
            assert len(await listed(one, ada)) == 2


async def test_a_ticket_that_has_expired_was_revoked_or_replaced_lets_nobody_in(
    world: World, database_url: str
) -> None:
    ada, eve = await guest(world), await guest(world, "eve")
    await ticket(world, ada, "late")
    await asyncio.to_thread(execute, database_url, "UPDATE tickets SET expires_ms = created_ms")
    await expect_ended(use(world, "late", "a"))
    revoked = await ticket(world, ada, "revoked")
    with pytest.raises(Refused) as caught:
        await end(world, revoked.id, eve)
    assert caught.value.code is Code.NOT_FOUND
    await end(world, revoked.id, ada)
    await expect_ended(use(world, "revoked", "b"))
    await ticket(world, ada, "older")
    await ticket(world, ada, "newer")
    await expect_ended(use(world, "older", "c"))
    assert await use(world, "newer", "d") == ada
    await expect_ended(use(world, "never", "e"))


async def test_a_session_that_has_ended_stays_known_and_is_nobodys(world: World) -> None:
    ada = await guest(world)
    await ticket(world, ada, "link")
    await use(world, "link", "phone")
    [_, (_, phone)] = await listed(world, ada)
    await end(world, phone.id, ada)
    await expect_over(world, "phone")
    assert len(await listed(world, ada)) == 1
    assert await known(world, "first") == ada


async def test_what_ended_long_ago_is_forgotten_but_for_what_keeps_a_visitor_from_coming_back(
    world: World, database_url: str
) -> None:
    token = digest("visitor")
    visitor = Actor(id=actors.guest_of(token), kind=ActorKind.PERSON, name="Ada", guest=True)
    adding = AddActor(actor=visitor, handle="guest", token_sha256=token, unused=True)
    ada = await world.store.write(adding)
    for name in ("phone", "laptop"):
        await ticket(world, ada, name)
        await use(world, name, name)
    used = {token: SessionUse(world.clock.now_ms(), "Firefox on Linux", "192.0.2.1")}
    await world.store.write(SessionsUsed(used=used))
    await world.store.write(EndSessions(actor=ada.id, but=digest("laptop")))
    await world.store.write(KeepOnce(digest=digest("state"), said=b"x", lasts_ms=-1))
    forgetting = ForgetEnded(before_ms=world.clock.now_ms() - MINUTE_MS, count=9)
    assert not await world.store.read(devices.any_ended, forgetting.before_ms)
    assert await world.store.write(forgetting) == 0
    late = ForgetEnded(before_ms=world.clock.now_ms() + MINUTE_MS, count=1)
    forgotten = 0
    while await world.store.read(devices.any_ended, late.before_ms):
        forgotten += await world.store.write(late)
    assert forgotten == 2
    assert await known(world, "phone") is None
    await expect_over(world, "visitor")
    assert await known(world, "laptop") == ada
    for left in ("tickets", "once", "sessions WHERE agent IS NOT NULL"):
        [(count,)] = await asyncio.to_thread(asked, database_url, f"SELECT count(*) FROM {left}")
        assert count == 0, left


async def test_an_expired_key_is_good_for_nothing_that_was_asked_by_it(world: World) -> None:
    ada, now_ms = await guest(world), world.clock.now_ms()
    made: list[ApiKey] = []
    for expires_ms in (None, now_ms + YEAR_MS, now_ms - 1):
        id_ = KeyId(f"k_{world.clock.new_id()}")
        key = ApiKey(
            id=id_,
            name="Key",
            actor=ada,
            scopes=frozenset({Scope.ALL}),
            created_ms=0,
            expires_ms=expires_ms,
        )
        adding = AddKey(key=key, handle=None, token_sha256=digest(id_))
        made.append(await world.store.write(adding))
    by = [(0, CredentialId(key.id)) for key in made]
    good = await world.store.read(devices.standing, by, now_ms)
    assert good == {key.id for key in made[:2]}


async def test_a_person_has_a_bound_of_devices(world: World) -> None:
    ada = await guest(world)
    for number in range(devices.DEVICES_MAX - 1):
        await ticket(world, ada, f"link {number}")
        await use(world, f"link {number}", f"session {number}")
    await ticket(world, ada, "one more")
    with pytest.raises(Refused) as caught:
        await use(world, "one more", "too many")
    assert caught.value.code is Code.TOO_MANY_DEVICES
    [_, (_, one), *_] = await listed(world, ada)
    await end(world, one.id, ada)
    assert await use(world, "one more", "again") == ada, "a refused try uses nothing up"


async def test_a_session_ends_when_it_is_not_used_and_at_the_latest_after_its_time(
    world: World, database_url: str
) -> None:
    ada = await guest(world, still=False)
    for name in ("idle", "old"):
        await ticket(world, ada, name)
        await use(world, name, name)
    now_ms = world.clock.now_ms()
    [_, (_, idle), _] = await listed(world, ada)
    assert idle.used_ms == idle.created_ms
    assert idle.expires_ms == idle.created_ms + MONTH_MS
    used = {digest("old"): SessionUse(now_ms + MONTH_MS, "Firefox on Linux", "192.0.2.1")}
    await world.store.write(SessionsUsed(used=used))
    late = {digest("old"): SessionUse(now_ms, "curl/8.9", "192.0.2.2")}
    await world.store.write(SessionsUsed(used=late))  # of a process that is behind
    [_, _, (_, old)] = await listed(world, ada)
    assert (old.used_ms, old.agent, old.address) == (
        now_ms + MONTH_MS,
        "Firefox on Linux",
        "192.0.2.1",
    )
    aged = f"UPDATE sessions SET created_ms = created_ms - {MONTH_MS}, expires_ms = expires_ms - "
    await asyncio.to_thread(execute, database_url, f"{aged}{MONTH_MS} WHERE name IS NOT NULL")
    await expect_over(world, "idle")
    assert await known(world, "old") == ada
    found = await listed(world, ada)
    assert {one.agent for _, one in found} == {None, "Firefox on Linux"}
    await asyncio.to_thread(execute, database_url, f"{aged}{YEAR_MS} WHERE name IS NOT NULL")
    await expect_over(world, "old")
    assert len(await listed(world, ada)) == 1


async def test_all_sessions_but_one_end_together(world: World) -> None:
    ada, eve = await guest(world), await guest(world, "eve")
    for name in ("phone", "laptop"):
        await ticket(world, ada, name)
        await use(world, name, name)
    ending = EndSessions(actor=ada.id, but=digest("phone"))
    assert set(await world.store.write(ending)) == {digest("first"), digest("laptop")}
    assert await world.store.write(ending) == (), "a repeat ends nothing"
    assert await known(world, "phone") == ada
    assert await known(world, "eve") == eve
    await expect_over(world, "first")
    assert await world.store.write(EndSessions(actor=ada.id)) == (digest("phone"),)
    await expect_over(world, "phone")
