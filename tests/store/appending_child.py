"""A process that appends until it is killed, and says what was acknowledged: execution, seq and name, a line each."""

import asyncio
import os
import sys
from itertools import count
from pathlib import Path

from hostler.core.ports import Fact, Position
from hostler.store import Store, open_store
from hostler.testing.store_suite.scene import FOLD, NOW, RUNNER, finished, new_id, started


async def append(store: Store) -> None:
    execution, _ = await store.executions.create(new_id(), RUNNER, [started()], NOW)
    for n in count():
        name = f"{execution}-{n}"
        fact = Fact(name, finished(name, name * 50))
        appended = await store.executions.append(execution, Position(0, 1), NOW, facts=[fact])
        os.write(1, f"{execution} {appended.position.seq} {name}\n".encode())


async def main(url: str, blobs: str) -> None:
    async with open_store(url, blobs=Path(blobs), fold=FOLD) as store:
        await asyncio.gather(*(append(store) for _ in range(8)))


asyncio.run(main(*sys.argv[1:]))
