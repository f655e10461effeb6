"""The picture in the README: a page as it looks in the middle of a day, made by walking through one.

A scripted model answers, so that the picture is the same each time. It is left in artifacts/screenshots/readme.png;
docs/screenshot.png is a copy of it that somebody has looked at.
"""

import pytest
from playwright.async_api import APIRequestContext, expect
from tests.support.browser import Browser
from tests.support.server import Serve
from tests.support.upstream import reply, scripted_upstream
from tests.walks.tab import arrive
from tests.walks.test_door import client_of

pytestmark = [pytest.mark.browser, pytest.mark.slow]

PICTURE_BYTES_MAX = 200_000
ROOMS = (
    "Rent contract, open questions",
    "Letters to Grandma",
    "Book club: Middlemarch",
    "Names for a small boat",
    "Holiday in Lisbon",
)
BY_A_PROGRAM = "Morning briefing"
TITLE = "Sourdough"
QUESTION = (
    "How much water for 75 % hydration? A small table, and a function for the kitchen tablet."
)
ANSWER = """\
Hydration is water over flour, so $w = 0.75 \\cdot f$. For loaves of the usual sizes:

| Loaf | Flour | Water | Starter |
| :--- | ---: | ---: | ---: |
| small | 350 g | 263 g | 70 g |
| **medium** | **500 g** | **375 g** | **100 g** |
| large | 800 g | 600 g | 160 g |

```python
def water(flour: float, hydration: float = 0.75) -> int:
    \"\"\"Grams of water for so many grams of flour.\"\"\"
    return round(flour * hydration)
```

Hold back *a tenth* of it until the dough has rested: you can add water, but you cannot take it out."""


async def made_room(http: APIRequestContext, url: str, title: str) -> str:
    made = await http.post(f"{url}/api/rooms", data={"title": title})
    return (await made.json())["id"]


async def test_the_page_in_the_middle_of_a_day(browser: Browser, serve: Serve) -> None:
    async with scripted_upstream() as upstream:
        upstream.default = reply("Welcome.")
        server = await serve(
            environment={"OPENAI_BASE_URL": upstream.base_url, "PALAVER_MODEL": "scripted"}
        )
        neighbour = await arrive(browser, server.url)
        tab = await arrive(browser, server.url)
        await tab.page.request.patch(f"{server.url}/api/me", data={"name": "Ada"})
        for title in ROOMS:
            await made_room(tab.page.request, server.url, title)
        async with client_of(server) as program:
            await program.responses.create(model="scripted", input=BY_A_PROGRAM)
        room = await made_room(tab.page.request, server.url, TITLE)
        await tab.page.goto(f"{server.url}/r/{room}")
        await expect(tab.part("start-of-room")).to_be_visible()
        await neighbour.room_item("Lobby").click()
        await neighbour.say("@assistant, who has the key to the bicycle cellar?")
        await neighbour.answered()
        upstream.will(reply(*ANSWER.splitlines(keepends=True)))
        await tab.say(QUESTION)
        await tab.answered()
        await expect(tab.answers.locator("math").first).to_be_visible()
        await expect(tab.answers.locator(".hljs-keyword").first).to_be_visible()
        await expect(tab.room_item("Lobby").get_by_test_id("unread")).to_have_text("2")
        await expect(tab.answers).to_be_in_viewport()
        await expect(tab.room_item(BY_A_PROGRAM).get_by_test_id("door")).to_be_visible()
        await tab.page.mouse.move(640, 790)
        picture = await browser.screenshot(tab.page, "readme")
        assert picture.stat().st_size < PICTURE_BYTES_MAX
