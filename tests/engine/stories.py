"""What stories on a stage have in common."""

from typing import Any

from hostler.core.events import Recorded
from hostler.core.state import State
from hostler.engine.worker import Worker
from hostler.models.registry import Registry
from hostler.models.script import Call, Rule, Script, Step
from hostler.testing.stage import Stage

BASH = Call("bash", {"command": "make test"})


def stage_of(*steps: Step, **fields: Any) -> Stage:
    """A stage whose scripted model follows these steps, as `scripted:story`."""
    return Stage(Registry({}, plans={"story": Script(rules=(Rule(steps=steps),))}), **fields)


class Forgetful(Worker):
    """A worker that throws all memory away after every append and reads the log anew."""

    async def catch_up(self, known: tuple[Recorded, ...] = ()) -> None:
        self.state, self.log = State(), []
        await super().catch_up()
