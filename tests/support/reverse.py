"""Real reverse proxies before a server: nginx and Caddy, configured as docs/install.md says.

The system's programs are used where there are any; else Debian's packages are unpacked below build/. They are never
skipped: without one the test fails and says what was tried.
"""

import asyncio
import fcntl
import re
import shutil
import socket
import subprocess
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / "build" / "proxies"
GUIDE = ROOT / "docs" / "install.md"
START_SECONDS_MAX = 60


def find(program: str) -> Path:
    """Return the program, fetched if need be."""
    known = shutil.which(program, path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
    if known:
        return Path(known)
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        places = [CACHE / "usr" / folder / program for folder in ("sbin", "bin")]
        if not any(place.is_file() for place in places):
            run("apt-get", "download", program)
            for package in CACHE.glob(f"{program}_*.deb"):
                run("dpkg", "-x", str(package), str(CACHE))
    found = [place for place in places if place.is_file()]
    assert found, f"there is no {program} here, and its package did not bring one"
    return found[0]


def run(*command: str) -> None:
    """Run a command below the cache; fail with what it said."""
    done = subprocess.run(command, cwd=CACHE, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}"


def block(language: str) -> str:
    """The configuration in the guide."""
    found = re.search(rf"```{language}\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None, f"docs/install.md has no block of {language}"
    return found[1]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate of our own for localhost, and its key."""
    folder.mkdir(parents=True, exist_ok=True)
    certificate, key = folder / "chat.pem", folder / "chat.key"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=localhost",
    ]
    command += [
        "-addext",
        "subjectAltName=DNS:localhost",
        "-keyout",
        str(key),
        "-out",
        str(certificate),
    ]
    subprocess.run(command, check=True, capture_output=True)
    return certificate, key


def replaced(text: str, *pairs: tuple[str, str]) -> str:
    """The guide's text with this machine's places; each of them must be in it."""
    for old, new in pairs:
        assert old in text, f"docs/install.md no longer says {old!r}"
        text = text.replace(old, new)
    return text


@asynccontextmanager
async def nginx(
    folder: Path, port: int, server: str, *, path: str = "/", bare: bool = False
) -> AsyncGenerator[None]:
    """nginx before a server at `127.0.0.1:port`. `bare`: as it is without a line of ours, but for live connections."""
    certificate_file, key = certificate(folder)
    text = replaced(
        block("nginx"),
        ("listen 443 ssl", f"listen 127.0.0.1:{port} ssl"),
        ("chat.example.org", "localhost"),
        ("/etc/ssl/chat.pem", str(certificate_file)),
        ("/etc/ssl/chat.key", str(key)),
        ("127.0.0.1:8000", server),
        ("location / ", f"location {path} "),
    )
    if bare:
        text = re.sub(r".*proxy_set_header (Host|X-|Forwarded).*\n", "", text)
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    main = f"daemon off; pid {folder}/pid; error_log stderr;\nevents {{}}\n"
    configuration = folder / "nginx.conf"
    configuration.write_text(
        f"{main}http {{ access_log off;\n{temporary}{text}}}\n", encoding="utf-8"
    )
    async with running(port, str(find("nginx")), "-p", str(folder), "-c", str(configuration)):
        yield


@asynccontextmanager
async def caddy(folder: Path, port: int, server: str) -> AsyncGenerator[None]:
    """Caddy before a server at `127.0.0.1:port`."""
    certificate_file, key = certificate(folder)
    text = replaced(
        block("caddyfile"),
        ("chat.example.org {", f"https://localhost:{port} {{\n    tls {certificate_file} {key}"),
        ("127.0.0.1:8000", server),
    )
    configuration = folder / "Caddyfile"
    head = "{\n    admin off\n    auto_https disable_redirects\n}\n"
    configuration.write_text(head + text, encoding="utf-8")
    command = (str(find("caddy")), "run", "--adapter", "caddyfile", "--config", str(configuration))
    async with running(port, *command):
        yield


@asynccontextmanager
async def running(port: int, *command: str) -> AsyncGenerator[None]:
    """Run a proxy from when it takes connections until the block ends."""
    process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.DEVNULL)
    try:
        async with asyncio.timeout(START_SECONDS_MAX):
            while True:
                assert process.returncode is None, f"{command[0]} ended at once"
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                except OSError:
                    await asyncio.sleep(0.01)  # another process is waited for
                else:
                    writer.close()
                    break
        yield
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
