"""A program that is an agent, over real sockets: it hears what is asked, streams, and its last text is stored once."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.wire.api.test_feed import feed
from tests.wire.door import SETUP, Door, Json, Live, new_cid, new_owner, new_room, open_door

from palaver.wire.api.messages import WAIT_SECONDS_MAX

SECONDS_MAX = 60


@dataclass
class World:
    """A server with an owner, a room, and a bot in it."""

    door: Door
    owner: httpx2.AsyncClient
    room: str
    agent: str
    token: str
    key: str

    @property
    def bot(self) -> httpx2.AsyncClient:
        return self.door.http(headers={"authorization": f"Bearer {self.token}"})

    async def say(self, text: str = "What is it?") -> Json:
        said = {"cid": new_cid(), "text": text}
        got = await self.owner.post(f"/api/rooms/{self.room}/messages", json=said)
        assert got.status_code == 201, got.text
        return got.json()

    async def messages(self) -> list[Json]:
        got = await self.owner.get(f"/api/rooms/{self.room}/messages")
        return got.json()["messages"]

    async def last(self, status: str) -> Json:
        """The newest message, once it has this status."""
        path, after = f"/api/rooms/{self.room}/events", 0
        async with asyncio.timeout(SECONDS_MAX):
            while True:
                if (newest := (await self.messages())[-1])["role"] == "assistant":
                    assert newest["status"] == status, newest
                    return newest
                got = await self.owner.get(path, params={"after": after, "wait": 5, "limit": 200})
                after = got.json()["events"][-1]["seq"] if got.json()["events"] else after


async def make_bot(owner: httpx2.AsyncClient, handle: str, room: str) -> tuple[str, str, str]:
    """An agent that a program answers for, in a room; its id, a key's token and the key's id."""
    card = {"name": handle.title(), "handle": handle, "bot": True}
    agent = (await owner.post("/api/agents", json=card)).json()
    assert agent["bot"] is True
    made = await owner.post("/api/keys", json={"agent": agent["id"], "name": f"{handle}'s"})
    assert made.status_code == 201, made.text
    added = await owner.post(f"/api/rooms/{room}/members", json={"actor": agent["id"]})
    assert added.status_code in {200, 201}, added.text
    return agent["id"], made.json()["token"], made.json()["key"]["id"]


@asynccontextmanager
async def a_world(folder: Path, url: str | None = None, **given: object) -> AsyncGenerator[World]:
    given = {"provider_idle_seconds": 60, **given}
    async with open_door(folder / "data", database_url=url, setup=SETUP, **given) as door:
        owner = await new_owner(door)
        room = await new_room(owner)
        agents = (await owner.get(f"/api/rooms/{room}")).json()["agents"]
        for one in agents:  # the Assistant
            await owner.delete(f"/api/rooms/{room}/members/{one['id']}")
        yield World(door, owner, room, *await make_bot(owner, "maya", room))


@pytest.fixture
async def world(tmp_path: Path) -> AsyncGenerator[World]:
    async with a_world(tmp_path) as found:
        yield found


@pytest.fixture
async def either(tmp_path: Path, database_url: str) -> AsyncGenerator[World]:
    async with a_world(tmp_path, database_url) as found:
        yield found


async def heard(live: Live, **more: Any) -> Json:
    asked = await live.push("turn")
    assert asked.items() >= more.items()
    return asked


async def test_a_bot_hears_what_is_asked_and_its_words_stream_to_their_end(either: World) -> None:
    async with either.door.live(either.token) as bot:
        assert bot.welcome["me"]["kind"] == "agent"
        said = await either.say("@maya, what is it?")
        asked = await heard(bot, room=either.room, n=0, text="", attempt=1)
        assert asked["trigger"]["text"] == "@maya, what is it?"
        assert [asked["turn"]] == said["turns"]
        turn = asked["turn"]
        token = (await either.owner.post("/api/keys", json={})).json()["token"]
        async with either.door.live(token) as page:
            await page.ask(t="sub", room=either.room)
            for n, piece in enumerate(("It ", "is "), 1):
                await bot.send(t="turn.d", turn=turn, n=n, x=piece)
                await bot.send(t="turn.d", turn=turn, n=n, x=piece)  # a repeated one is none
            seen = ""
            while seen != "It is ":
                seen += (await page.push("s.d")).get("x", "")
            gap = await bot.ask(t="turn.d", turn=turn, n=9, x="far")
            assert (gap["code"], gap["turn"]) == ("bad_request", turn)
            assert "number 3" in gap["detail"]
            for dup in (False, True):
                ack = await bot.ask(t="turn.end", turn=turn, text="It is a ship.")
                assert (ack["t"], ack["msg"], ack["dup"]) == ("ack", asked["msg"], dup)
            event = await page.event("message.created")
            assert (event["d"]["text"], event["d"]["id"]) == ("It is a ship.", asked["msg"])
        other = await bot.ask(t="turn.end", turn=turn, text="Something else.")
        assert other["code"] == "turn_ended"
        assert "done" in other["detail"]
    own = await either.owner.get(f"/api/rooms/{either.room}/members/{either.agent}/settings")
    assert own.json()["bot"] is True
    answer = await either.last("done")
    assert (answer["by"], answer["meta"]["provider"]) == (either.agent, "bot")
    assert [one["text"] for one in await either.messages()][1:] == ["It is a ship."]


async def test_whoever_reads_along_is_told_whether_a_program_has_taken_it_up(either: World) -> None:
    token = (await either.owner.post("/api/keys", json={})).json()["token"]
    reads = either.door.http(headers={"authorization": f"Bearer {token}"})
    async with either.door.live(token) as page, either.door.live(either.token) as bot:
        await page.ask(t="sub", room=either.room)
        await either.say()
        turn = (await heard(bot))["turn"]
        await page.push("s.open", lambda frame: frame.get("waits") is True)
        async with either.door.live(token) as late, feed(reads, either.room) as events:
            (state,) = (await late.ask(t="sub", room=either.room))["streams"]
            assert (state["turn"], state["n"], state["waits"]) == (turn, 0, True)
            (state,) = (await events.next())["data"]["streams"]
            assert state["waits"] is (await events.next())["data"]["waits"] is True
            assert (await bot.ask(t="turn.d", turn=turn, n=1, x=""))["t"] == "ok"
            told = [await page.push("s.d"), await late.push("s.d"), (await events.next())["data"]]
            taken = {"t": "s.d", "room": either.room, "msg": state["msg"], "n": 1}
            assert told == [taken] * 3, "it is there, and has no words yet"
        async with either.door.live(token) as late:
            (state,) = (await late.ask(t="sub", room=either.room))["streams"]
            assert (state["n"], "waits" in state) == (1, False)
        assert (await bot.ask(t="turn.end", turn=turn, text="Here."))["t"] == "ack"
    assert (await either.last("done"))["text"] == "Here."


async def test_the_last_text_wins_over_what_was_streamed(world: World) -> None:
    async with world.door.live(world.token) as bot:
        await world.say()
        turn = (await heard(bot))["turn"]
        await bot.ask(t="turn.d", turn=turn, n=1, x="Perhaps")
        assert (await bot.ask(t="turn.end", turn=turn, text="No. <think>x"))["t"] == "ack"
    assert (await world.last("done"))["text"] == "No. <think>x"


async def test_rest_does_the_same_and_waits_for_what_is_asked(either: World) -> None:
    bot = either.bot
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(bot.get("/api/turns", params={"wait": 30}))
        await either.say()
    (asked,) = waiting.result().json()["turns"]
    path = f"/api/turns/{asked['turn']}"
    for piece in ({"n": 1, "text": "I "}, {"n": 1, "text": "I "}, {"n": 2, "text": "see"}):
        assert (await bot.post(f"{path}/pieces", json=piece)).status_code == 204
    (again,) = (await bot.get("/api/turns")).json()["turns"]
    assert (again["n"], again["text"]) == (2, "I see"), "who comes back goes on there"
    ends = [(await bot.post(f"{path}/end", json={"text": "I see it."})).json() for _ in "12"]
    assert [one["dup"] for one in ends] == [False, True]
    assert {one["msg"] for one in ends} == {asked["msg"]}
    assert (await bot.get("/api/turns")).json() == {"turns": []}
    late = await bot.post(f"{path}/pieces", json={"n": 3, "text": "!"})
    assert (late.status_code, late.json()["code"]) == (409, "turn_ended")
    assert (await bot.post(f"{path}/end", json={"text": " "})).json()["code"] == "empty_message"


async def test_a_stop_reaches_the_bot_and_what_was_seen_is_kept(either: World) -> None:
    async with either.door.live(either.token) as bot:
        await either.say()
        turn = (await heard(bot))["turn"]
        await bot.ask(t="turn.d", turn=turn, n=1, x="Once upon")
        assert (await either.owner.post(f"/api/turns/{turn}/stop")).status_code == 202
        assert (await bot.push("turn.stop"))["turn"] == turn
        refused = await bot.ask(t="turn.d", turn=turn, n=2, x=" a time")
        assert refused["code"] == "turn_ended"
        assert "stopped" in refused["detail"]
        assert (await either.last("stopped"))["text"] == "Once upon"
        await either.say("again")
        again = (await heard(bot))["turn"]
        await bot.ask(t="turn.d", turn=again, n=1, x="Half")
        assert (await bot.ask(t="turn.end", turn=again, error="My disk is full."))["t"] == "ok"
    failed = await either.last("failed")
    assert (failed["text"], failed["meta"]["error"]["code"]) == ("Half", "bot_failed")
    assert failed["meta"]["error"]["detail"] == "My disk is full."


async def test_who_comes_back_hears_again_what_waits_and_goes_on(world: World) -> None:
    async with world.door.live(world.token) as bot:
        await world.say()
        turn = (await heard(bot, n=0))["turn"]
        await bot.ask(t="turn.d", turn=turn, n=1, x="One, ")
    async with world.door.live(world.token) as bot:
        again = await heard(bot, turn=turn, n=1, text="One, ")
        await bot.ask(t="turn.d", turn=again["turn"], n=2, x="two")
        assert (await bot.ask(t="turn.end", turn=turn, text="One, two."))["t"] == "ack"
    assert (await world.last("done"))["text"] == "One, two."


async def test_a_bot_that_says_nothing_is_away(tmp_path: Path) -> None:
    async with a_world(tmp_path, provider_idle_seconds=0.2) as world:
        await world.say()
        away = await world.last("failed")
        assert (away["text"], away["meta"]["error"]["code"]) == ("", "bot_away")
        async with world.door.live(world.token) as bot:
            await world.say("and now?")
            turn = (await heard(bot))["turn"]
            await bot.ask(t="turn.d", turn=turn, n=1, x="Let me")
            assert (await bot.push("turn.stop"))["turn"] == turn
        gone = await world.last("failed")
        assert (gone["text"], gone["meta"]["error"]["code"]) == ("Let me", "bot_away")


async def test_two_programs_of_one_agent_do_not_speak_into_each_other(world: World) -> None:
    more = (await world.owner.post("/api/keys", json={"agent": world.agent})).json()["token"]
    async with world.door.live(world.token) as one, world.door.live(more) as other:
        await world.say()
        turn = (await heard(one))["turn"]
        assert (await heard(other))["turn"] == turn
        assert (await one.ask(t="turn.d", turn=turn, n=1, x="Mine"))["t"] == "ok"
        for frame in ({"t": "turn.d", "n": 2, "x": "!"}, {"t": "turn.end", "text": "Mine!"}):
            assert (await other.ask(turn=turn, **frame))["code"] == "turn_taken"
        assert (await one.ask(t="turn.end", turn=turn, text="Mine."))["t"] == "ack"


async def test_a_key_that_is_revoked_ends_what_lives_by_it(world: World) -> None:
    async with (
        asyncio.timeout(WAIT_SECONDS_MAX / 2),
        asyncio.TaskGroup() as tasks,
        world.door.live(world.token) as bot,
    ):
        waiting = tasks.create_task(world.bot.get("/api/turns", params={"wait": 30}))
        await bot.ask(t="sub", room=world.room)
        listed = (await world.owner.get("/api/keys", params={"agent": world.agent})).json()["keys"]
        assert [one["id"] for one in listed] == [world.key]
        assert (await world.owner.delete(f"/api/keys/{world.key}")).status_code == 204
        assert await bot.closed() == 4503
    assert waiting.result().status_code == 401
    assert (await world.bot.get("/api/turns")).status_code == 401


@pytest.mark.parametrize("how", ["archived", "no bot", "owner out"])
async def test_the_keys_of_an_agent_end_with_what_makes_it_a_bot(either: World, how: str) -> None:
    owner, cy, person = either.owner, either.door.http(), {}
    if how == "owner out":
        made = {"handle": "cy", "name": "Cy"}
        person = (await owner.post("/api/people", json=made)).json()
        link = person["url"].rpartition("#")[2]
        reset = await cy.post("/api/reset", json={"token": link, "password": "y" * 20})
        assert reset.status_code in {200, 201}, reset.text
        agent, token, _ = await make_bot(cy, "max", await new_room(cy))
    else:
        agent, token = either.agent, either.token
    makes = cy if how == "owner out" else owner
    spare = (await makes.post("/api/keys", json={"agent": agent})).json()["token"]
    async with either.door.live(token) as bot:
        match how:
            case "archived":
                got = await owner.delete(f"/api/agents/{agent}")
            case "no bot":
                got = await owner.patch(f"/api/agents/{agent}", json={"bot": False})
            case _:
                path = f"/api/people/{person['person']['id']}"
                got = await owner.patch(path, json={"status": "disabled"})
        assert got.is_success, got.text
        assert await bot.closed() == 4503
    never_used = either.door.http(headers={"authorization": f"Bearer {spare}"})
    assert (await never_used.get("/api/turns")).status_code == 401
    bearer = {"authorization": f"Bearer {token}"}
    asks = either.door.http(headers=bearer)
    async with asyncio.timeout(SECONDS_MAX):
        while (await asks.get("/api/turns", params={"wait": 1})).status_code != 401:
            pass  # a key is believed for a second


async def test_a_bot_reads_its_rooms_and_speaks_there_and_nothing_else(world: World) -> None:
    bot, owner = world.bot, world.owner
    hidden = await new_room(owner)
    listed = (await bot.get("/api/rooms")).json()["rooms"]
    assert [one["id"] for one in listed] == [world.room]
    (lobby,) = [
        one["id"]
        for one in (await owner.get("/api/rooms")).json()["rooms"]
        if one["visibility"] == "open"
    ]
    for room in (hidden, lobby):
        assert (await bot.get(f"/api/rooms/{room}/messages")).status_code == 404
        said = {"cid": new_cid(), "text": "let me in"}
        assert (await bot.post(f"/api/rooms/{room}/messages", json=said)).status_code == 404
    refused: tuple[tuple[str, str, Json | None], ...] = (
        ("POST", "/api/rooms", {"title": "mine"}),
        ("PATCH", f"/api/rooms/{world.room}", {"title": "mine"}),
        ("POST", f"/api/rooms/{world.room}/ask", {}),
        ("POST", "/api/keys", {}),
        ("GET", "/api/agents", None),
        ("POST", "/v1/chat/completions", {"model": "maya", "messages": []}),
    )
    for method, path, body in refused:
        got = await bot.request(method, path, json=body)
        assert got.status_code == 403, (path, got.text)
    async with world.door.live(world.token) as live:
        await live.ask(t="watch")
        await owner.post(f"/api/rooms/{lobby}/messages", json={"cid": new_cid(), "text": "hi"})
        await world.say("@maya")
        notice = await live.push("room")
        assert notice["room"] == world.room, "not that something happened in the Lobby"
    me = (await bot.get("/api/me")).json()
    assert (me["id"], me["kind"]) == (world.agent, "agent")


async def test_a_bots_own_words_are_heard_by_agents_within_the_bound(either: World) -> None:
    assistant = next(
        one["id"]
        for one in (await either.owner.get("/api/agents")).json()["agents"]
        if one["handle"] == "assistant"
    )
    added = {"actor": assistant, "speaks": "mentioned"}
    await either.owner.post(f"/api/rooms/{either.room}/members", json=added)
    path = f"/api/rooms/{either.room}"
    await either.owner.put(f"{path}/speaking", json={"chain_max": 3})
    await either.owner.put(f"{path}/members/{either.agent}/speaks", json={"speaks": "never"})
    await either.say("Go on.")
    turns: list[int] = []
    for n in range(4):
        said = {"cid": new_cid(), "text": f"@assistant and @maya, number {n}"}
        got = (await either.bot.post(f"{path}/messages", json=said)).json()
        turns.append(len(got["turns"]))
    assert turns[0] == 1, "the Assistant answers it, and it never answers itself"
    assert turns[-1] == 0, "until the bound"
    events = (await either.owner.get(f"{path}/events", params={"limit": 200})).json()["events"]
    refused = [one["d"] for one in events if one["k"] == "turn.refused"]
    assert {(one["agent"], one["code"]) for one in refused} == {(assistant, "chain_bound")}
    own = [one for one in await either.messages() if one["by"] == either.agent]
    assert {one["role"] for one in own} == {"assistant"}


async def refusal(world: World) -> None:
    """Waits until something is refused in the room."""
    after, kinds = 0, set[str]()
    async with asyncio.timeout(SECONDS_MAX):
        while "turn.refused" not in kinds:
            path, query = f"/api/rooms/{world.room}/events", {"after": after, "wait": 5}
            for event in (await world.owner.get(path, params=query)).json()["events"]:
                after = event["seq"]
                kinds.add(event["k"])


async def test_two_bots_that_mention_each_other_stop_at_the_bound(world: World) -> None:
    second, token, _ = await make_bot(world.owner, "max", world.room)
    for agent in (world.agent, second):
        path = f"/api/rooms/{world.room}/members/{agent}/speaks"
        await world.owner.put(path, json={"speaks": "mentioned"})
    answered = 0

    async def run(live: Live, other: str) -> None:
        nonlocal answered
        while True:
            turn = (await live.push("turn"))["turn"]
            answered += 1
            await live.ask(t="turn.end", turn=turn, text=f"@{other}, what do you say?")

    async with (
        world.door.live(world.token) as maya,
        world.door.live(token) as max_,
        asyncio.TaskGroup() as tasks,
    ):
        running = [
            tasks.create_task(run(maya, "max")),
            tasks.create_task(run(max_, "maya")),
        ]
        await world.say("@maya, begin.")
        await refusal(world)
        for task in running:
            task.cancel()
    assert answered == 6


async def test_a_model_is_no_bot_and_a_bot_no_model(world: World) -> None:
    owner = world.owner
    card = {"name": "Plain", "handle": "plain"}
    plain = (await owner.post("/api/agents", json=card)).json()["id"]
    refused = await owner.post("/api/keys", json={"agent": plain})
    assert (refused.status_code, refused.json()["code"]) == (400, "bad_request")
    scoped = {"agent": world.agent, "scopes": ["chat"]}
    assert (await owner.post("/api/keys", json=scoped)).status_code == 400
    _, guest = await world.door.guest()
    assert (await guest.post("/api/keys", json={"agent": world.agent})).status_code in {403, 404}
    assert (await guest.delete(f"/api/keys/{world.key}")).status_code == 404
    token = (await owner.post("/api/keys", json={})).json()["token"]
    client = world.door.http(headers={"authorization": f"Bearer {token}"})
    names = [one["id"] for one in (await client.get("/v1/models")).json()["data"]]
    assert "plain" in names
    assert "maya" not in names
    asked = {"model": "maya", "messages": [{"role": "user", "content": "hi"}]}
    got = await client.post("/v1/chat/completions", json=asked)
    assert got.status_code == 403
    assert "program answers" in got.json()["error"]["message"]
    await world.say()
    async with world.door.live(world.token) as bot:
        turn = (await heard(bot))["turn"]
        await bot.ask(t="turn.end", turn=turn, text="Here.")
    told = (await owner.get(f"/api/turns/{turn}/prompt")).json()
    assert (told["code"], told["detail"][:29]) == (
        "turn_not_found",
        "A program gave this answer, a",
    )
    stranger = await owner.post(f"/api/turns/{turn}/end", json={"text": "I am Maya."})
    assert (stranger.status_code, stranger.json()["code"]) == (403, "forbidden")
