"""Reads what answers used, added up, and the budgets that bound it."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from typing import Any

from msgspec.structs import replace
from sqlalchemy import (
    BigInteger,
    Connection,
    and_,
    bindparam,
    cast,
    func,
    literal,
    literal_column,
    or_,
    select,
    table,
)

from palaver.model import ActorId, TurnId
from palaver.model.usage import (
    Budget,
    BudgetKind,
    BudgetPeriod,
    UsageReport,
    Used,
    UsedBy,
    date_of,
)
from palaver.store.columns import ID_LENGTH
from palaver.store.engine.statement import Row, Statement, database_now, matching
from palaver.store.read.actors import id_of
from palaver.store.read.turns import asker
from palaver.store.schema import (
    actors,
    budgets,
    messages,
    reserves,
    turn_is_open,
    turns,
    usage,
    waits,
)

DAY_MS = 86_400_000
ROWS_MAX = 500
SUMS = (
    *("answers", "input", "output", "cached"),
    *("reasoning", "cost_micros", "unpriced"),
    *("estimated", "failed"),
)
WAITS_MAX = 50_000
"""So many counts of how long answers took to begin are read at once."""


def _sum(column: Any) -> Any:
    return cast(func.coalesce(func.sum(column), 0), BigInteger)


_sums = [_sum(usage.c[name]).label(name) for name in SUMS]
_most = _sum(usage.c.input + usage.c.output).desc()
_who = actors.alias("who")
_selves = select(actors.c.key).where(
    or_(actors.c.key == bindparam("its_key"), actors.c.became_key == bindparam("its_key"))
)
_WORDS = {
    UsedBy.MODEL: (usage.c.profile, usage.c.model),
    UsedBy.DAY: (usage.c.day,),
    UsedBy.PERSON: (*_who.c["kind", "id", "name"],),
    UsedBy.AGENT: (*_who.c["kind", "id", "name"],),
}


def _parted(by: UsedBy | None, *, own: bool) -> Statement:
    words = () if by is None else _WORDS[by]
    found: Any = select(*words, *_sums).where(
        usage.c.day.between(bindparam("since"), bindparam("until"))
    )
    if by is UsedBy.PERSON:
        paid = actors.alias("paid")
        found = found.select_from(usage).outerjoin(paid, paid.c.key == usage.c.asker_key)
        found = found.outerjoin(_who, _who.c.key == func.coalesce(paid.c.became_key, paid.c.key))
    elif by is UsedBy.AGENT:
        found = found.select_from(usage).outerjoin(_who, _who.c.key == usage.c.agent_key)
    if by is not None:
        order = usage.c.day if by is UsedBy.DAY else _most
        found = found.group_by(*words).order_by(order).limit(ROWS_MAX)
    if own:
        found = found.where(usage.c.asker_key.in_(_selves))
    return Statement(found, "since", "until", *(("its_key",) if own else ()))


_REPORTS = {(by, own): _parted(by, own=own) for by in (None, *UsedBy) for own in (False, True)}
_days = waits.c.day.between(bindparam("since"), bindparam("until"))
_WAITS = {
    by: Statement(
        select(*words, waits.c.within_ms, _sum(waits.c.answers).label("answers"))
        .where(_days)
        .group_by(*words, waits.c.within_ms)
        .order_by(waits.c.within_ms)
        .limit(WAITS_MAX),
        *("since", "until"),
    )
    for by, words in ((None, ()), (UsedBy.MODEL, (waits.c.profile, waits.c.model)))
}
_id = messages.c.id
_said_from, _said_until = (bindparam(name, type_=_id.type) for name in ("since", "until"))
_SAID = Statement(
    select(func.count()).select_from(messages).where(_id >= _said_from, _id < _said_until),
    *("since", "until"),
)
_size = table("pragma_page_count"), table("pragma_page_size")
_SIZE = Statement(
    select(func.pg_database_size(func.current_database()).label("bytes")),
    sqlite=select(literal_column("page_count * page_size", BigInteger).label("bytes")).select_from(
        *_size
    ),
)
_KEY = matching(select(actors.c.key), actors.c.id)
_TURN = matching(select(turns.c.agent_key), turns.c.id)
_NOW = Statement(select(database_now.label("now_ms")), "now_ms")

_budgets = select(
    *budgets.c["kind", "of_key", "period", "tokens", "cost_micros"],
    *actors.c["id", "name"],
    actors.c.kind.label("actor_kind"),
).outerjoin(actors, actors.c.key == budgets.c.of_key)
_ALL = Statement(_budgets.order_by(budgets.c.kind, budgets.c.of_key, budgets.c.period))
_ANY = Statement(select(budgets.c.kind).limit(1))
of_either = or_(
    budgets.c.kind == BudgetKind.SERVER,
    and_(budgets.c.kind == BudgetKind.PERSON, budgets.c.of_key == bindparam("asker")),
    and_(budgets.c.kind == BudgetKind.AGENT, budgets.c.of_key == bindparam("agent")),
)
_OF = Statement(_budgets.where(of_either), "asker", "agent")
LOCKED = Statement(
    _budgets.where(of_either)
    .order_by(budgets.c.kind, budgets.c.of_key, budgets.c.period)
    .with_for_update(of=budgets),
    *("asker", "agent"),
)


def _spent(kind: BudgetKind) -> Statement:
    """What is used and reserved, of one snapshot: an answer that ends meanwhile is one of the two."""
    answer = bindparam("answer", type_=turns.c.id.type)
    read = usage.c.input + usage.c.output
    parts = (
        (usage, usage.c.day >= bindparam("since"), read, usage.c.cost_micros),
        (
            turns,
            and_(turn_is_open, turns.c.id != answer),
            *(turns.c.reserved_tokens, turns.c.reserved_micros),
        ),
        (reserves, reserves.c.id != answer, reserves.c.tokens, reserves.c.micros),
    )
    of = {BudgetKind.PERSON: "asker_key", BudgetKind.AGENT: "agent_key"}.get(kind)
    tokens = micros = literal(0)
    for its, where, *columns in parts:
        bound = (
            where if of is None else and_(where, its.c[of] == bindparam("of", type_=BigInteger()))
        )
        sums = [select(_sum(one)).where(bound).scalar_subquery() for one in columns]
        tokens, micros = tokens + sums[0], micros + sums[1]
    told = select(tokens.label("tokens"), micros.label("micros"))
    return Statement(told, "since", "answer", *(() if of is None else ("of",)))


_SPENT = {kind: _spent(kind) for kind in BudgetKind}
_NO_ANSWER = TurnId("t_" + "0" * 32)


def report(
    conn: Connection, since: int, until: int, by: UsedBy, of: ActorId | None = None
) -> UsageReport:
    """What was used from one day to another, of one person (with the guests that they were) or of all."""
    given = [since, until]
    if of is not None:
        given.append(_KEY.value(conn, of) or 0)
    total = _used(_REPORTS[None, of is not None].one(conn, *given))
    rows = [_used(row, by) for row in _REPORTS[by, of is not None].all(conn, *given)]
    if of is None:
        total = _with_waits([total], _WAITS[None].all(conn, *given))[0]
        if by is UsedBy.MODEL:
            rows = _with_waits(rows, _WAITS[by].all(conn, *given))
    days = (date_of(since * DAY_MS), date_of(until * DAY_MS))
    return UsageReport(*days, total, tuple(rows))


def size(conn: Connection) -> int:
    """How many bytes the database has on its disk, what is not yet in its file left out."""
    return _SIZE.value(conn)


def said(conn: Connection, days: Sequence[int]) -> dict[int, int]:
    """The messages of each of these days: by their ids, which tell when they were made, so that an index has them."""
    return {day: _SAID.value(conn, _first_id(day), _first_id(day + 1)) for day in days}


def _first_id(day: int) -> str:
    return f"m_{day * DAY_MS:012x}".ljust(ID_LENGTH, "0")


def _with_waits(told: Sequence[Used], waited: Sequence[Row]) -> list[Used]:
    """The same, with the times within which half and nearly all of each began. `waited`: the shortest first."""
    by_name: dict[str, list[tuple[int, int]]] = {}
    for *names, within_ms, answers in waited:
        by_name.setdefault("/".join(filter(None, names)), []).append((within_ms, answers))
    return [
        replace(one, first_p50_ms=_within(its, 50), first_p95_ms=_within(its, 95))
        if (its := by_name.get(one.name))
        else one
        for one in told
    ]


def _within(waited: Sequence[tuple[int, int]], percent: int) -> int:
    """Within how many milliseconds so many of a hundred answers began."""
    wanted = sum(answers for _, answers in waited) * percent
    ends = accumulate(answers for _, answers in waited)
    return next(ms for (ms, _), so_far in zip(waited, ends, strict=True) if so_far * 100 >= wanted)


def _used(row: Row, by: UsedBy | None = None) -> Used:
    sums = {name: getattr(row, name) for name in SUMS}
    match by:
        case None:
            return Used(**sums)
        case UsedBy.MODEL:
            return Used(name="/".join(filter(None, (row.profile, row.model))), **sums)
        case UsedBy.DAY:
            return Used(name=date_of(row.day * DAY_MS), **sums)
        case _:
            there = row.id is not None
            id_ = id_of(row.kind, row.id) if there else None
            return Used(name=row.name if there else "", id=id_, **sums)


def payer(conn: Connection, turn: TurnId) -> tuple[int, int]:
    """The keys of who pays for the answer of a turn and of its agent, 0 for nobody."""
    row = _TURN.first(conn, turn)
    return (0, 0) if row is None else (asker(conn, turn) or 0, row.agent_key)


def now_of(conn: Connection, now_ms: int) -> int:
    """The time on the database's clock; `now_ms` where one process has the database."""
    return _NOW.value(conn, now_ms)


def are_there(conn: Connection) -> bool:
    """Whether anything is bounded."""
    return bool(_ANY.all(conn))


def all_budgets(conn: Connection, now_ms: int) -> tuple[Budget, ...]:
    """All budgets, with what is used of them."""
    now = now_of(conn, now_ms)
    return tuple([budget_of(conn, row, now) for row in _ALL.all(conn)])


def standing(
    conn: Connection, actor: ActorId | None, now_ms: int, agent: ActorId | None = None
) -> tuple[Budget, ...]:
    """The budgets of the server, of who asks and of the agent that is asked."""
    asker, asked = [0 if one is None else _KEY.value(conn, one) or 0 for one in (actor, agent)]
    return bounding(conn, asker, asked, now_ms)


def bounding(conn: Connection, asker: int, agent: int, now_ms: int) -> tuple[Budget, ...]:
    """The same, of their keys."""
    rows = _OF.all(conn, asker, agent)
    now = now_of(conn, now_ms) if rows else 0
    return tuple([budget_of(conn, row, now) for row in rows])


def budget_of(conn: Connection, row: Row, now_ms: int, answer: TurnId = _NO_ANSWER) -> Budget:
    """The budget of a row, with what others than this answer use of it."""
    since, ends_ms = _period(row.period, now_ms)
    of = () if row.kind is BudgetKind.SERVER else (row.of_key,)
    spent = _SPENT[row.kind].one(conn, since, answer, *of)
    return Budget(
        kind=row.kind,
        of=id_of(row.actor_kind, row.id) if of else None,
        name=row.name or "",
        period=row.period,
        tokens=row.tokens,
        cost_micros=row.cost_micros,
        used=spent.tokens,
        used_micros=spent.micros,
        ends_ms=ends_ms,
    )


def _period(period: BudgetPeriod, now_ms: int) -> tuple[int, int]:
    """The first day of the period that is now, and when it ends."""
    first = datetime.fromtimestamp(now_ms // DAY_MS * 86_400, UTC)
    following = first + timedelta(days=1)
    if period is BudgetPeriod.MONTH:
        first = first.replace(day=1)
        following = (first + timedelta(days=32)).replace(day=1)
    return int(first.timestamp()) // 86_400, int(following.timestamp()) * 1_000
