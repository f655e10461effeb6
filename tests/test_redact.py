import random
import re
import time
from collections.abc import Iterator
from importlib import import_module
from itertools import pairwise
from pkgutil import walk_packages
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st
from msgspec.structs import fields
from tests.support.secrets import KINDS, pem

from palaver.errors import Code, Refused
from palaver.model import Actor, ActorId, ActorKind, ApiKey, Entry, KeyId, Kind, Role
from palaver.redact import HOLDING, MARK, WITHHELD_CHARS_MAX, Redaction, Withheld
from palaver.settings import settings_from
from palaver.store import write
from palaver.store.write.command import Command
from palaver.store.write.people.credentials import AddKey

SECRETS = Redaction(["secrets"])
PROSE = (
    "The max_tokens: 4096 of a token is no secret, and the password: string field says so. "
    "Call getToken2() with api_key=os.environ['KEY2'] or secret = config[1], see /etc/passwd. "
    "task-based disk-usage, sk-spinner, token: ${TOKEN1}, https://a.example:8080/b@2, monkey=ab12cd; "
    "Basic internationalization helps. The passphrase is asked for. 日本語のテキスト。 tokens=1024\n"
)


def cut(text: str, chance: random.Random, longest: int = 6) -> list[str]:
    places = [0]
    while places[-1] < len(text):
        places.append(min(len(text), places[-1] + chance.randint(1, longest)))
    return [text[start:end] for start, end in pairwise(places)]


@pytest.mark.parametrize("kind", KINDS)
def test_a_secret_of_every_kind_becomes_a_mark_wherever_it_stands(kind: str) -> None:
    chance = random.Random(kind)
    for before, behind in [("", ""), ("It is ", ", said Ada."), ("键", "。"), ('{"a":"', '\\n"}')]:
        text, secret = KINDS[kind](chance)
        told = SECRETS.text(before + text + behind)
        assert secret not in told
        assert MARK in told
        assert told.startswith(before)
        assert told.endswith(behind)
        assert SECRETS.text(told) is told


@pytest.mark.parametrize("end", ["\n", "\r\n", "\\n", "\n    "])
def test_a_private_key_becomes_one_mark_between_its_lines(end: str) -> None:
    key, lines = pem(random.Random(end), end)
    told = SECRETS.text(f"cat key:\n{key}\nThat is it.")
    assert not [line for line in lines if line in told]
    assert told.count(MARK) == 1
    assert "BEGIN RSA PRIVATE KEY" in told
    assert told.endswith("-----END RSA PRIVATE KEY-----\nThat is it.")
    assert MARK in SECRETS.text(end.join(key.split(end)[:5]))  # its beginning alone


def test_what_is_no_secret_stays() -> None:
    assert SECRETS.text(PROSE) is PROSE
    ids = f"t_{random.Random(1).randbytes(16).hex()}"
    assert Redaction(["[0-9a-f]{32}"]).text(ids) is ids
    picture = "data:image/png;base64," + "iVBORw0KGgo" * 200
    assert Redaction(["K"]).text(picture) is picture


def test_of_an_own_expression_all_is_taken_or_its_group() -> None:
    own = Redaction([r"ACME-\d{4}", r"pin\s(?P<secret>\d+)"])
    assert own.text("ACME-1234, pin 42, sk-no") == f"{MARK}, pin {MARK}, sk-no"
    both = Redaction([r"a+", r"ab"])
    assert both.text("xaab") == f"x{MARK}"  # one mark for what overlaps
    assert Redaction([r"(?=b)"]).text("ab") == "ab"


@settings(max_examples=40)
@given(
    st.lists(st.sampled_from([*KINDS, "", "", "pem"]), max_size=6),
    st.randoms(use_true_random=False),
)
def test_a_text_in_pieces_is_the_text_in_as_many(kinds: list[str], chance: random.Random) -> None:
    said, hidden = "", list[str]()
    for kind in kinds:
        said += chance.choice([" ", "\n", ", ", ". So: "]) + chance.choice(PROSE.split(". "))
        if kind == "pem":
            key, lines = pem(chance)
            said, hidden = f"{said}\n{key}\n", hidden + lines
        elif kind:
            text, secret = KINDS[kind](chance)
            said, hidden = f"{said} {text} ", [*hidden, secret]
    pieces = cut(said, chance, chance.choice([1, 4, 40]))
    told = SECRETS.pieces(pieces)
    assert len(told) == len(pieces)
    assert "".join(told) == SECRETS.text(said)
    running = Withheld(SECRETS)
    shown = [running.take(piece) for piece in pieces]
    assert len(shown) == len(pieces)
    shown.append(running.take("", last=True))
    for whole in ("".join(told), "".join(shown)):
        assert not [secret for secret in hidden if secret in whole]
        assert bool(hidden) is (MARK in whole)
    one = re.compile(rf"(?:{re.escape(MARK)}\s*)+")  # a key's last line may have a mark of its own
    assert one.sub("", "".join(shown)) == one.sub("", "".join(told))


def test_nothing_of_a_secret_is_told_before_it_is_whole() -> None:
    chance = random.Random(5)
    for make in KINDS.values():
        text, secret = make(chance)
        running, shown = Withheld(SECRETS), ""
        for piece in cut(f"Look: {text} and so on", chance, 3):
            shown += running.take(piece)
            assert not any(secret[at : at + 8] in shown for at in range(len(secret) - 7))


def test_what_is_held_back_has_a_bound() -> None:
    running, shown = Withheld(SECRETS), ""
    for _ in range(200):
        shown += running.take("x" * 100)
    assert 20_000 - len(shown) == WITHHELD_CHARS_MAX
    text, secret = KINDS["jwt"](random.Random(2))
    shown = "".join(
        running.take(piece) for piece in cut(f"-{text}-{'y' * 9_000} ", random.Random(3))
    )
    assert secret not in shown
    assert MARK in shown
    japanese = Withheld(SECRETS)
    assert "".join(map(japanese.take, "長い文章です")) == "長い文章です"  # which has no spaces


def test_a_value_is_redacted_through_and_through_and_else_the_same() -> None:
    text, secret = KINDS["openai"](random.Random(8))
    entry = Entry(role=Role.TOOL, kind=Kind.TOOL_RESULT, text=f"is {text}", meta={"call_id": "c"})
    told = SECRETS.said([entry, {"a": {"b": [text, 1]}, text: None, "password": "hunter22"}])
    assert secret not in repr(told)
    assert told[0] == Entry(
        role=Role.TOOL, kind=Kind.TOOL_RESULT, text=f"is {MARK}", meta={"call_id": "c"}
    )
    assert told[1] == {"a": {"b": [MARK, 1]}, MARK: None, "password": MARK}
    plain = [
        Entry(role=Role.USER, text="hi", meta={"parts": [{"type": "text", "text": "hi"}]}),
        1,
        None,
    ]
    assert SECRETS.said(plain) is plain
    spelled = {"content": [{"token": letter, "logprob": -0.1} for letter in text]}
    assert SECRETS.said({"logprobs": spelled, "n": [{"logprobs": [1]}]}) == {
        "logprobs": None,
        "n": [{"logprobs": []}],
    }


def test_it_takes_time_in_proportion_to_the_text() -> None:
    hostile = [
        "token=" * 30_000,
        "password: " + "a1" * 100_000 + "(",
        "eyJ" + "eyJabcdefghijkl." * 15_000,
        "-----BEGIN PRIVATE KEY-----\n" + "AAAA-1: b\n" * 20_000,
        "-----BEGIN PRIVATE KEY-----" * 8_000,
        "sk-" * 70_000,
        "://a" * 60_000,
        "bearer " * 30_000,
        "--" * 100_000,
        "\\" * 200_000 + "key='",
        "api_key" + "'" * 200_000,
    ]
    for text in hostile:
        began = time.perf_counter()
        SECRETS.found(text)
        assert time.perf_counter() - began < 5, text[:30]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("secrets [a", "expression 2 is no regular expression"),
        ("x* b", "expression 1 matches the empty text"),
        ("true", "expression 1 is a word; write secrets, or nothing"),
    ],
)
def test_a_bad_expression_is_refused_at_the_start_and_not_told(given: str, words: str) -> None:
    with pytest.raises(Refused) as refused:
        settings_from(redact=given)
    assert refused.value.code is Code.SETTINGS_INVALID
    assert refused.value.detail.startswith(f"PALAVER_REDACT: {words}")


def test_expressions_are_parted_by_white_space(monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings_from().redact == ()
    monkeypatch.setenv("PALAVER_REDACT", "secrets\n  a\\sb|c,d ")
    assert settings_from().redact == ("secrets", "a\\sb|c,d")


def kinds_of(command: type[Command[Any]]) -> Iterator[type[Command[Any]]]:
    """A command and those that are made of it, but for those of tests."""
    yield command
    for kind in command.__subclasses__():
        if kind.__module__.startswith("palaver."):
            yield from kinds_of(kind)


def test_every_field_of_a_command_in_which_words_may_stand_is_looked_into() -> None:
    """An id, a digest or a number is none; what is listed here is the server's own, or redacted before."""
    ours = {"cid", "dead", "door", "handle", "id", "known", "last_used_ms", "parts", "value"}
    ours |= {
        *("but", "issuer", "made_as", "session", "skeleton", "subject", "used", "counts"),
        *("email", "media_type", "merges", "preferences", "base_url", "headers"),
        *("type", "types", "url", "secret", "emoji"),
    }  # who signs people in, inner names, uses of sessions, what one says of oneself, servers, webhooks (sealed), emoji
    for module in walk_packages(write.__path__, f"{write.__name__}."):
        import_module(module.name)
    found: set[str] = set()
    for command in kinds_of(Command):
        for field in fields(command):
            kind = str(field.type)
            if re.search(r"str|Mapping|Meta|Entry|Settings|Command|Card|Actor\b|Key\b|Part", kind):
                found.add(field.name)
    assert found - HOLDING - ours == set()
    assert {"text", "entries", "request", "title", "key", "name", "changes"} <= found


def test_a_name_of_a_key_is_looked_into() -> None:
    text, secret = KINDS["github"](random.Random(4))
    actor = Actor(id=ActorId("u_1"), kind=ActorKind.PERSON, name="Ada")
    key = ApiKey(id=KeyId("k_1"), name=text, actor=actor, scopes=frozenset(), created_ms=1)
    assert secret not in repr(SECRETS.said(AddKey(key=key, handle=None, token_sha256=b"")))
