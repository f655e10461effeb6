"""Who may do what in a room: one table, asked by whatever writes, under the room's lock, and by whatever reads.

| act | owner | moderator | member | reader | anyone else |
|---|---|---|---|---|---|
| `READ`, `MEMBERSHIP` | yes | yes | yes | yes | `room_not_found` |
| `WRITE` | yes | yes | yes | `forbidden` | `room_not_found` |
| `TAKE_BACK` | yes | yes | what is its own | `forbidden` | `room_not_found` |
| `NAME` | yes | yes | `forbidden` | `forbidden` | `room_not_found` |
| `INVITE`, `REMOVE` | yes | of members and readers | `forbidden` | `forbidden` | `room_not_found` |
| `GOVERN` | yes | `forbidden` | `forbidden` | `forbidden` | `room_not_found` |

In an open room everyone is a member; where it is everyone's, as the Lobby is, nobody may `NAME`, `INVITE`, `REMOVE` or
`GOVERN` (`room_protected`). In an archived room nobody may `WRITE` or `TAKE_BACK` (`room_archived`). An exchange and an
API key are their actor's alone (`owns`), and a key is good for its scopes (`check_scope`). The table knows only what it
is told: no store, no door. Lists filter in SQL; tests compare those filters with the table.
"""

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, TypeVar

from palaver.errors import Code, Refused
from palaver.model import ActorId, MemberRole, Room, Scope, Visibility

F = TypeVar("F", bound=Callable[..., Any])

_ACT = "declared_act"


class Action(StrEnum):
    """What one may want to do in a room."""

    READ = "read"
    """To see the room, what was said and what is said now, and who is there; to note what one has read."""
    MEMBERSHIP = "membership"
    """What is a member's own: to leave the room, to mute or hide it."""
    WRITE = "write"
    """To say something, to ask for an answer, and to be seen typing."""
    TAKE_BACK = "take_back"
    """To delete a message (one's own: its author), to stop an answer, to ask for it again or to let it go on (one's
    own: who asked for it)."""
    NAME = "name"
    """To name the room and to set its metadata."""
    INVITE = "invite"
    """To add members and to invite them. It is of the role that is given."""
    REMOVE = "remove"
    """To take a member out, and to make a member a reader or the other way. It is of the role that is there."""
    GOVERN = "govern"
    """To delete and restore the room, and what else is its owner's alone."""


class ServerAct(StrEnum):
    """What one may want of the server where no room is asked about."""

    PUBLIC = "public"
    """To see the page, the reference and how the server is, and to give a sign of life: anyone."""
    ENTER = "enter"
    """To say who one is, or to become somebody: anyone."""
    OWN = "own"
    """To see and change what is one's own, such as name, keys, devices, prompts, what was asked at `/v1`: that one."""
    ROOMS = "rooms"
    """To list the rooms that one sees, and to make one: whoever is somebody."""
    MODELS = "models"
    """To see which models there are, and to ask one outside of any room: whoever is somebody."""
    OPERATE = "operate"
    """To act for anyone: who may open the database, on the command line or in a program of its own."""


Act = Action | ServerAct
"""What a call is: each names one where it is declared."""


class Right(StrEnum):
    """How far a role's right to an act goes."""

    ALL = "yes"
    OWN = "what is its own"
    LOWER = "of members and readers"
    NONE = "no"


TABLE: Mapping[Action, Mapping[MemberRole, Right]] = {
    act: dict(zip(MemberRole, rights, strict=True))
    for act, rights in {
        Action.READ: (Right.ALL, Right.ALL, Right.ALL, Right.ALL),
        Action.MEMBERSHIP: (Right.ALL, Right.ALL, Right.ALL, Right.ALL),
        Action.WRITE: (Right.ALL, Right.ALL, Right.ALL, Right.NONE),
        Action.TAKE_BACK: (Right.ALL, Right.ALL, Right.OWN, Right.NONE),
        Action.NAME: (Right.ALL, Right.ALL, Right.NONE, Right.NONE),
        Action.INVITE: (Right.ALL, Right.LOWER, Right.NONE, Right.NONE),
        Action.REMOVE: (Right.ALL, Right.LOWER, Right.NONE, Right.NONE),
        Action.GOVERN: (Right.ALL, Right.NONE, Right.NONE, Right.NONE),
    }.items()
}
"""Of each act and role: owner, moderator, member, reader."""

PROTECTED = frozenset({Action.NAME, Action.INVITE, Action.REMOVE, Action.GOVERN})
"""What nobody may do in a room that is everyone's."""

SILENT = frozenset({Action.WRITE, Action.TAKE_BACK})
"""What nobody may do in an archived room."""

_LOWER = {MemberRole.MEMBER, MemberRole.READER, None}
_WRITERS_ONLY = "You may read this room, not write in it."
_OWNERS_ONLY = "Only the room's owner may do this."
_OWN_ONLY = "Only who wrote it or asked for it, or the room's moderators or owner, may do this."
_MODERATORS_ONLY = "Only the room's moderators or owner may do this."


def role_in(
    visibility: Visibility, role: MemberRole | None, *, kept_out: bool = False
) -> MemberRole | None:
    """The role of an actor whose membership says `role`; None for who may not see the room, or was removed from it."""
    if kept_out:
        return None
    return MemberRole.MEMBER if role is None and visibility is Visibility.OPEN else role


def role_of_caller(room: Room) -> MemberRole | None:
    """The role of an API client, to whom another client's open room is no conversation."""
    others = room.visibility is Visibility.OPEN and room.door is not None
    return None if others and room.role is not MemberRole.OWNER else room.role


def is_everyones(visibility: Visibility, door: str | None) -> bool:
    """Whether a room belongs to nobody in particular. `door`: the one through which it was made, if not our own."""
    return visibility is Visibility.OPEN and door is None


def refusal(
    action: Action,
    role: MemberRole | None,
    *,
    own: bool = False,
    of: MemberRole | None = None,
    everyones: bool = False,
    archived: bool = False,
) -> Refused | None:
    """Why who has this role may not do that: `room_protected`, `room_not_found`, `forbidden`; None where they may.

    `own`: whether it is of what is theirs; `of`: the role that is given or that is there (None: nobody's).
    """
    if everyones and action in PROTECTED:
        return Refused(Code.ROOM_PROTECTED, "a room that is open to everyone has no owner")
    if role is None:
        return room_not_found()
    match TABLE[action][role]:
        case Right.ALL:
            why = None
        case Right.OWN:
            why = None if own else _OWN_ONLY
        case Right.LOWER:
            why = None if of in _LOWER else _OWNERS_ONLY
        case Right.NONE:
            why = _why_not(action)
    if why is None and archived and action in SILENT:
        return Refused(Code.ROOM_ARCHIVED, "This room is archived: it can be read, not written in.")
    return None if why is None else _forbidden(why)


def check(
    action: Action,
    role: MemberRole | None,
    *,
    own: bool = False,
    of: MemberRole | None = None,
    everyones: bool = False,
    archived: bool = False,
) -> None:
    """Raises the `refusal`, if there is one."""
    refused = refusal(action, role, own=own, of=of, everyones=everyones, archived=archived)
    if refused is not None:
        raise refused


def allows(action: Action, role: MemberRole | None, *, own: bool = False) -> bool:
    """Whether there is no `refusal`."""
    return refusal(action, role, own=own) is None


def owns(actor: ActorId | None, of: ActorId) -> bool:
    """Whether what is one actor's alone is this actor's; None is the operator, whose everything is."""
    return actor in {None, of}


def check_scope(scopes: frozenset[Scope], scope: Scope | None, *, reads: bool) -> None:
    """Raises `Refused` (`forbidden`) unless a key with these scopes is good for a call of this one (None: any is)."""
    good_for = {Scope.ALL, scope, *((Scope.READ,) if reads else ())}
    if scope is not None and not scopes & good_for:
        raise _forbidden(f"This API key is not good for that: it lacks the scope '{scope}'.")


def asks(act: Act) -> Callable[[F], F]:
    """Declares the act of a function that no wire calls."""

    def declare(function: F) -> F:
        setattr(function, _ACT, act)
        return function

    return declare


def act_of(function: object) -> Act | None:
    """The act that `asks` declared; None without one."""
    return getattr(function, _ACT, None)


def room_not_found() -> Refused:
    """The room is not there, or not for this actor: nobody learns which."""
    return Refused(Code.ROOM_NOT_FOUND, "There is no such room, or it is not yours to see.")


def _why_not(action: Action) -> str:
    """Who may do what this role may not."""
    rights = TABLE[action]
    if rights[MemberRole.MEMBER] is not Right.NONE:
        return _WRITERS_ONLY
    return _OWNERS_ONLY if rights[MemberRole.MODERATOR] is Right.NONE else _MODERATORS_ONLY


def _forbidden(detail: str) -> Refused:
    return Refused(Code.FORBIDDEN, detail)
