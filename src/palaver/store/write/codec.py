"""How what was accepted stands in the journal until it is stored: a format of our own files, no wire's."""

import json
from dataclasses import asdict
from typing import Any

import orjson

from palaver.model import (
    Entry,
    ExchangeKind,
    ExchangeState,
    Kind,
    Role,
    Status,
    TitleSource,
    Visibility,
)
from palaver.store.write.exchanges import FinishExchange, OpenExchange
from palaver.store.write.messages import AddMessage
from palaver.store.write.rooms import CreateRoom


def encoded(command: AddMessage, accepted_ms: int, name: str, epoch: str) -> bytes:
    """The record of a message that was accepted at that time, from an author of this name, for this history."""
    beside = {"accepted_ms": accepted_ms, "name": name, "epoch": epoch}
    return json.dumps({**asdict(command), **beside}).encode()


def decoded(data: bytes) -> tuple[AddMessage, int, str, str | None]:
    """The message, when it was accepted, its author's name and the epoch. What other versions wrote is left out."""
    read: dict[str, Any] = json.loads(data)
    command = AddMessage(
        id=read["id"],
        room=read["room"],
        author=read["author"],
        text=read["text"],
        cid=read["cid"],
        reply_to=read.get("reply_to"),
        role=Role(read["role"]),
        status=Status(read["status"]),
        meta=read["meta"],
        answers=read["answers"],
    )
    return command, read["accepted_ms"], read.get("name", ""), read.get("epoch")


def encoded_exchange(command: OpenExchange | FinishExchange, epoch: str | None) -> bytes:
    """The record of an exchange's beginning or end, and the epoch of its history."""
    return orjson.dumps(
        {"what": type(command).__name__, "epoch": epoch, **asdict(command)},
        default=lambda value: value.hex(),  # digests
    )


def decoded_exchange(data: bytes) -> tuple[OpenExchange | FinishExchange, str | None]:
    """The opposite."""
    read: dict[str, Any] = orjson.loads(data)
    what, epoch = read.pop("what"), read.pop("epoch", None)
    read.pop("prefixes", None)  # of older versions
    read["entries"] = tuple(_entry(entry) for entry in read["entries"])
    read["ids"] = tuple(read["ids"])
    if what == FinishExchange.__name__:
        read["state"] = ExchangeState(read["state"])
        read["status"] = Status(read["status"])
        return FinishExchange(**read), epoch
    read["kind"] = ExchangeKind(read["kind"])
    read["body_digest"] = bytes.fromhex(read["body_digest"])
    read["client"] = bytes.fromhex(read.get("client", ""))
    room = read["new_room"]
    read["new_room"] = CreateRoom(
        **room
        | {
            "title_source": TitleSource(room["title_source"]),
            "visibility": Visibility(room["visibility"]),
            "agents": tuple(room["agents"]),
        }
    )
    return OpenExchange(**read), epoch


def _entry(read: dict[str, Any]) -> Entry:
    return Entry(
        role=Role(read["role"]), kind=Kind(read["kind"]), text=read["text"], meta=read["meta"]
    )
