"""Getting in: the form, a link that opens once, a share that is taken back."""

import json
import urllib.request
from typing import Any

import pytest
from playwright.async_api import Browser, Page, expect

from tests.browser import chromium
from tests.browser.runs import World

pytestmark = [pytest.mark.browser, pytest.mark.sandbox, pytest.mark.asyncio(loop_scope="package")]


def posted(world: World, path: str, body: Any, method: str = "POST") -> dict[str, Any]:
    """Call one of the server's own paths with the owner's token."""
    headers = {"Authorization": f"Bearer {world.server.token}", "Content-Type": "application/json"}
    url = f"{world.server.url}/api/hostler/v1/{path}"
    request = urllib.request.Request(url, json.dumps(body).encode(), headers, method=method)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.loads(answer.read() or b"{}")


async def test_the_form_signs_in_and_leads_to_where_one_wanted_to_go(visitor: Page, world: World):
    chromium.watch_of(visitor.context).allow("401")
    await visitor.goto("/prompts")
    await expect(visitor).to_have_url(f"{world.server.url}/sign-in?next=/prompts")
    await visitor.get_by_label("API token").fill("hostler_wrong")
    await visitor.keyboard.press("Enter")
    await expect(visitor.get_by_role("alert")).to_be_visible()
    await chromium.picture(visitor, "story-sign-in-refused")
    await visitor.get_by_label("API token").fill(world.server.token)
    await visitor.keyboard.press("Enter")
    await expect(visitor).to_have_url(f"{world.server.url}/prompts")
    cookies = await visitor.context.cookies()
    assert cookies
    assert all(cookie["httpOnly"] and cookie["sameSite"] == "Lax" for cookie in cookies)
    await visitor.get_by_role("button", name="Sign out").click()
    await expect(visitor.get_by_label("API token")).to_be_focused()


async def test_a_link_signs_in_once(visitor: Page, chrome: Browser, world: World):
    execution = world.run("backed")
    link = posted(world, "links", {"path": f"/executions/{execution}"})["url"]
    await visitor.goto(link)
    await expect(visitor).to_have_url(f"{world.server.url}/executions/{execution}")
    await expect(visitor.get_by_role("heading", level=1)).to_contain_text("The tests fail")
    async with chromium.window(chrome, world.server.url) as context:
        chromium.watch_of(context).allow("410")
        other = await context.new_page()
        await other.goto(link)
        await expect(other.get_by_role("heading", name="This link is used up")).to_be_visible()
        await chromium.picture(other, "story-link-used-up")


async def test_a_share_shows_one_conversation_without_a_composer_until_it_is_taken_back(visitor: Page, world: World):
    execution = world.run("backed")
    shares = f"executions/{execution}/shares"
    share = posted(world, shares, {"may": "view", "hours": 2, "name": "Ada"})
    await visitor.goto(share["url"])
    await expect(visitor).to_have_url(f"{world.server.url}/executions/{execution}")
    await expect(visitor.get_by_role("heading", level=1)).to_contain_text("The tests fail")
    await expect(visitor.get_by_text("All 5 tests pass.")).to_be_visible()
    await expect(visitor.get_by_role("textbox")).to_have_count(0)
    await expect(visitor.get_by_role("navigation", name="Pages")).to_have_count(0)
    await chromium.picture(visitor, "story-share-view-only")
    posted(world, f"{shares}/{share['id']}", None, "DELETE")
    chromium.watch_of(visitor.context).allow("40[13]|404|410")
    await visitor.goto(share["url"])
    await expect(visitor.get_by_role("heading", name="This share has ended")).to_be_visible()
    await chromium.picture(visitor, "story-share-ended")
    answer = await visitor.goto(f"/executions/{execution}")
    assert answer
    await expect(visitor.get_by_text("All 5 tests pass.")).to_have_count(0)
