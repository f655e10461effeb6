"""Who looks after the server sees what happened in any process; what was counted is not counted at each request."""

from typing import Any

import pytest
from tests.core.conftest import Running, processes

from palaver.model import EventType
from palaver.model.usage import UsedBy
from palaver.store.read import usage


@pytest.mark.parametrize("both", ["sqlite", "two processes without notices"], indirect=True)
async def test_what_was_said_last_is_seen_in_every_process(both: Any) -> None:
    here, there = both
    _, ada = await there.identity.new_guest("Ada")
    room = await there.rooms.create(ada, title="Launch", agent=False)
    told, _ = await here.oversight.events(None, limit=1)
    assert [(one.room.id, one.type) for one in told] == [(room.id, EventType.ROOM_CREATED)]
    await there.chat.send(ada, room.id, text="hello", cid=None)
    told, _ = await here.oversight.events(None, limit=1)
    assert [(one.room.id, one.type) for one in told] == [(room.id, EventType.MESSAGE_CREATED)]


@pytest.fixture
async def both(request: pytest.FixtureRequest, running: Running) -> Any:
    async with processes(running, request) as cores:
        yield cores


async def test_the_messages_of_a_day_are_counted_once_and_those_of_late_again(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[int]] = []
    counted = usage.said

    def counting(conn: Any, days: list[int]) -> dict[int, int]:
        asked.append(list(days))
        return counted(conn, days)

    monkeypatch.setattr(usage, "said", counting)
    async with running() as core:
        _, ada = await core.identity.new_guest("Ada")
        room = await core.rooms.create(ada, agent=False)
        days: dict[str, int] = {}
        for _ in range(2):
            await core.chat.send(ada, room.id, text="hello", cid=None)
            report = await core.usage.all(None, None, None, UsedBy.MODEL)
            days = report.messages or {}
        assert [len(one) for one in asked] == [30, 0]
        assert list(days.values()) == [0] * 29 + [1], "for a minute it is what it was"
        core.usage._fresh_until = 0
        report = await core.usage.all(None, None, None, UsedBy.MODEL)
        assert [len(one) for one in asked] == [30, 0, 2]
        assert list((report.messages or {}).values()) == [0] * 29 + [2]
