"""Who is there: guests by their tokens, and persons and agents by their handles."""

from uuid import UUID

import pytest
from tests.core.conftest import Running

from palaver.core.runtime import Core
from palaver.errors import Code, Refused

CHOSEN = UUID("0192f0c1-7d2b-4000-8000-000000000001")


async def test_a_guest_is_known_by_its_token_and_by_nothing_else(core: Core) -> None:
    token, ada = await core.identity.new_guest("Ada")
    assert await core.identity.actor(token) == ada
    for wrong in (token[:-1] + "x", "", "short", "é" * 43, "x" * 300):
        assert await core.identity.actor(wrong) is None


async def test_an_id_that_a_client_chose_gives_the_same_guest_again_and_is_no_token(
    running: Running,
) -> None:
    async with running() as core:
        first = await core.identity.claimed(CHOSEN)
    async with running() as core:
        assert await core.identity.claimed(CHOSEN) == first
        assert await core.identity.claimed(UUID(int=CHOSEN.int + 1)) != first
        for form in (str(CHOSEN), CHOSEN.hex, CHOSEN.urn, str(CHOSEN).upper()):
            assert await core.identity.actor(form) is None, form


async def test_an_id_that_a_client_chose_is_good_until_its_session_is_ended(core: Core) -> None:
    classic = await core.identity.claimed(CHOSEN)
    await core.register.create("ada", person=classic)
    (device,) = (await core.devices.listing(classic, "")).devices
    await core.devices.end(classic, device.id, "")
    with pytest.raises(Refused) as caught:
        await core.identity.chosen(CHOSEN)
    assert caught.value.code is Code.SESSION_ENDED


async def test_a_new_name_is_on_what_is_said_from_then_on(core: Core) -> None:
    token, ada = await core.identity.new_guest()
    renamed = await core.identity.rename(ada, " Ada  L. ")
    assert renamed.name == "Ada L."
    assert await core.identity.actor(token) == renamed
    sent = await core.chat.send(renamed, core.lobby, text="x", cid=None, answers=False)
    assert sent.message is not None
    assert sent.message.name == "Ada L."


async def test_a_program_names_its_people_by_handle(core: Core) -> None:
    ada = await core.identity.person("ada", "Ada")
    assert await core.identity.person("ada") == ada
    assert (await core.identity.person("ada", "Ada L.")).id == ada.id
