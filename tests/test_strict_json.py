"""What is read is one value for every parser."""

import json
from decimal import Decimal
from typing import Any

import pytest

from palaver.errors import Code, Refused
from palaver.strict_json import (
    dump,
    dump_exact,
    exact,
    lenient,
    load,
    read,
    text_of,
    text_or_none_of,
    whole_of,
)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", Code.INVALID_JSON),
        (b"{", Code.INVALID_JSON),
        (b"NaN", Code.INVALID_JSON),
        (b'{"a":-Infinity}', Code.INVALID_JSON),
        (b'{"a":1e999}', Code.INVALID_JSON),
        (b'{"a":01}', Code.INVALID_JSON),
        (b"{'a':1}", Code.INVALID_JSON),
        (b'{"a":1,}', Code.INVALID_JSON),
        (b'\xef\xbb\xbf{"a":1}', Code.INVALID_JSON),
        ('{"a":1}'.encode("utf-16"), Code.INVALID_JSON),
        (b'{"a":"\xff"}', Code.INVALID_JSON),
        (b'{"a":"\xed\xa0\x80"}', Code.INVALID_JSON),
        (b'{"a":1,"a":2}', Code.INVALID_JSON),
        (b'{"b":[{"a":1,"a":1}]}', Code.INVALID_JSON),
        (b'{"a":1,"\\u0061":2}', Code.INVALID_JSON),
        (b"[" * 40_000, Code.INVALID_JSON),
        (b'{"a":' * 33 + b"1" + b"}" * 33, Code.INVALID_JSON),
        (b'{"a":' + b"[" * 32 + b"]" * 32 + b"}", Code.INVALID_JSON),
        (b'{"a":"\\ud800"}', Code.INVALID_UNICODE),
        (b'{"a":"\\udc00x"}', Code.INVALID_UNICODE),
        (b'{"a":"\\ud800\\ud800"}', Code.INVALID_UNICODE),
        (b'{"\\udbff":1}', Code.INVALID_UNICODE),
        (b"[]", Code.BAD_REQUEST),
        (b'"a"', Code.BAD_REQUEST),
        (b"1", Code.BAD_REQUEST),
        (b"null", Code.BAD_REQUEST),
    ],
)
def test_what_is_not_one_object_for_every_parser_is_refused(data: bytes, code: Code) -> None:
    for reads in (load, exact):
        if reads is exact and b"1e999" in data:
            continue  # a number, if no double
        with pytest.raises(Refused) as refused:
            reads(data)
        assert refused.value.code is code


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"a": 'x":"y', "b": {"c": [1, {"d": ":::"}]}, "e": "\\", "f": '\\"'},
        {"a:b": ":", '"': '"', "": "", "é": "日本", "😀": "\U0010ffff"},
        {"a": {"a": {"a": 1}}, "b": [{"a": 1}, {"a": 2}]},
        {"n": [0, -1, 1.5, 1e300, True, False, None]},
    ],
)
def test_an_object_is_read_as_it_is(value: dict[str, Any]) -> None:
    assert load(json.dumps(value).encode()) == value
    assert load(json.dumps(value, ensure_ascii=False, indent=2).encode()) == value
    assert exact(json.dumps(value).encode()) == value == load(dump_exact(value))


def test_thirty_two_levels_are_read() -> None:
    assert load(b'{"a":' * 32 + b"1" + b"}" * 32)


def test_what_goes_on_as_it_came_has_a_bound_of_its_own() -> None:
    assert read(b'{"a":1,"a":2}') == {"a": 2}
    assert read(b'{"a":' + b"[" * 63 + b"1" + b"]" * 63 + b"}")
    assert read(b'{"a":[' + b"{}," * 100 + b"{}]}"), "many, none of them deep"
    for nested in (b"[" * 64 + b"1" + b"]" * 64, b"[" * 900 + b"]" * 900):
        with pytest.raises(Refused, match="levels deep"):
            read(b'{"a":' + nested + b"}")
        assert lenient(b'{"a":' + nested + b"}") == {}


@pytest.mark.parametrize(
    ("data", "mended"),
    [
        (b'{"a":"\\ud83d\\ude00"}', {"a": "😀"}),
        (b'{"\\ud800":"x\\udc00"}', {"\ufffd": "x\ufffd"}),
        (b'{"a":1' + b"0" * 30 + b',"b":"\\ud800"}', {"a": 1e30, "b": "\ufffd"}),
        (b'{"a":"\xff"}', {"a": "\ufffd"}),
        (b"[1]", {}),
        (b'{"a"', {}),
        (b"[" * 100_000, {}),
    ],
    ids=repr,
)
def test_what_cannot_be_refused_is_mended(data: bytes, mended: dict[str, Any]) -> None:
    found = lenient(data)
    assert found == mended
    assert dump(found)


@pytest.mark.parametrize("value", [None, True, 1.0, -1, "1", 2**53, [], {}])
def test_a_whole_number_is_nothing_else(value: object) -> None:
    with pytest.raises(Refused):
        whole_of({"seq": value}, "seq")
    assert whole_of({"seq": 2**53 - 1}, "seq") == 2**53 - 1


@pytest.mark.parametrize("value", [None, True, 1, [], {}])
def test_a_text_is_nothing_else(value: object) -> None:
    with pytest.raises(Refused):
        text_of({"room": value}, "room")
    assert text_or_none_of({"room": None}, "room") is None
    assert text_or_none_of({}, "room") is None


NUMBERS = (
    *("0", "-0", "1", "-1", "18446744073709551616", "-9223372036854775809", "9" * 5_000),
    *("0.1", "-0.0", "1e5", "1.5E+3", "1e400", "-1e-400", "0.1000000000000000055", "5e-324"),
    "1e999999999999999999",
)


def test_numbers_of_any_size_and_any_digits_are_written_as_what_they_are() -> None:
    written = dump_exact(exact(b'{"a":[' + ",".join(NUMBERS).encode() + b"]}"), indent=True)
    text = written.decode()
    told: list[str] = json.loads(text, parse_int=str, parse_float=str)["a"]
    same = [Decimal(one) == Decimal(other) for one, other in zip(told, NUMBERS, strict=True)]
    assert all(same)
    assert [one[0] == "-" for one in told] == [one[0] == "-" for one in NUMBERS]
    assert dump_exact(exact(written), indent=True) == written
    assert exact(b'{"a":[0.5,7]}') == {"a": [0.5, 7]}
    assert type(exact(b'{"a":7}')["a"]) is int


def test_a_number_that_nobody_can_keep_is_refused() -> None:
    with pytest.raises(Refused) as refused:
        exact(b'{"a":1e9999999999999999999}')
    assert refused.value.code is Code.INVALID_JSON
