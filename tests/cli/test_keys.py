"""`palaver key …`, beside a server and without one."""

from pathlib import Path

import httpx2
import pytest
from tests.support.command import palaver
from tests.support.server import Serve

from palaver.core.rooms import LOBBY

pytestmark = pytest.mark.slow  # each test starts processes


def test_a_key_is_shown_once(sqlite_url: str, tmp_path: Path) -> None:
    where = ("--database-url", sqlite_url)
    made = palaver(tmp_path, "key", "create", "--name", "Laptop", "--keep-unstored", *where)
    assert made.code == 0, made.err
    token, _, line = made.out.splitlines()
    assert "all,keep_unstored" in line
    assert token.startswith("plv_")
    assert "Laptop" in line
    listed = palaver(tmp_path, "key", "list", *where)
    assert "last used never" in listed.out
    assert token not in listed.out
    revoked = palaver(tmp_path, "key", "revoke", listed.out.split()[0], *where)
    assert revoked.code == 0
    assert "revoked 2" in revoked.out


@pytest.mark.postgres
def test_keys_on_postgres_speak_for_the_same_person(postgres_url: str, tmp_path: Path) -> None:
    where = ("--database-url", postgres_url, "--json")
    one = palaver(tmp_path, "key", "create", "--as", "ada", "--scopes", "read, chat", *where).json
    two = palaver(tmp_path, "key", "create", "--as", "ada", *where).json
    assert one["key"]["actor"] == two["key"]["actor"]
    assert (one["key"]["scopes"], two["key"]["scopes"]) == (["chat", "read"], ["all"])
    keys = palaver(tmp_path, "key", "list", *where).json["keys"]
    assert [key["id"] for key in keys] == [one["key"]["id"], two["key"]["id"]]


async def test_a_running_server_makes_the_key(serve: Serve, tmp_path: Path) -> None:
    server = await serve(environment={"PALAVER_LOG_LEVEL": "debug"})
    where = ("--data-dir", str(server.data), "--json")
    made = palaver(tmp_path, "key", "create", *where)
    assert made.code == 0, made.out
    person = made.json["key"]["actor"]
    more = palaver(tmp_path, "key", "create", "--as", person["id"], *where)
    assert more.json["key"]["actor"] == person
    headers = {"authorization": f"Bearer {made.json['token']}"}
    limits = ("--rooms", LOBBY, "--days", "1")
    limited = palaver(tmp_path, "key", "create", *limits, *where).json["key"]
    assert limited["rooms"] == [LOBBY]
    assert limited["expires_at"] > limited["created_at"]
    async with httpx2.AsyncClient(
        base_url=server.url, trust_env=False, headers=headers, timeout=90
    ) as client:
        assert (await client.get("/v1/conversations")).status_code == 200
        ended = palaver(tmp_path, "key", "revoke", made.json["key"]["id"], *where)
        assert ended.code == 0, ended.out
        refused = await client.get("/v1/conversations")
    assert refused.status_code == 401
    assert refused.json()["error"]["code"] == "invalid_api_key"
    assert made.json["token"] not in server.tail()


def test_looking_makes_no_database(tmp_path: Path) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    for command in (("list",), ("revoke", "k_1")):
        done = palaver(folder, "key", *command)
        assert done.code == 3
        assert "[database_missing]" in done.err
    assert list(folder.iterdir()) == []


def test_a_key_ends_and_is_limited_as_it_is_said(sqlite_url: str, tmp_path: Path) -> None:
    where = ("--database-url", sqlite_url)
    dated = ("--expires", "2100-01-31", "--scopes", "read")
    made = palaver(tmp_path, "key", "create", *dated, *where, "--json").json["key"]
    assert made["expires_at"].startswith("2100-01-31T00:00:00")
    assert made["rooms"] is None
    assert "expires 2100-01-31" in palaver(tmp_path, "key", "list", *where).out
    for wrong, code in (
        (("--days", "0"), "bad_request"),
        (("--expires", "2020-01-01"), "bad_request"),
        (("--expires", "never"), "bad_request"),
        (("--rooms", ","), "bad_request"),
        (("--rooms", "r_" + "0" * 32), "room_not_found"),
        (("--scopes", "fly"), "bad_request"),
    ):
        refused = palaver(tmp_path, "key", "create", *wrong, *where)
        assert refused.code, wrong
        assert f"[{code}]" in refused.err, refused.err
    assert len(palaver(tmp_path, "key", "list", *where, "--json").json["keys"]) == 1


def test_a_key_for_an_agent_makes_the_bot_where_there_is_none(
    sqlite_url: str, tmp_path: Path
) -> None:
    where = ("--database-url", sqlite_url, "--json")
    one, two = [palaver(tmp_path, "key", "create", "--agent", "maya", *where).json for _ in "12"]
    assert one["key"]["actor"] == two["key"]["actor"]
    assert one["key"]["actor"]["id"].startswith("a_")
    assert one["key"]["scopes"] == ["rooms"]
    card = palaver(tmp_path, "agent", "show", "maya", *where).json
    assert (card["bot"], card["handle"], card["audience"]) == (True, "maya", "everyone")
    refused = palaver(tmp_path, "key", "create", "--agent", "assistant", *where)
    assert (refused.code, refused.json["error"]["code"]) == (1, "name_reserved")
