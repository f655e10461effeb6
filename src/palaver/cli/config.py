"""`palaver config show`: every setting, its value, where it comes from and what it means. No secret is shown."""

import os

from pydantic import SecretStr

from palaver.cli.options import settings_told
from palaver.cli.output import HIDDEN, tell, tell_json, without_password
from palaver.settings import Settings, env_names, meanings


def show(*, as_json: bool) -> None:
    """Shows the settings in effect."""
    settings = settings_told()
    values = settings.model_dump(mode="json")
    meant = meanings()
    rows = [_row(settings, name, value, meant[name]) for name, value in values.items()]
    if as_json:
        tell_json({"settings": rows})
        return
    width = max(len(str(row["variable"])) for row in rows)
    for row in rows:
        value = "not set" if row["value"] is None else str(row["value"]) or "(empty)"
        tell(f"{row['variable']:<{width}}  {value}  [{row['source']}]")
        tell(f"{'':<{width}}  {row['meaning']}")


def _row(settings: Settings, name: str, value: object, meaning: str) -> dict[str, object]:
    if isinstance(value, str):
        secret = isinstance(getattr(settings, name), SecretStr)
        value = HIDDEN if secret else without_password(value)
    return {
        "name": name,
        "variable": env_names(name)[0],
        "value": value,
        "source": _source(name),
        "meaning": meaning,
    }


def _source(name: str) -> str:
    """The variable that sets it, or `default`."""
    present = {variable.upper(): variable for variable in os.environ}
    for variable in env_names(name):
        if variable.upper() in present:
            return present[variable.upper()]
    return "default"
