"""Several workers need a database for several processes. With PostgreSQL: tests/faults/test_processes.py."""

from pathlib import Path

import pytest

from palaver.errors import Code, Refused
from palaver.settings import Settings
from palaver.wire.workers import serve_with_workers


@pytest.mark.usefixtures("unchanged_logging")
def test_workers_on_sqlite_are_refused_before_anything_is_opened(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data", database_url=None)
    with pytest.raises(Refused) as refused:
        serve_with_workers(settings, 2, print)
    assert refused.value.code is Code.SETTINGS_INVALID
    assert "PostgreSQL" in refused.value.detail
    assert not (tmp_path / "data" / "palaver.db").exists()
