"""Sends messages, reads what was said, and lets actors read along."""

import asyncio
from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from palaver.core import validation
from palaver.core.access import Access
from palaver.core.answers.engine import Engine
from palaver.core.emoji import emoji as emoji_of
from palaver.core.ground import Ground
from palaver.core.live.feed import Listener
from palaver.core.live.items import (
    Closing,
    Happened,
    Look,
    OwnChanged,
    ReadMark,
    SignedOut,
    Typing,
    Unsubscribed,
)
from palaver.core.live.reader import Reader
from palaver.core.spool.messages import MessageSpool
from palaver.errors import Code, Refused, Unavailable
from palaver.model import (
    Actor,
    ActorKind,
    CredentialId,
    Event,
    Message,
    MessageId,
    Meta,
    Page,
    Role,
    RoomId,
    Then,
    TitleSource,
    Turn,
)
from palaver.model.deleted import Deleted
from palaver.model.edits import Edited, Version
from palaver.policy import opens
from palaver.settings import DAY_MS
from palaver.store.read import deleted, edits, events, marks, members, messages, past, rooms
from palaver.store.store import Store
from palaver.store.write.edits import EditMessage
from palaver.store.write.marks import SetPin, SetStar
from palaver.store.write.messages import Added, AddMessage, SetMessageDeleted
from palaver.store.write.reactions import SetReaction
from palaver.store.write.rooms import MarkRead

TITLE_CHARS_MAX = 50
ROOMS_WATCHED_MAX = 1_000


class Sent(Struct, frozen=True, kw_only=True):
    """What became of a message. `stored` is committed, at `seq`; `dup`: it was there already.

    `accepted` is kept by this server until the database is back; a `Settled` item says what becomes of it.
    """

    state: Literal["stored", "accepted"]
    id: MessageId
    seq: int | None
    message: Message | None
    dup: bool
    turns: tuple[Turn, ...]


class Chat:
    """What an actor may say and read.

    A right to read is asked for after what it is needed for was read: so nothing later reaches who has lost it.
    """

    def __init__(self, ground: Ground, turns: Engine, drafts: MessageSpool) -> None:
        self._store, self._hub, self._access = ground.store, ground.hub, ground.access
        self._settings, self._clock = ground.settings, ground.clock
        self._turns, self._drafts, self._providers = turns, drafts, ground.providers

    async def send(
        self,
        actor: Actor,
        room: RoomId,
        *,
        text: str,
        cid: str | None,
        reply_to: MessageId | None = None,
        answers: bool = True,
        asks: bool = False,
        models: Sequence[str] = (),
        after: int | None = None,
        branch: int | None = None,
        meta: Meta | None = None,
        reader: Reader | None = None,
        by: CredentialId | None = None,
        accepts: bool = False,
    ) -> Sent:
        """Says something in a room. With `answers`, agents answer a person (`AddMessage`, which says of `asks`, too).

        Each of `models`, if any, answers (refused: as `Providers.named` says). At most one of `after` and `branch` says
        where it stands, as `AddMessage` does; the branch that it begins is what the actor looks at from then on. While
        the database is away, a message with a `cid` from who is known to be allowed to write there (`accepts`), or
        whose `reader` follows the room, is accepted; what this process stored under it is `stored`. `by`: the session
        or key, else the reader's. `cid` (1 to 64 visible ASCII characters) makes a repeated send safe, for ever.
        Refused: `empty_message`, `text_too_long`, `invalid_unicode`, `invalid_character`, `cid_invalid`, `cid_reused`,
        `room_not_found`, `message_not_found` (reply_to, after), `branch_not_found`, `bad_request`, `forbidden`,
        `session_ended`, `unauthenticated`, `account_disabled`.
        """
        text = validation.message_text(text, self._settings.text_chars_max)
        if (after is not None and branch is not None) or (after or 0) < 0:
            raise Refused(Code.BAD_REQUEST, "Give one of after, from 0 up, and branch.")
        command = AddMessage(
            id=MessageId(f"m_{self._clock.new_id()}"),
            room=room,
            author=actor.id,
            text=text,
            cid=None if cid is None else validation.cid(cid),
            reply_to=reply_to,
            meta=meta or Meta(),
            role=Role.USER if actor.kind is ActorKind.PERSON else Role.ASSISTANT,
            answers=answers,
            asks=asks,
            models=await self._providers.named(models, actor.id),
            after=after,
            branch=branch,
            by=by if reader is None else reader.by,
        )
        may_wait = (accepts and self._access.may_write_as_known(actor, room)) or (
            reader is not None and reader.follows(room)
        )
        return await self._send(actor, self._store.redacted(command), may_wait=may_wait)

    async def _send(self, actor: Actor, command: AddMessage, *, may_wait: bool) -> Sent:
        """Stores a message, or accepts one that `may_wait` for the database."""
        away = Unavailable(Code.DATABASE_UNAVAILABLE, "The database is away.", retry_ms=2_000)
        if not self._drafts.waits(command):
            try:
                return await self._sent(actor, command)
            except Unavailable as failure:
                if not failure.database_away:
                    raise
                away = failure
        if not may_wait or command.cid is None or self._settings.when_db_down == "reject":
            raise away
        if (stored := self._drafts.stored_here(command)) is not None:
            id_, seq = stored
            return Sent(state="stored", id=id_, seq=seq, message=None, dup=True, turns=())
        kept = await self._drafts.accept(actor, command)
        if kept is None:
            return await self._sent(actor, command)
        return Sent(state="accepted", id=kept, seq=None, message=None, dup=False, turns=())

    async def _sent(self, actor: Actor, command: AddMessage) -> Sent:
        takings = self._access.takings
        try:
            added = await self._store.write(command)
        except asyncio.CancelledError:
            self._drafts.abandoned(command)  # it may be stored, and is answered all the same
            raise
        self._access.wrote(actor, command.room, takings)
        self._drafts.remember(command, added.message)
        if command.after is not None and not added.dup:
            self._hub.tell_self(actor.id, Look(command.room, added.message.branch))
        await said(self._turns, command, added)
        message = added.message
        if added.dup:  # stored by a commit whose end was unclear, perhaps
            self._hub.reached(command.room, message.seq)
        return Sent(
            state="stored",
            id=message.id,
            seq=message.seq,
            message=message,
            dup=added.dup,
            turns=added.turns,
        )

    async def react(
        self, actor: Actor, message: MessageId, emoji: str, *, there: bool = True
    ) -> None:
        """Reacts to a message with an emoji, or not any more; what is so already is no error.

        Refused: `emoji_invalid`, `message_not_found`, `forbidden`, `room_archived`, `too_many_reactions`.
        """
        emoji = emoji_of(emoji)
        await self._access.message(actor, message)
        await self._store.write(SetReaction(message=message, by=actor.id, emoji=emoji, there=there))

    async def edit(
        self, actor: Actor, room: RoomId, message: MessageId, text: str, version: int | None = None
    ) -> Edited:
        """Gives a message another text, of which no agent is told. `version`: the one that was seen, if not the first.

        Refused: as `send` of a text; `message_not_found`, `room_not_found`, `forbidden`, `room_archived`,
        `not_editable` (deleted, or not words alone), `edit_conflict` (it has another version).
        """
        text = validation.message_text(text, self._settings.text_chars_max)
        command = EditMessage(message=message, by=actor.id, room=room, text=text, version=version)
        return await self._store.write(self._store.redacted(command))

    async def set_deleted(self, actor: Actor, message: MessageId, *, deleted: bool) -> None:
        """Deletes a message, or restores it. Refused: as `SetMessageDeleted` says."""
        await self._access.message(actor, message)
        await self._store.write(SetMessageDeleted(message=message, by=actor.id, deleted=deleted))

    async def deleted(self, actor: Actor, *, cursor: str | None = None, limit: int = 50) -> Deleted:
        """What the actor may restore of what was deleted within `deleted_days`.

        A page may be short, or empty, and have a cursor all the same. Refused: `cursor_invalid`, `limit_invalid`.
        """
        limit = validation.page_size(limit, self._settings.page_max)
        since_ms = self._clock.now_ms() - self._settings.deleted_days * DAY_MS
        found = await self._store.read(
            deleted.page, actor.id, since_ms=since_ms, cursor=cursor, limit=limit
        )
        messages = [one for one in found.messages if opens(actor, one.message.room)]
        histories = [one for one in found.histories if opens(actor, one.room)]
        return Deleted(messages, histories, found.cursor)

    async def versions(
        self, actor: Actor, room: RoomId, message: MessageId
    ) -> tuple[Sequence[Version], bool]:
        """What a message said, the oldest version first, and whether there were older ones than these.

        Refused: `room_not_found`, `message_not_found` (also once it is deleted).
        """
        await self._access.room(actor, room)
        found = await self._store.read(messages.get, message)
        if found is None or found.room != room or found.deleted_ms is not None:
            raise Refused(Code.MESSAGE_NOT_FOUND, "There is no such message in this room.")
        return await self._store.read(edits.versions, found)

    async def pin(self, actor: Actor, message: MessageId, *, there: bool = True) -> None:
        """Pins a message for all who read its room, or not any more; what is so already is no error.

        Refused: `message_not_found`, `forbidden`, `room_archived`, `too_many_marks`.
        """
        await self._access.message(actor, message)
        await self._store.write(SetPin(message=message, by=actor.id, there=there))

    async def pins(self, actor: Actor, room: RoomId) -> tuple[Message, ...]:
        """The messages that are pinned in a room, the last pinned first. Refused: `room_not_found`."""
        found = await self._store.read(marks.pinned, room)
        await self._access.room(actor, room)
        return found

    async def star(self, actor: Actor, message: MessageId, *, there: bool = True) -> None:
        """Stars a message for the actor alone, or not any more, and tells its connections; twice is no error.

        Refused: `message_not_found`, `too_many_marks`.
        """
        room = (await self._access.message(actor, message)).room
        seq = await self._store.write(SetStar(message=message, by=actor.id, there=there))
        self._hub.tell_self(actor.id, OwnChanged(room, seq, there))

    async def starred(
        self, actor: Actor, *, limit: int = 50, cursor: str | None = None
    ) -> tuple[tuple[tuple[Message, str], ...], str | None]:
        """What the actor has starred, as `marks.starred` gives it. Refused: `limit_invalid`, `cursor_invalid`."""
        limit = validation.page_size(limit, self._settings.page_max)
        among = actor.key and actor.key.rooms
        return await self._store.read(
            marks.starred, actor.id, limit=limit, cursor=cursor, among=among
        )

    async def history(
        self,
        actor: Actor,
        room: RoomId,
        *,
        before: int | None = None,
        after: int | None = None,
        around: int | None = None,
        at: int | None = None,
        branch: int | None = None,
        limit: int = 50,
    ) -> Page:
        """A page of a room's messages: the newest, or those before, after or around a seq.

        They lie on the path of `branch`, else of the one that the actor looks at, or of that in which `around` lies.
        `at`: as they were at that seq, the newest up to it, or those before another one. Refused: `room_not_found`,
        `limit_invalid`, `history_reset` (a seq that the room has not reached: the client knows more than the server and
        must start anew), `bad_request` (more than one of the three, or `at` with another one than before),
        `branch_not_found`.
        """
        limit = validation.page_size(limit, self._settings.page_max)
        given = [seq for seq in (before, after, around) if seq is not None]
        if len(given) > 1 or any(seq < 0 for seq in given):
            raise Refused(Code.BAD_REQUEST, "Give one of before, after and around, from 0 up.")
        if at is not None:
            if at < 1 or not (after is around is None):
                raise Refused(Code.BAD_REQUEST, "Give at, from 1 up, alone or with before.")
            page = await self._store.read(
                *(past.page, room, at),
                by=actor.id,
                branch=branch,
                before=before,
                limit=limit,
            )
        else:
            page = await self._store.read(
                *(marks.page, room, actor.id),
                branch=branch,
                before=before,
                after=after,
                around=around,
                limit=limit,
            )
        await self._reached(actor, room, at or after or 0)
        return page

    async def then(self, actor: Actor, room: RoomId, at: int) -> Then:
        """A room as it was at one of its seqs: its title and members, and what had just happened.

        Refused: `room_not_found`, `history_reset`, `bad_request` (below 1).
        """
        if at < 1:
            raise Refused(Code.BAD_REQUEST, "Give at, from 1 up.")
        await self._reached(actor, room, at)
        found = await self._store.read(past.then, room, at)
        await self._access.room(actor, room)
        return found

    async def spoken(
        self, actor: Actor, room: RoomId, *, limit: int, offset: int
    ) -> tuple[Message, ...]:
        """What was said in a room in words, from the first message on, without the first `offset`.

        Refused: `room_not_found`, `limit_invalid`. What lies before is counted: the door bounds `offset`.
        """
        limit = validation.page_size(limit, self._settings.page_max)
        spoken = await self._store.read(messages.spoken, room, limit=limit, offset=offset)
        await self._access.room(actor, room)
        return spoken

    async def events(
        self,
        actor: Actor,
        room: RoomId,
        *,
        after: int = 0,
        limit: int = 200,
        wait_seconds: float = 0,
        by: CredentialId | None = None,
    ) -> tuple[tuple[Event, ...], int]:
        """What happened after a seq, and the room's seq; waits for something when there is nothing yet.

        Refused: `room_not_found`, `limit_invalid`, `history_reset` as in `history`, and `session_ended` where the
        session or key `by` which it waits has ended before it waits; who asks then asks who waited again.
        """
        limit = validation.page_size(limit, self._settings.page_max)
        happened = await self._store.read(events.since, room, after, limit)
        seq = await self._reached(actor, room, after)
        if not happened and wait_seconds > 0:
            await self._something_new(actor, room, after, wait_seconds, by)
            happened = await self._store.read(events.since, room, after, limit)
            seq = await self._reached(actor, room, after)
        return happened, seq

    async def notices(
        self, actor: Actor, room: RoomId, *, after: int, before: int, limit: int
    ) -> tuple[tuple[Event, ...], tuple[Actor, ...]]:
        """The last of what is told among the messages between two seqs, such as who came, and of whom it tells.

        Refused: `room_not_found`, `limit_invalid`.
        """
        limit = validation.page_size(limit, self._settings.page_max)
        found = await self._store.read(events.notices, room, after, before, limit)
        await self._access.room(actor, room)
        return found

    def reader(self, actor: Actor, by: CredentialId | None = None) -> Reader:
        """A live reader, to be closed by its connection, which ends with the session or key that it lives by."""
        return Reader(
            actor=actor.id,
            hub=self._hub,
            past=_Past(self._store, self._access, actor),
            epoch=self._store.epoch,
            rooms_max=self._settings.rooms_per_connection_max,
            by=by,
            among=actor.key and actor.key.rooms,
            shown=not actor.hidden if actor.kind is ActorKind.PERSON and not actor.key else None,
        )

    async def mark_read(
        self, actor: Actor, room: RoomId, seq: int, *, reader: Listener | None = None
    ) -> int:
        """Notes what the actor has read, and tells its other connections; the new value. Refused: `room_not_found`."""
        await self._access.room(actor, room)
        read = await self._store.write(MarkRead(room=room, actor=actor.id, seq=seq))
        self._hub.tell_self(actor.id, ReadMark(room, read), but=reader)
        return read

    async def typing(self, actor: Actor, room: RoomId) -> None:
        """Tells the room's other readers that the actor is typing. Refused: `room_not_found`, `forbidden`."""
        await self._access.may_write(actor, room)
        self._hub.typing(Typing(room, actor.id, actor.name))

    async def _reached(self, actor: Actor, room: RoomId, after: int) -> int:
        """How far a room is that the actor may see; it must have reached `after`."""
        seq = (await self._access.room(actor, room)).seq
        if after > seq:
            raise Refused(
                Code.HISTORY_RESET,
                f"The room ends at {seq}. Forget what you have of it and read it anew.",
            )
        return seq

    async def _something_new(
        self, actor: Actor, room: RoomId, after: int, wait_seconds: float, by: CredentialId | None
    ) -> None:
        with self.reader(actor, by) as reader:
            if (await reader.subscribe(room, after)).events:
                return
            reader.start(room)
            try:
                async with asyncio.timeout(wait_seconds):
                    while not any(
                        isinstance(item, Happened | Unsubscribed | SignedOut | Closing)
                        for item in await reader.next()
                    ):
                        pass
            except TimeoutError:
                return


async def said(turns: Engine, command: AddMessage, added: Added) -> None:
    """Follows up a message that was stored: begins its answers, and names a room without a name."""
    turns.begin(added.turns)
    if added.untitled and command.role is Role.USER:
        title = validation.title_of(command.text, TITLE_CHARS_MAX)
        await turns.name(command.room, title, TitleSource.FIRST_MESSAGE)


class _Past(Struct, frozen=True):
    """Reads the past for a reader of one actor. See `reader.Past`."""

    _store: Store
    _access: Access
    _actor: Actor

    async def allowed(self, room: RoomId) -> int:
        return (await self._access.room(self._actor, room)).seq

    async def since(self, room: RoomId, seq: int, count: int) -> tuple[Event, ...]:
        return await self._store.read(events.since, room, seq, count)

    async def newest(self, room: RoomId, count: int) -> Page:
        return await self._store.read(marks.page, room, self._actor.id, limit=count)

    async def rooms(self) -> tuple[RoomId, ...]:
        among = self._actor.key and self._actor.key.rooms
        return await self._store.read(rooms.ids_of, self._actor.id, ROOMS_WATCHED_MAX, among)

    async def kept_out(self) -> tuple[RoomId, ...]:
        return await self._store.read(members.kept_out, self._actor.id)
