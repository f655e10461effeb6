"""Who is asking at the OpenAI-compatible door: an API key to an actor.

A key of ours (`plv_…`) must be known and good for what is asked, whatever the settings say. Another key, or none, will
do only for a program on this machine that asks this machine, while the setting `openai_keys` allows it: then each such
key is a guest of its own. Whom a trusted proxy names is that person, unless a key of ours was sent. A request that a
proxy passed on comes from elsewhere. Keys go to no upstream and no log.
"""

from collections.abc import Mapping
from functools import partial

from msgspec.structs import replace
from starlette.requests import HTTPConnection

from palaver.core.identity.actors import session_of
from palaver.core.identity.api_keys import PREFIX
from palaver.core.runtime import Core
from palaver.errors import Code, Refused
from palaver.model import Actor, CredentialId, Scope, Visibility
from palaver.policy import caller_by, check_scope
from palaver.wire import auth
from palaver.wire.calls import Call
from palaver.wire.edge.proxies import is_local, is_loopback
from palaver.wire.edge.rates import Use, take
from palaver.wire.streams import LIVES

VISIBILITY_HEADER = "x-palaver-visibility"
READING = frozenset({"GET", "HEAD"})


async def caller(request: HTTPConnection, declared: Call) -> Actor:
    """Recognises who asks, who has no role on the server at this door, and checks that they may make this call.

    Refused: `unauthenticated` (no key, an unknown one or one that has ended), `scope_missing` (not good for this).
    Unavailable: `rate_limited` (without a key of ours, and with a guest's).
    """
    core: Core = request.app.state.core
    scope = declared.scope(request) if callable(declared.scope) else declared.scope
    token, use = _bearer(request.headers), declared.use
    if token is not None and token.startswith(PREFIX):
        key = await core.keys.recognise(token)
        check_scope(key.scopes, scope, reads=request.scope.get("method") in READING)
        lives = partial(core.standings.lives, CredentialId(key.id))
        request.scope.setdefault("state", {})[LIVES] = lives
        if key.actor.guest and use is not None:  # anyone may make themselves one
            take(request.scope, use)
        return replace(caller_by(key), server_role=None)
    given = await auth.named(core, request)
    actor = None if given is None else await core.identity.actor(given)
    if actor is not None:
        lives = partial(core.standings.lives, session_of(given))
        request.scope.setdefault("state", {})[LIVES] = lives
        return replace(actor, server_role=None)
    if core.settings.openai_keys == "required" or not _is_local(request, core):
        raise Refused(
            Code.UNAUTHENTICATED,
            "An API key of this server is needed: 'Authorization: Bearer plv_…', or 'x-api-key'."
            " Its operator makes one with `palaver key create`.",
        )
    making = None
    if use is not None:
        take(request.scope, use)
        making = partial(take, request.scope, Use.GUESTS)
    return await core.keys.guest(token or "", making)


def visibility_of(headers: Mapping[str, str]) -> Visibility:
    """Reads who may see a room that this request makes: only its person with a key of ours, else everyone here.

    The header `X-Palaver-Visibility` says otherwise. Refused: `bad_request`.
    """
    keyed = (_bearer(headers) or "").startswith(PREFIX)
    given = headers.get(VISIBILITY_HEADER, Visibility.PRIVATE if keyed else Visibility.OPEN)
    if given not in list(Visibility):
        raise Refused(Code.BAD_REQUEST, "The header 'X-Palaver-Visibility' is 'private' or 'open'.")
    return Visibility(given)


def standing_of(me: Actor) -> CredentialId | None:
    """The key of ours by which somebody asks; None without one."""
    return None if me.key is None else CredentialId(me.key.id)


def keeps_unstored(core: Core, me: Actor) -> bool:
    """Whether what is asked with `store: false` is kept all the same: as the key says, or without one the settings."""
    if me.key is None:
        return core.settings.openai_keep_unstored
    return Scope.KEEP_UNSTORED in me.key.scopes


def _bearer(headers: Mapping[str, str]) -> str | None:
    """The key that was sent, if one was: as `Authorization: Bearer`, else as Anthropic's clients do (`x-api-key`)."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    given = token if scheme.lower() == "bearer" else headers.get("x-api-key", "")
    return given.strip() or None


def _is_local(request: HTTPConnection, core: Core) -> bool:
    """Whether a program of this machine asks a server that only this machine can reach."""
    return (
        is_local(request.scope)
        and is_loopback(core.settings.host)
        and request.headers.get("sec-fetch-site") != "cross-site"
    )
