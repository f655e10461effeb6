"""Where the server of a data directory answers, by what it noted there."""

import socket
from pathlib import Path

from tests.wire.door import Door, settings_for

from palaver.wire.server.note import NOTE, noted, url_of


def test_nobody_answers_where_nothing_is_noted(tmp_path: Path) -> None:
    settings = settings_for(tmp_path)
    assert url_of(settings) is None
    (tmp_path / NOTE).write_text("no JSON")
    assert url_of(settings) is None


async def test_a_running_server_answers_where_it_noted(door: Door) -> None:
    assert url_of(door.settings) == door.url


def test_a_note_that_a_killed_server_left_says_nothing(tmp_path: Path) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with noted(tmp_path, url) as write:
            write()
            assert (tmp_path / NOTE).stat().st_mode & 0o777 == 0o600
            assert url_of(settings_for(tmp_path)) is None
            listener.listen()
            assert url_of(settings_for(tmp_path)) == url
        assert not (tmp_path / NOTE).exists()
