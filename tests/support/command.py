"""A command of `palaver`, run as it is typed: one process, with a clean environment, to its end."""

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.server import clean_environment


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        return json.loads(self.out)


def palaver(folder: Path, *arguments: str, environment: Mapping[str, str] | None = None) -> Done:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "palaver", *arguments],
        cwd=folder,
        env={**clean_environment(environment or {}), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return Done(code=done.returncode, out=done.stdout, err=done.stderr)
