"""The pages: a conversation of 3,000 events and a list of 10,000 executions, over HTTP alone and in a real Chromium."""

import asyncio
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
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
LONG = [planting.id_at(BEGAN, EXECUTIONS + number) for number in range(OPENED)]
LIVE = "document.getElementById('live')?.dataset.is === 'live'"
"""The badge of the conversation says that the page is connected: from here on everything on it works."""
READY = "document.readyState === 'complete'"
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
            opened = asyncio.run(_opened(server)) if chromium.program() else None
            page = [_asked(server, f"/executions/{LONG[0]}") for _ in range(ASKED)]
            lists = [_asked(server, "/") for _ in range(ASKED)]
            found = [_asked(server, "/?text=part+77") for _ in range(ASKED)]
            cold = [_cold(server) for _ in range(3)]
        finally:
            server.stop()
    said = f"a conversation of {EVENTS:,} events"
    listed = f"a list of {EXECUTIONS:,} executions"
    yield Figure("pages", f"{said}, the page over HTTP", "ms", series(page))
    yield Figure("pages", f"{said}, the first time after a start", "ms", series(cold))
    if opened:
        bare, against = series(opened.bare), "the sign-in page"
        first, live = f"{said}, never opened before: first content in Chromium", f"{said}: connected and interactive"
        yield Figure("pages", first, "ms", series(opened.paints), bare, against, "300 ms")
        yield Figure("pages", live, "ms", series(opened.lives), target="1 s")
        yield Figure(
            "pages", f"{listed}, first content in Chromium", "ms", series(opened.lists), bare, against, "200 ms"
        )
    yield Figure("pages", f"{listed}, the page over HTTP", "ms", series(lists), target="200 ms")
    yield Figure("pages", f"{listed}, searched for a text, over HTTP", "ms", series(found), target="200 ms")


def _planted(data: Path) -> None:
    data.mkdir(mode=0o711)
    planting.plant(data, planting.many(BASE), commit=20)
    planting.multiply(data, EXECUTIONS // BASE)
    long = planting.long(EVENTS)
    planting.plant(data, [(execution, long) for execution in LONG], commit=50)


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
    return _asked(server, f"/executions/{LONG[0]}")


@dataclass
class Opened:
    """Milliseconds: the first content of the conversation, its badge, the first content of the list and of sign-in."""

    paints: list[float] = field(default_factory=list)
    lives: list[float] = field(default_factory=list)
    lists: list[float] = field(default_factory=list)
    bare: list[float] = field(default_factory=list)


async def _opened(server: HostlerProcess) -> Opened:
    """Open the pages in turns, every conversation for the first time."""
    opened = Opened()
    async with chromium.browser() as browser:
        await _fresh(browser, server, "/", READY)
        for execution in LONG:
            opened.bare.append((await _fresh(browser, server, "/sign-in", READY, signed=False))[0])
            paint, live = await _fresh(browser, server, f"/executions/{execution}", LIVE)
            opened.paints.append(paint)
            opened.lives.append(live)
            opened.lists.append((await _fresh(browser, server, "/", READY))[0])
    return opened


async def _fresh(
    browser: Browser, server: HostlerProcess, path: str, ready: str, *, signed: bool = True
) -> tuple[float, float]:
    """Open a page with an empty cache; return milliseconds to its first content and until `ready` holds."""
    async with chromium.window(browser, server.url) as context:
        if signed:
            await sign_in(context, server)
        page: Page = await context.new_page()
        await page.goto(path, wait_until="commit")
        handle = await page.wait_for_function(f"() => ({ready}) && performance.now()", polling="raf")
        done = float(await handle.json_value())
        await page.wait_for_function("() => performance.getEntriesByName('first-contentful-paint').length > 0")
        return float((await page.evaluate(MOMENTS))["paint"]), done
