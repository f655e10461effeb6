"""Turns from before it was kept with each who asked for its answer."""

import asyncio
from pathlib import Path

from tests.store.archives import asked, execute
from tests.store.read.test_exchanges import asking
from tests.store.test_migrations import undo_to
from tests.store.world import opened
from tests.store.write.test_usage import asked as turn_asked, end

from palaver.model import Entry, MessageId, Role, TurnId
from palaver.store import migrate
from palaver.store.write.turns import OpenTurn, RetryTurn


def test_of_every_turn_it_is_known_who_asked_for_it(database_url: str, tmp_path: Path) -> None:
    held = "SELECT id, asker_key FROM turns ORDER BY id"

    async def prepare() -> None:
        async with opened(database_url, data_dir=tmp_path) as world:
            ada, bot = await world.person(), await world.agent()
            room = await world.room(ada, bot)
            turn = await turn_asked(world, room, ada)
            for _ in range(3):  # each goes on from the one before
                await world.store.write(end(turn))
                again = RetryTurn(message=turn.message, by=ada.id, goes_on=True)
                turn = await world.store.write(again)
            await world.store.write(end(turn))
            hi = Entry(role=Role.USER, text="hi")
            hello = Entry(role=Role.ASSISTANT, text="Hello")
            await world.store.write(asking(world, await world.person("Bo"), bot, (hi, hello)))
            cy = await world.person("Cy")
            said, told = await world.room(cy, bot), await world.room(cy, bot)
            await world.say(said, cy, "what a program answers")
            await world.say(told, bot, "by itself", role=Role.ASSISTANT)
            for one in (said, told):
                opening = OpenTurn(
                    turn=TurnId(f"t_{world.clock.new_id()}"),
                    message=MessageId(f"m_{world.clock.new_id()}"),
                    room=one.id,
                    agent=bot.id,
                )
                await world.store.write(opening)

    asyncio.run(prepare())
    before = asked(database_url, held)
    assert len(before) == 7
    assert len({key for _, key in before}) == 4, "Ada, Bo, Cy and nobody"
    undo_to(database_url, "0029")
    migrate.upgrade(database_url, lambda _: None)
    assert asked(database_url, held) == before
    assert migrate.check(database_url) == []
    undo_to(database_url, "0031")
    execute(database_url, "UPDATE turns SET payer_key = 1000, depth = NULL")
    migrate.upgrade(database_url, lambda _: None)
    assert asked(database_url, "SELECT DISTINCT asker_key, depth FROM turns") == [(1000, 1)]
