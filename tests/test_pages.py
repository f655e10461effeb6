"""What the documentation says of settings, errors, commands, routes and modules is what there is."""

import re
import subprocess
import sys
from pathlib import Path

from tests.support.command import palaver

from palaver.errors import STATUS, Code
from palaver.settings import Settings, env_names

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])
LINK = re.compile(r"\]\((?!https?://|#)([^)#]+)(?:#[^)]*)?\)")
TEST = re.compile(r"`(tests/[\w/.-]+\.py)(?:::(\w+))?`")
MODULE = re.compile(r"`((?:core|store|agents|wire|cli)/[\w/]+)(?:\.py)?`")
UNDONE = "docs/screenshot.png"


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_the_page_of_the_settings_is_what_the_settings_say() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "settings_page.py", "--check"], check=False
    )
    assert done.returncode == 0, "run scripts/settings_page.py"
    page = read("docs/settings.md")
    for name in Settings.model_fields:
        assert all(f"`{variable}`" in page for variable in env_names(name))
        assert Settings.model_fields[name].description, f"{name} has no docstring"


def test_every_error_is_documented_with_its_status() -> None:
    page = read("docs/errors.md")
    codes = re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)
    assert sorted(codes) == sorted(Code)
    for code, status in re.findall(r"^\| `(\w+)` \| (\d+) \|", page, re.MULTILINE):
        assert int(status) == STATUS.get(Code(code), 400), code


def test_every_link_leads_somewhere() -> None:
    broken = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in PAGES
        for target in LINK.findall(page.read_text(encoding="utf-8"))
        if not (page.parent / target).exists()
        and (page.parent / target).resolve() != (ROOT / UNDONE).resolve()
    ]
    assert broken == []


def test_every_promise_names_tests_that_exist() -> None:
    page = read("docs/promises.md")
    numbers = [int(number) for number in re.findall(r"^(\d+)\. ", page, re.MULTILINE)]
    assert numbers == list(range(1, 16))
    named = TEST.findall(page)
    assert len(named) >= len(numbers)
    missing = [
        f"{file}::{name}"
        for file, name in named
        if not (ROOT / file).is_file() or (name and f"def {name}(" not in read(file))
    ]
    assert missing == []


def test_every_module_that_is_named_exists() -> None:
    missing = [
        f"{page.relative_to(ROOT)}: {name}"
        for page in PAGES
        for name in MODULE.findall(page.read_text(encoding="utf-8"))
        if not (ROOT / "src" / "palaver" / f"{name}.py").is_file()
        and not (ROOT / "src" / "palaver" / name).is_dir()
    ]
    assert missing == []


def test_every_command_is_documented(tmp_path: Path) -> None:
    page = read("docs/cli.md")
    commands = ("serve", "db upgrade", "db current", "db check", "doctor", "config show")
    for command in (*commands, "key create", "key list", "key revoke"):
        assert f"`palaver {command}`" in page
        options = re.findall(
            r"^ {2}(?:-\w, )?(--[\w-]+)",
            palaver(tmp_path, *command.split(), "--help").out,
            re.MULTILINE,
        )
        options.remove("--help")
        assert options
        for option in options:
            assert f"`{option}`" in page, f"{command} {option}"


def test_every_classic_route_is_documented() -> None:
    source = "".join(path.read_text() for path in (ROOT / "src/palaver/wire/classic").glob("*.py"))
    routes = set(re.findall(r'@router\.\w+\("([^"]+)"', source))
    page = read("docs/classic.md")
    assert len(routes) > 10
    assert [route for route in routes if f"{route}" not in page] == []
