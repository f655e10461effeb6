"""`palaver search` and `palaver db reindex`, without a server; beside one: tests/wire/server/test_control.py."""

import asyncio
import json
from pathlib import Path

from tests.cli.test_prompts import palaver
from tests.core.search.test_query import WORST

import palaver as program
from palaver.errors import Refused


async def said(data: Path) -> None:
    async with program.open(f"sqlite:///{data}/palaver.db") as chat:
        ada = await chat.person("ada", name="Ada")
        room = await chat.room("Trip")
        await room.add(ada)
        for number in range(3):
            await room.say(ada, f"night train {number}")


def test_what_a_person_may_read_is_found(tmp_path: Path) -> None:
    asyncio.run(said(tmp_path))
    ada = ("--as", "ada")
    found = palaver(tmp_path, "search", '"night train"', *ada, "--limit", "2")
    assert found.exit_code == 0, found.exception
    lines = found.stdout.splitlines()
    assert lines[0].endswith("Trip  Ada: night train 2")
    assert lines[2].startswith("Go on with --cursor ")
    cursor = lines[2].rpartition(" ")[2]
    rest = palaver(tmp_path, "search", '"night train"', *ada, "--cursor", cursor, "--json")
    assert [hit["message"]["text"] for hit in json.loads(rest.stdout)["hits"]] == ["night train 0"]
    assert "Nothing was found." in palaver(tmp_path, "search", "plane", *ada, "--best").stdout


def test_any_text_is_answered_or_refused(tmp_path: Path) -> None:
    asyncio.run(said(tmp_path))
    for text in WORST:
        asked = palaver(tmp_path, "search", text, "--as", "ada")
        if len(text) > 500:
            assert isinstance(asked.exception, Refused)
        else:
            assert asked.exit_code == 0, (text, asked.exception)


def test_the_index_is_made_anew(tmp_path: Path) -> None:
    asyncio.run(said(tmp_path))
    (tmp_path / "palaver.db-search.db").unlink()
    made = palaver(tmp_path, "db", "reindex")
    assert made.exit_code == 0, made.exception
    assert made.stdout.splitlines()[-1] == "The search index is whole."
    after = json.loads(palaver(tmp_path, "search", "train", "--as", "ada", "--json").stdout)
    assert (after["complete"], len(after["hits"])) == (True, 3)
