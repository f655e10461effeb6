"""`/ws/chat`: one classic client, talking in one session.

Rules: who comes without the cookie talks in the Lobby, and is a guest from the first word on. What a client says is
stored before anyone sees it; the echo it waits for is the room's own event. Saying something does not wait for the
answer to what was said before. A frame that cannot be taken is an `error` frame and the connection stays. A connection
owns nothing but its reader: when it goes, running answers go on.
"""

import asyncio
from collections import deque
from typing import NoReturn
from uuid import UUID

from fastapi import WebSocket, WebSocketDisconnect
from msgspec import Struct, field
from msgspec.structs import replace
from starlette.websockets import WebSocketDisconnected

from palaver.core.identity.actors import session_of as standing_by
from palaver.core.live import items as live
from palaver.core.live.reader import Reader
from palaver.core.runtime import Core
from palaver.errors import Code, PalaverError, Refused, Unavailable
from palaver.model import (
    Actor,
    CredentialId,
    Event,
    EventType,
    Message,
    MessageId,
    Meta,
    Role,
    Room,
)
from palaver.strict_json import Json, dump, load, text_or_none_of
from palaver.wire import auth, shapes
from palaver.wire.classic.answers import END, Answers
from palaver.wire.classic.sessions import (
    DEFAULT_TITLE,
    default_room,
    history_json,
    known_guest,
    metadata_of,
    room_of,
    sender_of,
    session_of,
    signed_in,
    uuid_of,
)
from palaver.wire.edge.protocols import KNOWN, LATE_MS, REFUSED, TOO_MANY
from palaver.wire.edge.rates import Use, left_of, take, take_by

NORMAL = 1000
SERVICE_RESTART = 1012
TRY_AGAIN_LATER = 1013
SENDER_CHARS_MAX = 50
TIMESTAMP_CHARS_MAX = 64
REMEMBERED_MAX = 256


async def converse(core: Core, websocket: WebSocket, session_id: str | None) -> None:
    """Serves one connection until it ends. A `session_id` that is no UUID is refused with HTTP 403."""
    wanted = uuid_of(session_id)
    if session_id is not None and wanted is None:
        await websocket.close()
        return
    await websocket.accept()
    try:
        entered = await signed_in(core, websocket)
        token, actor = entered or (None, await known_guest(core, websocket))
        visitor = None
        if actor is None:
            visitor, actor = core.identity.visitor(None)
        room = await _room(core, actor, wanted, visiting=visitor is not None)
        by = standing_by(token)
        with core.chat.reader(actor, by) as reader:
            joined = await reader.subscribe(room.id)
            talk = _Conversation(core, websocket, actor, room, reader, visitor, by)
            await talk.run(joined)
    except PalaverError as error:
        await websocket.send_text(_text(_failed(error.detail, error.code)))
        await websocket.close(TRY_AGAIN_LATER)
    except WebSocketDisconnect:
        return


async def _room(core: Core, actor: Actor, wanted: UUID | None, *, visiting: bool) -> Room:
    """The session asked for; for one that is not this guest's to see, the default one, a visitor's the Lobby."""
    if wanted is not None:
        try:
            return await core.rooms.get(actor, room_of(wanted))
        except Refused as refusal:
            if refusal.code is not Code.ROOM_NOT_FOUND:
                raise
    if visiting:
        return await core.rooms.get(actor, core.lobby)
    return await core.rooms.ensured(actor, default_room(actor), title=DEFAULT_TITLE)


class _Conversation(Struct):
    """One connection's two halves: what the client says, and what it is told."""

    core: Core
    websocket: WebSocket
    actor: Actor
    room: Room
    reader: Reader
    visitor: str | None
    by: CredentialId | None
    answers: Answers = field(default_factory=Answers)
    awaited: set[MessageId] = field(default_factory=set[MessageId])
    told: deque[MessageId] = field(default_factory=lambda: deque[MessageId](maxlen=REMEMBERED_MAX))
    drafted: set[MessageId] = field(default_factory=set[MessageId])
    # answers of other branches than the room's main one, of which this contract knows nothing
    aside: set[MessageId] = field(default_factory=set[MessageId])
    sending: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def run(self, joined: live.Joined) -> None:
        """Greets, then talks until either side goes."""
        await self._greet(joined)
        self.reader.start(self.room.id)
        try:
            async with asyncio.TaskGroup() as tasks:
                telling = tasks.create_task(self._tell())
                await self._listen()
                telling.cancel()
        except* (WebSocketDisconnect, WebSocketDisconnected):
            pass  # it is gone, as one half finds and then the other; what it said is stored

    # what it is told

    async def _greet(self, joined: live.Joined) -> None:
        session = session_of(self.room.id)
        await self._send({**CONNECTED, "session_id": session, "limit_info": self._limits})
        messages, main = joined.messages, self.room.main_branch
        if joined.branch != main:
            page = await self.core.chat.history(self.actor, self.room.id, branch=main)
            messages = page.messages
        said = history_json(messages)
        if said:
            await self._send({"type": "history", "messages": said, "session_id": session})
        streams = [one for one in joined.streams if one.branch == main]
        self.aside.update(one.message for one in joined.streams if one.branch != main)
        if streams:
            await self._send(END)  # a client that was cut off in mid-answer begins a new bubble
        for stream in streams:
            self.answers.opened(stream.message)
            self.answers.more(stream.message, stream.text)
        await self._send_answers()

    async def _tell(self) -> None:
        while True:
            for item in await self.reader.next_patiently():
                if not self._is_aside(item):
                    await self._tell_item(item)
            await self._send_answers()

    def _is_aside(self, item: live.Item) -> bool:
        """Whether it is of an answer in another branch than the room's main one."""
        match item:
            case live.Opened(stream):
                aside = stream.branch != self.room.main_branch
                (self.aside.add if aside else self.aside.discard)(stream.message)
                return aside
            case live.Delta() | live.Ended():
                return item.message in self.aside
            case _:
                return False

    async def _tell_item(self, item: live.Item) -> None:
        match item:
            case live.Happened(event):
                await self._tell_event(event)
            case live.Opened(stream):
                self.answers.opened(stream.message)
            case live.Delta():
                self.answers.more(item.message, item.text)
            case live.Ended():
                self.answers.dropped(item.message)
            case live.Drafted():
                self.drafted.add(item.message)
                await self._send(_said(item.text, "user", shapes.moment(item.accepted_ms)))
            case live.Settled(code=code, detail=detail) if code is not None:
                self.drafted.discard(item.message)
                await self._send(_failed(detail, code))
            case live.Unsubscribed(code=code, detail=detail):
                await self._send(_failed(detail, code))
                await self._end(NORMAL)
            case live.SignedOut(code=code, detail=detail):
                await self._send(_failed(detail, code))
                await self._end(NORMAL)
            case live.Closing():
                await self._end(SERVICE_RESTART)
            case _:
                pass  # what this contract has no word for

    async def _tell_event(self, event: Event) -> None:
        if event.type is EventType.MESSAGE_CREATED:
            assert event.message is not None, "the event of a message carries the message"
            if event.message.branch == self.room.main_branch:
                await self._tell_message(event.message)
            self.aside.discard(event.message.id)
        elif event.type is EventType.BRANCH_MAIN:
            self.room = replace(self.room, main_branch=event.data["branch"])
        elif event.data.get("code") == Code.BUDGET_REACHED:
            left = "too small for this question" if event.data.get("left") else "used up"
            words = f"A budget is {left} until {event.data.get('until', 'later')}."
            await self._send(_failed(words, Code.BUDGET_REACHED))

    async def _tell_message(self, message: Message) -> None:
        if message.role is Role.ASSISTANT and not message.claimed:
            self.answers.finished(message)
        elif message.id in self.drafted:  # shown when it was accepted
            self.drafted.discard(message.id)
            await self._settle(message.id)
        elif message.text:
            said = _said(message.text, sender_of(message), _timestamp_of(message))
            if "metadata" in message.meta:
                said["metadata"] = message.meta["metadata"]
            await self._send(said)
            await self._settle(message.id)

    async def _send_answers(self) -> None:
        due, ended = self.answers.take()
        for frame in due:
            await self._send(frame)
        for answer in ended:
            await self._settle(answer)

    async def _settle(self, message: MessageId) -> None:
        """Ends an exchange of this client's, when this is what it waited for."""
        self.told.append(message)
        if message in self.awaited:
            self.awaited.discard(message)
            await self._send(self._limit_update)

    @property
    def _limits(self) -> Json:
        """How many messages this address may send now: what the setting allows at once, and what is left of it."""
        most, left = left_of(self.websocket.scope, Use.MESSAGES) or (None, None)
        return {
            "limit": most,
            "used": 0 if most is None or left is None else most - left,
            "remaining": left,
            "is_unlimited": most is None,
            "can_send": left != 0,
            "user_role": "anonymous" if self.actor.handle is None else "user",
            "requires_verification": False,
        }

    @property
    def _limit_update(self) -> Json:
        return {"type": "limit_update", "limit_info": self._limits}

    async def _send(self, frame: Json) -> None:
        async with self.sending:
            sent = {"type": "websocket.send", "text": _text(frame), KNOWN: True}
            await self.websocket.send(sent)

    async def _end(self, code: int) -> NoReturn:
        async with self.sending:
            await self.websocket.close(code)
        raise WebSocketDisconnect(code)

    # what it says

    async def _listen(self) -> None:
        while True:
            message = await self.websocket.receive()
            if message["type"] == "websocket.disconnect":
                return
            if message[REFUSED] > self.core.settings.frames_per_second:
                await self._end(TOO_MANY)
            text = message.get("text")
            try:
                if message[LATE_MS]:
                    raise Unavailable(Code.RATE_LIMITED, "That is too many frames a second.")
                await self._say(message["bytes"] if text is None else text.encode())
            except PalaverError as error:
                await self._send(_failed(error.detail, error.code))

    async def _say(self, data: bytes) -> None:
        """Takes one frame: `{"content", "sender"?, "timestamp"?, "metadata"?}`."""
        try:
            frame = load(data)
        except Refused as refusal:
            if refusal.code not in {Code.INVALID_JSON, Code.BAD_REQUEST}:
                raise
            await self._send({"type": "error", "content": "Invalid message format"})
            return
        text = frame.get("content", "")
        if not isinstance(text, str):
            raise Refused(Code.BAD_REQUEST, "The content of a message must be a text.")
        meta: Meta = {"sender": _label(frame, "sender", SENDER_CHARS_MAX) or "user"}
        timestamp = _label(frame, "timestamp", TIMESTAMP_CHARS_MAX)
        if timestamp is not None:
            meta["timestamp"] = timestamp
        if frame.get("metadata"):
            meta["metadata"] = metadata_of(frame["metadata"])
        try:
            take(self.websocket.scope, Use.MESSAGES)
            take_by(self.websocket.scope, self.actor)
        except Unavailable as exceeded:
            told = {"content": exceeded.detail, "limit_info": self._limits}
            asked = {"login_required": False, "verification_required": False}
            await self._send({"type": "limit_exceeded", **told, **asked})
            return
        if self.visitor is not None:
            self.actor = await auth.entered(self.core, self.websocket.scope, self.visitor)
            self.visitor = None
        cid = self.core.clock.new_id()  # the old contract has none; it lets a message be accepted
        sent = await self.core.chat.send(
            self.actor,
            self.room.id,
            text=text,
            cid=cid,
            asks=True,  # its clients know one bot, which is always meant
            meta=meta,
            reader=self.reader,
            by=self.by,
        )
        for awaited in [turn.message for turn in sent.turns] or [sent.id]:
            if awaited in self.told:
                await self._send(self._limit_update)
            else:
                self.awaited.add(awaited)


def _label(frame: Json, name: str, chars_max: int) -> str | None:
    """A short text that is kept and echoed as it is."""
    value = text_or_none_of(frame, name)
    if value is not None and (len(value) > chars_max or not value.isprintable()):
        what = f"a text of at most {chars_max} printable characters"
        raise Refused(Code.BAD_REQUEST, f"The {name} must be {what}.")
    return value


def _said(text: str, sender: str, timestamp: str | None) -> Json:
    return {"type": "message", "content": text, "sender": sender, "timestamp": timestamp}


def _timestamp_of(message: Message) -> str | None:
    """The time that its client gave; of what came through another door, the server's."""
    if "sender" in message.meta:
        return message.meta.get("timestamp")
    return shapes.moment(message.created_ms)


def _failed(detail: str | None, code: str) -> Json:
    return {"type": "error", "content": detail, "error_code": code}


def _text(frame: Json) -> str:
    return dump(frame).decode()


CONNECTED: Json = {
    "type": "system",
    "content": "Connected to chat server",
    "timestamp": None,
    "system_type": "connection",
}
