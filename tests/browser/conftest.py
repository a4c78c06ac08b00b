"""Fixtures of the browser's tests: one browser and one server for all of them, a context of its own for each."""

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from tests.browser import chromium
from tests.browser.runs import World
from tests.browser.signing import sign_in
from tests.server import short_folder

expect.set_options(timeout=float(os.environ.get("BROWSER_PATIENCE", "30")) * 1000)
"""A bound for busy machines, and nobody waits that long who has what is wanted."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(__file__.rpartition("/")[0]) and item.get_closest_marker("asyncio"):
            item.add_marker(pytest.mark.asyncio(loop_scope="package"), append=False)


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def chrome() -> AsyncIterator[Browser]:
    """The browser."""
    if why := chromium.why_not():
        if chromium.needed():
            pytest.fail(why)
        pytest.skip(why)
    async with chromium.browser() as started:
        yield started


@pytest.fixture(scope="package")
def world() -> Iterator[World]:
    """A server whose scripted model knows every run of the stories."""
    with short_folder() as folder:
        made = World(folder).start()
        yield made
        made.close()


@pytest_asyncio.fixture(loop_scope="package")
async def visitor(chrome: Browser, world: World) -> AsyncIterator[Page]:
    """A page of somebody who is not signed in."""
    async with chromium.window(chrome, world.server.url) as context:
        yield await context.new_page()


@pytest_asyncio.fixture(loop_scope="package")
async def page(chrome: Browser, world: World) -> AsyncIterator[Page]:
    """A page of the owner, signed in."""
    async with AsyncExitStack() as stack:
        context = await stack.enter_async_context(chromium.window(chrome, world.server.url))
        await sign_in(context, world.server)
        yield await context.new_page()


@pytest_asyncio.fixture(loop_scope="package")
async def phone(chrome: Browser, world: World) -> AsyncIterator[Page]:
    """A page of the owner on a phone."""
    async with AsyncExitStack() as stack:
        context = await stack.enter_async_context(chromium.window(chrome, world.server.url, phone=True))
        await sign_in(context, world.server)
        yield await context.new_page()
