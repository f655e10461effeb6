"""Two providers at once: an OpenAI-compatible server and one of the Messages API; the model's name decides."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import orjson
import pytest
from pydantic import SecretStr
from tests.providers.support import ask, hear, settings_with
from tests.support.anthropic import ScriptedAnthropic, refused, said, scripted_anthropic, text
from tests.support.upstream import STALL, ScriptedUpstream, refuse, reply

from palaver.clock import SystemClock
from palaver.errors import ProviderError
from palaver.providers import profiles
from palaver.providers.base import Provider
from palaver.providers.call import CHAT, Call, CallRequest
from palaver.providers.openai.compose import call
from palaver.providers.pool import configured


@pytest.fixture
async def server() -> AsyncIterator[ScriptedAnthropic]:
    async with scripted_anthropic() as running:
        running.default = said(text("theirs"))
        yield running


def both(upstream: ScriptedUpstream, server: ScriptedAnthropic, **values: Any) -> Provider:
    """The provider of settings that name both."""
    upstream.default = reply("ours")
    settings = settings_with(
        openai_base_url=upstream.base_url,
        openai_api_key=SecretStr("sk-openai-0123456789"),
        anthropic_base_url=server.base_url,
        anthropic_api_key=SecretStr("sk-ant-0123456789"),
        **values,
    )
    made = configured(settings, SystemClock())
    assert made is not None
    return made


async def called(
    provider: Provider, model: str, path: str = CHAT, method: str = "POST"
) -> tuple[Call, bytes]:
    body = orjson.dumps({"model": model, "messages": [{"role": "user", "content": "hi"}]})
    request = CallRequest(method=method, path=path, body=body if method == "POST" else None)
    made = await call(provider, request, SystemClock())
    async with aclosing(made.told()) as telling:
        told = b"".join([one.raw async for one in telling])
    await made.close()
    return made, told


@pytest.mark.parametrize(
    ("model", "answer", "name"),
    [
        ("claude-sonnet-9", "theirs", "claude-sonnet-9"),
        ("claude-unlisted", "theirs", "claude-unlisted"),
        ("anthropic/claude-sonnet-9", "theirs", "claude-sonnet-9"),
        ("anthropic/house-model", "theirs", "house-model"),
        ("listed-there", "theirs", "listed-there"),
        ("gpt-9", "ours", "gpt-9"),
        ("openai/gpt-9", "ours", "gpt-9"),
        ("openai/of-its-own", "ours", "openai/of-its-own"),
        ("127.0.0.1/gpt-9", "ours", "gpt-9"),
        ("meta/llama", "ours", "meta/llama"),
        ("unheard-of", "ours", "unheard-of"),
    ],
)
async def test_the_name_of_a_model_says_who_answers(
    upstream: ScriptedUpstream, server: ScriptedAnthropic, model: str, answer: str, name: str
) -> None:
    upstream.models = [{"id": "gpt-9"}, {"id": "openai/of-its-own"}]
    server.ids = ["claude-sonnet-9", "listed-there"]
    provider = both(upstream, server)
    heard = await hear(provider, ask("hi", model=model))
    assert heard.done is not None
    assert (heard.text, heard.done.model) == (answer, name)
    _, told = await called(provider, model)
    assert answer.encode() in told
    asked = [*upstream.asked, *server.asked]
    assert {one.json["model"] for one in asked} == {name}
    assert len(asked) == 2
    await provider.close()


async def test_keys_go_to_whom_they_are_for(
    upstream: ScriptedUpstream, server: ScriptedAnthropic
) -> None:
    provider = both(upstream, server)
    await hear(provider, ask("hi", model="claude-a"))
    await hear(provider, ask("hi", model="b"))
    assert "sk-ant" not in str([one.headers for one in upstream.requests])
    assert "sk-openai" not in str([one.headers for one in server.requests])
    await provider.close()


@pytest.mark.parametrize(
    ("wanted", "default", "answer"),
    [
        (None, "scripted", "ours"),
        ("claude-haiku-9", "claude-haiku-9", "theirs"),
        ("anthropic/house-model", "anthropic/house-model", "theirs"),
        ("openai/gpt-9", "gpt-9", "ours"),
    ],
)
async def test_the_models_of_both_are_listed_and_one_of_them_is_the_default(
    upstream: ScriptedUpstream,
    server: ScriptedAnthropic,
    wanted: str | None,
    default: str,
    answer: str,
) -> None:
    provider = both(upstream, server, model=wanted)
    for asked in ("default", "default"):
        assert answer.encode() in (await called(provider, asked))[1]
    assert (await hear(provider, ask("hi", model="default"))).text == answer
    told = {one.json["model"] for one in (*upstream.asked, *server.asked)}
    assert told == {default.removeprefix("anthropic/")}, "the word is told to nobody"
    models = await provider.models()
    assert {"scripted", *server.ids} <= {one.id for one in models}
    assert [one.id for one in models if one.default] == [models[0].id] == [default]
    assert len({one.id for one in models}) == len(models)
    assert (await hear(provider)).text == answer
    await provider.close()


async def test_a_model_whose_name_is_default_is_asked_as_any_other(
    upstream: ScriptedUpstream, server: ScriptedAnthropic
) -> None:
    server.ids = ["claude-sonnet-9", "default"]
    provider = both(upstream, server)
    assert (await hear(provider, ask("hi", model="default"))).text == "theirs"
    assert [one.json["model"] for one in server.asked] == ["default"]
    await provider.close()


async def test_the_list_of_the_first_is_told_as_it_is_and_the_others_behind(
    upstream: ScriptedUpstream, server: ScriptedAnthropic
) -> None:
    upstream.models = [{"id": "gpt-9", "created": 7, "of": "its own"}, {"id": "embed"}]
    provider = both(upstream, server)
    made, told = await called(provider, "", "/models", "GET")
    assert made.status == 200
    body = orjson.loads(told)
    assert body["data"][:2] == upstream.models
    owned = {"object": "model", "created": 0, "owned_by": "anthropic"}
    assert body["data"][2:] == [
        {"id": one, **owned} for one in ("claude-sonnet-9", "claude-opus-9", "claude-haiku-9")
    ]
    await provider.close()


async def test_one_that_is_away_hides_no_other(
    upstream: ScriptedUpstream, server: ScriptedAnthropic
) -> None:
    provider = both(upstream, server)
    upstream.models_script = refuse(401, "who are you?")
    assert (await provider.models())[0].id == "claude-sonnet-9"
    _, told = await called(provider, "", "/models", "GET")
    assert orjson.loads(told)["data"][0]["id"] == "claude-sonnet-9"
    server.models_script = refused(401, "authentication_error", "No.")
    with pytest.raises(ProviderError):
        await provider.models()
    await provider.close()


async def test_a_list_that_does_not_come_delays_nobody_for_long(
    upstream: ScriptedUpstream, server: ScriptedAnthropic, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(profiles, "LISTED_SECONDS", 0.2)
    provider = both(upstream, server)
    server.models_script = (STALL,)
    assert (await hear(provider, ask("hi", model="unheard-of"))).text == "ours"
    assert (await hear(provider, ask("hi", model="unheard-of"))).text == "ours"
    listed = [one for one in server.requests if "/models" in one.path]
    assert len(listed) == 1, "it is not asked again for a while"
    await provider.close()


async def test_what_names_no_model_goes_to_the_first(
    upstream: ScriptedUpstream, server: ScriptedAnthropic
) -> None:
    upstream.everywhere = True
    provider = both(upstream, server)
    await called(provider, "", "/files", "GET")
    assert [one.path for one in upstream.requests] == ["/v1/files"]
    assert not server.requests
    made, told = await called(provider, "claude-a", "/embeddings")
    assert (made.status, orjson.loads(told)["error"]["code"]) == (404, "not_found")
    await provider.close()


async def test_an_origin_is_of_the_server_that_answers(
    upstream: ScriptedUpstream, server: ScriptedAnthropic
) -> None:
    provider = both(upstream, server)
    assert isinstance(provider, profiles.Profiles)
    assert str(server.port) in provider.origin("claude-a")
    assert provider.origin("claude-a") == provider.origin("anthropic/claude-a")
    assert str(upstream.port) in provider.origin("gpt-9")
    await provider.close()
