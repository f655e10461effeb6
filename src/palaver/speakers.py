"""The agents of a room as a program rules them: when they answer, how several do, and who is asked now.

await room.speakers.set(critic, palaver.Speaks.MENTIONED)
await room.speakers.ask(ada, critic)
"""

from collections.abc import Sequence

from palaver.core.runtime import Core
from palaver.model import Actor, Member, MessageId, RoomId, RoomSettings, Speaks, Turn
from palaver.policy import Action, asks


class Speakers:
    """The agents of a room."""

    def __init__(self, core: Core, program: Actor, room: RoomId) -> None:
        self._core, self._program, self._room = core, program, room

    @asks(Action.NAME)
    async def set(self, agent: Actor, speaks: Speaks) -> Member:
        """Says when the model answers as this agent. Refused: `not_found` (no agent of the room), `forbidden`."""
        return await self._core.members.set_speaks(self._program, self._room, agent.id, speaks)

    @asks(Action.NAME)
    async def bound(
        self,
        *,
        in_turn: bool | None = None,
        chain_max: int | None = None,
        agent_answers_per_hour: int | None = None,
        greets: bool | None = None,
    ) -> None:
        """Says how several answer; None stays as it is. Refused: `bad_request`, `forbidden`.

        `in_turn`: one after the other. `chain_max`: so many turns follow what a person said. `greets`: an agent that
        comes says the greeting of its card.
        """
        settings: RoomSettings = {}
        if in_turn is not None:
            settings["turns"] = "in_turn" if in_turn else "together"
        if chain_max is not None:
            settings["chain_max"] = chain_max
        if agent_answers_per_hour is not None:
            settings["agent_answers_per_hour"] = agent_answers_per_hour
        if greets is not None:
            settings["greets"] = greets
        await self._core.rooms.set_speaking(self._program, self._room, settings)

    @asks(Action.WRITE)
    async def ask(
        self, person: Actor, *agents: Actor, message: MessageId | None = None
    ) -> Sequence[Turn]:
        """Asks agents (none: all of the room) for an answer now, to a message or to the newest, for a person.

        Who is answering it already is not asked twice. Refused: `not_found` (no agent of the room),
        `message_not_found`, `room_not_found` (the person is no member).
        """
        asked = [agent.id for agent in agents] or None
        return await self._core.turns.ask(person, self._room, agents=asked, message=message)

    @asks(Action.WRITE)
    async def stop(self) -> None:
        """Stops all answers of models in the room: what came is stored as `stopped`, what waits is not given."""
        await self._core.turns.stop_room(self._program, self._room)
