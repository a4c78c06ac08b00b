"""kill -9 with 100 executions at work, half of them in mid-command, and what the next server makes of it by itself."""

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.figures import Figure, series
from bench.part_many import send_all
from bench.scripts import bash
from bench.stage import Stage, opened, serving

MANY = 100
ENVIRONMENTS = 10
STEPS = 4
"""Commands of a run."""
FINISHED = ("ModelReplied", "ToolFinished")


def measure() -> Iterator[Figure]:
    with serving({"runs": _runs()}, HOSTLER_SLOTS=str(2 * MANY)) as stage:
        environments = [stage.environment_of(stage.start()) for _ in range(ENVIRONMENTS)]
        works = [stage.workspace(environment) for environment in environments]
        executions = [stage.start(environments[number % ENVIRONMENTS]) for number in range(MANY)]
        send_all(stage, [(one, f"run {number}") for number, one in enumerate(executions)])
        stage.until_true(lambda: _begun(stage, works), "all of them at work")
        before = {one: stage.events(one) for one in executions}
        stage.server.kill()
        (stage.folder / "go").touch()
        for fifo in (each for work in works for each in work.glob("begun-*")):
            fifo.write_text("go\n")
        since = time.perf_counter()
        stage.server.start()
        ready = time.perf_counter() - since
        with opened(stage.server) as again:
            moving = _moving(again, before, time.perf_counter())
            again.until_true(lambda: _ended(again) >= MANY, "all turns' ends")
            ended = time.perf_counter() - since
            after = {one: again.events(one) for one in executions}
            repeated = sum(again.count(one, "ModelReplied") - (STEPS + 1) for one in executions)
        lost = sum(before[one] != after[one][: len(before[one])] for one in executions)
        twice = _odd_counts(works)
    what = f"kill -9 with {MANY} running executions, {MANY // 2} in mid-command"
    yield Figure("crash", f"{what}: start, until it serves", "s", series([ready]), target="2 s")
    yield Figure("crash", "from then on, until all are moving by themselves", "s", series([moving]), target="3 s")
    yield Figure("crash", "start, until all turns have ended", "s", series([ended]))
    yield Figure("crash", "executions whose log lost an event", "", series([lost]), target="0")
    yield Figure("crash", "commands that ran twice or not at all", "", series([twice]), target="0")
    yield Figure("crash", "finished steps that were repeated", "", series([repeated]), target="0")


def _runs() -> dict[str, Any]:
    """Return a script: `run N` counts its commands in a file; even ones wait in a command, odd ones in a reply."""
    one, two, three, four = (bash(f"echo {number} >> count-${{n}}") for number in (1, 2, 3, 4))
    waits = bash("mkfifo begun-${n}; read go < begun-${n}; echo 2 >> count-${n}")
    hold = {**three, "faults": [{"kind": "hold", "after": 1, "until": "@/go"}]}
    done = {"text": "Done."}
    even = {"match": "^run (?P<n>[0-9]*[02468])$", "steps": [one, waits, three, four, done]}
    odd = {"match": "^run (?P<n>[0-9]*[13579])$", "steps": [one, two, hold, four, done]}
    return {"rules": [even, odd, {"steps": [done]}]}


def _begun(stage: Stage, works: Sequence[Path]) -> bool:
    """Return whether half of all are in a command, and the others in a reply after two commands."""
    begun = sum(len(list(work.glob("begun-*"))) for work in works)
    query = "SELECT count(*) FROM event WHERE kind = 'ToolFinished'"
    called = "SELECT count(*) FROM event WHERE kind = 'ModelCallStarted'"
    finished, calls = (stage.database.execute(each).fetchone()[0] for each in (query, called))
    return begun == MANY // 2 and finished == MANY // 2 * 3 and calls == MANY // 2 * 5


def _moving(stage: Stage, before: Mapping[str, Sequence[Any]], since: float) -> float:
    """Return the seconds until every execution has finished something new."""
    known = {one: sum(kind in FINISHED for _, kind, _ in events) for one, events in before.items()}
    query = f"SELECT execution_id, count(*) FROM event WHERE kind IN {FINISHED} GROUP BY execution_id"

    def all_moved() -> bool:
        now = dict(stage.database.execute(query).fetchall())
        return all(now.get(one, 0) > count for one, count in known.items())

    return stage.until_true(all_moved, "all of them moving") - since


def _ended(stage: Stage) -> int:
    return stage.database.execute("SELECT count(*) FROM event WHERE kind = 'TurnEnded'").fetchone()[0]


def _odd_counts(works: Sequence[Path]) -> int:
    """Return how many runs have counted anything but each command once, in order."""
    files = {file.name: file.read_text().split() for work in works for file in work.glob("count-*")}
    return sum(files.get(f"count-{number}") != ["1", "2", "3", "4"] for number in range(MANY))
