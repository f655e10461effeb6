"""Who may do what in a room: one table, asked by whatever writes, under the room's lock, and by whatever reads.

| action | owner | member | reader | anyone else |
|---|---|---|---|---|
| `READ` | yes | yes | yes | `room_not_found` |
| `WRITE` | yes | yes | `forbidden` | `room_not_found` |
| `TAKE_BACK` | yes | what is its own | `forbidden` | `room_not_found` |
| `GOVERN` | yes | `forbidden` | `forbidden` | `room_not_found` |

In an open room everyone is a member. It knows only what it is told: no store, no door.
"""

from enum import StrEnum

from palaver.errors import Code, Refused
from palaver.model import MemberRole, Room, Visibility


class Action(StrEnum):
    """What one may want to do in a room.

    `TAKE_BACK` is to delete a message (one's own: its author), and to stop an answer, to ask for it again or to let it
    go on (one's own: who asked for it). `GOVERN` is to name, delete and restore the room, to set its metadata, and to
    add members.
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


def check(action: Action, role: MemberRole | None, *, own: bool = False) -> None:
    """Raises `Refused` (`room_not_found`, `forbidden`) unless who has this role may do that."""
    if role is None:
        raise room_not_found()
    if role is MemberRole.OWNER or action is Action.READ:
        return
    if action is Action.GOVERN:
        raise _forbidden("Only the room's owner may do this.")
    if role is MemberRole.READER:
        raise _forbidden("You may read this room, not write in it.")
    if action is Action.TAKE_BACK and not own:
        raise _forbidden("Only who wrote it or asked for it, or the room's owner, may do this.")


def room_not_found() -> Refused:
    """The room is not there, or not for this actor: nobody learns which."""
    return Refused(Code.ROOM_NOT_FOUND, "There is no such room, or it is not yours to see.")


def _forbidden(detail: str) -> Refused:
    return Refused(Code.FORBIDDEN, detail)
