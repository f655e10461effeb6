"""Whom an operator's command names: by a handle or an id."""

from palaver.core.identity.api_keys import Keys
from palaver.core.identity.register import Register
from palaver.errors import Refused
from palaver.model import Actor


async def account_named(register: Register, named: str) -> Actor | None:
    """Who has an account of this handle or id."""
    try:
        return (await register.get(named)).actor
    except Refused:
        return None


async def person_named(register: Register, keys: Keys, named: str) -> Actor:
    """The same, else as `Keys.person`."""
    return await account_named(register, named) or await keys.person(named)
