"""Several agents in simulated lives: who is asked and stopped, and what must hold of all their turns."""

import json
import random
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from palaver.core.runtime import Core
from palaver.errors import Refused, Unavailable
from palaver.model import Actor, ActorId, RoomId, RoomSettings, Speaks

NAMES = ("ping", "pong", "zig")
MENTIONS = ("", "", "@ping", "@pong and @zig", "@agents", "@assistant", "why?")
SPEAKS = (Speaks.AUTO, Speaks.ALWAYS, Speaks.MENTIONED, Speaks.ASKED)
WAITED = {"stopped", "not_allowed"}
BOUND = {"chain_bound", "hour_bound"}

TURNS = """
SELECT t.room_key, hex(t.id), t.trigger_seq, t.agent_key, t.attempt, t.depth, t.context_seq, said.seq, asked.author_key,
    lower(hex(asked.id)) FROM turns t
LEFT JOIN messages said ON said.id = t.message_id
LEFT JOIN messages asked ON asked.room_key = t.room_key AND asked.seq = t.trigger_seq ORDER BY t.id
"""
HEARD = """
SELECT m.room_key, m.seq, m.author_key, m.meta FROM messages m LEFT JOIN turns t ON t.message_id = m.id
WHERE m.meta LIKE '%mentions%' AND m.status = 'done'
"""
REFUSED = "SELECT room_key, data FROM events WHERE type = 'turn.refused'"


@dataclass(frozen=True)
class Turned:
    """A turn: of which room, what it answers, and at which seq its message is."""

    room: int
    id: str
    trigger: int
    agent: int
    attempt: int
    depth: int
    context: int
    said: int | None
    asker: int | None
    question: str | None


@dataclass
class Company:
    """The agents of one person's room, as that person wants them. `again` counts what was asked once more."""

    chance: random.Random
    speaks: dict[str, Speaks] = field(default_factory=dict[str, Speaks])
    bounds: RoomSettings = field(default_factory=RoomSettings)
    again: int = 0
    went_on: set[str] = field(default_factory=set[str])
    asked: set[str] = field(default_factory=set[str])

    def __post_init__(self) -> None:
        names = self.chance.sample(NAMES, self.chance.choice([0, 2, 3]))
        self.speaks = {name: self.chance.choice(SPEAKS) for name in names}
        self.bounds = {
            "turns": self.chance.choice(["together", "in_turn"]),
            "chain_max": self.chance.choice([1, 2, 3]),
            "agent_answers_per_hour": self.chance.choice([2, 6]),
        }

    async def gather(self, core: Core, actor: Actor, room: RoomId) -> None:
        """Brings the agents, and says how they speak; once more where that broke off."""
        await core.rooms.set_speaking(actor, room, self.bounds)
        for name, agent in (await self.agents(core)).items():
            await core.members.add(actor, room, agent, speaks=self.speaks[name])

    async def agents(self, core: Core) -> dict[str, ActorId]:
        return {name: (await core.agents.ensured(name, None)).actor.id for name in self.speaks}

    def mention(self) -> str:
        return self.chance.choice(MENTIONS) if self.speaks else ""

    async def meddle(self, core: Core, actor: Actor, room: RoomId, said: Sequence[Any]) -> None:
        """Asks agents once more, stops all, or takes one out and brings it back."""
        agents = list((await self.agents(core)).values())
        with suppress(Refused, Unavailable):
            match self.chance.randrange(4):
                case 0:
                    await core.turns.stop_room(actor, room)
                case 1 if agents:
                    one = self.chance.choice(agents)
                    await core.members.remove(actor, room, one)
                    await core.members.add(actor, room, one, speaks=self.chance.choice(SPEAKS))
                case 2 if said:
                    self.again += len(agents) + 1
                    message = self.chance.choice(said)
                    self.asked.add(message[2:])
                    await core.turns.ask(actor, room, message=message)
                case _:
                    pass

    def retried(self, message: str, *, goes_on: bool) -> None:
        self.again += 1
        if goes_on:
            self.went_on.add(message[2:])


def check_turns(rows: Any, keys: dict[int, Company]) -> int:
    """The oracles of who speaks, by `rows` of the database and the company of each room; how many turns gave nothing.

    Every turn has its message, or the room was told why not. Nobody answers itself. Bounds hold, each answers once,
    and whoever is mentioned answers or is refused. In turn, each is told what those before it said.
    """
    turns = [Turned(*row) for row in rows(TURNS)]
    handles = {f"a_{id_.hex()}": key for key, id_ in rows("SELECT key, id FROM actors")}
    refused: dict[tuple[int, int], Counter[str]] = {}
    for room, data in rows(REFUSED):
        told = json.loads(data)
        refused.setdefault((room, handles[told["agent"]]), Counter())[told["code"]] += 1
    wished = set[str]().union(*[one.went_on | one.asked for one in keys.values()])
    by_itself = [turn for turn in turns if turn.question not in wished]
    assert all(turn.asker != turn.agent for turn in by_itself), "nobody answers itself"
    for room, company in keys.items():
        here = [turn for turn in turns if turn.room == room]
        check_bounds(company, here, [turn for turn in by_itself if turn.room == room])
    unsaid = [turn for turn in turns if turn.said is None]
    asked = Counter((one.room, one.agent) for one in turns if one.question in wished)
    _check_told(rows, turns, unsaid, refused, handles, asked=asked)
    return len(unsaid)


def check_bounds(company: Company, here: list[Turned], by_itself: list[Turned]) -> None:
    chained = [turn for turn in by_itself if turn.depth > 1 and turn.attempt == 1]
    assert all(turn.depth <= company.bounds["chain_max"] for turn in here), "chains end"
    assert len(chained) <= company.bounds["agent_answers_per_hour"], "in an hour"
    answered = Counter((turn.trigger, turn.agent) for turn in here)
    assert sum(count - 1 for count in answered.values()) <= company.again, "each once"
    if company.bounds["turns"] == "in_turn":
        said = [turn for turn in by_itself if turn.said is not None and turn.attempt == 1]
        said.sort(key=lambda turn: (turn.trigger, turn.said))
        for before, after in pairwise(said):
            assert after.context >= (before.said or 0), "each is told what those before it said"


def _check_told(
    rows: Any,
    turns: list[Turned],
    unsaid: list[Turned],
    refused: dict[tuple[int, int], Counter[str]],
    handles: dict[str, int],
    *,
    asked: Counter[tuple[int, int]],
) -> None:
    silent = Counter((turn.room, turn.agent) for turn in unsaid)
    there = {(turn.room, turn.trigger, turn.agent) for turn in turns}
    missing = Counter[tuple[int, int]]()
    for room, seq, author, meta in rows(HEARD):
        for id_ in json.loads(meta)["mentions"]:
            agent = handles.get(id_)
            if agent is not None and agent != author and (room, seq, agent) not in there:
                missing[room, agent] += 1
    for place in {*silent, *missing, *refused}:
        told = refused.get(place, Counter())
        waited = sum(told[code] for code in WAITED)
        bound = sum(told[code] for code in BOUND)
        assert told["stopped"] <= silent[place], "stopped before it began"
        unheard = silent[place] + missing[place]
        most = asked[place]  # what was refused may have been asked for later, and answered
        assert bound <= missing[place] + most, "refused by a bound"
        assert unheard <= waited + bound <= unheard + most, "never silence, and told once"
