"""What `/metrics` tells, read with the library's own parser."""

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.support.upstream import ScriptedUpstream, refuse, reply
from tests.wire.door import Door, new_room, open_door

from palaver.errors import Code
from palaver.model import Status
from palaver.wire.pages import metrics
from palaver.wire.server.control import asked

KNOWN = {"", "other", *Code, *Status}


async def figures(door: Door) -> dict[str, float]:
    """Each figure by its name, behind which stand its end and its code."""
    got = await door.http().get("/metrics")
    assert (got.status_code, got.headers["content-type"]) == (200, metrics.MEDIA_TYPE)
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(got.text):
        assert family.documentation
        for sample in family.samples:
            assert set(sample.labels.values()) <= KNOWN, "a label could tell somebody's name"
            labels = [sample.labels.get(name, "") for name in ("end", "code")]
            found[" ".join(filter(None, [sample.name, *labels]))] = sample.value
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


@pytest.mark.usefixtures("impatient")
async def test_what_fails_is_counted_by_its_code(tmp_path: Path) -> None:
    async with open_door(tmp_path) as door:
        token, http = await door.guest()
        room = await new_room(http)
        path = f"/api/rooms/{room}/messages"
        async with door.live(token) as live:
            await live.ask(t="sub", room=room)
            for text, end in (("hello", "done"), ("/fail", "failed"), ("/slow", "stopped")):
                await live.say(room, text, cid=text)
                opened = await live.push("s.open")
                if end == "stopped":
                    await live.ask(t="stop", turn=opened["turn"])
                answer = await live.event(
                    "message.created", lambda frame: frame["d"]["role"] == "assistant"
                )
                assert answer["d"]["status"] == end
        assert (await http.post(path, json={"cid": "hello", "text": "else"})).status_code == 409
        with closing(sqlite3.connect(tmp_path / "palaver.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")  # a backup script gone wrong
            assert (await door.http().post("/api/guests", json={})).status_code == 503
            other.execute("ROLLBACK")
        found = await figures(door)
    assert found["palaver_answers_total done"] == 1
    assert found["palaver_answers_total failed provider_error"] == 1
    assert found["palaver_answers_total stopped"] == 1
    assert found["palaver_provider_errors_total provider_error"] == 1
    assert found["palaver_writes_refused_total cid_reused"] == 1
    assert found["palaver_writes_failed_total database_unavailable"] >= 1
    assert found["palaver_titles_missed_total"] == 0


async def test_errors_of_a_model_server_are_counted_whoever_asked_it(
    tmp_path: Path, models: ScriptedUpstream
) -> None:
    models.will(reply("hi"), refuse(400, {"error": {"message": "no title"}}))
    async with open_door(tmp_path, openai_base_url=models.base_url) as door:
        token, http = await door.guest()
        room = (await http.post("/api/rooms", json={})).json()["id"]
        async with door.live(token) as live:
            await live.ask(t="sub", room=room)
            await live.say(room, "hello")
            await live.event("message.created", lambda frame: frame["d"]["role"] == "assistant")
        asked = {"model": "scripted", "messages": [{"role": "user", "content": "hello"}]}
        while not (found := await figures(door))["palaver_titles_missed_total"]:
            pass
        models.will(refuse(401, {"error": {"message": "no key"}}))
        assert (await door.http().post("/v1/chat/completions", json=asked)).status_code == 401
        found = await figures(door)
    assert found["palaver_provider_errors_total provider_refused"] == 1
    assert found["palaver_provider_errors_total provider_auth"] == 1
    assert found["palaver_answers_total failed provider_auth"] == 1


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
    code = "import sys, palaver.wire.server.server; sys.exit('prometheus_client' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


async def test_every_figure_is_documented(door: Door) -> None:
    page = (Path(__file__).parents[3] / "docs" / "limits.md").read_text(encoding="utf-8")
    names = {name.partition(" ")[0] for name in await figures(door)}
    names |= {f"palaver_{name}_total" for name in metrics.COUNTERS_BY_CODE}
    ours = sorted(name for name in names if name.startswith("palaver_"))
    assert [name for name in ours if f"`{name}`" not in page] == []


async def test_from_another_machine_it_wants_a_key_for_it(door: Door) -> None:
    """What a proxy passed on comes from elsewhere, wherever the proxy is."""
    http = door.http(headers={"x-forwarded-for": "203.0.113.9"})

    async def told(scopes: list[str]) -> tuple[int, str]:
        request = {"do": "key.create", "name": None, "scopes": scopes, "as": None}
        token = (await asked(door.settings, request))["token"]
        got = await http.get("/metrics", headers={"authorization": f"Bearer {token}"})
        return got.status_code, got.text

    for headers in (
        {},
        {"authorization": "Bearer plv_" + "x" * 43},
        {"authorization": "Basic eA=="},
    ):
        got = await http.get("/metrics", headers=headers)
        assert (got.status_code, got.json()["code"]) == (401, "unauthenticated")
    for scopes in (["all"], ["read"], ["admin"]):
        status, text = await told(scopes)
        assert status == 403
        assert "'metrics'" in text
    status, text = await told(["metrics"])
    assert status == 200
    assert "palaver_readers 0.0" in text
    assert (await door.http().get("/metrics")).status_code == 200, "this machine needs none"


async def test_nobody_makes_themselves_a_key_for_it(door: Door) -> None:
    _, ada = await door.guest()
    refused = await ada.post("/api/keys", json={"scopes": ["metrics"]})
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    assert (await ada.get("/api/keys")).json() == {"keys": []}
