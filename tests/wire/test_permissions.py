"""Every call of something that is somebody's, as everyone who may come, through the real wires: the table's answer.

What is refused changes nothing, tells nothing, and says the same of what is another's and of what never was. A private
room has members of all roles; an open one was made by a program, or opened by its owner to those with accounts or to
guests, too, who read or write there; the audit room is nobody's to read.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import groupby, product
from pathlib import Path

import pytest
from tests.wire.callers import KINDS, OWNED, SESSIONS, Caller, Target, World, ghost_of, open_world
from tests.wire.made import ASKED, MADE, WIRES, Case, Client, Reply, client_of

from palaver import policy
from palaver.errors import Refused
from palaver.model import MemberRole, ServerRole
from palaver.policy import Action, ServerAct
from palaver.store.write.audit import AUDIT
from palaver.wire.calls import Call
from palaver.wire.classic.sessions import session_of
from palaver.wire.live.connection import READING
from palaver.wire.openai import items

ENTERED = frozenset({"actors", "sessions"})
"""Where whoever comes without a session and writes is noted as a new guest, also if that is refused."""
TRIED_IN = {
    "open": frozenset({"nobody", "stranger", "removed", "reader", "owner"}),
    "archived": frozenset({"stranger", "member", "owner"}),
    "lobby": frozenset({"stranger"}),
    "read by accounts": frozenset({"stranger", "server person", "member"}),
    "written by accounts": frozenset({"stranger", "server person", "server owner", "reader"}),
    "read by guests": frozenset({"nobody", "server person", "removed", "owner"}),
    "written by guests": frozenset(
        {"stranger", "removed", "agent, stranger", "key limited to another room"}
    ),
}
"""Who is tried in rooms of these kinds: the others are told what these are."""
IN_A_ROOM = frozenset({"room", "conversation", "session_id", "turn", "message", "answer", "item"})
ITS_OWNERS = OWNED | {"exchange", "invitation", "picture"}
"""What is there only in rooms of the first two kinds."""
REQUEST = re.compile("req_[0-9a-f]+")
WHOLE = ("private", "open")


@dataclass(frozen=True, slots=True)
class Try:
    """One call as one caller, in one kind of room."""

    one: Call
    case: Case
    caller: Caller
    kind: str

    @property
    def wire(self) -> str:
        return WIRES[self.one.door]

    @property
    def role(self) -> MemberRole | None:
        """As what the room has the caller at this door: to a program, another's open room is no conversation."""
        if self.caller.limited:
            return None
        kind, out = KINDS[self.kind], self.caller.name == "removed"
        role = self.caller.role_in(kind, kept_out=out)
        if self.wire == "openai" and kind.open_role is not None:
            return self.caller.role
        others = kind.door is not None and role is not MemberRole.OWNER
        return None if self.wire == "openai" and others else role

    @property
    def unknown(self) -> bool:
        """Whether what is shown is good for nothing; at `/mcp` no session is."""
        if self.one.door == "mcp" and not self.caller.keyed:
            return True
        return self.wire in self.caller.unknown

    @property
    def refused_to_key(self) -> int:
        """With which status the key is refused that is shown, whoever its person is; 0: it is not."""
        one, caller = self.one, self.caller
        reads = one.method == "GET" or one.door == "mcp" or one.path.removeprefix("/ws ") in READING
        try:
            if self.wire == "openai" and caller.scopes is not None and not callable(one.scope):
                policy.check_scope(caller.scopes, one.scope, reads=reads)
            elif self.wire in SESSIONS and caller.keyed:
                policy.check_key(caller.asking, one.act, one.own_scope, reads=reads)
        except Refused as refused:
            return refused.status
        makes = one.act is ServerAct.ROOMS and one.method == "POST" and one.door != "mcp"
        return 403 if caller.limited and makes else 0

    @property
    def expected(self) -> int:
        """With which status the call is refused; 0: it is not."""
        one, case, caller = self.one, self.case, self.caller
        if self.unknown:
            return 401 if one.door == "mcp" else caller.refused
        if (by_key := self.refused_to_key) != 0:
            return by_key
        act = case.act or one.act
        if isinstance(act, ServerAct):
            assert not isinstance(case.of, MemberRole)
            if policy.server_refusal(act, caller.server_role, of=case.of) is not None:
                return 403
            owner = caller.role is MemberRole.OWNER or not case.names_any(one, OWNED)
            return 0 if owner else case.absent
        assert not isinstance(case.of, ServerRole)
        above = self.wire == "rest" and policy.oversees(caller.server_role)
        archived = self.kind == "archived"
        own = case.own or (act is Action.EDIT and self.role is MemberRole.OWNER)  # of an answer
        changes = act is Action.EDIT or (act is Action.TAKE_BACK and "stop" not in one.path)
        if archived and changes:
            act = Action.WRITE  # what is asked first
        refused = policy.refusal(
            act,
            self.role,
            own=own,
            of=case.of,
            oversees=above,
            everyones=KINDS[self.kind].everyones,
            archived=archived,
        )
        if refused is None:
            return 0
        return case.absent if self.role is None else refused.status

    def __str__(self) -> str:
        own = " of its own" if self.case.own else ""
        one = self.one
        return f"{one.method} {one.path}{own} as {self.caller.name}, {self.kind}"


@dataclass(slots=True)
class Matrix:
    """What was tried, and what was not as it should be."""

    world: World
    client: Client
    shared: dict[tuple[str, str], Target] = field(default_factory=dict[tuple[str, str], Target])
    """A room for each door, in which everybody has their role, for what takes nothing away."""
    tried: Counter[int] = field(default_factory=Counter[int])
    wrong: list[str] = field(default_factory=list[str])

    async def prepare(self) -> None:
        """Makes the rooms. Who has no session of its own at the classic door is given one, as at its first visit."""
        world = self.world
        for wire, kind in product(("rest", "classic", "openai"), KINDS):
            whole = wire != "classic" and kind in WHOLE
            made = await world.room(wire, kind, world.owner, world.callers, whole=whole)
            self.shared[wire, kind] = made
        for kind in KINDS:
            self.shared["live", kind] = self.shared["rest", kind]
        for caller in world.callers:
            if "classic" in caller.at:
                target = self.shared["classic", "private"]
                await self.client.make(ASKED["WS /ws/chat"], Case(), caller, target)

    def tries(self) -> list[Try]:
        found = [
            Try(ASKED[name], case, caller, kind)
            for name, ways in MADE.items()
            for case, caller, kind in product(ways, self.world.callers, KINDS)
        ]
        return [
            one
            for one in found
            if one.wire in one.caller.at
            # what is an account's own would end the session that asks
            and not (one.caller.server_role and (one.case.act or one.one.act) is ServerAct.OWN)
            and not (one.case.own and not one.caller.asks_at(one.wire))
            and (one.kind == "private" or one.caller.name in TRIED_IN[one.kind])
            and (one.kind in WHOLE or is_in_a_room(one))
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
            if names and by.name in {"owner", "stranger"} and one.kind == "private":
                target = self.shared[one.wire, "private"]
                yield (
                    replace(one, caller=replace(by, role=None)),
                    Target({**target.names, **kept}),
                )

    async def refused(self, tries: Iterable[tuple[Try, Target]]) -> None:
        """That calls are refused so, change nothing, and are refused as those of what never was.

        Rows are counted once for each way to make a call, however many make it.
        """
        rows = await self.world.counted()
        for (_, _, new), alike in groupby(tries, key=_way):
            asked = [await self._refused(one, target) for one, target in alike]
            before, rows = rows, await self.world.counted()
            names = (before.keys() | rows.keys()) - (ENTERED if new else frozenset[str]())
            changed = sorted(name for name in names if before.get(name) != rows.get(name))
            if changed:
                told = ", or ".join(map(str, asked))
                self.wrong.append(f"{told} was refused and changed {changed}")

    async def _refused(self, one: Try, target: Target) -> Try:
        reply = await self.client.make(one.one, one.case, one.caller, target)
        self.judge(one, reply)
        if one.expected == one.case.absent:
            ghost = ghost_of(target)
            other = await self.client.make(one.one, one.case, one.caller, ghost)
            mine, theirs = (
                REQUEST.sub("", told)
                for told in (ghost.hidden(other.text), target.hidden(reply.text))
            )
            if (other.status, mine) != (reply.status, theirs):
                self.wrong.append(f"{one}: {theirs}, but of what never was {mine}")
        return one

    async def allowed(self, one: Try) -> None:
        """That a call is not refused, and tells nothing of where the caller may not read."""
        target = self.shared[one.wire, one.kind]
        if one.case.destroys:
            asker = one.caller if one.case.own else self.world.owner
            whole = one.case.names_any(one.one, OWNED | {"invitation"})
            target = await self.world.room(one.wire, one.kind, asker, [one.caller], whole=whole)
        self.judge(one, await self.client.make(one.one, one.case, one.caller, target))
        if one.one.act is Action.JOIN:
            self.world.made.pop()  # who calls reads it from now on
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


def _way(tried: tuple[Try, Target]) -> tuple[Call, int, bool]:
    """By which call, in which way, and whether by somebody new."""
    one, _ = tried
    return one.one, id(one.case), one.caller.name == "nobody"


def is_in_a_room(one: Try) -> bool:
    """Whether the call is of what every room has."""
    names, told = one.case.names_any, set(one.case.names.values())
    return names(one.one, IN_A_ROOM) and not names(one.one, ITS_OWNERS) and not told & ITS_OWNERS


@pytest.mark.timeout(300)
async def test_everyone_is_told_at_every_call_what_the_table_says(
    tmp_path: Path, database_url: str
) -> None:
    async with open_world(tmp_path / "data", database_url) as world, client_of(world) as client:
        matrix = Matrix(world, client)
        await matrix.prepare()
        tries = matrix.tries()
        shared = matrix.shared
        refused = [(one, shared[one.wire, one.kind]) for one in tries if not one.case.own]
        refused += matrix.audit()
        await matrix.refused((one, target) for one, target in refused if one.expected)
        for one in tries:
            if not one.expected:
                await matrix.allowed(one)
        async for caller, text in client.pushed():
            leaked = world.leaked(caller, text)
            assert not leaked, caller.name
        assert not matrix.wrong, "\n".join(matrix.wrong)
        assert min(matrix.tried[status] for status in (0, 401, 403, 404)) > 50, matrix.tried
