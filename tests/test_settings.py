from pathlib import Path

import pytest

from palaver.errors import Code, Refused
from palaver.settings import Settings, env_names, settings_from
from palaver.store.engine.base import file_of, parsed


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
    "name",
    ["a?b", "a%20b", "a b ", " ", "./~x", "#1", "ä/ø", "100%", "a&b=c+d", ":memory:", "a//b"],
)
def test_a_path_is_a_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    for place in (name, f"{tmp_path}/{name}"):
        monkeypatch.setenv("PALAVER_DATA_DIR", place)
        settings = settings_from()
        assert settings.data_dir == Path(place)
        for file in (settings.file, file_of(parsed(settings.url))):
            assert file is not None
            assert file.absolute() == (settings.data_dir / "palaver.db").absolute()


def test_a_tilde_is_the_home_directory_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "~"))
    monkeypatch.setenv("PALAVER_DATA_DIR", "~/~")
    assert settings_from().file == tmp_path / "~" / "~" / "palaver.db"
    assert settings_from(database_url="sqlite:///~/x%3F").file == tmp_path / "~" / "x?"
    with pytest.raises(Refused) as refused:
        settings_from(data_dir="~nobody-has-this-name/x")
    assert refused.value.code is Code.SETTINGS_INVALID


def test_a_data_directory_that_is_none_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "dangling").symlink_to("nowhere")
    for place in ("file", "dangling", "\udcff"):
        with pytest.raises(Refused) as refused:
            settings_from(data_dir=tmp_path / place)
        assert refused.value.code is Code.SETTINGS_INVALID
        assert "PALAVER_DATA_DIR" in refused.value.detail


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
