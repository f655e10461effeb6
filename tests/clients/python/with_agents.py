"""A user of the OpenAI Agents SDK. OPENAI_BASE_URL and OPENAI_API_KEY say where.

`chat` asks for chat completions and keeps the history itself; `responses` asks for responses in a conversation that the
server keeps; `session` keeps the history in a conversation by itself, and asks for responses that are not stored.
"""

import asyncio
import sys
from typing import Any

from agents import (
    Agent,
    ModelSettings,
    OpenAIChatCompletionsModel,
    OpenAIConversationsSession,
    OpenAIResponsesModel,
    Runner,
    function_tool,
    set_tracing_disabled,
)
from lines import serve, tell, weather
from openai import AsyncOpenAI
from pydantic import BaseModel


class City(BaseModel):
    """What is asked for as an object."""

    city: str
    people: int


@function_tool
def get_weather(city: str) -> str:
    """The weather at a place."""
    return weather(city)


class User:
    """What a user's program keeps between two things."""

    def __init__(self, mode: str) -> None:
        self._client = AsyncOpenAI()
        chats = mode == "chat"
        model = OpenAIChatCompletionsModel if chats else OpenAIResponsesModel
        self._agent = Agent(
            name="Assistant",
            model=model(model="m", openai_client=self._client),
            model_settings=ModelSettings(store=False if mode == "session" else None),
        )
        self._mode = mode
        self._history: list[Any] = []
        self._kept: dict[str, Any] = {}

    async def say(self, text: str) -> dict[str, Any]:
        return {"said": await self._run(self._agent, text)}

    async def tool(self, text: str) -> dict[str, Any]:
        return {"said": await self._run(self._agent.clone(tools=[get_weather]), text)}

    async def object(self, text: str) -> dict[str, Any]:
        city = await self._run(self._agent.clone(output_type=City), text)
        return {"object": city.model_dump()}

    async def _run(self, agent: Any, text: str) -> Any:
        asked: Any = text
        if self._mode == "chat":
            asked = [*self._history, {"role": "user", "content": text}]
        elif self._mode == "session":
            self._kept.setdefault("session", OpenAIConversationsSession(openai_client=self._client))
        elif not self._kept:
            self._kept["conversation_id"] = (await self._client.conversations.create()).id
        result = Runner.run_streamed(agent, asked, **self._kept)
        async for event in result.stream_events():
            if (
                event.type == "raw_response_event"
                and event.data.type == "response.output_text.delta"
            ):
                tell({"word": event.data.delta})
        self._history = result.to_input_list()
        return result.final_output


if __name__ == "__main__":
    set_tracing_disabled(True)
    user = User(sys.argv[1])
    asyncio.run(serve({"say": user.say, "tool": user.tool, "object": user.object}))
