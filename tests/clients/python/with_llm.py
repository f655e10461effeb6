"""A user of the `llm` command, who types a line and then goes on with `llm -c`; each is a process of its own.

As its documentation says, another server is a model in extra-openai-models.yaml.
"""

import asyncio
import json
import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from lines import serve, tell

FUNCTIONS = """
def get_weather(city: str) -> str:
    "The weather at a place."
    return f"Snow in {city}"
"""


class User:
    """What the command keeps between two things, in a folder."""

    def __init__(self, folder: Path) -> None:
        model = {
            "model_id": "palaver",
            "model_name": "m",
            "api_base": os.environ["OPENAI_BASE_URL"],
            "supports_tools": True,
            "supports_schema": True,
        }
        (folder / "extra-openai-models.yaml").write_text(json.dumps([model]))  # which is YAML, too
        self._environment = {**os.environ, "LLM_USER_PATH": str(folder)}
        self._said = False

    async def say(self, text: str) -> dict[str, Any]:
        return {"said": (await self._llm(text)).removesuffix("\n")}

    async def tool(self, text: str) -> dict[str, Any]:
        return {"said": (await self._llm(text, "--functions", FUNCTIONS)).removesuffix("\n")}

    async def object(self, text: str) -> dict[str, Any]:
        return {"object": json.loads(await self._llm(text, "--schema", "city, people int"))}

    async def _llm(self, text: str, *options: str) -> str:
        goes_on = ("-c",) if self._said else ()
        command = (sys.executable, "-m", "llm", "-m", "palaver", "--key", "any", *goes_on)
        process = await asyncio.create_subprocess_exec(
            *command,
            *options,
            text,
            env=self._environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        assert process.stderr is not None
        said = b""
        while words := await process.stdout.read(4096):
            said += words
            tell({"word": words.decode()})
        problem = (await process.stderr.read()).decode()
        if await process.wait() != 0:
            raise RuntimeError(problem)
        self._said = True
        return said.decode()


if __name__ == "__main__":
    with TemporaryDirectory() as folder:
        user = User(Path(folder))
        asyncio.run(serve({"say": user.say, "tool": user.tool, "object": user.object}))
