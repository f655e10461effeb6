"""`palaver secret rotate`, without a server; beside one: tests/wire/server/test_control.py."""

import json
from pathlib import Path

from typer.testing import CliRunner

from palaver.cli.main import app
from palaver.errors import Code, Refused


def test_a_secret_is_changed(tmp_path: Path) -> None:
    words = ["secret", "rotate", "--data-dir", str(tmp_path)]
    nowhere = CliRunner().invoke(app, words).exception
    assert isinstance(nowhere, Refused)
    assert nowhere.code is Code.DATABASE_MISSING
    assert CliRunner().invoke(app, ["key", "create", *words[2:]]).exit_code == 0
    assert CliRunner().invoke(app, words).stdout == "Sealed anew: 0.\n"
    before = (tmp_path / "secret.key").read_bytes()
    assert json.loads(CliRunner().invoke(app, [*words, "--json"]).stdout) == {"sealed": 0}
    assert (tmp_path / "secret.key").read_bytes() != before
