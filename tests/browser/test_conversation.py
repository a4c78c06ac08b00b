"""One conversation as it happens: watched, answered, steered, stopped, and taken up again after the server died."""

import asyncio
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, expect

from tests.browser import chromium, scripts
from tests.browser.runs import World
from tests.browser.signing import sign_in

pytestmark = [pytest.mark.browser, pytest.mark.sandbox, pytest.mark.asyncio(loop_scope="package")]


async def opened(page: Page, execution: str) -> None:
    """Open a conversation and wait until it is live."""
    await page.goto(f"/executions/{execution}")
    await live(page)


async def live(page: Page) -> None:
    await expect(page.locator("#live")).to_have_text("Live")


async def feed(page: Page) -> list[list[str]]:
    """Return (id, text) of every item on the page, without the times, which count."""
    return await page.evaluate(
        """() => [...document.querySelectorAll('#feed > *')].map(item => {
          const copy = item.cloneNode(true);
          for (const time of copy.querySelectorAll('time')) time.remove();
          return [item.id, copy.textContent.replace(/\\s+/g, ' ').trim()];
        })"""
    )


async def same_as_anew(page: Page) -> None:
    """What came piece by piece is what the server shows to somebody who comes now: no gap, nothing twice.

    It is asked again while something may still be on its way.
    """
    came, anew = [["", ""]], list[list[str]]()
    other = await page.context.new_page()
    for _ in range(20):
        await other.goto(page.url)
        await live(other)
        came, anew = await feed(page), await feed(other)
        if came == anew:
            break
    await other.close()
    assert came == anew
    ids = [id_ for id_, _ in came]
    assert len(set(ids)) == len(ids)


async def test_a_run_is_watched_from_start_to_end(page: Page, world: World):
    execution = world.server.start_agent("", world.repository, metadata={})
    await opened(page, execution)
    await chromium.picture(page, "story-nothing-said-yet")
    await page.get_by_label("Message to the agent").fill(scripts.STREAMED)
    await page.keyboard.press("Enter")
    said = page.locator("#feed .say")
    await expect(said).to_contain_text("A guide for newcomers")
    await expect(page.locator("#state")).to_have_text("Working")
    await expect(said).not_to_contain_text("welcome at any time")
    await chromium.picture(page, "story-text-arrives")
    (world.folder / "stream").touch()
    await expect(said).to_contain_text("welcome at any time")
    await expect(said.locator("strong")).to_have_text("wordcount")
    await expect(page.locator("#feed .end")).to_contain_text("Turn ended")
    await page.get_by_label("Message to the agent").fill(scripts.BACKED)
    await page.keyboard.press("Enter")
    await expect(page.locator("#feed").get_by_text("all 5 tests pass now")).to_be_visible()
    await expect(page.locator("#verdict")).to_contain_text("Backed by checks")
    await expect(page.locator("#feed .change .plus").first).to_have_text("+1")
    await expect(page.locator("#feed .end")).to_have_count(2)
    await chromium.picture(page, "story-watched-to-the-end")
    await same_as_anew(page)


async def test_a_question_is_answered_on_its_card(page: Page, world: World):
    execution = await asyncio.to_thread(world.new, scripts.ASKING)
    await opened(page, execution)
    card = page.get_by_role("region", name="Question")
    await expect(card.get_by_text("How should the words be shown?")).to_be_visible()
    await expect(page.locator("#waits")).to_contain_text("our answer: How should the words")
    await card.get_by_role("button", name="Answer").click()
    await expect(card.get_by_role("alert")).to_have_text("Please choose or write an answer.")
    await card.get_by_text("A bar chart").click()
    await chromium.picture(page, "story-question")
    await card.get_by_role("button", name="Answer").click()
    await expect(page.locator("#feed").get_by_text("I take that way.")).to_be_visible()
    await expect(card.get_by_role("heading")).to_have_text("Answered")
    await expect(card).to_contain_text("A bar chart")
    await chromium.picture(page, "story-question-answered")
    await same_as_anew(page)


async def test_a_queue_is_reordered_edited_and_thinned_out(page: Page, world: World):
    execution = await asyncio.to_thread(world.run, "running")
    await opened(page, execution)
    for text in scripts.TYPES:
        await page.get_by_label("Message to the agent").fill(text)
        await page.keyboard.press("Enter")
        await expect(page.locator("#queue")).to_contain_text(text)
    rows = page.locator("#queue [data-input]")
    await rows.nth(2).get_by_role("button", name="Move up").click()
    await expect(rows.nth(1)).to_contain_text("Last, list")
    await rows.nth(0).get_by_role("button", name="Move down").focus()
    await page.keyboard.press("Enter")
    await expect(rows.nth(0)).to_contain_text("Last, list")
    await chromium.picture(page, "story-queue")
    await rows.nth(2).get_by_role("button", name="Edit").click()
    await page.get_by_label("Edit the queued message").fill("Then update the README and the notes.")
    await chromium.picture(page, "story-queue-edited", looks=("light", "phone"))
    await page.keyboard.press("Enter")
    await expect(rows.nth(2)).to_contain_text("and the notes.")
    await rows.nth(1).get_by_role("button", name="Delete").click()
    await expect(rows).to_have_count(2)
    await asyncio.to_thread(world.go, execution)
    await expect(page.locator("#queue [data-input]")).to_have_count(0)
    await expect(page.locator("#feed").get_by_text("Nothing is open.")).to_be_visible()
    await expect(page.locator("#feed").get_by_text("The README says so now.")).to_be_visible()
    inputs = [text for _, text in await feed(page) if "Last, list" in text or "and the notes" in text]
    assert ["Last, list" in text for text in inputs] == [True, False]
    await same_as_anew(page)
    del world.made["running"]


async def test_a_run_is_stopped_and_continued(page: Page, world: World):
    execution = await asyncio.to_thread(world.new, scripts.SLOW)
    world.until_log(execution, "ToolStarted")
    await opened(page, execution)
    await expect(page.locator("#feed").get_by_text("until [ -e .git/go ]").first).to_be_visible()
    await page.get_by_role("button", name="Stop").click()
    await expect(page.locator("#state")).to_have_text("Stopped")
    await expect(page.locator("#feed .end")).to_contain_text("Stopped on request")
    await chromium.picture(page, "story-stopped")
    await page.get_by_label("Message to the agent").fill("run the command echo going on")
    await page.keyboard.press("Enter")
    await expect(page.locator("#feed").get_by_text("The suite ran 40 cases")).to_be_visible()
    await same_as_anew(page)


async def test_a_refused_host_is_allowed_on_its_card(page: Page, world: World):
    execution = await asyncio.to_thread(world.new, scripts.REFUSED)
    await opened(page, execution)
    card = page.get_by_role("region", name="Refused host")
    await expect(card).to_contain_text("stopwords.example.net")
    await chromium.picture(page, "story-refused-host")
    await card.get_by_role("button", name="Allow once").click()
    await expect(card).to_contain_text("is allowed until the environment stops")
    await chromium.picture(page, "story-host-allowed", looks=("light",))


async def test_a_next_step_is_chosen(page: Page, world: World):
    execution = await asyncio.to_thread(world.new, scripts.EXPLAIN)
    await opened(page, execution)
    await expect(page.get_by_role("table")).to_be_visible()
    await page.get_by_role("button", name="Show the ten most frequent words").click()
    await expect(page.locator("#feed").get_by_text("That is done.")).to_be_visible()
    await expect(page.get_by_role("button", name="Show the ten most frequent words")).to_have_count(0)
    await same_as_anew(page)


async def test_a_page_finds_its_place_again_after_the_server_was_killed(chrome: Browser, place: Path):
    world = await asyncio.to_thread(World(place).start)
    try:
        await _killed(chrome, world)
    finally:
        world.close()


async def _killed(chrome: Browser, world: World) -> None:
    execution = await asyncio.to_thread(world.new, scripts.STREAMED)
    world.server.until(lambda: (world.folder / "streaming").exists())
    async with chromium.window(chrome, world.server.url) as context:
        await sign_in(context, world.server)
        page = await context.new_page()
        chromium.watch_of(context).allow("net::ERR_", "network error")
        await opened(page, execution)
        await expect(page.locator("#feed .say")).to_contain_text("A guide for newcomers")
        states = await page.evaluate_handle(
            """() => { const seen = [], badge = document.getElementById('live');
            new MutationObserver(() => { if (seen.at(-1) !== badge.dataset.is) seen.push(badge.dataset.is); })
              .observe(badge, {attributes: true, childList: true}); return seen; }"""
        )
        world.server.port = int(world.server.url.rpartition(":")[2])
        world.server.kill()
        await expect(page.locator("#live")).to_contain_text("Offline since")
        await chromium.picture(page, "story-offline")
        (world.folder / "stream").touch()
        await asyncio.to_thread(world.server.start)
        await live(page)
        assert await states.json_value() == ["off", "catching", "live"]
        await expect(page.locator("#feed").get_by_text("welcome at any time")).to_be_visible()
        await expect(page.locator("#feed .end")).to_contain_text("Turn ended")
        await expect(page.locator("#feed").get_by_text("The server was restarted")).to_be_visible()
        await chromium.picture(page, "story-reconnected")
        await same_as_anew(page)
