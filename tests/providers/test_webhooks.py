"""What is sent to receivers of webhooks: signed as Standard Webhooks says, and to public addresses only."""

import base64
import json
import secrets
import socket
from collections.abc import AsyncGenerator

import pytest
from pydantic import SecretStr
from standardwebhooks import Webhook, WebhookVerificationError
from tests.providers.http.test_addresses import SPECIAL, SPECIAL_6, SPELLINGS, resolving
from tests.providers.support import settings_with
from tests.support.receiver import Receiver, answers, receiving

from palaver.clock import SystemClock
from palaver.model.webhooks import Attempt, DeliveryId, Problem
from palaver.providers.webhooks import MEDIA_TYPE, WebhookSender

BODY = json.dumps({"type": "chat.palaver.ping", "said": "größer"}).encode()
HERE = ("127.0.0.1",)
ID = DeliveryId("v_0")


@pytest.fixture
async def receiver() -> AsyncGenerator[Receiver]:
    async with receiving() as server:
        yield server


def new_secret() -> SecretStr:
    return SecretStr(f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}")


async def sent(url: str, *chosen: SecretStr, networks: tuple[str, ...] = ()) -> int | None:
    return (await tried(url, *chosen, networks=networks)).code


async def tried(url: str, *chosen: SecretStr, networks: tuple[str, ...] = ()) -> Attempt:
    sender = WebhookSender(
        settings_with(profile_networks=networks, provider_connect_seconds=1.0), SystemClock()
    )
    try:
        return await sender.send(url, chosen or (new_secret(),), ID, BODY)
    finally:
        await sender.close()


async def test_the_reference_verifies_it_also_while_a_secret_rotates(receiver: Receiver) -> None:
    old, new, other = new_secret(), new_secret(), new_secret()
    assert await sent(receiver.url, new, old, networks=HERE) == 204
    (came,) = receiver.requests
    assert came.headers["content-type"] == MEDIA_TYPE
    assert came.headers["webhook-id"] == ID
    for secret in (old, new):
        told = Webhook(secret.get_secret_value()).verify(came.body, came.headers)
        assert told == json.loads(BODY)
    for wrong, headers in ((other, came.headers), (new, {**came.headers, "webhook-id": "v_1"})):
        with pytest.raises(WebhookVerificationError):
            Webhook(wrong.get_secret_value()).verify(came.body, headers)


@pytest.mark.parametrize("host", SPELLINGS)
async def test_nothing_is_sent_to_this_machine_however_it_is_written(
    receiver: Receiver, host: str
) -> None:
    assert await sent(f"http://{host}:{receiver.port}/") is None
    assert receiver.connections == 0


async def test_no_special_address_is_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []

    async def connect(*_: object, **__: object) -> None:
        tried.append("connected")
        raise OSError

    for address in [*SPECIAL, *SPECIAL_6]:
        monkeypatch.setattr(socket, "getaddrinfo", resolving(address))
        monkeypatch.setattr("asyncio.base_events.BaseEventLoop.create_connection", connect)
        assert await sent("http://rebinding.example/") is None
    assert tried == []
    monkeypatch.setattr(socket, "getaddrinfo", resolving("8.8.8.8"))
    assert await sent("http://rebinding.example/") is None
    assert tried == ["connected"], "and a public one is"


async def test_a_name_is_resolved_once_and_that_address_is_connected_to(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", resolving("127.0.0.1", "127.0.0.2"))
    url = f"http://rebinding.example:{receiver.port}/"
    assert await sent(url, networks=HERE) == 204
    assert await sent(url, networks=HERE) is None
    assert receiver.connections == 1


async def test_no_proxy_stands_between_and_no_redirect_is_followed(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", receiver.url)
    assert await sent("http://10.0.0.1/") is None
    assert receiver.connections == 0
    async with receiving() as second:
        receiver.default = answers(307, location=second.url)
        assert await sent(receiver.url, networks=HERE) == 307
        assert second.connections == 0


async def test_that_an_address_is_not_public_is_told_and_not_what_is_there(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        for port in (receiver.port, unheard.getsockname()[1]):
            monkeypatch.setattr(socket, "getaddrinfo", resolving("127.0.0.1", "127.0.0.1"))
            url = f"http://rebinding.example:{port}/"
            assert (await tried(url)).problem is Problem.ADDRESS
            assert (await tried(url, networks=HERE)).problem is None
    monkeypatch.undo()
    assert (await tried("http://nowhere.invalid/")).problem is None


async def test_what_cannot_be_reached_or_is_no_tls_is_no_answer(receiver: Receiver) -> None:
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        port = unheard.getsockname()[1]
        assert await sent(f"http://127.0.0.1:{port}/", networks=HERE) is None
    assert await sent(f"https://127.0.0.1:{receiver.port}/", networks=HERE) is None
    assert await sent("http://nowhere.invalid/") is None
