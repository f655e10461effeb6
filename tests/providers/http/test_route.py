"""What of the environment leads to a model server, and what is said where it does not."""

import asyncio
import ssl
import subprocess
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.providers.support import hear, settings_with, upstream_at
from tests.support.reverse import certificate
from tests.support.upstream import ScriptedUpstream

from palaver.clock import SystemClock
from palaver.errors import Code, Refused
from palaver.providers.http.route import address
from palaver.providers.pool import configured

PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)


async def started(base_url: str) -> None:
    provider = configured(settings_with(openai_base_url=base_url), SystemClock())
    assert provider is not None
    await provider.close()


@pytest.mark.parametrize("name", [*PROXIES[:3], *(name.lower() for name in PROXIES[:3])])
@pytest.mark.parametrize(
    "value",
    [
        "socks://127.0.0.1:1080/",
        "socks4://127.0.0.1:1080/",
        "socks5h://127.0.0.1:1080",
        "http://",
        "http://a..b:3128",
        "http://proxy:99999",
        "proxy:port",
        "a b",
    ],
)
async def test_a_proxy_that_cannot_be_used_is_refused_by_its_name_where_it_is_needed(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    scheme = "http" if name.upper() == "HTTP_PROXY" else "https"
    with pytest.raises(Refused) as refused:
        await started(f"{scheme}://models.example/v1")
    assert refused.value.code is Code.SETTINGS_INVALID
    assert refused.value.detail.startswith(f"{name} must look like")
    await started(f"{scheme}://localhost:1/v1")
    monkeypatch.setenv("NO_PROXY", "models.example")
    await started(f"{scheme}://models.example/v1")


async def test_certificates_that_cannot_be_used_are_refused_by_the_variable(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "garbage").write_text("no certificate")
    for name, value in (
        ("SSL_CERT_FILE", "/opt/none/cacert.pem"),
        ("SSL_CERT_FILE", "/dev/null"),
        ("SSL_CERT_FILE", f"{tmp_path}"),
        ("SSL_CERT_FILE", f"{tmp_path}/garbage"),
        ("SSL_CERT_DIR", f"{tmp_path}"),
        ("SSL_CERT_DIR", f"{tmp_path}/none"),
        ("SSL_CERT_DIR", f"{tmp_path}/garbage"),
    ):
        monkeypatch.setenv(name, value)
        with pytest.raises(Refused) as refused:
            await started("https://models.example/v1")
        assert refused.value.code is Code.SETTINGS_INVALID
        assert refused.value.detail.startswith(f"{name}: ")
        assert value in refused.value.detail
        await started("http://models.example/v1")  # which needs none
        monkeypatch.delenv(name)


@pytest.mark.parametrize(
    "base_url",
    [
        "http://ollama..local:11434/v1",
        "http://.local/v1",
        "http://-a-/v1",
        f"http://{'a' * 64}.local/v1",
        f"http://{'a.' * 127}a/v1",
        "http://a b/v1",
        "http://host/v 1",
        "http://host:0/v1",
        "http://host:99999/v1",
        "http://host:port/v1",
        "http://[::1/v1",
        "http://256.1.1.1/v1",
        "http://ada:secret@host/v1",
        "http:///v1",
        "ftp://host/v1",
        "localhost:11434/v1",
        "v1",
    ],
)
async def test_an_address_that_cannot_be_asked_is_refused(base_url: str) -> None:
    with pytest.raises(Refused) as refused:
        await started(base_url)
    assert refused.value.code is Code.SETTINGS_INVALID
    assert "OPENAI_BASE_URL" in refused.value.detail
    assert "secret" not in refused.value.detail


@pytest.mark.parametrize(
    ("text", "host"),
    [
        (" http://my_models.local.:1/v1 ", b"my_models.local."),
        ("https://b\u00fccher.example", b"xn--bcher-kva.example"),
        ("http://[::1]:11434/v1", b"::1"),
        ("http://10.0.0.1/v1?api-version=1", b"10.0.0.1"),
    ],
)
def test_an_address_that_can_be_asked_stays(text: str, host: bytes) -> None:
    url = address(text)
    assert url is not None
    assert url.raw_host == host


@pytest.mark.parametrize(
    ("listed", "proxied"),
    [
        ("", True),
        ("example", False),
        (".models.example", False),
        ("*.example", False),
        ("*", False),
        (" other , models.example", False),
        ("els.example,10.0.0.0/8,1.2.3.4.5,[::1", True),
    ],
)
async def test_a_proxy_is_asked_but_for_what_no_proxy_names(
    upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch, listed: str, *, proxied: bool
) -> None:
    monkeypatch.setenv("http_proxy", upstream.base_url.removesuffix("/v1"))
    monkeypatch.setenv("NO_PROXY", listed)
    provider = upstream_at("http://models.example/v1")
    heard = await hear(provider)
    await provider.close()
    assert bool(upstream.requests) == proxied
    assert (heard.error is None) == proxied


async def test_a_network_goes_without_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "127.0.0.1:9")
    for listed, direct in (("10.0.0.0/8,127.0.1.0/24", False), ("::1/128, 127.0.0.0/24", True)):
        monkeypatch.setenv("NO_PROXY", listed)
        detail = await told("http://127.0.0.2:9/v1")
        assert ("the proxy" not in detail) == direct
        assert ("Check OPENAI_BASE_URL" in detail) == direct


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_proxy_that_is_away_is_named(monkeypatch: pytest.MonkeyPatch, scheme: str) -> None:
    monkeypatch.setenv("ALL_PROXY", "http://ada:secret@127.0.0.1:9")
    provider = upstream_at(f"{scheme}://models.example/v1", model="m")
    heard = await hear(provider)
    await provider.close()
    assert heard.failure.code is Code.PROVIDER_UNREACHABLE
    assert "the proxy of ALL_PROXY cannot be reached" in heard.failure.detail
    assert "secret" not in heard.failure.detail


async def test_a_proxy_that_refuses_is_named(
    upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = upstream.base_url.removesuffix("/v1")
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    provider = upstream_at("https://models.example/v1", model="m")
    heard = await hear(provider)
    await provider.close()
    assert "of HTTPS_PROXY refuses (404)" in heard.failure.detail


# TLS


@asynccontextmanager
async def spoken(context: ssl.SSLContext | None) -> AsyncGenerator[int]:
    """A port at which that TLS is spoken, or none; whoever asks is refused."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def context_of(pair: tuple[Path, Path]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*pair)
    return context


def expired(folder: Path) -> tuple[Path, Path]:
    """A certificate for localhost that was good for a day, long ago."""
    _, key = certificate(folder)
    (folder / "index").touch()
    (folder / "serial").write_text("01")
    (folder / "config").write_text(
        "[ca]\ndefault_ca=all\n[all]\nnew_certs_dir=.\ndatabase=index\nserial=serial\ndefault_md=sha256\npolicy=any\n"
        "x509_extensions=names\n[any]\ncommonName=supplied\n[names]\nsubjectAltName=DNS:localhost\n"
        "[req]\ndistinguished_name=any\n"
    )
    asked = "openssl req -new -key chat.key -subj /CN=localhost -config config -out asked"
    signed = (
        "openssl ca -selfsign -batch -config config -keyfile chat.key -in asked -out old.pem"
        " -startdate 200101000000Z -enddate 200102000000Z"
    )
    for command in (asked, signed):
        subprocess.run(command.split(), cwd=folder, check=True, capture_output=True)
    return folder / "old.pem", key


async def told(base_url: str) -> str:
    provider = upstream_at(base_url, model="m")
    heard = await hear(provider)
    await provider.close()
    assert heard.failure.code is Code.PROVIDER_UNREACHABLE
    return heard.failure.detail


async def test_what_is_wrong_with_tls_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pair = await asyncio.to_thread(certificate, tmp_path / "good")
    old = await asyncio.to_thread(expired, tmp_path / "old")
    async with spoken(context_of(pair)) as port, spoken(context_of(old)) as late:
        detail = await told(f"https://localhost:{port}/v1")
        assert "its TLS certificate is not trusted" in detail
        assert "SSL_CERT_FILE" in detail
        monkeypatch.setenv("SSL_CERT_FILE", str(pair[0]))
        assert "certificate is for another name" in await told(f"https://127.0.0.1:{port}/v1")
        provider = upstream_at(f"https://localhost:{port}/v1", model="m")
        assert (await hear(provider)).failure.code is Code.PROVIDER_REFUSED, "400, through TLS"
        await provider.close()
        assert "use https" in await told(f"http://localhost:{port}/v1")
        monkeypatch.setenv("SSL_CERT_FILE", str(old[0]))
        assert "certificate has expired" in await told(f"https://localhost:{late}/v1")
    async with spoken(None) as port:
        detail = await told(f"https://localhost:{port}/v1")
        assert "no TLS is spoken there" in detail
