"""Who may do what in a room: one table, asked by whatever writes, under the room's lock, and by whatever reads.

| action | owner | member | reader | anyone else |
|---|---|---|---|---|
| `READ` | yes | yes | yes | `room_not_found` |
| `WRITE` | yes | yes | `forbidden` | `room_not_found` |
| `TAKE_BACK` | yes | what is its own | `forbidden` | `room_not_found` |
| `GOVERN` | yes | `forbidden` | `forbidden` | `room_not_found` |

In an open room everyone is a member; where it is everyone's, as the Lobby is, nobody may `GOVERN` (`room_protected`).
An exchange and an API key are their actor's alone (`owns`), and a key is good for its scopes (`check_scope`). The table
knows only what it is told: no store, no door. Lists filter in SQL; tests compare those filters with the table.
"""

from enum import StrEnum

from palaver.errors import Code, Refused
from palaver.model import ActorId, MemberRole, Room, Scope, Visibility


class Action(StrEnum):
    """What one may want to do in a room.

    `TAKE_BACK` is to delete a message (one's own: its author), and to stop an answer, to ask for it again or to let it
    go on (one's own: who asked for it). `GOVERN` is to name, delete and restore the room, to set its metadata, and to
    add and remove members.
    """

    READ = "read"
    WRITE = "write"
    TAKE_BACK = "take_back"
    GOVERN = "govern"


def role_in(visibility: Visibility, role: MemberRole | None) -> MemberRole | None:
    """The role of an actor whose membership says `role`; None for who may not see the room."""
    return MemberRole.MEMBER if role is None and visibility is Visibility.OPEN else role


def role_of_caller(room: Room) -> MemberRole | None:
    """The role of an API client, to whom another client's open room is no conversation."""
    others = room.visibility is Visibility.OPEN and room.door is not None
    return None if others and room.role is not MemberRole.OWNER else room.role


def is_everyones(visibility: Visibility, door: str | None) -> bool:
    """Whether a room belongs to nobody in particular. `door`: the one through which it was made, if not our own."""
    return visibility is Visibility.OPEN and door is None


def refusal(
    action: Action, role: MemberRole | None, *, own: bool = False, everyones: bool = False
) -> Refused | None:
    """Why who has this role may not do that: `room_protected`, `room_not_found`, `forbidden`; None where they may."""
    if everyones and action is Action.GOVERN:
        return Refused(Code.ROOM_PROTECTED, "a room that is open to everyone has no owner")
    if role is None:
        return room_not_found()
    detail = None
    if role is MemberRole.OWNER or action is Action.READ:
        pass
    elif action is Action.GOVERN:
        detail = "Only the room's owner may do this."
    elif role is MemberRole.READER:
        detail = "You may read this room, not write in it."
    elif action is Action.TAKE_BACK and not own:
        detail = "Only who wrote it or asked for it, or the room's owner, may do this."
    return None if detail is None else _forbidden(detail)


def check(
    action: Action, role: MemberRole | None, *, own: bool = False, everyones: bool = False
) -> None:
    """Raises the `refusal`, if there is one."""
    refused = refusal(action, role, own=own, everyones=everyones)
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


def room_not_found() -> Refused:
    """The room is not there, or not for this actor: nobody learns which."""
    return Refused(Code.ROOM_NOT_FOUND, "There is no such room, or it is not yours to see.")


def _forbidden(detail: str) -> Refused:
    return Refused(Code.FORBIDDEN, detail)
