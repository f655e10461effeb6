"""`palaver audit`: what happened to sessions and API keys, in the database itself or through the server that has it."""

from collections.abc import Mapping
from typing import Any

from palaver.cli.options import DatabaseUrl, DataDir, Json, listed, settings_of
from palaver.cli.output import tell, tell_json


def audit(
    *, data_dir: DataDir = None, database_url: DatabaseUrl = None, as_json: Json = False
) -> None:
    """Show what happened to sessions and keys, the oldest first. Also while the server runs."""
    settings = settings_of(data_dir=data_dir, database_url=database_url)
    found = listed(settings, "audit", "events", by="seq")
    if as_json:
        tell_json({"events": found})
        return
    for event in found:
        tell(_line(event))


def _line(event: Mapping[str, Any]) -> str:
    said = "  ".join(f"{name} {value}" for name, value in event["d"].items())
    return (
        f"{event['seq']}  {event['at']}  {event['k']}  by {event['by'] or 'the operator'}  {said}"
    )
