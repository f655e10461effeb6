"""Compacts what was said, so that a model is told less of it: most of it becomes a summary, the rest stays as it is.

What stays: prompts; in front of the summary what persons said, the newest first, as far as a budget goes; behind it the
last messages, word for word, with every result of a tool that was not answered yet and its call. All else is in the
summary, which the same model is asked for. Nothing is stored or left out of the log here: `told` says what a model is
told from a compaction on.
"""

from collections.abc import Sequence
from itertools import compress

from msgspec import Struct, field

from palaver.core.answers.context import CHARS_A_TOKEN, TOKENS_A_MESSAGE
from palaver.core.answers.source import ModelServer
from palaver.errors import Code, ProviderError
from palaver.model import Entry, Kind, Message, Role
from palaver.providers.base import Request, Said, Usage
from palaver.store.fingerprints import is_prompt, likeness

USERS_TOKENS_MAX = 20_000
"""So much of what persons said stays in front of the summary."""
LAST_TOKENS_MAX = 8_000
"""So much stays behind it; of a short conversation a quarter."""
RESULT_CHARS_MAX = 4_000
"""So much of a tool's call or result is summarised."""
SHORTENED_MAX = 4
"""How often a server that refuses is asked again, about the newer half."""
PROMPT = (
    "Below is the beginning of a conversation that is getting too long. Summarise it for the model that goes on with it"
    " and will not see it: what was asked for, what was done and found out, decisions and why, what people want and"
    " do not want, names, numbers, files and addresses that are still needed, and what is left to do."
    " Write in the language of the conversation, briefly and completely. Answer with the summary only."
)
HEAD = "The conversation so far was long and is summarised here:\n\n"

Spoken = Entry | Message


class Compaction(Struct, frozen=True, kw_only=True):
    """A summary, and what stays in front of it and behind it. `usage` is what it took to make it."""

    summary: str = ""
    before: Sequence[Spoken] = ()
    behind: Sequence[Spoken] = ()
    usage: Usage = field(default_factory=Usage)


async def compacted(
    models: ModelServer,
    said: Sequence[Spoken],
    model: str | None,
    tokens_max: int = USERS_TOKENS_MAX,
) -> Compaction:
    """Compacts what was said, to about `tokens_max` and a summary. Raises `ProviderError`."""
    users, last = staying(said, tokens_max)
    stays = {*users, *last}
    if all(place in stays for place in range(len(said))):
        summary, usage = "", Usage()
    else:
        summary, usage = await _summary(models, [_line(one) for one in said], model)
    before, behind = ([said[place] for place in places] for places in (users, last))
    return Compaction(summary=summary, before=before, behind=behind, usage=usage)


def told(front: Sequence[Spoken], compaction: Compaction, rest: Sequence[Spoken]) -> list[Spoken]:
    """What a model is told instead of all that was said: the compaction in the place of what stood in `front`.

    Prompts in front stay, and so does what a person said there if the compaction does not tell it. Of the prompts that
    the compaction keeps, those are told that came behind the ones in front: none where there are newer ones.
    """
    keeps = (*compaction.before, *compaction.behind)
    known = {likeness(one): place for place, one in enumerate(keeps)}
    first = [
        one for one in front if is_prompt(one) or (_persons(one) and likeness(one) not in known)
    ]
    told_in_front = (known.get(likeness(one), len(keeps)) for one in first if is_prompt(one))
    newest = len(keeps) if any(map(is_prompt, rest)) else max(told_in_front, default=-1)
    left = [not is_prompt(one) or place > newest for place, one in enumerate(keeps)]
    before = compress(compaction.before, left)
    behind = compress(compaction.behind, left[len(compaction.before) :])
    summary = [Entry(role=Role.USER, text=HEAD + compaction.summary)] if compaction.summary else []
    return [*first, *before, *summary, *behind, *rest]


def staying(said: Sequence[Spoken], tokens_max: int) -> tuple[list[int], list[int]]:
    """The places of what stays in front of a summary and behind it."""
    costs = [len(one.text) // CHARS_A_TOKEN + TOKENS_A_MESSAGE for one in said]
    first = must = _unanswered(said)
    left = min(LAST_TOKENS_MAX, tokens_max, sum(costs) // 4) - sum(costs[must:])
    while first and costs[first - 1] <= left and not is_summary(said[first - 1]):
        first -= 1
        left -= costs[first]
    last = _paired(said, first, must)
    users, left = list[int](), tokens_max
    for place in range(first - 1, -1, -1):
        if is_prompt(said[place]):
            users.append(place)
        elif _persons(said[place]) and costs[place] <= left:
            users.append(place)
            left -= costs[place]
        elif _persons(said[place]):
            left = 0  # none that is older
    return users[::-1], last


def tokens_in(said: Sequence[Spoken]) -> int:
    """Estimates the tokens: those of the newest answer as its server told them, and what stands behind it."""
    tokens = 0
    for one in reversed(said):
        usage = one.meta.get("usage") or {}
        if isinstance(one, Message) and "input" in usage:
            return tokens + int(usage["input"]) + int(usage.get("output", 0))
        tokens += len(one.text) // CHARS_A_TOKEN + TOKENS_A_MESSAGE
    return tokens


def is_summary(one: Spoken) -> bool:
    """Whether it is the summary of an earlier compaction, as a model is told it."""
    return one.role is Role.USER and one.text.startswith(HEAD)


def _persons(one: Spoken) -> bool:
    return one.role is Role.USER and one.kind == Kind.TEXT and not is_summary(one)


def _unanswered(said: Sequence[Spoken]) -> int:
    """The place from which on nothing was answered yet: the last question, or the last results and their calls."""
    first = len(said)
    while first and (
        said[first - 1].role is not Role.ASSISTANT and not is_summary(said[first - 1])
    ):
        first -= 1
    results = any(one.kind == Kind.TOOL_RESULT for one in said[first:])
    calls = first == len(said) or results
    while calls and first and said[first - 1].kind == Kind.TOOL_CALL:
        first -= 1
    return first


def _paired(said: Sequence[Spoken], first: int, must: int) -> list[int]:
    """The places from `first` on, with the calls of unanswered results, and without other results that have none."""
    calls = {
        one.meta.get("call_id"): at for at, one in enumerate(said) if one.kind == Kind.TOOL_CALL
    }
    found: set[int] = set()
    for place in range(first, len(said)):
        call = place
        if said[place].kind == Kind.TOOL_RESULT:
            call = calls.get(said[place].meta.get("call_id"), -1)
        if call >= first or (call >= 0 and place >= must):
            found |= {call, place}
    return sorted(found)


async def _summary(models: ModelServer, lines: list[str], model: str | None) -> tuple[str, Usage]:
    """Asks for a summary; of a conversation that is more than the model can read, of its newer half."""
    attempts = 0
    while True:
        asked = Said(role=Role.USER, text="\n\n".join([PROMPT, *lines]))
        try:
            summary, usage = await models.words(Request(history=(asked,), model=model))
        except ProviderError as failure:
            attempts += 1
            given_up = attempts > SHORTENED_MAX or len(lines) == 1
            if failure.code != Code.PROVIDER_REFUSED or given_up:
                raise
            lines = lines[len(lines) // 2 :]
            continue
        if not summary:
            raise ProviderError(Code.PROVIDER_BAD_REPLY, "The model wrote no summary. Try again.")
        return summary, usage


def _line(one: Spoken) -> str:
    """One message, as it is summarised."""
    match one.kind:
        case Kind.TOOL_CALL:
            return f"[calls {one.meta.get('tool', '')}]\n{_short(one.text)}"
        case Kind.TOOL_RESULT:
            return f"[result]\n{_short(one.text)}"
        case Kind.ITEM:
            return f"[{one.role.value}]\n{_short(one.text or str(one.meta.get('item')))}"
        case _:
            return f"[{one.role.value}]\n{one.text}"


def _short(text: str) -> str:
    return text if len(text) <= RESULT_CHARS_MAX else f"{text[:RESULT_CHARS_MAX]} …"
