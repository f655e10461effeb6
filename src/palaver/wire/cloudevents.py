"""What happened in rooms as CloudEvents 1.0, for programs: what every such event has, and the `data` of each type.

`data` is the `d` of the frame `ev`, which says a message as it is now. `scripts/events_page.py` writes the schemas in
docs/events.md from these shapes, and a test holds what is told against them. What only the audit room has is not told.
"""

from collections.abc import Mapping
from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict

import palaver.model as stored
from palaver.model import EventType, MemberRole, OpenTo, Speaks, TitleSource, TurnRefusal
from palaver.wire import shapes
from palaver.wire.shapes import explained

TYPE = "chat.palaver."
"""What stands before the type of an event."""
BATCH = "application/cloudevents-batch+json"


@explained
class CloudEvent(TypedDict):
    """What happened in a room, as CloudEvents 1.0 has it."""

    specversion: Literal["1.0"]
    id: str
    """`r_…:seq`."""
    source: str
    """`/rooms/r_…`."""
    type: str
    """`chat.palaver.` and the kind of the event."""
    subject: NotRequired[str]
    """The message that it is about, if it is about one."""
    time: str
    datacontenttype: Literal["application/json"]
    data: Mapping[str, Any]
    """Its shape depends on the type."""
    sequence: str
    """The seq, in decimal digits."""
    partitionkey: str
    """The room: its events come in their order."""
    actor: NotRequired[str]
    """Who did it, where somebody did."""


def cloud_event(value: stored.Event) -> CloudEvent:
    """Builds the CloudEvent of an event."""
    told = shapes.event(value)
    room, seq, data = told["room"], told["seq"], told["d"]
    made: CloudEvent = {
        "specversion": "1.0",
        "id": f"{room}:{seq}",
        "source": f"/rooms/{room}",
        "type": f"{TYPE}{told['k']}",
        "time": told["at"],
        "datacontenttype": "application/json",
        "data": data,
        "sequence": str(seq),
        "partitionkey": room,
    }
    if (subject := data.get("id", data.get("msg"))) is not None:
        made["subject"] = subject
    if told["by"] is not None:
        made["actor"] = told["by"]
    return made


# the data


class Nothing(TypedDict):
    """Nothing more than that it happened."""


class MessageNamed(TypedDict):
    """Which message, and its seq."""

    msg: str
    seq: int


class ReactionNamed(MessageNamed):
    """The emoji, and to which message, at which seq."""

    emoji: str


class MessageEdited(MessageNamed):
    """What a message said before, and the message as it is now; nothing of either once it is deleted."""

    was: str
    message: shapes.Message


class RoomCleared(TypedDict):
    """The messages with `since` < seq ≤ `upto` are deleted; `of`: it goes on with that; `before`: what stood before."""

    upto: int
    since: int
    of: NotRequired[int]
    before: NotRequired[int]


class RoomUncleared(TypedDict):
    """The messages with `since` < seq ≤ `upto` are back, but for those that were deleted by themselves."""

    upto: int
    since: int
    cleared: int


class BranchMeant(TypedDict):
    """Which branch."""

    branch: int


class BranchCreated(BranchMeant):
    """Which branch begins, behind the message of its `parent` at the seq `after`; 0: before all of them."""

    parent: int
    after: int


class BranchNamed(BranchMeant):
    """Which branch, and how it is called now; null: not at all."""

    name: str | None


class RoomCreated(TypedDict):
    """How the room is called; `visibility` of one that everyone finds; `forked`: whose messages it began with."""

    title: str
    visibility: NotRequired[Literal["open"]]
    forked: NotRequired[shapes.Forked]


class RoomRenamed(TypedDict):
    """How the room is called now, and who called it so."""

    title: str
    source: TitleSource


class RoomTransferred(TypedDict):
    """Who owns the room now, and what they were `before`."""

    actor: str
    before: MemberRole


class RoomVisibility(TypedDict):
    """Who finds the room now, and as what those are there who find it."""

    visibility: stored.Visibility
    open_to: NotRequired[OpenTo]
    open_role: NotRequired[MemberRole]


class RoomMoved(TypedDict):
    """The room under which it stands now, if it does under one."""

    parent: str | None


class RoomSettings(TypedDict, total=False):
    """How the room's agents speak from now on, where that has changed."""

    turns: Literal["together", "in_turn"]
    chain_max: int
    agent_answers_per_hour: int
    greets: bool


class MemberJoined(TypedDict):
    """Who came, as what; `via` an invitation, `open`, or `admin`."""

    actor: str
    name: NotRequired[str]
    role: MemberRole
    via: NotRequired[str]


class MemberLeft(TypedDict):
    """Who went; `became`: the account that a guest went into; `deleted`: for good."""

    actor: str
    became: NotRequired[str]
    deleted: NotRequired[bool]


class MemberNamed(TypedDict):
    """Who, and how they are called now."""

    actor: str
    name: NotRequired[str]


class MemberRoleGiven(TypedDict):
    """What a member is now, and was `before`."""

    actor: str
    role: MemberRole
    before: MemberRole


class MemberSpeaks(TypedDict):
    """When an agent answers by itself now, and did `before`."""

    actor: str
    before: Speaks
    after: Speaks


class OwnSettings(TypedDict, total=False):
    """What a room has of its own for an agent."""

    instructions: str
    model: str
    temperature: float


class MemberSettings(TypedDict):
    """What the room has of its own for an agent now, and what of that has changed."""

    actor: str
    settings: OwnSettings
    changed: list[str]


class TurnRefused(TypedDict):
    """Which agent gives no answer, and why; `owner`: who can share it; the rest is of a budget."""

    agent: str
    code: TurnRefusal
    owner: NotRequired[str]
    budget: NotRequired[str]
    of: NotRequired[str | None]
    period: NotRequired[str]
    until: NotRequired[str]
    left: NotRequired[bool]


DATA: Mapping[EventType, type] = {
    EventType.MESSAGE_CREATED: shapes.Message,
    EventType.MESSAGE_EDITED: MessageEdited,
    EventType.MESSAGE_DELETED: MessageNamed,
    EventType.MESSAGE_RESTORED: MessageNamed,
    EventType.ROOM_CLEARED: RoomCleared,
    EventType.ROOM_UNCLEARED: RoomUncleared,
    EventType.MESSAGE_PINNED: MessageNamed,
    EventType.MESSAGE_UNPINNED: MessageNamed,
    EventType.BRANCH_CREATED: BranchCreated,
    EventType.BRANCH_NAMED: BranchNamed,
    EventType.BRANCH_MAIN: BranchMeant,
    EventType.BRANCH_DELETED: BranchMeant,
    EventType.BRANCH_RESTORED: BranchMeant,
    EventType.REACTION_ADDED: ReactionNamed,
    EventType.REACTION_REMOVED: ReactionNamed,
    EventType.ROOM_CREATED: RoomCreated,
    EventType.ROOM_RENAMED: RoomRenamed,
    EventType.ROOM_DELETED: Nothing,
    EventType.ROOM_RESTORED: Nothing,
    EventType.ROOM_ARCHIVED: Nothing,
    EventType.ROOM_UNARCHIVED: Nothing,
    EventType.ROOM_TRANSFERRED: RoomTransferred,
    EventType.ROOM_VISIBILITY: RoomVisibility,
    EventType.ROOM_MOVED: RoomMoved,
    EventType.ROOM_SETTINGS: RoomSettings,
    EventType.MEMBER_JOINED: MemberJoined,
    EventType.MEMBER_RENAMED: MemberNamed,
    EventType.MEMBER_LEFT: MemberLeft,
    EventType.MEMBER_REMOVED: MemberNamed,
    EventType.MEMBER_ROLE: MemberRoleGiven,
    EventType.MEMBER_SPEAKS: MemberSpeaks,
    EventType.MEMBER_SETTINGS: MemberSettings,
    EventType.TURN_REFUSED: TurnRefused,
}
"""The shape of the `data` of each type."""
