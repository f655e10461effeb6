"""The log: no command reaches a terminal through it, and no secret stands in it."""

import asyncio
import json
import logging
from pathlib import Path

import pytest
import structlog
from tests.wire.door import open_door, settings_for

from palaver.wire.edge import logs


def test_control_characters_are_written_out() -> None:
    event = {"event": "a\x1b]52;c;x\x07\n", "n": 1, "exception": "one\ntwo\x1b[2J"}
    shown = logs.escaped(None, "", dict(event))
    assert shown == {"event": r"a\x1b]52;c;x\x07\n", "n": 1, "exception": "one\ntwo\\x1b[2J"}


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_every_logger_ends_in_one_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], log_format: str
) -> None:
    logs.configure(settings_for(tmp_path, log_format=log_format))
    structlog.stdlib.get_logger("palaver.x").info("ours", name="\x1b[31m\u202e")
    logging.getLogger("somebody.else").warning("theirs %s", "\x1b[2J")
    logging.getLogger("uvicorn.error").info("GET /ws?token=SECRET")
    broken_on_purpose = "ASGI callable returned without completing response."
    logging.getLogger("uvicorn.error").error(broken_on_purpose)
    cut = asyncio.CancelledError("by a stop")
    logging.getLogger("uvicorn.error").error("Exception in ASGI application\n", exc_info=cut)
    try:
        int("\x1b]0;title\x07")
    except ValueError:
        structlog.stdlib.get_logger("palaver.x").exception("broken")
    written = capsys.readouterr().err
    assert "ours" in written
    assert "theirs" in written
    assert "ValueError" in written
    assert "SECRET" not in written
    assert "without completing" not in written
    assert "Exception in ASGI" not in written
    for raw in ("\x1b[31m\u202e", "\x1b[2J", "\x1b]0;", "\x07"):
        assert raw not in written
    if log_format == "json":
        first = json.loads(written.splitlines()[0])
        assert (first["event"], first["level"], first["logger"]) == ("ours", "info", "palaver.x")


async def test_a_request_leaves_one_line_without_its_query(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_door(tmp_path) as door:
        monkeypatch.setattr(logs, "SLOW_SECONDS", -1)
        await door.http().get("/health?token=SECRET", headers={"authorization": "Bearer SECRET2"})
        token, _ = await door.guest()
        async with door.live(token) as live:
            await live.ask(t="ping")
    written = capsys.readouterr()
    text = written.out + written.err
    assert "/health" in text
    assert "SECRET" not in text
    assert token not in text


async def test_only_slow_and_failed_requests_are_worth_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_door(tmp_path) as door:
        logs.configure(settings_for(tmp_path, log_format="json"))
        monkeypatch.setattr(logs, "SLOW_SECONDS", 90.0)
        await door.http().get("/health")
        token, _ = await door.guest()
        async with door.live(token) as live:
            await live.ask(t="ping")
        await door.http().get("/missing")
        monkeypatch.setattr(logs, "SLOW_SECONDS", -1)
        await door.http().get("/health")
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    told = [line for line in lines if line["logger"] == "palaver.access"]
    assert [(line["path"], line["status"]) for line in told] == [
        ("/missing", 404),
        ("/health", 200),
    ]
