"""What `/metrics` tells, read with the library's own parser."""

import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.wire.door import Door, new_room, open_door

from palaver.wire import metrics


async def figures(door: Door) -> dict[str, float]:
    got = await door.http().get("/metrics")
    assert (got.status_code, got.headers["content-type"]) == (200, metrics.MEDIA_TYPE)
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(got.text):
        assert family.documentation
        for sample in family.samples:
            assert sample.labels == {}, "a label could tell somebody's name"
            found[sample.name] = sample.value
    return found


async def test_what_happens_is_counted(door: Door) -> None:
    before = await figures(door)
    token, http = await door.guest()
    room = await new_room(http, "Secret plans")
    async with door.live(token) as live:
        await live.ask(t="sub", room=room)
        await live.say(room, "hello")
        await live.event("message.created", lambda frame: frame["d"]["role"] == "assistant")
        during = await figures(door)
    assert during["palaver_commits_total"] > before["palaver_commits_total"]
    assert during["palaver_events_total"] >= before["palaver_events_total"] + 3
    assert during["palaver_journal_records_total"] > 0
    assert during["palaver_journal_bytes_total"] > during["palaver_journal_records_total"]
    assert (before["palaver_readers"], during["palaver_readers"]) == (0, 1)
    assert during["palaver_connections"] >= 2
    assert during["palaver_database_up"] == during["palaver_history_whole"] == 1
    for name in ("drafts_accepted_total", "drafts_lost_total", "connections_slow_closed_total"):
        assert during[f"palaver_{name}"] == 0


@pytest.mark.skipif(sys.platform != "linux", reason="the figures come from /proc")
async def test_the_process_tells_its_memory_and_files(door: Door) -> None:
    found = await figures(door)
    assert found["process_resident_memory_bytes"] > 10_000_000
    assert 0 < found["process_open_fds"] < found["process_max_fds"]


async def test_connections_beyond_the_bound_are_counted(tmp_path: Path) -> None:
    async with open_door(tmp_path, connections_max=1) as door:
        async with door.socket():
            assert (await door.http().get("/health")).status_code == 503
        found = await figures(door)
    assert found["palaver_connections_crowded_out_total"] >= 1


async def test_a_foreign_name_is_told_nothing(door: Door) -> None:
    got = await door.http().get("/metrics", headers={"host": "evil.example"})
    assert got.status_code == 400


def test_the_library_is_imported_when_somebody_asks() -> None:
    code = "import sys, palaver.wire.server; sys.exit('prometheus_client' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


async def test_every_figure_is_documented(door: Door) -> None:
    page = (Path(__file__).parents[2] / "docs" / "limits.md").read_text(encoding="utf-8")
    names = [name for name in await figures(door) if name.startswith("palaver_")]
    assert [name for name in names if f"`{name}`" not in page] == []
