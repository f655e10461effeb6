"""Writes docs/events.md: how events are read, and the JSON Schema of each type's data; `--check` compares."""

import json
import sys
from pathlib import Path
from typing import Any, cast

from pydantic import TypeAdapter

from palaver.wire.cloudevents import DATA, TYPE, CloudEvent

PAGE = Path(__file__).resolve().parents[1] / "docs" / "events.md"
DIALECT = "https://json-schema.org/draft/2020-12/schema"
HEAD = """# Events for programs

`GET /api/events` tells what happens in all rooms that one may read, as [CloudEvents 1.0](https://cloudevents.io): to
mirror them, to count, to set something off. Each event comes once, in its room's order, whatever is written at the same
time, in however many processes. A program that speaks HTTP needs nothing else.

<!-- test: server -->
```python
import json
import urllib.request

SERVER = "http://127.0.0.1:8000"


def ask(path, body=None, **headers):
    data = None if body is None else json.dumps(body).encode()
    headers |= {"content-type": "application/json"}
    return urllib.request.urlopen(urllib.request.Request(SERVER + path, data, headers))


token = json.load(ask("/api/guests", {"name": "Ada"}))["token"]
me = {"authorization": f"Bearer {token}"}  # a session's token, or an API key
cursor = ask("/api/events", **me).headers["x-palaver-cursor"]  # from now on

room = json.load(ask("/api/rooms", {"title": "Plans"}, **me))["id"]
said = {"cid": "c-1", "text": "Where to?"}
ask(f"/api/rooms/{room}/messages", said, **me)

texts = []
while "Where to?" not in texts:
    answer = ask(f"/api/events?after={cursor}&wait=30", **me)
    for event in json.load(answer):
        assert event["source"] == f"/rooms/{room}"
        if event["type"] == "chat.palaver.message.created":
            texts.append(event["data"]["text"])
    cursor = answer.headers["x-palaver-cursor"]  # keep it with what was done
```

## An event

```json
{
  "specversion": "1.0", "id": "r_…:432", "source": "/rooms/r_…", "type": "chat.palaver.message.created",
  "subject": "m_…", "time": "2026-12-01T09:30:00.123Z", "datacontenttype": "application/json",
  "data": {"id": "m_…", "room": "r_…", "seq": 432, "text": "Where to?", "…": "…"},
  "sequence": "432", "partitionkey": "r_…", "actor": "u_…"
}
```

`type` is `chat.palaver.` and the kind of the event, `subject` the message that it is about, if it is about one,
`sequence` its seq in the room, `partitionkey` the room, `actor` who did it, if somebody did. `data` is what
[the room's own events](protocol.md#values) have as `d`, in the [shapes below](#data): a message comes as it is *now*,
so one that was deleted since has no text. The same event has the same `id` whenever it is told.

## Reading

- **A list** has the media type `application/cloudevents-batch+json`: at most `limit` events (200), oldest first. The
  header `X-Palaver-Cursor` says from where to go on: give it back as `after`. Where the answer gives back the cursor
  that was asked with, there is nothing more now; an empty list with another cursor is not the end.
- **A long poll**: with `wait=SECONDS`, at most 30, an answer without events waits for the first one.
- **A feed**: with `Accept: text/event-stream`, server-sent events that go on. The data of each is one event, its id
  the cursor behind it, so that a browser's `EventSource` resumes by itself (`Last-Event-ID`, or `after`). An `id`
  alone moves the place. An event named `reset` is a cursor that is known no more (below), one named `err` the end of
  the session or key.
- **In Python**, without a server: [`chat.events(after=)`](embedding.md).

Without `after` one hears what happens from now on; `after=earliest` begins with the oldest that is still known. What is
said is told within a second, mostly at once. Who stops between an event and keeping its cursor gets that event again:
its `id` says so.

## Cursors

A cursor is a text of ours, `e_…:4711` or `e_…:4711.2`: the history's epoch and a place in it. Do not take it apart.
Events are kept for `PALAVER_FEED_DAYS` days (30), and longer where something in the server has not worked through them.
A cursor that is older, or of another epoch (the database was [restored](backup.md) or rolled back) is refused with
`cursor_expired` (410), and over a feed tells `reset`, behind which all comes that is still known. Then read anew
what you keep of the rooms (`GET /api/rooms/{id}/messages`), and go on with `after=earliest`, or without `after`.

## Who is told what

What one may read is decided when it is told, by the same rule as of `GET /api/rooms/{id}/messages`, open rooms
included. Who is taken out of a room is told nothing of it from then on, neither what happens nor what they had not
heard yet; of a room that is deleted nobody is told anything until it is restored. Who comes in later is told what
follows in the feed: read what was before from the room. A [key](openai.md#keys) needs `rooms` or `read`, and tells of
its rooms alone where it is limited; that of an agent, of the rooms in which it is. In three rooms or in five thousand
of ten thousand, it costs the same.

## Data

More fields, and more types, may come: pass over what you do not know.

| type | `data` | what it says |
|---|---|---|
"""
FOOT = """
This page is written by `scripts/events_page.py` from `src/palaver/wire/cloudevents.py`, and a test compares the two.
"""


def page() -> str:
    """The page as it should be."""
    rows = [
        f"| `{TYPE}{kind}` | `{shape.__name__}` | {' '.join((shape.__doc__ or '').split())} |\n"
        for kind, shape in DATA.items()
    ]
    return HEAD + "".join(rows) + f"\n```json\n{_schemas()}\n```\n" + FOOT


def _schemas() -> str:
    """One document with the schema of each shape, below `$defs`; each field stands on a line."""
    adapters = [(shape.__name__, TypeAdapter[Any](shape)) for shape in (CloudEvent, *DATA.values())]
    _, document = TypeAdapter.json_schemas([(name, "serialization", one) for name, one in adapters])
    shapes: dict[str, dict[str, Any]] = _plain(document["$defs"])
    told = ",\n".join(f" {_told(name)}: {_shape(shape)}" for name, shape in shapes.items())
    return f'{{"$schema": "{DIALECT}", "$defs": {{\n{told}\n}}}}'


def _shape(schema: dict[str, Any]) -> str:
    fields: dict[str, Any] | None = schema.pop("properties", None)
    if not fields:
        return _told(schema)
    lines = ",\n".join(f"   {_told(name)}: {_told(field)}" for name, field in fields.items())
    return f'{_told(schema)[:-1]}, "properties": {{\n{lines}}}}}'


def _told(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _plain(schema: Any) -> Any:
    """A schema without titles, which only repeat names, and with each text on one line."""
    if isinstance(schema, list):
        return [_plain(one) for one in cast("list[Any]", schema)]
    if not isinstance(schema, dict):
        return schema
    found = cast("dict[str, Any]", schema)
    return {
        name: " ".join(value.split())
        if name == "description" and isinstance(value, str)
        else _plain(value)
        for name, value in found.items()
        if not (name == "title" and isinstance(value, str))
    }


if __name__ == "__main__":
    if "--check" in sys.argv[1:]:
        sys.exit(PAGE.read_text(encoding="utf-8") != page())
    PAGE.write_text(page(), encoding="utf-8")
