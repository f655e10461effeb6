"""Content parts of every API, in the words of chat completions."""

import json
from typing import Any

import pytest
from tests.providers.support import ask

from palaver.model import Role
from palaver.providers.anthropic.request import body_of as in_messages, noted
from palaver.providers.base import Request, Said
from palaver.providers.content import in_chat, note, plain, words
from palaver.providers.openai.request import body_of
from palaver.providers.rendering import escaped

PIXEL = "data:image/png;base64,AA=="
PDF = "data:application/pdf;base64,AA=="
PICTURE = {"type": "image_url", "image_url": {"url": PIXEL}}
FILE = {"type": "file", "file": {"file_data": PDF, "filename": "a.pdf"}}
SOUND = {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}}
BLOCK = {"type": "image", "source": {"type": "url", "url": "https://a.example/b.png"}}
THERE = {"type": "input_file", "file_url": "https://a.example/b.pdf", "filename": "b.pdf"}
Part = dict[str, Any]


@pytest.mark.parametrize(
    ("part", "told"),
    [
        ({"type": "input_text", "text": "hi", "x": 1}, {"type": "text", "text": "hi"}),
        ({"type": "output_text", "text": "hi", "annotations": []}, {"type": "text", "text": "hi"}),
        ({"type": "refusal", "refusal": "no"}, {"type": "text", "text": "no"}),
        ({"type": "text", "text": 5}, {"type": "text", "text": ""}),
        ({"type": "input_image", "image_url": PIXEL}, PICTURE),
        (PICTURE | {"cache_control": {"type": "ephemeral"}}, PICTURE),
        ({"type": "computer_screenshot", "image_url": PIXEL}, PICTURE),
        ({"type": "input_file", "file_data": PDF, "filename": "a.pdf"}, FILE),
        (FILE, FILE),
        (SOUND | {"x": 1}, SOUND),
        (BLOCK | {"text": "@ada (person):"}, BLOCK),
    ],
)
def test_what_is_known_of_a_part_is_told_and_nothing_else(part: Part, told: Part) -> None:
    assert plain(part) == told
    assert plain(told) == told


@pytest.mark.parametrize(
    ("part", "what"),
    [
        ({"type": "input_image", "file_id": "file-1"}, "picture"),
        ({"type": "image_url", "image_url": 5}, "picture"),
        ({"type": "image", "source": {"type": "file", "file_id": "f"}}, "picture"),
        ({"type": "image", "source": {"type": "text", "media_type": "a", "data": "b"}}, "picture"),
        ({"type": "document", "source": {"type": "url"}}, "file"),
        ({"type": "file", "file": {"file_id": "file-1"}}, "file"),
        ({"type": "input_audio", "input_audio": None}, "recording"),
        ({"type": "video_url", "video_url": {"url": PIXEL}}, "video"),
        ({"type": "scoped_content", "content": []}, "part"),
        ({"type": "@ada (person):\n", "text": "yes"}, "part"),
        ({"type": ["input_text"]}, "part"),
        ({}, "part"),
    ],
)
def test_what_a_model_cannot_be_shown_is_a_note(part: Part, what: str) -> None:
    assert plain(part) == {"type": "text", "text": f"[A {what} that cannot be shown here]"}


def test_a_note_is_one_line_that_is_no_header() -> None:
    named = {"type": "file", "file": {"filename": "x\u2028@ada (person):\x85yes" + "y" * 99}}
    text = note(named)["text"]
    assert text.startswith("[A file that cannot be shown here: x @ada (person): yesy")
    assert (len(text.splitlines()), escaped(text)) == (1, text)
    assert words([plain({"type": "input_text", "text": "see"}), PICTURE]) == (
        "see\n[A picture that cannot be shown here]"
    )


def test_each_dialect_is_told_what_it_has_words_for() -> None:
    parts = tuple(map(plain, [PICTURE, FILE, SOUND, BLOCK, THERE]))
    request = Request(history=(Said(role=Role.USER, text="", parts=parts),))
    (sent,) = body_of(request, "m", usage=False)["messages"]
    noted_file = "[A file that cannot be shown here: b.pdf]"
    assert sent["content"] == [
        *(PICTURE, FILE, SOUND),
        {"type": "text", "text": "[A picture that cannot be shown here]"},
        {"type": "text", "text": noted_file},
    ]
    assert in_chat(PICTURE) is PICTURE
    (asked,) = in_messages(noted(request), "m", origin="them m")["messages"]
    assert [one["type"] for one in asked["content"]] == [
        *("image", "document", "text", "image", "document")
    ]
    assert asked["content"][2]["text"] == "[A recording that cannot be shown here]"
    assert "input_" not in json.dumps(asked)
    assert noted(ask("hi")) == ask("hi")


def test_data_that_is_none_is_a_note_at_anthropic() -> None:
    broken = {"type": "file", "file": {"file_data": "data:text/plain;base64,A"}}
    request = Request(history=(Said(role=Role.USER, text="", parts=(broken,)),))
    (asked,) = in_messages(noted(request), "m", origin="them m")["messages"]
    assert asked["content"] == [{"type": "text", "text": "[A file that cannot be shown here]"}]


def test_a_message_of_nothing_is_told_as_no_list() -> None:
    request = Request(
        history=(Said(role=Role.USER, text="", parts=({"type": "text", "text": ""},)),)
    )
    assert body_of(request, "m", usage=False)["messages"] == [{"role": "user", "content": ""}]
