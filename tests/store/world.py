"""A store with people, agents and rooms in it, in few words."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from palaver.clock import Clock, SystemClock
from palaver.model import (
    Actor,
    ActorId,
    ActorKind,
    Event,
    EventType,
    Message,
    MessageId,
    Room,
    RoomId,
    RoomSettings,
    TitleSource,
    Visibility,
)
from palaver.settings import Settings
from palaver.store.engine.executors import Lanes
from palaver.store.read import events, messages
from palaver.store.store import Store
from palaver.store.write.actors import AddActor
from palaver.store.write.agents import SaveAgent
from palaver.store.write.messages import Added, AddMessage
from palaver.store.write.rooms import CreateRoom


class World:
    """An open store; `told` is what `committed` got, batch by batch."""

    def __init__(self, store: Store, clock: Clock, told: list[list[Event]]) -> None:
        self.store = store
        self.clock = clock
        self.told = told

    async def person(self, name: str = "Ada") -> Actor:
        actor = Actor(id=ActorId(f"u_{self.clock.new_id()}"), kind=ActorKind.PERSON, name=name)
        return await self.store.write(AddActor(actor=actor, handle=actor.id))

    async def agent(self, name: str = "Bot", handle: str | None = None) -> Actor:
        actor = Actor(id=ActorId(f"a_{self.clock.new_id()}"), kind=ActorKind.AGENT, name=name)
        card = await self.store.write(
            SaveAgent(
                id=actor.id,
                subject=handle or actor.id,
                changes={"name": name, "handle": handle},
                skeleton=handle,
            )
        )
        return card.actor

    async def room(
        self,
        owner: Actor | None,
        *agents: Actor,
        title: str = "",
        visibility: Visibility = Visibility.PRIVATE,
        settings: RoomSettings | None = None,
        door: str | None = None,
        parent: Room | None = None,
    ) -> Room:
        return await self.store.write(
            CreateRoom(
                id=RoomId(f"r_{self.clock.new_id()}"),
                title=title,
                title_source=TitleSource.USER if title else TitleSource.NONE,
                visibility=visibility,
                owner=None if owner is None else owner.id,
                agents=tuple(agent.id for agent in agents),
                settings=settings or {},
                door=door,
                parent=None if parent is None else parent.id,
            )
        )

    def draft(self, room: Room, author: Actor, text: str = "hi", **more: Any) -> AddMessage:
        return AddMessage(
            id=MessageId(f"m_{self.clock.new_id()}"),
            room=room.id,
            author=author.id,
            text=text,
            **(dict[str, Any](cid=self.clock.new_id()) | more),
        )

    async def say(self, room: Room, author: Actor, text: str = "hi", **more: Any) -> Added:
        return await self.store.write(self.draft(room, author, text, **more))

    async def said(self, room: Room) -> list[Message]:
        """The room's messages, at most a thousand."""
        page = await self.store.read(messages.page, room.id, limit=1_000)
        return list(page.messages)

    async def log(self, room: Room) -> tuple[Event, ...]:
        """The room's events, at most 10,000, which are gapless."""
        found = await self.store.read(events.since, room.id, 0, 10_000)
        assert [event.seq for event in found] == list(range(1, len(found) + 1))
        return found

    async def happened(self, room: Room) -> list[EventType]:
        return [event.type for event in await self.log(room)]


@asynccontextmanager
async def opened(
    url: str, *, clock: Clock | None = None, lanes: Lanes | None = None, **settings: Any
) -> AsyncGenerator[World, None]:
    """Opens the database of this URL."""
    told: list[list[Event]] = []

    def committed(happened: Sequence[Event]) -> None:
        told.append(list(happened))

    clock = clock or SystemClock()
    chosen = Settings(**(dict[str, Any](database_url=url) | settings))
    async with Store.opened(chosen, clock, committed=committed, lanes=lanes) as store:
        yield World(store, clock, told)
