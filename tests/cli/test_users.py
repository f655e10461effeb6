"""`palaver user …`, beside a server and without one."""

from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.support.command import palaver
from tests.support.server import Serve

pytestmark = pytest.mark.slow  # each test starts processes

PASSWORD = "correct horse battery"


def test_an_account_is_made_renamed_and_listed_without_a_server(
    database_url: str, tmp_path: Path
) -> None:
    where = ("--database-url", database_url)
    made = palaver(tmp_path, "user", "create", "Ada", "--name", "Ada L.", *where)
    assert made.code == 0, made.err
    url, _, line = made.out.splitlines()
    assert "/reset#" in url
    assert line.startswith("@ada  Ada L.  u_")
    twice = palaver(tmp_path, "user", "create", "ad4", "--name", "x", *where)
    assert twice.code == 0, "another handle"
    taken = palaver(tmp_path, "user", "create", "a.da", *where)
    assert taken.code == 0
    alike = palaver(tmp_path, "user", "create", "a-da", *where)
    assert alike.code != 0
    assert "[handle_taken]" in alike.err
    renamed = palaver(tmp_path, "user", "rename", "ada", "lovelace", *where)
    assert renamed.out.startswith("@lovelace  Ada L.")
    listed = palaver(tmp_path, "user", "list", *where, "--json").json["users"]
    assert sorted(one["handle"] for one in listed) == ["a.da", "ad4", "lovelace"]
    assert url.partition("#")[2] not in palaver(tmp_path, "user", "list", *where).out
    made = palaver(tmp_path, "key", "create", "--as", "script", *where, "--json").json["key"]
    claimed = palaver(tmp_path, "user", "claim", "lovelace", "script", *where)
    assert claimed.out == renamed.out
    [key] = palaver(tmp_path, "key", "list", *where, "--json").json["keys"]
    assert (key["id"], key["actor"]["name"]) == (made["id"], "Ada L.")
    nobody = palaver(tmp_path, "user", "disable", "ada", *where)
    assert "[not_found]" in nobody.err


def test_a_key_and_a_prompt_as_a_handle_are_those_of_its_account(tmp_path: Path) -> None:
    where = ("--data-dir", str(tmp_path), "--json")
    ada = palaver(tmp_path, "user", "create", "ada", "--name", "Ada L.", *where).json["user"]["id"]
    key = palaver(tmp_path, "key", "create", "--as", "ada", *where).json["key"]
    assert key["actor"] == {**key["actor"], "id": ada, "name": "Ada L."}
    assert palaver(tmp_path, "prompt", "list", "--as", "ada", *where).code == 0
    script = palaver(tmp_path, "key", "create", "--as", "script", *where).json["key"]["actor"]
    assert script["id"] != ada, "who has no account is made, as before"


async def test_who_is_made_beside_a_server_signs_in_and_is_shut_out(
    serve: Serve, tmp_path: Path
) -> None:
    server = await serve()
    where = ("--data-dir", str(server.data), "--json")
    made = palaver(tmp_path, "user", "create", "ada", *where)
    assert made.code == 0, made.err
    key = palaver(tmp_path, "key", "create", "--as", made.json["user"]["id"], *where)
    ticket = made.json["url"].partition("#")[2]
    async with httpx2.AsyncClient(base_url=server.url, trust_env=False, timeout=90) as client:
        chosen = {"token": ticket, "password": PASSWORD}
        entered = await client.post("/api/reset", json=chosen)
        assert entered.status_code == 200, entered.text
        assert (await client.get("/api/me")).json()["id"] == made.json["user"]["id"]
        assert (await client.post("/api/reset", json=chosen)).status_code == 410, "once"
        ended = palaver(tmp_path, "user", "disable", "ada", *where)
        assert ended.json["user"]["status"] == "disabled"
        refused = await client.get("/api/me")
        assert (refused.status_code, refused.json()["code"]) == (403, "account_disabled")
        headers = {"authorization": f"Bearer {key.json['token']}"}
        assert (await client.get("/v1/conversations", headers=headers)).status_code == 403
        assert palaver(tmp_path, "user", "enable", "ada", *where).code == 0
    async with httpx2.AsyncClient(base_url=server.url, trust_env=False, timeout=90) as client:
        signing = {"handle": "ada", "password": PASSWORD}
        assert (await client.post("/api/sign-in", json=signing)).status_code == 200
        again = palaver(tmp_path, "user", "reset", "ada", *where).json["url"]
        other = {"token": again.partition("#")[2], "password": "another horse battery"}
        assert (await client.post("/api/reset", json=other)).status_code == 200
        assert (await client.post("/api/sign-in", json=signing)).status_code == 401
        doubted = palaver(tmp_path, "user", "delete", "ada", *where)
        assert doubted.code == 1, "it asks, and nobody answers"
        deleted = palaver(tmp_path, "user", "delete", "ada", "--yes", *where)
        assert deleted.json == {"deleted": "ada"}
        assert (await client.get("/api/me")).json()["code"] == "session_ended"
        again = palaver(tmp_path, "user", "delete", "ada", "--yes", *where)
        assert again.json["error"]["code"] == "not_found"
    assert ticket not in server.tail()


def test_roles_are_given_and_the_last_owner_stays(database_url: str, tmp_path: Path) -> None:
    where = ("--database-url", database_url, "--json")

    def user(*words: str) -> Any:
        return palaver(tmp_path, "user", *words, *where)

    assert user("create", "ada", "--owner").json["user"]["role"] == "owner"
    assert user("create", "bo", "--admin").json["user"]["role"] == "admin"
    assert user("create", "cy").json["user"]["role"] == "person"
    assert user("role", "cy", "king").json["error"]["code"] == "bad_request"
    assert user("role", "ada", "person").json["error"]["code"] == "last_owner"
    assert user("disable", "ada").json["error"]["code"] == "last_owner"
    assert user("role", "bo", "owner").json["user"]["role"] == "owner"
    assert user("role", "ada", "person").json["user"]["role"] == "person"
