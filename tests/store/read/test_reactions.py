"""What a page tells of reactions is what a small model of them says, on both engines, and it is bounded."""

import asyncio
from typing import Any

from hypothesis import HealthCheck, given, settings, strategies as st
from tests.store.world import World, opened

from palaver.model import Actor, ActorId, MemberRole, Message, Room
from palaver.store.engine.executors import InlineLanes
from palaver.store.engine.statement import updating
from palaver.store.read import reactions
from palaver.store.read.reactions import PEOPLE_SHOWN
from palaver.store.schema import actors
from palaver.store.write.command import Command
from palaver.store.write.messages import SetMessageDeleted
from palaver.store.write.reactions import SetReaction
from palaver.store.write.rooms import AddMember
from palaver.store.write.transaction import Transaction

KINDS = ("👍", "🎉", "❤️")


class Became(Command[None], frozen=True, kw_only=True):
    """A guest went into an account, as `Claim` says it."""

    guest: ActorId
    account: ActorId

    def apply(self, tx: Transaction) -> None:
        guest, account = tx.actor(self.guest), tx.actor(self.account)
        assert guest is not None
        assert account is not None
        _BECAME.run(tx.conn, account.key, guest.key)


_BECAME = updating(actors.c.key, "became_key")
Deeds = list[tuple[int, int, int, bool]]
Told = list[tuple[str, int, list[ActorId]]]
DEEDS: st.SearchStrategy[Deeds] = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 1), st.integers(0, 2), st.booleans()), max_size=30
)


async def shown(world: World, room: Room, by: Actor, **place: Any) -> dict[int, Told]:
    """The reactions of a page's messages as `by` sees them, by seq."""
    page = await world.store.read(reactions.page, room.id, by.id, **({"limit": 50} | place))
    return {
        one.seq: [
            (kind.emoji, kind.count, [who.id for who in kind.people]) for kind in one.reactions
        ]
        for one in page.messages
    }


async def react(
    world: World, by: Actor, message: Message, emoji: str, *, there: bool = True
) -> None:
    command = SetReaction(message=message.id, by=by.id, emoji=emoji, there=there)
    await world.store.write(command)


def adding(room: Room, owner: Actor, who: Actor) -> AddMember:
    return AddMember(room=room.id, by=owner.id, actor=who.id, role=MemberRole.MEMBER)


async def crowd(world: World, room: Room, owner: Actor, count: int) -> list[Actor]:
    people = [await world.person(f"P{number}") for number in range(count)]
    for one in people:
        await world.store.write(adding(room, owner, one))
    return people


@settings(
    max_examples=15,
    suppress_health_check=[HealthCheck.function_scoped_fixture],  # each has rooms of its own
)
@given(deeds=DEEDS)
def test_a_page_tells_what_a_model_says(database_url: str, deeds: Deeds) -> None:
    async def check() -> None:
        async with opened(database_url, lanes=InlineLanes()) as world:
            ada = await world.person()
            room = await world.room(ada)
            people = [ada, *await crowd(world, room, ada, 2)]
            said = [(await world.say(room, ada)).message for _ in range(2)]
            model: list[tuple[int, str, ActorId]] = []  # in the order in which they came
            for who, which, kind, there in deeds:
                by, message, emoji = people[who], said[which], KINDS[kind]
                await react(world, by, message, emoji, there=there)
                one = (message.seq, emoji, by.id)
                if there and one not in model:
                    model.append(one)
                elif not there and one in model:
                    model.remove(one)
            for by in people:
                expected = {one.seq: told_of(model, one.seq) for one in said}
                assert await shown(world, room, by) == expected

    asyncio.run(check())


def told_of(model: list[tuple[int, str, ActorId]], seq: int) -> Told:
    kinds: dict[str, list[ActorId]] = {}
    for where, emoji, who in model:
        if where == seq:
            kinds.setdefault(emoji, []).append(who)
    return [(emoji, len(those), those) for emoji, those in kinds.items()]


async def test_all_are_counted_and_fifty_named_with_who_asks(world: World) -> None:
    ada = await world.person()
    room = await world.room(ada)
    said = (await world.say(room, ada)).message
    people = await crowd(world, room, ada, PEOPLE_SHOWN)
    for one in people:
        await react(world, one, said, "👍")
    for emoji in KINDS:
        await react(world, ada, said, emoji)
    named = [one.id for one in people[:48]]
    for by, others in ((people[0], []), (ada, [ada.id]), (people[48], [people[48].id])):
        assert (await shown(world, room, by))[said.seq] == [
            ("👍", PEOPLE_SHOWN + 1, named + others),
            ("🎉", 1, [ada.id]),
            ("❤️", 1, [ada.id]),
        ]


async def test_a_page_tells_those_of_its_own_messages_that_are_there(world: World) -> None:
    ada = await world.person()
    room, other = await world.room(ada), await world.room(ada)
    said = [(await world.say(room, ada)).message for _ in range(4)]
    elsewhere = (await world.say(other, ada)).message
    for one in (*said, elsewhere):
        await react(world, ada, one, "👍")
    mine: Told = [("👍", 1, [ada.id])]
    seqs = [one.seq for one in said]
    assert await shown(world, room, ada, limit=2) == dict.fromkeys(seqs[2:], mine)
    assert await shown(world, room, ada, before=seqs[2]) == dict.fromkeys(seqs[:2], mine)
    assert await shown(world, room, ada, after=seqs[0], limit=1) == {seqs[1]: mine}
    for deleted in (True, False):
        command = SetMessageDeleted(message=said[0].id, by=ada.id, deleted=deleted)
        await world.store.write(command)
        told = await shown(world, room, ada)
        assert told[seqs[0]] == ([] if deleted else mine)


async def test_what_a_guest_added_is_their_account_s(world: World) -> None:
    ada, guest = await world.person(), await world.person("Guest")
    room = await world.room(ada)
    said = (await world.say(room, ada)).message
    await world.store.write(adding(room, ada, guest))
    await react(world, guest, said, "👍")
    account = await world.person("Bo")
    await world.store.write(adding(room, ada, account))
    await world.store.write(Became(guest=guest.id, account=account.id))
    mine: Told = [("👍", 1, [account.id])]
    assert await shown(world, room, account) == {said.seq: mine}
    await react(world, account, said, "👍")
    assert await shown(world, room, account) == {said.seq: mine}
    await react(world, account, said, "👍", there=False)
    assert await shown(world, room, account) == {said.seq: []}
