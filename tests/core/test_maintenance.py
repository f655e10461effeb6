from pathlib import Path

import pytest

from palaver.core import maintenance
from palaver.errors import Code, Refused
from palaver.settings import settings_from


async def test_a_schema_fits_after_an_upgrade_and_not_before(empty_url: str) -> None:
    settings = settings_from(database_url=empty_url, detect=False)
    before = await maintenance.schema(settings)
    assert (before.current, before.fits) == (None, False)
    steps: list[str] = []
    after = await maintenance.upgrade(settings, steps.append)
    assert (after.current, after.fits) == (before.head, True)
    assert steps
    assert await maintenance.differences(settings) == ()


async def test_without_a_model_the_offline_agent_and_its_hint_are_told(tmp_path: Path) -> None:
    models = await maintenance.models(settings_from(data_dir=tmp_path, detect=False))
    assert models.provider == "echo"
    assert models.hint


async def test_looking_at_a_database_makes_none(tmp_path: Path) -> None:
    settings = settings_from(data_dir=tmp_path / "none")
    examined = await maintenance.examined(settings, integrity=True)
    assert isinstance(examined, maintenance.SqliteHealth)
    assert (examined.exists, examined.held, examined.faults) == (False, None, None)
    assert (await maintenance.schema(settings)).current is None
    assert list(tmp_path.iterdir()) == []  # noqa: ASYNC240  a test waits for its own disk


async def test_a_url_of_no_database_is_refused() -> None:
    with pytest.raises(Refused) as refused:
        await maintenance.schema(settings_from(database_url="mysql://host/name"))
    assert refused.value.code is Code.DATABASE_URL_INVALID
