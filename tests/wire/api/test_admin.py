"""All rooms of the server over real HTTP: what admins see of those that they may not read, and what they do not."""

from typing import Any

import httpx2
import pytest
from tests.wire.api.test_people import Town, refused_by, town
from tests.wire.door import Json, new_cid, new_room, shaped

from palaver.model import AUDIT, EventType
from palaver.wire import shapes
from palaver.wire.api.admin import OverseenRooms, SeenEvents

__all__ = ["town"]


async def say(http: httpx2.AsyncClient, room: str, text: str) -> int:
    said = await http.post(f"/api/rooms/{room}/messages", json={"cid": new_cid(), "text": text})
    assert said.is_success, said.text
    return said.json()["seq"]


async def rooms(http: httpx2.AsyncClient, query: str = "") -> dict[str, Any]:
    """All rooms by their ids, in pages of one."""
    found: dict[str, Any] = {}
    cursor = ""
    while True:
        got = (await http.get(f"/api/admin/rooms?limit=1{query}{cursor}")).json()
        page = shaped(OverseenRooms, got)
        found |= {one["id"]: one for one in page["rooms"]}
        if page["next"] is None:
            return found
        cursor = f"&cursor={page['next']}"


async def happened(http: httpx2.AsyncClient, query: str = "") -> Json:
    got = await http.get(f"/api/admin/events?{query}")
    assert got.status_code == 200, got.text
    shaped(SeenEvents, got.json())
    return got.json()


async def test_of_a_room_that_one_may_not_read_no_title_is_told_that_was_made_of_what_was_said(
    town: Town,
) -> None:
    made, chosen = await new_room(town.person), await new_room(town.person, "Launch")
    await say(town.person, made, "Our secret plan")
    await town.core.turns.idle()
    named = (await town.person.get(f"/api/rooms/{made}")).json()
    assert named["title"] == "Our secret plan", "it is named after its first message"
    for http in (town.admin, town.owner):
        seen = await rooms(http)
        assert (seen[made]["title"], seen[chosen]["title"]) == ("", "Launch")
        told = (await http.get(f"/api/rooms/{made}")).json()
        shaped(shapes.Overseen, told)
        assert told["title"] == ""
        assert await rooms(http, "&search=secret") == {}, "nor is it found by its words"
        assert list(await rooms(http, "&search=launch")) == [chosen]
        assert "secret" not in str(await happened(http))
    assert (await town.admin.post(f"/api/rooms/{made}/join")).is_success
    assert (await rooms(town.admin))[made]["title"] == "Our secret plan"
    assert list(await rooms(town.admin, "&search=secret")) == [made]
    assert (await rooms(town.owner))[made]["title"] == ""


async def test_the_list_of_rooms_tells_whose_each_is_and_how_large(town: Town) -> None:
    room = await new_room(town.person, "Launch")
    await town.person.post(f"/api/rooms/{room}/members", json={"actor": town.ids["owner"]})
    seen = (await rooms(town.admin))[room]
    assert (seen["owner"], seen["members"], seen["agents"]) == ("the-person", 3, 1)
    assert (seen["role"], seen["archived_at"]) == (None, None)
    await town.admin.post(f"/api/rooms/{room}/archive")
    assert (await rooms(town.admin))[room]["archived_at"] is not None
    lobby = (await rooms(town.admin))[town.core.lobby]
    assert (lobby["owner"], lobby["title"], lobby["visibility"]) == (None, "Lobby", "open")


async def test_what_happened_is_told_of_all_rooms_and_what_it_was_of_none(town: Town) -> None:
    room, own = await new_room(town.person, "Launch"), await new_room(town.admin, "Mine")
    await say(town.person, room, "planted words")
    await say(town.admin, own, "mine")
    await town.core.turns.idle()
    told = await happened(town.admin)
    assert "planted" not in str(told)
    by_room = {one["room"]: one for one in told["events"]}
    assert (by_room[room]["readable"], by_room[own]["readable"]) == (False, True)
    times = [one["at"] for one in told["events"]]
    assert times == sorted(times, reverse=True)
    log = (await town.person.get(f"/api/rooms/{room}/events?limit=200")).json()["events"]
    its = [one for one in told["events"] if one["room"] == room]
    assert [(one["seq"], one["k"], one["at"]) for one in its[::-1]] == [
        (one["seq"], one["k"], one["at"]) for one in log
    ]
    assert await refused_by(await town.admin.get(f"/api/rooms/{room}/events")) == (
        404,
        "room_not_found",
    )
    seq = by_room[own]["seq"]
    raw = await town.admin.get(f"/api/rooms/{own}/events?after={seq - 1}&limit=1")
    assert [one["seq"] for one in raw.json()["events"]] == [seq]
    assert AUDIT not in by_room


async def test_one_room_is_walked_to_its_beginning_and_one_type_found_in_it(town: Town) -> None:
    room = await new_room(town.person, "Launch")
    for number in range(7):
        await say(town.person, room, f"words {number}")
    await town.person.patch(f"/api/rooms/{room}", json={"title": "Later"})
    await town.core.turns.idle()
    last = (await rooms(town.admin))[room]["seq"]
    walked: list[int] = []
    before: int | None = last + 9
    while before is not None:
        page = await happened(town.admin, f"room={room}&limit=3&before={before}")
        walked += [one["seq"] for one in page["events"]]
        before = page["before"]
    assert walked == list(range(last, 0, -1))
    renamed = await happened(town.admin, f"room={room}&limit=3&type=room.renamed")
    assert ([one["k"] for one in renamed["events"]], renamed["before"]) == (["room.renamed"], None)
    typed = await happened(town.admin, f"room={room}&limit=3&type=message.created")
    again = await happened(
        town.admin, f"room={room}&limit=200&type=message.created&before={typed['before']}"
    )
    seqs = [one["seq"] for one in (*typed["events"], *again["events"])]
    assert len(typed["events"]) == 3
    assert seqs == sorted(set(seqs), reverse=True)
    assert len(seqs) == 14, "seven were said, and seven answered"
    everywhere = await happened(town.admin, "type=room.renamed")
    assert [(one["room"], one["k"]) for one in everywhere["events"]] == [(room, "room.renamed")]
    for place in ("before=0", "before=1", f"before={10**14}"):
        await happened(town.admin, f"room={room}&{place}")


async def test_who_may_not_oversee_sees_nothing_and_what_is_not_there_is_refused(
    town: Town,
) -> None:
    room = await new_room(town.person, "Launch")
    for path in ("rooms", "events", f"events?room={room}"):
        assert await refused_by(await town.person.get(f"/api/admin/{path}")) == (403, "forbidden")
    for absent in (AUDIT, "r_" + "0" * 32, "nothing"):
        got = await town.admin.get(f"/api/admin/events?room={absent}")
        assert await refused_by(got) == (404, "room_not_found")
    for query in ("type=nothing", "before=soon", "limit=0"):
        got = await town.admin.get(f"/api/admin/events?room={room}&{query}")
        assert got.status_code == 400


@pytest.mark.parametrize("kind", [EventType.MEMBER_JOINED, EventType.ROOM_DELETED])
async def test_a_deleted_room_is_seen_and_read_by_nobody(town: Town, kind: EventType) -> None:
    room = await new_room(town.admin, "Mine")
    await town.admin.delete(f"/api/rooms/{room}")
    assert room not in await rooms(town.admin)
    assert room in await rooms(town.admin, "&deleted=true")
    told = await happened(town.admin, f"room={room}&type={kind}")
    assert {one["readable"] for one in told["events"]} <= {False}
    assert len(told["events"]) == (1 if kind is EventType.ROOM_DELETED else 0)
    everywhere = await happened(town.admin, f"type={kind}")
    assert told["events"] == [one for one in everywhere["events"] if one["room"] == room]
