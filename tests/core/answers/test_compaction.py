"""What stays word for word of a conversation that is compacted, and what a model is told from then on."""

import pytest

from palaver.core.answers.compaction import HEAD, Compaction, is_summary, staying, told
from palaver.model import Entry, Kind, Role

LONG = "long " * 400


def user(text: str) -> Entry:
    return Entry(role=Role.USER, text=text)


def model(text: str) -> Entry:
    return Entry(role=Role.ASSISTANT, text=text)


def rules(text: str) -> Entry:
    return Entry(role=Role.DEVELOPER, text=text)


def call(name: str) -> Entry:
    return Entry(role=Role.ASSISTANT, kind=Kind.TOOL_CALL, text="{}", meta={"call_id": name})


def result(name: str, text: str = "ok") -> Entry:
    return Entry(role=Role.TOOL, kind=Kind.TOOL_RESULT, text=text, meta={"call_id": name})


def stays(said: list[Entry], tokens_max: int = 1_000) -> tuple[list[Entry], list[Entry]]:
    before, behind = staying(said, tokens_max)
    return [said[place] for place in before], [said[place] for place in behind]


def test_prompts_and_questions_stay_in_front_and_the_last_turns_behind() -> None:
    said = [rules("be kind"), user("one"), model(LONG), user("two"), model("2")]
    assert stays(said) == ([rules("be kind"), user("one")], [user("two"), model("2")])


def test_the_newest_questions_stay_as_far_as_they_fit() -> None:
    said = [user("old"), user(LONG), user("new"), model(LONG), user("now")]
    assert stays(said, 100) == ([user("new")], [user("now")])


def test_what_was_not_answered_stays_whatever_it_costs() -> None:
    said = [user("one"), model("1"), call("a"), call("b"), result("a", LONG), result("b", LONG)]
    assert stays(said)[1] == said[2:]
    assert stays([user("one"), model("1"), call("a")])[1] == [call("a")]
    assert stays([user("one"), model(LONG), user(LONG)], 10)[1] == [user(LONG)]


def test_a_result_stays_with_its_call_or_not_at_all() -> None:
    said = [
        user("x"),
        model(LONG),
        call("a"),
        call("b"),
        result("a"),
        result("b", LONG),
        model("1"),
    ]
    kept = stays(said)[1]
    assert kept == [model("1")]
    long = Entry(role=Role.ASSISTANT, kind=Kind.TOOL_CALL, text=LONG, meta={"call_id": "a"})
    assert stays([user("x"), model(LONG), long, result("a"), model("1")])[1] == [model("1")]
    late = [call("a"), user("wait"), model(LONG), result("a")]
    assert stays(late)[1] == [call("a"), result("a")]


def test_a_model_is_told_the_compaction_instead_of_all_that_stood_before_it() -> None:
    kept = Compaction(summary="s", before=[user("one")], behind=[user("two"), model("2")])
    front = [rules("new"), user("one"), model(LONG), user("two"), user("added")]
    said = told(front, kept, [user("three")])
    summary = user(f"{HEAD}s")
    assert is_summary(summary)
    first = [rules("new"), user("added"), user("one")]
    assert said == [*first, summary, user("two"), model("2"), user("three")]


def test_prompts_of_a_compaction_are_told_where_there_are_no_others() -> None:
    kept = Compaction(before=[rules("old"), user("one")])
    assert told([], kept, []) == [rules("old"), user("one")]
    assert told([rules("new")], kept, []) == [rules("new"), user("one")]


@pytest.mark.parametrize(
    ("front", "rest", "ruling"),
    [
        ([rules("old")], [], ["old", "new"]),
        ([rules("new")], [], ["new"]),
        ([rules("old"), rules("new")], [], ["old", "new"]),
        ([rules("old"), rules("newer")], [], ["old", "newer"]),
        ([rules("old")], [rules("newer")], ["old", "newer"]),
    ],
)
@pytest.mark.parametrize("at", [0, 1, 2])
def test_prompts_that_a_compaction_keeps_are_told_where_those_in_front_are_older(
    front: list[Entry], rest: list[Entry], ruling: list[str], at: int
) -> None:
    prompts = [rules("old"), rules("new")]
    kept = Compaction(summary="s", before=prompts[:at], behind=prompts[at:])
    said = told([*front, user("one")], kept, [*rest, user("two")])
    assert [one.text for one in said if one.role is Role.DEVELOPER] == ruling


def test_a_summary_is_not_kept_by_the_next_compaction() -> None:
    summary = user(f"{HEAD}s")
    assert stays([user("one"), summary, model(LONG), user("two")])[0] == [user("one")]
