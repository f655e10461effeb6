"""Stored chat completions, with the official client."""

import asyncio
from pathlib import Path
from typing import Any
from uuid import uuid1

import openai
import pytest
from openai import AsyncOpenAI
from tests.support.upstream import refuse, reply, scripted_upstream, whole
from tests.wire.door import Door, open_door

MODEL = "echo"
BRIEF = "/long 2"
"""What the offline agent answers in two words."""
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}


def client_of(door: Door) -> AsyncOpenAI:
    """A client with a key of its own, so that nobody else's completions are there."""
    http = door.http()
    return AsyncOpenAI(
        base_url=f"{door.url}/v1", api_key=f"sk-{uuid1()}", http_client=http, max_retries=0
    )


async def ask(client: AsyncOpenAI, text: str, **options: Any) -> Any:
    options.setdefault("store", True)
    completions: Any = client.chat.completions
    return await completions.create(
        model=MODEL, messages=[{"role": "user", "content": text}], **options
    )


def same(found: Any, made: Any) -> bool:
    """Whether two completions are one: its words, its end and its usage."""
    return (found.id, found.model, found.choices, found.usage) == (
        made.id,
        made.model,
        made.choices,
        made.usage,
    )


async def test_a_stored_completion_is_found_changed_and_forgotten(door: Door) -> None:
    client = client_of(door)
    made = await ask(client, BRIEF, metadata={"topic": "demo"}, temperature=0.5)
    found = await client.chat.completions.retrieve(made.id)
    assert same(found, made)
    assert (found.metadata, found.to_dict()["temperature"]) == ({"topic": "demo"}, 0.5)
    changed = await client.chat.completions.update(made.id, metadata={"mood": "good"})
    assert same(changed, made)
    assert changed.metadata == {"mood": "good"}
    assert (await client.chat.completions.update(made.id, metadata=None)).metadata == {}
    gone = await client.chat.completions.delete(made.id)
    assert (gone.id, gone.object, gone.deleted) == (made.id, "chat.completion.deleted", True)
    for call in (
        client.chat.completions.retrieve(made.id),
        client.chat.completions.delete(made.id),
        client.chat.completions.update(made.id, metadata={}),
    ):
        with pytest.raises(openai.NotFoundError):
            await call
    assert [one.id async for one in client.chat.completions.list()] == []


async def test_what_was_not_to_be_stored_is_not_there(door: Door) -> None:
    client = client_of(door)
    for store in (False, openai.omit):
        made = await ask(client, BRIEF, store=store)
        with pytest.raises(openai.NotFoundError):
            await client.chat.completions.retrieve(made.id)
    assert [one.id async for one in client.chat.completions.list()] == []


async def test_a_streamed_completion_is_stored_like_any_other(door: Door) -> None:
    client = client_of(door)
    text, id_ = "", ""
    async for chunk in await ask(client, BRIEF, stream=True):
        id_ = chunk.id
        text += "".join(choice.delta.content or "" for choice in chunk.choices)
    found = await client.chat.completions.retrieve(id_)
    assert found.choices[0].message.content == text
    assert found.choices[0].finish_reason == "stop"


async def test_completions_are_listed_in_pages(door: Door) -> None:
    client = client_of(door)
    made = [await ask(client, BRIEF, metadata={"n": str(number % 2)}) for number in range(7)]
    ids = [one.id for one in made]
    for limit in (2, 3, 7, 100):
        oldest = client.chat.completions.list(limit=limit)
        assert [one.id async for one in oldest] == ids
        newest = client.chat.completions.list(limit=limit, order="desc")
        assert [one.id async for one in newest] == ids[::-1]
    odd = client.chat.completions.list(limit=2, metadata={"n": "1"})
    assert [one.id async for one in odd] == ids[1::2]
    behind = client.chat.completions.list(after=ids[4])
    assert [one.id async for one in behind] == ids[5:]
    assert [one.id async for one in client.chat.completions.list(model="another")] == []
    found = [one async for one in client.chat.completions.list()]
    assert all(same(one, other) for one, other in zip(found, made, strict=True))


async def test_the_messages_of_a_request_are_listed(door: Door) -> None:
    client = client_of(door)
    messages: list[Any] = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "two"},
        {"role": "user", "content": [{"type": "text", "text": BRIEF}, PICTURE]},
    ]
    made = await client.chat.completions.create(model=MODEL, messages=messages, store=True)
    found: list[Any] = [
        one.to_dict() async for one in client.chat.completions.messages.list(made.id, limit=3)
    ]
    assert [one["id"] for one in found] == [f"{made.id}-{place}" for place in range(4)]
    assert [one["role"] for one in found] == ["system", "user", "assistant", "user"]
    assert [one["content"] for one in found] == ["Be brief.", "one", "two", None]
    assert found[3]["content_parts"] == messages[3]["content"]
    backwards = client.chat.completions.messages.list(made.id, order="desc", limit=1)
    assert [one.id async for one in backwards] == [one["id"] for one in reversed(found)]


async def test_nobody_sees_the_completions_of_another_key(door: Door) -> None:
    made = await ask(client_of(door), BRIEF)
    other = client_of(door)
    for call in (
        other.chat.completions.retrieve(made.id),
        other.chat.completions.delete(made.id),
        other.chat.completions.messages.list(made.id),
    ):
        with pytest.raises(openai.NotFoundError):
            await call
    assert [one.id async for one in other.chat.completions.list()] == []


def answer(text: str) -> Any:
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return {"id": "chatcmpl-7", "object": "chat.completion", "created": 1, "choices": [choice]}


async def test_a_server_that_gives_every_completion_the_same_id_loses_none(tmp_path: Path) -> None:
    async with (
        scripted_upstream() as upstream,
        open_door(tmp_path, openai_base_url=upstream.base_url) as door,
    ):
        client = client_of(door)
        for number in range(5):
            upstream.will(whole(answer(f"answer {number}")))
            assert (await ask(client, str(number))).id == "chatcmpl-7"
        found = [one async for one in client.chat.completions.list(limit=2)]
        told = [one.choices[0].message.content for one in found]
        assert told == [f"answer {number}" for number in range(5)]
        assert found[-1].id == "chatcmpl-7"
        assert len({one.id for one in found}) == 5
        for one in found:
            assert await client.chat.completions.retrieve(one.id) == one
        await client.chat.completions.delete("chatcmpl-7")
        newest = await client.chat.completions.retrieve("chatcmpl-7")
        assert newest.choices[0].message.content == "answer 3"


async def test_nonsense_is_refused(door: Door) -> None:
    http = door.http()
    for path, status, param in (
        ("/v1/chat/completions/chatcmpl-nothing", 404, None),
        (f"/v1/chat/completions/chatcmpl-{'0' * 32}", 404, None),
        ("/v1/chat/completions?limit=x", 400, "limit"),
        ("/v1/chat/completions?after=nothing", 404, None),
    ):
        answer = await http.get(path)
        assert answer.status_code == status, path
        assert answer.json()["error"]["param"] == param
    made = await ask(client := client_of(door), BRIEF)
    with pytest.raises(openai.BadRequestError) as refused:
        await client.chat.completions.update(made.id, metadata={"k" * 65: "v"})
    assert refused.value.param == "metadata." + "k" * 65
    with pytest.raises(openai.BadRequestError) as refused:
        await client.chat.completions.messages.list(made.id, after="nothing")
    assert refused.value.param == "after"


async def test_many_at_once_are_all_there(door: Door) -> None:
    client = client_of(door)
    made = await asyncio.gather(*[ask(client, f"/long {number + 1}") for number in range(20)])
    found = {one.id: one async for one in client.chat.completions.list(limit=7)}
    assert set(found) == {one.id for one in made}
    assert all(same(found[one.id], one) for one in made)


async def test_what_was_refused_is_no_completion(tmp_path: Path) -> None:
    async with (
        scripted_upstream() as models,
        open_door(tmp_path / "data", openai_base_url=models.base_url) as door,
    ):
        client = client_of(door)
        models.will(refuse(400, {"error": {"message": "No."}}), reply("Yes."))
        with pytest.raises(openai.BadRequestError):
            await ask(client, "one")
        made = await ask(client, "two")
        assert [one.id async for one in client.chat.completions.list()] == [made.id]
