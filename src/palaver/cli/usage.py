"""`palaver usage` and `palaver budget …`: what answers used, and how much they may."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import typer

from palaver.cli.options import Ask, asking
from palaver.cli.output import counted

SECOND = 1_000
budgets = typer.Typer(help="Bound what answers use.", no_args_is_help=True)


@asking
def usage(
    ask: Ask,
    *,
    since: Annotated[
        str | None, typer.Option("--from", help="The first day.", show_default="30 days")
    ] = None,
    until: Annotated[
        str | None, typer.Option("--to", help="The last day.", show_default="today")
    ] = None,
    by: Annotated[str, typer.Option(help="model, person, agent or day.")] = "model",
) -> None:
    """Show the tokens that answers used, what they cost, and how much the server is used."""
    more = {"from": since, "to": until, "by": by}
    ask.tell(told, "usage", **more)


@budgets.command("list", epilog="Example: palaver budget list --json")
@asking
def show(ask: Ask) -> None:
    """Show all budgets, and what is used of them."""
    ask.tell(_budgets, "budget.list")


@budgets.command(
    "set", epilog="Example: palaver budget set person --of ada --period day --tokens 200000"
)
@asking
def change(
    ask: Ask,
    *,
    kind: Annotated[str, typer.Argument(help="server, person or agent.")],
    of: Annotated[
        str | None, typer.Option("--of", help="Of whom: a handle, or an id (u_…, a_…).")
    ] = None,
    period: Annotated[str, typer.Option(help="day or month, in UTC.")] = "month",
    tokens: Annotated[
        int | None, typer.Option(help="How many tokens.", show_default="no bound")
    ] = None,
    dollars: Annotated[
        float | None, typer.Option(help="How much money.", show_default="no bound")
    ] = None,
) -> None:
    """Bound what answers use in a day or month. With no bound the budget is taken away."""
    micros = None if dollars is None else round(dollars * 1_000_000)
    more = {"kind": kind, "of": of, "period": period, "tokens": tokens, "cost_micros": micros}
    ask.tell(_budgets, "budget.set", **more)


def told(report: Mapping[str, Any]) -> Iterator[str]:
    """Writes a report in lines."""
    yield f"{report['first_day']} to {report['last_day']}"
    for one in report["rows"]:
        yield _line(one["name"] or "nobody", one)
    yield _line("in all", total := report["total"])
    if total["first_p50_ms"] is not None:
        half, most = (_time(total[name]) for name in ("first_p50_ms", "first_p95_ms"))
        yield f"began within {half} (half of them), {most} (95 of 100)"
    messages, size = sum(report["messages"].values()), report["database_bytes"]
    yield f"{counted(messages, 'message')}  {size / 1_000_000:,.1f} MB of database"


def _time(ms: int) -> str:
    return f"{ms} ms" if ms < SECOND else f"{ms / SECOND:.1f} s"


def _line(name: str, used: Mapping[str, Any]) -> str:
    cost = "price unknown" if used["cost_micros"] is None else _dollars(used["cost_micros"])
    line = f"{name}  {counted(used['answers'], 'answer')}  {used['input']:,} in  {used['output']:,} out"
    line += f"  {used['failed']:,} failed" if used["failed"] else ""
    partly = used["cost_micros"] is not None and used["unpriced"]
    return f"{line}  {cost}" + (f" and {used['unpriced']:,} without a price" if partly else "")


def _budgets(told: Mapping[str, Any]) -> Iterator[str]:
    for one in told["budgets"]:
        whose = f"{one['kind']} {one['name']}".strip()
        bounds = [
            *([] if one["tokens"] is None else [f"{one['used']:,} of {one['tokens']:,} tokens"]),
            *_money(one),
        ]
        yield f"{whose}  a {one['period']}  {', '.join(bounds)}  until {one['ends_at']}"
    if not told["budgets"]:
        yield "There are no budgets. `palaver budget set` makes one."


def _money(budget: Mapping[str, Any]) -> Iterator[str]:
    if budget["cost_micros"] is not None:
        yield f"{_dollars(budget['used_micros'])} of {_dollars(budget['cost_micros'])}"


def _dollars(micros: int) -> str:
    return f"${micros / 1_000_000:,.2f}"
