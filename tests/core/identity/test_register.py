"""The register of accounts, as an operator looks after it. Its commands are tried in tests/cli/test_users.py."""

import pytest
from tests.core.conftest import Running
from tests.core.identity.test_accounts import sign_up

from palaver.errors import Code, Refused


async def test_a_person_of_a_key_gets_an_account_and_nobody_takes_their_inner_name(
    running: Running,
) -> None:
    async with running(sign_up="open") as core:
        ada = await core.identity.person("ada", "Ada")
        with pytest.raises(Refused) as caught:
            await sign_up(core, "ada")
        assert caught.value.code is Code.HANDLE_TAKEN
        made = await core.register.create("ada", person=ada)
        assert (made.actor.id, made.actor.name, made.actor.handle) == (ada.id, "Ada", "ada")
        renamed = await core.register.rename("ada", "ada.l")
        assert (await core.register.get("ADA.L")).actor == renamed.actor
        assert [one.actor.handle for one in await core.register.listing()] == ["ada.l"]
        with pytest.raises(Refused) as caught:
            await core.register.get("ada")
        assert caught.value.code is Code.NOT_FOUND
