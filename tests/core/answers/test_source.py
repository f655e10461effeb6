"""What a room's model answers, told as a call of a client is: whole, cut, or failed."""

from collections.abc import AsyncGenerator
from functools import partial

from msgspec.structs import replace
from tests.core.answers.test_engine import answers, ask, room_of
from tests.core.conftest import Script

from palaver.core.answers import context
from palaver.core.answers.source import ModelSource
from palaver.core.live.items import Delta, Happened
from palaver.core.runtime import Core
from palaver.errors import Code, ProviderError
from palaver.model import Message, Status
from palaver.providers.base import Done, Piece, Request, TextPiece, Usage
from palaver.providers.pool import Providers


class Cut(Script):
    """Ends without an end."""

    async def answer(self, request: Request) -> AsyncGenerator[Piece, None]:
        async for piece in super().answer(request):
            if not isinstance(piece, Done):
                yield piece


async def source_of(core: Core, provider: Script) -> ModelSource:
    actor, room = await room_of(core)
    (turn,) = (await ask(core, actor, room)).turns
    await core.turns.stop(actor, turn.id)
    await core.turns.idle()

    providers = Providers(core.settings, core.clock, fixed=provider)
    prompt = partial(context.to_answer, core._ground.store, core.settings, turn)
    return ModelSource(replace(core._ground, providers=providers), turn.id, prompt, core.budgets)


async def test_a_whole_answer_says_what_it_used(core: Core) -> None:
    script = Script()
    source = await source_of(core, script)
    script.say("Hel", "lo", None)
    pieces = [piece async for told in source.told() for piece in told.pieces]
    assert [one.text for one in pieces if isinstance(one, TextPiece)] == ["Hel", "lo"]
    result = source.outcome
    assert (result.whole, result.finish, result.error) == (True, "stop", None)
    assert (result.provider, result.model) == ("script", "script-1")
    assert result.usage == Usage(input=3, output=2)
    assert [said.text for said in script.requests.get_nowait().history] == ["hi"]


async def test_an_answer_without_an_end_is_cut_and_one_that_fails_says_why(core: Core) -> None:
    failure = ProviderError(Code.PROVIDER_TIMEOUT, "Too slow.")
    for provider, end, code in (
        (Cut(), None, Code.PROVIDER_CUT),
        (Script(), failure, Code.PROVIDER_TIMEOUT),
    ):
        source = await source_of(core, provider)
        provider.say("half", end)
        assert [told.pieces async for told in source.told()] == [(TextPiece("half"),)]
        assert source.outcome.error is not None
        assert (source.outcome.error.code, source.outcome.whole) == (code, False)


async def test_an_answer_ends_where_it_would_speak_for_somebody_else(
    core: Core, script: Script
) -> None:
    actor, room = await room_of(core)
    said = ("It is.\n\n@a", "da (person):\nThanks!", None)
    script.say(*said)
    await ask(core, actor, room, "@assistant hi")
    [alone] = await answers(core, actor, room)
    assert (alone.text, alone.meta.get("finish")) == ("It is.\n\n@ada (person):\nThanks!", "stop")
    bo = (await core.identity.new_guest())[1]
    await core.members.add(actor, room.id, bo.id)
    with core.chat.reader(actor) as reader:
        await reader.subscribe(room.id)
        reader.start(room.id)
        script.say(*said)
        await ask(core, bo, room, "@assistant hi")
        seen = ""
        stored: Message | None = None
        while stored is None:
            for item in await reader.next():
                if isinstance(item, Delta):
                    seen += item.text
                elif isinstance(item, Happened) and item.event.actor == core.assistant:
                    stored = item.event.message
    assert stored is not None
    assert (stored.text, stored.status, seen) == ("It is.\n\n", Status.DONE, "It is.\n\n")
    assert (stored.meta.get("finish"), script.closed) == ("other_speaker", 2)
