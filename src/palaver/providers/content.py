"""Content parts of what people said, whichever API they came by, in the words of chat completions. No network here.

A model is told texts, and pictures, files and recordings whose data or address stands in the part. A reference that
only another server could look up, and what nobody here knows, is told as a note: nothing goes on raw. A note is one
line that is no header, whatever stood in the part.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from palaver.strict_json import as_object

Part = Mapping[str, Any]

NAME_CHARS_MAX = 80
_TEXTS = frozenset({"text", "input_text", "output_text", "summary_text", "reasoning_text"})
_CALLED = {
    **dict.fromkeys(("image_url", "input_image", "computer_screenshot", "image"), "picture"),
    **dict.fromkeys(("file", "input_file", "document"), "file"),
    **dict.fromkeys(("input_audio", "audio_url"), "recording"),
    "video_url": "video",
}
_SOURCES = {"base64": ("media_type", "data"), "text": ("media_type", "data"), "url": ("url",)}
"""What a block of the Messages API is of, and the texts that say it."""


def plain(part: Part) -> Part:
    """A part with what is known of it; a block of the Messages API that a chat completion has no word for stays one."""
    kind = str(part.get("type"))
    made: Part | None = None
    if kind in _TEXTS or kind == "refusal":
        text = part.get("refusal" if kind == "refusal" else "text")
        made = {"type": "text", "text": text if isinstance(text, str) else ""}
    elif kind in {"image", "document"}:
        made = _block(kind, part)
    elif _CALLED.get(kind) == "picture":
        given, inner = part.get("image_url"), as_object(part.get("image_url"))
        told = _texts(inner or {**part, "url": given}, "url", "detail")
        made = {"type": "image_url", "image_url": told} if "url" in told else None
    elif _CALLED.get(kind) == "file":
        told = _texts(as_object(part.get("file")) or part, "file_data", "file_url", "filename")
        made = {"type": "file", "file": told} if told.keys() - {"filename"} else None
    elif kind == "input_audio":
        told = _texts(as_object(part.get(kind)), "data", "format")
        made = {"type": kind, kind: told} if "data" in told else None
    return note(part) if made is None else made


def in_chat(part: Part) -> Part:
    """The same for a server that speaks chat completions: a note of what those have no word for."""
    file = as_object(part.get("file"))
    has_word = "source" not in part and (not file or "file_data" in file)
    return part if has_word else note(part)


def words(parts: Iterable[Part]) -> str:
    """What parts say where only words can stand."""
    told = [part if part["type"] == "text" else note(part) for part in parts]
    return "\n".join(part["text"] for part in told)


def note(part: Part) -> Part:
    """What is told in the place of a part that cannot be."""
    name = as_object(part.get("file")).get("filename") or part.get("filename") or part.get("title")
    named = " ".join(name.split())[:NAME_CHARS_MAX] if isinstance(name, str) else ""
    what = _CALLED.get(str(part.get("type")), "part")
    return {"type": "text", "text": f"[A {what} that cannot be shown here{named and f': {named}'}]"}


def _block(kind: str, part: Part) -> Part | None:
    source = as_object(part.get("source"))
    known = _SOURCES.get(str(source.get("type")), ())
    told = _texts(source, *known)
    is_text = kind == "image" and source.get("type") == "text"
    if is_text or not known or told.keys() != set(known):
        return None
    return {"type": kind, "source": {"type": source["type"], **told}, **_texts(part, "title")}


def _texts(fields: Part, *names: str) -> dict[str, str]:
    return {name: fields[name] for name in names if isinstance(fields.get(name), str)}
