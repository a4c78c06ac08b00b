"""The page of all executions, with the keyboard alone."""

import asyncio

import pytest
from playwright.async_api import Page, expect

from tests.browser import chromium
from tests.browser.runs import World

pytestmark = [pytest.mark.browser, pytest.mark.sandbox, pytest.mark.asyncio(loop_scope="package")]


async def test_everything_on_the_list_can_be_done_with_the_keyboard(page: Page, world: World):
    for name in ("backed", "question", "running"):
        await asyncio.to_thread(world.run, name)
    await page.goto("/")
    await expect(page.get_by_role("region", name="Needs input")).to_contain_text("Make the output nicer")
    await expect(page.get_by_role("region", name="Working")).to_contain_text("Run the slow integration suite")
    await expect(page.get_by_role("region", name="Done")).to_contain_text("The tests fail")
    await chromium.picture(page, "story-list", full=True)
    await page.keyboard.press("j")
    first = await page.evaluate("document.activeElement.closest('[data-id]')?.dataset.id")
    await page.keyboard.press("j")
    second = await page.evaluate("document.activeElement.closest('[data-id]')?.dataset.id")
    assert first
    assert second not in ("", None, first)
    await chromium.picture(page, "story-list-keyboard", looks=("light",))
    await page.keyboard.press("k")
    assert await page.evaluate("document.activeElement.closest('[data-id]')?.dataset.id") == first
    await page.keyboard.press("?")
    await expect(page.get_by_role("dialog", name="Keyboard")).to_be_visible()
    await page.keyboard.press("Escape")
    await page.keyboard.press("/")
    await page.keyboard.type(world.run("running"))
    await page.keyboard.press("Enter")
    await expect(page).to_have_url(f"{world.server.url}/?text={world.run('running')}")
    await expect(page.locator("[data-id]")).to_have_count(1)
    await page.keyboard.press("j")
    await page.keyboard.press("Enter")
    await expect(page).to_have_url(f"{world.server.url}/executions/{world.run('running')}")


async def test_a_run_is_started_and_stopped_from_the_list_with_the_keyboard(page: Page, world: World):
    await page.goto("/")
    await page.keyboard.press("n")
    form = page.get_by_role("dialog", name="New execution")
    await expect(form).to_be_visible()
    await page.keyboard.type("run the command sleep 600 # started from the list")
    await form.get_by_label("Where?").select_option("none")
    await chromium.picture(page, "story-list-new")
    await form.get_by_role("button", name="Start").click()
    await page.wait_for_url("**/executions/*")
    execution = page.url.rpartition("/")[2]
    world.until_log(execution, "ToolStarted")
    await page.goto("/?text=started+from+the+list")
    row = page.locator(f"#run-{execution}")
    await expect(row).to_have_attribute("data-stoppable", "yes")
    await page.keyboard.press("j")
    await page.keyboard.press("x")
    await expect(page.get_by_role("dialog", name="Stop this execution?")).to_be_visible()
    await chromium.picture(page, "story-list-stop")
    await page.get_by_role("button", name="Stop it").click()
    await expect(row).to_contain_text("Stopped")
    world.until_log(execution, "Stopped")


async def test_a_list_that_finds_nothing_says_so_and_leads_back(page: Page):
    await page.goto("/?text=nothing+is+called+like+this")
    await expect(page.get_by_role("heading", name="No execution matches")).to_be_visible()
    await page.get_by_role("link", name="Show all executions").click()
    await expect(page.get_by_role("heading", name="Executions", exact=True)).to_be_visible()
