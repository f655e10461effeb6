import json
from pathlib import Path

import pytest
from tests.support.command import palaver

from palaver.cli.options import settings_of
from palaver.errors import Code, Refused


def test_what_is_typed_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PALAVER_PORT", "9000")
    monkeypatch.setenv("PALAVER_HOST", "::1")
    settings = settings_of(port=9001, host=None)
    assert (settings.port, settings.host) == (9001, "::1")


def test_a_setting_that_does_not_exist_is_refused() -> None:
    with pytest.raises(Refused) as refused:
        settings_of(prot=9001)
    assert refused.value.code is Code.SETTINGS_INVALID


def test_the_log_does_not_stand_in_an_answer(tmp_path: Path) -> None:
    done = palaver(tmp_path, "db", "upgrade", "--json", environment={"PALAVER_LOG_LEVEL": "debug"})
    assert json.loads(done.out)["up_to_date"]


@pytest.mark.parametrize(
    "arguments",
    [("db", "current"), ("config", "show"), ("serve", "--host", "no address")],
    ids=" ".join,
)
def test_every_command_tells_of_a_variable_that_is_no_setting(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    done = palaver(tmp_path, *arguments, "--json", environment={"PALAVER_PRT": "9000"})
    assert done.err == "palaver: PALAVER_PRT is no setting; PALAVER_PORT is one\n"
    assert json.loads(done.out)
