import asyncio
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs
from tests.providers.support import ask, choose, hear, settings_with
from tests.support.upstream import CUT, STALL, Script, ScriptedUpstream, refuse, reply, whole

import palaver
from palaver.clock import SystemClock
from palaver.errors import Refused
from palaver.providers import pool
from palaver.providers.echo import Echo
from palaver.providers.pool import PLACES, Place, Providers, configured


class SetClock(SystemClock):
    """A clock whose hand a test moves."""

    def __init__(self) -> None:
        self.seconds = 1_000.0

    def monotonic(self) -> float:
        return self.seconds


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who answers is found, however long that takes on this machine."""
    monkeypatch.setattr(pool, "PROBE_SECONDS", 90)


@pytest.fixture
def free_port() -> Iterator[int]:
    """A port that nobody listens on, and that nobody else gets meanwhile."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


def at(upstream: ScriptedUpstream, name: str = "ollama", owner: str | None = None) -> Place:
    return Place(name=name, port=upstream.port, owner=owner)


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({"openai_base_url": "http://127.0.0.1:11434/v1"}, "ollama"),
        ({"openai_base_url": "http://localhost:8080/v1"}, "llama.cpp"),
        ({"openai_base_url": "http://127.0.0.1:1234/v1"}, "lm-studio"),
        ({"openai_base_url": "http://127.0.0.1:9/v1"}, "127.0.0.1"),
        ({"openai_base_url": "https://models.example.org/api/v1"}, "models.example.org"),
        ({"openai_base_url": "https://api.openai.com/v1"}, "openai"),
        ({"openai_api_key": SecretStr("sk-x")}, "openai"),
        ({"anthropic_api_key": SecretStr("sk-x")}, "anthropic"),
        ({"anthropic_base_url": "http://127.0.0.1:9"}, "anthropic"),
        (
            {"anthropic_api_key": SecretStr("x"), "openai_api_key": SecretStr("x")},
            "openai, anthropic",
        ),
    ],
)
async def test_what_settings_name_is_taken_and_called_what_it_is(
    values: dict[str, Any], name: str
) -> None:
    provider = await choose(settings_with(**values), SystemClock(), places=())
    assert provider.name == name
    assert provider.real
    await provider.close()


def test_a_base_url_that_cannot_be_one_stops_the_start() -> None:
    with pytest.raises(Refused):
        Providers(settings_with(openai_base_url="ftp://x"), SystemClock())


def test_without_a_name_in_the_settings_nothing_is_configured() -> None:
    assert configured(settings_with(), SystemClock()) is None


async def test_a_server_on_this_machine_is_found_and_answers(upstream: ScriptedUpstream) -> None:
    upstream.will(reply("found"))
    provider = await choose(settings_with(), SystemClock(), places=(at(upstream),))
    assert provider.name == "ollama"
    assert (await hear(provider)).text == "found"
    await provider.close()


async def test_a_found_server_is_not_given_a_key(upstream: ScriptedUpstream) -> None:
    provider = await choose(settings_with(), SystemClock(), places=(at(upstream),))
    await hear(provider)
    assert all("authorization" not in request.headers for request in upstream.requests)
    await provider.close()


@pytest.mark.parametrize(
    "script",
    [
        refuse(404, "404 page not found"),
        refuse(401, "who are you?"),
        whole("<html>a web page</html>"),
        whole({"data": []}),
        whole({"data": [{"id": "nomic-embed-text"}]}),
        whole([{"id": "llama"}]),
        (CUT,),
        (STALL,),
    ],
)
async def test_what_is_no_model_server_is_left_alone(
    upstream: ScriptedUpstream, free_port: int, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    if STALL in script:
        monkeypatch.setattr(pool, "PROBE_SECONDS", 0.3)
    upstream.models_script = script
    places = (at(upstream), Place(name="lm-studio", port=free_port))
    assert isinstance(await choose(settings_with(), SystemClock(), places=places), Echo)
    assert upstream.asked == []


async def test_that_nobody_is_found_is_no_news(free_port: int) -> None:
    place = Place(name="ollama", port=free_port)
    with capture_logs() as logs:
        provider = await choose(settings_with(), SystemClock(), places=(place,))
    assert isinstance(provider, Echo)
    assert logs == []


async def test_on_a_port_of_everybodys_a_server_must_say_what_it_is(
    upstream: ScriptedUpstream,
) -> None:
    assert {place.port for place in PLACES if place.owner} == {8000, 8080}
    place = at(upstream, "llama.cpp", owner="llamacpp")
    assert isinstance(await choose(settings_with(), SystemClock(), places=(place,)), Echo)
    upstream.models = [{"id": "m", "owned_by": "llamacpp"}]
    provider = await choose(settings_with(), SystemClock(), places=(place,))
    assert provider.name == "llama.cpp"
    await provider.close()


async def test_our_own_port_is_never_asked(upstream: ScriptedUpstream) -> None:
    settings = settings_with(port=upstream.port)
    assert isinstance(await choose(settings, SystemClock(), places=(at(upstream),)), Echo)
    assert upstream.requests == []


async def test_detection_can_be_turned_off(upstream: ScriptedUpstream) -> None:
    settings = settings_with(detect=False)
    assert isinstance(await choose(settings, SystemClock(), places=(at(upstream),)), Echo)
    providers = Providers(settings, SystemClock(), places=(at(upstream),))
    assert isinstance(await providers.current(), Echo)
    assert upstream.requests == []


async def test_of_two_servers_the_one_with_the_wanted_model_answers(
    upstream: ScriptedUpstream, second: ScriptedUpstream
) -> None:
    second.models = [{"id": "wanted:latest"}]
    places = (at(upstream), at(second, "lm-studio"))
    first = await choose(settings_with(), SystemClock(), places=places)
    assert first.name == "ollama"
    wanted = await choose(settings_with(model="wanted"), SystemClock(), places=places)
    assert wanted.name == "lm-studio"
    await first.close()
    await wanted.close()


async def test_a_server_that_hangs_does_not_hide_one_that_answers(
    upstream: ScriptedUpstream, second: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "PROBE_SECONDS", 3)
    upstream.models_script = (STALL,)
    places = (at(upstream), at(second, "lm-studio"))
    provider = await choose(settings_with(), SystemClock(), places=places)
    assert provider.name == "lm-studio"
    await provider.close()


async def test_a_server_that_starts_later_is_found_at_the_next_look(
    upstream: ScriptedUpstream,
) -> None:
    clock = SetClock()
    upstream.models_script = refuse(404, "")
    providers = Providers(settings_with(), clock, places=(at(upstream),))
    assert upstream.requests == [], "nothing is asked before somebody needs it"
    assert isinstance(await providers.current(), Echo)

    upstream.models_script = None
    clock.seconds += 29
    assert isinstance(await providers.current(), Echo)
    assert len(upstream.requests) == 1
    clock.seconds += 2
    assert (await providers.current()).name == "ollama"

    clock.seconds += 1_000
    assert (await providers.current()).name == "ollama"
    assert len(upstream.requests) == 2, "once found, it is not looked for any more"
    await providers.close()


async def test_many_who_need_an_answer_at_once_cause_one_look(upstream: ScriptedUpstream) -> None:
    providers = Providers(settings_with(), SystemClock(), places=(at(upstream),))
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(providers.current()) for _ in range(20)]
    assert len({id(task.result()) for task in tasks}) == 1
    assert len(upstream.requests) == 1
    await providers.close()


async def test_a_fixed_provider_is_never_replaced(upstream: ScriptedUpstream) -> None:
    fixed = Echo(piece_seconds=0)
    providers = Providers(settings_with(), SystemClock(), fixed=fixed, places=(at(upstream),))
    assert await providers.current() is fixed
    assert (await hear(await providers.current(), ask("/long 2"))).text == "w000 w001"
    assert upstream.requests == []
    await providers.close()


def test_a_dialect_is_a_folder_and_at_most_four_other_files_name_it() -> None:
    package = Path(palaver.__file__).parent
    naming = {
        file.relative_to(package).as_posix()
        for file in package.rglob("*.py")
        if re.search(r"anthropic(?!-)", file.read_text(encoding="utf-8"), re.IGNORECASE)
    }
    others = {name for name in naming if not name.startswith(("providers/anthropic/", "wire/"))}
    assert others == {
        *("settings.py", "model/profiles.py", "providers/__init__.py", "providers/pool.py")
    }
