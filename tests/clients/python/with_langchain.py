"""A user of LangChain's `ChatOpenAI`, in either of its two modes, `chat` or `responses`; it keeps the history itself.

OPENAI_BASE_URL and OPENAI_API_KEY say where.
"""

import asyncio
import sys
from typing import Any

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from lines import serve, tell, weather
from pydantic import BaseModel


class City(BaseModel):
    """A city."""

    city: str
    people: int


@tool
def get_weather(city: str) -> str:
    """The weather at a place."""
    return weather(city)


class User:
    """What a user's program keeps between two things."""

    def __init__(self, mode: str) -> None:
        self._model = ChatOpenAI(model="m", use_responses_api=mode == "responses")
        self._history: list[AnyMessage] = []

    async def say(self, text: str) -> dict[str, Any]:
        asked = [*self._history, HumanMessage(text)]
        answer: Any = None
        async for chunk in self._model.astream(asked):
            if chunk.text:
                tell({"word": str(chunk.text)})
            answer = chunk if answer is None else answer + chunk
        self._history = [*asked, AIMessage(**answer.model_dump(exclude={"type"}))]
        return {"said": str(answer.text)}

    async def tool(self, text: str) -> dict[str, Any]:
        asked = [*self._history, HumanMessage(text)]
        model = self._model.bind_tools([get_weather])
        answer = await model.ainvoke(asked)
        while answer.tool_calls:
            results = [await get_weather.ainvoke(call) for call in answer.tool_calls]
            asked += [answer, *results]
            answer = await model.ainvoke(asked)
        self._history = [*asked, answer]
        return {"said": str(answer.text)}

    async def object(self, text: str) -> dict[str, Any]:
        model = self._model.with_structured_output(City)
        city: Any = await model.ainvoke([*self._history, HumanMessage(text)])
        return {"object": city.model_dump()}


if __name__ == "__main__":
    user = User(sys.argv[1])
    asyncio.run(serve({"say": user.say, "tool": user.tool, "object": user.object}))
