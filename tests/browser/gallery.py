"""Pictures of every page, for those who make them: `python -m tests.browser.gallery --help`."""

import argparse
import asyncio
import contextlib
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from playwright.async_api import Page
from playwright.async_api import TimeoutError as TooLate

from tests import corpus
from tests.browser import chromium
from tests.browser.runs import PLANTED, RUNS, World
from tests.browser.signing import sign_in
from tests.server import short_folder


@dataclass(frozen=True)
class Shot:
    """A picture: its name, where the page is (ID stands for the run's execution, ENV for its environment)."""

    name: str
    path: str
    run: str = ""
    full: bool = False
    signed: bool = True
    open: str = ""
    """What is clicked before the picture is taken."""


WHOLE = ("backed", "explained", *corpus.LOGS)
SHOTS = (
    *(Shot(f"conversation-{name}", "/executions/ID", name) for name in (*RUNS, *PLANTED)),
    *(
        Shot(f"conversation-{name}-full", "/executions/ID", name, full=True)
        for name in ("backed", "explained", *corpus.LOGS)
    ),
    Shot("conversation-visitor", "/executions/ID?as=visitor", "backed"),
    Shot("executions", "/"),
    Shot("executions-none-found", "/?text=nothing+is+called+this"),
    Shot("environments", "/environments"),
    Shot("environment", "/environments/ENV", "backed"),
    Shot("prompts", "/prompts"),
    Shot("usage", "/usage"),
    Shot("people", "/people"),
    Shot("sign-in", "/sign-in", signed=False),
    Shot("missing", "/executions/00000000-0000-4000-8000-000000000000"),
)


READY = """() => document.fonts.status === 'loaded' &&
  (!document.getElementById('live') || document.getElementById('live').dataset.is === 'live')"""
"""The letters are there, and a page that follows along does."""


@contextmanager
def _folder(kept: str) -> Iterator[Path]:
    if not kept:
        with short_folder() as folder:
            yield folder
        return
    folder = Path(kept).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o711)
    yield folder


@asynccontextmanager
async def _pages(world: World) -> AsyncIterator[tuple[Page, Page, chromium.Watch, chromium.Watch]]:
    async with chromium.browser() as started:
        async with chromium.window(started, world.server.url) as owner:
            async with chromium.window(started, world.server.url) as stranger:
                watches = chromium.watch_of(owner), chromium.watch_of(stranger)
                await sign_in(owner, world.server)
                yield await owner.new_page(), await stranger.new_page(), *watches
                for watch in watches:
                    watch.allow("")  # they were told as they came


async def _shoot(page: Page, shot: Shot, world: World, out: Path) -> str:
    """Take the pictures of one page; return what is to be said of it."""
    path = shot.path
    if shot.run:
        execution = await asyncio.to_thread(world.run, shot.run)
        path = path.replace("ID", execution)
        if "ENV" in path:
            used = world.server.get(execution)["status"]["usedEnvironments"]
            path = path.replace("ENV", used[0]["environmentId"])
    since = time.perf_counter()
    answer = await page.goto(path, wait_until="load")
    took = (time.perf_counter() - since) * 1000
    status = answer.status if answer else 0
    if shot.open:
        await page.locator(shot.open).first.click()
    with contextlib.suppress(TooLate):  # the missing page has nothing to be ready
        await page.wait_for_function(READY, timeout=5000)
    await chromium.picture(page, shot.name, full=shot.full, folder=out)
    await page.set_viewport_size(chromium.PHONE)
    spilled = await chromium.spills(page)
    await page.set_viewport_size(chromium.WIDE)
    said = f"{status} {took:5.0f} ms  {shot.name}"
    return said + "".join(f"\n    wider than a phone: {one}" for one in spilled)


async def gallery(world: World, wanted: list[str], at: str, out: Path) -> None:
    shots = [shot for shot in SHOTS if not wanted or any(word in shot.name for word in wanted)]
    if at:
        shots = [Shot("page", at)]
    async with _pages(world) as (owner, stranger, watch, other):
        for shot in shots:
            page = owner if shot.signed else stranger
            print(await _shoot(page, shot, world, out))
            for problem in (*watch.problems, *other.problems):
                print(f"    {problem}")
            watch.problems.clear()
            other.problems.clear()
    print(f"Pictures are in {out}")


PEOPLE = (
    ("user", "create", "Ann Example", "--role", "admin", "--email", "ann@example.com"),
    ("user", "create", "Ben", "--role", "read"),
    ("service-account", "create", "ci", "-d", "Starts agents on every pull request"),
)


def _people(world: World) -> None:
    """Make some accounts."""
    for words in PEOPLE:
        command = [sys.executable, "-m", "hostler", *words, "--data-dir", str(world.server.folder)]
        subprocess.run(command, check=True, capture_output=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("words", nargs="*", help="only pictures whose name holds one of these words")
    parser.add_argument("--keep", default="", metavar="DIR", help="keep the server's data there, and use it next time")
    parser.add_argument("--out", type=Path, default=chromium.PICTURES, metavar="DIR", help="where the pictures go")
    parser.add_argument("--at", default="", metavar="PATH", help="one picture, of this path")
    asked = parser.parse_args()
    with _folder(asked.keep) as folder:
        world = World(folder).start()
        try:
            _people(world)
            asyncio.run(gallery(world, asked.words, asked.at, asked.out))
        finally:
            world.close()


if __name__ == "__main__":
    main()
