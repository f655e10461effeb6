"""Writes ui/src/lib/protocol.ts from the shapes of the doors; `--check` compares the two, and writes nothing."""

import sys
from collections.abc import Iterator, Mapping
from inspect import signature
from pathlib import Path
from typing import Any, get_args

from pydantic import TypeAdapter
from starlette.responses import Response

from palaver.wire.calls import calls_of
from palaver.wire.listing import DOORS
from palaver.wire.live import frames
from palaver.wire.live.connection import Connection

FILE = Path(__file__).resolve().parents[1] / "ui" / "src" / "lib" / "protocol.ts"
HEAD = """/**
 * The values and frames of `palaver.v1` and of the REST door, as docs/protocol.md gives them.
 *
 * Written by scripts/page_types.py from the server's own shapes; a test compares the two. Frames from the server
 * are checked for their `t` where they arrive (connection.ts); unknown fields and kinds are ignored.
 */
"""
UNIONS: dict[str, Any] = {"SubReply": frames.SubReply, "Reply": frames.Reply, "Push": frames.Push}
PLAIN = {"integer": "number", "number": "number", "boolean": "boolean", "string": "string"}
OBJECT = "Record<string, unknown>"


def written() -> str:
    """The file as it should be."""
    shapes = [*UNIONS.values(), frames.Draft, *_answers()]
    _, document = TypeAdapter.json_schemas(
        [(str(n), "serialization", TypeAdapter(one)) for n, one in enumerate(shapes)]
    )
    found: dict[str, Any] = document["$defs"]
    parts = [HEAD, *(_declared(name, found[name]) for name in sorted(found))]
    parts += [_union(name, [one.__name__ for one in get_args(of)]) for name, of in UNIONS.items()]
    parts.append(
        "/** A request without its `id`, which the connection adds. */\n"
        + _union("Request", list(_requests()))
    )
    return "\n".join(parts)


def _answers() -> Iterator[Any]:
    """What the REST calls answer with."""
    for part in DOORS["rest"][1]:
        for _, name in calls_of(part):
            told = signature(getattr(part, name)).return_annotation
            yield from (one for one in get_args(told) or (told,) if one not in {None, Response})


def _requests() -> Iterator[str]:
    for declared, name in calls_of(Connection):
        asked = signature(getattr(Connection, name)).parameters
        if declared.path != "hello":
            fields = "".join(
                f"; {one.name}{_given(one.annotation)}" for one in list(asked.values())[1:]
            )
            yield f"{{ t: '{declared.path}'{fields} }}"


def _given(annotation: Any) -> str:
    kind, optional = frames.plain_type(annotation)
    plain = {int: "number", list: "string[]"}.get(kind, "string")
    return f"?: {plain} | null" if optional else f": {plain}"


def _union(name: str, members: list[str]) -> str:
    lines = "".join(f"\n  | {member}" for member in members)
    return f"export type {name} ={lines}\n"


def _declared(name: str, schema: Mapping[str, Any]) -> str:
    """An interface, or the words of an enumeration."""
    text = _comment(schema, "")
    if "enum" in schema:
        return f"{text}export type {name} = {_kind(schema)}\n"
    needed = schema.get("required", ())
    fields = [
        f"{_comment(field, '  ')}  {field_name}{'' if field_name in needed else '?'}: {_kind(field)}\n"
        for field_name, field in schema["properties"].items()
    ]
    return f"{text}export interface {name} {{\n{''.join(fields)}}}\n"


def _comment(schema: Mapping[str, Any], indent: str) -> str:
    words = " ".join(schema.get("description", "").split())
    return f"{indent}/** {words} */\n" if words else ""


def _kind(schema: Mapping[str, Any]) -> str:  # noqa: PLR0911  one arm for each kind of schema
    """A value's type in TypeScript."""
    match schema:
        case {"$ref": str(ref)}:
            return ref.rpartition("/")[2]
        case {"const": word}:
            return f"'{word}'"
        case {"enum": words}:
            return " | ".join(f"'{word}'" for word in words)
        case {"anyOf": kinds}:
            return " | ".join(_kind(one) for one in kinds)
        case {"type": "array", "items": items}:
            inner = _kind(items)
            return f"({inner})[]" if "|" in inner else f"{inner}[]"
        case {"type": "object", "additionalProperties": {"type": str(plain)}}:
            return f"Record<string, {PLAIN[plain]}>"
        case {"type": "object"}:
            return OBJECT
        case {"type": "null"}:
            return "null"
        case {"type": str(plain)}:
            return PLAIN[plain]
        case _:
            return "unknown"


if __name__ == "__main__":
    if "--check" in sys.argv[1:]:
        sys.exit(FILE.read_text(encoding="utf-8") != written())
    FILE.write_text(written(), encoding="utf-8")
