import pytest

from palaver.errors import Code, Refused
from palaver.settings import Settings, env_names, settings_from


def test_a_setting_is_read_under_each_of_its_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "sqlite:///shared.db")
    assert settings_from().url == "sqlite:///shared.db"
    monkeypatch.setenv("PALAVER_DATABASE_URL", "sqlite:///own.db")
    assert settings_from().url == "sqlite:///own.db"
    assert settings_from(database_url="sqlite:///given.db").url == "sqlite:///given.db"
    assert env_names("database_url") == ("PALAVER_DATABASE_URL", "DATABASE_URL")
    assert env_names("port") == ("PALAVER_PORT",)


def test_the_database_is_in_the_data_directory_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.setenv("PALAVER_DATA_DIR", "kept")
    assert settings_from().url == "sqlite:///kept/palaver.db"


@pytest.mark.parametrize(
    ("text", "hosts"),
    [
        ("", ()),
        ("a.example", ("a.example",)),
        (" a.example , b.example,", ("a.example", "b.example")),
    ],
)
def test_a_list_stands_between_commas(
    monkeypatch: pytest.MonkeyPatch, text: str, hosts: tuple[str, ...]
) -> None:
    monkeypatch.setenv("PALAVER_ALLOWED_HOSTS", text)
    assert settings_from().allowed_hosts == hosts


def test_what_cannot_be_is_refused_by_name_and_without_its_value(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PALAVER_PORT", "secret")
    with pytest.raises(Refused) as refused:
        settings_from(reader_threads=0)
    assert refused.value.code is Code.SETTINGS_INVALID
    assert "PALAVER_PORT" in refused.value.detail
    assert "PALAVER_READER_THREADS" in refused.value.detail
    assert "secret" not in refused.value.detail


def test_no_setting_is_made_up() -> None:
    with pytest.raises(Refused):
        settings_from(prot=1)


def test_a_key_is_not_shown() -> None:
    settings = settings_from(openai_api_key="sk-secret")
    assert "secret" not in repr(settings)
    assert Settings.model_config.get("frozen")
