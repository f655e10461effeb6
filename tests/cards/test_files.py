"""Cards as files: which form one has, and that what is none is refused by name."""

import json
from base64 import b64encode
from typing import Any

import pytest
from tests.cards.test_characters import V1, V2, V3
from tests.cards.test_png import card, picture

from palaver.cards.files import FileForm, read, write
from palaver.errors import Code, Refused
from palaver.model.agents import Card
from palaver.strict_json import Json


def said(document: Json) -> bytes:
    return json.dumps(document).encode()


@pytest.mark.parametrize("document", [V1, V2, V3])
def test_a_card_is_read_from_json_and_from_a_picture(document: Json) -> None:
    plain, drawn = read(said(document)), read(picture(card(b"chara", said(document))))
    assert plain.said == drawn.said
    assert plain.source == document == drawn.source
    assert (plain.picture, drawn.picture) == (None, picture())


def test_our_own_form_comes_back_with_its_picture_and_what_it_was_made_of() -> None:
    ours = Card(
        name="Poet",
        handle="poet",
        persona="Rhyme.",
        tags=("a",),
        parameters={"top_p": 1},
        source="0",
    )
    written = write(ours, FileForm.PALAVER, ("image/png", picture()), V2)
    assert json.loads(written)["palaver"] == "agent/1"
    back = read(written)
    fields: dict[str, Any] = {**back.said, "tags": tuple(back.said["tags"]), "source": "0"}
    assert Card(**fields) == ours
    assert (back.picture, back.source) == (picture(), V2)


def test_a_picture_holds_both_forms_for_other_programs() -> None:
    ours = Card(name="Poet", persona="Rhyme.")
    drawn = write(ours, FileForm.PNG, ("image/png", picture()), None)
    assert read(drawn).said["name"] == "Poet"
    assert drawn.count(b"tEXt") == len(("ccv3", "chara"))
    for none in (None, ("image/webp", b"RIFF")):
        with pytest.raises(Refused):
            write(ours, FileForm.PNG, none, None)


@pytest.mark.parametrize(
    "broken",
    [
        b"",
        b"{}",
        b"[]",
        b"not json",
        b'{"name": "Maya"}',
        b'{"name": "\\ud800", "first_mes": ""}',
        b'{"name": "a", "name": "b", "first_mes": ""}',
        b'{"first_mes": "", "name": "a", "x": ' + b"[" * 40 + b"]" * 40 + b"}",
        b'{"first_mes": "' + b"x" * 2_097_152 + b'", "name": "a"}',
        b"x" * 10_485_761,
        b"PK\x03\x04 charx",
        b'<svg xmlns="http://www.w3.org/2000/svg"/>',
        b"\xff\xd8\xff\xe0 jpeg",
        picture(card(b"chara", b"<svg/>")),
        said({"palaver": "agent/1", "name": "a", "avatar": "https://elsewhere.example/a.png"}),
        said({"palaver": "agent/1", "avatar": "data:image/svg+xml;base64,PHN2Zy8+"}),
        said({"palaver": "agent/1", "avatar": "data:image/png;base64,=="}),
        said({"palaver": "agent/1", "name": "a", "card": []}),
        said({"palaver": "agent/2", "name": "a"}),
    ],
)
def test_a_file_that_is_no_card_is_refused(broken: bytes) -> None:
    with pytest.raises(Refused) as caught:
        read(broken)
    assert caught.value.code is Code.CARD_INVALID


@pytest.mark.parametrize(("data", "name"), [(b"PK\x03\x04", "CHARX"), (b" <svg/>", "SVG")])
def test_what_cannot_be_read_is_refused_by_its_name(data: bytes, name: str) -> None:
    with pytest.raises(Refused, match=name):
        read(data)


def test_a_picture_in_a_data_url_is_read_as_it_is() -> None:
    url = f"data:image/png;base64,{b64encode(picture()).decode()}"
    assert read(said({"palaver": "agent/1", "name": "a", "avatar": url})).picture == picture()


def nested(levels: int) -> list[Any]:
    """An array of so many levels."""
    return [nested(levels - 1)] if levels > 1 else []


@pytest.mark.parametrize(("document", "most"), [(V1, 30), (V2, 31), (V3, 31)])
def test_a_card_as_deep_as_one_may_be_can_be_read_again_in_every_form(
    document: Json, most: int
) -> None:
    deep = {**document, "extensions_of_mine": nested(most)}
    ours = Card(name="Poet", persona="Rhyme.")
    for form in FileForm:
        again = read(write(ours, form, ("image/png", picture()), deep))
        assert again.said["name"] == "Poet"
        assert again.source is not None
        assert write(ours, form, ("image/png", picture()), again.source)
    assert read(said(deep)).source == deep
    with pytest.raises(Refused) as caught:
        read(said({**document, "extensions_of_mine": nested(most + 1)}))
    assert caught.value.code is Code.CARD_INVALID
    own = said({"palaver": "agent/1", "name": "a", "card": {**deep, "x": nested(most + 1)}})
    with pytest.raises(Refused):
        read(own)
