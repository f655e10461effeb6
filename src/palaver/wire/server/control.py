"""The control socket: what an operator's commands ask of a running server, because it has the SQLite file to itself.

A Unix socket in the data directory that only its owner can open, and so the one who may open the database anyway; who
can connect may do everything here. A connection carries lines of JSON, a request and its answer in turn:
`{"database": …, "do": "key.create" | "prompt.list" | …, …}`, `{"ok": …}` or `{"error": {code, detail, temporary}}`.
`server.json` says where the socket is. On PostgreSQL there is none: commands go to the database.

The same requests can be asked of a database that no server uses; so a command needs to know of one way only.
"""

import asyncio
import hashlib
import json
import os
import socket
import stat
import sys
import tempfile
from base64 import b64decode, b64encode
from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import structlog

from palaver.cards.files import FileForm
from palaver.core import validation
from palaver.core.identity.invitations import DAYS
from palaver.core.runtime import Core
from palaver.errors import Code, PalaverError, Refused, Unavailable
from palaver.model import (
    AccountStatus,
    Actor,
    EventType,
    KeyId,
    MemberRole,
    RoomId,
    ServerRole,
)
from palaver.model.usage import BudgetKind, BudgetPeriod, UsedBy
from palaver.policy import ServerAct
from palaver.settings import Settings
from palaver.strict_json import Json, dump, load, text_of, text_or_none_of, whole_or_none_of
from palaver.wire import shapes
from palaver.wire.api import admin, prompts, search, usage
from palaver.wire.api.agents import agent_of
from palaver.wire.api.invitations import invitation
from palaver.wire.api.me import session
from palaver.wire.calls import call, calls_of
from palaver.wire.edge.proxies import base_url
from palaver.wire.server.note import socket_of
from palaver.wire.server.people import account_named, person_named
from palaver.wire.server.webhooks import WebhookCommands
from palaver.wire.webhooks import teller

if TYPE_CHECKING:
    from palaver.core import maintenance

SOCKET = "control.sock"
CREATE, CREATE_USER, DEMO = "key.create", "user.create", "demo"
MAKING = frozenset({CREATE, CREATE_USER, DEMO})
"""What makes the database where there is none."""
PATH_BYTES_MAX = 100
"""What every system can take as the address of a Unix socket, its end included."""
LINE_BYTES_MAX = 16_777_216
ANSWER_SECONDS_MAX = 30.0
REINDEX_SECONDS = 1.0
"""So long the search index is worked on between two signs of life."""
CONNECTIONS_MAX = 16

Request = Mapping[str, Any]
W = TypeVar("W", bound=StrEnum)

log = structlog.stdlib.get_logger()


async def asked(settings: Settings, request: Request) -> Json:
    """The answer to a request, by the database itself or by the server that has it.

    Refused: what the request is refused with, `database_missing` (only a new key or account makes a database), and
    `database_locked` when the server cannot be reached.
    """
    from palaver.core import maintenance  # noqa: PLC0415  for commands; a server is smaller without it

    try:
        async with maintenance.kept(settings, make=_makes(request), tell=teller(settings)) as kept:
            return await performed(kept, request)
    except Refused as refused:
        path = socket_of(settings) if refused.code is Code.DATABASE_LOCKED else None
        if path is None:
            raise
        locked = refused
    return await _asked_of_server(path, {**request, "database": _database(settings)}, locked)


def _makes(request: Request) -> bool:
    return request.get("do") in MAKING and not request.get("remove")


async def is_owned(settings: Settings) -> bool:
    """Whether a database, or the server that has it, knows an owner. Refused: as `asked`."""
    after = ""
    while True:
        found = (await asked(settings, {"do": "user.list", "after": after or None}))["users"]
        if any(
            one["role"] == ServerRole.OWNER and one["status"] == AccountStatus.ACTIVE
            for one in found
        ):
            return True
        if not found:
            return False
        after = found[-1]["handle"]


async def performed(kept: "Core | maintenance.Kept", request: Request) -> Json:
    """Does what a request says. Refused: what the core refuses, and `bad_request`."""
    for part in (Commands, WebhookCommands):
        for declared, name in calls_of(part):
            if declared.path == request.get("do"):
                return await getattr(part(kept), name)(request)
    raise Refused(Code.BAD_REQUEST, "The running server does not know this command. Is it older?")


class Commands:
    """What an operator may ask, whoever the keys speak for and whose the prompts are."""

    def __init__(self, kept: "Core | maintenance.Kept") -> None:
        self._keys, self._prompts, self._audit = kept.keys, kept.prompts, kept.audit
        self._register, self._settings = kept.register, kept.settings
        self._oversight, self._usage = kept.oversight, kept.usage
        self._invitations, self._agents = kept.invitations, kept.agents
        self._rotate, self._search, self._indexer = kept.rotate, kept.search, kept.indexer
        self._demo, self._models = kept.demo, kept.models

    @call("command", "audit", ServerAct.OPERATE)
    async def audited(self, request: Request) -> Json:
        """Lists what happened to sessions and keys after a seq, some of it."""
        found = await self._audit(whole_or_none_of(request, "after") or 0)
        return {"events": [shapes.event(one) for one in found]}

    @call("command", DEMO, ServerAct.OPERATE)
    async def demo(self, request: Request) -> Json:
        """Makes the demonstration, or takes it away."""
        removes = request.get("remove") is True
        return {"demo": await (self._demo.remove() if removes else self._demo.make())}

    @call("command", CREATE, ServerAct.OPERATE)
    async def create(self, request: Request) -> Json:
        """Makes a key."""
        expires, named = text_or_none_of(request, "expires"), text_or_none_of(request, "as")
        account = None if named is None else await account_named(self._register, named)
        bot = text_or_none_of(request, "agent")
        token, key = await self._keys.create(
            agent=None if bot is None else (await self._agents.bot(bot)).actor,
            name=text_or_none_of(request, "name"),
            scopes=_words_of(request, "scopes") or (),
            handle=named if account is None else account.id,
            expires_ms=None if expires is None else validation.when(expires),
            days=whole_or_none_of(request, "days"),
            rooms=_words_of(request, "rooms"),
        )
        return {"key": shapes.key(key), "token": token}

    @call("command", "key.list", ServerAct.OPERATE)
    async def listing(self, request: Request) -> Json:
        """Lists keys."""
        after = text_or_none_of(request, "after")
        found = await self._keys.listing(after=None if after is None else KeyId(after))
        return {"keys": [shapes.key(key) for key in found]}

    @call("command", "key.revoke", ServerAct.OPERATE)
    async def revoke(self, request: Request) -> Json:
        """Ends a key for ever."""
        return {"key": shapes.key(await self._keys.revoke(KeyId(text_of(request, "key"))))}

    @call("command", "prompt.list", ServerAct.OPERATE)
    async def prompts(self, request: Request) -> Json:
        """Lists a person's prompts, without their texts."""
        found = await self._prompts.own(await self._owner(request))
        named = [prompts.shape(one) for one in found]
        return {"prompts": [{n: one for n, one in told.items() if n != "text"} for told in named]}

    @call("command", "prompt.show", ServerAct.OPERATE)
    async def prompt(self, request: Request) -> Json:
        """Shows a version of a prompt."""
        version, id_ = whole_or_none_of(request, "version"), text_of(request, "prompt")
        owner = await self._owner(request)
        found = await self._prompts.get(owner, prompts.id_of(id_), version)
        return {"prompt": prompts.shape(found)}

    @call("command", "prompt.add", ServerAct.OPERATE)
    async def add_prompt(self, request: Request) -> Json:
        """Keeps a prompt, or another version of one."""
        of, name = text_or_none_of(request, "of"), text_or_none_of(request, "name")
        if of is None and name is None:
            raise Refused(Code.BAD_REQUEST, "A new prompt needs a name.")
        made = await self._prompts.save(
            await self._owner(request),
            text_of(request, "text"),
            name=name,
            of=None if of is None else prompts.id_of(of),
        )
        return {"prompt": prompts.shape(made)}

    @call("command", "prompt.rm", ServerAct.OPERATE)
    async def remove_prompt(self, request: Request) -> Json:
        """Takes a prompt away."""
        id_ = text_of(request, "prompt")
        await self._prompts.delete(await self._owner(request), prompts.id_of(id_))
        return {"deleted": id_}

    @call("command", "agent.list", ServerAct.OPERATE)
    async def agents(self, _: Request) -> Json:
        """Lists all agents, without their texts."""
        found = await self._agents.listing(None, everyones=True)
        texts = {"persona", "examples", "post_history", "greeting", "group_greetings", "parameters"}
        told = [agent_of(one, None).items() for one in found]
        return {"agents": [{n: one for n, one in its if n not in texts} for its in told]}

    @call("command", "agent.show", ServerAct.OPERATE)
    async def agent(self, request: Request) -> Json:
        """Shows an agent."""
        return {**agent_of(await self._agents.called(text_of(request, "agent")), None)}

    @call("command", "agent.export", ServerAct.OPERATE)
    async def give_agent(self, request: Request) -> Json:
        """Gives an agent as a file."""
        agent = await self._agents.called(text_of(request, "agent"))
        form = word_in(FileForm, text_of(request, "format"))
        _, data = await self._agents.give(None, agent.id, form)
        return {"file": b64encode(data).decode()}

    @call("command", "agent.import", ServerAct.OPERATE)
    async def take_agent(self, request: Request) -> Json:
        """Makes an agent of a file."""
        given, handle = text_of(request, "file"), text_or_none_of(request, "handle")
        try:
            data = b64decode(given, validate=True)
        except ValueError:
            raise Refused(Code.BAD_REQUEST, "The field 'file' is no base64.") from None
        return {**agent_of((await self._agents.take(None, data, handle=handle))[0], None)}

    @call("command", CREATE_USER, ServerAct.OPERATE)
    async def create_user(self, request: Request) -> Json:
        """Makes an account, and the link by which its password is chosen."""
        handle, of = text_of(request, "handle"), text_or_none_of(request, "as")
        person = None if of is None else await self._keys.person(of)
        name, role = text_or_none_of(request, "name"), _role_of(request)
        made = await self._register.create(handle, name, person, role=role)
        return {"user": shapes.account(made), "url": await self._reset_url(handle)}

    @call("command", "user.role", ServerAct.OPERATE)
    async def set_role(self, request: Request) -> Json:
        """Gives somebody another role on the server."""
        handle, role = text_of(request, "handle"), _role_of(request)
        return {"user": shapes.account(await self._register.set_role(handle, role))}

    @call("command", "user.list", ServerAct.OPERATE)
    async def users(self, request: Request) -> Json:
        """Lists accounts."""
        found = await self._register.listing(after=text_or_none_of(request, "after"))
        return {"users": [shapes.account(one) for one in found]}

    @call("command", "user.rename", ServerAct.OPERATE)
    async def rename_user(self, request: Request) -> Json:
        """Gives an account another handle."""
        handle, new = text_of(request, "handle"), text_of(request, "new")
        return {"user": shapes.account(await self._register.rename(handle, new))}

    @call("command", "user.claim", ServerAct.OPERATE)
    async def claim(self, request: Request) -> Json:
        """Brings what somebody without an account has into one."""
        person = await self._keys.person(text_of(request, "actor"))
        claimed = await self._register.claim(text_of(request, "handle"), person)
        return {"user": shapes.account(claimed)}

    @call("command", "user.disable", ServerAct.OPERATE)
    async def disable_user(self, request: Request) -> Json:
        """Shuts somebody out."""
        return await self._with_status(request, AccountStatus.DISABLED)

    @call("command", "user.enable", ServerAct.OPERATE)
    async def enable_user(self, request: Request) -> Json:
        """Lets somebody in again."""
        return await self._with_status(request, AccountStatus.ACTIVE)

    @call("command", "user.delete", ServerAct.OPERATE)
    async def delete_user(self, request: Request) -> Json:
        """Takes somebody out for good."""
        handle = text_of(request, "handle")
        await self._register.delete(handle)
        return {"deleted": handle}

    @call("command", "user.reset", ServerAct.OPERATE)
    async def reset_user(self, request: Request) -> Json:
        """Makes a link by which another password is chosen."""
        handle = text_of(request, "handle")
        found = await self._register.get(handle)
        return {"user": shapes.account(found), "url": await self._reset_url(handle)}

    @call("command", "session.list", ServerAct.OPERATE)
    async def sessions(self, request: Request) -> Json:
        """Lists somebody's sessions."""
        found = await self._register.sessions(text_of(request, "handle"))
        return {"sessions": [session(one, current=None) for one in found]}

    @call("command", "session.end", ServerAct.OPERATE)
    async def end_sessions(self, request: Request) -> Json:
        """Ends one of somebody's sessions, or all."""
        handle, one = text_of(request, "handle"), text_or_none_of(request, "session")
        return {"ended": await self._register.end_sessions(handle, one)}

    @call("command", "invite.create", ServerAct.OPERATE)
    async def invite(self, request: Request) -> Json:
        """Makes an invitation, into a room or to the server, in somebody's name."""
        room, by = text_or_none_of(request, "room"), text_or_none_of(request, "as")
        into, of = _words_of(request, "rooms") or (), text_or_none_of(request, "role")
        if room is not None and into:
            raise Refused(Code.BAD_REQUEST, "An invitation into a room leads into no other.")
        days = whole_or_none_of(request, "days")
        token, made = await self._invitations.make(
            await (self._invitations.owner(_room(room)) if by is None else self._person(by)),
            *map(RoomId, (room,) if room is not None else into),
            role=MemberRole.READER if of == MemberRole.READER else MemberRole.MEMBER,
            server_role=None if room is not None else _role_of(request),
            uses=whole_or_none_of(request, "uses"),
            days=DAYS if days is None else days,
            operated=True,
        )
        url = f"{base_url(self._settings)}invite#{token}"
        return {"url": url, "invitation": invitation(made)}

    @call("command", "invite.list", ServerAct.OPERATE)
    async def invitations(self, request: Request) -> Json:
        """Lists open invitations, into a room or to the server, some of them."""
        room, after = text_or_none_of(request, "room"), text_or_none_of(request, "after")
        if room is not None:
            found = () if after else await self._invitations.of_room(None, RoomId(room))
        else:
            found, after = await self._invitations.to_server(None, limit=200, cursor=after)
            while not found and after is not None:
                found, after = await self._invitations.to_server(None, limit=200, cursor=after)
        return {"invitations": [invitation(one) for one in found]}

    @call("command", "invite.revoke", ServerAct.OPERATE)
    async def revoke_invitation(self, request: Request) -> Json:
        """Ends an invitation."""
        id_ = text_of(request, "invitation")
        await self._invitations.revoke(None, id_, _room(text_or_none_of(request, "room")))
        return {"revoked": id_}

    @call("command", "room.list", ServerAct.OPERATE)
    async def rooms(self, request: Request) -> Json:
        """Lists all rooms, some of them, the last active first."""
        after = _room(text_or_none_of(request, "after"))
        found, _ = await self._oversight.rooms(None, limit=200, after=after)
        return {"rooms": [admin.overseen(one) for one in found]}

    @call("command", "events", ServerAct.OPERATE)
    async def events(self, request: Request) -> Json:
        """Tells what happened last, in all rooms or in one."""
        room, kind = _room(text_or_none_of(request, "room")), text_or_none_of(request, "type")
        found, _ = await self._oversight.events(
            None, limit=100, room=room, kind=None if kind is None else word_in(EventType, kind)
        )
        return {"events": [admin.glimpse(one) for one in found]}

    @call("command", "search", ServerAct.OPERATE)
    async def find(self, request: Request) -> Json:
        """Finds messages that a person may read. Where no server keeps the index, it is brought up to date first."""
        await self._indexer.go_on(REINDEX_SECONDS)
        found = await self._search.find(
            await self._owner(request),
            text_of(request, "query"),
            room=_room(text_or_none_of(request, "room")),
            limit=whole_or_none_of(request, "limit") or 20,
            cursor=text_or_none_of(request, "cursor"),
            relevance=request.get("relevance") is True,
        )
        return {**search.shape(found)}

    @call("command", "db.reindex", ServerAct.OPERATE)
    async def reindex(self, request: Request) -> Json:
        """Makes the search index anew, and works on it for a second, beside whoever does; how far it is."""
        if request.get("anew") is True:
            await self._indexer.renew()
        await self._indexer.go_on(REINDEX_SECONDS)
        return {"done": await self._indexer.done()}

    @call("command", "usage", ServerAct.OPERATE)
    async def used(self, request: Request) -> Json:
        """Tells what answers used."""
        since, until = text_or_none_of(request, "from"), text_or_none_of(request, "to")
        by = word_in(UsedBy, text_of(request, "by"))
        return {**usage.report(await self._usage.all(None, since, until, by))}

    @call("command", "budget.list", ServerAct.OPERATE)
    async def budgets(self, _: Request) -> Json:
        """Lists budgets."""
        return {"budgets": [usage.budget(one) for one in await self._usage.budgets(None)]}

    @call("command", "budget.set", ServerAct.OPERATE)
    async def set_budget(self, request: Request) -> Json:
        """Sets a budget, or takes it away."""
        kind, of = word_in(BudgetKind, text_of(request, "kind")), text_or_none_of(request, "of")
        if kind is BudgetKind.PERSON and of is not None:
            of = (await self._person(of)).id
        found = await self._usage.set_budget(
            None,
            kind,
            of,
            word_in(BudgetPeriod, text_of(request, "period")),
            tokens=whole_or_none_of(request, "tokens"),
            cost_micros=whole_or_none_of(request, "cost_micros"),
        )
        return {"budgets": [usage.budget(one) for one in found]}

    @call("command", "doctor", ServerAct.OPERATE)
    async def models(self, _: Request) -> Json:
        """Tells which models answer everyone, and why none does."""
        return shapes.answering(await self._models.listed())

    @call("command", "secret.rotate", ServerAct.OPERATE)
    async def rotate(self, request: Request) -> Json:  # noqa: ARG002  as its neighbours
        """Seals the keys of connections with a new secret."""
        return {"sealed": await self._rotate()}

    async def _person(self, named: str) -> Actor:
        """Who has an account of this handle, else as `Keys.person`."""
        return await person_named(self._register, self._keys, named)

    async def _with_status(self, request: Request, status: AccountStatus) -> Json:
        changed = await self._register.set_status(text_of(request, "handle"), status)
        return {"user": shapes.account(changed)}

    async def _reset_url(self, handle: str) -> str:
        return f"{base_url(self._settings)}reset#{await self._register.reset_link(handle)}"

    async def _owner(self, request: Request) -> Actor:
        return await self._person(text_of(request, "as"))


def _room(named: str | None) -> RoomId | None:
    return None if named is None else RoomId(named)


def _role_of(request: Request) -> ServerRole:
    return word_in(ServerRole, text_or_none_of(request, "role") or ServerRole.PERSON)


def word_in(words: type[W], word: str) -> W:
    """The word of an enumeration. Refused: `bad_request`."""
    if word not in set(words):
        raise Refused(Code.BAD_REQUEST, f"'{word}' is none of {', '.join(words)}.")
    return words(word)


def _words_of(request: Request, name: str) -> list[str] | None:
    words = request.get(name)
    if words is not None and not isinstance(words, list):
        raise Refused(Code.BAD_REQUEST, f"The field '{name}' must be a list.")
    return None if words is None else [str(word) for word in cast("list[object]", words)]


@contextmanager
def placed(settings: Settings) -> Generator[Path | None, None, None]:
    """Where the control socket is to be; None where there is none. One that is too long is replaced.

    Always by the same, so that the server after one that was killed takes it over.
    """
    if sys.platform == "win32" or settings.file is None:
        yield None
        return
    path = (settings.data_dir / SOCKET).absolute()
    private = None
    if len(os.fsencode(path)) > PATH_BYTES_MAX:
        name = hashlib.sha256(os.fsencode(path)).hexdigest()[:16]
        private = Path(tempfile.gettempdir()) / f"palaver-{os.getuid()}-{name}"
        path = private / SOCKET if _private(private) else None
    try:
        yield path
    finally:
        if private is not None:
            with suppress(OSError):  # another server's socket is in it
                private.rmdir()


@asynccontextmanager
async def controlled(core: Core, path: Path | None) -> AsyncGenerator[None, None]:
    """Answers at this path until the block ends."""
    listener = None if path is None or sys.platform == "win32" else _bound(path)
    if path is None or listener is None:
        yield
        return
    open_now: set[asyncio.StreamWriter] = set()

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(open_now) >= CONNECTIONS_MAX:
            writer.close()
            return
        open_now.add(writer)
        try:
            while line := await reader.readline():
                writer.write(dump(await _answer(core, line)) + b"\n")
                await writer.drain()
        except (ValueError, ConnectionError):  # a line that is too long, or a client that has gone
            return
        finally:
            open_now.discard(writer)
            writer.close()

    with ExitStack() as ending:
        ending.callback(path.unlink, missing_ok=True)
        ending.enter_context(listener)
        server = await asyncio.start_unix_server(meet, sock=listener, limit=LINE_BYTES_MAX)
        try:
            yield
        finally:
            server.close()
            for writer in open_now:
                writer.close()


async def _answer(core: Core, line: bytes) -> Json:
    """The server's answer to a request."""
    problem: PalaverError
    try:
        request = load(line)
        if request.get("database") == _database(core.settings):
            return {"ok": await performed(core, request)}
        another = "The server of this data directory uses another database."
        problem = Refused(Code.DATABASE_LOCKED, another)
    except PalaverError as refused:
        problem = refused
    except Exception:
        log.exception("control.failed")
        problem = Unavailable(Code.INTERNAL, "Something went wrong; it is logged.")
    told = {"code": problem.code, "detail": problem.detail, "temporary": problem.temporary}
    return {"error": told}


async def _asked_of_server(path: Path, request: Json, locked: Refused) -> Json:
    try:
        async with asyncio.timeout(ANSWER_SECONDS_MAX):
            reader, writer = await asyncio.open_unix_connection(path, limit=LINE_BYTES_MAX)
            try:
                writer.write(dump(request) + b"\n")
                answer = cast("Json", json.loads(await reader.readline()))
            finally:
                writer.close()
    except (OSError, ValueError, TimeoutError):
        raise locked from None
    if "error" in answer:
        error = answer["error"]
        kind = Unavailable if error["temporary"] else Refused
        raise kind(Code(error["code"]), error["detail"])
    return answer["ok"]


def _private(folder: Path) -> bool:
    """Whether the folder is there, and nobody else's."""
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()
    ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()
    return ours and not found.st_mode & 0o077


def _bound(path: Path) -> socket.socket | None:
    """A socket that nobody but its owner could open at any moment; None where the disk can have none.

    What lies there is of a server that was killed: the lock of the database says that it is gone.
    """
    listener = socket.socket(socket.AF_UNIX)
    before = os.umask(0o177)
    try:
        path.unlink(missing_ok=True)
        listener.bind(os.fspath(path))
    except OSError as problem:
        log.warning("control.not_there", errno=problem.errno)
        listener.close()
        return None
    finally:
        os.umask(before)
    return listener


def _database(settings: Settings) -> str:
    """The SQLite file, as both sides name it."""
    return str(settings.file and settings.file.resolve())
