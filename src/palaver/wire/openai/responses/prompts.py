"""The stored prompt that a request names: its words, with the variables filled in, in the request's own place.

Ids of ours have 32 digits. One of another shape may be known to a model server that speaks this API, which is then
given it as it came.
"""

import re
from collections.abc import Mapping
from typing import Any

from palaver.core.prompts import Prompts, filled, variables_of
from palaver.errors import Code, Refused
from palaver.model import Actor, PromptId
from palaver.strict_json import Json, as_object
from palaver.wire.openai.fields import OBJECT, TEXT, Invalid, missing, shortened, wrong_type

_OURS = re.compile(r"pmpt_([0-9a-f]{32})")
_PARAM = "prompt.variables"


class PromptMissing(Invalid):
    """There is no such prompt here."""

    def __init__(self, id_: str, version: str | None) -> None:
        words = "" if version is None else f" and version '{shortened(version)}'"
        super().__init__(f"Prompt with id '{shortened(id_)}'{words} not found.", None)
        self.code = Code.NOT_FOUND


def ours(body: Mapping[str, Any]) -> PromptId | None:
    """The id of the stored prompt that a request names; None for one that is none of ours."""
    found = _OURS.fullmatch(str(as_object(body.get("prompt")).get("id")))
    return None if found is None else PromptId(f"p_{found[1]}")


async def placed(prompts: Prompts, me: Actor, body: Json) -> tuple[Json, PromptMissing | None]:
    """Puts the words of a prompt into a request: before its instructions, or as its input where it has none.

    Beside it why nobody but a model server can know the prompt. Refused: one of ours that is not there, variables
    that it has not or that are left out.
    """
    if body.get("prompt") is None:
        return body, None
    OBJECT.check("prompt", body["prompt"])
    given = as_object(body["prompt"])
    if given.get("id") is None:
        raise missing("prompt.id")
    TEXT.check("prompt.id", given["id"])
    version: str | None = given.get("version")
    if version is not None:
        TEXT.check("prompt.version", version)
    id_, absent = ours(body), PromptMissing(given["id"], version)
    if id_ is None:
        return body, absent
    known = version is None or re.fullmatch("[1-9][0-9]{0,8}", version)
    try:
        found = await prompts.get(me, id_, int(version or 0) or None if known else 0)
    except Refused:
        raise absent from None
    text = filled(found, _values(given.get("variables"), variables_of(found)))
    body = {**body, "prompt": {"variables": None, **given, "version": str(found.version)}}
    instructions: object = body.get("instructions")
    if all(not body.get(name) for name in ("input", "previous_response_id", "conversation")):
        return {**body, "input": text}, None
    if isinstance(instructions, list):
        return {
            **body,
            "instructions": [{"role": "developer", "content": text}, *instructions],
        }, None
    return {**body, "instructions": f"{text}\n\n{instructions}" if instructions else text}, None


def _values(given: object, wanted: set[str]) -> dict[str, str]:
    if given is not None:
        OBJECT.check(_PARAM, given)
    values: dict[str, str] = {}
    for name, value in as_object(given).items():
        text: object = as_object(value).get("text", value)
        if not isinstance(text, str):
            raise wrong_type(f"{_PARAM}.{shortened(name)}", "a string", value)
        values[name] = text
    for kind, names in (("Missing", wanted - values.keys()), ("Unknown", values.keys() - wanted)):
        if names:
            raise Invalid(f"{kind} prompt variables: {shortened(', '.join(sorted(names)))}", _PARAM)
    return values
