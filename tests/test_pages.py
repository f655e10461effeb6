"""What the documentation says of settings, errors, commands, routes and modules is what there is."""

import re
import subprocess
import sys
from pathlib import Path
from types import FunctionType

from tests.support.command import palaver

from palaver import facade
from palaver.errors import Code
from palaver.model import EventType
from palaver.settings import ESCAPED_BYTES_MAX, Settings, env_names, meanings

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])
LINK = re.compile(r"\]\((?!https?://|#)([^)#]+)(?:#[^)]*)?\)")
TEST = re.compile(r"`(tests/[\w/.-]+\.py)(?:::(\w+))?`")
MODULE = re.compile(r"`((?:core|store|providers|wire|cli)/[\w/]+)(?:\.py)?`")
UNDONE = "docs/screenshot.png"


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_the_page_of_the_settings_is_what_the_settings_say() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "settings_page.py", "--check"], check=False
    )
    assert done.returncode == 0, "run scripts/settings_page.py"
    page = read("docs/settings.md")
    meant = meanings()
    for name in Settings.model_fields:
        assert all(f"`{variable}`" in page for variable in env_names(name))
        assert meant[name], f"{name} has no docstring"


def test_the_pages_types_are_the_servers_shapes() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "page_types.py", "--check"], check=False
    )
    assert done.returncode == 0, "run scripts/page_types.py"


def test_the_page_of_the_events_has_the_shapes_that_are_told() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "events_page.py", "--check"], check=False
    )
    assert done.returncode == 0, "run scripts/events_page.py"


def test_the_page_of_the_permissions_is_what_policy_and_the_calls_say() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "permissions_page.py", "--check"], check=False
    )
    assert done.returncode == 0, "run scripts/permissions_page.py"


def test_every_error_is_documented_with_its_status() -> None:
    page = read("docs/errors.md")
    codes = re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)
    assert sorted(codes) == sorted(Code)
    for code, status in re.findall(r"^\| `(\w+)` \| (\d+) \|", page, re.MULTILINE):
        assert int(status) == (Code(code).status or 400), code


def test_every_kind_of_event_is_documented() -> None:
    kinds = re.search(
        r"^Kinds of events .*?\n\n", read("docs/protocol.md"), re.MULTILINE | re.DOTALL
    )
    assert kinds is not None
    assert sorted(re.findall(r"`(\w+\.\w+)`", kinds[0])) == sorted(EventType)


def test_every_call_of_the_embedding_door_is_documented() -> None:
    page = read("docs/embedding.md")
    for one in (
        facade.Chat,
        facade.Room,
        facade.Answer,
        facade.People,
        facade.Agents,
        facade.Profiles,
        facade.Speakers,
    ):
        for name, call in vars(one).items():
            if isinstance(call, FunctionType) and not name.startswith("_"):
                assert f"`{one.__name__.lower()}.{name}(" in page, name


def test_every_link_leads_somewhere() -> None:
    broken = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in PAGES
        for target in LINK.findall(page.read_text(encoding="utf-8"))
        if not (page.parent / target).exists()
        and (page.parent / target).resolve() != (ROOT / UNDONE).resolve()
    ]
    assert broken == []


def test_every_table_is_whole() -> None:
    broken: list[str] = []
    for page in PAGES:
        text = re.sub(
            r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE
        )
        for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
            rows = [re.sub(r"`[^`]*`", "", row).count("|") for row in table.splitlines()]
            _, line, *_ = [*table.splitlines(), ""]
            if not re.fullmatch(r"[|\s:-]+", line) or len(set(rows)) != 1:
                broken.append(f"{page.relative_to(ROOT)}: {table.splitlines()[0]}")
    assert broken == []


def test_what_a_body_and_a_frame_may_take_is_the_same_on_every_page() -> None:
    settings = Settings.model_construct()
    texts = ESCAPED_BYTES_MAX * settings.text_chars_max
    around = settings.body_bytes_max - texts
    assert settings.frame_bytes_max == settings.body_bytes_max
    each, kib = f"{ESCAPED_BYTES_MAX} bytes for each", f"{around / 1024:g} KiB"
    size = f"{settings.body_bytes_max / 1e6:.1f} MB"
    limits, protocol = read("docs/limits.md"), read("docs/protocol.md")
    assert f"{each} character of `PALAVER_TEXT_CHARS_MAX` and {kib} ({size})" in limits
    assert f"below `/v1` {settings.openai_body_bytes_max / (1 << 20):g} MiB" in limits
    assert f"as much as a body ({size})" in limits
    assert f"{settings.hello_bytes_max / 1024:g} KiB) | closed with 1009" in limits
    assert f"until `welcome` comes, {settings.hello_bytes_max / 1024:g} KiB in all" in protocol
    assert (
        f"a body ≤ `limits.frame` of `welcome` ({each} character of a text, and {kib}: {size})"
        in protocol
    )
    assert f"title ≤ {settings.title_chars_max} characters" in protocol
    assert f"text ≤ {settings.text_chars_max:,} characters" in protocol
    assert f"{each}, and {kib}, bound a frame, and a body outside `/v1`" in read("docs/settings.md")


def test_every_promise_names_tests_that_exist() -> None:
    page = read("docs/promises.md")
    numbers = [int(number) for number in re.findall(r"^\| (\d+)\. ", page, re.MULTILINE)]
    assert numbers == list(range(1, 19))
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
