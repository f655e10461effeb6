"""A body is taken as it is, and has the type that it says."""

import pytest
from pydantic import ValidationError
from tests.wire.door import Door, new_room

from palaver.wire.api.messages import NewMessage


def test_a_body_is_taken_as_it_is() -> None:
    wrong: tuple[object, ...] = (1, 1.5, True, None, [], {}, ["a"])
    for text in wrong:
        with pytest.raises(ValidationError):
            NewMessage.model_validate({"cid": "1", "text": text}, strict=True)
    taken = NewMessage.model_validate({"cid": "1", "text": "x", "role": "system", "seq": 1})
    assert taken.model_dump(exclude_defaults=True) == {"cid": "1", "text": "x"}


async def test_a_body_has_the_type_that_it_says_and_the_one_that_is_read(door: Door) -> None:
    http = door.http()
    for headers in (
        {"content-type": "text/plain"},
        {"content-type": "application/x-www-form-urlencoded"},
        {"content-type": "application/json; charset=utf-16"},
        {"content-type": "application/json", "content-encoding": "gzip"},
        {},
    ):
        got = await http.post("/api/rooms", content=b'{"title":"x"}', headers=headers)
        assert (got.status_code, got.json()["code"]) == (415, "unsupported_media_type")
    usual = {"content-type": 'Application/JSON; charset="UTF-8"'}
    assert (await http.post("/api/rooms", content=b"{}", headers=usual)).status_code == 201


async def test_a_wrong_field_is_named(door: Door) -> None:
    http = door.http()
    room = await new_room(http)
    got = await http.post(f"/api/rooms/{room}/messages", json={"cid": "1", "text": 5})
    assert (got.status_code, got.json()["code"]) == (400, "bad_request")
    assert "'text'" in got.json()["detail"]
    got = await http.post(f"/api/rooms/{room}/read", json={"seq": "5"})
    assert (got.status_code, got.json()["code"]) == (400, "bad_request")
