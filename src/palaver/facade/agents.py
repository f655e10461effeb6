"""Agents as a program looks after them: their cards, the versions of these, and who may use them.

    poet = await chat.agent("poet", name="Poet", system_prompt="Answer in rhymes.")
    await chat.agents.change(poet, description="Rhymes.", parameters={"temperature": 1.0})

The program is trusted as an operator is: it may edit all agents.
"""

from collections.abc import AsyncGenerator, Sequence
from typing import Any

from palaver.cards.files import FileForm
from palaver.core.runtime import Core
from palaver.errors import Code, Refused
from palaver.model import Actor, ApiKey, Role, RoomId
from palaver.model.agents import AgentCard, Audience, CardVersion
from palaver.policy import ServerAct, asks


class Agents:
    """The agents of an open Palaver."""

    def __init__(self, core: Core) -> None:
        self._agents, self._keys, self._tries = core.agents, core.keys, core.tries

    @asks(ServerAct.OPERATE)
    async def all(self) -> Sequence[AgentCard]:
        """Lists all agents by name, also archived ones."""
        return await self._agents.listing(None, everyones=True)

    @asks(ServerAct.OPERATE)
    async def get(self, agent: Actor) -> AgentCard:
        """Reads an agent's card. Refused: `agent_not_found`."""
        return await self._agents.get(None, agent.id)

    @asks(ServerAct.OPERATE)
    async def change(self, agent: Actor, **changes: Any) -> AgentCard:
        """Changes fields of an agent's card (`palaver.Card`), which is another version of it.

        Refused: `agent_not_found`, `card_invalid`, `handle_invalid`, `handle_taken`, `name_invalid`, `name_reserved`.
        """
        return await self._agents.change(None, agent.id, changes)

    @asks(ServerAct.OPERATE)
    async def share(
        self,
        agent: Actor,
        audience: Audience | None = None,
        *,
        people: Sequence[Actor] | None = None,
        archived: bool | None = None,
    ) -> AgentCard:
        """Says who may use an agent (`people`: of the audience `SOME`), or archives it: it answers no more.

        None: as it is. Refused: `agent_not_found`, `not_found` (a person), `card_invalid` (more than 100 people).
        """
        named = None if people is None else [one.id for one in people]
        return await self._agents.share(
            None, agent.id, audience=audience, people=named, archived=archived
        )

    @asks(ServerAct.OPERATE)
    async def try_out(self, agent: Actor | None, *said: str, **changes: Any) -> str:
        """Asks an agent, or one that is not there yet (None), as it would be with these changes; nothing is kept.

        `said` are what a person and the agent said in turn, a person's words last. What that used is counted. Raises
        `ProviderError`. Refused: as `change`, `bad_request`, `empty_message`, `budget_reached`.
        """
        roles = [Role.ASSISTANT if place % 2 else Role.USER for place in range(len(said))]
        its_id = None if agent is None else agent.id
        talk = list(zip(roles, said, strict=True))
        one = await self._tries.begin(None, talk, agent=its_id, changes=changes)
        try:
            words = [text async for text, _ in one.told()]
        finally:
            one.live.stop()
        if (failure := one.live.failure) is not None:
            raise failure
        return "".join(words)

    @asks(ServerAct.OPERATE)
    async def create_key(
        self,
        agent: Actor,
        *,
        name: str | None = None,
        days: int | None = None,
        rooms: Sequence[RoomId] | None = None,
    ) -> tuple[str, ApiKey]:
        """Makes a key by which a program is an agent whose card says `bot`; its token, told this once, and the key.

        No `days`: until it is revoked (`chat.people.revoke_key`); `rooms`: the only ones for it. Refused:
        `agent_not_found`, `bad_request` (no bot), `room_not_found`, `too_many_keys`.
        """
        return await self._keys.create(name=name, agent=agent, days=days, rooms=rooms)

    @asks(ServerAct.OPERATE)
    async def keys(self, agent: Actor) -> Sequence[ApiKey]:
        """Lists an agent's keys that were not revoked, the oldest first."""
        return await self._keys.own(agent)

    @asks(ServerAct.OPERATE)
    async def take(self, data: bytes, *, handle: str | None = None) -> AgentCard:
        """Makes an agent, for everyone, of a file: our own form, or SillyTavern's V1 to V3 as .json or .png.

        Refused: `card_invalid`, `handle_taken`, `handle_invalid`, `name_reserved`, `too_many_agents`.
        """
        return (await self._agents.take(None, data, handle=handle))[0]

    @asks(ServerAct.OPERATE)
    async def give(self, agent: Actor, form: str = "palaver") -> bytes:
        """Writes an agent as a file: in our form (`palaver`), or as other programs read it (`json`, `png`).

        Refused: `agent_not_found`, `card_invalid` (`png` of an agent that has no PNG as its picture, another form).
        """
        if form not in set(FileForm):
            raise Refused(Code.CARD_INVALID, f"A card is written as one of {', '.join(FileForm)}.")
        return (await self._agents.give(None, agent.id, FileForm(form)))[1]

    @asks(ServerAct.OPERATE)
    async def versions(self, agent: Actor) -> AsyncGenerator[CardVersion, None]:
        """Yields the versions of an agent's card, the newest first, and reads a page of them at a time."""
        before: int | None = None
        while found := await self._agents.versions(None, agent.id, before=before):
            for version in found:
                yield version
            before = found[-1].version

    @asks(ServerAct.OPERATE)
    async def restore(self, agent: Actor, version: int) -> AgentCard:
        """Makes a version the newest again, but for the handle. Refused: `agent_not_found` (also the version)."""
        return await self._agents.restore(None, agent.id, version)
