"""Connections to model servers as a program looks after them: the server's, for everyone, in use as soon as kept.

    mine = await chat.profiles.add("https://api.example.com/v1", key="sk-…", name="mine")
    print(await chat.profiles.test(mine))

Keys and headers are sealed when they are kept, and never told again.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import SecretStr

from palaver.core.runtime import Core
from palaver.errors import Code, Refused
from palaver.model.profiles import Given, ProfileKind, Shown
from palaver.policy import ServerAct, asks


class Profiles:
    """The connections of an open Palaver."""

    def __init__(self, core: Core) -> None:
        self._profiles, self._environment = core.model_profiles, core.environment

    @asks(ServerAct.OPERATE)
    async def all(self) -> Sequence[Shown]:
        """Lists the server's connections, those of the environment (`fixed`) first; not those of people."""
        return await self._profiles.listing(None, self._environment())

    @asks(ServerAct.OPERATE)
    async def add(self, url: str, **given: Any) -> Shown:
        """Keeps a connection: `key`, `headers`, `kind` (a `ProfileKind`), `name` (its host), `model`.

        Refused: `profile_invalid`, `header_refused`, `too_many_profiles`, `name_invalid`.
        """
        return await self._profiles.keep(None, _given({"base_url": url, **given}), own=False)

    @asks(ServerAct.OPERATE)
    async def change(self, profile: Shown, **given: Any) -> Shown:
        """Changes what is given, also its `base_url`, which needs key and headers again.

        An empty `key`, `model` or `headers` takes it away. Refused: as `add`, `profile_not_found`.
        """
        return await self._profiles.change(None, profile.id, _given(given))

    @asks(ServerAct.OPERATE)
    async def remove(self, profile: Shown) -> None:
        """Takes a connection away. Refused: `profile_not_found` (also one of the environment)."""
        await self._profiles.delete(None, profile.id)

    @asks(ServerAct.OPERATE)
    async def test(self, profile: Shown | str, **given: Any) -> Sequence[str]:
        """Asks one that is kept, or the server at a URL, for its models, with what is given; nothing is kept.

        Refused: as `change`, `profile_refused` (the key). Unavailable: `profile_unreachable`.
        """
        its_id = None if isinstance(profile, str) else profile.id
        wish = _given({"base_url": profile, **given} if isinstance(profile, str) else given)
        found = await self._profiles.tested(None, wish, own=False, id_=its_id)
        return [one.id for one in found]


def _given(given: Mapping[str, Any]) -> Given:
    """What is to be of a connection, as the core takes it."""
    values = dict(given)
    try:
        if "kind" in values:
            values["kind"] = ProfileKind(values["kind"])
        if values.get("key") is not None:
            values["key"] = SecretStr(values["key"])
        if values.get("headers") is not None:
            values["headers"] = {name: SecretStr(one) for name, one in values["headers"].items()}
        return Given(**values)
    except (TypeError, ValueError) as wrong:
        raise Refused(Code.PROFILE_INVALID, f"{wrong}.") from None
