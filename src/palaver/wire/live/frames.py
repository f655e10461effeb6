"""The JSON of `palaver.v1`: values to JSON. It knows neither sockets nor HTTP."""

from datetime import UTC, datetime

from palaver.core.live import items
from palaver.errors import PalaverError
from palaver.model import Actor, ApiKey, Device, Event, EventType, Message, Page, Room, Ticket
from palaver.strict_json import Json, dump
from palaver.wire import parts

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
