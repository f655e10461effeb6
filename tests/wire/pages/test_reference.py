"""/docs: readable without a network, and without anything that the Content-Security-Policy blocks."""

import re

from tests.wire.door import Door

from palaver.wire.pages import reference


async def test_the_reference_needs_nothing_from_elsewhere(door: Door) -> None:
    http = door.http()
    text = (await http.get("/docs")).text
    assert "/api/rooms/{room}/messages" in text
    assert "Message" in text
    assert not re.search(r"<script|style=|<style|https?://", text)
    assert (await http.get("/docs.css")).headers["content-type"].startswith("text/css")


def test_what_a_document_says_is_shown_as_text() -> None:
    shown = reference.render(
        {
            "info": {"title": "<b>", "version": "1", "description": "<i>"},
            "paths": {
                "/<x>": {
                    "get": {
                        "summary": "<s>",
                        "parameters": [
                            {"name": "<p>", "in": "query", "schema": {"type": "integer"}}
                        ],
                        "responses": {"200": {"description": "<d>"}},
                    }
                }
            },
            "components": {
                "schemas": {
                    "Thing": {
                        "required": ["id"],
                        "properties": {
                            "id": {"type": "string"},
                            "next": {
                                "anyOf": [{"$ref": "#/components/schemas/Thing"}, {"type": "null"}]
                            },
                            "all": {"type": "array", "items": {"enum": ["<e>"]}},
                        },
                    }
                }
            },
        }
    )
    for mark in ("<b>&lt;b&gt;", "<i>", "<s>", "<x>", "<d>", "<e>"):
        assert mark not in shown
    assert "&lt;x&gt;" in shown
    assert "<a href=#Thing>Thing</a> or null" in shown
    assert "list of <code>&lt;e&gt;</code>" in shown
