"""What people are called who are somebody elsewhere. Signing in by a proxy: tests/wire/test_sign_in_by_proxy.py."""

import pytest
from tests.core.conftest import Running

from palaver.core.identity.actors import Client
from palaver.core.identity.identities import PROXY, handles
from palaver.core.validation import handle
from palaver.errors import Code, Refused
from palaver.model import EventType

BY = Client(agent="Firefox", address="10.0.0.1")


@pytest.mark.parametrize(
    ("called", "first"),
    [
        ("ada", "ada"),
        ("ADA.L", "ada.l"),
        ("ada@example.org", "ada"),
        ("ada lovelace", "ada-lovelace"),
        ("a" * 40, "a" * 23),
        ("--x", "x-"),
        ("", "person-"),
        ("\u00e4\u00e4", "person-"),
        ("assistant", "assistant-"),
    ],
)
def test_the_first_handle_is_what_they_are_called_as_far_as_it_may_be_one(
    called: str, first: str
) -> None:
    found = [*handles(called, PROXY, "1")]
    assert found[0].startswith(first)
    assert (len(found[0]) == len(first)) == (first[-1] != "-")
    assert [handle(one) for one in found] == found
    assert found[-1] != [*handles(called, PROXY, "2")][-1]


async def test_whose_handle_is_taken_gets_one_like_it_and_keeps_it(running: Running) -> None:
    async with running() as core:
        there = await core.register.create("ada")
        token = await core.identities.named("ada", BY)
        actor = await core.identity.actor(token)
        assert actor is not None
        assert actor.id != there.actor.id
        assert (actor.handle or "").startswith("ada-")
        assert await core.identities.named("ada", BY) == token
        happened = [event.type for event in await core.audit(0)]
        new = [EventType.ACCOUNT_CREATED, EventType.SESSION_BEGAN, EventType.IDENTITY_LINKED]
        assert happened[2:] == new


async def test_who_has_every_handle_that_one_might_have_is_in_the_way(running: Running) -> None:
    async with running() as core:
        for one in handles("ada", PROXY, "ada"):
            await core.register.create(one)
        with pytest.raises(Refused) as caught:
            await core.identities.named("ada", BY)
        assert caught.value.code is Code.HANDLE_TAKEN
