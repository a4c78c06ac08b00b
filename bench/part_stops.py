"""How long after StopAgentExecution's request the log says that no process of the execution is left."""

import itertools
import time
from collections.abc import Callable, Iterator

from bench.figures import Figure, Series, series
from bench.scripts import SLOW, quick
from bench.stage import Stage, serving

ROUNDS = 20
TARGET = "p95 200 ms"


def measure() -> Iterator[Figure]:
    with serving({"quick": quick(1), "slow": SLOW}) as stage:
        environment = stage.environment_of(stage.start())
        numbers = itertools.count()
        work, streams = stage.workspace(environment), stage.folder / "streams"

        def command() -> str:
            mark = f"up-{next(numbers)}"
            execution = stage.start(environment)
            stage.send(execution, f"run touch {mark}; sleep 1000")
            stage.until_true((work / mark).exists, "the command")
            return execution

        def stream() -> str:
            execution = stage.start(environment, model=f"scripted:{stage.folder}/slow.json")
            stage.send(execution, "go")
            stage.until_true(streams.exists, "the answer")
            streams.unlink()
            return execution

        running = [_stop(stage, command) for _ in range(ROUNDS)]
        streaming = [_stop(stage, stream) for _ in range(ROUNDS)]
    for name, found in (("while a command runs", running), ("while an answer streams", streaming)):
        answered, gone = _columns(found)
        yield Figure("stops", f"Stop {name}, until its answer", "ms", answered)
        yield Figure("stops", f"Stop {name}, until GroupGone is in the log", "ms", gone, target=TARGET)


def _stop(stage: Stage, begin: Callable[[], str]) -> tuple[float, float]:
    execution = begin()
    since = time.perf_counter()
    _, answered = stage.wire.ask("StopAgentExecution", {"agentExecutionId": execution})
    return answered, (stage.until(execution, "GroupGone") - since) * 1000


def _columns(found: list[tuple[float, float]]) -> tuple[Series, Series]:
    return series(answered for answered, _ in found), series(gone for _, gone in found)
