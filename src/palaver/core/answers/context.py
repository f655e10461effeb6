"""Selects what a model is sent: the history of a room, from the store, within a budget; and the wish for a title.

What is cut is cut by blocks: the first message given is the one behind the roundest seq among those where the history
could begin, so that many questions in a row have the same beginning, which a model server need not read again. It is a
person's, because many chat templates refuse any other.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence

import orjson
from msgspec.structs import replace

from palaver.model import NO_DATA, ActorId, Kind, Message, Role, Turn
from palaver.providers.base import GO_ON, Request, Said, ToolCall
from palaver.settings import Settings
from palaver.store.read import actors, messages
from palaver.store.store import Store
from palaver.strict_json import parsed

CHARS_A_TOKEN = 4
TOKENS_A_MESSAGE = 4
BLOCKS = 4
"""The history moves on by one part in so many of what may be given."""
TITLE_TEXT_CHARS = 2_000
TITLE_PROMPT = (
    "Write a title of at most six words for the conversation below, in its own language."
    " Answer with the title only: no quotation marks, no full stop."
)
_RULING = (Role.SYSTEM, Role.DEVELOPER)


async def to_answer(store: Store, settings: Settings, turn: Turn) -> Request:
    """Reads what was said up to the message that is answered, which stands last and once."""
    card = await store.read(actors.agent, turn.agent)
    limit = settings.context_messages_max
    said = await store.read(messages.context, turn.room, upto_seq=turn.trigger_seq, limit=limit + 1)
    history = within(newest(said, limit), turn.agent, settings.context_tokens_max)
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


def newest(said: Sequence[Message], limit: int) -> Sequence[Message]:
    """The newest messages, oldest first: at most `limit`, and of more at least three quarters of that.

    They begin behind a multiple of a quarter of `limit`, as long as every seq is a message's.
    """
    if len(said) <= limit:
        return said
    block = max(1, limit // BLOCKS)
    first = len(said) - limit
    return said[_begin(said, first, first + block - 1, block) :]


def within(said: Iterable[Message], agent: ActorId, tokens_max: int) -> tuple[Said, ...]:
    """The newest messages that fit, oldest first, from a person's on; the last one always does.

    Tokens are estimated at 4 characters each. What other agents said is given as a person's words; names are given
    where several people speak. Of several answers to one question the first counts. A tool's call and its result are
    given together or not at all, the results right behind their calls.
    """
    spoken = [message for message in said if _counts(message)]
    named = len({message.author for message in spoken if _persons(message, agent)}) > 1
    kept = _from_person(spoken, _fitting(spoken, tokens_max), agent)
    told: list[Said] = []
    if kept and not any(_persons(message, agent) for message in kept):
        told.append(Said(role=Role.USER, text=GO_ON))  # as it was asked, before what is left
    for message in _paired(kept):
        one = _said(message, agent, named=named)
        if one.calls and told and told[-1].role is Role.ASSISTANT:
            told[-1] = _one_message(told[-1], one)
        else:
            told.append(one)
    return tuple(told)


def _one_message(words: Said, call: Said) -> Said:
    """Joins a call with what was said before it, or with another call."""
    return replace(
        words,
        calls=(*words.calls, *call.calls),
        thought=words.thought or call.thought,
        beside=words.beside or call.beside,
    )


def _fitting(spoken: Sequence[Message], tokens_max: int) -> int:
    """The place from which on the newest messages fit."""
    first = last = len(spoken) - 1
    tokens = 0
    for place in range(len(spoken) - 1, -1, -1):
        tokens += _chars(spoken[place]) // CHARS_A_TOKEN + TOKENS_A_MESSAGE
        if tokens > tokens_max:
            return _begin(spoken, first, last, 1)
        first = place
        if tokens * BLOCKS <= tokens_max * (BLOCKS - 1):
            last = place
    return 0


def _begin(said: Sequence[Message], first: int, last: int, unit: int) -> int:
    """The place from `first` to `last` to which the roundest seq leads: a multiple of the largest 2^n of `unit`."""
    before = said[first - 1].seq if first else 0
    block = unit * 2.0**40
    while (at := said[last].seq // block * block) <= before:
        block /= 2
    return bisect_left(said, at, first, last, key=lambda message: message.seq)


def _from_person(spoken: list[Message], start: int, agent: ActorId) -> list[Message]:
    """Selects from a place on: a person's message first, if need be the last one before, and what rules it."""
    places = [place for place, one in enumerate(spoken) if _persons(one, agent)]
    place = bisect_left(places, start)
    if place < len(places):
        ruling = [one for one in spoken[start : places[place]] if one.role in _RULING]
        return ruling + spoken[places[place] :]
    return [spoken[asked] for asked in places[-1:]] + spoken[start:]


def _paired(said: Sequence[Message]) -> list[Message]:
    """Puts the calls and the results of tools that belong together where the first result came."""
    waiting: dict[str, Message] = {}
    results: dict[int, Message] = {}
    for message in said:
        call_id = message.meta.get("call_id", "")
        if message.kind == Kind.TOOL_CALL:
            waiting[call_id] = message
        elif message.kind == Kind.TOOL_RESULT and call_id in waiting:
            results[waiting.pop(call_id).seq] = message
    found: list[Message] = []
    calls: list[Message] = []
    for message in said:
        if message.kind == Kind.TOOL_CALL:
            calls += [message] if message.seq in results else []
        elif message.kind != Kind.TOOL_RESULT:
            found.append(message)
        elif any(results[call.seq] is message for call in calls):
            found += [*calls, *(results[call.seq] for call in calls)]
            calls = []
    return found


def _chars(message: Message) -> int:
    """The length of a message, with what stood beside it."""
    beside = message.meta.get("beside")
    if beside is None:
        return len(message.text)
    return len(message.text) + len(message.meta.get("reasoning", "")) + len(str(beside))


def _counts(message: Message) -> bool:
    if message.meta.get("choice"):
        return False
    if message.kind == Kind.TEXT:
        return bool(message.text or message.meta.get("parts"))
    return message.kind in (Kind.TOOL_CALL, Kind.TOOL_RESULT)


def _persons(message: Message, agent: ActorId) -> bool:
    role = message.role in (Role.USER, Role.ASSISTANT)
    return message.author != agent and role and message.kind == Kind.TEXT


def _arguments(text: str) -> str:
    """A tool's arguments as the JSON object that they are, or a text of any form in one."""
    text = text or "{}"
    is_object = isinstance(parsed(text), dict)
    return text if is_object else orjson.dumps({"input": text}).decode()


def _said(message: Message, agent: ActorId, *, named: bool) -> Said:
    meta = message.meta
    thought, beside = meta.get("reasoning", ""), meta.get("beside", NO_DATA)
    if message.kind == Kind.TOOL_RESULT:
        return Said(role=Role.TOOL, text=message.text, call_id=meta.get("call_id", ""))
    if message.kind == Kind.TOOL_CALL:
        call = ToolCall(
            id=meta.get("call_id", ""),
            name=meta.get("tool", ""),
            arguments=_arguments(message.text),
            beside=beside,
        )
        return Said(role=Role.ASSISTANT, text="", calls=(call,), thought=thought, beside=beside)
    mine = message.author == agent
    role = Role.ASSISTANT if mine else Role.USER
    if message.role in _RULING:
        role = Role.SYSTEM
    name = meta.get("name") or (message.name if named else None)
    return Said(
        role=role,
        text=message.text,
        name=None if mine else name,
        parts=tuple(meta.get("parts", ())),
        thought=thought if mine else "",
        beside=beside if mine else NO_DATA,
    )
