"""Carries out what is wanted because an execution waits: sits out timers, watches the world, and wakes the agent.

Nothing here appends: it commands the desk, which decides on the latest state, so that a repeated wake is none.
In maintenance mode nobody is woken; whoever is due then is woken after it.
"""

import contextlib
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Protocol

from hostler.core.ambient import Ambient
from hostler.core.commands import Command
from hostler.core.errors import EnvironmentError_, Fenced, NotFound
from hostler.core.interests_plan import FireTimer, GiveUpWaiting, RebuildDevcontainer, WatchChild, WatchEnvironment
from hostler.core.ports import Executions, Row
from hostler.core.redaction import Redactor
from hostler.core.state import State
from hostler.core.timers import next_of
from hostler.core.waking import CancelWaits, GiveUp, Wake
from hostler.engine.admission import LOOK as HELD
from hostler.engine.admission import Admission
from hostler.engine.performing import Outcome, Performer
from hostler.engine.scene import Scene

LOOK = 2.0
"""Seconds between two looks at an environment."""
PAUSE = 1.0
"""Seconds between two looks at a sub-agent that may still say something."""
LAST_WORD = 10.0
"""Seconds that a sub-agent at rest has for its own message, which wakes better than we can."""


class Commands(Protocol):
    """What is needed of the desk."""

    async def command(self, execution: str, command: Command) -> State:
        """Decide a command on the latest state; NotFound when the execution is gone."""
        ...


class Surroundings(Protocol):
    """What is needed of environments."""

    async def phase(self, environment: str) -> tuple[str, str]:
        """Return the phase of an environment, "deleted" where there is none, and why it failed, if it did."""
        ...

    async def rebuild(self, environment: str, name: str) -> Sequence[str]:
        """Run the lifecycle commands of devcontainer.json once under this name; return what went wrong."""
        ...


class Waking:
    """Wakes executions, and takes back what they wait for."""

    def __init__(
        self,
        desk: Commands,
        executions: Executions,
        surroundings: Surroundings,
        admission: Admission,
        ambient: Ambient,
        redactor: Redactor,
        *,
        longest: timedelta,
    ) -> None:
        self.longest = longest
        """How long something is waited for that may never come, at most."""
        self._desk = desk
        self._executions = executions
        self._surroundings = surroundings
        self._admission = admission
        self._ambient = ambient
        self._redactor = redactor

    def performers(self) -> dict[type[Any], Performer]:
        """Return who carries out which effect."""
        return {
            FireTimer: self.fire,
            GiveUpWaiting: self.give_up,
            WatchChild: self.watch_child,
            WatchEnvironment: self.watch_environment,
            RebuildDevcontainer: self.rebuild,
        }

    async def cancel(self, execution: str, interests: tuple[str, ...]) -> State:
        """Take back what an execution waits for, everything when nothing is named; return the state after it."""
        return await self._desk.command(execution, CancelWaits(interests))

    async def fire(self, effect: FireTimer, scene: Scene) -> Outcome:
        """Wake the agent when a timer is due; one that was missed several times is due once."""
        await self._ambient.until(effect.not_before)
        await self._admission.opened()
        one, now = scene.state.interests.one(effect.interest), self._ambient.now()
        again = next_of(one.cron, one.zone, now) if one and one.repeats else None
        block = {"interestId": effect.interest, "timer": {"firedAt": now.isoformat().replace("+00:00", "Z")}}
        return await self._tell(scene, Wake(effect.interest, now, block, effect.not_before, again))

    async def give_up(self, effect: GiveUpWaiting, scene: Scene) -> Outcome:
        """Wake the agent when nothing came in time; what came and was held back goes first."""
        await self._ambient.until(effect.not_before)
        while await self._admission.opened():
            await self._ambient.until(self._ambient.now() + timedelta(seconds=2 * HELD))
        return await self._tell(scene, GiveUp(effect.interest, self._ambient.now()))

    async def watch_child(self, effect: WatchChild, scene: Scene) -> Outcome:
        """Wake the agent when a sub-agent is at rest and has had the time to say so itself."""
        child = scene.state.family.called(effect.execution)
        reported = child is not None and child.doing != "running"
        async with self._executions.watch(effect.execution) as watch:
            while not reported and (row := await self._executions.row(effect.execution)):
                rests = row.deleted_at is not None or _rests(row)
                left = LAST_WORD - (self._ambient.now() - row.updated_at).total_seconds()
                if rests and left <= 0:
                    break
                await watch.changed(min(left, PAUSE) if rests else LAST_WORD)
        return await self._tell(scene, Wake(effect.interest, self._ambient.now(), {}))

    async def watch_environment(self, effect: WatchEnvironment, scene: Scene) -> Outcome:
        """Wake the agent when an environment is in the phase, or can never be in it any more."""
        phase, failure = await self._surroundings.phase(effect.environment)
        while phase not in (effect.phase, "deleted"):
            await self._ambient.until(self._ambient.now() + timedelta(seconds=LOOK))
            phase, failure = await self._surroundings.phase(effect.environment)
        failures = [failure] if failure and phase != "running" else []
        return await self._place(scene, effect.interest, "environment", effect.environment, phase, failures)

    async def rebuild(self, effect: RebuildDevcontainer, scene: Scene) -> Outcome:
        """Run the lifecycle commands again, and wake the agent with what came of it."""
        try:
            failures = await self._surroundings.rebuild(effect.environment, effect.interest)
        except Fenced:
            raise
        except EnvironmentError_ as problem:
            failures = [problem.message]
        phase = "failed" if failures else "running"
        return await self._place(scene, effect.interest, "devcontainerRebuild", effect.environment, phase, failures)

    async def _place(
        self, scene: Scene, interest: str, payload: str, environment: str, phase: str, failures: Sequence[str]
    ) -> Outcome:
        said: dict[str, Any] = {"environmentId": environment, "phase": phase}
        if payload == "devcontainerRebuild":
            said["sessionId"] = scene.state.begun.session_id
        if failures:
            said["failureMessage"] = [self._redactor.text(one) for one in failures]
        return await self._tell(scene, Wake(interest, self._ambient.now(), {"interestId": interest, payload: said}))

    async def _tell(self, scene: Scene, command: Command) -> Outcome:
        await self._admission.opened()
        with contextlib.suppress(NotFound):
            # What begins a turn ends the worker that we run in; by then it is in the log.
            await self._desk.command(scene.execution, command)
        return Outcome()


def _rests(row: Row) -> bool:
    """Return whether an execution does nothing and waits for nothing but people."""
    waits = row.view.get("hostler", {}).get("waits", ())
    return row.phase == "STOPPED" or (row.phase == "WAITING_FOR_INPUT" and not waits)
