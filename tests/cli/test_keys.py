"""`palaver key …`, beside a server and without one."""

from pathlib import Path

import httpx2
import pytest
from tests.support.command import palaver
from tests.support.server import Serve

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
