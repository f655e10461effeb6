"""What a request of an API client comes to in normal form, read whole or from where another one ended."""

import random

from palaver.model import ActorId, Entry, Kind, Role
from palaver.store.histories import RECENT_CHARS_MAX, RECENT_MAX, Recent, Request

ME, OTHER = ActorId("u_1"), ActorId("u_2")


def user(text: str) -> Entry:
    return Entry(role=Role.USER, text=text)


def some(chance: random.Random) -> Entry:
    role = chance.choice([Role.SYSTEM, Role.USER, Role.ASSISTANT, Role.TOOL])
    kind = chance.choice([Kind.TEXT, Kind.TEXT, Kind.REASONING])
    return Entry(role=role, kind=kind, text=f"words {chance.randrange(9)}")


def outcome(said: Request) -> tuple[object, ...]:
    return said.places, said.likes, said.digests, said.ends, said.known(), said.asked(), said.chars


def test_a_request_read_behind_another_is_the_same_as_read_whole() -> None:
    for seed in range(200):
        chance = random.Random(seed)
        recent = Recent()
        said: tuple[Entry, ...] = ()
        for _ in range(6):
            said = (*said[: chance.randrange(len(said) + 1)], *(some(chance) for _ in range(3)))
            assert outcome(recent.request(ME, said)) == outcome(Request(said)), seed


def test_only_what_is_new_of_a_request_is_read() -> None:
    recent = Recent()
    first = recent.request(ME, (user("a"), user("b")))
    again = recent.request(ME, (user("a"), user("b"), user("c")))
    assert again.likes[0] is first.likes[0]
    assert recent.request(OTHER, (user("a"),)).likes[0] is not first.likes[0]


def test_what_is_remembered_is_bounded() -> None:
    recent = Recent()
    long = user("x" * (RECENT_CHARS_MAX // RECENT_MAX))
    first = recent.request(ME, (long,))
    assert recent.request(ME, (long,)).likes[0] is not first.likes[0]
    first = recent.request(ME, (user("first"),))
    for number in range(RECENT_MAX):
        recent.request(ME, (user(f"{number}"),))
    assert recent.request(ME, (user("first"),)).likes[0] is not first.likes[0]
