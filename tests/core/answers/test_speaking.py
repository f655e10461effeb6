"""Several agents in a room: who is answered by whom, in which order, and how that ends."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.support.databases import copied

from palaver.core.runtime import Core, started
from palaver.errors import Code, Refused
from palaver.model import Actor, EventType, MemberRole, Message, Room, Speaks, Status
from palaver.model.agents import Audience
from palaver.providers.base import Done, Model, Piece, Request, TextPiece
from palaver.settings import Settings


class Players:
    """A provider whose agents each say what `lines` has for their persona, when it is asked for by `let`."""

    name = "players"
    real = False

    def __init__(self, say: Callable[[str, Request], str]) -> None:
        self.say = say
        self.asked: list[tuple[str, Request]] = []
        self.heard = asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()

    async def models(self) -> tuple[Model, ...]:
        return (Model(id="players-1", provider=self.name, default=True),)

    async def answer(self, request: Request) -> AsyncGenerator[Piece, None]:
        who = request.system_prompt.split()[0]
        self.asked.append((who, request))
        self.heard.set()
        yield TextPiece("Well. ")
        await self.gate.wait()
        yield TextPiece(self.say(who, request))
        yield Done(model="players-1", finish="stop", input_tokens=1, output_tokens=1)

    async def close(self) -> None:
        return


class Stage:
    """A room of one person with agents."""

    def __init__(self, core: Core, players: Players, ada: Actor, room: Room) -> None:
        self.core, self.players, self.ada, self.room = core, players, ada, room.id

    async def agent(self, name: str, speaks: Speaks = Speaks.MENTIONED) -> Actor:
        card = await self.core.agents.ensured(name, name.title(), persona=name)
        await self.core.members.add(self.ada, self.room, card.actor.id, speaks=speaks)
        return card.actor

    async def say(self, text: str, *, ends: bool = True) -> None:
        await self.core.chat.send(self.ada, self.room, text=text, cid=None)
        if ends:
            await self.core.turns.idle()

    async def said(self) -> list[Message]:
        return list((await self.core.chat.history(self.ada, self.room, limit=200)).messages)

    async def voices(self) -> list[str]:
        return [one.name for one in await self.said()]

    async def refused(self) -> list[Any]:
        happened, _ = await self.core.chat.events(self.ada, self.room)
        return [one.data for one in happened if one.type is EventType.TURN_REFUSED]


def running(
    folder: Path, players: Players, url: str | None = None
) -> AbstractAsyncContextManager[Core]:
    settings = Settings(data_dir=folder, detect=False, database_url=url)
    return started(settings, provider=players)


@asynccontextmanager
async def staged(folder: Path, say: Callable[[str, Request], str]) -> AsyncGenerator[Stage, None]:
    copied(folder)
    players = Players(say)
    async with running(folder, players) as core:
        _, ada = await core.identity.new_guest("Ada")
        yield Stage(core, players, ada, await core.rooms.create(ada, agent=False))


async def test_agents_that_mention_each_other_stop_at_the_bound(tmp_path: Path) -> None:
    other = {"ping": "@pong", "pong": "@ping"}
    async with staged(tmp_path, lambda who, _: f"over to {other[who]} and @{who}") as stage:
        ping, pong = await stage.agent("ping"), await stage.agent("pong")
        await stage.say("@ping, begin")
        assert await stage.voices() == ["Ada", *["Ping", "Pong"] * 3]
        assert await stage.refused() == [{"agent": ping.id, "code": "chain_bound"}]
        answers = (await stage.said())[1:]
        assert {tuple(one.meta["mentions"]) for one in answers} == {
            (pong.id, ping.id),
            (ping.id, pong.id),
        }
        await stage.core.rooms.set_speaking(stage.ada, stage.room, {"agent_answers_per_hour": 7})
        await stage.say("@ping, again")
        assert len(await stage.said()) == 7 + 4
        assert (await stage.refused())[1:] == [{"agent": pong.id, "code": "hour_bound"}]


async def test_an_agent_that_was_taken_out_sets_nobody_off(tmp_path: Path) -> None:
    async with staged(tmp_path, lambda who, _: "@pong?" if who == "ping" else "yes") as stage:
        ping, pong = await stage.agent("ping"), await stage.agent("pong")
        stage.players.gate.clear()
        await stage.say("@ping", ends=False)
        await stage.players.heard.wait()
        await stage.core.rooms.set_archived(stage.ada, stage.room, archived=True)
        stage.players.gate.set()
        await stage.core.turns.idle()
        assert await stage.voices() == ["Ada", "Ping"]
        assert await stage.refused() == [{"agent": pong.id, "code": "not_allowed"}]
        await stage.core.rooms.set_archived(stage.ada, stage.room, archived=False)
        stage.players.gate.clear()
        stage.players.heard.clear()
        await stage.say("@ping", ends=False)
        await stage.players.heard.wait()
        await stage.core.members.remove(stage.ada, stage.room, ping.id)
        await stage.core.turns.idle()
        last = (await stage.said())[-1]
        assert (last.name, last.status, last.text) == ("Ping", Status.STOPPED, "Well. ")


async def test_an_agent_answers_those_whom_it_is_for(tmp_path: Path) -> None:
    async with staged(tmp_path, lambda who, _: "@mine?" if who == "ping" else "yes") as stage:
        core, room = stage.core, stage.room
        await stage.agent("ping")
        (mine,) = [await stage.agent("mine", Speaks.ALWAYS)]
        _, bo = await core.identity.new_guest("Bo")
        await core.members.add(stage.ada, room, bo.id, role=MemberRole.MEMBER)

        async def says(who: Actor, text: str) -> list[str]:
            before = len(await stage.said())
            await core.chat.send(who, room, text=text, cid=None)
            await core.turns.idle()
            return (await stage.voices())[before + 1 :]

        assert await says(bo, "I only talk") == ["Mine"]
        await core.agents.share(None, mine.id, audience=Audience.SOME, people=[stage.ada.id])
        assert await says(bo, "I only talk") == []
        assert await stage.refused() == []
        refused = {"agent": mine.id, "code": "no_right"}
        assert await says(bo, "@mine?") == []
        assert await stage.refused() == [refused]
        assert await says(bo, "@ping?") == ["Ping"], "Bo asked for that, too"
        assert await core.turns.ask(bo, room, agents=[mine.id]) == ()
        assert await stage.refused() == [refused] * 3
        olga = (await core.register.create("olga")).actor
        hers = await core.agents.create(olga, {"name": "Hers"})
        await core.agents.share(olga, hers.id, audience=Audience.EVERYONE)
        await core.members.add(stage.ada, room, hers.id)
        await core.agents.share(olga, hers.id, audience=Audience.ME)
        assert await says(bo, "@hers?") == []
        owned = {"agent": hers.id, "code": "no_right", "owner": olga.id}
        assert (await stage.refused())[3:] == [owned], "who owns it can do something about it"
        assert await says(stage.ada, "and now") == ["Mine"]
        (message,) = [one for one in (await stage.said())[-1:] if one.author == mine.id]
        await core.agents.share(None, mine.id, audience=Audience.ME, people=[])
        with pytest.raises(Refused) as caught:
            await core.turns.retry(stage.ada, message.id)
        assert caught.value.code is Code.AGENT_NOT_FOUND


async def test_in_turn_each_is_told_what_those_before_it_said(tmp_path: Path) -> None:
    async with staged(tmp_path, lambda who, _: f"I am {who}") as stage:
        for name in ("one", "two", "three"):
            await stage.agent(name, Speaks.ALWAYS)
        await stage.core.rooms.set_speaking(stage.ada, stage.room, {"turns": "in_turn"})
        await stage.say("@three first, then the others")
        assert await stage.voices() == ["Ada", "Three", "One", "Two"]
        told = {who: str(request.history) for who, request in stage.players.asked}
        assert "I am one" in told["two"]
        assert "I am three" in told["one"]
        assert "I am" not in told["three"]


async def test_in_turn_what_is_asked_again_waits_too_and_what_is_said_then_waits_for_that(
    tmp_path: Path,
) -> None:
    async with staged(tmp_path, lambda who, _: f"I am {who}") as stage:
        for name in ("one", "two"):
            await stage.agent(name)
        await stage.core.rooms.set_speaking(stage.ada, stage.room, {"turns": "in_turn"})
        await stage.say("@one?")
        first = (await stage.said())[-1]
        stage.players.gate.clear()
        stage.players.heard.clear()
        await stage.say("@two and then @one?", ends=False)
        await stage.players.heard.wait()
        again = await stage.core.turns.retry(stage.ada, first.id)
        await stage.say("@two?", ends=False)
        assert len(stage.players.asked) == 2, "one after the other"
        stage.players.gate.set()
        await stage.core.turns.idle()
        assert (await stage.voices())[-4:] == ["Two", "One", "One", "Two"]
        assert (await stage.said())[-2].meta["turn"] == again.id


async def test_a_room_is_stopped_with_all_that_waits(tmp_path: Path) -> None:
    async with staged(tmp_path, lambda who, _: who) as stage:
        agents = [await stage.agent(name, Speaks.ALWAYS) for name in ("one", "two", "three")]
        await stage.core.rooms.set_speaking(stage.ada, stage.room, {"turns": "in_turn"})
        stage.players.gate.clear()
        await stage.say("go", ends=False)
        await stage.players.heard.wait()
        await stage.core.members.remove(stage.ada, stage.room, agents[1].id)
        await stage.core.turns.stop_room(stage.ada, stage.room)
        await stage.core.turns.idle()
        assert [(one.name, one.status) for one in await stage.said()] == [
            ("Ada", Status.DONE),
            ("One", Status.STOPPED),
        ]
        assert await stage.refused() == [
            {"agent": agents[1].id, "code": "not_allowed"},
            {"agent": agents[2].id, "code": "stopped"},
        ]
        stage.players.gate.set()
        await stage.say("@three and now?")
        assert (await stage.voices())[2:] == ["Ada", "One", "Three"] or (await stage.voices())[
            2:
        ] == ["Ada", "Three", "One"]


async def test_somebody_asks_for_answers_that_would_not_come(tmp_path: Path) -> None:
    async with staged(tmp_path, lambda who, _: who) as stage:
        one, two = await stage.agent("one", Speaks.NEVER), await stage.agent("two")
        ask, ada, room = stage.core.turns.ask, stage.ada, stage.room
        with pytest.raises(Refused) as caught:
            await ask(ada, room)
        assert caught.value.code is Code.MESSAGE_NOT_FOUND
        await stage.say("anybody?")
        assert await stage.voices() == ["Ada"]
        stage.players.gate.clear()
        asked = await ask(ada, room)
        assert await ask(ada, room, agents=[two.id, one.id]) == asked[::-1], "they answer already"
        stage.players.gate.set()
        await stage.core.turns.idle()
        assert sorted(await stage.voices()) == ["Ada", "One", "Two"]
        first = (await stage.said())[0]
        (again,) = await ask(ada, room, agents=[one.id], message=first.id)
        await stage.core.turns.idle()
        assert (again.trigger_seq, again.attempt) == (first.seq, 2)
        for wrong in ([stage.core.assistant], [ada.id], []):
            with pytest.raises(Refused) as caught:
                await ask(ada, room, agents=wrong)
            assert caught.value.code is Code.NOT_FOUND
        elsewhere = await stage.core.rooms.create(ada)
        with pytest.raises(Refused) as caught:
            await ask(ada, elsewhere.id, message=first.id)
        assert caught.value.code is Code.MESSAGE_NOT_FOUND


async def test_whoever_waits_begins_after_a_crash_in_its_order(tmp_path: Path) -> None:
    async with staged(tmp_path, lambda who, _: f"I am {who}") as stage:
        for name in ("one", "two", "three"):
            await stage.agent(name, Speaks.ALWAYS)
        await stage.core.rooms.set_speaking(stage.ada, stage.room, {"turns": "in_turn"})
        room = stage.room
        stage.players.gate.clear()
        await stage.say("go", ends=False)
        await stage.players.heard.wait()
        ada = stage.ada
        stage.core.turns._closing = True
    players = Players(lambda who, _: f"I am {who}")
    async with running(tmp_path, players) as core:
        await core.turns.idle()
        again = Stage(core, players, ada, await core.rooms.get(ada, room))
        assert await again.voices() == ["Ada", "One", "Two", "Three"]


@pytest.mark.postgres
async def test_whoever_waits_begins_at_once_where_a_server_was_stopped(
    tmp_path: Path, postgres_url: str
) -> None:
    """Not only when the lease of the stopped one has run out."""
    players = Players(lambda who, _: f"I am {who}")
    players.gate.clear()
    async with running(tmp_path, players, postgres_url) as core:
        _, ada = await core.identity.new_guest("Ada")
        stage = Stage(core, players, ada, await core.rooms.create(ada, agent=False))
        for name in ("one", "two"):
            await stage.agent(name)
        await core.rooms.set_speaking(ada, stage.room, {"turns": "in_turn"})
        await stage.say("@one and @two", ends=False)
        await players.heard.wait()
    players.gate.set()
    async with running(tmp_path, players, postgres_url) as core:
        await core.turns.idle()  # whoever is to speak does from the first moment on
        said = (await core.chat.history(ada, stage.room)).messages
    assert [(one.name, one.status) for one in said[1:]] == [
        ("One", Status.INTERRUPTED),
        ("Two", Status.DONE),
    ]
