"""What environments cost by themselves: until the first command, for each command, many at once, and their memory."""

import json
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from time import perf_counter

from bench.figures import Figure, in_turns, milliseconds, series
from bench.part_machine import BARE_SANDBOX
from bench.scripts import quick
from bench.stage import Stage, serving
from bench.wire import ENVIRONMENTS, Wire, ops
from hostler.environments.local import find_bwrap

NEW = 15
ROUND_TRIPS = 300
MANY = 100
COMMAND = {"command": "true"}


def measure() -> Iterator[Figure]:
    with serving({"quick": quick(1)}) as stage:
        yield from _single(stage)
        yield from _many(stage)


# --- one ----------------------------------------------------------------------------------------------------------


def _single(stage: Stage) -> Iterator[Figure]:
    """Measure an environment alone: its making, its memory, commands in it."""
    made: list[str] = []

    def new() -> float:
        for environment in made[:-1]:
            _delete(stage.wire, environment)
            made.remove(environment)
        since = perf_counter()
        made.append(_create(stage.wire))
        stage.wire.ask("Exec", COMMAND, ops(made[-1]))
        return (perf_counter() - since) * 1000

    first = in_turns(NEW, {"new": new, "bwrap": _runs(str(find_bwrap()), *BARE_SANDBOX)})
    standing = made[-1]
    works = {"exec": lambda: stage.wire.ask("Exec", COMMAND, ops(standing))[1], "plain": _runs("sh", "-c", "true")}
    trips = in_turns(ROUND_TRIPS, works, warm=10)
    for environment in made[:-1]:
        _delete(stage.wire, environment)
    stage.until_true(lambda: _left(stage) == {standing}, "the removal")
    memory = series([_memory(stage, standing)])
    _delete(stage.wire, standing)
    stage.until_true(lambda: not _left(stage), "the removal")
    what, against = "CreateEnvironment, until the answer of its first command", "`true` in a bubblewrap of its own"
    yield Figure("environments", what, "ms", first["new"], first["bwrap"], against, "p50 150 ms")
    what, against = "Exec of `true` over the API", "`sh -c true` as a subprocess"
    yield Figure("environments", what, "ms", trips["exec"], trips["plain"], against, "p50 5 ms")
    tail, plain = (series([trips[one].at(0.99)]) for one in ("exec", "plain"))
    yield Figure("environments", f"{what}, p99 of {ROUND_TRIPS}", "ms", tail, plain, against, "20 ms")
    yield Figure("environments", "memory of the only environment, idle", "MB (PSS)", memory, target="15 MB")


def _runs(*words: str) -> Callable[[], float]:
    return lambda: milliseconds(lambda: subprocess.run(words, check=True))


# --- many ---------------------------------------------------------------------------------------------------------


def _many(stage: Stage) -> Iterator[Figure]:
    """Measure as many at once, each over a connection of its own."""
    with closing(_Wires(stage)) as wires, ThreadPoolExecutor(MANY) as pool:
        list(pool.map(lambda _: wires.warm(), range(MANY)))
        since, cpu = perf_counter(), stage.cpu()
        environments = list(pool.map(lambda _: wires.answering(), range(MANY)))
        answered, used = perf_counter() - since, stage.cpu() - cpu
        memory = series(_memory(stage, environment) for environment in environments)
        since = perf_counter()
        list(pool.map(lambda environment: _delete(wires.own, environment), environments))
        asked = perf_counter() - since
        gone = stage.until_true(lambda: not _left(stage), "the removal") - since
    name = f"{MANY} environments at once"
    yield Figure("environments", f"{name}, until each has answered a command", "s", series([answered]), target="15 s")
    each = series([used / MANY * 1000])
    yield Figure("environments", "processor time of the server to make one of these", "ms", each)
    yield Figure("environments", f"memory of each of {MANY}, idle", "MB (PSS)", memory, target="15 MB")
    yield Figure("environments", f"{name} deleted, until the requests are answered", "s", series([asked]))
    yield Figure("environments", f"{name} deleted, until nothing is left", "s", series([gone]), target="5 s")


class _Wires:
    """One connection for each thread."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._local = threading.local()
        self._all: list[Wire] = []
        self._together = threading.Barrier(MANY)

    @property
    def own(self) -> Wire:
        if not hasattr(self._local, "wire"):
            self._local.wire = Wire(self._stage.server.url, self._stage.server.token)
            self._all.append(self._local.wire)
        return self._local.wire

    def warm(self) -> None:
        """Connect; no thread takes a second turn before all have had one."""
        self.own.ask("ListEnvironmentClasses", {}, ENVIRONMENTS)
        self._together.wait()

    def answering(self) -> str:
        """Return a new environment once it has answered a command."""
        environment = _create(self.own)
        self.own.ask("Exec", COMMAND, ops(environment))
        return environment

    def close(self) -> None:
        for wire in self._all:
            wire.close()


def _create(wire: Wire) -> str:
    return wire.ask("CreateEnvironment", {"spec": {}}, ENVIRONMENTS)[0]["environment"]["id"]


def _delete(wire: Wire, environment: str) -> None:
    wire.ask("DeleteEnvironment", {"environmentId": environment, "force": True}, ENVIRONMENTS)


def _left(stage: Stage) -> set[str]:
    """Return the environments of which there is a row or a folder, which goes after the last process."""
    rows = stage.database.execute("SELECT id FROM environment").fetchall()
    folders = [one.name for one in _root(stage).iterdir() if not one.name.startswith((".", "supervisor-"))]
    return {row[0] for row in rows} | set(folders)


def _root(stage: Stage) -> Path:
    return stage.server.folder / "environments"


# --- memory -------------------------------------------------------------------------------------------------------


def _memory(stage: Stage, environment: str) -> float:
    """Return the proportional share of memory that all processes of an environment have, the sandbox's own included."""
    first = json.loads((_root(stage) / environment / "launch.json").read_text())["pid"]
    outer = _parent(first)
    return sum(_pss(pid) for pid in (outer, first, *_below(first))) / 1000


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def _below(pid: int) -> list[int]:
    """Return the processes below one."""
    children = [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return [*children, *(one for child in children for one in _below(child))]


def _pss(pid: int) -> float:
    """Return a process's proportional share in kB."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith("Pss:")))
