"""By what a request names its conversation: rooms, the ids that programs send by themselves, and side tasks."""

from typing import Any

import pytest
from msgspec.structs import replace
from tests.support.upstream import ScriptedUpstream, reply
from tests.wire.door import Door
from tests.wire.openai.chat.test_routes import body
from tests.wire.openai.client import CHAT, bare_client, room_texts, said

from palaver.core.answers.tape import ExchangeRequest
from palaver.model import Entry, Role
from palaver.model.exchanges import ExchangeKind
from palaver.wire.openai.names import (
    KEPT_DESPITE,
    PROGRAMS,
    TASKS,
    folder_of,
    is_aside,
    is_task,
    marked,
    named,
    title_of,
)

RESPONSES = "/v1/responses"
TITLE = "### Task:\nGenerate a concise, 3-5 word title.\n<chat_history>\nUSER: q0\n</chat_history>"


@pytest.mark.usefixtures("models")
async def test_an_id_that_a_program_sends_by_itself_is_a_room(relay: Door) -> None:
    client, other = bare_client(relay, "ids"), bare_client(relay, "others")
    rooms: set[str] = set()
    for program in PROGRAMS:
        headers = program.ids
        ids = dict.fromkeys((*headers, *filter(None, [program.session])), "one")
        first = await client.post(CHAT, content=body(messages=said("q0")), headers=ids)
        edited = await client.post(CHAT, content=body(messages=said("q0!")), headers=ids)
        room = first.headers["x-palaver-room"]
        assert edited.headers["x-palaver-room"] == room
        for name in headers:
            got = await client.post(
                CHAT, content=body(messages=said("q0")), headers=ids | {name: "two"}
            )
            assert got.headers["x-palaver-room"] != room, name
        theirs = await other.post(CHAT, content=body(messages=said("q0")), headers=ids)
        assert theirs.headers["x-palaver-room"] != room
        named = await client.post(
            CHAT, content=body(messages=said("q1"), metadata={"room": room}), headers={}
        )
        assert named.headers["x-palaver-room"] == room
        rooms.add(room)
    assert len(rooms) == len(PROGRAMS)


@pytest.mark.usefixtures("models")
async def test_threads_of_one_session_are_rooms(relay: Door) -> None:
    client = bare_client(relay, "threads")
    rooms: list[str] = []
    for thread in ("main", "child", "main"):
        headers = {"session-id": "s_1", "thread-id": thread, "x-client-request-id": thread}
        asked = {"model": "m", "input": said("q0"), "prompt_cache_key": "s_1"}
        got = (await client.post(RESPONSES, json=asked, headers=headers)).json()
        rooms.append("r_" + got["conversation"]["id"].removeprefix("conv_"))
    assert rooms[0] == rooms[2] != rooms[1]
    exchange = ExchangeRequest(
        kind=ExchangeKind.RESPONSE, entries=(), model="m", request={}, whole=True
    )
    kept = named({"thread-id": "child", "session-id": "s_1"}, exchange).about["client"]
    assert kept == {"program": "Codex", "conversation": "child", "session": "s_1"}
    alone = {"model": "m", "input": said("q0"), "prompt_cache_key": "s_1"}
    got = (await client.post(RESPONSES, json=alone)).json()
    assert "r_" + got["conversation"]["id"].removeprefix("conv_") not in rooms


@pytest.mark.usefixtures("models")
async def test_the_room_of_a_sub_agent_comes_out_of_the_one_of_its_parent(relay: Door) -> None:
    client, other = bare_client(relay, "parents"), bare_client(relay, "no parents")
    _, reader = await relay.guest()
    header = "x-codex-parent-thread-id"

    async def room_of(asking: Any, thread: str, parent: str | None = None) -> Any:
        asked = {"model": "m", "input": said(f"I am {thread}")}
        names = {"thread-id": thread} | ({} if parent is None else {header: parent})
        got = (await asking.post(RESPONSES, json=asked, headers=names)).json()
        id_ = "r_" + got["conversation"]["id"].removeprefix("conv_")
        return (await reader.get(f"/api/rooms/{id_}")).json()

    orphan = await room_of(client, "early", parent="main")
    main = await room_of(client, "main")
    child = await room_of(client, "child", parent="main")
    assert (orphan["parent"], main["parent"]) == (None, None)
    assert child["parent"] == main["id"]
    assert (await room_of(other, "theirs", parent="main"))["parent"] is None
    deleted = await client.delete(f"/v1/conversations/conv_{main['id'][2:]}")
    assert deleted.status_code == 200
    assert (await room_of(client, "late", parent="main"))["parent"] is None


async def test_side_tasks_stand_in_one_room_of_their_callers(
    relay: Door, models: ScriptedUpstream
) -> None:
    client, other = bare_client(relay, "tasks"), bare_client(relay, "other tasks")
    headers = {"x-openwebui-chat-id": "c1"}
    models.will(reply("a0"), reply("Title"), reply("Tags"), reply("a1"))
    first = await client.post(CHAT, content=body(messages=said("q0")), headers=headers)
    titled = await client.post(CHAT, content=body(messages=said(TITLE)), headers=headers)
    marked = await client.post(
        CHAT, content=body(messages=said("q0"), metadata={"palaver": "task"})
    )
    later = await client.post(CHAT, content=body(messages=said("q0", "a0", "q1")))
    room, tasks = first.headers["x-palaver-room"], titled.headers["x-palaver-room"]
    assert tasks != room
    assert marked.headers["x-palaver-room"] == tasks
    assert later.headers["x-palaver-room"] == room
    texts = [text for _, text in await room_texts(relay.http(), tasks)]
    assert texts == [TITLE, "Title", "q0", "Tags"]
    theirs = await other.post(CHAT, content=body(messages=said(TITLE)))
    assert theirs.headers["x-palaver-room"] != tasks
    private = await client.post(
        CHAT, content=body(messages=said(TITLE)), headers={"x-palaver-visibility": "private"}
    )
    assert private.headers["x-palaver-room"] != tasks, "what is private is told to nobody"
    _, reader = await relay.guest()
    assert (await reader.get(f"/api/rooms/{tasks}")).json()["title"] == "Side tasks"


def test_every_form_of_a_side_task_is_known_and_no_conversation_is_one() -> None:
    def user(text: str) -> Entry:
        return Entry(role=Role.USER, text=text)

    for _, role, beginnings, holds in TASKS:
        for words in beginnings:
            task = Entry(role=role, text=f"{words} … {holds}")
            entries = (task,) if role is Role.USER else (task, user("a"), user("b"))
            assert is_task(entries), words
            assert not is_task((*entries, Entry(role=Role.ASSISTANT, text="x"), user("more")))
    assert not is_task((user("### Task:\nGenerate a logo for my shop"),))
    assert not is_task((user("You are a title generator."),))
    assert not is_task((user(TITLE), user("and more")))


CONTEXT = "<environment_context>\n  <cwd>/home/ann/shop</cwd>\n</environment_context>"
RULES = "# AGENTS.md instructions for /home/ann/shop\n\n<INSTRUCTIONS>\nBe kind.\n</INSTRUCTIONS>"
REMINDER = "<system-reminder>\nToday is Monday.\n</system-reminder>\n\n"


@pytest.mark.parametrize("texts", [(CONTEXT, RULES, "Sell more."), (f"{REMINDER}Sell more.",)])
def test_the_first_words_of_a_person_are_not_what_their_program_says(texts: tuple[str]) -> None:
    entries = [Entry(role=Role.USER, text=text) for text in texts]
    assert title_of(entries) == "Sell more."
    assert title_of(entries[:-1]) is None
    assert title_of([Entry(role=Role.USER, text="<b>Sell</b> more.")]) == "<b>Sell</b> more."


def test_a_title_is_not_made_of_what_stands_around_the_words() -> None:
    task = "<task>\nSell more.\n</task>\n<environment_details>\n# Files\n</environment_details>"
    code = "```shop.py\nprice = 1\n```\nSell more."
    assert [title_of([Entry(role=Role.USER, text=text)]) for text in (task, code)] == [
        "Sell more."
    ] * 2


def test_what_a_program_asks_behind_a_whole_conversation_is_known() -> None:
    asks = "Generate a concise 3-7 word title for this conversation, omitting punctuation."
    before = [Entry(role=Role.USER, text="hi"), Entry(role=Role.ASSISTANT, text="Hello")]
    assert is_aside([*before, Entry(role=Role.USER, text=asks)])
    assert is_aside([Entry(role=Role.USER, text=f"hi\n{asks}")])
    assert not is_aside([*before, Entry(role=Role.USER, text=f"Why do you say '{asks}'?")])
    assert not is_aside([*before, Entry(role=Role.ASSISTANT, text=asks)])
    assert not is_aside([])


AIDER = [
    ("system", "Act as an expert software developer."),
    ("user", "Change it."),
    ("assistant", "Changed."),
    ("user", "I switched to a new code base. Please don't consider the above files …"),
    ("assistant", "Ok."),
    ("user", "Sell more."),
    ("assistant", "Ok, sold."),
    ("user", "I updated the files."),
    ("assistant", "Ok."),
    ("user", "Thanks."),
]


def test_what_aider_says_in_its_persons_name_is_marked() -> None:
    entries = tuple(Entry(role=Role(role), text=text) for role, text in AIDER)
    left = [one.text for one in marked(entries) if not one.meta.get("context")]
    assert left == [AIDER[0][1], "Sell more.", "Ok, sold.", "Thanks."]
    assert title_of(marked(entries)) == "Sell more."
    assert marked(entries[1:]) == entries[1:], "a person may say so"
    assert marked(()) == ()


def test_the_folder_of_a_coding_agent_is_known() -> None:
    prompt = Entry(role=Role.SYSTEM, text="<env>\nPrimary working directory: /home/ann/my shop\n")
    assert folder_of([prompt]) == "/home/ann/my shop"
    assert folder_of([Entry(role=Role.USER, text=CONTEXT)]) == "/home/ann/shop"
    assert folder_of([Entry(role=Role.USER, text="hi")]) is None
    assert folder_of([Entry(role=Role.USER, text="hi")] * 9 + [prompt]) is None


def test_the_conversation_out_of_which_one_comes_is_named_as_it_was() -> None:
    asked = ExchangeRequest(
        kind=ExchangeKind.RESPONSE, entries=(), model="m", request={}, whole=True
    )
    session, agent, parent = PROGRAMS[0].ids + PROGRAMS[0].parent[1:]
    main = named({session: "s"}, asked)
    helper = named({session: "s", agent: "a"}, asked)
    helpers = named({session: "s", agent: "b", parent: "a"}, asked)
    assert (main.parent, helper.parent, helpers.parent) == ("", main.client, helper.client)
    thread = named({"thread-id": "t"}, asked)
    child = named({"thread-id": "u", "x-codex-parent-thread-id": "t"}, asked)
    assert (thread.parent, child.parent) == ("", thread.client)
    kept = named({"thread-id": "t"}, replace(asked, about=KEPT_DESPITE)).about
    assert kept == {"client": {"kept_despite": True, "program": "Codex", "conversation": "t"}}


CLOCK = [
    [{"role": "system", "content": f"It is 10:0{turn}."}, *said("q0", "a0", "q1", "a1", "q2")]
    for turn in range(3)
]


async def test_a_request_is_shown_as_it_was_whatever_changed_beside_what_was_said(
    relay: Door, models: ScriptedUpstream
) -> None:
    client = bare_client(relay, "clock")
    _, reader = await relay.guest()
    models.will(reply("a0"), reply("a1"), reply("a2"))
    rooms: set[str] = set()
    for turn, messages in enumerate(CLOCK):
        sent = messages[: 2 * turn + 2]
        got = await client.post(CHAT, content=body(messages=sent))
        rooms.add(got.headers["x-palaver-room"])
        answers = (await reader.get(f"/api/rooms/{next(iter(rooms))}/messages")).json()["messages"]
        exchange = answers[-1]["meta"]["exchange"]
        shown: Any = (await reader.get(f"/api/exchanges/{exchange}")).json()
        assert shown["request"]["messages"] == sent
    assert len(rooms) == 1
    assert await room_texts(reader, rooms.pop()) == [
        ("system", "It is 10:00."),
        *[
            ("user" if place % 2 == 0 else "assistant", text)
            for place, text in enumerate(("q0", "a0", "q1", "a1", "q2", "a2"))
        ],
    ]


@pytest.mark.parametrize("address", [CHAT, RESPONSES])
@pytest.mark.usefixtures("models")
async def test_a_named_room_is_kept_to_at_both_addresses(relay: Door, address: str) -> None:
    client = bare_client(relay, "named")
    room = (await client.post(CHAT, content=body(messages=said("q0")))).headers["x-palaver-room"]
    field = "messages" if address == CHAT else "input"
    for more, headers in (({"metadata": {"room": room}}, {}), ({}, {"x-palaver-room": room})):
        asked = {"model": "m", field: said(f"by {more or headers}"), **more}
        await client.post(address, json=asked, headers={"thread-id": "t", **headers})
    texts = [text for role, text in await room_texts(relay.http(), room) if role == "user"]
    assert len(texts) == 3
