"""Who is asking on the classic wire, and which rooms are their sessions.

Who has signed in is known by the token of a session of ours (`classic/accounts`). Else the cookie's UUID is the guest's
id, at this door and a token at no other, because a client may choose it; one that nobody has used yet becomes a new
guest when it writes. Session ids are the room's 32 hex digits as UUID text. The default session's id is made of the
actor's id, so it needs no mark of its own and cannot be made twice.
"""

import hashlib
import json
from datetime import UTC, datetime
from uuid import UUID, uuid5

from msgspec.structs import replace
from starlette.requests import HTTPConnection

from palaver.core.runtime import Core
from palaver.errors import Code, Refused
from palaver.model import Actor, Kind, Message, Role, Room, RoomId, TitleSource
from palaver.strict_json import Json, load
from palaver.wire import shapes
from palaver.wire.auth import client
from palaver.wire.edge.proxies import SAFE_METHODS
from palaver.wire.edge.rates import Use, take
from palaver.wire.setup import check_guest

COOKIE = "stupidbot_user_id"
ACCESS = "access_token"
COOKIE_SECONDS = 31_536_000
DEFAULT_TITLE = "Default Chat Session"
NEW_TITLE = "New Chat"
"""What a session without a title is called until its first message gives it one."""
METADATA_BYTES_MAX = 16_384
HISTORY_MAX = 50
_SPOKEN = frozenset({Role.USER, Role.ASSISTANT})
_NAMESPACE = UUID("5b6e2f0c-7d0c-5d1b-9a3e-0d6f6b1c2a77")


async def signed_in(
    core: Core, connection: HTTPConnection, cookie: str = ACCESS
) -> tuple[str, Actor] | None:
    """Who has signed in, behind their session's token, which is in the header or this cookie; None for nobody.

    A cookie that is good no more is none. Refused: `account_disabled`; a header with another token.
    """
    scheme, _, bearer = connection.headers.get("authorization", "").partition(" ")
    has_bearer = scheme.lower() == "bearer"
    token = bearer.strip() if has_bearer else connection.cookies.get(cookie)
    try:
        actor = token and await core.identity.actor(token, client(connection.scope))
    except Refused as refused:
        if has_bearer or refused.code not in {Code.SESSION_ENDED, Code.UNAUTHENTICATED}:
            raise
        return None
    if token and actor and actor.handle is not None:
        return token, replace(actor, server_role=None)  # of which this door knows nothing
    if has_bearer and not actor:
        raise Refused(Code.UNAUTHENTICATED, "That token is not known here.")
    return None


async def known(core: Core, connection: HTTPConnection) -> Actor | None:
    """Who has signed in, else the guest of the cookie (`known_guest`)."""
    found = await signed_in(core, connection)
    return await known_guest(core, connection) if found is None else found[1]


async def known_guest(core: Core, connection: HTTPConnection) -> Actor | None:
    """Whose cookie this is; None for no cookie (`chosen`). One that is new here is a guest's once it writes or talks.

    Refused: `unauthenticated` (who may not be a guest). Unavailable: `rate_limited` (too many new guests).
    """
    user, guest = await chosen(core, connection)
    if guest is not None:
        return guest
    await check_guest(core, connection.scope)
    return None if user is None else await _guest_of(core, connection, user)


async def chosen(core: Core, connection: HTTPConnection) -> tuple[UUID | None, Actor | None]:
    """The id in the cookie, and whose it is, if anybody's; none where it was of a guest who has an account since."""
    user = uuid_of(connection.cookies.get(COOKIE))
    try:
        return user, None if user is None else await core.identity.chosen(user)
    except Refused as refused:
        if refused.code is not Code.SESSION_ENDED:
            raise
        return None, None


async def new_guest(core: Core, connection: HTTPConnection) -> tuple[str, Actor]:
    """A new guest and the value of its cookie. Unavailable: as above."""
    digest = hashlib.sha256(core.clock.secret().encode()).digest()
    user = UUID(bytes=digest[:16], version=4)
    return str(user), await _guest_of(core, connection, user)


async def _guest_of(core: Core, connection: HTTPConnection, user: UUID) -> Actor:
    if connection.scope.get("method") in SAFE_METHODS:
        return core.identity.looking(user)
    take(connection.scope, Use.GUESTS)
    return await core.identity.claimed(user)


def uuid_of(text: str | None) -> UUID | None:
    """The UUID that a text is, if it is one."""
    try:
        return UUID(text)
    except (TypeError, ValueError):
        return None


# sessions


def room_of(session: UUID) -> RoomId:
    """The room behind a session's id."""
    return RoomId(f"r_{session.hex}")


def session_of(room: RoomId) -> str:
    """A room's id as the classic wire tells it."""
    return str(UUID(room.removeprefix("r_")))


def default_room(actor: Actor) -> RoomId:
    """The id of this guest's default session, whether it is there yet or not."""
    return room_of(uuid5(_NAMESPACE, actor.id))


def session_json(room: Room, actor: Actor) -> Json:
    """Builds the shape of a session."""
    untitled = room.title_source is TitleSource.NONE
    is_default = {"is_default": True} if room.id == default_room(actor) else {}
    return {
        "id": session_of(room.id),
        "title": NEW_TITLE if untitled else room.title,
        "metadata": {**room.settings.get("metadata", {}), **is_default},
        "created_at": time_of(room.created_ms),
        "updated_at": time_of(room.active_ms),
    }


def metadata_of(given: object) -> Json:
    """What a client keeps beside a session or a message. Refused: `bad_request`, and what `load` refuses."""
    data = json.dumps(given).encode()
    if not isinstance(given, dict) or len(data) > METADATA_BYTES_MAX:
        raise Refused(
            Code.BAD_REQUEST, f"Metadata is a JSON object of at most {METADATA_BYTES_MAX:,} bytes."
        )
    return load(data)


def time_of(ms: int) -> str:
    """A moment in UTC, without a zone."""
    return datetime.fromtimestamp(ms // 1000, UTC).replace(tzinfo=None).isoformat()


# messages


def sender_of(message: Message) -> str:
    """The sender that a message was given by its client; `user` and `assistant` for those of other doors."""
    if message.role is not Role.USER and not message.claimed:
        return str(message.role)
    sender = message.meta.get("sender")
    return sender if isinstance(sender, str) else "user"


def history_json(messages: tuple[Message, ...]) -> list[Json]:
    """What was said, oldest first.

    Left out are deleted messages, answers that brought no word, and what only other doors know: prompts and tools.
    """
    return [
        {"type": "message", "sender": sender_of(message), "content": message.text}
        for message in messages
        if message.text and message.kind == Kind.TEXT and message.role in _SPOKEN
    ]


def message_json(message: Message) -> Json:
    """Builds the shape of a message in the list of a session's messages."""
    return {
        "id": str(UUID(message.id.removeprefix("m_"))),
        "session_id": session_of(message.room),
        "content": message.text,
        "sender": sender_of(message),
        "message_type": "message",
        "timestamp": shapes.moment(message.created_ms),
        "metadata": message.meta.get("metadata", {}),
    }
