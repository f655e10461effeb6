"""`palaver mcp`: a real process between the SDK's own client and a running server."""

import sys
from pathlib import Path

import pytest
from mcp import Client
from mcp.client.stdio import StdioServerParameters
from tests.support.server import clean_environment
from tests.wire.door import open_door
from tests.wire.test_mcp import person
from typer.testing import CliRunner

from palaver.cli.main import app
from palaver.errors import Code, Refused
from palaver.wire.mcp import tools


def program(key: str, *options: str) -> StdioServerParameters:
    return StdioServerParameters(
        command=sys.executable,
        args=["-P", "-m", "palaver", "mcp", *options],
        env=clean_environment({"PALAVER_KEY": key}),
    )


@pytest.mark.slow  # a process
async def test_a_program_searches_and_reads_over_its_pipes(tmp_path: Path) -> None:
    async with open_door(tmp_path / "data") as door:
        ada, text = await person(door), "the night train 🚂\n| x"
        await ada.room("Trip", text)
        async with Client(program(ada.key, "--url", f"{door.url}/"), mode="legacy") as client:
            listed = (await client.list_tools()).tools
            assert [one.name for one in listed] == ["list_rooms", "search", "read"]
            found = (await client.call_tool("search", {"query": "train"})).structured_content
            assert [hit["text"] for hit in found["hits"]] == [text]
            refused = await client.call_tool("read", {"room": "r_none"})
            assert refused.is_error
            assert "room_not_found: " in str(refused.content)
            huge = await client.call_tool("search", {"query": "x" * 10_000_000})
            assert "payload_too_large: " in str(huge.content)
            await ada.lose_key()
            revoked = await client.call_tool("list_rooms", {})
            assert "unauthenticated: " in str(revoked.content)


@pytest.mark.slow  # a process
async def test_a_server_that_was_away_is_found_again(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with open_door(data) as door:
        key = (await person(door)).key
    async with Client(program(key, "--data-dir", str(data))) as client:
        assert [one.name for one in (await client.list_tools()).tools] == list(tools.TOOLS)
        away = await client.call_tool("list_rooms", {})
        assert away.is_error
        assert "`palaver serve` starts it" in str(away.content)
        for _ in range(2):  # each at a port of its own
            async with open_door(data):
                assert not (await client.call_tool("list_rooms", {})).is_error


@pytest.mark.parametrize("key", ["", "plv_\n\x1b[31m", "plv_ü"])
def test_without_a_key_it_says_what_it_needs(tmp_path: Path, key: str) -> None:
    words = ["mcp", "--data-dir", str(tmp_path)]
    refused = CliRunner().invoke(app, words, env={"PALAVER_KEY": key}).exception
    assert isinstance(refused, Refused)
    assert refused.code is Code.SETTINGS_INVALID
    assert "palaver key create" in refused.detail


def test_without_the_extra_it_says_how_to_add_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mcp", None)
    refused = CliRunner().invoke(app, ["mcp"], env={"PALAVER_KEY": "plv_x"}).exception
    assert isinstance(refused, Refused)
    assert "pip install 'palaver[mcp]'" in refused.detail
