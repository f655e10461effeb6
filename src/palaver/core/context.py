"""What a model is given: the history of a room, from the store, within a budget; and what is asked for a title."""

from collections.abc import Iterable

from palaver.agents.base import GO_ON, Request, Said
from palaver.model import ActorId, Message, Role, Turn
from palaver.settings import Settings
from palaver.store import actors, messages
from palaver.store.store import Store

CHARS_A_TOKEN = 4
TOKENS_A_MESSAGE = 4
TITLE_TEXT_CHARS = 2_000
TITLE_PROMPT = (
    "Write a title of at most six words for the conversation below, in its own language."
    " Answer with the title only: no quotation marks, no full stop."
)


async def to_answer(store: Store, settings: Settings, turn: Turn) -> Request:
    """What was said up to the message that is answered, which stands last and once."""
    card = await store.read(actors.agent, turn.agent)
    said = await store.read(
        messages.context,
        turn.room,
        upto_seq=turn.trigger_seq,
        limit=settings.context_messages_max,
    )
    history = within(said, turn.agent, settings.context_tokens_max)
    if history and history[-1].role is Role.ASSISTANT:  # its own answer, which was not whole
        history = (*history, Said(role=Role.USER, text=GO_ON))
    return Request(
        history=history,
        model=card.model if card is not None else None,
        system_prompt=(card.system_prompt if card is not None else "") or settings.system_prompt,
        settings=card.settings if card is not None else {},
    )


async def to_title(store: Store, turn: Turn, answer: Message) -> Request:
    """The question and its answer, with the wish for a title."""
    asked = await store.read(messages.context, turn.room, upto_seq=turn.trigger_seq, limit=1)
    talk = "\n\n".join(message.text[:TITLE_TEXT_CHARS] for message in (*asked, answer))
    return Request(
        history=(Said(role=Role.USER, text=f"{TITLE_PROMPT}\n\n{talk}"),),
        model=answer.meta.get("model"),
        settings={"max_tokens": 40, "temperature": 0.2},
    )


def within(said: Iterable[Message], agent: ActorId, tokens_max: int) -> tuple[Said, ...]:
    """The newest messages that fit, oldest first; the last one always does.

    Tokens are estimated at 4 characters each. What other agents said is given as a person's words; names are given
    where several people speak.
    """
    spoken = [message for message in said if message.text]
    people = {message.author for message in spoken if message.author != agent}
    kept: list[Said] = []
    left = tokens_max
    for message in reversed(spoken):
        left -= len(message.text) // CHARS_A_TOKEN + TOKENS_A_MESSAGE
        if left < 0 and kept:
            break
        mine = message.author == agent
        role = Role.ASSISTANT if mine else Role.USER
        if message.role is Role.SYSTEM:
            role = Role.SYSTEM
        name = message.name if len(people) > 1 and not mine else None
        kept.append(Said(role=role, text=message.text, name=name))
    return tuple(reversed(kept))
