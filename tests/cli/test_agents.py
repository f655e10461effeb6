"""`palaver agent …`, without a server; the same requests beside one: tests/wire/server/test_control.py."""

import json
from pathlib import Path

from tests.cards.test_characters import V2
from tests.cards.test_png import card, picture
from tests.cli.test_prompts import palaver

from palaver.errors import Code, Refused


def test_an_agent_is_made_of_a_file_shown_and_written_again(tmp_path: Path) -> None:
    assert palaver(tmp_path, "key", "create", "--as", "ada").exit_code == 0
    file = tmp_path / "maya.png"
    file.write_bytes(picture(card(b"chara", json.dumps(V2).encode())))
    made = palaver(tmp_path, "agent", "import", str(file))
    assert made.exit_code == 0, made.exception
    id_, *line = made.stdout.split()
    assert line == ["@maya", "Maya", "version", "1", "everyone"]
    assert made.stdout.strip() in palaver(tmp_path, "agent", "list").stdout
    assert "{{char}} sails." in palaver(tmp_path, "agent", "show", id_).stdout
    for form in ("json", "png", "palaver"):
        told = palaver(tmp_path, "agent", "export", "maya", str(file), "--format", form)
        assert told.exit_code == 0, told.exception
        again = palaver(
            tmp_path, "agent", "import", str(file), "--handle", f"maya-{form}", "--json"
        )
        assert json.loads(again.stdout)["handle"] == f"maya-{form}"
    for name, words, beginning in (
        ("x.PNG", (), b"\x89PNG"),
        ("x.json", (), b'{"palaver":"agent/1"'),
        ("y.png", ("--format", "palaver"), b'{"palaver":"agent/1"'),
    ):
        told = palaver(tmp_path, "agent", "export", "maya", str(tmp_path / name), *words)
        assert told.exit_code == 0, told.exception
        given = (tmp_path / name).read_bytes().replace(b" ", b"").replace(b"\n", b"")
        assert given.startswith(beginning), name
    file.write_text("<svg/>")
    for words, code in (
        (("import", str(file)), Code.CARD_INVALID),
        (("show", "nobody"), Code.AGENT_NOT_FOUND),
        (("export", "maya", str(file), "--format", "pdf"), Code.BAD_REQUEST),
    ):
        refused = palaver(tmp_path, "agent", *words).exception
        assert isinstance(refused, Refused)
        assert refused.code is code
