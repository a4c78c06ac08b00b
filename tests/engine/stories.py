"""What stories on a stage have in common."""

from typing import Any

from hostler.models.registry import Registry
from hostler.models.script import Call, Rule, Script, Step
from hostler.testing.stage import Stage

BASH = Call("bash", {"command": "make test"})


def stage_of(*steps: Step, **fields: Any) -> Stage:
    """A stage whose scripted model follows these steps, as `scripted:story`."""
    return Stage(Registry({}, plans={"story": Script(rules=(Rule(steps=steps),))}), **fields)
