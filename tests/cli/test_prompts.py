"""`palaver prompt …`, without a server; beside one: tests/wire/server/test_control.py."""

import json
from pathlib import Path

from typer.testing import CliRunner, Result

from palaver.cli.main import app
from palaver.errors import Code, Refused


def palaver(data: Path, *words: str, given: str | None = None) -> Result:
    return CliRunner().invoke(app, [*words, "--data-dir", str(data)], input=given)


def test_a_prompt_is_kept_shown_and_taken_away(tmp_path: Path) -> None:
    ada = ("--as", "ada")
    assert palaver(tmp_path, "key", "create", *ada).exit_code == 0
    empty = palaver(tmp_path, "prompt", "list", *ada)
    assert "There are no prompts yet." in empty.stdout
    text = "Greet {{who}}.\nIn {{language}}. ä😀"
    made = palaver(tmp_path, "prompt", "add", "-", "--name", "Greeting", *ada, given=text)
    assert made.exit_code == 0, made.exception
    id_, *line = made.stdout.split()
    assert (id_[:5], line) == ("pmpt_", ["Greeting", "version", "1", "language,who"])
    assert palaver(tmp_path, "prompt", "show", id_, *ada).stdout == f"{text}\n"
    file = tmp_path / "second.txt"
    file.write_text("Hi!")
    second = palaver(tmp_path, "prompt", "add", str(file), "--of", id_, *ada, "--json")
    assert json.loads(second.stdout)["prompt"]["version"] == "2"
    listed = json.loads(palaver(tmp_path, "prompt", "list", *ada, "--json").stdout)["prompts"]
    assert [(one["id"], one["name"], one["version"]) for one in listed] == [(id_, "Greeting", "2")]
    first = palaver(tmp_path, "prompt", "show", id_, "--version", "1", *ada, "--json")
    assert json.loads(first.stdout)["prompt"]["text"] == text
    assert "is gone" in palaver(tmp_path, "prompt", "rm", id_, *ada).stdout
    gone = palaver(tmp_path, "prompt", "show", id_, *ada).exception
    assert isinstance(gone, Refused)
    assert gone.code is Code.NOT_FOUND


def test_what_cannot_be_is_refused(tmp_path: Path) -> None:
    nowhere = palaver(tmp_path / "none", "prompt", "list", "--as", "ada").exception
    assert isinstance(nowhere, Refused)
    assert nowhere.code is Code.DATABASE_MISSING
    assert palaver(tmp_path, "key", "create", "--as", "ada").exit_code == 0
    for words, code in (
        (("list", "--as", "bo"), Code.NOT_FOUND),
        (("list", "--as", "assistant"), Code.NOT_FOUND),
        (("add", "-", "--as", "ada"), Code.BAD_REQUEST),
        (("add", "-", "--as", "ada", "--of", "pmpt_1"), Code.NOT_FOUND),
        (("rm", "pmpt_1", "--as", "ada"), Code.NOT_FOUND),
    ):
        refused = palaver(tmp_path, "prompt", *words, given="Hi").exception
        assert isinstance(refused, Refused), words
        assert refused.code is code, words
