from itertools import pairwise

import pytest
from hypothesis import given, strategies as st

from palaver.providers.http.sse import EventTooLarge, Framer, data_in


def events_in(*frames: bytes) -> list[tuple[str, str]]:
    found = [data_in(frame) for frame in frames]
    return [(data.decode(errors="replace"), kind) for data, kind in found if data]


def parse(*chunks: bytes) -> list[tuple[str, str]]:
    framer = Framer()
    frames = [frame for chunk in chunks for frame in framer.feed(chunk)]
    frames.append(framer.close())
    assert b"".join(frames) == b"".join(chunks)
    return events_in(*frames)


def data_of(*chunks: bytes) -> list[str]:
    return [data for data, _ in parse(*chunks)]


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
def test_all_three_line_ends_end_lines(end: bytes) -> None:
    stream = end.join([b"data: one", b"data: two", b"", b"data: three", b"", b""])
    assert data_of(stream) == ["one\ntwo", "three"]


def test_an_event_comes_as_soon_as_its_empty_line_does_even_with_bare_cr() -> None:
    framer = Framer()
    assert framer.feed(b"data: one\r") == []
    assert events_in(*framer.feed(b"\r")) == [("one", "message")]
    assert events_in(*framer.feed(b"\ndata: two\r\n\r")) == [("two", "message")]
    assert framer.feed(b"\n") == []


def test_a_line_end_split_over_two_packets_is_one_line_end() -> None:
    assert data_of(b"data: one\r", b"\ndata: two\r", b"\n\r", b"\n") == ["one\ntwo"]


def test_a_comment_an_unknown_field_and_a_missing_space_change_nothing() -> None:
    assert data_of(b": ping\n\nfoo: bar\nretry: 1\nid: 7\ndata:x\ndata\ndata:  y\n\n") == [
        "x\n\n y"
    ]


def test_the_type_belongs_to_its_own_event_only() -> None:
    events = parse(b"event: error\ndata: 1\n\ndata: 2\n\nevent: empty\n\ndata: 3\n\n")
    assert events == [("1", "error"), ("2", "message"), ("3", "message")]


def test_a_byte_order_mark_is_passed_over_at_the_start_only() -> None:
    assert data_of(b"\xef\xbb", b"\xbfdata: a\n\n", b"data: \xef\xbb\xbfb\n\n") == ["a", "\ufeffb"]


def test_a_character_split_over_two_packets_is_joined() -> None:
    whole = 'data: {"x":"é"}'.encode()
    assert data_of(whole[:12], whole[12:]) == ['{"x":"é"}']


def test_bytes_that_are_not_utf_8_are_replaced_and_nothing_else_is_lost() -> None:
    assert data_of(b"data: a\xff\xc3b\n\ndata: c\n\n") == ["a\ufffd\ufffdb", "c"]


def test_separators_of_other_alphabets_do_not_end_a_line() -> None:
    assert data_of("data: a\u2028b\u0085c\x0bd\n\n".encode()) == ["a\u2028b\u0085c\x0bd"]


def test_an_event_without_its_empty_line_is_given_at_the_end() -> None:
    assert data_of(b"data: [DONE]") == ["[DONE]"]
    assert data_of(b"data: a\n") == ["a"]
    assert data_of(b"event: x\n") == []


def test_a_line_over_the_limit_is_refused_before_it_is_kept() -> None:
    framer = Framer(event_bytes_max=100)
    for _ in range(10):
        assert framer.feed(b"data: 7890") == []
    with pytest.raises(EventTooLarge):
        framer.feed(b"1")


def test_many_lines_that_make_one_event_over_the_limit_are_refused() -> None:
    framer = Framer(event_bytes_max=100)
    with pytest.raises(EventTooLarge):
        framer.feed(b"data:\n" * 100)


def test_the_limit_is_for_one_event_not_for_the_stream() -> None:
    framer = Framer(event_bytes_max=20)
    frames = [frame for _ in range(50) for frame in framer.feed(b"data: 123\n\n")]
    assert events_in(*frames) == [("123", "message")] * 50


FRAGMENTS = st.sampled_from(
    [
        b"data: a\r\n",
        b"data:b\n",
        b"data: ",
        b"data:",
        b"event: x",
        b": note",
        b"\r",
        b"\n",
        b"\r\n",
        b"\n\n",
        b"\xef\xbb\xbf",
    ]
    + [text.encode() for text in ("é", "🦊", "{}", " ", ":", "\u2028", "word")]
    + [b"\xff", b"\xc3"]
)


@given(st.lists(FRAGMENTS, max_size=40).map(b"".join), st.data())
def test_any_chunking_gives_the_same_events(stream: bytes, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=20)))
    edges = [0, *cuts, len(stream)]
    chunks = [stream[start:end] for start, end in pairwise(edges)]
    assert parse(*chunks) == parse(stream)
    assert parse(*(bytes([byte]) for byte in stream)) == parse(stream)
