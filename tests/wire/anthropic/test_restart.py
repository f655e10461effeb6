"""What a client of this API has asked survives the death of the server."""

import asyncio

import httpx2
import pytest
from tests.support.server import Serve
from tests.support.upstream import DONE, ScriptedUpstream, chunk, reply, stream
from tests.wire.anthropic.client import MESSAGES, asked, user
from tests.wire.openai.client import room_texts

pytestmark = pytest.mark.slow

SECONDS_MAX = 90


async def test_asking_again_after_a_kill_is_one_question_with_one_answer(
    serve: Serve, models: ScriptedUpstream
) -> None:
    models.will(stream("one ", "two ", asyncio.Event(), chunk(finish="stop"), DONE))
    process = await serve(environment={"OPENAI_BASE_URL": models.base_url})
    body = asked(user("Count."), stream=True)
    headers = {"x-api-key": "any", "x-claude-code-session-id": "s_9"}
    async with httpx2.AsyncClient(
        base_url=process.url, trust_env=False, timeout=SECONDS_MAX, headers=headers
    ) as client:
        async with client.stream("POST", MESSAGES, json=body) as response:
            room, got = response.headers["x-palaver-room"], b""
            async for part in response.aiter_bytes():
                got += part
                if b'"two "' in got:
                    break
        await process.kill()
        await process.start()
        models.will(reply("one two three"))
        again = await client.post(MESSAGES, json={**body, "stream": False})
        assert again.json()["content"] == [{"type": "text", "text": "one two three"}]
        assert again.headers["x-palaver-room"] == room
        assert await room_texts(client, room) == [
            ("user", "Count."),
            ("assistant", ""),  # deleted: the next one took its place
            ("assistant", "one two three"),
        ]
