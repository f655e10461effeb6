"""`palaver webhook …`: the addresses that are told what happens, in the database or through the server that has it."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

import typer

from palaver.cli.options import Ask, asking, words

webhooks = typer.Typer(
    help="Look after the addresses that are told what happens.", no_args_is_help=True
)

WHY = {
    "address_not_allowed": "not asked: its address is not public (PALAVER_PROFILE_NETWORKS)",
    "secret_missing": "not asked: the file of its secret is missing",
}
"""Why no answer could come."""

Id = Annotated[str, typer.Argument(help="Its id (h_…), as `palaver webhook list` shows it.")]
Types = Annotated[
    str, typer.Option(help="What it is told of, such as message.created,room.renamed.")
]
Rooms = Annotated[str, typer.Option(help="Ids of rooms, separated by commas.")]


@webhooks.command("list", epilog="Example: palaver webhook list")
@asking
def show_all(ask: Ask) -> None:
    """Show everybody's webhooks."""
    none = "There are no webhooks yet. `palaver webhook add` makes one."
    ask.tell_list(_line, "webhook.list", "webhooks", none)


@webhooks.command(epilog="Example: palaver webhook add https://example.com/hook --as ada")
@asking
def add(
    ask: Ask,
    *,
    url: Annotated[str, typer.Argument(help="Where it is told what happens.")],
    owner: Annotated[
        str, typer.Option("--as", help="Who may read what it is told: a handle, or an id (u_…).")
    ],
    types: Types = "",
    rooms: Rooms = "",
) -> None:
    """Make a webhook, and show its secret, this once."""
    more = {"as": owner, "url": url, "types": words(types) or None}
    more |= {"rooms": words(rooms) or None}
    ask.tell(_made, "webhook.add", **more)


@webhooks.command(epilog="Example: palaver webhook rotate h_019a…")
@asking
def rotate(ask: Ask, *, webhook: Id) -> None:
    """Make another secret, and show it, this once; the one before holds for a day."""
    ask.tell(_made, "webhook.rotate", webhook=webhook)


@webhooks.command(epilog="Example: palaver webhook disable h_019a…")
@asking
def disable(ask: Ask, *, webhook: Id) -> None:
    """Tell a webhook nothing more, until it is enabled."""
    ask.tell(lambda now: [_line(now["webhook"])], "webhook.enable", webhook=webhook, enabled=False)


@webhooks.command(epilog="Example: palaver webhook enable h_019a…")
@asking
def enable(ask: Ask, *, webhook: Id) -> None:
    """Let a webhook go on where it stopped."""
    ask.tell(lambda now: [_line(now["webhook"])], "webhook.enable", webhook=webhook, enabled=True)


@webhooks.command(epilog="Example: palaver webhook test h_019a…")
@asking
def test(ask: Ask, *, webhook: Id) -> None:
    """Tell a webhook a ping, and show how that went; 1 where it did not arrive."""
    _tell_one(ask, "webhook.test", webhook=webhook)


@webhooks.command(epilog="Example: palaver webhook deliveries h_019a…")
@asking
def deliveries(ask: Ask, *, webhook: Id) -> None:
    """Show the last 200 things that a webhook was told, or is to be told."""
    ask.tell_list(_told, "webhook.deliveries", "deliveries", "Nothing yet.", webhook=webhook)


@webhooks.command(epilog="Example: palaver webhook replay h_019a… v_019a…")
@asking
def replay(
    ask: Ask,
    *,
    webhook: Id,
    delivery: Annotated[str, typer.Argument(help="Its id (v_…), as `deliveries` shows it.")],
) -> None:
    """Tell a webhook the same again, 1 where it did not arrive; of what still waits, all at once."""
    _tell_one(ask, "webhook.replay", webhook=webhook, delivery=delivery)


@webhooks.command("rm", epilog="Example: palaver webhook rm h_019a…")
@asking
def remove(ask: Ask, *, webhook: Id) -> None:
    """Take a webhook away, with what it was to be told."""
    ask.tell(lambda gone: [f"{gone['deleted']} is gone."], "webhook.rm", webhook=webhook)


def _tell_one(ask: Ask, do: str, **request: str) -> None:
    told = ask.tell(lambda told: [_told(told["delivery"])], do, **request)
    if told["delivery"]["state"] not in {"done", "waiting"}:
        raise typer.Exit(1)


def _made(made: Mapping[str, Any]) -> Iterable[str]:
    return [_line(made["webhook"]), f"Its secret, not shown again: {made['secret']}"]


def _line(one: Mapping[str, Any]) -> str:
    types, rooms = ",".join(one["types"]) or "all types", ",".join(one["rooms"]) or "all rooms"
    state = "on" if one["enabled"] else f"off ({one['ended']})"
    return f"{one['id']}  {one['url']}  {one['owner']['name']}  {types}  {rooms}  {state}"


def _told(one: Mapping[str, Any]) -> str:
    where = f"{one['room']}:{one['seq']}" if one["room"] else "test"
    waits = one["state"] == "waiting"
    said = [one["id"], one["at"], one["type"], where, "waits" if waits else one["state"]]
    if one["attempts"]:
        answer = "no answer" if one["code"] is None else f"{one['code']} in {one['ms']} ms"
        said += [WHY.get(one["problem"], answer), f"tries {one['attempts']}"]
    if waits and one["attempts"]:
        said.append(f"next {one['next_at']}")
    return "  ".join(said)
