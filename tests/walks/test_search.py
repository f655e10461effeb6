"""What was said is found: by a few letters and one key, in a list that stays as it was left, and within one chat."""

import re
from itertools import count

import pytest
from playwright.async_api import expect
from tests.support.browser import Browser
from tests.support.server import Serve, ServerProcess
from tests.walks.tab import MISSING, OUTAGE, Tab, arrive, forgive
from tests.walks.test_measures import FAINT, TEXT_CONTRAST_MIN
from tests.walks.test_rooms import NOTE_HIGHLIGHTS, someone_with_rooms

pytestmark = [pytest.mark.browser, pytest.mark.slow]

NUMBERS = count()
CHINESE = "我们星期二下午发布新的计划"
CODE = "```python\ndef load_user_profile(key):\n    return key\n```"
SENTENCE = "The ninth train leaves from **platform four** at noon"
ARABIC = "القطار يغادر من الرصيف الرابع"
HIGHLIGHTED = """
here => ['found', 'found-here'].slice(here ? 1 : 0)
  .flatMap(name => [...(CSS.highlights.get(name) ?? [])])
  .map(range => [range.toString(), Number(range.startContainer.parentElement.closest('[data-seq]').dataset.seq)])
"""
TOO_LONG = re.compile("status of 400")
FIRST_IS_SEEN = """
() => {
  const [range] = CSS.highlights.get('found-here') ?? []
  const [found, list] = [range, document.querySelector('[data-testid=message-list]')].map(
    one => one?.getBoundingClientRect())
  return !!found && found.top > list.top + 40 && found.bottom < list.bottom
}
"""
SCROLLED = (
    "() => document.querySelector('[data-testid=search] [data-testid=hit]')"
    ".closest('.scroller').scrollTop"
)


async def room_with(tab: Tab, server: ServerProcess, title: str, *texts: str) -> list[int]:
    """Say these in one of the chats, as a program does, and tell the seqs."""
    room = await tab.room_item(title).get_attribute("data-room")
    seqs: list[int] = []
    for text in texts:
        sent = await tab.page.request.post(
            f"{server.url}/api/rooms/{room}/messages",
            data={"cid": f"said-{next(NUMBERS)}", "text": text},
        )
        assert sent.status == 201
        seqs.append((await sent.json())["seq"])
    return seqs


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("计划", CHINESE),
        ("load_user_pro*", CODE),
        ("load_user_pro", CODE),
        ("train leaves from", SENTENCE),
        ("ninth train leaves from pl", SENTENCE),
    ],
)
async def test_a_few_letters_and_one_key_lead_to_the_message(
    browser: Browser, city: ServerProcess, typed: str, said: str
) -> None:
    tab = await someone_with_rooms(browser, city, "Garden", "Launch")
    await room_with(tab, city, "Garden", "Nothing of that", *["More of nothing"] * 3)
    (seq,) = await room_with(tab, city, "Launch", said)
    await room_with(tab, city, "Launch", *["And then /long talk"] * 3)
    await tab.page.evaluate(f"() => {{ {NOTE_HIGHLIGHTS} }}")
    await tab.page.keyboard.press("Control+k")
    await tab.page.keyboard.type(typed)
    await expect(tab.part("palette-message")).to_have_count(1)
    await browser.screenshot(tab.page, "palette-messages")
    await tab.page.keyboard.press("Enter")
    target = tab.page.locator(f'[data-seq="{seq}"]')
    await expect(target).to_be_in_viewport()
    await expect(target).to_be_focused()
    await expect(tab.part("room-title")).to_have_text("Launch")
    await expect(tab.page).to_have_url(re.compile(f"/r/\\w+/{seq}$"))
    await tab.page.wait_for_function("seq => window.highlighted.has(`${seq}`)", arg=seq)


async def test_enter_right_after_the_last_letter_waits_for_the_message(
    browser: Browser, city: ServerProcess
) -> None:
    tab = await someone_with_rooms(browser, city, "Launch")
    (seq,) = await room_with(tab, city, "Launch", SENTENCE)
    await tab.page.keyboard.press("Control+k")
    await tab.part("palette-input").fill("ninth train")
    await tab.page.keyboard.press("Enter")
    await expect(tab.page.locator(f'[data-seq="{seq}"]')).to_be_focused()


async def test_the_palette_leads_to_all_that_was_found(
    browser: Browser, city: ServerProcess
) -> None:
    tab = await someone_with_rooms(browser, city, "Garden", "Launch")
    await room_with(tab, city, "Garden", *[f"{SENTENCE} {number}" for number in range(7)])
    await tab.room_item("Launch").click()
    await tab.page.keyboard.press("Control+k")
    await tab.page.keyboard.type("t")
    await tab.page.keyboard.type("rain")
    await expect(tab.part("palette-message")).to_have_count(5)
    await expect(tab.part("palette-message").first).to_contain_text("noon 6")
    await browser.screenshot(tab.page, "palette-all")
    await tab.part("palette-all").click()
    await expect(tab.part("search-input")).to_have_value("train")
    await expect(tab.part("search-input")).to_be_focused()
    await expect(tab.part("hit")).to_have_count(7)
    await expect(tab.part("search-status")).to_have_text("7 messages")
    await tab.part("close").click()
    await expect(tab.part("room-title")).to_have_text("Launch")
    await expect(tab.part("search")).to_have_count(0)


async def test_half_a_word_finds_the_same_wherever_one_looks(
    browser: Browser, city: ServerProcess
) -> None:
    tab = await someone_with_rooms(browser, city, "Launch")
    await room_with(tab, city, "Launch", SENTENCE, "A platform without trains", "No plan")
    await tab.room_item("Launch").click()
    await tab.page.keyboard.press("Control+k")
    await tab.part("palette-input").fill("platf")
    await expect(tab.part("palette-message")).to_have_count(2)
    await tab.part("palette-all").click()
    await expect(tab.part("hit")).to_have_count(2)
    await tab.part("search-input").press_sequentially("orm fo")
    await expect(tab.part("hit")).to_have_count(1)
    await tab.part("search-input").fill("platf ")
    await expect(tab.part("search-status")).to_contain_text("Nothing was found for")
    await tab.page.reload()
    await expect(tab.part("search-status")).to_contain_text("Nothing was found for")
    await tab.part("close").click()
    await tab.page.keyboard.press("Control+f")
    await tab.part("find-input").fill("platf")
    await expect(tab.part("find-count")).to_have_text("1 of 2")


async def test_where_nothing_is_found_the_palette_says_so_and_leads_on(
    browser: Browser, city: ServerProcess
) -> None:
    tab = await someone_with_rooms(browser, city, "Launch")
    await tab.page.keyboard.press("Control+k")
    await tab.part("palette-input").fill("zebras")
    await expect(tab.part("palette-none")).to_have_text("No chat, message or action was found.")
    await browser.screenshot(tab.page, "palette-none")
    await tab.part("palette-all").click()
    await expect(tab.part("search-status")).to_contain_text("Nothing was found for")


async def test_a_search_that_would_fail_again_offers_no_other_try(
    browser: Browser, city: ServerProcess
) -> None:
    tab = await someone_with_rooms(browser, city, "Launch")
    forgive(browser, TOO_LONG)
    await tab.page.goto(f"{city.url}/search?q={'+'.join(['a1'] * 33)}")
    await expect(tab.part("search-problem")).to_be_visible()
    await expect(tab.part("search-problem").get_by_role("button")).to_have_count(0)


@pytest.mark.parametrize("door", ["search", "palette", "find"])
async def test_in_a_long_message_the_word_is_seen_and_marked(
    browser: Browser, city: ServerProcess, door: str
) -> None:
    tab = await someone_with_rooms(browser, city, "Garden", "Launch")
    long = "\n\n".join(f"Paragraph {at}" + " of a zebra" * (at in {40, 80}) for at in range(120))
    (seq,) = await room_with(tab, city, "Launch", long)
    await room_with(tab, city, "Launch", *["x\n" * 60] * 2)
    if door == "search":
        await tab.page.goto(f"{city.url}/search?q=zebra")
        await tab.part("hit").click()
    elif door == "palette":
        await tab.page.keyboard.press("Control+k")
        await tab.part("palette-input").fill("zebra")
        await expect(tab.part("palette-message")).to_have_count(1)
        await tab.page.keyboard.press("Enter")
    else:
        await tab.room_item("Launch").click()
        await tab.page.keyboard.press("Control+f")
        await tab.part("find-input").fill("zebra")
    await expect(tab.page).to_have_url(re.compile(f"/{seq}$"))
    await tab.page.wait_for_function(FIRST_IS_SEEN)
    marked: list[tuple[str, int]] = await tab.page.evaluate(HIGHLIGHTED, "here")
    assert marked == [["zebra", seq]] * 2
    await browser.screenshot(tab.page, f"found-{door}")
    if door == "find":
        await tab.page.keyboard.press("Enter")
        await tab.page.wait_for_function(FIRST_IS_SEEN)
    else:
        await tab.room_item("Garden").click()
        await expect(tab.part("room-title")).to_have_text("Garden")
        assert await tab.page.evaluate(HIGHLIGHTED) == []


async def test_from_the_field_one_goes_into_the_message_and_on(
    browser: Browser, city: ServerProcess
) -> None:
    tab = await someone_with_rooms(browser, city, "Launch")
    seqs = await room_with(tab, city, "Launch", SENTENCE, "x\n" * 60, SENTENCE, "x\n" * 28)
    older, newer = [tab.page.locator(f'[data-seq="{seqs[at]}"]') for at in (0, 2)]
    await tab.room_item("Launch").click()
    await tab.page.keyboard.press("Control+f")
    await expect(tab.part("find-earlier")).to_be_disabled()
    await tab.part("find-input").fill("train")
    await expect(tab.part("find-count")).to_have_text("1 of 2")
    await expect(tab.part("find-earlier")).to_be_enabled()
    await tab.page.keyboard.press("ArrowDown")
    await expect(newer).to_be_focused()
    await tab.page.keyboard.press("n")
    await expect(older).to_be_focused()
    bar, row = await tab.part("find").bounding_box(), await older.bounding_box()
    assert bar is not None
    assert row is not None
    assert row["y"] >= bar["y"] + bar["height"]
    await tab.part("find-input").focus()
    await tab.page.keyboard.press("Enter")
    await expect(tab.part("find-count")).to_have_text("1 of 2")
    await tab.page.keyboard.press("Escape")
    await expect(newer).to_be_focused()


async def test_back_from_a_message_leads_to_the_list_as_it_was(
    browser: Browser, city: ServerProcess
) -> None:
    tab = await someone_with_rooms(browser, city, "Garden", "Launch")
    await room_with(tab, city, "Garden", *[f"An older train {number}" for number in range(28)])
    seqs = await room_with(tab, city, "Launch", *[f"A train {number}" for number in range(4)])
    await tab.page.goto(f"{city.url}/search?q=train")
    chats = tab.part("search-chat")
    await expect(tab.part("hit")).to_have_count(20)
    await expect(tab.part("search-status")).to_have_text("20+ messages")
    await expect(chats.nth(0)).to_contain_text("Launch")
    await expect(chats.nth(1)).to_contain_text("Garden")
    await tab.part("search-input").press("ArrowDown")
    await expect(tab.part("hit").first).to_be_focused()
    await tab.page.keyboard.press("End")
    await expect(tab.part("hit")).to_have_count(32)
    await expect(tab.part("search-status")).to_have_text("32 messages")
    await tab.page.keyboard.press("End")
    await tab.page.keyboard.press("ArrowUp")
    wanted = tab.part("hit").nth(30)
    await expect(wanted).to_be_focused()
    await expect(wanted).to_be_in_viewport()
    before: float = await tab.page.evaluate(SCROLLED)
    assert before > 0
    asked: list[str] = []
    tab.page.on("request", lambda request: asked.append(request.url))
    await tab.page.keyboard.press("Enter")
    await expect(tab.part("room-title")).to_have_text("Garden")
    await tab.page.go_back()
    await expect(wanted).to_be_focused()
    await expect(tab.part("hit")).to_have_count(32)
    assert await tab.page.evaluate(SCROLLED) == before
    assert [url for url in asked if "/api/search" in url] == []
    await tab.part("hit").first.click()
    await expect(tab.page.locator(f'[data-seq="{seqs[-1]}"]')).to_be_focused()


async def test_chips_read_and_write_what_is_looked_for(
    browser: Browser, city: ServerProcess
) -> None:
    tab = await someone_with_rooms(browser, city, "Garden", "Launch party")
    await room_with(tab, city, "Garden", "The train", "https://example.org/ about a train")
    await room_with(tab, city, "Launch party", "Another train")
    await tab.page.goto(f"{city.url}/search")
    field = tab.part("search-input")
    await expect(field).to_be_focused()
    await expect(tab.part("search-status")).to_contain_text("In quotes")
    await field.fill("train")
    await expect(tab.part("hit")).to_have_count(3)

    await tab.part("chip-in").click()
    await tab.page.get_by_role("menuitem", name="Launch party").click()
    await expect(field).to_have_value('train in:"Launch party"')
    await expect(tab.part("chip-in")).to_have_text("In Launch party")
    await expect(tab.part("hit")).to_have_count(1)
    await tab.part("chip-has").click()
    await tab.page.get_by_role("menuitem", name="link").click()
    await expect(tab.part("chip-has")).to_have_text("Has link")
    await expect(tab.part("search-status")).to_contain_text("Nothing was found for train")
    await browser.screenshot(tab.page, "search-none")
    await tab.part("search-everywhere").click()
    await expect(field).to_have_value("train has:link")
    await expect(tab.part("hit")).to_have_count(1)
    await expect(tab.part("chip-in")).to_have_text("In")


async def test_chips_say_who_and_when_and_the_order_stays(
    browser: Browser, city: ServerProcess
) -> None:
    tab = await someone_with_rooms(browser, city, "Garden", "Launch party")
    await room_with(tab, city, "Garden", "The train", "https://example.org/ about a train")
    await room_with(tab, city, "Launch party", "Another train")
    await tab.page.goto(f"{city.url}/search?q=train")
    field = tab.part("search-input")
    await expect(tab.part("hit")).to_have_count(3)
    await tab.part("chip-from").click()
    await tab.page.get_by_role("menuitem", name="Assistant").click()
    await expect(field).to_have_value("train from:@assistant")
    await expect(tab.part("chip-from")).to_have_text("From @assistant")
    await field.fill("train from:me after:30d")
    await expect(tab.part("hit")).to_have_count(3)
    await expect(tab.part("chip-from")).to_have_text("From me")
    await expect(tab.part("chip-when")).to_have_text("When Last 30 days")
    await tab.part("chip-when").click()
    await tab.part("chip-when-any").click()
    await expect(field).to_have_value("train from:me")
    await tab.part("search-sort").click()
    await tab.part("sort-best").click()
    await expect(tab.part("search-sort")).to_have_text("Best")
    await expect(tab.page).to_have_url(re.compile(r"/search\?q=train\+from%3Ame&sort=best$"))
    await expect(tab.part("hit")).to_have_count(3)
    await tab.page.reload()
    await expect(tab.part("search-sort")).to_have_text("Best")
    await expect(tab.part("hit")).to_have_count(3)


async def test_an_address_may_ask_one_chat_alone_and_says_what_is_wrong(
    browser: Browser, city: ServerProcess
) -> None:
    tab = await someone_with_rooms(browser, city, "Garden", "Launch")
    await room_with(tab, city, "Garden", "The train")
    await room_with(tab, city, "Launch", "Another train")
    room = await tab.room_item("Garden").get_attribute("data-room")
    await tab.page.goto(f"{city.url}/search?q=train&in={room}")
    await expect(tab.part("hit")).to_have_count(1)
    await expect(tab.part("chip-in")).to_have_text("In Garden")
    await tab.part("search-input").fill("another")
    await tab.part("search-everywhere").click()
    await expect(tab.part("hit")).to_contain_text("Another train")
    await expect(tab.page).to_have_url(re.compile(r"/search\?q=another$"))
    forgive(browser, MISSING)
    await tab.page.goto(f"{city.url}/search?q=train&in=r_nowhere")
    await expect(tab.part("search-problem")).to_contain_text("There is no such chat")
    await expect(tab.part("hit")).to_have_count(0)


async def test_what_was_written_waits_while_the_palette_is_open(
    browser: Browser, city: ServerProcess
) -> None:
    tab = await someone_with_rooms(browser, city, "Garden")
    await room_with(tab, city, "Garden", "The train", "The bus")
    await tab.page.goto(f"{city.url}/search?q=train")
    await expect(tab.part("hit")).to_have_count(1)
    await tab.part("search-input").fill("the")
    await tab.page.keyboard.press("Control+k")
    for words in ("bus", "train"):  # longer than it waits for the next letter
        await tab.part("palette-input").fill(words)
        await expect(tab.part("palette-message")).to_contain_text(f"The {words}")
    await tab.page.keyboard.press("Escape")
    await expect(tab.part("hit")).to_have_count(2)
    await expect(tab.part("search-input")).to_be_focused()
    await expect(tab.page).to_have_url(re.compile("q=the$"))


async def test_in_a_chat_one_steps_from_message_to_message_that_has_the_words(
    browser: Browser, city: ServerProcess
) -> None:
    tab = await someone_with_rooms(browser, city, "Garden", "Launch")
    await room_with(tab, city, "Garden", "Another train")
    seqs = await room_with(
        tab,
        city,
        "Launch",
        SENTENCE,
        *["and so on\n" * 30] * 3,
        "No t**rai**n, ```train```",
        "x\n" * 60,
    )
    await tab.room_item("Launch").click()
    await expect(tab.questions.last).to_be_in_viewport()
    composer = await tab.composer.bounding_box()
    await tab.composer.focus()
    await tab.page.keyboard.press("Control+f")
    await expect(tab.part("find-input")).to_be_focused()
    assert await tab.composer.bounding_box() == composer
    await tab.page.keyboard.type("train")
    found = tab.part("find-count")
    await expect(found).to_have_text("1 of 2")
    newer, older = [tab.page.locator(f'[data-seq="{seqs[at]}"]') for at in (4, 0)]
    await expect(newer).to_be_in_viewport()
    await tab.page.wait_for_function(
        f"seq => ({HIGHLIGHTED})().some(([, at]) => at === seq)", arg=seqs[4]
    )
    await browser.screenshot(tab.page, "find")
    await tab.page.keyboard.press("Enter")
    await expect(found).to_have_text("2 of 2")
    await expect(older).to_be_in_viewport()
    await expect(newer).not_to_be_in_viewport()
    marked: list[tuple[str, int]] = await tab.page.evaluate(HIGHLIGHTED)
    assert ["train", seqs[0]] in marked
    assert await tab.page.evaluate(HIGHLIGHTED, "here") == [["train", seqs[0]]]
    assert {words.lower() for words, _ in marked} == {"train"}
    await tab.page.keyboard.press("Shift+Enter")
    await expect(found).to_have_text("1 of 2")
    await expect(newer).to_be_in_viewport()
    await tab.part("find-later").click()
    await expect(found).to_have_text("2 of 2")
    await older.focus()
    await tab.page.keyboard.press("n")
    await expect(found).to_have_text("1 of 2")
    await expect(newer).to_be_in_viewport()
    await tab.part("find-input").fill("nowhere")
    await expect(found).to_have_text("Nothing was found.")
    await tab.part("find-input").press("Escape")
    await expect(tab.part("find")).to_have_count(0)
    await expect(tab.composer).to_be_focused()
    assert await tab.page.evaluate(HIGHLIGHTED) == []


async def test_what_is_not_complete_says_so(browser: Browser, serve: Serve) -> None:
    server = await serve()
    tab = await someone_with_rooms(browser, server, "Launch")
    await room_with(tab, server, "Launch", "A train")
    await server.term()
    for file in server.data.glob("palaver.db-search.db*"):
        file.unlink()
    (server.data / "palaver.db-search.db").mkdir()  # so no index can be made
    forgive(browser, OUTAGE)
    await server.start()
    await tab.page.goto(f"{server.url}/search?q=train")
    await expect(tab.part("hit").first).to_be_visible()
    await expect(tab.part("search-missing")).to_contain_text("Older messages may be missing")
    await browser.screenshot(tab.page, "search-missing")
    await tab.room_item("Launch").click()
    await tab.page.keyboard.press("Control+f")
    await tab.part("find-input").fill("train")
    await expect(tab.part("find-count")).to_contain_text("Not complete")


@pytest.mark.parametrize("dark", [False, True])
async def test_what_is_found_can_be_read_by_everyone(
    browser: Browser, city: ServerProcess, *, dark: bool
) -> None:
    tab = await arrive(browser, city.url, dark=dark)
    made = await tab.page.request.post(f"{city.url}/api/rooms", data={"title": "发布"})
    assert made.status == 201
    await expect(tab.room_item("发布")).to_be_visible()
    texts = [SENTENCE, f"{CHINESE} train", f"{ARABIC} train " * 12, "train " * 80]
    await room_with(tab, city, "发布", *texts)
    name = "dark" if dark else "light"
    for width in (1440, 390):
        await tab.page.set_viewport_size({"width": width, "height": 900})
        await tab.page.goto(f"{city.url}/search?q=train+from:me")
        await expect(tab.part("hit")).to_have_count(4)
        assert await tab.page.evaluate(FAINT, TEXT_CONTRAST_MIN) == []
        assert await tab.barriers() == []
        assert await tab.fits()
        await browser.screenshot(tab.page, f"search-{width}-{name}")
        await tab.page.keyboard.press("Control+k")
        await tab.part("palette-input").fill("train")
        await expect(tab.part("palette-message").first).to_be_visible()
        assert await tab.page.evaluate(FAINT, TEXT_CONTRAST_MIN) == []
        assert await tab.barriers() == []
        await browser.screenshot(tab.page, f"search-palette-{width}-{name}")
        await tab.page.keyboard.press("Enter")
        await expect(tab.part("message-list")).to_be_visible()
        await tab.page.keyboard.press("Control+f")
        await tab.part("find-input").fill("train from:me")
        await expect(tab.part("find-count")).to_contain_text("1 of 4")
        assert await tab.page.evaluate(FAINT, TEXT_CONTRAST_MIN) == []
        assert await tab.barriers() == []
        assert await tab.fits()
        await browser.screenshot(tab.page, f"search-find-{width}-{name}")
