"""Finds who is in a room to be mentioned and to answer, for `palaver.speaking`, and opens the turns of who answers."""

from collections.abc import Iterable, Sequence

from msgspec import Struct, field
from sqlalchemy import (
    BigInteger,
    and_,
    bindparam,
    case,
    exists,
    false,
    func,
    literal_column,
    not_,
    null,
    or_,
    select,
    update,
)

from palaver.model import (
    ActorId,
    ActorKind,
    EventType,
    MemberRole,
    RoomSettings,
    Speaks,
    TurnId,
    TurnRefusal,
    Visibility,
)
from palaver.model.agents import Audience
from palaver.model.usage import Budget
from palaver.speaking import (
    ANSWERS_PER_HOUR,
    CHAIN_MAX,
    Bounds,
    Listener,
    Words,
    handles_in,
    mentioned,
    skeleton,
    speakers,
)
from palaver.store.engine.statement import Statement, among, database_now, matching, updating
from palaver.store.read.actors import id_of
from palaver.store.read.agents import is_for
from palaver.store.read.usage import bounding
from palaver.store.schema import (
    actors,
    agents,
    budgets,
    member_is_agent,
    member_is_in,
    members,
    rooms,
    turn_is_of_agents,
    turn_is_open,
    turns,
)
from palaver.store.write.transaction import (
    Asks,
    Chain,
    KnownActor,
    LockedRoom,
    OpenedTurn,
    Transaction,
    distinct,
)

HOUR_MS = 3_600_000
_NOBODY = -1

Refused = tuple[ActorId, TurnRefusal | Budget]
"""Who gives no answer, and why."""

_people = members.alias("people")
_second_person = exists(
    select(_people.c.actor_key)
    .where(_people.c.room_key == members.c.room_key)
    .where(_people.c.kept_out.is_(None), _people.c.speaks.is_(None))
    .where(_people.c.role != MemberRole.READER)
    .limit(1)
    .offset(1)
)
_LISTENERS = among(
    select(
        members.c.room_key,
        members.c.speaks,
        *actors.c["key", "id", "name"],
        actors.c.public_handle.label("handle"),
        rooms.c.settings,
        and_(
            rooms.c.visibility == Visibility.PRIVATE,
            case((members.c.speaks == Speaks.AUTO, ~_second_person), else_=false()),
        ).label("alone"),
        or_(agents.c.audience != Audience.EVERYONE, exists(select(budgets.c.kind).limit(1))).label(
            "bounded"
        ),
    )
    .select_from(members)
    .join(actors, actors.c.key == members.c.actor_key)
    .join(agents, agents.c.actor_key == members.c.actor_key)
    .join(rooms, rooms.c.key == members.c.room_key)
    .where(member_is_agent, agents.c.archived_ms.is_(None))
    .order_by(members.c.room_key, members.c.joined_ms, actors.c.key),
    members.c.room_key,
)


_NOT_FOR = Statement(
    select(agents.c.actor_key)
    .where(agents.c.actor_key == bindparam("agent"))
    .where(not_(is_for(bindparam("asker", type_=BigInteger())))),
    *("agent", "asker"),
)
_owners = actors.alias()
_OWNED_BY = matching(
    select(_owners.c.id)
    .join(agents, agents.c.owner_key == _owners.c.key)
    .join(actors, actors.c.key == agents.c.actor_key),
    actors.c.id,
)
_OWNER = matching(select(agents.c.owner_key), agents.c.actor_key)
_PEOPLE = among(
    select(*actors.c["id", "public_handle"])
    .join(members, members.c.actor_key == actors.c.key)
    .where(member_is_in, actors.c.kind == ActorKind.PERSON)
    .where(members.c.room_key == bindparam("room_key")),
    actors.c.skeleton,
    "room_key",
)
_LATELY = Statement(
    select(func.count())
    .select_from(turns)
    .where(turn_is_of_agents, turns.c.room_key == bindparam("room_key"))
    .where(turns.c.created_ms > database_now - HOUR_MS),
    *("room_key", "now_ms"),
)
_IN_TURN = matching(
    select(*turns.c["id", "waits_for"]).where(turn_is_open, turns.c.external.is_(None)),
    turns.c.room_key,
)


_WAITS = matching(
    select(turns.c.waits_for, actors.c.id).join(actors, actors.c.key == turns.c.agent_key),
    turns.c.id,
)
_WAITING_OF = matching(
    select(turns.c.id).where(turn_is_open, turns.c.waits_for.is_not(None)),
    *(turns.c.room_key, turns.c.agent_key),
)
_END_WAITING = updating(turns.c.id, "ended_ms", state=literal_column("'ended'"), waits_for=null())
_WAIT_ELSE = Statement(
    update(turns)
    .where(turns.c.waits_for == bindparam("of", type_=turns.c.waits_for.type))
    .values(waits_for=bindparam("before", type_=turns.c.waits_for.type)),
    *("before", "of"),
)


class Hearing(Struct):
    """The agents of a room, who of its people is called how, and by which turn the next one waits, where it does.

    `bounded` are those of whom `refusal` is to be asked.
    """

    agents: dict[ActorId, KnownActor] = field(default_factory=dict[ActorId, KnownActor])
    bounded: set[ActorId] = field(default_factory=set[ActorId])
    listeners: list[Listener] = field(default_factory=list[Listener])
    people: dict[str, ActorId] = field(default_factory=dict[str, ActorId])
    bounds: Bounds = Bounds()
    last: TurnId | None = None

    def mentions(self, text: str) -> list[ActorId]:
        """The members whom a text mentions."""
        return mentioned(handles_in(text), self.listeners, self.people) if "@" in text else []

    def opened(
        self,
        tx: Transaction,
        room: LockedRoom,
        words: Words,
        trigger_seq: int,
        chain: Chain,
        *,
        branch: int,
        models: Sequence[str] = (),
    ) -> tuple[list[OpenedTurn], list[Refused]]:
        """The turns of those who answer what was said at a seq, and whose answer is refused, which is to be told.

        Each of `models`, where some are named, answers.
        """
        found: list[OpenedTurn] = []
        refused: list[Refused] = []
        for who, bound in speakers(words, self.listeners, self.bounds):
            why = bound or self.refusal(tx, who, chain)
            if why is None:
                asks, agent = asked_of(models), self.agents[who]
                found += self.turns(tx, room, agent, trigger_seq, chain, branch=branch, asks=asks)
            elif why is not TurnRefusal.NO_RIGHT or words.calls(who):
                refused.append((who, why))
        return found, refused

    def refusal(self, tx: Transaction, agent: ActorId, chain: Chain) -> TurnRefusal | Budget | None:
        """As the function `refusal`, of an agent of the room."""
        if agent not in self.bounded:
            return None
        return refusal(tx, self.agents[agent].key, chain.asker_key)

    def turns(
        self,
        tx: Transaction,
        room: LockedRoom,
        agent: KnownActor,
        trigger_seq: int,
        chain: Chain,
        *,
        branch: int,
        asks: Sequence[Asks],
        again: bool = False,
    ) -> list[OpenedTurn]:
        """A turn for each that it asks, at once, behind all others where those go one after the other.

        `again`: it may have answered that before.
        """
        if self.bounds.in_turn and self.last is None:
            there = _IN_TURN.all(tx.conn, room.key)
            waited = {row.waits_for for row in there}
            self.last = max((row.id for row in there if row.id not in waited), default=None)
        before = tx.attempts(room, agent, trigger_seq) if again else 0
        opened = [
            tx.new_turn(
                *(room, agent, trigger_seq),
                chain=chain,
                branch=branch,
                attempt=attempt,
                waits_for=self.last,
                asks=one,
            )
            for attempt, one in enumerate(asks, before + 1)
        ]
        if self.bounds.in_turn:
            self.last = opened[-1][-1].id
        return opened


def asked_of(models: Sequence[str]) -> list[Asks]:
    """What is asked by each of `models`; by none of them: whatever its agent does."""
    several = len(models) > 1
    return [(place if several else None, one) for place, one in enumerate(models)] or [(None, None)]


NOBODY = Hearing()
"""Where nobody is looked for."""


def hearing(
    tx: Transaction, room_keys: Iterable[int], said: Iterable[tuple[int, str]]
) -> dict[int, Hearing]:
    """Who hears what is `said` in rooms, by their keys."""
    found: dict[int, Hearing] = {key: Hearing() for key in room_keys}
    for row in _LISTENERS.all(tx.conn, [(key,) for key in found]):
        agent = KnownActor(row.key, id_of(ActorKind.AGENT, row.id), row.name)
        there = found[row.room_key]
        there.agents[agent.id] = agent
        there.listeners.append(Listener(agent.id, row.handle, row.speaks, bool(row.alone)))
        if row.bounded:
            there.bounded.add(agent.id)
        there.bounds = bounds_of(row.settings)
    named: dict[int, set[str]] = {}
    for key, text in said:
        named.setdefault(key, set()).update(map(skeleton, handles_in(text)))
    for key, alike in named.items():
        for row in _PEOPLE.all(tx.conn, distinct(sorted(alike)), key):
            found[key].people[row.public_handle] = id_of(ActorKind.PERSON, row.id)
    return found


def refusal(tx: Transaction, agent_key: int, asker_key: int | None) -> TurnRefusal | Budget | None:
    """Why an agent gives no answer to who would pay for it: the budget that is used up, or it is not for them.

    For nobody (None) are those that are for everyone. Money is left to who knows the prices, see `write.budgets`.
    """
    if _NOT_FOR.all(tx.conn, agent_key, _NOBODY if asker_key is None else asker_key):
        return TurnRefusal.NO_RIGHT
    bounds = bounding(tx.conn, asker_key or 0, agent_key, tx.now_ms)
    full = (one for one in bounds if one.tokens is not None and one.used >= one.tokens)
    return next(full, None)


def owner_key(tx: Transaction, agent: KnownActor) -> int | None:
    """The key of whose an agent is, who sets off what it says unasked; None of the server's."""
    return _OWNER.value(tx.conn, agent.key)


def refuse(
    tx: Transaction,
    room: LockedRoom,
    by: KnownActor | None,
    agent: ActorId,
    why: TurnRefusal | Budget,
) -> None:
    """Tells a room that an agent gives no answer; who owns it can do something about one that is not for who asked."""
    told = why.refusal if isinstance(why, Budget) else {"code": why.value}
    if why is TurnRefusal.NO_RIGHT and (owner := _OWNED_BY.value(tx.conn, agent)) is not None:
        told |= {"owner": id_of(ActorKind.PERSON, owner)}
    tx.log(room, EventType.TURN_REFUSED, by, data={"agent": agent, **told})


def refuse_waiting(
    tx: Transaction, room: LockedRoom, by: KnownActor | None, turn: TurnId, why: TurnRefusal
) -> None:
    """Ends a turn that waits, without a message; what waits for it waits for the one before it."""
    before, agent = _WAITS.one(tx.conn, turn)
    _END_WAITING.run(tx.conn, tx.now_ms, turn)
    _WAIT_ELSE.run(tx.conn, before, turn)
    refuse(tx, room, by, id_of(ActorKind.AGENT, agent), why)


def refuse_removed(
    tx: Transaction, room: LockedRoom, by: KnownActor | None, agent: KnownActor
) -> None:
    """Ends what an agent waits to say in a room that it is taken out of."""
    for turn in sorted(_WAITING_OF.column(tx.conn, room.key, agent.key)):
        refuse_waiting(tx, room, by, turn, TurnRefusal.NOT_ALLOWED)


def lately(tx: Transaction, room: LockedRoom) -> int:
    """How many turns agents' words began in a room within the last hour, by the database's clock."""
    return _LATELY.value(tx.conn, room.key, tx.now_ms)


def bounds_of(settings: RoomSettings) -> Bounds:
    """What is set of a room about who speaks."""
    return Bounds(
        in_turn=settings.get("turns") == "in_turn",
        chain_max=settings.get("chain_max", CHAIN_MAX),
        per_hour=settings.get("agent_answers_per_hour", ANSWERS_PER_HOUR),
    )
