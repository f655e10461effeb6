"""Whatever people do, and however often the server is started again, Palaver agrees with a small model of itself."""

import asyncio
from collections.abc import Coroutine
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings, strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from tests.core.conftest import Script

from palaver.clock import SystemClock
from palaver.core.runtime import Core, started
from palaver.errors import Code, PalaverError
from palaver.model import Actor, RoomId
from palaver.settings import Settings

T = TypeVar("T")
PEOPLE = st.integers(0, 1)
ROOMS = st.integers(0, 3)
TEXTS = st.sampled_from(["a", "b", "ünï 🎈", "x" * 300])
CIDS = st.sampled_from(["one", "two", "three"])


@dataclass
class ModelRoom:
    """What a room is."""

    owner: int
    title: str = ""
    deleted: bool = False
    said: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])


class Machine(RuleBasedStateMachine):
    """Two people, some rooms, and a database that stays while servers come and go."""

    def __init__(self, given: Settings) -> None:
        super().__init__()
        self.given = given
        self.runner = asyncio.Runner()
        self.running: AbstractAsyncContextManager[Core] | None = None
        self.rooms: dict[RoomId, ModelRoom] = {}
        self.cids: dict[tuple[int, str], tuple[RoomId, str]] = {}

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    def code(self, work: Coroutine[Any, Any, object]) -> Code | None:
        try:
            self.do(work)
        except PalaverError as error:
            return error.code
        return None

    @initialize()
    def begin(self) -> None:
        self.run = (
            SystemClock().new_id()
        )  # cids are unique for ever, also over the examples of one database
        self.open()
        self.people: list[Actor] = [self.do(self.core.identity.new_guest())[1] for _ in range(2)]

    def open(self) -> None:
        self.running = started(self.given, provider=Script())
        self.core = self.do(self.running.__aenter__())

    @rule()
    def start_again(self) -> None:
        self.close()
        self.open()

    @rule(person=PEOPLE)
    def new_room(self, person: int) -> None:
        if len(self.rooms) < 4:
            room = self.do(self.core.rooms.create(self.people[person], agent=False))
            self.rooms[room.id] = ModelRoom(owner=person)

    def picked(self, number: int, person: int) -> tuple[RoomId, ModelRoom, Code | None]:
        """A room, and how a person who asks for it is refused."""
        room = list(self.rooms)[number % len(self.rooms)]
        model = self.rooms[room]
        hidden = model.deleted or model.owner != person
        return room, model, Code.ROOM_NOT_FOUND if hidden else None

    @rule(person=PEOPLE, number=ROOMS, text=TEXTS, cid=CIDS)
    def say(self, person: int, number: int, text: str, cid: str) -> None:
        if not self.rooms:
            return
        room, model, expected = self.picked(number, person)
        known = self.cids.get((person, cid))
        if expected is None and known is not None and known != (room, text):
            expected = Code.CID_REUSED
        cid_ = f"{self.run}-{cid}"
        send = self.core.chat.send(self.people[person], room, text=text, cid=cid_)
        assert self.code(send) == expected
        if expected is None and known is None:
            self.cids[person, cid] = (room, text)
            model.said.append((text, cid_))
            model.title = model.title or (text if len(text) <= 50 else text[:49] + "…")

    @rule(person=PEOPLE, number=ROOMS, title=st.sampled_from(["T", "Title", "%_"]))
    def rename(self, person: int, number: int, title: str) -> None:
        if self.rooms:
            room, model, expected = self.picked(number, person)
            assert self.code(self.core.rooms.rename(self.people[person], room, title)) == expected
            model.title = model.title if expected else title

    @rule(person=PEOPLE, number=ROOMS, back=st.booleans())
    def delete_or_restore(self, person: int, number: int, *, back: bool) -> None:
        if self.rooms:
            room, model, expected = self.picked(number, person)
            change = self.core.rooms.restore if back else self.core.rooms.delete
            if back:
                expected = Code.ROOM_NOT_FOUND if model.owner != person else None
            assert self.code(change(self.people[person], room)) == expected
            model.deleted = model.deleted if expected else not back

    @invariant()
    def agrees(self) -> None:
        for room, model in self.rooms.items():
            if not model.deleted:
                owner = self.people[model.owner]
                page = self.do(self.core.chat.history(owner, room, limit=200))
                assert [(one.text, one.cid) for one in page.messages] == model.said
                events, seq = self.do(self.core.chat.events(owner, room))
                assert [event.seq for event in events] == list(range(1, seq + 1))
        for person, actor in enumerate(getattr(self, "people", [])):
            listed, _ = self.do(self.core.rooms.listing(actor, limit=200))
            mine = {(room.id, room.title) for room in listed if room.id != self.core.lobby}
            assert mine == {
                (room, model.title)
                for room, model in self.rooms.items()
                if model.owner == person and not model.deleted
            }

    def close(self) -> None:
        assert self.running is not None
        self.do(self.running.__aexit__(None, None, None))
        self.running = None

    def teardown(self) -> None:
        if self.running is not None:
            self.close()
        self.runner.close()


@pytest.mark.timeout(600)
def test_palaver_agrees_with_its_model(database_url: str, tmp_path: Path) -> None:
    given = Settings(data_dir=tmp_path, database_url=database_url, detect=False)

    class Here(Machine):
        def __init__(self) -> None:
            super().__init__(given)

    slow = database_url.startswith("postgres")
    run_state_machine_as_test(
        Here,
        settings=settings(
            max_examples=6 if slow else 15,
            stateful_step_count=20,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        ),
    )
