import subprocess
import sys

import pytest

import palaver


def test_every_name_of_the_package_is_there() -> None:
    for name in dir(palaver):
        assert getattr(palaver, name) is not None
    assert {"open", "Chat", "Room", "Refused", "Unavailable", "__version__"} <= set(dir(palaver))


def test_another_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nothing_like_it"):
        _ = getattr(palaver, "nothing_like_it")  # noqa: B009  the name is the point


def test_importing_it_loads_no_database_and_no_web_server() -> None:
    script = "import sys, palaver; print(*sorted(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert not {"sqlalchemy", "fastapi", "pydantic", "rich"} & set(done.stdout.split())
