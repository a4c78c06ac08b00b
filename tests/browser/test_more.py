"""The rest of what a person does with a conversation: long ones, a phone, sharing, taking it along."""

import asyncio
import base64
import re

import pytest
from playwright.async_api import Browser, Page, expect

from tests.browser import chromium, scripts
from tests.browser.runs import World
from tests.browser.test_conversation import feed, live, opened
from tests.corpus.logs import png

pytestmark = [pytest.mark.browser, pytest.mark.sandbox, pytest.mark.asyncio(loop_scope="package")]


async def test_a_conversation_of_3000_events_opens_at_its_end_and_loads_what_is_older_on_demand(
    page: Page, world: World
):
    await opened(page, world.run("long"))
    shown = await feed(page)
    assert len(shown) < 100
    assert "Turn ended" in "".join(text for _, text in shown[-3:])
    await expect(page.locator("#feed > *").last).to_be_in_viewport()
    await chromium.picture(page, "story-long")
    last = shown[-1]
    await page.get_by_role("button", name="Show earlier").click()
    await page.wait_for_function("count => document.querySelectorAll('#feed > *').length > count", arg=len(shown))
    more = await feed(page)
    assert more[-len(shown) :] == shown
    assert more[-1] == last
    ids = [id_ for id_, _ in more]
    assert len(set(ids)) == len(ids)


async def test_a_long_output_is_folded_and_loaded_on_demand(page: Page, world: World):
    execution = await asyncio.to_thread(world.new, "run the command seq 1 5000")
    await opened(page, execution)
    action = page.locator("#feed details.act")
    await action.locator("summary").click()
    await expect(action).to_contain_text("more lines")
    assert "2500" not in await action.inner_text()
    await action.get_by_role("button", name=re.compile("Show all")).click()
    await expect(action).to_contain_text("2500")


async def test_every_page_fits_a_phone_and_can_be_listened_to(phone: Page, world: World):
    execution = await asyncio.to_thread(world.run, "backed")
    environment = world.server.get(execution)["status"]["usedEnvironments"][0]["environmentId"]
    paths = {
        "list": "/",
        "conversation": f"/executions/{execution}",
        "explained": f"/executions/{await asyncio.to_thread(world.run, 'explained')}",
        "codex": f"/executions/{world.run('codex')}",
        "environments": "/environments",
        "environment": f"/environments/{environment}",
        "prompts": "/prompts",
        "prompt": "/prompts/new",
        "changes": f"/executions/{execution}/changes",
        "visitor": f"/executions/{execution}?as=visitor",
        "log": f"/environments/{environment}?show=log",
        "usage": "/usage",
    }
    faults: dict[str, list[str]] = {}
    for name, path in paths.items():
        await phone.goto(path)
        await chromium.picture(phone, f"story-phone-{name}", looks=("phone",))
        if found := [*await chromium.spills(phone), *await chromium.deaf(phone)]:
            faults[name] = found
    assert not faults


async def test_a_picture_is_sent(page: Page, world: World):
    execution = await asyncio.to_thread(world.run, "explained")
    await opened(page, execution)
    file = {"name": "wash.png", "mimeType": "image/png", "buffer": base64.b64decode(png())}
    await page.locator("#files").set_input_files(file)
    await expect(page.get_by_role("img", name="Image 1: wash.png")).to_be_visible()
    await page.get_by_label("Message to the agent").fill("run the command echo a picture came")
    await page.keyboard.press("Enter")
    await expect(page.locator("#feed").get_by_text("That is done.")).to_be_visible()
    image = page.locator("#feed").get_by_role("img", name="Image 1 of this message")
    await expect(image).to_be_visible()
    await page.wait_for_function("() => document.querySelector('#feed .pictures img').naturalWidth === 160")
    await chromium.picture(page, "story-picture")


async def test_a_conversation_is_shared_with_somebody_who_may_write(page: Page, chrome: Browser, world: World):
    execution = await asyncio.to_thread(world.new, scripts.EXPLAIN)
    await opened(page, execution)
    await page.get_by_role("button", name="Share").click()
    dialog = page.get_by_role("dialog", name="Share this conversation")
    await dialog.get_by_label("A visitor may").select_option("send")
    await dialog.get_by_label("Name").fill("Ada")
    await dialog.get_by_role("button", name="Create link").click()
    await expect(dialog.get_by_text("Ada may look and send")).to_be_visible()
    await chromium.picture(page, "story-share")
    link = await dialog.get_by_label("The link").input_value()
    async with chromium.window(chrome, world.server.url) as context:
        visitor = await context.new_page()
        await visitor.goto(link)
        await live(visitor)
        await expect(visitor.get_by_role("button", name="Stop")).to_have_count(0)
        await visitor.get_by_label("Message to the agent").fill("run the command echo from Ada")
        await visitor.keyboard.press("Enter")
        await expect(visitor.locator("#feed").get_by_text("That is done.")).to_be_visible()
        await chromium.picture(visitor, "story-visitor-may-write")
        await expect(page.locator("#feed .said-by").last).to_contain_text("Ada")
        await dialog.get_by_role("button", name="Revoke").click()
        await expect(dialog.get_by_text("Ada may look and send")).to_have_count(0)
        chromium.watch_of(context).allow("40[134]")
        await expect(visitor.locator("#live")).to_have_attribute("data-is", "off")
        await expect(visitor.get_by_role("alert").first).to_be_visible()
        await chromium.picture(visitor, "story-share-revoked", looks=("light", "phone"))
        await expect(visitor.locator("#live")).to_have_attribute("data-is", "off")


async def test_an_export_is_downloaded_and_stands_alone(page: Page, chrome: Browser, world: World):
    await opened(page, await asyncio.to_thread(world.run, "backed"))
    async with page.expect_download() as started:
        await page.get_by_role("link", name="Export").click()
    path = await (await started.value).path()
    assert path.stat().st_size > 5000
    async with chromium.window(chrome, "file://", offline=True) as context:
        alone = await context.new_page()
        await alone.goto(f"file://{path}")
        if not (await alone.content()).strip().startswith("<!"):
            await alone.set_content(path.read_text())
        await expect(alone.get_by_text("all 5 tests pass now")).to_be_visible()
        await chromium.picture(alone, "story-export", full=True)


async def test_sub_agents_are_a_tree_where_each_opens(page: Page, world: World):
    await opened(page, world.run("parent"))
    tree = page.get_by_role("region", name="Sub-agents")
    await expect(tree.get_by_role("link")).to_have_count(3)
    await chromium.picture(page, "story-sub-agents")
    await tree.get_by_role("link", name="Look into the flaky job").first.click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Look into the flaky job")
