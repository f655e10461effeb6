"""Which models a provider offers, and which addresses and keys it may have."""

import pytest
from pydantic import SecretStr
from tests.providers.support import hear, settings_with, upstream_at
from tests.support.upstream import (
    CUT,
    Script,
    ScriptedUpstream,
    chunk,
    refuse,
    whole,
)

from palaver.clock import SystemClock
from palaver.errors import Code, Refused
from palaver.providers.openai.client import Upstream

FINISH = chunk(finish="stop")
USAGE = {"prompt_tokens": 7, "completion_tokens": 2}


async def test_models_are_those_that_can_chat_the_default_one_first(
    upstream: ScriptedUpstream,
) -> None:
    upstream.models = [{"id": "a"}, {"id": "nomic-embed-text"}, {"id": "b:latest"}]
    provider = upstream_at(upstream.base_url, model="b")
    assert [(model.id, model.default) for model in await provider.models()] == [
        ("b:latest", True),
        ("a", False),
    ]
    await provider.close()


async def test_a_server_without_a_list_of_models_serves_the_one_of_the_settings(
    upstream: ScriptedUpstream,
) -> None:
    upstream.models_script = refuse(404, "not found")
    provider = upstream_at(upstream.base_url, model="mine")
    (model,) = await provider.models()
    assert (model.id, model.default) == ("mine", True)
    await provider.close()


@pytest.mark.parametrize(
    ("script", "code"),
    [
        (refuse(404, "not found"), Code.PROVIDER_REFUSED),
        (whole({"data": []}), Code.PROVIDER_REFUSED),
        (whole("a web page"), Code.PROVIDER_REFUSED),
        (whole({"data": [{"id": "text-embedding-3"}]}), Code.PROVIDER_REFUSED),
        (refuse(401, "who?"), Code.PROVIDER_AUTH),
        ((CUT,), Code.PROVIDER_UNREACHABLE),
    ],
)
async def test_where_no_model_is_known_the_answer_says_why(
    upstream: ScriptedUpstream, provider: Upstream, script: Script, code: Code
) -> None:
    upstream.models_script = script
    assert (await hear(provider)).failure.code is code


@pytest.mark.parametrize(
    "base_url",
    ["file:///etc/passwd", "gopher://x", "http://", "localhost", "http://u:pw@host/v1", "::"],
)
def test_an_address_that_cannot_be_one_is_refused(base_url: str) -> None:
    with pytest.raises(Refused) as refused:
        upstream_at(base_url)
    assert refused.value.code is Code.SETTINGS_INVALID
    assert "pw" not in refused.value.detail


def test_a_key_that_cannot_be_one_is_refused_without_being_told() -> None:
    with pytest.raises(Refused) as refused:
        Upstream(
            settings_with(),
            SystemClock(),
            name="x",
            base_url="http://127.0.0.1/v1",
            key=SecretStr("ключ\r\nx: y"),
        )
    assert refused.value.code is Code.SETTINGS_INVALID
    assert "ключ" not in refused.value.detail
