"""A real server with one run of each kind that a page has to show well, the same each time."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hostler.core.events import Deleted, Recorded
from tests import corpus, planting
from tests.browser import scripts
from tests.corpus.logs import BEGAN
from tests.server import HostlerProcess, repository_at

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class World:
    """The server below a folder, and the runs that were made so far."""

    folder: Path
    made: dict[str, str] = field(default_factory=dict)
    env: dict[str, str] = field(default_factory=dict)

    def start(self) -> "World":
        """Start the server over what the folder holds."""
        data = self.folder / "data"
        if not data.exists():
            data.mkdir(mode=0o711)
            planting.plant(data, [(PLANTED[name], _shown(name)) for name in corpus.LOGS])
            planting.plant(data, FAMILY)
            planting.plant(data, [(PLANTED["long"], planting.long(3000))], commit=100)
        (self.folder / "script.json").write_text(json.dumps(scripts.script()).replace("@/", f"{self.folder}/"))
        if not self.repository.exists():
            repository_at(self.repository, ROOT / "examples" / "wordcount")
        known = self.folder / "runs.json"
        self.made = json.loads(known.read_text()) if known.exists() else {}
        env = {"HOSTLER_MODEL": f"scripted:{self.folder}/script.json", **self.env}
        self.server = HostlerProcess(self.folder / "data", env=env).start()
        return self

    @property
    def repository(self) -> Path:
        return self.folder / "wordcount"

    def close(self) -> None:
        self.server.stop()

    def workspace(self, execution: str) -> Path:
        environment = self.server.get(execution)["status"]["usedEnvironments"][0]["environmentId"]
        return next((self.server.folder / "environments").glob(f"**/{environment}/files/work"))

    def go(self, execution: str) -> None:
        """Let the slow command end."""
        (self.workspace(execution) / ".git" / "go").touch()

    def new(self, task: str, **fields: Any) -> str:
        """Start a run of its own."""
        return self.server.start_agent(task, self.repository, **fields)

    def run(self, name: str) -> str:
        """Return the execution of a named run, made when it is asked for the first time."""
        if name in PLANTED:
            return PLANTED[name]
        if name not in self.made:
            self.made[name] = RUNS[name](self)
            (self.folder / "runs.json").write_text(json.dumps(self.made))
        return self.made[name]

    def until_log(self, execution: str, *kinds: str) -> None:
        """Return when the log holds each of the kinds."""
        self.server.until(lambda: set(kinds) <= {kind for kind, _ in self.server.log(execution)})


FAMILY = planting.family(BEGAN)
PLANTED = {name: planting.id_at(BEGAN, number) for number, name in enumerate((*corpus.LOGS, "long"))}
PLANTED["parent"] = FAMILY[0][0]
"""The executions that are there from the start, by the names of their logs."""


def _shown(name: str) -> list[Recorded]:
    return [recorded for recorded in corpus.log(name) if not isinstance(recorded.event, Deleted)]


def _rested(task: str, **fields: Any) -> Callable[[World], str]:
    def make(world: World) -> str:
        execution = world.new(task, **fields)
        world.server.rest(execution)
        return execution

    return make


def _slow(world: World) -> str:
    execution = world.new(scripts.SLOW)
    world.until_log(execution, "ToolStarted")
    world.server.until(lambda: (world.workspace(execution) / ".git").exists())
    return execution


def _queued(world: World) -> str:
    execution = _slow(world)
    for text in scripts.TYPES:
        world.server.send(execution, text)
    return execution


def _refused(world: World) -> str:
    execution = world.new(scripts.REFUSED)
    world.server.rest(execution)
    return execution


def _stopped(world: World) -> str:
    execution = _slow(world)
    world.server.call("StopAgentExecution", {"agentExecutionId": execution})
    world.until_log(execution, "Stopped")
    return execution


RUNS: dict[str, Callable[[World], str]] = {
    "backed": _rested(scripts.BACKED),
    "unchecked": _rested(scripts.UNCHECKED),
    "failing": _rested(scripts.FAILING),
    "running": _slow,
    "question": _rested(scripts.ASKING),
    "limited": _rested(scripts.LIMITED, annotations={"hostler/limits": '{"max_iterations": 3}'}),
    "refused": _refused,
    "explained": _rested(scripts.EXPLAIN),
    "queued": _queued,
    "stopped": _stopped,
}
