"""Records what this tree writes: `python -m tests.corpus.releases.record FOLDER`, once, when it is released.

`hostler.sql` is a small SQLite database: an execution that waits for input, some whose process was killed in the middle
of a turn, and some of the corpus. `logs/` are the corpus as JSON lines. `views.json` is what Get answered of each.
"""

import asyncio
import json
import shutil
import sqlite3
import sys
from contextlib import closing, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hostler.core.state import State, evolve, fold
from hostler.engine.engine import Identity
from hostler.projections.row import project
from hostler.store import Fold, Store, open_store
from hostler.testing.clock import HandClock
from hostler.testing.link import Died, Link
from tests import corpus
from tests.engine.test_crashes import new_stage
from tests.planting import plant

PLANTED = ("failed", "memory", "waits", "approvals", "modes")
CUTS = (3, 6, 8, 9, 11)
"""Commits after which a process is killed."""
NAMES = "{:08d}-0000-7000-8000-000000000000"
"""Ids of what is planted: older than all that is lived."""


def main(folder: Path) -> None:
    """Write the files of a release."""
    (folder / "logs").mkdir(parents=True, exist_ok=True)
    for name in corpus.LOGS:
        shutil.copy(corpus.HERE / f"{name}.jsonl", folder / "logs")
    views: dict[str, Any] = {name: project(fold(corpus.log(name))).view for name in corpus.LOGS}
    with TemporaryDirectory() as place:
        data = Path(place)
        plant(data, ((NAMES.format(n), corpus.log(name)) for n, name in enumerate(PLANTED)))
        views |= asyncio.run(_live(data))
        with closing(sqlite3.connect(data / "hostler.db")) as database:
            (folder / "hostler.sql").write_text("\n".join(database.iterdump()) + "\n")
    (folder / "views.json").write_text(json.dumps(views, indent=1, ensure_ascii=False, default=dict) + "\n")


async def _live(data: Path) -> dict[str, Any]:
    """Tell a story to its end, and several until they are killed; return all views."""
    clock = new_stage().clock
    url = f"sqlite:///{data / 'hostler.db'}"
    async with open_store(url, blobs=data / "blobs", fold=Fold(State(), evolve, project)) as store:
        await _story(store, Link(store.executions), clock, "recorded-whole")
        for cut in CUTS:
            await _story(store, Link(store.executions, die_after=cut), clock, f"recorded-cut-{cut}")
        with closing(sqlite3.connect(data / "hostler.db")) as database:
            ids = [name for (name,) in database.execute("SELECT id FROM execution")]
        rows = [await store.executions.row(name) for name in ids]
        return {row.id: dict(row.view) for row in rows if row is not None}


async def _story(store: Store, link: Link, clock: HandClock, runner: str) -> None:
    """Tell a story with a clock that goes on, so that no id comes twice."""
    stage = new_stage()
    stage.clock, stage.executions, stage.runner = clock, store.executions, runner

    async def register(identity: Identity) -> None:
        await store.runners.boot(identity.runner, identity.incarnation, stage.clock.now())

    stage.register = register
    await stage.boot(link)
    with suppress(Died):
        execution = await stage.start("scripted:story", "mend it")
        dead, rest = asyncio.create_task(link.dead.wait()), asyncio.create_task(stage.rest(execution))
        await asyncio.wait({dead, rest}, return_when=asyncio.FIRST_COMPLETED)
        for task in (dead, rest):
            task.cancel()
    await stage.kill()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
