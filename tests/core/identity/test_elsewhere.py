"""Signing in by a provider, as far as settings and time go. At the door: tests/wire/api/test_elsewhere.py."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from tests.core.identity.test_accounts import BROWSER, PASSWORD, sign_in
from tests.support.openid import open_place
from tests.wire.door import settings_for

from palaver.core.identity import elsewhere
from palaver.core.runtime import started
from palaver.errors import Code, Refused
from palaver.model import AccountStatus, ServerRole
from palaver.providers import oidc
from palaver.settings import settings_from


async def test_an_attempt_is_good_for_ten_minutes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(elsewhere, "ATTEMPT_MS", -1)
    async with open_place(tmp_path) as place, place.browser() as http:
        assert (await http.get(await place.sent(http))).status_code == 401
        for _ in range(3):
            await place.sent(http)
    with closing(sqlite3.connect(tmp_path / "palaver.db")) as db:
        assert db.execute("SELECT count(*) FROM once").fetchone() == (1,), "past ones are forgotten"


async def test_groups_let_in_and_make_admins(tmp_path: Path) -> None:
    roles = {"oidc_roles_claim": "groups", "oidc_roles": "of ada=admin, of bo=person"}
    async with open_place(tmp_path, **roles) as place, place.browser() as http:
        for who, role in (("ada", "admin"), ("bo", "person")):
            await place.signed_in(http, who)
            account = await place.core.register.get(who)
            assert account.actor.server_role == role
        got = await http.get(await place.sent(http, "cy"))
        assert (got.status_code, got.json()["code"]) == (403, "forbidden")


async def test_an_address_stands_for_a_person_only_where_it_is_surely_theirs_alone(
    tmp_path: Path,
) -> None:
    file = tmp_path / "secret"
    file.write_text("from a file\n")
    given = {"oidc_client_secret": None, "oidc_client_secret_file": file, "oidc_link_email": True}
    async with open_place(tmp_path, **given) as place:
        core = place.core
        ada, bo = [(await core.register.create(name)).actor for name in ("ada", "bo")]
        link = await core.register.reset_link("ada")
        token, _ = await core.accounts.reset(link, PASSWORD, by=BROWSER)
        key, _ = await core.keys.create(actor=ada)
        for one in (ada, bo):
            await core.profiles.change(one, email="ada@example.org", preferences={})

        async def who(case: str) -> object:
            place.ask(case)
            async with place.browser() as http:
                await place.signed_in(http, f"new{len(taken)}")
                taken.append((await http.get("/api/me")).json()["id"])
            return taken[-1]

        taken: list[object] = [ada.id, bo.id]
        assert core.elsewhere is not None
        settings = core.elsewhere._settings
        core.elsewhere._settings = settings.model_copy(update={"oidc_link_email": False})
        assert await who("mail") not in taken[:-1], "it is off at first"
        core.elsewhere._settings = settings
        assert await who("mail") not in taken[:-1], "two have it"
        await core.register.set_status("bo", AccountStatus.DISABLED)
        await core.register.set_role("ada", ServerRole.ADMIN)
        assert await who("mail") not in taken[:-1], "nobody becomes an admin by it"
        await core.register.set_role("ada", ServerRole.PERSON)
        for case in ("mail_text", "mail_number", "mail_unsaid", "mail_in_two", "secret"):
            assert await who(case) not in taken[:-1], case
        token, _ = await sign_in(core, "ada")
        assert await who("mail") == ada.id
        assert await who("mail") not in taken[:-1], "they are somebody elsewhere now"
        for proof in (core.identity.actor(token), core.keys.recognise(key), sign_in(core, "ada")):
            with pytest.raises(Refused):  # whoever typed the address might be somebody else
                await proof


async def test_without_the_package_there_is_no_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(oidc, "find_spec", dict[str, None]().get)
    settings = settings_for(
        tmp_path, oidc_issuer="https://id.example.org", oidc_client_id="palaver"
    )
    with pytest.raises(Refused) as refused:
        async with started(settings):
            pass
    assert refused.value.code is Code.SETTINGS_INVALID
    assert "pip install 'palaver[oidc]'" in refused.value.detail


@pytest.mark.parametrize(
    "given",
    [
        {"oidc_issuer": "https://id.example.org"},
        {"oidc_issuer": "http://id.example.org", "oidc_client_id": "palaver"},
        {"oidc_issuer": "id.example.org", "oidc_client_id": "palaver"},
        {"oidc_roles": "staff"},
        {"oidc_roles": "staff=owner"},
        {"oidc_client_secret": "x", "oidc_client_secret_file": "/run/secrets/oidc"},
    ],
)
def test_settings_that_cannot_be_are_refused(given: dict[str, str]) -> None:
    with pytest.raises(Refused) as refused:
        settings_from(**given)
    assert refused.value.code is Code.SETTINGS_INVALID
