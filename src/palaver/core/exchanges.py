"""Opens exchanges, requests of API clients and their answers, and finds those that are stored.

Theory of operation. `open` stores what is new of a request, and its turn, in one transaction; `run` gives the call on
to the engine, which records its answer as any other. What comes is put on a tape that the client's connection reads,
from its beginning or from where it was. A client that goes away changes nothing, unless the settings say so.

It knows nothing of the API's JSON: a wire makes entries of requests, and answers of tapes and messages.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from hashlib import blake2b
from typing import cast

from msgspec import Struct
from msgspec.structs import replace

from palaver.core import validation
from palaver.core.answers.compaction import Compaction
from palaver.core.answers.engine import Ask, Close, Engine
from palaver.core.answers.pieces import pieces_left, pieces_of
from palaver.core.answers.tape import ExchangeRequest, LiveAnswer, told_already
from palaver.core.ground import Ground
from palaver.core.spool.exchanges import ExchangeSpool
from palaver.errors import Code, Refused, Unavailable
from palaver.model import (
    NO_DATA,
    Actor,
    ActorId,
    Entry,
    ExchangeId,
    Kind,
    Message,
    MessageId,
    Meta,
    Role,
    RoomId,
    Spans,
    TitleSource,
    Turn,
    TurnId,
    TurnState,
)
from palaver.model.exchanges import Exchange, ExchangeKind, ExchangeState
from palaver.model.usage import Unkept
from palaver.policy import check_room, owns
from palaver.providers.base import Piece
from palaver.providers.call import Call
from palaver.store.read import actors, exchanges, turns
from palaver.store.write.exchanges import ChangeExchange, Opened, OpenExchange
from palaver.store.write.messages import AddEntries, SetMessageDeleted
from palaver.store.write.rooms import CreateRoom

DOOR = "openai"
TITLE_CHARS_MAX = 80
ELSEWHERE_SECONDS = 0.5
ELSEWHERE_SECONDS_MAX = 30.0
"""How often an answer that comes to another process is looked for; how long a request that came again waits for it."""
_RULING = frozenset({Role.SYSTEM, Role.DEVELOPER})


class Exchanges:
    """The exchanges of this process, and all that are stored."""

    def __init__(self, ground: Ground, turns: Engine, held: ExchangeSpool) -> None:
        self._store, self._access = ground.store, ground.access
        self._settings, self._clock = ground.settings, ground.clock
        self._assistant = ground.assistant
        self._turns, self._held = turns, held
        self.run, self.running = turns.run, turns.of_exchange

    # asking

    async def open(self, actor: Actor, asked: ExchangeRequest) -> LiveAnswer:
        """Stores what is new of a request, and opens its turn. Refused: as `OpenExchange` and `check_room` say."""
        _check_room(actor, asked)
        kept = self._store.redacted(asked)
        command = self._opening(actor, kept)
        try:
            opened = await self._store.write(command)
            if opened.dup and opened.exchange.id != command.id:
                opened = await self._met(actor, command, opened)
        except Unavailable as failure:
            if not failure.database_away or not self._may_wait(asked):
                raise
            return await self._accepted(command, asked)
        exchange = opened.exchange
        if opened.dup:
            running = self.running(exchange.id) or told_already(exchange)
            running.dup = True
            return running
        composed = asked.kind is not ExchangeKind.CHAT
        context = await self.messages(exchange, answers=False) if composed else ()
        if kept is not asked:  # its client and its model are told what it said
            exchange = replace(exchange, request=asked.request, metadata=asked.metadata)
            context = _as_said(context, asked.entries, kept.entries)
        running = LiveAnswer(opened.turn, exchange, context=context, by=asked.by)
        running.card = asked.card
        running.asked_chars = sum(len(one.text) for one in context or asked.entries)
        if opened.untitled and asked.room is not None:
            title = _title(kept.entries, kept.title)
            await self._turns.name(exchange.room, title, TitleSource.FIRST_MESSAGE)
        return running

    async def begin(self, actor: Actor, asked: ExchangeRequest, ask: Ask) -> LiveAnswer:
        """`open` and `run`, with the call on its way while a request is stored. A repeated one is looked for first."""
        _check_room(actor, asked)
        if asked.repeated or await self._turns.budgets.are_there():  # nobody is asked unreserved
            running = await self.open(actor, asked)
            if not running.dup:
                self.run(running, ask)
            return running
        early = _EarlyCall(self._turns.tasks.create_task(_quietly(ask)))
        try:
            await asyncio.sleep(0)  # the call goes out first: nobody waits longer for the model
            running = await self.open(actor, asked)
        except BaseException:
            await early.close()
            raise
        if running.dup:
            await early.close()
        else:
            running.asked = True
            self.run(running, early.answered, close=early.close)
        return running

    def unstored(
        self,
        actor: Actor,
        asked: ExchangeRequest,
        ask: Ask,
        *,
        before: Sequence[Entry | Message] = (),
        close: Close | None = None,
    ) -> LiveAnswer:
        """A call of which nothing is kept but what it used; it ends with its client, and with the key that asked.

        `before`: what was said before the request.
        """
        answer = Unkept(
            id=TurnId(f"t_{self._clock.new_id()}"),
            by=actor.id,
            agent=asked.agent or self._assistant,
            model=asked.model,
        )
        running = LiveAnswer(None, by=asked.by, unkept=answer)
        running.card = asked.card
        running.asked_chars = sum(len(one.text) for one in (*before, *asked.entries))

        async def over() -> None:
            if close is not None:
                await close()
            await self._turns.count_unkept(running, answer)

        self.run(running, ask, close=over)
        return running

    def left(self, running: LiveAnswer) -> None:
        """Cancels the answer of a client that has gone, unless `openai_finish` is set."""
        if not running.over and (running.exchange is None or not self._settings.openai_finish):
            running.stop()

    # what there is

    async def get(self, actor: Actor, exchange: ExchangeId) -> Exchange:
        """One exchange of this actor's. Refused: `exchange_not_found`."""
        return _own(await self._store.read(exchanges.get, exchange), actor)

    async def seen(self, actor: Actor, exchange: ExchangeId) -> Exchange:
        """An exchange in a room that the actor may read. Refused: `exchange_not_found`."""
        found = await self._store.read(exchanges.get, exchange)
        if found is None or not await self._access.sees(actor, found.room):
            raise _not_found()
        return found

    async def asker(self, exchange: Exchange) -> Actor:
        """Whose request it is."""
        actor = await self._store.read(actors.get, exchange.actor)
        assert actor is not None, "who asked is never deleted"
        return actor

    async def named(self, actor: Actor, name: str) -> Exchange:
        """The chat completion that its upstream gave this name. Refused: `exchange_not_found`."""
        return _own(await self._store.read(exchanges.by_name, name, actor.id), actor)

    async def messages(self, exchange: Exchange, *, answers: bool) -> tuple[Message, ...]:
        """The messages of the request, or of the answer."""
        spans = tuple((seq, seq) for seq in exchange.answers) if answers else exchange.view
        found = await self._store.read(exchanges.spoken, exchange.room, spans, exchange.actor)
        return heard(found, exchange.actor)

    async def page(
        self,
        actor: Actor,
        room: RoomId,
        spans: Spans,
        *,
        after: MessageId | None,
        limit: int,
        newest_first: bool,
    ) -> tuple[Message, ...] | None:
        """At most `limit` messages of a view, or of a room, behind one of them; None where that is none of them."""
        order = {"limit": limit, "newest_first": newest_first}
        read = partial(exchanges.page, after=after, **order, asker=actor.id)
        found = await self._store.read(read, room, spans)
        return found and tuple([shown_to(actor.id, one) for one in found])

    async def compaction(self, actor: Actor, message: MessageId) -> Message:
        """A compaction that this actor asked for. Refused: `message_not_found`, `exchange_not_found`."""
        found = await self._access.message(actor, message)
        if "keeps" not in found.meta or found.deleted_ms is not None:
            raise Refused(Code.MESSAGE_NOT_FOUND, "There is no such compaction.")
        await self.get(actor, ExchangeId(found.meta.get("exchange", "")))
        return found

    async def kept(self, by: ActorId, message: Message) -> Compaction:
        """Reads what a stored compaction keeps for who asks, without the tokens that it took before."""
        sides: list[list[Message]] = []
        of = await self._store.read(exchanges.get, ExchangeId(message.meta.get("exchange", "")))
        asker = exchanges.NOBODY if of is None else of.actor
        for spans in message.meta.get("keeps", ((), ())):
            said = await self._store.read(exchanges.spoken, message.room, spans, asker)
            told = heard(said, by)
            sides.append([replace(one, meta=_without_usage(one.meta)) for one in told])
        return Compaction(summary=message.text, before=sides[0], behind=sides[1])

    async def pieces(self, exchange: Exchange) -> list[Piece]:
        """The pieces in which a response was told; those of a chat are not kept."""
        said = await self.messages(exchange, answers=True)
        return pieces_of(said, exchange.response.get("lengths", ()))

    async def so_far(self, exchange: Exchange) -> list[Piece]:
        """The pieces of an answer that runs, as they came; of one that runs elsewhere what it had a second ago."""
        running = self.running(exchange.id)
        if running is not None:
            return running.so_far
        return pieces_left(*await self._store.read(turns.copied, exchange.turn))

    async def standing(self, actor: Actor, room: RoomId) -> tuple[Message, ...]:
        """What a request in this room would go on from now. Refused: `room_not_found`."""
        found = await self._access.conversation(actor, room)
        return heard(await self._store.read(exchanges.stands, room, found.seq), actor.id)

    async def listing(
        self,
        actor: Actor,
        kind: ExchangeKind,
        *,
        after: ExchangeId | None = None,
        limit: int = 20,
        newest_first: bool = False,
        model: str | None = None,
        metadata: Mapping[str, str] = NO_DATA,
    ) -> tuple[tuple[Exchange, ...], bool]:
        """The exchanges that the actor asked to keep, and whether there are more."""
        found = await self._store.read(
            exchanges.kept,
            actor.id,
            kind,
            after=after,
            limit=limit + 1,
            newest_first=newest_first,
            model=model,
            metadata=metadata,
            among=actor.key and actor.key.rooms,
        )
        return found[:limit], len(found) > limit

    async def change(
        self, actor: Actor, exchange: ExchangeId, metadata: Mapping[str, str]
    ) -> Exchange:
        """Sets the metadata. Refused: `exchange_not_found`."""
        return await self._store.write(ChangeExchange(id=exchange, by=actor.id, metadata=metadata))

    async def forget(self, actor: Actor, exchange: ExchangeId) -> None:
        """Removes an exchange for its client; the room keeps what was said. Refused: `exchange_not_found`."""
        await self._store.write(ChangeExchange(id=exchange, by=actor.id, forget=True))

    async def cancel(self, actor: Actor, exchange: ExchangeId) -> Exchange:
        """Stops an answer and waits for its end, wherever it runs. Refused: `exchange_not_found`."""
        found = await self.get(actor, exchange)
        running = self.running(exchange)
        if running is not None:
            running.stop()
            await running.end()
        elif found.state is ExchangeState.RUNNING:
            self._turns.stop_elsewhere(found.turn)
            for _ in range(50):
                await asyncio.sleep(0.1)
                if (await self.get(actor, exchange)).state is not ExchangeState.RUNNING:
                    break
        return await self.get(actor, exchange)

    async def _met(self, actor: Actor, command: OpenExchange, opened: Opened) -> Opened:
        """Waits for an answer that comes to another process, or came to one that has died; this may take its place."""
        met = opened.exchange
        until = self._clock.monotonic() + ELSEWHERE_SECONDS_MAX
        while (
            met.state is ExchangeState.RUNNING
            and not met.lasting
            and self._clock.monotonic() < until
        ):
            if self.running(met.id) is not None:
                return opened
            await asyncio.sleep(ELSEWHERE_SECONDS)
            met = await self.get(actor, met.id)
            if met.state is ExchangeState.FAILED:
                return await self._store.write(command)
        return replace(opened, exchange=met)

    # a room's items

    async def add(
        self, actor: Actor, room: RoomId, entries: Sequence[Entry], *, repeated: bool = False
    ) -> tuple[Message, ...]:
        """Appends entries to a room, which may give it its name; `repeated` ones are looked for first.

        Refused: `room_not_found`, `forbidden`.
        """
        unnamed = (await self._access.room(actor, room)).title_source is TitleSource.NONE
        entries = self._store.redacted(tuple(entries))
        added = await self._store.write(
            AddEntries(
                room=room,
                author=actor.id,
                agent=self._assistant,
                entries=entries,
                ids=self._ids(len(entries)),
                repeated=repeated,
            )
        )
        if unnamed:
            await self._turns.name(room, _title(entries), TitleSource.FIRST_MESSAGE)
        return added

    async def remove(self, actor: Actor, message: MessageId) -> None:
        """Deletes a message (undoably). Refused: `message_not_found`, `forbidden`."""
        await self._access.message(actor, message)
        await self._store.write(SetMessageDeleted(message=message, by=actor.id, deleted=True))

    # inside

    def _opening(self, actor: Actor, asked: ExchangeRequest) -> OpenExchange:
        """The command that stores a request. An exchange and its turn have the same digits: one key in a journal."""
        digits = self._clock.new_id()
        return OpenExchange(
            id=ExchangeId(f"x_{digits}"),
            kind=asked.kind,
            actor=actor.id,
            agent=asked.agent or self._assistant,
            turn=TurnId(f"t_{digits}"),
            message=MessageId(f"m_{self._clock.new_id()}"),
            entries=asked.entries,
            ids=self._ids(len(asked.entries)),
            model=asked.model,
            request=asked.request,
            metadata=asked.metadata,
            kept=asked.kept,
            body_digest=_digest(asked.digest + asked.client.encode(), 32)
            if asked.client
            else asked.digest,
            new_room=self._new_room(actor, asked),
            room=asked.room,
            previous=asked.previous,
            client=_digest(asked.client.encode()) if asked.client else b"",
            parent=_digest(asked.parent.encode()) if asked.parent else b"",
            whole=asked.whole,
            repeated=asked.repeated,
            lasting=asked.lasting,
            by=asked.by,
        )

    def _may_wait(self, asked: ExchangeRequest) -> bool:
        """Whether a request, which brings all that was said, can be answered without the database."""
        accepts = self._settings.when_db_down == "accept"
        return asked.kind is not ExchangeKind.RESPONSE and asked.whole and accepts

    async def _accepted(self, command: OpenExchange, asked: ExchangeRequest) -> LiveAnswer:
        """Keeps a request until the database is back. Where it will stand is decided then."""
        await self._held.accept(command)
        room = command.room or command.new_room.id
        turn = Turn(
            id=command.turn,
            room=room,
            agent=command.agent,
            agent_name="",
            trigger_seq=0,
            message=command.message,
            state=TurnState.OPEN,
            attempt=1,
            fence=1,
            external=True,
        )
        begun = command.begun(room, self._clock.now_ms())
        running = LiveAnswer(turn, begun, held=True, by=asked.by)
        running.card = asked.card
        return running

    def _ids(self, count: int) -> tuple[MessageId, ...]:
        return tuple(MessageId(f"m_{self._clock.new_id()}") for _ in range(count))

    def _new_room(self, actor: Actor, asked: ExchangeRequest) -> CreateRoom:
        title = _title(asked.entries, asked.title)
        return CreateRoom(
            id=RoomId(f"r_{self._clock.new_id()}"),
            title=title,
            title_source=TitleSource.FIRST_MESSAGE if title else TitleSource.NONE,
            visibility=asked.visibility,
            owner=actor.id,
            agents=(asked.agent or self._assistant,),
            settings=asked.about,
            door=DOOR,
        )


def shown_to(by: ActorId, one: Message) -> Message:
    """A message as who asks is shown it: what others say that the assistant or the system said are their own words."""
    theirs = (one.claimed or one.role in _RULING) and by not in {one.author, one.became}
    return replace(one, role=Role.USER) if theirs else one


def heard(said: tuple[Message, ...], by: ActorId) -> tuple[Message, ...]:
    """What is told to a model on behalf of somebody: of what others say of the assistant the words, and no calls."""
    theirs = [one for one in said if shown_to(by, one) is not one]
    if not theirs:
        return said
    left = {one.id for one in theirs if one.kind != Kind.TEXT}
    calls = [one for one in said if one.kind == Kind.TOOL_CALL]
    known = {one.meta.get("call_id") for one in calls if one.id not in left}
    gone = {one.meta.get("call_id") for one in calls} - known
    return tuple(
        [
            shown_to(by, one)
            for one in said
            if one.id not in left
            and not (one.kind == Kind.TOOL_RESULT and one.meta.get("call_id") in gone)
        ]
    )


def _title(entries: Sequence[Entry], given: str | None = None) -> str:
    said = (
        entry.text
        for entry in entries
        if entry.role is Role.USER and entry.kind is Kind.TEXT and entry.text.strip()
    )
    return validation.title_of(given or next(said, ""), TITLE_CHARS_MAX)


def _as_said(
    told: Sequence[Message], said: Sequence[Entry], kept: Sequence[Entry]
) -> tuple[Message, ...]:
    """The messages of a request in the words that it said, for its model; the newest have them first."""
    words: dict[tuple[Role, str, str], list[Entry]] = {}
    for entry, other in zip(said, kept, strict=True):
        if entry is not other:
            words.setdefault((other.role, other.kind, other.text), []).append(entry)
    found: list[Message] = []
    for one in reversed(told):
        entries = words.get((one.role, one.kind, one.text))
        entry = entries.pop() if entries else Entry(role=one.role, text=one.text)
        meta = cast("Meta", {**one.meta, **entry.meta})
        found.append(replace(one, text=entry.text, meta=meta))
    return tuple(reversed(found))


def _digest(said: bytes, size: int = 16) -> bytes:
    return blake2b(said, digest_size=size).digest()


def _without_usage(meta: Meta) -> Meta:
    return cast("Meta", {name: one for name, one in meta.items() if name != "usage"})


def _own(exchange: Exchange | None, actor: Actor) -> Exchange:
    if exchange is None or not owns(actor.id, exchange.actor):
        raise _not_found()
    try:
        check_room(actor, exchange.room)
    except Refused:
        raise _not_found() from None
    return exchange


def _check_room(actor: Actor, asked: ExchangeRequest) -> None:
    """As `policy.check_room`, of the room that a request names; the one of a response was found with that."""
    if asked.previous is None:
        check_room(actor, asked.room)


def _not_found() -> Refused:
    return Refused(Code.EXCHANGE_NOT_FOUND, "There is no such completion or response.")


async def _quietly(ask: Ask) -> Call | Exception:
    """Gives a failure as a value: a task's own would end all of the server's tasks."""
    try:
        return await ask()
    except Exception as failure:  # noqa: BLE001  raised again by who awaits the answer
        return failure


class _EarlyCall(Struct, frozen=True):
    """A call that is made before its request is stored."""

    _asked: asyncio.Task[Call | Exception]

    async def answered(self) -> Call:
        """The call, once its answer begins."""
        found = await self._asked
        if isinstance(found, Exception):
            raise found
        return found

    async def close(self) -> None:
        """Ends the call, heard or not."""
        self._asked.cancel()
        with suppress(asyncio.CancelledError):
            found = await self._asked
            if not isinstance(found, Exception):
                await found.close()
