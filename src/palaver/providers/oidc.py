"""An OpenID provider: where to send a browser, and what its answer proves. Needs the extra `oidc` (joserfc).

Rules: nothing that the provider says is believed before it is checked: its issuer is the configured one, a token is
signed with a key of its own and an asymmetric algorithm, is of this issuer, for this client, for this attempt, and not
past. What it sends is at most `BYTES_MAX` and comes within `SECONDS_MAX`; redirects are not followed, and keys are
fetched anew at most once in `AGAIN_SECONDS`. No error and no log holds anything of what came.
"""

import asyncio
import ssl
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable, Mapping
from hashlib import sha256
from http import HTTPStatus
from importlib import import_module
from importlib.util import find_spec
from typing import Any, cast
from urllib.parse import quote_plus, urlencode

import httpx2
import structlog
from msgspec import Struct

from palaver.clock import Clock
from palaver.errors import Code, PalaverError, Refused, Unavailable
from palaver.settings import Settings, secret_in
from palaver.strict_json import Json, read

SECONDS_MAX, BYTES_MAX, KEYS_MAX = 10.0, 256 * 1024, 100
AGAIN_SECONDS, KEPT_SECONDS = 60.0, 3_600.0
LEEWAY_SECONDS = 60
SUBJECT_CHARS_MAX = 255
ALGORITHMS = (
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512", "EdDSA", "Ed25519"),
)
MAIL = frozenset({"email", "email_verified"})
LOGOUT = "http://schemas.openid.net/event/backchannel-logout"
KINDS = frozenset({"RSA", "EC", "OKP"})

log = structlog.stdlib.get_logger()


class Attempt(Struct, frozen=True, kw_only=True):
    """What a browser that is sent to the provider must come back with: `redirect` is where to."""

    redirect: str
    nonce: str
    verifier: str


class OpenIDProvider:
    """The one that the settings name. What it says of itself, and its keys, are kept for an hour."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        if find_spec("joserfc") is None:
            told = "PALAVER_OIDC_ISSUER needs another package: pip install 'palaver[oidc]'."
            raise Refused(Code.SETTINGS_INVALID, told)
        self.issuer, self._client = settings.oidc_issuer or "", settings.oidc_client_id or ""
        secret, file = settings.oidc_client_secret, settings.oidc_client_secret_file
        self._secret = None if secret is None else secret.get_secret_value()
        if file is not None:
            self._secret = secret_in(file)
        self._scopes, self._clock = settings.oidc_scopes, clock
        self._tls: ssl.SSLContext | None = None
        self._kept: dict[str, tuple[float, Json]] = {}
        self._turn = asyncio.Lock()

    async def address_for(self, attempt: Attempt, state: str) -> str:
        """Where to send the browser, which comes back with this state. Unavailable: `sign_in_unavailable`."""
        asked = {
            "response_type": "code",
            "client_id": self._client,
            "redirect_uri": attempt.redirect,
            "scope": self._scopes,
            "state": state,
            "nonce": attempt.nonce,
            "code_challenge": _digest(attempt.verifier),
            "code_challenge_method": "S256",
        }
        return _with(await self._endpoint("authorization"), asked)

    async def claims(self, attempt: Attempt, answer: Mapping[str, str]) -> Json:
        """What the provider says of who came back with this answer, `sub` among it.

        Refused: `sign_in_failed`. Unavailable: `sign_in_unavailable`.
        """
        about = await self._about()
        says_issuer = about.get("authorization_response_iss_parameter_supported") is True
        if answer.get("iss", None if says_issuer else self.issuer) != self.issuer:
            raise failed("the answer is of another issuer")
        if "error" in answer or not answer.get("code"):
            raise failed("the provider signed nobody in")
        got = await self._token(answer["code"], attempt)
        if not isinstance(got.get("id_token"), str):
            raise failed("there is no ID token")
        claims = await self._verified(got["id_token"], ("sub",), nonce=attempt.nonce)
        access = got.get("access_token")
        if isinstance(about.get("userinfo_endpoint"), str) and isinstance(access, str):
            headers = {"authorization": f"Bearer {access}"}
            more = await self._fetch("GET", about["userinfo_endpoint"], headers)
            if more.get("sub") != claims["sub"]:
                raise failed("the user info is of somebody else")
            if MAIL & claims.keys():  # what is said of an address is said in one place
                more = {name: more[name] for name in more.keys() - MAIL}
            claims = {**more, **claims}
        return claims

    async def signed_out(self, token: str) -> Json:
        """What a logout token proves: `jti`, `exp`, and `sub`, or of which session (`sid`), or both.

        Refused: `sign_in_failed`. Unavailable: `sign_in_unavailable`.
        """
        claims = await self._verified(token, ("jti",))
        events, sid = claims.get("events"), claims.get("sid", "")
        if not isinstance(events, dict) or LOGOUT not in events or "nonce" in claims:
            raise failed("that is no logout token")
        if not isinstance(sid, str) or not (sid or "sub" in claims):
            raise failed("that is no logout token")
        return claims

    async def leaving(self, back: str) -> str | None:
        """Where a browser signs out there, to come `back`; None where it cannot."""
        end = (await self._about()).get("end_session_endpoint")
        asked = {"client_id": self._client, "post_logout_redirect_uri": back}
        return _with(end, asked) if isinstance(end, str) else None

    async def _token(self, code: str, attempt: Attempt) -> Json:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": attempt.redirect,
            "code_verifier": attempt.verifier,
        }
        ways = (await self._about()).get("token_endpoint_auth_methods_supported")
        headers: dict[str, str] = {}
        if self._secret is None or (ways and "client_secret_basic" not in ways):
            form |= {"client_id": self._client}
            form |= {} if self._secret is None else {"client_secret": self._secret}
        else:
            pair = f"{quote_plus(self._client)}:{quote_plus(self._secret)}"
            headers["authorization"] = f"Basic {b64encode(pair.encode()).decode()}"
        return await self._fetch("POST", await self._endpoint("token"), headers, form)

    async def _verified(
        self, token: str, essential: tuple[str, ...], *, nonce: str | None = None
    ) -> Json:
        """The claims of a token that this provider has signed for us."""
        jwt, errors = import_module("joserfc.jwt"), import_module("joserfc.errors")
        now = self._clock.now_ms() // 1_000
        wanted: dict[str, Any] = {
            "iss": {"essential": True, "value": self.issuer},
            "aud": {"essential": True, "value": self._client},
            "nonce": {"essential": nonce is not None, "value": nonce},
            **{name: {"essential": True} for name in ("exp", "iat", *essential)},
        }
        for oldest in (KEPT_SECONDS, AGAIN_SECONDS):
            keys = await self._keys(oldest)
            try:
                claims = jwt.decode(token, _key_of(keys), ALGORITHMS).claims
                jwt.JWTClaimsRegistry(now, LEEWAY_SECONDS, **wanted).validate(claims)
            except errors.InvalidKeyIdError:
                continue  # it may have new keys
            except (errors.JoseError, ValueError, TypeError):
                raise failed("its token is not valid") from None
            several = isinstance(claims["aud"], list) and len(cast("list[str]", claims["aud"])) > 1
            if claims.get("azp", None if several else self._client) != self._client:
                raise failed("its token is for another client")
            subject = claims.get("sub", "no subject")
            if not isinstance(subject, str) or not 0 < len(subject) <= SUBJECT_CHARS_MAX:
                raise failed("its subject is too long")
            return claims
        raise failed("its token is signed with an unknown key")

    async def _keys(self, oldest: float) -> list[Json]:
        found = await self._told(await self._endpoint("jwks_uri"), oldest)
        keys = found.get("keys")
        if not isinstance(keys, list) or len(cast("list[Any]", keys)) > KEYS_MAX:
            raise _unavailable("its keys are none, or too many")
        return [one for one in cast("list[Any]", keys) if isinstance(one, dict)]

    async def _about(self) -> Json:
        base = self.issuer.rstrip("/")
        about = await self._told(f"{base}/.well-known/openid-configuration", KEPT_SECONDS)
        if about.get("issuer") != self.issuer:
            raise _unavailable("it says that it is another issuer")
        return about

    async def _endpoint(self, name: str) -> str:
        name = name if name.endswith("_uri") else f"{name}_endpoint"
        found = (await self._about()).get(name)
        secure = ("https://",) if self.issuer.startswith("https:") else ("https://", "http://")
        if not isinstance(found, str) or not found.startswith(secure):
            raise _unavailable(f"it does not say its {name}")
        return found

    async def _told(self, url: str, oldest: float) -> Json:
        """What stands at an address, fetched where what is kept is older."""
        async with self._turn:
            at, kept = self._kept.get(url, (-oldest - 1, {}))
            if self._clock.monotonic() - at > oldest:
                kept = await self._fetch("GET", url)
                self._kept[url] = (self._clock.monotonic(), kept)
            return kept

    async def _fetch(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None = None,
        form: Mapping[str, str] | None = None,
    ) -> Json:
        self._tls = self._tls or await asyncio.to_thread(httpx2.create_ssl_context)
        plain = {"accept": "application/json", "accept-encoding": "identity", **(headers or {})}
        body = bytearray()
        try:
            async with (
                asyncio.timeout(SECONDS_MAX),
                httpx2.AsyncClient(verify=self._tls, timeout=SECONDS_MAX) as http,
                http.stream(method, url, headers=plain, data=form) as got,
            ):
                async for piece in got.aiter_raw():
                    body += piece
                    if len(body) > BYTES_MAX:
                        raise _unavailable("its answer is too long")
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError, TimeoutError) as problem:
            raise _unavailable(f"it cannot be reached: {type(problem).__name__}") from None
        if form is not None and got.status_code in {400, 401}:
            raise failed("it does not take the code")
        if got.status_code != HTTPStatus.OK:
            raise _unavailable(f"it answers with status {got.status_code}")
        try:
            return read(bytes(body))
        except Refused:
            raise _unavailable("its answer is no JSON") from None


def failed(why: str) -> Refused:
    """What came back proves nobody. The log says why."""
    log.warning("sign_in.failed", why=why)
    return Refused(Code.SIGN_IN_FAILED, f"Signing in there did not work: {why}. Begin again.")


def _unavailable(why: str) -> PalaverError:
    log.warning("sign_in.unavailable", why=why)
    told = f"The provider cannot sign you in now: {why}."
    return Unavailable(Code.SIGN_IN_UNAVAILABLE, told)


def _key_of(keys: list[Json]) -> Callable[[Any], Any]:
    """Finds the key of a token's header; one without a key's id has a provider with one key only."""

    def key_of(signed: Any) -> Any:
        kid = signed.headers().get("kid")
        ours = [one for one in keys if one.get("kty") in KINDS and one.get("use") != "enc"]
        found = [one for one in ours if kid is None or one.get("kid") == kid]
        if len(found) != 1:
            raise import_module("joserfc.errors").InvalidKeyIdError(kid)
        return import_module("joserfc.jwk").import_key(found[0])

    return key_of


def _digest(verifier: str) -> str:
    """The code challenge of a verifier (RFC 7636, S256)."""
    return urlsafe_b64encode(sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def _with(url: str, asked: Mapping[str, str]) -> str:
    return f"{url}{'&' if '?' in url else '?'}{urlencode(asked)}"
