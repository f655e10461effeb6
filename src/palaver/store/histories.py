"""Reads what API clients send in normal form, with the digests by which the room of a request is found.

Most clients send all that was said with every request. What the newest requests of a writer came to is remembered, so
that only what is new of the next one is read.
"""

from collections import deque
from collections.abc import Sequence
from typing import Self

from palaver.model import ActorId, Entry, Kind, Role
from palaver.store.fingerprints import (
    START,
    alone,
    aloud,
    beginnings,
    by_id,
    is_prompt,
    likeness,
    longer,
    pair,
)

ENDS_MAX = 30
"""So many of a request's newest answers are looked up; with the digests of older versions twice as many."""
RECENT_MAX = 16
RECENT_CHARS_MAX = 32 * 1_024 * 1_024
"""What a writer keeps of the newest requests; the longest that it keeps is of a sixteenth."""


class Request:
    """A request in normal form: the places of the `entries` that count, their likenesses, and where answers end.

    `digests` are those of the beginnings, `older` those of versions in which prompts counted; `chars` is about what it
    takes in memory.
    """

    def __init__(self, entries: Sequence[Entry], begun: Self | None = None) -> None:
        """Reads entries, behind those that they begin with where these were read as `begun`."""
        self.entries = entries
        self.places: list[int] = [] if begun is None else [*begun.places]
        self.likes: list[bytes] = [] if begun is None else [*begun.likes]
        self.digests: list[bytes] = [] if begun is None else [*begun.digests]
        self.older: list[bytes] = [] if begun is None else [*begun.older]
        self.chars = 0 if begun is None else begun.chars
        for place in range(len(self.older), len(entries)):
            like = likeness(entries[place])
            self.older.append(longer(self.older[-1] if self.older else START, like))
            self.chars += len(entries[place].text) + len(like)
            if like and not is_prompt(entries[place]):
                self.places.append(place)
                self.likes.append(like)
                self.digests.append(longer(self.digests[-1] if self.digests else START, like))
        answers = self._answers = [entries[at].role is Role.ASSISTANT for at in self.places]
        self.ends = [
            count
            for count in range(len(answers), 0, -1)
            if answers[count - 1] and (count == len(answers) or not answers[count])
        ]

    def upto(self, count: int) -> int:
        """The number of entries that so many that count are among."""
        return self.places[count - 1] + 1 if count else 0

    def known(self) -> dict[bytes, int]:
        """The digests of the histories that it may go on, and how many entries that count they are of."""
        found: dict[bytes, int] = {}
        for count in filter(None, [len(self.places), *self.ends[:ENDS_MAX]]):
            found.setdefault(self.digests[count - 1], count)
            found.setdefault(self.older[self.upto(count) - 1], count)
        return found

    def newest(self) -> tuple[int, int]:
        """Where the newest answer begins and ends."""
        first = last = self.ends[0] if self.ends else 0
        while first and self._answers[first - 1]:
            first -= 1
        return first, last

    def asked(self) -> tuple[str, ...]:
        """What an exchange keeps, for the digests of its answer."""
        if not self.places:
            return ()
        words = b"" if self._answers[-1] else longer(START, self.likes[-1])
        return self.digests[-1].hex(), words.hex()


class Recent:
    """The newest requests of a writer: one that goes on from another is read from where that one ended.

    A coding agent sends all that was said hundreds of times. Nothing depends on what is here; it is bounded, and empty
    after a restart.
    """

    def __init__(self) -> None:
        self._requests: deque[tuple[ActorId, Request]] = deque(maxlen=RECENT_MAX)

    def request(self, actor: ActorId, entries: Sequence[Entry]) -> Request:
        """A request in normal form."""
        begun = [
            said
            for by, said in self._requests
            if by == actor and entries[: len(said.entries)] == said.entries
        ]
        longest = max(begun, key=lambda said: len(said.entries), default=None)
        if longest is not None:
            self._requests.remove((actor, longest))
        said = Request(entries, longest)
        if said.chars <= RECENT_CHARS_MAX // RECENT_MAX:
            self._requests.append((actor, said))
        return said


def answered(asked: Sequence[str], entries: Sequence[Entry]) -> list[bytes]:
    """The digests that an answer leaves, each of its choices."""
    choices: dict[int, list[Entry]] = {}
    for entry in entries:
        if likeness(entry) and (entry.text.strip() or entry.meta.keys() - {"choice"}):
            choices.setdefault(int(entry.meta.get("choice", 0)), []).append(entry)
    found: list[bytes] = []
    history, words = map(bytes.fromhex, asked)
    for said in choices.values():
        answer = [*map(likeness, said)]
        found.append(beginnings(answer, history)[-1])
        if words:
            found += [pair(words, answer), alone(answer), pair(words, [*map(by_id, said)])]
        if words and said[0].meta.get("reasoning"):
            rest = answer[1:] if said[0].kind == Kind.TEXT else answer
            found.append(pair(words, [aloud(said[0]), *rest]))
    return found
