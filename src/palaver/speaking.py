"""Who speaks next in a room: which agents answer what was said, and which of them may not.

One pure function decides (`speakers`), inside the transaction that stores the words: no dice, no store, no clock, so
that every process and every replay says the same. A person's words are answered as each agent's `Speaks` says, an
agent's by those whom it mentions alone: never by itself, and within `Bounds`. What is refused has a code, and is told.

A mention is `@handle`, as people write it (`handles_in`): not in code, links, addresses or quoted lines. `@agents` is
all of them. Only members are mentioned; who that is, the store looks up once, and keeps with the message.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from palaver.model import ActorId, Speaks, TurnRefusal

CHAIN_MAX, ANSWERS_PER_HOUR = 6, 60
CHAIN_MOST, PER_HOUR_MOST = 50, 1_000
"""What a room may choose instead."""
MENTIONS_MAX = 20
"""So many handles in a message are looked up."""
AGENTS = "agents"
"""The handle of all agents of a room."""
QUESTION_MARKS = frozenset("?\uff1f\u061f\u2047\u2048\u055e\u1367\u2e2e\u037e")

HANDLE = re.compile(r"[a-z0-9][a-z0-9._-]{1,31}")
"""What a handle was once, too: a new one also ends with a letter or digit."""
_MENTION = re.compile(r"(?<![\w.@/:-])@([A-Za-z0-9][A-Za-z0-9._-]{1,31}+)(?![\w@/])")
_LINK = re.compile(r"\[[^\[\]\n]*\]\([^()\s]*\)|(?:://|www\.)\S+")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_QUOTE = re.compile(r" {0,3}>")
_TICKS = re.compile(r"`+")
_ALIKE = str.maketrans("01i_-", "oll..")


class Bounds(Struct, frozen=True):
    """How far agents answer each other in a room. `in_turn`: one after the other, each told what those before said."""

    in_turn: bool = False
    chain_max: int = CHAIN_MAX
    per_hour: int = ANSWERS_PER_HOUR


class Listener(Struct, frozen=True):
    """An agent in a room; `alone`: whether it is there with one person, and nobody else finds the room."""

    agent: ActorId
    handle: str | None
    speaks: Speaks
    alone: bool


class Words(Struct, frozen=True, kw_only=True):
    """What was said. `agent`: which said it, in the turn of this `depth`; None: a person.

    `replied`: to whose words. `asks`: every agent that is not to be silent, whatever the words are. `may`: whether the
    agent may say something in the room now. `lately`: how many turns agents' words began there within the last hour.
    """

    text: str
    mentions: Sequence[str] = ()
    replied: ActorId | None = None
    asks: bool = False
    agent: ActorId | None = None
    depth: int = 0
    may: bool = True
    lately: int = 0

    def calls(self, agent: ActorId) -> bool:
        """Whether an agent is meant by them, and does not only listen."""
        return self.asks or agent == self.replied or agent in self.mentions


def speakers(
    words: Words, listeners: Iterable[Listener], bounds: Bounds
) -> list[tuple[ActorId, TurnRefusal | None]]:
    """Those who answer, who is mentioned first, then as they came; with a code where that is refused."""
    order = {who: place for place, who in enumerate(words.mentions)}
    found: list[tuple[ActorId, TurnRefusal | None]] = []
    lately = words.lately
    for one in sorted(listeners, key=lambda one: order.get(one.agent, len(order))):
        if _answers(one, words):
            why = _refusal(words, bounds, lately)
            lately += why is None
            found.append((one.agent, why))
    return found


def handles_in(text: str) -> list[str]:
    """The handles that a text mentions, in small letters, each once, at most `MENTIONS_MAX`."""
    if "@" not in text:
        return []
    prose = _LINK.sub(" ", "\n\n".join(map(_without_code, _paragraphs(text))))
    named = [found[1].lower().rstrip(".-") for found in _MENTION.finditer(prose)]
    return list(dict.fromkeys(named))[:MENTIONS_MAX]


def mentioned(
    handles: Iterable[str], listeners: Iterable[Listener], people: Mapping[str, ActorId]
) -> list[ActorId]:
    """The members of these handles, in this order, each once."""
    agents = {one.handle: one.agent for one in listeners}
    named: list[ActorId] = []
    for handle in handles:
        found = agents.get(handle, people.get(handle))
        named += agents.values() if handle == AGENTS else () if found is None else (found,)
    return list(dict.fromkeys(named))


def is_question(text: str) -> bool:
    """Whether the last character that can be seen is a question mark of any script."""
    return next((one in QUESTION_MARKS for one in reversed(text) if _is_visible(one)), False)


def skeleton(handle: str) -> str:
    """What is left of a handle when what looks alike is the same: `0` and `o`, `1`, `l` and `i`, `.`, `_` and `-`."""
    return handle.translate(_ALIKE)


def _answers(one: Listener, words: Words) -> bool:
    if one.speaks is Speaks.NEVER or one.agent == words.agent:
        return False
    named = one.agent in words.mentions
    if named or words.agent is not None:
        return named
    if words.calls(one.agent) or one.speaks is Speaks.ALWAYS:
        return True
    if one.speaks is Speaks.ASKED:
        return is_question(words.text)
    return one.speaks is Speaks.AUTO and one.alone


def _refusal(words: Words, bounds: Bounds, lately: int) -> TurnRefusal | None:
    if words.agent is None:
        return None
    if not words.may:
        return TurnRefusal.NOT_ALLOWED
    if words.depth + 1 > bounds.chain_max:
        return TurnRefusal.CHAIN_BOUND
    return TurnRefusal.HOUR_BOUND if lately >= bounds.per_hour else None


def _paragraphs(text: str) -> list[str]:
    """What is said in a text in one's own words: without fenced code and quoted lines, parted at blank lines."""
    kept: list[list[str]] = [[]]
    fence = ""
    for line in text.splitlines():
        begun = _FENCE.match(line)
        if fence:
            if begun is not None and begun[1].startswith(fence):
                fence = ""
        elif begun is not None:
            fence = begun[1]
            kept.append([])
        elif not line or line.isspace():
            kept.append([])
        elif _QUOTE.match(line) is None:
            kept[-1].append(line)
    return ["\n".join(lines) for lines in kept]


def _without_code(prose: str) -> str:
    """A paragraph without its code spans, each between two runs of as many backticks."""
    runs = list(_TICKS.finditer(prose))
    following: dict[int, list[int]] = {}
    for place in range(len(runs) - 1, -1, -1):
        following.setdefault(len(runs[place][0]), []).append(place)
    kept: list[str] = []
    at = place = 0
    while place < len(runs):
        alike = following[len(runs[place][0])]
        while alike and alike[-1] <= place:
            alike.pop()
        if alike:
            kept += [prose[at : runs[place].start()], " "]
            place = alike[-1]
            at = runs[place].end()
        place += 1
    return "".join([*kept, prose[at:]])


def _is_visible(character: str) -> bool:
    return not character.isspace() and unicodedata.category(character) not in {"Cc", "Cf", "Mn"}
