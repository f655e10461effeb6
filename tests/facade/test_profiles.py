"""What a program does with the server's connections to model servers."""

from collections.abc import AsyncGenerator
from typing import Any

import pytest
from tests.facade.test_people import refused
from tests.support.upstream import ScriptedUpstream, refuse, reply, scripted_upstream
from tests.test_facade import answered, chat

import palaver
from palaver import Code
from palaver.model.profiles import Given

__all__ = ["chat"]

KEY = "sk-planted-0123456789"


@pytest.fixture
async def house() -> AsyncGenerator[ScriptedUpstream]:
    async with scripted_upstream() as server:
        yield server


async def test_a_program_connects_a_model_server_and_is_answered_at_once(
    chat: palaver.Chat, house: ScriptedUpstream
) -> None:
    profiles = chat.profiles
    assert await profiles.test(house.base_url, key=KEY) == ["scripted"]
    headers = {"X-Team": "planted"}
    made = await profiles.add(house.base_url, key=KEY, name="house", headers=headers)
    assert (made.name, made.has_key, made.headers, made.own) == ("house", True, ("X-Team",), False)
    assert KEY not in str(made)
    assert await profiles.all() == [made]
    room, ada = await chat.room("lab", assistant=True), await chat.person("ada")
    house.will(reply("From the house."))
    said = await room.say(ada, "Hello")
    assert (await answered(room, said.seq)).text == "From the house."
    assert house.asked[0].headers["authorization"] == f"Bearer {KEY}"
    assert house.asked[0].headers["x-team"] == "planted"

    changed = await profiles.change(made, headers={}, model="scripted")
    assert (changed.headers, changed.has_key, changed.model) == ((), True, "scripted")
    assert await profiles.test(changed) == ["scripted"]
    house.models_script = refuse(401, "")
    assert await refused(profiles.test(changed, key="another")) is Code.PROFILE_REFUSED
    await profiles.remove(changed)
    assert await profiles.all() == []
    for wrong in (profiles.remove(made), profiles.change(made, model="x"), profiles.test(made)):
        assert await refused(wrong) is Code.PROFILE_NOT_FOUND


async def test_what_is_no_connection_is_refused_and_people_keep_theirs(
    chat: palaver.Chat, house: ScriptedUpstream
) -> None:
    profiles, url = chat.profiles, house.base_url
    owner = await chat.people.create("ow", role=palaver.ServerRole.OWNER)
    theirs = await chat._core.model_profiles.keep(owner.actor, Given(base_url=url), own=True)
    assert await profiles.all() == []
    assert await refused(profiles.change(theirs, model="x")) is Code.PROFILE_NOT_FOUND
    assert await refused(profiles.remove(theirs)) is Code.PROFILE_NOT_FOUND
    assert await refused(profiles.test(theirs)) is Code.PROFILE_NOT_FOUND
    cases: tuple[tuple[dict[str, Any], Code], ...] = (
        ({"kind": "pigeon"}, Code.PROFILE_INVALID),
        ({"color": "red"}, Code.PROFILE_INVALID),
        ({"name": "a/b"}, Code.PROFILE_INVALID),
        ({"headers": {"Host": "x"}}, Code.HEADER_REFUSED),
    )
    for given, code in cases:
        assert await refused(profiles.add(url, **given)) is code
    assert await refused(profiles.add("ftp://x")) is Code.PROFILE_INVALID
