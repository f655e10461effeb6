"""Conversations, with the official client: they are rooms, and their items are what was said there."""

import asyncio
from typing import Any

import httpx2
import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from tests.wire.door import Door, new_cid, new_room, texts

SECONDS_MAX = 90.0


def client_of(door: Door, key: str = "any", **options: Any) -> AsyncOpenAI:
    http = door.http()
    return AsyncOpenAI(
        base_url=f"{door.url}/v1", api_key=key, http_client=http, max_retries=0, **options
    )


def said(text: str, role: str = "user") -> Any:
    return {"type": "message", "role": role, "content": text}


async def filled(client: AsyncOpenAI, count: int) -> str:
    """A conversation in which the numbers from 0 on were said, in several calls."""
    items = [said(str(number)) for number in range(count)]
    conversation = await client.conversations.create(items=items[:20])
    for start in range(20, count, 20):
        await client.conversations.items.create(conversation.id, items=items[start : start + 20])
    return conversation.id


def text_of(item: Any) -> str:
    return item.content[0].text


async def test_a_conversation_is_made_changed_and_deleted(door: Door) -> None:
    client = client_of(door)
    made = await client.conversations.create(metadata={"topic": "demo"})
    assert made.id.startswith("conv_")
    assert (made.object, made.metadata) == ("conversation", {"topic": "demo"})
    assert await client.conversations.retrieve(made.id) == made
    changed = await client.conversations.update(made.id, metadata={"mood": "good"})
    assert changed.metadata == {"mood": "good"}
    assert (await client.conversations.update(made.id, metadata=None)).metadata == {}
    gone = await client.conversations.delete(made.id)
    assert (gone.id, gone.object, gone.deleted) == (made.id, "conversation.deleted", True)
    for call in (
        client.conversations.retrieve(made.id),
        client.conversations.delete(made.id),
        client.conversations.update(made.id, metadata={}),
        client.conversations.items.create(made.id, items=[said("too late")]),
    ):
        with pytest.raises(openai.NotFoundError):
            await call


async def test_a_body_may_be_absent(door: Door) -> None:
    made = await door.http().post("/v1/conversations")
    assert made.status_code == 200
    assert set(made.json()) == {"id", "object", "created_at", "metadata"}
    assert made.json()["metadata"] == {}


async def test_items_of_every_kind_come_back_as_they_were(door: Door) -> None:
    client = client_of(door)
    conversation = await client.conversations.create()
    given: list[Any] = [
        said("You are terse.", "developer"),
        said("What is the weather?"),
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Look it up."}]},
        {"type": "function_call", "call_id": "call_1", "name": "weather", "arguments": '{"a":1}'},
        {"type": "function_call_output", "call_id": "call_1", "output": "rain"},
        {**said("Rain.", "assistant"), "phase": "final_answer"},
        {"type": "custom_tool_call", "call_id": "c2", "name": "grep", "input": "x"},
    ]
    added = await client.conversations.items.create(conversation.id, items=given)
    assert added.has_more is False
    shown = [item.to_dict() for item in added.data]
    assert [item["type"] for item in shown] == [item["type"] for item in given]
    assert shown[1]["content"] == [{"type": "input_text", "text": "What is the weather?"}]
    assert shown[3]["name"] == "weather"
    assert shown[3]["arguments"] == '{"a":1}'
    assert shown[4]["output"] == "rain"
    assert shown[5]["phase"] == "final_answer"
    assert shown[6]["input"] == "x"
    ids = [str(item["id"]) for item in shown]
    assert (added.first_id, added.last_id) == (ids[0], ids[-1])
    for item, id_ in zip(shown, ids, strict=True):
        one = await client.conversations.items.retrieve(id_, conversation_id=conversation.id)
        assert one.to_dict() == item
    page = await client.conversations.items.list(conversation.id, order="asc")
    assert [item.to_dict() for item in page.data] == shown


async def test_pages_go_on_where_the_last_one_ended(door: Door) -> None:
    client = client_of(door)
    conversation = await filled(client, 45)
    numbers = [str(number) for number in range(45)]
    for limit in (7, 44, 45, 100, 1000):
        forwards = client.conversations.items.list(conversation, order="asc", limit=limit)
        assert [text_of(item) async for item in forwards] == numbers
    backwards = [text_of(item) async for item in client.conversations.items.list(conversation)]
    assert backwards == numbers[::-1]
    page = await client.conversations.items.list(conversation)
    assert (len(page.data), page.has_more) == (20, True)


async def test_an_empty_conversation_has_an_empty_list(door: Door) -> None:
    client = client_of(door)
    conversation = await client.conversations.create()
    page = await client.conversations.items.list(conversation.id)
    assert (page.data, page.has_more) == ([], False)


async def test_a_deleted_item_is_gone_and_pages_go_on_behind_it(door: Door) -> None:
    client = client_of(door)
    conversation = await filled(client, 9)
    page = await client.conversations.items.list(conversation, order="asc", limit=4)
    last = str(page.last_id)
    left = await client.conversations.items.delete(last, conversation_id=conversation)
    assert (left.object, left.id) == ("conversation", conversation)
    for call in (
        client.conversations.items.delete(last, conversation_id=conversation),
        client.conversations.items.retrieve(last, conversation_id=conversation),
    ):
        with pytest.raises(openai.NotFoundError):
            await call
    rest = client.conversations.items.list(conversation, order="asc", limit=2, after=last)
    assert [text_of(item) async for item in rest] == ["4", "5", "6", "7", "8"]
    everything = client.conversations.items.list(conversation, order="asc", limit=2)
    assert [text_of(item) async for item in everything] == list("01245678")


@pytest.mark.parametrize(
    ("asked", "body", "status", "param"),
    [
        ("GET /conversations/conv_0", None, 404, None),
        (f"GET /conversations/conv_{'0' * 32}", None, 404, None),
        ("GET /conversations/thread_1", None, 400, "conversation_id"),
        ("GET /conversations/{}/items/msg_1", None, 404, None),
        ("GET /conversations/{}/items?limit=many", None, 400, "limit"),
        ("GET /conversations/{}/items?order=random", None, 400, "order"),
        (f"GET /conversations/{{}}/items?after=msg_{'0' * 32}", None, 404, None),
        ("POST /conversations", b"[]", 400, None),
        ("POST /conversations", b"{", 400, None),
        ("POST /conversations", b'{"metadata": {"a": 1}}', 400, "metadata.a"),
        ("POST /conversations", b'{"items": [{"type": "message"}]}', 400, "items[0].role"),
        ("POST /conversations/{}", b"{}", 400, "metadata"),
        ("POST /conversations/{}/items", b"{}", 400, "items"),
        ("POST /conversations/{}/items", b'{"items": 1}', 400, "items"),
        ("GET /conversations?order=asc", None, 400, "order"),
    ],
)
async def test_what_cannot_be_done_is_told_in_openais_shape(
    door: Door, asked: str, body: bytes | None, status: int, param: str | None
) -> None:
    http = door.http()
    conversation = (await http.post("/v1/conversations")).json()["id"]
    method, _, path = asked.format(conversation).partition(" ")
    answer = await http.request(method, f"/v1{path}", content=body)
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["type"] == "invalid_request_error"
    assert error["param"] == param


async def test_an_item_of_another_conversation_is_not_found(door: Door) -> None:
    client = client_of(door)
    here, there = await filled(client, 1), await filled(client, 1)
    item = (await client.conversations.items.list(there)).data[0]
    with pytest.raises(openai.NotFoundError):
        await client.conversations.items.retrieve(str(item.id), conversation_id=here)


async def test_the_page_sees_the_conversation_as_a_room_and_goes_on_with_it(door: Door) -> None:
    client = client_of(door)
    conversation = await client.conversations.create(items=[said("from the API")])
    room = conversation.id.replace("conv_", "r_")
    _, visitor = await door.guest()
    shown = (await visitor.get(f"/api/rooms/{room}")).json()
    assert shown["title"] == "from the API"
    assert await texts(visitor, room) == ["from the API"]
    message = {"text": "@assistant /long 2", "cid": new_cid()}
    sent = await visitor.post(f"/api/rooms/{room}/messages", json=message)
    assert sent.status_code == 201
    heard: list[str] = []
    after = sent.json()["seq"]
    while "assistant" not in heard:
        query = {"after": after, "wait": int(SECONDS_MAX)}
        events = (await visitor.get(f"/api/rooms/{room}/events", params=query)).json()
        assert events["events"], "the assistant answers as it does on the page"
        heard += [event["d"].get("role", "") for event in events["events"]]
        after = events["seq"]
    page = await client.conversations.items.list(conversation.id, order="asc")
    assert [text_of(item) for item in page.data][:2] == ["from the API", "@assistant /long 2"]
    assert [str(item.to_dict()["role"]) for item in page.data] == ["user", "user", "assistant"]


async def test_a_room_of_the_page_is_no_ones_conversation_but_its_owners(door: Door) -> None:
    _, visitor = await door.guest()
    room = await new_room(visitor, "Private")
    with pytest.raises(openai.NotFoundError):
        await client_of(door).conversations.retrieve(room.replace("r_", "conv_"))


async def test_the_callers_conversations_are_listed_the_last_active_first(door: Door) -> None:
    client = client_of(door)
    made = [(await client.conversations.create()).id for _ in range(5)]
    await client.conversations.items.create(made[0], items=[said("again")])
    found: list[str] = []
    after = None
    while True:
        query = {"limit": 2} | ({"after": after} if after else {})
        page: Any = await client.get("/conversations", cast_to=object, options={"params": query})
        found += [one["id"] for one in page["data"]]
        after = page["last_id"]
        if not page["has_more"]:
            break
    assert len(found) == len(set(found))
    assert [one for one in found if one in made] == [made[0], *made[:0:-1]]


async def test_many_at_once_lose_nothing(door: Door) -> None:
    clients = [client_of(door) for _ in range(4)]
    conversation = (await clients[0].conversations.create()).id

    async def talk(number: int, client: AsyncOpenAI) -> None:
        for count in range(10):
            items = [said(f"{number}.{count}.{part}") for part in range(3)]
            await client.conversations.items.create(conversation, items=items)

    async with asyncio.TaskGroup() as tasks:
        for number, client in enumerate(clients):
            tasks.create_task(talk(number, client))
    every = clients[0].conversations.items.list(conversation, order="asc", limit=100)
    found = [text_of(item) async for item in every]
    assert len(found) == len(set(found)) == 4 * 10 * 3
    for start in range(0, len(found), 3):
        head = found[start].rpartition(".")[0]
        assert found[start : start + 3] == [f"{head}.{part}" for part in range(3)]
    for number in range(4):
        own = [text for text in found if text.startswith(f"{number}.")]
        assert own == [f"{number}.{count}.{part}" for count in range(10) for part in range(3)]


async def test_what_a_library_sends_again_by_itself_is_there_once(door: Door) -> None:
    client = client_of(door, "sk-repeats")
    again = {"x-stainless-retry-count": "1"}
    items: list[Any] = [said("one"), {**said("two", "assistant"), "phase": "commentary"}]
    made = await client.conversations.create(items=items, metadata={"a": "b"})
    same = await client.conversations.create(items=items, metadata={"a": "b"}, extra_headers=again)
    assert same == made
    more = [said("three"), said("three")]
    added = await client.conversations.items.create(made.id, items=more)
    await client.conversations.items.create(made.id, items=[said("four")])
    repeated = await client.conversations.items.create(made.id, items=more, extra_headers=again)
    assert repeated == added
    for headers in ({}, again):  # sent for the first time; and a repeat of what never came
        await client.conversations.items.create(
            made.id, items=[said(f"five {len(headers)}")], extra_headers=headers
        )
    every = client.conversations.items.list(made.id, order="asc")
    texts_there = [text_of(item) async for item in every]
    assert texts_there == ["one", "two", "three", "three", "four", "five 0", "five 1"]
    other = client_of(door, "sk-other")
    another = await other.conversations.create(
        items=items, metadata={"a": "b"}, extra_headers=again
    )
    assert another.id != made.id


async def test_the_synchronous_client_pages_too(door: Door) -> None:
    conversation = await filled(client_of(door), 30)

    def read() -> list[str]:
        with httpx2.Client(trust_env=False, timeout=SECONDS_MAX) as http:
            client = OpenAI(base_url=f"{door.url}/v1", api_key="any", http_client=http)
            return [text_of(item) for item in client.conversations.items.list(conversation)]

    assert await asyncio.to_thread(read) == [str(number) for number in reversed(range(30))]
