import json

import pytest

from palaver.cli import output
from palaver.cli.output import Exit
from palaver.errors import Code, PalaverError, Refused, Unavailable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ✓ Ünïcode\n\tkept", "plain ✓ Ünïcode\n\tkept"),
        ("\x1b[31mred\x07", "\\x1b[31mred\\x07"),
        ("\x9b31m\x7f\r", "\\x9b31m\\x7f\\r"),
        ("abc\u202edcba\u2066", "abc\\u202edcba\\u2066"),
        ("\ud800", "\\ud800"),
    ],
)
def test_control_characters_are_shown_and_not_obeyed(text: str, shown: str) -> None:
    assert output.escaped(text) == shown


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Refused(Code.BIND_REFUSED, ""), Exit.REFUSED),
        (Refused(Code.DATABASE_LOCKED, ""), Exit.REFUSED),
        (Refused(Code.SETTINGS_INVALID, ""), Exit.REFUSED),
        (Unavailable(Code.DATABASE_UNAVAILABLE, ""), Exit.UNAVAILABLE),
        (Refused(Code.ROOM_NOT_FOUND, ""), Exit.FAILED),
    ],
)
def test_an_exit_code_says_what_kind_of_error_it_was(error: PalaverError, code: Exit) -> None:
    assert output.exit_of(error) is code


def test_the_exit_codes_stay_what_scripts_rely_on() -> None:
    assert {code.name: int(code) for code in Exit} == {
        "OK": 0,
        "FAILED": 1,
        "USAGE": 2,
        "REFUSED": 3,
        "UNAVAILABLE": 4,
        "STOPPED": 130,
    }


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://ada:secret@host:5432/chat", "postgresql://ada:********@host:5432/chat"),
        ("postgresql://ada:p%40s:s@host/chat", "postgresql://ada:********@host/chat"),
        ("postgresql://:secret@host/chat", "postgresql://:********@host/chat"),
        ("postgresql://host/chat", "postgresql://host/chat"),
        ("sqlite:///data/a@b:c.db", "sqlite:///data/a@b:c.db"),
    ],
)
def test_no_password_of_a_database_is_shown(url: str, shown: str) -> None:
    assert output.without_password(url) == shown


def test_json_is_ascii_and_one_object(capsys: pytest.CaptureFixture[str]) -> None:
    output.tell_json({"text": "é\x1b\u202e"})
    out = capsys.readouterr().out
    assert out.isascii()
    assert json.loads(out) == {"text": "é\x1b\u202e"}


def test_an_error_is_one_line_and_its_code(capsys: pytest.CaptureFixture[str]) -> None:
    output.tell_error(Refused(Code.PORT_TAKEN, "Port 1 \x1b[2J is taken."), as_json=False)
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err == "palaver: Port 1 \\x1b[2J is taken. [port_taken]\n"


@pytest.mark.parametrize(
    ("number", "told"), [(0, "0 answers"), (1, "1 answer"), (1_200, "1,200 answers")]
)
def test_one_is_not_told_as_several(number: int, told: str) -> None:
    assert output.counted(number, "answer") == told
