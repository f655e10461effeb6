"""`server.json` of a data directory: that a server is ready, where it listens, and where its control socket is."""

import json
import os
import socket
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import palaver
from palaver.errors import PalaverError
from palaver.settings import Settings
from palaver.strict_json import Json, load

NOTE = "server.json"
CONNECT_SECONDS_MAX = 1.0


@contextmanager
def noted(
    folder: Path, url: str, control: Path | None = None
) -> Generator[Callable[[], None], None, None]:
    """Gives what writes `server.json`, and takes the file away at the end. Only its owner can read it."""
    note = folder / NOTE
    content = {"pid": os.getpid(), "url": url, "version": palaver.__version__}
    if control is not None:
        content["control"] = os.fspath(control)
    written = False

    def write() -> None:
        nonlocal written
        folder.mkdir(parents=True, exist_ok=True)
        draft = note.with_suffix(f".{os.getpid()}.new")
        draft.touch(mode=0o600)
        draft.write_text(json.dumps(content), encoding="utf-8")
        draft.replace(note)
        written = True

    try:
        yield write
    finally:
        if written:  # else it may be that of a server that has the data directory
            note.unlink(missing_ok=True)


def socket_of(settings: Settings) -> Path | None:
    """Where the server of this data directory listens, by its `server.json`."""
    control = _note(settings).get("control")
    return Path(control) if isinstance(control, str) else None


def url_of(settings: Settings) -> str | None:
    """The address of the server of this data directory, if one answers there."""
    note = _note(settings)
    control, url = note.get("control"), note.get("url")
    if not isinstance(url, str):
        return None
    try:
        with socket.socket(socket.AF_INET if control is None else socket.AF_UNIX) as probe:
            probe.settimeout(CONNECT_SECONDS_MAX)
            at = urlsplit(url)
            probe.connect(control or (at.hostname, at.port))
    except OSError:
        return None
    return url


def _note(settings: Settings) -> Json:
    """What `server.json` says; nothing where there is none."""
    with suppress(OSError, PalaverError):
        return load((settings.data_dir / NOTE).read_bytes())
    return {}
