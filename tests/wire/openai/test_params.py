"""What several calls read of a request, and the page that it wants."""

import pytest
from starlette.requests import Request

from palaver.errors import Refused
from palaver.model import RoomId
from palaver.wire.openai.fields import Invalid
from palaver.wire.openai.items import conversation_id
from palaver.wire.openai.params import Paging, is_repeated, listed, paging_of, room_of

ROOM = RoomId("r_" + "0192" * 8)


def test_a_room_is_named_by_its_id_or_by_what_has_it() -> None:
    id_ = conversation_id(ROOM)
    assert room_of({"conversation": id_}) == room_of({"conversation": {"id": id_}}) == ROOM
    assert room_of({}) is room_of({"conversation": {}}) is None
    for wrong in ("thread_1", 7, [id_]):
        with pytest.raises(Invalid) as refused:
            room_of({"conversation": wrong})
        assert refused.value.param == "conversation"
    with pytest.raises(Refused) as missed:
        room_of({"conversation": "conv_1"})
    assert missed.value.status == 404


def test_a_library_says_that_it_asks_again() -> None:
    counts: list[dict[str, str]] = [{}, *({"x-stainless-retry-count": one} for one in ("0", "1"))]
    assert [is_repeated(headers) for headers in counts] == [False, False, True]


def request(query: str) -> Request:
    return Request({"type": "http", "query_string": query.encode(), "headers": []})


@pytest.mark.parametrize(
    ("query", "after", "limit", "newest_first"),
    [
        ("", None, 20, True),
        ("limit=&order=&after=", None, 20, True),
        ("order=asc&limit=100&after=msg_1", "msg_1", 100, False),
        ("limit=1000&beta=true", None, 100, True),
        ("limit=0", None, 1, True),
        ("limit=-5&order=desc", None, 1, True),
        ("limit=" + "9" * 5_000, None, 100, True),
    ],
)
def test_a_page_is_bounded(
    query: str,
    after: str | None,
    limit: int,
    newest_first: bool,  # noqa: FBT001  a parameter of the test
) -> None:
    wanted = Paging(after=after, limit=limit, newest_first=newest_first)
    assert paging_of(request(query), newest_first=True) == wanted


@pytest.mark.parametrize(("query", "param"), [("limit=x", "limit"), ("order=up", "order")])
def test_nonsense_is_refused(query: str, param: str) -> None:
    with pytest.raises(Invalid) as refused:
        paging_of(request(query), newest_first=False)
    assert refused.value.param == param


def test_a_list_names_its_ends() -> None:
    page = listed([{"id": "a"}, {"id": "b"}], has_more=True)
    assert (page["first_id"], page["last_id"], page["has_more"]) == ("a", "b", True)
    assert listed([], has_more=False)["last_id"] is None
