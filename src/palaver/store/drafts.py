"""How an accepted message stands in the journal until it is stored: a format of our own files, no wire's."""

import json
from dataclasses import asdict
from typing import Any

from palaver.model import ActorId, MessageId, Role, RoomId, Status
from palaver.store.commands import AddMessage


def encoded(command: AddMessage, accepted_ms: int, name: str) -> bytes:
    """The record of a message that was accepted at that time, from an author of this name."""
    return json.dumps({**asdict(command), "accepted_ms": accepted_ms, "name": name}).encode()


def decoded(data: bytes) -> tuple[AddMessage, int, str]:
    """The message, when it was accepted, and its author's name. What other versions wrote beside is left out."""
    read: dict[str, Any] = json.loads(data)
    reply_to = read.get("reply_to")
    command = AddMessage(
        id=MessageId(read["id"]),
        room=RoomId(read["room"]),
        author=ActorId(read["author"]),
        text=read["text"],
        cid=read["cid"],
        reply_to=None if reply_to is None else MessageId(reply_to),
        role=Role(read["role"]),
        status=Status(read["status"]),
        meta=read["meta"],
        answers=read["answers"],
    )
    return command, read["accepted_ms"], read.get("name", "")
