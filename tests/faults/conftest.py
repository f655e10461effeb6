"""What the fault runs share."""

from pathlib import Path

import pytest
from tests.support.shim import library


@pytest.fixture(scope="session")
def shim_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled shim; a test that asks for it is skipped where there is no compiler."""
    return library(tmp_path_factory.mktemp("shim"))
