"""What every use case of a Palaver works with: the store, the hub, the history, and whom every database has."""

from collections.abc import Sequence
from contextlib import AsyncExitStack
from functools import partial

import structlog
from msgspec import Struct

from palaver.clock import Clock
from palaver.core.access import Access
from palaver.core.agents import Agents
from palaver.core.deliveries import Tell, Teller
from palaver.core.identity.actors import Identity
from palaver.core.identity.passwords import Passwords
from palaver.core.live.hub import Hub
from palaver.core.live.items import Closing, Encode, not_encoded
from palaver.core.live.outbox import Outbox
from palaver.core.profiles import ModelProfiles
from palaver.core.rollback import History
from palaver.core.webhooks import Webhooks
from palaver.model import ActorId, Event, RoomId
from palaver.providers.base import Provider
from palaver.providers.pool import Providers
from palaver.providers.webhooks import WebhookSender
from palaver.settings import Settings
from palaver.store.admin.high_water import Mark
from palaver.store.engine.base import Database
from palaver.store.engine.executors import Lane, Lanes, ThreadLanes
from palaver.store.journal import Journal
from palaver.store.notify import SENDER_CHARS, Bus, bus_of
from palaver.store.read import rooms
from palaver.store.sealing import Secret
from palaver.store.search.index import SearchIndex
from palaver.store.search.opened import opened as opened_index
from palaver.store.store import Store
from palaver.store.write.people.credentials import KeepSecret
from palaver.store.write.writer import Committed

BYE_SPREAD_MS = 3_000

log = structlog.stdlib.get_logger()


class Ground(Struct, frozen=True, kw_only=True):
    """The parts that others share. `committed` are called with the events of each commit.

    `bus` and `outbox` lead to other processes. `journal` keeps the pieces of running answers; `lane` is the thread in
    which journals are synced. `searching`: see there.
    """

    settings: Settings
    clock: Clock
    store: Store
    history: History
    journal: Journal
    lane: Lane[None]
    searching: tuple[Store, SearchIndex, Clock, Lane[None]]
    hub: Hub
    bus: Bus | None
    outbox: Outbox | None
    access: Access
    identity: Identity
    agents: Agents
    passwords: Passwords
    assistant: ActorId
    profiles: ModelProfiles
    webhooks: Webhooks
    providers: Providers
    committed: list[Committed]


async def grounded(  # noqa: PLR0917  what `started` is given
    ending: AsyncExitStack,
    settings: Settings,
    clock: Clock,
    encode: Encode | None,
    tell: Tell | None,
    provider: Provider | None,
    lanes: Lanes | None,
    database: Database | None,
    bus: Bus | None,
) -> Ground:
    """Opens the store and what else the parts need, until `ending` ends. See `runtime.started`."""
    committed: list[Committed] = []

    def publish(happened: Sequence[Event]) -> None:
        for listener in committed:
            listener(happened)

    opened = Store.opened(settings, clock, committed=publish, lanes=lanes, database=database)
    store = await ending.enter_async_context(opened)
    bus = bus or bus_of(settings, clock)
    outbox = None if bus is None else Outbox(bus, store.owner[:SENDER_CHARS])
    hub = Hub(encode or not_encoded, partial(_seq_of, store), outbox)
    access, profiles = Access(store), ModelProfiles(store, settings, clock)
    committed += [hub.publish, access.committed, profiles.committed]
    access.listeners.append(hub.taken)
    committed += [] if (mark := Mark.of(settings)) is None else [mark.committed]
    lane = _lane(ending, lanes, "journal")
    history = History(store, mark, lane, partial(_begin_anew, hub, clock))
    await history.start()
    secret = await store.write(KeepSecret(value=clock.secret()))
    identity = Identity(store, settings, clock, secret, hub.standings)
    passwords, agents = Passwords(lanes or ThreadLanes()), Agents(store, settings, clock)
    providers = Providers(settings, clock, fixed=provider, saved=profiles.of)
    for part in (passwords, profiles, providers):
        ending.push_async_callback(part.close)
    directory, most = settings.data_dir / "journal" / "streams", settings.draft_bytes_max
    journal = Journal(directory, store.owner, aside_bytes_max=most, named=True)
    ending.callback(journal.close)  # what is still open in it stays for recovery
    return Ground(
        settings=settings,
        clock=clock,
        store=store,
        history=history,
        journal=journal,
        lane=lane,
        searching=searching(ending, store, settings, clock, lanes),
        hub=hub,
        bus=bus,
        outbox=outbox,
        access=access,
        identity=identity,
        passwords=passwords,
        agents=agents,
        assistant=await agents.assistant(),
        profiles=profiles,
        webhooks=telling(ending, store, settings, clock, tell),
        providers=providers,
        committed=committed,
    )


def searching(
    ending: AsyncExitStack, store: Store, settings: Settings, clock: Clock, lanes: Lanes | None
) -> tuple[Store, SearchIndex, Clock, Lane[None]]:
    """Opens what the search and its indexer work with, until `ending` ends; the last is the thread that reads texts."""
    index = opened_index(settings, clock, lanes, store.owner)
    ending.push_async_callback(index.close)
    return store, index, clock, _lane(ending, lanes, "search")


def telling(
    ending: AsyncExitStack, store: Store, settings: Settings, clock: Clock, tell: Tell | None
) -> Webhooks:
    """Opens the way to the receivers of webhooks, until `ending` ends; without `tell`, nothing is told here."""
    sender = WebhookSender(settings, clock)
    ending.push_async_callback(sender.close)
    teller = Teller(Secret(settings), clock, sender, tell)
    return Webhooks(store, teller, settings.profile_networks)


def _lane(ending: AsyncExitStack, lanes: Lanes | None, name: str) -> Lane[None]:
    """A thread, until `ending` ends."""
    made = (lanes or ThreadLanes()).lane(name, 1, _nothing, _nothing)
    ending.push_async_callback(made.close)
    return made


async def sync_journal(journal: Journal, lane: Lane[None]) -> None:
    """Puts a journal on the disk. To be called once a second, so that a power cut loses no more than that."""
    job = journal.sync_job()
    if job is not None:
        try:
            await lane.run(job)
        except OSError as failure:
            log.warning("journal.not_synced", errno=failure.errno)


def good_bye(hub: Hub, clock: Clock) -> None:
    """Tells the readers when to come back, not all at once."""
    hub.to_all(lambda: Closing(500 + round(clock.chance() * BYE_SPREAD_MS)))


def _begin_anew(hub: Hub, clock: Clock) -> None:
    """Sends everyone away, to come back to another history."""
    good_bye(hub, clock)
    hub.restart()


async def _seq_of(store: Store, room: RoomId) -> int:
    return (await store.read(rooms.seqs, (room,)))[room]


def _nothing(*_: None) -> None:
    """Opens and closes nothing: the journal's thread needs no connection."""
