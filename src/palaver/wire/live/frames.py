"""The JSON of `palaver.v1`: values to JSON. It knows neither sockets nor HTTP."""

from palaver.core.live import items
from palaver.errors import PalaverError
from palaver.strict_json import Json, dump
from palaver.wire import shapes

# frames of the server


def encode(item: items.Item) -> bytes:  # noqa: C901, PLR0912  one arm for each kind of item
    """What a live reader is pushed. Made once for each item and shared by all its readers."""
    match item:
        case items.Happened():
            frame: Json = {"t": "ev", **shapes.event(item.event)}
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
            frame = {
                "t": "room",
                "room": item.room,
                "seq": item.seq,
                "at": shapes.moment(item.at_ms),
            }
            frame |= {"new": item.new, "k": list(item.types)}
        case items.ReadMark():
            frame = {"t": "read", "room": item.room, "seq": item.seq}
        case items.Drafted():
            frame = {"t": "draft", "room": item.room, "msg": item.message, "by": item.actor}
            frame |= {"name": item.name, "text": item.text, "cid": item.cid}
            frame["at"] = shapes.moment(item.accepted_ms)
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
        frame |= {"seq": value.seq, "events": [shapes.event(one) for one in value.events]}
    else:
        frame |= {
            "reason": value.reason,
            "seq": value.seq,
            "messages": [shapes.message(one) for one in value.messages],
            "before": value.before,
        }
    frame["streams"] = [shapes.stream(view) for view in value.streams]
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
