"""Many conversations at once over a provider's wire: steps a second, wall time beside the ideal, and memory."""

import time
from collections.abc import Iterator, Sequence

from bench.figures import Figure, series
from bench.part_many import send_all
from bench.part_steps import AGAINST, Reference, at_work, bare_agent, endpoint
from bench.stage import Stage

SOME, DELAY, STEPS = 50, 0.05, 10
CROWD, LONG_DELAY = 1000, 10.0
ROUNDS = 3
LOOK_SECONDS = 0.05
ENDED = "SELECT count(*) FROM event WHERE rowid > ? AND rowid <= ? AND kind = 'TurnEnded'"
"""Each row is looked at once: whoever counts all of them again and again takes a core from what is measured."""
FAMILY = "openai-chat"
PIECES = 3


def measure() -> Iterator[Figure]:
    yield from _some()
    yield from _crowd()


def _some() -> Iterator[Figure]:
    """Measure conversations with several steps each and a model that takes a moment."""
    mine: list[float] = []
    theirs: list[float] = []
    cpu: list[float] = []
    with endpoint(DELAY, PIECES) as port, at_work(FAMILY, port) as stage, bare_agent(stage, port) as reference:
        before = stage.rss()
        environment = stage.environment_of(stage.start())
        stage.turn(stage.start(environment), "steps 1")
        after = stage.rss()
        for _ in range(ROUNDS):
            executions = [stage.start(environment) for _ in range(SOME)]
            used, steps = stage.cpu(), SOME * STEPS
            took, _ = _all_turns(stage, executions)
            mine.append(steps / took)
            cpu.append((stage.cpu() - used) / steps * 1000)
            theirs.append(steps / reference.took(SOME, STEPS))
    what = f"{SOME} conversations, {DELAY * 1000:.0f} ms of model delay"
    yield Figure("crowd", f"{what}, steps", "1/s", series(mine), series(theirs), AGAINST, "0.5 x", better="higher")
    yield Figure("crowd", "processor time of the server for one of these steps", "ms", series(cpu))
    yield Figure("crowd", "memory of the server before the first model call", "MB", series([before]), target="150 MB")
    yield Figure("crowd", "memory of the server after it", "MB", series([after]), target="260 MB")


def _crowd() -> Iterator[Figure]:
    """Measure a crowd whose model takes its time: each makes one step, so it waits for two replies."""
    with (
        endpoint(LONG_DELAY, PIECES) as port,
        at_work(FAMILY, port, HOSTLER_SLOTS=str(CROWD)) as stage,
        bare_agent(stage, port) as reference,
    ):
        environment = stage.environment_of(stage.start())
        stage.turn(stage.start(environment), "hello")
        executions = [stage.start(environment) for _ in range(CROWD)]
        before = stage.rss()
        took, peak = _all_turns(stage, executions, 1)
        ideal = 2 * LONG_DELAY
        theirs = _bare(reference)
    what = f"{CROWD:,} conversations at once, {LONG_DELAY:.0f} s of model delay, one command each"
    yield Figure("crowd", f"{what}, wall time", "s", series([took]), series([ideal]), "the ideal", "1.5 x")
    yield Figure("crowd", f"{what}, wall time", "s", series([took]), series([theirs]), AGAINST)
    each = series([(peak - before) / CROWD])
    yield Figure("crowd", f"memory for each of {CROWD:,} running conversations", "MB", each, target="0.2 MB")


def _bare(reference: Reference) -> float:
    return reference.took(CROWD, 1)


def _all_turns(stage: Stage, executions: Sequence[str], steps: int = STEPS) -> tuple[float, float]:
    """Send to all and wait for all turns' ends; return the seconds, and the most memory that was seen."""
    seen, left, peak, since = _last(stage), len(executions), 0.0, time.perf_counter()
    send_all(stage, [(one, f"steps {steps}") for one in executions])
    while left:
        last = _last(stage)
        left -= stage.database.execute(ENDED, (seen, last)).fetchone()[0]
        seen, peak = last, max(peak, stage.rss())
        time.sleep(LOOK_SECONDS)
    return time.perf_counter() - since, peak


def _last(stage: Stage) -> int:
    return stage.database.execute("SELECT max(rowid) FROM event").fetchone()[0]
