"""What programs say through the OpenAI-compatible API, as somebody before the page sees it."""

import asyncio
import base64
import json
import re
import struct
import subprocess
import sys
import zlib
from collections.abc import AsyncIterator, Awaitable
from typing import Any

import pytest
from openai import APIError, AsyncOpenAI
from playwright.async_api import Locator, expect
from tests.support.browser import Browser
from tests.support.server import Serve, ServerProcess
from tests.support.upstream import DONE, ScriptedUpstream, chunk, event, scripted_upstream, stream
from tests.walks.conftest import answering
from tests.walks.tab import Tab, arrive, held
from tests.walks.test_safety import ELSEWHERE, FORBIDDEN, HOSTILE, Watched, harmless

pytestmark = [pytest.mark.browser, pytest.mark.slow]

TOOLS: list[Any] = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "The weather at a place.",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
        },
    }
]
PROMPT = "You are a weather service.\n\nAnswer in one sentence."
QUESTION = "What is the weather in Oslo? Here is my sky."


def client_of(server: ServerProcess, key: str = "sk-of-the-walk") -> AsyncOpenAI:
    return AsyncOpenAI(base_url=f"{server.url}/v1", api_key=key, max_retries=0)


def sky(side: int = 48) -> str:
    """A small picture of the sky, as a data URL: long enough to be left out of lists."""
    rows = b"".join(
        b"\0"
        + bytes(v for x in range(side) for v in (90 + (x * y) % 60, 140 + y, 200 + (x ^ y) % 50))
        for y in range(side)
    )

    def piece(name: bytes, data: bytes) -> bytes:
        check = zlib.crc32(name + data)
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", check)

    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + piece(b"IHDR", head) + piece(b"IDAT", zlib.compress(rows))
    return "data:image/png;base64," + base64.b64encode(png + piece(b"IEND", b"")).decode()


@pytest.fixture
async def upstream() -> AsyncIterator[ScriptedUpstream]:
    async with scripted_upstream() as scripted:
        yield scripted


def calls_a_tool() -> tuple[bytes, ...]:
    """Chunks of an answer that thinks and then calls a tool."""

    def delta(**fields: object) -> bytes:
        return event({"id": "c", "choices": [{"index": 0, "delta": fields}]})

    first = {"name": "get_weather", "arguments": '{"city":'}
    return (
        delta(role="assistant", reasoning_content="They want the weather. I ask for it."),
        delta(tool_calls=[{"index": 0, "id": "call_1", "type": "function", "function": first}]),
        delta(tool_calls=[{"index": 0, "function": {"arguments": ' "Oslo"}'}}]),
        chunk(finish="tool_calls"),
        DONE,
    )


async def by_program(server: ServerProcess, said: list[Any], key: str) -> str:
    """What a program hears, word by word, when it says its whole history."""
    async with client_of(server, key) as client:
        answer = await client.chat.completions.create(model="echo", messages=said, stream=True)
        return "".join([one.choices[0].delta.content or "" async for one in answer if one.choices])


async def test_a_person_watches_continues_and_stops_what_a_program_began(
    browser: Browser, serve: Serve, models: ScriptedUpstream
) -> None:
    go_on = asyncio.Event()
    models.to("/long 200", held(200, go_on))
    models.to("/long 5000", held(5_000, asyncio.Event()))
    server = await serve(environment=answering(models))
    tab = await arrive(browser, server.url)
    made = "() => fetch('/api/keys', {method: 'POST'}).then((answer) => answer.json())"
    key = (await tab.page.evaluate(made))["token"]
    said: list[Any] = [{"role": "user", "content": "/long 200"}]
    async with asyncio.TaskGroup() as group:
        program = group.create_task(by_program(server, said, key))
        item = tab.room_item("/long 200")
        await expect(item.get_by_test_id("door")).to_have_text("API")
        await item.click()
        await expect(tab.stream.get_by_test_id("message-text")).to_contain_text("w010")
        await expect(tab.page.locator("header.head").get_by_test_id("door")).to_be_visible()
        await browser.screenshot(tab.page, "door-live-light")
        go_on.set()
        heard = await program
    await tab.answered()
    assert (await tab.log())[1][2] == heard

    await tab.say("/long 4")
    await tab.answered(2)
    said += [
        {"role": "assistant", "content": heard},
        {"role": "user", "content": "/long 5000"},
    ]
    async with asyncio.TaskGroup() as group:
        program = group.create_task(ended_early(by_program(server, said, key)))
        await expect(tab.stream.get_by_test_id("message-text")).to_contain_text("w010")
        await tab.part("stop").click()
        await tab.answered(3, status="stopped")
        assert await program
    questions = [text for _, role, text in await tab.log() if role == "user"]
    assert questions == ["/long 200", "/long 4", "/long 5000"]
    rooms = tab.part("room-item").filter(has=tab.part("door"))
    await expect(rooms).to_have_count(1)

    await tab.part("retry").click()
    await expect(tab.stream.get_by_test_id("message-text")).to_contain_text("w010")
    await tab.part("stop").click()
    await tab.answered(3, status="stopped")
    await tab.choose(rooms, "room-delete")
    await expect(rooms).to_have_count(0)


async def ended_early(program: Awaitable[str]) -> bool:
    """Whether a program was told that its answer was not whole."""
    try:
        await program
    except APIError:
        return True
    return False


async def test_prompts_tools_and_pictures_are_shown_and_a_request_can_be_inspected(
    browser: Browser, serve: Serve, upstream: ScriptedUpstream
) -> None:
    server = await serve(
        environment={"OPENAI_BASE_URL": upstream.base_url, "PALAVER_MODEL": "scripted"}
    )
    async with client_of(server) as client:
        await asks_for_the_weather(client, upstream)
    tab = await arrive(browser, server.url)
    await tab.room_item("What is the weather").click()
    await tab.answered(3)
    asides = tab.part("aside")
    await expect(asides).to_have_count(2)
    prompt, call = asides.first, asides.last
    await expect(prompt).to_contain_text("System prompt")
    await expect(prompt).not_to_have_attribute("open", "")
    await expect(call).to_contain_text('city: "Oslo"')
    await expect(call.get_by_test_id("tool-state")).to_have_text("19 bytes")
    await expect(tab.part("parts").locator("img")).to_be_visible()
    width = await tab.part("parts").locator("img").evaluate("image => image.naturalWidth")
    assert width == 48, "the picture was loaded"
    await expect(tab.part("choice")).to_have_text("Another answer (2)")
    await browser.screenshot(tab.page, "door-light")

    await call.locator("summary").focus()
    await tab.page.keyboard.press("Enter")
    await expect(call).to_contain_text("-4")
    await tab.part("reasoning").locator("summary").first.press("Space")
    await expect(tab.part("reasoning").first).to_contain_text("They want the weather")
    await browser.screenshot(tab.page, "door-open-light")

    await tab.answers.filter(has_text="Oslo is at").focus()
    more = await inspected(tab)
    shown = tab.part("exchange-json")
    await expect(shown).to_contain_text(PROMPT.split("\n", maxsplit=1)[0])
    await expect(shown).to_contain_text("tool_call_id")
    await expect(shown).to_contain_text("The weather at a place.")
    await expect(tab.part("exchange-state")).to_have_text("Completed")
    await browser.screenshot(tab.page, "door-inspector-light")
    await tab.page.get_by_role("tab", name="Request").press("ArrowRight")
    await expect(shown).to_contain_text("Clear, by the way.")
    await expect(shown).to_contain_text("chat.completion")
    await tab.page.keyboard.press("Escape")
    await expect(tab.part("inspector")).to_have_count(0)
    await expect(more).to_be_focused()


async def inspected(tab: Tab) -> Locator:
    """Ask for the exchange of the message that has the focus, by keyboard; what opened its menu."""
    more = tab.answers.get_by_test_id("message-more").last
    await more.focus()
    await tab.page.keyboard.press("Enter")
    await expect(tab.part("menu-react")).to_be_focused()
    await tab.page.keyboard.press("i")
    await tab.page.keyboard.press("Enter")
    return more


async def asks_for_the_weather(client: AsyncOpenAI, upstream: ScriptedUpstream) -> None:
    """A program that sends a picture, is asked for a tool, and gets two answers."""
    said: list[Any] = [
        {"role": "system", "content": PROMPT},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": QUESTION},
                {"type": "image_url", "image_url": {"url": sky()}},
            ],
        },
    ]
    upstream.will(stream(*calls_a_tool()))
    first = await client.chat.completions.create(
        model="scripted", messages=said, tools=TOOLS, stream=True
    )
    async for _ in first:
        pass
    function = {"name": "get_weather", "arguments": '{"city": "Oslo"}'}
    said += [
        {
            "role": "assistant",
            "tool_calls": [call_of(function)],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": '{"celsius":-4}'},
    ]
    words = [
        event({"id": "c", "choices": [{"index": index, "delta": {"content": text}}]})
        for index, text in enumerate(("Oslo is at **4 degrees below zero**.", "Clear, by the way."))
    ]
    none: dict[str, str] = {}
    ends = [
        event({"id": "c", "choices": [{"index": index, "delta": none, "finish_reason": "stop"}]})
        for index in range(2)
    ]
    upstream.will(stream(*words, *ends, DONE))
    second = await client.chat.completions.create(
        model="scripted", messages=said, tools=TOOLS, n=2, stream=True
    )
    async for _ in second:
        pass


async def test_nothing_that_a_program_says_runs_or_reaches_another_host(
    browser: Browser, town: ServerProcess
) -> None:
    hostile = "\n\n".join(HOSTILE)
    function = {"name": HOSTILE[2], "arguments": json.dumps({HOSTILE[0]: hostile})}
    pictures = [
        {"type": "image_url", "image_url": {"url": f"{ELSEWHERE}/picture.png"}},
        {
            "type": "image_url",
            "image_url": {"url": "data:text/html,<script>window.ran = 1</script>"},
        },
        {"type": HOSTILE[2]},
    ]
    said: list[Any] = [
        {"role": "system", "content": hostile},
        {
            "role": "user",
            "name": HOSTILE[2],
            "content": [{"type": "text", "text": hostile}, *pictures],
        },
        {"role": "assistant", "refusal": hostile, "tool_calls": [call_of(function)]},
        {"role": "tool", "tool_call_id": "call_1", "content": hostile},
        {"role": "user", "content": "/long 3"},
    ]
    tab = await arrive(browser, town.url)
    watched = Watched(tab.page, town)
    async with client_of(town) as client:
        await client.chat.completions.create(model="echo", messages=said)
    await tab.part("room-item").filter(has=tab.part("door")).first.click()
    await tab.answered()  # what a program says of the assistant, where all see it, is its own word
    await expect(tab.part("parts").locator("a")).to_have_attribute("rel", re.compile("noopener"))
    await expect(tab.part("parts").locator("img")).to_have_count(0)
    await expect(
        tab.part("aside").locator("summary").first
    ).to_be_visible()  # fetched when first needed
    for aside in await tab.part("aside").locator("summary").all():
        await aside.click()
    await expect(tab.part("aside").locator(".hljs-attr").first).to_be_visible()
    await tab.answers.last.hover()
    await tab.answers.last.get_by_test_id("message-more").click()
    await tab.part("inspect").click()
    await expect(tab.part("exchange-json")).to_contain_text("/long 3")
    for part in ("aside", "refusal", "exchange-json"):
        for found in await tab.part(part).all():
            assert await found.locator(FORBIDDEN).count() == 0, await found.inner_html()
    await harmless(tab, watched)


def call_of(function: dict[str, str]) -> dict[str, Any]:
    return {"id": "call_1", "type": "function", "function": function}


@pytest.mark.parametrize("phone", [False, True])
async def test_the_page_says_how_to_connect_and_what_it_says_works(
    browser: Browser, town: ServerProcess, *, phone: bool
) -> None:
    tab = Tab(await browser.open(town.url, phone=phone, dark=True))
    await expect(tab.part("home")).to_be_visible()
    if phone:
        await tab.part("sidebar-toggle").tap()
    await tab.person("connect-open")
    await expect(tab.part("base-url")).to_have_text(f"{town.url}/v1")
    token = await a_key(browser, tab, "key-offer-phone" if phone else "key-offer")
    await expect(tab.part("snippet")).to_contain_text(token)
    await expect(tab.part("key")).to_have_count(1)
    assert await tab.fits()
    await expect(tab.part("snippet").locator(".hljs-keyword").first).to_be_visible()
    await browser.screenshot(tab.page, f"connect-dark{'-phone' if phone else ''}")
    python = await tab.part("snippet").locator("code").inner_text()
    await tab.page.get_by_role("tab", name="curl").click()
    curl = await tab.part("snippet").locator("code").inner_text()
    await told_to_agents(tab, town, token)
    await browser.screenshot(tab.page, f"connect-agents{'-phone' if phone else ''}")
    await tab.page.keyboard.press("Escape")
    await expect(tab.part("connect")).to_have_count(0)
    if not phone:
        rooms = tab.part("room-item").filter(has=tab.part("door"))
        if await tab.part("programs-all").count():
            await tab.part("programs-all").click()  # the newest three are shown
        before = await rooms.count()
        assert (await ran(sys.executable, "-c", python)).strip()
        assert '"chat.completion"' in await ran("sh", "-c", curl)
        await expect(rooms).to_have_count(before + 2)
        await tab.person("connect-open")
        await expect(tab.part("key-token")).to_have_count(0)
        await expect(tab.part("key")).to_contain_text("used")
        await tab.part("key-revoke").click()
        await tab.part("ask-cancel").press("Enter")
        await expect(tab.part("key")).to_have_count(1)
        await tab.part("key-revoke").click()
        await tab.agree()
        await expect(tab.part("key")).to_have_count(0)
        other = await arrive(browser, town.url)
        await expect(other.part("room-item").first).to_be_visible()
        assert await other.part("room-item").filter(has=other.part("door")).count() == before


async def a_key(browser: Browser, tab: Tab, name: str) -> str:
    """Makes a key for a year that may only talk with models."""
    await tab.part("key-offer").click()
    await tab.part("key-name").fill("laptop")
    await tab.part("key-may").select_option("talk")
    await tab.part("key-days").select_option("365")
    await browser.screenshot(tab.page, name)
    await tab.part("key-make").click()
    token = await tab.part("key-token").inner_text()
    await expect(tab.part("key")).to_contain_text("laptop")
    await expect(tab.part("key")).to_contain_text("talk with models, until ")
    return token


async def told_to_agents(tab: Tab, server: ServerProcess, token: str) -> None:
    """See that each coding agent is told where to ask, and with which key."""
    for program in ("Codex", "Claude Code", "aider", "opencode"):
        await tab.page.get_by_role("tab", name=program).click()
        await expect(tab.part("snippet")).to_contain_text(token)
        await expect(tab.part("snippet")).to_contain_text(server.url)
        assert await tab.part("connect").evaluate("all => all.scrollWidth <= all.clientWidth")


async def ran(*command: str) -> str:
    """What a command says, which has to succeed."""
    done = await asyncio.to_thread(
        subprocess.run, command, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
