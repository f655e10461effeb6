"""An OpenID provider that lies (tests/oidc/hostile.py): it signs nobody in, and nothing is stored."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing

import pytest
from tests.support.openid import Place, open_place

from palaver.providers import oidc

TABLES = ("identities", "accounts", "actors", "sessions")


@pytest.fixture(scope="module")
async def place(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    async with open_place(tmp_path_factory.mktemp("oidc")) as place:
        yield place


def counted(place: Place) -> list[int]:
    with closing(sqlite3.connect(place.core.settings.data_dir / "palaver.db")) as db:
        return [db.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in TABLES]


async def expect_refused(
    place: Place, url: str, status: int, code: str, method: str = "GET"
) -> None:
    async with place.browser() as http:
        before = counted(place)
        got = await http.request(method, url, json={})
        assert (got.status_code, got.json().get("code")) == (status, code), got.text
        assert counted(place) == before


@pytest.mark.parametrize(
    "case",
    [
        *(
            "wrong_iss",
            "no_iss",
            "wrong_aud",
            "several_aud",
            "wrong_azp",
            "wrong_nonce",
            "no_nonce",
        ),
        *("past", "future", "no_exp", "no_sub", "long_sub", "number_sub"),
        *("alg_none", "hs256", "other_key", "unknown_key", "no_id_token", "other_info"),
        *("callback_iss", "no_back_iss", "denied"),
    ],
)
async def test_what_it_gets_wrong_proves_nobody(place: Place, case: str) -> None:
    place.ask(case)
    async with place.browser() as http:
        me = (await http.get("/api/me")).json()
        before, back = counted(place), await place.sent(http)
        got = await http.get(back)
        assert (got.status_code, got.json()["code"]) == (401, "sign_in_failed")
        assert "set-cookie" not in got.headers
        assert (await http.get("/api/me")).json() == me
        assert counted(place) == before
        again = await http.get(back)  # nor is there a second try
        assert (again.status_code, again.json()["code"]) == (401, "sign_in_failed")
        assert "not begun here" in again.json()["detail"]


@pytest.mark.parametrize("case", ["many_keys", "token_500", "token_html"])
async def test_what_it_cannot_say_lets_nobody_in(place: Place, case: str) -> None:
    place.ask(case)
    async with place.browser() as http:
        back, before = await place.sent(http), counted(place)
        got = await http.get(back)
        assert (got.status_code, got.json()["code"]) == (502, "sign_in_unavailable")
        assert counted(place) == before


@pytest.mark.parametrize(
    "case",
    [
        "other_issuer",
        "redirects",
        "huge",
        "silent",
        "endless",
        "no_token_endpoint",
        "file_endpoint",
    ],
)
async def test_who_says_nothing_of_use_of_itself_is_not_asked(
    place: Place, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(oidc, "SECONDS_MAX", 1.0)
    place.ask(case)
    if case.endswith("_endpoint"):
        async with place.browser() as http:
            got = await http.get(await place.sent(http))
            assert (got.status_code, got.json()["code"]) == (502, "sign_in_unavailable")
    else:
        await expect_refused(place, "/api/oidc/start", 502, "sign_in_unavailable", "POST")


async def test_who_is_not_there_is_told_so(place: Place) -> None:
    assert place.core.elsewhere is not None
    hostile, place.hostile = place.hostile, "http://127.0.0.1:1"
    place.ask("honest")
    place.hostile = hostile
    await expect_refused(place, "/api/oidc/start", 502, "sign_in_unavailable", "POST")


async def test_an_answer_is_good_in_its_browser_alone(place: Place) -> None:
    place.ask("honest")
    async with place.browser() as http, place.browser() as other:
        await other.get("/api/me")
        got = await other.get(await place.sent(http))
        assert (got.status_code, "another browser" in got.text) == (401, True)
        await expect_refused(place, await place.sent(http), 401, "sign_in_failed")


async def test_the_code_of_another_attempt_is_of_no_use(place: Place) -> None:
    """Who gets their own code into another's browser would have it signed in as themselves."""
    place.ask("honest")
    async with place.browser() as http, place.browser() as other:
        mine, theirs = await place.sent(other, "mallory"), await place.sent(http)
        code = mine.partition("code=")[2].partition("&")[0]
        own = theirs.partition("code=")[2].partition("&")[0]
        got = await http.get(theirs.replace(f"code={own}", f"code={code}"))
        assert (got.status_code, got.json()["code"]) == (401, "sign_in_failed")


async def test_an_answer_says_each_thing_once(place: Place) -> None:
    place.ask("honest")
    async with place.browser() as http:
        got = await http.get(f"{await place.sent(http)}&code=another")
        assert (got.status_code, got.json()["code"]) == (400, "bad_request")


async def test_keys_are_fetched_anew_once_a_minute_at_the_most(place: Place) -> None:
    place.ask("unknown_key_again")
    async with place.browser() as http:
        for _ in range(3):
            await http.get(await place.sent(http))
        asked = (await http.get(f"{place.hostile}/unknown_key_again/asked")).json()
    assert asked["/unknown_key_again/keys"] == 1
    assert asked["/unknown_key_again/.well-known/openid-configuration"] == 1
