"""Palaver: a chat server and library that never loses a message.

    async with palaver.open("sqlite:///chat.db") as chat:
        room = await chat.room("support")
        ada = await chat.person("ada", name="Ada")
        await room.say(ada, "hello")

Names are looked up when they are first used, so that `import palaver` costs nothing and `palaver --help` is quick.
The embedding door itself is `palaver.facade`.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    __version__: str
    from palaver.core.answers.told import Rebuilt as Rebuilt
    from palaver.core.live.items import (
        Delta as Delta,
        Ended as Ended,
        Here as Here,
        Opened as Opened,
    )
    from palaver.core.members import Own as Own
    from palaver.core.search.search import Found as Found, Hit as Hit
    from palaver.errors import (
        Code as Code,
        PalaverError as PalaverError,
        Refused as Refused,
        Unavailable as Unavailable,
    )
    from palaver.facade import Answer as Answer, Chat as Chat, Room as Room, open as open  # noqa: A004
    from palaver.facade.agents import Agents as Agents
    from palaver.facade.branches import Branches as Branches
    from palaver.facade.people import People as People
    from palaver.facade.speakers import Speakers as Speakers
    from palaver.model import (
        Account as Account,
        Actor as Actor,
        ApiKey as ApiKey,
        Device as Device,
        Event as Event,
        EventType as EventType,
        Invitation as Invitation,
        Member as Member,
        MemberRole as MemberRole,
        Message as Message,
        OpenTo as OpenTo,
        Page as Page,
        Role as Role,
        ServerRole as ServerRole,
        Speaks as Speaks,
        Status as Status,
        Then as Then,
        Turn as Turn,
    )
    from palaver.model.agents import (
        AgentCard as AgentCard,
        Audience as Audience,
        Card as Card,
        CardVersion as CardVersion,
    )
    from palaver.model.branches import Branch as Branch
    from palaver.model.deleted import Deleted as Deleted
    from palaver.model.edits import Edited as Edited, Version as Version
    from palaver.model.usage import (
        Budget as Budget,
        BudgetPeriod as BudgetPeriod,
        UsageReport as UsageReport,
        UsedBy as UsedBy,
    )
    from palaver.settings import Settings as Settings

_HOME = {
    name: module
    for module, names in (
        ("palaver.core.answers.told", ("Rebuilt",)),
        ("palaver.core.live.items", ("Delta", "Ended", "Here", "Opened")),
        ("palaver.core.members", ("Own",)),
        ("palaver.errors", ("Code", "PalaverError", "Refused", "Unavailable")),
        ("palaver.facade", ("Answer", "Chat", "Room", "open")),
        ("palaver.core.search.search", ("Found", "Hit")),
        ("palaver.facade.agents", ("Agents",)),
        ("palaver.model.agents", ("AgentCard", "Audience", "Card", "CardVersion")),
        ("palaver.model", ("Account", "Actor", "ApiKey", "Device", "Event", "EventType")),
        ("palaver.model", ("Invitation", "Member", "MemberRole", "Message", "OpenTo")),
        ("palaver.model", ("Page", "Role", "ServerRole", "Speaks", "Status", "Then", "Turn")),
        ("palaver.model.usage", ("Budget", "BudgetPeriod", "UsageReport", "UsedBy")),
        ("palaver.facade.people", ("People",)),
        ("palaver.settings", ("Settings",)),
        ("palaver.facade.speakers", ("Speakers",)),
        ("palaver.facade.branches", ("Branches",)),
        ("palaver.model.branches", ("Branch",)),
        ("palaver.model.deleted", ("Deleted",)),
        ("palaver.model.edits", ("Edited", "Version")),
    )
    for name in names
}


def __getattr__(name: str) -> object:
    if name == "__version__":
        return _version()
    if name not in _HOME:
        raise AttributeError(f"module 'palaver' has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415  seldom asked

    try:
        return version("palaver")
    except PackageNotFoundError:  # run from its source, and not installed
        return "0+source"


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME, "__version__"})
