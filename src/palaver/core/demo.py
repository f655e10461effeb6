"""Makes a demonstration: three people, four agents and six rooms with a short history, and takes it away again.

All of it has fixed ids, so that making it again adds only what is missing and leaves alone what somebody changed. Its
rooms are open to everyone; whoever owns the server is a member.
"""

from collections.abc import Sequence
from uuid import UUID, uuid5

from msgspec import Struct

from palaver.core.agents import Agents
from palaver.errors import Code, Refused
from palaver.model import (
    Actor,
    ActorId,
    ActorKind,
    MemberRole,
    MessageId,
    OpenTo,
    Role,
    RoomId,
    TitleSource,
    Visibility,
)
from palaver.store.read import accounts, agents, rooms
from palaver.store.store import Store
from palaver.store.write.actors import AddActor
from palaver.store.write.command import Command
from palaver.store.write.messages import AddMessage
from palaver.store.write.rooms import AddMember, CreateRoom, SetRoomDeleted, SetVisibility

_CHANGED = {Code.FORBIDDEN, Code.ROOM_ARCHIVED, Code.ROOM_NOT_FOUND}
_NAMESPACE = UUID("7b0f4c3e-6a51-4a0e-9d55-6465b66f2a11")
PEOPLE = {"ada": "Ada", "bo": "Bo", "cy": "Cy"}
AGENTS = {
    "maya": ("Maya", "Plans trips and evenings.", "You plan: short lists, times, what to bring."),
    "max": (
        "Max",
        "Reads code and says what he would change.",
        "You review code. Be brief, name the line.",
    ),
    "tess": (
        "Tess",
        "Explains things to a curious twelve-year-old.",
        "You are a patient tutor. Ask back.",
    ),
    "ivo": (
        "Ivo",
        "Finds the weak place of a plan.",
        "You are a friendly critic. One objection at a time.",
    ),
}


class Scene(Struct, frozen=True):
    """A room: its name here, its title, its agents, what was said by whom, and the room it stands under."""

    name: str
    title: str
    agents: Sequence[str]
    said: Sequence[tuple[str, str]]
    below: str | None = None


SCENES = (
    Scene(
        "welcome",
        "Welcome",
        ("maya",),
        (
            ("ada", "This is a demonstration. Say something, or mention @maya."),
            (
                "maya",
                "Hello! I answer when somebody mentions me, because there are several of you.",
            ),
            ("bo", "`palaver demo --remove` takes all of this away again."),
        ),
    ),
    Scene(
        "trip",
        "Weekend in Ghent",
        ("maya", "ivo"),
        (
            ("ada", "Two days in Ghent, by train. @maya, what would you do?"),
            (
                "maya",
                "1. 9:04 train, seats on the left\n2. The castle before noon\n3. A boat at four",
            ),
            ("cy", "@ivo, what is wrong with that?"),
            ("ivo", "The boat stops at half past three in winter. Take it before the castle."),
            ("ada", "Good catch. Then the castle at two."),
        ),
    ),
    Scene(
        "packing",
        "What to pack",
        ("maya",),
        (
            ("bo", "Does anybody have a small umbrella?"),
            ("cy", "Two. I bring both."),
        ),
        below="trip",
    ),
    Scene(
        "review",
        "Code review",
        ("max",),
        (
            ("bo", "@max:\n\n```python\ndef last(items):\n    return items[len(items)]\n```"),
            ("max", "Line 2 is one too far: `items[-1]`. Decide what an empty list gives, too."),
            ("bo", "`IndexError` is fine there. Thanks."),
        ),
    ),
    Scene(
        "homework",
        "Homework",
        ("tess",),
        (
            ("cy", "@tess why is the sky blue?"),
            (
                "tess",
                "Sunlight is all colours at once. Which of them, do you think, bounces off air the most?",
            ),
            ("cy", "Blue?"),
            (
                "tess",
                "Yes. So blue comes from everywhere above you. And why is it red in the evening?",
            ),
        ),
    ),
    Scene(
        "table",
        "Round table",
        ("maya", "max", "ivo"),
        (("ada", "A room of many. `@agents` asks all of them at once."),),
    ),
)


class Demo:
    """The demonstration of one database."""

    def __init__(self, store: Store, agents: Agents) -> None:
        self._store, self._agents = store, agents

    async def make(self) -> dict[str, int]:
        """Makes what is missing, and restores what was removed; how many people, agents and rooms there are."""
        actors = {name: await self._person(name) for name in PEOPLE}
        for name in AGENTS:
            actors[name] = await self._agent(name)
        owner = await self._store.read(accounts.an_owner)
        members = [actors["bo"], actors["cy"], *([] if owner is None else [owner.id])]
        for scene in SCENES:
            await self._room(scene, actors, members)
        return {"people": len(PEOPLE), "agents": len(AGENTS), "rooms": len(SCENES)}

    async def remove(self) -> dict[str, int]:
        """Deletes its rooms, undoably, and lets its agents answer no more; how many rooms that were."""
        owner, removed = _actor("u", "ada"), 0
        for scene in SCENES:
            if await self._store.read(rooms.get, _room_id(scene.name), owner) is not None:
                removing = SetRoomDeleted(room=_room_id(scene.name), by=owner, deleted=True)
                removed += await self._store.write(removing)
        for name in AGENTS:
            known = await self._store.read(agents.by_subject, f"demo-{name}")
            if known is not None:
                await self._agents.share(None, known.id, archived=True)
        return {"rooms": removed}

    async def _person(self, name: str) -> ActorId:
        actor = Actor(id=_actor("u", name), kind=ActorKind.PERSON, name=PEOPLE[name])
        return (await self._store.write(AddActor(actor=actor, handle=f"demo-{name}"))).id

    async def _agent(self, name: str) -> ActorId:
        called, description, persona = AGENTS[name]
        subject, card = f"demo-{name}", {"description": description, "persona": persona}
        made = await self._store.read(agents.by_subject, subject)  # as somebody may have made it
        try:
            made = made or await self._agents.ensured(subject, called, handle=name, **card)
        except Refused as refused:
            if refused.code is not Code.HANDLE_TAKEN:
                raise
            made = await self._agents.ensured(subject, called, **card)
        if made.archived_ms is not None:
            await self._agents.share(None, made.id, archived=False)
        return made.id

    async def _room(
        self, scene: Scene, actors: dict[str, ActorId], members: Sequence[ActorId]
    ) -> None:
        write, id_, ada = self._store.write, _room_id(scene.name), actors["ada"]
        made = await write(
            CreateRoom(
                id=id_,
                title=scene.title,
                title_source=TitleSource.USER,
                visibility=Visibility.PRIVATE,
                owner=ada,
                agents=tuple(actors[name] for name in scene.agents),
                parent=None if scene.below is None else _room_id(scene.below),
            )
        )
        if made.deleted_ms is not None:
            await write(SetRoomDeleted(room=id_, by=ada, deleted=False))
        if made.seq == 1:  # nobody has closed it again
            whom, role = OpenTo.EVERYONE, MemberRole.MEMBER
            await write(SetVisibility(room=id_, by=ada, open_to=whom, open_role=role))
        for actor in members:
            adding = AddMember(room=id_, by=ada, actor=actor, role=MemberRole.MEMBER, newcomer=True)
            await self._unless_changed(adding)
        for place, (name, text) in enumerate(scene.said):
            message = MessageId(f"m_{_digits(f'{scene.name} {place}')}")
            role = Role.ASSISTANT if name in AGENTS else Role.USER
            author = actors[name]
            saying = AddMessage(id=message, room=id_, author=author, text=text, role=role)
            await self._unless_changed(saying)

    async def _unless_changed(self, command: Command[object]) -> None:
        """Writes what is missing, unless somebody has removed or archived what it needs."""
        try:
            await self._store.write(command)
        except Refused as refused:
            if refused.code not in _CHANGED:
                raise


def _digits(name: str) -> str:
    return uuid5(_NAMESPACE, name).hex


def _actor(prefix: str, name: str) -> ActorId:
    return ActorId(f"{prefix}_{_digits(name)}")


def _room_id(name: str) -> RoomId:
    return RoomId(f"r_{_digits(f'room {name}')}")
