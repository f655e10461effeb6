"""Background responses whose server was killed: asked again, or kept as they were."""

import asyncio

import pytest
from openai import AsyncOpenAI
from tests.support.postgres import PostgresServer
from tests.support.server import Serve
from tests.support.upstream import ScriptedUpstream, refuse, stream
from tests.wire.openai.responses.test_replay import END, SECONDS_MAX, client_at, ended, heard


async def asked(client: AsyncOpenAI) -> tuple[str, str]:
    """A background response in a conversation, which waits for its answer."""
    conversation = (await client.conversations.create()).id
    made = await client.responses.create(
        model="m",
        input="why?",
        instructions="Be brief.",
        conversation=conversation,
        background=True,
    )
    return conversation, made.id


async def texts_in(client: AsyncOpenAI, conversation: str) -> list[str]:
    listed = await client.conversations.items.list(conversation, order="asc")
    return [item.to_dict()["content"][0]["text"] for item in listed.data]  # type: ignore[index]


def environment(models: ScriptedUpstream, **more: str) -> dict[str, str]:
    return {"OPENAI_BASE_URL": models.base_url, **more}


async def test_one_of_which_nothing_had_come_is_asked_again_as_it_was(
    serve: Serve, database_url: str, models: ScriptedUpstream
) -> None:
    before = len(models.asked)
    models.will(stream(asyncio.Event()), stream("because", *END))
    server = await serve(environment=environment(models), database_url=database_url)
    async with client_at(server.url) as client, asyncio.timeout(SECONDS_MAX):
        conversation, response = await asked(client)
        await models.arrived(before + 1)
        await server.kill()
        await server.start()
        final = await ended(client, response)
        assert (final["status"], final["output"][0]["content"][0]["text"]) == (
            "completed",
            "because",
        )
        assert await texts_in(client, conversation) == ["why?", "because"]
    first, second = models.asked[before:]
    assert first.json == second.json
    assert [one["content"] for one in first.json["messages"]] == ["Be brief.", "why?"]


async def test_one_with_words_is_asked_again_where_that_is_wanted_and_its_words_stay(
    serve: Serve, database_url: str, models: ScriptedUpstream
) -> None:
    models.will(stream("bec", asyncio.Event()), stream("because", *END))
    again = environment(models, PALAVER_BACKGROUND_AFTER_CRASH="rerun")
    server = await serve(environment=again, database_url=database_url)
    async with client_at(server.url) as client, asyncio.timeout(SECONDS_MAX):
        conversation, response = await asked(client)
        events = await client.responses.retrieve(response, stream=True)
        await heard(events, upto="response.output_text.delta")
        await server.kill()
        await server.start()
        final = await ended(client, response)
        assert (final["status"], final["output"][0]["content"][0]["text"]) == (
            "completed",
            "because",
        )
        assert await texts_in(client, conversation) == ["why?", "bec", "because"]


@pytest.mark.postgres
async def test_another_server_asks_again(
    serve: Serve, postgres_url: str, postgres_server: PostgresServer, models: ScriptedUpstream
) -> None:
    before = len(models.asked)
    models.will(stream(asyncio.Event()), stream("because", *END))
    one, other = [
        await serve(name=name, environment=environment(models), database_url=postgres_url)
        for name in ("one", "other")
    ]
    async with client_at(one.url) as client, client_at(other.url) as witness:
        async with asyncio.timeout(SECONDS_MAX):
            conversation, response = await asked(client)
            await models.arrived(before + 1)
            await one.kill()
            expired = "UPDATE turns SET lease_until_ms = 0"
            postgres_server.execute(expired, postgres_url.rpartition("/")[2])
            final = await ended(witness, response)
            assert final["output"][0]["content"][0]["text"] == "because"
            assert await texts_in(witness, conversation) == ["why?", "because"]


async def test_what_the_model_server_refuses_then_has_failed(
    serve: Serve, models: ScriptedUpstream
) -> None:
    before = len(models.asked)
    models.will(stream(asyncio.Event()), refuse(400, {"error": {"message": "No."}}))
    server = await serve(environment=environment(models))
    async with client_at(server.url) as client, asyncio.timeout(SECONDS_MAX):
        _, response = await asked(client)
        await models.arrived(before + 1)
        await server.kill()
        await server.start()
        final = await ended(client, response)
        assert (final["status"], final["output"]) == ("failed", [])
