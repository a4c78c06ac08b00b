"""Looking at what a round has left: the plan file, the specification, and the signs of a round without progress."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from hostler.core import events as ev
from hostler.core import modes_events as m
from hostler.core.errors import EnvironmentError_, Fenced, MachineLost
from hostler.core.events import Recorded
from hostler.core.machines import FileProblem, Machine
from hostler.core.modes_plan import PLAN, SPEC, LookAtRound
from hostler.core.ports import Fact
from hostler.core.redaction import Redactor
from hostler.engine.agents import Machines
from hostler.engine.performing import Outcome, Performer
from hostler.engine.scene import Scene
from hostler.projections.receipts import receipts

STEP = re.compile(r"(?m)^\s*[-*] \[([ xX])\] \S")
LONGEST = 40_000
"""Characters of a plan that are looked at and told."""


@dataclass(frozen=True, slots=True)
class Looking:
    """Looks into the workspace and the log, and believes no word of the agent."""

    places: Machines
    redactor: Redactor

    async def __call__(self, effect: LookAtRound, scene: Scene) -> Outcome:
        """Return one RoundLookedAt, or that the supervisor is gone."""
        try:
            machine = await self.places.machine_for(scene.state.environment.id)
            plan = self.redactor.text((await _text(machine, PLAN))[:LONGEST])
            spec = bool((await _text(machine, SPEC)).strip())
            diff = await _digest(machine)
        except MachineLost:
            key = f"lost/{scene.position.fence}/{scene.position.seq}"
            return Outcome((Fact(key, ev.SupervisorLost(effect.incarnation)),))
        except Fenced:
            raise
        except EnvironmentError_:
            plan, spec, diff = "", False, ""
        marks = STEP.findall(plan)
        signs = tuple(one for one in (f"same changes:{diff}" if diff else "", *_troubles(scene.log)) if one)
        looked = m.RoundLookedAt(effect.round, plan, marks.count(" "), len(marks), spec, signs)
        return Outcome((Fact(f"round/{effect.round}", looked),))


async def _text(machine: Machine, path: str) -> str:
    try:
        return (await machine.read(path)).data.decode(errors="replace")
    except FileProblem:
        return ""


async def _digest(machine: Machine) -> str:
    """Return what the workspace's changes come to, without the plan: it says what the agent thinks it did."""
    try:
        data = (await machine.git_diff()).data
    except FileProblem:  # It is no repository.
        entries = await machine.list(".", depth=8, limit=5000)
        kept = [(one.path, one.size, one.modified) for one in entries if not one.path.startswith(".hostler")]
        return hashlib.sha256(repr(sorted(kept)).encode()).hexdigest()[:16]
    parts = [part for part in data.split(b"\ndiff --git ") if b" b/.hostler/" not in part.split(b"\n", 1)[0]]
    return hashlib.sha256(b"\n".join(parts)).hexdigest()[:16]


def _troubles(log: Sequence[Recorded]) -> tuple[str, ...]:
    """Return the checks that fail, and the last error, of the round that has just ended."""
    taken = max((r.seq for r in log if isinstance(r.event, ev.InputTaken)), default=0)
    ran = [one for one in receipts(log).checks if one.seq > taken]
    failing = tuple(f"same failing check:{one.command}" for one in ran if one.result == "failed")
    errors = [
        r.event.text
        for r in log
        if r.seq > taken and isinstance(r.event, ev.ToolFinished) and r.event.outcome not in ("ok", "cancelled")
    ]
    last = hashlib.sha256(re.sub(r"[0-9]+", "0", errors[-1]).encode()).hexdigest()[:16] if errors else ""
    return (*failing, *((f"same error:{last}",) if last else ()))


def performers(places: Machines, redactor: Redactor) -> dict[type[object], Performer]:
    """Return who looks at rounds."""
    return {LookAtRound: Looking(places, redactor)}
