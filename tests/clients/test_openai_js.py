"""What else the official JavaScript library does: pages that go on by themselves, stored completions, embeddings."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from tests.clients.answers import FINISH, completion
from tests.support.clients import Installed, Program
from tests.support.server import ServerProcess, serving
from tests.support.upstream import ScriptedUpstream, scripted_upstream, stream, whole

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]  # what is installed may take its time


@pytest.fixture(scope="module")
async def upstream() -> AsyncIterator[ScriptedUpstream]:
    async with scripted_upstream(everywhere=True) as scripted:
        yield scripted


@pytest.fixture(scope="module")
async def server(
    tmp_path_factory: pytest.TempPathFactory, upstream: ScriptedUpstream
) -> AsyncIterator[ServerProcess]:
    async with serving(tmp_path_factory.mktemp("server")) as serve:
        yield await serve(environment={"OPENAI_BASE_URL": upstream.base_url})


@pytest.fixture(scope="module")
async def program(server: ServerProcess, javascript: Installed) -> AsyncIterator[Program]:
    async with javascript.running("with_openai.js", "chat", server.url) as running:
        yield running


async def test_stored_completions_are_paged_shown_and_deleted(
    program: Program, upstream: ScriptedUpstream
) -> None:
    upstream.will(*(completion(f"answer {count}", name=f"chatcmpl-{count}") for count in range(3)))
    got = await program.do("stored", "A question.")
    assert got["listed"] == got["made"] == ["chatcmpl-0", "chatcmpl-1", "chatcmpl-2"]
    assert got["asked"] == ["A question."]
    assert got["deleted"] is True


async def test_a_conversation_is_filled_and_read_in_pages(
    program: Program, server: ServerProcess
) -> None:
    got = await program.do("conversation", "words")
    assert got["texts"] == [f"words {count}" for count in range(5)]
    async with httpx2.AsyncClient(base_url=server.url, trust_env=False, timeout=90) as http:
        room = got["id"].replace("conv_", "r_")
        page = (await http.get(f"/api/rooms/{room}/messages")).json()
    assert [message["text"] for message in page["messages"]] == got["texts"]


async def test_models_are_listed_and_embeddings_passed_on(
    program: Program, upstream: ScriptedUpstream
) -> None:
    assert "scripted" in (await program.do("models"))["models"]
    embedding: dict[str, Any] = {"object": "embedding", "index": 0, "embedding": "AAAAPwAAgD8="}
    upstream.will(whole({"object": "list", "model": "m", "data": [embedding], "usage": {}}))
    assert (await program.do("embed", "hi"))["embedding"] == [0.5, 1.0]
    assert upstream.requests[-1].path == "/v1/embeddings"


async def test_a_response_whose_connection_ended_is_gone_on_with(
    javascript: Installed, relay: ServerProcess, models: ScriptedUpstream
) -> None:
    gate = asyncio.Event()
    models.will(stream("one ", gate, "two", *FINISH))
    async with javascript.running("with_openai.js", "chat", relay.url) as program:
        await program.begin("resume", "A question.")
        await program.heard("one ")
        gate.set()
        got = await program.end()
        assert program.words == ["one ", "two"]
    assert got["said"] == "one two"
    assert got["told"] == list(range(len(got["told"])))
