"""`palaver audit`, without a server and beside one."""

import asyncio
import json
from pathlib import Path

import pytest
from tests.support.receiver import answers, receiving
from tests.wire.door import open_door
from typer.testing import CliRunner

import palaver as facade
from palaver.cli.main import app
from palaver.errors import Code, Refused
from palaver.wire.server.control import asked


def palaver(data: Path, *words: str) -> str:
    done = CliRunner().invoke(app, [*words, "--data-dir", str(data)])
    if done.exception is not None:
        raise done.exception
    return done.stdout


def test_what_happened_to_keys_is_shown_and_none_of_them(tmp_path: Path) -> None:
    made = json.loads(palaver(tmp_path, "key", "create", "--as", "ada", "--json"))
    key, owner = made["key"]["id"], made["key"]["actor"]["id"]
    palaver(tmp_path, "key", "revoke", key)
    told = palaver(tmp_path, "audit", "--json")
    events = json.loads(told)["events"]
    assert [(one["k"], one["by"], one["d"]) for one in events[1:]] == [
        ("key.created", None, {"key": key, "of": owner}),
        ("key.revoked", None, {"key": key, "of": owner}),
    ]
    assert made["token"] not in told
    *_, last = palaver(tmp_path, "audit").splitlines()
    assert last.endswith(f"key.revoked  by the operator  key {key}  of {owner}")


def test_without_a_database_there_is_nothing_to_show(tmp_path: Path) -> None:
    with pytest.raises(Refused) as refused:
        palaver(tmp_path / "none", "audit")
    assert refused.value.code is Code.DATABASE_MISSING


def test_what_happens_is_followed_line_by_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    palaver(tmp_path, "key", "create")
    waited: list[float] = []

    def wait(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 3:
            raise KeyboardInterrupt
        if len(waited) == 2:
            palaver(tmp_path, "key", "create")

    monkeypatch.setattr("palaver.cli.audit.sleep", wait)
    done = CliRunner().invoke(app, ["audit", "--follow", "--json", "--data-dir", str(tmp_path)])
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    kinds = [one["k"] for one in lines]
    assert kinds == ["room.created", "key.created", "key.created"]
    assert [one["seq"] for one in lines] == [1, 2, 3]


async def test_a_running_server_is_asked(tmp_path: Path) -> None:
    async with open_door(tmp_path) as door:
        _, http = await door.guest()
        assert (await http.post("/api/keys", json={})).status_code == 201
        me = (await http.get("/api/me")).json()["id"]
        events = (await asked(door.settings, {"do": "audit", "after": 1}))["events"]
        assert [(one["seq"], one["k"], one["by"]) for one in events] == [(2, "key.created", me)]


async def test_a_failed_sign_in_is_said_to_be_nobodys_and_what_is_empty_is_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("palaver.core.runtime.FAILURES_SECONDS", 0.1)
    async with open_door(tmp_path) as door:
        _, http = await door.guest()
        wrong = {"handle": "ada", "password": "not this one", "replace": True}
        assert (await http.post("/api/sign-in", json=wrong)).status_code == 401
        async with asyncio.timeout(30):
            while not (await asked(door.settings, {"do": "audit", "after": 1}))["events"]:
                pass
    for command in ("create", "disable"):
        await asyncio.to_thread(palaver, tmp_path, "user", command, "ada")
    lines = (await asyncio.to_thread(palaver, tmp_path, "audit")).splitlines()
    assert lines[1].endswith("signin.failed  count 1")
    assert lines[-1].endswith("status disabled")


async def test_what_the_server_ended_is_not_said_to_be_the_operators(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PALAVER_PROFILE_NETWORKS", "127.0.0.1")
    async with receiving() as receiver:
        receiver.default = answers(410)
        async with facade.open(f"sqlite:///{tmp_path}/palaver.db") as chat:
            hook, _ = await chat.webhooks.add(receiver.url)
            await (await chat.room("here")).say(await chat.person("ada"), "hi")
            async with asyncio.timeout(30):
                while not (await chat.webhooks.all())[0].ended:  # noqa: ASYNC110  the receiver says so
                    await asyncio.sleep(0.01)
    *_, last = (await asyncio.to_thread(palaver, tmp_path, "audit")).splitlines()
    assert last.endswith(f"webhook.ended  webhook {hook.id}  of {hook.owner}  why gone")
