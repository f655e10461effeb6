"""Which addresses a person's own connection reaches: no spelling of a special one is asked."""

import asyncio
import socket
from collections.abc import Callable
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given, strategies as st
from pydantic import SecretStr
from tests.providers.support import hear, settings_with
from tests.support.upstream import Endless, Head, ScriptedUpstream, refuse, reply

from palaver.clock import SystemClock
from palaver.errors import Code, ProviderError
from palaver.providers.http.addresses import is_public, may_be_asked, reaches, unwrapped
from palaver.providers.http.client import Saved
from palaver.providers.openai.client import Upstream

SPECIAL = [
    *("0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "127.0.0.1", "127.255.255.254"),
    *("169.254.169.254", "168.63.129.16", "172.16.0.1", "172.31.255.255", "192.0.0.8"),
    *("192.0.0.9", "192.0.2.1", "192.88.99.1", "192.168.0.1", "198.18.0.1", "198.51.100.1"),
    *("203.0.113.1", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255"),
]
SPECIAL_6 = [
    *("::", "::1", "fe80::1", "fe80::1%1", "fc00::1", "fd00:ec2::254", "fec0::1", "ff02::1"),
    *("64:ff9b:1::1", "100::1", "2001::1", "2001:db8::1", "3fff::1", "5f00::1"),
    *("::ffff:0:127.0.0.1", "4000::1", "2001:10::1"),
]
PUBLIC = ["1.1.1.1", "8.8.8.8", "172.32.0.1", "2606:4700::1111", "2a00:1450:4001::1", "100.128.0.1"]


def inside(address: str) -> list[str]:
    """An IPv4 address in each IPv6 address that stands for it."""
    number = int(ip_address(address))
    low = f"{number >> 16:x}:{number & 0xFFFF:x}"
    return [f"::ffff:{low}", f"::{low}", f"64:ff9b::{low}", f"2002:{low}::1"]


def test_no_special_address_is_public_however_it_is_wrapped() -> None:
    may = reaches(())
    for address in SPECIAL:
        assert [one for one in (address, *inside(address)) if may(one)] == []
    assert [one for one in SPECIAL_6 if may(one)] == []


def test_public_addresses_are_and_so_is_what_an_operator_allows() -> None:
    may = reaches(("10.1.0.0/16", "fd00::/8"))
    for address in PUBLIC:
        assert may(address), address
    assert all(map(may, ("10.1.2.3", *inside("10.1.2.3"), "fd00:ec2::254")))
    assert not any(map(may, ("10.2.0.1", *inside("10.2.0.1"), "fe80::1")))


@given(st.ip_addresses())
def test_what_is_public_is_global_unicast_to_python_too(address: object) -> None:
    meant = unwrapped(ip_address(str(address)))
    if is_public(meant):
        assert meant.is_global
        assert not meant.is_multicast
        assert meant.version == 4 or meant in ip_network("2000::/3")


def own(base_url: str, *networks: str, connect_seconds: float = 10.0) -> Upstream:
    """A person's own connection."""
    return Upstream(
        settings_with(provider_connect_seconds=connect_seconds),
        SystemClock(),
        name="mine",
        base_url=base_url,
        key=SecretStr("sk-mine-0123456789"),
        saved=Saved(headers={}, may_reach=reaches(networks)),
    )


async def failure_of(server: Upstream) -> ProviderError:
    with pytest.raises(ProviderError) as failed:
        await server.models()
    await server.close()
    return failed.value


SPELLINGS = [
    *("127.0.0.1", "127.1", "127.0.1", "2130706433", "0x7f000001", "0x7f.1", "017700000001"),
    *("0", "0.0.0.0", "localhost", "localhost.", "LOCALHOST", "[::1]", "[::]"),
    *("[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]", "[64:ff9b::7f00:1]"),
    *("[2002:7f00:1::]", "[0:0:0:0:0:ffff:7f00:0001]"),
]


@pytest.mark.parametrize("host", SPELLINGS)
async def test_nothing_is_sent_to_this_machine_however_it_is_written(
    upstream: ScriptedUpstream, host: str
) -> None:
    failed = await failure_of(own(f"http://{host}:{upstream.port}/v1"))
    assert failed.code is Code.PROVIDER_UNREACHABLE
    assert (upstream.requests, upstream.connections) == ([], 0)


@pytest.mark.parametrize("host", [*SPELLINGS, "app.localhost", "10.0.0.1"])
def test_this_machine_is_known_as_it_is_written(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", resolving("8.8.8.8"))
    host = host.strip("[]")
    assert not may_be_asked(host, ())
    assert may_be_asked(host, ["127.0.0.0/8", "0.0.0.0/8", "10.0.0.0/8", "::1", "::"])


def test_a_name_is_not_looked_up_before_it_is_asked() -> None:
    for name in ("example.com", "nowhere.invalid", "localhost.example.com", "8.8.8.8", "x" * 300):
        assert may_be_asked(name, ())


async def test_refused_and_closed_are_told_alike(upstream: ScriptedUpstream) -> None:
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        port = unheard.getsockname()[1]
        closed = await failure_of(own(f"http://127.0.0.1:{port}/v1", "127.0.0.0/8"))
    refused = await failure_of(own(f"http://127.0.0.1:{upstream.port}/v1"))
    unknown = await failure_of(own("http://nowhere.invalid/v1"))
    told = {(one.code, one.detail) for one in (closed, refused, unknown)}
    assert len(told) == 1, told
    assert str(upstream.port) not in closed.detail


def resolving(*answers: str) -> Callable[..., list[tuple[object, ...]]]:
    """A resolver that knows one name, and says another address of it each time."""
    left = list(answers)

    def getaddrinfo(
        host: object, port: object, *_: object, **__: object
    ) -> list[tuple[object, ...]]:
        assert host == "rebinding.example", host
        address = left.pop(0)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in address.split()]

    return getaddrinfo


async def test_a_name_is_resolved_once_and_that_address_is_connected_to(
    upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    upstream.default = reply("hi")
    monkeypatch.setattr(socket, "getaddrinfo", resolving("127.0.0.1", "127.0.0.2"))
    server = own(f"http://rebinding.example:{upstream.port}/v1", "127.0.0.1/32")
    assert (await hear(server)).text == "hi"
    (asked,) = upstream.asked
    assert asked.headers["host"] == f"rebinding.example:{upstream.port}"
    await server.close()  # the next connection resolves anew, and is checked anew
    assert (await failure_of(server)).code is Code.PROVIDER_UNREACHABLE
    assert upstream.connections == 1


async def test_one_bad_address_of_several_spoils_the_name(
    upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    for addresses in ("127.0.0.1 10.0.0.1", "10.0.0.1 127.0.0.1"):
        monkeypatch.setattr(socket, "getaddrinfo", resolving(addresses))
        failed = await failure_of(
            own(f"http://rebinding.example:{upstream.port}/v1", "127.0.0.1/32")
        )
        assert failed.code is Code.PROVIDER_UNREACHABLE
    assert upstream.connections == 0


async def test_no_proxy_of_the_environment_stands_between(
    upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", upstream.base_url)
    assert (await failure_of(own("http://10.0.0.1/v1"))).code is Code.PROVIDER_UNREACHABLE
    assert upstream.connections == 0


async def test_a_redirect_is_not_followed(
    upstream: ScriptedUpstream, second: ScriptedUpstream
) -> None:
    upstream.models_script = refuse(302, "", location=f"{second.base_url}/models")
    failed = await failure_of(own(upstream.base_url, "127.0.0.1/32"))
    assert failed.code is Code.PROVIDER_REFUSED
    assert "another address" in failed.detail
    assert second.connections == 0


@pytest.mark.parametrize("what", ["headers", "body"])
async def test_a_server_that_never_ends_is_left(upstream: ScriptedUpstream, what: str) -> None:
    if what == "headers":
        upstream.models_script = (Head(headers={"x-long": "x" * (16 << 20)}), b"{}")
    else:
        upstream.models_script = (Head(), Endless(b"x" * 65_536))
    async with asyncio.timeout(60):
        failed = await failure_of(own(upstream.base_url, "127.0.0.1/32"))
    assert failed.code is Code.PROVIDER_BAD_REPLY
