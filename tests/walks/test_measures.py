"""What the page may show and weigh, that nothing of it moves, and that all of it can be read: measured in a browser."""

import gzip
import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import ViewportSize, expect
from tests.support.browser import Browser
from tests.support.server import Serve, ServerProcess
from tests.support.upstream import ScriptedUpstream, reply
from tests.walks.tab import OUTAGE, PROBED, Tab, arrive, forgive

pytestmark = [pytest.mark.browser, pytest.mark.slow]

WIDE = ViewportSize(width=1440, height=900)
FIRST_SCRIPT_BYTES_MAX = {"index": 60_000, "device": 20_000, "invite": 20_000, "sign": 20_000}
FIRST_STYLE_BYTES_MAX = 12_000
LATER_SCRIPT_BYTES_MAX = {
    "settings/Settings": 14_000,
    "panel/People": 10_000,
    "panel/AsOf": 6_000,
    "admin/Admin": 14_000,
    "agents/Agents": 16_000,
    "find/Search": 8_000,
    "find/Find": 8_000,
    "shelf/Archive": 5_000,
    "shelf/Deleted": 5_000,
}
"""On top of what is fetched at once, and of the palette, which comes right after it."""
CONTROLS_MAX = {False: 11, True: 6}
START_NODES_MAX = 110
CHAT_NODES_MAX = 180
OWN_ROW_NODES_MAX = 9
TEXT_CONTRAST_MIN = 4.5
EDGE_CONTRAST_MIN = 3

# What can be pressed or filled in, without the rows of lists and what is said.
CONTROLS = """
() => [...document.querySelectorAll('a, button, input, textarea, select, summary')].filter(control =>
  control.checkVisibility({ visibilityProperty: true })
  && !control.closest('[data-testid=room-list], [data-key], .ideas, .lobby')
  && !control.matches('.skip') && control.getBoundingClientRect().right > 0
).map(control => (control.getAttribute('aria-label') ?? control.textContent).trim())
"""
NODES = "selector => document.querySelectorAll(`${selector}, ${selector} *`).length"
# Every text that can be seen, with its contrast on what lies behind it; less than full opacity counts.
FAINT = """
least => {
  // A colour on its way is none that stays.
  for (const one of document.getAnimations()) if (one instanceof CSSTransition) one.finish()
  const channels = color => {
    const [r, g, b, a = 1] = color.match(/[\\d.]+/g).map(Number)
    return color.startsWith('color(srgb') ? [r * 255, g * 255, b * 255, a] : [r, g, b, a]
  }
  const over = ([r, g, b, a], [R, G, B]) => [r * a + R * (1 - a), g * a + G * (1 - a), b * a + B * (1 - a)]
  const ground = element => {
    const layers = []
    for (let at = element; at; at = at.parentElement) {
      const layer = channels(getComputedStyle(at).backgroundColor)
      layers.unshift(layer)
      if (layer[3] === 1) break
      // What lies in the top layer has nothing of its parents behind it.
      if (at.matches('dialog, [popover]')) break
    }
    return layers.reduce((below, layer) => over(layer, below), [255, 255, 255])
  }
  const light = color => color.slice(0, 3).map(value => value / 255)
    .map(value => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4)
    .reduce((sum, value, index) => sum + value * [0.2126, 0.7152, 0.0722][index], 0)
  const ratio = (a, b) => (Math.max(light(a), light(b)) + 0.05) / (Math.min(light(a), light(b)) + 0.05)
  const found = []
  for (const element of document.querySelectorAll('body *')) {
    const own = [...element.childNodes].some(node => node.nodeType === 3 && node.data.trim())
    const inactive = element.closest('.hidden, :disabled, svg, math, [aria-hidden=true], .skip')
    if (!own || inactive || !element.checkVisibility({ visibilityProperty: true, opacityProperty: true })) continue
    const behind = ground(element)
    const contrast = ratio(over(channels(getComputedStyle(element).color), behind), behind)
    const words = element.textContent.trim().slice(0, 30)
    if (contrast < least) found.push(`${contrast.toFixed(1)} ${element.className} ${words}`)
  }
  const edged = '.field, form.composer, kbd, main .plain, .theme:not([aria-pressed=true])'
  for (const element of document.querySelectorAll(edged)) {
    if (!element.checkVisibility({ visibilityProperty: true })) continue
    const contrast = ratio(channels(getComputedStyle(element).borderTopColor), ground(element.parentElement))
    if (contrast < EDGE_CONTRAST_MIN) found.push(`${contrast.toFixed(1)} edge of ${element.className}`)
  }
  return found
}
""".replace("EDGE_CONTRAST_MIN", str(EDGE_CONTRAST_MIN))
PLACES = """
() => Object.fromEntries(['header.head', '[data-testid=composer]', '[data-testid=person]',
  ...[...document.querySelectorAll('[data-key]')].flatMap(row =>
    [`[data-key="${row.dataset.key}"]`, `[data-key="${row.dataset.key}"] [data-testid=message-text]`]),
].map(name => [name, document.querySelector(name)?.getBoundingClientRect()]).filter(([, box]) => box)
  .map(([name, box]) => [name, [box.left, box.top, box.width, box.height].join(' ')]))
"""


@pytest.mark.parametrize("entry", FIRST_SCRIPT_BYTES_MAX)
def test_what_comes_before_the_page_can_be_used_is_small(entry: str) -> None:
    page = Path(str(files("palaver"))) / "page"
    parts: dict[str, dict[str, Any]] = json.loads((page / ".vite" / f"{entry}.json").read_text())
    needed = [f"{entry}.html"]
    for name in needed:  # it grows on the way
        needed += [one for one in parts[name].get("imports", []) if one not in needed]

    def zipped(names: list[str]) -> int:
        return sum(len(gzip.compress((page / name).read_bytes(), 9)) for name in names)

    assert zipped([parts[name]["file"] for name in needed]) <= FIRST_SCRIPT_BYTES_MAX[entry]
    styles = [style for name in needed for style in parts[name].get("css", [])]
    assert zipped(styles) <= FIRST_STYLE_BYTES_MAX


@pytest.mark.parametrize("part", LATER_SCRIPT_BYTES_MAX)
def test_what_is_fetched_when_it_is_looked_at_is_small(part: str) -> None:
    page = Path(str(files("palaver"))) / "page"
    parts: dict[str, dict[str, Any]] = json.loads((page / ".vite" / "index.json").read_text())

    def needed(*names: str) -> set[str]:
        more = [one for name in names for one in parts[name].get("imports", [])]
        return {*names, *(needed(*more) if more else ())}

    here = needed("index.html", "src/shell/Palette.svelte", "src/kit/Menu.svelte")
    fetched = needed(f"src/{part}.svelte") - here
    sizes = [len(gzip.compress((page / parts[one]["file"]).read_bytes(), 9)) for one in fetched]
    assert sum(sizes) <= LATER_SCRIPT_BYTES_MAX[part]


async def visit(browser: Browser, server: ServerProcess, **how: Any) -> Tab:
    """Somebody new, at the size that is asked for; on a phone the list is out of sight."""
    tab = Tab(await browser.open(server.url, **how))
    if not how.get("phone"):
        await tab.page.set_viewport_size(WIDE)
    await expect(tab.part("home")).to_be_visible()
    await expect(tab.part("model-hint")).to_be_visible()
    await expect(tab.part("room-item").first).to_be_attached()
    return tab


@pytest.mark.parametrize("phone", [False, True])
async def test_a_fresh_chat_is_as_quiet_and_light_as_planned(
    browser: Browser, town: ServerProcess, *, phone: bool
) -> None:
    tab = await visit(browser, town, phone=phone)
    assert await tab.page.evaluate(NODES, "#app") <= START_NODES_MAX
    await tab.say("Good morning")
    await tab.answered()
    await tab.page.mouse.move(1, 1)
    await expect(tab.questions.locator(".actions")).to_have_count(0)
    controls: list[str] = await tab.page.evaluate(CONTROLS)
    assert len(controls) <= CONTROLS_MAX[phone], controls
    assert await tab.page.evaluate(NODES, "#app") <= CHAT_NODES_MAX
    own = await tab.questions.evaluate(
        "row => 1 + row.querySelectorAll('*:not(.divider, .divider *)').length"
    )
    assert own <= OWN_ROW_NODES_MAX


@pytest.mark.parametrize("dark", [False, True])
async def test_all_that_is_written_can_be_read(
    browser: Browser, city: ServerProcess, models: ScriptedUpstream, *, dark: bool
) -> None:
    models.to("a table", reply("| a | b |\n|---|---|\n| 1 | `2` |\n\n```python\nx = 1  # one\n```"))
    tab = await arrive(browser, city.url, dark=dark)
    await tab.page.set_viewport_size(WIDE)
    seen: dict[str, list[str]] = {"start": await tab.page.evaluate(FAINT, TEXT_CONTRAST_MIN)}
    await tab.say("a table")
    await tab.answered()
    await expect(tab.answers.locator("pre .hljs-comment")).to_be_visible()
    for place, row in (("question", tab.questions), ("answer", tab.answers)):
        await row.hover()
        await expect(row.locator(".actions")).to_be_visible()
        seen[place] = await tab.page.evaluate(FAINT, TEXT_CONTRAST_MIN)
        await browser.screenshot(tab.page, f"actions-{place}-{'dark' if dark else 'light'}")
    await tab.part("room-item").last.hover()
    seen["list"] = await tab.page.evaluate(FAINT, TEXT_CONTRAST_MIN)
    await tab.settings("profile")
    await tab.part("name-input").fill("Ada")
    await tab.part("name-input").press("Enter")
    await expect(tab.part("toast")).to_be_visible()
    seen["settings"] = await tab.page.evaluate(FAINT, TEXT_CONTRAST_MIN)
    await browser.screenshot(tab.page, f"settings-toast-{'dark' if dark else 'light'}")
    await tab.person("shortcuts-open")
    await expect(tab.part("shortcuts")).to_be_visible()
    seen["shortcuts"] = await tab.page.evaluate(FAINT, TEXT_CONTRAST_MIN)
    await browser.screenshot(tab.page, f"shortcuts-{'dark' if dark else 'light'}")
    await tab.page.keyboard.press("Escape")
    await tab.page.keyboard.press("Control+k")
    await expect(tab.part("palette-item").first).to_be_visible()
    seen["palette"] = await tab.page.evaluate(FAINT, TEXT_CONTRAST_MIN)
    assert seen == {place: [] for place in seen}


@pytest.mark.parametrize("dark", [False, True])
async def test_the_worst_banner_can_be_read(
    browser: Browser, town: ServerProcess, *, dark: bool
) -> None:
    tab = await arrive(browser, town.url, dark=dark)
    # The server's word that this page is not wanted, which a person meets after a restore of an old backup.
    await tab.page.route_web_socket("**/ws", lambda socket: socket.close(code=4503))
    await tab.page.reload()
    await expect(tab.banner).to_have_attribute("data-state", "stopped")
    assert await tab.page.evaluate(FAINT, TEXT_CONTRAST_MIN) == []
    await browser.screenshot(tab.page, f"stopped-{'dark' if dark else 'light'}")
    forgive(browser, PROBED)


@pytest.mark.parametrize("width", [1440, 1000, 870, 390])
async def test_the_field_stands_exactly_below_what_is_said(
    browser: Browser, town: ServerProcess, width: int
) -> None:
    tab = await visit(browser, town)
    await tab.page.set_viewport_size({"width": width, "height": 844})
    await tab.say("/long 3")
    await tab.answered()
    line, field = [
        await tab.page.locator(name).bounding_box()
        for name in ("[data-role=assistant] .line", "form")
    ]
    assert line is not None
    assert field is not None
    assert (line["x"], line["width"]) == (field["x"], field["width"])


async def test_nothing_moves_when_the_pointer_the_focus_or_a_banner_comes(
    browser: Browser, serve: Serve
) -> None:
    server = await serve()
    tab = await visit(browser, server)
    for count, words in enumerate(("/markdown", "/long 300 " + "and so on " * 40), 1):
        await tab.say(words)
        await tab.answered(count)
    await expect(tab.answers.first.locator("math").first).to_be_attached()
    await tab.page.mouse.move(1, 1)
    before: dict[str, str] = await tab.page.evaluate(PLACES)
    for row in await tab.page.locator("[data-key]").all():
        await row.evaluate(
            "row => row.dispatchEvent(new PointerEvent('pointerover', { bubbles: true }))"
        )
        await expect(row.locator(".actions")).to_be_visible()
        assert await tab.page.evaluate(PLACES) == before
        assert await tab.fits()
    await server.kill()
    await expect(tab.banner).to_be_visible()
    assert await tab.page.evaluate(PLACES) == before
    await browser.screenshot(tab.page, "banner")
    await tab.page.close()  # it would go on looking for the server
    forgive(browser, OUTAGE)
