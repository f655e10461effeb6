"""Stored prompts in requests of the Responses API."""

from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
from openai import AsyncOpenAI
from tests.support.responses import says
from tests.support.upstream import ScriptedUpstream, reply, scripted_upstream
from tests.wire.door import Door, open_door
from tests.wire.openai.client import client_of, error_of

Json = dict[str, Any]
VALUES: Json = {"who": "Ada", "tone": {"type": "input_text", "text": "brief"}}


async def known(door: Door, text: str) -> tuple[AsyncOpenAI, httpx2.AsyncClient, str]:
    """A program of a person who has a prompt; the person; the prompt's id."""
    _, ada = await door.guest()
    key = (await ada.post("/api/keys", json={})).json()["token"]
    made = await ada.post("/api/prompts", json={"name": "tone", "text": text})
    return client_of(door, key), ada, made.json()["id"]


async def test_a_prompt_is_told_to_the_model_and_told_back(
    relay: Door, models: ScriptedUpstream
) -> None:
    client, ada, id_ = await known(relay, "You serve {{who}}. Be {{tone}}.")
    again = {"text": "{{who}}!"}
    await ada.post(f"/api/prompts/{id_}/versions", json=again)
    prompt: Any = {"id": id_, "version": "1", "variables": VALUES}
    models.will(reply("one"), reply("two"), reply("three"))
    made = await client.responses.create(
        model="m", input="hi", instructions="No jokes.", prompt=prompt
    )
    said = models.asked[-1].json["messages"]
    assert [(one["role"], one["content"]) for one in said] == [
        ("system", "You serve Ada. Be brief.\n\nNo jokes."),
        ("user", "hi"),
    ]
    assert made.prompt is not None
    assert made.prompt.to_dict() == prompt
    assert made.instructions == "You serve Ada. Be brief.\n\nNo jokes."
    assert (await client.responses.retrieve(made.id)).to_dict() == made.to_dict()
    newest: Any = {"id": id_, "variables": {"who": "Ada"}}
    alone = await client.responses.create(model="m", prompt=newest, store=False)
    assert [one["content"] for one in models.asked[-1].json["messages"]] == ["Ada!"]
    assert alone.prompt is not None
    assert alone.prompt.version == "2"


async def test_what_a_prompt_has_not_is_told_in_openais_words(relay: Door) -> None:
    client, _, id_ = await known(relay, "{{a}} {{b}}")
    stranger, nothing = client_of(relay, "any"), f"pmpt_{'0' * 32}"
    cases: list[tuple[AsyncOpenAI, Json, int, str]] = [
        (client, {"id": nothing}, 404, f"Prompt with id '{nothing}' not found."),
        (stranger, {"id": id_}, 404, f"Prompt with id '{id_}' not found."),
        (client, {"id": "pmpt_9"}, 404, "Prompt with id 'pmpt_9' not found."),
        (
            client,
            {"id": id_, "version": "7"},
            404,
            f"Prompt with id '{id_}' and version '7' not found.",
        ),
        (
            client,
            {"id": id_, "version": "x"},
            404,
            f"Prompt with id '{id_}' and version 'x' not found.",
        ),
        (client, {"id": id_}, 400, "Missing prompt variables: a, b"),
        (
            client,
            {"id": id_, "variables": {"a": "", "b": "", "c": ""}},
            400,
            "Unknown prompt variables: c",
        ),
        (
            client,
            {"id": id_, "variables": {"a": 7}},
            400,
            "Invalid type for 'prompt.variables.a': expected a string, but got an integer instead.",
        ),
        (client, {}, 400, "Missing required parameter: 'prompt.id'."),
    ]
    for asking, prompt, status, words in cases:
        given: Any = prompt
        with pytest.raises(openai.APIStatusError) as refused:
            await asking.responses.create(model="m", input="hi", prompt=given)
        assert refused.value.status_code == status, prompt
        assert error_of(refused)["message"] == words


async def test_a_model_server_is_asked_for_prompts_of_its_own(tmp_path: Path) -> None:
    async with scripted_upstream(everywhere=True) as models:
        models.will(says("theirs"), says("ours"))
        async with open_door(tmp_path / "data", openai_base_url=models.base_url) as door:
            client, _, id_ = await known(door, "Be {{tone}}.")
            theirs: Any = {"id": "pmpt_theirs", "version": "3", "variables": {"x": "y"}}
            made = await client.responses.create(model="m", input="hi", prompt=theirs)
            assert made.output_text == "theirs"
            assert models.requests[-1].json["prompt"] == theirs
            ours: Any = {"id": id_, "variables": {"tone": "brief"}}
            await client.responses.create(model="m", input="hi", prompt=ours)
            asked = models.requests[-1].json
            assert (asked["instructions"], "prompt" in asked) == ("Be brief.", False)
