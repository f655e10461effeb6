"""What a model is given: the history of a room, from the store, within a budget; and what is asked for a title."""

from collections.abc import Iterable
from dataclasses import replace

from palaver.agents.base import GO_ON, Request, Said, ToolCall
from palaver.model import ActorId, Kind, Message, Role, Turn
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
    where several people speak. Of several answers to one question the first counts. A tool's call and its result are
    given together or not at all.
    """
    spoken = [message for message in said if _counts(message)]
    people = {message.author for message in spoken if _persons(message, agent)}
    kept: list[Message] = []
    left = tokens_max
    for message in reversed(spoken):
        left -= len(message.text) // CHARS_A_TOKEN + TOKENS_A_MESSAGE
        if left < 0 and kept:
            break
        kept.append(message)
    kept.reverse()
    calls, results = _ids(kept, Kind.TOOL_CALL), _ids(kept, Kind.TOOL_RESULT)
    told: list[Said] = []
    for message in kept:
        call_id = message.meta.get("call_id")
        match message.kind:
            case Kind.TOOL_CALL:
                if call_id in results:
                    _call(told, message)
            case Kind.TOOL_RESULT:
                if call_id in calls:
                    told.append(Said(role=Role.TOOL, text=message.text, call_id=call_id))
            case _:
                told.append(_said(message, agent, named=len(people) > 1))
    return tuple(told)


def _counts(message: Message) -> bool:
    if message.meta.get("choice"):
        return False
    if message.kind == Kind.TEXT:
        return bool(message.text or message.meta.get("parts"))
    return message.kind in (Kind.TOOL_CALL, Kind.TOOL_RESULT)


def _persons(message: Message, agent: ActorId) -> bool:
    return message.author != agent and message.role in (Role.USER, Role.ASSISTANT)


def _ids(messages: Iterable[Message], kind: Kind) -> set[str]:
    return {message.meta.get("call_id", "") for message in messages if message.kind == kind}


def _call(told: list[Said], message: Message) -> None:
    """Adds a call to the assistant's words before it, or as words of its own."""
    meta = message.meta
    call = ToolCall(id=meta.get("call_id", ""), name=meta.get("tool", ""), arguments=message.text)
    if told and told[-1].role is Role.ASSISTANT:
        told[-1] = replace(told[-1], calls=(*told[-1].calls, call))
    else:
        told.append(Said(role=Role.ASSISTANT, text="", calls=(call,)))


def _said(message: Message, agent: ActorId, *, named: bool) -> Said:
    mine = message.author == agent
    role = Role.ASSISTANT if mine else Role.USER
    if message.role in (Role.SYSTEM, Role.DEVELOPER):
        role = Role.SYSTEM
    name = message.meta.get("name") or (message.name if named else None)
    return Said(
        role=role,
        text=message.text,
        name=None if mine else name,
        parts=tuple(message.meta.get("parts", ())),
    )
