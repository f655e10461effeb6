"""Every call of every door: address, act, scope and bound, collected from where each is declared."""

from collections.abc import Iterator
from dataclasses import dataclass

from palaver.model import Scope
from palaver.policy import Action
from palaver.wire.api.me import People
from palaver.wire.api.messages import Messages
from palaver.wire.api.rooms import Rooms
from palaver.wire.app import Operations, Service
from palaver.wire.calls import ScopeOf, calls_of
from palaver.wire.classic.rest import Accounts, Sessions, Talks
from palaver.wire.edge.rates import Use
from palaver.wire.live.connection import PATH, Connection, Live
from palaver.wire.openai.router import PARTS
from palaver.wire.server.control import Commands

DOORS: dict[str, tuple[str, tuple[type, ...]]] = {
    "service": ("", (Service, Operations)),
    "rest": ("/api", (People, Rooms, Messages)),
    "live": ("", (Live,)),
    "frames": (f"{PATH} ", (Connection,)),
    "classic": ("", (Sessions, Accounts, Talks)),
    "openai": ("/v1", PARTS),
    "control": ("", (Commands,)),
}
"""What stands before the address of each call of a door, and the classes whose methods are its calls."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """One call under one method."""

    door: str
    method: str
    path: str
    act: Action | None
    scope: Scope | ScopeOf | None
    use: Use | None


def listing() -> Iterator[Listed]:
    """Lists the calls, door by door."""
    for door, (prefix, parts) in DOORS.items():
        for one in (declared for part in parts for declared, _ in calls_of(part)):
            for method in one.method.split():
                yield Listed(
                    door=door,
                    method=method,
                    path=prefix + one.path,
                    act=one.act,
                    scope=one.scope,
                    use=one.use,
                )
