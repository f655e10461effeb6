"""`palaver config show`: every setting, its value, where it comes from and what it means. No secret is shown."""

import os
from enum import StrEnum
from pathlib import Path

from pydantic import SecretStr

from palaver.cli.output import HIDDEN, tell, tell_json, without_password
from palaver.settings import Settings, env_names, settings_from


def show(*, as_json: bool) -> None:
    """Shows the settings in effect."""
    settings = settings_from()
    rows = [_row(settings, name) for name in Settings.model_fields]
    if as_json:
        tell_json({"settings": rows})
        return
    width = max(len(str(row["variable"])) for row in rows)
    for row in rows:
        value = "not set" if row["value"] is None else str(row["value"]) or "(empty)"
        tell(f"{row['variable']:<{width}}  {value}  [{row['source']}]")
        tell(f"{'':<{width}}  {row['meaning']}")


def _row(settings: Settings, name: str) -> dict[str, object]:
    source = _source(name)
    return {
        "name": name,
        "variable": env_names(name)[0],
        "value": _value(getattr(settings, name)),
        "source": source,
        "meaning": " ".join((Settings.model_fields[name].description or "").split()),
    }


def _source(name: str) -> str:
    """The variable that sets it, or `default`."""
    present = {variable.upper(): variable for variable in os.environ}
    for variable in env_names(name):
        if variable.upper() in present:
            return present[variable.upper()]
    return "default"


def _value(value: object) -> object:
    match value:
        case SecretStr():
            return HIDDEN
        case StrEnum() | Path():
            return str(value)
        case tuple():
            return list(value)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]  of texts
        case str():
            return without_password(value)
        case _:
            return value
