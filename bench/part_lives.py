"""How soon a server is there, gone, and back at work after kill -9."""

import subprocess
import sys
import time
from collections.abc import Iterator

from bench.figures import Figure, milliseconds, series
from bench.scripts import quick
from bench.stage import opened, serving

ROUNDS = 5


def measure() -> Iterator[Figure]:
    ready: list[float] = []
    gone: list[float] = []
    back: list[float] = []
    python: list[float] = []
    with serving({"quick": quick(1)}) as stage:
        server, execution = stage.server, stage.start()
        work = stage.workspace(stage.environment_of(execution))
        for number in range(ROUNDS):
            server.send(execution, f"run touch up-{number}; until [ -e go-{number} ]; do sleep 0.01; done")
            stage.until_true((work / f"up-{number}").exists, "the command")
            python.append(milliseconds(lambda: subprocess.run([sys.executable, "-c", "pass"], check=True)))
            gone.append(milliseconds(server.stop))
            ready.append(milliseconds(server.start))
            server.kill()
            (work / f"go-{number}").touch()
            since = time.perf_counter()
            server.start()
            with opened(server) as again:
                back.append((again.until(execution, "ToolFinished", number + 1) - since) * 1000)
                again.until(execution, "TurnEnded", number + 1)
    against = "`python -c pass`"
    yield Figure("lives", "start, until it is ready", "ms", series(ready), series(python), against)
    yield Figure("lives", "SIGTERM while a command runs, until exit", "ms", series(gone), target="5 s")
    what = "start after kill -9, until the rejoined command's result is in the log"
    yield Figure("lives", what, "ms", series(back), series(ready), "start, until it is ready")
