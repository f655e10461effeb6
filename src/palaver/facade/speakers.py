"""The agents of a room as a program rules them: when they answer, how several do, and who is asked now.

await room.speakers.set(critic, palaver.Speaks.MENTIONED)
await room.speakers.ask(ada, critic)
"""

from collections.abc import Sequence

from palaver.core.members import Own
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

    @asks(Action.ASK)
    async def ask(
        self,
        person: Actor,
        *agents: Actor,
        message: MessageId | None = None,
        models: Sequence[str] = (),
    ) -> Sequence[Turn]:
        """Asks agents (none: all of the room) for an answer now, to a message or to the newest, for a person.

        By each of `models`, where some are named. Who is answering it so already is not asked twice. Refused:
        `not_found` (no agent of the room), `message_not_found`, `room_not_found` (the person is no member),
        `profile_not_found` (of a model), `bad_request` (more than 4 models).
        """
        asked = [agent.id for agent in agents] or None
        asking = self._core.turns.ask
        return await asking(person, self._room, agents=asked, message=message, models=models)

    @asks(Action.READ)
    async def own(self, agent: Actor) -> Own:
        """What the room has of its own for an agent there. Refused: `not_found` (no agent of the room)."""
        return await self._core.members.own(self._program, self._room, agent.id)

    @asks(Action.NAME)
    async def set_own(
        self,
        agent: Actor,
        *,
        instructions: str = "",
        model: str | None = None,
        temperature: float | None = None,
    ) -> Own:
        """Gives the room settings of its own for an agent there; what is not given is as its card says.

        Refused: `not_found` (no agent of the room), `card_invalid`, `profile_not_found` (of the model), `forbidden`.
        """
        setting = self._core.members.set_own
        return await setting(
            *(self._program, self._room, agent.id),
            instructions=instructions,
            model=model,
            temperature=temperature,
        )

    @asks(Action.WRITE)
    async def stop(self) -> None:
        """Stops all answers of models in the room: what came is stored as `stopped`, what waits is not given."""
        await self._core.turns.stop_room(self._program, self._room)
