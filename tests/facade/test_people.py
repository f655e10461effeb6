"""What a program does with accounts and with who is in its rooms, as an operator and as an owner would."""

from collections.abc import Awaitable

import pytest
from tests.core.identity.test_accounts import BROWSER, PASSWORD
from tests.test_facade import chat

import palaver
from palaver import Code, MemberRole, Refused, ServerRole
from palaver.model import KeyId

__all__ = ["chat"]


async def refused(asking: Awaitable[object]) -> Code:
    with pytest.raises(Refused) as caught:
        await asking
    return caught.value.code


async def test_accounts_are_made_found_changed_and_shut_out(chat: palaver.Chat) -> None:
    people = chat.people
    ada = await people.create("Ada", name="Ada L.", role=ServerRole.OWNER)
    own = await chat.person("known by my program")
    bo = await people.create("bo", person=own)
    assert (ada.actor.handle, ada.actor.name, bo.actor.id) == ("ada", "Ada L.", own.id)
    assert await people.get(bo.actor.id) == await people.get("bo")
    assert [one.actor.handle async for one in people.all()] == ["ada", "bo"]
    assert await refused(people.create("a-da", person=own)) is Code.IDENTITY_IN_USE
    assert await refused(people.create("b0")) is Code.HANDLE_TAKEN
    assert await refused(people.get("cy")) is Code.NOT_FOUND
    assert (await people.set_role("bo", ServerRole.ADMIN)).actor.server_role is ServerRole.ADMIN
    assert (await people.rename("bo", "bo-2")).actor.handle == "bo-2"
    assert await refused(people.disable("ada")) is Code.LAST_OWNER
    room = await chat.new_room()
    await room.say(own, "hello")
    assert (await people.disable("bo-2")).status == "disabled"
    assert await refused(room.say(own, "still here?")) is Code.ACCOUNT_DISABLED
    await people.enable("bo-2")
    await room.say(own, "again")
    assert await refused(people.delete("ada")) is Code.LAST_OWNER
    await people.delete("bo-2")
    assert await refused(people.get("bo-2")) is Code.NOT_FOUND
    assert [one.actor.handle async for one in people.all()] == ["ada"]


async def test_keys_are_made_and_end(chat: palaver.Chat) -> None:
    bo, people = await chat.person("bo"), chat.people
    token, key = await people.create_key(bo, name="laptop", scopes=["chat"], days=2)
    assert token.startswith("plv_")
    assert (key.actor.id, key.name, key.scopes) == (bo.id, "laptop", {"chat"})
    assert await people.keys(bo) == (key,)
    assert await refused(people.create_key(bo, scopes=["all of it"])) is Code.BAD_REQUEST
    other = await chat.new_room()
    assert await refused(people.create_key(bo, rooms=[other.id])) is Code.ROOM_NOT_FOUND
    assert (await people.revoke_key(key.id)).revoked_ms is not None
    assert await people.keys(bo) == ()
    assert await refused(people.revoke_key(KeyId("k_1"))) is Code.NOT_FOUND


async def test_links_to_the_server_are_made_in_the_name_of_who_may(chat: palaver.Chat) -> None:
    people, room = chat.people, await chat.new_room("Launch")
    ada = (await people.create("ada", role=ServerRole.ADMIN)).actor
    assert await refused(people.invite(ada, rooms=[room.id])) is Code.ROOM_NOT_FOUND
    assert await refused(people.invite(ada, role=ServerRole.ADMIN)) is Code.FORBIDDEN
    assert await refused(people.invite(await chat.person("bo"))) is Code.FORBIDDEN
    await room.add(ada, role=MemberRole.MODERATOR)
    _, link = await people.invite(ada, rooms=[room.id], uses=3)
    assert (link.by.id, dict(link.rooms), link.uses_left) == (ada.id, {room.id: "Launch"}, 3)
    assert [one async for one in people.invitations()] == [link]
    await people.revoke_invitation(link.id)
    assert [one async for one in people.invitations()] == []
    assert await refused(people.revoke_invitation("i_1")) is Code.INVITE_NOT_FOUND


async def test_a_room_is_muted_hidden_left_and_given_away(chat: palaver.Chat) -> None:
    room = await chat.new_room("Launch")
    ada, bo = await chat.person("ada"), await chat.person("bo")
    for verb in (room.mute(bo), room.hide(bo), room.leave(bo)):
        assert await refused(verb) is Code.ROOM_NOT_FOUND
    assert await refused(room.transfer(ada)) is Code.NOT_FOUND
    for one in (ada, bo):
        await room.add(one)
    seen = chat._core.rooms.get
    await room.mute(bo)
    await room.hide(bo)
    assert ((await seen(bo, room.id)).muted, (await seen(bo, room.id)).hidden) == (True, True)
    await room.mute(bo, muted=False)
    await room.hide(bo, hidden=False)
    assert ((await seen(bo, room.id)).muted, (await seen(bo, room.id)).hidden) == (False, False)
    await room.leave(bo)
    assert bo not in [one.actor async for one in room.members()]
    token, link = await room.invite(role=MemberRole.READER, uses=1, days=1)
    assert list(await room.invitations()) == [link]
    assert await refused(room.invite(role=MemberRole.OWNER)) is Code.BAD_REQUEST
    assert await chat._core.invitations.join(token, bo) == (room.id,)
    assert (await seen(bo, room.id)).role is MemberRole.READER
    assert await refused(room.revoke_invitation("i_1")) is Code.INVITE_NOT_FOUND
    given = await room.transfer(ada)
    assert given.value.role is MemberRole.MODERATOR
    owner, *_ = [one.actor async for one in room.members()]
    assert owner == ada
    assert await refused(room.transfer(bo)) is Code.FORBIDDEN


async def test_sessions_are_listed_and_end(chat: palaver.Chat) -> None:
    people, core = chat.people, chat._core
    await people.create("ada")
    assert await people.sessions("ada") == ()
    await core.accounts.reset(await people.reset_token("ada"), PASSWORD, by=BROWSER)
    for _ in range(2):
        await core.accounts.sign_in(
            "ada", PASSWORD, me=None, session="", replace=False, by=BROWSER, counted=""
        )
    first, second, third = await people.sessions("ada")
    assert await people.end_sessions("ada", second.id) == (second.id,)
    assert await refused(people.end_sessions("ada", second.id)) is Code.NOT_FOUND
    assert set(await people.end_sessions("ada")) == {first.id, third.id}
    assert await people.sessions("ada") == ()
