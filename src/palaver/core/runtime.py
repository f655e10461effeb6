"""The one composition root: puts the parts together, starts what must run, and takes it all down again."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Literal

import structlog

from palaver.clock import Clock, SystemClock
from palaver.core.answers.askers import Askers
from palaver.core.answers.engine import Engine
from palaver.core.answers.recovery import Recovery
from palaver.core.answers.source import ModelServer
from palaver.core.answers.told import PromptsTold
from palaver.core.answers.tries import Tries
from palaver.core.audit import Follower, latest, read
from palaver.core.branches import Branches
from palaver.core.consumers import Consumers
from palaver.core.deliveries import Deliveries, Tell
from palaver.core.demo import Demo
from palaver.core.events import Events
from palaver.core.exchanges import Exchanges
from palaver.core.ground import Ground, good_bye, grounded, sync_journal
from palaver.core.identity.accounts import Accounts
from palaver.core.identity.api_keys import Keys
from palaver.core.identity.devices import Devices
from palaver.core.identity.elsewhere import Elsewhere
from palaver.core.identity.identities import Identities
from palaver.core.identity.invitations import Invitations
from palaver.core.identity.profiles import Profiles
from palaver.core.identity.register import Register
from palaver.core.identity.setup import Setup
from palaver.core.live.cluster import PeerSync
from palaver.core.live.items import Encode
from palaver.core.live.presence import TICK_SECONDS
from palaver.core.members import Members
from palaver.core.messages import Chat, said
from palaver.core.oversight import Oversight
from palaver.core.part import Every, Part, tasks_of_a_server
from palaver.core.profiles import rotated
from palaver.core.prompts import Prompts
from palaver.core.rooms import LOBBY, Rooms, lobby_of
from palaver.core.search.search import search_of
from palaver.core.spool.exchanges import ExchangeSpool
from palaver.core.spool.messages import MessageSpool
from palaver.core.usage import Usage
from palaver.errors import Unavailable
from palaver.providers.base import Provider
from palaver.providers.oidc import OpenIDProvider
from palaver.settings import Settings
from palaver.store.engine.base import Database
from palaver.store.engine.executors import Lanes
from palaver.store.notify import Bus
from palaver.store.read import events, rooms
from palaver.store.write.audit import OpenAudit

DRAIN_PART = 0.5
RECOVERY_SECONDS_MAX = 10.0
SYNC_SECONDS = 1.0
PULSE_SECONDS = 5.0
SWEEP_SECONDS, FAILURES_SECONDS = 30.0, 60.0
RUN_OUT_SECONDS = 60.0

log = structlog.stdlib.get_logger()


class Core:
    """A running Palaver, as the doors see it."""

    def __init__(self, ground: Ground, tasks: asyncio.TaskGroup, audited: int) -> None:
        """`audited` is the seq of the audit room at the start."""
        self._ground, self._recovered, self._audited = ground, False, audited
        self.settings, self.clock, self.hub = ground.settings, ground.clock, ground.hub
        self.lobby, self.assistant, self.standings = LOBBY, ground.assistant, ground.hub.standings
        self.access, self.identity, self.agents = ground.access, ground.identity, ground.agents
        self.search, self.indexer = search_of(ground.access, *ground.searching)
        self.redaction, self.demo = ground.store.redaction, Demo(ground.store, ground.agents)
        self.keys = Keys(ground.store, ground.settings, ground.clock, self.standings)
        at_hand = (ground.store, ground.identity, ground.settings, ground.clock)
        self.devices = Devices(*at_hand)
        self.setup = Setup(
            ground.store,
            self.devices,
            ground.assistant,
            passwords=ground.passwords,
            settings=ground.settings,
            clock=ground.clock,
        )
        self.audit, self.audited = partial(read, ground.store), partial(latest, ground.store)
        self.identities = Identities(*at_hand)
        self.elsewhere = None
        if ground.settings.oidc_issuer is not None:
            provider = OpenIDProvider(ground.settings, ground.clock)
            self.elsewhere = Elsewhere(*at_hand, inside=self.identities, provider=provider)
        self.profiles, self.webhooks = Profiles(ground.store, ground.hub), ground.webhooks
        self.invitations = Invitations(ground.store, ground.access, ground.settings, ground.clock)
        self.register = Register(ground.store, ground.settings, ground.clock)
        self.accounts = Accounts(
            ground.store,
            self.devices,
            ground.identity,
            passwords=ground.passwords,
            settings=ground.settings,
            clock=ground.clock,
            invitations=self.invitations,
        )
        self.model_profiles, self.environment = ground.profiles, ground.providers.environment
        self.rotate = partial(rotated, ground.store, ground.settings)
        self.prompts = Prompts(ground.store, ground.clock)
        self.oversight = Oversight(ground.store, ground.access, ground.settings)
        self.rooms, self.members, self.branches = Rooms(ground), Members(ground), Branches(ground)
        self.held = ExchangeSpool(ground)
        self.turns = Engine(ground, self.held, tasks)
        self.told, self.tries = PromptsTold(ground), Tries(ground, self.turns)
        self.budgets, self.bots = self.turns.budgets, self.turns.bots
        self.usage = Usage(ground.store, ground.clock, self.budgets.changed)
        self.askers = Askers(ground.store, self.turns.runs)
        ground.access.listeners.append(self.askers.taken)
        self.models = ModelServer(ground.providers, ground.clock, self.turns.counting)
        self.recovery = Recovery(ground, self.turns, self.held)
        self.drafts = MessageSpool(ground, partial(said, self.turns))
        self.chat = Chat(ground, self.turns, self.drafts)
        self.exchanges = Exchanges(ground, self.turns, self.held)
        self._spools, self.events = (self.held, self.drafts), Events(ground, self.chat.reader)
        self.parts = self._parts()

    def _parts(self) -> list[Part]:
        """The parts in the order in which they recover; they close in the opposite one."""
        ground, store = self._ground, self._ground.store
        running = (self.indexer, self.events)
        consumers = Consumers(store, ground.clock, running, days=ground.settings.feed_days)
        deliveries = Deliveries(store, ground.webhooks.teller, consumers)
        ground.committed.extend((consumers.committed, deliveries.committed))
        parts: list[Part] = [
            Every(SYNC_SECONDS, partial(sync_journal, ground.journal, ground.lane)),
            self.held,  # what it has is stored before its turns are claimed
            self.recovery,
            self.askers,
            self.drafts,
            ground.history,
            Every(TICK_SECONDS, ground.hub.presence.tick),
            Every(PULSE_SECONDS, self._beat),
            self.keys.last_used,
            Every(1.0, self.keys.expire),
            self.identity.last_used,
            Every(SWEEP_SECONDS, self._sweep),
            Every(FAILURES_SECONDS, self.accounts.tell_failures),
            Every(RUN_OUT_SECONDS, self._end_run_out),
            consumers,
            deliveries,
        ]
        if store.shared:
            told = (self.standings.committed, ground.profiles.committed, deliveries.committed)
            follower = Follower(store, told, self._audited)
            ground.access.listeners.append(follower.taken)
            parts += [Every(1.0, self.turns.copy), follower]
        if ground.bus is not None and ground.outbox is not None:
            since, seqs = partial(store.read, events.since), partial(store.read, rooms.seqs)
            others, stop = (ground.bus, ground.hub, ground.outbox), self.turns.stop_here
            taken = ground.access.taken
            peers = PeerSync(*others, stop=stop, taken=taken, since=since, seqs=seqs)
            parts.append(peers)
            ground.committed.append(peers.committed)
        return parts

    @property
    def db_up(self) -> bool:
        """Whether the database is there."""
        return self.hub.database_up

    @property
    def epoch(self) -> str:
        """The epoch of the history that is served."""
        return self._ground.history.served

    @property
    def history(self) -> Literal["whole", "behind"]:
        """`behind`: the database has lost something that it once held; `palaver doctor` says what."""
        return "whole" if self._ground.history.behind is None else "behind"

    def figures(self) -> Mapping[str, float]:
        """Counts what this process has done since it began, and what waits in it; `wire/pages/metrics` names each."""
        store, journal = self._ground.store, self._ground.journal
        outcomes = ("accepted", "drained", "rejected", "lost")
        return {
            "commits": store.counters.commits,
            "events": store.counters.rows,
            "writes_waiting": store.queued,
            "journal_records": journal.records,
            "journal_bytes": journal.bytes,
            "drafts_waiting": sum(spool.waiting for spool in self._spools),
            **{
                f"drafts_{one}": sum(spool.tally[one] for spool in self._spools) for one in outcomes
            },
            "turns_running": self.turns.running,
            "titles_missed": self.turns.titles_missed,
            "readers": self.hub.readers,
            "guests_swept": self.identity.swept,
            "search_lag_seconds": self.indexer.lag_s,
        }

    def figures_by_code(self) -> Mapping[str, Mapping[tuple[str, ...], int]]:
        """The figures that are counted by code; before the code of an answer stands its end."""
        written, failed = self._ground.store.counters, self.turns.provider_errors
        one_code = {"provider_errors": failed, "writes_refused": written.refused}
        one_code["writes_failed"] = written.failed
        counted = {name: {(code,): n for code, n in by.items()} for name, by in one_code.items()}
        return {"answers": written.answers, **counted}

    async def recover(self, *, aside: bool = False) -> None:
        """Takes over what dead processes left in journals; with `aside` also what was set aside."""
        for part in self.parts:
            await part.recover(aside=aside)
        await self.register.go_on()
        self._recovered = True

    async def _beat(self) -> None:
        """Renews leases, takes over the turns of dead processes, and notices a database that takes nothing."""
        store = self._ground.store
        try:
            await store.read(rooms.seqs, (LOBBY,))
            if store.shared:
                if self.turns.holds:
                    await self.turns.renew()
                await self.recover()
            await self.recovery.see_to_unbegun()
            up = not any(spool.depth for spool in self._spools)
        except Unavailable as failure:
            log.warning("database.away", code=failure.code)
            up = False
        self.hub.database_is(up=up)

    async def _sweep(self) -> None:
        """Deletes guests who have left nothing, and what ended long ago; not while something waits."""
        waiting = any(spool.waiting for spool in self._spools)
        if self._recovered and self.history == "whole" and not waiting:
            await self.identity.sweep()
            await self.devices.forget_ended()
            await self.register.go_on()

    async def _end_run_out(self) -> None:
        await self.devices.end_run_out(self.hub.present, self.standings)

    async def drain(self, seconds: float) -> None:
        """Stops gracefully: tells the readers when to come back, and ends the running answers in time."""
        good_bye(self.hub, self.clock)
        await self.turns.drain(seconds * DRAIN_PART)


@asynccontextmanager
async def started(
    settings: Settings,
    *,
    clock: Clock | None = None,
    encode: Encode | None = None,
    tell: Tell | None = None,
    provider: Provider | None = None,
    lanes: Lanes | None = None,
    database: Database | None = None,
    bus: Bus | None = None,
    lobby: bool = True,
) -> AsyncGenerator[Core, None]:
    """Opens the store and runs a Palaver in it until the block ends.

    Answers of killed processes are stored first, as far as they were shown, within `RECOVERY_SECONDS_MAX`.
    `encode` makes an item's shared bytes for a wire, `tell` what webhooks are sent (None: nothing); `provider`,
    `database` and `bus` replace the ones that settings or detection give; `lanes` says where the store's blocking work
    runs. Refused: what `Store.opened` refuses.
    """
    clock = clock or SystemClock()
    async with AsyncExitStack() as ending:
        ground = await grounded(
            ending, settings, clock, encode, tell, provider, lanes, database, bus
        )
        if lobby:
            await ground.store.write(lobby_of(ground.assistant))
        audited = await ground.store.write(OpenAudit())
        await ground.profiles.read()
        async with tasks_of_a_server() as tasks:
            core = Core(ground, tasks, audited)
            for part in core.parts:
                ending.callback(part.close)
            running = [tasks.create_task(part.run()) for part in core.parts]
            try:
                await core.recover(aside=True)
                await core.turns.recovered(RECOVERY_SECONDS_MAX)
                yield core
                await ground.history.remember()
            finally:
                for task in running:
                    task.cancel()
                await core.turns.drain(0)
