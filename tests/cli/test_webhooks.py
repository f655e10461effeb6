"""`palaver webhook …`, without a server; beside one: tests/faults/test_webhooks.py."""

import json
import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from standardwebhooks import Webhook
from tests.store.archives import execute
from typer.testing import CliRunner, Result

from palaver.cli.main import app
from palaver.errors import Code, Refused


def palaver(data: Path, *words: str) -> Result:
    return CliRunner().invoke(app, [*words, "--data-dir", str(data)])


@contextmanager
def receiver() -> Generator[tuple[str, list[tuple[bytes, dict[str, str]]]]]:
    """A receiver that takes all, and what it was told."""
    told: list[tuple[bytes, dict[str, str]]] = []

    class Told(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            told.append((body, {name.lower(): value for name, value in self.headers.items()}))
            self.send_response(202)
            self.end_headers()

    server = HTTPServer(("127.0.0.1", 0), Told)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/", told
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_one_is_made_tried_turned_off_and_taken_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PALAVER_PROFILE_NETWORKS", "127.0.0.1")
    assert palaver(tmp_path, "key", "create", "--as", "ada").exit_code == 0
    assert "There are no webhooks yet." in palaver(tmp_path, "webhook", "list").stdout
    with receiver() as (url, told):
        made = palaver(tmp_path, "webhook", "add", url, "--as", "ada", "--types", "message.created")
        assert made.exit_code == 0, made.exception
        id_, shown, *_ = made.stdout.split()
        secret = made.stdout.split()[-1]
        assert (id_[:2], shown, secret[:6]) == ("h_", url, "whsec_")
        assert secret not in palaver(tmp_path, "webhook", "list").stdout
        tested = palaver(tmp_path, "webhook", "test", id_)
        assert tested.exit_code == 0
        assert "chat.palaver.ping  test  done  202 in" in tested.stdout
        assert Webhook(secret).verify(*told[0])["type"] == "chat.palaver.ping"
        rotated = json.loads(palaver(tmp_path, "webhook", "rotate", id_, "--json").stdout)
        listed = palaver(tmp_path, "webhook", "deliveries", id_)
        delivery = listed.stdout.split()[0]
        assert "tries 2" in palaver(tmp_path, "webhook", "replay", id_, delivery).stdout
        assert Webhook(rotated["secret"]).verify(*told[1])
        assert told[0][1]["webhook-id"] == told[1][1]["webhook-id"] == delivery
    assert "off (owner)" in palaver(tmp_path, "webhook", "disable", id_).stdout
    assert palaver(tmp_path, "webhook", "enable", id_).stdout.rstrip().endswith("on")
    assert "is gone" in palaver(tmp_path, "webhook", "rm", id_).stdout
    for words in (("rm", id_), ("test", id_), ("deliveries", id_)):
        refused = palaver(tmp_path, "webhook", *words).exception
        assert isinstance(refused, Refused)
        assert refused.code is Code.WEBHOOK_NOT_FOUND


def test_what_did_not_arrive_is_told_with_why_and_ends_with_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PALAVER_PROFILE_NETWORKS", "127.0.0.1")
    assert palaver(tmp_path, "key", "create", "--as", "ada").exit_code == 0
    id_ = palaver(tmp_path, "webhook", "add", "http://127.0.0.1:9/", "--as", "ada").stdout.split()[
        0
    ]
    tested = palaver(tmp_path, "webhook", "test", id_)
    assert tested.exit_code == 1
    assert "ping  test  failed  no answer  tries 1" in tested.stdout
    delivery = tested.stdout.split()[0]
    monkeypatch.delenv("PALAVER_PROFILE_NETWORKS")
    again = palaver(tmp_path, "webhook", "replay", id_, delivery, "--json")
    assert again.exit_code == 1
    assert json.loads(again.stdout)["delivery"]["problem"] == "address_not_allowed"
    waits = "1, 'message.created', 'waiting', 1764547200000, 1764547200000"
    names = "seq, type, state, due_ms, created_ms, webhook_key, id, attempts, code, took_ms"
    rows = [f"({waits}, 1, randomblob(16), {told})" for told in ("0, NULL, NULL", "2, 500, 7")]
    insert = f"INSERT INTO deliveries ({names}) VALUES {', '.join(rows)}"
    execute(f"sqlite:///{tmp_path / 'palaver.db'}", insert)
    listed = palaver(tmp_path, "webhook", "deliveries", id_)
    tried, never, first = [line.split("  ", 2)[1:] for line in listed.stdout.splitlines()]
    at = "2025-12-01T00:00:00.000Z"
    assert never == [at, "chat.palaver.message.created  test  waits"]
    assert tried[1].endswith(f"waits  500 in 7 ms  tries 2  next {at}")
    assert first[1].endswith("its address is not public (PALAVER_PROFILE_NETWORKS)  tries 2")
