"""Who people are elsewhere, as it is stored, on both engines."""

from msgspec.structs import replace
from tests.store.read.test_accounts import session
from tests.store.world import World

from palaver.model import Actor, ActorId, ActorKind
from palaver.store.read import devices, identities
from palaver.store.write.people.accounts import AddAccount
from palaver.store.write.people.identities import LetIn


async def test_whom_a_proxy_names_is_made_once_and_a_session_is_begun_once(world: World) -> None:
    newcomer = Actor(id=ActorId(f"u_{world.clock.new_id()}"), kind=ActorKind.PERSON, name="ada")
    adding = AddAccount(actor=newcomer, handle="ada", skeleton="ada", made_as=f"x-{newcomer.id}")
    first = LetIn(
        issuer="proxy",
        subject="\u00e4".encode(),
        newcomer=adding,
        session=session(1),
        at_ms=1,
        once=True,
    )
    made = await world.store.write(first)
    assert (made.actor.handle, made.subject, made.seen_ms) == ("ada", "\u00e4", 1)
    assert await world.store.read(identities.find, "proxy", "\u00e4") == made
    assert await world.store.read(identities.find, "proxy", "a") is None
    assert await world.store.read(identities.find, "other", "\u00e4") is None
    for at_ms in (1, 2):  # another process knew nothing of it
        assert await world.store.write(replace(first, session=session(at_ms), at_ms=at_ms)) == made
    again = await world.store.write(replace(first, session=session(3), at_ms=3, knew_ms=1))
    assert again == replace(made, seen_ms=3)
    now_ms = world.clock.now_ms()
    found = await world.store.read(devices.of_actor, made.actor.id, now_ms, session(1).idle_ms)
    assert [digest for digest, _ in found] == [session(n).token_sha256 for n in (1, 3)]
