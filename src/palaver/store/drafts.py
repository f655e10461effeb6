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
from palaver.store.commands import AddMessage, CreateRoom, FinishExchange, OpenExchange


def encoded(command: AddMessage, accepted_ms: int, name: str) -> bytes:
    """The record of a message that was accepted at that time, from an author of this name."""
    return json.dumps({**asdict(command), "accepted_ms": accepted_ms, "name": name}).encode()


def decoded(data: bytes) -> tuple[AddMessage, int, str]:
    """The message, when it was accepted, and its author's name. What other versions wrote beside is left out."""
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
    return command, read["accepted_ms"], read.get("name", "")


def encoded_exchange(command: OpenExchange | FinishExchange) -> bytes:
    """The record of an exchange's beginning or end."""
    return orjson.dumps(
        {"what": type(command).__name__, **asdict(command)},
        default=lambda value: value.hex(),  # digests
    )


def decoded_exchange(data: bytes) -> OpenExchange | FinishExchange:
    """The opposite."""
    read: dict[str, Any] = orjson.loads(data)
    what = read.pop("what")
    read["entries"] = tuple(_entry(entry) for entry in read["entries"])
    read["ids"] = tuple(read["ids"])
    if what == FinishExchange.__name__:
        read["state"] = ExchangeState(read["state"])
        read["status"] = Status(read["status"])
        read["prefixes"] = tuple(bytes.fromhex(digest) for digest in read["prefixes"])
        return FinishExchange(**read)
    read["kind"] = ExchangeKind(read["kind"])
    read["body_digest"] = bytes.fromhex(read["body_digest"])
    read["prefixes"] = tuple((count, bytes.fromhex(digest)) for count, digest in read["prefixes"])
    room = read["new_room"]
    read["new_room"] = CreateRoom(
        **room
        | {
            "title_source": TitleSource(room["title_source"]),
            "visibility": Visibility(room["visibility"]),
            "agents": tuple(room["agents"]),
        }
    )
    return OpenExchange(**read)


def _entry(read: dict[str, Any]) -> Entry:
    return Entry(
        role=Role(read["role"]), kind=Kind(read["kind"]), text=read["text"], meta=read["meta"]
    )
