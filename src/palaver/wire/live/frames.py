"""The JSON of `palaver.v1`: values to JSON and JSON to plain values. Every JSON wire uses it.

Rules: what goes out has the shapes of docs/protocol.md and nothing else. What comes in is read strictly: UTF-8 without
a byte order mark, no NaN or Infinity, no number beyond a double, no key twice in one object, at most `DEPTH_MAX`
levels, well-formed Unicode. It is one value for every parser, or it is refused (`invalid_json`, `invalid_unicode`).

It does not judge what a text says (the core does) and knows neither sockets nor HTTP.
"""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, cast

import orjson

from palaver.core.live import items
from palaver.errors import Code, PalaverError, Refused
from palaver.model import Actor, ApiKey, Device, Event, EventType, Message, Page, Room, Ticket
from palaver.wire import parts

DEPTH_MAX = 32
WHOLE_NUMBER_MAX = 2**53 - 1

_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_SURROGATE_ESCAPE = re.compile(rb"\\u[dD][89a-fA-F]")

Json = dict[str, Any]

# values


def me(actor: Actor) -> Json:
    """Me."""
    return {"id": actor.id, "name": actor.name, "kind": actor.kind, "guest": actor.guest}


def person(value: Actor) -> Json:
    """Who somebody is, in short."""
    return {"id": value.id, "name": value.name}


def key(value: ApiKey) -> Json:
    """Key, without its token."""
    return {
        "id": value.id,
        "name": value.name,
        "actor": person(value.actor),
        "scopes": sorted(value.scopes),
        "created_at": moment(value.created_ms),
        "last_used_at": _moment_or_null(value.last_used_ms),
        "revoked_at": _moment_or_null(value.revoked_ms),
    }


def device(value: Device, *, current: str | None) -> Json:
    """Device."""
    made = moment(value.created_ms)
    return {"id": value.id, "name": value.name, "created_at": made, "current": value.id == current}


def link(value: Ticket) -> Json:
    """Link, without its token."""
    made, expires = moment(value.created_ms), moment(value.expires_ms)
    return {"id": value.id, "created_at": made, "expires_at": expires}


def room(value: Room) -> Json:
    """Room."""
    return {
        "id": value.id,
        "title": value.title,
        "visibility": value.visibility,
        "role": value.role,
        "seq": value.seq,
        "created_at": moment(value.created_ms),
        "active_at": moment(value.active_ms),
        "deleted_at": _moment_or_null(value.deleted_ms),
        "read_seq": value.read_seq,
        "unread": value.unread,
        "agents": [{"id": agent.id, "name": agent.name} for agent in value.agents],
        "door": value.door,
    }


def message(value: Message) -> Json:
    """Message."""
    return {
        "id": value.id,
        "room": value.room,
        "seq": value.seq,
        "by": value.author,
        "name": value.name,
        "role": value.role,
        "kind": value.kind,
        "status": value.status,
        "text": value.text,
        "cid": value.cid,
        "reply_to": value.reply_to,
        "branch": value.branch,
        "at": moment(value.created_ms),
        "edited_at": _moment_or_null(value.edited_ms),
        "deleted_at": _moment_or_null(value.deleted_ms),
        "meta": parts.light(value),
    }


def event(value: Event) -> Json:
    """Event."""
    if value.type is EventType.MESSAGE_CREATED:
        assert value.message is not None, "the event of a message carries the message"
        data = message(value.message)
    else:
        data = dict(value.data)
    return {
        "room": value.room,
        "seq": value.seq,
        "k": value.type,
        "at": moment(value.at_ms),
        "by": value.actor,
        "d": data,
    }


def stream(view: items.StreamView) -> Json:
    """Stream."""
    return {
        "msg": view.message,
        "turn": view.turn,
        "by": view.agent,
        "name": view.agent_name,
        "after": view.after,
        "n": view.n,
        "text": view.text,
        "reasoning": view.reasoning,
    }


def page(value: Page) -> Json:
    """A page of messages with its cursors."""
    return {
        "messages": [message(one) for one in value.messages],
        "before": value.before,
        "after": value.after,
    }


def moment(ms: int) -> str:
    """A time as the protocol writes it: `2026-11-20T20:15:00.123Z`."""
    seconds, rest = divmod(ms, 1000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:03d}Z"


def _moment_or_null(ms: int | None) -> str | None:
    return None if ms is None else moment(ms)


# frames of the server


def encode(item: items.Item) -> bytes:  # noqa: C901, PLR0912  one arm for each kind of item
    """What a live reader is pushed. Made once for each item and shared by all its readers."""
    match item:
        case items.Happened():
            frame: Json = {"t": "ev", **event(item.event)}
        case items.Opened(stream=view):
            frame = {"t": "s.open", "room": view.room, "msg": view.message, "turn": view.turn}
            frame |= {"by": view.agent, "name": view.agent_name, "after": view.after}
        case items.Delta():
            frame = {"t": "s.d", "room": item.room, "msg": item.message, "n": item.n}
            if item.text:
                frame["x"] = item.text
            if item.reasoning:
                frame["r"] = item.reasoning
        case items.Ended():
            frame = {"t": "s.end", "room": item.room, "msg": item.message}
        case items.Typing():
            frame = {"t": "typing", "room": item.room, "by": item.actor, "name": item.name}
        case items.RoomChanged():
            frame = {"t": "room", "room": item.room, "seq": item.seq, "at": moment(item.at_ms)}
            frame |= {"new": item.new, "k": list(item.types)}
        case items.ReadMark():
            frame = {"t": "read", "room": item.room, "seq": item.seq}
        case items.Drafted():
            frame = {"t": "draft", "room": item.room, "msg": item.message, "by": item.actor}
            frame |= {"name": item.name, "text": item.text, "cid": item.cid}
            frame["at"] = moment(item.accepted_ms)
        case items.Settled():
            frame = {"t": "ack", "room": item.room, "cid": item.cid, "msg": item.message}
            frame |= {"state": "stored" if item.code is None else "rejected", "seq": item.seq}
            if item.code is not None:
                frame |= {"code": item.code, "detail": item.detail}
        case items.Unsubscribed():
            frame = {"t": "unsub", "room": item.room, "code": item.code, "detail": item.detail}
        case items.DatabaseState():
            frame = {"t": "db", "state": "up" if item.up else "down"}
        case items.Closing():
            frame = {"t": "bye", "retry_ms": item.retry_ms}
    return dump(frame)


def joined(value: items.Joined) -> Json:
    """The answer to `sub`, without `id`."""
    frame: Json = {"t": "sub", "room": value.room, "mode": value.mode}
    if value.mode == "resume":
        frame |= {"seq": value.seq, "events": [event(one) for one in value.events]}
    else:
        frame |= {
            "reason": value.reason,
            "seq": value.seq,
            "messages": [message(one) for one in value.messages],
            "before": value.before,
        }
    frame["streams"] = [stream(view) for view in value.streams]
    return frame


def error(problem: PalaverError) -> Json:
    """`err`, without `id`."""
    frame: Json = {
        "t": "err",
        "code": problem.code,
        "detail": problem.detail,
        "temporary": problem.temporary,
    }
    if problem.retry_ms is not None:
        frame["retry_ms"] = problem.retry_ms
    return frame


def dump(value: Any) -> bytes:
    """JSON, as compact as it gets; also in memory, where orjson keeps up to forty times as much for it."""
    return bytes(memoryview(orjson.dumps(value)))


# frames of a client


def load(data: bytes) -> Json:
    """One JSON object, read strictly. Refused: `invalid_json`, `invalid_unicode`, `bad_request` (no object)."""
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as problem:
        raise _unreadable(data) from problem
    if not isinstance(value, dict):
        raise Refused(Code.BAD_REQUEST, "That is JSON, but not an object.")
    found = cast("Json", value)
    # Outside of strings a colon stands for a key and for nothing else; a key that came twice is one too many.
    if _keys_in(found, DEPTH_MAX) != _STRING.sub(b"", data).count(b":"):
        raise Refused(Code.INVALID_JSON, "A key stands twice in one object.")
    return found


def text_of(frame: Mapping[str, Any], name: str) -> str:
    """A field that must be a text. Refused: `bad_request`."""
    value = frame.get(name)
    if not isinstance(value, str):
        raise Refused(Code.BAD_REQUEST, f"The field '{name}' must be a text.")
    return value


def text_or_none_of(frame: Mapping[str, Any], name: str) -> str | None:
    """A field that may be missing or null, else a text. Refused: `bad_request`."""
    return None if frame.get(name) is None else text_of(frame, name)


def whole_of(frame: Mapping[str, Any], name: str) -> int:
    """A field that must be a whole number from 0. Refused: `bad_request`."""
    value = frame.get(name)
    if type(value) is not int or not 0 <= value <= WHOLE_NUMBER_MAX:
        raise Refused(Code.BAD_REQUEST, f"The field '{name}' must be a whole number from 0.")
    return value


def whole_or_none_of(frame: Mapping[str, Any], name: str) -> int | None:
    """A field that may be missing or null, else a whole number from 0. Refused: `bad_request`."""
    return None if frame.get(name) is None else whole_of(frame, name)


def _keys_in(value: Any, depth_left: int) -> int:
    """How many keys a value holds, all levels together."""
    if not isinstance(value, dict | list):
        return 0
    if depth_left == 0:
        raise Refused(Code.INVALID_JSON, f"That is nested more than {DEPTH_MAX} levels deep.")
    if isinstance(value, list):
        return sum(_keys_in(one, depth_left - 1) for one in cast("list[Any]", value))
    found = cast("Json", value)
    return len(found) + sum(_keys_in(one, depth_left - 1) for one in found.values())


def _unreadable(data: bytes) -> Refused:
    """Why it cannot be read: half a character is told apart, because everything else about it is right."""
    if _SURROGATE_ESCAPE.search(data):
        try:
            json.loads(data)
        except (ValueError, RecursionError):
            pass
        else:
            return Refused(
                Code.INVALID_UNICODE, "A text holds half of a character (a lone surrogate)."
            )
    return Refused(Code.INVALID_JSON, "That is not JSON.")
