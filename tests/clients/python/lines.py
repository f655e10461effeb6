"""How a test talks with a client's program: see ../js/lines.js, whose rules these are."""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

Thing = Callable[[str], Awaitable[dict[str, Any]]]


def tell(line: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


async def serve(things: Mapping[str, Thing]) -> None:
    """Does one thing after the other, until there are no more."""
    while line := await asyncio.to_thread(sys.stdin.readline):
        asked = json.loads(line)
        try:
            tell({"end": await things[asked["do"]](asked["text"])})
        except Exception as error:  # noqa: BLE001  whatever a library raises is what the test wants to know
            status = getattr(error, "status_code", None)
            failed = type(error).__name__
            tell({"end": {"failed": failed, "status": status, "message": str(error)}})


def weather(city: str) -> str:
    return f"Snow in {city}"
