"""Every call of something that is somebody's, as everyone who may come, through the real wires: the table's answer.

What is refused changes nothing, tells nothing, and says the same of what is another's and of what never was. A private
room has members of all roles; an open one was made by a program; the audit room is nobody's to read.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path

import pytest
from tests.wire.callers import OWNED, Caller, Target, World, ghost_of, open_world
from tests.wire.made import ASKED, MADE, WIRES, Case, Client, Reply, client_of

from palaver import policy
from palaver.errors import Refused
from palaver.model import MemberRole, Visibility
from palaver.policy import ServerAct
from palaver.store.write.audit import AUDIT
from palaver.wire.calls import Call
from palaver.wire.classic.sessions import session_of
from palaver.wire.openai import items

ENTERED = frozenset({"actors", "sessions"})
"""Where whoever comes without a session and writes is noted as a new guest, also if that is refused."""
IN_OPEN_ROOMS = frozenset({"nobody", "stranger", "removed", "reader", "owner"})
"""Who is tried there: the others are told what these are."""
REQUEST = re.compile("req_[0-9a-f]+")
PRIVATE, OPEN = Visibility


@dataclass(frozen=True, slots=True)
class Try:
    """One call as one caller, in one kind of room."""

    one: Call
    case: Case
    caller: Caller
    visibility: Visibility

    @property
    def wire(self) -> str:
        return WIRES[self.one.door]

    @property
    def role(self) -> MemberRole | None:
        """As what the room has the caller at this door: to a program, another's open room is no conversation."""
        out = self.caller.name == "removed"
        role = policy.role_in(self.visibility, self.caller.role, kept_out=out)
        others = self.visibility is OPEN and role is not MemberRole.OWNER
        return None if self.wire == "openai" and others else role

    @property
    def expected(self) -> int:
        """With which status the call is refused; 0: it is not."""
        one, case, caller = self.one, self.case, self.caller
        if self.wire in caller.unknown:
            return 401
        if self.wire == "openai" and caller.scopes is not None and not callable(one.scope):
            try:
                policy.check_scope(caller.scopes, one.scope, reads=one.method == "GET")
            except Refused as refused:
                return refused.status
        act = case.act or one.act
        if isinstance(act, ServerAct):
            owner = caller.role is MemberRole.OWNER or not case.names_any(one, OWNED)
            return 0 if owner else case.absent
        refused = policy.refusal(act, self.role, own=case.own, of=case.of)
        if refused is None:
            return 0
        return case.absent if self.role is None else refused.status

    def __str__(self) -> str:
        own = " of its own" if self.case.own else ""
        one = self.one
        return f"{one.method} {one.path}{own} as {self.caller.name}, {self.visibility}"


@dataclass(slots=True)
class Matrix:
    """What was tried, and what was not as it should be."""

    world: World
    client: Client
    shared: dict[tuple[str, Visibility], Target] = field(
        default_factory=dict[tuple[str, Visibility], Target]
    )
    """A room for each door, in which everybody has their role, for what takes nothing away."""
    rows: dict[str, int] = field(default_factory=dict[str, int])
    """How many there were when they were last counted."""
    tried: Counter[int] = field(default_factory=Counter[int])
    wrong: list[str] = field(default_factory=list[str])

    async def prepare(self) -> None:
        """Makes the rooms. Who has no session of its own at the classic door is given one, as at its first visit."""
        world = self.world
        for wire, visibility in product(("rest", "classic", "openai"), Visibility):
            whole = wire != "classic"
            made = await world.room(wire, visibility, world.owner, world.callers, whole=whole)
            self.shared[wire, visibility] = made
        for visibility in Visibility:
            self.shared["live", visibility] = self.shared["rest", visibility]
        for caller in world.callers:
            if "classic" in caller.at:
                target = self.shared["classic", PRIVATE]
                await self.client.make(ASKED["WS /ws/chat"], Case(), caller, target)

    def tries(self) -> list[Try]:
        found = [
            Try(ASKED[name], case, caller, visibility)
            for name, ways in MADE.items()
            for case, caller, visibility in product(ways, self.world.callers, Visibility)
        ]
        return [
            one
            for one in found
            if one.wire in one.caller.at
            and not (one.case.own and one.caller.actor_at(one.wire) is None)
            and (one.visibility is PRIVATE or one.caller.name in IN_OPEN_ROOMS)
        ]

    def audit(self) -> Iterator[tuple[Try, Target]]:
        """Yields calls of the room that nobody may read, by who owns every other room, and by a stranger."""
        kept = {
            "room": AUDIT,
            "conversation": items.conversation_id(AUDIT),
            "session_id": session_of(AUDIT),
        }
        for one in self.tries():
            by, names = one.caller, one.case.names_any(one.one, kept)
            if names and by.name in {"owner", "stranger"} and one.visibility is PRIVATE:
                target = self.shared[one.wire, PRIVATE]
                yield (
                    replace(one, caller=replace(by, role=None)),
                    Target({**target.names, **kept}),
                )

    async def refused(self, one: Try, target: Target) -> None:
        """That a call is refused so, changes nothing, and is refused as one of what never was."""
        reply = await self.client.make(one.one, one.case, one.caller, target)
        self.judge(one, reply)
        before, after = self.rows, await self.world.counted()
        self.rows = after
        ignored = ENTERED if one.caller.name == "nobody" else frozenset[str]()
        names = (before.keys() | after.keys()) - ignored
        changed = sorted(name for name in names if before.get(name) != after.get(name))
        if changed:
            self.wrong.append(f"{one} was refused and changed {changed}")
        if one.expected == one.case.absent:
            ghost = ghost_of(target)
            other = await self.client.make(one.one, one.case, one.caller, ghost)
            mine, theirs = (
                REQUEST.sub("", told)
                for told in (ghost.hidden(other.text), target.hidden(reply.text))
            )
            if (other.status, mine) != (reply.status, theirs):
                self.wrong.append(f"{one}: {theirs}, but of what never was {mine}")
            if ignored:
                self.rows = await self.world.counted()

    async def allowed(self, one: Try) -> None:
        """That a call is not refused, and tells nothing of where the caller may not read."""
        target = self.shared[one.wire, one.visibility]
        if one.case.destroys:
            asker = one.caller if one.case.own else self.world.owner
            whole = one.case.names_any(one.one, OWNED | {"invitation"})
            target = await self.world.room(
                one.wire, one.visibility, asker, [one.caller], whole=whole
            )
        self.judge(one, await self.client.make(one.one, one.case, one.caller, target))
        await self.world.core.turns.idle()

    def judge(self, one: Try, reply: Reply) -> None:
        """Compares a reply with what is expected."""
        expected = one.expected
        self.tried[expected] += 1
        wanted = {expected} if expected else {one.case.but} - {None} or set(range(100, 400))
        if reply.status not in wanted:
            words = f"{reply.status} {reply.text[:200]}, and not {expected or one.case.but}"
            self.wrong.append(f"{one}: {words}")
        leaked = self.world.leaked(one.caller, reply.text)
        if leaked:
            self.wrong.append(f"{one}: {reply.text[:200]} tells {leaked}")


@pytest.mark.timeout(300)
async def test_everyone_is_told_at_every_call_what_the_table_says(
    tmp_path: Path, database_url: str
) -> None:
    async with open_world(tmp_path / "data", database_url) as world, client_of(world) as client:
        matrix = Matrix(world, client)
        await matrix.prepare()
        tries = matrix.tries()
        matrix.rows = await world.counted()
        for one in tries:
            if one.expected and not one.case.own:
                await matrix.refused(one, matrix.shared[one.wire, one.visibility])
        for one, room in matrix.audit():
            if one.expected:
                await matrix.refused(one, room)
        for one in tries:
            if not one.expected:
                await matrix.allowed(one)
        async for caller, text in client.pushed():
            leaked = world.leaked(caller, text)
            assert not leaked, caller.name
        assert not matrix.wrong, "\n".join(matrix.wrong)
        assert min(matrix.tried[status] for status in (0, 401, 403, 404)) > 50, matrix.tried
