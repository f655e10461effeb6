"""Cards of other programs: what becomes ours, what stays, and that all of it comes out again as it went in."""

from copy import deepcopy
from typing import Any

import pytest
from msgspec.structs import replace

from palaver.cards import characters
from palaver.errors import Code, Refused
from palaver.model.agents import Card
from palaver.strict_json import Json

V1: Json = {
    "name": "Maya",
    "description": "{{char}} sails.",
    "personality": "calm",
    "scenario": "at sea",
    "first_mes": "Ahoy, {{user}}.",
    "mes_example": "<START>",
    "fav": True,
    "talkativeness": "0.5",
}
V2: Json = {
    "spec": "chara_card_v2",
    "spec_version": "2.0",
    "create_date": "2026-1-1",
    "data": {
        **{name: V1[name] for name in ("name", "description", "personality", "scenario")},
        "first_mes": "Ahoy, {{user}}.",
        "mes_example": "<START>",
        "creator_notes": "For sailors.",
        "system_prompt": "{{original}} Be brief.",
        "post_history_instructions": "Stay in role.",
        "alternate_greetings": ["Hm?"],
        "character_book": {"entries": [{"keys": ["sea"], "content": "deep", "extensions": {}}]},
        "tags": ["sea", "x" * 60],
        "creator": "Ada",
        "character_version": "7",
        "extensions": {"talkativeness": 0, "depth_prompt": {"depth": 4}, "unknown": [None]},
        "unknown": {"kept": True},
    },
}
V3: Json = {
    **V2,
    "spec": "chara_card_v3",
    "spec_version": "3.1",
    "data": {
        **V2["data"],
        "nickname": "May",
        "group_only_greetings": ["Ahoy all."],
        "assets": [{"type": "icon", "uri": "https://elsewhere.example/x.png"}],
        "source": ["elsewhere"],
        "creation_date": 1,
    },
}


def made(document: Json) -> Card:
    return Card(**characters.fields_of(document), source="0")


def test_each_form_becomes_a_card() -> None:
    first, second, third = map(made, (V1, V2, V3))
    assert first.persona == "You are {{char}}.\n\n{{char}} sails.\n\ncalm\n\nat sea"
    assert second.persona.startswith("You are {{char}}. Be brief.\n\n{{char}} sails.")
    assert third.persona.startswith("You are May. Be brief.\n\nMay sails.")
    assert (second.greeting, second.examples) == ("Ahoy, {{user}}.", "<START>")
    assert (second.description, second.post_history) == ("For sailors.", "Stay in role.")
    assert (second.tags, third.group_greetings) == (("sea", "x" * 40), ("Ahoy all.",))
    told = characters.filled("<BOT> and {{CHAR}} greet {{User}}, <user>", char="May", user="@ada")
    assert told == "May and May greet @ada, @ada"
    assert [characters.speaks_of(one) for one in (V1, V2, V3)] == [None, "never", "never"]


@pytest.mark.parametrize("document", [V1, V2, V3])
def test_all_of_it_comes_out_again_as_it_went_in(document: Json) -> None:
    before = deepcopy(document)
    back = characters.document_of(made(document), document)
    assert document == before
    for name, value in document.items():
        if name not in {"data", "spec", "spec_version"}:
            assert back[name] == value
    data = document.get("data", document)
    assert {name: back["data"][name] for name in data} == data
    if "data" in document:
        assert back == document
    both = [
        characters.document_of(made(document), document, one)
        for one in ("chara_card_v2", "chara_card_v3")
    ]
    assert [one["spec_version"][0] for one in both] == ["2", "3"]
    assert all(one["data"]["name"] == "Maya" for one in both)


def test_what_was_changed_since_is_written_over_it() -> None:
    changed = replace(made(V2), name="Mia", persona="New.", greeting="Hi.", tags=("a",))
    data: dict[str, Any] = characters.document_of(changed, V2)["data"]
    assert (data["name"], data["first_mes"], data["tags"]) == ("Mia", "Hi.", ["a"])
    assert (data["system_prompt"], data["description"], data["scenario"]) == ("New.", "", "")
    assert data["character_book"] == V2["data"]["character_book"]
    assert made(characters.document_of(changed, V2)).greeting == "Hi."
    plain = characters.document_of(Card(name="Plain", persona="P"), None)
    assert (plain["spec"], plain["data"]["system_prompt"]) == ("chara_card_v2", "P")
    assert made(plain).name == "Plain"


@pytest.mark.parametrize(
    "broken",
    [
        {**V2, "data": None},
        {**V2, "data": []},
        {**V1, "description": 7},
        {**V1, "name": ["Maya"]},
        {**V2, "data": {**V2["data"], "tags": "sea"}},
        {**V2, "data": {**V2["data"], "tags": [1]}},
    ],
)
def test_what_is_not_what_it_should_be_is_refused(broken: Json) -> None:
    with pytest.raises(Refused) as caught:
        characters.fields_of(broken)
    assert caught.value.code is Code.CARD_INVALID
