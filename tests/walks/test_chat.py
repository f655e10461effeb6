"""A talk with an agent, in one tab and in several."""

import asyncio

import pytest
from playwright.async_api import Page, expect
from tests.support.browser import Browser
from tests.support.server import ServerProcess
from tests.support.upstream import DONE, ScriptedUpstream, chunk, refuse, reply, stream
from tests.walks.tab import Tab, arrive, held

pytestmark = [pytest.mark.browser, pytest.mark.slow]

LONG = "Say two hundred words."
LAST_WORD = "w199"
BESIDE_RETRY = """details => {
    const place = node => node.getBoundingClientRect()
    const retry = place(details.parentElement.querySelector('[data-testid=retry]'))
    const summary = place(details.querySelector('summary'))
    return [summary.x - retry.x, summary.y - retry.y]
}"""


async def half_an_answer(tab: Tab) -> str:
    """What stands there while an answer is being written; at least ten words of it."""
    text = tab.stream.get_by_test_id("message-text")
    await expect(text).to_contain_text("w010")
    return await text.inner_text()


async def test_an_answer_streams_in_and_is_the_same_after_a_reload(
    browser: Browser, city: ServerProcess, models: ScriptedUpstream
) -> None:
    go_on = asyncio.Event()
    models.to(LONG, held(200, go_on))
    tab = await arrive(browser, city.url)
    await tab.say(LONG)
    assert LAST_WORD not in await half_an_answer(tab)
    go_on.set()
    await tab.answered()
    await tab.say("And now?\nGood bye.")
    await tab.answered(2)
    before = await tab.log()
    assert [role for _, role, _ in before] == ["user", "assistant"] * 2
    assert before[0][2] == LONG
    assert before[1][2] == " ".join(f"w{number:03d}" for number in range(200))
    assert before[2][2] == "And now?\nGood bye."
    assert [seq for seq, *_ in before] == sorted({seq for seq, *_ in before})

    await tab.page.reload()
    await expect(tab.stored).to_have_count(4)
    assert await tab.log() == before
    await browser.screenshot(tab.page, "chat-light")

    await tab.answers.last.hover()
    await tab.answers.last.get_by_test_id("message-more").click()
    await tab.part("inspect").click()
    await expect(tab.part("told-state")).to_have_text("As it was sent")
    await expect(tab.part("told-words")).to_contain_text("And now?\nGood bye.")
    await browser.screenshot(tab.page, "told-light")


async def test_a_second_tab_of_the_same_person_sees_everything_live(
    browser: Browser, city: ServerProcess, models: ScriptedUpstream
) -> None:
    go_on = asyncio.Event()
    models.to(LONG, held(200, go_on))
    first = await arrive(browser, city.url)
    await first.new_chat(LONG)
    await half_an_answer(first)
    late = await arrive(browser, first.page.url, beside=first.page)
    seen = await half_an_answer(late)
    assert seen.startswith("w000 w001"), "the late one gets the answer from its beginning"
    assert LAST_WORD not in seen
    await late.say("said in the second tab")
    await expect(first.questions).to_have_count(2)
    go_on.set()
    await first.answered(2)
    await late.answered(2)
    assert await first.log() == await late.log()


async def test_stop_keeps_what_was_written(browser: Browser, town: ServerProcess) -> None:
    tab = await arrive(browser, town.url)
    await tab.say("/long 5000")
    await half_an_answer(tab)
    await tab.part("stop").click()
    await tab.answered(status="stopped")
    kept = (await tab.log())[1][2]
    assert kept.startswith("w000 w001")
    assert "w4999" not in kept
    await expect(tab.part("send")).to_be_visible()
    await tab.page.reload()
    await expect(tab.answers).to_have_count(1)
    assert (await tab.log())[1][2] == kept


async def test_two_questions_at_once_give_two_answers(
    browser: Browser, city: ServerProcess, models: ScriptedUpstream
) -> None:
    go_on = asyncio.Event()
    for count in (201, 101):
        models.to(f"Say {count} words.", held(count, go_on))
    tab = await arrive(browser, city.url)
    await tab.say("Say 201 words.")
    await half_an_answer(tab)
    await tab.say("Say 101 words.")
    await tab.part("stop").click()
    await expect(tab.part("menu").get_by_role("menuitem")).to_have_text(
        ["Stop all", "Assistant", "Assistant"]
    )
    await tab.page.keyboard.press("Escape")
    go_on.set()
    await tab.answered(2)
    words = sorted(len(text.split()) for _, role, text in await tab.log() if role == "assistant")
    assert words == [101, 201]


async def test_a_failed_answer_can_be_tried_again(browser: Browser, town: ServerProcess) -> None:
    tab = await arrive(browser, town.url)
    await tab.say("/fail")
    await tab.answered(status="failed")
    failed = (await tab.log())[-1][0]
    await tab.part("retry").click()
    await expect(tab.page.locator(f'[data-seq="{failed}"]')).to_have_count(0)
    await tab.answered(status="failed")
    assert (await tab.log())[-1][0] > failed


async def test_why_an_answer_failed_is_told_in_the_providers_own_words(
    browser: Browser, city: ServerProcess, models: ScriptedUpstream
) -> None:
    reason = "The model 'scripted' is resting until Monday."
    models.to("why?", refuse(402, {"error": {"message": reason, "code": "resting"}}))
    tab = await arrive(browser, city.url)
    await tab.say("why?")
    await tab.answered(status="failed")
    details = tab.answers.get_by_test_id("details")
    await expect(details).not_to_contain_text("until Monday", use_inner_text=True)
    closed = await details.evaluate(BESIDE_RETRY)
    await details.locator("summary").click()
    assert await details.evaluate(BESIDE_RETRY) == closed, "it stays under the pointer"
    await expect(details).to_contain_text(reason, use_inner_text=True)
    await expect(details).to_contain_text("provider_refused")
    await browser.screenshot(tab.page, "failed-details")


async def test_an_answer_without_a_word_says_so_and_is_tried_again(
    browser: Browser, city: ServerProcess, models: ScriptedUpstream
) -> None:
    models.to("speak", stream(chunk(finish="stop"), DONE))
    tab = await arrive(browser, city.url)
    await tab.say("speak")
    await tab.answered()
    await expect(tab.answers.get_by_test_id("answer-status")).to_contain_text("without a word")
    await browser.screenshot(tab.page, "wordless")
    models.to("speak", reply("Here", " I am."))
    await tab.part("retry").click()
    await expect(tab.answers).to_contain_text("Here I am.")
    await expect(tab.part("answer-status")).to_have_count(0)


async def test_words_of_scripts_without_spaces_are_bold_and_linked_as_readers_expect(
    browser: Browser, city: ServerProcess, models: ScriptedUpstream
) -> None:
    told = asyncio.Event()
    models.to(
        "日本語",
        stream(
            "**太字です。", told, "**この文。詳しくは https://example.com/path", "。次の文", DONE
        ),
    )
    tab = await arrive(browser, city.url)
    await tab.say("日本語")
    await expect(tab.stream.locator("strong")).to_have_text("太字です。")
    told.set()
    await tab.answered()
    await expect(tab.answers.locator("strong")).to_have_text("太字です。")
    await expect(tab.answers.locator("a")).to_have_attribute("href", "https://example.com/path")
    await tab.say("見て https://example.com/guide\uff0c详见")
    await expect(tab.questions.last.locator("a")).to_have_text("https://example.com/guide")
    await browser.screenshot(tab.page, "cjk")


async def test_the_title_of_a_new_chat_becomes_its_first_line(
    browser: Browser, town: ServerProcess
) -> None:
    tab = await arrive(browser, town.url)
    beside = await arrive(browser, town.url, beside=tab.page)
    await tab.say("A walk by the sea\nand what comes after")
    await expect(tab.part("room-title")).to_have_text("A walk by the sea")
    await expect(tab.room_item("A walk by the sea")).to_be_visible()
    await expect(beside.room_item("A walk by the sea")).to_be_visible()
    await expect(tab.page).to_have_title("A walk by the sea · Palaver")


async def test_shift_enter_makes_a_line_and_escape_leaves_the_field(
    browser: Browser, town: ServerProcess
) -> None:
    tab = await arrive(browser, town.url)
    await tab.composer.press_sequentially("one")
    await tab.composer.press("Shift+Enter")
    await tab.composer.press_sequentially("two")
    await expect(tab.composer).to_have_value("one\ntwo")
    await tab.composer.press("Escape")
    await expect(tab.composer).not_to_be_focused()
    await expect(tab.composer).to_have_value("one\ntwo")
    await tab.composer.press("Enter")
    await expect(tab.questions).to_have_count(1)
    await expect(tab.composer).to_have_value("")
    assert (await tab.log())[0][2] == "one\ntwo"


async def test_markdown_is_drawn(browser: Browser, town: ServerProcess) -> None:
    tab = await arrive(browser, town.url)
    await tab.say("/markdown")
    await tab.answered()
    await drawn(tab.page)
    await browser.screenshot(tab.page, "markdown-light")


async def drawn(page: Page) -> None:
    """Wait until the last answer is drawn to its end: a table, coloured code, and math."""
    answer = page.locator('[data-testid="message"][data-role="assistant"]').last
    await expect(answer.locator("table td").first).to_be_visible()
    await expect(answer.locator("pre code .hljs-keyword").first).to_be_visible()
    await expect(answer.locator("math").first).to_be_visible()
