"""Checks what people write: texts, titles, names and ids, once, whatever door they came through.

Well-formed Unicode only. What a model writes is not checked here: it is kept, whatever it is.
"""

import re
import unicodedata
from datetime import UTC, datetime

from palaver.errors import Code, Refused
from palaver.speaking import HANDLE, skeleton

CID_CHARS_MAX = 64
SEARCH_CHARS_MAX = 200
RESERVED_NAMES = frozenset(
    {
        *("admin", "administrator", "agent", "api", "assistant", "everyone", "here", "me"),
        *("moderator", "null", "palaver", "root", "server", "system", "undefined", "ws"),
    }
)
RESERVED_HANDLES = RESERVED_NAMES | {
    *("agents", "all", "bot", "guest", "guests", "owner", "people", "person"),
}
HANDLE_CHARS_MAX = 32
PASSWORD_CHARS_MIN, PASSWORD_CHARS_MAX = 10, 256
_SURROGATE = re.compile("[\ud800-\udfff]")
_LINK = re.compile(r"!?\[([^\]\n]*)\]\([^)\n]*\)")
_LABEL = re.compile(
    r"^(?:\s*(?:#{1,6}|>|[-*+]|\d+[.)])\s+)+|^\s*title\s*:\s*", re.MULTILINE | re.IGNORECASE
)
_STRESSED = re.compile(r"(?<![\w`])(\*{1,3}|_{1,3}|~~)(?=\S)(.+?)(?<=\S)\1(?![\w`])")
_ITSELF = re.compile(r"(?:I am|I'm|I\u2019m|As an AI|Here is|Here's)\b|Sure[,!]", re.IGNORECASE)
RAMBLING_CHARS, LINE_PARTS = 60, 8
"""A title of a model that is longer is none; so many times a title is what is looked at of a line."""
_CID = re.compile(r"[\x21-\x7e]{1,64}")


def well_formed(text: str, what: str) -> str:
    """The text itself. Refused: `invalid_unicode`, `invalid_character` (U+0000)."""
    if _SURROGATE.search(text):
        raise Refused(
            Code.INVALID_UNICODE, f"The {what} holds half of a character (a lone surrogate)."
        )
    if "\0" in text:
        raise Refused(Code.INVALID_CHARACTER, f"The {what} holds the character U+0000.")
    return text


def when(text: str) -> int:
    """The moment that a date means, with or without a time and a zone (none: UTC). Refused: `bad_request`."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        words = "A time is a date, such as 2027-01-31 or 2027-01-31T12:00:00Z."
        raise Refused(Code.BAD_REQUEST, words) from None
    zoned = found if found.tzinfo is not None else found.replace(tzinfo=UTC)
    return int(zoned.timestamp() * 1_000)


def is_blank(text: str) -> bool:
    """Whether nothing of a text can be seen: white space and format characters only."""
    return all(char.isspace() or unicodedata.category(char) in {"Cf", "Zs"} for char in text)


def message_text(text: str, chars_max: int) -> str:
    """A message's text. Refused: `text_too_long`, `empty_message` and what `well_formed` refuses."""
    if len(text) > chars_max:
        raise Refused(
            Code.TEXT_TOO_LONG,
            f"The message has {len(text):,} characters; {chars_max:,} are allowed.",
        )
    well_formed(text, "message")
    if is_blank(text):
        raise Refused(Code.EMPTY_MESSAGE, "The message is empty.")
    return text


def title(text: str, chars_max: int) -> str:
    """A room's title, without white space around it. Refused: `title_too_long` and the like."""
    well_formed(text, "title")
    text = " ".join(text.split())
    if len(text) > chars_max:
        raise Refused(
            Code.TITLE_TOO_LONG,
            f"The title has {len(text):,} characters; {chars_max:,} are allowed.",
        )
    return text


def person_name(text: str, chars_max: int) -> str:
    """A person's name. Refused: `name_invalid`, `name_reserved` and what `well_formed` refuses."""
    well_formed(text, "name")
    text = " ".join(text.split())
    unseen = any(unicodedata.category(char) in {"Cc", "Cf"} for char in text)
    if is_blank(text) or unseen or len(text) > chars_max:
        raise Refused(
            Code.NAME_INVALID, f"A name has 1 to {chars_max} characters, all of which can be seen."
        )
    if unicodedata.normalize("NFKC", text).casefold() in RESERVED_NAMES:
        raise Refused(Code.NAME_RESERVED, "That name is the server's own. Take another one.")
    return text


def handle(text: str) -> str:
    """A handle in small letters. Refused: `handle_invalid`, `name_reserved`."""
    small = text.lower() if text.isascii() else ""
    if not HANDLE.fullmatch(small) or not small[-1].isalnum():
        raise Refused(
            Code.HANDLE_INVALID,
            f"A handle has 2 to {HANDLE_CHARS_MAX} of a-z, 0-9, '.', '_' and '-'; its ends are letters or digits.",
        )
    if skeleton(small).replace(".", "") in _RESERVED_SKELETONS:
        raise Refused(Code.NAME_RESERVED, "That handle is the server's own. Take another one.")
    return small


_RESERVED_SKELETONS = frozenset(map(skeleton, RESERVED_HANDLES))


def password(text: str) -> bytes:
    """A new password as it is hashed, the same from every keyboard. Refused: `password_weak` and as `well_formed`."""
    if not PASSWORD_CHARS_MIN <= len(text) <= PASSWORD_CHARS_MAX:
        raise Refused(
            Code.PASSWORD_WEAK,
            f"A password has {PASSWORD_CHARS_MIN} to {PASSWORD_CHARS_MAX} characters.",
        )
    return unicodedata.normalize("NFC", well_formed(text, "password")).encode()


def cid(text: str) -> str:
    """A client's id of a message. Refused: `cid_invalid`."""
    if not _CID.fullmatch(text):
        raise Refused(
            Code.CID_INVALID,
            f"A cid has 1 to {CID_CHARS_MAX} visible ASCII characters, best a new UUID.",
        )
    return text


def page_size(limit: int, page_max: int) -> int:
    """How many rows a page has. Refused: `limit_invalid`. More than the most is the most."""
    if limit < 1:
        raise Refused(Code.LIMIT_INVALID, "A limit is at least 1.")
    return min(limit, page_max)


def search_words(text: str) -> str:
    """What to look for in titles. Refused: `bad_request` when longer than 200 characters."""
    if len(text) > SEARCH_CHARS_MAX:
        raise Refused(Code.BAD_REQUEST, f"A search has at most {SEARCH_CHARS_MAX} characters.")
    return well_formed(text, "search")


def model_title(text: str) -> str:
    """A title as a model wrote it, without quotes; nothing where it rambles, or speaks of itself."""
    title = title_of(text, RAMBLING_CHARS + 1).strip("\"'\u201c\u201d\u00ab\u00bb").strip()
    return "" if len(title) > RAMBLING_CHARS or _ITSELF.match(title) else title


def _plain(text: str) -> str:
    """A text without the signs of Markdown that only say how it looks."""
    text = _STRESSED.sub(r"\2", _STRESSED.sub(r"\2", _LABEL.sub("", _LINK.sub(r"\1", text))))
    return _LABEL.sub("", text).replace("`", "").strip()


def title_of(text: str, chars_max: int) -> str:
    """The title that a room gets from a message: its first line that says something, without Markdown."""
    for line in text.splitlines():
        if not is_blank(words := _plain(line[: LINE_PARTS * chars_max])):
            words = " ".join(words.split())
            return words if len(words) <= chars_max else words[: chars_max - 1].rstrip() + "…"
    return ""
