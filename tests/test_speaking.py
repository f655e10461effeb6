"""Who answers what was said: a pure rule, tried with any words, any settings and any agents."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st
from msgspec.structs import replace

from palaver.model import ActorId, Speaks, TurnRefusal
from palaver.speaking import (
    MENTIONS_MAX,
    Bounds,
    Listener,
    Words,
    handles_in,
    is_question,
    mentioned,
    speakers,
)

CASES: dict[str, Any] = json.loads(
    (Path(__file__).parent / "data" / "speaking.json").read_text("utf-8")
)
"""What the page's own rule is held to, too (`ui/src/lib/room/speaking.ts`)."""
AGENTS = [ActorId(f"a_{number}") for number in range(5)]
listeners = st.lists(
    st.builds(
        Listener,
        agent=st.sampled_from(AGENTS),
        handle=st.just("any"),
        speaks=st.sampled_from(Speaks),
        alone=st.booleans(),
    ),
    unique_by=lambda one: one.agent,
)
words = st.builds(
    Words,
    text=st.sampled_from(["", "hello", "is it?", "so \N{FULLWIDTH QUESTION MARK} "]),
    mentions=st.lists(st.sampled_from([*AGENTS, "u_ada"]), unique=True),
    replied=st.none() | st.sampled_from(AGENTS),
    asks=st.booleans(),
    agent=st.none() | st.sampled_from(AGENTS),
    depth=st.integers(0, 8),
    may=st.booleans(),
    lately=st.integers(0, 70),
)
bounds = st.builds(
    Bounds, in_turn=st.booleans(), chain_max=st.integers(0, 8), per_hour=st.integers(0, 70)
)


@given(words, listeners, bounds)
def test_agents_answer_within_bounds_and_nobody_itself_nor_twice(
    said: Words, there: list[Listener], within: Bounds
) -> None:
    found = speakers(said, there, within)
    assert found == speakers(said, there, within)
    who = [agent for agent, _ in found]
    assert len(set(who)) == len(who)
    assert said.agent not in who
    assert set(who) <= {one.agent for one in there if one.speaks is not Speaks.NEVER}
    begun = [agent for agent, why in found if why is None]
    if said.agent is None:
        assert begun == who
    else:
        assert set(who) <= set(said.mentions)
        assert not begun or said.depth + 1 <= within.chain_max
        assert not begun or said.lately + len(begun) <= within.per_hour
        assert not begun or said.may
    named = [agent for agent in said.mentions if agent in who]
    assert who[: len(named)] == named, "who is mentioned comes first, in that order"


@pytest.mark.parametrize(
    ("speaks", "answered"),
    [
        (Speaks.AUTO, {"alone", "mentioned", "replied", "asks"}),
        (Speaks.ALWAYS, {"plain", "question", "alone", "mentioned", "replied", "asks"}),
        (Speaks.MENTIONED, {"mentioned", "replied", "asks"}),
        (Speaks.ASKED, {"question", "mentioned", "replied", "asks"}),
        (Speaks.NEVER, set[str]()),
    ],
)
def test_each_agent_answers_people_as_it_speaks(speaks: Speaks, answered: set[str]) -> None:
    bot = Listener(AGENTS[0], "bot", speaks, alone=False)
    said = Words(text="well")
    cases = {
        "plain": (bot, said),
        "question": (bot, replace(said, text="well?")),
        "alone": (replace(bot, alone=True), said),
        "mentioned": (bot, replace(said, mentions=[bot.agent])),
        "replied": (bot, replace(said, replied=bot.agent)),
        "asks": (bot, replace(said, asks=True)),
    }
    assert {
        name for name, (one, what) in cases.items() if speakers(what, [one], Bounds())
    } == answered


def test_what_an_agent_may_not_set_off_has_a_code() -> None:
    there = [Listener(agent, agent, Speaks.AUTO, alone=False) for agent in AGENTS]
    said = Words(text="", mentions=[AGENTS[2], AGENTS[0], AGENTS[1]], agent=AGENTS[1], depth=5)
    assert speakers(said, there, Bounds()) == [(AGENTS[2], None), (AGENTS[0], None)]
    for changed, code in (
        (replace(said, depth=6), TurnRefusal.CHAIN_BOUND),
        (replace(said, lately=60), TurnRefusal.HOUR_BOUND),
        (replace(said, may=False), TurnRefusal.NOT_ALLOWED),
    ):
        assert speakers(changed, there, Bounds()) == [(AGENTS[2], code), (AGENTS[0], code)]
    last = speakers(replace(said, lately=59), there, Bounds())
    assert last == [(AGENTS[2], None), (AGENTS[0], TurnRefusal.HOUR_BOUND)]


@pytest.mark.parametrize(("text", "named"), CASES["handles"])
def test_a_mention_is_what_people_mean_by_one(text: str, named: list[str]) -> None:
    assert handles_in(text) == named


def test_a_text_mentions_few_and_is_read_in_a_moment() -> None:
    assert len(handles_in(" ".join(f"@ab{number}" for number in range(50)))) == MENTIONS_MAX
    for hostile in (
        "`" * 50_000,
        "[" * 50_000,
        "` `` ``` " * 9_000,
        "@" * 90_000,
        "[a](" * 20_000,
        "> \n" * 30_000,
    ):
        assert handles_in(hostile + " @ada") in ([], ["ada"])


def test_only_members_are_mentioned_and_agents_are_all_of_them() -> None:
    there = [
        Listener(agent, f"bot{place}", Speaks.NEVER, alone=False)
        for place, agent in enumerate(AGENTS)
    ]
    people = {"ada": ActorId("u_ada")}
    handles = ["nobody", "bot3", "ada", "agents"]
    assert mentioned(handles, there, people) == [AGENTS[3], "u_ada", *AGENTS[:3], AGENTS[4]]


@pytest.mark.parametrize(("text", "asked"), CASES["questions"])
def test_a_question_ends_with_its_mark_in_any_script(text: str, asked: bool) -> None:  # noqa: FBT001
    assert is_question(text) is asked


@pytest.mark.parametrize("case", CASES["answers"])
def test_who_answers_is_what_the_page_says(case: dict[str, Any]) -> None:
    there = [
        Listener(ActorId(one["handle"]), one["handle"], Speaks(one["speaks"]), one["alone"])
        for one in case["agents"]
    ]
    text = case["text"]
    mentions = mentioned(handles_in(text), there, {"ada": ActorId("u_ada")})
    found = speakers(Words(text=text, mentions=mentions), there, Bounds())
    assert [agent for agent, _ in found] == case["answer"]
