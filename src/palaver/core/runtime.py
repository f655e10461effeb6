"""The one composition root: puts the parts together, starts what must run, and takes it all down again."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import structlog

from palaver.clock import Clock, SystemClock
from palaver.core.access import Access
from palaver.core.answers.engine import Engine
from palaver.core.api_keys import Keys
from palaver.core.devices import Devices
from palaver.core.exchanges import Exchanges
from palaver.core.identity import Identity
from palaver.core.live.cluster import PeerSync
from palaver.core.live.hub import Hub
from palaver.core.live.items import Closing, DatabaseState, Encode, not_encoded
from palaver.core.live.outbox import Outbox
from palaver.core.messages import Chat, said
from palaver.core.rollback import History
from palaver.core.rooms import Rooms
from palaver.core.spool.exchanges import ExchangeSpool
from palaver.core.spool.messages import MessageSpool
from palaver.core.spool.spool import Means
from palaver.errors import Code, ProviderError, Unavailable
from palaver.model import NO_DATA, ActorId, Event, RoomId, TitleSource, Visibility
from palaver.providers.base import Model, Provider
from palaver.providers.call import Body, Call, Forwards
from palaver.providers.openai.completion import complete
from palaver.providers.openai.compose import call
from palaver.providers.pool import Providers
from palaver.settings import Settings
from palaver.store.admin.high_water import Mark
from palaver.store.engine.base import Database
from palaver.store.engine.executors import Lane, Lanes, ThreadLanes
from palaver.store.journal import Journal
from palaver.store.notify import Bus, bus_of
from palaver.store.read import actors, events, rooms
from palaver.store.store import Store
from palaver.store.write.database import KeepSecret
from palaver.store.write.rooms import CreateRoom

LOBBY = RoomId("r_00000000000070008000006c6f626279")
ASSISTANT_HANDLE = "assistant"
PULSE_SECONDS = 5.0
SYNC_SECONDS = 1.0
MARK_SECONDS = 1.0
SWEEP_SECONDS = 3_600.0
BYE_SPREAD_MS = 3_000
DRAIN_PART = 0.5

log = structlog.stdlib.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Models:
    """What can answer here. `hint` says how to connect a model while none is."""

    models: tuple[Model, ...]
    provider: str
    hint: str | None


async def models_of(providers: Providers) -> Models:
    """The models that can be asked now. A provider that fails has none, and says why in `hint`."""
    provider = await providers.current()
    try:
        models = await provider.models()
    except ProviderError as failure:
        return Models(models=(), provider=provider.name, hint=failure.detail)
    return Models(models=models, provider=provider.name, hint=providers.hint())


class Core:
    """A running Palaver, as the doors see it."""

    def __init__(self, parts: "_Parts", tasks: asyncio.TaskGroup, assistant: ActorId) -> None:
        store, hub, settings, clock = parts.store, parts.hub, parts.settings, parts.clock
        journals = settings.data_dir / "journal"
        self._parts = parts
        self.settings, self.clock, self.hub = settings, clock, hub
        self.providers, self._history = parts.providers, parts.history
        self.epoch = store.epoch
        self.db_up = True
        self.lobby = LOBBY
        self.assistant = assistant
        self.access, self.identity = Access(store), parts.identity
        self.keys = Keys(store, settings, clock)
        self.devices = Devices(store, hub, settings, clock)
        self.rooms = Rooms(store, self.access, settings, clock, assistant)
        self.turns = Engine(
            store=store,
            hub=hub,
            outbox=parts.outbox,
            history=parts.history,
            journal=parts.journal,
            access=self.access,
            provider=parts.providers.current,
            settings=settings,
            clock=clock,
            tasks=tasks,
        )
        means = partial(
            Means,
            store=store,
            history=parts.history,
            lane=parts.lane,
            settings=settings,
            clock=clock,
            away=partial(self.database_is, up=False),
        )
        drafts = means(directory=journals / "drafts")
        self.drafts = MessageSpool(hub, partial(said, self.turns), **drafts)
        self.chat = Chat(
            store=store,
            hub=hub,
            access=self.access,
            turns=self.turns,
            drafts=self.drafts,
            settings=settings,
            clock=clock,
        )
        self.held = ExchangeSpool(**means(directory=journals / "exchanges"))
        self.exchanges = Exchanges(
            store=store,
            access=self.access,
            turns=self.turns,
            held=self.held,
            assistant=assistant,
            settings=settings,
            clock=clock,
            tasks=tasks,
        )

    @property
    def history(self) -> Literal["whole", "behind"]:
        """`behind`: the database has lost something that it once held; `palaver doctor` says what."""
        return "whole" if self._history.behind is None else "behind"

    def database_is(self, *, up: bool) -> None:
        """Tells everybody that the database went away or came back, if that is news."""
        if up != self.db_up:
            self.db_up = up
            self.hub.to_all(lambda: DatabaseState(up))

    def figures(self) -> Mapping[str, int]:
        """What this process has done since it began, and what waits in it now; `wire/metrics` says what each means."""
        written, kept = self._parts.store.counters, self._parts.journal
        one, other = self.drafts.tally, self.held.tally
        return {
            "commits": written.commits,
            "events": written.rows,
            "writes_waiting": self._parts.store.queued,
            "journal_records": kept.records,
            "journal_bytes": kept.bytes,
            "drafts_waiting": self.drafts.waiting + self.held.waiting,
            "drafts_accepted": one.accepted + other.accepted,
            "drafts_drained": one.drained + other.drained,
            "drafts_rejected": one.rejected + other.rejected,
            "drafts_lost": one.lost + other.lost,
            "turns_running": self.turns.running,
            "titles_missed": self.turns.titles_missed,
            "readers": self.hub.readers,
            "guests_swept": self.identity.swept,
        }

    def figures_by_code(self) -> Mapping[str, Mapping[tuple[str, ...], int]]:
        """The same of what is counted by code; before the code of an answer stands its end."""
        written, failed = self._parts.store.counters, self.turns.provider_errors
        one_code = {"provider_errors": failed, "writes_refused": written.refused}
        one_code["writes_failed"] = written.failed
        counted = {name: {(code,): n for code, n in by.items()} for name, by in one_code.items()}
        return {"answers": written.answers, **counted}

    async def models(self) -> Models:
        """The models that can be asked now."""
        return await models_of(self.providers)

    async def call(
        self,
        method: str,
        path: str,
        body: Body = None,
        headers: Mapping[str, str] = NO_DATA,
        *,
        stream: bool = False,
        choices: int = 1,
    ) -> Call:
        """Asks the model server at a path below its base; see `providers.openai.compose`. Raises `ProviderError`."""
        provider = await self.providers.current()
        with self.turns.counting():
            return await call(
                provider,
                method,
                path,
                body,
                headers,
                clock=self.clock,
                stream=stream,
                choices=choices,
            )

    async def complete(self, body: dict[str, Any], *, shortens: bool = False) -> Call:
        """Asks for a chat completion in our own words; see `providers.openai.completion`. Raises `ProviderError`."""
        provider = await self.providers.current()
        with self.turns.counting():
            return await complete(provider, body, clock=self.clock, shortens=shortens)

    async def recover(self, *, aside: bool = False) -> None:
        """Takes over what dead processes left in journals; with `aside` also what was set aside."""
        for left in (self.held, self.turns, self.drafts):
            await left.recover(aside=aside)

    async def origin(self, model: str) -> str | None:
        """By what it is known that something was told by the model server and a model; see `BesidePiece`."""
        provider = await self.providers.current()
        return provider.origin(model) if isinstance(provider, Forwards) else None

    def good_bye(self) -> None:
        """Tells the readers when to come back, not all at once."""
        self.hub.to_all(lambda: Closing(500 + round(self.clock.chance() * BYE_SPREAD_MS)))

    async def drain(self, seconds: float) -> None:
        """A graceful stop: tells the readers when to come back, and ends the running answers in time."""
        self.good_bye()
        await self.turns.drain(seconds * DRAIN_PART)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parts:
    """What the core is made of, from the ground up."""

    store: Store
    hub: Hub
    outbox: Outbox | None
    journal: Journal
    lane: Lane[None]
    history: History
    identity: Identity
    providers: Providers
    settings: Settings
    clock: Clock

    async def close(self) -> None:
        """Ends what it opened itself."""
        await self.providers.close()
        self.journal.close()


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
    published: list[Callable[[Sequence[Event]], None]] = []

    committed = partial(_committed, published)
    opened = Store.opened(settings, clock, committed=committed, lanes=lanes, database=database)
    async with AsyncExitStack() as ending:
        store = await ending.enter_async_context(opened)
        bus = bus or bus_of(settings, clock)
        outbox = None if bus is None else Outbox(bus, store.owner[:12])
        hub = Hub(encode or not_encoded, partial(_seq_of, store), outbox)
        published.append(hub.publish)
        lane = (lanes or ThreadLanes()).lane("journal", 1, _nothing, _nothing)
        ending.push_async_callback(lane.close)
        parts = _Parts(
            store=store,
            hub=hub,
            outbox=outbox,
            journal=Journal(settings.data_dir / "journal" / "streams", store.owner, named=True),
            lane=lane,
            history=await _history(settings, store, lane, published),
            identity=await _identity(store, settings, clock),
            providers=Providers(settings, clock, fixed=provider),
            settings=settings,
            clock=clock,
        )
        ending.push_async_callback(parts.close)
        tasks = await ending.enter_async_context(_tasks())
        core = Core(parts, tasks, await _assistant(store, parts.identity))
        ending.callback(core.drafts.close)
        ending.callback(core.held.close)
        await _lobby(store, core.assistant, wanted=lobby)
        running = [tasks.create_task(one) for one in _background(core, parts)]
        for peers in _peers(store, core, bus, outbox):
            published.append(peers.committed)
            running.append(tasks.create_task(peers.run()))
        try:
            await core.recover(aside=True)
            running.append(tasks.create_task(_sweep(core)))
            yield core
            await _compare(parts.history)
        finally:
            for task in running:
                task.cancel()
            await core.turns.drain(0)


def _background(core: Core, parts: _Parts) -> Sequence[Coroutine[Any, Any, None]]:
    """What runs beside everything else."""
    store, lane = parts.store, parts.lane
    found = [
        _pulse(core, store),
        _sync(parts.journal, lane),
        _remember(core, store, parts.history),
    ]
    found += [core.drafts.run(), core.held.run(), core.keys.remember()]
    if store.shared:
        found.append(_copy(core))
    return found


class _Tasks(asyncio.TaskGroup):
    """A group of tasks, which says that the server is stopping to who comes after its end."""

    def create_task(self, coro: Any, **options: Any) -> asyncio.Task[Any]:
        """See asyncio. Unavailable: `shutting_down`."""
        try:
            return super().create_task(coro, **options)
        except RuntimeError:
            coro.close()
            raise Unavailable(Code.SHUTTING_DOWN, "the server is stopping") from None


@asynccontextmanager
async def _tasks() -> AsyncGenerator[asyncio.TaskGroup, None]:
    """A group of tasks; an error of the block goes on as it is, not wrapped."""
    failure: BaseException | None = None
    async with _Tasks() as tasks:
        try:
            yield tasks
        except BaseException as error:  # noqa: BLE001  raised again below
            failure = error
    if failure is not None:
        raise failure


async def _seq_of(store: Store, room: RoomId) -> int:
    return (await store.read(rooms.seqs, (room,)))[room]


def _committed(
    published: Sequence[Callable[[Sequence[Event]], None]], events: Sequence[Event]
) -> None:
    """Tells all who listen what was committed."""
    for publish in published:
        publish(events)


def _peers(store: Store, core: Core, bus: Bus | None, outbox: Outbox | None) -> Sequence[PeerSync]:
    """What hears the other processes of this database, where there can be some."""
    if bus is None or outbox is None:
        return ()
    since, seqs = partial(store.read, events.since), partial(store.read, rooms.seqs)
    return (PeerSync(bus, core.hub, outbox, stop=core.turns.stop_here, since=since, seqs=seqs),)


async def _identity(store: Store, settings: Settings, clock: Clock) -> Identity:
    """Who is there, with the secret of this database."""
    return Identity(store, settings, clock, await store.write(KeepSecret(value=clock.secret())))


async def _assistant(store: Store, identity: Identity) -> ActorId:
    """The server's own agent."""
    known = await store.read(actors.by_handle, ASSISTANT_HANDLE)
    if known is not None:
        return known.id
    return (await identity.agent(ASSISTANT_HANDLE, "Assistant")).actor.id


async def _lobby(store: Store, assistant: ActorId, *, wanted: bool) -> None:
    """The room that everyone on this server sees."""
    if not wanted:
        return
    await store.write(
        CreateRoom(
            id=LOBBY,
            title="Lobby",
            title_source=TitleSource.USER,
            visibility=Visibility.OPEN,
            owner=None,
            agents=(assistant,),
        )
    )


def _nothing(*_: None) -> None:
    """The journal's thread needs no connection of its own."""


async def _sync(journal: Journal, lane: Lane[None]) -> None:
    """Puts the journal on the disk once a second, so that a power cut loses no more than that."""
    while True:
        await asyncio.sleep(SYNC_SECONDS)
        job = journal.sync_job()
        if job is not None:
            try:
                await lane.run(job)
            except OSError as failure:
                log.warning("journal.not_synced", errno=failure.errno)


async def _history(
    settings: Settings,
    store: Store,
    lane: Lane[None],
    published: list[Callable[[Sequence[Event]], None]],
) -> History:
    """The history, compared with its mark before anybody is served."""
    mark = Mark.of(settings)
    if mark is not None:
        published.append(mark.committed)
    history = History(store, mark, lane)
    await _compare(history, thorough=True)
    return history


async def _compare(history: History, *, thorough: bool = False) -> None:
    try:
        await history.compare(thorough=thorough)
    except Unavailable as failure:
        log.warning("history.not_compared", code=failure.code)


async def _remember(core: Core, store: Store, history: History) -> None:
    """Keeps the mark. When the history becomes another one while we serve, everyone here must begin anew."""
    while True:
        await asyncio.sleep(MARK_SECONDS)
        await _compare(history)
        if core.epoch != store.epoch:
            core.epoch = store.epoch
            core.good_bye()
            core.hub.restart()


async def _sweep(core: Core) -> None:
    """Deletes guests who have left nothing, once an hour. Not while something waits that may be theirs."""
    while True:
        more = False
        if core.history == "whole" and not core.drafts.waiting + core.held.waiting:
            with suppress(Unavailable):
                more = await core.identity.sweep()
        await asyncio.sleep(SYNC_SECONDS if more else SWEEP_SECONDS)


async def _copy(core: Core) -> None:
    """Once a second: copies running answers, so that another host can take them over; ends what others have ended."""
    while True:
        await asyncio.sleep(SYNC_SECONDS)
        with suppress(Unavailable):
            await core.turns.copy()
            await core.devices.see_ended()


async def _pulse(core: Core, store: Store) -> None:
    """Keeps this process's turns its own, takes over those of dead ones, and notices a database that is away."""
    while True:
        await asyncio.sleep(PULSE_SECONDS)
        try:
            await store.read(rooms.seqs, (LOBBY,))
            if store.shared:
                if core.turns.running:
                    await core.turns.renew()
                await core.recover()
            await core.turns.see_to_unbegun()
            # a database that only reads is away for those who write
            up = core.drafts.depth + core.held.depth == 0
        except Unavailable as failure:
            log.warning("database.away", code=failure.code)
            up = False
        core.database_is(up=up)
