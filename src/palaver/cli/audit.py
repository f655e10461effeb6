"""`palaver audit`: what happened to accounts, sessions, keys and invitations, also while it happens."""

import sys
from collections.abc import Mapping
from time import sleep  # noqa: TID251  another process, whose events nothing tells of
from typing import Annotated, Any

import typer

from palaver.cli.options import Ask, asking
from palaver.cli.output import tell, tell_json
from palaver.errors import Code, PalaverError

FOLLOW_SECONDS = 1.0


@asking
def audit(
    ask: Ask,
    *,
    follow: Annotated[
        bool, typer.Option("--follow", help="Go on with what happens, until Ctrl+C.")
    ] = False,
) -> None:
    """Show what happened to accounts, sessions, keys and invitations, the oldest first. Also while the server runs."""
    if not follow:
        ask.tell_all(_line, "audit", "events", by="seq")
        return
    seq = None
    while True:
        for event in _behind(ask, seq):
            seq = event["seq"]
            if ask.as_json:
                tell_json(event, indent=None)
            else:
                tell(_line(event))
        sys.stdout.flush()
        sleep(FOLLOW_SECONDS)


def _behind(ask: Ask, seq: int | None) -> list[dict[str, Any]]:
    """Some of what happened after a seq; nothing while a server starts or the database is away."""
    try:
        return ask.answer("audit", after=seq)["events"]
    except PalaverError as error:
        if seq is None or not (error.temporary or error.code is Code.DATABASE_LOCKED):
            raise
        return []


def _line(event: Mapping[str, Any]) -> str:
    said = {name: value for name, value in event["d"].items() if value not in ([], "")}
    server_did = event["k"] == "webhook.ended" and event["by"] is None and said["why"] != "owner"
    if event["k"] != "signin.failed" and not server_did:  # nobody knows who that was
        said = {"by": event["by"] or "the operator"} | said
    told = (f"{name} {value}" for name, value in said.items())
    return "  ".join((str(event["seq"]), event["at"], event["k"], *told))
