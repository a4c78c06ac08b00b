"""The other pages: an environment with its terminal, prompts, usage."""

import asyncio

import pytest
from playwright.async_api import Page, expect

from tests.browser import chromium
from tests.browser.runs import World

pytestmark = [pytest.mark.browser, pytest.mark.sandbox, pytest.mark.asyncio(loop_scope="package")]


async def environment_of(world: World, name: str) -> str:
    execution = await asyncio.to_thread(world.run, name)
    return world.server.get(execution)["status"]["usedEnvironments"][0]["environmentId"]


async def screen(page: Page) -> str:
    """Return what the terminal shows."""
    return await page.locator("#terminal .xterm-rows").inner_text()


async def test_the_terminal_is_typed_into_and_goes_on_after_a_reload(page: Page, world: World):
    await page.goto(f"/environments/{await environment_of(world, 'backed')}?show=terminal")
    await expect(page.locator("#terminal-state")).to_have_text("connected")
    await page.keyboard.type("x=6; echo the answer is $((x*7))\n")
    rows = page.locator("#terminal .xterm-rows")
    await expect(rows).to_contain_text("the answer is 42")
    await chromium.picture(page, "story-terminal")
    await page.reload()
    await expect(page.locator("#terminal-state")).to_have_text("connected")
    await expect(rows).to_contain_text("the answer is 42")
    await page.keyboard.type("echo and still $x; exit 3\n")
    await expect(rows).to_contain_text("and still 6")
    await expect(page.locator("#terminal-note")).to_have_text("The shell ended with exit code 3.")


async def test_an_environment_shows_what_it_is_what_changed_and_its_log(page: Page, world: World):
    environment = await environment_of(world, "backed")
    await page.goto("/environments")
    await chromium.picture(page, "story-environments")
    await page.goto(f"/environments/{environment}")
    await expect(page.get_by_role("heading", name="What it may reach")).to_be_visible()
    await page.get_by_role("link", name="Changes").click()
    await expect(page.locator(".file")).to_contain_text("wordcount/ranking.py")
    await chromium.picture(page, "story-environment-changes")
    await page.get_by_role("link", name="Log").click()
    await expect(page.locator("#log")).not_to_be_empty()
    await chromium.picture(page, "story-environment-log")


async def test_a_prompt_is_written_found_and_deleted(page: Page):
    chromium.watch_of(page.context).allow("400")
    await page.goto("/prompts")
    await chromium.picture(page, "story-prompts-none")
    await page.get_by_role("link", name="New prompt").first.click()
    await page.get_by_label("Name").fill("Review")
    await page.get_by_label("Description").fill("Read a change with fresh eyes")
    await page.get_by_label("Text", exact=True).fill("Read the change and say what you would do otherwise.")
    await page.get_by_label("Slash command").check()
    await page.get_by_label("Command", exact=True).fill("review it")
    await page.get_by_role("button", name="Save").click()
    await expect(page.locator("#prompt-command-problem")).to_be_visible()
    await chromium.picture(page, "story-prompt-refused")
    await page.get_by_label("Command", exact=True).fill("review")
    await page.get_by_role("button", name="Save").click()
    await expect(page).to_have_title("Review · Hostler")
    await page.goto("/prompts?text=fresh+eyes")
    await expect(page.get_by_role("link", name="Review")).to_be_visible()
    await chromium.picture(page, "story-prompts")
    await page.get_by_role("link", name="Review").click()
    await page.get_by_role("button", name="Delete").click()
    await page.get_by_role("button", name="Delete it").click()
    await expect(page).to_have_url("/prompts")
    await expect(page.get_by_role("link", name="Review")).to_have_count(0)


async def test_usage_is_a_chart(page: Page, world: World):
    await asyncio.to_thread(world.run, "backed")
    await page.goto("/usage")
    await expect(page.get_by_role("heading", level=1, name="Usage")).to_be_visible()
    await expect(page.locator("svg").first).to_be_visible()
    await chromium.picture(page, "story-usage")
