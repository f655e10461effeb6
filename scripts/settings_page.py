"""Writes docs/settings.md from the settings themselves; `--check` says whether the page is what it would write."""

import sys
from pathlib import Path

from pydantic import SecretStr

from palaver.settings import Settings, env_names, meanings

PAGE = Path(__file__).resolve().parents[1] / "docs" / "settings.md"
HEAD = """# Settings

Every setting is an environment variable, read once at the start. Options of `palaver serve` win over it. Nothing
must be set. The unit is part of the name. `palaver config show` says what is in effect and where it comes from, and
hides secrets; a value that cannot be is refused at the start (`settings_invalid`, exit code 3) with the name of its
variable. Lists are separated by commas; yes and no are `true` and `false`, or `1` and `0`.

This page is written by `scripts/settings_page.py` from `src/palaver/settings.py`, and a test compares the two.

| variable | default | meaning |
|---|---|---|
"""


def page() -> str:
    """The page as it should be."""
    rows: list[str] = []
    meant = meanings()
    for name, field in Settings.model_fields.items():
        variables = " or ".join(f"`{variable}`" for variable in env_names(name))
        meaning = meant[name].replace("|", "\\|")
        rows.append(f"| {variables} | {_shown(field.default)} | {meaning} |")
    return HEAD + "\n".join(rows) + "\n"


def _shown(value: object) -> str:
    match value:
        case None | "" | () | SecretStr():
            return "not set"
        case bool():
            return f"`{str(value).lower()}`"
        case _:
            return f"`{value}`"


if __name__ == "__main__":
    if "--check" in sys.argv[1:]:
        sys.exit(PAGE.read_text(encoding="utf-8") != page())
    PAGE.write_text(page(), encoding="utf-8")
