"""An open Palaver: `open` gives it, for as long as its block runs."""

import logging
import re
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import UUID, uuid5

import structlog
from msgspec import structs

from palaver.clock import Clock
from palaver.core.identity.actors import APPLICATION_HANDLE
from palaver.core.runtime import Core, started
from palaver.core.search.search import Found
from palaver.errors import Code, Refused
from palaver.facade.agents import Agents
from palaver.facade.following import of_all
from palaver.facade.people import People
from palaver.facade.profiles import Profiles
from palaver.facade.room import Room
from palaver.facade.webhooks import Webhooks
from palaver.model import (
    Actor,
    ActorKind,
    Event,
    Message,
    Room as RoomValue,
    RoomId,
    Speaks,
)
from palaver.model.deleted import Deleted
from palaver.model.usage import Budget, BudgetKind, BudgetPeriod, UsageReport, UsedBy
from palaver.policy import Action, ServerAct, asks
from palaver.providers.base import Provider
from palaver.settings import Settings, in_memory, settings_from, sqlite_file
from palaver.store.engine.executors import InlineLanes
from palaver.wire.webhooks import teller

HANDLE_CHARS_MAX = 200
_ROOM_ID = re.compile(r"r_[0-9a-f]{32}")
_NAMESPACE = UUID("0d6cbb2e-5c1f-5f0e-8b77-4a3f6f1d9c10")


@asks(ServerAct.OPERATE)
@asynccontextmanager
async def open(  # noqa: A001  `palaver.open` is how it reads
    url: str | None = None,
    *,
    settings: Settings | None = None,
    provider: Provider | None = None,
    clock: Clock | None = None,
) -> AsyncGenerator["Chat", None]:
    """Opens a database, creates or migrates it where that is needed, and closes it at the end of the block.

    `url`: `sqlite:///relative.db`, `sqlite:////absolute.db` or `postgresql://…`; without it, the one of the settings.
    `sqlite://` is in memory, for tests: each block has its own database, on the loop's thread, gone with it.
    Answers of a killed process are stored first, as far as they were shown, within `RECOVERY_SECONDS_MAX`.
    Only warnings are logged, to standard error, unless the program has configured structlog itself.
    `settings`: by default those of the environment, but local models are not looked for. `provider` answers in rooms
    that were made with `assistant=True`. Refused: `database_url_invalid`, `database_locked` (another process has
    the file), `database_newer`, `database_older`, `settings_invalid`.
    """
    if not structlog.is_configured():  # a program that logs its own way has said so already
        structlog.configure(
            wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
            logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        )
    if settings is None:
        settings = settings_from(database_url=url, data_dir=_folder_of(url), detect=False)
    elif url is not None:
        settings = settings.model_copy(update={"database_url": url})
    async with AsyncExitStack() as ending:
        lanes = None
        if in_memory(settings.url):
            folder = Path(ending.enter_context(TemporaryDirectory(prefix="palaver-")))
            settings, lanes = settings.model_copy(update={"data_dir": folder}), InlineLanes()
        core = await ending.enter_async_context(
            started(
                settings,
                tell=teller(settings),
                clock=clock,
                provider=provider,
                lanes=lanes,
                lobby=False,
            )
        )
        program = await core.identity.person(APPLICATION_HANDLE, "Application")
        program = structs.replace(program, hidden=True)
        try:
            yield Chat(core, program)
        finally:
            await core.drain(settings.stop_seconds)


@dataclass(eq=False, repr=False)
class Chat:
    """An open Palaver: its rooms, people and agents."""

    _core: Core
    _program: Actor

    def __post_init__(self) -> None:
        """People have accounts, sessions, keys and invitations; agents cards; profiles are ways to model servers.

        Webhooks are told what happens.
        """
        core = self._core
        self.people, self.agents, self.profiles = People(core), Agents(core), Profiles(core)
        self.webhooks = Webhooks(core, self._program)

    @asks(ServerAct.ROOMS)
    async def search(
        self,
        query: str,
        *,
        by: Actor | None = None,
        room: RoomId | None = None,
        limit: int = 20,
        cursor: str | None = None,
        relevance: bool = False,
    ) -> Found:
        """Finds messages by words, newest first or by `relevance`, of those that `by` may read (None: the program).

        What a query may say: docs/search.md. `room`: in this one alone. `found.cursor` goes on; where not
        `found.complete`, something may be missing, and `indexed_until` says from when on (ms).
        Refused: `query_too_long`, `limit_invalid`, `cursor_invalid`, `room_not_found`.
        """
        return await self._core.search.find(
            self._program if by is None else by,
            query,
            room=room,
            limit=limit,
            cursor=cursor,
            relevance=relevance,
        )

    @asks(Action.READ)
    async def star(self, actor: Actor, message: Message, *, there: bool = True) -> None:
        """Stars a message for one who may read it, which nobody else sees; `there` False takes that back.

        Refused: `message_not_found` (or deleted, or not theirs to read), `too_many_marks` (more than 10,000).
        """
        await self._core.chat.star(actor, message.id, there=there)

    @asks(ServerAct.ROOMS)
    async def starred(self, actor: Actor) -> AsyncGenerator[Message, None]:
        """Yields what somebody has starred and may read, the last starred first."""
        cursor: str | None = None
        while True:
            found, cursor = await self._core.chat.starred(actor, cursor=cursor)
            for message, _ in found:
                yield message
            if cursor is None:
                return

    @asks(ServerAct.OPERATE)
    async def usage(
        self,
        by: UsedBy = UsedBy.MODEL,
        *,
        since: str | None = None,
        until: str | None = None,
        person: Actor | None = None,
    ) -> UsageReport:
        """What answers used from one day to another (dates; the last 30 days), of all or of whom a `person` set off.

        Refused: `bad_request`.
        """
        if person is not None:
            return await self._core.usage.own(person, since, until, by)
        return await self._core.usage.all(None, since, until, by)

    @asks(ServerAct.OPERATE)
    async def budgets(self, person: Actor | None = None) -> Sequence[Budget]:
        """Lists the budgets, all or those of a `person`, with what is used of them."""
        if person is not None:
            return await self._core.usage.own_budgets(person)
        return await self._core.usage.budgets(None)

    @asks(ServerAct.OPERATE)
    async def set_budget(
        self,
        period: BudgetPeriod,
        *,
        of: Actor | None = None,
        tokens: int | None = None,
        cost_micros: int | None = None,
    ) -> None:
        """Bounds what answers use in a period: of the server, a person or an agent. Without a bound it is taken away.

        Refused: `bad_request`, `not_found`.
        """
        kind = BudgetKind.SERVER if of is None else BudgetKind(of.kind)
        given = {"tokens": tokens, "cost_micros": cost_micros}
        await self._core.usage.set_budget(None, kind, of and of.id, period, **given)

    @asks(ServerAct.OPERATE)
    async def person(self, handle: str, *, name: str | None = None) -> Actor:
        """Gets the person whom the program knows as `handle`, or creates one. Others see the `name`.

        Refused: `name_invalid`, `name_reserved` (also a handle that is an agent's).
        """
        actor = await self._core.identity.person(_handle(handle), name)
        return _of_kind(actor, ActorKind.PERSON, handle)

    @asks(ServerAct.OPERATE)
    async def agent(
        self,
        handle: str,
        *,
        name: str | None = None,
        model: str | None = None,
        system_prompt: str | None = None,
    ) -> Actor:
        """Creates the agent that the program knows as `handle`, or changes it.

        A field that is None stays as it is. A new agent without a name is called by its handle. `model=""` is the
        server's default model.
        Refused: `name_reserved` (a handle that is a person's).
        """
        card = await self._core.agents.ensured(
            _handle(handle), name, model=model, persona=system_prompt
        )
        return _of_kind(card.actor, ActorKind.AGENT, handle)

    @asks(ServerAct.ROOMS)
    async def room(self, name: str, *, assistant: bool = False) -> "Room":
        """Gets the room of this name or id. A name that is new creates a room with that title.

        The name stays valid when the room gets another title. A deleted room is restored. With `assistant`, the
        configured model answers what people say, in a room that this call creates.
        Refused: `room_not_found` (an id of no room of this program's), `title_too_long`.
        """
        rooms, program = self._core.rooms, self._program
        if _ROOM_ID.fullmatch(name):
            return self._handle(await rooms.get(program, RoomId(name)))
        room = RoomId(f"r_{uuid5(_NAMESPACE, name).hex}")
        return self._handle(
            await rooms.ensured(program, room, title=name, agent=assistant, speaks=Speaks.ALWAYS)
        )

    @asks(ServerAct.ROOMS)
    async def new_room(self, title: str = "", *, assistant: bool = False) -> "Room":
        """Creates a room. Without a title it is named after its first message. Refused: `title_too_long`."""
        room = await self._core.rooms.create(
            self._program, title=title, agent=assistant, speaks=Speaks.ALWAYS
        )
        return self._handle(room)

    @asks(ServerAct.ROOMS)
    async def rooms(self, *, search: str | None = None) -> AsyncGenerator["Room", None]:
        """Yields the rooms by last activity, newest first, and reads a page of them at a time.

        `search`: only rooms whose title has this text, in any case; at most 200 characters. Refused: `bad_request`.
        """
        cursor: str | None = None
        while True:
            found, cursor = await self._core.rooms.listing(
                self._program, limit=50, cursor=cursor, search=search
            )
            for room in found:
                yield self._handle(room)
            if cursor is None:
                return

    @asks(ServerAct.ROOMS)
    async def deleted(self, cursor: str | None = None) -> Deleted:
        """Reads what was recently deleted in the program's rooms: messages and histories, the last one first.

        A page of it, from a `cursor` on. Refused: `cursor_invalid`.
        """
        return await self._core.chat.deleted(self._program, cursor=cursor)

    @asks(ServerAct.ROOMS)
    def events(self, after: str | None = None) -> AsyncGenerator[tuple[str, Event], None]:
        """Yields what happens in all rooms that the program sees, each with the cursor behind it, until it is closed.

        `after`: such a cursor, "earliest" for all that is still known, None for what happens from now on. Refused:
        `cursor_invalid`, `cursor_expired` (older than what is kept).
        """
        return of_all(self._core, self._program, after)

    def _handle(self, room: RoomValue) -> "Room":
        return Room(_core=self._core, _program=self._program, value=room)


def _folder_of(url: str | None) -> Path | None:
    """The folder of a SQLite file, which becomes the data directory."""
    file = None if url is None else sqlite_file(url)
    return None if file is None else file.parent


def _handle(handle: str) -> str:
    if not 1 <= len(handle) <= HANDLE_CHARS_MAX or not handle.isprintable():
        raise Refused(
            Code.NAME_INVALID,
            f"A handle has 1 to {HANDLE_CHARS_MAX} characters, all of which can be seen.",
        )
    return handle


def _of_kind(actor: Actor, kind: ActorKind, handle: str) -> Actor:
    if actor.kind is not kind:
        raise Refused(Code.NAME_RESERVED, f"The handle {handle!r} belongs to the {actor.kind}.")
    return actor
