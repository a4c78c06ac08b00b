"""What a turn of the built-in agent costs: the scripted model, one command a step, everything durable."""

import asyncio
import itertools
import time
from collections.abc import Iterator

import uvloop

from bench import bare
from bench.figures import Figure, Series, in_turns, series
from bench.scripts import quick
from bench.stage import Stage, serving

MORE = 10
LONG = 100


def measure() -> Iterator[Figure]:
    with (
        serving({"quick": quick(1, 1 + MORE, LONG)}) as stage,
        bare.raw_database(stage.folder / "bare.db") as database,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        execution = stage.start()
        numbers = iter(range(1 << 20))

        def loop(count: int) -> float:
            since = time.perf_counter()
            runner.run(bare.steps(database, f"bare-{next(numbers)}", count))
            return (time.perf_counter() - since) * 1000

        def plain() -> float:
            since = time.perf_counter()
            runner.run(bare.command("bash", "-c", "true"))
            return (time.perf_counter() - since) * 1000

        short = in_turns(15, {"ours": lambda: stage.turn(execution, "steps 1"), "plain": plain})
        fresh = stage.start(stage.environment_of(execution))
        steps = in_turns(
            5,
            {
                "one": lambda: stage.turn(fresh, "steps 1"),
                "many": lambda: stage.turn(fresh, f"steps {1 + MORE}"),
                "bare": lambda: loop(MORE),
            },
        )
        commits = series(_commits_a_step(stage, fresh) for _ in range(3))
        early, late = _growth(stage, stage.start(stage.environment_of(execution)))
    a_step = series((many - one) / MORE for one, many in zip(steps["one"].values, steps["many"].values, strict=True))
    bare_step = series(value / MORE for value in steps["bare"].values)
    yield Figure(
        "turns", "a turn with one command, from Send to its end", "ms", short["ours"], short["plain"], "the command"
    )
    against = "a loop with one command and one commit a step"
    yield Figure("turns", "one step more in a turn", "ms", a_step, bare_step, against, "3 x (with a model's wire)")
    yield Figure("turns", "commits for one step more", "", commits, target="2")
    yield Figure("turns", f"steps {LONG - 19} to {LONG} of a turn", "ms", late, early, "steps 1 to 20 of it")


def _commits_a_step(stage: Stage, execution: str) -> float:
    """Return how many commits the whole server makes for one more step."""
    return (_commits(stage, execution, 1 + MORE) - _commits(stage, execution, 1)) / MORE


def _commits(stage: Stage, execution: str, steps: int) -> int:
    """Count the commits of a turn; a write-ahead log that began anew in the middle is no measure, so once more."""
    while True:
        salt, before = stage.commits()
        stage.turn(execution, f"steps {steps}")
        again, after = stage.commits()
        if salt == again:
            return after - before


def _growth(stage: Stage, execution: str) -> tuple[Series, Series]:
    """Return the steps' lengths at the beginning and at the end of one long turn."""
    stage.turn(execution, f"steps {LONG}")
    at = [at for _, kind, at in stage.events(execution) if kind == "ToolStarted"]
    lengths = [(after - before) / 1000 for before, after in itertools.pairwise(at)]
    return series(lengths[:19]), series(lengths[-19:])
