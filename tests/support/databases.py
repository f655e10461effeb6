"""Databases as nearly every test begins with one: made by all revisions, with nothing in them.

To make one runs every revision, which takes longer than most tests do; so each test process makes one of each engine,
and all further ones are its copies, each with an epoch of its own. `empty_…` are for tests of that making.
"""

import secrets
import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

from tests.support.postgres import PostgresServer

from palaver.store import migrate

NAME = "palaver.db"
OURS = "template_palaver"


def copied(folder: Path) -> Path:
    """A new SQLite database in this folder, which may not be there yet; a database that is there stays."""
    path = folder / NAME
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        epoch, made = _made()
        path.write_bytes(made.replace(epoch, _new_epoch().encode()))
    return path


def copied_on(server: PostgresServer) -> str:
    """The name of a new PostgreSQL database."""
    if OURS not in server.databases:
        server.create_database(OURS)
        _upgrade(server.url(OURS))
    renew = f"UPDATE meta SET value = '{_new_epoch()}' WHERE name = 'epoch'"
    return server.create_database(template=OURS, then=renew)


@cache
def _made() -> tuple[bytes, bytes]:
    """A SQLite file that the revisions made, and its epoch, of which no page has a checksum."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / NAME
        _upgrade(f"sqlite:///{path}")
        made = path.read_bytes()
    at = made.index(b"epoche_") + len("epoch")
    epoch = made[at : at + len(_new_epoch())]
    assert made.count(epoch) == 1
    return epoch, made


def _upgrade(url: str) -> None:
    """In a thread of its own, because an event loop may run in this one."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(migrate.upgrade, url, lambda _: None).result()


def _new_epoch() -> str:
    return f"e_{secrets.token_hex(16)}"
