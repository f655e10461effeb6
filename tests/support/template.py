"""A chat template of the strict kind, as many models have one: what it refuses, no answer is made of."""

from collections.abc import Mapping, Sequence
from typing import Any


def refusal(messages: Sequence[Mapping[str, Any]]) -> str | None:
    """Why the template refuses these messages; None where it takes them."""
    waiting: set[str] = set()
    before = "nothing"
    for place, message in enumerate(messages):
        role, calls = message["role"], message.get("tool_calls") or ()
        answers = message.get("tool_call_id")
        allowed = role in _AFTER[before] and (answers in waiting if role == "tool" else not waiting)
        if not allowed or not (message.get("content") or calls or role == "tool"):
            return f"message {place}: {before} is followed by {message}"
        waiting = waiting - {answers} | {call["id"] for call in calls}
        before = role
    return None if before in {"user", "tool"} else f"{before} speaks last"


_AFTER = {
    "nothing": {"system", "user"},
    "system": {"user"},
    "user": {"assistant"},
    "assistant": {"user", "tool"},
    "tool": {"tool", "assistant", "user"},
}
