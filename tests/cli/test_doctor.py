import asyncio
import os
import socket
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from tests.support.command import Done, palaver
from tests.support.server import Serve
from tests.support.upstream import scripted_upstream

pytestmark = pytest.mark.slow  # each test starts processes

NAMES = ["python", "address", "port", "data directory", "disk", "page"]


def states(done: Done) -> dict[str, str]:
    return {check["name"]: check["state"] for check in done.json["checks"]}


def found(done: Done, name: str) -> str:
    return next(check["found"] for check in done.json["checks"] if check["name"] == name)


def doctor(folder: Path, *arguments: str, **environment: str) -> Done:
    return palaver(folder, "doctor", "--json", *arguments, environment=environment)


def test_a_healthy_place_is_told_so(tmp_path: Path) -> None:
    assert palaver(tmp_path, "db", "upgrade").code == 0
    done = doctor(tmp_path)
    assert (done.code, done.json["ok"]) == (0, True)
    assert list(states(done))[: len(NAMES)] == NAMES
    assert {"sqlite", "database", "integrity", "tables", "model"} <= set(states(done))
    assert states(done)["integrity"] == "ok"
    assert states(done)["model"] == "warn"  # the offline agent, and how to connect a model
    text = palaver(tmp_path, "doctor")
    assert text.code == 0
    assert "All is well." not in text.out, "there is a warning"
    assert text.out.endswith("A server works here. The arrows (→) say what could be better.\n")


def test_a_damaged_file_is_found(tmp_path: Path) -> None:
    assert palaver(tmp_path, "db", "upgrade").code == 0
    path = tmp_path / "data" / "palaver.db"
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    content = bytearray(path.read_bytes())
    content[4096:8192] = os.urandom(4096)
    path.write_bytes(content)
    done = doctor(tmp_path)
    assert done.code == 1
    assert "fail" in {states(done)["integrity"], states(done)["tables"]}


async def test_a_running_server_is_seen_and_left_alone(serve: Serve) -> None:
    server = await serve()
    done = doctor(server.data, "--data-dir", str(server.data))
    assert done.code == 0
    assert str(server.pid) in found(done, "database")
    assert states(done)["integrity"] == "ok"
    assert server.alive


async def test_what_a_running_server_says_is_told(serve: Serve) -> None:
    async with scripted_upstream() as upstream:
        server = await serve(environment={"OPENAI_BASE_URL": upstream.base_url})
        done = await asyncio.to_thread(doctor, server.data, "--data-dir", str(server.data))
    assert found(done, "port") == f"the server of this data directory answers at {server.url}"
    assert states(done)["model"] == "ok"
    assert "scripted" in found(done, "model")
    await server.kill()
    done = doctor(server.data, "--data-dir", str(server.data))
    assert "answers at" not in found(done, "port"), "it was killed, and its server.json is there"
    assert states(done)["model"] == "warn"


def test_no_line_of_a_log_stands_before_what_was_found(tmp_path: Path) -> None:
    assert palaver(tmp_path, "db", "upgrade").code == 0
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}/v1"
        done = palaver(tmp_path, "doctor", environment={"OPENAI_BASE_URL": url})
    assert (done.code, done.err) == (0, "")
    assert "cannot be reached" in done.out


def test_a_taken_port_is_a_warning(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = doctor(tmp_path, PALAVER_PORT=str(taken.getsockname()[1]))
    assert (done.code, states(done)["port"]) == (0, "warn")


def test_a_public_address_at_which_everyone_is_a_guest_is_a_warning(tmp_path: Path) -> None:
    assert states(doctor(tmp_path, PALAVER_HOST="0.0.0.0"))["address"] == "ok"
    open_to_all = doctor(tmp_path, PALAVER_HOST="0.0.0.0", PALAVER_GUESTS="open")
    assert states(open_to_all)["address"] == "warn"


def test_that_there_is_no_owner_yet_is_told(tmp_path: Path) -> None:
    assert palaver(tmp_path, "user", "create", "bo", "--data-dir", str(tmp_path)).code == 0
    here = {"PALAVER_DATA_DIR": str(tmp_path)}
    assert states(doctor(tmp_path, **here))["owner"] == "ok"
    assert states(doctor(tmp_path, **here, PALAVER_HOST="0.0.0.0"))["owner"] == "warn"
    assert palaver(tmp_path, "user", "role", "bo", "owner", "--data-dir", str(tmp_path)).code == 0
    assert "owner" not in states(doctor(tmp_path, **here))


def test_a_data_directory_below_a_file_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    done = doctor(tmp_path, PALAVER_DATA_DIR=str(tmp_path / "file" / "data"))
    assert (done.code, done.json["error"]["code"]) == (3, "settings_invalid")
    assert f"{tmp_path / 'file'} is a file, and no folder" in done.json["error"]["detail"]


def test_a_provider_that_cannot_be_reached_is_a_warning(tmp_path: Path) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}/v1"
        done = doctor(tmp_path, OPENAI_BASE_URL=url)
    assert (done.code, states(done)["model"]) == (0, "warn")


def test_anthropic_is_looked_at_like_any_provider(tmp_path: Path) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        done = doctor(tmp_path, ANTHROPIC_BASE_URL=url, ANTHROPIC_API_KEY="sk-ant-secret")
    assert (done.code, states(done)["model"]) == (0, "warn")
    assert "Anthropic cannot be reached" in done.out
    assert "sk-ant-secret" not in done.out + done.err


@pytest.mark.postgres
def test_postgresql_is_asked_whether_commits_are_safe(tmp_path: Path, postgres_url: str) -> None:
    done = doctor(tmp_path, "--database-url", postgres_url)
    assert {"postgresql", "fsync", "full_page_writes", "synchronous_commit"} <= set(states(done))
    assert states(done)["tables"] == "ok"


def test_a_postgresql_that_is_away_fails_without_its_password(tmp_path: Path) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"postgresql://ada:secret@127.0.0.1:{nobody.getsockname()[1]}/chat"
        done = doctor(tmp_path, "--database-url", url)
    assert (done.code, states(done)["database"]) == (1, "fail")
    assert "secret" not in done.out + done.err
