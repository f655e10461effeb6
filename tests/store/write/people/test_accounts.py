"""What one does to another's account: asked again where it is written, and with an owner who stays."""

import asyncio
from itertools import product

import pytest
from tests.store.world import World, opened

from palaver import policy
from palaver.errors import Code, Refused
from palaver.model import AUDIT, AccountStatus, Actor, ActorId, RoomId, ServerRole, TicketKind
from palaver.policy import ServerAct
from palaver.store.read import accounts
from palaver.store.write.command import Command
from palaver.store.write.members import JoinRoom, TransferRoom
from palaver.store.write.people.accounts import (
    AddAccount,
    AddReset,
    Beginning,
    ResetPassword,
    SetServerRole,
    SetStatus,
)
from palaver.store.write.people.credentials import AddTicket
from palaver.store.write.rooms import SetArchived, SetRoomDeleted

OWNER, ADMIN, PERSON = ServerRole


async def account(world: World, handle: str, role: ServerRole, by: Actor | None = None) -> Actor:
    actor = await world.person(handle.title())
    by_id = None if by is None else by.id
    adding = AddAccount(actor=actor, handle=handle, skeleton=handle, role=role, by=by_id)
    return await world.store.write(adding)


def reset(world: World, of: ActorId, by: ActorId) -> AddReset:
    ticket = AddTicket(
        id=f"i_{world.clock.new_id()}",
        kind=TicketKind.RESET,
        actor=of,
        token_sha256=world.clock.secret().encode(),
        lasts_ms=60_000,
        by=by,
    )
    return AddReset(ticket=ticket)


async def code_of(world: World, command: Command[object]) -> Code | None:
    try:
        await world.store.write(command)
    except Refused as refused:
        return refused.code
    return None


async def test_every_command_gives_what_the_table_says(world: World) -> None:
    by = {role: await account(world, f"by-{role}", role) for role in ServerRole}
    guest = await world.person()
    for who, of in product((*ServerRole, None), ServerRole):
        asks = guest if who is None else by[who]
        manage, roles = (
            (policy.server_refusal(act, who, of=of) or refused_by_nobody).code
            for act in (ServerAct.MANAGE, ServerAct.ROLES)
        )
        target = await account(world, f"{who}-{of}", of)
        for command, wanted in (
            (SetStatus(actor=target.id, status=AccountStatus.DISABLED, by=asks.id), manage),
            (SetStatus(actor=target.id, status=AccountStatus.ACTIVE, by=asks.id), manage),
            (reset(world, target.id, asks.id), manage),
            (SetServerRole(actor=target.id, role=ADMIN, by=asks.id), roles),
        ):
            got = await code_of(world, command)
            assert (got or refused_by_nobody.code) == wanted, (command, who, of)
        got = None
        try:
            await account(world, f"new-{who}-{of}", of, by=asks)
        except Refused as refused:
            got = refused.code
        assert (got or refused_by_nobody.code) == manage, (who, of)


refused_by_nobody = Refused(Code.NOT_FOUND, "nobody")
"""Stands for no refusal."""


async def test_who_is_disabled_has_no_right_any_more(world: World) -> None:
    ada, bo = await account(world, "ada", OWNER), await account(world, "bo", OWNER)
    person = await account(world, "cy", PERSON)
    await world.store.write(SetStatus(actor=ada.id, status=AccountStatus.DISABLED, by=bo.id))
    for command in (
        SetStatus(actor=person.id, status=AccountStatus.DISABLED, by=ada.id),
        SetServerRole(actor=person.id, role=OWNER, by=ada.id),
    ):
        assert await code_of(world, command) is Code.FORBIDDEN
    assert await code_of(world, SetServerRole(actor=bo.id, role=PERSON)) is Code.LAST_OWNER


async def test_a_link_to_a_password_ends_with_the_role_that_its_maker_might_look_after(
    world: World,
) -> None:
    owner, admin = await account(world, "owner", OWNER), await account(world, "admin", ADMIN)
    ada = await account(world, "ada", PERSON)
    made = reset(world, ada.id, admin.id)
    await world.store.write(made)
    await world.store.write(SetServerRole(actor=ada.id, role=OWNER, by=owner.id))
    using = ResetPassword(
        ticket_sha256=made.ticket.token_sha256,
        new=b"what the admin chose",
        session=Beginning(token_sha256=b"token", lasts_ms=60_000, idle_ms=60_000),
    )
    assert await code_of(world, using) is Code.TICKET_ENDED, "an admin makes no owner of themselves"


@pytest.mark.parametrize("how", ["demoted", "disabled"])
async def test_a_link_to_a_password_ends_with_its_makers_right_to_make_it(
    world: World, how: str
) -> None:
    owner, admin = await account(world, "owner", OWNER), await account(world, "admin", ADMIN)
    ada = await account(world, "ada", PERSON)
    links = {by.id: reset(world, ada.id, by.id) for by in (owner, admin)}
    await world.store.write(links[admin.id])
    ending = {
        "demoted": SetServerRole(actor=admin.id, role=PERSON, by=owner.id),
        "disabled": SetStatus(actor=admin.id, status=AccountStatus.DISABLED, by=owner.id),
    }
    await world.store.write(ending[how])
    codes = {admin.id: Code.TICKET_ENDED, owner.id: None}
    for by, code in codes.items():
        if by == owner.id:
            await world.store.write(links[by])
        using = ResetPassword(
            ticket_sha256=links[by].ticket.token_sha256,
            new=b"chosen",
            session=Beginning(token_sha256=by.encode(), lasts_ms=60_000, idle_ms=60_000),
        )
        assert await code_of(world, using) is code


async def test_under_no_name_does_the_audit_room_have_a_reader_or_an_owner(world: World) -> None:
    owner = await account(world, "owner", OWNER)
    for room in (AUDIT, RoomId(f"R_{AUDIT[2:]}")):
        for command in (
            JoinRoom(room=room, by=owner.id),
            TransferRoom(room=room, by=owner.id, actor=owner.id),
            SetArchived(room=room, by=owner.id, archived=True),
            SetRoomDeleted(room=room, by=owner.id, deleted=True),
        ):
            assert await code_of(world, command) is Code.ROOM_NOT_FOUND, (room, command)


@pytest.mark.parametrize("way", ["each the other", "each themselves", "the other is disabled"])
async def test_of_two_owners_who_take_a_role_away_at_once_one_stays(
    postgres_url: str, way: str
) -> None:
    async with opened(postgres_url) as one, opened(postgres_url) as other:
        for turn in range(5):
            ada, bo = [await account(one, f"{name}{turn}", OWNER) for name in ("ada", "bo")]
            for old in await one.store.read(accounts.listing, after="", count=200):
                if old.actor.id not in {ada.id, bo.id}:
                    await code_of(one, SetServerRole(actor=old.actor.id, role=PERSON))
            pairs = {
                "each the other": ((ada, bo), (bo, ada)),
                "each themselves": ((ada, ada), (bo, bo)),
                "the other is disabled": ((ada, bo), (bo, ada)),
            }[way]
            commands: list[Command[object]] = [
                SetStatus(actor=of.id, status=AccountStatus.DISABLED, by=by.id)
                if way == "the other is disabled"
                else SetServerRole(actor=of.id, role=PERSON, by=by.id)
                for by, of in pairs
            ]
            codes = await asyncio.gather(code_of(one, commands[0]), code_of(other, commands[1]))
            assert sorted(code is None for code in codes) == [False, True], codes
            stored = await one.store.read(accounts.listing, after="", count=200)
            owners = [
                one.actor.id
                for one in stored
                if one.actor.server_role is OWNER and one.status is AccountStatus.ACTIVE
            ]
            assert len(owners) == 1
