"""Stored prompts: what may stand in them, and how their variables are filled in."""

import pytest

from palaver.core.prompts import NAME_CHARS_MAX, TEXT_CHARS_MAX, filled, variables_of
from palaver.core.runtime import Core
from palaver.errors import Code, Refused
from palaver.model import Prompt, PromptId


async def test_a_prompt_is_of_its_person_alone(core: Core) -> None:
    _, ada = await core.identity.new_guest("Ada")
    _, bo = await core.identity.new_guest("Bo")
    made = await core.prompts.save(ada, "Be {{kind}}.", name="tone")
    assert await core.prompts.own(ada) == (made,)
    assert await core.prompts.own(bo) == ()
    for call in (
        core.prompts.get(bo, made.id),
        core.prompts.save(bo, "x", of=made.id),
        core.prompts.delete(bo, made.id),
    ):
        with pytest.raises(Refused) as refused:
            await call
        assert refused.value.code is Code.NOT_FOUND
    assert await core.prompts.get(ada, made.id, 1) == made


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("", "n"),
        (" \u200b", "n"),
        ("x" * (TEXT_CHARS_MAX + 1), "n"),
        ("\0", "n"),
        ("\ud800", "n"),
        ("x", ""),
        ("x", "n" * (NAME_CHARS_MAX + 1)),
    ],
)
async def test_what_is_no_prompt_is_refused(core: Core, text: str, name: str) -> None:
    _, ada = await core.identity.new_guest("Ada")
    with pytest.raises(Refused):
        await core.prompts.save(ada, text, name=name)
    assert await core.prompts.own(ada) == ()


def test_what_stands_in_a_value_is_no_variable() -> None:
    text = "{{a}} {{ b-c }} {{a}} { d } {{1}} {{}}"
    prompt = Prompt(id=PromptId("p_1"), version=1, name="n", text=text, created_ms=0)
    assert variables_of(prompt) == {"a", "b-c"}
    told = filled(prompt, {"a": "{{b-c}}\\1", "b-c": ""})
    assert told == "{{b-c}}\\1  {{b-c}}\\1 { d } {{1}} {{}}"


def test_a_value_that_stands_in_many_places_is_bounded() -> None:
    text = "{{a}}" * 1_000
    prompt = Prompt(id=PromptId("p_1"), version=1, name="n", text=text, created_ms=0)
    assert len(filled(prompt, {"a": "x" * 9_000})) == 9_000_000
    with pytest.raises(Refused) as refused:
        filled(prompt, {"a": "x" * 10_000})
    assert refused.value.code is Code.PAYLOAD_TOO_LARGE
