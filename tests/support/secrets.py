"""Secrets of every kind that is taken out of what is stored, made by chance, so that none stands in a file."""

import random
import string
from collections.abc import Callable
from pathlib import Path

from palaver.core.answers.pieces import AnswerBuilder, pieces_in
from palaver.store.journal import replay

HEX, ALNUM = "0123456789abcdef", string.ascii_letters + string.digits
UPPER, URL = string.ascii_uppercase + string.digits, ALNUM + "-_"

Secret = tuple[str, str]
"""What stands in a text, and what of it nobody may find."""


def _of(chance: random.Random, letters: str, count: int) -> str:
    """Letters of which the last two are a small one and a digit, and none at the edge is a sign."""
    middle = "".join(chance.choice(letters) for _ in range(count - 3))
    return f"{chance.choice(string.ascii_uppercase)}{middle}{'A' if 'a' not in letters else 'a'}7"


def _whole(before: str, letters: str, count: int) -> Callable[[random.Random], Secret]:
    def made(chance: random.Random) -> Secret:
        text = before + _of(chance, letters, count)
        return text, text

    return made


def _inside(
    around: str, letters: str = ALNUM, count: int = 12
) -> Callable[[random.Random], Secret]:
    def made(chance: random.Random) -> Secret:
        secret = _of(chance, letters, count)
        return around.replace("*", secret), secret

    return made


def _jwt(chance: random.Random) -> Secret:
    text = ".".join(
        ["eyJ" + _of(chance, URL, 30), "eyJ" + _of(chance, URL, 90), _of(chance, URL, 43)]
    )
    return text, text


KINDS: dict[str, Callable[[random.Random], Secret]] = {
    "openai": _whole("sk-", ALNUM, 48),
    "openai project": _whole("sk-proj-", URL, 100),
    "anthropic": _whole("sk-ant-api03-", URL, 95),
    "palaver": _whole("plv_", URL, 43),
    "github": _whole("ghp_", ALNUM, 36),
    "github fine": _whole("github_pat_", ALNUM, 82),
    "gitlab": _whole("glpat-", URL, 20),
    "aws": _whole("AKIA", UPPER, 16),
    "aws secret": _inside("export AWS_SECRET_ACCESS_KEY=*", ALNUM + "/+", 40),
    "slack": _whole("xoxb-", ALNUM + "-", 40),
    "google": _whole("AIza", URL, 35),
    "google secret": _whole("GOCSPX-", URL, 28),
    "stripe": _whole("sk_live_", ALNUM, 24),
    "hugging face": _whole("hf_", ALNUM, 34),
    "npm": _whole("npm_", ALNUM, 36),
    "sendgrid": lambda chance: _whole(f"SG.{_of(chance, URL, 22)}.", URL, 43)(chance),
    "jwt": _jwt,
    "bearer": _inside("Authorization: Bearer *", URL, 32),
    "basic": _inside("authorization: basic *==", ALNUM, 22),
    "url": _inside("postgres://ada:*@db.example.org/main"),
    "variable": _inside("API_KEY=*"),
    "password": _inside("password: *"),
    "quoted": _inside("client_secret = '*'", ALNUM + "!#$%(,;", 16),
    "json": _inside('{"access_token": "*"}'),
    "option": _inside("deploy --auth-token * --now"),
    "element": _inside("<password>*</password>"),
}
"""Those without a line end, by what they are."""


def pem(chance: random.Random, end: str = "\n") -> tuple[str, list[str]]:
    """A private key as a file holds it, and its lines, none of which may be found."""
    lines = [_of(chance, ALNUM + "+/", 64) for _ in range(12)] + [_of(chance, ALNUM, 9) + "=="]
    head, foot = (f"-----{word} RSA PRIVATE KEY-----" for word in ("BEGIN", "END"))
    return end.join([head, *lines, foot]), lines


def bytes_below(folder: Path) -> bytes:
    """All that the files in a folder hold, deleted records included, and answers in journals put together."""
    found: list[bytes] = []
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            found.append(file.read_bytes())
        if file.suffix == ".journal":
            found += map(_answer_in, replay(found[-1]).values())
    return b"\n".join(found)


def _answer_in(records: list[tuple[bytes, bytes]]) -> bytes:
    answer = AnswerBuilder()
    for piece in pieces_in(records):
        answer.take(piece)
    return "\n".join(f"{one.text} {one.meta}" for one in answer.entries({})).encode()


class Hiding:
    """Hides secrets in texts, and looks for them. The same `name` hides the same."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._chance = random.Random(name)
        self._hidden: list[str] = []

    def secret(self, kind: str = "") -> str:
        """A secret of one kind, or any, with what makes it known as one."""
        text, secret = KINDS[kind or self._chance.choice([*KINDS])](self._chance)
        self._hidden.append(secret)
        return text

    def text(self) -> str:
        """Some words with up to three secrets, at least one."""
        words = ["It", "prints", "this,", "then", "stops.\n", "Why?"]
        for _ in range(self._chance.randint(1, 3)):
            words.insert(self._chance.randrange(len(words) + 1), self.secret())
        return " ".join(words)

    def value(self) -> str:
        """A secret that is one only by its name."""
        self._hidden.append(_of(self._chance, ALNUM, 12))
        return self._hidden[-1]

    def key(self) -> str:
        """A private key in its lines."""
        text, lines = pem(self._chance)
        self._hidden += lines
        return f"\n{text}\n"

    def cut(self, text: str) -> list[str]:
        """The text in pieces."""
        longest, pieces = self._chance.choice([1, 5, 30]), list[str]()
        while text:
            length = self._chance.randint(1, longest)
            pieces.append(text[:length])
            text = text[length:]
        return pieces

    def found(self, data: bytes) -> list[str]:
        """The secrets that stand in some bytes."""
        return [one for one in self._hidden if one.encode() in data]

    def on_disk(self, folder: Path) -> list[str]:
        """The secrets that stand in any file of a folder."""
        return self.found(bytes_below(folder))
