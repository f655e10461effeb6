"""A try ends with its server, and what it used is counted then; what it shows goes to nobody but who asks."""

from tests.core.conftest import Running, Script

from palaver.core.runtime import Core
from palaver.model import Role, Status
from palaver.model.usage import UsageReport, UsedBy

HELLO = [(Role.USER, "hello")]


async def used(core: Core) -> UsageReport:
    return await core.usage.all(None, None, None, UsedBy.MODEL)


async def test_a_stopping_server_ends_a_try_and_counts_what_came(running: Running) -> None:
    script = Script(real=True)
    async with running() as core:
        core._ground.providers._provider = script
        one = await core.tries.begin(None, HELLO, changes={"persona": "Rhyme."})
        words = one.told()
        script.say("Once ")
        assert await anext(words) == ("Once ", "")
        await core.drain(0)
        assert [piece async for piece in words] == []
        assert one.ended.status is Status.INTERRUPTED
        assert one.ended.usage == {"input": 3, "output": 2, "estimated": True}
        late = await core.tries.begin(None, HELLO)
        assert [piece async for piece in late.told()] == []
        assert (late.ended.status, late.ended.usage) == (Status.INTERRUPTED, {})
        assert script.requests.qsize() == 1
    async with running() as again:
        (row,) = (await used(again)).rows
        assert (row.name, row.answers, row.output) == ("script/script-1", 1, 2)
