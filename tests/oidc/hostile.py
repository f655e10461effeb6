"""An OpenID provider that lies: `python hostile.py PORT` says `ready` when it is.

How it lies stands in the issuer that one asks: `http://127.0.0.1:PORT/CASE`. `honest` does not, as long as nobody says
otherwise. It asks nobody for a password, and signs in whoever the parameter `login_hint` of a request names.
"""

import asyncio
import hmac
import json
import sys
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

jwk, jwt = import_module("joserfc.jwk"), import_module("joserfc.jwt")
Answer = tuple[int, Any]
"""A status, and what goes with it: JSON, or where to go."""
PORT = int(sys.argv[1])
KEY = jwk.generate_key("RSA", 2048, {"kid": "1", "use": "sig"}, private=True)
CLAIMS: Mapping[str, Mapping[str, Any]] = {
    "wrong_iss": {"iss": f"http://127.0.0.1:{PORT}/honest"},
    "no_iss": {"iss": None},
    "wrong_aud": {"aud": "another"},
    "several_aud": {"aud": ["palaver", "another"]},
    "wrong_azp": {"azp": "another"},
    "wrong_nonce": {"nonce": "another"},
    "no_nonce": {"nonce": None},
    "past": {"exp": 1},
    "future": {"iat": 99_999_999_999},
    "no_exp": {"exp": None},
    "no_sub": {"sub": None},
    "long_sub": {"sub": "s" * 256},
    "number_sub": {"sub": 1},
    "mail": {"email": "ada@example.org", "email_verified": True},
    "mail_text": {"email": "ada@example.org", "email_verified": "true"},
    "mail_number": {"email": "ada@example.org", "email_verified": 1},
    "mail_unsaid": {"email": "ada@example.org"},
    "mail_in_two": {"email_verified": True},
}
ABOUT: Mapping[str, Mapping[str, Any]] = {
    "other_issuer": {"issuer": f"http://127.0.0.1:{PORT}/honest"},
    "no_token_endpoint": {"token_endpoint": None},
    "can_end": {"end_session_endpoint": f"http://127.0.0.1:{PORT}/can_end/end"},
    "huge": {"more": "x" * 2**20},
    "file_endpoint": {"token_endpoint": "file:///etc/passwd"},
}
WELL_KNOWN = ".well-known/openid-configuration"
LOGOUT: dict[str, Any] = {"http://schemas.openid.net/event/backchannel-logout": {}}
codes: dict[str, dict[str, str]] = {}
asked: dict[str, int] = {}
"""How often each path was asked for."""


def about(issuer: str, case: str) -> dict[str, Any]:
    return {
        "issuer": issuer,
        "authorization_endpoint": f"{issuer}/authorize",
        "token_endpoint": f"{issuer}/token",
        "jwks_uri": f"{issuer}/keys",
        "userinfo_endpoint": f"{issuer}/info",
        "authorization_response_iss_parameter_supported": True,
        **ABOUT.get(case, {}),
    }


def keys(case: str) -> dict[str, Any]:
    mine = KEY.as_dict(private=False)
    others = [{"kid": f"other{number}"} for number in range(1_000)]
    return {"keys": [mine, *others] if case == "many_keys" else [mine]}


def claims_of(issuer: str, case: str, about_whom: Mapping[str, str]) -> dict[str, Any]:
    now = int(time.time())
    claims: dict[str, Any] = {
        "iss": issuer,
        "aud": "palaver",
        "sub": about_whom.get("login_hint", "ada"),
        "nonce": about_whom.get("nonce"),
        "iat": now,
        "exp": now + 60,
        "sid": about_whom.get("sid"),
        "preferred_username": about_whom.get("login_hint", "ada"),
        **CLAIMS.get(case, {}),
    }
    return {name: value for name, value in claims.items() if value is not None}


def encoded(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def signed(case: str, claims: Mapping[str, Any]) -> str:
    body = encoded(json.dumps(claims).encode())
    if case == "alg_none":
        return f"{encoded(json.dumps({'alg': 'none'}).encode())}.{body}."
    if case == "hs256":  # with the public key as the secret, which everyone knows
        said = f"{encoded(json.dumps({'alg': 'HS256', 'kid': '1'}).encode())}.{body}"
        return f"{said}.{encoded(hmac.digest(KEY.as_pem(private=False), said.encode(), 'sha256'))}"
    key = jwk.generate_key("RSA", 2048, private=True) if case == "other_key" else KEY
    kid = "unknown" if case.startswith("unknown_key") else "1"
    return jwt.encode({"alg": "RS256", "kid": kid}, dict(claims), key)


def back(issuer: str, case: str, given: dict[str, str]) -> Answer:
    """Sends the browser back without a question."""
    if case == "denied":
        return 303, f"{given['redirect_uri']}?error=access_denied&state={given['state']}"
    code = f"code{len(codes)}"
    codes[code] = given
    said = {"code": code, "state": given["state"]}
    if case != "no_back_iss":
        said["iss"] = "https://other.example" if case == "callback_iss" else issuer
    return 303, f"{given['redirect_uri']}?{urlencode(said)}"


def token(issuer: str, case: str, given: dict[str, str]) -> Answer:
    whom = codes[given["code"]]
    if case == "secret" and given["bearer"] != "Basic cGFsYXZlcjpmcm9tK2ErZmlsZQ==":
        return 401, {}
    said = signed(case, claims_of(issuer, case, whom))
    return 200, {"id_token": said, "access_token": whom.get("login_hint", "ada")}


def info(_: str, case: str, given: dict[str, str]) -> Answer:
    sub: Any = "somebody else" if case == "other_info" else given["bearer"]
    told = {"sub": sub, "name": sub.title(), "groups": [f"of {sub}"]}
    if case == "mail_in_two":
        told |= {"email": "ada@example.org", "email_verified": False}
    return 200, told


def logout(issuer: str, case: str, given: dict[str, str]) -> Answer:
    """A logout token for whoever asks, with what they want in it."""
    claims: dict[str, Any] = claims_of(issuer, case, {}) | {"events": LOGOUT, "jti": "j1"} | given
    for name in ("bearer", "without", *given.get("without", "").split()):
        claims.pop(name, None)
    return 200, {"token": signed(case, claims)}


SAYS: Mapping[str, Callable[[str, str, dict[str, str]], Answer]] = {
    "asked": lambda _, __, ___: (200, asked),
    WELL_KNOWN: lambda issuer, case, _: (200, about(issuer, case)),
    ".well-known/about": lambda issuer, case, _: (200, about(issuer, case)),
    "keys": lambda _, case, __: (200, keys(case)),
    "authorize": back,
    "token": token,
    "info": info,
    "logout": logout,
}
LIES: Mapping[tuple[str, str], Answer] = {
    (WELL_KNOWN, "redirects"): (302, "about"),
    ("token", "token_500"): (500, {}),
    ("token", "token_html"): (200, "<html>"),
    ("token", "no_id_token"): (200, {"access_token": "a", "token_type": "Bearer"}),
}


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    line, *lines = head.split("\r\n")
    headers = {name.lower(): value for name, _, value in (one.partition(": ") for one in lines)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    url = urlsplit(line.split()[1])
    case, _, what = url.path.removeprefix("/").partition("/")
    asked[url.path] = asked.get(url.path, 0) + 1
    given = {**dict(parse_qsl(url.query)), **dict(parse_qsl(body.decode()))}
    given["bearer"] = headers.get("authorization", "").removeprefix("Bearer ")
    if case == "silent" and what != "authorize":
        await reader.read()  # until who asks has gone
        writer.close()
        return
    if case == "endless":
        writer.write(b"HTTP/1.1 200 X\r\ncontent-length: 100000\r\n\r\n")
        while not writer.is_closing():
            writer.write(b" ")
            await asyncio.sleep(0.2)
        return
    issuer = f"http://127.0.0.1:{PORT}/{case}"
    status, said = LIES.get((what, case)) or SAYS[what](issuer, case, given)
    where = f"location: {said}\r\n" if status in {302, 303} else ""
    text = json.dumps(said).encode() if isinstance(said, dict) else str(said).encode()
    writer.write(f"HTTP/1.1 {status} X\r\n{where}content-length: {len(text)}\r\n".encode())
    writer.write(b"connection: close\r\n\r\n" + text)
    await writer.drain()
    writer.close()


async def main() -> None:
    server = await asyncio.start_server(serve, "127.0.0.1", PORT)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await server.serve_forever()


asyncio.run(main())
