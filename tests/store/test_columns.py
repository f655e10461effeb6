"""Every value comes back from what lies in the tables as it was."""

import uuid

import pytest
from hypothesis import example, given, strategies as st
from sqlalchemy.dialects.sqlite import dialect

from palaver.store.columns import Id, cid_in, cid_out, id_bytes, text_in, text_out

WELL_FORMED = st.text(st.characters(exclude_categories=["Cs"]))


@given(WELL_FORMED)
@example("\0")
@example("\uf8ff0\0\uf8ff")
def test_text_comes_back_and_holds_no_nul(text: str) -> None:
    kept = text_in(text)
    assert "\0" not in kept
    assert text_out(kept) == text


@given(st.tuples(WELL_FORMED, WELL_FORMED))
def test_different_texts_are_kept_differently(texts: tuple[str, str]) -> None:
    assert (text_in(texts[0]) == text_in(texts[1])) == (texts[0] == texts[1])


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=64) | st.uuids().map(str))
@example("a" * 15)
@example("a" * 16)
@example("a" * 17)
@example("\0" * 16)
@example("01a1fad1-519e-7138-bbf2-2663a16b934b".upper())
@example("01a1fad1-519e-7138-bbf2-2663a16b934\n")
@example("01a1fad1-519e-7138-bbf2-2663a16 934b")
def test_a_cid_comes_back(cid: str) -> None:
    assert cid_out(cid_in(cid)) == cid


def test_a_uuid_takes_sixteen_bytes_and_no_other_text_does() -> None:
    cid = "01a1fad1-519e-7138-bbf2-2663a16b934b"
    assert cid_in(cid) == uuid.UUID(cid).bytes
    lookalike = uuid.UUID(bytes=b"abcdefghijklmnop")
    assert cid_in("abcdefghijklmnop") != cid_in(str(lookalike))
    assert len(cid_in("abcdefghijklmnop") or b"") == 17


@pytest.mark.parametrize(
    "strange",
    ["", "m_", "m_" + "0" * 31, "m_" + "G" * 32, "m_" + "AB" * 16, "m_" + "ab " * 10 + "ab"],
)
def test_what_is_no_id_matches_nothing(strange: str) -> None:
    assert id_bytes(strange) == b""


def test_a_thing_has_one_id() -> None:
    digits = "ab" * 16
    kept = Id("r_").bind_processor(dialect())
    for prefix in ("R_", "m_", "rr", "é_"):
        assert kept(prefix + digits) == b"", prefix
    assert kept(f"r_{digits}") == b"\xab" * 16
    assert kept(None) is None


def test_an_id_is_its_bytes() -> None:
    assert id_bytes("m_" + "ab" * 16) == b"\xab" * 16
