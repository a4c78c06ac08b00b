"""The pages: a conversation of 3,000 events and a list of 10,000 executions, over HTTP alone and in a real Chromium."""

import asyncio
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from playwright.async_api import Browser, Page
from tests import planting
from tests.browser import chromium
from tests.browser.signing import sign_in
from tests.corpus.logs import BEGAN
from tests.server import HostlerProcess, short_folder

from bench.figures import Figure, series

EVENTS = 3000
EXECUTIONS = 10_000
BASE = 500
OPENED = 7
ASKED = 15
LONG = planting.id_at(BEGAN, EXECUTIONS)
LIVE = "document.querySelector('[data-live]')?.dataset.live === 'live'"
"""The badge of the conversation says that the page is connected: from here on everything on it works."""
MOMENTS = """() => ({
  paint: performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? 0,
  answered: performance.getEntriesByType('navigation')[0].responseEnd,
})"""


def measure() -> Iterator[Figure]:
    with short_folder() as folder:
        data = folder / "data"
        _planted(data)
        server = HostlerProcess(data).start()
        try:
            cold = [_cold(server) for _ in range(3)]
            page = [_asked(server, f"/executions/{LONG}") for _ in range(ASKED)]
            lists = [_asked(server, "/") for _ in range(ASKED)]
            found = [_asked(server, "/?text=part+77") for _ in range(ASKED)]
            opened = asyncio.run(_opened(server)) if chromium.program() else None
        finally:
            server.stop()
    said = f"a conversation of {EVENTS:,} events"
    listed = f"a list of {EXECUTIONS:,} executions"
    yield Figure("pages", f"{said}, the page over HTTP", "ms", series(page))
    yield Figure("pages", f"{said}, the first time after a start", "ms", series(cold))
    if opened:
        paints, lives, list_paints = opened
        yield Figure("pages", f"{said}, first content in Chromium", "ms", series(paints), target="300 ms")
        yield Figure("pages", f"{said}, connected and interactive", "ms", series(lives), target="1 s")
        yield Figure("pages", f"{listed}, first content in Chromium", "ms", series(list_paints), target="200 ms")
    yield Figure("pages", f"{listed}, the page over HTTP", "ms", series(lists), target="200 ms")
    yield Figure("pages", f"{listed}, searched for a text, over HTTP", "ms", series(found), target="200 ms")


def _planted(data: Path) -> None:
    data.mkdir(mode=0o711)
    planting.plant(data, planting.many(BASE), commit=20)
    planting.multiply(data, EXECUTIONS // BASE)
    planting.plant(data, [(LONG, planting.long(EVENTS))], commit=10)


def _asked(server: HostlerProcess, path: str) -> float:
    """Return the milliseconds until the whole page is here."""
    headers = {"Authorization": f"Bearer {server.token}", "Accept": "text/html"}
    since = time.perf_counter()
    with urllib.request.urlopen(urllib.request.Request(server.url + path, headers=headers), timeout=60) as answer:
        answer.read()
    return (time.perf_counter() - since) * 1000


def _cold(server: HostlerProcess) -> float:
    server.stop()
    server.start()
    return _asked(server, f"/executions/{LONG}")


async def _opened(server: HostlerProcess) -> tuple[list[float], list[float], list[float]]:
    """Return when the first content of the conversation, its badge, and the first content of the list are there."""
    paints: list[float] = []
    lives: list[float] = []
    lists: list[float] = []
    async with chromium.browser() as browser:
        for _ in range(OPENED):
            paint, live = await _fresh(browser, server, f"/executions/{LONG}", LIVE)
            paints.append(paint)
            lives.append(live)
            lists.append((await _fresh(browser, server, "/", "document.readyState === 'complete'"))[0])
    return paints, lives, lists


async def _fresh(browser: Browser, server: HostlerProcess, path: str, ready: str) -> tuple[float, float]:
    """Open a page with an empty cache; return milliseconds to its first content and until `ready` holds."""
    async with chromium.window(browser, server.url) as context:
        await sign_in(context, server)
        page: Page = await context.new_page()
        await page.goto(path, wait_until="commit")
        handle = await page.wait_for_function(f"() => ({ready}) && performance.now()", polling="raf")
        done = float(await handle.json_value())
        await page.wait_for_function("() => performance.getEntriesByName('first-contentful-paint').length > 0")
        return float((await page.evaluate(MOMENTS))["paint"]), done
