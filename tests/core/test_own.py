"""A room's own settings for its agents, and several models that answer one message, on both engines."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydantic import SecretStr
from tests.support.upstream import ScriptedUpstream, reply, scripted_upstream, stream

from palaver.core.answers.context import HIDDEN
from palaver.core.rooms import LOBBY
from palaver.core.runtime import Core, started
from palaver.errors import Code, Refused
from palaver.model import Actor, EventType, MemberRole, Message, RoomId, ServerRole, Status
from palaver.model.agents import OwnSettings
from palaver.model.profiles import Given
from palaver.settings import Settings
from palaver.store.write.messages import SetMessageDeleted


@dataclass(frozen=True, slots=True)
class Place:
    """A room of Ada's with a guest who writes, and two model servers: the server's, and one that she may connect."""

    core: Core
    upstream: ScriptedUpstream
    other: ScriptedUpstream
    ada: Actor
    bo: Actor
    room: RoomId

    async def say(self, who: Actor, text: str, *models: str, cid: str | None = None) -> None:
        text = f"@assistant {text}"
        await self.core.chat.send(who, self.room, text=text, cid=cid, models=models)
        await self.core.turns.idle()

    async def set(
        self,
        who: Actor,
        model: str | None = None,
        instructions: str = "",
        warm: float | None = None,
    ) -> None:
        setting = self.core.members.set_own
        given = {"instructions": instructions, "model": model, "temperature": warm}
        await setting(who, self.room, self.core.assistant, **given)  # pyright: ignore[reportArgumentType]

    async def answers(self) -> list[Message]:
        """Those of the room's agent that are there, as they came."""
        page = await self.core.chat.history(self.ada, self.room)
        by = self.core.assistant
        return [one for one in page.messages if one.author == by and one.deleted_ms is None]

    async def told(self, place: int = -1) -> list[str]:
        """What stood in the conversation that the model server was asked with."""
        return [one["content"] for one in self.upstream.asked[place].json["messages"]]

    async def refused(
        self, code: Code, who: Actor, *, model: str | None = None, instructions: str = ""
    ) -> None:
        with pytest.raises(Refused) as caught:
            await self.set(who, model, instructions)
        assert caught.value.code is code


@pytest.fixture
async def place(tmp_path: Path, database_url: str) -> AsyncGenerator[Place, None]:
    async with scripted_upstream() as upstream, scripted_upstream() as other:
        upstream.default = other.default = reply("yes")
        other.models = [{"id": "m-9"}]
        given = {"data_dir": tmp_path, "database_url": database_url, "model": "scripted"}
        settings = Settings.model_validate(
            given
            | {"openai_base_url": upstream.base_url, "profile_networks": "127.0.0.1"}
            | {"redact": "secrets", "profiles": "people"}
        )
        async with started(settings) as core:
            ada = (await core.register.create("ada", role=ServerRole.OWNER)).actor
            bo = (await core.identity.new_guest("Bo"))[1]
            room = (await core.rooms.create(ada, title="Pay")).id
            await core.members.add(ada, room, bo.id)
            yield Place(core, upstream, other, ada, bo, room)


async def test_a_rooms_own_settings_rule_its_answers_and_no_others(place: Place) -> None:
    core, ada, upstream = place.core, place.ada, place.upstream
    parameters = {"top_p": 0.5}
    await core.agents.ensured("assistant", persona="You help.", parameters=parameters)
    await place.set(ada, "m-2", "Be brief.", 0.2)
    await place.say(ada, "hi")
    asked = upstream.asked[-1].json
    assert (asked["model"], asked["temperature"], asked["top_p"]) == ("m-2", 0.2, 0.5)
    system = asked["messages"][0]["content"]
    assert system.startswith("Be brief.\n\nThis is a room")
    assert "You help." not in system
    events, _ = await core.chat.events(ada, place.room)
    (set_,) = [one for one in events if one.type is EventType.MEMBER_SETTINGS]
    assert set_.data == {
        "actor": core.assistant,
        "settings": {"instructions": "Be brief.", "model": "m-2", "temperature": 0.2},
        "changed": ["instructions", "model", "temperature"],
    }
    (answer,) = await place.answers()
    assert (answer.meta.get("settings"), answer.meta.get("card")) == (set_.seq, 2)

    elsewhere = (await core.rooms.create(ada)).id
    await core.chat.send(ada, elsewhere, text="How?", cid=None)
    await core.turns.idle()
    asked = [one.json for one in upstream.asked]
    (other,) = [one for one in asked if one["messages"][-1]["content"] == "How?"]
    assert (other["model"], other["messages"][0]["content"]) == ("scripted", "You help.")
    assert (await core.agents.get(None, core.assistant)).version == 2


async def test_what_was_told_by_them_is_built_again_to_the_byte_and_they_are_for_all_in_the_room(
    place: Place,
) -> None:
    core, ada, bo = place.core, place.ada, place.bo
    await core.agents.ensured("assistant", persona="Secret.", examples="Say yes.")
    await place.set(ada, "m-2", "Be brief.", 1.0)
    await place.say(ada, "hi", "m-3", "m-4")
    turns = {one.meta.get("choice"): one.meta.get("turn", "") for one in await place.answers()}
    first, second = turns[0], turns[1]
    await place.set(ada, None, "Be long.")
    await core.agents.ensured("assistant", persona="Another.", examples="Say no.")
    for turn, model in ((first, "m-3"), (second, "m-4")):
        again = await core.told.again(ada, turn)  # pyright: ignore[reportArgumentType]
        assert (again.same, again.request.model) == (True, model)
        sent = [one.body for one in place.upstream.asked if one.json["model"] == model]
        provider = await core._ground.providers.current()
        assert [piece async for piece in provider.answer(again.request)]
        assert place.upstream.asked[-1].body == sent[0]
    seen = (await core.told.again(bo, first)).request  # pyright: ignore[reportArgumentType]
    assert seen.system_prompt.startswith(f"Be brief.\n\n{HIDDEN}\n\nThis is")
    assert "Say yes." not in str(seen)


async def test_who_leads_a_room_gives_it_its_own_settings_and_nobody_else(place: Place) -> None:
    core, ada, bo = place.core, place.ada, place.bo
    await place.refused(Code.FORBIDDEN, bo, instructions="x")
    stranger = (await core.identity.new_guest())[1]
    await place.refused(Code.ROOM_NOT_FOUND, stranger, instructions="x")
    with pytest.raises(Refused) as caught:
        await core.members.own(stranger, place.room, core.assistant)
    assert caught.value.code is Code.ROOM_NOT_FOUND
    with pytest.raises(Refused) as caught:
        await core.members.set_own(ada, LOBBY, core.assistant, instructions="x")
    assert caught.value.code is Code.ROOM_PROTECTED
    for call in (
        core.members.set_own(ada, place.room, bo.id),
        core.members.own(ada, place.room, bo.id),
    ):
        with pytest.raises(Refused) as caught:
            await call
        assert caught.value.code is Code.NOT_FOUND
    await place.refused(Code.CARD_INVALID, ada, instructions="x" * 20_001)
    await place.refused(Code.INVALID_CHARACTER, ada, instructions="a\0b")
    await place.refused(Code.BAD_REQUEST, ada, model="m" * 251)
    await core.members.set_role(ada, place.room, bo.id, MemberRole.MODERATOR)
    key = "Xk39dk2Lq0Zp81Wm"
    await place.set(bo, instructions=f"Use this. password: {key}")
    own = await core.members.own(bo, place.room, core.assistant)
    assert own.settings.instructions.startswith("Use this.")
    assert key not in own.settings.instructions


async def test_the_same_again_is_told_to_nobody_and_an_agent_that_was_out_comes_back_without(
    place: Place,
) -> None:
    core, ada, room = place.core, place.ada, place.room
    await place.set(ada, "m-2")
    before = (await core.rooms.get(ada, room)).seq
    await place.set(ada, "m-2")
    assert (await core.rooms.get(ada, room)).seq == before
    assert (await core.members.own(ada, room, core.assistant)).asks == "m-2"
    await core.members.remove(ada, room, core.assistant)
    await core.members.add(ada, room, core.assistant)
    own = await core.members.own(ada, room, core.assistant)
    assert (own.settings, own.asks) == (OwnSettings(), None)
    await place.set(ada, "m-2")
    await place.set(ada)
    await place.say(ada, "hi")
    assert place.upstream.asked[-1].json["model"] == "scripted"
    assert (await place.answers())[-1].meta.get("settings") is None


async def test_a_connection_of_ones_own_answers_its_owner_alone(place: Place) -> None:
    core, ada, bo = place.core, place.ada, place.bo
    key = SecretStr("sk-mine-0123456789")
    given = Given(name="mine", base_url=place.other.base_url, key=key)
    made = await core.model_profiles.keep(ada, given, own=True)
    listed = {one.id: one.key for one in (await core.models.of(ada).listed()).models}
    assert listed["m-9"] == f"{made.id}/m-9"
    await place.set(ada, "m-9")
    assert (await core.members.own(bo, place.room, core.assistant)).asks == f"{made.id}/m-9"
    await place.say(ada, "hi")
    assert [one.json["model"] for one in place.other.asked] == ["m-9"]
    await place.say(bo, "and me?")
    (_, refused) = await place.answers()
    error = refused.meta.get("error", {"code": ""})
    assert (refused.status, error["code"]) == (Status.FAILED, Code.PROFILE_NOT_FOUND)
    assert len(place.other.asked) == 1

    await core.members.set_role(ada, place.room, bo.id, MemberRole.MODERATOR)
    await place.refused(Code.PROFILE_NOT_FOUND, bo, model=f"{made.id}/m-9")
    with pytest.raises(Refused) as caught:
        await core.chat.send(bo, place.room, text="x", cid=None, models=[f"{made.id}/m-9"])
    assert caught.value.code is Code.PROFILE_NOT_FOUND
    # by its bare name it is the server's to answer, also for her who has one that lists it
    await place.set(bo, "m-9")
    await place.say(ada, "hi")
    assert (len(place.other.asked), place.upstream.asked[-1].json["model"]) == (1, "m-9")


async def test_who_may_not_read_a_card_has_no_connection_of_their_own_told_it(place: Place) -> None:
    core, other = place.core, place.other
    mal = (await core.register.create("mal")).actor
    key = SecretStr("sk-mine-0123456789")
    made = await core.model_profiles.keep(mal, Given(base_url=other.base_url, key=key), own=True)
    model, room = f"{made.id}/m-9", (await core.rooms.create(mal, title="Try")).id
    assistant = core.assistant

    async def ask() -> tuple[Status, str]:
        before = len(place.upstream.asked) + len(other.asked)
        await core.chat.send(mal, room, text="hi", cid=None, models=[model])
        await core.turns.idle()
        (*_, answer) = (await core.chat.history(mal, room)).messages
        assert len(place.upstream.asked) + len(other.asked) - before == (
            answer.status is Status.DONE
        )
        return answer.status, answer.meta.get("error", {"code": ""})["code"]

    await core.members.set_own(mal, room, assistant, model=model)
    assert await ask() == (Status.DONE, "")  # it has nothing of its own
    for hidden in ("persona", "examples", "post_history"):
        await core.agents.ensured("assistant", **{hidden: "SECRET"})
        assert await ask() == (Status.FAILED, Code.PROFILE_WITHHELD)  # also what was chosen before
        with pytest.raises(Refused, match="may edit") as caught:
            await core.members.set_own(mal, room, assistant, model=model, temperature=1.0)
        assert caught.value.code is Code.PROFILE_WITHHELD
        await core.members.set_own(mal, room, assistant, model="m-1")
        (turn,) = await core.turns.ask(mal, room, models=[model])
        await core.turns.idle()
        assert (await core.told.again(mal, turn.id)).persona is False
        await core.agents.ensured("assistant", **{hidden: ""})
        await core.members.set_own(mal, room, assistant, model=model)
    assert "SECRET" not in str([one.json for one in other.asked])
    own = await core.agents.create(mal, {"name": "Own", "handle": "own", "persona": "Mine."})
    await core.members.add(mal, room, own.id)
    await core.members.set_own(mal, room, own.id, model=model)
    await core.chat.send(mal, room, text="@own hi", cid=None)
    await core.turns.idle()
    told = [one.json["messages"][0]["content"] for one in other.asked]  # the Assistant answers, too
    assert any(one.startswith("Mine.") for one in told)


async def test_two_models_answer_a_message_at_once_each_once_and_the_first_is_told(
    place: Place,
) -> None:
    core, ada, upstream = place.core, place.ada, place.upstream
    gate, send = asyncio.Event(), core.chat.send
    ending = reply("")[-3:]
    upstream.by_model = {"m-1": (*stream("one", gate), *ending), "m-2": (*stream("two"), *ending)}
    models = ["m-1", "m-2"]
    sent = await send(ada, place.room, text="@assistant Which?", cid="c", models=models)
    await upstream.arrived(2)  # both at once: the first one has not ended
    again = await send(ada, place.room, text="@assistant Which?", cid="c", models=models)
    assert again.dup
    assert {one.id for one in again.turns} <= {one.id for one in sent.turns}
    gate.set()
    await core.turns.idle()
    found = {one.text: one for one in await place.answers()}
    assert [(one.meta.get("choice"), one.reply_to) for one in found.values()].count(
        (0, sent.id)
    ) == 1
    assert {text: one.meta.get("choice") for text, one in found.items()} == {"one": 0, "two": 1}
    assert {one.reply_to for one in found.values()} == {sent.id}
    assert len(upstream.asked) == 2

    await place.say(ada, "And?")
    assert [text for text in await place.told() if text in found] == ["one"]
    deleting = SetMessageDeleted(message=found["one"].id, by=ada.id, deleted=True)
    await core._ground.store.write(deleting)
    await place.say(ada, "So?")
    assert [text for text in await place.told() if text in found] == ["two"]


async def test_an_agent_is_asked_with_models_and_each_is_asked_again_as_itself(
    place: Place,
) -> None:
    core, ada, upstream = place.core, place.ada, place.upstream
    await place.say(ada, "hi")
    turns = await core.turns.ask(ada, place.room, models=["m-1", "m-2"])
    assert [(one.model, one.choice, one.attempt) for one in turns][:1] == [("m-1", 0, 1)]
    await core.turns.idle()
    assert {one.json["model"] for one in upstream.asked[1:]} == {"m-1", "m-2"}
    (*_, last) = sorted(await place.answers(), key=lambda one: one.meta.get("choice", 0))
    again = await core.turns.retry(ada, last.id)
    assert (again.model, again.choice) == ("m-2", 1)
    await core.turns.idle()
    assert upstream.asked[-1].json["model"] == "m-2"
    assert [one.meta.get("choice") for one in await place.answers()] == [None, 0, 1]
    gate = asyncio.Event()
    upstream.by_model = {"m-1": (*stream("so", gate), *reply("")[-3:])}
    (begun,) = await core.turns.ask(ada, place.room, models=["m-1"])
    same, other = await core.turns.ask(ada, place.room, models=["m-1", "m-2"])
    assert (same.id, other.model, other.attempt) == (begun.id, "m-2", begun.attempt + 1)
    gate.set()
    await core.turns.idle()
    with pytest.raises(Refused) as caught:
        await core.turns.ask(ada, place.room, models=["m-1", "m-1"])
    assert caught.value.code is Code.BAD_REQUEST
    with pytest.raises(Refused) as caught:
        await core.turns.ask(ada, place.room, models=[f"m-{one}" for one in range(5)])
    assert caught.value.code is Code.BAD_REQUEST


async def test_where_agents_take_turns_the_models_of_one_begin_together(place: Place) -> None:
    core, ada, upstream = place.core, place.ada, place.upstream
    await core.rooms.set_speaking(ada, place.room, {"turns": "in_turn"})
    poet = await core.agents.create(ada, {"name": "Poet", "handle": "poet"})
    await core.members.add(ada, place.room, poet.id)
    text, models = "@poet @assistant Which?", ["m-1", "m-2"]
    sent = await core.chat.send(ada, place.room, text=text, cid=None, models=models)
    first, other, *last = sent.turns
    assert (first.waits_for, other.waits_for) == (None, None)
    assert {one.waits_for for one in last} == {other.id}
    await core.turns.idle()
    said = [
        one for one in (await core.chat.history(ada, place.room)).messages if one.meta.get("turn")
    ]
    assert len(said) == len(upstream.asked) == 4
