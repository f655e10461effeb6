"""House rules that no linter knows: sizes, mirrors, and what a committed file must not say."""

import ast
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "palaver"
PYTHON = ("src", "tests", "examples", "benchmarks", "scripts", "hatch_build.py")
PAGE = (".ts", ".js", ".svelte", ".css", ".html")
FILE_LINES_MAX = 600
WRITTEN = "ui/src/lib/protocol.ts"
"""Of one piece with the shapes of the doors, from which a script writes it."""
FUNCTION_LINES_MAX = 60
PACKAGES_MAX = 45
LOCKS = sorted(ROOT.glob("requirements*.lock"))

# Modules without a test file of their own, and what tests them instead.
TESTED_ELSEWHERE = {
    "__main__": "tests/support/server.py starts every server through it",
    "providers.base": "values and a protocol only",
    "providers.call": "values and protocols only",
    "providers.http.client": "tests/providers/openai/test_client.py, through the provider that calls with it",
    "clock": "every test that runs a real server asks it; tests/support/simulation.py replaces it",
    "core.live.items": "values only",
    "core.live.outbox": "tests/core/live/test_cluster.py, whose processes tell each other through it",
    "core.usage": "tests/wire/api/test_usage.py, through the calls that tell of it",
    "model.usage": "values only",
    "core.answers.outcome": "tests/core/test_exchanges.py, through the exchanges that end with it",
    "core.answers.tape": "tests/core/test_exchanges.py, through the exchanges that use it",
    "core.answers.recorder": "tests/core/answers/test_engine.py, through the turns that use it",
    "wire.openai.answering": "tests/wire/openai/chat and tests/wire/anthropic, through the doors that answer with it",
    "errors": "tests/test_pages.py holds the table of codes to the documentation",
    "model.__init__": "values only",
    "model.agents": "values only",
    "cards.bounds": "values only",
    "cards.templates": "tests/wire/api/test_agents.py makes an agent of each",
    "model.edits": "values only",
    "model.access": "tests/core/test_access.py and tests/wire/test_taken_away.py, through what takes access",
    "model.branches": "values only",
    "facade.branches": "docs/embedding.md, whose blocks are run, and tests/core/test_branches.py",
    "store.read.branches": "tests/store/write/test_branches.py, against a model of all paths",
    "store.read.unread": "tests/store/write/test_branches.py",
    "store.write.forks": "tests/core/test_branches.py",
    "store.branch_tables": "tests/store/test_schema.py, with all others",
    "wire.answer_shapes": "tests/wire/live/test_frames.py, through the frames that are made of them",
    "model.deleted": "values only",
    "model.exchanges": "values only",
    "model.profiles": "values only",
    "model.webhooks": "values only",
    "store.tables": "tests/store/test_schema.py, through the tables that are declared with it",
    "store.webhook_tables": "tests/store/test_schema.py, with all others",
    "store.mark_tables": "tests/store/test_schema.py, with all others",
    "store.read.marks": "tests/store/write/test_marks.py",
    "store.read.webhooks": "tests/core/test_deliveries.py, through what is delivered",
    "core.webhooks": "tests/wire/api/test_webhooks.py, through the calls that make and change them",
    "wire.server.people": "tests/wire/server/test_control.py, through the commands that name somebody",
    "core.profiles": "tests/wire/api/test_profiles.py, through the calls that keep, try and use them",
    "store.read.profiles": "tests/wire/api/test_profiles.py, likewise",
    "store.write.profiles": "tests/wire/api/test_profiles.py, likewise",
}

# Written in two parts, so that this file does not break its own rules.
HOSTS = [
    *("pypi" + ".org", "python" + "hosted.org", "npm" + "js.org", "npm" + "js.com"),
    *("yarn" + "pkg.com", "npm" + "mirror.com", "unpkg" + ".com", "jsdel" + "ivr.net"),
]
MACHINE = ["/wo" + "rk/", "/opt/" + "wheels", "/opt/" + "pypi", "." + "pyenv", "/tmp/" + "brief"]
VENDORS_WORDS = (
    *("chatcmpl", "chat.completion", "prompt_tokens", "completion_tokens", "input_text"),
    *("output_text", "input_image", "finish_reason", "stop_reason"),
    *("tool_calls", "tool_use", "reasoning_content", '"choices"', '"delta"', "max_output_tokens"),
)
UNFINISHED = ["TO" + "DO", "FIX" + "ME", "XX" + "X", "raise NotImplemented" + "Error"]


def committed() -> list[Path]:
    """Every file that git keeps, or would."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    paths = [ROOT / name for name in done.stdout.decode().split("\0") if name]
    return [path for path in paths if path.is_file()]


def below(*names: str) -> list[Path]:
    """The committed files in folders (or under names) of the checkout."""
    wanted = [ROOT / name for name in names]
    return [
        path for path in committed() if any(path == one or one in path.parents for one in wanted)
    ]


def python_files(*names: str) -> list[Path]:
    return [path for path in below(*names) if path.suffix == ".py"]


def text_of(path: Path) -> str:
    """The text of a file, nothing for a picture or a font."""
    content = path.read_bytes()
    return "" if b"\0" in content else content.decode(errors="replace")


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def lines_with(paths: list[Path], words: list[str]) -> list[str]:
    pattern = re.compile("|".join(rf"(?<![\w-]){re.escape(word)}" for word in words))
    return [
        f"{name_of(path)}:{number}: {line.strip()[:100]}"
        for path in paths
        for number, line in enumerate(text_of(path).splitlines(), start=1)
        if pattern.search(line)
    ]


def expect_none(problems: list[str]) -> None:
    assert not problems, "\n" + "\n".join(problems)


def test_no_file_is_too_long() -> None:
    files = python_files(*PYTHON) + [path for path in below("ui") if path.suffix in PAGE]
    expect_none(
        [
            f"{name_of(path)}: {count} lines"
            for path in files
            if name_of(path) != WRITTEN
            and (count := len(text_of(path).splitlines())) > FILE_LINES_MAX
        ]
    )


def functions_in(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(text_of(path))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_no_function_is_too_long() -> None:
    expect_none(
        [
            f"{name_of(path)}:{function.lineno} {function.name}: {count} lines"
            for path in python_files(*PYTHON)
            for function in functions_in(path)
            if (count := (function.end_lineno or 0) - function.lineno + 1) > FUNCTION_LINES_MAX
        ]
    )


def test_nothing_is_left_unfinished() -> None:
    files = [*python_files("src"), *below("ui/src", "ui/index.html")]
    expect_none(lines_with(files, UNFINISHED))


def test_no_committed_file_names_a_registry() -> None:
    pattern = re.compile("|".join(re.escape(host) for host in HOSTS))
    expect_none([name_of(path) for path in committed() if pattern.search(text_of(path))])


def test_no_committed_file_names_a_place_on_the_machine_that_wrote_it() -> None:
    expect_none(lines_with(committed(), MACHINE))


def test_package_locks_say_what_and_not_where_from() -> None:
    locks = [path for path in committed() if path.name == "package-lock.json"]
    assert locks
    for path in locks:
        packages: dict[str, dict[str, object]] = json.loads(text_of(path))["packages"]
        installed = {name: package for name, package in packages.items() if name}
        expect_none([name for name, package in installed.items() if "resolved" in package])
        expect_none([name for name, package in installed.items() if "integrity" not in package])


def test_python_is_locked_by_hash_and_in_one_way_only() -> None:
    assert not (ROOT / "uv.lock").exists()
    assert [path.name for path in LOCKS] == [
        "requirements-aider.lock",
        "requirements-build.lock",
        "requirements-clients.lock",
        "requirements-dev.lock",
        "requirements-node.lock",
        "requirements.lock",
    ]
    for path in LOCKS:
        text = text_of(path)
        assert "://" not in text
        assert not re.search(r"^-", text, re.MULTILINE), "an option, such as an index"
        blocks = re.split(r"\n(?=[a-zA-Z])", text)[1:]
        assert blocks
        expect_none([block.splitlines()[0] for block in blocks if "--hash=sha256:" not in block])


def locked(path: Path) -> dict[str, Requirement]:
    lines = re.findall(r"^([a-zA-Z][^\\\n]*)", text_of(path), re.MULTILINE)
    return {one.name: one for one in map(Requirement, lines)}


def test_the_lock_answers_every_dependency() -> None:
    with (ROOT / "pyproject.toml").open("rb") as handle:
        project = tomllib.load(handle)
    versions = locked(ROOT / "requirements.lock")
    for line in project["project"]["dependencies"]:
        wanted = Requirement(line)
        (pinned,) = versions[wanted.name].specifier
        assert wanted.specifier.contains(pinned.version), f"{line}: run scripts/lock"


def test_the_development_lock_holds_the_same_versions() -> None:
    development = locked(ROOT / "requirements-dev.lock")
    for name, one in locked(ROOT / "requirements.lock").items():
        assert development[name].specifier == one.specifier, f"{name}: run scripts/lock"


def test_few_packages_are_installed() -> None:
    requirements = locked(ROOT / "requirements.lock").values()
    here = [one.name for one in requirements if one.marker is None or one.marker.evaluate()]
    assert len(here) + 1 <= PACKAGES_MAX, sorted(here)


def modules() -> Iterator[tuple[str, Path, ast.Module]]:
    for path in python_files("src"):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        yield ".".join(parts), path, ast.parse(text_of(path))


def test_the_inside_knows_no_vendors_words() -> None:
    """What an API calls things is its provider's and its door's business."""
    found: list[str] = []
    for _, path, _ in modules():
        if path.relative_to(SOURCE).parts[0] in {"core", "store"}:
            text = path.read_text(encoding="utf-8")
            found += [f"{name_of(path)}: {word}" for word in VENDORS_WORDS if word in text]
    expect_none(found)


def test_elements_of_the_page_may_be_gone() -> None:
    """What was awaited, drawn or scrolled still arrives when its element has left the document."""
    for path in (ROOT / "ui" / "src").rglob("*.svelte"):
        text = path.read_text()
        for name in re.findall(r"bind:this=\{(\w+)\}", text):
            declared = rf"let {name}: \w+ \| (null|undefined)|{name}\?: \w+"
            assert re.search(declared, text), f"{path.name}: {name} is never said to be null"


def test_the_page_names_no_file_of_the_documentation() -> None:
    """Who reads the page has none of them, and a server may stand where nobody has its address."""
    texts = (ROOT / "ui" / "src" / "lib").glob("texts*.ts")
    expect_none([one.name for one in texts if re.search(r"\bdocs/|\.md\b", one.read_text())])


def test_every_module_says_what_it_is() -> None:
    expect_none([name for name, _, tree in modules() if not ast.get_docstring(tree)])


def test_every_refusal_is_a_sentence() -> None:
    """What a caller is told begins with a capital and ends with a full stop."""
    found: list[str] = []
    for name, _, tree in modules():
        if name == "wire.classic.accounts":  # the words are those of another program
            continue
        for call in [one for one in ast.walk(tree) if isinstance(one, ast.Call)]:
            kind = call.func.id if isinstance(call.func, ast.Name) else ""
            if kind not in {"Refused", "Unavailable"} or len(call.args) < 2:
                continue
            told = call.args[1]
            parts = told.values if isinstance(told, ast.JoinedStr) else [told]
            texts = [one.value for one in parts if isinstance(one, ast.Constant)]
            if isinstance(parts[0], ast.Constant) and str(texts[0])[:1].islower():
                found.append(f"{name}: {texts[0]}")
            if isinstance(told, ast.JoinedStr | ast.Constant) and (
                not isinstance(parts[-1], ast.Constant) or str(texts[-1])[-1] not in ".?"
            ):
                found.append(f"{name}: …{texts[-1]}")
    expect_none(found)


def is_empty(tree: ast.Module) -> bool:
    """Whether there is a docstring and nothing else."""
    return len(tree.body) <= 1


def places_of_test(path: Path) -> list[str]:
    """Where a module's test may stand: src/palaver/a/b/c.py in tests/a/b/test_c.py, or test_c_….py.

    A folder below the second level is one thing: tests/a/test_b.py may test all of it.
    """
    parts = list(path.relative_to(SOURCE).with_suffix("").parts)
    if parts[-1] == "__init__":
        parts = parts[:-1] or ["palaver"]
    *folder, stem = parts
    patterns = ["/".join([*folder, f"test_{stem.strip('_')}"])]
    whole = range(1, len(folder))
    patterns += ["/".join([*folder[:depth], f"test_{folder[depth]}"]) for depth in whole]
    return [f"{pattern}{end}.py" for pattern in patterns for end in ("", "_*")]


def test_every_module_has_its_test() -> None:
    tests = ROOT / "tests"
    missing: list[str] = []
    for name, path, tree in modules():
        if is_empty(tree) or "versions" in path.parts or name in TESTED_ELSEWHERE:
            continue
        wanted = places_of_test(path)
        if not any(found for pattern in wanted for found in tests.glob(pattern)):
            missing.append(f"{name_of(path)}: tests/{wanted[0]}")
    expect_none(missing)


def test_modules_tested_elsewhere_still_exist() -> None:
    names = {name for name, _, _ in modules()}
    expect_none([name for name in TESTED_ELSEWHERE if name not in names])


@pytest.mark.skipif(sys.platform == "win32", reason="Windows keeps no such bit")
def test_the_commands_can_be_started() -> None:
    for name in ("run", "test", ".ci/run", "scripts/lock"):
        assert (ROOT / name).stat().st_mode & 0o111, name
