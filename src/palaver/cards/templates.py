"""Cards to begin with, which the package brings as a file."""

from functools import cache
from pathlib import Path

from msgspec import json

from palaver.model.agents import Card


@cache
def templates() -> tuple[Card, ...]:
    """Cards to begin with, whose handles are suggestions."""
    return json.decode(
        (Path(__file__).parent / "templates.json").read_bytes(), type=tuple[Card, ...]
    )
