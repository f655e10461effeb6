"""The table of rights and what every query and command gives: each kind of actor, role, kind of room and action."""

import importlib
import inspect
import pkgutil
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import pytest
from tests.core.conftest import Running
from tests.core.rights import ASKS_NOBODY, TRIED
from tests.support.kinds import Kind

from palaver import policy
from palaver.core.answers.tape import ExchangeRequest
from palaver.core.runtime import Core
from palaver.errors import Code, Refused
from palaver.model import (
    AccountStatus,
    Actor,
    ActorId,
    ActorKind,
    Entry,
    MemberRole,
    MessageId,
    OpenTo,
    Role,
    RoomId,
    ServerRole,
    Speaks,
    Status,
    TitleSource,
    Turn,
    TurnId,
    Visibility,
)
from palaver.model.exchanges import ExchangeKind
from palaver.policy import Action
from palaver.store import write
from palaver.store.store import Store
from palaver.store.write.actors import AddActor
from palaver.store.write.agents import AgentCommand
from palaver.store.write.branches import (
    BranchCommand,
    LookAt,
    NameBranch,
    SetBranchDeleted,
    SetMainBranch,
)
from palaver.store.write.clearing import ClearRoom, UnclearRoom
from palaver.store.write.command import Command, RoomCommand
from palaver.store.write.consumers import MoveFeed
from palaver.store.write.edits import EditMessage
from palaver.store.write.marks import SetPin, SetStar
from palaver.store.write.members import (
    JoinRoom,
    LeaveRoom,
    SetMembership,
    SetRole,
    SetSpeaks,
    TransferRoom,
)
from palaver.store.write.messages import AddEntries, AddMessage, MessageCommand, SetMessageDeleted
from palaver.store.write.people.credentials import Audited
from palaver.store.write.people.invitations import AddInvitation, RevokeInvitation
from palaver.store.write.profiles import OfProfile
from palaver.store.write.reactions import SetReaction
from palaver.store.write.rooms import (
    AddMember,
    ChangeSettings,
    CreateRoom,
    MarkRead,
    MoveRoom,
    RemoveMember,
    RenameRoom,
    SetArchived,
    SetRoomDeleted,
    SetVisibility,
)
from palaver.store.write.turns import AskAgents, FinishTurn, OpenTurn, RetryTurn, StopRoom
from palaver.store.write.webhooks import OfWebhook

ROOMS = {
    "private": Kind(Visibility.PRIVATE),
    "private conversation": Kind(Visibility.PRIVATE, "openai"),
    "open conversation": Kind(Visibility.OPEN, "openai"),
    "everyone's": Kind(Visibility.OPEN),
    "opened to readers": Kind(Visibility.OPEN, None, OpenTo.PEOPLE, MemberRole.READER),
    "opened to guests": Kind(Visibility.OPEN, None, OpenTo.EVERYONE, MemberRole.MEMBER),
}
BASES = {
    Command,
    RoomCommand,
    MessageCommand,
    BranchCommand,
    Audited,
    AgentCommand,
    OfProfile,
    OfWebhook,
}
KINDS = ["person", "guest", "agent", "system"]
ASKED_FOR = ["guest", "account"]
"""To whom an owner opens a room."""
ROLES = [*MemberRole, None]


@dataclass(slots=True)
class Case:
    """One room, whoever made it, and one who wants something there. `new` makes ids that nothing has yet."""

    core: Core
    founder: Actor
    actor: Actor
    role: MemberRole | None
    kind: str
    room: RoomId
    turn: Turn
    theirs: MessageId
    answer: MessageId
    own: MessageId | None
    began: str
    """The cursor from before it."""
    found: list[str] = field(default_factory=list[str])

    def new(self, prefix: str) -> str:
        return f"{prefix}_{self.core.clock.new_id()}"

    async def write(self, command: Command[object]) -> object:
        return await self.core.chat._store.write(command)

    @property
    def seen(self) -> MemberRole | None:
        return seen_as(self.kind, self.actor, self.role)

    @property
    def others_write(self) -> bool:
        kind = ROOMS[self.kind]
        return kind.visibility is Visibility.OPEN and kind.open_role is not MemberRole.READER

    @property
    def owner(self) -> Actor:
        return self.actor if self.role is MemberRole.OWNER else self.founder

    @property
    def caller(self) -> MemberRole | None:
        """The role of an API client, to whom somebody else's open room is no conversation."""
        kind = ROOMS[self.kind]
        if kind.open_role is not None:
            return self.role
        others = kind.visibility is Visibility.OPEN and kind.door is not None
        return None if others and self.seen is not MemberRole.OWNER else self.seen

    async def expect(
        self,
        action: Action,
        call: Callable[[], Awaitable[object]],
        *,
        own: bool = False,
        of: MemberRole | None = None,
        caller: bool = False,
        absent: Code = Code.ROOM_NOT_FOUND,
    ) -> None:
        """That a call gives what the table says. `absent`: how it calls what is not there."""
        if caller and self.seen is None:
            caller = False
        role = self.caller if caller else self.seen
        everyones = ROOMS[self.kind].everyones
        refusal = policy.refusal(action, role, own=own, of=of, everyones=everyones)
        wanted = None if refusal is None else refusal.code
        if wanted is Code.ROOM_NOT_FOUND:
            wanted = absent
        got = None
        try:
            await call()
        except Refused as refused:
            got = refused.code
        if got != wanted:
            self.found.append(f"{inspect.getsource(call).strip()}: {got}, and not {wanted}")


def seen_as(kind: str, actor: Actor, role: MemberRole | None) -> MemberRole | None:
    status = None if actor.server_role is None else AccountStatus.ACTIVE
    agent = actor.kind is ActorKind.AGENT
    return policy.role_in(ROOMS[kind], role, status=status, agent=agent)


async def new_actor(core: Core, kind: str) -> Actor:
    if kind == "guest":
        return (await core.identity.new_guest("Guest"))[1]
    if kind == "account":
        made = await core.register.create(f"x{core.clock.new_id()[-20:]}", role=ServerRole.PERSON)
        return made.actor
    prefix = {"person": "u", "agent": "a", "system": "s"}[kind]
    id_ = ActorId(f"{prefix}_{core.clock.new_id()}")
    actor = Actor(id=id_, kind=ActorKind(kind), name=kind.title())
    return await core.chat._store.write(AddActor(actor=actor, handle=id_))


async def new_case(core: Core, kind: str, who: str, role: MemberRole | None) -> Case:
    """Somebody with this role in a room of this kind, who said something there where it may."""
    is_a = ROOMS[kind]
    founder, actor = await new_actor(core, "person"), await new_actor(core, who)
    store = core.chat._store
    while await store.write(MoveFeed()) is not False:
        pass
    began = str((await core.events.since(founder)).place)
    room = RoomId(f"r_{core.clock.new_id()}")
    owner = actor if role is MemberRole.OWNER else founder
    making = CreateRoom(
        id=room,
        title="Room",
        title_source=TitleSource.USER,
        visibility=is_a.made,
        owner=owner.id,
        agents=(core.assistant,),
        door=is_a.door,
    )
    await store.write(making)
    if role is not None and role is not MemberRole.OWNER:
        await store.write(AddMember(room=room, by=founder.id, actor=actor.id, role=role))
    if owner is not founder and (is_a.visibility is Visibility.PRIVATE or is_a.open_to):
        member = MemberRole.MEMBER
        await store.write(AddMember(room=room, by=owner.id, actor=founder.id, role=member))
    if is_a.open_to is not None:
        await core.rooms.open_to(owner, room, is_a.open_to, role=is_a.open_role or MemberRole.OWNER)

    async def said(author: Actor) -> MessageId:
        id_ = MessageId(f"m_{core.clock.new_id()}")
        await store.write(AddMessage(id=id_, room=room, author=author.id, text="x", cid=None))
        return id_

    theirs = await said(founder)
    turn, answer = TurnId(f"t_{core.clock.new_id()}"), MessageId(f"m_{core.clock.new_id()}")
    opening = OpenTurn(turn=turn, message=answer, room=room, agent=core.assistant)
    opened = await store.write(opening)
    said_by_it = (Entry(role=Role.ASSISTANT, text="An answer."),)
    await store.write(FinishTurn(turn=turn, fence=1, status=Status.DONE, entries=said_by_it))
    seen = seen_as(kind, actor, role)
    own = await said(actor) if policy.allows(Action.WRITE, seen) else None
    return Case(core, founder, actor, role, kind, room, opened, theirs, answer, own, began)


async def reads(case: Case) -> None:
    core, actor, room = case.core, case.actor, case.room
    await case.expect(Action.READ, lambda: core.access.room(actor, room))
    await case.expect(Action.READ, lambda: core.access.conversation(actor, room), caller=True)
    await case.expect(Action.READ, lambda: core.rooms.get(actor, room))
    await case.expect(Action.READ, lambda: core.chat.history(actor, room))
    await case.expect(Action.READ, lambda: core.chat.history(actor, room, at=1))
    await case.expect(Action.READ, lambda: core.chat.then(actor, room, 1))
    await case.expect(Action.READ, lambda: core.chat.events(actor, room))
    await case.expect(Action.READ, lambda: core.chat.spoken(actor, room, limit=1, offset=0))
    for message in (case.theirs, case.answer):
        await case.expect(
            Action.READ,
            lambda message=message: core.access.message(actor, message),
            absent=Code.MESSAGE_NOT_FOUND,
        )
    await case.expect(
        Action.READ,
        lambda: core.access.turn(actor, case.turn.id),
        absent=Code.TURN_NOT_FOUND,
    )
    await case.expect(Action.READ, lambda: core.branches.listing(actor, room))
    await case.expect(Action.READ, lambda: case.write(LookAt(room=room, actor=actor.id, branch=0)))
    await case.expect(
        Action.READ, lambda: core.rooms.fork(actor, case.theirs), absent=Code.MESSAGE_NOT_FOUND
    )
    with core.chat.reader(actor) as reader:
        await case.expect(Action.READ, lambda: reader.subscribe(room))
    await case.expect(Action.READ, lambda: core.rooms.create(actor, parent=room))
    for search in (None, "Room"):
        listed, _ = await core.rooms.listing(actor, limit=200, search=search)
        opened, _ = await core.rooms.listing(actor, limit=200, search=search, opened=True)
        is_there, is_found = (room in [one.id for one in rooms] for rooms in (listed, opened))
        to_find = ROOMS[case.kind].open_to is not None and case.role is None
        sees = policy.allows(Action.READ, case.seen)
        if (is_there, is_found) != (sees and not to_find, sees and to_find):
            case.found.append(f"listing with {search}: {is_there}, {is_found}")
    while await case.write(MoveFeed()) is not False:
        pass
    told = (await core.events.since(actor, case.began)).told
    if (room in {event.room for _, event in told}) != policy.allows(Action.READ, case.seen):
        case.found.append("events of all rooms")
    owned, _ = await core.rooms.listing(actor, limit=200, own=True)
    if room in [one.id for one in owned] and not policy.allows(Action.READ, case.seen):
        case.found.append("the listing of one's own rooms")
    assert len(owned) == await core.rooms.count_own(actor)


async def writes(case: Case) -> None:
    core, actor, room = case.core, case.actor, case.room
    said = Entry(role=Role.USER, text="x")
    asked = ExchangeRequest(
        kind=ExchangeKind.RESPONSE, entries=(said,), model="m", request={}, room=room
    )
    await case.expect(
        Action.WRITE, lambda: core.chat.send(actor, room, text="x", cid=None, answers=False)
    )
    await case.expect(
        Action.WRITE,
        lambda: core.chat.send(actor, room, text="x", cid=None, after=0, answers=False),
    )
    await case.expect(Action.WRITE, lambda: core.chat.typing(actor, room))
    for there in (True, False):
        reacting = SetReaction(message=case.theirs, by=actor.id, emoji="👍", there=there)
        await case.expect(Action.WRITE, lambda one=reacting: case.write(one))
        pinning = SetPin(message=case.theirs, by=actor.id, there=there)
        await case.expect(Action.WRITE, lambda one=pinning: case.write(one))
        starring = SetStar(message=case.theirs, by=actor.id, there=there)
        await case.expect(Action.READ, lambda one=starring: case.write(one))
    adding = AddEntries(
        room=room,
        author=actor.id,
        agent=core.assistant,
        entries=(said,),
        ids=(MessageId(case.new("m")),),
    )
    opening = OpenTurn(
        turn=TurnId(case.new("t")), message=MessageId(case.new("m")), room=room, agent=actor.id
    )
    await case.expect(Action.WRITE, lambda: case.write(adding), caller=True)
    await case.expect(Action.WRITE, lambda: core.exchanges.open(actor, asked), caller=True)
    for command in (AskAgents(room=room, by=actor.id), StopRoom(room=room, by=actor.id)):
        await case.expect(Action.WRITE, lambda one=command: case.write(one))
    if case.actor.kind is ActorKind.AGENT:
        await case.expect(Action.WRITE, lambda: case.write(opening))


async def takes_back(case: Case) -> None:
    core, actor = case.core, case.actor
    absent = Code.MESSAGE_NOT_FOUND
    deleting = SetMessageDeleted(message=case.theirs, by=actor.id, deleted=True)
    asking = RetryTurn(message=case.answer, by=actor.id, goes_on=True)
    await case.expect(Action.TAKE_BACK, lambda: case.write(asking))
    beside = RetryTurn(message=case.answer, by=actor.id, beside=True)
    await case.expect(Action.ASK, lambda: case.write(beside))
    for by in (case.founder, actor):
        if by is not actor or case.own is not None:
            begun = await core.chat.send(by, case.room, text="x", cid=None, after=0, answers=False)
            assert begun.message is not None
            named: dict[str, Any] = {
                "room": case.room,
                "by": actor.id,
                "branch": begun.message.branch,
            }
            for command in (NameBranch(**named, name="x"), SetBranchDeleted(**named, deleted=True)):
                await case.expect(
                    Action.TAKE_BACK, lambda one=command: case.write(one), own=by is actor
                )
    await case.expect(Action.TAKE_BACK, lambda: core.access.may_stop(actor, case.turn))
    await case.expect(
        Action.TAKE_BACK,
        lambda: core.exchanges.remove(actor, case.theirs),
        absent=absent,
    )
    await case.expect(Action.TAKE_BACK, lambda: case.write(deleting))
    if case.own is not None:
        mine = SetMessageDeleted(message=case.own, by=actor.id, deleted=True)
        await case.expect(Action.TAKE_BACK, lambda: case.write(mine), own=True)


async def edits(case: Case) -> None:
    """Nobody another person's words; the owner also an answer."""
    room, by = case.room, case.actor.id

    def editing(message: MessageId) -> EditMessage:
        return EditMessage(message=message, by=by, room=room, text=case.new("x"))

    await case.expect(Action.EDIT, lambda: case.write(editing(case.theirs)))
    owns = case.role is MemberRole.OWNER
    await case.expect(Action.EDIT, lambda: case.write(editing(case.answer)), own=owns)
    if case.own is not None:
        own = editing(case.own)
        await case.expect(Action.EDIT, lambda: case.write(own), own=True)


async def clears(case: Case) -> None:
    room, by = case.room, case.actor.id
    for clear in (ClearRoom(room=room, by=by), UnclearRoom(room=room, by=by, seq=1)):
        await case.expect(Action.GOVERN, lambda one=clear: case.write(one))


async def invites(case: Case) -> None:
    def inviting(by: Actor) -> AddInvitation:
        return AddInvitation(
            id=case.new("i"),
            into=(case.room,),
            by=by.id,
            token_sha256=case.core.clock.secret().encode(),
            lasts_ms=60_000,
            uses=None,
        )

    made = inviting(case.owner)
    revoking = RevokeInvitation(room=case.room, by=case.actor.id, id=made.id)
    await case.expect(Action.INVITE, lambda: case.write(inviting(case.actor)))
    await case.expect(Action.INVITE, lambda: case.core.invitations.of_room(case.actor, case.room))
    if not ROOMS[case.kind].everyones:
        await case.write(made)
    await case.expect(Action.INVITE, lambda: case.write(revoking))


async def leaves(case: Case) -> None:
    """The last owner stays, and so do everyone in a room that is everyone's, and who only reads where others write."""
    if case.role is MemberRole.OWNER or ROOMS[case.kind].everyones:
        return
    wishing = SetMembership(room=case.room, by=case.actor.id, muted=True)
    await case.expect(Action.MEMBERSHIP, lambda: case.write(wishing))
    joining = JoinRoom(room=case.room, by=case.actor.id)
    await case.expect(Action.JOIN, lambda: case.write(joining))
    if case.role is MemberRole.READER and case.others_write:
        return
    leaving = LeaveRoom(room=case.room, by=case.actor.id)
    await case.expect(Action.MEMBERSHIP, lambda: case.write(leaving))


async def governs(case: Case) -> None:
    core, actor, room, by = case.core, case.actor, case.room, case.actor.id
    naming = RenameRoom(room=room, by=by, title="Mine", source=TitleSource.USER)
    setting = ChangeSettings(room=room, by=by, settings={"metadata": {}})
    deleting = SetRoomDeleted(room=room, by=by, deleted=True)
    restoring = SetRoomDeleted(room=room, by=by, deleted=False)
    speaking = SetSpeaks(room=room, by=by, actor=core.assistant, speaks=Speaks.ASKED)
    choosing = SetMainBranch(room=room, by=by, branch=0)
    for command in (naming, setting, speaking, choosing):
        await case.expect(Action.NAME, lambda command=command: case.write(command))
    for role in (MemberRole.MODERATOR, MemberRole.MEMBER, MemberRole.READER):
        somebody = await new_actor(core, "person")
        adding = AddMember(room=room, by=by, actor=somebody.id, role=role)
        removing = RemoveMember(room=room, by=by, actor=somebody.id)
        lowering = SetRole(room=room, by=by, actor=somebody.id, role=MemberRole.READER)
        await case.expect(Action.INVITE, lambda one=adding: case.write(one), of=role)
        if not ROOMS[case.kind].everyones:
            await case.write(AddMember(room=room, by=case.owner.id, actor=somebody.id, role=role))
            await case.expect(Action.REMOVE, lambda one=lowering: case.write(one), of=role)
            raised = SetRole(room=room, by=case.owner.id, actor=somebody.id, role=role)
            await case.write(raised)
        await case.expect(Action.REMOVE, lambda one=removing: case.write(one), of=role)
    await invites(case)
    for archived in (True, False):
        setting = SetArchived(room=room, by=by, archived=archived)
        await case.expect(Action.GOVERN, lambda one=setting: case.write(one))
    if not ROOMS[case.kind].everyones and case.role is not MemberRole.OWNER:
        giving = TransferRoom(room=room, by=by, actor=by)
        await case.expect(Action.GOVERN, lambda: case.write(giving))
    for whom in (OpenTo.EVERYONE, None) if ROOMS[case.kind].open_to is None else ():
        placing = SetVisibility(
            room=room, by=by, open_to=whom, open_role=whom and MemberRole.READER
        )
        await case.expect(Action.PLACE, lambda one=placing: case.write(one))
    moving = MoveRoom(room=room, by=by, parent=None)
    await case.expect(Action.PLACE, lambda: case.write(moving))
    await case.expect(Action.GOVERN, lambda: case.write(deleting))
    if not ROOMS[case.kind].everyones:
        await case.write(SetRoomDeleted(room=room, by=case.owner.id, deleted=True))
        with pytest.raises(Refused) as refused:
            await core.access.room(actor, room)
        assert refused.value.code is Code.ROOM_NOT_FOUND
        listed, _ = await core.rooms.listing(actor, limit=200, deleted=True)
        may_restore = policy.allows(Action.GOVERN, case.seen)
        if (room in [one.id for one in listed]) is not may_restore:
            case.found.append("the listing of what may be restored")
    await case.expect(Action.GOVERN, lambda: case.write(restoring))


@pytest.fixture
async def core(running: Running, database_url: str) -> AsyncGenerator[Core, None]:
    async with running(database_url=database_url) as core:
        yield core


@pytest.mark.timeout(300)
async def test_every_query_and_command_gives_what_the_table_says(core: Core) -> None:
    wrong: list[str] = []
    for kind, who, role in product(ROOMS, {*KINDS, *ASKED_FOR}, ROLES):
        if who not in (KINDS if ROOMS[kind].open_to is None else ASKED_FOR):
            continue
        if kind == "everyone's" and role is not None:
            continue  # nobody can be made a member with a role where nobody may govern
        case = await new_case(core, kind, who, role)
        for tried in (reads, writes, edits, takes_back, clears, governs):
            await tried(case)
        marked = await new_case(core, kind, who, role)
        marking = MarkRead(room=marked.room, actor=marked.actor.id, seq=1)
        await marked.expect(Action.READ, lambda marked=marked, one=marking: marked.write(one))
        await leaves(marked)
        wrong += [f"{kind}, {who}, {role}: {what}" for what in (*case.found, *marked.found)]
    assert not wrong, "\n".join(wrong)


async def test_an_exchange_and_a_key_are_their_actors_alone(core: Core) -> None:
    ada, bo = await new_actor(core, "person"), await new_actor(core, "person")
    said = Entry(role=Role.USER, text="x")
    asked = ExchangeRequest(kind=ExchangeKind.RESPONSE, entries=(said,), model="m", request={})
    exchange = (await core.exchanges.open(ada, asked)).exchange
    assert exchange is not None
    await core.rooms.join(ada, exchange.room, bo)
    _, key = await core.keys.create(name="key", actor=ada)
    for actor in (bo, ada):
        calls: list[Awaitable[object]] = [
            core.exchanges.get(actor, exchange.id),
            core.exchanges.change(actor, exchange.id, {"a": "b"}),
            core.exchanges.forget(actor, exchange.id),
            core.keys.revoke(key.id, actor),
        ]
        for call in calls:
            got = None
            try:
                await call
            except Refused as refused:
                got = refused.code
            absent = {Code.EXCHANGE_NOT_FOUND, Code.NOT_FOUND}
            assert (got is None) is policy.owns(actor.id, ada.id)
            assert got is None or got in absent


async def test_an_api_client_that_has_lost_its_room_goes_on_in_a_new_one(core: Core) -> None:
    ada, bo = await new_actor(core, "person"), await new_actor(core, "person")
    said = (Entry(role=Role.USER, text="one"), Entry(role=Role.ASSISTANT, text="two"))
    asked = ExchangeRequest(
        kind=ExchangeKind.RESPONSE, entries=said, model="m", request={}, client="mine", whole=True
    )
    first = (await core.exchanges.open(ada, asked)).exchange
    assert first is not None
    await core.rooms.join(ada, first.room, bo)
    theirs = ExchangeRequest(
        kind=ExchangeKind.RESPONSE, entries=said, model="m", request={}, room=first.room, whole=True
    )
    joined = (await core.exchanges.open(bo, theirs)).exchange
    assert joined is not None
    store = core.chat._store
    await store.write(RemoveMember(room=first.room, by=ada.id, actor=bo.id))
    more = (*said, Entry(role=Role.USER, text="three"))
    again = ExchangeRequest(
        kind=ExchangeKind.RESPONSE, entries=more, model="m", request={}, whole=True
    )
    elsewhere = (await core.exchanges.open(bo, again)).exchange
    assert elsewhere is not None
    assert elsewhere.room != first.room


def test_every_command_asks_the_table_or_is_known_to_ask_nobody() -> None:
    files = [one.name for one in pkgutil.walk_packages(write.__path__, f"{write.__name__}.")]
    found = {
        name
        for module in [*files, Store.__module__]
        for name, one in vars(importlib.import_module(module)).items()
        if isinstance(one, type) and issubclass(one, Command) and one not in BASES
    }
    assert found == TRIED | ASKS_NOBODY.keys()
