"""Answers an operator's commands about a Palaver that need not be running: its schema, health and models.

The command line may not know the store; these are its questions, in the core's words. Nothing here starts a server.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from functools import partial
from pathlib import Path

from msgspec import Struct

from palaver.clock import SystemClock
from palaver.core.access import Access
from palaver.core.agents import Agents
from palaver.core.answers.source import Models, ModelServer
from palaver.core.audit import read
from palaver.core.deliveries import Tell
from palaver.core.demo import Demo
from palaver.core.ground import searching, telling
from palaver.core.identity.api_keys import Keys
from palaver.core.identity.invitations import Invitations
from palaver.core.identity.register import Register
from palaver.core.live.standing import Standings
from palaver.core.oversight import Oversight
from palaver.core.profiles import ModelProfiles, rotated
from palaver.core.prompts import Prompts
from palaver.core.search.indexer import Indexer
from palaver.core.search.search import Search, search_of
from palaver.core.usage import Usage
from palaver.core.webhooks import Webhooks
from palaver.errors import Code, Refused
from palaver.model import Event
from palaver.providers.pool import Providers
from palaver.settings import Settings
from palaver.store import journal, migrate
from palaver.store.admin import backup as backups, health, high_water, verify as examination
from palaver.store.store import Store

Health = health.SqliteHealth | health.PostgresHealth
SqliteHealth = health.SqliteHealth
PostgresHealth = health.PostgresHealth
Verdict = examination.Verdict
Marked = high_water.Marked
Progress = examination.Progress
# the store's own, which block as long as they take
backup, restore, copy = backups.backup, backups.restore, backups.copy
verify = examination.verify_marked


class Schema(Struct, frozen=True, kw_only=True):
    """Which revision the database has (None: it is empty or not there) and which one this Palaver needs."""

    current: str | None
    head: str

    @property
    def fits(self) -> bool:
        """Whether this Palaver can work with the database as it is."""
        return self.current == self.head


async def schema(settings: Settings) -> Schema:
    """The revisions. Makes no file. Refused: `database_url_invalid`. Unavailable: `database_unavailable`."""
    return Schema(
        current=await asyncio.to_thread(migrate.current, settings.url), head=migrate.head()
    )


async def upgrade(settings: Settings, progress: Callable[[str], None]) -> Schema:
    """Brings the schema up to date, after a backup of a SQLite file; what it does is told to `progress`.

    Refused: `database_newer`, `database_locked` (a server has the file). Repeating it changes nothing.
    """
    await asyncio.to_thread(migrate.upgrade, settings.url, progress)
    return await schema(settings)


async def differences(settings: Settings) -> tuple[str, ...]:
    """Where the database's tables are not the declared ones; empty when all is well."""
    return tuple(await asyncio.to_thread(migrate.check, settings.url))


async def examined(settings: Settings, *, integrity: bool) -> Health:
    """What the database says of its own health. `integrity` reads all of a SQLite file."""
    return await health.health(settings.url, integrity=integrity)


async def history(settings: Settings) -> Marked:
    """What the database has lost of what it once held, as far as its mark knows."""
    return await asyncio.to_thread(high_water.marked, settings)


async def content(settings: Settings) -> Verdict:
    """What is damaged in all that the database holds, and what it has lost."""
    return await asyncio.to_thread(verify, settings, _untold)


def _untold(_doing: str, _done: int, _total: int) -> None:
    """Tells nobody the progress."""


def set_aside(settings: Settings) -> list[Path]:
    """The journal's files that wait for another history than the database has."""
    folders = sorted((settings.data_dir / "journal").glob("*"))
    return [file for folder in folders for file in journal.set_aside(folder)]


async def models(settings: Settings) -> Models:
    """The models that would answer where there is no database yet."""
    clock = SystemClock()
    providers = Providers(settings, clock, fixed=None)
    try:
        return await ModelServer(providers, clock, nullcontext).listed()
    finally:
        await providers.close()


class Kept(Struct, frozen=True):
    """What an operator looks after."""

    settings: Settings
    keys: Keys
    prompts: Prompts
    agents: Agents
    register: Register
    invitations: Invitations
    usage: Usage
    audit: Callable[[int], Awaitable[tuple[Event, ...]]]
    rotate: Callable[[], Awaitable[int]]
    demo: Demo
    oversight: Oversight
    search: Search
    indexer: Indexer
    models: ModelServer
    webhooks: Webhooks


@asynccontextmanager
async def kept(
    settings: Settings, *, make: bool, tell: Tell | None = None
) -> AsyncGenerator[Kept, None]:
    """The API keys, prompts and accounts of a database, which is made if need be, but never upgraded.

    Refused: `database_missing` without `make`, `database_older`, `database_locked`.
    """
    current = (await schema(settings)).current
    if current is None and not make:
        raise Refused(Code.DATABASE_MISSING, "There is no database yet.")
    clock = SystemClock()
    opened = Store.opened(settings, clock, committed=lambda _: None, migrate=current is None)
    async with opened as store, AsyncExitStack() as ending:
        profiles = ModelProfiles(store, settings, clock)
        ending.push_async_callback(profiles.close)
        providers = Providers(settings, clock, saved=profiles.of)
        ending.push_async_callback(providers.close)
        agents, access = Agents(store, settings, clock), Access(store)
        yield Kept(
            settings,
            Keys(store, settings, clock, Standings()),
            Prompts(store, clock),
            agents,
            Register(store, settings, clock),
            Invitations(store, access, settings, clock),
            Usage(store, clock),
            partial(read, store),
            partial(rotated, store, settings),
            Demo(store, agents),
            Oversight(store, access, settings),
            *search_of(access, *searching(ending, store, settings, clock, None)),
            ModelServer(providers, clock, nullcontext),
            telling(ending, store, settings, clock, tell),
        )
