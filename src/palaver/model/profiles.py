"""Connections to model servers that are kept in the database: the server's, and each person's own."""

from collections.abc import Mapping
from enum import StrEnum
from typing import NewType

from msgspec import Struct
from pydantic import SecretStr

from palaver.model import ActorId, ServerRole

ProfileId = NewType("ProfileId", str)
"""Of a stored one (`f_…`); what the environment says has `environment`, a second one `environment_2`."""


class ProfileKind(StrEnum):
    """What a model server speaks."""

    OPENAI = "openai"
    ANTHROPIC = "anthropic"


class Profile(Struct, frozen=True):
    """A stored profile; `owner` None: the server's. `role`: its owner's server role; None for who may not ask any more.

    `sealed` is its key and `headers_sealed` its headers as JSON, see `store.sealing`.
    """

    id: ProfileId
    owner: ActorId | None
    role: ServerRole | None
    kind: ProfileKind
    name: str
    base_url: str
    model: str | None
    sealed: bytes | None
    headers_sealed: bytes | None


class Shown(Struct, frozen=True, kw_only=True):
    """A profile as it is told: whether it has a key, the names of its headers, and whether both can be read.

    `fixed`: the environment says it, and it cannot be changed here.
    """

    id: ProfileId
    kind: ProfileKind
    name: str
    base_url: str
    model: str | None
    has_key: bool
    headers: tuple[str, ...]
    readable: bool = True
    own: bool = False
    fixed: bool = False


class Given(Struct, frozen=True, kw_only=True):
    """What is to be of a profile; None: as it is, or nothing. An empty key, model or set of headers takes it away."""

    kind: ProfileKind | None = None
    name: str | None = None
    base_url: str | None = None
    model: str | None = None
    key: SecretStr | None = None
    headers: Mapping[str, SecretStr] | None = None
