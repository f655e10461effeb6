"""`palaver key …`: the keys of API clients, in the database itself or through the server that has it."""

import asyncio
from collections.abc import Mapping
from typing import Any

from palaver.cli.output import tell, tell_json
from palaver.cli.settings import settings_of
from palaver.settings import Settings
from palaver.wire.server.control import asked


def create(
    given: Mapping[str, object],
    *,
    name: str | None,
    scopes: str,
    handle: str | None,
    as_json: bool,
) -> None:
    """Makes a key, and a database where there is none yet."""
    words = [word.strip() for word in scopes.split(",") if word.strip()]
    request = {"do": "key.create", "name": name, "scopes": words, "as": handle}
    made = asyncio.run(asked(settings_of(given), request))
    if as_json:
        tell_json(made)
        return
    tell(made["token"])
    tell("This is the only time that it is shown.")
    tell(_line(made["key"]))


def show(given: Mapping[str, object], *, as_json: bool) -> None:
    """Shows all keys, the oldest first."""
    keys = asyncio.run(_all(settings_of(given)))
    if as_json:
        tell_json({"keys": keys})
    elif not keys:
        tell("There are no keys yet. `palaver key create` makes one.")
    for key in () if as_json else keys:
        tell(_line(key))


def revoke(given: Mapping[str, object], key: str, *, as_json: bool) -> None:
    """Ends a key."""
    ended = asyncio.run(asked(settings_of(given), {"do": "key.revoke", "key": key}))
    if as_json:
        tell_json(ended)
    else:
        tell(_line(ended["key"]))


async def _all(settings: Settings) -> list[dict[str, Any]]:
    keys: list[dict[str, Any]] = []
    while True:
        after = keys[-1]["id"] if keys else None
        page = (await asked(settings, {"do": "key.list", "after": after}))["keys"]
        if not page:
            return keys
        keys += page


def _line(key: Mapping[str, Any]) -> str:
    used = key["last_used_at"] or "never"
    state = f"revoked {key['revoked_at']}" if key["revoked_at"] else f"last used {used}"
    scopes = ",".join(key["scopes"])
    return f"{key['id']}  {key['name']}  {scopes}  speaks for {key['actor']['name']}  {state}"
