"""How each call of the listing is made by the matrix of permissions: a new call needs a line in `MADE`."""

import json
from collections.abc import AsyncGenerator, Collection, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import KW_ONLY, dataclass, field
from typing import Any

from tests.wire.callers import Caller, Target, World
from tests.wire.door import Json, Live
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import InvalidStatus
from websockets.protocol import State

from palaver.errors import Code
from palaver.model import MemberRole, ServerRole
from palaver.policy import Act, Action, ServerAct
from palaver.wire.calls import Call
from palaver.wire.listing import listing

WIRES = {
    "rest": "rest",
    "service": "rest",
    "mcp": "rest",
    "live": "live",
    "frames": "live",
    "classic": "classic",
    "openai": "openai",
    "turns": "openai",
}
"""With what a caller proves itself at each door of the listing."""


@dataclass(frozen=True, slots=True)
class Case:
    """One way to make a call. `<name>` in it is a name of the target.

    `own`: of what the caller wrote or asked for. `of`: the role that is given or taken. `act`: where another than the
    declared one is asked. `query`: behind the address. `absent`: the status with which what is not there is told.
    `but`: the status of who may, where that is no success. `destroys`: whether it takes what the next caller needs.
    """

    body: Any = None
    _: KW_ONLY
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    names: Mapping[str, str] = field(default_factory=dict[str, str])
    own: bool = False
    of: MemberRole | ServerRole | None = None
    act: Act | None = None
    query: str = ""
    absent: int = 404
    but: int | None = None
    destroys: bool = False
    feed: bool = False
    """The answer goes on: only its status is looked at where there is one."""

    def names_any(self, one: Call, names: Collection[str]) -> bool:
        """Whether the call names one of these."""
        told = f"{one.path}{json.dumps(self.body)}"
        return any(f"{{{name}}}" in told or f"<{name}>" in told for name in names)


SAY = {"text": "from outside", "cid": "<new>"}
CHAT = {"model": "default", "messages": [{"role": "user", "content": "what was said?"}]}
INPUT = {"model": "default", "input": "what was said?"}
IN_ROOM = {**INPUT, "conversation": "<conversation>"}
ITEM = {"type": "message", "role": "user", "content": "from outside"}
PLAIN = (Case(),)
TAKEN = (Case(destroys=True), Case(destroys=True, own=True))
ANOTHERS = 403
"""An answer is its agent's own, which nobody is who calls: whoever reads it is told so. `tests/wire/test_bots.py`."""
TITLED = {"title": "mine now"}
NOTED = {"metadata": {"mine": "now"}}


def tool_call(name: str, **arguments: str) -> Case:
    """A call of a tool, as a client of 2025 makes it."""
    params = {"name": name, "arguments": arguments}
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    return Case(body, headers={"accept": "application/json, text/event-stream"})


MADE: Mapping[str, tuple[Case, ...]] = {
    # MCP: what is refused inside an answer is told there; here, that nothing is told
    "POST /mcp": (
        tool_call("list_rooms"),
        tool_call("search", query="planted"),
        tool_call("read", room="<room>"),
    ),
    # REST
    "GET /api/me": PLAIN,
    "PATCH /api/me": (Case({"name": "Somebody"}),),
    "DELETE /api/me": (Case({"password": 0}, but=400),),  # who calls is needed
    "GET /api/me/usage": PLAIN,
    "GET /api/usage": PLAIN,
    "GET /api/me/budgets": PLAIN,
    "GET /api/budgets": PLAIN,
    "PUT /api/budgets": (Case({"kind": "server", "period": "day", "tokens": 10**12}),),
    "GET /api/people": PLAIN,
    "POST /api/people": tuple(
        Case({"handle": "<short>", "role": role.value}, of=role) for role in ServerRole
    ),
    "PATCH /api/people/{person}": (
        Case({"status": "active"}),
        Case({"status": "active"}, names={"person": "admin"}, of=ServerRole.ADMIN),
        Case({"role": "person"}, act=ServerAct.ROLES),
    ),
    "DELETE /api/people/{person}": (Case(names={"person": "newcomer"}, but=404),),  # no account
    "POST /api/people/{person}/reset": (
        Case(),
        Case(names={"person": "admin"}, of=ServerRole.ADMIN),
    ),
    "GET /api/invitations": (Case(act=ServerAct.MANAGE),),  # by the setting `invites`
    "POST /api/invitations": tuple(
        Case({"role": role.value}, act=ServerAct.MANAGE, of=role)
        for role in (ServerRole.PERSON, ServerRole.ADMIN)
    ),
    "DELETE /api/invitations/{link}": (
        Case(act=ServerAct.MANAGE),
        Case(names={"link": "above"}, act=ServerAct.MANAGE, of=ServerRole.ADMIN),
    ),
    "GET /api/audit": PLAIN,
    "PUT /api/me/avatar": (Case(but=400),),  # what the matrix sends is no picture
    "DELETE /api/me/avatar": PLAIN,
    "GET /api/avatars/{avatar}": (Case(names={"avatar": "newcomer"}, but=404),),
    "GET /api/keys": PLAIN,
    "POST /api/keys": (Case({}),),
    "DELETE /api/keys/{key}": (Case(destroys=True),),
    "GET /api/devices": PLAIN,
    "POST /api/devices": (Case({}),),
    "DELETE /api/devices/{device}": (Case(destroys=True),),
    "GET /api/me/sessions": PLAIN,
    "DELETE /api/me/sessions": PLAIN,
    "DELETE /api/me/sessions/{session}": (Case(destroys=True),),
    "GET /api/me/identities": PLAIN,
    "DELETE /api/me/identities/{identity}": (Case(but=404),),
    "POST /api/sign-out": (Case(but=403),),  # a guest could not come back
    "POST /api/me/password": (Case({"old": "x" * 10, "new": "y" * 10}, but=404),),
    "GET /api/prompts": PLAIN,
    "GET /api/search": (Case(query="?q=hello"),),
    "POST /api/prompts": (Case({"name": "mine", "text": "x"}),),
    "GET /api/prompts/{prompt}": PLAIN,
    "POST /api/prompts/{prompt}/versions": (Case({"text": "mine now"}),),
    "DELETE /api/prompts/{prompt}": (Case(destroys=True),),
    "POST /api/agents/import": (Case(but=400),),  # no card
    "POST /api/agents/try": (
        Case({"messages": []}, but=400),
    ),  # which models may be asked is theirs
    "POST /api/agents": (Case({"name": "", "handle": "<short>"}, but=400),),
    **{
        f"{call} /api/agents/{{agent}}{rest}": (Case({}, names={"agent": "newcomer"}, but=404),)
        for call, rest in (
            *(("PATCH", ""), ("DELETE", ""), ("GET", "/versions"), ("POST", "/duplicate")),
            *(("GET", "/export"), ("PUT", "/avatar"), ("DELETE", "/avatar")),
            *(("GET", "/versions/{version}"), ("POST", "/versions/{version}/restore")),
        )
    },
    "GET /api/rooms": (Case(), Case(query="?open=true&limit=100")),
    "GET /api/profiles": (Case(act=ServerAct.PROFILES),),  # by the setting `profiles`
    "POST /api/profiles": (
        Case({"url": "http://127.0.0.1:9/v1", "name": "<short>"}, act=ServerAct.PROFILES),
    ),
    "POST /api/profiles/test": (
        Case({"url": "http://127.0.0.1:9/v1"}, act=ServerAct.PROFILES, but=502),
    ),
    "PATCH /api/profiles/{profile}": (
        Case(TITLED, names={"profile": "newcomer"}, act=ServerAct.PROFILES, but=404),
    ),
    "DELETE /api/profiles/{profile}": (
        Case(names={"profile": "newcomer"}, act=ServerAct.PROFILES, but=404),
    ),
    "GET /api/webhooks": PLAIN,
    "POST /api/webhooks": (Case({"url": "https://receiver.example/<new>"}),),
    **{
        f"{call} /api/webhooks/{{webhook}}{rest}": (
            Case({}, names={"webhook": "newcomer"}, but=404),
        )
        for call, rest in (
            *(("PATCH", ""), ("DELETE", ""), ("POST", "/rotate"), ("POST", "/test")),
            *(("GET", "/deliveries"), ("POST", "/deliveries/{delivery}/replay")),
        )
    },
    "POST /api/rooms": (Case(TITLED),),
    "GET /api/rooms/{room}": PLAIN,
    "PATCH /api/rooms/{room}": (Case(TITLED),),
    "DELETE /api/rooms/{room}": (Case(destroys=True),),
    "PUT /api/rooms/{room}/speaking": (Case({"turns": "in_turn"}),),
    "POST /api/rooms/{room}/ask": (Case({}),),
    "POST /api/rooms/{room}/stop": PLAIN,
    "POST /api/rooms/{room}/restore": PLAIN,
    "POST /api/rooms/{room}/clear": (Case(destroys=True),),
    "POST /api/rooms/{room}/unclear": (Case({"seq": 1}),),
    "POST /api/rooms/{room}/archive": (Case(destroys=True),),
    "POST /api/rooms/{room}/unarchive": PLAIN,
    "PUT /api/rooms/{room}/visibility": (
        Case({"visibility": "open", "open_to": "everyone"}, destroys=True),
    ),
    "PUT /api/rooms/{room}/parent": (
        Case({"parent": None}),
        Case({"parent": "<room>"}, but=409),
    ),
    "POST /api/rooms/{room}/transfer": (Case({"actor": "<actor>"}, destroys=True),),
    "GET /api/me/people": PLAIN,
    "PATCH /api/me/rooms/{room}": (Case({"muted": True}),),
    "GET /api/admin/rooms": PLAIN,
    "GET /api/admin/events": PLAIN,
    "POST /api/rooms/{room}/join": (Case(destroys=True),),
    "POST /api/rooms/{room}/read": (Case({"seq": 1}),),
    "GET /api/rooms/{room}/messages": PLAIN,
    "POST /api/rooms/{room}/messages": (Case(SAY),),
    "GET /api/rooms/{room}/events": (
        Case(),
        Case(headers={"accept": "text/event-stream"}, feed=True),
    ),
    "GET /api/events": (Case(), Case(headers={"accept": "text/event-stream"}, feed=True)),
    "GET /api/rooms/{room}/notices": PLAIN,
    "GET /api/rooms/{room}/branches": PLAIN,
    "PUT /api/rooms/{room}/branch": (Case({"branch": 0}),),
    "PUT /api/rooms/{room}/main-branch": (Case({"branch": 0}),),
    "PATCH /api/rooms/{room}/branches/{branch}": tuple(
        Case({"name": "mine now"}, destroys=True, own=own) for own in (False, True)
    ),
    "DELETE /api/rooms/{room}/branches/{branch}": TAKEN,
    "POST /api/rooms/{room}/branches/{branch}/restore": TAKEN,
    "POST /api/messages/{message}/regenerate": (Case({}),),
    "POST /api/messages/{message}/fork": PLAIN,
    "GET /api/rooms/{room}/members": PLAIN,
    "GET /api/rooms/{room}/here": PLAIN,
    "POST /api/rooms/{room}/members": (
        Case({"actor": "<newcomer>"}, of=MemberRole.MEMBER),
        Case({"actor": "<newcomer>", "role": "moderator"}, of=MemberRole.MODERATOR),
    ),
    "PATCH /api/rooms/{room}/members/{actor}": (
        Case({"role": "reader"}, of=MemberRole.MEMBER),
        Case({"role": "moderator"}, of=MemberRole.MODERATOR, destroys=True),
        Case({"role": "reader"}, names={"actor": "chief"}, of=MemberRole.MODERATOR, destroys=True),
    ),
    "PUT /api/rooms/{room}/members/{actor}/speaks": (
        Case({"speaks": "never"}, but=404),  # who is asked about is no agent
    ),
    "GET /api/rooms/{room}/members/{actor}/settings": (Case(but=404),),
    "PUT /api/rooms/{room}/members/{actor}/settings": (Case({"instructions": "x"}, but=404),),
    "DELETE /api/rooms/{room}/members/{actor}": (
        Case(of=MemberRole.MEMBER, destroys=True),
        Case(names={"actor": "chief"}, of=MemberRole.MODERATOR, destroys=True),
    ),
    "GET /api/rooms/{room}/invitations": PLAIN,
    "POST /api/rooms/{room}/invitations": (Case({}),),
    "DELETE /api/rooms/{room}/invitations/{invitation}": (Case(destroys=True),),
    "PATCH /api/rooms/{room}/messages/{message}": (
        Case({"text": "other words"}, destroys=True),  # an answer
        Case({"text": "other words"}, destroys=True, own=True, names={"message": "question"}),
    ),
    "GET /api/rooms/{room}/messages/{message}/history": PLAIN,
    "GET /api/messages/{message}/parts/{place}": (Case(names={"message": "picture"}),),
    "POST /api/messages/{message}/retry": TAKEN,
    "DELETE /api/messages/{message}": TAKEN,
    "POST /api/messages/{message}/restore": PLAIN,
    "GET /api/deleted": PLAIN,
    **dict.fromkeys(
        (
            "PUT /api/messages/{message}/reactions/{emoji}",
            "DELETE /api/messages/{message}/reactions/{emoji}",
            "PUT /api/messages/{message}/pin",
            "DELETE /api/messages/{message}/pin",
            "PUT /api/messages/{message}/star",
            "DELETE /api/messages/{message}/star",
            "GET /api/rooms/{room}/pins",
            "GET /api/starred",
        ),
        PLAIN,
    ),
    "GET /api/turns/{turn}/prompt": PLAIN,
    "POST /api/turns/{turn}/stop": TAKEN,
    "GET /api/exchanges/{exchange}": PLAIN,
    "GET /api/turns": PLAIN,
    "POST /api/turns/{turn}/pieces": (Case({"n": 1, "text": "x"}, act=Action.READ, but=ANOTHERS),),
    "POST /api/turns/{turn}/end": (Case({"text": "x"}, act=Action.READ, but=ANOTHERS),),
    # palaver.v1
    "frame /ws sub": (Case({"room": "<room>", "since": 0}),),
    "frame /ws unsub": (Case({"room": "<room>"}),),
    "frame /ws watch": (Case({}),),
    "frame /ws send": (Case({"room": "<room>", **SAY}),),
    "frame /ws turn.d": (
        Case({"turn": "<turn>", "n": 1, "x": "x"}, act=Action.READ, but=ANOTHERS),
    ),
    "frame /ws turn.end": (Case({"turn": "<turn>", "text": "x"}, act=Action.READ, but=ANOTHERS),),
    "frame /ws typing": (Case({"room": "<room>"}),),
    **dict.fromkeys(
        ("frame /ws react", "frame /ws unreact"), (Case({"msg": "<message>", "emoji": "👍"}),)
    ),
    **dict.fromkeys(
        [f"frame /ws {name}" for name in ("pin", "unpin", "star", "unstar")],
        (Case({"msg": "<message>"}),),
    ),
    "frame /ws regenerate": (Case({"msg": "<answer>"}),),
    "frame /ws look": (Case({"room": "<room>", "branch": 0}),),
    "frame /ws read": (Case({"room": "<room>", "seq": 1}),),
    "frame /ws ask": (Case({"room": "<room>"}),),
    "frame /ws stop_room": (Case({"room": "<room>"}),),
    "frame /ws stop": tuple(
        Case({"turn": "<turn>"}, destroys=True, own=own) for own in (False, True)
    ),
    "frame /ws retry": tuple(
        Case({"msg": "<answer>"}, destroys=True, own=own) for own in (False, True)
    ),
    # classic
    "GET /api/sessions": PLAIN,
    "POST /api/sessions": (Case({}),),
    "GET /api/sessions/{session_id}": PLAIN,
    "PATCH /api/sessions/{session_id}": (Case(TITLED), Case(NOTED)),
    "DELETE /api/sessions/{session_id}": (Case(destroys=True),),
    "GET /api/sessions/{session_id}/history": PLAIN,
    "GET /api/sessions/{session_id}/messages": PLAIN,
    "GET /api/history": (Case(act=ServerAct.OWN),),
    "GET /api/auth/me": PLAIN,
    "WS /ws/chat": (Case({"session_id": "<session_id>"}),),
    "WS /ws/chat/{session_id}": PLAIN,
    # /v1
    "GET /v1/conversations": PLAIN,
    "POST /v1/conversations": (Case({}),),
    "GET /v1/conversations/{conversation}": PLAIN,
    "POST /v1/conversations/{conversation}": (Case(NOTED),),
    "DELETE /v1/conversations/{conversation}": (Case(destroys=True),),
    "GET /v1/conversations/{conversation}/items": PLAIN,
    "POST /v1/conversations/{conversation}/items": (Case({"items": [ITEM]}),),
    "GET /v1/conversations/{conversation}/items/{item}": PLAIN,
    "DELETE /v1/conversations/{conversation}/items/{item}": TAKEN,
    "GET /v1/chat/completions": PLAIN,
    "POST /v1/chat/completions": (
        Case({**CHAT, "conversation": "<conversation>"}),
        Case({**CHAT, "metadata": {"room": "<room>"}, "store": True}),
        Case(CHAT, headers={"x-palaver-room": "<room>"}),
    ),
    "GET /v1/chat/completions/{completion}": PLAIN,
    "POST /v1/chat/completions/{completion}": (Case(NOTED),),
    "DELETE /v1/chat/completions/{completion}": (Case(destroys=True),),
    "GET /v1/chat/completions/{completion}/messages": PLAIN,
    "POST /v1/messages": (Case({**CHAT, "max_tokens": 8}, headers={"x-palaver-room": "<room>"}),),
    "GET /v1/responses": (Case(but=426),),
    "POST /v1/responses": (
        Case(IN_ROOM),
        Case({**IN_ROOM, "store": False}, act=Action.READ),
        Case({**INPUT, "previous_response_id": "<response>"}, act=ServerAct.OWN, absent=400),
    ),
    "GET /v1/responses/{response}": PLAIN,
    "DELETE /v1/responses/{response}": (Case(destroys=True),),
    "POST /v1/responses/{response}/cancel": (Case(but=400),),
    "GET /v1/responses/{response}/input_items": PLAIN,
    "POST /v1/responses/input_tokens": (Case(IN_ROOM),),
    "POST /v1/responses/compact": (Case({"model": "default", "conversation": "<conversation>"}),),
    "WS /v1/responses": PLAIN,
    "frame /v1/responses response.create": (Case(IN_ROOM),),
    "frame /v1/responses response.resume": (Case({"response_id": "<response>"}),),
}
TRUSTED = frozenset({"facade", "cli", "control"})
"""Doors of whoever may open the database anyway."""
NAMES_NOTHING = frozenset({ServerAct.PUBLIC, ServerAct.ENTER, ServerAct.MODELS})
"""Acts whose calls are of nothing that is anybody's."""
ASKED = {
    f"{one.method} {one.path}": one
    for one in listing()
    if one.door not in TRUSTED and one.act not in NAMES_NOTHING
}
"""The calls that are made."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What came: a status, a refusal's at a socket as HTTP has it, and all of the words."""

    status: int
    text: str


class Client:
    """Makes calls for all callers. Each has a live connection, opened when it is needed, and anew where it ended."""

    def __init__(self, world: World, ending: AsyncExitStack) -> None:
        self.world, self._ending = world, ending
        self._live: dict[str, Live | Reply] = {}
        self._heard: list[tuple[Caller, Live]] = []

    async def make(self, one: Call, case: Case, caller: Caller, target: Target) -> Reply:
        """Makes a call, and reads its answer."""
        names = {name: target.names[of] for name, of in case.names.items() if of in target.names}
        target = Target({**target.names, **names}, target.words)
        filled: Json | None = json.loads(target.filled(json.dumps(case.body)))
        headers = caller.headers(WIRES[one.door]) | {
            name: target.filled(value) for name, value in case.headers.items()
        }
        path = target.filled(one.path) + case.query
        match one.door:
            case "frames":
                return await self._frame(caller, path.removeprefix("/ws "), filled or {})
            case "classic" if one.method == "WS":
                query = "".join(f"?{name}={value}" for name, value in (filled or {}).items())
                return await self._classic(f"{path}{query}", headers, target)
            case "turns":
                address, kind = path.split()
                return await self._turn(address, headers, {"type": kind, **(filled or {})})
            case _ if one.method == "WS":
                return await self._turn(path, headers, None)
            case _ if case.feed:
                async with self.world.http.stream(one.method, path, headers=headers) as got:
                    text = (await got.aread()).decode() if got.is_error else ""
            case _:
                got = await self.world.http.request(one.method, path, json=filled, headers=headers)
                text = got.text
        self.world.http.cookies.clear()
        return Reply(got.status_code, text)

    async def pushed(self) -> AsyncGenerator[tuple[Caller, str]]:
        """All that was pushed to each live connection until now."""
        for caller, live in self._heard:
            if live.socket.state is State.OPEN:
                await live.ask(t="ping")
            yield caller, json.dumps(live.pushed)

    async def _frame(self, caller: Caller, kind: str, fields: Mapping[str, Any]) -> Reply:
        live = self._live.get(caller.name)
        if live is None or (isinstance(live, Live) and live.socket.state is not State.OPEN):
            live = self._live[caller.name] = await self._connected(caller)
        if isinstance(live, Reply):
            return live
        return _replied(await live.ask(t=kind, **fields))

    async def _connected(self, caller: Caller) -> Live | Reply:
        """A live connection, or how it was refused."""
        socket = await self._ending.enter_async_context(
            self.world.door.socket(subprotocols=["palaver.v1"])
        )
        live = Live(socket)
        shown = caller.token("live")
        token = {} if shown is None else {"token": shown}
        welcome = await live.ask(t="hello", v=1, **token)
        if welcome["t"] != "welcome":
            return _replied(welcome)
        self._heard.append((caller, live))
        return live

    async def _classic(self, path: str, headers: Mapping[str, str], target: Target) -> Reply:
        """Who may not see a session is led to one of its own; who may, says something there."""
        door = self.world.door
        async with door.socket(path, additional_headers=dict(headers)) as socket:
            heard = [str(await socket.recv())]
            if json.loads(heard[0])["session_id"] != target.names["session_id"]:
                return Reply(404, heard[0])
            await socket.send(json.dumps({"content": "from outside"}))
            while True:
                heard.append(str(await socket.recv()))
                frame = json.loads(heard[-1])
                if frame["type"] == "error":
                    return Reply(_status_of(frame["error_code"]), "\n".join(heard))
                if frame["type"] == "limit_update":
                    return Reply(200, "\n".join(heard))

    async def _turn(
        self, path: str, headers: Mapping[str, str], frame: Mapping[str, Any] | None
    ) -> Reply:
        try:
            async with self.world.door.socket(path, additional_headers=dict(headers)) as socket:
                return Reply(101, "") if frame is None else await _answered(socket, frame)
        except InvalidStatus as refused:
            body = refused.response.body
            return Reply(refused.response.status_code, (body or b"").decode())


async def _answered(socket: ClientConnection, frame: Mapping[str, Any]) -> Reply:
    await socket.send(json.dumps(frame))
    heard: list[str] = []
    while True:
        heard.append(str(await socket.recv()))
        event = json.loads(heard[-1])
        if event["type"] == "error":
            return Reply(event["status"], heard[-1])
        if event["type"] in {"response.completed", "response.failed", "response.incomplete"}:
            return Reply(200, "\n".join(heard))


def _replied(frame: Mapping[str, Any]) -> Reply:
    """What a frame says, without the number of its request."""
    told = {name: value for name, value in frame.items() if name != "id"}
    status = _status_of(told["code"]) if told["t"] == "err" else 200
    return Reply(status, json.dumps(told))


def _status_of(code: str) -> int:
    return Code(code).status or 400


@asynccontextmanager
async def client_of(world: World) -> AsyncGenerator[Client]:
    """A client for everybody, whose connections end with it."""
    async with AsyncExitStack() as ending:
        yield Client(world, ending)
