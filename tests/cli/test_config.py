from pathlib import Path

import pytest
from tests.support.command import palaver

pytestmark = pytest.mark.slow  # each test starts processes


def test_the_settings_are_shown_with_their_source_and_without_secrets(tmp_path: Path) -> None:
    environment = {
        "OPENAI_API_KEY": "sk-hushed",
        "ANTHROPIC_API_KEY": "sk-ant-hushed",
        "DATABASE_URL": "postgresql://ada:hushed@host/chat",
        "PALAVER_ALLOWED_HOSTS": "a.example, b.example",
    }
    done = palaver(tmp_path, "config", "show", "--json", environment=environment)
    rows = {row["name"]: row for row in done.json["settings"]}
    assert "hushed" not in done.out
    assert rows["openai_api_key"]["source"] == "OPENAI_API_KEY"
    assert rows["anthropic_api_key"]["source"] == "ANTHROPIC_API_KEY"
    assert rows["database_url"]["value"] == "postgresql://ada:********@host/chat"
    assert rows["allowed_hosts"]["value"] == ["a.example", "b.example"]
    assert (rows["port"]["value"], rows["port"]["source"]) == (8000, "default")
    assert rows["port"]["variable"] == "PALAVER_PORT"
    assert all(row["meaning"] for row in rows.values())
    text = palaver(tmp_path, "config", "show", environment=environment)
    assert "hushed" not in text.out
    assert all(row["variable"] in text.out for row in rows.values())
