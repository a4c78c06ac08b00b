"""Many executions at once with the scripted model, in one environment."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import local

import uvloop

from bench import bare
from bench.figures import Figure, series
from bench.scripts import quick
from bench.stage import Stage, message, serving
from bench.wire import Wire

MANY = 100
STEPS = 5
SENDERS = 8


def measure() -> Iterator[Figure]:
    with serving({"quick": quick(STEPS)}) as stage:
        environment = stage.environment_of(stage.start())
        rss = stage.rss()
        executions = [stage.start(environment) for _ in range(MANY)]
        cpu, since = stage.cpu(), time.perf_counter()
        send_all(stage, [(execution, f"steps {STEPS}") for execution in executions])
        peak = _ended(stage)
        wall, used = time.perf_counter() - since, stage.cpu() - cpu
        alone = _bare(stage)
    steps = MANY * STEPS
    what = f"{MANY} executions with {STEPS} commands each"
    against = "as many loops with one command and one commit a step"
    yield Figure("many", f"{what}, all of it", "s", series([wall]), series([alone]), against)
    mine, theirs = series([steps / wall]), series([steps / alone])
    yield Figure("many", f"{what}, steps", "1/s", mine, theirs, against, "0.5 x", better="higher")
    yield Figure("many", "processor time of the server for one of these steps", "ms", series([used / steps * 1000]))
    yield Figure("many", "resident memory of the server before", "MB", series([rss]), target="150 MB")
    yield Figure(
        "many", f"resident memory for each of the {MANY}", "MB", series([(peak - rss) / MANY]), target="0.2 MB"
    )


def send_all(stage: Stage, texts: Sequence[tuple[str, str]]) -> None:
    """Send each (execution, text), all over a few connections."""
    own, wires = local(), list[Wire]()

    def send(asked: tuple[str, str]) -> None:
        if not hasattr(own, "wire"):
            own.wire = Wire(stage.server.url, stage.server.token)
            wires.append(own.wire)
        own.wire.ask("SendToAgentExecution", message(*asked))

    with ThreadPoolExecutor(SENDERS) as pool:
        list(pool.map(send, texts))
    for wire in wires:
        wire.close()


def _ended(stage: Stage) -> float:
    """Return the most resident memory that was seen until all turns had ended."""
    peak = 0.0
    query = "SELECT count(*) FROM event WHERE kind = 'TurnEnded'"
    while stage.database.execute(query).fetchone()[0] < MANY:
        peak = max(peak, stage.rss())
        time.sleep(0.05)
    return max(peak, stage.rss())


def _bare(stage: Stage) -> float:
    async def everything() -> None:
        await asyncio.gather(*(bare.steps(database, f"bare-{number}", STEPS) for number in range(MANY)))

    with bare.raw_database(stage.folder / "bare.db") as database:
        since = time.perf_counter()
        uvloop.run(everything())
        return time.perf_counter() - since
