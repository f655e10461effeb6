"""A command of Palaver that kills itself as `kill -9` does, at a point that a test names.

`python -m tests.store.dying POINT COUNT ARGUMENTS` runs `palaver ARGUMENTS` until POINT was reached COUNT times:
`rows`, many rows were written and their transaction is open; `rename`, a database's file is about to get its name;
`leave`, a part of leaving for good is about to be written.
So each life ends at the same place however fast the machine is.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Connection
from tests.support.server import clean_environment

from palaver.cli.main import run
from palaver.store.engine.statement import Statement
from palaver.store.write.people.leaving import Leave
from palaver.store.write.transaction import Transaction

ROOT = Path(__file__).resolve().parents[2]


def lived(point: str, count: int, *arguments: str) -> bool:
    """Whether the command came to its end before it was killed."""
    process = subprocess.run(
        [sys.executable, "-m", "tests.store.dying", point, str(count), *arguments],
        cwd=ROOT,
        env=clean_environment({}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode in {0, -signal.SIGKILL}, process.stderr
    return process.returncode == 0


class _Life:
    """What is left of it."""

    def __init__(self, count: int) -> None:
        self._left = count

    def lose(self) -> None:
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def heard(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "os.rename" and str(arguments[1]).endswith(".db"):
            self.lose()  # Python itself renames what it has compiled


def _die_in_transaction(life: _Life) -> None:
    write = Statement.many

    def written(self: Statement, conn: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
        write(self, conn, rows)
        life.lose()

    Statement.many = written


def _die_leaving(life: _Life) -> None:
    apply = Leave.apply

    def applied(self: Leave, tx: Transaction) -> bool:
        life.lose()
        return apply(self, tx)

    Leave.apply = applied


if __name__ == "__main__":
    where, times, *given = sys.argv[1:]
    if where == "rename":
        sys.addaudithook(_Life(int(times)).heard)
    elif where == "leave":
        _die_leaving(_Life(int(times)))
    else:
        _die_in_transaction(_Life(int(times)))
    sys.argv[1:] = given
    run()
