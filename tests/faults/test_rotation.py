"""`palaver secret rotate` is killed at any moment, again and again: every key of a model server can still be read."""

import asyncio
import random
import sqlite3
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path

import pytest
from pydantic import SecretStr
from tests.support.server import clean_environment

from palaver.core.runtime import started
from palaver.model import ServerRole
from palaver.model.profiles import Given
from palaver.settings import Settings
from palaver.store.sealing import SECRET_BYTES, SECRETS_MAX, Secret

pytestmark = [pytest.mark.fault]

COUNT = 45
SECONDS_MAX = 60
ROTATE = """
from palaver.store.write import profiles
profiles.SEALED_AT_ONCE = 3
from palaver.cli.main import app
app(["secret", "rotate", "--data-dir", "data"])
"""


def key_of(number: int) -> str:
    return f"sk-planted-{number}"


async def keep_many(settings: Settings) -> None:
    async with started(settings) as core:
        await core.register.create("ow", role=ServerRole.OWNER)
        owner = (await core.register.get("ow")).actor
        for number in range(COUNT):
            one = Given(
                name=f"n-{number}", base_url="http://127.0.0.1:9", key=SecretStr(key_of(number))
            )
            await core.model_profiles.keep(owner, one, own=False)


def readable(settings: Settings) -> Sequence[str]:
    """The keys, as a server that starts opens them."""
    with closing(sqlite3.connect(settings.data_dir / "palaver.db")) as conn:
        rows = conn.execute("SELECT lower(hex(id)), sealed FROM profiles").fetchall()
    opened = [Secret(settings).opened(sealed, f"f_{id_} key") for id_, sealed in rows]
    return sorted(one.get_secret_value() for one in opened if one is not None)


def rotating(folder: Path) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-P", "-c", ROTATE]
    return subprocess.Popen(
        command, cwd=folder, env=clean_environment({}), stdout=subprocess.DEVNULL
    )


def killed(folder: Path, seconds: float) -> bool:
    """A rotation that is killed so long after it has put its new secret; whether it was in the middle of it."""
    file = folder / "data" / "secret.key"
    before, process = file.read_bytes(), rotating(folder)
    until = time.monotonic() + SECONDS_MAX
    while process.poll() is None and file.read_bytes() == before:
        assert time.monotonic() < until
    with suppress(subprocess.TimeoutExpired):
        process.wait(seconds)
    process.kill()
    process.wait(SECONDS_MAX)
    return file.stat().st_size > SECRET_BYTES


def test_a_rotation_that_is_killed_loses_no_key(tmp_path: Path) -> None:
    lose(tmp_path, 1)


@pytest.mark.torture
@pytest.mark.timeout(900)
def test_rotations_that_are_killed_more_often_than_a_file_holds_secrets_lose_no_key(
    tmp_path: Path,
) -> None:
    lose(tmp_path, SECRETS_MAX + 1)


def lose(folder: Path, kills: int) -> None:
    """Kills so many in the middle."""
    chance, settings = random.Random(kills), Settings(data_dir=folder / "data", detect=False)
    keys = sorted(map(key_of, range(COUNT)))
    asyncio.run(keep_many(settings))
    while kills > 0:
        kills -= killed(folder, chance.choice([0, 0, 0.005, 0.01, 0.02]))
        assert readable(settings) == keys
    old = (folder / "data" / "secret.key").read_bytes()
    assert rotating(folder).wait(SECONDS_MAX) == 0
    assert readable(settings) == keys
    new = (folder / "data" / "secret.key").read_bytes()
    assert len(new) == SECRET_BYTES
    assert new not in old, "nothing is left of the old ones"
