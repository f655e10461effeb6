"""A snapshot with every event since is a fresh snapshot, for every kind of event.

A client that took what REST gives (a room and its messages) and applied each event has what it would be given now. A
kind of event without a rule for clients, or without a deed that makes one, fails here.
"""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from tests.core.conftest import Script

from palaver.core.runtime import Core
from palaver.model import AUDITED, Actor, EventType, MemberRole, MessageId, OpenTo, RoomId, Speaks
from palaver.store.read import events
from palaver.store.write.messages import SetMessageDeleted
from palaver.store.write.rooms import RemoveMember
from palaver.wire import shapes

Json = dict[str, Any]


class Client:
    """What one person has of a room."""

    def __init__(self, core: Core, actor: Actor, room: RoomId) -> None:
        self.core = core
        self.actor = actor
        self.id = room
        self.room: Json = {}
        self.messages: dict[str, Json] = {}
        # how far each branch counts on the path that is looked at, where that is not the only one
        self.path: dict[int, int] = {}

    async def snapshot(self) -> None:
        found = await self.core.access.room(self.actor, self.id, deleted=True)
        self.room = {**shapes.room(found)}
        if self.room["deleted_at"] is None:
            page = await self.core.chat.history(self.actor, self.id, limit=200)
            self.messages = {one.id: {**shapes.message(one)} for one in page.messages}

    def count_unread(self) -> None:
        others = [one for one in self.messages.values() if one["by"] != self.actor.id]
        self.room["unread"] = sum(one["seq"] > self.room["read_seq"] for one in others)

    async def read_again(self, message: str) -> None:
        found = await self.core.access.message(self.actor, MessageId(message))
        self.messages[message] = {**shapes.message(found)}

    async def apply(self, event: Json) -> None:
        assert event["seq"] == self.room["seq"] + 1
        self.room["seq"] += 1
        await RULES[EventType(event["k"])](self, event)


async def room_created(client: Client, event: Json) -> None:
    client.room["title"] = event["d"]["title"]


async def room_renamed(client: Client, event: Json) -> None:
    client.room["title"] = event["d"]["title"]


async def room_deleted(client: Client, event: Json) -> None:
    client.room["deleted_at"] = event["at"]


async def room_restored(client: Client, event: Json) -> None:  # noqa: ARG001  a rule's shape
    client.room["deleted_at"] = None


async def room_archived(client: Client, event: Json) -> None:
    client.room["archived_at"] = event["at"]


async def room_unarchived(client: Client, event: Json) -> None:  # noqa: ARG001  a rule's shape
    client.room["archived_at"] = None


async def room_transferred(client: Client, event: Json) -> None:
    roles = {event["by"]: "moderator", event["d"]["actor"]: "owner"}
    client.room["role"] = roles.get(client.actor.id, client.room["role"])


async def room_visibility(client: Client, event: Json) -> None:
    client.room |= {"open_to": None, "open_role": None, **event["d"]}


async def room_moved(client: Client, event: Json) -> None:
    client.room["parent"] = event["d"]["parent"]


async def member_joined(client: Client, event: Json) -> None:
    member = event["d"]
    if member["actor"].startswith("a_"):
        client.room["agents"].append({"id": member["actor"], "name": member["name"]})


async def member_removed(client: Client, event: Json) -> None:
    agents = client.room["agents"]
    client.room["agents"] = [one for one in agents if one["id"] != event["d"]["actor"]]


async def member_role(client: Client, event: Json) -> None:
    if event["d"]["actor"] == client.actor.id:
        client.room["role"] = event["d"]["role"]


async def member_renamed(client: Client, event: Json) -> None:
    for message in client.messages.values():
        if message["by"] == event["d"]["actor"]:
            message["name"] = event["d"]["name"]


async def message_created(client: Client, event: Json) -> None:
    client.room["active_at"] = event["at"]
    if client.path and client.path.get(event["d"]["branch"], 0) < event["seq"]:
        return
    client.messages[event["d"]["id"]] = event["d"]
    if event["by"] != client.actor.id:
        client.room["unread"] = min(100, client.room["unread"] + 1)


async def message_deleted(client: Client, event: Json) -> None:
    client.messages[event["d"]["msg"]] |= {"text": "", "deleted_at": event["at"]}
    await message_changed(client, event)


async def message_restored(client: Client, event: Json) -> None:
    await client.read_again(event["d"]["msg"])
    await message_changed(client, event)


async def room_cleared(client: Client, event: Json) -> None:
    kept = {id_: one for id_, one in client.messages.items() if one["seq"] > event["d"]["upto"]}
    client.messages = kept
    client.room["unread"] = 0


async def room_uncleared(client: Client, event: Json) -> None:  # noqa: ARG001  a rule's shape
    await client.snapshot()


async def message_changed(client: Client, event: Json) -> None:
    """What a deletion means for the number of unread ones is for the server to say."""
    assert client.messages[event["d"]["msg"]]["seq"] == event["d"]["seq"]


async def branch_created(client: Client, event: Json) -> None:
    """Who begins a branch looks at it."""
    branch, parent, after = (event["d"][name] for name in ("branch", "parent", "after"))
    client.room["branches"] = branch
    if event["by"] == client.actor.id:
        client.room["branch"] = branch
        assert parent == 0, "a room of two paths"
        client.path = {branch: 2**53, parent: after}
        kept = {id_: one for id_, one in client.messages.items() if one["seq"] <= after}
        client.messages = kept
        client.count_unread()


async def branch_main(client: Client, event: Json) -> None:
    client.room["main_branch"] = event["d"]["branch"]


async def branch_changed(client: Client, event: Json) -> None:
    """Who shows the branches knows them by their list."""
    if event["k"] == EventType.BRANCH_DELETED and client.room["branch"] == event["d"]["branch"]:
        client.room["branch"] = client.room["main_branch"]
        client.path.clear()
        page = await client.core.chat.history(client.actor, client.id, limit=200)
        client.messages = {one.id: {**shapes.message(one)} for one in page.messages}
        client.count_unread()


async def reaction_added(client: Client, event: Json) -> None:
    told: list[Json] = client.messages[event["d"]["msg"]].setdefault("reactions", [])
    one = next((one for one in told if one["emoji"] == event["d"]["emoji"]), None)
    if one is None:
        told.append(one := Json(emoji=event["d"]["emoji"], count=0, people=[]))
    one["count"] += 1
    one["people"].append({"id": event["by"], "name": client.actor.name})


async def reaction_removed(client: Client, event: Json) -> None:
    message = client.messages[event["d"]["msg"]]
    told = [one for one in message.pop("reactions") if one["emoji"] != event["d"]["emoji"]]
    message |= {"reactions": told} if told else {}


async def message_edited(client: Client, event: Json) -> None:
    known = client.messages[event["d"]["msg"]]
    assert known["text"] == event["d"]["was"]
    known |= event["d"]["message"]  # whoever reacted to it still does


async def message_pinned(client: Client, event: Json) -> None:
    client.messages[event["d"]["msg"]]["pinned"] = True


async def message_unpinned(client: Client, event: Json) -> None:
    del client.messages[event["d"]["msg"]]["pinned"]


async def turn_refused(client: Client, event: Json) -> None:
    """It is told among the messages, and changes nothing."""


async def member_speaks(client: Client, event: Json) -> None:
    """Who reads the members asks for them again."""


async def room_settings(client: Client, event: Json) -> None:
    client.room |= {name: value for name, value in event["d"].items() if name == "turns"}


RULES: dict[EventType, Callable[[Client, Json], Awaitable[None]]] = {
    EventType.ROOM_CREATED: room_created,
    EventType.ROOM_RENAMED: room_renamed,
    EventType.ROOM_DELETED: room_deleted,
    EventType.ROOM_RESTORED: room_restored,
    EventType.ROOM_ARCHIVED: room_archived,
    EventType.ROOM_UNARCHIVED: room_unarchived,
    EventType.ROOM_TRANSFERRED: room_transferred,
    EventType.ROOM_VISIBILITY: room_visibility,
    EventType.ROOM_MOVED: room_moved,
    EventType.MEMBER_JOINED: member_joined,
    EventType.MEMBER_RENAMED: member_renamed,
    EventType.MEMBER_LEFT: member_removed,
    EventType.MEMBER_REMOVED: member_removed,
    EventType.MEMBER_ROLE: member_role,
    EventType.MEMBER_SPEAKS: member_speaks,
    EventType.MEMBER_SETTINGS: member_speaks,
    EventType.ROOM_SETTINGS: room_settings,
    EventType.TURN_REFUSED: turn_refused,
    EventType.MESSAGE_CREATED: message_created,
    EventType.MESSAGE_EDITED: message_edited,
    EventType.MESSAGE_DELETED: message_deleted,
    EventType.MESSAGE_RESTORED: message_restored,
    EventType.ROOM_CLEARED: room_cleared,
    EventType.ROOM_UNCLEARED: room_uncleared,
    EventType.MESSAGE_PINNED: message_pinned,
    EventType.MESSAGE_UNPINNED: message_unpinned,
    EventType.BRANCH_CREATED: branch_created,
    EventType.BRANCH_NAMED: branch_changed,
    EventType.BRANCH_MAIN: branch_main,
    EventType.BRANCH_DELETED: branch_changed,
    EventType.BRANCH_RESTORED: branch_changed,
    EventType.REACTION_ADDED: reaction_added,
    EventType.REACTION_REMOVED: reaction_removed,
}


class World:
    """A room in which everything can be made to happen."""

    def __init__(self, core: Core, script: Script, ada: Actor, room: RoomId) -> None:
        self.core = core
        self.script = script
        self.ada = ada
        self.room = room

    async def answered(self, text: str, says: str = "An answer.") -> MessageId:
        sent = await self.core.chat.send(self.ada, self.room, text=text, cid=None)
        self.script.say(says, None)
        await self.core.turns.idle()
        return sent.id

    async def set_deleted(self, *, deleted: bool) -> None:
        said = (await self.core.chat.history(self.ada, self.room)).messages[0]
        command = SetMessageDeleted(message=said.id, by=self.ada.id, deleted=deleted)
        await self.core.chat._store.write(command)

    async def react(self, *emoji: str, there: bool = True) -> None:
        said = (await self.core.chat.history(self.ada, self.room)).messages[0]
        for one in emoji:
            await self.core.chat.react(self.ada, said.id, one, there=there)

    async def edited(self) -> None:
        await self.react("👍")
        said = (await self.core.chat.history(self.ada, self.room)).messages[0]
        await self.core.chat.edit(self.ada, self.room, said.id, "Hello, you.")

    async def parted(self) -> None:
        page = await self.core.chat.history(self.ada, self.room)
        after, text = page.messages[0].seq, "Instead."
        await self.core.chat.send(
            self.ada, self.room, text=text, cid=None, after=after, answers=False
        )

    async def joined(self, *, leaves: bool) -> None:
        card = await self.core.agents.ensured("poet", "Poet")
        await self.core.rooms.join(self.ada, self.room, card.actor, speaks=Speaks.MENTIONED)
        if leaves:
            gone = RemoveMember(room=self.room, by=self.ada.id, actor=card.actor.id)
            await self.core.chat._store.write(gone)

    async def pin(self, *, stays: bool) -> None:
        page = await self.core.chat.history(self.ada, self.room)
        for there in (True, stays):
            await self.core.chat.pin(self.ada, page.messages[0].id, there=there)

    async def succeeded(self, *, leaves: bool) -> None:
        """Somebody else owns the room, too; then either of the two leaves or lowers the other."""
        _, bo = await self.core.identity.new_guest("Bo")
        await self.core.rooms.join(self.ada, self.room, bo, role=MemberRole.OWNER)
        if leaves:
            await self.core.members.remove(bo, self.room, bo.id)
        else:
            await self.core.members.set_role(bo, self.room, self.ada.id, MemberRole.READER)

    async def do(self, type_: EventType) -> None:  # noqa: C901  one case for each kind
        match type_:
            case EventType.ROOM_CREATED:
                pass  # it is the first event of every room
            case EventType.ROOM_RENAMED:
                await self.core.rooms.rename(self.ada, self.room, "Another name")
            case EventType.ROOM_DELETED:
                await self.core.rooms.delete(self.ada, self.room)
            case EventType.ROOM_RESTORED:
                await self.core.rooms.delete(self.ada, self.room)
                await self.core.rooms.restore(self.ada, self.room)
            case EventType.ROOM_ARCHIVED:
                await self.core.rooms.set_archived(self.ada, self.room, archived=True)
            case EventType.ROOM_UNARCHIVED:
                await self.core.rooms.set_archived(self.ada, self.room, archived=True)
                await self.core.rooms.set_archived(self.ada, self.room, archived=False)
            case EventType.ROOM_TRANSFERRED:
                _, bo = await self.core.identity.new_guest("Bo")
                await self.core.rooms.join(self.ada, self.room, bo)
                await self.core.members.transfer(self.ada, self.room, bo.id)
            case EventType.ROOM_MOVED:
                above = await self.core.rooms.create(self.ada)
                for parent in (above.id, None, above.id):
                    await self.core.rooms.move(self.ada, self.room, parent)
            case EventType.ROOM_VISIBILITY:
                for whom in (OpenTo.EVERYONE, None, OpenTo.PEOPLE):
                    await self.core.rooms.open_to(self.ada, self.room, whom)
            case _:
                await self.do_in_room(type_)

    async def do_in_room(self, type_: EventType) -> None:  # noqa: C901, PLR0912, PLR0915  likewise
        match type_:
            case EventType.MEMBER_JOINED | EventType.MEMBER_REMOVED:
                await self.joined(leaves=type_ is EventType.MEMBER_REMOVED)
            case EventType.MEMBER_LEFT | EventType.MEMBER_ROLE:
                await self.succeeded(leaves=type_ is EventType.MEMBER_LEFT)
            case EventType.MEMBER_RENAMED:
                await self.core.identity.rename(self.ada, "Adele")
            case EventType.MESSAGE_CREATED:
                await self.answered("And another one.")
            case EventType.MESSAGE_EDITED:
                await self.edited()
            case EventType.MESSAGE_DELETED | EventType.MESSAGE_RESTORED:
                await self.set_deleted(deleted=True)
                if type_ is EventType.MESSAGE_RESTORED:
                    await self.set_deleted(deleted=False)
            case EventType.ROOM_CLEARED | EventType.ROOM_UNCLEARED:
                seq = await self.core.rooms.clear(self.ada, self.room)
                assert seq is not None
                if type_ is EventType.ROOM_UNCLEARED:
                    await self.core.rooms.unclear(self.ada, self.room, seq)
            case EventType.MESSAGE_PINNED | EventType.MESSAGE_UNPINNED:
                await self.pin(stays=type_ is EventType.MESSAGE_PINNED)
            case EventType.BRANCH_CREATED:
                await self.parted()
            case EventType.BRANCH_NAMED:
                await self.parted()
                await self.core.branches.name(self.ada, self.room, 1, "Otherwise")
            case EventType.BRANCH_MAIN:
                await self.parted()
                await self.core.branches.set_main(self.ada, self.room, 1)
            case EventType.BRANCH_DELETED | EventType.BRANCH_RESTORED:
                await self.parted()
                again = type_ is EventType.BRANCH_RESTORED
                for deleted in (True, False) if again else (True,):
                    await self.core.branches.set_deleted(self.ada, self.room, 1, deleted=deleted)
            case EventType.REACTION_ADDED | EventType.REACTION_REMOVED:
                await self.react("👍", "🎉")
                if type_ is EventType.REACTION_REMOVED:
                    await self.react("👍", there=False)
            case EventType.MEMBER_SPEAKS:
                assistant = self.core.assistant
                await self.core.members.set_speaks(self.ada, self.room, assistant, Speaks.NEVER)
            case EventType.MEMBER_SETTINGS:
                assistant = self.core.assistant
                await self.core.members.set_own(self.ada, self.room, assistant, instructions="x")
            case EventType.ROOM_SETTINGS:
                await self.core.rooms.set_speaking(self.ada, self.room, {"turns": "in_turn"})
            case EventType.TURN_REFUSED:
                await self.joined(leaves=False)
                await self.core.rooms.set_speaking(self.ada, self.room, {"chain_max": 1})
                await self.answered("Who else?", says="And you, @poet?")
            case _:
                raise AssertionError(f"{type_} has no deed, or is none of a room's")


@pytest.mark.parametrize("type_", RULES)
async def test_a_snapshot_and_its_events_are_a_fresh_snapshot(
    core: Core, script: Script, type_: EventType
) -> None:
    _, ada = await core.identity.new_guest("Ada")
    room = await core.rooms.create(ada, title="Notes")
    world = World(core, script, ada, room.id)
    await world.answered("Hello.")
    client = Client(core, ada, room.id)
    await client.snapshot()
    since = client.room["seq"]
    if (
        type_ is EventType.ROOM_CREATED
    ):  # before it nothing is known but what every room begins with
        client.room |= {"title": "", "seq": 0, "unread": 0}
        client.messages.clear()
        since = 0
    await world.do(type_)
    # as who reads along is given them; a deleted room is not read again
    happened = await core.chat._store.read(events.since, room.id, since, 200)
    assert type_ in {event.type for event in happened}
    for event in happened:
        await client.apply({**shapes.event(event)})
    fresh = Client(core, ada, room.id)
    await fresh.snapshot()
    assert client.room == fresh.room
    if client.room["deleted_at"] is None:
        assert client.messages == fresh.messages


def test_every_kind_of_event_has_a_rule() -> None:
    assert set(RULES) == set(EventType) - set(AUDITED)
