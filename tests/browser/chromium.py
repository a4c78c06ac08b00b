"""A real Chromium without a window: started once, watched all the time, and asked for pictures."""

import os
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Error, Page, Request, async_playwright

PROGRAMS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--font-render-hinting=none",
)
PICTURES = Path(__file__).resolve().parents[2] / ".cache" / "screenshots"
WIDE = {"width": 1280, "height": 860}
PHONE = {"width": 390, "height": 844}
Look = Literal["light", "dark", "phone"]
PATIENCE = 60_000.0
"""Milliseconds; an upper bound for busy machines, and nobody waits that long who has what is wanted."""


def program() -> str:
    """Return the path of the browser, or nothing."""
    return next((found for name in PROGRAMS if (found := shutil.which(name))), "")


def why_not() -> str:
    """Return why there is no browser here, or nothing."""
    if program():
        return ""
    return "no browser: as root, apt-get install chromium-headless-shell (or chromium)"


def needed() -> bool:
    """Say whether tests without a browser fail instead of being left out."""
    return bool(os.environ.get("BROWSER_NEEDED"))


@asynccontextmanager
async def browser() -> AsyncIterator[Browser]:
    """Yield a browser with a fresh profile."""
    async with async_playwright() as playwright:
        started = await playwright.chromium.launch(executable_path=program(), headless=True, args=list(FLAGS))
        try:
            yield started
        finally:
            await started.close()


@dataclass
class Watch:
    """What went wrong on the pages of a context: anything on the console, errors of scripts, requests elsewhere."""

    origin: str
    problems: list[str] = field(default_factory=list)
    allowed: list[str] = field(default_factory=list)

    def follow(self, page: Page) -> None:
        page.on("console", self._said)
        page.on("pageerror", self._failed)
        page.on("request", self._asked)

    def allow(self, *patterns: str) -> None:
        """Expect such problems: the server is killed, say, and the browser speaks of the lost connection."""
        self.allowed += patterns

    def check(self) -> None:
        unexpected = [said for said in self.problems if not any(re.search(one, said) for one in self.allowed)]
        assert not unexpected, "\n".join(unexpected)

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning", "assert"):
            self.problems.append(f"console {message.type}: {message.text} ({message.location.get('url', '')})")

    def _failed(self, error: Error) -> None:
        self.problems.append(f"script: {error}")

    def _asked(self, request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme not in ("data", "blob", "about") and f"{parts.scheme}://{parts.netloc}" != self.origin:
            self.problems.append(f"a request to another host: {request.url}")


@asynccontextmanager
async def window(started: Browser, origin: str, *, phone: bool = False, **more: Any) -> AsyncIterator[BrowserContext]:
    """Yield a context without cookies whose pages are watched; leaving it fails when anything went wrong on them."""
    size: dict[str, Any] = {"viewport": WIDE}
    if phone:
        size = {"viewport": PHONE, "is_mobile": True, "has_touch": True, "device_scale_factor": 2}
    context = await started.new_context(
        base_url=origin, locale="en-GB", timezone_id="UTC", accept_downloads=True, **{**size, **more}
    )
    context.set_default_timeout(PATIENCE)
    watch = Watch(origin)
    context.on("page", watch.follow)
    setattr(context, "watch", watch)  # noqa: B010 - the one who has the context may allow something
    try:
        yield context
    finally:
        await context.close()
    watch.check()


def watch_of(context: BrowserContext) -> Watch:
    """Return what is known of the pages of a context."""
    return context.watch  # pyright: ignore[reportAttributeAccessIssue]


async def picture(
    page: Page,
    name: str,
    *,
    full: bool = False,
    looks: tuple[Look, ...] = ("light", "dark", "phone"),
    folder: Path = PICTURES,
) -> None:
    """Write pictures of a page as it is now: NAME-LOOK.png in the folder of screenshots."""
    folder.mkdir(parents=True, exist_ok=True)
    before = page.viewport_size
    for look in looks:
        await page.emulate_media(color_scheme="dark" if look == "dark" else "light", reduced_motion="reduce")
        await page.set_viewport_size(PHONE if look == "phone" else WIDE)
        path = folder / f"{name}-{look}.png"
        await page.screenshot(path=path, full_page=full, animations="disabled", caret="hide", type="png")
    await page.emulate_media(color_scheme="light", reduced_motion="no-preference")
    if before:
        await page.set_viewport_size(before)


async def spills(page: Page) -> list[str]:
    """Return what is wider than the page: nothing should make it scroll sideways."""
    return await page.evaluate(
        """() => {
          const width = document.documentElement.clientWidth;
          if (document.documentElement.scrollWidth <= width) return [];
          return [...document.querySelectorAll('body *')]
            .filter(e => e.getBoundingClientRect().right > width + 1)
            .slice(0, 8).map(e => e.tagName + '.' + e.className + ' ' + Math.round(e.getBoundingClientRect().right));
        }"""
    )


async def deaf(page: Page) -> list[str]:
    """Return what somebody who listens to the page would miss, and ids that are there twice."""
    return await page.evaluate(
        """() => {
          const faults = [], seen = new Set();
          for (const e of document.querySelectorAll('[id]')) {
            if (seen.has(e.id)) faults.push('the id ' + e.id + ' twice');
            seen.add(e.id);
          }
          for (const e of document.querySelectorAll('img:not([alt])')) faults.push('an image without words: ' + e.src);
          for (const e of document.querySelectorAll('button, a[href], input:not([type=hidden]), select, textarea')) {
            const label = e.getAttribute('aria-label') || e.getAttribute('aria-labelledby') || e.textContent.trim();
            const named = label ||
              [...(e.labels ?? [])].some(one => one.textContent.trim()) || e.querySelector('img[alt]:not([alt=""])');
            if (!named) faults.push('no name: ' + e.outerHTML.slice(0, 120));
          }
          if (document.querySelectorAll('h1').length !== 1) faults.push('not one h1');
          if (!document.documentElement.lang) faults.push('no language');
          if (document.querySelectorAll('main').length !== 1) faults.push('not one main');
          return faults;
        }"""
    )
