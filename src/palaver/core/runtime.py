"""The one composition root: puts the parts together, starts what must run, and takes it all down again."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Literal

from palaver.clock import Clock, SystemClock
from palaver.core.access import Access
from palaver.core.answers.engine import Engine
from palaver.core.answers.recovery import Recovery
from palaver.core.api_keys import Keys
from palaver.core.devices import Devices
from palaver.core.exchanges import Exchanges
from palaver.core.figures import Figures
from palaver.core.ground import Ground, good_bye, grounded
from palaver.core.live.cluster import PeerSync
from palaver.core.live.items import Encode
from palaver.core.messages import Chat, said
from palaver.core.models import ModelServer
from palaver.core.part import Every, Part, tasks_of_a_server
from palaver.core.rooms import LOBBY, Rooms, lobby_of
from palaver.core.spool.exchanges import ExchangeSpool
from palaver.core.spool.messages import MessageSpool
from palaver.core.spool.spool import Means
from palaver.core.upkeep import JournalSync, Pulse
from palaver.providers.base import Provider
from palaver.settings import Settings
from palaver.store.engine.base import Database
from palaver.store.engine.executors import Lanes
from palaver.store.journal import Journal
from palaver.store.notify import Bus
from palaver.store.read import events, rooms

DRAIN_PART = 0.5
SWEEP_SECONDS = 30.0


class Core:
    """A running Palaver, as the doors see it."""

    def __init__(self, on: Ground, tasks: asyncio.TaskGroup) -> None:
        store, hub, settings, clock = on.store, on.hub, on.settings, on.clock
        journals = settings.data_dir / "journal"
        journal = Journal(journals / "streams", store.owner, named=True)
        self._history, self._recovered = on.history, False
        self.settings, self.clock, self.hub = settings, clock, hub
        self.lobby, self.assistant = LOBBY, on.assistant
        self.access, self.identity = Access(store), on.identity
        self.keys = Keys(store, settings, clock)
        self.devices = Devices(store, hub, settings, clock)
        self.rooms = Rooms(store, self.access, settings, clock, on.assistant)
        means = partial(
            Means,
            store=store,
            history=on.history,
            lane=on.lane,
            settings=settings,
            clock=clock,
            away=partial(hub.database_is, up=False),
        )
        self.held = ExchangeSpool(**means(directory=journals / "exchanges"))
        self.turns = Engine(
            store=store,
            hub=hub,
            outbox=on.outbox,
            journal=journal,
            spool=self.held,
            access=self.access,
            provider=on.providers.current,
            settings=settings,
            clock=clock,
            tasks=tasks,
        )
        self.models = ModelServer(on.providers, clock, self.turns.counting)
        self.recovery = Recovery(store, on.history, hub, journal, self.turns, self.held, clock)
        drafts = means(directory=journals / "drafts")
        self.drafts = MessageSpool(hub, partial(said, self.turns), **drafts)
        self.chat = Chat(store, hub, self.access, self.turns, self.drafts, settings, clock)
        self.exchanges = Exchanges(
            store=store,
            access=self.access,
            turns=self.turns,
            held=self.held,
            assistant=on.assistant,
            settings=settings,
            clock=clock,
            tasks=tasks,
        )
        spools = self.held, self.drafts
        figures = Figures(store, journal, spools, self.turns, hub, on.identity)
        self.figures, self.figures_by_code = figures.all, figures.by_code
        self.parts = self._parts(on, journal)

    def _parts(self, on: Ground, journal: Journal) -> list[Part]:
        """What runs here. They recover in this order, and close in the opposite one."""
        store, spools = on.store, (self.held, self.drafts)
        parts: list[Part] = [
            JournalSync(journal, on.lane),
            self.held,  # what it has is stored before its turns are claimed
            self.recovery,
            self.drafts,
            on.history,
            Pulse(store, on.hub, self.turns, self.recovery, spools, self.recover),
            self.keys,
            Every(SWEEP_SECONDS, self._sweep),
        ]
        if store.shared:
            parts += [Every(1.0, self.turns.copy), Every(1.0, self.devices.see_ended)]
        if on.bus is not None and on.outbox is not None:
            since, seqs = partial(store.read, events.since), partial(store.read, rooms.seqs)
            stop = self.turns.stop_here
            peers = PeerSync(on.bus, on.hub, on.outbox, stop=stop, since=since, seqs=seqs)
            parts.append(peers)
            on.committed.append(peers.committed)
        return parts

    @property
    def db_up(self) -> bool:
        """Whether the database is there."""
        return self.hub.database_up

    @property
    def epoch(self) -> str:
        """The epoch of the history that is served."""
        return self._history.served

    @property
    def history(self) -> Literal["whole", "behind"]:
        """`behind`: the database has lost something that it once held; `palaver doctor` says what."""
        return "whole" if self._history.behind is None else "behind"

    async def recover(self, *, aside: bool = False) -> None:
        """Takes over what dead processes left in journals; with `aside` also what was set aside."""
        for part in self.parts:
            await part.recover(aside=aside)
        self._recovered = True

    async def _sweep(self) -> None:
        """Deletes guests who have left nothing. Not while something waits that may be theirs."""
        waiting = self.held.waiting + self.drafts.waiting
        if self._recovered and self.history == "whole" and not waiting:
            await self.identity.sweep()

    async def drain(self, seconds: float) -> None:
        """A graceful stop: tells the readers when to come back, and ends the running answers in time."""
        good_bye(self.hub, self.clock)
        await self.turns.drain(seconds * DRAIN_PART)


@asynccontextmanager
async def started(
    settings: Settings,
    *,
    clock: Clock | None = None,
    encode: Encode | None = None,
    provider: Provider | None = None,
    lanes: Lanes | None = None,
    database: Database | None = None,
    bus: Bus | None = None,
    lobby: bool = True,
) -> AsyncGenerator[Core, None]:
    """Opens the store and runs a Palaver in it until the block ends.

    `encode` makes an item's shared bytes for a wire; `provider`, `database` and `bus` replace the ones that settings or
    detection give; `lanes` says where the store's blocking work runs. Refused: what `Store.opened` refuses.
    """
    clock = clock or SystemClock()
    async with AsyncExitStack() as ending:
        ground = await grounded(ending, settings, clock, encode, provider, lanes, database, bus)
        if lobby:
            await ground.store.write(lobby_of(ground.assistant))
        async with tasks_of_a_server() as tasks:
            core = Core(ground, tasks)
            for part in core.parts:
                ending.callback(part.close)
            running = [tasks.create_task(part.run()) for part in core.parts]
            try:
                await core.recover(aside=True)
                yield core
                await ground.history.remember()
            finally:
                for task in running:
                    task.cancel()
                await core.turns.drain(0)
