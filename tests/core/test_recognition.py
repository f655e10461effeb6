"""Which room a request of an API client goes on in, and what of it is stored there: clients as they are."""

import json
import random
import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.core.conftest import Running
from tests.core.test_exchanges import SYSTEM, Client, assistant, chat, user

from palaver.core.runtime import Core
from palaver.model import Entry, Kind, Role
from palaver.model.exchanges import Exchange
from palaver.providers.base import ReasoningPiece, TextPiece, ToolPiece
from palaver.store.fingerprints import beginnings, is_prompt, likeness


def system(text: str) -> Entry:
    return Entry(role=Role.SYSTEM, text=text)


async def new_client(core: Core, handle: str | None = None) -> Client:
    if handle is not None:
        return Client(core, await core.identity.person(handle, "Client"))
    _, actor = await core.identity.new_guest("Client")
    return Client(core, actor)


@pytest.fixture
async def client(core: Core) -> Client:
    return await new_client(core)


async def talk(
    client: Client, /, *turns: tuple[tuple[Entry, ...], str], **more: object
) -> list[Exchange]:
    """Each turn asked and answered; the exchanges."""
    return [await client.gets(chat(*asked, **more), TextPiece(says)) for asked, says in turns]


async def shown(client: Client, exchange: Exchange) -> list[bytes]:
    return [likeness(one) for one in await client.exchanges.messages(exchange, answers=False)]


async def words(client: Client, exchange: Exchange) -> list[str]:
    return [one.text for one in await client.said(exchange) if not is_prompt(one)]


PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
ABOUT = [{"type": "text", "text": "what is it"}, PICTURE]
LONG = "[read_file for 'a.txt'] Result:\n" + "much " * 20
CUT = "[read_file for 'a.txt'] Result:\n[NOTE] It is left out."

ONE_ROOM: dict[str, tuple[tuple[tuple[Entry, ...], str], ...]] = {
    "a clock in the prompt": (
        ((system("It is 10:00."), user("q0")), "a0"),
        ((system("It is 10:01."), user("q0"), assistant("a0"), user("q1")), "a1"),
        (
            (
                system("It is 10:01."),
                *map(user, ["q0"]),
                assistant("a0"),
                user("q1"),
                assistant("a1"),
                user("q2"),
            ),
            "a2",
        ),
    ),
    "a window that slides": (
        ((SYSTEM, user("q0")), "a0"),
        ((SYSTEM, user("q0"), assistant("a0"), user("q1")), "a1"),
        ((SYSTEM, assistant("a0"), user("q1"), assistant("a1"), user("q2")), "a2"),
        ((SYSTEM, assistant("a1"), user("q2"), assistant("a2"), user("q3")), "a3"),
    ),
    "the same answer again and again": (
        ((user("q0"),), "a"),
        ((user("q0"), assistant("a"), user("q1")), "a"),
        ((assistant("a"), user("q1"), assistant("a"), user("q2")), "a"),
        ((assistant("a"), user("q2"), assistant("a"), user("q3")), "a"),
    ),
    "a summary of a user": (
        ((user("q0"),), "a0"),
        ((user("q0"), assistant("a0"), user("q1")), "a1"),
        ((user("So far: q0."), user("q1"), assistant("a1"), user("q2")), "a2"),
        ((user("So far: q0, q1."), user("q2"), assistant("a2"), user("q3")), "a3"),
    ),
    "a note before the last message": (
        ((system("bard"), system("[note]"), user("q0")), "a0"),
        ((system("bard"), user("q0"), assistant("a0"), system("[note]"), user("q1")), "a1"),
        (
            (
                system("bard"),
                user("q0"),
                assistant("a0"),
                user("q1"),
                assistant("a1"),
                system("[note]"),
                user("q2"),
            ),
            "a2",
        ),
    ),
    "a note of a user before the last message": (
        ((user("[note]"), user("q0")), "a0"),
        ((user("q0"), assistant("a0"), user("[note]"), user("q1")), "a1"),
        (
            (user("q0"), assistant("a0"), user("q1"), assistant("a1"), user("[note]"), user("q2")),
            "a2",
        ),
    ),
    "line ends, space and thoughts": (
        ((user("one\ntwo"),), " a0\n"),
        ((user("one\r\ntwo "), assistant("<think>Hm.</think>\n\na0"), user("q1")), "a1"),
    ),
    "a picture that is left out": (
        ((Entry(role=Role.USER, text="what is it", meta={"parts": ABOUT}),), "a0"),
        ((user("what is it"), assistant("a0"), user("q1")), "a1"),
        ((user("what is it"), assistant("a0"), user("q1"), assistant("a1"), user("q2")), "a2"),
    ),
    "context around the last question": (
        ((user("Given: X.\nAnswer this: q0"),), "a0"),
        ((user("q0"), assistant("a0"), user("Given: Y.\nAnswer this: q1")), "a1"),
        ((assistant("a0"), user("q1"), assistant("a1"), user("Given: Z.\nAnswer this: q2")), "a2"),
    ),
    "a long text that its program cut": (
        ((user(LONG),), "a0"),
        ((user(CUT), assistant("a0"), user("q1")), "a1"),
        ((user(CUT), assistant("a0"), user("q1"), assistant("a1"), user("q2")), "a2"),
    ),
    "a greeting of the front end": (
        ((assistant("How can I help?"), user("q0")), "a0"),
        ((assistant("How can I help?"), user("q0"), assistant("a0"), user("q1")), "a1"),
    ),
    "an answer from elsewhere": (
        ((user("q0"),), "a0"),
        ((user("q0"), assistant("a0"), user("q1"), assistant("not ours"), user("q2")), "a2"),
    ),
}


async def test_one_conversation_is_one_room_and_each_message_is_stored_once(core: Core) -> None:
    for case, turns in ONE_ROOM.items():
        client = await new_client(core)
        exchanges = await talk(client, *turns)
        assert {exchange.room for exchange in exchanges} == {exchanges[0].room}, case
        for (asked, _), exchange in zip(turns, exchanges, strict=True):
            assert await shown(client, exchange) == [likeness(entry) for entry in asked], case
        expected: list[str] = []
        for place, (asked, says) in enumerate(turns):
            ours = turns[place - 1][1].strip() if place else ""
            begins = next((at for at, one in enumerate(asked) if ours and ours in one.text), -1)
            if case == "the same answer again and again" and place:
                begins = len(asked) - 2
            new = [one.text for one in asked[begins + 1 :] if not is_prompt(one)]
            expected += [*new, says]
        assert await words(client, exchanges[0]) == expected, case


async def test_words_without_an_answer_of_ours_are_never_a_match(client: Client) -> None:
    examples = (system("Translate."), user("good morning"), assistant("guten Morgen"))
    asked = [f"sentence {number}" for number in range(6)] + ["good morning"] * 2 + ["sentence 1"]
    answers = [f"Satz {number}" for number in range(6)] + ["guten Morgen"] * 3
    turns = [((*examples, user(text)), says) for text, says in zip(asked, answers, strict=True)]
    turns += [((assistant("Hello"), user(f"q{n}")), "Hello") for n in range(3)]  # by accident
    exchanges = await talk(client, *turns)
    assert len({exchange.room for exchange in exchanges}) == len(turns)
    for turn, exchange in zip(turns, exchanges, strict=True):
        assert await words(client, exchange) == [
            *[one.text for one in turn[0] if not is_prompt(one)],
            turn[1],
        ]


HISTORY = (user("q0"), assistant("a0"), user("q1"), assistant("a1"))
EDITED = {
    "the first question, cut short": (user("q"), *HISTORY[1:]),
    "the first question, with more": (user("q0\n" + "more " * 20), *HISTORY[1:]),
    "the first question": (user("q"), *HISTORY[1:]),
    "the last question": (*HISTORY[:2], user("q"), HISTORY[3]),
    "an answer": (HISTORY[0], assistant("a"), *HISTORY[2:]),
    "the last answer": (*HISTORY[:3], assistant("a")),
    "something added at the front": (user("q"), assistant("a"), *HISTORY),
    "a question asked again": HISTORY[:2],
    "the last of an answer taken away": (*HISTORY[:2], HISTORY[3]),
}


NEVER_SAID = {
    *("the first question, cut short", "the first question, with more", "the first question"),
    *("an answer", "something added at the front", "the last of an answer taken away"),
}
"""What begins with no answer that was given, or goes on from half of one: another room."""


async def test_what_was_really_edited_parts_where_it_was_and_what_is_stored_stays(
    core: Core,
) -> None:
    for case, history in EDITED.items():
        client = await new_client(core)
        first, second = await talk(client, (HISTORY[:1], "a0"), (HISTORY[:3], "a1"))
        (other,) = await talk(client, ((*history, user("new")), "b"))
        assert first.room == second.room, case
        assert (other.room == first.room) is (case not in NEVER_SAID), case
        assert await words(client, first) == ["q0", "a0", "q1", "a1"], case
        assert await words(client, other) == [one.text for one in history] + ["new", "b"], case


async def test_two_conversations_that_begin_alike_stay_apart(client: Client) -> None:
    """Also where the model said the same to both: each goes on in one of the two rooms."""
    hi, hello = user("hi"), assistant("Hello")
    first = await talk(client, *[((hi,), "Hello")] * 3)
    assert len({exchange.room for exchange in first}) == 3
    later = await talk(client, *[((hi, hello, user(f"q{n}")), f"a{n}") for n in range(3)])
    assert {exchange.room for exchange in later} == {exchange.room for exchange in first}
    for n, exchange in enumerate(later):
        assert await words(client, exchange) == ["hi", "Hello", f"q{n}", f"a{n}"]


async def test_a_window_over_words_that_come_again_and_again_stays_in_its_room(
    client: Client,
) -> None:
    window = (user("go"), assistant("ok"), user("go"))
    exchanges = await talk(client, (window[:1], "ok"), *[(window, "ok")] * 3)
    assert len({exchange.room for exchange in exchanges}) == 1
    assert await words(client, exchanges[0]) == ["go", "ok"] * 4


@dataclass
class Conversation:
    """The oracle: what a room holds, and how its client sends it."""

    style: random.Random
    room: str = ""
    sent: list[tuple[Entry, Entry, str]] = field(default_factory=list[Any])  # asked, bare, answer
    stored: list[str] = field(default_factory=list[str])

    def request(self, question: str) -> tuple[tuple[Entry, ...], Entry]:
        """What the client sends for its next question, and what of that is new."""
        style, around = self.style, self.style.random() < 0.2
        asked = user(f"Given: {style.random()}.\n{question}" if around else question)
        past = [one for _, bare, says in self.sent for one in (bare, self.again(says))]
        cut = style.randrange(len(past)) if len(past) > 1 and style.random() < 0.4 else 0
        front = [user("So far: much.")] if cut > 2 and cut % 2 == 0 else []
        past = [*front, *past[cut:]]
        prompts = [system(f"It is {style.randrange(3)} o'clock.")] * style.randrange(2)
        notes = [system("[note]")] * style.randrange(2)
        self.sent.append((asked, user(question.replace("\n", "\r\n") + " "), ""))
        return (*prompts, *past, *notes, asked), asked

    def again(self, says: str) -> Entry:
        return assistant(self.style.choice(("", "<think>Hm.</think>\n")) + says.strip())

    def answered(self, says: str) -> None:
        asked, bare, _ = self.sent.pop()
        self.sent.append((asked, bare, says))
        self.stored += [asked.text, says]


@pytest.mark.seeded
async def test_clients_of_every_kind_find_their_rooms(core: Core, effort: float) -> None:
    """Several at a time, that begin alike; each goes on in its room, and its requests can be shown."""
    for seed in range(max(1, round(2 * effort))):
        chance = random.Random(seed)
        client = await new_client(core)
        talks = [Conversation(random.Random(f"{seed} {n}")) for n in range(3)]
        for turn in range(18):
            one = chance.choice(talks)
            question = "hi" if not one.sent else f"question {turn}\nof {seed}"
            asked, _ = one.request(question)
            says = f"  answer {turn}\n" if turn % 3 else f"answer {turn}"
            (exchange,) = await talk(client, (asked, says))
            one.answered(says)
            assert exchange.room == (one.room or exchange.room), (seed, turn)
            assert one.room or exchange.room not in {other.room for other in talks}, (seed, turn)
            one.room = exchange.room
            assert await shown(client, exchange) == [likeness(each) for each in asked], (seed, turn)
            assert await words(client, exchange) == one.stored, (seed, turn)


async def test_what_an_older_version_stored_goes_on(running: Running, tmp_path: Path) -> None:
    """It left digests of whole histories only, and prompts counted in them."""
    asked = (SYSTEM, *HISTORY[:3])
    async with running() as core:
        client = await new_client(core, "known")
        _, last = await talk(client, ((SYSTEM, HISTORY[0]), "a0"), (asked, "a1"))
    digest = beginnings([likeness(entry) for entry in (SYSTEM, *HISTORY)])[-1]
    with closing(sqlite3.connect(tmp_path / "palaver.db")) as db, db:
        seqs = json.dumps({"view": last.view, "answers": last.answers})
        db.execute("UPDATE exchanges SET seqs = ? WHERE id = ?", (seqs, bytes.fromhex(last.id[2:])))
        db.execute("DELETE FROM prefixes WHERE exchange_id <> ?", (bytes.fromhex(last.id[2:]),))
        db.execute("DELETE FROM prefixes WHERE NOT answered")
        db.execute("UPDATE OR REPLACE prefixes SET digest = ?", (digest,))
    async with running() as core:
        client = await new_client(core, "known")
        history = (*HISTORY, user("q2"), assistant("a2"), user("q3"))
        turns = [((SYSTEM, *history[:5]), "a2"), ((system("other"), *history), "a3")]
        exchanges = await talk(client, *turns)
        assert {exchange.room for exchange in exchanges} == {last.room}
        assert await words(client, last) == ["q0", "a0", "q1", "a1", "q2", "a2", "q3", "a3"]
        for (asked, _), exchange in zip(turns, exchanges, strict=True):
            assert await shown(client, exchange) == [likeness(entry) for entry in asked]


async def test_two_callers_never_share(core: Core) -> None:
    one, other = await new_client(core), await new_client(core)
    (first,) = await talk(one, (HISTORY[:1], "a0"))
    (second,) = await talk(other, (HISTORY[:3], "a1"))
    assert second.room != first.room


async def test_a_named_room_stores_each_message_once_whatever_is_sent(client: Client) -> None:
    for turns in ONE_ROOM.values():
        room = (await client.core.rooms.create(client.actor, agent=False)).id
        exchanges = await talk(client, *turns, room=room)
        said = await words(client, exchanges[-1])
        questions = [asked[-1].text for asked, _ in turns]
        assert [text for text in said if text in questions] == questions
        for (asked, _), exchange in zip(turns, exchanges, strict=True):
            assert await shown(client, exchange) == [likeness(entry) for entry in asked]
        edited = (user("q"), turns[-1][0][-1], user("q2"))
        (last,) = await talk(client, (edited, "a2"), room=room)
        assert last.room == room


async def test_an_id_of_the_clients_own_is_a_room_across_restarts(running: Running) -> None:
    async with running() as core:
        client = await new_client(core, "known")
        rooms = [
            (
                await talk(
                    client,
                    ((user("hi"),), "Hello"),
                    client=name,
                    about={"client": {"session": name}},
                )
            )[0].room
            for name in ("s1", "s2", "s1")
        ]
        assert rooms[0] == rooms[2] != rooms[1]
        kept = [(await core.rooms.get(client.actor, room)).settings["client"] for room in rooms]
        assert kept == [{"session": name} for name in ("s1", "s2", "s1")]
    async with running() as core:
        client, other = await new_client(core, "known"), await new_client(core)
        (again,) = await talk(client, ((user("edited"),), "Yes"), client="s1")
        assert again.room == rooms[0]
        assert await words(client, again) == ["hi", "Hello", "hi", "Hello", "edited", "Yes"]
        (theirs,) = await talk(other, ((user("hi"),), "Hello"), client="s1")
        assert theirs.room not in rooms
        await core.rooms.delete(client.actor, again.room)
        (new,) = await talk(client, ((user("hi"),), "Hello"), client="s1")
        assert new.room not in rooms


def call(id_: str, tool: str, arguments: object) -> Entry:
    meta: Any = {"call_id": id_, "tool": tool}
    text = json.dumps(arguments)
    return Entry(role=Role.ASSISTANT, kind=Kind.TOOL_CALL, text=text, meta=meta)


def result(id_: str, text: str) -> Entry:
    return Entry(role=Role.TOOL, kind=Kind.TOOL_RESULT, text=text, meta={"call_id": id_})


def calls(id_: str, tool: str, arguments: object) -> ToolPiece:
    return ToolPiece(0, id_, tool, json.dumps(arguments))


@pytest.mark.parametrize("named", ["", "s1"])
async def test_a_call_that_its_client_has_filled_up_is_stored_once(core: Core, named: str) -> None:
    """Claude Code writes `replace_all` into calls, others leave out what a tool does not know."""
    client = await new_client(core)
    edit: dict[str, object] = {"path": "a", "changes": [{"old": "b", "new": "c"}], "why": "so"}
    more = {"path": "a", "changes": [{"old": "b", "new": "c", "all": False}], "why": "so"}
    less = {"path": "a", "changes": [{"old": "b", "new": "c"}]}
    asked: list[Entry] = [user("Edit it.")]
    rooms: list[str] = []
    for number, again in enumerate((edit, more, less, edit)):
        asking = chat(*asked, client=named)
        exchange = await client.gets(asking, calls(f"c{number}", "edit", edit))
        rooms.append(exchange.room)
        assert await shown(client, exchange) == [likeness(one) for one in asked]
        asked += [call(f"c{number}", "edit", again), result(f"c{number}", "done")]
    last = await client.gets(chat(*asked, client=named), TextPiece("It is."))
    assert {*rooms, last.room} == {last.room}
    assert await shown(client, last) == [likeness(one) for one in asked]
    assert [(one.kind, one.meta.get("call_id")) for one in await client.said(last)] == [
        ("text", None),
        *[(kind, f"c{number}") for number in range(4) for kind in ("tool_call", "tool_result")],
        ("text", None),
    ]


CLEARED = {
    "shorter": (result("c", "[cleared]"), True),
    "longer": (result("c", "other " * 20), False),
    "of another call": (result("d", "[cleared]"), False),
}


@pytest.mark.parametrize("case", CLEARED)
async def test_a_result_that_its_program_has_cut_is_no_other_room(
    client: Client, case: str
) -> None:
    """opencode and others clear old results, when a conversation grows too long."""
    again, same = CLEARED[case]
    read = (user("Read it."), call("c", "read", {}), result("c", "much " * 20))
    first = await client.gets(chat(*read[:1]), calls("c", "read", {}))
    await client.gets(chat(*read), TextPiece("Read."))
    cut = (*read[:2], again, assistant("Read."), user("Thanks."))
    exchange = await client.gets(chat(*cut), TextPiece("Yes."))
    branches = await client.core.branches.listing(client.actor, first.room)
    assert (exchange.room == first.room and len(branches) == 1) is same
    assert await shown(client, exchange) == [likeness(one) for one in cut]
    if same:
        said = [*[one.text for one in read], "Read.", "Thanks.", "Yes."]
        assert await words(client, exchange) == said


@pytest.mark.parametrize("named", ["", "s1"])
async def test_thoughts_that_a_client_tells_as_words_are_no_other_room(
    core: Core, named: str
) -> None:
    """Zed sends what was thought before the words, and before a call in words of its own."""
    client = await new_client(core)
    asked: list[Entry] = [user("Read it.")]
    first = await client.gets(
        chat(*asked, client=named), ReasoningPiece("I must look.\n"), calls("c", "read", {})
    )
    asked += [assistant("I must look.\n"), call("c", "read", {}), result("c", "one")]
    await client.gets(chat(*asked, client=named), ReasoningPiece("One."), TextPiece("It is one."))
    asked += [assistant("One.\nIt is one."), user("Thanks.")]
    last = await client.gets(chat(*asked, client=named), TextPiece("Yes."))
    assert last.room == first.room
    assert await shown(client, last) == [likeness(one) for one in asked]
    assert await words(client, last) == [
        *("Read it.", "{}", "one", "It is one.", "Thanks.", "Yes.")
    ]


@pytest.mark.parametrize("named", ["", "s1"])
async def test_calls_of_one_id_are_told_apart_by_their_arguments(core: Core, named: str) -> None:
    """Some servers give every call the same id."""
    client = await new_client(core)
    given: list[object] = [{"at": 1}, {"at": 1, "all": True}, {"at": 2}]
    asked: list[Entry] = [user("Read it.")]
    for one in given:
        await client.gets(chat(*asked, client=named), calls("c", "read", one))
        asked += [call("c", "read", one), result("c", f"It is {one}.")]
    last = await client.gets(chat(*asked, client=named), TextPiece("Yes."))
    assert await words(client, last) == [*[one.text for one in asked], "Yes."]


@pytest.mark.parametrize("given", [[{"at": 1}], [{"at": 2}, {"at": 2, "all": True}]])
async def test_a_call_that_may_be_another_one_is_stored_as_such(
    client: Client, given: list[object]
) -> None:
    asked: list[Entry] = [user("Read it.")]
    for one in given:
        await client.gets(chat(*asked, client="s1"), calls("c", "read", one))
        asked += [call("c", "read", one), result("c", f"It is {one}.")]
    other = call("c", "read", {"at": 2, "all": False})
    edited = (user("Read it."), other, result("c", "It is."))
    exchange = await client.gets(chat(*edited, client="s1"), TextPiece("Yes."))
    assert other.text in await words(client, exchange)


async def test_two_conversations_with_calls_of_one_id_stay_apart(client: Client) -> None:
    given: list[dict[str, object]] = [{"at": 1}, {"at": 1, "all": True}, {"at": 2}]
    rooms = [(await client.gets(chat(user("hi")), calls("c", "read", one))).room for one in given]
    assert len({*rooms}) == len(given)
    for room, one in zip(rooms, given, strict=True):
        asked = (user("hi"), call("c", "read", one), result("c", "It is."))
        exchange = await client.gets(chat(*asked), TextPiece("Yes."))
        assert exchange.room == room
        assert len(await words(client, exchange)) == 4
