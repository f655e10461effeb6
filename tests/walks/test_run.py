"""A coding agent's run, as a story: what it did is one line that opens, and what it says stands for itself."""

import json
from typing import Any

import pytest
from openai import AsyncOpenAI
from playwright.async_api import Locator, expect
from tests.support.browser import Browser
from tests.support.server import ServerProcess
from tests.support.upstream import DONE, Script, ScriptedUpstream, chunk, event, reply, stream
from tests.walks.tab import Tab
from tests.walks.test_door import client_of
from tests.walks.test_measures import FAINT, NODES, TEXT_CONTRAST_MIN, WIDE

pytestmark = [pytest.mark.browser, pytest.mark.slow]

QUESTION = "The tests of the parser fail. Please mend it."
FINAL = "The fix is in `src/parser.py`: an **empty line** ended the loop. All 42 tests pass now."
CONTEXT = "<environment_context>\n  <cwd>/home/ada/parser</cwd>\n</environment_context>"
PATCH = """*** Begin Patch
*** Update File: src/parser.py
@@ def lines(text):
     for line in text.split("\\n"):
-        if not line:
-            break
+        if not line.strip():
+            continue
         yield line
*** Add File: tests/test_empty.py
+from parser import lines
+
+
+def test_an_empty_line_ends_nothing():
+    assert list(lines("a\\n\\nb")) == ["a", "b"]
*** End Patch
"""
RED = "Exit code 1\n" + "\n".join(f"tests/test_parser.py::test_{n} FAILED" for n in range(30))
Doing = tuple[str, Any, str]
STEPS: list[Doing] = [
    ("exec_command", {"cmd": "pytest -q"}, RED),
    ("read_file", {"path": "src/parser.py"}, "def lines(text):\n    ...\n" * 40),
    (
        "exec_command",
        {"cmd": "grep -rn 'break' src | head -20 && git log --oneline | head -5"},
        "src/parser.py:4: break",
    ),
    (
        "spawn_agent",
        {"agent_type": "reviewer", "message": "Is an empty line the end anywhere else?"},
        "No: only **here**.",
    ),
    (
        "apply_patch",
        {"input": PATCH},
        "Success. Updated the following files:\nM src/parser.py\nA tests/test_empty.py",
    ),
    (
        "Edit",
        {
            "file_path": "CHANGELOG.md",
            "old_string": "# Changes\n",
            "new_string": "# Changes\n\n- An empty line ends nothing.\n",
        },
        "Done.",
    ),
    (
        "exec_command",
        {"cmd": "pytest -q"},
        "Chunk ID: 1\nProcess exited with code 0\nOutput:\n42 passed in 0.31s",
    ),
]
CALLS = 90
OPEN_NODES_MAX = 800
FIGURES = [
    "3 commands",
    "1 tool call",
    "1 agent",
    "3 files",
    "+9",
    "\N{MINUS SIGN}2",
    "1 failed",
    "tokens",
]


def calls(number: int, tool: str, given: Any, thought: str | None = None) -> Script:
    """An answer that calls a tool."""

    def delta(**fields: object) -> bytes:
        return event({"id": "c", "choices": [{"index": 0, "delta": fields}]})

    function = {"name": tool, "arguments": json.dumps(given)}
    usage = {"prompt_tokens": 4_000 + 500 * number, "completion_tokens": 90, "total_tokens": 0}
    return stream(
        *([delta(role="assistant", reasoning_content=thought)] if thought else []),
        delta(
            tool_calls=[
                {"index": 0, "id": f"call_{number}", "type": "function", "function": function}
            ]
        ),
        chunk(finish="tool_calls"),
        event({"choices": [], "usage": usage}),
        DONE,
    )


async def ask(client: AsyncOpenAI, said: list[Any]) -> None:
    answer = await client.chat.completions.create(model="scripted", messages=said, stream=True)
    async for _ in answer:
        pass


def beginning() -> list[Any]:
    """What a coding agent tells its model before a person's words, and those."""
    return [
        {
            "role": "developer",
            "content": "You are a coding agent. Mend what is asked for, and nothing else.",
        },
        {"role": "developer", "content": "The sandbox is open."},
        {"role": "user", "content": CONTEXT},
        {"role": "user", "content": QUESTION},
    ]


async def run(
    server: ServerProcess,
    models: ScriptedUpstream,
    key: str,
    said: list[Any],
    todo: dict[int, Doing],
) -> None:
    """Ask, do what is asked for, and ask again, as an agent does; the last result is not told yet."""
    async with client_of(server, key) as client:
        for number, (tool, given, result) in todo.items():
            thought = "Look at the tests **first**.\nThen mend." if number == 0 else None
            models.will(calls(number, tool, given, thought))
            await ask(client, said)
            function = {"name": tool, "arguments": json.dumps(given)}
            call = {"id": f"call_{number}", "type": "function", "function": function}
            said += [
                {"role": "assistant", "tool_calls": [call]},
                {"role": "tool", "tool_call_id": f"call_{number}", "content": result},
            ]


async def end(server: ServerProcess, models: ScriptedUpstream, key: str, said: list[Any]) -> None:
    models.will(reply(FINAL))
    async with client_of(server, key) as client:
        await ask(client, said)


async def key_of(tab: Tab) -> str:
    """A key of whoever sits before the page, who is somebody once the server has greeted them."""
    await expect(tab.part("guest")).to_have_count(1)
    made = "() => fetch('/api/keys', {method: 'POST'}).then((answer) => answer.json())"
    return (await tab.page.evaluate(made))["token"]


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("phone", [False, True])
async def test_a_run_is_watched_while_it_is_made_and_read_afterwards(
    browser: Browser, city: ServerProcess, models: ScriptedUpstream, *, phone: bool, dark: bool
) -> None:
    tab = Tab(await browser.open(city.url, phone=phone, dark=dark))
    await expect(tab.part("home")).to_be_visible()
    if not phone:
        await tab.page.set_viewport_size(WIDE)
    look = f"{'390' if phone else '1440'}-{'dark' if dark else 'light'}"
    key, said = await key_of(tab), beginning()
    await run(city, models, key, said, dict(enumerate(STEPS[:4])))
    if phone:
        await tab.part("sidebar-toggle").tap()
    await tab.part("room-item").filter(has=tab.part("door")).click()
    await expect(tab.part("room-title").first).to_have_text(QUESTION)
    work = tab.part("run").last
    await expect(work).to_contain_text("Working")
    step = work.get_by_test_id("aside")
    await expect(step).to_have_count(1)
    await expect(step).to_contain_text("reviewer")
    await expect(step.get_by_test_id("tool-state")).to_contain_text("running")
    await browser.screenshot(tab.page, f"run-live-{look}")

    await run(city, models, key, said, dict(enumerate(STEPS[4:], 4)))
    await end(city, models, key, said)
    await tab.answered()
    await expect(work).to_contain_text("Worked")
    await expect(work.get_by_test_id("aside")).to_have_count(0)
    for figure in FIGURES:
        await expect(work.get_by_test_id("run-head")).to_contain_text(figure)
    await expect(tab.part("run").first.get_by_test_id("run-head")).to_have_text("3 prompts")
    await expect(tab.questions.get_by_test_id("message-text")).to_have_text(QUESTION)
    await expect(tab.answers).to_contain_text("All 42 tests pass now.")
    assert await tab.page.evaluate(FAINT, TEXT_CONTRAST_MIN) == []
    assert await tab.fits()
    await browser.screenshot(tab.page, f"run-folded-{look}")
    await opened(tab, work)
    await browser.screenshot(tab.page, f"run-open-{look}")
    await looked_into(tab, work)
    await browser.screenshot(tab.page, f"run-diff-{look}")


async def opened(tab: Tab, work: Locator) -> None:
    """Open a run, and see its steps."""
    await work.get_by_test_id("run-head").click()
    steps = work.get_by_test_id("aside")
    await expect(steps).to_have_count(len(STEPS) + 1)
    await expect(steps.first).to_contain_text("Look at the tests")
    await expect(steps.nth(1).get_by_test_id("tool-state")).to_contain_text("exit 1")
    assert await tab.fits()


async def looked_into(tab: Tab, work: Locator) -> None:
    """Open a command that failed, and a patch."""
    red, patch = work.get_by_test_id("aside").nth(1), work.get_by_test_id("aside").nth(5)
    await red.locator("summary").click()
    await expect(red).to_contain_text("test_29 FAILED")
    await patch.locator("summary").click()
    await expect(patch.get_by_test_id("diff")).to_have_count(2)
    await expect(patch.locator("ins").first).to_contain_text("+        if not line.strip():")
    await expect(patch.locator("del").first).to_contain_text("-            break")
    assert await tab.fits()
    assert await tab.page.evaluate(FAINT, TEXT_CONTRAST_MIN) == []
    await patch.locator("summary").scroll_into_view_if_needed()


async def test_a_long_run_is_light_and_is_read_by_keyboard_and_by_a_link_into_it(
    browser: Browser, city: ServerProcess, models: ScriptedUpstream
) -> None:
    tab = Tab(await browser.open(city.url))
    await expect(tab.part("home")).to_be_visible()
    key, said = await key_of(tab), beginning()[-1:]
    todo = {n: ("Bash", {"command": f"echo {n}"}, f"{n} said") for n in range(CALLS)}
    await run(city, models, key, said, todo)
    await end(city, models, key, said)
    await tab.room_item("The tests of the parser").click()
    head, steps = tab.part("run-head"), tab.part("run").get_by_test_id("aside")
    await expect(head).to_contain_text(f"{CALLS} commands")  # the older ones come by themselves
    await expect(tab.part("run")).to_have_count(1)
    await expect(tab.answers).to_have_count(1)

    await tab.composer.press("Escape")
    await tab.page.keyboard.press("ArrowUp")
    await expect(tab.part("run")).to_be_focused()
    await tab.page.keyboard.press("Enter")
    await expect(head).to_have_attribute("aria-expanded", "true")
    assert await tab.page.evaluate(NODES, "#app") <= OPEN_NODES_MAX
    for _ in range(2):
        await tab.part("run-later").click()
    await expect(steps.last).to_contain_text(f"echo {CALLS - 1}")
    assert await tab.page.evaluate(NODES, "#app") <= OPEN_NODES_MAX

    seq = await steps.filter(has_text=f"echo {CALLS // 2}").get_attribute("data-step")
    await head.focus()
    await tab.page.keyboard.press("ArrowDown")
    await expect(steps.first.locator("summary")).to_be_focused()
    await tab.page.keyboard.press("ArrowDown")
    await tab.page.keyboard.press("ArrowRight")
    await expect(steps.nth(1)).to_have_attribute("open", "")
    await expect(steps.nth(1)).to_contain_text("said")
    await tab.page.keyboard.press("ArrowLeft")
    await expect(steps.nth(1)).not_to_have_attribute("open", "")
    await tab.page.keyboard.press("ArrowLeft")
    await expect(head).to_be_focused()
    await tab.page.keyboard.press("Enter")
    await expect(steps).to_have_count(0)

    await tab.page.goto(f"{city.url}/r/{tab.room}/{seq}")
    named = tab.page.locator(f'[data-step="{seq}"]')
    await expect(named).to_be_in_viewport()
    await expect(named).to_contain_text(f"echo {CALLS // 2}")


async def test_a_helper_stands_under_its_chat_which_says_whose_it_is(
    browser: Browser, city: ServerProcess, models: ScriptedUpstream
) -> None:
    tab = Tab(await browser.open(city.url))
    await expect(tab.part("home")).to_be_visible()
    await tab.person("connect-open")
    await tab.part("key-offer").click()
    await tab.part("key-unstored").check()
    await tab.part("key-make").click()
    key = await tab.part("key-token").inner_text()
    await browser.screenshot(tab.page, "connect-unstored")
    await tab.page.keyboard.press("Escape")
    helper: list[Any] = [{"role": "user", "content": "Does an empty line end more?"}]
    async with client_of(city, key) as client:
        for thread, parent, said in (("t1", None, beginning()), ("t2", "t1", helper)):
            named = {"thread-id": thread} | ({"x-codex-parent-thread-id": parent} if parent else {})
            models.will(reply("Yes."))
            await client.chat.completions.create(
                model="scripted", messages=said, store=False, extra_headers=named
            )
    chat, child = tab.room_item("The tests of the parser"), tab.room_item("Does an empty line")
    await expect(chat.get_by_test_id("runs")).to_have_text("1 run")
    await expect(child).to_have_count(0)
    await chat.click()
    await expect(child).to_be_visible()
    await expect(tab.part("client")).to_contain_text("Codex")
    await expect(tab.part("client")).to_contain_text("/home/ada/parser")
    await expect(tab.part("kept-despite")).to_be_visible()
    await browser.screenshot(tab.page, "run-helper")
    await child.click()
    await expect(tab.part("room-parent")).to_have_text(
        "The tests of the parser fail. Please mend it."
    )
    await tab.part("room-parent").click()
    await expect(tab.part("room-parent")).to_have_count(0)
