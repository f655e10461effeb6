"""Whatever people do, and however often the server is started again, Palaver agrees with a small model of itself."""

import asyncio
from collections.abc import Coroutine
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
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
from palaver.core.identity.actors import session_of
from palaver.core.runtime import Core, started
from palaver.errors import Code, PalaverError
from palaver.model import Actor, MemberRole, RoomId
from palaver.settings import Settings

T = TypeVar("T")
COUNT = 3
PEOPLE = st.integers(0, COUNT - 1)
ROLES = st.sampled_from(MemberRole)
LOW = (MemberRole.MEMBER, MemberRole.READER)
MODERATORS = (MemberRole.OWNER, MemberRole.MODERATOR)
WRITERS = (*MODERATORS, MemberRole.MEMBER)
ROOMS = st.integers(0, 3)
TEXTS = st.sampled_from(["a", "b", "ünï 🎈", "x" * 300])
CIDS = st.sampled_from(["one", "two", "three"])


@dataclass
class ModelRoom:
    """What a room is, and who is what there."""

    roles: dict[int, MemberRole]
    title: str = ""
    deleted: bool = False
    said: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])

    def refuses(self, person: int, *roles: MemberRole, of: MemberRole | None = None) -> Code | None:
        """How who is none of these is refused; a moderator also where it is `of` who is one, or more."""
        role = self.roles.get(person)
        if self.deleted or role is None:
            return Code.ROOM_NOT_FOUND
        above = role is MemberRole.MODERATOR and of not in {None, *LOW}
        return Code.FORBIDDEN if role not in roles or above else None

    def is_last_owner(self, person: int) -> bool:
        """Whether nobody else owns it."""
        owners = [one for one, role in self.roles.items() if role is MemberRole.OWNER]
        return owners == [person]


class Machine(RuleBasedStateMachine):
    """Three people, some rooms, and a database that stays while servers come and go."""

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
        made = [self.do(self.core.identity.new_guest(f"P{number}")) for number in range(COUNT)]
        self.people: list[Actor] = [actor for _, actor in made]
        self.first = [token for token, _ in made]
        self.phones = [self.phone(person) for person in range(COUNT)]
        self.ended: list[str | None] = [None] * COUNT

    def phone(self, person: int) -> str:
        """The token of a further session."""
        link, _ = self.do(self.core.devices.invite(self.people[person]))
        redeemed = self.core.devices.redeem(link, "Phone", me=None, replace=False)
        return self.do(redeemed)[0]

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
            self.rooms[room.id] = ModelRoom(roles={person: MemberRole.OWNER})

    def picked(self, number: int) -> tuple[RoomId, ModelRoom]:
        room = list(self.rooms)[number % len(self.rooms)]
        return room, self.rooms[room]

    @rule(person=PEOPLE)
    def end_session(self, person: int) -> None:
        """From now on nothing is stored by it."""
        ending = session_of(self.phones[person])
        assert ending is not None
        self.do(self.core.devices.end(self.people[person], ending, self.first[person]))
        self.ended[person], self.phones[person] = self.phones[person], self.phone(person)

    @rule(person=PEOPLE, number=ROOMS, text=TEXTS, cid=CIDS, late=st.booleans())
    def say(self, person: int, number: int, text: str, cid: str, *, late: bool) -> None:
        """`late`: by a session that has ended."""
        if not self.rooms:
            return
        room, model = self.picked(number)
        expected = model.refuses(person, *WRITERS)
        known = self.cids.get((person, cid))
        if expected is None and known is not None and known != (room, text):
            expected = Code.CID_REUSED
        token = self.ended[person] if late else self.phones[person]
        if expected is None and known is None and token == self.ended[person] is not None:
            expected = Code.SESSION_ENDED
        cid_, by = f"{self.run}-{cid}", session_of(token)
        send = self.core.chat.send(self.people[person], room, text=text, cid=cid_, by=by)
        assert self.code(send) == expected
        if expected is None and known is None:
            self.cids[person, cid] = (room, text)
            model.said.append((text, cid_))
            model.title = model.title or (text if len(text) <= 50 else text[:49] + "…")

    @rule(person=PEOPLE, number=ROOMS, title=st.sampled_from(["T", "Title", "%_"]))
    def rename(self, person: int, number: int, title: str) -> None:
        if self.rooms:
            room, model = self.picked(number)
            expected = model.refuses(person, *MODERATORS)
            assert self.code(self.core.rooms.rename(self.people[person], room, title)) == expected
            model.title = model.title if expected else title

    @rule(person=PEOPLE, number=ROOMS, back=st.booleans())
    def delete_or_restore(self, person: int, number: int, *, back: bool) -> None:
        if self.rooms:
            room, model = self.picked(number)
            change = self.core.rooms.restore if back else self.core.rooms.delete
            there = replace(model, deleted=model.deleted and not back)
            expected = there.refuses(person, MemberRole.OWNER)
            assert self.code(change(self.people[person], room)) == expected
            model.deleted = model.deleted if expected else not back

    @rule(person=PEOPLE, who=PEOPLE, number=ROOMS, role=ROLES)
    def add(self, person: int, who: int, number: int, role: MemberRole) -> None:
        if self.rooms:
            room, model = self.picked(number)
            expected = model.refuses(person, *MODERATORS, of=role)
            adding = self.core.members.add(self.people[person], room, self.people[who].id, role)
            assert self.code(adding) == expected
            if expected is None:
                model.roles.setdefault(who, role)

    @rule(person=PEOPLE, who=PEOPLE, number=ROOMS, role=ROLES)
    def change_role(self, person: int, who: int, number: int, role: MemberRole) -> None:
        if self.rooms:
            room, model = self.picked(number)
            before = model.roles.get(who)
            expected = model.refuses(person, *MODERATORS, of=before)
            expected = expected or model.refuses(person, *MODERATORS, of=role)
            if expected is None and before is None:
                expected = Code.NOT_FOUND
            elif expected is None and model.is_last_owner(who) and role is not before:
                expected = Code.LAST_OWNER
            changing = self.core.members.set_role(
                self.people[person], room, self.people[who].id, role
            )
            assert self.code(changing) == expected
            if expected is None:
                model.roles[who] = role

    @rule(person=PEOPLE, who=PEOPLE, number=ROOMS)
    def remove(self, person: int, who: int, number: int) -> None:
        """Takes somebody out; oneself: leaves."""
        if self.rooms:
            room, model = self.picked(number)
            roles = tuple(MemberRole) if who == person else MODERATORS
            of = None if who == person else model.roles.get(who)
            expected = model.refuses(person, *roles, of=of)
            if expected is None and model.is_last_owner(who):
                expected = Code.LAST_OWNER
            removing = self.core.members.remove(self.people[person], room, self.people[who].id)
            assert self.code(removing) == expected
            if expected is None:
                model.roles.pop(who, None)

    @invariant()
    def agrees(self) -> None:
        for room, model in self.rooms.items():
            for person, actor in enumerate(self.people):
                if model.deleted or person not in model.roles:
                    assert self.code(self.core.chat.history(actor, room)) == Code.ROOM_NOT_FOUND
                    continue
                page = self.do(self.core.chat.history(actor, room, limit=200))
                assert [(one.text, one.cid) for one in page.messages] == model.said
                events, seq = self.do(self.core.chat.events(actor, room))
                assert [event.seq for event in events] == list(range(1, seq + 1))
        for person, actor in enumerate(getattr(self, "people", [])):
            listed, _ = self.do(self.core.rooms.listing(actor, limit=200))
            mine = {(room.id, room.title) for room in listed if room.id != self.core.lobby}
            assert mine == {
                (room, model.title)
                for room, model in self.rooms.items()
                if person in model.roles and not model.deleted
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
