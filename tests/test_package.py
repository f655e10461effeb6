"""What we ship works where nothing of this checkout is: built, installed, started.

The wheel and the sdist hold the page; the wheel goes into a clean environment with the locked
packages and serves from an empty directory; a wheel can be made of the sdist without node.
"""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import httpx2
import pytest
from tests.support.server import Serve

ROOT = Path(__file__).resolve().parents[1]
MIB = 1024 * 1024
INSTALLED_BYTES_MAX = 80 * MIB

pytestmark = [pytest.mark.package, pytest.mark.timeout(600)]


def run(command: list[str | Path], *, cwd: Path, environment: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        command,
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command}:\n{done.stdout}"
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the sdist of this checkout."""
    folder = tmp_path_factory.mktemp("dist")
    environment = {**os.environ, "PALAVER_RELEASE": "1"}
    command = [sys.executable, "-m", "hatchling", "build", "--directory", folder]
    run(command, cwd=ROOT, environment=environment)
    return folder


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    (found,) = built.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clean environment with the locked packages and the wheel."""
    folder = tmp_path_factory.mktemp("installed") / "venv"
    uv = shutil.which("uv")
    python = folder / "bin" / "python"
    if uv:
        run([uv, "venv", "--python", sys.executable, folder], cwd=folder.parent)
        install: list[str | Path] = [uv, "pip", "install", "--python", python]
    else:
        run([sys.executable, "-m", "venv", "--without-pip", folder], cwd=folder.parent)
        install = [sys.executable, "-m", "pip", "--python", python, "install", "--no-compile"]
    lock = ROOT / "requirements.lock"
    run([*install, "--require-hashes", "--requirement", lock], cwd=folder.parent)
    run([*install, "--no-deps", wheel], cwd=folder.parent)
    return folder


def test_the_wheel_holds_the_page_and_no_more_than_the_package(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    pages = {f"palaver/page/{name}.html" for name in ("index", "device", "invite", "sign")}
    assert pages <= set(names)
    assert any(name.startswith("palaver/page/assets/") and name.endswith(".js") for name in names)
    assert "palaver/py.typed" in names
    assert any(name.startswith("palaver/store/migrations/versions/") for name in names)
    strange = [name for name in names if not re.match(r"palaver(-[\d.]+\.dist-info)?/", name)]
    assert strange == []


def test_the_sdist_builds_the_same_wheel_without_node(built: Path, tmp_path: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        assert not [name for name in archive.getnames() if "node_modules" in name]
        archive.extractall(tmp_path, filter="data")
    (source,) = tmp_path.iterdir()
    empty = tmp_path / "empty"
    empty.mkdir()
    environment = {**os.environ, "PATH": str(empty), "PALAVER_RELEASE": "1"}
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory"]
    said = run([*command, tmp_path / "again"], cwd=source, environment=environment)
    assert "building the page" not in said
    (again,) = (tmp_path / "again").glob("*.whl")
    (first,) = built.glob("*.whl")
    ours, theirs = zipfile.ZipFile(first), zipfile.ZipFile(again)
    assert sorted(ours.namelist()) == sorted(theirs.namelist())
    assert all(ours.read(name) == theirs.read(name) for name in ours.namelist())


async def test_the_installed_wheel_serves_its_page_from_an_empty_directory(
    installed: Path, wheel: Path, serve: Serve
) -> None:
    server = await serve(program=[str(installed / "bin" / "palaver")])
    async with httpx2.AsyncClient(base_url=server.url, timeout=90) as client:
        page = await client.get("/")
        assert page.status_code == 200
        built = zipfile.ZipFile(wheel).read("palaver/page/index.html")
        assert page.content == built.replace(b'"./', b'"/'), "at the root of this host"
        parts = re.findall(r'(?:src|href)="(/[^"]+)"', page.text)
        assert parts
        for part in parts:
            assert (await client.get(part)).status_code == 200, part
    assert await server.term() == 0


def test_what_is_installed_is_small(installed: Path) -> None:
    (packages,) = installed.glob("lib/python*/site-packages")
    # Not what Python compiled after installing.
    files = [path for path in packages.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    assert sum(path.stat().st_size for path in files) <= INSTALLED_BYTES_MAX


def test_a_first_start_that_cannot_install_says_why_and_where_all_of_it_is(tmp_path: Path) -> None:
    for name in ("run", "scripts/environment.sh", "pyproject.toml", "hatch_build.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy2(ROOT / name, tmp_path / name)
    for lock in ROOT.glob("requirements*.lock"):
        shutil.copy2(lock, tmp_path)
    (tmp_path / "bin").mkdir()
    for program in ("bash", "env", "dirname", "sha256sum", "cut", "cat", "grep", "rm", "tail"):
        found = shutil.which(program)
        assert found is not None
        (tmp_path / "bin" / program).symlink_to(found)
    environment = {
        "PATH": str(tmp_path / "bin"),  # without uv
        "PALAVER_PYTHON": sys.executable,
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_INDEX_URL": "http://127.0.0.1:9/simple",
        "PIP_RETRIES": "0",
    }
    done = subprocess.run(
        [tmp_path / "run"], env=environment, capture_output=True, text=True, check=False
    )
    log = tmp_path / ".venv" / "install.log"
    assert (done.returncode, done.stdout) == (1, "")
    said = done.stderr.splitlines()
    assert said[-1].startswith("palaver: the packages could not be installed.")
    assert str(log) in said[-1]
    assert len(said) <= 3 + 3 + 1, "ours, the log's last lines, and what to do"
    assert "ERROR: No matching distribution" in log.read_text()
