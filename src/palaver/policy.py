"""Who may do what, in a room and on the server: two tables, asked by whatever writes, under a lock, and whatever reads.

| act | owner | moderator | member | reader | anyone else |
|---|---|---|---|---|---|
| `SEE`, `JOIN`, `READ`, `MEMBERSHIP` | yes | yes | yes | yes | `room_not_found` |
| `WRITE`, `ASK` | yes | yes | yes | `forbidden` | `room_not_found` |
| `EDIT` | what is its own | what is its own | what is its own | `forbidden` | `room_not_found` |
| `TAKE_BACK` | yes | yes | what is its own | `forbidden` | `room_not_found` |
| `NAME` | yes | yes | `forbidden` | `forbidden` | `room_not_found` |
| `INVITE`, `REMOVE` | yes | of lower roles | `forbidden` | `forbidden` | `room_not_found` |
| `GOVERN`, `PLACE` | yes | `forbidden` | `forbidden` | `forbidden` | `room_not_found` |

In an open room everyone is a member, or as what its owner opened it to whom; where it is everyone's, as the Lobby is,
nobody may `NAME`, `INVITE`, `REMOVE`, `GOVERN` or `PLACE` (`room_protected`). In an archived room nobody may `WRITE`,
`ASK`, `EDIT` or `TAKE_BACK` (`room_archived`). What server roles add is in `SERVER_TABLE`; who may `OVERSEE` may do in
any room what is `OVERSEEN`, and to read it they `JOIN`, which all members see. An exchange and an API key are their
actor's alone (`owns`). Who asks by a key may what its scopes say (`check_scope`), an agent `BOT_ACTS` of that, and
where it is limited to some rooms, the others are not there (`check_room`). The table knows only what it is told: no
store, no door. Lists filter in SQL; tests compare those filters with the table.
"""

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, Protocol, TypeVar

from msgspec.structs import replace

from palaver.errors import Code, Refused
from palaver.model import (
    AccountStatus,
    Actor,
    ActorId,
    ActorKind,
    ApiKey,
    CredentialId,
    MemberRole,
    OpenTo,
    Room,
    RoomId,
    Scope,
    ServerRole,
    Turn,
    Visibility,
)
from palaver.model.agents import AgentCard, Audience

F = TypeVar("F", bound=Callable[..., Any])

_ACT = "declared_act"


class Action(StrEnum):
    """What one may want to do in a room."""

    SEE = "see"
    """To see that the room is there: its title, its members and how long its log is."""
    JOIN = "join"
    """To come in, which every member sees: as what an open room has one, else as a reader. Who is in already stays as
    they are."""
    READ = "read"
    """To see the room, what was said and what is said now, and who is there; to note what one read and to star it."""
    MEMBERSHIP = "membership"
    """What is a member's own: to leave the room, to mute, hide or pin it."""
    WRITE = "write"
    """To say something, to react, to pin a message, and to be seen typing."""
    ASK = "ask"
    """To ask agents for an answer now. An agent asks others by mentioning them."""
    EDIT = "edit"
    """To change what a message says (one's own: its author; of what an agent answered, the room's owner)."""
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
    PLACE = "place"
    """To say who finds the room, and under which other one it stands."""


class ServerAct(StrEnum):
    """What one may want of the server where no room is asked about."""

    PUBLIC = "public"
    """To see the page, the reference and how the server is, and to give a sign of life: anyone."""
    ENTER = "enter"
    """To say who one is, or to become somebody: anyone."""
    OWN = "own"
    """To see and change what is one's own, such as name, keys, devices, prompts, what was asked at `/v1`: that one."""
    ROOMS = "rooms"
    """To list the rooms that one sees, to make one, and to see the pictures of people: whoever is somebody."""
    MODELS = "models"
    """To see which models there are, and to ask one outside of any room: whoever is somebody."""
    PEOPLE = "people"
    """To see all accounts."""
    MANAGE = "manage"
    """To make, disable and enable accounts, and links by which their people choose passwords."""
    INVITE = "invite_people"
    """To make, see and end links by which others make accounts: one's own, and all of them for who may `MANAGE`. A
    person may where the setting `invites` is `people`; else `MANAGE` is asked."""
    ROLES = "roles"
    """To give server roles. The last owner stays one."""
    AGENTS = "agents"
    """To make agents, and to see, change, share and archive one's own and their versions; also others' for an admin. A
    person may make one where the setting `agents` is `people`; else `MANAGE` is asked."""
    OVERSEE = "oversee"
    """To see all rooms but not what was said in them, to govern them, and to join them as a reader."""
    PROFILES = "profiles"
    """To keep, change and take away the server's connections to model servers."""
    CONNECT = "connect"
    """To see, keep, change and take away one's own. A person may where the setting `profiles` is `people`; else
    `PROFILES` is asked."""
    WEBHOOKS = "webhooks"
    """To make, see, change, test and take away webhooks, which are told what their owner may read: one's own. Also to
    see, disable and take away others' for an admin."""
    AUDIT = "audit"
    """To read the audit room."""
    USAGE = "usage"
    """To see what all answers used, and to set budgets."""
    OPERATE = "operate"
    """To act for anyone: who may open the database, on the command line or in a program of its own."""


Act = Action | ServerAct
"""What a call is: each names one where it is declared."""


class Right(StrEnum):
    """How far a role's right to an act goes."""

    ALL = "yes"
    OWN = "what is its own"
    LOWER = "of lower roles"
    NONE = "no"


TABLE: Mapping[Action, Mapping[MemberRole, Right]] = {
    act: dict(zip(MemberRole, rights, strict=True))
    for act, rights in {
        Action.SEE: (Right.ALL, Right.ALL, Right.ALL, Right.ALL),
        Action.JOIN: (Right.ALL, Right.ALL, Right.ALL, Right.ALL),
        Action.READ: (Right.ALL, Right.ALL, Right.ALL, Right.ALL),
        Action.MEMBERSHIP: (Right.ALL, Right.ALL, Right.ALL, Right.ALL),
        Action.WRITE: (Right.ALL, Right.ALL, Right.ALL, Right.NONE),
        Action.ASK: (Right.ALL, Right.ALL, Right.ALL, Right.NONE),
        Action.EDIT: (Right.OWN, Right.OWN, Right.OWN, Right.NONE),
        Action.TAKE_BACK: (Right.ALL, Right.ALL, Right.OWN, Right.NONE),
        Action.NAME: (Right.ALL, Right.ALL, Right.NONE, Right.NONE),
        Action.INVITE: (Right.ALL, Right.LOWER, Right.NONE, Right.NONE),
        Action.REMOVE: (Right.ALL, Right.LOWER, Right.NONE, Right.NONE),
        Action.GOVERN: (Right.ALL, Right.NONE, Right.NONE, Right.NONE),
        Action.PLACE: (Right.ALL, Right.NONE, Right.NONE, Right.NONE),
    }.items()
}
"""Of each act and role: owner, moderator, member, reader."""

_ANYONE = (Right.ALL,) * 4
SERVER_TABLE: Mapping[ServerAct, Mapping[ServerRole | None, Right]] = {
    act: dict(zip((*ServerRole, None), rights, strict=True))
    for act, rights in {
        ServerAct.PUBLIC: _ANYONE,
        ServerAct.ENTER: _ANYONE,
        ServerAct.OWN: (Right.OWN,) * 4,
        ServerAct.ROOMS: _ANYONE,
        ServerAct.MODELS: _ANYONE,
        ServerAct.PEOPLE: (Right.ALL, Right.ALL, Right.NONE, Right.NONE),
        ServerAct.MANAGE: (Right.ALL, Right.LOWER, Right.NONE, Right.NONE),
        ServerAct.INVITE: (Right.ALL, Right.LOWER, Right.LOWER, Right.NONE),
        ServerAct.ROLES: (Right.ALL, Right.NONE, Right.NONE, Right.NONE),
        ServerAct.AGENTS: (Right.ALL, Right.ALL, Right.OWN, Right.NONE),
        ServerAct.OVERSEE: (Right.ALL, Right.ALL, Right.NONE, Right.NONE),
        ServerAct.PROFILES: (Right.ALL, Right.ALL, Right.NONE, Right.NONE),
        ServerAct.CONNECT: (Right.OWN, Right.OWN, Right.OWN, Right.NONE),
        ServerAct.WEBHOOKS: (Right.ALL, Right.ALL, Right.OWN, Right.NONE),
        ServerAct.AUDIT: (Right.ALL, Right.ALL, Right.NONE, Right.NONE),
        ServerAct.USAGE: (Right.ALL, Right.ALL, Right.NONE, Right.NONE),
        ServerAct.OPERATE: (Right.NONE,) * 4,
    }.items()
}
"""Of each act and server role: owner, admin, person, and who has no account."""

PROTECTED = frozenset({Action.NAME, Action.INVITE, Action.REMOVE, Action.GOVERN, Action.PLACE})
"""What nobody may do in a room that is everyone's."""

OVERSEEN = frozenset({Action.SEE, Action.JOIN, Action.GOVERN})
"""What admins and owners of the server may do in any room, whoever they are there."""

SILENT = frozenset({Action.WRITE, Action.ASK, Action.EDIT, Action.TAKE_BACK})
"""What nobody may do in an archived room."""

KEY_SCOPES: Mapping[Act, Scope] = dict.fromkeys(
    (*Action, ServerAct.ROOMS, ServerAct.MODELS, ServerAct.AGENTS), Scope.ROOMS
)
"""What a key must be good for at our own doors; for every other act of the server, but for `UNKEYED`, `ADMIN`."""

UNKEYED = frozenset({ServerAct.ENTER, ServerAct.OWN, ServerAct.WEBHOOKS, ServerAct.OPERATE})
"""What a key is good for only where a call says so: else it could make what outlives it, as keys and passwords do."""

NAMED_SCOPES = frozenset({Scope.ADMIN, Scope.METRICS})
"""For which neither `ALL` nor `READ` will do."""

BOT_ACTS = frozenset({Action.SEE, Action.READ, Action.WRITE, ServerAct.OWN})
"""What an agent may do by a key of its own, beside reading what is asked with `ServerAct.ROOMS`."""

_LOWER = {MemberRole.MEMBER, MemberRole.READER, None}
_LOWER_ON_SERVER = {ServerRole.PERSON, None}
_WRITERS_ONLY = "You may read this room, not write in it."
_OWNERS_ONLY = "Only the room's owner may do this."
_OWN_ONLY = "Only who wrote it or asked for it, or the room's moderators or owner, may do this."
_AUTHORS_ONLY = "Only who wrote it may edit it, and what an agent answered, the room's owner."
_MODERATORS_ONLY = "Only the room's moderators or owner may do this."


class Openness(Protocol):
    """What is known of a room where it is asked who is what there."""

    @property
    def visibility(self) -> Visibility: ...  # noqa: D102  a field
    @property
    def open_to(self) -> OpenTo | None: ...  # noqa: D102  a field
    @property
    def open_role(self) -> MemberRole | None: ...  # noqa: D102  a field


def role_in(
    room: Openness,
    role: MemberRole | None,
    *,
    kept_out: bool = False,
    status: AccountStatus | None = None,
    agent: bool = False,
) -> MemberRole | None:
    """The role of an actor whose membership says `role`; None for who may not see the room, or was removed from it.

    `status`: of the actor's account, if there is one. An `agent` is only where somebody let it in.
    """
    if kept_out or agent:
        return None if kept_out else role
    has_account = status is AccountStatus.ACTIVE
    is_open = room.visibility is Visibility.OPEN
    if role is None and is_open and (has_account or room.open_to is not OpenTo.PEOPLE):
        return room.open_role or MemberRole.MEMBER
    return role


def role_of_caller(room: Room) -> MemberRole | None:
    """The role of an API client, to whom an open room that is another's is no conversation, unless it has joined."""
    if room.visibility is Visibility.PRIVATE or is_everyones(room, room.door):
        return room.role
    its_own = room.joined if room.open_role is not None else room.role is MemberRole.OWNER
    return room.role if its_own else None


def is_everyones(room: Openness, door: str | None) -> bool:
    """Whether a room belongs to nobody in particular. `door`: the one through which it was made, if not our own."""
    return room.visibility is Visibility.OPEN and room.open_role is None and door is None


def refusal(
    action: Action,
    role: MemberRole | None,
    *,
    own: bool = False,
    of: MemberRole | None = None,
    everyones: bool = False,
    archived: bool = False,
    oversees: bool = False,
) -> Refused | None:
    """Why who has this role may not do that: `room_protected`, `room_not_found`, `forbidden`; None where they may.

    `own`: whether it is of what is theirs; `of`: the role that is given or that is there (None: nobody's); `oversees`:
    whether they may `OVERSEE`.
    """
    if everyones and action in PROTECTED and (role is not None or oversees):
        return Refused(Code.ROOM_PROTECTED, "A room that is open to everyone has no owner.")
    if oversees and action in OVERSEEN:
        return None
    if role is None:
        return room_not_found()
    match TABLE[action][role]:
        case Right.ALL:
            why = None
        case Right.OWN:
            why = None if own else (_AUTHORS_ONLY if action is Action.EDIT else _OWN_ONLY)
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
    oversees: bool = False,
) -> None:
    """Raises the `refusal`, if there is one."""
    refused = refusal(
        action, role, own=own, of=of, everyones=everyones, archived=archived, oversees=oversees
    )
    if refused is not None:
        raise refused


def its_words(role: MemberRole | None, *, author: bool, answer: bool) -> bool:
    """Whether words are somebody's own to edit: nobody speaks for somebody else, but an owner mends what agents say."""
    return author or (answer and role is MemberRole.OWNER)


def allows(action: Action, role: MemberRole | None, *, own: bool = False) -> bool:
    """Whether there is no `refusal`."""
    return refusal(action, role, own=own) is None


def server_refusal(
    act: ServerAct, role: ServerRole | None, *, of: ServerRole | None = None
) -> Refused | None:
    """Why who has this server role may not do that (`forbidden`); None where they may. `of`: as in `refusal`."""
    right = SERVER_TABLE[act][role]
    if right in {Right.ALL, Right.OWN} or (right is Right.LOWER and of in _LOWER_ON_SERVER):
        return None
    owners = right is Right.LOWER or SERVER_TABLE[act][ServerRole.ADMIN] is Right.NONE
    who = "an owner" if owners else "an owner or admin"
    return _forbidden(f"Only {who} of this server may do this.")


def oversees(role: ServerRole | None) -> bool:
    """Whether who has this server role may `OVERSEE`."""
    return server_refusal(ServerAct.OVERSEE, role) is None


def check_server(act: ServerAct, role: ServerRole | None, *, of: ServerRole | None = None) -> None:
    """Raises the `server_refusal`, if there is one."""
    refused = server_refusal(act, role, of=of)
    if refused is not None:
        raise refused


def webhook_refusal(
    by: ActorId | None, role: ServerRole | None, owner: ActorId, *, steers: bool = True
) -> Refused | None:
    """Why somebody may not do that to a webhook: `webhook_not_found`, `forbidden`; None where they may.

    `steers`: what says who is told what; not to see, disable or take it away. `by` None: the operator.
    """
    if by is None:
        return None
    refused = server_refusal(ServerAct.WEBHOOKS, role)
    if refused is not None or by == owner:
        return refused
    if SERVER_TABLE[ServerAct.WEBHOOKS][role] is not Right.ALL:
        return Refused(Code.WEBHOOK_NOT_FOUND, "There is no such webhook of yours.")
    return _forbidden("Only its owner may do this: it is told what they read.") if steers else None


def may_use(by: ActorId, agent: AgentCard) -> bool:
    """Whether an agent is for somebody, and not archived."""
    named = agent.audience is Audience.SOME and by in agent.people
    everyones = agent.audience is Audience.EVERYONE
    return agent.archived_ms is None and (everyones or named or agent.owner == by)


def agent_refusal(by: Actor | None, agent: AgentCard) -> Refused | None:
    """Why somebody may not edit an agent and see its persona: `agent_not_found`, `forbidden`; None where they may."""
    if by is None:
        return None
    right = SERVER_TABLE[ServerAct.AGENTS][by.server_role]
    if right is Right.ALL or (right is Right.OWN and agent.owner == by.id):
        return None
    if not may_use(by.id, agent):
        return agent_not_found()
    return _forbidden("Only its owner, or an owner or admin of this server, may do this.")


def check_program(by: Actor, turn: Turn) -> None:
    """That somebody is the agent whose answer this is. Refused: `forbidden`."""
    if by.id != turn.agent:
        raise _forbidden("Only the program of its agent gives this answer.")


def owns(actor: ActorId | None, of: ActorId) -> bool:
    """Whether what is one actor's alone is this actor's; None is the operator, whose everything is."""
    return actor in {None, of}


def check_scope(scopes: frozenset[Scope], scope: Scope | None, *, reads: bool) -> None:
    """Raises `Refused` (`scope_missing`) unless a key with these scopes is good for a call of this one (None: any)."""
    good_for = {scope}
    if scope not in NAMED_SCOPES:
        good_for |= {Scope.ALL, *((Scope.READ,) if reads else ())}
    if scope is not None and not scopes & good_for:
        raise Refused(
            Code.SCOPE_MISSING,
            f"This API key is not good for that: it lacks the scope '{scope}'.",
        )


def check_key(by: Actor, act: Act, scope: Scope | None = None, *, reads: bool) -> None:
    """Raises `Refused` for who asks by a key that is not good for this at our own doors: `scope_missing`, `forbidden`.

    `scope`: which it wants, where that is not the act's; without any, no key is good for it, whatever its scopes.
    """
    if by.key is None or act is ServerAct.PUBLIC:
        return
    wanted = scope or KEY_SCOPES.get(act, None if act in UNKEYED else Scope.ADMIN)
    if wanted is None:
        raise _forbidden("No API key is good for this, whatever its scopes. Sign in.")
    if (
        by.kind is ActorKind.AGENT
        and act not in BOT_ACTS
        and (act, reads) != (ServerAct.ROOMS, True)
    ):
        raise _forbidden("An agent reads the rooms that it is in and speaks there, nothing else.")
    check_scope(by.key.scopes, wanted, reads=reads)


def caller_by(key: ApiKey) -> Actor:
    """Who asks by a key: its person, as one of the server's admins only where it is good for that."""
    role = key.actor.server_role
    if role is not None and Scope.ADMIN not in key.scopes:
        role = ServerRole.PERSON
    return replace(key.actor, key=key, server_role=role)


def check_room(by: Actor, room: RoomId | None) -> None:
    """Raises `Refused` for who asks by a key that is limited to other rooms (`room_not_found`).

    None: a room that is yet to be made, which such a key may not (`scope_missing`).
    """
    if by.key is not None and by.key.rooms is not None:
        if room is None:
            few = "This API key is limited to some rooms: name one of them, it makes no other."
            raise Refused(Code.SCOPE_MISSING, few)
        if not opens(by, room):
            raise room_not_found()


def opens(by: Actor, room: RoomId) -> bool:
    """Whether the key by which somebody asks, if they do by one, is good for a room."""
    return by.key is None or by.key.rooms is None or room in by.key.rooms


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


def agent_not_found() -> Refused:
    """The agent is not there, or not for this actor: nobody learns which."""
    return Refused(Code.AGENT_NOT_FOUND, "There is no such agent, or it is not for you.")


def signed_out(by: CredentialId | None) -> Refused:
    """What is told to who was here by a session or key that has ended."""
    if by is not None and by.startswith("k_"):
        return revoked()
    return Refused(Code.SESSION_ENDED, "This session has ended.")


def revoked() -> Refused:
    """What is told to who was here by a key that has ended."""
    return Refused(Code.UNAUTHENTICATED, "This API key was revoked, or has expired.")


def _why_not(action: Action) -> str:
    """Who may do what this role may not."""
    rights = TABLE[action]
    if rights[MemberRole.MEMBER] is not Right.NONE:
        return _WRITERS_ONLY
    return _OWNERS_ONLY if rights[MemberRole.MODERATOR] is Right.NONE else _MODERATORS_ONLY


def _forbidden(detail: str) -> Refused:
    return Refused(Code.FORBIDDEN, detail)
