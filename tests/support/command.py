"""A command of `palaver`, run as it is typed: one process, with a clean environment, to its end."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from tests.support.server import clean_environment
from tests.support.warm import can_be_warm, started

SECONDS_MAX = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        return json.loads(self.out)


def palaver(folder: Path, *arguments: str, environment: Mapping[str, str] | None = None) -> Done:
    """Run it to its end, begun warm where that makes no difference."""
    given = {**clean_environment(environment or {}), "COLUMNS": "200"}
    if can_be_warm(environment or {}):
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            process = started(
                arguments, folder=folder, environment=given, out=out.fileno(), err=err.fileno()
            )
            code = process.wait(SECONDS_MAX)
            said = [_whole(file) for file in (out, err)]
        return Done(code=code, out=said[0], err=said[1])
    done = subprocess.run(
        [sys.executable, "-P", "-m", "palaver", *arguments],
        cwd=folder,
        env=given,
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )
    return Done(code=done.returncode, out=done.stdout, err=done.stderr)


def _whole(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode()
