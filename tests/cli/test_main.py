"""The command line as a whole: help, completion, errors, exit codes."""

import resource
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.command import palaver
from tests.support.server import clean_environment

pytestmark = pytest.mark.slow  # each test starts processes

SHARE_MAX = 3
"""Of what the libraries of every command line cost: ten times as much is a database or a web server."""
TRIES = 5

COMMANDS = [
    (),
    ("serve",),
    ("db",),
    ("db", "upgrade"),
    ("db", "current"),
    ("db", "check"),
    ("config",),
    ("config", "show"),
    ("doctor",),
    ("key",),
    ("key", "create"),
    ("key", "list"),
    ("key", "revoke"),
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_explains_itself(tmp_path: Path, command: tuple[str, ...]) -> None:
    done = palaver(tmp_path, *command, "--help")
    assert done.code == 0
    assert "Usage:" in done.out
    if not command or command[-1] not in {"db", "config", "key"}:
        assert "Example" in done.out or "Exit codes" in done.out or "--json" in done.out


def test_the_version_is_told(tmp_path: Path) -> None:
    done = palaver(tmp_path, "--version")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("palaver ")


def seconds_of_children() -> float:
    """Processor time of the ended child processes: other work on this machine does not count."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_help_comes_at_once(tmp_path: Path) -> None:
    bytecode = {"PYTHONPYCACHEPREFIX": str(tmp_path / "cache"), "PYTHONDONTWRITEBYTECODE": ""}
    helped: list[float] = []
    usual: list[float] = []
    for _ in range(TRIES):
        before = seconds_of_children()
        assert palaver(tmp_path, "--help", environment=bytecode).code == 0
        between = seconds_of_children()
        libraries = [sys.executable, "-c", "import typer, rich.console"]
        subprocess.run(libraries, env=clean_environment(bytecode), check=True)
        helped.append(between - before)
        usual.append(seconds_of_children() - between)
    assert min(helped) < SHARE_MAX * min(usual)


def test_help_loads_no_database_and_no_web_server(tmp_path: Path) -> None:
    script = (
        "import sys, palaver.cli.main; "
        "print(*sorted({'sqlalchemy', 'fastapi', 'pydantic', 'structlog'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == ""


def test_completion_can_be_had(tmp_path: Path) -> None:
    # CI has no shell among its processes that could be found: it is named instead
    named = {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    done = palaver(tmp_path, "--show-completion", "bash", environment=named)
    assert done.code == 0, done.err
    assert "palaver" in done.out


@pytest.mark.parametrize(
    "arguments", [("nothing",), ("serve", "--port", "x"), ("serve", "--port", "70000"), ("db", "x")]
)
def test_wrong_usage_exits_with_2(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    done = palaver(tmp_path, *arguments)
    assert done.code == 2
    assert "Traceback" not in done.err
    if "--port" in arguments:
        assert f"'{arguments[-1]}' is no number from 0 to 65535." in done.err


@pytest.mark.parametrize("as_json", [False, True], ids=["text", "json"])
@pytest.mark.parametrize(
    ("arguments", "environment", "code"),
    [
        (("serve",), {"PALAVER_PORT": "x"}, "settings_invalid"),
        (("config", "show"), {"PALAVER_PORT": "x"}, "settings_invalid"),
        (("serve", "--host", "no address", "--port", "0"), {}, "bind_refused"),
        (("serve", "--port", "0", "--database-url", "mysql://h/d"), {}, "database_url_invalid"),
        (("db", "current", "--database-url", "nonsense"), {}, "database_url_invalid"),
        (("db", "current", "--database-url", "postgresql://a..b/d"), {}, "database_url_invalid"),
    ],
)
def test_a_refusal_is_one_line_and_exits_with_3(
    tmp_path: Path,
    arguments: tuple[str, ...],
    environment: dict[str, str],
    code: str,
    as_json: bool,  # noqa: FBT001  a parameter of the test
) -> None:
    done = palaver(tmp_path, *arguments, *["--json"] * as_json, environment=environment)
    assert done.code == 3
    assert "Traceback" not in done.err
    if as_json:
        assert done.json["error"]["code"] == code
    else:
        assert done.out == ""
        assert f"[{code}]" in done.err.splitlines()[-1]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SSL_CERT_FILE", "/opt/conda/ssl/cacert.pem"),
        ("SSL_CERT_FILE", "/dev/null"),
        ("ALL_PROXY", "socks://127.0.0.1:1080/"),
        ("OPENAI_BASE_URL", "http://ollama..local:11434/v1"),
    ],
)
def test_an_environment_in_which_no_model_can_be_asked_is_refused_by_name(
    tmp_path: Path, name: str, value: str
) -> None:
    environment = {"OPENAI_API_KEY": "sk-x", "HTTPS_PROXY": "", "https_proxy": "", name: value}
    done = palaver(tmp_path, "serve", "--port", "0", environment=environment)
    assert done.code == 3
    told = done.err.splitlines()[-1]
    assert told.startswith(f"palaver: {name}")
    assert told.endswith("[settings_invalid]")
    assert "Traceback" not in done.err


def test_an_unreachable_database_exits_with_4(tmp_path: Path) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # bound, and nobody listens
        url = f"postgresql://ada:secret@127.0.0.1:{nobody.getsockname()[1]}/chat"
        done = palaver(tmp_path, "db", "current", "--database-url", url)
    assert done.code == 4
    assert "secret" not in done.out + done.err
    assert "Traceback" not in done.err


def test_a_traceback_is_shown_only_to_those_who_ask(tmp_path: Path) -> None:
    arguments = ("db", "current", "--database-url", "nonsense")
    done = palaver(tmp_path, *arguments, environment={"PALAVER_LOG_LEVEL": "debug"})
    assert done.code == 3
    assert "Traceback" in done.err


@pytest.mark.parametrize(
    "arguments",
    [
        ("serve", "--port", "0"),
        ("doctor",),
        ("backup", "b.db"),
        ("restore", "b.db"),
        ("verify",),
        ("key", "create"),
        ("db", "upgrade"),
        ("config", "show"),
    ],
    ids=" ".join,
)
def test_a_data_directory_that_is_a_file_is_refused_by_name(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    (tmp_path / "file").write_bytes(b"kept")
    done = palaver(tmp_path, *arguments, environment={"PALAVER_DATA_DIR": "file"})
    assert (done.code, done.out) == (3, "")
    assert (
        done.err == "palaver: PALAVER_DATA_DIR: file is a file, and no folder. [settings_invalid]\n"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_bytes() == b"kept"
