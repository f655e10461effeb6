import os
from pathlib import Path

import pytest

from palaver.errors import Code, Refused
from palaver.settings import Settings, env_names, settings_from, unknown_variables
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


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("PALAVER_PORT", "abc", "PALAVER_PORT: must be a whole number."),
        ("PALAVER_PORT", "", "PALAVER_PORT: must be a whole number."),
        ("PALAVER_PORT", "70000", "PALAVER_PORT: must be 65535 or less."),
        ("PALAVER_PORT", "-1", "PALAVER_PORT: must be 0 or more."),
        ("PALAVER_STOP_SECONDS", "0", "PALAVER_STOP_SECONDS: must be more than 0.0."),
        ("PALAVER_STOP_SECONDS", "x", "PALAVER_STOP_SECONDS: must be a number."),
        ("PALAVER_DETECT", "maybe", "PALAVER_DETECT: must be true or false."),
        ("PALAVER_OPENAI_KEYS", "no", "PALAVER_OPENAI_KEYS: must be 'auto' or 'required'."),
        ("PALAVER_PUBLIC_URL", "{x}", "PALAVER_PUBLIC_URL: must be such as https://chat"),
        ("PALAVER_DATA_DIR", "/dev/null", "PALAVER_DATA_DIR: /dev/null is a file, and no folder."),
        (
            "PALAVER_DATA_DIR",
            "/dev/null/d",
            "PALAVER_DATA_DIR: /dev/null is a file, and no folder.",
        ),
    ],
)
def test_a_refusal_says_in_plain_words_what_a_setting_must_be(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, words: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(Refused) as refused:
        settings_from()
    assert refused.value.detail.startswith(words)


def test_a_variable_that_is_no_setting_is_told_with_the_nearest_that_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in os.environ:
        if name.upper().startswith("PALAVER_"):
            monkeypatch.delenv(name)
    names = ("PALAVER_PORT", "palaver_host", "PALAVER_PYTHON", "OPENAI_BASE_URL", "PORT")
    for name in (
        *names,
        "PALAVER_PRT",
        "PALAVER_OPENAI_URL",
        "PALAVER_XYZZY",
        "palaver_datadir",
        "PALAVER_ALLOW_PUBLIC",
    ):
        monkeypatch.setenv(name, "secret")
    gone, *others = unknown_variables()
    assert gone.startswith("PALAVER_ALLOW_PUBLIC is no setting any more: ")
    assert "PALAVER_GUESTS" in gone
    assert others == [
        "PALAVER_OPENAI_URL is no setting; PALAVER_OPENAI_BASE_URL is one",
        "PALAVER_PRT is no setting; PALAVER_PORT is one",
        "PALAVER_XYZZY is no setting",
        "palaver_datadir is no setting; PALAVER_DATA_DIR is one",
    ]


@pytest.mark.parametrize("level", ["DEBUG", "Info", "warning"])
def test_the_level_of_the_log_is_one_of_four_in_any_case(
    monkeypatch: pytest.MonkeyPatch, level: str
) -> None:
    monkeypatch.setenv("PALAVER_LOG_LEVEL", level)
    assert settings_from().log_level == level.lower()
    monkeypatch.setenv("PALAVER_LOG_LEVEL", "loud")
    with pytest.raises(Refused, match="PALAVER_LOG_LEVEL"):
        settings_from()


def test_no_setting_is_made_up() -> None:
    with pytest.raises(Refused):
        settings_from(prot=1)


def test_a_key_is_not_shown() -> None:
    settings = settings_from(openai_api_key="sk-planted", oidc_client_secret="planted")
    assert "planted" not in repr(settings)
    assert Settings.model_config.get("frozen")
